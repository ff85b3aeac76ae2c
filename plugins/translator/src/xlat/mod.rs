//! The packet path: IPv6 packets become IPv4 packets and back, where they lie.
//!
//! A batch of frames from one tun device goes in and the same bytes come out, translated: packets of both families,
//! super-packets of many segments included. No socket, no clock, and no allocation or copy of payload for a packet that
//! becomes one packet.
//!
//! | file | owns | RFC |
//! |---|---|---|
//! | `mod.rs` | [`DataPath`], the walk over a batch, what goes beside it | |
//! | `settings.rs`, `prefix.rs`, `eam.rs` | [`Settings`], addresses in addresses, explicit mappings | 6052, 7757 |
//! | `packet.rs`, `headers.rs`, `transport.rs` | a packet where it lies, its headers, checksums, the MSS | 7915, 1624 |
//! | `out.rs`, `into.rs` | IPv6 to IPv4, IPv4 to IPv6 | 7915 5.1, 4.1 |
//! | `hairpin.rs` | IPv6 to IPv6 by way of IPv4 addresses | 6146 3.8, 7757 4 |
//! | `target.rs` | which addresses and ports, from sessions or from tables | 6146 3.5, 6791 |
//! | `fragments.rs` | which flow a fragment belongs to | 6146 3.4 |
//! | `split.rs` | super-packets to packets, packets to fragments | |
//! | `icmp.rs`, `quote.rs` | ICMP tables, errors and the packets inside of them | 7915 4.2, 4.3, 5.2, 5.3, 4884 |
//! | `errors.rs` | ICMP errors of our own | 7915 4.4, 5.4 |
//! | `counters.rs` | what happened, in numbers with stable names | |
//!
//! No function panics, whatever the bytes.
//!
//! # Formats
//!
//! Batches are those of `portreeve_packet::vnet`: frames, each led by its length, with a virtio header and an IP packet;
//! in front of each packet frame padding of 64 bytes. An IPv6 packet becomes shorter at its front and the padding
//! longer, an IPv4 packet the other way round.

mod counters;
mod eam;
mod errors;
mod fragments;
mod hairpin;
mod headers;
mod icmp;
mod into;
mod out;
mod packet;
mod prefix;
mod quote;
mod settings;
mod split;
mod target;
#[cfg(test)]
mod tests;
mod transport;

pub use crate::pref64::Pref64;
pub use counters::{Counters, Reason};
pub use eam::{AddressMap, Eam, EamError, MAX_MAPPINGS};
pub use fragments::{FRAGMENT_MIN, MAX_DATAGRAMS, MAX_HELD, MAX_HELD_EACH, MAX_PIECES};
pub use prefix::Prefix4;
pub use settings::{ERROR_BURST, ERRORS_PER_SECOND, Mode, NoSessions, Settings, UdpZero};

use crate::flow::Sessions;
use fragments::Fragments;
use packet::Packet;
use portreeve_packet::limit::TokenBucket;
use portreeve_packet::time::Instant;
use portreeve_packet::vnet::{Frames, HEADROOM, PADDING, Vnet, begin_tun_frame, padding_word, push_headroom};

/// Bytes one call hands back beside the batch, at most; what would be more is dropped and counted.
pub const MAX_SIDE: usize = 1 << 20;

/// Room a packet may need in front: IPv6 and fragment header instead of an IPv4 one, and padding behind what is left.
const MIN_ROOM: usize = 28 + 4;
/// Bytes in front of a packet: length and virtio header.
const FRAME_HEAD: usize = 4 + Vnet::LEN;
/// The largest packet there is: IPv6 without jumbograms (RFC 8200 section 3).
const MAX_PACKET: usize = headers::LEN6 + u16::MAX as usize;

/// One translator's data path.
#[derive(Debug)]
pub struct DataPath<S> {
    settings: Settings,
    mode: Mode<S>,
    counters: Counters,
    limit4: TokenBucket,
    limit6: TokenBucket,
    /// What says how large a packet may be has buckets of its own: a scan must not make holes of paths.
    sizes4: TokenBucket,
    sizes6: TokenBucket,
    fragments: Fragments,
    /// Identifications of IPv4 packets that may be fragmented (RFC 7915 section 5.1).
    next_id: u16,
    /// Whether fragments that waited are being translated.
    releasing: bool,
}

/// What goes beside the batch, and when it is.
struct Beside<'a> {
    side: &'a mut Vec<u8>,
    now: Instant,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It lies translated in its buffer.
    InPlace,
    /// It is taken: what there is to send is beside the batch, or waits.
    Taken,
}

