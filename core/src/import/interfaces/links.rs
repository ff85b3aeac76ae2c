//! Links that ifupdown and its helpers make by themselves: VLANs (by name or `vlan-raw-device`), bridges
//! (bridge-utils) and bonds (ifenslave).

use super::convert::{Settings, make};
use super::plan::{Kind, Plan};
use super::read::Setting;

/// The kernel's modes of bonding(4), by number and name, as router.ron names them.
const BOND_MODES: [(&str, &str); 7] = [
    ("balance-rr", "BalanceRr"),
    ("active-backup", "ActiveBackup"),
    ("balance-xor", "BalanceXor"),
    ("broadcast", "Broadcast"),
    ("802.3ad", "Ieee8023Ad"),
    ("balance-tlb", "BalanceTlb"),
    ("balance-alb", "BalanceAlb"),
];

/// Makes what the name and the settings ask for.
pub(super) fn link(plan: &mut Plan, name: &str, settings: &mut Settings) {
    vlan(plan, name, settings);
    bridge(plan, name, settings);
    bond(plan, name, settings);
}

fn vlan(plan: &mut Plan, name: &str, settings: &mut Settings) {
    let raw = settings.take("vlan-raw-device");
    let written = settings.take("vlan-id");
    let protocol = settings.take("vlan-protocol");
    let dotted = name.rsplit_once('.').filter(|(_, id)| !id.is_empty() && id.bytes().all(|b| b.is_ascii_digit()));
    let numbered = name.trim_start_matches(|c: char| !c.is_ascii_digit());
    let parent = raw.as_ref().map(|s| s.value.clone()).or_else(|| dotted.map(|(parent, _)| parent.to_owned()));
    let Some(parent) = parent else { return };
    let id = written.as_ref().map(|s| s.value.as_str()).or(dotted.map(|(_, id)| id)).unwrap_or(numbered);
    let place = written
        .as_ref()
        .or(raw.as_ref())
        .map(|s| s.place.clone())
        .or_else(|| plan.find(name).and_then(|entry| entry.place.clone()));
    let Some(place) = place else { return };
    match id.parse::<u16>().ok().filter(|id| (1..=4094).contains(id)) {
        Some(id) => {
            let ad = protocol.is_some_and(|s| s.value.eq_ignore_ascii_case("802.1ad"));
            make(plan, name, &place, Kind::Vlan { parent, id, ad });
        }
        None => plan.mistake(&place, format!("`{id}` is no VLAN of {name}; a VLAN has a number from 1 to 4094")),
    }
}

fn bridge(plan: &mut Plan, name: &str, settings: &mut Settings) {
    let Some(written) = settings.take("bridge-ports") else { return };
    let mut ports = Vec::new();
    let mut regex = false;
    for word in written.value.split_whitespace() {
        match word {
            "none" => {}
            "regex" => regex = true,
            "noregex" => regex = false,
            "all" => {
                ports.extend(["eth*".to_owned(), "em*".to_owned()]);
                let message = "`all` also took in p0, p1 and so on; add them to `ports` if there are any";
                plan.warn(&written.place, Some(name), message.into());
            }
            _ if regex => match word.strip_suffix(".*").filter(|start| is_plain(start)) {
                Some(start) => ports.push(format!("{start}*")),
                None => {
                    let message =
                        format!("`regex {word}` is no pattern of router.ron; write names, or patterns with `*`");
                    plan.warn(&written.place, Some(name), message);
                }
            },
            _ => ports.push(word.to_owned()),
        }
    }
    let on = |setting: &Setting| matches!(setting.value.as_str(), "on" | "yes" | "1");
    let stp = settings.take("bridge-stp").as_ref().is_some_and(on);
    let vlan_filtering = settings.take("bridge-vlan-aware").as_ref().is_some_and(on);
    let snooping = settings.take("bridge-mcsnoop").as_ref().map(on);
    let forward_delay = settings.take("bridge-fd").and_then(|setting| match setting.value.parse::<f32>() {
        // Zero is what a bridge without STP has anyway.
        Ok(0.0) => None,
        Ok(seconds) if seconds > 0.0 && seconds < 1000.0 => Some(format!("{}s", seconds.ceil())),
        _ => {
            plan.mistake(&setting.place, format!("`bridge_fd {}` is no number of seconds; correct it", setting.value));
            None
        }
    });
    if let Some(setting) = settings.take("bridge-hw") {
        match super::value::mac(setting.value.trim_start_matches("MAC ")) {
            Some(mac) => drop(plan.entry(name).fields.insert("mac", super::super::ron::quoted(&mac))),
            None => plan.warn(
                &setting.place,
                Some(name),
                format!("the bridge had the MAC address of {}; write that address as `mac`", setting.value),
            ),
        }
    }
    make(plan, name, &written.place, Kind::Bridge { ports, stp, vlan_filtering, forward_delay, snooping });
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

fn bond(plan: &mut Plan, name: &str, settings: &mut Settings) {
    if let Some(master) = settings.take("bond-master") {
        plan.bonded.push((master.value, name.to_owned()));
    }
    let written = settings.take("bond-mode");
    let slaves = settings.take_all(&["bond-slaves", "slaves"]);
    let Some(place) = written.as_ref().or(slaves.first()).map(|setting| setting.place.clone()) else { return };
    let mode = written.and_then(|setting| {
        let by_name = BOND_MODES.iter().find(|(kernel, _)| *kernel == setting.value);
        let by_number = || setting.value.parse::<usize>().ok().and_then(|number| BOND_MODES.get(number));
        let found = by_name.or_else(by_number).map(|(_, ours)| *ours);
        if found.is_none() {
            let known = BOND_MODES.map(|(kernel, _)| kernel).join(", ");
            plan.mistake(&setting.place, format!("`{}` is no bonding mode; write one of {known}", setting.value));
        }
        found
    });
    let members = slaves.iter().flat_map(|s| s.value.split_whitespace()).filter(|word| *word != "none");
    let members = members.map(str::to_owned).collect();
    let miimon = settings.take("bond-miimon").and_then(|s| s.value.parse().ok());
    make(plan, name, &place, Kind::Bond { mode: mode.or(Some("BalanceRr")), members, miimon });
}
