//! Questions upstream: sent with what an attacker would have to guess, checked for it, repeated elsewhere (RFC 5452).
//!
//! An answer is taken only on the socket, under the identifier and for the question as it was asked, the case of its
//! letters included; what is wrong in that is counted, and asked again over TCP when it may be an attack.

use std::time::Duration;

use portreeve_packet::time::Instant;

use super::echo::{Echo, echo, message};
use super::query::{rcode, u16_at};
use super::question::{Attempt, Via};
use super::response::{flags, is_about_the_name};
use super::upstream::SLOT_AGE;
use super::{Engine, Output};

/// Exchanges over TCP under way.
pub const MAX_TCP: usize = 64;
/// How long an exchange over TCP may take.
const TCP_TIMEOUT: Duration = Duration::from_secs(2);

/// What became of an attempt that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Its answer is here.
    Answered,
    /// Its answer may still come.
    GivenUp,
}

/// How a question is sent.
#[derive(Clone, Copy, Debug)]
struct Mode {
    tcp: bool,
    edns: bool,
    checks_case: bool,
}

impl Engine {
    /// Takes what came in on a slot.
    pub fn handle_response(&mut self, slot: u32, message: &[u8], now: Instant) {
        let Some(known) = self.upstream.slot(slot) else {
            self.stats.upstream_late += 1;
            return;
        };
        let id = u16_at(message, 0);
        let (number, server) = (id.and_then(|id| known.question(id)), known.server);
        if number.is_none() && id.is_some_and(|id| known.forgot(id)) {
            self.stats.upstream_late += 1;
            return;
        }
        let (Some(number), Some(id)) = (number, id) else { return self.mismatch(slot, now) };
        let via = Via::Slot { slot, id };
        let Some(question) = self.questions.get(number) else { return };
        let Some(attempt) = question.attempts.iter().find(|attempt| attempt.via == via).copied() else { return };
        let folds = self.upstream.server(server).is_some_and(|server| server.folds_case());
        match echo(message, question, &attempt) {
            Echo::Other => self.mismatch(slot, now),
            Echo::OtherCase if !folds => {
                self.stats.upstream_case += 1;
                self.end_attempt(number, via, Lost::Answered);
                self.send(number, server, Mode { tcp: true, edns: attempt.edns, checks_case: true }, now);
            }
            found => {
                if attempt.case != 0 && found == Echo::Same {
                    self.upstream.server(server).into_iter().for_each(|server| server.kept_case(true));
                }
                self.take_answer(number, &attempt, message, now);
            }
        }
    }

    /// A socket failed: it could not be opened, or an ICMP error says that nobody is there.
    pub fn handle_slot_error(&mut self, slot: u32, now: Instant) {
        let Some(server) = self.upstream.slot(slot).map(|slot| slot.server) else { return };
        self.upstream.server(server).into_iter().for_each(|server| server.unreachable(now));
        self.stats.upstream_errors += 1;
        for number in self.close_slot(slot) {
            let Some(question) = self.questions.get(number) else { continue };
            question.given_up |= 1 << server;
            self.pump(number, now);
        }
    }

    /// Takes the answer to an exchange over TCP, without its length prefix, or that there was none.
    ///
    /// The answer is taken as it is: only `query` says to what it belongs.
    pub fn handle_tcp_response(&mut self, query: u64, answer: Result<&[u8], ()>, now: Instant) {
        let Some(number) = self.tcp.remove(&query) else {
            self.stats.upstream_late += 1;
            return;
        };
        let via = Via::Tcp(query);
        let Some(question) = self.questions.get(number) else { return };
        let Some(attempt) = question.attempts.iter().find(|attempt| attempt.via == via).copied() else { return };
        match answer {
            Ok(message) if echo(message, question, &attempt) != Echo::Other => {
                if attempt.checks_case {
                    self.upstream.server(attempt.server).into_iter().for_each(|server| server.kept_case(false));
                }
                self.take_answer(number, &attempt, message, now);
            }
            _ => {
                self.stats.upstream_errors += 1;
                if let Some(server) = self.upstream.server(attempt.server) {
                    server.erred();
                    // Without TCP nothing can be checked; who guessed port and identifier three times needs no case.
                    if attempt.checks_case {
                        server.kept_case(false);
                    }
                }
                self.end_attempt(number, via, Lost::Answered);
                self.give_up(number, attempt.server, now);
            }
        }
    }

