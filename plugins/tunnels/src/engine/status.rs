//! What there is to tell: rows for people, numbers for metrics.

use core::time::Duration;
use std::net::IpAddr;

use super::Engine;
use super::carrier::Carrier;
use super::keepalive::{Echoes, Life};
use super::tunnel::Runtime;
use crate::config::{Kind, Local};

/// One tunnel, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is: `6in4`.
    pub kind: &'static str,
    /// Who carries its packets: `kernel`, `userspace`, `waiting`, or `none` if nobody can.
    pub path: &'static str,
    /// Why it is this one.
    pub why: String,
    /// Our end as it is now; `auto` for what the kernel takes, `-` where it is not known.
    pub local: String,
    /// The other end as it is now; with the name it was found under.
    pub remote: String,
    /// `up`, `down` or `waiting`.
    pub state: &'static str,
    /// Bytes.
    pub mtu: u32,
    /// The last round trip of the keepalive.
    pub rtt: Option<Duration>,
    /// What is wrong, or was last.
    pub last_error: Option<String>,
}

/// One tunnel in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Its name.
    pub name: String,
    /// Whether it carries packets.
    pub up: bool,
    /// Whether this plugin carries them.
    pub userspace: bool,
    /// Of the keepalive; none without one.
    pub echoes: Option<Echoes>,
}

impl Engine {
    /// All tunnels, by name.
    #[must_use]
    pub fn status(&self) -> Vec<Row> {
        self.tunnels.iter().map(|(name, tunnel)| self.row(name, tunnel)).collect()
    }

    /// All tunnels, by name.
    #[must_use]
    pub fn metrics(&self) -> Vec<Metrics> {
        let one = |(name, tunnel): (&String, &Runtime)| Metrics {
            name: name.clone(),
            up: tunnel.is_up(),
            userspace: tunnel.carrier == Carrier::Userspace,
            echoes: tunnel.monitor.as_ref().map(|monitor| monitor.echoes),
        };
        self.tunnels.iter().map(one).collect()
    }

    fn row(&self, name: &str, tunnel: &Runtime) -> Row {
        let shown = |address: Option<IpAddr>| address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let local = match tunnel.config.local() {
            Some(Local::Auto) => "auto".to_owned(),
            Some(Local::Interface(name)) => format!("{} ({name})", shown(tunnel.local)),
            Some(Local::Address(address)) => address.to_string(),
            None => "-".to_owned(),
        };
        let remote = match (&tunnel.config.kind, tunnel.config.remote()) {
            (_, Some(host)) if tunnel.remote.map(|a| a.to_string()) == Some(host.to_string()) => host.to_string(),
            (_, Some(host)) => format!("{} ({host})", shown(tunnel.remote)),
            (Kind::SixRd(sixrd), None) => format!("{} by {}", sixrd.prefix, sixrd.relay),
            (Kind::WireGuard(wg), None) => {
                let known = tunnel.endpoints.iter().flatten().map(IpAddr::to_string).collect::<Vec<_>>();
                if known.is_empty() { format!("{} peers", wg.peers.len()) } else { known.join(", ") }
            }
            _ => "-".to_owned(),
        };
        let state = match (tunnel.is_up(), tunnel.life(), tunnel.config.up) {
            (true, _, _) => "up",
            (false, Life::Down, _) | (false, _, false) => "down",
            (false, Life::Unknown | Life::Up, true) if tunnel.path_error.is_some() => "down",
            (false, Life::Unknown | Life::Up, true) if tunnel.carrier == Carrier::Nobody => "down",
            (false, Life::Unknown | Life::Up, true) => "waiting",
        };
        Row {
            name: name.to_owned(),
            kind: tunnel.config.kind_name(),
            path: match tunnel.carrier {
                Carrier::Waiting => "waiting",
                Carrier::Kernel => "kernel",
                Carrier::Userspace => "userspace",
                Carrier::Nobody => "none",
            },
            why: if tunnel.carrier == Carrier::Kernel && tunnel.config.mss_clamp {
                format!("{}; mss not clamped", tunnel.why)
            } else {
                tunnel.why.clone()
            },
            local,
            remote,
            state,
            mtu: tunnel.config.mtu,
            rtt: tunnel.monitor.as_ref().and_then(|monitor| monitor.echoes.rtt_last),
            last_error: self.problem(name, self.now),
        }
    }
}
