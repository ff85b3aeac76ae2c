//! Sources that cannot be: of another network than the zone's, without a way back, of this machine, in 6to4 of private IPv4.
//!
//! By zone, behind connection tracking. What has no source of its own yet (`::`, 0.0.0.0), what is of the link (fe80::/10),
//! errors of translators (RFC 7600) and the first answer of a DHCP server have no route to be asked for. Loopback addresses are only this machine's (RFC 4291 section 2.5.3, RFC 1122
//! section 3.2.1.3). The IPv4 addresses in those of 6to4 are those of RFC 3964 section 5.3.1, and no source is
//! IPv4-compatible or mapped.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Compiler;
use super::defaults::{family, link_local_range};
use super::matches::{Cond, ICMP, UDP, ranged};
use super::rules::is;
use super::value::{self, Span, Value};
use crate::config::{AntiSpoofing, Family, Zone};
use crate::ruleset::{ChainId, Selector, Statement, Test, Verdict};

const ACCEPT: Statement = Statement::Verdict(Verdict::Accept);
const DROP: Statement = Statement::Verdict(Verdict::Drop);

/// IPv4 that no tunnel of 6to4 leads to (RFC 3964 section 5.3.1), with the broadcast address in the last.
const NOT_GLOBAL: [([u8; 4], [u8; 4]); 8] = [
    ([0, 0, 0, 0], [0, 255, 255, 255]),
    ([10, 0, 0, 0], [10, 255, 255, 255]),
    ([127, 0, 0, 0], [127, 255, 255, 255]),
    ([169, 254, 0, 0], [169, 254, 255, 255]),
    ([172, 16, 0, 0], [172, 31, 255, 255]),
    ([192, 168, 0, 0], [192, 168, 255, 255]),
    ([224, 0, 0, 0], [239, 255, 255, 255]),
    ([240, 0, 0, 0], [255, 255, 255, 255]),
];

/// Where errors of translators come from that have no IPv4 address of their own (RFC 7600 section 4.8): no route leads there.
const DUMMY: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);
/// Unreachable, time exceeded, parameter problem (RFC 792).
const ERRORS: [u8; 3] = [3, 11, 12];

