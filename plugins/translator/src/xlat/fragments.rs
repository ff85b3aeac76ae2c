//! Which flow a fragment belongs to (RFC 6146 section 3.4): only the first fragment of a datagram has the ports.
//!
//! What the first one led to is remembered for the others; others that come before it wait, and are handed back
//! in the order they came in. No datagram is put together, with one exception: the checksum of an ICMPv6 message
//! covers its length, so the first fragment of an ICMP message waits for the last one.
//!
//! Everything is bounded: datagrams ([`MAX_DATAGRAMS`]), waiting bytes ([`MAX_HELD`], [`MAX_HELD_EACH`]), fragments of
//! one datagram ([`MAX_PIECES`]), and time ([`FRAGMENT_MIN`]). Of datagrams, and of bytes of all of them, the oldest are
//! forgotten for the newest; what exceeds another bound is dropped. Both are counted.

use super::counters::Reason;
use super::headers::Fragment;
use core::time::Duration;
use portreeve_packet::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr};

/// How long a datagram is remembered after its earliest fragment (RFC 6146 section 4).
pub const FRAGMENT_MIN: Duration = Duration::from_secs(2);
/// Datagrams remembered at once.
pub const MAX_DATAGRAMS: usize = 1024;
/// Bytes that wait for first fragments, of all datagrams.
pub const MAX_HELD: usize = 1 << 20;
/// Bytes that wait of one datagram.
pub const MAX_HELD_EACH: usize = 64 << 10;
/// Fragments of one datagram; as many as 64 KiB need at an MTU of 576.
pub const MAX_PIECES: usize = 128;

/// Whose fragments belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) ends: Ends,
    pub(super) id: u32,
    pub(super) protocol: u8,
}

/// Source and destination of a packet, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ends {
    Four(Ipv4Addr, Ipv4Addr),
    Six(Ipv6Addr, Ipv6Addr),
}

/// A fragment: its place, and how many bytes of the datagram it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    pub(super) fragment: Fragment,
    pub(super) length: usize,
    /// Whether the first one has to wait for the last one.
    pub(super) whole: bool,
}

/// What is to be done with a fragment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is a first fragment; [`Fragments::settle`] is to be told what became of it. With the length of its datagram,
    /// where that was asked for.
    First(Option<u16>),
    /// It goes where the first one went.
    Later(Ends),
    /// It waits.
    Held,
    /// Nothing waits any more: these packets are to be offered again, as released ones.
    Release(Vec<Vec<u8>>),
}

#[derive(Debug)]
enum State {
    Waiting,
    Known(Ends),
    Refused,
}

#[derive(Debug)]
struct Datagram {
    state: State,
    /// Start and end of what has come in.
    seen: Vec<(u16, u16)>,
    /// Its length, once the last fragment is there.
    length: Option<u16>,
    has_first: bool,
    held: Vec<Vec<u8>>,
    held_bytes: usize,
}

/// The datagrams of which fragments are under way.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    datagrams: BTreeMap<Key, Datagram>,
    /// When they are forgotten, the oldest first.
    ends: VecDeque<(Instant, Key)>,
    held: usize,
    /// Fragments that waited in vain and are not told of yet.
    lost: u64,
}

