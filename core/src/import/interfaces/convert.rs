//! Stanzas into the plan: which of them count, and what each method and its settings mean.
//!
//! A stanza counts if something brings its interface up, or if it is no template of another. What a method leaves to a
//! running program is reported with the interface's name.

use portreeve_config::did_you_mean;

use super::plan::{Kind, Place, Plan};
use super::read::{Declared, Setting, Stanza};
use super::value;
use super::{hook, links};
use addresses::addresses;
use tunnel::{six_to_four, tunnel, v4tunnel};

mod addresses;
mod select;
mod tunnel;

const METHODS: [&str; 14] = [
    "loopback", "static", "manual", "dhcp", "bootp", "tunnel", "ppp", "wvdial", "ipv4ll", "auto", "v4tunnel", "6to4",
    "dynamic", "none",
];
const FAMILIES: [&str; 4] = ["inet", "inet6", "can", "ipx"];
/// What matters to ifupdown alone, or follows from what is written anyway.
const NOTHING_TO_DO: [&str; 13] = [
    "network",
    "media",
    "description",
    "dad-interval",
    "ll-attempts",
    "ll-interval",
    "bridge-maxwait",
    "bridge-waitport",
    "vlan-raw-device",
    "ifupdown-flags",
    "netmask",
    "hostname",
    "no-scripts",
];

/// The settings of a stanza that nobody has looked at yet.
pub(super) struct Settings(Vec<Setting>);

impl Settings {
    /// The first setting of that name.
    pub fn take(&mut self, name: &str) -> Option<Setting> {
        self.0.iter().position(|setting| setting.name == name).map(|at| self.0.remove(at))
    }

    /// Every setting of one of these names, in order.
    pub fn take_all(&mut self, names: &[&str]) -> Vec<Setting> {
        self.0.extract_if(.., |setting| names.contains(&setting.name.as_str())).collect()
    }
}

/// Puts all stanzas into the plan.
pub(super) fn convert(declared: &Declared, plan: &mut Plan) {
    let selection = select::select(declared, plan);
    for stanza in &declared.stanzas {
        let inherited = stanza.inherits.as_deref();
        if let Some(parent) = inherited.filter(|parent| !declared.stanzas.iter().any(|s| s.name == **parent)) {
            plan.mistake(&stanza.place, format!("there is no stanza `{parent}` to inherit from; correct its name"));
        }
        for target in selection.targets(stanza, declared) {
            let (name, label) = target.name.split_once(':').map_or((target.name.as_str(), None), |(n, l)| (n, Some(l)));
            let legal = value::is_interface_name(name) || target.pattern;
            if !legal {
                let why = "a name has 1 to 15 characters without blanks, slashes and stars";
                plan.mistake(&stanza.place, format!("`{name}` is no name of an interface; {why}"));
                continue;
            }
            let known = plan.find(name).is_some();
            let whole = inherit(stanza, declared);
            if !judge(&whole, plan) {
                continue;
            }
            if has_entry(&whole) {
                let entry = plan.entry(name);
                if !known || entry.place.is_none() {
                    entry.place = Some(stanza.place.clone());
                    entry.hotplug = target.hotplug;
                    entry.up = target.up;
                } else if label.is_none() {
                    entry.up |= target.up;
                    entry.hotplug &= target.hotplug;
                }
                if let Some(mac) = &target.mac {
                    entry.matched_mac = Some(mac.clone());
                }
            }
            one(plan, name, &whole);
        }
    }
}

/// The stanza with what it inherits: a setting of its own replaces an inherited one, commands add up.
fn inherit(stanza: &Stanza, declared: &Declared) -> Stanza {
    let mut whole = stanza.clone();
    let mut parent = stanza.inherits.clone();
    for _ in 0..16 {
        let Some(name) = parent.take() else { break };
        let named = || declared.stanzas.iter().filter(|other| other.name == name && other.place != stanza.place);
        let alike = named().find(|other| other.family == whole.family && other.method == whole.method);
        let Some(found) = alike.or_else(|| named().next()) else { break };
        if whole.family.is_empty() {
            whole.family.clone_from(&found.family);
        }
        if whole.method.is_empty() {
            whole.method.clone_from(&found.method);
        }
        let own = std::mem::take(&mut whole.settings);
        let kept = |s: &&Setting| hook::phase(&s.name).is_some() || !own.iter().any(|o| o.name == s.name);
        whole.settings = found.settings.iter().filter(kept).cloned().collect();
        whole.settings.extend(own);
        parent.clone_from(&found.inherits);
    }
    whole
}

