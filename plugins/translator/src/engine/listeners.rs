//! Where clients ask: a UDP and a TCP socket on each interface that the section means and that is up, and the address
//! there that others are told.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use super::attempt::Attempt;
use super::instance::HOLD;
use super::links::Links;
use super::types::{Action, Event, Socket, Transport};
use crate::config::{DNS_KEY, Dns64};
use crate::time::Instant;

/// Interfaces with sockets; further ones have none, and that is a problem.
pub const MAX_LISTENING: usize = 64;

/// The port that is meant where only an address is told (RFC 1035, RFC 8106).
const USUAL_PORT: u16 = 53;
const TRANSPORTS: [Transport; 2] = [Transport::Udp, Transport::Tcp];

#[derive(Debug, Default)]
pub(super) struct Listeners {
    sockets: BTreeMap<Socket, Attempt>,
    /// What others are told, by the name of the interface.
    published: BTreeMap<String, Told>,
    /// Interfaces that had no place.
    left_out: usize,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    address: Ipv6Addr,
    /// Since when nobody listens there.
    lost: Option<Instant>,
}

impl Listeners {
    /// Opens and closes sockets; `ours` says which devices are translators.
    pub(super) fn drive(
        &mut self,
        dns64: Option<&Dns64>,
        links: &Links,
        ours: impl Fn(&str) -> bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let mut wanted = Vec::new();
        self.left_out = 0;
        if let Some(dns64) = dns64 {
            let meant = |name: &str| !ours(name) && dns64.interfaces.iter().any(|pattern| pattern.matches(name));
            for link in links.all().filter(|link| link.up && meant(&link.name)) {
                if wanted.len() >= MAX_LISTENING * TRANSPORTS.len() {
                    self.left_out += 1;
                    continue;
                }
                let socket =
                    |transport| Socket { index: link.index, interface: link.name.clone(), transport, port: dns64.port };
                wanted.extend(TRANSPORTS.map(socket));
            }
        }
        self.sockets.retain(|socket, attempt| {
            let keep = wanted.contains(socket);
            if !keep && attempt.stop(now) {
                actions.push(Action::Unlisten(socket.clone()));
            }
            keep
        });
        for socket in wanted {
            let attempt = self.sockets.entry(socket.clone()).or_default();
            if attempt.is_due(now) {
                attempt.start();
                actions.push(Action::Listen(socket));
            }
        }
    }

    /// What became of a socket. Gives whether there was one that ended.
    pub(super) fn handle(&mut self, socket: &Socket, event: Event, now: Instant) -> bool {
        self.sockets.get_mut(socket).is_some_and(|attempt| attempt.handle(event, now))
    }

    /// Tells others where questions are answered: one address for each interface whose UDP socket is open. While one
    /// that broke is tried again, what was told stays, but not longer than [`HOLD`].
    pub(super) fn publish(&mut self, dns64: Option<&Dns64>, links: &Links, now: Instant, actions: &mut Vec<Action>) {
        let mut told = BTreeMap::new();
        if dns64.is_some_and(|dns64| dns64.advertise && dns64.port == USUAL_PORT) {
            let others = |socket: &Socket| socket.transport == Transport::Udp && socket.interface != "lo";
            for (socket, attempt) in self.sockets.iter().filter(|(socket, _)| others(socket)) {
                let present = self.published.get(&socket.interface);
                let Some(address) = links.service_address(socket.index, present.map(|told| told.address)) else {
                    continue;
                };
                let lost = match present {
                    _ if attempt.is_open() => None,
                    Some(told) => Some(told.lost.unwrap_or(now)),
                    None => continue,
                };
                if lost.is_none_or(|at| now.since(at) < HOLD) {
                    told.insert(socket.interface.clone(), Told { address, lost });
                }
            }
        }
        let key = |name: &str| format!("{DNS_KEY}{name}");
        for name in self.published.keys().filter(|name| !told.contains_key(*name)) {
            actions.push(Action::Withdraw { key: key(name) });
        }
        for (name, Told { address, .. }) in &told {
            if self.published.get(name).map(|told| told.address) != Some(*address) {
                actions.push(Action::PublishDns { key: key(name), address: (*address).into() });
            }
        }
        self.published = told;
    }

    /// What is wrong with them.
    pub(super) fn problems(&self, dns64: &Dns64, patient: bool) -> Vec<String> {
        let broken = self.sockets.iter().filter_map(|(socket, attempt)| {
            let why = attempt.error.as_ref()?;
            let Socket { interface, transport, port, .. } = socket;
            Some(format!("dns64: {} port {port} on {interface}: {why}", transport.name()))
        });
        let mut list: Vec<String> = broken.collect();
        if self.left_out > 0 {
            list.push(format!("dns64: {} interfaces more than the {MAX_LISTENING} that fit", self.left_out));
        }
        if !patient {
            let served = |name: &str| self.sockets.keys().any(|socket| socket.interface == name);
            let exact = dns64.interfaces.iter().filter(|pattern| pattern.is_exact() && !served(pattern.as_str()));
            list.extend(exact.map(|name| format!("dns64: {} is not there, or down", name.as_str())));
            if self.sockets.is_empty() && list.is_empty() {
                list.push("dns64: none of its interfaces is there and up".to_owned());
            }
        }
        list
    }

    /// Whether all of them are open, and there are any.
    pub(super) fn are_open(&self) -> bool {
        !self.sockets.is_empty() && self.sockets.values().all(Attempt::is_open)
    }

    /// All sockets, each with whether it is open and what is wrong with it.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Socket, bool, Option<&str>)> {
        self.sockets.iter().map(|(socket, attempt)| (socket, attempt.is_open(), attempt.error.as_deref()))
    }

    /// What others are told of an interface.
    pub(super) fn told(&self, interface: &str) -> Option<Ipv6Addr> {
        self.published.get(interface).map(|told| told.address)
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        let held = self.published.values().filter_map(|told| told.lost).map(|at| at + HOLD);
        self.sockets.values().filter_map(Attempt::timeout).chain(held).min()
    }
}
