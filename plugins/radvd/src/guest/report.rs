//! The engine's state and events in words: `portreeve status radvd [INTERFACE]` and the log.

use std::fmt::Display;
use std::time::Duration;

use portreeve_config::duration;
use portreeve_sdk::{Report, Table, debug, info, warn};

use crate::engine::{Event, Inconsistency, InterfaceState, InterfaceStatus, Nat64Status, PrefixStatus, ServerStatus};

/// One interface by name, or all.
pub fn report(status: &[InterfaceStatus], words: &[String]) -> Result<Report, String> {
    let shown: Vec<_> = status.iter().filter(|s| words.is_empty() || words.contains(&s.name)).collect();
    if let Some(unknown) = words.iter().find(|word| !status.iter().any(|s| s.name == **word)) {
        return Err(format!("no interface {unknown} here; configured: {}", join(status.iter().map(|s| &s.name))));
    }
    let advertising = status.iter().filter(|s| s.state == InterfaceState::Advertising).count();
    Ok(Report {
        values: vec![("advertising".to_owned(), format!("{advertising} of {} interfaces", status.len()))],
        tables: vec![interfaces(&shown), prefixes(&shown), servers(&shown), nat64_prefixes(&shown)],
    })
}

fn interfaces(shown: &[&InterfaceStatus]) -> Table {
    let columns = [
        "interface",
        "state",
        "source",
        "multicast",
        "unicast",
        "solicited",
        "limited",
        "invalid",
        "errors",
        "last",
        "next",
        "other routers",
        "inconsistent",
    ];
    let row = |s: &&InterfaceStatus| {
        let ago = |d: Option<Duration>| d.map_or_else(|| "-".to_owned(), short);
        let c = &s.counters;
        vec![
            s.name.clone(),
            match s.state {
                InterfaceState::Advertising if s.forwarding_off => "advertising, forwarding is off".to_owned(),
                other => state(other).to_owned(),
            },
            s.source.map_or_else(|| "-".to_owned(), |a| a.to_string()),
            c.multicast_sent.to_string(),
            c.unicast_sent.to_string(),
            c.solicitations.to_string(),
            c.solicitations_limited.to_string(),
            c.invalid.total().to_string(),
            c.transmit_errors.to_string(),
            ago(s.last_advertisement_ago),
            ago(s.next_advertisement_in),
            join(&s.other_routers),
            c.inconsistent.to_string(),
        ]
    };
    table("interfaces", &columns, shown.iter().map(row).collect())
}

fn prefixes(shown: &[&InterfaceStatus]) -> Table {
    let row = |name: &str, p: &PrefixStatus| {
        vec![
            name.to_owned(),
            p.prefix.to_string(),
            lifetime(p.valid_lifetime),
            lifetime(p.preferred_lifetime),
            standing(p.withdrawn),
        ]
    };
    let rows = shown.iter().flat_map(|s| s.prefixes.iter().map(|p| row(&s.name, p))).collect();
    table("prefixes", &["interface", "prefix", "valid", "preferred", "state"], rows)
}

fn servers(shown: &[&InterfaceStatus]) -> Table {
    let row = |name: &str, s: &ServerStatus| {
        vec![name.to_owned(), s.address.to_string(), lifetime(s.lifetime), standing(s.withdrawn)]
    };
    let rows = shown.iter().flat_map(|s| s.servers.iter().map(|server| row(&s.name, server))).collect();
    table("DNS servers", &["interface", "server", "lifetime", "state"], rows)
}

fn nat64_prefixes(shown: &[&InterfaceStatus]) -> Table {
    let row = |name: &str, p: &Nat64Status| {
        vec![name.to_owned(), p.prefix.to_string(), lifetime(p.lifetime.into()), standing(p.withdrawn)]
    };
    let rows = shown.iter().flat_map(|s| s.nat64_prefixes.iter().map(|prefix| row(&s.name, prefix))).collect();
    table("NAT64 prefixes", &["interface", "prefix", "lifetime", "state"], rows)
}

