//! The sockets towards the resolvers, and which resolver is asked.
//!
//! A slot is one connected UDP socket with a source port the kernel chose at random. Each server has a pool of them, one
//! is taken at random per question, and each is replaced after so many questions or so long (RFC 5452 section 9.2).

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use portreeve_packet::time::Instant;

use super::Output;
use super::random::{Keys, Random};
use super::server::{Server, ServerRow};

/// Sockets in use towards one server.
pub const SLOTS_PER_SERVER: usize = 8;
/// Sockets towards one server that are replaced and wait for their last answers; the oldest is closed beyond that.
pub const RETIRED_PER_SERVER: usize = 8;
/// Questions from one source port.
pub const SLOT_QUERIES: u32 = 256;
/// How long a source port is used.
pub const SLOT_AGE: Duration = Duration::from_secs(60);
/// Wrong answers on one slot after which it is given up.
pub const MAX_MISMATCHES: u32 = 16;
/// Identifiers of given-up questions a slot remembers, so that a late answer is not taken for a forged one.
const FORGOTTEN: usize = 32;

/// One socket towards one server.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) server: usize,
    since: Instant,
    queries: u32,
    /// Which question each identifier belongs to.
    in_flight: Vec<(u16, u32)>,
    mismatches: u32,
    forgotten: VecDeque<u16>,
}

impl Slot {
    /// The question an identifier belongs to.
    pub(super) fn question(&self, id: u16) -> Option<u32> {
        self.in_flight.iter().find(|(known, _)| *known == id).map(|(_, question)| *question)
    }

    /// Whether a question with this identifier was given up lately.
    pub(super) fn forgot(&self, id: u16) -> bool {
        self.forgotten.contains(&id)
    }
}

/// The servers and the slots.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) servers: Vec<Server>,
    slots: HashMap<u32, Slot, Keys>,
    next_slot: u32,
}

impl Upstream {
    pub(super) fn new(addresses: &[SocketAddr], keys: Keys) -> Self {
        let servers = addresses.iter().map(|address| Server::new(*address)).collect();
        Self { servers, slots: HashMap::with_hasher(keys), next_slot: 0 }
    }

    /// Other servers: all slots are closed; what is known of those that stay is kept.
    pub(super) fn replace(&mut self, addresses: &[SocketAddr], output: &mut VecDeque<Output>) {
        let mut slots: Vec<u32> = self.slots.drain().map(|(slot, _)| slot).collect();
        slots.sort_unstable();
        output.extend(slots.into_iter().map(|slot| Output::CloseSlot { slot }));
        let mut before = std::mem::take(&mut self.servers);
        for address in addresses {
            let known = before.iter().position(|server| server.address == *address);
            let mut server = known.map_or_else(|| Server::new(*address), |at| before.swap_remove(at));
            server.slots.clear();
            server.retired.clear();
            self.servers.push(server);
        }
    }

    pub(super) fn rows(&self, now: Instant) -> Vec<ServerRow> {
        self.servers.iter().map(|server| server.row(now)).collect()
    }

    pub(super) fn server(&mut self, server: usize) -> Option<&mut Server> {
        self.servers.get_mut(server)
    }

    pub(super) fn slot(&self, slot: u32) -> Option<&Slot> {
        self.slots.get(&slot)
    }

    pub(super) fn has_slots(&self) -> bool {
        !self.slots.is_empty()
    }

    /// The server to ask next: one that works, is preferred, and was asked least for this question.
    pub(super) fn choose(&self, tries: &[u8], given_up: u16, now: Instant) -> Option<usize> {
        let candidates = self.servers.iter().enumerate().filter(|(at, _)| given_up >> at & 1 == 0);
        let rank = |at: usize, server: &Server| {
            let tries = u32::from(tries.get(at).copied().unwrap_or(0));
            (tries + if server.is_available(now) { 0 } else { 2 }, at)
        };
        candidates.min_by_key(|(at, server)| rank(*at, server)).map(|(at, _)| at)
    }

