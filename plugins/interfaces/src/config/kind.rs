//! Reads the links that this plugin makes: `Bridge(ports: ["eth1"])`, `Vlan(parent: "eth0", id: 5)` and so on.
//!
//! Tunnels are the plugin `tunnels`' to make, and said so.

use portreeve_config::{Diagnostics, Fields, Pattern, Spanned, Value, did_you_mean};
use portreeve_network::{Bond, Bridge, Kind, Macvlan, MacvlanMode, Veth, Vlan, VlanProtocol, read};
use serde::Deserialize;

/// The kinds by name.
const KINDS: [&str; 7] = ["Bridge", "Vlan", "Veth", "Dummy", "Macvlan", "Bond", "Vrf"];
/// The kinds of the plugin `tunnels`.
const TUNNELS: [&str; 7] = ["SixInFour", "SixRd", "Ip6Tunnel", "Gre", "WireGuard", "Sit", "Tun"];

/// A link to make, with the places that checks across the section need.
pub(super) struct Made {
    pub(super) kind: Kind,
    /// Ports or members.
    pub(super) members: Vec<Spanned<Pattern>>,
    /// The link below, or the other end of a pair.
    pub(super) other: Option<Spanned<String>>,
    /// Place of the whole.
    pub(super) span: portreeve_config::Span,
}

/// The modes of a bond by the kernel's numbers.
#[derive(Clone, Copy, Deserialize)]
enum BondMode {
    BalanceRr,
    ActiveBackup,
    BalanceXor,
    Broadcast,
    Ieee8023Ad,
    BalanceTlb,
    BalanceAlb,
}

pub(super) fn read(value: &Value<'_>, d: &mut Diagnostics) -> Option<Made> {
    let Some(name) = value.name() else {
        d.error_with_hint(value.span(), "expected the kind of a link", format!("one of {}", KINDS.join(", ")));
        return None;
    };
    if !KINDS.contains(&name.value) {
        let hint = if TUNNELS.contains(&name.value) {
            "tunnels are made by the plugin `tunnels`".to_owned()
        } else {
            match did_you_mean(name.value, KINDS) {
                Some(near) => format!("did you mean `{near}`? (one of {})", KINDS.join(", ")),
                None => format!("one of {}", KINDS.join(", ")),
            }
        };
        d.error_with_hint(name.span, format!("unknown kind `{}`", name.value), hint);
        return None;
    }
    let mut fields = value.fields(d)?;
    let f = &mut fields;
    let (mut members, mut other) = (Vec::new(), None);
    let kind = match name.value {
        "Bridge" => {
            members = patterns(f.take("ports"), "ports", d);
            Some(Kind::Bridge(bridge(f, d)))
        }
        "Vlan" => {
            other = f.require("parent", d).and_then(|v| read::interface_name(&v, d));
            let id = f.require("id", d).and_then(|v| read::within(&v, 1..=4094, "id", d));
            let protocol = f.take("protocol").and_then(|v| v.get::<VlanProtocol>(d)).map(|v| v.value);
            match (&other, id) {
                (Some(parent), Some(id)) => Some(Kind::Vlan(Vlan {
                    parent: parent.value.clone(),
                    id: id.value,
                    protocol: protocol.unwrap_or_default(),
                })),
                _ => None,
            }
        }
        "Veth" => {
            other = f.require("peer", d).and_then(|v| read::interface_name(&v, d));
            other.as_ref().map(|peer| Kind::Veth(Veth { peer: peer.value.clone() }))
        }
        "Macvlan" => {
            other = f.require("parent", d).and_then(|v| read::interface_name(&v, d));
            let mode = f.take("mode").and_then(|v| v.get::<MacvlanMode>(d)).map(|v| v.value).unwrap_or_default();
            other.as_ref().map(|parent| Kind::Macvlan(Macvlan { parent: parent.value.clone(), mode }))
        }
        "Bond" => {
            members = patterns(f.take("members"), "members", d);
            let mode = f.take("mode").and_then(|v| v.get::<BondMode>(d));
            // The kernel's own default is 0, balance-rr; what most want is the one that needs no switch.
            let mode = mode.map_or(BondMode::ActiveBackup, |mode| mode.value) as u8;
            Some(Kind::Bond(Bond { mode, miimon: f.take("miimon").and_then(|v| miimon(&v, d)) }))
        }
        "Vrf" => {
            members = patterns(f.take("members"), "members", d);
            f.require("table", d).and_then(|v| read::table(&v, d)).map(|table| Kind::Vrf { table })
        }
        _ => Some(Kind::Dummy),
    };
    fields.finish(d);
    Some(Made { kind: kind?, members, other, span: value.span() })
}

fn bridge(f: &mut Fields<'_>, d: &mut Diagnostics) -> Bridge {
    let mut flag = |name, default| f.take(name).and_then(|v| v.get::<bool>(d)).map_or(default, |v| v.value);
    let stp = flag("stp", false);
    let vlan_filtering = flag("vlan_filtering", false);
    let multicast_snooping = flag("multicast_snooping", true);
    let written = f.take("forward_delay").and_then(|v| v.duration(d));
    let forward_delay = match written {
        None => (!stp).then_some(0),
        Some(written) => {
            // IEEE 802.1D section 8.10.2 has 4 to 30 s, the kernel 2 to 30.
            let least = if stp { 2 } else { 0 };
            let seconds = u32::try_from(written.value.as_secs()).unwrap_or(u32::MAX);
            if written.value.subsec_nanos() != 0 || !(least..=30).contains(&seconds) {
                let hint = format!("write whole seconds, \"{least}s\" to \"30s\"");
                d.error_with_hint(written.span, "forward_delay is out of range", hint);
            }
            Some(seconds)
        }
    };
    Bridge { stp, vlan_filtering, forward_delay, multicast_snooping }
}

fn miimon(value: &Value<'_>, d: &mut Diagnostics) -> Option<u32> {
    let found = value.duration(d)?;
    match u32::try_from(found.value.as_millis()) {
        Ok(milliseconds) if (1..=60_000).contains(&milliseconds) => Some(milliseconds),
        _ => {
            d.error_with_hint(found.span, "miimon is out of range", "write \"1ms\" to \"1m\", such as \"100ms\"");
            None
        }
    }
}

fn patterns(value: Option<Value<'_>>, what: &str, d: &mut Diagnostics) -> Vec<Spanned<Pattern>> {
    let mut list = Vec::new();
    for item in value.map_or_else(Vec::new, |v| v.list(d)) {
        let expected = "an interface name such as \"eth1\" or a pattern such as \"eth*\"";
        let Some(pattern) = item.parse::<Pattern>(d, expected) else { continue };
        if pattern.value.as_str() == "lo" {
            d.error_with_hint(pattern.span, format!("lo cannot be one of the {what}"), "remove it");
        } else {
            list.push(pattern);
        }
    }
    list
}