impl Compiler<'_> {
    /// Counted and dropped.
    fn spoofed(&mut self) -> Vec<Statement> {
        vec![Statement::Count(self.counter("dropped-spoofed")), DROP]
    }

    pub(super) fn spoofing(&mut self, chain: ChainId) {
        let lo = Test::Equal(Value::name(super::LOOPBACK).bytes().to_vec());
        self.push_rule(chain, vec![Statement::Match(Selector::InputInterface, lo), ACCEPT], "loopback");
        if self.config.defaults.loopback {
            for (of, source, destination, range) in [
                (Family::V4, Selector::Source4, Selector::Destination4, v4([127, 0, 0, 0], [127, 255, 255, 255])),
                (Family::V6, Selector::Source6, Selector::Destination6, v6(Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST)),
            ] {
                for selector in [source, destination] {
                    let conds: Vec<_> = [family(of)].into_iter().chain(ranged(selector, vec![range], false)).collect();
                    let dropped = self.spoofed();
                    self.default_rule(chain, &conds, dropped, "loopback addresses from elsewhere");
                }
            }
        }
        let config = self.config;
        let mut to = Vec::new();
        for (index, zone) in config.zones.iter().enumerate() {
            if zone.networks.is_empty() && zone.anti_spoofing == AntiSpoofing::Off && !zone.rfc3964 {
                continue;
            }
            let name = self.unique(format!("spoof-{}", zone.name));
            let of_zone = self.push_chain(name, None, zone.span);
            to.push((index, Verdict::Jump(of_zone)));
            self.networks(of_zone, zone);
            if zone.rfc3964 {
                let embedded = self.embedded();
                self.push_rule(of_zone, vec![Statement::Verdict(Verdict::Jump(embedded))], "RFC 3964");
            }
            let selector = match zone.anti_spoofing {
                AntiSpoofing::Strict => Selector::SourceRoutesBack,
                AntiSpoofing::Loose => Selector::SourceHasRoute,
                AntiSpoofing::Off => continue,
            };
            let unroutable = self.unroutable();
            let none = Statement::Match(selector, Test::Equal(vec![0]));
            let away = Statement::Verdict(Verdict::Goto(unroutable));
            self.push_rule(of_zone, vec![none, away], "RFC 3704: no route back");
        }
        self.dispatch(chain, Selector::InputInterface, &to, "sources of zones");
    }

    /// Sources outside of the zone's networks are dropped.
    fn networks(&mut self, chain: ChainId, zone: &Zone) {
        if zone.networks.is_empty() {
            return;
        }
        for (of, selector, name) in [(Family::V4, Selector::Source4, "IPv4"), (Family::V6, Selector::Source6, "IPv6")] {
            let mut ranges: Vec<Span> =
                zone.networks.iter().filter(|range| range.family() == of).map(value::addresses).collect();
            if ranges.is_empty() {
                let message =
                    format!("zone `{}` has networks, but none of {name}: {name} from it is dropped", zone.name);
                self.diagnostics.warning(zone.span, message);
            }
            ranges.extend(without_route(of));
            let conds: Vec<_> = [family(of)].into_iter().chain(ranged(selector, ranges, true)).collect();
            let dropped = self.spoofed();
            self.default_rule(chain, &conds, dropped, "not of the zone's networks");
        }
    }

    /// What leaves by a zone with tunnels of 6to4 or 6rd is checked as what comes in is (RFC 3964 section 5.1).
    pub(super) fn embedded_out(&mut self, chain: ChainId) {
        let config = self.config;
        let zones: Vec<usize> = (0..config.zones.len()).filter(|zone| config.zones[*zone].rfc3964).collect();
        if zones.is_empty() {
            return;
        }
        let embedded = self.embedded();
        let to: Vec<_> = zones.into_iter().map(|zone| (zone, Verdict::Jump(embedded))).collect();
        self.dispatch(chain, Selector::OutputInterface, &to, "RFC 3964");
    }

    /// The chain of RFC 3964's checks: the same for all zones, both ways.
    fn embedded(&mut self) -> ChainId {
        if let Some(chain) = self.embedded {
            return chain;
        }
        let name = self.unique("rfc3964".to_owned());
        let chain = self.push_chain(name, None, portreeve_config::Span::default());
        self.embedded = Some(chain);
        let six_to_four =
            v6(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), Ipv6Addr::new(0x2002, !0, !0, !0, !0, !0, !0, !0));
        let private: Vec<Span> = NOT_GLOBAL.iter().map(|(first, last)| v4(*first, *last)).collect();
        for (address, inner) in
            [(Selector::Source6, Selector::Source6Embedded4), (Selector::Destination6, Selector::Destination6Embedded4)]
        {
            let mut conds = vec![family(Family::V6)];
            conds.extend(ranged(address, vec![six_to_four], false));
            conds.extend(ranged(inner, private.clone(), false));
            let dropped = self.spoofed();
            self.default_rule(chain, &conds, dropped, "RFC 3964: IPv4 within 6to4");
        }
        // ::/96 but for the unspecified address, and ::ffff:0:0/96.
        let compatible = v6(Ipv6Addr::LOCALHOST, Ipv6Addr::new(0, 0, 0, 0, 0, 0, !0, !0));
        let mapped = v6(Ipv6Addr::new(0, 0, 0, 0, 0, !0, 0, 0), Ipv6Addr::new(0, 0, 0, 0, 0, !0, !0, !0));
        let conds: Vec<_> = [family(Family::V6)]
            .into_iter()
            .chain(ranged(Selector::Source6, vec![compatible, mapped], false))
            .collect();
        let dropped = self.spoofed();
        self.default_rule(chain, &conds, dropped, "RFC 3964: IPv4 as IPv6");
        chain
    }

    /// The chain of what has no route back: the same for all zones.
    fn unroutable(&mut self) -> ChainId {
        if let Some(chain) = self.unroutable {
            return chain;
        }
        let name = self.unique("spoof-no-route".to_owned());
        let chain = self.push_chain(name, None, portreeve_config::Span::default());
        for (of, selector) in [(Family::V6, Selector::Source6), (Family::V4, Selector::Source4)] {
            let conds: Vec<_> = [family(of)].into_iter().chain(ranged(selector, without_route(of), false)).collect();
            self.default_rule(chain, &conds, vec![ACCEPT], "sources without a route");
        }
        let dummy = Cond::One(Selector::Source4, Value::address(DUMMY.into()));
        let errors = ERRORS.map(|kind| (Value::byte(kind), Value::byte(kind))).to_vec();
        let mut conds = vec![family(Family::V4), is(Selector::Protocol, ICMP), dummy];
        conds.extend(ranged(Selector::IcmpType, errors, false));
        self.default_rule(chain, &conds, vec![ACCEPT], "RFC 7600: errors of translators");
        if self.config.defaults.dhcp_client {
            let port = |selector, port| Cond::One(selector, Value::port(port));
            let conds = [
                family(Family::V4),
                is(Selector::Protocol, UDP),
                port(Selector::SourcePort, 67),
                port(Selector::DestinationPort, 68),
            ];
            self.default_rule(chain, &conds, vec![ACCEPT], "DHCP client");
        }
        let dropped = self.spoofed();
        self.push_rule(chain, dropped, "RFC 3704: no route back");
        self.unroutable = Some(chain);
        chain
    }
}

/// Sources that are right although no route leads to them.
fn without_route(of: Family) -> Vec<Span> {
    match of {
        Family::V4 => vec![v4([0; 4], [0; 4])],
        Family::V6 => vec![v6(Ipv6Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED), link_local_range()],
    }
}

fn v4(first: [u8; 4], last: [u8; 4]) -> Span {
    (Value::address(Ipv4Addr::from(first).into()), Value::address(Ipv4Addr::from(last).into()))
}

fn v6(first: Ipv6Addr, last: Ipv6Addr) -> Span {
    (Value::address(first.into()), Value::address(last.into()))
}
