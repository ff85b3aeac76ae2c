//! Signs of life: echo requests at an interval, and a tunnel that is down when none was answered for a while.
//!
//! ```text
//!            reply                 no reply for `timeout`
//! Unknown ----------> Up ------------------------------> Down
//!    |                 ^               reply               |
//!    |                 +-----------------------------------+
//!    +-------------- no reply for `timeout` -------------->
//! ```
//!
//! `Unknown` counts as up: a tunnel is given the benefit of the doubt until its first `timeout` is over. While the
//! tunnel has no path nothing is sent and nothing is found out; what was known stays known.

use core::time::Duration;
use std::collections::VecDeque;

use crate::config::Keepalive;
use crate::time::Instant;

/// Requests without an answer that are remembered; older ones count as lost.
const MAX_OUTSTANDING: usize = 64;

/// What is known of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Not enough yet.
    Unknown,
    /// It answers.
    Up,
    /// It does not.
    Down,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Reply,
    Silence,
}

/// What the echoes came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Echoes {
    /// Round trip of the last answer.
    pub rtt_last: Option<Duration>,
    /// The shortest one.
    pub rtt_min: Option<Duration>,
    /// Smoothed, each answer an eighth.
    pub rtt_average: Option<Duration>,
    /// Requests.
    pub sent: u64,
    /// Answers.
    pub received: u64,
    /// Requests without an answer within `timeout`.
    pub lost: u64,
    /// How often the other end fell silent.
    pub downs: u64,
}

#[derive(Debug)]
pub(super) struct Monitor {
    settings: Keepalive,
    pub(super) identifier: u16,
    sequence: u16,
    /// When to send and when to give up; none while there is no path.
    timers: Option<(Instant, Instant)>,
    outstanding: VecDeque<(u16, Instant)>,
    pub(super) life: Life,
    pub(super) echoes: Echoes,
}

impl Monitor {
    pub(super) fn new(settings: Keepalive, identifier: u16) -> Self {
        Self {
            settings,
            identifier,
            sequence: 0,
            timers: None,
            outstanding: VecDeque::new(),
            life: Life::Unknown,
            echoes: Echoes::default(),
        }
    }

    pub(super) const fn settings(&self) -> Keepalive {
        self.settings
    }

    /// Runs while there is a path.
    pub(super) fn run(&mut self, path: bool, now: Instant) {
        if !path {
            self.timers = None;
            self.outstanding.clear();
        } else if self.timers.is_none() {
            self.timers = Some((now, now + self.settings.timeout));
        }
    }

    /// The number of a request to send now, and whether another `timeout` has passed in silence.
    pub(super) fn poll(&mut self, now: Instant) -> (Option<u16>, bool) {
        let Some((send, deadline)) = &mut self.timers else { return (None, false) };
        let silent = *deadline <= now;
        if silent {
            *deadline = now + self.settings.timeout;
        }
        let due = *send <= now;
        if due {
            *send = now + self.settings.interval;
        }
        if silent {
            self.change(Event::Silence);
        }
        (due.then(|| self.request(now)), silent)
    }

    fn request(&mut self, now: Instant) -> u16 {
        let (timeout, before) = (self.settings.timeout, self.outstanding.len());
        self.outstanding.retain(|(_, sent)| now.since(*sent) < timeout);
        if self.outstanding.len() >= MAX_OUTSTANDING {
            self.outstanding.pop_front();
        }
        self.echoes.lost += (before - self.outstanding.len()) as u64;
        self.sequence = self.sequence.wrapping_add(1);
        self.outstanding.push_back((self.sequence, now));
        self.echoes.sent += 1;
        self.sequence
    }

    /// An answer; one that was not waited for says nothing.
    pub(super) fn reply(&mut self, sequence: u16, now: Instant) {
        let Some(at) = self.outstanding.iter().position(|(known, _)| *known == sequence) else { return };
        let Some((_, sent)) = self.outstanding.remove(at) else { return };
        let Some((_, deadline)) = &mut self.timers else { return };
        *deadline = now + self.settings.timeout;
        let rtt = now.since(sent);
        let echoes = &mut self.echoes;
        echoes.received += 1;
        echoes.rtt_last = Some(rtt);
        echoes.rtt_min = Some(echoes.rtt_min.map_or(rtt, |least| least.min(rtt)));
        echoes.rtt_average = Some(echoes.rtt_average.map_or(rtt, |average| (average * 7 + rtt) / 8));
        self.change(Event::Reply);
    }

    fn change(&mut self, event: Event) {
        let next = match (self.life, event) {
            (Life::Unknown | Life::Up | Life::Down, Event::Reply) => Life::Up,
            (Life::Unknown | Life::Up | Life::Down, Event::Silence) => Life::Down,
        };
        let fell = next == Life::Down && self.life != Life::Down;
        self.echoes.downs += u64::from(fell);
        self.life = next;
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        // A tunnel that is down has no deadline to miss.
        self.timers.map(|(send, deadline)| if self.life == Life::Down { send } else { send.min(deadline) })
    }
}
