//! A virtual link layer and clock around the engine: tests say what happens when, and look at what was sent.
#![allow(dead_code, reason = "every test file uses another part of the harness")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use portreeve_packet::nd::{ALL_NODES, NdOption, PrefixInformation, RouterAdvertisement};
use portreeve_radvd::engine::{
    Event, InterfaceAddress, InterfaceState, InterfaceStatus, LinkState, PublishedServer, Received, Transmit,
};
use portreeve_radvd::{Config, Engine, Instant};
use std::collections::BTreeSet;
use std::net::Ipv6Addr;
use std::time::Duration;

pub const HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x10);
pub const OTHER_HOST: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);
pub const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];

/// One packet that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    pub at: Instant,
    pub transmit: Transmit,
}

impl Sent {
    pub fn is_multicast(&self) -> bool {
        self.transmit.destination == ALL_NODES
    }

    pub fn parse(&self) -> RouterAdvertisement {
        RouterAdvertisement::parse(&self.transmit.bytes).unwrap()
    }

    pub fn prefix(&self, prefix: &str) -> Option<PrefixInformation> {
        let wanted: Ipv6Addr = prefix.parse().unwrap();
        self.parse().options.into_iter().find_map(|option| match option {
            NdOption::PrefixInformation(found) if found.prefix == wanted => Some(found),
            _ => None,
        })
    }

    /// NAT64 prefixes with their lifetimes in seconds, as sent.
    pub fn nat64(&self) -> Vec<(String, u16)> {
        let of = |option| match option {
            NdOption::Pref64(p) => Some((format!("{}/{}", p.prefix, p.prefix_length), p.lifetime)),
            _ => None,
        };
        self.parse().options.into_iter().filter_map(of).collect()
    }

    /// DNS servers with their lifetimes in seconds, as sent.
    pub fn servers(&self) -> Vec<(String, u32)> {
        let mut servers = Vec::new();
        for option in self.parse().options {
            if let NdOption::Rdnss(rdnss) = option {
                servers.extend(rdnss.servers.iter().map(|server| (server.to_string(), rdnss.lifetime)));
            }
        }
        servers
    }

    pub fn has(&self, test: impl Fn(&NdOption) -> bool) -> bool {
        self.parse().options.iter().any(test)
    }
}

pub struct Lab {
    pub engine: Engine,
    pub now: Instant,
    pub sent: Vec<Sent>,
    pub events: Vec<Event>,
    pub open: BTreeSet<u32>,
}

/// A configuration that must be legal.
pub fn config(text: &str) -> Config {
    match Config::parse(text) {
        Ok((config, _)) => config,
        Err(list) => panic!("{}", list.iter().map(|d| d.render("test", text)).collect::<String>()),
    }
}

/// One interface `lan0` with these fields.
pub fn lan0(fields: &str) -> Config {
    config(&format!("(interfaces: {{ \"lan0\": ({fields}) }})"))
}

pub fn address(text: &str) -> InterfaceAddress {
    let (address, prefix_length) = text.split_once('/').unwrap();
    InterfaceAddress {
        address: address.parse().unwrap(),
        prefix_length: prefix_length.parse().unwrap(),
        tentative: false,
        deprecated: false,
        valid_lifetime: None,
        preferred_lifetime: None,
    }
}

pub fn link(name: &str, index: u32) -> LinkState {
    LinkState {
        forwarding_off: false,
        name: name.to_owned(),
        index,
        mac: Some(vec![2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        running: true,
        delegated: Vec::new(),
        addresses: vec![address("fe80::1/64")],
    }
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Lab {
    pub fn new(config: Config) -> Self {
        Self::with_seed(config, 1)
    }

    pub fn with_seed(config: Config, seed: u64) -> Self {
        let now = Instant::from_millis(1_000_000);
        let engine = Engine::new(config, seed, now);
        Self { engine, now, sent: Vec::new(), events: Vec::new(), open: BTreeSet::new() }
    }

    /// With `lan0` up as link 2.
    pub fn up(config: Config) -> Self {
        let mut lab = Self::new(config);
        lab.link(link("lan0", 2));
        lab
    }

    pub fn link(&mut self, link: LinkState) {
        self.engine.handle_link(link, self.now);
        self.poll();
    }

    pub fn removed(&mut self, index: u32) {
        self.engine.handle_link_removed(index, self.now);
        self.poll();
    }

    /// All NAT64 prefixes that other plugins publish now.
    pub fn publish_nat64(&mut self, prefixes: &[&str]) {
        let prefixes = prefixes.iter().map(|text| text.parse().unwrap()).collect();
        self.engine.handle_nat64_prefixes(prefixes, self.now);
        self.poll();
    }

    /// All DNS servers that other plugins publish now, each with its key.
    pub fn publish_servers(&mut self, servers: &[(&str, &str)]) {
        let server = |(key, address): &(&str, &str)| PublishedServer {
            key: (*key).to_owned(),
            address: address.parse().unwrap(),
        };
        self.engine.handle_servers(servers.iter().map(server).collect(), self.now);
        self.poll();
    }

    pub fn reconfigure(&mut self, config: Config) {
        self.engine.reconfigure(config, self.now);
        self.poll();
    }

    pub fn stop(&mut self) {
        self.engine.stop(self.now);
        self.poll();
    }

    pub fn receive(&mut self, index: u32, source: Ipv6Addr, hop_limit: u8, bytes: &[u8]) {
        let destination = "ff02::2".parse().unwrap();
        let received = Received { interface_index: index, source, destination, hop_limit, bytes };
        self.engine.handle_packet(received, self.now);
        self.poll();
    }

    pub fn solicit(&mut self, source: Ipv6Addr) {
        self.receive(2, source, 255, &SOLICITATION);
    }

    /// Lets time pass, firing timers exactly when they are due.
    pub fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            self.poll();
        }
        self.now = end;
    }

    pub fn poll(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            match &event {
                Event::OpenSocket { index, .. } => assert!(self.open.insert(*index), "opened twice"),
                Event::CloseSocket { index } => assert!(self.open.remove(index), "closed without being open"),
                _ => {}
            }
            self.events.push(event);
        }
        while let Some(transmit) = self.engine.poll_transmit() {
            assert!(self.open.contains(&transmit.interface_index), "sent without a socket");
            self.sent.push(Sent { at: self.now, transmit });
        }
    }

    /// What was sent since the last call.
    pub fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// The only packet sent since the last call.
    pub fn one(&mut self) -> Sent {
        let sent = self.take();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.into_iter().next().unwrap()
    }

    /// Past the initial advertisements, nothing pending within the minimum delay.
    pub fn settled(mut self) -> Self {
        self.advance(seconds(40));
        self.take();
        self
    }

    pub fn status(&self, name: &str) -> InterfaceStatus {
        self.engine.status(self.now).into_iter().find(|s| s.name == name).unwrap()
    }

    pub fn state(&self) -> InterfaceState {
        self.status("lan0").state
    }
}
