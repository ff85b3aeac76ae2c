//! Which need holds which access, and what a set of needs leaves of another.

use std::collections::BTreeSet;

use portreeve_config::Pattern;
use portreeve_network::Prefix;

use super::{Access, Need};

/// The table of nf_tables that keeps the router closed.
const GUARD_TABLE: &str = "inet/portreeve-guard";

pub(super) fn any_holds(set: &[Need], access: Access<'_>) -> bool {
    set.iter().any(|need| holds(need, access))
}

fn holds(need: &Need, access: Access<'_>) -> bool {
    match (need, access) {
        (Need::Links(_), Access::AnyLink) => true,
        (Need::Links(pattern), Access::Link(name)) => pattern.matches(name),
        (Need::Links(pattern), Access::EveryLink) => pattern.as_str() == "*",
        (Need::Icmpv6 { interfaces, .. }, Access::Icmpv6(name)) => interfaces.matches(name),
        (Need::Icmpv6 { interfaces, receive, .. }, Access::Icmpv6Receive(name, kind)) => {
            receive.contains(&kind) && interfaces.matches(name)
        }
        (Need::Icmpv6 { interfaces, send, .. }, Access::Icmpv6Send(name, kind)) => {
            send.contains(&kind) && interfaces.matches(name)
        }
        (Need::Publish(have), Access::Publish(want)) | (Need::Watch(have), Access::Watch(want)) => *have == want,
        (Need::Storage { volatile, .. }, Access::Volatile(bytes)) => bytes <= *volatile as usize && *volatile > 0,
        (Need::Storage { flash, .. }, Access::Flash(bytes)) => bytes <= *flash as usize && *flash > 0,
        (Need::Configure(pattern), Access::Configure(name)) | (Need::Tun(pattern), Access::Tun(name)) => {
            pattern.matches(name)
        }
        (Need::Create { interfaces, kinds }, Access::Create(name, kind)) => {
            interfaces.matches(name) && kinds.contains(kind)
        }
        (Need::Create { kinds, .. }, Access::CreateKind(kind)) => kinds.contains(kind),
        (Need::Route(have), Access::Route(want)) => have.contains(want),
        (Need::Tables { first, last }, Access::Table(want)) => (*first..=*last).contains(&want),
        (Need::Sysctl(have), Access::Sysctl(want))
        | (Need::Module(have), Access::Module(want))
        | (Need::Resolve(have), Access::Resolve(want))
        | (Need::Read(have), Access::Read(want))
        | (Need::Key(have), Access::Key(want)) => have.matches(want),
        // The core's own, whatever the pattern.
        (Need::NfTables(have), Access::NfTable(want)) => want != GUARD_TABLE && have.matches(want),
        (Need::NfTables(_), Access::AnyNfTable)
        | (Need::Conntrack, Access::Conntrack)
        | (Need::Guard, Access::Guard) => true,
        (Need::Ipv4 { protocol, remotes }, Access::Ipv4(want, peers)) => *protocol == want && remotes.contains(peers),
        (Need::Ipv4 { protocol, .. }, Access::AnyIpv4(want)) => *protocol == want,
        (Need::Listen { transport, interfaces, port }, Access::Listen(wanted, name, at)) => {
            *transport == wanted && (*port == 0 || *port == at) && interfaces.matches(name)
        }
        (Need::Connect { transport, remotes, port }, Access::Connect(wanted, peer, at)) => {
            *transport == wanted && (*port == 0 || *port == at) && remotes.contains(Prefix::host(peer))
        }
        (Need::Masquerade(have), Access::Masquerade(want)) => have.contains(want),
        (Need::Netlink { family, .. }, Access::Netlink(want)) => *family == want,
        (Need::Netlink { family, send }, Access::NetlinkSend(want, kind)) => *family == want && send.contains(&kind),
        _ => false,
    }
}

