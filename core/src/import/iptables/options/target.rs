//! `-j` and `-g`, and the options of targets.

use super::matches::masked;
use super::{About, Family, Reader, Severity, address, names};
use crate::import::ron::quoted;

/// What a rule does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Target {
    /// Nothing: it only counts.
    #[default]
    None,
    Accept,
    Drop,
    /// With the code as the plugin calls it.
    Reject(&'static str),
    /// The value of `log`, as RON.
    Log(String),
    Return,
    Jump(String),
    Goto(String),
    /// The value of `set_mark`, as RON.
    Mark(String),
    /// What is in the brackets of `ClampMss`.
    Clamp(String),
    Notrack,
    /// What translates addresses: whether sources, and `then` as RON.
    Translate {
        source: bool,
        then: String,
    },
    /// Exchanges prefixes of IPv6 for this one.
    Netmap(String),
    /// A target without a counterpart: why, and whether it stopped packets.
    Foreign {
        why: String,
        stops: bool,
    },
}

/// Targets of iptables that nothing here corresponds to, with what to write instead.
const FOREIGN: [(&str, &str); 34] = [
    ("AUDIT", ""),
    ("BALANCE", ""),
    ("CHECKSUM", "checksums are the kernel's business"),
    ("CLASSIFY", ""),
    ("CLUSTERIP", ""),
    ("CONNMARK", "a mark can be set on packets only: `set_mark`"),
    ("CONNSECMARK", ""),
    ("DNPT", "write `nat: [(outgoing: [..], then: Prefix(inside: \"..\", outside: \"..\"))]`, which is both ways"),
    ("DSCP", ""),
    ("ECN", ""),
    ("FLOWOFFLOAD", "write zones and `offload: (zones: [..])`"),
    ("HL", ""),
    ("HMARK", ""),
    ("IDLETIMER", ""),
    ("LED", ""),
    ("MIRROR", ""),
    ("NFQUEUE", "packets went to a program; Portreeve has none to give them to"),
    ("QUEUE", "packets went to a program; Portreeve has none to give them to"),
    ("RATEEST", ""),
    ("ROUTE", "write a rule of the plugin interfaces: `rules: [(priority: .., table: ..)]`"),
    ("SAME", ""),
    ("SECMARK", ""),
    ("SET", "write `sets: {\"NAME\": (dynamic: true, timeout: \"10m\")}` and `add_source_to: \"NAME\"`"),
    ("SNPT", "write `nat: [(outgoing: [..], then: Prefix(inside: \"..\", outside: \"..\"))]`, which is both ways"),
    ("SYNPROXY", ""),
    ("TARPIT", ""),
    ("TCPOPTSTRIP", ""),
    ("TEE", ""),
    ("TOS", ""),
    ("TPROXY", "packets went to a program; Portreeve has none to give them to"),
    ("TRACE", ""),
    ("TTL", ""),
    ("ULOG", "write `log: (group: N)` for a program that reads nfnetlink_log"),
    ("XOR", ""),
];

#[derive(Debug, Default)]
pub(super) struct TargetOptions {
    name: Option<String>,
    goto: bool,
    chain: bool,
    foreign: Option<String>,
    reject: Option<String>,
    prefix: Option<String>,
    level: Option<String>,
    group: Option<String>,
    /// Options of logging that have no counterpart.
    log_details: Vec<String>,
    ports: Option<String>,
    to: Option<String>,
    random: bool,
    persistent: bool,
    mark: Option<(u32, u32)>,
    /// A way to set a mark that keeps bits.
    mark_kept: Option<String>,
    mss: Option<String>,
    pmtu: bool,
    notrack: bool,
    ct: Vec<String>,
}

