//! Sets and maps with their elements.

use std::borrow::Cow;

use portreeve_nftables::{
    Batch, Change, DataType, Element, Endian, Family, NewSet, Part, SetData, SetRef,
    constants::{NFT_SET_EVAL, NFT_SET_INTERVAL, NLM_F_EXCL},
};

use super::{TABLE, load::to_host, statement::verdict};
use crate::ruleset::{Elements, Entry, KeyType, Ruleset, Set, SetId, Statement};

/// Most elements of a dynamic set that says nothing.
const DYNAMIC_SIZE: u32 = 65_535;

/// What nft knows a key's parts as. A network of IPv6 is an address there.
pub(super) fn key_types(set: &Set) -> Vec<DataType> {
    set.key.iter().map(|kind| data_type(*kind)).collect()
}

const fn data_type(kind: KeyType) -> DataType {
    match kind {
        KeyType::Ipv4 => DataType::IPV4_ADDR,
        KeyType::Ipv6 | KeyType::Ipv6Network => DataType::IPV6_ADDR,
        KeyType::Ether => DataType::ETHER_ADDR,
        KeyType::Protocol => DataType::INET_PROTO,
        KeyType::Port => DataType::INET_SERVICE,
        KeyType::Interface => DataType::IFNAME,
        KeyType::IcmpType => DataType::ICMP_TYPE,
        KeyType::Icmpv6Type => DataType::ICMPV6_TYPE,
        KeyType::IcmpCode => DataType::ICMP_CODE,
        KeyType::Mark => DataType::MARK,
        KeyType::CtState => DataType::CT_STATE,
    }
}

/// What rules keep with a set's elements, as numbers for its fingerprint.
pub(super) fn expressions_of(id: SetId, statements: &[&Statement]) -> Vec<[u64; 5]> {
    statements
        .iter()
        .filter_map(|statement| match statement {
            Statement::LimitEach { set, rate, .. } if *set == id => {
                Some([1, rate.packets, rate.seconds, u64::from(rate.burst), u64::from(rate.over)])
            }
            Statement::ConnectionsEach { set, count, above, .. } if *set == id => {
                Some([2, u64::from(*count), u64::from(*above), 0, 0])
            }
            _ => None,
        })
        .collect()
}

/// Elements are ranges.
const fn is_interval(set: &Set) -> bool {
    set.interval || matches!(set.elements, Elements::Ranges(_))
}

/// How keys stand in the kernel, where that is another way than here.
pub(super) struct Layout {
    /// Kind of each field, and its bytes here.
    fields: Vec<(KeyType, usize)>,
    /// Bytes of a key here.
    pub(super) width: usize,
    /// Bytes of a key in the kernel.
    pub(super) kernel_width: usize,
    /// They differ.
    differs: bool,
    interval: bool,
    endian: Endian,
}

impl Layout {
    pub(super) fn of(key: &[KeyType], interval: bool, endian: Endian) -> Self {
        let padded = |width: usize| if key.len() > 1 { width.next_multiple_of(4) } else { width };
        let fields: Vec<_> = key.iter().map(|kind| (*kind, padded(kind.width()))).collect();
        let kernel = |kind: KeyType| if kind == KeyType::Ipv6Network { 16 } else { padded(kind.width()) };
        let host = matches!(endian, Endian::Little) && !interval;
        Self {
            width: fields.iter().map(|(_, width)| width).sum(),
            kernel_width: key.iter().map(|kind| kernel(*kind)).sum(),
            differs: key.iter().any(|kind| match kind {
                KeyType::Ipv6Network => true,
                KeyType::Mark | KeyType::CtState => host,
                _ => false,
            }),
            fields,
            interval,
            endian,
        }
    }

    /// A key, or several one after the other, as the kernel has them.
    pub(super) fn keys<'a>(&self, keys: &'a [u8], last: bool) -> Cow<'a, [u8]> {
        if !self.differs || self.width == 0 {
            return Cow::Borrowed(keys);
        }
        let count = keys.len().div_euclid(self.width);
        let mut out = Vec::with_capacity(count.saturating_mul(self.kernel_width));
        for (index, key) in keys.chunks_exact(self.width).enumerate() {
            // Of ranges every second is a last one.
            self.key(key, last || self.interval && index & 1 == 1, &mut out);
        }
        Cow::Owned(out)
    }

    fn key(&self, mut key: &[u8], last: bool, out: &mut Vec<u8>) {
        for (kind, width) in &self.fields {
            let Some((field, rest)) = key.split_at_checked(*width) else { return };
            key = rest;
            match kind {
                KeyType::Ipv6Network => {
                    out.extend_from_slice(field);
                    out.extend_from_slice(&if last && self.interval { [0xff; 8] } else { [0; 8] });
                }
                KeyType::Mark | KeyType::CtState if !self.interval => out.extend(to_host(self.endian, field)),
                _ => out.extend_from_slice(field),
            }
        }
    }
}

