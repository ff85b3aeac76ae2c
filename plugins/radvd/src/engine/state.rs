//! The state machine of one interface: a pure function, all effects are in `interface.rs`.
//!
//! ```text
//!            configured                 carrier               link-local address
//!   Idle ──────────────▶ WaitingForCarrier ──▶ WaitingForAddress ──▶ Advertising   (RFC 4861 section 6.2.4)
//!    ▲                          ▲                     ▲                   │
//!    │ drained, or link down    └──── link down ──────┴── address lost ───┤        (section 6.2.2: no longer
//!    └──────────── Stopping ◀──────────────── withdrawn ──────────────────┘         an advertising interface)
//!                                                                                  (section 6.2.5: final RAs)
//! ```
//! A withdrawn interface that is configured again leaves `Stopping` as if it had been idle.

/// What the interface is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Not configured.
    Idle,
    /// Configured, but the link is down.
    WaitingForCarrier,
    /// Up, but without a usable link-local address.
    WaitingForAddress,
    /// An advertising interface (RFC 4861 section 6.2.2).
    Advertising,
    /// No longer configured; final advertisements are going out.
    Stopping,
}

/// What became of it. The first three: it is configured, and its link is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// No carrier, or administratively down.
    NoCarrier,
    /// No usable link-local address.
    NoAddress,
    /// Everything is there.
    Able,
    /// It is not (or no longer) configured.
    Withdrawn,
    /// All final advertisements are out, or cannot go out any more.
    Drained,
}

impl State {
    pub(super) const fn next(self, input: Input) -> Self {
        use State::{Advertising, Idle, Stopping, WaitingForAddress, WaitingForCarrier};
        match (self, input) {
            (_, Input::NoCarrier) => WaitingForCarrier,
            (_, Input::NoAddress) => WaitingForAddress,
            (_, Input::Able) => Advertising,
            (Advertising | Stopping, Input::Withdrawn) => Stopping,
            (Idle | WaitingForCarrier | WaitingForAddress, Input::Withdrawn) => Idle,
            (Idle | Stopping, Input::Drained) => Idle,
            (WaitingForCarrier | WaitingForAddress | Advertising, Input::Drained) => self,
        }
    }
}
