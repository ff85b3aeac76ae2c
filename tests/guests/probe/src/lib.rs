//! A plugin that calls the host as it is told: `portreeve status probe WORDS…` makes one call and shows what
//! came of it. Its section names what it plans: `(links: ["lan*"], icmpv6: ["lan0"], facts: true, storage: 4096)`.
//!
//! Commands: `links`, `addresses`, `routes`, `neighbours`, `changes`, `open IF TYPE…`, `join ADDRESS`, `receive`,
//! `send TYPE DESTINATION`, `set|get|remove|names volatile|flash [NAME [VALUE]]`, `publish KEY ADDRESS`,
//! `address IF ADDRESS/LENGTH`, `route IF ADDRESS LENGTH TABLE`, `sysctl NAME VALUE`, `make NAME KIND`, `rename INDEX NAME`
//! (each states a network of just that), `hardware`, `kind KIND`, `key NAME`, `tun NAME`,
//! `listen udp|tcp IF PORT`, `connect udp|tcp ADDRESS:PORT`, `masquerade ADDRESS LENGTH`, `ipv4 PROTOCOL [REMOTE]`,
//! `netlink FAMILY TYPE`, `resolve NAME`, `withdraw KEY`, `facts`, `count NAME AMOUNT`, `log TEXT`, `print TEXT`, `clock`,
//! `random`, `degraded TEXT`, `ready`, `masquerades COUNT`, `socket …` (see `sockets.rs`), `netfilter …` and
//! `file …` (see `tables.rs`).
#![cfg(target_arch = "wasm32")]

use std::net::{IpAddr, Ipv6Addr};

use portreeve_network::{Address, Kind, Link, Masquerade, Prefix, Route, State, Sysctl};
use portreeve_sdk::config::{Diagnostics, Value};
use portreeve_sdk::netlink::Socket;
use portreeve_sdk::network::{self, ipv4_address};
use portreeve_sdk::raw_ip::{Icmpv6Socket, Ipv4Socket, Transmit};
use portreeve_sdk::storage::Durability;
use portreeve_sdk::tun::Device;
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{
    Diagnostic, Failure, Icmpv6Need, Manifest, Need, Planned, Plugin, Report, Request, Requests, StorageNeed, clock,
    diagnostics, facts, info, instance, ip, ip_address, ipv6, ipv6_address, links, metrics, names, random, storage,
    udp,
};

mod sockets;
mod tables;

use sockets::Sockets;
use tables::Tables;

struct Probe;

portreeve_sdk::export!(Probe);

impl Plugin for Probe {
    fn describe() -> Manifest {
        Manifest {
            name: "probe".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "calls the host as it is told".to_owned(),
            needs: needs(&["*"], &["*"], true, 65_536),
            config_example: "(links: [\"lan*\"])".to_owned(),
            state_schema: 0,
        }
    }

    fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
        Ok(Planned { needs: read(section)?, warnings: vec![], summary: vec!["answers questions".to_owned()] })
    }

    async fn run(section: String, mut requests: Requests) -> Result<(), Failure> {
        read(&section).map_err(Failure::Config)?;
        let mut held = Held::default();
        instance::ready();
        loop {
            match requests.next().await {
                Request::Reconfigure(section, reply) => reply.send(read(&section).map(drop).map_err(Failure::Config)),
                Request::Query(words, reply) => {
                    let words: Vec<&str> = words.iter().map(String::as_str).collect();
                    let answer = held.obey(&words).await;
                    let values = answer.into_iter().map(|line| ("answer".to_owned(), line)).collect();
                    reply.send(Ok(Report { values, tables: vec![] }));
                }
                Request::Stop => return Ok(()),
            }
        }
    }
}

/// Handles that stay open between commands.
#[derive(Default)]
struct Held {
    watch: Option<links::Watch>,
    facts: Option<facts::Watch>,
    socket: Option<Icmpv6Socket>,
    sockets: Sockets,
    tables: Tables,
}

