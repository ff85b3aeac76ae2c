//! One interface: when it sends what (RFC 4861 sections 6.2.2 to 6.2.8).
//!
//! Owns the link's state, the timers and counters; decides what a change of link, of configuration or of what is
//! published means. What timers do is in `interface/send.rs`, what peers cause in `interface/receive.rs`, what people
//! see in `interface/status.rs`; what an advertisement contains in `content.rs`, its bytes in `advertisement.rs`. The
//! bytes are kept until something changes, so that answering a solicitation costs a copy. Every entry point takes `now`
//! and the shared [`Output`].

mod receive;
mod send;
mod status;

use super::content::{Anchors, Content, source};
use super::limit::Limiter;
use super::output::Output;
use super::published::Offer;
use super::routers::Routers;
use super::state::{Input, State};
use super::timers::{Timer, Timers};
use super::types::{Counters, Event, LinkState};
use super::withdrawn::Withdrawn;
use crate::config::InterfaceConfig;
use crate::time::Instant;
use core::time::Duration;
use portreeve_config::Ipv6Prefix;
use status::public;
use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// RFC 4861 section 10.
pub const MAX_INITIAL_RTR_ADVERTISEMENTS: u8 = 3;
/// RFC 4861 section 10.
pub const MAX_INITIAL_RTR_ADVERT_INTERVAL: Duration = Duration::from_secs(16);
/// Advertisements that could not be sent are made up for within this time, spread evenly.
const RETRY_SPREAD: Duration = Duration::from_secs(1);
/// RFC 4861 section 10.
pub const MAX_FINAL_RTR_ADVERTISEMENTS: u8 = 3;
/// RFC 4861 section 10.
pub const MAX_RA_DELAY_TIME: Duration = Duration::from_millis(500);
/// Between two final advertisements. RFC 4861 section 6.2.6 would have them 3 s apart, but nobody waits 6 s for a
/// router to stop; with this, an interface is drained 450 ms after it was taken out.
pub const FINAL_INTERVAL: Duration = Duration::from_millis(150);
/// Unicast answers that wait with `strict_rs_delay`; a further one becomes part of a multicast answer.
pub const MAX_DELAYED_ANSWERS: usize = 64;
/// How old cached bytes may get while a lifetime in them runs: the unit of lifetimes.
const CACHE_TIME: Duration = Duration::from_secs(1);
/// One report of failed transmissions per this time.
const ERROR_REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The packets of the present advertisement.
#[derive(Debug)]
struct Cache {
    packets: Vec<Vec<u8>>,
    built: Instant,
}

#[derive(Debug)]
pub(super) struct Interface {
    link: LinkState,
    /// When `link` was told: its address lifetimes count from here.
    link_at: Instant,
    /// What is published for it.
    offer: Offer,
    /// And what of that is advertised, as reported last.
    taken: Offer,
    config: Option<Arc<InterfaceConfig>>,
    state: State,
    timers: Timers,
    initial_left: u8,
    final_left: u8,
    final_deprecates: bool,
    source: Option<Ipv6Addr>,
    /// What is advertised, or was when the link went down.
    content: Option<Content>,
    /// Some advertisement went out since the interface was configured.
    announced: bool,
    withdrawn: Withdrawn,
    anchors: Anchors,
    cache: Option<Cache>,
    limiter: Option<Limiter>,
    delayed: BTreeSet<(Instant, Ipv6Addr)>,
    routers: Routers,
    counters: Counters,
    last_multicast: Option<Instant>,
    last_sent: Option<Instant>,
    error_reported: Option<Instant>,
}

