//! The TCP state machine of a session (RFC 6146 section 3.5.2.2), pure: a state and an event give the next state and what
//! becomes of the lifetime. That a session ends when its lifetime does is up to `expire.rs`.

use crate::flow::TcpFlags;

/// State of a TCP session. CLOSED is the absence of a session.
///
/// ```text
///             V6 SYN                            V4 SYN (where it may begin)
///   CLOSED ------------> V6 INIT       CLOSED ------------> V4 INIT
///             V4 SYN                            V6 SYN
///  V6 INIT ------------> ESTABLISHED  V4 INIT ------------> ESTABLISHED
///
///                 V4 FIN               V6 FIN
///  ESTABLISHED ---------> V4 FIN RCV ----------+
///  ESTABLISHED ---------> V6 FIN RCV --------- V6 FIN + V4 FIN RCV
///                 V6 FIN               V4 FIN
///                 RST, or the lifetime ends      a segment without RST
///  ESTABLISHED -------------------------> TRANS ----------------------> ESTABLISHED
///
///  every other state, when its lifetime ends: CLOSED
/// ```
///
/// Two arrows are not in the RFC. An RST after one FIN also leads to TRANS: otherwise a connection that was cut off half
/// closed, as browsers do, stays for two hours. And a V6 SYN after both FINs leads to V6 INIT: the host uses its port
/// again, and the new connection must not end with the old one's lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The host's SYN was seen.
    V6Init,
    /// A SYN from the IPv4 side was seen.
    V4Init,
    /// SYNs of both sides were seen.
    Established,
    /// The IPv4 side has closed.
    V4FinRcv,
    /// The host has closed.
    V6FinRcv,
    /// Both have closed.
    V6FinV4FinRcv,
    /// Cut off, or silent for the whole of its lifetime.
    Trans,
}

impl State {
    /// All of them, in the order of [`State::index`].
    pub const ALL: [Self; 7] = [
        Self::V6Init,
        Self::V4Init,
        Self::Established,
        Self::V4FinRcv,
        Self::V6FinRcv,
        Self::V6FinV4FinRcv,
        Self::Trans,
    ];

    /// Place in [`State::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Name for status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V6Init => "v6_init",
            Self::V4Init => "v4_init",
            Self::Established => "established",
            Self::V4FinRcv => "v4_fin_rcv",
            Self::V6FinRcv => "v6_fin_rcv",
            Self::V6FinV4FinRcv => "v6_fin_v4_fin_rcv",
            Self::Trans => "trans",
        }
    }

    /// Whether only one side was heard so far.
    #[must_use]
    pub const fn is_half_open(self) -> bool {
        matches!(self, Self::V6Init | Self::V4Init)
    }
}

/// A segment, as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A SYN from the host.
    V6Syn,
    /// A SYN from the IPv4 side.
    V4Syn,
    /// A FIN from the host.
    V6Fin,
    /// A FIN from the IPv4 side.
    V4Fin,
    /// An RST from the host.
    V6Rst,
    /// An RST from the IPv4 side.
    V4Rst,
    /// Another segment, from either.
    Other,
}

impl Event {
    /// A segment from the host.
    #[must_use]
    pub const fn from_v6(flags: TcpFlags) -> Self {
        match flags {
            TcpFlags { rst: true, .. } => Self::V6Rst,
            TcpFlags { syn: true, .. } => Self::V6Syn,
            TcpFlags { fin: true, .. } => Self::V6Fin,
            TcpFlags { .. } => Self::Other,
        }
    }

    /// A segment from the IPv4 side.
    #[must_use]
    pub const fn from_v4(flags: TcpFlags) -> Self {
        match flags {
            TcpFlags { rst: true, .. } => Self::V4Rst,
            TcpFlags { syn: true, .. } => Self::V4Syn,
            TcpFlags { fin: true, .. } => Self::V4Fin,
            TcpFlags { .. } => Self::Other,
        }
    }
}

/// What becomes of a session's lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// It goes on running.
    Keep,
    /// It begins anew with TCP_EST.
    Established,
    /// It begins anew with TCP_TRANS.
    Transitory,
}

/// The next state of a session in `state` after `event`. Every segment is forwarded.
#[must_use]
pub const fn step(state: State, event: Event) -> (State, Lifetime) {
    use Event as E;
    use Lifetime::{Established as Est, Keep, Transitory};
    use State as S;
    match (state, event) {
        (S::V6Init, E::V4Syn) => (S::Established, Est),
        (S::V6Init, E::V6Syn) => (S::V6Init, Transitory),
        (S::V6Init, E::V6Fin | E::V4Fin | E::V6Rst | E::V4Rst | E::Other) => (S::V6Init, Keep),

        (S::V4Init, E::V6Syn) => (S::Established, Est),
        (S::V4Init, E::V4Syn | E::V6Fin | E::V4Fin | E::V6Rst | E::V4Rst | E::Other) => (S::V4Init, Keep),

        (S::Established, E::V4Fin) => (S::V4FinRcv, Keep),
        (S::Established, E::V6Fin) => (S::V6FinRcv, Keep),
        (S::Established, E::V6Rst | E::V4Rst) => (S::Trans, Transitory),
        (S::Established, E::V6Syn | E::V4Syn | E::Other) => (S::Established, Est),

        (S::V4FinRcv, E::V6Fin) => (S::V6FinV4FinRcv, Transitory),
        (S::V4FinRcv, E::V6Rst | E::V4Rst) => (S::Trans, Transitory),
        (S::V4FinRcv, E::V4Fin | E::V6Syn | E::V4Syn | E::Other) => (S::V4FinRcv, Est),

        (S::V6FinRcv, E::V4Fin) => (S::V6FinV4FinRcv, Transitory),
        (S::V6FinRcv, E::V6Rst | E::V4Rst) => (S::Trans, Transitory),
        (S::V6FinRcv, E::V6Fin | E::V6Syn | E::V4Syn | E::Other) => (S::V6FinRcv, Est),

        (S::V6FinV4FinRcv, E::V6Syn) => (S::V6Init, Transitory),
        (S::V6FinV4FinRcv, E::V4Syn | E::V6Fin | E::V4Fin | E::V6Rst | E::V4Rst | E::Other) => (S::V6FinV4FinRcv, Keep),

        (S::Trans, E::V6Rst | E::V4Rst) => (S::Trans, Keep),
        (S::Trans, E::V6Syn | E::V4Syn | E::V6Fin | E::V4Fin | E::Other) => (S::Established, Est),
    }
}

/// What a session in `state` becomes when its lifetime ends: an established one goes on in TRANS for TCP_TRANS (no probe
/// is sent: the table has no packets of its own), all others end.
#[must_use]
pub const fn timed_out(state: State) -> Option<(State, Lifetime)> {
    match state {
        State::Established => Some((State::Trans, Lifetime::Transitory)),
        State::V6Init | State::V4Init | State::V4FinRcv | State::V6FinRcv | State::V6FinV4FinRcv | State::Trans => None,
    }
}
