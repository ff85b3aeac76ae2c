//! `up`, `post-up`, `pre-up` and the `down` lines: the commands whose effect router.ron can state.
//!
//! A command that is understood becomes configuration; everything else is reported with its line. What `down` lines
//! take back is taken back anyway when it leaves router.ron.

mod ip;
mod link;
mod old;

use super::plan::{Kind, Plan, Sysctl};
use super::read::Setting;
use super::shell;

/// When a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// On the way up.
    Up,
    /// On the way down.
    Down,
}

/// The phase of a setting that is a command.
pub(super) fn phase(setting: &str) -> Option<Phase> {
    match setting {
        "up" | "post-up" | "pre-up" => Some(Phase::Up),
        "down" | "pre-down" | "post-down" => Some(Phase::Down),
        _ => None,
    }
}

/// Takes over what `setting` of a stanza of `home` does.
pub(super) fn apply(plan: &mut Plan, home: &str, setting: &Setting) {
    let line = &setting.value;
    let report = |plan: &mut Plan, command: &str, why: &str| {
        let message = format!("`{command}` is left out: {why}");
        plan.warn(&setting.place, Some(home), message);
    };
    let commands = match shell::commands(line, home) {
        Ok(commands) => commands,
        Err(why) => {
            let first = line.split_whitespace().next().unwrap_or_default();
            let why = match advice(first.rsplit('/').next().unwrap_or(first)) {
                NO_COMMANDS => format!("{why}, and Portreeve runs no scripts"),
                advice => advice.to_owned(),
            };
            return report(plan, line, &why);
        }
    };
    for command in commands {
        let words: Vec<&str> = command.words.iter().map(String::as_str).collect();
        let Some((program, rest)) = words.split_first() else { continue };
        let program = program.rsplit('/').next().unwrap_or(program);
        let done = match phase(&setting.name) {
            Some(Phase::Down) => down(program, rest, command.to.as_deref()),
            _ => {
                let context = Context { home, setting };
                context.up(plan, program, rest, command.to.as_deref())
            }
        };
        if let Err(why) = done {
            report(plan, &words.join(" "), &why);
        }
    }
}

/// What a command stands in.
struct Context<'a> {
    home: &'a str,
    setting: &'a Setting,
}

impl Context<'_> {
    fn up(&self, plan: &mut Plan, program: &str, words: &[&str], to: Option<&str>) -> Result<(), String> {
        match (program, to) {
            ("echo", Some(file)) => match file.strip_prefix("/proc/sys/net/") {
                Some(name) => {
                    let parts = name.split('/').map(str::to_owned).collect();
                    self.sysctl(plan, parts, words.join(" "));
                    Ok(())
                }
                None => Err("only files below /proc/sys/net become configuration".into()),
            },
            (_, Some(_)) => Err("its output goes into a file".into()),
            ("ip", None) => ip::ip(self, plan, words),
            ("sysctl", None) => self.sysctls(plan, words),
            ("route", None) => old::route(self, plan, words),
            ("ifconfig", None) => old::ifconfig(self, plan, words),
            ("ifup", None) => {
                let names = words.iter().filter(|word| !word.starts_with('-')).map(|word| (*word).to_owned());
                plan.brought_up.extend(names);
                Ok(())
            }
            // Portreeve loads what it needs, or says which module is missing.
            ("modprobe" | "insmod" | "true" | ":" | "sleep" | "echo" | "logger", None) => Ok(()),
            _ => Err(advice(program).into()),
        }
    }

    fn sysctls(&self, plan: &mut Plan, words: &[&str]) -> Result<(), String> {
        if words.contains(&"-p") || words.contains(&"--system") {
            return Err("write the lines of that file into `sysctls`".into());
        }
        for word in words.iter().filter(|word| !word.starts_with('-')) {
            let (name, value) = word.split_once('=').ok_or("a value is missing")?;
            let (name, value) = (name.trim(), value.trim());
            let dots = name.find('.').is_some_and(|dot| name.find('/').is_none_or(|slash| dot < slash));
            // With dots as separators, a slash stands for a dot in a name.
            let part = |part: &str| if dots { part.replace('/', ".") } else { part.to_owned() };
            let mut parts: Vec<String> = name.split(if dots { '.' } else { '/' }).map(part).collect();
            if parts.first().is_none_or(|first| first != "net") {
                return Err("only kernel parameters below net become configuration".into());
            }
            parts.remove(0);
            self.sysctl(plan, parts, value.to_owned());
        }
        Ok(())
    }

    fn sysctl(&self, plan: &mut Plan, parts: Vec<String>, value: String) {
        let (place, home) = (self.setting.place.clone(), self.home.to_owned());
        plan.sysctls.retain(|known| known.parts != parts);
        plan.sysctls.push(Sysctl { place, home, parts, value });
    }
}

