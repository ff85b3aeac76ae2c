//! What a kernel must hold, a fact a line, as `tests/import/README.md` says; asked with `ip` and `cat`.
//!
//! The caller runs the commands, in a namespace of the lab or in a machine in QEMU. A userspace tunnel is a tun device
//! that knows nothing of its ends: they are asked of `portreeve status tunnels --json`, which the caller runs, too.

use std::net::IpAddr;

use serde_json::Value;

use super::{Failure, Result};

/// The facts that do not hold, a line each with what is there instead; empty if all do.
///
/// # Errors
/// If a fact is none, or a command prints what is not understood.
pub fn unmet(facts: &str, run: impl Fn(&str) -> Result<String>) -> Result<Vec<String>> {
    let asker = Asker { run: &run };
    let mut unmet = Vec::new();
    for fact in facts.lines().filter(|line| !line.trim().is_empty()) {
        let words: Vec<&str> = fact.split_whitespace().collect();
        let missing = match words.as_slice() {
            ["address", ifname, address] => asker.address(ifname, address)?,
            ["route", prefix, options @ ..] => asker.route(prefix, options)?,
            ["link", ifname, options @ ..] => asker.link(ifname, options)?,
            ["sysctl", name, value] => asker.sysctl(name, value)?,
            ["tunnel", ifname, "remote", remote, "local", local] => asker.tunnel(ifname, remote, local)?,
            ["no-link", ifname] => (asker.link_json(ifname)? != Value::Null).then(|| "it is there".to_owned()),
            _ => return Err(Failure::new(format!("no fact: {fact}"))),
        };
        unmet.extend(missing.map(|there| format!("{fact}: {there}")));
    }
    Ok(unmet)
}

/// Fails unless all facts hold.
///
/// # Errors
/// See [`unmet`]; and names every fact that does not hold.
pub fn check(facts: &str, run: impl Fn(&str) -> Result<String>) -> Result {
    let unmet = unmet(facts, run)?;
    super::ensure(unmet.is_empty(), || format!("the kernel does not hold:\n{}", unmet.join("\n")))
}

/// Each question gives none if the fact holds, else what is there.
struct Asker<'a> {
    run: &'a dyn Fn(&str) -> Result<String>,
}

