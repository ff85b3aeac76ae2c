//! A client asks: policy, rate, our own names, the cache, and only then a question upstream.

use portreeve_packet::time::Instant;

use super::limit::Prefix;
use super::local;
use super::query::{self, CLASS_IN, Fault, Query, rcode, rtype};
use super::question::{MAX_WAITERS, Waiter, flag, write_key};
use super::settings::Policy;
use super::stored::{Asked, emit_fault};
use super::{Client, Engine, Output, Transport};

/// What became of a client's message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The answer is appended.
    Answered,
    /// A resolver is asked; the answer comes as [`Output::Answer`].
    Waiting,
    /// There will be no answer.
    Dropped,
}

impl Engine {
    /// Takes a client's message; its answer comes as [`Output::Answer`], now or later.
    pub fn handle_query(&mut self, client: &Client, message: &[u8], now: Instant) {
        let mut bytes = Vec::new();
        if self.handle_query_into(client, message, now, &mut bytes) == Taken::Answered {
            self.output.push_back(Output::Answer { client: *client, bytes });
        }
    }

    /// Takes a client's message and appends the answer to `out` if it is known at once. Without a length prefix, also for
    /// TCP.
    pub fn handle_query_into(&mut self, client: &Client, message: &[u8], now: Instant, out: &mut Vec<u8>) -> Taken {
        self.stats.queries += 1;
        self.stats.queries_tcp += u64::from(client.transport != Transport::Udp);
        // A socket for both families gives IPv4 clients as IPv4-mapped ones.
        let address = client.address.ip().to_canonical();
        let prefix = Prefix::of(address);
        if self.settings.rate.is_some_and(|rate| !self.limits.take(prefix, rate, now)) {
            self.stats.rate_limited += 1;
            return Taken::Dropped;
        }
        let query = match query::parse(message) {
            Ok(query) => query,
            Err(Fault::Silent) => {
                self.stats.not_a_query += 1;
                return Taken::Dropped;
            }
            Err(Fault::Answer { id, opcode, recursion_desired, rcode }) => {
                self.stats.malformed_query += 1;
                self.stats.answers += 1;
                emit_fault(id, opcode, recursion_desired, rcode, out);
                return Taken::Answered;
            }
        };
        let asked = Asked::new(&query, client.transport == Transport::Udp, self.settings.udp_size);
        let policy = self.settings.policy(address);
        if let Some(code) = refusal(&query, policy) {
            self.stats.refused += 1;
            return self.answer_empty(&asked, code, out);
        }
        if policy == Policy::AOnly && query.qtype == rtype::AAAA {
            self.stats.local += 1;
            return self.answer_empty(&asked, rcode::NOERROR, out);
        }
        let mut key = std::mem::take(&mut self.key);
        key.clear();
        let flags = key_flags(&query, policy);
        write_key(&mut key, query.name(), query.qtype, flags);
        let taken = self.answer(client, prefix, &asked, &query, policy, &key, now, out);
        self.key = key;
        taken
    }

    fn answer_empty(&mut self, asked: &Asked<'_>, code: u8, out: &mut Vec<u8>) -> Taken {
        self.stats.answers += 1;
        asked.emit_empty(code, out);
        Taken::Answered
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one question, taken apart once")]
    fn answer(
        &mut self,
        client: &Client,
        prefix: Prefix,
        asked: &Asked<'_>,
        query: &Query<'_>,
        policy: Policy,
        key: &[u8],
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Taken {
        if let Some((stored, age)) = self.cache.get(key, now) {
            self.stats.cache_hits += 1;
            self.stats.answers += 1;
            let start = out.len();
            stored.emit(asked, age, out);
            self.stats.truncated += u64::from(out.get(start + 2).is_some_and(|flags| flags & 2 != 0));
            return Taken::Answered;
        }
        let name = key.get(..query.name().len()).unwrap_or_default();
        if let Some(stored) = local::answer(name, query.qtype, policy == Policy::Full, &self.settings) {
            self.stats.local += 1;
            self.stats.answers += 1;
            stored.emit(asked, 0, out);
            return Taken::Answered;
        }
        if !query.recursion_desired {
            self.stats.refused += 1;
            return self.answer_empty(asked, rcode::REFUSED, out);
        }
        self.stats.cache_misses += 1;
        self.join_or_begin(client, prefix, asked, key, now)
    }

    fn join_or_begin(&mut self, client: &Client, prefix: Prefix, asked: &Asked<'_>, key: &[u8], now: Instant) -> Taken {
        let number = self.questions.find(key);
        if let Some(question) = number.and_then(|number| self.questions.get(number)) {
            if question.waiters.iter().any(|waiter| waiter.is_repeated(client, asked.id)) {
                self.stats.repeated += 1;
                return Taken::Waiting;
            }
            if question.waiters.len() >= MAX_WAITERS {
                self.stats.waiters_full += 1;
                return Taken::Dropped;
            }
        }
        let (max, share) = (self.settings.max_outstanding, self.settings.max_outstanding_per_client);
        if self.limits.waiting() >= max {
            self.stats.table_full += 1;
            return Taken::Dropped;
        }
        if !self.limits.enter(prefix, max, share) {
            self.stats.share_exceeded += 1;
            return Taken::Dropped;
        }
        let waiter = Waiter::new(*client, prefix, asked);
        if let Some(question) = number.and_then(|number| self.questions.get(number)) {
            self.stats.coalesced += 1;
            question.waiters.push(waiter);
        } else if let Some(number) = self.questions.insert(key, waiter, self.settings.timeout, now) {
            self.begin(number, now);
        }
        Taken::Waiting
    }
}

/// Why a question is not worked on.
fn refusal(query: &Query<'_>, policy: Policy) -> Option<u8> {
    if query.edns.is_some_and(|edns| edns.version != 0) {
        return Some(rcode::BADVERS);
    }
    // Types of requests and not of data (RFC 6895 section 3.1), zone transfers among them; ANY is data.
    let meta = matches!(query.qtype, 0 | rtype::OPT | rtype::TKEY..=rtype::MAILA);
    (policy == Policy::Refuse || query.qclass != CLASS_IN || meta).then_some(rcode::REFUSED)
}

/// The flags under which the answer is kept.
fn key_flags(query: &Query<'_>, policy: Policy) -> u8 {
    let dnssec_ok = if query.dnssec_ok() { flag::DNSSEC_OK } else { 0 };
    let checking_disabled = if query.checking_disabled { flag::CHECKING_DISABLED } else { 0 };
    // Who checks by itself must see what there is (RFC 6147 section 5.5).
    let checks = query.dnssec_ok() && query.checking_disabled;
    let synthesis = policy == Policy::Full && !checks && matches!(query.qtype, rtype::AAAA | rtype::PTR);
    dnssec_ok | checking_disabled | if synthesis { flag::SYNTHESIS } else { 0 }
}
