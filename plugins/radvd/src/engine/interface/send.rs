//! Sending of one interface: what each timer does when it fires, and the cached bytes.
//!
//! Multicast advertisements schedule their successor (RFC 4861 section 6.2.4); final ones count down to the end
//! (section 6.2.5). When to set a timer for another reason is decided in `interface.rs` and `receive.rs`.

use super::super::advertisement::{Kind, build};
use super::super::output::Output;
use super::super::timers::Timer;
use super::super::types::Transmit;
use super::{CACHE_TIME, Cache, FINAL_INTERVAL, Interface, MAX_INITIAL_RTR_ADVERT_INTERVAL, random};
use crate::time::Instant;
use portreeve_packet::nd::ALL_NODES;
use std::net::Ipv6Addr;

impl Interface {
    /// Fires every timer that is due; early calls do nothing.
    pub(in crate::engine) fn handle_timeout(&mut self, now: Instant, out: &mut Output) {
        while !out.is_full()
            && let Some(timer) = self.timers.take_due(now)
        {
            match timer {
                Timer::Multicast => self.send_multicast(now, out),
                Timer::Unicast => self.send_delayed(now, out),
                Timer::Final => self.send_final(now, out),
            }
        }
    }

    fn send_multicast(&mut self, now: Instant, out: &mut Output) {
        let Some(config) = self.config.clone() else { return };
        self.queue_cached(ALL_NODES, now, out);
        self.counters.multicast_sent += 1;
        self.last_multicast = Some(now);
        self.initial_left = self.initial_left.saturating_sub(1);
        if self.withdrawn.advertised(now) {
            self.cache = None;
        }
        let mut interval = random(config.min_interval, config.max_interval, out);
        if self.initial_left > 0 {
            // Not all at the very maximum: a thousand interfaces that start together would stay together.
            let spread = MAX_INITIAL_RTR_ADVERT_INTERVAL - MAX_INITIAL_RTR_ADVERT_INTERVAL / 4;
            interval = interval.min(random(spread, MAX_INITIAL_RTR_ADVERT_INTERVAL, out));
        }
        let at = now + interval.max(config.min_delay_between_ras);
        self.timers.set(Timer::Multicast, Some(at));
    }

    pub(super) fn send_unicast(&mut self, destination: Ipv6Addr, now: Instant, out: &mut Output) {
        if out.is_full() {
            self.counters.queue_full += 1;
            return;
        }
        self.queue_cached(destination, now, out);
        self.counters.unicast_sent += 1;
    }

    fn send_delayed(&mut self, now: Instant, out: &mut Output) {
        while let Some((at, destination)) = self.delayed.first().copied() {
            if at > now {
                self.timers.set(Timer::Unicast, Some(at));
                break;
            }
            self.delayed.pop_first();
            self.send_unicast(destination, now, out);
        }
    }

    fn send_final(&mut self, now: Instant, out: &mut Output) {
        let Some(content) = self.content.as_ref().filter(|_| self.final_left > 0) else {
            self.drain();
            return;
        };
        let kind = Kind::Final { deprecate: self.final_deprecates };
        let packets = build(content, &self.withdrawn, kind, self.link.mtu, now);
        self.queue(&packets, ALL_NODES, now, out);
        self.counters.multicast_sent += 1;
        self.last_multicast = Some(now);
        self.final_left -= 1;
        self.timers.set(Timer::Final, Some(now + FINAL_INTERVAL));
    }

    fn queue_cached(&mut self, destination: Ipv6Addr, now: Instant, out: &mut Output) {
        let Some(content) = &self.content else { return };
        let runs = content.runs() || self.withdrawn.runs();
        let cache = match self.cache.take() {
            Some(cache) if !runs || now.since(cache.built) < CACHE_TIME => cache,
            _ => {
                let packets = build(content, &self.withdrawn, Kind::Normal, self.link.mtu, now);
                Cache { packets, built: now }
            }
        };
        self.queue(&cache.packets, destination, now, out);
        self.cache = Some(cache);
        self.announced = true;
    }

    fn queue(&mut self, packets: &[Vec<u8>], destination: Ipv6Addr, now: Instant, out: &mut Output) {
        let Some(source) = self.source else { return };
        self.last_sent = Some(now);
        let interface_index = self.link.index;
        let transmit = |bytes: &Vec<u8>| Transmit { interface_index, source, destination, bytes: bytes.clone() };
        out.transmits.extend(packets.iter().map(transmit));
    }
}
