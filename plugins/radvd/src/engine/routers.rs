//! The other routers of a link, and whether they contradict us (RFC 4861 section 6.2.7).
//!
//! A contradiction is counted each time and reported once per router and [`REPORT_INTERVAL`], since whoever is on the
//! link can cause it.

use super::content::Content;
use super::types::Inconsistency;
use crate::time::Instant;
use core::time::Duration;
use portreeve_config::Ipv6Prefix;
use portreeve_packet::nd::{NdOption, PrefixInformation, RouterAdvertisement};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// Routers remembered per interface. When full, one whose silence is longer than [`FORGET_AFTER`] gives way; without
/// such a one a new router is compared but neither listed nor reported.
pub const MAX_ROUTERS: usize = 32;
/// A router not heard for this long is forgotten: the longest router lifetime (RFC 4861 section 4.2).
pub const FORGET_AFTER: Duration = Duration::from_secs(9000);
/// One report of contradictions per router and this time.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy)]
struct Router {
    heard: Instant,
    reported: Option<Instant>,
}

/// What to tell of one received advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    /// It is a router not heard before.
    pub(super) new: bool,
    /// Its contradictions may be reported now.
    pub(super) report: bool,
}

/// The other routers of one interface.
#[derive(Debug, Clone, Default)]
pub(super) struct Routers {
    known: BTreeMap<Ipv6Addr, Router>,
}

impl Routers {
    /// Notes that `router` was heard; `inconsistent`: it contradicts us.
    pub(super) fn hear(&mut self, router: Ipv6Addr, inconsistent: bool, now: Instant) -> Heard {
        let new = !self.known.contains_key(&router);
        if new && self.known.len() >= MAX_ROUTERS {
            self.known.retain(|_, known| now.since(known.heard) < FORGET_AFTER);
            if self.known.len() >= MAX_ROUTERS {
                return Heard { new: false, report: false };
            }
        }
        let known = self.known.entry(router).or_insert(Router { heard: now, reported: None });
        known.heard = now;
        let report = inconsistent && known.reported.is_none_or(|at| now.since(at) >= REPORT_INTERVAL);
        if report {
            known.reported = Some(now);
        }
        Heard { new, report }
    }

    /// The routers heard lately.
    pub(super) fn addresses(&self, now: Instant) -> impl Iterator<Item = Ipv6Addr> {
        self.known.iter().filter(move |(_, router)| now.since(router.heard) < FORGET_AFTER).map(|(address, _)| *address)
    }
}

/// Everything in which `theirs` contradicts `ours`; a value of zero means "unspecified" and contradicts nothing.
pub(super) fn compare(ours: &Content, theirs: &RouterAdvertisement, now: Instant) -> Vec<Inconsistency> {
    let mut found = Vec::new();
    let header = &ours.header;
    if differ(header.hop_limit.into(), theirs.hop_limit.into()) {
        found.push(Inconsistency::HopLimit { ours: header.hop_limit, theirs: theirs.hop_limit });
    }
    if header.managed != theirs.managed {
        found.push(Inconsistency::Managed { ours: header.managed, theirs: theirs.managed });
    }
    if header.other_config != theirs.other_config {
        found.push(Inconsistency::OtherConfig { ours: header.other_config, theirs: theirs.other_config });
    }
    if differ(header.reachable_time, theirs.reachable_time) {
        found.push(Inconsistency::ReachableTime { ours: header.reachable_time, theirs: theirs.reachable_time });
    }
    if differ(header.retrans_timer, theirs.retrans_timer) {
        found.push(Inconsistency::RetransTimer { ours: header.retrans_timer, theirs: theirs.retrans_timer });
    }
    for option in &theirs.options {
        match option {
            NdOption::Mtu(theirs) => {
                if let Some(ours) = ours.mtu.filter(|ours| ours != theirs) {
                    found.push(Inconsistency::Mtu { ours, theirs: *theirs });
                }
            }
            NdOption::PrefixInformation(prefix) => compare_prefix(ours, prefix, now, &mut found),
            _ => {}
        }
    }
    found
}

fn differ(ours: u32, theirs: u32) -> bool {
    ours != 0 && theirs != 0 && ours != theirs
}

fn compare_prefix(content: &Content, theirs: &PrefixInformation, now: Instant, found: &mut Vec<Inconsistency>) {
    let prefix = Ipv6Prefix::containing(theirs.prefix, theirs.prefix_length);
    let Some(ours) = content.prefixes.iter().find(|p| p.prefix == prefix) else { return };
    // Lifetimes that run are never exactly equal, so they are not compared (section 6.2.7 allows for that).
    let valid = ours.valid.at(now).wire();
    if ours.valid.ends.is_none() && valid != theirs.valid_lifetime {
        found.push(Inconsistency::ValidLifetime { prefix, ours: valid, theirs: theirs.valid_lifetime });
    }
    let preferred = ours.preferred.at(now).wire();
    if ours.preferred.ends.is_none() && preferred != theirs.preferred_lifetime {
        found.push(Inconsistency::PreferredLifetime { prefix, ours: preferred, theirs: theirs.preferred_lifetime });
    }
}
