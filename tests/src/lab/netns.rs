//! One network namespace: running programs in it, its sysctls, and what `ip` says of its addresses and routes.
//!
//! Short commands go through `ip netns exec`; daemons and sockets are started by a thread that has entered the
//! namespace, so that nothing but the program itself lies between a start and its first packet.

use std::fs::File;
use std::net::Ipv6Addr;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::Value;

use super::{Failure, NAMESPACES, Process, Result, output};

/// A namespace by name. Deleted by the [`super::Lab`] that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Netns {
    name: String,
}

/// An IPv6 address as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: Ipv6Addr,
    /// The length of its prefix.
    pub length: u8,
    /// Whether it was formed from an advertisement.
    pub dynamic: bool,
    /// Whether new connections should not use it.
    pub deprecated: bool,
    /// Seconds it stays valid; none for ever.
    pub valid_lifetime: Option<u64>,
    /// Seconds it stays preferred; none for ever.
    pub preferred_lifetime: Option<u64>,
}

impl Netns {
    pub(super) fn create(name: String) -> Result<Self> {
        output(Command::new("ip").args(["netns", "add", &name]))?;
        Ok(Self { name })
    }

    pub(super) fn existing(name: String) -> Self {
        Self { name }
    }

    /// Ends what still runs inside, then removes the name; links go with it.
    pub(super) fn delete(&self) {
        for pid in self.processes() {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        // A namespace that another lab removed first is as gone as it should be.
        let _ = output(Command::new("ip").args(["netns", "delete", &self.name]));
    }

    /// Its name, as `ip netns list` shows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs words separated by spaces.
    ///
    /// # Errors
    /// If the program fails; with what it printed.
    pub fn run(&self, line: &str) -> Result {
        self.output(line).map(drop)
    }

    /// Runs words separated by spaces and gives stdout.
    ///
    /// # Errors
    /// If the program fails; with what it printed.
    pub fn output(&self, line: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).args(line.split_whitespace());
        output(&mut command)
    }