impl Held {
    async fn obey(&mut self, words: &[&str]) -> Vec<String> {
        self.call(words).await.unwrap_or_else(|code| vec![code.name().to_owned()])
    }

    async fn call(&mut self, words: &[&str]) -> Result<Vec<String>, ErrorCode> {
        let done = Ok(vec!["ok".to_owned()]);
        let address = |text: &str| text.parse::<Ipv6Addr>().map_err(|_| ErrorCode::InvalidArgument);
        match *words {
            ["links"] => Ok(links::list_links()?.into_iter().map(|l| l.name).collect()),
            ["addresses"] => {
                Ok(links::list_addresses()?.into_iter().map(|a| ip(a.address.address).to_string()).collect())
            }
            ["routes"] => {
                let routes = links::list_routes().await?;
                Ok(routes
                    .into_iter()
                    .map(|r| format!("{}/{}", ip(r.destination.address), r.destination.length))
                    .collect())
            }
            ["neighbours"] => {
                Ok(links::list_neighbours().await?.into_iter().map(|n| ip(n.address).to_string()).collect())
            }
            ["changes"] => {
                if self.watch.is_none() {
                    self.watch = Some(links::Watch::open()?);
                }
                let Some(watch) = &self.watch else { return done };
                Ok(watch.next().await.into_iter().map(|change| describe(&change)).collect())
            }
            ["open", name, ref types @ ..] => {
                let types: Vec<u8> = types.iter().filter_map(|t| t.parse().ok()).collect();
                self.socket = Some(Icmpv6Socket::open(name, &types)?);
                done
            }
            ["join", group] => {
                let Some(socket) = &self.socket else { return Err(ErrorCode::NotFound) };
                socket.join(ipv6_address(address(group)?)).and(done)
            }
            ["receive"] => {
                let Some(socket) = &self.socket else { return Err(ErrorCode::NotFound) };
                let packets = socket.receive().await?;
                Ok(packets.into_iter().map(|p| format!("{} {:?}", ipv6(p.source), p.message)).collect())
            }
            ["send", kind, destination] => {
                let Some(socket) = &self.socket else { return Err(ErrorCode::NotFound) };
                let message = kind.parse::<u8>().map(|kind| vec![kind, 0, 0, 0, 0, 0, 0, 0]).unwrap_or_default();
                let destination = ipv6_address(address(destination)?);
                socket.send(Transmit { source: None, destination, hop_limit: 255, message }).await.and(done)
            }
            ["address", interface, text] => {
                let (address, length) = text.split_once('/').ok_or(ErrorCode::InvalidArgument)?;
                let address = address.parse().map_err(|_| ErrorCode::InvalidArgument)?;
                let prefix = Prefix::new(address, length.parse().unwrap_or(64));
                let addresses = vec![Address::new(interface, prefix)];
                applied(State { addresses, ..State::default() }).await
            }
            ["route", interface, address, length, table] => {
                let address = address.parse().map_err(|_| ErrorCode::InvalidArgument)?;
                let mut route = Route::new(Prefix::new(address, length.parse().unwrap_or(0)));
                route.interface = Some(interface.to_owned());
                route.table = table.parse().unwrap_or(0);
                applied(State { routes: vec![route], ..State::default() }).await
            }
            ["sysctl", name, value] => {
                let sysctls = vec![Sysctl { name: name.to_owned(), value: value.to_owned() }];
                applied(State { sysctls, ..State::default() }).await
            }
            ["make", name, kind] => {
                let make = if kind == "tun" { Kind::Tun } else { Kind::Dummy };
                let links = vec![Link { name: name.to_owned(), make: Some(make), ..Link::default() }];
                applied(State { links, ..State::default() }).await
            }
            ["rename", index, name] => {
                let links = vec![Link { name: name.to_owned(), index: index.parse().ok(), ..Link::default() }];
                applied(State { links, ..State::default() }).await
            }
            ["hardware"] => Ok(network::list_hardware()?.iter().map(|h| h.index.to_string()).collect()),
            ["kind", kind] => match network::probe(kind.to_owned()).await {
                Ok(()) => done,
                Err(problem) => Ok(vec![problem.error.name().to_owned(), problem.message]),
            },
            ["key", name] => Ok(vec![network::public_key(name.to_owned()).await?.len().to_string()]),
            ["tun", name] => Device::open(name).map(drop).and(done),
            ["masquerade", address, length] => {
                let address = address.parse().map_err(|_| ErrorCode::InvalidArgument)?;
                let source = Prefix::new(address, length.parse().unwrap_or(0));
                let masquerades = vec![Masquerade { source, out: None }];
                applied(State { masquerades, ..State::default() }).await
            }
            ["masquerades", count] => {
                let source = |number: u16| {
                    let [high, low] = number.to_be_bytes();
                    Prefix::new(IpAddr::from([192, 0, high, low]), 32)
                };
                let count = count.parse().unwrap_or(0);
                let masquerades = (0..count).map(|number| Masquerade { source: source(number), out: None }).collect();
                applied(State { masquerades, ..State::default() }).await
            }
            ["listen", "udp", interface, port] => {
                udp::Socket::listen(interface, port.parse().unwrap_or(0)).map(drop).and(done)
            }
            ["listen", "tcp", interface, port] => {
                udp::Listener::listen(interface, port.parse().unwrap_or(0)).map(drop).and(done)
            }
            ["connect", transport, remote] => {
                let remote = udp::socket_address(remote.parse().map_err(|_| ErrorCode::InvalidArgument)?);
                match transport {
                    "udp" => udp::Socket::connect(remote).map(drop).and(done),
                    _ => udp::Connection::connect(remote).await.map(drop).and(done),
                }
            }
            ["ipv4", protocol, ref remote @ ..] => {
                let remote = remote.first().and_then(|text| text.parse().ok()).map(ipv4_address);
                Ipv4Socket::open(protocol.parse().unwrap_or(0), None, remote).map(drop).and(done)
            }
            ["netlink", family, kind] => {
                let socket = Socket::open(family.parse().unwrap_or(0))?;
                let mut message = 16u32.to_le_bytes().to_vec();
                message.extend(kind.parse().unwrap_or(0u16).to_le_bytes());
                message.resize(16, 0);
                socket.send(message).await.and(done)
            }
            ["resolve", name] => {
                Ok(names::resolve(name.to_owned()).await?.into_iter().map(|a| ip(a).to_string()).collect())
            }
            ["socket", ref words @ ..] => self.sockets.call(words).await,
            ["netfilter", ref words @ ..] => self.tables.call(words).await,
            ["file", ref words @ ..] => self.tables.file(words).await,
            ["set", durability, name, value] => storage::set(last(durability), name, value.as_bytes()).and(done),
            ["get", durability, name] => {
                let value = storage::get(last(durability), name)?;
                Ok(vec![value.map_or("none".to_owned(), |v| String::from_utf8_lossy(&v).into_owned())])
            }
            ["remove", durability, name] => storage::remove(last(durability), name).and(done),
            ["names", durability] => storage::names(last(durability)),
            ["publish", key, address] => {
                let address: IpAddr = address.parse().map_err(|_| ErrorCode::InvalidArgument)?;
                facts::publish(key, &facts::Value::DnsServer(ip_address(address))).and(done)
            }
            ["withdraw", key] => facts::withdraw(key).and(done),
            ["facts"] => {
                if self.facts.is_none() {
                    self.facts = Some(facts::Watch::open(&[facts::Kind::DnsServer])?);
                }
                let Some(watch) = &self.facts else { return done };
                Ok(watch.next().await.into_iter().map(|f| format!("{} {} {:?}", f.publisher, f.key, f.value)).collect())
            }
            ["count", name, amount] => {
                let counter = metrics::Counter::create(name, "a probe's counter", &[])?;
                counter.add(amount.parse().unwrap_or(0));
                done
            }
            ["log", text] => {
                info!("a probe says", text = text);
                done
            }
            ["print", text] => {
                println!("{text}");
                done
            }
            ["clock"] => {
                let before = clock::now();
                clock::sleep_until(before + 5_000_000).await;
                Ok(vec![(clock::now() - before).to_string(), clock::wall().seconds.to_string()])
            }
            ["random"] => Ok(vec![random::bytes(1 << 20).len().to_string(), random::number().to_string()]),
            ["degraded", text] => {
                instance::degraded(text);
                done
            }
            ["place"] => {
                let place = instance::section_place();
                Ok(vec![format!("{}:{}", place.line, place.column)])
            }
            ["ready"] => {
                instance::ready();
                done
            }
            _ => Ok(vec!["unknown command".to_owned()]),
        }
    }
}