impl Asker<'_> {
    fn json(&self, line: &str) -> Result<Value> {
        let text = (self.run)(line)?;
        let text = if text.trim().is_empty() { "[]" } else { &text };
        serde_json::from_str(text).map_err(|error| Failure::new(format!("{line}: {error}")).with("text", text))
    }

    fn address(&self, ifname: &str, address: &str) -> Result<Option<String>> {
        let links = self.json("ip -j addr show")?;
        let found: Vec<String> = items(&links)
            .filter(|link| link["ifname"] == ifname)
            .flat_map(|link| items(&link["addr_info"]))
            .map(|info| format!("{}/{}", word(&info["local"]), word(&info["prefixlen"])))
            .collect();
        Ok((!found.iter().any(|there| there == address)).then(|| format!("{found:?}")))
    }

    fn route(&self, prefix: &str, options: &[&str]) -> Result<Option<String>> {
        let family = if prefix.contains(':') { "-6" } else { "-4" };
        let routes = self.json(&format!("ip -j {family} route show table all"))?;
        let same = |route: &Value| {
            let is_wanted = |pair: &[&str]| match *pair {
                ["via", gateway] => route["gateway"] == gateway,
                ["dev", ifname] => route["dev"] == ifname,
                ["metric", metric] => word(&route["metric"]) == metric,
                _ => true,
            };
            // Without a word on it the main table is meant, which `ip` leaves out.
            let table = options.chunks(2).find_map(|pair| (pair[0] == "table").then(|| pair[1])).unwrap_or("main");
            let is_there = if route["table"].is_null() { table == "main" } else { word(&route["table"]) == table };
            full_prefix(&word(&route["dst"]), family) == prefix && is_there && options.chunks(2).all(is_wanted)
        };
        let all = || items(&routes).filter(|route| route["table"] != "local").map(Value::to_string);
        Ok((!items(&routes).any(same)).then(|| all().collect::<Vec<_>>().join(" ")))
    }

    /// The link, or null.
    fn link_json(&self, ifname: &str) -> Result<Value> {
        let links = self.json("ip -j -d link show")?;
        Ok(items(&links).find(|link| link["ifname"] == ifname).cloned().unwrap_or_default())
    }

    fn link(&self, ifname: &str, options: &[&str]) -> Result<Option<String>> {
        let link = self.link_json(ifname)?;
        let is_up = items(&link["flags"]).any(|flag| flag == "UP");
        let mut words = options.iter();
        let mut holds = !link.is_null();
        while let Some(option) = words.next() {
            let mut value = || words.next().copied().unwrap_or_default();
            holds &= match *option {
                "up" => is_up,
                "down" => !is_up,
                "kind" => link["linkinfo"]["info_kind"] == value(),
                "mtu" => word(&link["mtu"]) == value(),
                "controller" => link["master"] == value(),
                "mac" => link["address"] == value(),
                other => return Err(Failure::new(format!("no fact of a link: {other}"))),
            };
        }
        Ok((!holds).then(|| link.to_string()))
    }

    fn sysctl(&self, name: &str, value: &str) -> Result<Option<String>> {
        let there = (self.run)(&format!("cat /proc/sys/{name}"))?;
        Ok((there.trim() != value).then(|| there.trim().to_owned()))
    }

    fn tunnel(&self, ifname: &str, remote: &str, local: &str) -> Result<Option<String>> {
        let link = self.link_json(ifname)?;
        let same = |there: &Value, wanted: &str| {
            let address = |text: &str| text.parse::<IpAddr>().ok();
            // Without an address the kernel chooses; `ip` says `any` or nothing, our status `auto`.
            if wanted == "any" {
                return there.is_null() || matches!(there.as_str(), Some("any" | "auto" | "0.0.0.0" | "::"));
            }
            address(&word(there)).is_some_and(|there| Some(there) == address(wanted))
        };
        let ends = if link["linkinfo"]["info_kind"] == "tun" {
            let status = self.json("portreeve status tunnels --json")?;
            let row = items(&status["tables"]["tunnels"]).find(|row| row["tunnel"] == ifname);
            row.cloned().unwrap_or_default()
        } else {
            link["linkinfo"]["info_data"].clone()
        };
        let holds = same(&ends["remote"], remote) && same(&ends["local"], local);
        Ok((!holds).then(|| format!("{ends} of {link}")))
    }
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `ip` writes `default`, and hosts without their length.
fn full_prefix(text: &str, family: &str) -> String {
    match (text, family, text.contains('/')) {
        ("default", "-6", _) => "::/0".to_owned(),
        ("default", _, _) => "0.0.0.0/0".to_owned(),
        (_, _, true) => text.to_owned(),
        (_, "-6", _) => format!("{text}/128"),
        _ => format!("{text}/32"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lab;
    use super::*;

    #[test]
    fn facts_that_hold_are_silent_and_others_are_named() {
        let mut lab = Lab::new().unwrap();
        let netns = lab.netns("a").unwrap();
        netns.run("ip link add br0 mtu 1400 type bridge").unwrap();
        netns.run("ip addr add 192.0.2.1/24 dev br0").unwrap();
        netns.run("ip link set br0 up").unwrap();
        netns.run("ip route add 198.51.100.7/32 via 192.0.2.9 metric 7 table 70").unwrap();
        let holds = "address br0 192.0.2.1/24\nlink br0 kind bridge mtu 1400 up\nno-link eth9\n\
            route 198.51.100.7/32 via 192.0.2.9 dev br0 metric 7 table 70\nsysctl net/ipv4/conf/br0/forwarding 0";
        check(holds, |line| netns.output(line)).unwrap();
        let fails = "address br0 192.0.2.1/25\nlink br0 down\nno-link br0\nroute 198.51.100.7/32\n\
            sysctl net/ipv4/conf/br0/forwarding 7\nlink eth9";
        assert_eq!(unmet(fails, |line| netns.output(line)).unwrap().len(), 6);
    }
}
