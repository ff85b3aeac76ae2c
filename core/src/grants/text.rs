//! Needs in the operator's words: the entries of `allow: […]` in router.ron.
//!
//! `Links("lan*")`, `Icmpv6(interfaces: "lan0", receive: [133], send: [134])`, `Publish(Tunnel)`,
//! `Watch(DnsServer)`, `Storage(volatile: 4096, flash: 1024)`, `Udp(connect: "192.0.2.53:53")`.

use std::collections::BTreeSet;
use std::str::FromStr;

use portreeve_config::{Diagnostics, NamePattern, Value, did_you_mean};
use portreeve_network::{Family, Prefix};

use super::{FactKind, Need, Pattern, Transport};

const NAMES: [&str; 23] = [
    "Links",
    "Icmpv6",
    "Publish",
    "Watch",
    "Storage",
    "Configure",
    "Create",
    "Route",
    "Tables",
    "Sysctl",
    "Module",
    "Tun",
    "Ipv4",
    "Resolve",
    "Key",
    "Netlink",
    "Udp",
    "Tcp",
    "Masquerade",
    "NfTables",
    "Conntrack",
    "Read",
    "Guard",
];

/// Writes a need so that it can be pasted into `allow`.
#[must_use]
pub fn need_to_text(need: &Need) -> String {
    match need {
        Need::Links(pattern) => format!("Links(\"{pattern}\")"),
        Need::Icmpv6 { interfaces, receive, send } => {
            let list = |types: &BTreeSet<u8>| types.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            format!("Icmpv6(interfaces: \"{interfaces}\", receive: [{}], send: [{}])", list(receive), list(send))
        }
        Need::Publish(kind) => format!("Publish({kind:?})"),
        Need::Watch(kind) => format!("Watch({kind:?})"),
        Need::Storage { volatile, flash } => format!("Storage(volatile: {volatile}, flash: {flash})"),
        Need::Configure(pattern) => format!("Configure(\"{pattern}\")"),
        Need::Create { interfaces, kinds } => {
            let kinds = kinds.iter().map(|kind| format!("\"{kind}\"")).collect::<Vec<_>>().join(", ");
            format!("Create(interfaces: \"{interfaces}\", kinds: [{kinds}])")
        }
        Need::Route(prefix) => format!("Route(\"{prefix}\")"),
        Need::Tables { first, last } => format!("Tables(first: {first}, last: {last})"),
        Need::Sysctl(name) => format!("Sysctl(\"{name}\")"),
        Need::Module(name) => format!("Module(\"{name}\")"),
        Need::Tun(pattern) => format!("Tun(\"{pattern}\")"),
        Need::Ipv4 { protocol, remotes } => format!("Ipv4(protocol: {protocol}, remotes: \"{remotes}\")"),
        Need::Resolve(name) => format!("Resolve(\"{name}\")"),
        Need::Key(name) => format!("Key(\"{name}\")"),
        Need::Listen { transport, interfaces, port } => {
            format!("{}(listen: \"{interfaces}:{}\")", word(*transport), port_to_text(*port))
        }
        Need::Connect { transport, remotes, port } => {
            let remotes = match remotes.address {
                address if remotes.length == Family::of(address).bits() => address.to_string(),
                _ => remotes.to_string(),
            };
            let remotes = if remotes.contains(':') { format!("[{remotes}]") } else { remotes };
            format!("{}(connect: \"{remotes}:{}\")", word(*transport), port_to_text(*port))
        }
        Need::Masquerade(source) => format!("Masquerade(\"{source}\")"),
        Need::NfTables(tables) => format!("NfTables(\"{tables}\")"),
        Need::Conntrack => "Conntrack".to_owned(),
        Need::Read(path) => format!("Read(\"{path}\")"),
        Need::Guard => "Guard".to_owned(),
        Need::Netlink { family, send } => {
            let send = send.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            format!("Netlink(family: {family}, send: [{send}])")
        }
    }
}

