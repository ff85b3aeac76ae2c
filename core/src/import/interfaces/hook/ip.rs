//! ip(8): addresses, routes and rules; `link` has the rest.

use super::Context;
use super::link::{link_add, link_set, neighbour, tunnel};
use crate::import::interfaces::plan::{Address, Plan, Route, Rule};
use crate::import::interfaces::value::{self, Net};
use crate::import::ron::quoted;

/// The words that are left.
pub(super) struct Words<'a>(std::slice::Iter<'a, &'a str>);

impl<'a> Words<'a> {
    pub fn new(words: &'a [&'a str]) -> Self {
        Self(words.iter())
    }

    pub fn next(&mut self) -> Option<&'a str> {
        self.0.next().copied()
    }

    /// The argument of `word`.
    pub fn argument(&mut self, word: &str) -> Result<&'a str, String> {
        self.next().ok_or_else(|| format!("`{word}` has no argument"))
    }

    pub fn number<T: std::str::FromStr>(&mut self, word: &str) -> Result<T, String> {
        let text = self.argument(word)?;
        text.parse().map_err(|_| format!("`{word} {text}` is no number"))
    }
}

/// A word that is not understood makes the whole command so.
pub(super) fn unknown<T>(word: &str) -> Result<T, String> {
    Err(format!("`{word}` is not understood"))
}

/// One `ip` command.
pub(super) fn ip(context: &Context<'_>, plan: &mut Plan, words: &[&str]) -> Result<(), String> {
    let mut words = Words::new(words);
    let mut v6 = None;
    loop {
        let word = words.argument("ip")?;
        match word {
            "-6" | "-inet6" => v6 = Some(true),
            "-4" | "-inet" => v6 = Some(false),
            "-f" | "-family" => v6 = Some(words.argument(word)? == "inet6"),
            _ if word.starts_with('-') => {}
            _ => {
                let verb = words.next().unwrap_or("show");
                return match (word, verb) {
                    ("a" | "ad" | "addr" | "address", "a" | "add" | "replace" | "change") => {
                        address(context, plan, &mut words)
                    }
                    ("r" | "ro" | "route", "a" | "add" | "append" | "replace" | "change") => {
                        route(context, plan, &mut words, v6)
                    }
                    ("ru" | "rule", "a" | "add") => rule(plan, &mut words, v6),
                    ("l" | "link", "s" | "set") => link_set(context, plan, &mut words),
                    ("l" | "link", "a" | "add") => link_add(context, plan, &mut words),
                    ("n" | "neigh" | "neighbor" | "neighbour", "a" | "add" | "replace") => {
                        neighbour(context, plan, &mut words)
                    }
                    ("t" | "tun" | "tunnel", "a" | "add") => tunnel(context, plan, &mut words),
                    // Nothing is there that was not written.
                    (_, "flush" | "show" | "list") => Ok(()),
                    ("a" | "addr" | "address", "d" | "del" | "delete") => Ok(()),
                    _ => unknown(&format!("{word} {verb}")),
                };
            }
        }
    }
}

fn address(context: &Context<'_>, plan: &mut Plan, words: &mut Words<'_>) -> Result<(), String> {
    let mut dev = context.home.to_owned();
    let mut found = None;
    let mut new = Address::new(Net::host(std::net::Ipv6Addr::UNSPECIFIED.into()));
    while let Some(word) = words.next() {
        match word {
            "dev" => words.argument(word)?.split(':').next().unwrap_or_default().clone_into(&mut dev),
            "peer" => {
                let peer = words.argument(word)?.split('/').next().unwrap_or_default();
                new.peer = Some(peer.parse().map_err(|_| format!("`{peer}` is no address"))?);
            }
            "broadcast" | "brd" | "label" => drop(words.argument(word)?),
            "scope" if matches!(words.argument(word)?, "global" | "site") => {}
            "nodad" => new.dad = false,
            "preferred_lft" => {
                new.preferred = value::lifetime(words.argument(word)?).ok_or("the lifetime is no number")?
            }
            "valid_lft" => new.valid = value::lifetime(words.argument(word)?).ok_or("the lifetime is no number")?,
            "local" => found = Some(words.argument(word)?),
            _ if found.is_none() => found = Some(word),
            _ => return unknown(word),
        }
    }
    let text = found.ok_or("it has no address")?;
    let (address, length) = value::address_and_length(text, text.contains(':'))?;
    new.net = Net { address, length: length.unwrap_or(value::bits(address)) };
    let entry = plan.entry(&dev);
    if !entry.addresses.iter().any(|known| known.net == new.net) {
        entry.addresses.push(new);
    }
    Ok(())
}