/// What of `need` the set does not cover; `None` if it covers all.
pub(super) fn rest(need: &Need, set: &[Need]) -> Option<Need> {
    match need {
        Need::Links(wanted) => {
            let covered = set.iter().any(|have| matches!(have, Need::Links(p) if p.contains(wanted)));
            (!covered).then(|| need.clone())
        }
        Need::Icmpv6 { interfaces: wanted, receive, send } => {
            let missing = |types: &BTreeSet<u8>, of: TypesOf| -> BTreeSet<u8> {
                let covered = |kind: &u8| {
                    set.iter().filter_map(of).any(|(pattern, have)| have.contains(kind) && pattern.contains(wanted))
                };
                types.iter().copied().filter(|kind| !covered(kind)).collect()
            };
            let receive = missing(receive, receive_of);
            let send = missing(send, send_of);
            let nothing = receive.is_empty() && send.is_empty();
            (!nothing).then(|| Need::Icmpv6 { interfaces: wanted.clone(), receive, send })
        }
        Need::Storage { volatile, flash } => {
            let fits = |wanted: u32, of: fn(&Need) -> u32| set.iter().map(of).max().unwrap_or(0) >= wanted;
            (!(fits(*volatile, volatile_of) && fits(*flash, flash_of))).then(|| need.clone())
        }
        Need::Create { interfaces: wanted, kinds } => {
            let covered = |kind: &&String| {
                let holds = |have: &Need| matches!(have, Need::Create { interfaces, kinds } if interfaces.contains(wanted) && kinds.contains(*kind));
                set.iter().any(holds)
            };
            let kinds: BTreeSet<String> = kinds.iter().filter(|kind| !covered(kind)).cloned().collect();
            (!kinds.is_empty()).then(|| Need::Create { interfaces: wanted.clone(), kinds })
        }
        Need::Netlink { family: wanted, send } => {
            let of = |have: &Need| match have {
                Need::Netlink { family, send } if family == wanted => Some(send.clone()),
                _ => None,
            };
            let same: Vec<_> = set.iter().filter_map(of).collect();
            let send: BTreeSet<u16> =
                send.iter().copied().filter(|kind| !same.iter().any(|s| s.contains(kind))).collect();
            (same.is_empty() || !send.is_empty()).then_some(Need::Netlink { family: *wanted, send })
        }
        _ => (!set.iter().any(|have| includes(have, need))).then(|| need.clone()),
    }
}

/// Whether `have` alone is all of `need`, for needs that are not made of parts.
fn includes(have: &Need, need: &Need) -> bool {
    match (have, need) {
        (Need::Configure(have), Need::Configure(want)) | (Need::Tun(have), Need::Tun(want)) => have.contains(want),
        (Need::Route(have), Need::Route(want)) | (Need::Masquerade(have), Need::Masquerade(want)) => {
            have.contains(*want)
        }
        (
            Need::Listen { transport, interfaces, port },
            Need::Listen { transport: wanted, interfaces: pattern, port: at },
        ) => transport == wanted && (*port == 0 || port == at) && interfaces.contains(pattern),
        (Need::Connect { transport, remotes, port }, Need::Connect { transport: wanted, remotes: peers, port: at }) => {
            transport == wanted && (*port == 0 || port == at) && remotes.contains(*peers)
        }
        (Need::Sysctl(have), Need::Sysctl(want))
        | (Need::Module(have), Need::Module(want))
        | (Need::Resolve(have), Need::Resolve(want))
        | (Need::NfTables(have), Need::NfTables(want))
        | (Need::Read(have), Need::Read(want))
        | (Need::Key(have), Need::Key(want)) => have.contains(want),
        (Need::Ipv4 { protocol, remotes }, Need::Ipv4 { protocol: wanted, remotes: peers }) => {
            protocol == wanted && remotes.contains(*peers)
        }
        (Need::Tables { first, last }, Need::Tables { first: from, last: to }) => first <= from && to <= last,
        _ => have == need,
    }
}

/// One direction of an ICMPv6 need: where, and which types.
type TypesOf = fn(&Need) -> Option<(&Pattern, &BTreeSet<u8>)>;

fn receive_of(need: &Need) -> Option<(&Pattern, &BTreeSet<u8>)> {
    match need {
        Need::Icmpv6 { interfaces, receive, .. } => Some((interfaces, receive)),
        _ => None,
    }
}

fn send_of(need: &Need) -> Option<(&Pattern, &BTreeSet<u8>)> {
    match need {
        Need::Icmpv6 { interfaces, send, .. } => Some((interfaces, send)),
        _ => None,
    }
}

fn volatile_of(need: &Need) -> u32 {
    if let Need::Storage { volatile, .. } = need { *volatile } else { 0 }
}

fn flash_of(need: &Need) -> u32 {
    if let Need::Storage { flash, .. } = need { *flash } else { 0 }
}
