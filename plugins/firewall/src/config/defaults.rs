//! Reads what needs no rule, and what is asked of connection tracking and of the flowtable.

use core::time::Duration;

use portreeve_config::{Diagnostics, Fields, Value, duration};

use super::context::Context;
use super::{Conntrack, Defaults, Limit, Offload, Per, leaf};

/// A timeout of the kernel is an int of seconds.
const MAX_TIMEOUT: Duration = Duration::from_secs(0x7fff_ffff);
/// Parameters of conntrack that are times (nf_conntrack-sysctl), without `nf_conntrack_`.
const TIMEOUTS: [&str; 27] = [
    "generic_timeout",
    "icmp_timeout",
    "icmpv6_timeout",
    "tcp_timeout_syn_sent",
    "tcp_timeout_syn_recv",
    "tcp_timeout_established",
    "tcp_timeout_fin_wait",
    "tcp_timeout_close_wait",
    "tcp_timeout_last_ack",
    "tcp_timeout_time_wait",
    "tcp_timeout_close",
    "tcp_timeout_max_retrans",
    "tcp_timeout_unacknowledged",
    "udp_timeout",
    "udp_timeout_stream",
    "gre_timeout",
    "gre_timeout_stream",
    "frag6_timeout",
    "sctp_timeout_closed",
    "sctp_timeout_cookie_wait",
    "sctp_timeout_cookie_echoed",
    "sctp_timeout_established",
    "sctp_timeout_shutdown_sent",
    "sctp_timeout_shutdown_recd",
    "sctp_timeout_shutdown_ack_sent",
    "sctp_timeout_heartbeat_sent",
    "dccp_timeout_open",
];

impl Default for Defaults {
    fn default() -> Self {
        Self {
            stateful: true,
            loopback: true,
            rfc4890: true,
            rfc6092: true,
            ping: true,
            dhcp_client: true,
            log_rate: Limit { packets: 10, seconds: 1, burst: leaf::BURST, over: false, per: Per::Rule },
        }
    }
}

pub(super) fn defaults(value: &Value<'_>, d: &mut Diagnostics) -> Defaults {
    let usual = Defaults::default();
    let Some(mut fields) = value.fields(d) else { return usual };
    let f = &mut fields;
    let found = Defaults {
        stateful: flag(f, "stateful", d).unwrap_or(true),
        loopback: flag(f, "loopback", d).unwrap_or(true),
        rfc4890: flag(f, "rfc4890", d).unwrap_or(true),
        rfc6092: flag(f, "rfc6092", d).unwrap_or(true),
        ping: flag(f, "ping", d).unwrap_or(true),
        dhcp_client: flag(f, "dhcp_client", d).unwrap_or(true),
        log_rate: f.take("log_rate").and_then(|v| leaf::rate(&v, d)).unwrap_or(usual.log_rate),
    };
    fields.finish(d);
    found
}

fn flag(f: &mut Fields<'_>, name: &'static str, d: &mut Diagnostics) -> Option<bool> {
    f.take(name).and_then(|v| leaf::flag(&v, d))
}

pub(super) fn offload(value: &Value<'_>, cx: &Context, d: &mut Diagnostics) -> Option<Offload> {
    let mut fields = value.fields(d)?;
    let mut zones = Vec::new();
    if let Some(value) = fields.require("zones", d) {
        for value in &value.list(d) {
            match cx.zone(value, d) {
                Some(zone) if zones.contains(&zone) => {
                    d.error_with_hint(value.span(), "this zone is given twice", "keep one of the two");
                }
                zone => zones.extend(zone),
            }
        }
        if zones.is_empty() && !d.has_errors() {
            d.error_with_hint(value.span(), "no flow passes by the rules", "write zones, or remove `offload`");
        }
    }
    let hardware = flag(&mut fields, "hardware", d).unwrap_or(false);
    fields.finish(d);
    Some(Offload { zones, hardware, span: value.span() })
}

pub(super) fn conntrack(value: &Value<'_>, d: &mut Diagnostics) -> Conntrack {
    let mut found = Conntrack { span: value.span(), ..Conntrack::default() };
    let Some(mut fields) = value.fields(d) else { return found };
    let f = &mut fields;
    // As the kernel's own sysctl has it, an int; fewer than some hundred connections serve nobody.
    found.max = f.take("max").and_then(|v| leaf::number(&v, 256..=0x7fff_ffff, "max", d));
    found.tcp_loose = flag(f, "tcp_loose", d);
    found.tcp_liberal = flag(f, "tcp_liberal", d);
    found.accounting = flag(f, "accounting", d);
    if let Some(value) = f.take("timeouts") {
        for (name, value) in value.entries(d) {
            if !TIMEOUTS.contains(&name.value.as_str()) {
                let short = name.value.strip_prefix("nf_conntrack_").filter(|short| TIMEOUTS.contains(short));
                let message =
                    format!("\"{}\" is not a timeout of connection tracking", super::address::shown(&name.value));
                match short {
                    Some(short) => d.error_with_hint(name.span, message, format!("write \"{short}\"")),
                    None => leaf::unknown(name.span, &message, &name.value, TIMEOUTS.iter().copied(), d),
                }
                continue;
            }
            let Some(time) = value.duration(d) else { continue };
            if time.value.subsec_nanos() != 0 || !(Duration::from_secs(1)..=MAX_TIMEOUT).contains(&time.value) {
                let hint = format!("write whole seconds, \"1s\" to \"{}\"", duration::format(MAX_TIMEOUT));
                d.error_with_hint(time.span, "the timeout is out of range", hint);
                continue;
            }
            found.timeouts.push((name.value, time.value));
        }
    }
    fields.finish(d);
    found
}
