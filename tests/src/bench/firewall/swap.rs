//! Packets through a router while its rules are replaced: how many are lost. A client sends datagrams at a steady rate that
//! every queue on the way has room for, and a server counts them.

use std::collections::BTreeMap;
use std::net::{Ipv6Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::RcvBufForce;
use portreeve_firewall::compile::{Options, compile};
use portreeve_firewall::config::Config;
use portreeve_firewall::install::{self, Existing};
use portreeve_nftables::{Batch, DeleteRule, Endian, Family};

use super::rulesets::moving;
use crate::bench::batch::{Inbox, Outbox};
use crate::lab::{Failure, Lab, Netfilter, Netns, Result, ensure, veth};

const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 9);
/// Of the client's interface, of the router's `lan0`, of the server's interface.
pub const CLIENT_MAC: &str = "02:00:5e:10:00:01";
/// See [`CLIENT_MAC`].
pub const ROUTER_MAC: &str = "02:00:5e:10:00:02";
/// See [`CLIENT_MAC`].
pub const SERVER_MAC: &str = "02:00:5e:10:00:04";
const RECEIVE_BUFFER: usize = 16 << 20;
/// Datagrams at once, and the time from one such to the next: 16,000 each second.
const AT_ONCE: usize = 16;
const PAUSE: Duration = Duration::from_millis(1);
/// What is not there after so long is lost.
const QUIET: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(50);

/// A router between a client and a server.
pub struct Path {
    /// The router, with `lan0` and `wan0`.
    pub router: Netns,
    /// With `eth0`.
    pub client: Netns,
    /// With `eth0`.
    pub server: Netns,
}

/// What became of datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The kernel took them from the client.
    pub sent: u64,
    /// They came to the server.
    pub received: u64,
    /// So often the rules were replaced meanwhile.
    pub swaps: u64,
}

impl Carried {
    /// How many never came.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }
}

impl Path {
    /// Makes it. The router forwards.
    ///
    /// # Errors
    /// What `ip` says.
    pub fn new(lab: &mut Lab, name: &str) -> Result<Self> {
        let mut netns = |end: &str| lab.netns(&format!("{name}-{end}"));
        let (client, router, server) = (netns("client")?, netns("router")?, netns("server")?);
        veth((&client, "eth0", CLIENT_MAC), (&router, "lan0", ROUTER_MAC))?;
        veth((&router, "wan0", "02:00:5e:10:00:03"), (&server, "eth0", SERVER_MAC))?;
        router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        for (netns, line) in [
            (&client, "ip addr add 2001:db8:1::9/64 dev eth0 nodad"),
            (&client, "ip -6 route add default via 2001:db8:1::1"),
            (&router, "ip addr add 2001:db8:1::1/64 dev lan0 nodad"),
            (&router, "ip addr add 2001:db8:2::1/64 dev wan0 nodad"),
            (&server, "ip addr add 2001:db8:2::9/64 dev eth0 nodad"),
            (&server, "ip -6 route add default via 2001:db8:2::1"),
            // Nobody needs to ask for a neighbour while packets are counted.
            (&client, "ip neigh replace 2001:db8:1::1 lladdr 02:00:5e:10:00:02 dev eth0 nud permanent"),
            (&router, "ip neigh replace 2001:db8:2::9 lladdr 02:00:5e:10:00:04 dev wan0 nud permanent"),
        ] {
            netns.run(line)?;
        }
        Ok(Self { router, client, server })
    }