impl Fragments {
    /// Forgets what is too old; how many fragments had waited in vain.
    #[inline]
    pub(super) fn expire(&mut self, now: Instant) -> u64 {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            self.forget_oldest();
        }
        core::mem::take(&mut self.lost)
    }

    /// Forgets the datagram that came first: whoever sends many pushes out his own, and nobody waits for a place.
    fn forget_oldest(&mut self) {
        let Some((_, key)) = self.ends.pop_front() else { return };
        if let Some(datagram) = self.datagrams.remove(&key) {
            self.held -= datagram.held_bytes.min(self.held);
            self.lost += datagram.held.len() as u64;
        }
    }

    /// Makes room for a datagram, and for `size` bytes that wait; never by forgetting the datagram `key` itself.
    fn make_room(&mut self, key: &Key, size: usize) {
        let is_known = self.datagrams.contains_key(key);
        while (!is_known && self.datagrams.len() >= MAX_DATAGRAMS) || self.held + size > MAX_HELD {
            if self.ends.front().is_none_or(|(_, oldest)| oldest == key) {
                return;
            }
            self.forget_oldest();
        }
    }

    /// When [`Fragments::expire`] has something to do.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Takes the fragment `packet`; one that was `released` is only told where to go.
    pub(super) fn offer(
        &mut self,
        key: Key,
        piece: Piece,
        packet: &[u8],
        released: bool,
        now: Instant,
    ) -> Result<Offer, Reason> {
        let Fragment { offset, more, .. } = piece.fragment;
        if released {
            let datagram = self.datagrams.get(&key).ok_or(Reason::FragmentTimeout)?;
            return match datagram.state {
                State::Known(ends) if offset != 0 => Ok(Offer::Later(ends)),
                State::Waiting if offset == 0 => Ok(Offer::First(datagram.length)),
                _ => Err(Reason::FragmentRefused),
            };
        }
        let range = range(piece).ok_or(Reason::Malformed)?;
        self.make_room(&key, packet.len());
        let room = MAX_HELD - self.held.min(MAX_HELD);
        let datagram = self.datagram(key, now)?;
        if let Err(reason) = datagram.note(range, more) {
            if reason == Reason::FragmentOverlap {
                // RFC 5722 section 4: neither this one nor those that came before it, nor those to come.
                let held = datagram.refuse();
                self.held -= held.min(self.held);
            }
            return Err(reason);
        }
        match datagram.state {
            State::Refused => return Err(Reason::FragmentRefused),
            State::Known(_) if offset == 0 => return Err(Reason::FragmentOverlap),
            State::Known(ends) => return Ok(Offer::Later(ends)),
            State::Waiting if offset == 0 && !piece.whole => return Ok(Offer::First(None)),
            State::Waiting => {}
        }
        let size = packet.len();
        if size > room || datagram.held_bytes + size > MAX_HELD_EACH {
            return Err(Reason::FragmentFull);
        }
        let copy = packet.to_vec();
        if offset == 0 {
            datagram.held.insert(0, copy);
            datagram.has_first = true;
        } else {
            datagram.held.push(copy);
        }
        datagram.held_bytes += size;
        let complete = datagram.has_first && datagram.length.is_some();
        self.held += size;
        if complete {
            return Ok(Offer::Release(self.release(key)));
        }
        Ok(Offer::Held)
    }

    /// Says what the first fragment of a datagram led to; those that waited for it.
    pub(super) fn settle(&mut self, key: Key, ends: Option<Ends>) -> Vec<Vec<u8>> {
        let Some(datagram) = self.datagrams.get_mut(&key) else { return Vec::new() };
        datagram.state = ends.map_or(State::Refused, State::Known);
        self.release(key)
    }

    fn release(&mut self, key: Key) -> Vec<Vec<u8>> {
        let Some(datagram) = self.datagrams.get_mut(&key) else { return Vec::new() };
        self.held -= datagram.held_bytes.min(self.held);
        datagram.held_bytes = 0;
        core::mem::take(&mut datagram.held)
    }

    fn datagram(&mut self, key: Key, now: Instant) -> Result<&mut Datagram, Reason> {
        let known = self.datagrams.len();
        match self.datagrams.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) => Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(_) if known >= MAX_DATAGRAMS => Err(Reason::FragmentFull),
            std::collections::btree_map::Entry::Vacant(entry) => {
                self.ends.push_back((now + FRAGMENT_MIN, key));
                Ok(entry.insert(Datagram {
                    state: State::Waiting,
                    seen: Vec::new(),
                    length: None,
                    has_first: false,
                    held: Vec::new(),
                    held_bytes: 0,
                }))
            }
        }
    }
}

impl Datagram {
    /// Notes that `range` has come in.
    fn note(&mut self, (start, end): (u16, u16), more: bool) -> Result<(), Reason> {
        if self.seen.len() >= MAX_PIECES {
            return Err(Reason::FragmentFull);
        }
        // A copy that the network made (RFC 8200 section 4.5); the first one is on its way.
        if self.seen.contains(&(start, end)) {
            return Err(Reason::FragmentTwice);
        }
        let overlaps = self.seen.iter().any(|(s, e)| start < *e && *s < end);
        // Behind the end, or an end that is not behind all others.
        let beyond =
            self.length.is_some_and(|length| end > length || !more) || !more && self.seen.iter().any(|(_, e)| *e > end);
        if overlaps || beyond {
            return Err(Reason::FragmentOverlap);
        }
        self.seen.push((start, end));
        if !more {
            self.length = Some(end);
        }
        Ok(())
    }

    /// Drops what waits; how many bytes that was.
    fn refuse(&mut self) -> usize {
        self.state = State::Refused;
        self.held = Vec::new();
        core::mem::take(&mut self.held_bytes)
    }
}

