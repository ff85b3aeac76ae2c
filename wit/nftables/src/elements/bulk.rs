//! Keys by the hundred thousand: an element's bytes are the same but for its key.

use crate::{
    Batch, Change, Endian, Part, SetRef, Verdict, Writer,
    constants::{NFT_DATA_VALUE_MAXLEN, NFT_SET_ELEM_INTERVAL_END},
    elements::{DATA, FLAGS, KEY, KEY_END, LIST_ELEMENT, USERDATA, open_userdata},
    expression::encode,
};

/// Verdicts of a map that are kept as templates; most maps have few.
const MAX_TEMPLATES: usize = 8;

/// Adds one to a key in network order; false, and zeros, after the last one.
pub(super) fn increment(key: &mut [u8]) -> bool {
    for byte in key.iter_mut().rev() {
        let (next, carry) = byte.overflowing_add(1);
        *byte = next;
        if !carry {
            return true;
        }
    }
    false
}

/// Pieces of `count` keys; none if no key is of such a width.
fn chunks(bytes: &[u8], width: usize, count: usize) -> core::slice::ChunksExact<'_, u8> {
    if (1..=NFT_DATA_VALUE_MAXLEN).contains(&width) { bytes.chunks_exact(width * count) } else { [].chunks_exact(1) }
}

/// Bytes of so many elements, with the headers of their messages.
const fn room(count: usize, size: usize) -> usize {
    let bytes = count.saturating_mul(size);
    bytes.saturating_add(bytes / 128).saturating_add(512)
}

/// An element with a key of zeros, and where the key is in it.
struct Template {
    bytes: Vec<u8>,
    /// It is longer than netlink can say.
    oversized: bool,
    places: [usize; 2],
}

/// What follows the header of the element, of KEY, and of the value in it.
const FIRST_KEY: usize = 12;

impl Template {
    fn new(endian: Endian, width: usize, more: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::new(endian);
        let width = width.min(NFT_DATA_VALUE_MAXLEN);
        let zeros = vec![0; width];
        writer.nested(LIST_ELEMENT, |w| {
            encode::value(w, KEY, &zeros);
            more(w);
        });
        // A second key comes right after the first, with the header of KEY_END and of its value.
        Self {
            oversized: writer.oversized,
            bytes: writer.bytes,
            places: [FIRST_KEY, FIRST_KEY + width.next_multiple_of(4) + 8],
        }
    }

    fn write(&self, writer: &mut Writer, keys: &[&[u8]]) {
        let start = writer.bytes.len();
        writer.bytes.extend_from_slice(&self.bytes);
        writer.oversized |= self.oversized;
        for (place, key) in self.places.iter().zip(keys) {
            writer.put(start + place, key);
        }
    }
}

impl Batch {
    /// Appends messages that change the elements of these keys, which stand one after the other, `width` bytes each (1 to
    /// 64, else nothing is written). A rest that is shorter is left out.
    pub fn push_points(&mut self, set: &SetRef<'_>, change: Change, keys: &[u8], width: usize) -> Vec<Part> {
        let template = Template::new(self.endian(), width, |_| {});
        self.reserve(room(chunks(keys, width, 1).len(), template.bytes.len()));
        self.push_each(set, change, chunks(keys, width, 1), |w, key| template.write(w, &[key]))
    }

    /// The same of a map: keys of `width` bytes and the verdicts that they lead to. Keys of another width are left out.
    pub fn push_verdicts<'k, 'v>(
        &mut self,
        set: &SetRef<'_>,
        change: Change,
        width: usize,
        entries: impl ExactSizeIterator<Item = (&'k [u8], Verdict<'v>)>,
    ) -> Vec<Part> {
        let endian = self.endian();
        let mut templates: Vec<(Verdict<'v>, Template)> = Vec::new();
        let legal = (1..=NFT_DATA_VALUE_MAXLEN).contains(&width);
        let count = entries.len();
        let entries = entries.filter(|(key, _)| legal && key.len() == width);
        self.push_each(set, change, entries, |w, (key, verdict)| {
            if let Some((_, template)) = templates.iter().find(|(known, _)| *known == verdict) {
                return template.write(w, &[key]);
            }
            let template = Template::new(endian, width, |w| encode::verdict(w, DATA, &verdict));
            if templates.is_empty() {
                w.reserve(room(count, template.bytes.len()));
            }
            template.write(w, &[key]);
            if templates.len() < MAX_TEMPLATES {
                templates.push((verdict, template));
            }
        })
    }

    /// The same of ranges, first and last key alternating, in an interval set of one field. Each becomes an element
    /// for its first key and one that marks what comes after its last; none follows a range up to the last key there
    /// is. Ranges must be disjoint; they may touch.
    pub fn push_ranges(&mut self, set: &SetRef<'_>, change: Change, ranges: &[u8], width: usize) -> Vec<Part> {
        let endian = self.endian();
        let start = Template::new(endian, width, |_| {});
        let open = Template::new(endian, width, |w| w.data(USERDATA, &open_userdata(endian)));
        let end = Template::new(endian, width, |w| w.u32(FLAGS, NFT_SET_ELEM_INTERVAL_END));
        let mut after = vec![0; width.min(NFT_DATA_VALUE_MAXLEN)];
        self.reserve(room(chunks(ranges, width, 2).len(), start.bytes.len() + end.bytes.len()));
        self.push_each(set, change, chunks(ranges, width, 2), |w, range| {
            let (first, last) = range.split_at(width);
            after.copy_from_slice(last);
            if increment(&mut after) {
                start.write(w, &[first]);
                end.write(w, &[&after]);
            } else {
                open.write(w, &[first]);
            }
        })
    }

    /// The same in an interval set of several fields, where an element has first and last key itself.
    pub fn push_field_ranges(&mut self, set: &SetRef<'_>, change: Change, ranges: &[u8], width: usize) -> Vec<Part> {
        let template = Template::new(self.endian(), width, |w| {
            encode::value(w, KEY_END, &vec![0; width.min(NFT_DATA_VALUE_MAXLEN)])
        });
        self.push_each(set, change, chunks(ranges, width, 2), |w, range| {
            let (first, last) = range.split_at(width);
            template.write(w, &[first, last]);
        })
    }
}
