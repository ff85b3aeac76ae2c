//! What `-m …` brings: the options of matches, and those that only make sense together (rates, numbers of connections).

use super::super::plan::{Field, Matches, Value};
use super::{Family, Reader, Severity, address, icmp, names};
use crate::import::ron::quoted;

/// Matches whose options are read here.
const KNOWN: [&str; 23] = [
    "",
    "tcp",
    "udp",
    "udplite",
    "sctp",
    "dccp",
    "icmp",
    "icmp6",
    "ipv6-icmp",
    "multiport",
    "state",
    "conntrack",
    "limit",
    "hashlimit",
    "connlimit",
    "mac",
    "mark",
    "comment",
    "iprange",
    "hl",
    "ttl",
    "addrtype",
    "icmpv6",
];
/// The most packets of a rate, of a burst, of connections that a rule may name.
const MOST: u64 = 1_000_000;

/// Whether the options of that match are read here.
pub(super) fn is_known(module: &str) -> bool {
    KNOWN.contains(&module)
}

/// What to write instead of a match that has no counterpart.
pub(super) fn hint(module: &str) -> Option<&'static str> {
    Some(match module {
        "set" => {
            "write the ipset's elements as `sets: {\"NAME\": (elements: [..])}` or `(file: \"NAME.txt\")`, and the rule with \
             `source: [\"@NAME\"]` or `destination: [\"@NAME\"]`"
        }
        "recent" => {
            "write `sets: {\"NAME\": (dynamic: true, timeout: \"10m\")}`, `add_source_to: \"NAME\"` in the rule that \
             remembers, `source: [\"@NAME\"]` in the one that asks, or `limit: (rate: .., per: Source)` for a hit count"
        }
        "pkttype" => {
            "write the destination instead: 224.0.0.0/4 or ff00::/8 for multicast, the networks' last addresses for broadcast"
        }
        "rt" => "Linux ignores routing headers of type 0 since 2007 (RFC 5095)",
        "owner" => "a service that must not speak is better confined where it is started",
        "physdev" => "name the bridge as `incoming` or `outgoing`",
        _ => return None,
    })
}

/// Options that are complete only together.
#[derive(Debug, Default)]
pub(super) struct Several {
    /// A list of addresses, of which iptables makes several rules.
    pub listed: bool,
    rate: Option<String>,
    burst: Option<String>,
    hash: Option<Hash>,
    connections: Option<(bool, u64)>,
    connection_mask: Option<u8>,
    by_destination: bool,
}

#[derive(Debug, Default)]
struct Hash {
    rate: Option<(bool, String)>,
    burst: Option<String>,
    mode: Option<String>,
    source_mask: Option<u8>,
    destination_mask: Option<u8>,
    sizes: bool,
}