impl TargetOptions {
    /// `-j NAME`.
    pub fn begin(&mut self, name: &str, goto: bool, about: &About<'_>) -> Result<(), String> {
        if self.name.is_some() {
            return Err("a second target stands in the rule; remove one".into());
        }
        self.name = Some(name.to_owned());
        self.goto = goto;
        self.chain = about.chains.iter().any(|chain| chain.name == name);
        if self.chain {
            return Ok(());
        }
        if goto {
            return Err(format!("there is no chain `{name}` in this table; declare it with `:{name} - [0:0]`"));
        }
        if FOREIGN.iter().any(|(known, _)| *known == name) {
            self.foreign = Some(format!("-j {name}"));
        } else if !KNOWN.contains(&name) {
            return Err(format!("there is no chain or target `{name}`; declare it with `:{name} - [0:0]`"));
        }
        Ok(())
    }

    /// Whether a target was named whose options are not known.
    pub fn is_foreign(&self) -> bool {
        self.foreign.is_some()
    }

    /// An option of such a target.
    pub fn more(&mut self, text: &str) {
        if let Some(foreign) = &mut self.foreign {
            foreign.push(' ');
            foreign.push_str(text);
        }
    }

    /// Whether it is about TCP's segments.
    pub fn clamps(&self) -> bool {
        self.is("TCPMSS")
    }

    fn is(&self, name: &str) -> bool {
        !self.chain && self.name.as_deref() == Some(name)
    }

    /// The target, and what is worth knowing about it.
    pub fn finish(self, about: &About<'_>) -> Result<(Target, Vec<(Severity, String)>), String> {
        let mut remarks = Vec::new();
        let Some(name) = self.name.clone() else { return Ok((Target::None, remarks)) };
        if self.chain {
            let target = if self.goto { Target::Goto(name) } else { Target::Jump(name) };
            return Ok((target, remarks));
        }
        if let Some(words) = self.foreign {
            let hint = FOREIGN.iter().find(|(known, _)| *known == name).map_or("", |(_, hint)| hint);
            let mut target = foreign(&words);
            if let Target::Foreign { why, stops } = &mut target {
                if !hint.is_empty() {
                    why.push_str(&format!(" ({hint})"));
                }
                *stops = matches!(name.as_str(), "MIRROR" | "NFQUEUE" | "QUEUE" | "SYNPROXY" | "TARPIT");
            }
            return Ok((target, remarks));
        }
        let target = match name.as_str() {
            "ACCEPT" => Target::Accept,
            "DROP" => Target::Drop,
            "RETURN" => Target::Return,
            "REJECT" => self.finish_reject(about.family, &mut remarks)?,
            "LOG" | "NFLOG" => self.finish_log(&name, &mut remarks)?,
            "MARK" => match (self.mark, self.mark_kept) {
                (Some((value, mask)), None) => Target::Mark(quoted(&format!("{value:#x}/{mask:#x}"))),
                (_, Some(words)) => foreign(&format!("-j MARK {words}")),
                (None, None) => return Err("`MARK` sets no mark; write `--set-mark` behind it".into()),
            },
            "TCPMSS" => match (self.pmtu, self.mss) {
                (true, None) => Target::Clamp("PathMtu".into()),
                (false, Some(bytes)) => match bytes.parse::<u16>() {
                    Ok(number @ 88..=65_495) => Target::Clamp(format!("Bytes({number})")),
                    Ok(_) => foreign(&format!("-j TCPMSS --set-mss {bytes}")),
                    Err(_) => return Err(format!("`{bytes}` is no segment size; write a number of bytes")),
                },
                _ => return Err("`TCPMSS` needs one of --clamp-mss-to-pmtu and --set-mss".into()),
            },
            "NOTRACK" => Target::Notrack,
            "CT" if self.notrack && self.ct.is_empty() => Target::Notrack,
            "CT" => foreign(&format!("-j CT {}", self.ct.join(" "))),
            _ => self.finish_nat(&name, about.family, &mut remarks)?,
        };
        Ok((target, remarks))
    }