/// What an apply came to: how many changes, then who is waited for, then problems.
async fn applied(state: State) -> Result<Vec<String>, ErrorCode> {
    let outcome = network::apply(state).await?;
    let mut lines = vec![format!("changes {}", outcome.changes)];
    lines.extend(outcome.waiting.into_iter().map(|name| format!("waiting {name}")));
    lines.extend(outcome.problems.into_iter().map(|p| format!("{}: {}", p.object, p.message)));
    Ok(lines)
}

fn describe(change: &links::Change) -> String {
    match change {
        links::Change::Link(link) => format!("link {} running={}", link.name, link.running),
        links::Change::LinkGone(index) => format!("gone {index}"),
        links::Change::Address(address) => format!("address {}", ip(address.address.address)),
        links::Change::AddressGone((_, prefix)) => format!("address gone {}", ip(prefix.address)),
    }
}

fn last(word: &str) -> Durability {
    if word == "flash" { Durability::Flash } else { Durability::Volatile }
}

fn read(section: &str) -> Result<Vec<Need>, Vec<Diagnostic>> {
    let mut d = Diagnostics::new();
    let (mut links, mut icmpv6, mut facts, mut bytes) = (vec![], vec![], false, 0);
    if let Some(mut fields) = Value::root(section, &mut d).and_then(|v| v.fields(&mut d)) {
        let mut texts =
            |name| -> Vec<String> { fields.take(name).and_then(|v| v.get(&mut d)).map_or(vec![], |v| v.value) };
        (links, icmpv6) = (texts("links"), texts("icmpv6"));
        facts = fields.take("facts").and_then(|v| v.get(&mut d)).is_some_and(|v| v.value);
        bytes = fields.take("storage").and_then(|v| v.get(&mut d)).map_or(0, |v| v.value);
        fields.finish(&mut d);
    }
    if d.has_errors() {
        return Err(diagnostics(d.into_vec()));
    }
    let links: Vec<&str> = links.iter().map(String::as_str).collect();
    let icmpv6: Vec<&str> = icmpv6.iter().map(String::as_str).collect();
    Ok(needs(&links, &icmpv6, facts, bytes))
}

fn needs(links: &[&str], icmpv6: &[&str], facts: bool, bytes: u32) -> Vec<Need> {
    let mut needs: Vec<Need> = links.iter().map(|&name| Need::Links(name.to_owned())).collect();
    needs.extend(icmpv6.iter().map(|&name| {
        Need::Icmpv6(Icmpv6Need { interfaces: name.to_owned(), receive: vec![128, 133], send: vec![129, 134] })
    }));
    if facts {
        needs.extend([Need::Publish(facts::Kind::DnsServer), Need::Watch(facts::Kind::DnsServer)]);
    }
    if bytes > 0 {
        needs.push(Need::Storage(StorageNeed { volatile: bytes, flash: bytes }));
    }
    needs
}