impl Reader<'_> {
    /// Options whose names nothing else has; true if it was one.
    pub(super) fn known_always(&mut self, option: &str, negated: bool) -> Result<bool, String> {
        let mut negated = negated;
        match option {
            "--sport" | "--source-port" | "--dport" | "--destination-port" => {
                let value = self.value(option, &mut negated)?;
                let field = if option.starts_with("--s") { Field::SourcePort } else { Field::DestinationPort };
                let ports = names::ports(&value, ':')?;
                self.ports = Some(option.to_owned());
                self.parsed.list(field, negated, vec![ports]);
            }
            "--comment" => {
                let text = self.plain(option, negated)?;
                self.parsed.name = Some(text).filter(|text| !text.is_empty());
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Options of matches; true if it was one.
    pub(super) fn match_option(&mut self, option: &str, negated: bool) -> Result<bool, String> {
        let mut negated = negated;
        match option {
            "--sports" | "--source-ports" | "--dports" | "--destination-ports" | "--ports" | "--port" => {
                self.multiport(option, negated)?;
            }
            "--state" | "--ctstate" => self.states(option, negated)?,
            "--ctstatus" => match self.value(option, &mut negated)?.as_str() {
                "DNAT" if !negated => self.parsed.add(Field::Translated, Value::Text("true".into())),
                value => self.lost(option, negated, value),
            },
            "--icmp-type" | "--icmpv6-type" => {
                let value = self.value(option, &mut negated)?;
                match icmp::parse(&value, self.about.family)? {
                    Some(kind) => self.parsed.list(Field::Icmp, negated, vec![kind]),
                    None if negated => self.parsed.never = Some(format!("`! {option} {value}` leaves no type")),
                    None => {}
                }
            }
            "--syn" => self.tcp_flags("syn/fin,syn,rst,ack", negated),
            "--tcp-flags" => {
                let mask = self.value(option, &mut negated)?;
                let wanted = self.value(option, &mut negated)?;
                let (mask, wanted) = (flags(&mask)?, flags(&wanted)?);
                if wanted & !mask != 0 {
                    self.parsed.never = Some("flags are wanted that the mask leaves out".into());
                } else if mask == 0 {
                    return Err("`--tcp-flags NONE` looks at no flag; remove it".into());
                } else {
                    self.tcp_flags(&format!("{}/{}", flag_names(wanted), flag_names(mask)), negated);
                }
            }
            "--limit" => self.several.rate = Some(self.plain(option, negated)?),
            "--limit-burst" => self.several.burst = Some(self.plain(option, negated)?),
            "--mac-source" => {
                let value = self.value(option, &mut negated)?;
                let octet = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
                if value.split(':').count() != 6 || !value.split(':').all(octet) {
                    return Err(format!("`{value}` is no MAC address; write one such as 02:00:5e:10:00:01"));
                }
                if matches!(self.about.hook, Some("OUTPUT" | "POSTROUTING")) {
                    self.parsed.never = Some("packets have no source of Ethernet there yet".into());
                }
                self.parsed.list(Field::SourceMac, negated, vec![value.to_ascii_lowercase()]);
            }
            "--mark" => {
                let value = self.value(option, &mut negated)?;
                let (mark, mask) = masked(&value)?;
                if negated {
                    self.lost(option, negated, &value);
                } else if mark & !mask != 0 {
                    self.parsed.never = Some(format!("`--mark {value}` wants bits that its mask leaves out"));
                } else if mask != 0 {
                    self.parsed.add(Field::Mark, Value::Text(quoted(&format!("{mark:#x}/{mask:#x}"))));
                }
            }
            "--src-range" | "--dst-range" => {
                let value = self.value(option, &mut negated)?;
                let field = if option == "--src-range" { Field::Source } else { Field::Destination };
                let range = address::range(&value, self.about.family)?;
                self.parsed.list(field, negated, vec![range]);
            }
            "--src-type" | "--dst-type" => self.address_type(option, negated)?,
            _ if option.starts_with("--hl-") || option.starts_with("--ttl") => return self.hop_limit(option, negated),
            _ if option.starts_with("--hashlimit") => return self.hashlimit(option, negated),
            _ if option.starts_with("--connlimit") => return self.connlimit(option, negated),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// An option that was read and cannot be expressed.
    fn lost(&mut self, option: &str, negated: bool, value: &str) {
        self.parsed.missing.push(format!("{}{option} {value}", if negated { "! " } else { "" }));
    }

    fn tcp_flags(&mut self, text: &str, negated: bool) {
        let text = if negated { format!("!{text}") } else { text.to_owned() };
        self.parsed.add(Field::TcpFlags, Value::Text(quoted(&text)));
    }

    fn multiport(&mut self, option: &str, negated: bool) -> Result<(), String> {
        let mut negated = negated;
        let value = self.value(option, &mut negated)?;
        let ports = value.split(',').map(|part| names::ports(part, ':')).collect::<Result<Vec<_>, _>>()?;
        self.ports = Some(option.to_owned());
        match option {
            "--sports" | "--source-ports" => self.parsed.list(Field::SourcePort, negated, ports),
            "--dports" | "--destination-ports" => self.parsed.list(Field::DestinationPort, negated, ports),
            _ if negated => {
                self.parsed.list(Field::SourcePort, true, ports.clone());
                self.parsed.list(Field::DestinationPort, true, ports);
            }
            _ => {
                let list = |negated| Value::List { negated, items: ports.clone() };
                let (mut first, mut second) = (Matches::default(), Matches::default());
                first.add(Field::SourcePort, &list(false));
                second.add(Field::SourcePort, &list(true));
                second.add(Field::DestinationPort, &list(false));
                self.either(first, second, option, &value);
            }
        }
        Ok(())
    }

    fn either(&mut self, first: Matches, second: Matches, option: &str, value: &str) {
        if self.parsed.either.is_some() {
            self.lost(option, false, value);
        } else {
            self.parsed.either = Some((first, second));
        }
    }

    fn states(&mut self, option: &str, negated: bool) -> Result<(), String> {
        let mut negated = negated;
        let value = self.value(option, &mut negated)?;
        let (mut states, mut translated) = (Vec::new(), false);
        for word in value.split(',') {
            let state = match word {
                "NEW" => "New",
                "ESTABLISHED" => "Established",
                "RELATED" => "Related",
                "INVALID" => "Invalid",
                "UNTRACKED" => "Untracked",
                "DNAT" if option == "--ctstate" && !negated => {
                    translated = true;
                    continue;
                }
                "SNAT" | "DNAT" if option == "--ctstate" => {
                    self.lost(option, negated, &value);
                    return Ok(());
                }
                _ => {
                    return Err(format!("`{word}` is no state; write NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED"));
                }
            };
            if !states.iter().any(|known| known == state) {
                states.push(state.to_owned());
            }
        }
        let list = |negated| Value::List { negated, items: states.clone() };
        let truth = Value::Text("true".into());
        match (states.is_empty(), translated) {
            (_, false) => self.parsed.add(Field::States, list(negated)),
            (true, true) => self.parsed.add(Field::Translated, truth),
            (false, true) => {
                let (mut first, mut second) = (Matches::default(), Matches::default());
                first.add(Field::States, &list(false));
                second.add(Field::States, &list(true));
                second.add(Field::Translated, &truth);
                self.either(first, second, option, &value);
            }
        }
        Ok(())
    }

    fn address_type(&mut self, option: &str, negated: bool) -> Result<(), String> {
        let mut negated = negated;
        let value = self.value(option, &mut negated)?;
        let field = if option == "--src-type" { Field::Source } else { Field::Destination };
        let multicast = if self.about.family == Family::Ipv4 { "224.0.0.0/4" } else { "ff00::/8" };
        match value.as_str() {
            "LOCAL" => self.parsed.list(field, negated, vec!["local".into()]),
            "MULTICAST" => self.parsed.list(field, negated, vec![multicast.into()]),
            _ => {
                self.lost(option, negated, &value);
                self.parsed.hints.push("write the addresses themselves".into());
            }
        }
        Ok(())
    }

    fn hop_limit(&mut self, option: &str, negated: bool) -> Result<bool, String> {
        let mut negated = negated;
        let (_, comparison) = option.rsplit_once('-').unwrap_or_default();
        let comparison = if option == "--ttl" { "eq" } else { comparison };
        if !matches!(comparison, "eq" | "lt" | "gt") {
            return Ok(false);
        }
        let value = self.value(option, &mut negated)?;
        let number: u8 = value.parse().map_err(|_| format!("`{value}` is no hop limit; write a number up to 255"))?;
        let text = match (comparison, negated) {
            ("eq", false) => number.to_string(),
            ("eq", true) => format!("!{number}"),
            ("lt", false) if number > 0 => format!("<{number}"),
            ("gt", false) if number < 255 => format!(">{number}"),
            ("lt" | "gt", false) => {
                self.parsed.never = Some(format!("no packet has `{option} {value}`"));
                return Ok(true);
            }
            ("lt", _) if number > 0 => format!(">{}", number - 1),
            ("gt", _) if number < 255 => format!("<{}", number + 1),
            _ => return Ok(true),
        };
        self.parsed.add(Field::HopLimit, Value::Text(quoted(&text)));
        Ok(true)
    }

    fn hashlimit(&mut self, option: &str, negated: bool) -> Result<bool, String> {
        let turned = negated;
        let mut negated = negated;
        let value = self.value(option, &mut negated)?;
        if negated && !matches!(option, "--hashlimit") && !turned {
            return Err(format!("`{option}` cannot be negated; remove the `!`"));
        }
        let hash = self.several.hash.get_or_insert_default();
        match option {
            "--hashlimit-upto" | "--hashlimit" => hash.rate = Some((negated, value)),
            "--hashlimit-above" => hash.rate = Some((!negated, value)),
            "--hashlimit-burst" => hash.burst = Some(value),
            "--hashlimit-mode" => hash.mode = Some(value),
            "--hashlimit-srcmask" => hash.source_mask = Some(mask_length(&value)?),
            "--hashlimit-dstmask" => hash.destination_mask = Some(mask_length(&value)?),
            "--hashlimit-name" => {}
            _ if option.starts_with("--hashlimit-htable-") => hash.sizes = true,
            _ => self.lost(option, negated, &value),
        }
        Ok(true)
    }

    fn connlimit(&mut self, option: &str, negated: bool) -> Result<bool, String> {
        let mut negated = negated;
        match option {
            "--connlimit-above" | "--connlimit-upto" => {
                let value = self.value(option, &mut negated)?;
                let count = value.parse::<u64>().map_err(|_| format!("`{value}` is no number of connections"))?;
                self.several.connections = Some(((option == "--connlimit-above") != negated, count));
            }
            "--connlimit-mask" => {
                let value = self.plain(option, negated)?;
                self.several.connection_mask = Some(mask_length(&value)?);
            }
            "--connlimit-saddr" => {}
            "--connlimit-daddr" => self.several.by_destination = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Adds rates and numbers of connections, now that all of their options are known.
    pub(super) fn finish_several(&mut self) -> Result<(), String> {
        let several = std::mem::take(&mut self.several);
        let counted = several.rate.is_some() || several.hash.is_some();
        if counted && several.listed {
            let message =
                "the addresses of the list share one rate; iptables made a rule with a rate of its own for each";
            self.parsed.remarks.push((Severity::Info, message.into()));
        }
        if several.burst.is_some() && several.rate.is_none() {
            return Err("`--limit-burst` has no rate; write `--limit` before it".into());
        }
        if let Some(rate) = &several.rate {
            match limit(rate, several.burst.as_deref(), "")? {
                Some(text) => self.parsed.add(Field::Limit, Value::Text(text)),
                None => self.lost("--limit", false, rate),
            }
        }
        if let Some(hash) = several.hash {
            self.finish_hash(&hash)?;
        }
        if let Some((above, count)) = several.connections {
            let per = match several.connection_mask {
                Some(0) => "Rule",
                mask => {
                    let per = if several.by_destination { "Destination" } else { "Source" };
                    if !self.whole(mask, per) {
                        self.lost("--connlimit-mask", false, &mask.unwrap_or_default().to_string());
                    }
                    per
                }
            };
            let field = if above { "above" } else { "up_to" };
            if count > MOST {
                self.lost("--connlimit-above", false, &count.to_string());
            } else {
                self.parsed.add(Field::Connections, Value::Text(format!("({field}: {count}, per: {per})")));
            }
        }
        Ok(())
    }

    fn finish_hash(&mut self, hash: &Hash) -> Result<(), String> {
        let Some((over, rate)) = &hash.rate else {
            return Err("hashlimit has no rate; write `--hashlimit-upto` or `--hashlimit-above`".into());
        };
        let (per, mask) = match hash.mode.as_deref() {
            None | Some("") => ("Rule", None),
            Some("srcip") => ("Source", hash.source_mask),
            Some("dstip") => ("Destination", hash.destination_mask),
            Some(other) => {
                self.lost("--hashlimit-mode", false, other);
                return Ok(());
            }
        };
        if per != "Rule" && !self.whole(mask, per) {
            self.lost("--hashlimit-srcmask", false, &mask.unwrap_or_default().to_string());
            return Ok(());
        }
        if hash.sizes {
            let message = "the size of hashlimit's table and how long it remembers are Portreeve's own";
            self.parsed.remarks.push((Severity::Info, message.into()));
        }
        let mut more = String::new();
        if *over {
            more.push_str(", over: true");
        }
        if per != "Rule" {
            more.push_str(&format!(", per: {per}"));
        }
        match limit(rate, hash.burst.as_deref(), &more)? {
            Some(text) => self.parsed.add(Field::Limit, Value::Text(text)),
            None => self.lost("--hashlimit", false, rate),
        }
        Ok(())
    }

    /// Whether it is about whole addresses, or about what Portreeve takes for one host.
    fn whole(&mut self, mask: Option<u8>, per: &str) -> bool {
        match (self.about.family, mask) {
            (Family::Ipv4, None | Some(32)) => true,
            (Family::Ipv6, Some(64)) => per == "Source",
            (Family::Ipv6, None | Some(128)) => {
                if per == "Source" {
                    let message = "each /64 of sources counts as one, not each address: a host has as many as it likes";
                    self.parsed.remarks.push((Severity::Warning, message.into()));
                }
                true
            }
            _ => false,
        }
    }
}

fn mask_length(text: &str) -> Result<u8, String> {
    text.parse().ok().filter(|length| *length <= 128).ok_or_else(|| format!("`{text}` is no length of a prefix"))
}

/// A rate as RON; nothing if it is one that no rule can have.
fn limit(rate: &str, burst: Option<&str>, more: &str) -> Result<Option<String>, String> {
    let (number, unit) = rate.split_once('/').unwrap_or((rate, "second"));
    let unit = match unit {
        "s" | "sec" | "second" => "second",
        "m" | "min" | "minute" => "minute",
        "h" | "hour" => "hour",
        "d" | "day" => "day",
        _ => return Err(format!("`{rate}` is no rate; write one such as 5/minute")),
    };
    // Rates of bytes end in a letter.
    if number.ends_with('b') {
        return Ok(None);
    }
    let number: u64 = number.parse().map_err(|_| format!("`{rate}` is no rate; write one such as 5/minute"))?;
    let burst = burst.unwrap_or("5");
    let burst: u64 = burst.parse().map_err(|_| format!("`{burst}` is no burst; write a number of packets"))?;
    if !(1..=MOST).contains(&number) || !(1..=MOST).contains(&burst) {
        return Ok(None);
    }
    Ok(Some(format!("(rate: \"{number}/{unit}\", burst: {burst}{more})")))
}

/// `VALUE[/MASK]`, in decimal, octal or hexadecimal figures.
pub(super) fn masked(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| {
        let parsed = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None if text.len() > 1 && text.starts_with('0') => u32::from_str_radix(text, 8),
            None => text.parse(),
        };
        parsed.map_err(|_| format!("`{text}` is no mark; write a number such as 0x1, or 0x1/0xff"))
    };
    match text.split_once('/') {
        Some((value, mask)) => Ok((number(value)?, number(mask)?)),
        None => Ok((number(text)?, u32::MAX)),
    }
}

/// In the order of iptables, which is that of their bits.
const FLAGS: [&str; 6] = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];

fn flags(text: &str) -> Result<u8, String> {
    let mut bits = 0;
    for word in text.split(',') {
        bits |= match (word, FLAGS.iter().position(|flag| *flag == word)) {
            ("ALL", _) => 0x3f,
            ("NONE", _) => 0,
            (_, Some(bit)) => 1_u8 << bit,
            _ => return Err(format!("`{word}` is no flag of TCP; write SYN, ACK, FIN, RST, URG, PSH, ALL or NONE")),
        };
    }
    Ok(bits)
}

fn flag_names(bits: u8) -> String {
    let set = FLAGS.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
    let names: Vec<String> = set.map(|(_, flag)| flag.to_ascii_lowercase()).collect();
    if names.is_empty() { "none".into() } else { names.join(",") }
}