/// Writes the message that makes the set.
pub(super) fn declare(batch: &mut Batch, id: SetId, set: &Set, comment: &str) -> u32 {
    let key = key_types(set);
    let number = u32::try_from(id).unwrap_or(u32::MAX).saturating_add(1);
    let mut new = NewSet::new(Family::Inet, TABLE, &set.name, number, &key);
    if is_interval(set) {
        new.flags |= NFT_SET_INTERVAL;
    }
    if set.map {
        new.data = SetData::Verdict;
    }
    new.timeout_ms = set.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1));
    new.size = if set.dynamic || set.stateful {
        new.flags |= NFT_SET_EVAL;
        Some(if set.size == 0 { DYNAMIC_SIZE } else { set.size })
    } else if is_interval(set) {
        // Both ends of a range count in some kernels.
        None
    } else {
        // A known size lets the kernel choose a table that does not grow. Not the most that it may have: memory for all of
        // that would be taken.
        Some(u32::try_from(count(set)).unwrap_or(u32::MAX).max(1))
    };
    new.comment = Some(comment);
    batch.push(&new, NLM_F_EXCL)
}

/// Elements of a set here.
fn count(set: &Set) -> usize {
    let width = Layout::of(&set.key, false, Endian::Big).width.max(1);
    match &set.elements {
        Elements::Points(keys) => keys.len().div_euclid(width),
        Elements::Ranges(ranges) => ranges.len().div_euclid(width.saturating_mul(2)),
        Elements::Verdicts(entries) => entries.len(),
    }
}

/// Writes the messages that fill the set.
pub(super) fn fill(batch: &mut Batch, ruleset: &Ruleset, set: &Set) -> Vec<Part> {
    let to = SetRef { family: Family::Inet, table: TABLE, name: &set.name, id: None };
    let interval = is_interval(set);
    let layout = Layout::of(&set.key, interval, batch.endian());
    let width = layout.kernel_width;
    match &set.elements {
        Elements::Points(keys) if keys.is_empty() => Vec::new(),
        Elements::Ranges(ranges) if ranges.is_empty() => Vec::new(),
        Elements::Points(keys) if interval && set.key.len() == 1 => {
            let mut ranges = Vec::with_capacity(keys.len().saturating_mul(2));
            for key in keys.chunks_exact(layout.width.max(1)) {
                ranges.extend_from_slice(key);
                ranges.extend_from_slice(key);
            }
            batch.push_ranges(&to, Change::Add, &layout.keys(&ranges, false), width)
        }
        Elements::Points(keys) => {
            let layout = Layout { interval: false, ..layout };
            batch.push_points(&to, Change::Add, &layout.keys(keys, false), width)
        }
        Elements::Ranges(ranges) if set.key.len() == 1 => {
            batch.push_ranges(&to, Change::Add, &layout.keys(ranges, false), width)
        }
        Elements::Ranges(ranges) => batch.push_field_ranges(&to, Change::Add, &layout.keys(ranges, false), width),
        Elements::Verdicts(entries) if entries.is_empty() => Vec::new(),
        Elements::Verdicts(entries)
            if !interval && !layout.differs && entries.iter().all(|entry| entry.key.len() == width) =>
        {
            let entries = entries.iter().map(|entry| (entry.key.as_slice(), verdict(ruleset, entry.verdict)));
            batch.push_verdicts(&to, Change::Add, width, entries)
        }
        Elements::Verdicts(entries) => {
            let elements = entries.iter().flat_map(|entry| elements(ruleset, entry, &layout)).flatten();
            batch.push_elements(&to, Change::Add, elements)
        }
    }
}

/// The elements of an entry: two for a range of one field, of which the second says where it ends.
fn elements<'a>(ruleset: &'a Ruleset, entry: &'a Entry, layout: &Layout) -> [Option<Element<'a>>; 2] {
    let key = layout.keys(&entry.key, false);
    let (first, end) = if !layout.interval {
        (Element::new(key), None)
    } else if layout.fields.len() == 1 {
        let last = layout.keys(entry.last.as_deref().unwrap_or(&entry.key), true);
        Element::range_of(key, &last)
    } else {
        let mut element = Element::new(key);
        element.key_end = entry.last.as_deref().map(|last| layout.keys(last, true));
        (element, None)
    };
    [Some(first.verdict(verdict(ruleset, entry.verdict))), end]
}

/// Which entry of a verdict map the kernel's element of this number is of.
pub(super) fn entry_at(set: &Set, entries: &[Entry], element: usize) -> usize {
    if !is_interval(set) || set.key.len() != 1 {
        return element;
    }
    let mut before = 0_usize;
    for (index, entry) in entries.iter().enumerate() {
        let open = entry.last.as_deref().unwrap_or(&entry.key).iter().all(|byte| *byte == 0xff);
        before = before.saturating_add(if open { 1 } else { 2 });
        if element < before {
            return index;
        }
    }
    entries.len()
}
