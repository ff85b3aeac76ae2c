//! The table beside a slow and obvious one: maps of whole keys, searched and swept on every question. Random packets,
//! random pauses, and the hand only now and then.
//!
//! The model takes the port that the table chose (after checking that it was free), as choosing is not its business. Time
//! passes in steps of its own, after which everything that is over has been swept: that the hand comes by, and that what
//! is over counts as gone before it does, is tested elsewhere.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::nat64::tcp::{Event, Lifetime, State, step};

/// Protocol, host, its port.
type HostKey = (Protocol, Ipv6Addr, u16);

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: Option<State>,
    /// The lifetime ends here at the earliest, and `late` later at the latest.
    expires: Instant,
    /// A [`GRAIN`] for each lifetime that was rounded up since the last packet, and one for the rounding of the clock.
    late: Duration,
}

impl Entry {
    /// A lifetime that a packet began.
    fn until(state: Option<State>, expires: Instant) -> Self {
        Self { state, expires, late: GRAIN + GRAIN }
    }
}

/// Sessions and mappings by whole keys.
struct Model {
    settings: Settings,
    mappings: BTreeMap<HostKey, Endpoint4>,
    sessions: BTreeMap<(HostKey, Ipv4Addr, u16), Entry>,
    evicted: usize,
}

/// How a session is at some time: its end lies within the grain, and so either may be said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Alive,
    Unsure,
    Over,
}

impl Model {
    fn life(entry: &Entry, now: Instant) -> Life {
        if now <= entry.expires {
            Life::Alive
        } else if now >= entry.expires + entry.late {
            Life::Over
        } else {
            Life::Unsure
        }
    }

    fn lifetime(&self, protocol: Protocol) -> Duration {
        match protocol {
            Protocol::Udp => self.settings.timeouts.udp,
            Protocol::Icmp => self.settings.timeouts.icmp,
            Protocol::Tcp => self.settings.timeouts.tcp_transitory,
        }
    }

    /// Ends what is over; false when something is neither alive nor over.
    fn sweep(&mut self, now: Instant) -> bool {
        let mut sure = true;
        let trans = self.settings.timeouts.tcp_transitory;
        self.sessions.retain(|_, entry| match Self::life(entry, now) {
            Life::Alive => true,
            life => {
                sure &= life == Life::Over;
                if entry.state == Some(State::Established) {
                    entry.state = Some(State::Trans);
                    entry.expires = entry.expires + trans;
                    entry.late += GRAIN;
                    let later = Self::life(entry, now);
                    sure &= later != Life::Unsure;
                    later != Life::Over
                } else {
                    false
                }
            }
        });
        sure
    }

    fn owner(&self, protocol: Protocol, public: Endpoint4) -> Option<HostKey> {
        self.mappings.iter().find(|(key, value)| key.0 == protocol && **value == public).map(|(key, _)| *key)
    }

    fn of_prefix(&self, host: Ipv6Addr) -> usize {
        let prefix = |host: Ipv6Addr| u128::from(host) >> 64;
        self.sessions.keys().filter(|(key, ..)| prefix(key.1) == prefix(host)).count()
    }

    /// What gave way in a full table: half-open TCP, and nothing else.
    fn give_way(&mut self, lab: &Lab) {
        let before = self.sessions.len();
        let shown: Vec<_> = lab
            .views()
            .iter()
            .map(|view| ((view.protocol, view.host.address, view.host.port), view.remote.address, view.remote.port))
            .collect();
        self.sessions.retain(|key, entry| {
            let stays = shown.contains(key);
            assert!(stays || entry.state.is_some_and(State::is_half_open), "{key:?} {entry:?}");
            stays
        });
        self.evicted += before - self.sessions.len();
        assert_eq!(lab.table.stats().counters.evicted as usize, self.evicted);
        let live: Vec<HostKey> = self.sessions.keys().map(|(host, ..)| *host).collect();
        self.mappings.retain(|host, _| live.contains(host));
    }

    fn refresh(&mut self, key: (HostKey, Ipv4Addr, u16), event: Event, now: Instant) {
        let (trans, est) = (self.settings.timeouts.tcp_transitory, self.settings.timeouts.tcp_established);
        let lifetime = self.lifetime(key.0.0);
        let Some(entry) = self.sessions.get_mut(&key) else { panic!("{key:?}") };
        match entry.state {
            None => *entry = Entry::until(None, now + lifetime),
            Some(state) => {
                let (next, lifetime) = step(state, event);
                match lifetime {
                    Lifetime::Keep => entry.state = Some(next),
                    Lifetime::Established => *entry = Entry::until(Some(next), now + est),
                    Lifetime::Transitory => *entry = Entry::until(Some(next), now + trans),
                }
            }
        }
    }

    fn begin(&mut self, key: (HostKey, Ipv4Addr, u16), state: State, now: Instant) {
        let protocol = key.0.0;
        let state = (protocol == Protocol::Tcp).then_some(state);
        self.sessions.insert(key, Entry::until(state, now + self.lifetime(protocol)));
    }

