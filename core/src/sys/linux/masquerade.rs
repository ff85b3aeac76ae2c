//! Masquerading: a table of nf_tables for each plugin, `portreeve-PLUGIN`, replaced in one transaction.
//!
//! The kernel's table carries a comment with a hash of what it is for, so what is there is told apart from what should be
//! without reading the rules. Rule sets of any shape are the firewall's business.

use std::io;
use std::net::IpAddr;

use portreeve_nftables::constants::{NF_INET_POST_ROUTING, NFT_META_OIFNAME, NFT_PAYLOAD_NETWORK_HEADER};
use portreeve_nftables::{
    BaseChain, Batch, DeleteTable, Endian, Expression, Family, NewChain, NewRule, NewTable, Register, TableInfo,
};

use super::nftables;
use crate::sys::network::{Changed, Masquerade, Refusal};

/// Before the plugin's name in the name of its table.
const TABLE: &str = "portreeve-";
const CHAIN: &str = "postrouting";
/// NF_IP_PRI_NAT_SRC.
const PRIORITY: i32 = 100;
/// Before the hash in the comment of our tables. One without it is somebody else's, whatever its name.
const MARK: &str = "made by portreeve: ";
/// Of the rules that are made of a list: another number has them made anew.
const FORMAT: u32 = 2;
/// Bytes of an interface's name, with the zero at its end.
const IFNAMSIZ: usize = 16;
/// Of the source in IPv4's header.
const SOURCE: u32 = 12;

/// The tables that are ours: the plugin each is for, and its comment.
///
/// # Errors
/// The kernel's; EOPNOTSUPP and the like where it has no nf_tables.
pub fn tables() -> io::Result<Vec<(String, String)>> {
    Ok(named_tables()?.into_iter().filter(|(_, comment)| comment.starts_with(MARK)).collect())
}

/// The tables that have a name like ours: owner and comment.
fn named_tables() -> io::Result<Vec<(String, String)>> {
    Ok(nftables::tables()?.into_iter().filter_map(named).collect())
}

fn named(table: TableInfo) -> Option<(String, String)> {
    let owner = table.name.strip_prefix(TABLE)?.to_owned();
    (table.family == Family::Ip.number()).then(|| (owner, table.comment.unwrap_or_default()))
}

/// The comment of the table of a plugin that masquerades so.
#[must_use]
pub fn mark(wanted: &[Masquerade]) -> String {
    mark_of(FORMAT, wanted)
}

fn mark_of(format: u32, wanted: &[Masquerade]) -> String {
    let mut words = format.to_string();
    for masquerade in wanted {
        words.push_str(&format!("\n{} {}", masquerade.source, masquerade.out.as_deref().unwrap_or("")));
    }
    format!("{MARK}{}", &blake3::hash(words.as_bytes()).to_hex()[..32])
}

/// Has a plugin's table be as wanted, in one transaction; an empty list removes it.
///
/// # Errors
/// The kernel's, with what it refused; EEXIST if somebody else has a table of this name.
pub fn set(owner: &str, wanted: &[Masquerade]) -> Changed {
    let there = named_tables()?.into_iter().find(|(name, _)| name == owner);
    match there {
        Some((_, comment)) if !comment.starts_with(MARK) => {
            if wanted.is_empty() {
                return Ok(());
            }
            let words = format!("there is a table ip {TABLE}{owner} that was not made by portreeve");
            return Err(Refusal { error: io::Error::from_raw_os_error(libc::EEXIST), message: Some(words) });
        }
        None if wanted.is_empty() => return Ok(()),
        _ => {}
    }
    nftables::carry_out(transaction(owner, wanted))
}

/// The messages that do it.
fn transaction(owner: &str, wanted: &[Masquerade]) -> Batch {
    let (family, table) = (Family::Ip, format!("{TABLE}{owner}"));
    let comment = mark(wanted);
    let mut batch = Batch::new(Endian::NATIVE);
    batch.begin(None);
    // Made first, so that removing it works whether or not it was there.
    batch.push(&NewTable { family, name: &table, flags: 0, comment: None }, 0);
    batch.push(&DeleteTable { family, name: &table }, 0);
    if !wanted.is_empty() {
        batch.push(&NewTable { family, name: &table, flags: 0, comment: Some(&comment) }, 0);
        let hook = NF_INET_POST_ROUTING;
        let base = BaseChain { hook, priority: PRIORITY, kind: "nat", accept: Some(true), devices: &[] };
        batch.push(&NewChain { family, table: &table, name: CHAIN, base: Some(base), comment: None }, 0);
    }
    for masquerade in wanted {
        let Some(expressions) = rule(masquerade) else { continue };
        let (chain, expressions) = (CHAIN, expressions.as_slice());
        let table = &table;
        batch.push(&NewRule { family, table, chain, expressions, comment: None, handle: None, position: None }, 0);
    }
    batch.end(0);
    batch
}

