//! Which tables a batch or a request is about. Pure: the grant is asked by the caller.

use portreeve_nftables::{Endian, Inspected, inspect, messages};

use crate::sys::netfilter::table_name;

/// NFNL_SUBSYS_NFTABLES, and the two messages around a batch.
const NFTABLES: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// NFT_MSG_NEW… and NFT_MSG_DEL… of tables, chains, rules, sets, elements, objects and flowtables.
const CHANGES: [u16; 14] = [0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 18, 20, 22, 24];
/// NFT_MSG_GET… of the same.
const QUESTIONS: [u16; 7] = [1, 4, 7, 10, 13, 19, 23];
/// NLM_F_REQUEST, NLM_F_DUMP: what questions have. Without the latter one object is asked for.
const REQUEST: u16 = 1;

/// Why nothing is sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Illegal {
    /// It is no batch.
    Malformed(String),
    /// A message is of a kind that no grant covers.
    Beyond(String),
}

/// Asks `granted` of each table of a batch, as the grant names them, once or more often; stops at the first that is denied.
pub fn each_table<E: From<Illegal>>(
    endian: Endian,
    batch: &[u8],
    mut granted: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let (mut last, mut ended): (Option<(u8, &str)>, bool) = (None, false);
    for (number, message) in inspect(endian, batch).enumerate() {
        let message = message.map_err(|error| Illegal::Malformed(error.to_string()))?;
        if ended {
            return Err(Illegal::Malformed("there is something behind the end of the batch".to_owned()).into());
        }
        match (number, message.subsystem, message.kind) {
            (0, 0, BATCH_BEGIN) if message.resource == NFTABLES => {}
            (0, ..) => return Err(Illegal::Malformed("it does not begin with NFNL_MSG_BATCH_BEGIN".to_owned()).into()),
            (_, 0, BATCH_END) => ended = true,
            (_, NFTABLES, kind) if CHANGES.contains(&kind) => {
                let (family, table) =
                    (message.family, message.table.ok_or_else(|| beyond(&message, "names no table"))?);
                // Most messages are about the table of the one before.
                if last != Some((family, table)) {
                    last = Some((family, table));
                    let name =
                        table_name(family, table).ok_or_else(|| beyond(&message, "is of no family of tables"))?;
                    granted(&name)?;
                }
            }
            _ => return Err(beyond(&message, "is of another kind").into()),
        }
    }
    if ended { Ok(()) } else { Err(Illegal::Malformed("it does not end with NFNL_MSG_BATCH_END".to_owned()).into()) }
}

fn beyond(message: &Inspected<'_>, what: &str) -> Illegal {
    let Inspected { subsystem, kind, sequence, .. } = message;
    Illegal::Beyond(format!("message {sequence} (subsystem {subsystem}, type {kind}) {what}"))
}

/// Takes the end off a batch that was found legal.
pub fn leave_end_out(endian: Endian, batch: &mut Vec<u8>) {
    let end = inspect(endian, batch).map_while(Result::ok).last().map(|message| message.offset);
    if let Some(end) = end {
        batch.truncate(end);
    }
}

/// The table that a request is about; none if it is about all.
pub fn table_of_request(endian: Endian, request: &[u8]) -> Result<Option<String>, Illegal> {
    let mut found = inspect(endian, request);
    let (first, second) = (found.next(), found.next());
    let (Some(Ok(message)), None) = (first, second) else {
        return Err(Illegal::Malformed("expected one message".to_owned()));
    };
    if message.subsystem != NFTABLES || !QUESTIONS.contains(&message.kind) || message.flags & REQUEST == 0 {
        return Err(beyond(&message, "asks for nothing"));
    }
    match message.table {
        None => Ok(None),
        Some(table) => table_name(message.family, table).map(Some).ok_or_else(|| beyond(&message, "is of no family")),
    }
}