/// Whether family and method are known; complains if not.
fn judge(stanza: &Stanza, plan: &mut Plan) -> bool {
    let guess = |word: &str, known: &[&'static str]| {
        did_you_mean(word, known.iter().copied()).map_or(String::new(), |meant| format!("; did you mean `{meant}`?"))
    };
    if !FAMILIES.contains(&stanza.family.as_str()) {
        let (family, guess) = (&stanza.family, guess(&stanza.family, &FAMILIES));
        let what = if family.is_empty() {
            "there is no address family".into()
        } else {
            format!("`{family}` is no address family")
        };
        plan.mistake(&stanza.place, format!("{what}{guess}; write `iface {} inet static` or the like", stanza.name));
        return false;
    }
    if !METHODS.contains(&stanza.method.as_str()) {
        let (method, guess) = (&stanza.method, guess(&stanza.method, &METHODS));
        let what = if method.is_empty() { "there is no method".into() } else { format!("`{method}` is no method") };
        plan.mistake(&stanza.place, format!("{what}{guess}; write static, manual or another one of interfaces(5)"));
        return false;
    }
    true
}

/// Whether the interface is one that Portreeve can look after.
fn has_entry(stanza: &Stanza) -> bool {
    let program = matches!(stanza.method.as_str(), "ppp" | "wvdial") || matches!(stanza.family.as_str(), "can" | "ipx");
    let ipip = stanza.method == "tunnel"
        && stanza.settings.iter().any(|s| s.name == "mode" && s.value.eq_ignore_ascii_case("ipip"));
    let empty = stanza.method == "loopback" && !stanza.settings.iter().any(|s| s.name == "address" || s.name == "mtu");
    !(program || ipip || empty)
}

fn one(plan: &mut Plan, name: &str, stanza: &Stanza) {
    let mut settings = Settings(stanza.settings.clone());
    let place = &stanza.place;
    let hooks: Vec<Setting> = settings.0.extract_if(.., |s| hook::phase(&s.name).is_some()).collect();
    let v6 = stanza.family == "inet6";
    if has_entry(stanza) {
        links::link(plan, name, &mut settings);
        common(plan, name, &mut settings);
    }
    match (stanza.family.as_str(), stanza.method.as_str()) {
        ("inet" | "inet6", "loopback") if has_entry(stanza) => addresses(plan, name, &mut settings, v6),
        ("inet" | "inet6", "manual" | "loopback" | "none") => ipv6(plan, name, &mut settings),
        ("inet" | "inet6", "static") => {
            if !settings.0.iter().any(|setting| setting.name == "address") {
                plan.mistake(place, format!("{name} is static and has no address; add `address ADDRESS/LENGTH` below"));
            }
            plan.entry(name).static_ipv6 |= v6;
            addresses(plan, name, &mut settings, v6);
            ipv6(plan, name, &mut settings);
        }
        ("inet6", "auto") => {
            let entry = plan.entry(name);
            entry.fields.insert("accept_ra", "Always".into());
            entry.fields.insert("autoconf", "true".into());
            ipv6(plan, name, &mut settings);
        }
        ("inet6", "v4tunnel") => v4tunnel(plan, name, stanza, &mut settings),
        ("inet6", "6to4") => six_to_four(plan, name, place, &mut settings),
        ("inet" | "inet6", "tunnel") => tunnel(plan, name, stanza, &mut settings),
        (family, method) => {
            if method == "dhcp" {
                ipv6(plan, name, &mut settings);
            }
            settings.0.clear();
            plan.warn(place, has_entry(stanza).then_some(name), program(name, family, method));
        }
    }
    for setting in hooks {
        hook::apply(plan, name, &setting);
    }
    for Setting { place, name: setting, value } in settings.0 {
        left_over(plan, name, &place, &setting, &value);
    }
}