impl Interface {
    pub(super) fn new(link: LinkState, now: Instant) -> Self {
        Self {
            link,
            link_at: now,
            offer: Offer::default(),
            taken: Offer::default(),
            config: None,
            state: State::Idle,
            timers: Timers::default(),
            initial_left: 0,
            final_left: 0,
            final_deprecates: false,
            source: None,
            content: None,
            announced: false,
            withdrawn: Withdrawn::default(),
            anchors: Anchors::default(),
            cache: None,
            limiter: None,
            delayed: BTreeSet::new(),
            routers: Routers::default(),
            counters: Counters::default(),
            last_multicast: None,
            last_sent: None,
            error_reported: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.link.name
    }

    /// Whether there is nothing to do: not configured, no final advertisements left.
    pub(super) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether final advertisements are going out.
    pub(super) fn takes_leave(&self) -> bool {
        self.state == State::Stopping
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The link is now `link`, with this on offer and this configuration. When all is as before, nothing happens.
    pub(super) fn set(
        &mut self,
        link: LinkState,
        offer: Offer,
        config: Option<Arc<InterfaceConfig>>,
        now: Instant,
        out: &mut Output,
    ) {
        let reset = link != self.link || has_lifetimes(&link);
        if !reset && offer == self.offer && config == self.config {
            return;
        }
        self.link = link;
        self.link_at = now;
        self.offer = offer;
        self.configure(config, now, out);
    }

    /// This is published for the interface now.
    pub(super) fn set_offer(&mut self, offer: Offer, now: Instant, out: &mut Output) {
        if offer != self.offer {
            self.offer = offer;
            self.configure(self.config.clone(), now, out);
        }
    }

    /// The configuration is now `config`; `None` takes the interface out and deprecates its prefixes.
    pub(super) fn set_config(&mut self, config: Option<Arc<InterfaceConfig>>, now: Instant, out: &mut Output) {
        if config != self.config {
            self.configure(config, now, out);
        }
    }

    /// The router stops: final advertisements without deprecating the prefixes, which another router or the next
    /// start may go on with.
    pub(super) fn stop(&mut self, now: Instant, out: &mut Output) {
        let advertising = self.state == State::Advertising;
        self.configure(None, now, out);
        // Final advertisements that are already under way say what they said.
        self.final_deprecates &= !advertising;
    }

    fn configure(&mut self, config: Option<Arc<InterfaceConfig>>, now: Instant, out: &mut Output) {
        let finals = self.config.as_ref().is_some_and(|c| c.final_advertisements && !c.unicast_only) && self.announced;
        self.config = config;
        let usable = source(&self.link, self.source);
        let input = match (&self.config, self.link.running, usable) {
            (Some(_), false, _) => Input::NoCarrier,
            (Some(_), true, None) => Input::NoAddress,
            (Some(_), true, Some(_)) => Input::Able,
            (None, true, Some(_)) => Input::Withdrawn,
            (None, ..) if matches!(self.state, State::Stopping) => Input::Drained,
            (None, ..) => Input::Withdrawn,
        };
        let before = self.state;
        self.state = before.next(input);
        match (before, self.state) {
            (State::Advertising, State::Advertising) => self.refresh(usable, now, out),
            (_, State::Advertising) => self.begin(usable, now, out),
            (State::Advertising, State::Stopping) => {
                self.withdraw(finals && usable.is_some() && self.link.running, now, out)
            }
            (State::Advertising, state) => {
                self.timers.clear();
                self.delayed.clear();
                self.report(state, out);
            }
            (State::Stopping, State::Stopping) => {}
            (_, State::Idle) => self.forget(),
            (State::Idle, _) => {}
            (State::Stopping, _) => self.forget(),
            (State::WaitingForCarrier | State::WaitingForAddress, _) => {}
        }
    }

    /// Becomes an advertising interface: the first advertisement goes out at once (RFC 4861 section 6.2.4).
    fn begin(&mut self, source: Option<Ipv6Addr>, now: Instant, out: &mut Output) {
        self.timers.clear();
        if let Some(source) = source {
            out.event(Event::Advertising { name: self.link.name.clone(), source });
            if self.link.forwarding_off {
                out.event(Event::NotForwarding { name: self.link.name.clone() });
            }
        }
        self.source = source;
        self.renew(now, out);
        self.advertise_soon(now);
    }

    /// Something about the link or the configuration may have changed.
    fn refresh(&mut self, source: Option<Ipv6Addr>, now: Instant, out: &mut Output) {
        let moved = source != self.source;
        self.source = source;
        let changed = self.renew(now, out);
        if moved || changed {
            self.advertise_soon(now);
        } else {
            self.fit_timer(now, out);
        }
    }

    /// Resolves the content again; whether hosts would learn something new.
    fn renew(&mut self, now: Instant, out: &mut Output) -> bool {
        let Some(config) = &self.config else { return false };
        let taken = self.offer.taken(config);
        if taken != self.taken {
            let Offer { nat64_prefixes, servers } = taken.clone();
            out.event(Event::Published { name: self.link.name.clone(), nat64_prefixes, servers });
            self.taken = taken;
        }
        let new = Content::resolve(config, &self.link, self.link_at, &self.taken, &mut self.anchors, now);
        self.cache = None;
        let old = self.content.replace(new);
        let (Some(new), name) = (&self.content, &self.link.name) else { return false };
        if let Some(configured) =
            config.mtu.filter(|_| new.mtu.is_none() && old.as_ref().is_none_or(|o| o.mtu.is_some()))
        {
            out.event(Event::MtuExceedsLink { name: name.clone(), configured, link: self.link.mtu });
        }
        let has = |content: &Content, prefix: Ipv6Prefix| content.prefixes.iter().any(|p| p.prefix == prefix);
        for prefix in new.prefixes.iter().map(|p| p.prefix) {
            if !old.as_ref().is_some_and(|old| has(old, prefix)) {
                out.event(Event::PrefixAdded { name: name.clone(), prefix });
            }
        }
        let Some(old) = old else { return true };
        for prefix in old.prefixes.iter().map(|p| p.prefix).filter(|prefix| !has(new, *prefix)) {
            out.event(Event::PrefixRemoved { name: name.clone(), prefix });
        }
        if self.announced {
            self.withdrawn.update(&old, new, now);
        }
        !old.says_the_same(new, now)
    }

    /// Starts the rhythm of initial advertisements (RFC 4861 section 6.2.4), the minimum delay respected.
    fn advertise_soon(&mut self, now: Instant) {
        let Some(config) = &self.config else { return };
        self.initial_left = MAX_INITIAL_RTR_ADVERTISEMENTS;
        let at = (!config.unicast_only).then(|| self.earliest_multicast(config, now));
        self.timers.set(Timer::Multicast, at);
    }

    /// A timer that was set by another configuration is brought within the bounds of this one.
    fn fit_timer(&mut self, now: Instant, out: &mut Output) {
        let Some(config) = &self.config else { return };
        if config.unicast_only {
            self.timers.set(Timer::Multicast, None);
            return;
        }
        let earliest = self.earliest_multicast(config, now);
        let latest = self.last_multicast.unwrap_or(now) + config.max_interval;
        match self.timers.get(Timer::Multicast) {
            Some(at) if at <= latest.max(earliest) => self.timers.set(Timer::Multicast, Some(at.max(earliest))),
            _ => {
                let at = earliest.max(now + random(config.min_interval, config.max_interval, out));
                self.timers.set(Timer::Multicast, Some(at));
            }
        }
    }

    fn earliest_multicast(&self, config: &InterfaceConfig, now: Instant) -> Instant {
        self.last_multicast.map_or(now, |last| now.max(last + config.min_delay_between_ras))
    }

    /// No longer configured: final advertisements (RFC 4861 section 6.2.5), then idle.
    fn withdraw(&mut self, finals: bool, now: Instant, out: &mut Output) {
        self.timers.clear();
        self.delayed.clear();
        self.cache = None;
        self.report(State::Stopping, out);
        self.final_left = if finals { MAX_FINAL_RTR_ADVERTISEMENTS } else { 0 };
        self.final_deprecates = true;
        self.timers.set(Timer::Final, Some(now));
        if !finals {
            self.drain();
        }
    }

    fn drain(&mut self) {
        self.state = self.state.next(Input::Drained);
        if self.state == State::Idle {
            self.forget();
        }
    }

    /// What must not outlive the configuration. The last multicast time stays: the minimum delay is the link's.
    fn forget(&mut self) {
        self.timers.clear();
        self.delayed.clear();
        self.content = None;
        self.cache = None;
        self.announced = false;
        self.withdrawn = Withdrawn::default();
        self.anchors.clear();
        self.source = None;
        self.taken = Offer::default();
    }

    fn report(&self, state: State, out: &mut Output) {
        if let Some(state) = public(state) {
            out.event(Event::NotAdvertising { name: self.link.name.clone(), state });
        }
    }

    /// A packet could not be sent. A host asks again by itself; an advertisement to all is made up for as soon as
    /// the minimum delay allows, since the next regular one may be minutes away.
    pub(super) fn handle_transmit_error(&mut self, destination: Ipv6Addr, now: Instant, out: &mut Output) {
        self.counters.transmit_errors += 1;
        if let (Some(config), Some(at)) = (&self.config, self.timers.get(Timer::Multicast))
            && destination.is_multicast()
        {
            let again = self.earliest_multicast(config, now) + random(Duration::ZERO, RETRY_SPREAD, out);
            self.timers.set(Timer::Multicast, Some(at.min(again)));
        }
        if self.error_reported.is_none_or(|at| now.since(at) >= ERROR_REPORT_INTERVAL) {
            self.error_reported = Some(now);
            let (name, total) = (self.link.name.clone(), self.counters.transmit_errors);
            out.event(Event::TransmitFailed { name, total });
        }
    }
}

/// Whether its lifetimes count from when it was told, so that even an equal one is news.
fn has_lifetimes(link: &LinkState) -> bool {
    link.addresses.iter().any(|a| a.valid_lifetime.is_some() || a.preferred_lifetime.is_some())
}

fn random(least: Duration, most: Duration, out: &mut Output) -> Duration {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(out.rng.u64(micros(least)..=micros(most.max(least))))
}
