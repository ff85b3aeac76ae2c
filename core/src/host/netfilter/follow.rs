//! Puts together what the kernel tells of changes: messages about what was changed, then one with the new generation.

use std::collections::VecDeque;

use portreeve_nftables::{Decoded, Endian, decode, inspect, messages};

use crate::sys::netfilter::table_name;

/// Tables that are remembered of one change, and changes that wait to be asked for.
const MAX_TABLES: usize = 256;
const MAX_WAITING: usize = 256;

/// A change that is told whole.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Whole {
    /// The generation since then.
    pub generation: u32,
    /// The port of the socket that did it.
    pub port: u32,
    /// What was touched.
    pub tables: Vec<String>,
    /// Who did it.
    pub process: String,
    /// More than this happened.
    pub lost: bool,
}

/// What was heard and not yet asked for.
#[derive(Debug, Default)]
pub struct Followed {
    tables: Vec<String>,
    whole: VecDeque<Whole>,
    lost: bool,
}

impl Followed {
    /// The next change that is told whole.
    pub fn next(&mut self) -> Option<Whole> {
        self.whole.pop_front()
    }

    /// The kernel had to drop some of what it tells.
    pub fn overflow(&mut self) -> Whole {
        self.tables.clear();
        self.whole.clear();
        Whole { lost: true, ..Whole::default() }
    }

    /// Takes a datagram.
    pub fn take(&mut self, endian: Endian, bytes: &[u8]) {
        for message in messages(endian, bytes).map_while(Result::ok) {
            if let Some(Decoded::Generation(generation)) = decode(&message) {
                if self.whole.len() == MAX_WAITING {
                    self.whole.pop_front();
                    self.lost = true;
                }
                self.whole.push_back(Whole {
                    generation: generation.id,
                    port: message.port,
                    tables: std::mem::take(&mut self.tables),
                    process: generation.process.unwrap_or_default(),
                    lost: std::mem::take(&mut self.lost),
                });
                continue;
            }
            let Some(Ok(seen)) = inspect(endian, message.bytes).next() else { continue };
            let name = seen.table.and_then(|table| table_name(seen.family, table));
            if let Some(name) = name.filter(|name| !self.tables.contains(name)) {
                if self.tables.len() < MAX_TABLES { self.tables.push(name) } else { self.lost = true }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portreeve_nftables::{Batch, Family, NewTable};

    use super::*;

    const ORDER: Endian = Endian::Little;

    /// NFT_MSG_NEWGEN with NFTA_GEN_ID, from port 9.
    fn generation(id: u32) -> Vec<u8> {
        let mut bytes = vec![28, 0, 0, 0, 15, 10, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0];
        bytes.extend(id.to_be_bytes());
        bytes
    }

    fn tables(names: &[&str]) -> Vec<u8> {
        let mut batch = Batch::new(ORDER);
        for name in names {
            batch.push(&NewTable { family: Family::Inet, name, flags: 0, comment: None }, 0);
        }
        batch.bytes().to_vec()
    }

    #[test]
    fn a_change_is_whole_when_its_generation_is_told() {
        let mut followed = Followed::default();
        followed.take(ORDER, &tables(&["one", "two", "one"]));
        assert_eq!(followed.next(), None);
        followed.take(ORDER, &generation(7));
        followed.take(ORDER, &generation(8));
        let names = ["inet/one".to_owned(), "inet/two".to_owned()].to_vec();
        let first = Whole { generation: 7, port: 9, tables: names, process: String::new(), lost: false };
        assert_eq!(followed.next(), Some(first));
        assert_eq!(followed.next().map(|whole| (whole.generation, whole.tables.len())), Some((8, 0)));
        assert_eq!(followed.next(), None);
    }

    #[test]
    fn what_is_not_asked_for_in_time_is_lost_and_said_to_be() {
        let mut followed = Followed::default();
        for id in 0..=u32::try_from(MAX_WAITING).unwrap() {
            followed.take(ORDER, &generation(id));
        }
        let told: Vec<_> = std::iter::from_fn(|| followed.next()).collect();
        assert_eq!((told.len(), told[0].generation), (MAX_WAITING, 1));
        assert!(told.last().unwrap().lost && !told[0].lost);
        followed.take(ORDER, &tables(&["one"]));
        assert!(followed.overflow().lost);
        followed.take(ORDER, &generation(900));
        assert_eq!(followed.next().map(|whole| whole.tables.len()), Some(0));
    }
}
