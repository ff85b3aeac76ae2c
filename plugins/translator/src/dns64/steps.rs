//! The rules of RFC 6147 section 5: what is asked first, what an answer leads to, and what the client gets.

use std::net::Ipv4Addr;

use portreeve_packet::time::Instant;

use super::arpa::{in_addr_arpa, ip6_arpa};
use super::build::{Build, Finals, SYNTHESISED_TTL};
use super::cache::Key;
use super::exchange::Lost;
use super::local;
use super::query::{HEADER, rcode, rtype};
use super::question::{Attempt, Question, Step, Via, flag, write_key};
use super::response::{Malformed, Reply, is_about_the_name, parse};
use super::settings::Settings;
use super::stored::{Stored, question};
use super::{Engine, Output};

/// How long a failure is kept when all resolvers answered with an error, in seconds (RFC 9520 section 3.2).
pub const ERROR_TTL: u32 = 5;
/// How long a failure is kept when none answered, in seconds.
pub const TIMEOUT_TTL: u32 = 1;

/// What a reply leads to.
enum Next {
    Answer(Stored),
    /// A is asked, for AAAA records that live for no longer than `cap` seconds.
    Synthesis {
        cap: u32,
        fallback: Option<Stored>,
    },
    Aaaa,
}

impl Engine {
    /// Asks the first upstream question of a new question.
    pub(super) fn begin(&mut self, number: u32, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        let (name, qtype) = question.wanted();
        let name: Box<[u8]> = name.into();
        let settings = &self.settings;
        let synthesis = question.flags() & flag::SYNTHESIS != 0;
        let covered = |names: &[super::Domain]| names.iter().any(|domain| domain.covers(&name));
        if synthesis
            && qtype == rtype::PTR
            && let Some(address) = reverse(&name, settings)
        {
            let target = in_addr_arpa(address);
            question.begin(Step::Reverse, target.into(), rtype::PTR, question.until);
            return self.ask_reverse(number, now);
        }
        if synthesis && qtype == rtype::AAAA && !settings.prefixes.is_empty() && !covered(&settings.exclude_names) {
            if covered(&settings.always_names) {
                return self.ask_a(number, SYNTHESISED_TTL, None, true, now);
            }
            // The A question needs time, too.
            let until = now + settings.timeout * 3 / 5;
            question.begin(Step::Aaaa, name, rtype::AAAA, until);
        } else {
            question.begin(Step::Pass, name, qtype, question.until);
        }
        self.pump(number, now);
    }

    fn ask_reverse(&mut self, number: u32, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        match local::answer(&question.name, rtype::PTR, true, &self.settings) {
            Some(stored) => self.reply_or_fail(number, &stored.message(0), now),
            None => self.pump(number, now),
        }
    }

    /// Asks A, unless it is known.
    fn ask_a(&mut self, number: u32, cap: u32, fallback: Option<Stored>, aaaa_after: bool, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        let name: Box<[u8]> = question.wanted().0.into();
        let key = a_key(question);
        question.begin(Step::Synthesis { cap, fallback, aaaa_after }, name, rtype::A, question.until);
        match self.cache.get(&key, now) {
            Some((stored, age)) if is_about_the_name(stored.rcode) => {
                let message = stored.message(age);
                self.reply_or_fail(number, &message, now);
            }
            _ => self.pump(number, now),
        }
    }

    /// Takes a reply that is ours and so must be sound.
    fn reply_or_fail(&mut self, number: u32, message: &[u8], now: Instant) {
        if self.step_reply(number, message, true, now).is_err() {
            self.finish_failed(number, ERROR_TTL, now);
        }
    }

    /// The reply to the upstream question of the step came; `known`: out of the cache.
    pub(super) fn step_reply(
        &mut self,
        number: u32,
        message: &[u8],
        known: bool,
        now: Instant,
    ) -> Result<(), Malformed> {
        let Some(question) = self.questions.get(number) else { return Ok(()) };
        let reply = parse(message, &question.name, question.qtype)?;
        if reply.is_referral() {
            return Err(Malformed);
        }
        let settings = &self.settings;
        if let (Step::Synthesis { .. }, false) = (&question.step, known) {
            let key = a_key(question);
            let build = Build { name: &question.name, qtype: rtype::A, alias: None, finals: Finals::Same, settings };
            self.cache.insert(&key, build.build(&reply).ok_or(Malformed)?, now);
        }
        let next = next(question, &reply, settings).ok_or(Malformed)?;
        match &question.step {
            Step::Synthesis { .. } if reply.has_usable_a(settings) => self.stats.synthesised += 1,
            Step::Reverse => self.stats.reverse += 1,
            _ => {}
        }
        match next {
            Next::Answer(stored) => self.finish(number, stored, now),
            Next::Synthesis { cap, fallback } => {
                self.forget_attempts(number);
                self.ask_a(number, cap, fallback, false, now);
            }
            Next::Aaaa => {
                self.forget_attempts(number);
                let Some(question) = self.questions.get(number) else { return Ok(()) };
                let name = question.wanted().0.into();
                question.begin(Step::Pass, name, rtype::AAAA, question.until);
                self.pump(number, now);
            }
        }
        Ok(())
    }

