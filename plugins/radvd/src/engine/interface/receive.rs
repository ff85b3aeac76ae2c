//! Receiving of one interface: solicitations to answer, advertisements of other routers to compare.
//!
//! Everything here is caused by whoever is on the link, so every path is bounded: invalid messages are counted, unicast
//! answers go through the limiter, multicast answers coalesce, reports are rate-limited.

use super::super::limit::{Limiter, Verdict};
use super::super::output::Output;
use super::super::routers::compare;
use super::super::state::State;
use super::super::timers::Timer;
use super::super::types::{Event, Received};
use super::{Interface, MAX_DELAYED_ANSWERS, MAX_RA_DELAY_TIME, random};
use crate::config::InterfaceConfig;
use crate::time::Instant;
use core::time::Duration;
use portreeve_packet::icmpv6::{ROUTER_ADVERTISEMENT, ROUTER_SOLICITATION};
use portreeve_packet::nd::{validate_ra, validate_rs};
use std::net::Ipv6Addr;

impl Interface {
    /// A message was received on this interface.
    pub(in crate::engine) fn handle_packet(&mut self, received: &Received<'_>, now: Instant, out: &mut Output) {
        // Our own multicast may be looped back.
        if self.state == State::Idle || Some(received.source) == self.source {
            return;
        }
        if received.source.is_multicast() {
            self.counters.invalid.source += 1;
            return;
        }
        match received.bytes.first() {
            Some(&ROUTER_SOLICITATION) => match validate_rs(received.bytes, received.hop_limit, received.source) {
                Ok(_) => self.handle_solicitation(received.source, now, out),
                Err(error) => self.counters.invalid.count_rs(error),
            },
            Some(&ROUTER_ADVERTISEMENT) => self.handle_advertisement(received, now, out),
            Some(_) => self.counters.invalid.other_type += 1,
            None => self.counters.invalid.too_short += 1,
        }
    }

    /// RFC 4861 section 6.2.6.
    fn handle_solicitation(&mut self, asking: Ipv6Addr, now: Instant, out: &mut Output) {
        self.counters.solicitations += 1;
        let Some(config) = self.config.clone().filter(|_| self.state == State::Advertising) else { return };
        if asking.is_unspecified() || !config.solicited_unicast {
            self.answer_by_multicast(&config, now, out);
            return;
        }
        let limiter = self.limiter.get_or_insert_with(|| Limiter::new(out.rng.u64(..), now));
        match limiter.ask(asking, now) {
            Verdict::SourceLimited => self.counters.solicitations_limited += 1,
            Verdict::InterfaceLimited => self.answer_by_multicast(&config, now, out),
            Verdict::Allowed if !config.strict_rs_delay => self.send_unicast(asking, now, out),
            Verdict::Allowed if self.delayed.iter().any(|(_, waiting)| *waiting == asking) => {}
            Verdict::Allowed if self.delayed.len() >= MAX_DELAYED_ANSWERS => {
                self.answer_by_multicast(&config, now, out);
            }
            Verdict::Allowed => {
                let at = now + random(Duration::ZERO, MAX_RA_DELAY_TIME, out);
                self.delayed.insert((at, asking));
                self.timers.set_earlier(Timer::Unicast, at);
            }
        }
    }

    /// Several solicitations coalesce into one advertisement, and never closer than the minimum delay.
    fn answer_by_multicast(&mut self, config: &InterfaceConfig, now: Instant, out: &mut Output) {
        if config.unicast_only {
            self.counters.solicitations_limited += 1;
            return;
        }
        let at = self.earliest_multicast(config, now) + random(Duration::ZERO, MAX_RA_DELAY_TIME, out);
        self.timers.set_earlier(Timer::Multicast, at);
    }

    /// RFC 4861 section 6.2.7.
    fn handle_advertisement(&mut self, received: &Received<'_>, now: Instant, out: &mut Output) {
        let advertisement = match validate_ra(received.bytes, received.hop_limit, received.source) {
            Ok(advertisement) => advertisement,
            Err(error) => {
                self.counters.invalid.count_ra(error);
                return;
            }
        };
        self.counters.advertisements_heard += 1;
        let ours = self.content.as_ref().filter(|_| self.state == State::Advertising);
        let inconsistencies = ours.map(|ours| compare(ours, &advertisement, now)).unwrap_or_default();
        if !inconsistencies.is_empty() {
            self.counters.inconsistent += 1;
        }
        let (name, router) = (self.link.name.clone(), received.source);
        let heard = self.routers.hear(router, !inconsistencies.is_empty(), now);
        if heard.new {
            out.event(Event::RouterFound { name: name.clone(), router });
        }
        if heard.report {
            out.event(Event::InconsistentRouter { name, router, inconsistencies });
        }
    }
}