fn standing(withdrawn: bool) -> String {
    if withdrawn { "withdrawn" } else { "advertised" }.to_owned()
}

/// Writes what an operator wants to know; what peers cause is debug.
pub fn log(event: &Event) {
    match event {
        Event::OpenSocket { .. } | Event::CloseSocket { .. } => {}
        Event::Advertising { name, source } => info!("advertising", ifname = name, source = source),
        Event::NotForwarding { name } => {
            warn!("advertising, but IPv6 forwarding is off here: hosts cannot reach anything", ifname = name);
        }
        Event::NotAdvertising { name, state: s } => info!("not advertising", ifname = name, state = state(*s)),
        Event::PrefixAdded { name, prefix } => info!("prefix advertised", ifname = name, prefix = prefix),
        Event::PrefixRemoved { name, prefix } => info!("prefix withdrawn", ifname = name, prefix = prefix),
        Event::Published { name, nat64_prefixes, servers } => {
            let (nat64, dns) = (join(nat64_prefixes), join(servers));
            info!("what others publish is advertised", ifname = name, nat64_prefixes = nat64, dns_servers = dns);
        }
        Event::MtuExceedsLink { name, configured, link } => {
            warn!("the MTU is above the link's, not advertised", ifname = name, mtu = configured, link_mtu = link);
        }
        Event::RouterFound { name, router } => debug!("another router", ifname = name, router = router),
        Event::InconsistentRouter { name, router, inconsistencies } => {
            let what = join(inconsistencies.iter().map(contradiction));
            warn!("another router contradicts ours", ifname = name, router = router, what = what);
        }
        Event::TransmitFailed { name, total } => warn!("cannot send", ifname = name, total = total),
    }
}

fn contradiction(i: &Inconsistency) -> String {
    match i {
        Inconsistency::HopLimit { ours, theirs } => format!("hop limit {theirs}, ours {ours}"),
        Inconsistency::Managed { ours, theirs } => format!("managed {theirs}, ours {ours}"),
        Inconsistency::OtherConfig { ours, theirs } => format!("other config {theirs}, ours {ours}"),
        Inconsistency::ReachableTime { ours, theirs } => format!("reachable time {theirs} ms, ours {ours} ms"),
        Inconsistency::RetransTimer { ours, theirs } => format!("retrans timer {theirs} ms, ours {ours} ms"),
        Inconsistency::Mtu { ours, theirs } => format!("MTU {theirs}, ours {ours}"),
        Inconsistency::ValidLifetime { prefix, ours, theirs } => {
            format!("{prefix} valid {}, ours {}", lifetime(*theirs), lifetime(*ours))
        }
        Inconsistency::PreferredLifetime { prefix, ours, theirs } => {
            format!("{prefix} preferred {}, ours {}", lifetime(*theirs), lifetime(*ours))
        }
    }
}

fn state(state: InterfaceState) -> &'static str {
    match state {
        InterfaceState::Missing => "missing",
        InterfaceState::WaitingForCarrier => "waiting for carrier",
        InterfaceState::WaitingForLinkLocalAddress => "waiting for a link-local address",
        InterfaceState::Advertising => "advertising",
        InterfaceState::Stopping => "stopping",
    }
}

fn table(title: &str, columns: &[&str], rows: Vec<Vec<String>>) -> Table {
    Table { title: title.to_owned(), columns: columns.iter().map(|&c| c.to_owned()).collect(), rows }
}

fn lifetime(seconds: u32) -> String {
    if seconds == u32::MAX { "infinity".to_owned() } else { duration::format(Duration::from_secs(seconds.into())) }
}

/// To the second from one minute on, to the tenth below.
fn short(d: Duration) -> String {
    if d.as_secs() >= 60 {
        duration::format(Duration::from_secs(d.as_secs()))
    } else {
        format!("{:.1}s", d.as_secs_f64())
    }
}

fn join<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let text = items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ");
    if text.is_empty() { "-".to_owned() } else { text }
}