    /// A slot towards `server` and an identifier that is free there, for `question`.
    pub(super) fn take(
        &mut self,
        server: usize,
        question: u32,
        random: &mut Random,
        now: Instant,
        output: &mut VecDeque<Output>,
    ) -> Option<(u32, u16)> {
        let open = self.servers.get(server)?.slots.len();
        let number = if open < SLOTS_PER_SERVER {
            self.open(server, now, output)?
        } else {
            *self.servers.get(server)?.slots.get(random.below(open))?
        };
        let slot = self.slots.get_mut(&number)?;
        slot.queries += 1;
        let id = (0..8).map(|_| random.id()).find(|id| slot.question(*id).is_none() && !slot.forgot(*id))?;
        slot.in_flight.push((id, question));
        if slot.queries >= SLOT_QUERIES {
            self.retire(number, output);
        }
        Some((number, id))
    }

    fn open(&mut self, server: usize, now: Instant, output: &mut VecDeque<Output>) -> Option<u32> {
        let entry = self.servers.get_mut(server)?;
        while self.slots.contains_key(&self.next_slot) {
            self.next_slot = self.next_slot.wrapping_add(1);
        }
        let number = self.next_slot;
        self.next_slot = self.next_slot.wrapping_add(1);
        let slot =
            Slot { server, since: now, queries: 0, in_flight: Vec::new(), mismatches: 0, forgotten: VecDeque::new() };
        self.slots.insert(number, slot);
        entry.slots.push(number);
        output.push_back(Output::OpenSlot { slot: number, server: entry.address });
        Some(number)
    }

    /// An identifier is done with; `forget` when its answer may still come.
    pub(super) fn release(&mut self, number: u32, id: u16, forget: bool, output: &mut VecDeque<Output>) {
        let Some(slot) = self.slots.get_mut(&number) else { return };
        slot.in_flight.retain(|(known, _)| *known != id);
        if forget {
            if slot.forgotten.len() == FORGOTTEN {
                slot.forgotten.pop_front();
            }
            slot.forgotten.push_back(id);
        }
        let (server, idle) = (slot.server, slot.in_flight.is_empty());
        if idle && self.servers.get(server).is_some_and(|known| known.retired.contains(&number)) {
            self.close(number, output);
        }
    }

    /// No more questions from this slot; it is closed when its last answer is in.
    fn retire(&mut self, number: u32, output: &mut VecDeque<Output>) {
        let Some(slot) = self.slots.get(&number) else { return };
        let idle = slot.in_flight.is_empty();
        let Some(server) = self.servers.get_mut(slot.server) else { return };
        server.slots.retain(|known| *known != number);
        server.retired.push_back(number);
        let oldest = if server.retired.len() > RETIRED_PER_SERVER { server.retired.front().copied() } else { None };
        if idle {
            self.close(number, output);
        } else if let Some(oldest) = oldest {
            self.close(oldest, output);
        }
    }

    /// Closes a slot at once; gives the questions that wait for answers on it.
    pub(super) fn close(&mut self, number: u32, output: &mut VecDeque<Output>) -> Vec<u32> {
        let Some(slot) = self.slots.remove(&number) else { return Vec::new() };
        if let Some(server) = self.servers.get_mut(slot.server) {
            server.slots.retain(|known| *known != number);
            server.retired.retain(|known| *known != number);
        }
        output.push_back(Output::CloseSlot { slot: number });
        slot.in_flight.into_iter().map(|(_, question)| question).collect()
    }

    /// Retires the slots that are in use for too long.
    pub(super) fn retire_old(&mut self, now: Instant, output: &mut VecDeque<Output>) {
        let in_use = self.servers.iter().flat_map(|server| &server.slots);
        let old = |number: &&u32| self.slots.get(number).is_some_and(|slot| now.since(slot.since) >= SLOT_AGE);
        for number in in_use.filter(old).copied().collect::<Vec<_>>() {
            self.retire(number, output);
        }
    }

    /// A wrong answer came on this slot; true when it is one too many.
    pub(super) fn mismatched(&mut self, number: u32) -> bool {
        let Some(slot) = self.slots.get_mut(&number) else { return false };
        slot.mismatches += 1;
        if let Some(server) = self.servers.get_mut(slot.server) {
            server.mismatches += 1;
        }
        slot.mismatches > MAX_MISMATCHES
    }
}
