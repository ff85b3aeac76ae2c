//! What an interface or a tunnel is made as, as RON.

use super::super::super::ron::{Item, Node, field, quoted, text};
use super::super::plan::Kind;

fn names(names: &[String]) -> Node {
    Node::list(names.iter().map(|name| Node::string(name)))
}

fn local(local: Option<&String>) -> Option<Item> {
    local.map(|local| text("local", format!("Address({})", quoted(local))))
}

/// The value of `kind`.
pub(super) fn kind(kind: &Kind) -> Node {
    let (open, items) = match kind {
        Kind::Dummy => return Node::Text("Dummy".into()),
        Kind::Bridge { ports, stp, vlan_filtering, forward_delay, snooping } => {
            let mut items = vec![field("ports", names(ports))];
            items.extend(
                [("stp", *stp), ("vlan_filtering", *vlan_filtering)].iter().filter(|f| f.1).map(|f| text(f.0, true)),
            );
            items.extend(forward_delay.as_ref().map(|delay| text("forward_delay", quoted(delay))));
            items.extend(snooping.map(|snooping| text("multicast_snooping", snooping)));
            ("Bridge(", items)
        }
        Kind::Vlan { parent, id, ad } => {
            let mut items = vec![text("parent", quoted(parent)), text("id", id)];
            items.extend(ad.then(|| text("protocol", "Ieee8021Ad")));
            ("Vlan(", items)
        }
        Kind::Bond { mode, members, miimon } => {
            let mut items: Vec<Item> = mode.iter().map(|mode| text("mode", mode)).collect();
            items.push(field("members", names(members)));
            items.extend(miimon.map(|ms| text("miimon", quoted(&format!("{ms}ms")))));
            ("Bond(", items)
        }
        Kind::Veth { peer } => ("Veth(", vec![text("peer", quoted(peer))]),
        Kind::Macvlan { parent, mode } => {
            let mut items = vec![text("parent", quoted(parent))];
            items.extend(mode.as_ref().map(|mode| text("mode", mode)));
            ("Macvlan(", items)
        }
        Kind::Vrf { table, members } => ("Vrf(", vec![text("table", table), field("members", names(members))]),
        Kind::SixInFour { remote, local: ours } => {
            let remote = text("remote", quoted(remote));
            ("SixInFour(", std::iter::once(remote).chain(local(ours.as_ref())).collect())
        }
        Kind::SixToFour { local: ours } => {
            let fixed = [("prefix", "\"2002::/16\""), ("relay", "\"192.88.99.1\""), ("ipv4_mask_length", "0")];
            let fixed = fixed.iter().map(|(name, value)| text(name, value));
            ("SixRd(", fixed.chain(local(Some(&ours.to_string()))).collect())
        }
        Kind::Ip6Tunnel { remote, local: ours, mode, limit } => {
            let mut items = vec![text("remote", quoted(remote))];
            items.extend(local(ours.as_ref()));
            items.push(text("mode", mode));
            items.extend(limit.map(|limit| text("encapsulation_limit", limit)));
            ("Ip6Tunnel(", items)
        }
        Kind::Gre { remote, local: ours, key } => {
            let mut items = vec![text("remote", quoted(remote))];
            items.extend(local(ours.as_ref()));
            items.extend(key.map(|key| text("key", key)));
            ("Gre(", items)
        }
    };
    Node::group(open, items)
}