    fn outbound(&mut self, flow: &Outbound, tcp: TcpFlags, said: Result<Endpoint4, Refusal>, now: Instant) {
        let host: HostKey = (flow.protocol, flow.source, flow.source_port);
        let key = (host, flow.destination, if flow.protocol == Protocol::Icmp { 0 } else { flow.destination_port });
        if self.sessions.contains_key(&key) {
            assert_eq!(said, Ok(self.mappings[&host]));
            self.refresh(key, Event::from_v6(tcp), now);
        } else if flow.protocol == Protocol::Tcp && (!tcp.syn || tcp.ack || tcp.rst) {
            assert_eq!(said, Err(Refusal::NotSyn));
        } else if self.of_prefix(flow.source) >= self.settings.per_prefix as usize {
            assert_eq!(said, Err(Refusal::Quota));
        } else {
            let Ok(public) = said else {
                if said == Err(Refusal::TableFull) {
                    assert!(self.sessions.len() >= self.settings.max_sessions as usize);
                    return;
                }
                assert_eq!(said, Err(Refusal::PortsExhausted));
                assert!(!self.mappings.contains_key(&host));
                if self.settings.port_block.is_some() {
                    return;
                }
                let used = self.mappings.keys().filter(|key| key.0 == flow.protocol).count();
                assert_eq!(used, 16, "it said that no port was left");
                return;
            };
            match self.mappings.get(&host) {
                Some(mapped) => assert_eq!(*mapped, public),
                None => {
                    assert_eq!(self.owner(flow.protocol, public), None, "two hosts share a port");
                    self.mappings.insert(host, public);
                }
            }
            self.begin(key, State::V6Init, now);
        }
    }

    fn inbound(&mut self, flow: &Inbound, tcp: TcpFlags, said: Result<Endpoint6, Refusal>, now: Instant) {
        let public = at(flow.destination, flow.destination_port);
        let Some(host) = self.owner(flow.protocol, public) else {
            assert_eq!(said, Err(Refusal::NoMapping));
            return;
        };
        let key = (host, flow.source, if flow.protocol == Protocol::Icmp { 0 } else { flow.source_port });
        let heard = self.sessions.keys().any(|other| (other.0, other.1) == (host, flow.source));
        let quota = (self.settings.per_prefix - self.settings.per_prefix / 8) as usize;
        let found = Ok(Endpoint6 { address: host.1, port: host.2 });
        if self.sessions.contains_key(&key) {
            assert_eq!(said, found);
            self.refresh(key, Event::from_v4(tcp), now);
        } else if flow.protocol == Protocol::Tcp && (!tcp.syn || tcp.ack || tcp.rst) {
            assert_eq!(said, Err(Refusal::NotSyn));
        } else if (flow.protocol == Protocol::Tcp && !self.settings.tcp_inbound)
            || (self.settings.filtering == Filtering::AddressDependent && !heard)
        {
            assert_eq!(said, Err(Refusal::Filtered));
        } else if self.of_prefix(host.1) >= quota {
            assert_eq!(said, Err(Refusal::Quota));
        } else if self.sessions.len() >= (self.settings.max_sessions - self.settings.max_sessions / 8) as usize {
            assert_eq!(said, Err(Refusal::TableFull));
        } else {
            assert_eq!(said, found);
            self.begin(key, State::V4Init, now);
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Out { protocol: Protocol, host: u8, port: u16, remote: u8, remote_port: u16, flags: u8 },
    In { protocol: Protocol, remote: u8, remote_port: u16, port: u16, flags: u8 },
    Wait { millis: u64 },
}

fn protocols() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Icmp)]
}

fn steps() -> impl Strategy<Value = Step> {
    let out = (protocols(), 0u8..6, 2000u16..2006, 0u8..3, 1u16..3, 0u8..8);
    let back = (protocols(), 0u8..3, 1u16..3, 2000u16..2016, 0u8..8);
    prop_oneof![
        5 => out.prop_map(|(protocol, host, port, remote, remote_port, flags)| Step::Out {
            protocol, host, port, remote, remote_port, flags,
        }),
        5 => back.prop_map(|(protocol, remote, remote_port, port, flags)| Step::In {
            protocol, remote, remote_port, port, flags,
        }),
        2 => prop_oneof![4 => 0u64..100_000, 1 => 0u64..8_000_000].prop_map(|millis| Step::Wait { millis }),
    ]
}

/// Mostly the flags of ordinary connections.
fn flags(number: u8) -> TcpFlags {
    [SYN, SYN, SYN_ACK, ACK, ACK, FIN, RST, TcpFlags::default()][usize::from(number) % 8]
}

fn remote(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 0, 2, 10 + number)
}

