//! One resolver: how long it is waited for, whether it is asked at the moment, and what it cannot do.
//!
//! Times are smoothed as in RFC 6298. After some failures in a row it is left alone, each time for twice as long; then one
//! question is its probe, and only an answer brings the others back.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use portreeve_packet::time::Instant;

/// How long a server that has not answered yet is waited for.
pub const INITIAL_RTO: Duration = Duration::from_millis(400);
/// The shortest a server is waited for.
pub const MIN_RTO: Duration = Duration::from_millis(200);
/// The longest, before it doubles with each try.
pub const MAX_RTO: Duration = Duration::from_millis(1600);
/// Failures in a row after which a server is left alone for a while.
pub const MAX_FAILURES: u32 = 3;
/// The longest it is left alone.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);
/// How long a server that cannot do EDNS is asked without (RFC 6891 section 6.2.2).
pub const NO_EDNS: Duration = Duration::from_secs(900);
/// Answers in a row whose question lost its case, and were right over TCP, before a server may do so.
pub const CASE_CHECKS: u32 = 3;

/// What is known of a server, for `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerRow {
    /// Where it is.
    pub address: SocketAddr,
    /// Whether it is asked at the moment.
    pub available: bool,
    /// Smoothed round-trip time; `None` before the first answer.
    pub round_trip: Option<Duration>,
    /// Failures in a row.
    pub failures: u32,
    /// Questions sent to it.
    pub queries: u64,
    /// Answers of it.
    pub answers: u64,
    /// Questions without an answer in time.
    pub timeouts: u64,
    /// Answers with an error code, malformed, or refused by ICMP.
    pub errors: u64,
    /// Answers to something that was not asked.
    pub mismatches: u64,
    /// Whether it is asked without EDNS.
    pub without_edns: bool,
    /// Whether it does not keep the case of the question.
    pub folds_case: bool,
    /// Sockets open towards it.
    pub slots: usize,
}

/// One resolver.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// Slots in use, then those that are retired, oldest first.
    pub(super) slots: Vec<u32>,
    pub(super) retired: VecDeque<u32>,
    smoothed: Option<(Duration, Duration)>,
    failures: u32,
    failed_at: Instant,
    down_until: Instant,
    no_edns_until: Instant,
    case_checks: u32,
    queries: u64,
    answers: u64,
    timeouts: u64,
    errors: u64,
    pub(super) mismatches: u64,
}

impl Server {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            slots: Vec::new(),
            retired: VecDeque::new(),
            smoothed: None,
            failures: 0,
            failed_at: Instant::ZERO,
            down_until: Instant::ZERO,
            no_edns_until: Instant::ZERO,
            case_checks: 0,
            queries: 0,
            answers: 0,
            timeouts: 0,
            errors: 0,
            mismatches: 0,
        }
    }

    pub(super) fn is_available(&self, now: Instant) -> bool {
        self.down_until <= now
    }

    pub(super) fn takes_edns(&self, now: Instant) -> bool {
        self.no_edns_until <= now
    }

    pub(super) const fn folds_case(&self) -> bool {
        self.case_checks >= CASE_CHECKS
    }

    /// How long the `tries`th question to it is waited for (RFC 6298 section 2, with bounds of our own).
    pub(super) fn timeout(&self, tries: u32) -> Duration {
        let base = self.smoothed.map_or(INITIAL_RTO, |(mean, deviation)| mean + deviation * 4);
        base.clamp(MIN_RTO, MAX_RTO) * (1 << tries.min(4))
    }

    /// A question goes out; a server on probation has to answer it before it gets others.
    pub(super) fn asked(&mut self, now: Instant) {
        self.queries += 1;
        if self.failures >= MAX_FAILURES {
            self.down_until = now + self.timeout(0);
        }
    }

    /// It answered, after `elapsed` if that says anything about the path.
    pub(super) fn answered(&mut self, elapsed: Option<Duration>) {
        self.answers += 1;
        self.failures = 0;
        self.down_until = Instant::ZERO;
        let Some(elapsed) = elapsed else { return };
        self.smoothed = Some(match self.smoothed {
            None => (elapsed, elapsed / 2),
            Some((mean, deviation)) => ((mean * 7 + elapsed) / 8, (deviation * 3 + mean.abs_diff(elapsed)) / 4),
        });
    }

    /// It did not answer in time what was `sent` then. Questions that were under way together fail together: once.
    pub(super) fn timed_out(&mut self, sent: Instant, now: Instant) {
        self.timeouts += 1;
        if sent >= self.failed_at {
            self.back_off(now);
        }
    }

    /// It answered with an error; it works, but not for this question.
    pub(super) const fn erred(&mut self) {
        self.errors += 1;
    }

    /// It cannot be reached, and something said so.
    pub(super) fn unreachable(&mut self, now: Instant) {
        self.errors += 1;
        // Each of its sockets says so; that is one failure.
        if self.is_available(now) {
            self.failures = self.failures.max(MAX_FAILURES - 1);
            self.back_off(now);
        }
    }

    fn back_off(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.failed_at = now;
        if let Some(steps) = self.failures.checked_sub(MAX_FAILURES) {
            let pause = Duration::from_secs(1 << steps.min(6)).min(MAX_BACKOFF);
            self.down_until = now + pause;
        }
    }

    /// It answered a question without EDNS that it refused with.
    pub(super) fn cannot_edns(&mut self, now: Instant) {
        self.no_edns_until = now + NO_EDNS;
    }

    /// What its answer did with the case of the question.
    pub(super) const fn kept_case(&mut self, kept: bool) {
        self.case_checks = if kept { 0 } else { self.case_checks.saturating_add(1) };
    }

    pub(super) fn row(&self, now: Instant) -> ServerRow {
        ServerRow {
            address: self.address,
            available: self.is_available(now),
            round_trip: self.smoothed.map(|(mean, _)| mean),
            failures: self.failures,
            queries: self.queries,
            answers: self.answers,
            timeouts: self.timeouts,
            errors: self.errors,
            mismatches: self.mismatches,
            without_edns: !self.takes_edns(now),
            folds_case: self.folds_case(),
            slots: self.slots.len() + self.retired.len(),
        }
    }
}