    /// Does what is due at `now`; a call before that does nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((wake, number)) = self.questions.first() {
            if wake > now {
                break;
            }
            self.handle_question_timeout(number, now);
        }
        if self.maintenance <= now {
            self.maintenance = now + SLOT_AGE / 4;
            self.upstream.retire_old(now, &mut self.output);
        }
    }

    fn handle_question_timeout(&mut self, number: u32, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        let mut lost = Vec::new();
        for attempt in question.attempts.iter_mut().filter(|attempt| !attempt.late && attempt.until <= now) {
            attempt.late = true;
            lost.push(*attempt);
        }
        let over = question.until <= now;
        for attempt in lost {
            self.stats.upstream_timeouts += 1;
            self.upstream.server(attempt.server).into_iter().for_each(|server| server.timed_out(attempt.sent, now));
            if matches!(attempt.via, Via::Tcp(_)) {
                self.end_attempt(number, attempt.via, Lost::GivenUp);
            }
        }
        if over {
            self.finish_failed(number, super::TIMEOUT_TTL, now);
        } else {
            self.pump(number, now);
        }
    }

    /// Sees to it that something is under way for a question, or that its step ends.
    pub(super) fn pump(&mut self, number: u32, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        let waits = question.attempts.iter().filter(|attempt| !attempt.late).map(|attempt| attempt.until).max();
        if let Some(until) = waits.filter(|until| *until > now) {
            let wake = until.min(question.until);
            return self.questions.wake_at(number, wake);
        }
        let may = question.sent < self.settings.attempts && now < question.step_until;
        let server = if may { self.upstream.choose(&question.tries, question.given_up, now) } else { None };
        let Some(server) = server else { return self.step_failed(number, now) };
        let edns = self.upstream.server(server).is_some_and(|server| server.takes_edns(now));
        self.send(number, server, Mode { tcp: false, edns, checks_case: false }, now);
    }

    /// Asks everything again that is under way, for the servers are other ones.
    pub(super) fn ask_all_again(&mut self, now: Instant) {
        for number in self.questions.numbers() {
            self.forget_attempts(number);
            if let Some(question) = self.questions.get(number) {
                (question.sent, question.tries, question.given_up) = (0, Default::default(), 0);
                self.pump(number, now);
            }
        }
    }

    fn send(&mut self, number: u32, server: usize, mode: Mode, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        let Some(known) = self.upstream.server(server) else { return self.step_failed(number, now) };
        let address = known.address;
        let tries = question.tries.get(server).copied().unwrap_or(0);
        let patience = if mode.tcp { TCP_TIMEOUT } else { known.timeout(tries.into()) };
        let until = (now + patience).min(question.step_until);
        let random_case = self.settings.random_case && !mode.tcp && !known.folds_case();
        let case = if random_case { self.random.next() } else { 0 };
        let via = if mode.tcp {
            (self.tcp.len() < MAX_TCP).then_some(Via::Tcp(self.next_tcp))
        } else {
            let taken = self.upstream.take(server, number, &mut self.random, now, &mut self.output);
            taken.map(|(slot, id)| Via::Slot { slot, id })
        };
        let Some(via) = via else { return self.give_up(number, server, now) };
        self.upstream.server(server).into_iter().for_each(|server| server.asked(now));
        let id = if let Via::Slot { id, .. } = via { id } else { self.random.id() };
        let bytes = message(question, id, case, mode.edns);
        question.sent = question.sent.saturating_add(1);
        if let Some(tries) = question.tries.get_mut(server) {
            *tries = tries.saturating_add(1);
        }
        let Mode { edns, checks_case, .. } = mode;
        question.attempts.push(Attempt { server, via, sent: now, until, late: false, edns, case, checks_case });
        let wake = until.min(question.until);
        self.questions.wake_at(number, wake);
        match via {
            Via::Slot { slot, .. } => {
                self.stats.upstream_queries += 1;
                self.output.push_back(Output::Ask { slot, server: address, bytes });
            }
            Via::Tcp(query) => {
                self.stats.upstream_tcp += 1;
                self.next_tcp += 1;
                self.tcp.insert(query, number);
                self.output.push_back(Output::AskTcp { query, server: address, bytes });
            }
        }
    }

    /// An answer that is what it claims to be.
    fn take_answer(&mut self, number: u32, attempt: &Attempt, message: &[u8], now: Instant) {
        let &Attempt { server, via, edns, .. } = attempt;
        self.end_attempt(number, via, Lost::Answered);
        self.stats.upstream_answers += 1;
        let udp = matches!(via, Via::Slot { .. });
        let Some((truncated, code)) = flags(message) else { return self.give_up(number, server, now) };
        let Some(known) = self.upstream.server(server) else { return };
        known.answered(udp.then(|| now.since(attempt.sent)));
        if edns && matches!(code, rcode::FORMERR | rcode::NOTIMP) {
            return self.send(number, server, Mode { tcp: !udp, edns: false, checks_case: false }, now);
        }
        if !is_about_the_name(code) {
            self.stats.upstream_errors += 1;
            known.erred();
            return self.give_up(number, server, now);
        }
        if !edns && known.takes_edns(now) {
            known.cannot_edns(now);
        }
        if truncated && udp {
            self.stats.upstream_truncated += 1;
            return self.send(number, server, Mode { tcp: true, edns, checks_case: false }, now);
        }
        if self.step_reply(number, message, false, now).is_err() {
            self.stats.upstream_malformed += 1;
            self.upstream.server(server).into_iter().for_each(|server| server.erred());
            self.give_up(number, server, now);
        }
    }

    /// This server is of no use for the step; another one may be.
    fn give_up(&mut self, number: u32, server: usize, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        question.given_up |= 1 << server;
        self.pump(number, now);
    }

    fn end_attempt(&mut self, number: u32, via: Via, lost: Lost) {
        if let Some(question) = self.questions.get(number) {
            question.attempts.retain(|attempt| attempt.via != via);
        }
        self.forget(via, lost);
    }

    /// A wrong answer: one too many, and what waits on this slot is asked over TCP (RFC 5452 section 9.3).
    fn mismatch(&mut self, slot: u32, now: Instant) {
        self.stats.upstream_mismatched += 1;
        if !self.upstream.mismatched(slot) {
            return;
        }
        let Some(server) = self.upstream.slot(slot).map(|slot| slot.server) else { return };
        self.stats.upstream_bursts += 1;
        for number in self.close_slot(slot) {
            let edns = self.upstream.server(server).is_some_and(|server| server.takes_edns(now));
            self.send(number, server, Mode { tcp: true, edns, checks_case: false }, now);
        }
    }

    /// Closes a slot and takes its attempts out of their questions, which are given.
    fn close_slot(&mut self, slot: u32) -> Vec<u32> {
        let mut numbers = self.upstream.close(slot, &mut self.output);
        numbers.sort_unstable();
        numbers.dedup();
        for number in &numbers {
            let Some(question) = self.questions.get(*number) else { continue };
            question.attempts.retain(|attempt| !matches!(attempt.via, Via::Slot { slot: of, .. } if of == slot));
        }
        numbers
    }
}
