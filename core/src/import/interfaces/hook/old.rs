//! route(8) and ifconfig(8), which files of their time use.

use super::Context;
use super::ip::Words;
use crate::import::interfaces::plan::{Address, Plan, Route};
use crate::import::interfaces::value::{self, Net};
use crate::import::ron::quoted;

/// One `route` command.
pub(super) fn route(context: &Context<'_>, plan: &mut Plan, words: &[&str]) -> Result<(), String> {
    let mut words = Words::new(words);
    let (mut v6, mut mask, mut to) = (false, None, None);
    let mut route = Route::new(&context.setting.place, context.home, Net::host(std::net::Ipv6Addr::UNSPECIFIED.into()));
    while let Some(word) = words.next() {
        match word {
            "-A" | "--inet6" | "-6" => v6 = word != "-A" || words.argument(word)? == "inet6",
            "add" | "-net" | "-host" => {}
            "netmask" => mask = Some(value::length(words.argument(word)?, v6)?),
            "gw" => route.via = Some(value::address(words.argument(word)?, v6)?),
            "metric" => route.metric = Some(words.number(word)?),
            "dev" => route.dev = Some(words.argument(word)?.to_owned()),
            "reject" => route.kind = Some("Unreachable"),
            "del" => return Err("it takes a route away".into()),
            _ if to.is_none() => to = Some(word),
            // The interface may stand at the end without `dev`.
            _ if route.dev.is_none() => route.dev = Some(word.to_owned()),
            _ => return Err(format!("`{word}` is not understood")),
        }
    }
    let text = to.ok_or("it has no destination")?;
    let mut net = value::destination(text, Some(v6)).ok_or_else(|| format!("`{text}` is no destination"))?;
    if let Some(length) = mask {
        net.length = length;
    }
    route.to = net.network();
    plan.routes.push(route);
    Ok(())
}

/// One `ifconfig` command.
pub(super) fn ifconfig(context: &Context<'_>, plan: &mut Plan, words: &[&str]) -> Result<(), String> {
    let mut words = Words::new(words);
    let name = words.argument("ifconfig")?.split(':').next().unwrap_or_default();
    let (mut found, mut mask) = (None, None);
    let mut fields = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "up" if name != context.home => plan.brought_up.push(name.to_owned()),
            "up" | "down" | "inet" | "inet6" | "add" | "0.0.0.0" => {}
            "mtu" => fields.push(("mtu", words.number::<u32>(word)?.to_string())),
            "netmask" => mask = Some(value::length(words.argument(word)?, false)?),
            "broadcast" => drop(words.argument(word)?),
            "hw" => {
                words.argument(word)?;
                let mac = value::mac(words.argument(word)?).ok_or("its MAC address is not understood")?;
                fields.push(("mac", quoted(&mac)));
            }
            _ if found.is_none() => {
                let read = value::address_and_length(word, word.contains(':'));
                found = Some(read.map_err(|_| format!("`{word}` is not understood"))?);
            }
            _ => return Err(format!("`{word}` is not understood")),
        }
    }
    if let Some((address, length)) = found {
        let length = length.or(mask).unwrap_or(value::assumed_length(address));
        plan.entry(name).addresses.push(Address::new(Net { address, length }));
    }
    if !fields.is_empty() {
        plan.entry(name).fields.extend(fields);
    }
    Ok(())
}