/// Of some answers those that are about tables that `granted` holds, and those that are about none: errors and the end
/// are told otherwise.
pub fn only(endian: Endian, answers: &[u8], granted: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut last: Option<(u8, String, bool)> = None;
    for message in messages(endian, answers).map_while(Result::ok) {
        if message.subsystem() != NFTABLES {
            continue;
        }
        let Some(Ok(seen)) = inspect(endian, message.bytes).next() else { continue };
        let Some(table) = seen.table else { continue };
        let keep = match &last {
            Some((family, name, keep)) if *family == seen.family && name == table => *keep,
            _ => {
                let keep = table_name(seen.family, table).is_some_and(|name| granted(&name));
                last = Some((seen.family, table.to_owned(), keep));
                keep
            }
        };
        if keep {
            kept.extend_from_slice(message.bytes);
            kept.resize(kept.len().next_multiple_of(4), 0);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use portreeve_nftables::{Batch, DeleteTable, Family, NewTable, Query, request};

    use super::*;

    const ORDER: Endian = Endian::Little;

    fn tables_of_batch(endian: Endian, batch: &[u8]) -> Result<Vec<String>, Illegal> {
        let mut tables = Vec::new();
        each_table(endian, batch, |table| {
            tables.push(table.to_owned());
            Ok::<(), Illegal>(())
        })?;
        Ok(tables)
    }

    fn batch(fill: impl FnOnce(&mut Batch)) -> Vec<u8> {
        let mut batch = Batch::new(ORDER);
        batch.begin(None);
        fill(&mut batch);
        batch.end(0);
        batch.into_bytes().unwrap()
    }

    fn table(batch: &mut Batch, family: Family, name: &str) {
        batch.push(&NewTable { family, name, flags: 0, comment: None }, 0);
    }

    #[test]
    fn the_tables_of_a_batch_are_named_with_their_family_whenever_they_change() {
        let bytes = batch(|batch| {
            table(batch, Family::Inet, "one");
            table(batch, Family::Inet, "one");
            table(batch, Family::Ip, "one");
            batch.push(&DeleteTable { family: Family::Inet, name: "one" }, 0);
        });
        assert_eq!(tables_of_batch(ORDER, &bytes), Ok(["inet/one", "ip/one", "inet/one"].map(str::to_owned).to_vec()));
    }

    #[test]
    fn the_first_denial_ends_it() {
        let bytes = batch(|batch| {
            for number in 0..1000 {
                table(batch, Family::Inet, &number.to_string());
            }
        });
        let mut asked = 0;
        let denied = each_table(ORDER, &bytes, |_| {
            asked += 1;
            Err(Illegal::Beyond("denied".to_owned()))
        });
        assert_eq!((denied, asked), (Err(Illegal::Beyond("denied".to_owned())), 1));
    }

    #[test]
    fn what_is_cut_off_or_has_more_behind_its_end_is_no_batch() {
        let whole = batch(|batch| table(batch, Family::Inet, "one"));
        for length in 0..whole.len() {
            assert!(matches!(tables_of_batch(ORDER, &whole[..length]), Err(Illegal::Malformed(_))), "{length}");
        }
        let twice = [whole.clone(), whole].concat();
        assert!(matches!(tables_of_batch(ORDER, &twice), Err(Illegal::Malformed(_))));
    }

    #[test]
    fn messages_of_other_kinds_and_without_a_table_are_beyond_every_grant() {
        let legal = batch(|batch| table(batch, Family::Inet, "one"));
        // The second message begins behind the first: nlmsghdr, nfgenmsg; its type is at 4 and 5, its family at 16.
        let second = 20;
        let altered = |at: usize, value: u8| {
            let mut bytes = legal.clone();
            bytes[second + at] = value;
            tables_of_batch(ORDER, &bytes)
        };
        assert!(altered(4, 0).is_ok());
        for (at, value) in [(5, 1), (4, 1), (4, 21), (4, 15), (16, 0), (16, 99)] {
            assert!(matches!(altered(at, value), Err(Illegal::Beyond(_))), "{at} {value}");
        }
        // The type of its only attribute is behind nlmsghdr, nfgenmsg and the attribute's length.
        assert!(matches!(altered(22, 6), Err(Illegal::Beyond(_))));
    }

    #[test]
    fn the_end_is_left_out_for_a_check() {
        let mut bytes = batch(|batch| table(batch, Family::Inet, "one"));
        let whole = bytes.len();
        leave_end_out(ORDER, &mut bytes);
        assert_eq!(bytes.len(), whole - 20);
    }

    #[test]
    fn a_request_asks_for_one_thing() {
        let chains = request(ORDER, 1, &Query::Chains { family: Family::Inet, table: Some("one") });
        assert_eq!(table_of_request(ORDER, &chains), Ok(Some("inet/one".to_owned())));
        let tables = request(ORDER, 1, &Query::Tables { family: Family::Inet });
        assert_eq!(table_of_request(ORDER, &tables), Ok(None));
        assert!(table_of_request(ORDER, &[chains, tables].concat()).is_err());
        assert!(table_of_request(ORDER, &batch(|_| {})).is_err());
    }

    #[test]
    fn answers_about_other_tables_are_left_out() {
        let mut answers = Batch::new(ORDER);
        for name in ["one", "two", "one"] {
            table(&mut answers, Family::Inet, name);
        }
        let kept = only(ORDER, answers.bytes(), |name| name == "inet/one");
        let names: Vec<_> = inspect(ORDER, &kept).map(|message| message.unwrap().table.unwrap().to_owned()).collect();
        assert_eq!(names, ["one", "one"]);
    }
}