impl<S: Sessions> DataPath<S> {
    /// A data path that has seen nothing yet.
    pub fn new(settings: Settings, mode: Mode<S>) -> Self {
        let [limit4, limit6, sizes4, sizes6] = limits(&settings);
        Self {
            settings,
            mode,
            counters: Counters::default(),
            limit4,
            limit6,
            sizes4,
            sizes6,
            fragments: Fragments::default(),
            next_id: 0,
            releasing: false,
        }
    }

    /// Continues under other settings; sessions, counters and waiting fragments stay. With `map` a stateless data path
    /// takes this table; a stateful one stays what it is.
    pub fn reconfigure(&mut self, settings: Settings, map: Option<AddressMap>) {
        let rate = |settings: &Settings| (settings.errors_per_second, settings.error_burst);
        if rate(&settings) != rate(&self.settings) {
            [self.limit4, self.limit6, self.sizes4, self.sizes6] = limits(&settings);
        }
        self.settings = settings;
        if let (Mode::Stateless(table), Some(map)) = (&mut self.mode, map) {
            *table = map;
        }
    }

    /// The settings in force.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The mode, with its sessions or its table.
    pub const fn mode(&self) -> &Mode<S> {
        &self.mode
    }

    /// The session table, where there is one.
    pub const fn sessions(&self) -> Option<&S> {
        match &self.mode {
            Mode::Stateful(sessions) => Some(sessions),
            Mode::Stateless(_) => None,
        }
    }

    /// The session table, where there is one.
    pub const fn sessions_mut(&mut self) -> Option<&mut S> {
        match &mut self.mode {
            Mode::Stateful(sessions) => Some(sessions),
            Mode::Stateless(_) => None,
        }
    }

    /// What happened so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Forgets fragments whose first fragment did not come. [`DataPath::handle_batch`] does so by itself; this gives the
    /// memory back where no packets come.
    pub fn handle_timeout(&mut self, now: Instant) {
        for _ in 0..self.fragments.expire(now) {
            self.counters.drop(Reason::FragmentTimeout);
        }
    }

