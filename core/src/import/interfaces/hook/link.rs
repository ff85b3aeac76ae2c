//! ip(8): links, neighbours and tunnels.

use super::Context;
use super::ip::{Words, table, unknown};
use crate::import::interfaces::convert::make;
use crate::import::interfaces::plan::{Kind, Plan};
use crate::import::interfaces::value;
use crate::import::ron::quoted;

/// `ip link set`.
pub(super) fn link_set(context: &Context<'_>, plan: &mut Plan, words: &mut Words<'_>) -> Result<(), String> {
    let mut name = words.argument("set")?;
    if name == "dev" {
        name = words.argument(name)?;
    }
    let mut fields = Vec::new();
    let mut master = None;
    while let Some(word) = words.next() {
        match word {
            // Whether it comes up is decided by `auto`; links that nothing declares are looked after when they are named.
            "up" if name != context.home => plan.brought_up.push(name.to_owned()),
            "up" | "down" | "nomaster" => {}
            "mtu" => fields.push(("mtu", words.number::<u32>(word)?.to_string())),
            "address" => {
                let mac = value::mac(words.argument(word)?).ok_or("its MAC address is not understood")?;
                fields.push(("mac", quoted(&mac)));
            }
            "master" => master = Some(words.argument(word)?),
            "alias" => drop(words.argument(word)?),
            _ => return unknown(word),
        }
    }
    if let Some(master) = master {
        let known = plan.entries.iter_mut().find(|entry| entry.name == master).and_then(|entry| entry.kind.as_mut());
        match known {
            Some(Kind::Bridge { ports: members, .. } | Kind::Bond { members, .. } | Kind::Vrf { members, .. }) => {
                members.push(name.to_owned())
            }
            _ => return Err(format!("nothing above makes {master}; add {name} to its `ports` or `members`")),
        }
    }
    if !fields.is_empty() {
        plan.entry(name).fields.extend(fields);
    }
    Ok(())
}

/// `ip link add`.
pub(super) fn link_add(context: &Context<'_>, plan: &mut Plan, words: &mut Words<'_>) -> Result<(), String> {
    let (mut parent, mut name, mut made) = (None, None, None);
    let mut options: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "link" => parent = Some(words.argument(word)?.to_owned()),
            "dev" | "name" if made.is_none() => name = Some(words.argument(word)?),
            "type" => made = Some(words.argument(word)?),
            _ if made.is_none() && name.is_none() => name = Some(word),
            _ => options.push(word),
        }
    }
    let name = name.ok_or("it has no name")?;
    let option = |wanted: &str| options.iter().position(|o| *o == wanted).and_then(|at| options.get(at + 1)).copied();
    let parent = || parent.clone().ok_or("it has no `link`");
    let kind = match made.unwrap_or_default() {
        "dummy" => Kind::Dummy,
        "bridge" => {
            Kind::Bridge { ports: Vec::new(), stp: false, vlan_filtering: false, forward_delay: None, snooping: None }
        }
        "veth" => Kind::Veth { peer: option("name").ok_or("it names no peer")?.to_owned() },
        "vlan" => {
            let id = option("id").and_then(|id| id.parse().ok()).ok_or("it has no VLAN number")?;
            Kind::Vlan {
                parent: parent()?,
                id,
                ad: option("protocol").is_some_and(|p| p.eq_ignore_ascii_case("802.1ad")),
            }
        }
        "macvlan" => {
            let mode = match option("mode") {
                None => None,
                Some("private") => Some("Private"),
                Some("vepa") => Some("Vepa"),
                Some("bridge") => Some("Bridge"),
                Some("passthru") => Some("Passthru"),
                Some(other) => return unknown(other),
            };
            Kind::Macvlan { parent: parent()?, mode }
        }
        "vrf" => Kind::Vrf { table: table(option("table").ok_or("it has no table")?)?, members: Vec::new() },
        "wireguard" => return Err("a tunnel of kind WireGuard of the plugin `tunnels` does this".into()),
        other => return Err(format!("links of type `{other}` are not made")),
    };
    make(plan, name, &context.setting.place, kind);
    Ok(())
}

/// `ip neigh add`.
pub(super) fn neighbour(context: &Context<'_>, plan: &mut Plan, words: &mut Words<'_>) -> Result<(), String> {
    let (mut dev, mut mac, mut address, mut proxy) = (context.home, None, None, false);
    while let Some(word) = words.next() {
        match word {
            "dev" => dev = words.argument(word)?,
            "lladdr" => mac = value::mac(words.argument(word)?),
            "nud" => drop(words.argument(word)?),
            "proxy" => {
                proxy = true;
                address = Some(words.argument(word)?);
            }
            "to" => address = Some(words.argument(word)?),
            _ if address.is_none() => address = Some(word),
            _ => return unknown(word),
        }
    }
    let address = address.and_then(|text| text.parse().ok()).ok_or("it has no address")?;
    match mac {
        _ if proxy => plan.entry(dev).proxy.push(address),
        Some(mac) => plan.entry(dev).neighbours.push((address, mac)),
        None => return Err("it has no MAC address".into()),
    }
    Ok(())
}

/// `ip tunnel add`.
pub(super) fn tunnel(context: &Context<'_>, plan: &mut Plan, words: &mut Words<'_>) -> Result<(), String> {
    let (mut name, mut mode, mut remote, mut local, mut limit) = (None, "", None, None, None);
    let mut fields = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "mode" => mode = words.argument(word)?,
            "remote" => remote = Some(words.argument(word)?.to_owned()).filter(|remote| remote != "any"),
            "local" => local = Some(words.argument(word)?.to_owned()).filter(|local| local != "any"),
            "ttl" | "hoplimit" => match words.argument(word)? {
                "inherit" => fields.push(("ttl", "0".to_owned())),
                text => fields.push(("ttl", text.parse::<u8>().map_err(|_| "its ttl is no number")?.to_string())),
            },
            "tos" => fields.push(("tos", super::tos(words.argument(word)?).ok_or("its tos is not understood")?)),
            "encaplimit" => limit = words.argument(word)?.parse().ok(),
            "name" => name = Some(words.argument(word)?),
            "dev" => drop(words.argument(word)?),
            _ if name.is_none() => name = Some(word),
            _ => return unknown(word),
        }
    }
    let name = name.ok_or("it has no name")?;
    let remote = remote.ok_or("it has no remote address")?;
    let kind = super::tunnel_kind(mode, remote, local, limit)?;
    if matches!(kind, Kind::Ip6Tunnel { .. }) {
        fields.iter_mut().filter(|field| field.0 == "ttl").for_each(|field| field.0 = "hop_limit");
    }
    make(plan, name, &context.setting.place, kind);
    plan.entry(name).fields.extend(fields);
    Ok(())
}