/// The number of a routing table.
pub(super) fn table(text: &str) -> Result<u32, String> {
    match text {
        "main" => Ok(254),
        "default" => Ok(253),
        "local" => Ok(255),
        _ => text.parse().map_err(|_| format!("table `{text}` has its number in /etc/iproute2/rt_tables; write that")),
    }
}

fn kind(word: &str) -> Option<&'static str> {
    Some(match word {
        "unreachable" => "Unreachable",
        "blackhole" => "Blackhole",
        "prohibit" => "Prohibit",
        "throw" => "Throw",
        _ => return None,
    })
}

fn route(context: &Context<'_>, plan: &mut Plan, words: &mut Words<'_>, v6: Option<bool>) -> Result<(), String> {
    let mut route = Route::new(&context.setting.place, context.home, Net::host(std::net::Ipv6Addr::UNSPECIFIED.into()));
    let (mut to, mut from) = (None, None);
    while let Some(word) = words.next() {
        match word {
            "via" => {
                let text = words.argument(word)?;
                let text = if matches!(text, "inet" | "inet6") { words.argument(word)? } else { text };
                route.via = Some(text.parse().map_err(|_| format!("`{text}` is no address"))?);
            }
            "dev" => route.dev = Some(words.argument(word)?.to_owned()),
            "metric" | "preference" | "priority" => route.metric = Some(words.number(word)?),
            "table" => route.table = Some(table(words.argument(word)?)?).filter(|table| *table != 254),
            "src" => route.source = Some(words.argument(word)?.parse().map_err(|_| "`src` is no address")?),
            "mtu" => route.mtu = Some(words.number(word)?),
            "onlink" => route.on_link = true,
            "from" => from = Some(words.argument(word)?),
            "proto" | "protocol" | "scope" | "pref" => drop(words.argument(word)?),
            "to" => to = Some(words.argument(word)?),
            "unicast" => {}
            _ if kind(word).is_some() => route.kind = kind(word),
            _ if to.is_none() => to = Some(word),
            _ => return unknown(word),
        }
    }
    let v6 = v6.or(route.via.map(|via| via.is_ipv6()));
    let text = to.ok_or("it has no destination")?;
    // As ip(8): a default route is one of IPv4 if nothing says otherwise.
    let fallback = (text == "default").then_some(false);
    route.to = value::destination(text, v6.or(fallback)).ok_or_else(|| format!("`{text}` is no destination"))?;
    if let Some(text) = from {
        route.from = Some(value::destination(text, v6).ok_or_else(|| format!("`{text}` is no source"))?);
    }
    plan.routes.push(route);
    Ok(())
}

fn rule(plan: &mut Plan, words: &mut Words<'_>, v6: Option<bool>) -> Result<(), String> {
    let mut priority = None;
    let mut last = None;
    let mut middle = Vec::new();
    let mut told = false;
    while let Some(word) = words.next() {
        match word {
            "from" | "to" => {
                let text = words.argument(word)?;
                if !matches!(text, "all" | "any" | "default") {
                    let net = value::destination(text, v6).ok_or_else(|| format!("`{text}` is no prefix"))?;
                    middle.push((if word == "from" { "from" } else { "to" }, quoted(&net.to_string())));
                    told = true;
                }
            }
            "iif" | "dev" => middle.push(("incoming", quoted(words.argument(word)?))),
            "oif" => middle.push(("outgoing", quoted(words.argument(word)?))),
            "fwmark" => middle.push(("mark", quoted(words.argument(word)?))),
            "table" | "lookup" => last = Some(("table", table(words.argument(word)?)?.to_string())),
            "priority" | "pref" | "preference" | "prio" | "order" => priority = Some(words.number::<u32>(word)?),
            "suppress_prefixlength" => middle.push(("suppress_prefix_length", words.argument(word)?.to_owned())),
            _ => match kind(word) {
                Some(kind) => last = Some(("action", kind.to_owned())),
                None => return unknown(word),
            },
        }
    }
    // As the kernel: before all those of its family that are there.
    let v6 =
        v6.unwrap_or_else(|| middle.iter().any(|(name, text)| matches!(*name, "from" | "to") && text.contains(':')));
    let lowest = plan.rules.iter().filter(|rule| rule.v6 == v6).map(|rule| rule.priority).min().unwrap_or(32_766);
    let priority = priority.unwrap_or(lowest.saturating_sub(1));
    let mut fields = vec![("priority", priority.to_string())];
    if !told {
        fields.push(("family", if v6 { "Ipv6" } else { "Ipv4" }.to_owned()));
    }
    fields.extend(middle);
    fields.push(last.ok_or("it names no table")?);
    plan.rules.push(Rule { v6, priority, fields });
    Ok(())
}