    fn finish_reject(&self, family: Family, remarks: &mut Vec<(Severity, String)>) -> Result<Target, String> {
        let code = self.reject.as_deref().unwrap_or("port-unreach");
        let code = match (family, code) {
            (_, "tcp-reset" | "tcp-rst") => "TcpReset",
            (Family::Ipv4, "icmp-net-unreachable" | "net-unreach") => "NoRoute",
            (Family::Ipv4, "icmp-host-unreachable" | "host-unreach") => "HostUnreachable",
            (Family::Ipv4, "icmp-proto-unreachable" | "proto-unreach") => "ProtocolUnreachable",
            (Family::Ipv4, "icmp-port-unreachable") | (_, "port-unreach") => "PortUnreachable",
            (Family::Ipv4, "icmp-net-prohibited" | "net-prohib") => "NetworkProhibited",
            (Family::Ipv4, "icmp-host-prohibited" | "host-prohib") => "HostProhibited",
            (Family::Ipv4, "icmp-admin-prohibited" | "admin-prohib") => "AdminProhibited",
            (Family::Ipv6, "icmp6-no-route" | "no-route") => "NoRoute",
            (Family::Ipv6, "icmp6-adm-prohibited" | "adm-prohibited") => "AdminProhibited",
            (Family::Ipv6, "icmp6-addr-unreachable" | "addr-unreach") => "HostUnreachable",
            (Family::Ipv6, "icmp6-port-unreachable") => "PortUnreachable",
            (Family::Ipv6, "icmp6-policy-fail" | "policy-fail") => "SourcePolicy",
            (Family::Ipv6, "icmp6-reject-route" | "reject-route") => "RejectRoute",
            (Family::Ipv6, "icmp6-not-neighbour" | "not-neighbour") => {
                let message = "code 2 (beyond scope) has no counterpart; the sender hears that there is no route";
                remarks.push((Severity::Warning, message.into()));
                "NoRoute"
            }
            (_, other) => return Err(format!("`{other}` is no answer of {}'s REJECT; correct it", family.program())),
        };
        Ok(Target::Reject(code))
    }

    fn finish_log(self, name: &str, remarks: &mut Vec<(Severity, String)>) -> Result<Target, String> {
        if !self.log_details.is_empty() {
            let words = self.log_details.join(" ");
            remarks.push((Severity::Info, format!("log lines have no details for `{words}`")));
        }
        let whole = self.prefix.unwrap_or_default();
        let mut prefix: String = whole.chars().filter(|c| !c.is_control()).collect();
        while prefix.len() > 127 {
            prefix.pop();
        }
        if prefix != whole {
            remarks.push((Severity::Info, "the prefix of the log was cut to 127 printable bytes".into()));
        }
        let mut text = format!("(prefix: {}", quoted(&prefix));
        if name == "NFLOG" {
            let group = self.group.as_deref().unwrap_or("0");
            let group: u16 = group.parse().map_err(|_| format!("`{group}` is no group; write a number"))?;
            text.push_str(&format!(", group: {group}"));
        } else if let Some(level) = &self.level {
            let level = match level.to_ascii_lowercase().as_str() {
                "0" | "emerg" | "emergency" | "panic" => "Emergency",
                "1" | "alert" => "Alert",
                "2" | "crit" => "Critical",
                "3" | "err" | "error" => "Error",
                "4" | "warn" | "warning" => "Warning",
                "5" | "notice" => "Notice",
                "6" | "info" => "Info",
                "7" | "debug" => "Debug",
                _ => return Err(format!("`{level}` is no level of the log; write 0 to 7 or a name such as info")),
            };
            if level != "Warning" {
                text.push_str(&format!(", level: {level}"));
            }
        }
        text.push_str(", rate: \"unlimited\")");
        Ok(Target::Log(text))
    }