    /// Starts a daemon whose output goes to the file `log`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn spawn(&self, command: &mut Command, log: &Path) -> Result<Process> {
        self.enter(|| Process::spawn(command, log))?
    }

    /// Runs `work` on a thread inside the namespace. Sockets opened there stay there.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let path = Path::new(NAMESPACES).join(&self.name);
        let file = File::open(&path).map_err(|error| Failure::io("open", &path, &error))?;
        let inside = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(|error| Failure::new(format!("cannot enter {}: {error}", self.name)))?;
            Ok(work())
        };
        match std::thread::scope(|scope| scope.spawn(inside).join()) {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Sets a sysctl, named with dots; an interface's name may not have any.
    ///
    /// # Errors
    /// If there is no such sysctl, or the kernel refuses the value.
    pub fn sysctl(&self, name: &str, value: &str) -> Result {
        let path = Path::new("/proc/sys").join(name.replace('.', "/"));
        // `/proc/sys/net` shows the namespace of the thread that looks.
        self.enter(|| std::fs::write(&path, value))?.map_err(|error| Failure::io("write", &path, &error))
    }

    /// The processes inside.
    pub fn processes(&self) -> Vec<Pid> {
        let pids = output(Command::new("ip").args(["netns", "pids", &self.name])).unwrap_or_default();
        pids.split_whitespace().filter_map(|pid| pid.parse().ok().and_then(Pid::from_raw)).collect()
    }

    /// The number and the MAC address of an interface.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn link(&self, ifname: &str) -> Result<(u32, [u8; 6])> {
        let links = self.json(&format!("ip -j link show dev {ifname}"))?;
        let link = &links[0];
        let index = link["ifindex"].as_u64().and_then(|index| u32::try_from(index).ok());
        let mac = link["address"].as_str().unwrap_or_default();
        let mac: Vec<u8> = mac.split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        match (index, <[u8; 6]>::try_from(mac)) {
            (Some(index), Ok(mac)) => Ok((index, mac)),
            _ => Err(Failure::new(format!("no Ethernet interface {ifname} in {}", self.name))),
        }
    }

    /// The global addresses of an interface; empty if it has none.
    pub fn addresses(&self, ifname: &str) -> Vec<Address> {
        let Ok(links) = self.json(&format!("ip -j -6 addr show dev {ifname} scope global")) else { return Vec::new() };
        let lifetime = |value: &Value| value.as_u64().filter(|seconds| *seconds < u64::from(u32::MAX));
        let addresses =
            links.as_array().into_iter().flatten().filter_map(|link| link["addr_info"].as_array()).flatten();
        let address = |info: &Value| {
            Some(Address {
                address: info["local"].as_str()?.parse().ok()?,
                length: u8::try_from(info["prefixlen"].as_u64()?).ok()?,
                dynamic: info["dynamic"] == Value::Bool(true),
                deprecated: info["deprecated"] == Value::Bool(true),
                valid_lifetime: lifetime(&info["valid_life_time"]),
                preferred_lifetime: lifetime(&info["preferred_life_time"]),
            })
        };
        addresses.filter_map(address).collect()
    }

    /// The address that a host formed in the /64 that starts like `prefix`, if it has.
    pub fn autoconfigured(&self, ifname: &str, prefix: Ipv6Addr) -> Option<Address> {
        let same = |address: &Ipv6Addr| address.segments()[..4] == prefix.segments()[..4];
        self.addresses(ifname).into_iter().find(|address| address.dynamic && same(&address.address))
    }

    /// The default routes of IPv6, a line each as `ip` prints them.
    pub fn default_routes(&self) -> Vec<String> {
        let routes = self.output("ip -6 route show default").unwrap_or_default();
        routes.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Runs words separated by spaces and reads what they print as JSON.
    ///
    /// # Errors
    /// If the program fails or prints no JSON.
    pub fn json(&self, line: &str) -> Result<Value> {
        let text = self.output(line)?;
        serde_json::from_str(&text).map_err(|error| Failure::new(format!("{line}: {error}")))
    }
}

/// Joins two namespaces with a veth pair and brings both ends up. Ends are `(namespace, interface, MAC)`; addresses
/// of the link are formed from the MAC, so that they are known beforehand.
///
/// # Errors
/// What `ip` says.
pub fn veth(a: (&Netns, &str, &str), b: (&Netns, &str, &str)) -> Result {
    let line = format!(
        "link add name {} address {} netns {} type veth peer name {} address {} netns {}",
        a.1, a.2, a.0.name, b.1, b.2, b.0.name
    );
    output(Command::new("ip").args(line.split_whitespace()))?;
    for (netns, ifname, _) in [a, b] {
        netns.run(&format!("ip link set {ifname} addrgenmode eui64 up"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Lab;
    use super::*;

    #[test]
    fn two_namespaces_reach_each_other_over_a_veth() {
        let mut lab = Lab::new().unwrap();
        let (a, b) = (lab.netns("a").unwrap(), lab.netns("b").unwrap());
        veth((&a, "lan0", "02:00:5e:10:00:01"), (&b, "eth0", "02:00:5e:10:00:02")).unwrap();
        a.run("ip addr add 2001:db8::1/64 dev lan0 nodad").unwrap();
        b.run("ip addr add 2001:db8::2/64 dev eth0 nodad").unwrap();
        b.run("ping -6 -c 1 -W 2 2001:db8::1").unwrap();
        assert_eq!(b.link("eth0").unwrap().1, [2, 0, 0x5e, 0x10, 0, 2]);
        let addresses = b.addresses("eth0");
        assert_eq!(addresses.len(), 1);
        assert!(!addresses[0].dynamic && addresses[0].length == 64 && addresses[0].valid_lifetime.is_none());
        assert!(a.link("eth0").is_err());
    }
}