fn run(settings: Settings, steps: Vec<Step>) {
    let mut lab = Lab::new(settings.clone());
    let mut model = Model { settings, mappings: BTreeMap::new(), sessions: BTreeMap::new(), evicted: 0 };
    for step in steps {
        match step {
            Step::Wait { millis } => {
                lab.wait(Duration::from_millis(millis));
                // Let every end be past its grain, and the hand go round.
                while !model.sweep(lab.now) {
                    lab.skip(GRAIN);
                }
                lab.table.sweep(lab.now);
                model.give_way(&lab);
            }
            Step::Out { protocol, host, port, remote: to, remote_port, flags: number } => {
                let tcp = flags(number);
                let to = at(remote(to), remote_port);
                let flow = outbound(protocol, (host_of(u16::from(host) / 2, u64::from(host)), port), to);
                let said = lab.table.outbound(&flow, (protocol == Protocol::Tcp).then_some(tcp), lab.now);
                model.give_way(&lab);
                model.outbound(&flow, tcp, said, lab.now);
                assert_eq!(lab.table.outbound_error(&flow, lab.now), said.ok());
            }
            Step::In { protocol, remote: from, remote_port, port, flags: number } => {
                let tcp = flags(number);
                let flow = inbound(protocol, at(remote(from), remote_port), at(POOL, port));
                let said = lab.table.inbound(&flow, (protocol == Protocol::Tcp).then_some(tcp), lab.now);
                model.inbound(&flow, tcp, said, lab.now);
                assert_eq!(lab.table.inbound_error(&flow, lab.now), said.ok());
            }
        }
        compare(&lab, &model);
    }
    lab.wait(secs(20_000));
    let stats = lab.table.stats();
    assert_eq!((stats.sessions, stats.bib_entries, stats.prefixes, stats.blocks), (0, 0, 0, 0));
    assert_eq!(lab.table.pool_use().map(|used| used.tcp + used.udp + used.icmp + used.blocks).sum::<u32>(), 0);
}

fn compare(lab: &Lab, model: &Model) {
    let mut shown = BTreeMap::new();
    for view in lab.views() {
        let key = ((view.protocol, view.host.address, view.host.port), view.remote.address, view.remote.port);
        assert_eq!(model.mappings.get(&key.0), Some(&view.public));
        assert!(shown.insert(key, view).is_none());
    }
    assert_eq!(shown.len(), model.sessions.len());
    for (key, entry) in &model.sessions {
        let view = &shown[key];
        assert_eq!(view.state, entry.state);
        let left = entry.expires.since(lab.now);
        assert!(view.remaining >= left && view.remaining <= left + entry.late, "{view:?} {left:?}");
    }
    if let Some(size) = model.settings.port_block {
        let mut owners = BTreeMap::new();
        for ((_, host, _), public) in &model.mappings {
            let prefix = u128::from(*host) >> 64;
            assert_eq!(*owners.entry((public.address, public.port / size)).or_insert(prefix), prefix);
        }
        assert_eq!(lab.table.stats().blocks as usize, owners.len());
    }
    let stats = lab.table.stats();
    assert_eq!(stats.bib_entries as usize, model.mappings.len());
    assert_eq!(stats.sessions as usize, model.sessions.len());
    let of_tcp: u32 = stats.tcp.iter().sum();
    assert_eq!(of_tcp + stats.udp + stats.icmp, stats.sessions);
    let used: u32 = lab.table.pool_use().map(|used| used.tcp + used.udp + used.icmp).sum();
    assert_eq!(used, stats.bib_entries);
    let by_prefix: u32 = lab.table.top(100).iter().map(|prefix| prefix.sessions).sum();
    assert_eq!(by_prefix, stats.sessions);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    /// Sections 3.1 to 3.5 and 4, all at once.
    #[test]
    fn s3_5_the_table_does_what_the_obvious_one_does(
        steps in prop::collection::vec(steps(), 1..150),
        tcp_inbound in any::<bool>(),
        strict in any::<bool>(),
    ) {
        run(Settings {
            pools: vec![Pool { first: POOL, last: POOL, ports: 2000..=2015 }],
            per_prefix: 24,
            tcp_inbound,
            filtering: if strict { Filtering::AddressDependent } else { Filtering::EndpointIndependent },
            ..Settings::default()
        }, steps);
    }

    /// The same with blocks of ports: no block has mappings of two /64s, and all come back.
    #[test]
    fn s3_5_the_table_with_port_blocks_does_what_the_obvious_one_does(steps in prop::collection::vec(steps(), 1..150)) {
        run(Settings {
            pools: vec![Pool { first: POOL, last: POOL, ports: 2000..=2063 }],
            port_block: Some(16),
            log: true,
            ..Settings::default()
        }, steps);
    }

    /// The same with a small table: only half-open TCP ever gives way.
    #[test]
    fn s3_5_the_full_table_does_what_the_obvious_one_does(steps in prop::collection::vec(steps(), 50..200)) {
        let pools = vec![Pool::prefix(POOL, 32)];
        run(Settings { pools, max_sessions: 12, per_prefix: 9, tcp_inbound: true, ..Settings::default() }, steps);
    }
}