    fn finish_nat(self, name: &str, family: Family, remarks: &mut Vec<(Severity, String)>) -> Result<Target, String> {
        let ports = self.ports.as_deref().map(|ports| names::ports(ports, '-')).transpose()?;
        if self.random && name != "MASQUERADE" {
            remarks.push((Severity::Warning, format!("ports of {name} are not drawn at random")));
        }
        if self.persistent {
            let message = "`--persistent` is left out: a client may get another of the addresses for each connection";
            remarks.push((Severity::Warning, message.into()));
        }
        let mut fields = Vec::new();
        let wanted = || format!("`{name}` does not say to what; add `--to-destination` or the like");
        match name {
            "MASQUERADE" => {
                fields.extend(ports.map(|ports| format!("ports: {}", quoted(&ports))));
                if self.random {
                    fields.push("random: true".into());
                }
                Ok(Target::Translate { source: true, then: with("Masquerade", &fields) })
            }
            "REDIRECT" => {
                fields.extend(ports.map(|ports| format!("port: {}", quoted(&ports))));
                Ok(Target::Translate { source: false, then: with("Redirect", &fields) })
            }
            "SNAT" | "DNAT" => {
                let to = self.to.ok_or_else(wanted)?;
                let (addresses, ports) = endpoint(&to, family)?;
                let Some(addresses) = addresses else {
                    let why = format!("`{to}` has no address, and one is needed before the port");
                    return Ok(Target::Foreign { why, stops: false });
                };
                fields.push(format!("to: {}", quoted(&addresses)));
                if name == "SNAT" {
                    fields.extend(ports.map(|ports| format!("ports: {}", quoted(&ports))));
                    Ok(Target::Translate { source: true, then: with("Source", &fields) })
                } else {
                    fields.extend(ports.map(|ports| format!("port: {}", quoted(&ports))));
                    fields.push("accept: false".into());
                    Ok(Target::Translate { source: false, then: with("Destination", &fields) })
                }
            }
            _ => {
                let to = self.to.ok_or_else(wanted)?;
                if family == Family::Ipv4 {
                    return Ok(foreign(&format!("-j NETMAP --to {to}")));
                }
                match address::parse(&to, family)? {
                    address::Parsed::One(prefix) if prefix.split_once('/').is_some_and(|(_, l)| !l.contains(':')) => {
                        Ok(Target::Netmap(prefix))
                    }
                    _ => Ok(foreign(&format!("-j NETMAP --to {to}"))),
                }
            }
        }
    }
}

/// Targets that are read here.
const KNOWN: [&str; 15] = [
    "ACCEPT",
    "DROP",
    "REJECT",
    "RETURN",
    "LOG",
    "NFLOG",
    "MARK",
    "TCPMSS",
    "NOTRACK",
    "CT",
    "MASQUERADE",
    "SNAT",
    "DNAT",
    "REDIRECT",
    "NETMAP",
];

impl Reader<'_> {
    /// Options of the target; true if it was one.
    pub(super) fn target_option(&mut self, option: &str, negated: bool) -> Result<bool, String> {
        let target = &self.target;
        let known = match option {
            "--reject-with" => target.is("REJECT"),
            "--log-prefix" | "--log-level" => target.is("LOG"),
            "--log-tcp-sequence" | "--log-tcp-options" | "--log-ip-options" | "--log-uid" | "--log-macdecode" => {
                target.is("LOG")
            }
            _ if option.starts_with("--nflog-") => target.is("NFLOG"),
            "--to-ports" => target.is("MASQUERADE") || target.is("REDIRECT"),
            "--to-source" => target.is("SNAT"),
            "--to-destination" => target.is("DNAT"),
            "--to" => target.is("NETMAP") || target.is("SNAT") || target.is("DNAT"),
            "--random" | "--random-fully" | "--persistent" => {
                ["MASQUERADE", "SNAT", "DNAT", "REDIRECT"].iter().any(|name| target.is(name))
            }
            "--set-mark" | "--set-xmark" | "--or-mark" | "--and-mark" | "--xor-mark" => target.is("MARK"),
            "--set-mss" | "--clamp-mss-to-pmtu" => target.is("TCPMSS"),
            "--notrack" | "--helper" | "--ctevents" | "--expevents" | "--zone" | "--zone-orig" | "--zone-reply"
            | "--timeout" => target.is("CT"),
            _ => false,
        };
        if !known {
            return Ok(false);
        }
        match option {
            "--log-tcp-sequence" | "--log-tcp-options" | "--log-ip-options" | "--log-uid" | "--log-macdecode" => {
                self.target.log_details.push(option.to_owned());
            }
            "--random" | "--random-fully" => self.target.random = true,
            "--persistent" => self.target.persistent = true,
            "--clamp-mss-to-pmtu" => self.target.pmtu = true,
            "--notrack" => self.target.notrack = true,
            _ => {
                let value = self.plain(option, negated)?;
                self.target.take(option, value)?;
            }
        }
        Ok(true)
    }
}