/// `ip saddr SOURCE oifname OUT masquerade`; none for a source that is not IPv4.
fn rule(masquerade: &Masquerade) -> Option<Vec<Expression<'static>>> {
    let (source, destination) = (Register::R1, Register::R1);
    let mut rule = Vec::new();
    let length = masquerade.source.length.min(32);
    if length > 0 {
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let IpAddr::V4(network) = masquerade.source.network().address else { return None };
        rule.push(Expression::Payload { destination, base: NFT_PAYLOAD_NETWORK_HEADER, offset: SOURCE, length: 4 });
        let (mask, xor) = (mask.to_be_bytes().to_vec().into(), vec![0; 4].into());
        rule.push(Expression::Bitwise { source, destination, mask, xor });
        rule.push(Expression::equal(source, network.octets().to_vec()));
    }
    if let Some(out) = &masquerade.out {
        let mut name: Vec<u8> = out.bytes().take(IFNAMSIZ - 1).collect();
        name.resize(IFNAMSIZ, 0);
        rule.push(Expression::Meta { destination, key: NFT_META_OIFNAME });
        rule.push(Expression::equal(source, name));
    }
    rule.push(Expression::Masquerade { flags: 0, ports: None });
    Some(rule)
}

#[cfg(test)]
mod tests {
    use portreeve_nftables::inspect;

    use super::*;

    #[test]
    fn only_tables_of_ours_are_told_with_their_comment() {
        let table = |family: Family, name: &str| {
            let (name, comment) = (name.to_owned(), Some("hello".to_owned()));
            named(TableInfo { family: family.number(), name, flags: 0, handle: 1, uses: 0, comment })
        };
        let found = Some(("translator".to_owned(), "hello".to_owned()));
        assert_eq!(table(Family::Ip, "portreeve-translator"), found);
        assert_eq!(table(Family::Inet, "portreeve-translator"), None);
        assert_eq!(table(Family::Ip, "filter"), None);
    }

    #[test]
    fn another_list_has_another_mark() {
        let one = Masquerade { source: portreeve_network::Prefix::new([192, 0, 0, 4].into(), 30), out: None };
        let other = Masquerade { out: Some("clat".to_owned()), ..one.clone() };
        assert_ne!(mark(std::slice::from_ref(&one)), mark(std::slice::from_ref(&other)));
        assert_ne!(mark(&[one.clone(), other.clone()]), mark(&[other, one]));
    }

    #[test]
    fn rules_that_are_made_otherwise_have_another_mark() {
        let one = [Masquerade { source: portreeve_network::Prefix::new([192, 0, 0, 4].into(), 30), out: None }];
        assert_eq!(mark(&one), mark_of(FORMAT, &one));
        assert_ne!(mark_of(1, &one), mark_of(2, &one));
        assert!(mark(&one).starts_with("made by portreeve: "));
    }

    #[test]
    fn a_transaction_removes_what_is_there_and_makes_what_is_wanted() {
        let source = portreeve_network::Prefix::new([192, 0, 0, 4].into(), 30);
        let kinds = |wanted: &[Masquerade]| -> Vec<u16> {
            let bytes = transaction("x", wanted).into_bytes().unwrap();
            inspect(Endian::NATIVE, &bytes).map(|message| message.unwrap().kind).collect()
        };
        // NFT_MSG_NEWTABLE, DELTABLE, NEWCHAIN and NEWRULE between the two of a batch.
        assert_eq!(kinds(&[]), [0x10, 0, 2, 0x11]);
        let wanted = [Masquerade { source, out: None }, Masquerade { source, out: Some("wan0".to_owned()) }];
        assert_eq!(kinds(&wanted), [0x10, 0, 2, 0, 3, 6, 6, 0x11]);
    }
}