    /// No resolver gave an answer that is one.
    pub(super) fn step_failed(&mut self, number: u32, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        let ttl = if question.given_up == 0 { TIMEOUT_TTL } else { ERROR_TTL };
        // Other response codes and timeouts count as an empty answer (RFC 6147 sections 5.1.2 and 5.1.3).
        if matches!(question.step, Step::Aaaa) && now < question.until && !self.upstream.servers.is_empty() {
            self.forget_attempts(number);
            return self.ask_a(number, SYNTHESISED_TTL, None, false, now);
        }
        self.finish_failed(number, ttl, now);
    }

    /// Tells all who wait that it failed, and keeps that for `ttl` seconds.
    pub(super) fn finish_failed(&mut self, number: u32, ttl: u32, now: Instant) {
        let Some(question) = self.questions.get(number) else { return };
        let (name, qtype) = question.wanted();
        let stored = failure(name, qtype, ttl);
        self.stats.failed += question.waiters.len() as u64;
        self.finish(number, stored, now);
    }

    /// Answers all who wait, and keeps the answer.
    fn finish(&mut self, number: u32, stored: Stored, now: Instant) {
        self.forget_attempts(number);
        let Some(question) = self.questions.remove(number) else { return };
        for waiter in &question.waiters {
            let mut bytes = Vec::with_capacity(stored.bytes.len() + 16);
            stored.emit(&waiter.asked(), 0, &mut bytes);
            self.stats.answers += 1;
            self.stats.truncated += u64::from(bytes.get(2).is_some_and(|flags| flags & 2 != 0));
            self.limits.leave(waiter.prefix);
            self.output.push_back(Output::Answer { client: waiter.client, bytes });
        }
        self.cache.insert(&question.key, stored, now);
    }

    /// Gives up what is under way for a question; answers that still come are known to be late.
    pub(super) fn forget_attempts(&mut self, number: u32) {
        let Some(question) = self.questions.get(number) else { return };
        for Attempt { via, .. } in std::mem::take(&mut question.attempts) {
            self.forget(via, Lost::GivenUp);
        }
    }

    pub(super) fn forget(&mut self, via: Via, lost: Lost) {
        match via {
            Via::Slot { slot, id } => self.upstream.release(slot, id, lost == Lost::GivenUp, &mut self.output),
            Via::Tcp(query) => {
                if self.tcp.remove(&query).is_some() && lost == Lost::GivenUp {
                    self.output.push_back(Output::CancelTcp { query });
                }
            }
        }
    }
}

/// What follows from a reply to the step of a question.
fn next(question: &Question, reply: &Reply<'_>, settings: &Settings) -> Option<Next> {
    let (name, qtype) = question.wanted();
    let build = |finals| Build { name, qtype, alias: None, finals, settings }.build(reply);
    let next = match &question.step {
        Step::Pass => Next::Answer(build(Finals::Same)?),
        // RFC 6147 section 5.1.2: there is no such name.
        Step::Aaaa if reply.rcode == rcode::NXDOMAIN => Next::Answer(build(Finals::Same)?),
        Step::Aaaa if reply.has_usable_aaaa(settings) && reply.has_only_usable_aaaa(settings) => {
            Next::Answer(build(Finals::Same)?)
        }
        Step::Aaaa if reply.has_usable_aaaa(settings) => Next::Answer(build(Finals::WithoutExcluded)?),
        Step::Aaaa => {
            let cap = if reply.has_aaaa() { None } else { reply.negative_ttl };
            Next::Synthesis { cap: cap.unwrap_or(SYNTHESISED_TTL), fallback: build(Finals::Nothing) }
        }
        Step::Synthesis { cap, .. } if reply.has_usable_a(settings) => Next::Answer(build(Finals::Synthesised(*cap))?),
        Step::Synthesis { aaaa_after: true, .. } => Next::Aaaa,
        Step::Synthesis { fallback: Some(fallback), .. } if reply.has_a() => Next::Answer(fallback.clone()),
        // RFC 6147 section 5.1.6: the empty answer or the error is the basis.
        Step::Synthesis { .. } => Next::Answer(build(Finals::Nothing)?),
        Step::Reverse => {
            let build = Build { name, qtype, alias: Some(&question.name), finals: Finals::Same, settings };
            Next::Answer(build.build(reply)?)
        }
    };
    Some(next)
}

/// The IPv4 address whose reverse name this is by one of the prefixes.
fn reverse(name: &[u8], settings: &Settings) -> Option<Ipv4Addr> {
    let address = ip6_arpa(name)?;
    let found = settings.prefixes.iter().find_map(|prefix| prefix.extract(address))?;
    settings.is_usable_a(found).then_some(found)
}

/// The key of the A records of the name that is asked.
fn a_key(question: &Question) -> Key {
    let (name, _) = question.wanted();
    let mut key = Vec::with_capacity(name.len() + 3);
    write_key(&mut key, name, rtype::A, question.flags() & !flag::SYNTHESIS);
    key.into()
}

/// The answer that there was none.
fn failure(name: &[u8], qtype: u16, ttl: u32) -> Stored {
    let mut bytes = vec![0; HEADER];
    bytes.extend(question(name, qtype));
    let end = bytes.len();
    Stored {
        bytes: bytes.into(),
        ttls: Box::default(),
        counts: [0; 3],
        ends: [end; 3],
        rcode: rcode::SERVFAIL,
        authentic: false,
        lifetime: ttl,
    }
}