/// Reads one entry of `allow`; mistakes are reported and give `None`.
#[must_use]
pub fn need_from_value(value: &Value<'_>, d: &mut Diagnostics) -> Option<Need> {
    let name = value.name().map_or("", |n| n.value);
    match name {
        "Links" => pattern(&inner(value, d)?, d).map(Need::Links),
        "Publish" => inner(value, d)?.get::<FactKind>(d).map(|kind| Need::Publish(kind.value)),
        "Watch" => inner(value, d)?.get::<FactKind>(d).map(|kind| Need::Watch(kind.value)),
        "Icmpv6" => {
            let mut fields = value.fields(d)?;
            let interfaces = fields.require("interfaces", d).and_then(|v| pattern(&v, d));
            let receive = fields.take("receive").map(|v| types(&v, d)).unwrap_or_default();
            let send = fields.take("send").map(|v| types(&v, d)).unwrap_or_default();
            fields.finish(d);
            Some(Need::Icmpv6 { interfaces: interfaces?, receive, send })
        }
        "Storage" => {
            let mut fields = value.fields(d)?;
            let mut bytes = |name| fields.take(name).map_or(Some(0), |v| v.get::<u32>(d).map(|n| n.value));
            let (volatile, flash) = (bytes("volatile"), bytes("flash"));
            fields.finish(d);
            Some(Need::Storage { volatile: volatile?, flash: flash? })
        }
        "Configure" => pattern(&inner(value, d)?, d).map(Need::Configure),
        "Tun" => pattern(&inner(value, d)?, d).map(Need::Tun),
        "Route" => prefix(&inner(value, d)?, d).map(Need::Route),
        "Udp" => socket(value, Transport::Udp, d),
        "Tcp" => socket(value, Transport::Tcp, d),
        "Masquerade" => prefix(&inner(value, d)?, d).map(Need::Masquerade),
        "Sysctl" => other_name(&inner(value, d)?, d).map(Need::Sysctl),
        "Module" => other_name(&inner(value, d)?, d).map(Need::Module),
        "Resolve" => other_name(&inner(value, d)?, d).map(Need::Resolve),
        "Key" => other_name(&inner(value, d)?, d).map(Need::Key),
        "NfTables" => other_name(&inner(value, d)?, d).map(Need::NfTables),
        "Read" => other_name(&inner(value, d)?, d).map(Need::Read),
        "Conntrack" => bare(value, d).then_some(Need::Conntrack),
        "Guard" => bare(value, d).then_some(Need::Guard),
        "Create" => {
            let mut fields = value.fields(d)?;
            let interfaces = fields.require("interfaces", d).and_then(|v| pattern(&v, d));
            let kinds = fields.require("kinds", d).map(|v| v.list(d)).unwrap_or_default();
            let kinds = kinds.iter().filter_map(|v| v.get::<String>(d)).map(|kind| kind.value).collect();
            fields.finish(d);
            Some(Need::Create { interfaces: interfaces?, kinds })
        }
        "Tables" => {
            let mut fields = value.fields(d)?;
            let mut number = |name| fields.require(name, d).and_then(|v| v.get::<u32>(d)).map(|n| n.value);
            let (first, last) = (number("first"), number("last"));
            fields.finish(d);
            Some(Need::Tables { first: first?, last: last? })
        }
        "Ipv4" => {
            let mut fields = value.fields(d)?;
            let protocol = fields.require("protocol", d).and_then(|v| v.get::<u8>(d)).map(|n| n.value);
            let remotes = fields.require("remotes", d).and_then(|v| prefix(&v, d));
            fields.finish(d);
            Some(Need::Ipv4 { protocol: protocol?, remotes: remotes? })
        }
        "Netlink" => {
            let mut fields = value.fields(d)?;
            let family = fields.require("family", d).and_then(|v| v.get::<u8>(d)).map(|n| n.value);
            let send = fields.take("send").map(|v| v.list(d)).unwrap_or_default();
            let send = send.iter().filter_map(|v| v.get::<u16>(d)).map(|n| n.value).collect();
            fields.finish(d);
            Some(Need::Netlink { family: family?, send })
        }
        other => {
            let span = value.name().map_or_else(|| value.span(), |n| n.span);
            let hint = did_you_mean(other, NAMES)
                .map_or_else(|| format!("one of {}", NAMES.join(", ")), |near| format!("did you mean `{near}`?"));
            d.error_with_hint(span, format!("unknown permission `{other}`"), hint);
            None
        }
    }
}

const fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "Udp",
        Transport::Tcp => "Tcp",
    }
}

/// `Udp(listen: "lan*:53")` or `Udp(connect: "192.0.2.53:53")`.
fn socket(value: &Value<'_>, transport: Transport, d: &mut Diagnostics) -> Option<Need> {
    let mut fields = value.fields(d)?;
    let (listen, connect) = (fields.take("listen"), fields.take("connect"));
    fields.finish(d);
    match (listen, connect) {
        (Some(listen), None) => {
            let expected = "an interface and a port such as \"lan*:53\"";
            listen.parse::<ListenAt>(d, expected).map(|at| Need::Listen {
                transport,
                interfaces: at.value.0,
                port: at.value.1,
            })
        }
        (None, Some(connect)) => {
            let expected = "an address or a prefix and a port such as \"192.0.2.53:53\" or \"[2001:db8::/32]:*\"";
            connect.parse::<ConnectTo>(d, expected).map(|to| Need::connect(transport, to.value.0, to.value.1))
        }
        _ => {
            let hint = format!("such as {}(connect: \"192.0.2.53:53\")", word(transport));
            d.error_with_hint(value.span(), "expected either `listen` or `connect`", hint);
            None
        }
    }
}

/// A port, or `*` for any, which is 0.
fn port_from_text(text: &str) -> Result<u16, &'static str> {
    match text {
        "*" => Ok(0),
        number => number.parse().ok().filter(|port| *port != 0).ok_or("no port number"),
    }
}

fn port_to_text(port: u16) -> String {
    if port == 0 { "*".to_owned() } else { port.to_string() }
}

struct ListenAt(Pattern, u16);

impl FromStr for ListenAt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, port) = text.rsplit_once(':').ok_or("no port")?;
        let port = port_from_text(port)?;
        Ok(Self(Pattern::new(name).ok_or("no interface name or pattern")?, port))
    }
}

struct ConnectTo(Prefix, u16);

impl FromStr for ConnectTo {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (remotes, port) = text.rsplit_once(':').ok_or("no port")?;
        let port = port_from_text(port)?;
        let remotes = match remotes.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or("no closing bracket")?,
            None => remotes,
        };
        let prefix = remotes.parse().map(Prefix::host).or_else(|_| {
            remotes.parse::<portreeve_config::IpPrefix>().map(Prefix::from).map_err(|_| "no address or prefix")
        })?;
        Ok(Self(prefix, port))
    }
}

/// Nothing behind the name.
fn bare(value: &Value<'_>, d: &mut Diagnostics) -> bool {
    let bare = value.name().is_some_and(|name| name.span == value.span());
    if !bare {
        d.error_with_hint(value.span(), "expected nothing behind the name", "remove the parentheses");
    }
    bare
}

/// The one unnamed value in `Name(value)`.
fn inner<'a>(value: &Value<'a>, d: &mut Diagnostics) -> Option<Value<'a>> {
    let inner = value.single();
    if inner.is_none() {
        d.error_with_hint(value.span(), "expected exactly one value in parentheses", "such as Links(\"lan0\")");
    }
    inner
}

fn pattern(value: &Value<'_>, d: &mut Diagnostics) -> Option<Pattern> {
    value.parse::<Pattern>(d, "an interface name or a pattern such as \"lan*\"").map(|p| p.value)
}

fn types(value: &Value<'_>, d: &mut Diagnostics) -> BTreeSet<u8> {
    value.list(d).iter().filter_map(|v| v.get::<u8>(d)).map(|n| n.value).collect()
}

fn prefix(value: &Value<'_>, d: &mut Diagnostics) -> Option<Prefix> {
    value.parse::<portreeve_config::IpPrefix>(d, "a prefix such as \"2001:db8::/32\"").map(|p| p.value.into())
}

fn other_name(value: &Value<'_>, d: &mut Diagnostics) -> Option<NamePattern> {
    value.parse::<NamePattern>(d, "a name, or a pattern with `*`").map(|p| p.value)
}