impl TargetOptions {
    fn take(&mut self, option: &str, value: String) -> Result<(), String> {
        match option {
            "--reject-with" => self.reject = Some(value),
            "--log-prefix" | "--nflog-prefix" => self.prefix = Some(value),
            "--log-level" => self.level = Some(value),
            "--nflog-group" => self.group = Some(value),
            "--to-ports" => self.ports = Some(value),
            "--to-source" | "--to-destination" | "--to" => {
                if self.to.replace(value).is_some() {
                    return Err(format!("a second `{option}` stands in the rule; remove one"));
                }
            }
            "--set-mss" => self.mss = Some(value),
            "--set-mark" => {
                let (mark, mask) = masked(&value)?;
                self.mark = Some((mark, mask | mark));
            }
            "--set-xmark" => {
                let (mark, mask) = masked(&value)?;
                if mark & !mask == 0 {
                    self.mark = Some((mark, mask));
                } else {
                    self.mark_kept = Some(format!("{option} {value}"));
                }
            }
            "--or-mark" => {
                let (mark, _) = masked(&value)?;
                self.mark = Some((mark, mark));
            }
            "--and-mark" => {
                let (kept, _) = masked(&value)?;
                self.mark = Some((0, !kept));
            }
            "--xor-mark" => self.mark_kept = Some(format!("{option} {value}")),
            _ if option.starts_with("--nflog-") => self.log_details.push(format!("{option} {value}")),
            _ => self.ct.push(format!("{option} {value}")),
        }
        Ok(())
    }
}

fn foreign(words: &str) -> Target {
    Target::Foreign { why: format!("`{words}` has no counterpart"), stops: false }
}

fn with(name: &str, fields: &[String]) -> String {
    if fields.is_empty() { name.to_owned() } else { format!("{name}({})", fields.join(", ")) }
}

/// `ADDRESS[-ADDRESS][:PORT[-PORT]]`, those of IPv6 in brackets if there are ports.
fn endpoint(text: &str, family: Family) -> Result<(Option<String>, Option<String>), String> {
    let (addresses, ports) = match (family, text.strip_prefix('[')) {
        (Family::Ipv6, Some(rest)) => {
            let (inside, rest) =
                rest.split_once(']').ok_or_else(|| format!("`{text}` has no closing bracket; write [ADDRESS]:PORT"))?;
            // `[first]-[last]:port` is legal, too.
            let (inside, rest) = match rest.strip_prefix("-[").and_then(|rest| rest.split_once(']')) {
                Some((last, rest)) => (format!("{inside}-{last}"), rest),
                None => (inside.to_owned(), rest),
            };
            let ports = match rest.strip_prefix(':') {
                Some(ports) => Some(ports.to_owned()),
                None if rest.is_empty() => None,
                None => return Err(format!("`{text}` is no address and port; write [ADDRESS]:PORT")),
            };
            (inside, ports)
        }
        (Family::Ipv6, None) => (text.to_owned(), None),
        (Family::Ipv4, _) => {
            let (addresses, ports) = text.split_once(':').map_or((text, None), |(a, p)| (a, Some(p.to_owned())));
            (addresses.to_owned(), ports)
        }
    };
    let ports = ports.map(|ports| names::ports(&ports, '-')).transpose()?;
    if addresses.is_empty() {
        return Ok((None, ports));
    }
    Ok((Some(address::range(&addresses, family)?), ports))
}