    /// When [`DataPath::handle_timeout`] has something to do; changes with each call that takes packets.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.fragments.next_expiry()
    }

    /// Translates the packets of the batch `batch` where they lie; afterwards it is what is to be written to the device.
    ///
    /// It keeps its length and is a well-formed sequence of frames, whatever it was before (but for a batch below four
    /// bytes): what is dropped becomes padding. Packets that do not fit where they were, and ICMP errors, are appended to `side` as frames without
    /// padding, to be written to the same device; at most [`MAX_SIDE`] bytes are there afterwards, or what was before.
    pub fn handle_batch(&mut self, batch: &mut [u8], side: &mut Vec<u8>, now: Instant) {
        self.handle_timeout(now);
        self.batch(batch, &mut Beside { side, now });
    }

    fn batch(&mut self, batch: &mut [u8], beside: &mut Beside<'_>) {
        // Where the padding before the frame in hand begins, and the last frame that stays.
        let (mut room, mut at) = (0, 0);
        let mut last = None;
        while let Some((n, end)) = frame_at(batch, at) {
            if n & PADDING == 0
                && let Some(frame) = self.frame(batch, room, at, end, beside)
            {
                put_word(batch, frame, (end - frame - 4) as u32);
                pad(batch, room, frame);
                last = Some((room, frame));
                room = end;
            }
            at = end;
        }
        if at < batch.len() {
            self.counters.drop(Reason::Malformed);
        }
        if let (Some((start, frame)), 1..=3) = (last, batch.len() - room) {
            // What was cut off leaves no room for padding: the frame before it has to go elsewhere.
            if let Some(bytes) = batch.get(frame + 4..room) {
                self.push_frame(beside, bytes);
            }
            room = start;
        }
        pad(batch, room, batch.len());
    }

    /// Translates the frame at `at..end`, with padding in front from `room` on; where the frame now begins, if it is
    /// still there.
    fn frame(
        &mut self,
        batch: &mut [u8],
        room: usize,
        at: usize,
        end: usize,
        beside: &mut Beside<'_>,
    ) -> Option<usize> {
        let start = at + FRAME_HEAD;
        let vnet = batch.get(at + 4..end).and_then(|frame| frame.first_chunk()).map(|head| Vnet::from_bytes(*head));
        let result = match (vnet, batch.get(start..end).and_then(packet::length)) {
            (Some(vnet), Some(length)) if length <= end - start && end - start <= MAX_PACKET => {
                if length < end - start || at - room < MIN_ROOM {
                    self.counters.moved += 1;
                    let packet = batch.get(start..start + length).unwrap_or_default();
                    self.aside(packet, &vnet, beside);
                    return None;
                }
                let mut packet = Packet::new(batch, room + FRAME_HEAD, start, end, vnet);
                let fate = self.translate(&mut packet, beside);
                fate.map(|fate| (fate, packet.start, packet.vnet))
            }
            (Some(_), Some(length)) if length > end - start => Err(Reason::Truncated),
            (Some(_), None) if batch.get(start).is_some_and(|first| !matches!(first >> 4, 4 | 6)) => Err(Reason::NotIp),
            _ => Err(Reason::Malformed),
        };
        match result {
            Ok((Fate::InPlace, start, vnet)) => {
                let frame = start - FRAME_HEAD;
                let head = batch.get_mut(frame + 4..).and_then(|rest| rest.first_chunk_mut())?;
                *head = vnet.bytes();
                Some(frame)
            }
            Ok((Fate::Taken, ..)) => None,
            Err(reason) => {
                self.counters.drop(reason);
                None
            }
        }
    }

    /// Translates one packet in its buffer.
    #[inline]
    fn translate(&mut self, packet: &mut Packet<'_>, beside: &mut Beside<'_>) -> Result<Fate, Reason> {
        if packet.is_v6() { self.translate6(packet, beside) } else { self.translate4(packet, beside) }
    }

    /// Translates a copy of `packet`, with enough room in front; what comes of it goes beside the batch.
    fn aside(&mut self, packet: &[u8], vnet: &Vnet, beside: &mut Beside<'_>) {
        let mut batch = Vec::with_capacity(HEADROOM + FRAME_HEAD + packet.len());
        push_headroom(&mut batch);
        begin_tun_frame(&mut batch, vnet, packet.len());
        batch.extend_from_slice(packet);
        self.aside_batch(&mut batch, beside);
    }

    /// Translates the frames of `batch`; what comes of them goes beside the real one.
    fn aside_batch(&mut self, batch: &mut [u8], beside: &mut Beside<'_>) {
        self.batch(batch, beside);
        for frame in Frames::new(batch) {
            self.push_frame(beside, frame.bytes);
        }
    }

    /// Translates fragments that have waited.
    fn release(&mut self, packets: &[Vec<u8>], beside: &mut Beside<'_>) {
        let before = core::mem::replace(&mut self.releasing, true);
        for packet in packets {
            self.aside(packet, &Vnet::default(), beside);
        }
        self.releasing = before;
    }

    /// Appends a frame of `bytes` beside the batch, where there is room.
    fn push_frame(&mut self, beside: &mut Beside<'_>, bytes: &[u8]) {
        if beside.side.len().saturating_add(4 + bytes.len()) > MAX_SIDE {
            self.counters.drop(Reason::SideFull);
        } else {
            portreeve_packet::vnet::push_frame(beside.side, bytes);
        }
    }

    /// Appends a tun frame of a finished packet.
    fn push_packet(&mut self, beside: &mut Beside<'_>, packet: &[u8]) {
        if beside.side.len().saturating_add(FRAME_HEAD + packet.len()) > MAX_SIDE {
            self.counters.drop(Reason::SideFull);
        } else {
            portreeve_packet::vnet::push_tun_frame(beside.side, &Vnet::default(), packet);
        }
    }
}

fn limits(settings: &Settings) -> [TokenBucket; 4] {
    let burst = settings.error_burst.min(settings.errors_per_second);
    core::array::from_fn(|_| TokenBucket::new(settings.errors_per_second, burst))
}

/// The length word at `at` and the end of the frame; `None` when it is cut off.
#[inline]
fn frame_at(batch: &[u8], at: usize) -> Option<(u32, usize)> {
    let word = batch.get(at..).and_then(|rest| rest.first_chunk::<4>())?;
    let n = u32::from_le_bytes(*word);
    let end = at + 4 + (n & !PADDING) as usize;
    (end <= batch.len()).then_some((n, end))
}

/// Makes `from..to` one frame of padding; nothing to do when it is empty.
#[inline]
fn pad(batch: &mut [u8], from: usize, to: usize) {
    if to > from {
        put_word(batch, from, padding_word(to - from));
    }
}

#[inline]
fn put_word(batch: &mut [u8], at: usize, value: u32) {
    if let Some(word) = batch.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *word = value.to_le_bytes();
    }
}