/// Start and end of a fragment; `None` when it is empty, has an odd end before others, or reaches beyond what a datagram
/// can have.
fn range(piece: Piece) -> Option<(u16, u16)> {
    let start = piece.fragment.offset;
    let end = u16::try_from(usize::from(start) + piece.length).ok()?;
    let whole_units = !piece.fragment.more || piece.length.is_multiple_of(8);
    (piece.length > 0 && whole_units).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: Ends = Ends::Four(Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));

    fn key(id: u32) -> Key {
        Key { ends: TO, id, protocol: 17 }
    }

    fn piece(offset: u16, length: usize, more: bool, whole: bool) -> Piece {
        Piece { fragment: Fragment { offset, more, id: 0 }, length, whole }
    }

    fn offer(store: &mut Fragments, id: u32, offset: u16, length: usize, more: bool) -> Result<Offer, Reason> {
        store.offer(key(id), piece(offset, length, more, false), &vec![offset as u8; length], false, Instant::ZERO)
    }

    #[test]
    fn rfc_6146_3_4_later_fragments_wait_for_the_first_and_come_out_in_order() {
        let mut store = Fragments::default();
        assert_eq!(offer(&mut store, 1, 16, 8, false), Ok(Offer::Held));
        assert_eq!(offer(&mut store, 1, 8, 8, true), Ok(Offer::Held));
        assert_eq!(offer(&mut store, 1, 0, 8, true), Ok(Offer::First(None)));
        assert_eq!(store.settle(key(1), Some(TO)), [vec![16; 8], vec![8; 8]]);
        assert_eq!(store.held, 0);
        let released = store.offer(key(1), piece(16, 8, false, false), &[], true, Instant::ZERO);
        assert_eq!(released, Ok(Offer::Later(TO)));
    }

    #[test]
    fn a_refused_first_fragment_refuses_the_others() {
        let mut store = Fragments::default();
        assert_eq!(offer(&mut store, 1, 0, 8, true), Ok(Offer::First(None)));
        assert!(store.settle(key(1), None).is_empty());
        assert_eq!(offer(&mut store, 1, 8, 8, false), Err(Reason::FragmentRefused));
    }

    #[test]
    fn rfc_5722_an_overlap_ends_the_whole_datagram() {
        let mut store = Fragments::default();
        assert_eq!(offer(&mut store, 1, 16, 16, true), Ok(Offer::Held));
        assert_eq!(offer(&mut store, 1, 24, 8, true), Err(Reason::FragmentOverlap));
        assert_eq!(store.held, 0);
        assert_eq!(offer(&mut store, 1, 0, 8, true), Err(Reason::FragmentRefused));
        assert_eq!(offer(&mut store, 2, 16, 8, false), Ok(Offer::Held));
        assert_eq!(offer(&mut store, 2, 24, 8, true), Err(Reason::FragmentOverlap));
        assert_eq!(offer(&mut store, 3, 16, 8, true), Ok(Offer::Held));
        assert_eq!(offer(&mut store, 3, 0, 8, false), Err(Reason::FragmentOverlap));
    }

    #[test]
    fn an_icmp_message_waits_until_its_length_is_known() {
        let mut store = Fragments::default();
        let mut offer = |offset: u16, more, released| {
            let bytes = [offset as u8; 8];
            store.offer(key(1), piece(offset, 8, more, true), &bytes, released, Instant::ZERO)
        };
        assert_eq!(offer(8, true, false), Ok(Offer::Held));
        assert_eq!(offer(0, true, false), Ok(Offer::Held));
        let all = vec![vec![0; 8], vec![8; 8], vec![16; 8]];
        assert_eq!(offer(16, false, false), Ok(Offer::Release(all)));
        assert_eq!(offer(0, true, true), Ok(Offer::First(Some(24))));
        store.settle(key(1), Some(TO));
        assert_eq!(store.offer(key(1), piece(8, 8, true, true), &[], true, Instant::ZERO), Ok(Offer::Later(TO)));
    }

    #[test]
    fn bytes_datagrams_pieces_and_time_are_bounded() {
        let mut store = Fragments::default();
        let most = (MAX_HELD / 60_000) as u32;
        for id in 0..most + 3 {
            assert_eq!(offer(&mut store, id, 8, 60_000, false), Ok(Offer::Held));
            assert!(store.held <= MAX_HELD);
        }
        assert_eq!(store.expire(Instant::from_millis(1999)), 3, "the oldest made room");
        assert_eq!(store.expire(Instant::from_secs(2)), u64::from(most));
        assert_eq!((store.held, store.datagrams.len(), store.ends.len()), (0, 0, 0));
        for id in 0..MAX_DATAGRAMS as u32 + 5 {
            assert_eq!(offer(&mut store, id, 8, 8, false), Ok(Offer::Held));
        }
        assert_eq!((store.datagrams.len(), store.ends.len()), (MAX_DATAGRAMS, MAX_DATAGRAMS));
        assert_eq!(store.expire(Instant::from_millis(1)), 5);
        store.expire(Instant::from_secs(2));
        for number in 0..MAX_PIECES as u16 {
            assert_eq!(offer(&mut store, 1, 8 + number * 8, 8, true), Ok(Offer::Held));
        }
        assert_eq!(offer(&mut store, 1, 8000, 8, true), Err(Reason::FragmentFull));
    }

    #[test]
    fn a_copy_of_a_fragment_harms_nothing() {
        let mut store = Fragments::default();
        assert_eq!(offer(&mut store, 1, 8, 8, true), Ok(Offer::Held));
        assert_eq!(offer(&mut store, 1, 8, 8, true), Err(Reason::FragmentTwice));
        assert_eq!(offer(&mut store, 1, 16, 8, false), Ok(Offer::Held));
        assert_eq!(offer(&mut store, 1, 8, 16, true), Err(Reason::FragmentOverlap));
    }

    #[test]
    fn impossible_fragments_are_refused() {
        let mut store = Fragments::default();
        assert_eq!(offer(&mut store, 1, 8, 0, false), Err(Reason::Malformed));
        assert_eq!(offer(&mut store, 1, 8, 7, true), Err(Reason::Malformed));
        assert_eq!(offer(&mut store, 1, 65_528, 8, false), Err(Reason::Malformed));
        assert!(store.datagrams.is_empty());
    }
}