/// What to say about a method that a program does.
fn program(name: &str, family: &str, method: &str) -> String {
    match method {
        "dhcp" => format!(
            "{name} had its {} by DHCP, and Portreeve has no DHCP client: give it fixed addresses and routes",
            if family == "inet6" { "IPv6 addresses" } else { "IPv4 address" }
        ),
        "ppp" | "wvdial" => {
            format!("{name} was a PPP link of `{method}`; Portreeve does not dial, so keep pppd for it")
        }
        "bootp" | "ipv4ll" => {
            format!("{name} had its address by `{method}`, which Portreeve does not do: give it a fixed one")
        }
        _ => format!("{name} is of family {family}, which Portreeve does not configure"),
    }
}

fn left_over(plan: &mut Plan, name: &str, place: &Place, setting: &str, value: &str) {
    let at = Some(name);
    match setting {
        _ if NOTHING_TO_DO.contains(&setting) || setting.ends_with("dad-attempts") => {}
        "dns-nameservers" | "dns-nameserver" | "dns-search" | "dns-domain" | "dns-options" => plan.warn(
            place,
            at,
            format!(
                "`{setting} {value}` was for this machine's resolver; hosts learn it from rdnss and dnssl of radvd"
            ),
        ),
        _ => plan.warn(place, at, format!("Portreeve has no setting for `{setting} {value}`; it is left out")),
    }
}

/// MTU and MAC address, which every method has.
fn common(plan: &mut Plan, name: &str, settings: &mut Settings) {
    for setting in settings.take_all(&["mtu"]) {
        match setting.value.parse::<u32>() {
            Ok(mtu) => drop(plan.entry(name).fields.insert("mtu", mtu.to_string())),
            Err(_) => plan.mistake(&setting.place, format!("`{}` is no MTU; write a number of bytes", setting.value)),
        }
    }
    for setting in settings.take_all(&["hwaddress", "hw-mac-address"]) {
        match value::mac(&setting.value) {
            Some(mac) => drop(plan.entry(name).fields.insert("mac", super::super::ron::quoted(&mac))),
            None if setting.value.ends_with("random") => {
                plan.warn(
                    &setting.place,
                    Some(name),
                    "a random MAC address is not supported; write a fixed `mac`".into(),
                );
            }
            None => plan.mistake(
                &setting.place,
                format!("`{}` is no MAC address; write one such as 02:00:5e:10:00:01", setting.value),
            ),
        }
    }
}

/// `value` as `parse` reads it; a mistake at `setting` otherwise.
fn checked<T>(plan: &mut Plan, setting: &Setting, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
    parse(&setting.value).map_err(|message| plan.mistake(&setting.place, message)).ok()
}

fn number<T: std::str::FromStr>(plan: &mut Plan, setting: &Setting) -> Option<T> {
    let what = format!("`{} {}` is no number in its range; correct it", setting.name, setting.value);
    checked(plan, setting, |text| text.parse().map_err(|_| what))
}

/// What `inet6` stanzas say about router advertisements.
fn ipv6(plan: &mut Plan, name: &str, settings: &mut Settings) {
    let choices: [(&str, &'static str, [&str; 3]); 3] = [
        ("accept-ra", "accept_ra", ["Off", "WhenHost", "Always"]),
        ("privext", "privacy", ["Off", "Available", "Preferred"]),
        ("autoconf", "autoconf", ["false", "true", "true"]),
    ];
    for (setting, field, values) in choices {
        let Some(setting) = settings.take(setting) else { continue };
        match setting.value.parse::<usize>().ok().and_then(|n| values.get(n)) {
            Some(value) => drop(plan.entry(name).fields.insert(field, (*value).to_owned())),
            None => plan.mistake(&setting.place, format!("`{} {}` is not 0, 1 or 2", setting.name, setting.value)),
        }
    }
    for (setting, what) in [("dhcp", "stateless DHCPv6"), ("request-prefix", "DHCPv6 prefix delegation")] {
        if let Some(setting) = settings.take(setting).filter(|s| s.value != "0") {
            let message = format!("{name} used {what}, and Portreeve has no DHCPv6 client: write what it gave");
            plan.warn(&setting.place, Some(name), message);
        }
    }
}

/// Gives the entry its kind; a second stanza may only repeat it.
pub(super) fn make(plan: &mut Plan, name: &str, place: &Place, kind: Kind) {
    match plan.find(name).and_then(|entry| entry.kind.clone()) {
        Some(known) if known != kind => {
            plan.warn(place, Some(name), format!("{name} was already made in another way above; this one is left out"));
        }
        _ => plan.entry(name).kind = Some(kind),
    }
}