    /// Sends until there were `packets` and `swap` was called `swaps` times, one after the other.
    ///
    /// # Errors
    /// If a swap fails or there are no sockets.
    pub fn carry(&self, packets: u64, swaps: u64, mut swap: impl FnMut(u64) -> Result) -> Result<Carried> {
        let far = self.server.enter(|| UdpSocket::bind((SERVER, 0)))??;
        setsockopt(&far, RcvBufForce, &RECEIVE_BUFFER).map_err(std::io::Error::from)?;
        far.set_read_timeout(Some(LOOK))?;
        let to = far.local_addr()?;
        let near =
            self.client.enter(|| UdpSocket::bind("[::]:0").and_then(|near| near.connect(to).map(|()| near)))??;
        let (sent, received) = (AtomicU64::new(0), AtomicU64::new(0));
        let (stop, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let mut done = 0;
        std::thread::scope(|scope| -> Result {
            scope.spawn(|| {
                let mut inbox = Inbox::<()>::new(64);
                while !over.load(Ordering::Relaxed) {
                    let count = inbox.wait(&far, |_, _| ()).unwrap_or(0);
                    received.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
                }
            });
            let sender = scope.spawn(|| {
                let (mut outbox, datagrams) = (Outbox::<()>::new(), [[0x5a_u8; 32]; AT_ONCE]);
                let mut next = Instant::now();
                while !stop.load(Ordering::Relaxed) || sent.load(Ordering::Relaxed) < packets {
                    let count = outbox.send(&near, &datagrams, &[None; AT_ONCE]).unwrap_or(0);
                    sent.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
                    next += PAUSE;
                    // Not for luck: this is the rate.
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            });
            let mut outcome = Ok(());
            while outcome.is_ok() && (done < swaps || sent.load(Ordering::Relaxed) < packets) && !sender.is_finished() {
                outcome = swap(done);
                done += u64::from(outcome.is_ok());
            }
            stop.store(true, Ordering::Relaxed);
            let ended = sender.join();
            let mut last = None;
            // Until nothing comes any more.
            while last != Some(received.load(Ordering::Relaxed)) {
                last = Some(received.load(Ordering::Relaxed));
                std::thread::sleep(QUIET);
            }
            over.store(true, Ordering::Relaxed);
            ensure(ended.is_ok(), || "sending panicked".to_owned())?;
            outcome
        })?;
        let carried = Carried { sent: sent.into_inner(), received: received.into_inner(), swaps: done };
        ensure(carried.received > 0, || "nothing comes through".to_owned())?;
        Ok(carried)
    }
}

/// The same rules in two transactions, as with a flush before a load: between them only the policies of the chains hold.
pub struct Control {
    netfilter: Netfilter,
    rulesets: [portreeve_firewall::ruleset::Ruleset; 2],
}

impl Control {
    /// For this router, in which the rules of a core stand that no longer runs.
    ///
    /// # Errors
    /// If there is no socket.
    pub fn new(router: &Netns) -> Result<Self> {
        let ruleset = |number| {
            let section = moving(number);
            let config = Config::parse(&section).map_err(|errors| Failure::new(format!("{errors:?}")))?.0;
            let compiled = compile(&config, &BTreeMap::new(), &[], Options::default());
            let mut ruleset = compiled.map_err(|errors| Failure::new(format!("{errors:?}")))?.0;
            install::stamp(&mut ruleset);
            Ok::<_, Failure>(ruleset)
        };
        Ok(Self { netfilter: Netfilter::open(router)?, rulesets: [ruleset(0)?, ruleset(1)?] })
    }

    /// Replaces the rules once.
    ///
    /// # Errors
    /// If the kernel refuses it.
    pub fn swap(&self, number: u64) -> Result {
        let mut existing = Existing::default();
        for request in install::requests(Endian::NATIVE, 1) {
            for datagram in self.netfilter.dump(&request)? {
                let read = existing.absorb(Endian::NATIVE, &datagram);
                read.map_err(|error| Failure::new(format!("cannot read what is there: {error:?}")))?;
            }
        }
        let ruleset = if number.is_multiple_of(2) { &self.rulesets[0] } else { &self.rulesets[1] };
        let built = install::batch(ruleset, &existing, None, Endian::NATIVE);
        let built = built.map_err(|refusal| Failure::new(format!("cannot be written: {refusal}")))?;
        let mut flush = Batch::new(Endian::NATIVE);
        flush.begin(None);
        flush.push(&DeleteRule { family: Family::Inet, table: install::TABLE, chain: None, handle: None }, 0);
        flush.end(0);
        self.netfilter.commit(flush.bytes())?;
        built.stages.iter().try_for_each(|stage| self.netfilter.commit(stage))
    }
}
