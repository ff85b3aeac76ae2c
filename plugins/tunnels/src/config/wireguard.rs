//! Reads what a WireGuard link says: the name of its key, its port and mark, its peers.
//!
//! Keys that are secret never stand in router.ron: the core holds them under names.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use portreeve_config::{Diagnostics, Fields, Span, Value, duration};
use portreeve_network::read;

use super::{Host, Peer, PublicKey, WireGuard, ends};

/// The longest name of a key.
const MAX_KEY_NAME: usize = 64;

pub(super) fn read(f: &mut Fields<'_>, d: &mut Diagnostics) -> Option<WireGuard> {
    let key = f.require("key", d).and_then(|v| key_name(&v, d));
    let listen_port = f.take("listen_port").and_then(|v| read::within::<u16>(&v, 1..=u16::MAX, "listen_port", d));
    let mark = f.take("mark").and_then(|v| {
        let (mark, mask) = read::mark(&v, d)?;
        if mask != u32::MAX {
            d.error_with_hint(v.span(), "packets are sent with all bits of a mark", "write the mark without a mask");
        }
        Some(mark)
    });
    let mut peers = Vec::new();
    if let Some(value) = f.take("peers") {
        let (mut keys, mut ips) = (HashSet::new(), HashMap::new());
        for item in value.list(d) {
            peers.extend(peer(&item, &mut keys, &mut ips, d));
        }
    }
    if peers.is_empty() && !d.has_errors() {
        d.warning_with_hint(f.span(), "there are no peers, so nothing will come or go", "add `peers: [(…)]`");
    }
    Some(WireGuard { key: key?, listen_port: listen_port.map(|port| port.value), mark, peers })
}

fn peer(
    item: &Value<'_>,
    keys: &mut HashSet<PublicKey>,
    ips: &mut HashMap<portreeve_network::Prefix, usize>,
    d: &mut Diagnostics,
) -> Option<Peer> {
    let mut fields = item.fields(d)?;
    let f = &mut fields;
    let expected = "a public key in base64, as `wg pubkey` prints it";
    let public_key = f.require("public_key", d).and_then(|v| v.parse::<PublicKey>(d, expected));
    let preshared_key = f.take("preshared_key").and_then(|v| key_name(&v, d));
    let endpoint = f.take("endpoint").and_then(|v| endpoint(&v, d));
    let keepalive = f.take("keepalive").and_then(|v| keepalive(&v, d));
    let mut allowed_ips = Vec::new();
    let number = keys.len();
    if let Some(value) = f.require("allowed_ips", d) {
        let list = value.list(d);
        if list.is_empty() && !d.has_errors() {
            d.warning_with_hint(
                value.span(),
                "this peer may send nothing",
                "write what is behind it, such as \"::/0\"",
            );
        }
        for item in &list {
            let Some(prefix) = read::prefix(item, d) else { continue };
            match ips.insert(prefix.value, number) {
                None => allowed_ips.push(prefix.value),
                Some(other) => {
                    let whose = if other == number { "twice" } else { "to two peers" };
                    let message = format!("{} is given {whose}; WireGuard would take the last one", prefix.value);
                    d.error_with_hint(prefix.span, message, "keep one of the two");
                }
            }
        }
    }
    fields.finish(d);
    let public_key = public_key?;
    if !keys.insert(public_key.value) {
        d.error_with_hint(public_key.span, "two peers have this public key", "keep one of the two");
    }
    Some(Peer { public_key: public_key.value, preshared_key, endpoint, keepalive, allowed_ips })
}

/// A name under which the core holds a key.
fn key_name(value: &Value<'_>, d: &mut Diagnostics) -> Option<String> {
    let name = value.get::<String>(d)?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.value.parse::<PublicKey>().is_ok() {
        let message = "this is a key, and router.ron is no place for secret ones";
        d.error_with_hint(name.span, message, "write a name, such as \"wg0\"; the core holds the key under it");
        return None;
    }
    let ok = (1..=MAX_KEY_NAME).contains(&name.value.len()) && name.value.chars().all(legal);
    if !ok || name.value.starts_with('.') {
        let hint = format!("write 1 to {MAX_KEY_NAME} letters, digits, `-`, `_` and `.`, such as \"wg0\"");
        d.error_with_hint(name.span, "not the name of a key", hint);
        return None;
    }
    Some(name.value)
}

/// `192.0.2.1:51820`, `[2001:db8::1]:51820` or `name:51820`.
fn endpoint(value: &Value<'_>, d: &mut Diagnostics) -> Option<(Host, u16)> {
    let text = value.get::<String>(d)?;
    let hint = "write \"192.0.2.1:51820\", \"[2001:db8::1]:51820\" or \"vpn.example.net:51820\"";
    let Some((host, port)) = split_endpoint(&text.value) else {
        d.error_with_hint(text.span, "an endpoint is an address or a name, a colon and a port", hint);
        return None;
    };
    let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
    let Some(port) = port.parse::<u16>().ok().filter(|port| digits && *port != 0) else {
        d.error_with_hint(text.span, "the port of an endpoint is 1 to 65535", hint);
        return None;
    };
    Some((ends::host_text(host, None, text.span, d)?, port))
}

fn split_endpoint(text: &str) -> Option<(&str, &str)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once("]:")?;
        return host.contains(':').then_some((host, port));
    }
    text.rsplit_once(':').filter(|(host, _)| !host.contains(':'))
}

fn keepalive(value: &Value<'_>, d: &mut Diagnostics) -> Option<u16> {
    let found = value.duration(d)?;
    let seconds = u16::try_from(found.value.as_secs()).ok().filter(|s| *s != 0 && found.value.subsec_nanos() == 0);
    if seconds.is_none() {
        out_of_range(found.span, d);
    }
    seconds
}

fn out_of_range(span: Span, d: &mut Diagnostics) {
    let most = duration::format(Duration::from_secs(u16::MAX.into()));
    d.error_with_hint(span, "keepalive has 1 to 65535 whole seconds", format!("write \"1s\" to \"{most}\""));
}