/// For programs that nothing else does.
const NO_COMMANDS: &str = "Portreeve runs no commands";

/// What to do about a program that is not run.
fn advice(program: &str) -> &'static str {
    match program {
        "iptables" | "ip6tables" | "iptables-restore" | "ip6tables-restore" | "nft" | "ipset" => {
            "Portreeve runs no commands; load the firewall's rules where it is started"
        }
        "dhclient" | "udhcpc" | "dhcpcd" | "dhcp6c" => "Portreeve has no DHCP client; write fixed addresses and routes",
        "radvd" | "systemctl" | "service" | "invoke-rc.d" => {
            "Portreeve starts no services; router advertisements come from its plugin `radvd`"
        }
        "wg" | "wg-quick" => "a tunnel of kind WireGuard of the plugin `tunnels` does this",
        "brctl" => "a `kind: Bridge(ports: […])` does this",
        _ => NO_COMMANDS,
    }
}

/// Whether a `down` command takes back what would go anyway.
fn down(program: &str, words: &[&str], to: Option<&str>) -> Result<(), String> {
    let taken_back = match program {
        "ip" => words.iter().any(|word| matches!(*word, "del" | "delete" | "flush" | "down" | "d")),
        "route" | "brctl" => words.iter().any(|word| word.starts_with("del")),
        "echo" => to.is_some_and(|file| file.starts_with("/proc/sys/net/")),
        "ifconfig" | "ifdown" | "sysctl" | "modprobe" | "rmmod" | "true" | ":" | "sleep" | "logger" => true,
        _ => false,
    };
    if taken_back { Ok(()) } else { Err("nothing runs when an interface goes down".into()) }
}

/// `tos` of ip(8), in hex: as RON.
pub(super) fn tos(text: &str) -> Option<String> {
    if text == "inherit" {
        return Some("Inherit".into());
    }
    let value = u8::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()?;
    Some(format!("Fixed({value})"))
}

/// The tunnel that a `mode` of ip-tunnel(8) means.
pub(super) fn tunnel_kind(
    mode: &str,
    remote: String,
    local: Option<String>,
    limit: Option<u8>,
) -> Result<Kind, String> {
    Ok(match mode {
        "sit" | "ipv6/ip" | "ip6ip" => Kind::SixInFour { remote, local },
        "gre" | "gre/ip" | "ip6gre" | "gre/ipv6" => Kind::Gre { remote, local, key: None },
        "ip6ip6" | "ipv6/ipv6" => Kind::Ip6Tunnel { remote, local, mode: "Ipv6", limit },
        "ipip6" | "ip/ipv6" | "ip4ip6" => Kind::Ip6Tunnel { remote, local, mode: "Ipv4", limit },
        "any" | "any/ipv6" => Kind::Ip6Tunnel { remote, local, mode: "Any", limit },
        _ => return Err(format!("tunnels of mode `{mode}` are not supported; Gre, Ip6Tunnel and SixInFour are")),
    })
}
