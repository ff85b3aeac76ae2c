//! Masquerading: a table of nf_tables for each plugin, `portreeve-PLUGIN`, replaced in one transaction.
//!
//! The kernel's table carries a comment with a hash of what it is for, so what is there is told apart from what should be
//! without reading the rules. Messages are written by hand: they are a handful, always of this one shape
//! (linux/netfilter/nf_tables.h); rule sets of any shape are the firewall's business.

mod message;

use std::io;

use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};

use message::{Message, NESTED, attribute, message, messages, nested, number, text};

use crate::sys::network::{Changed, Masquerade, Refusal};

/// Before the plugin's name in the name of its table.
const TABLE: &str = "portreeve-";
const CHAIN: &str = "postrouting";
/// NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC.
const HOOK: u32 = 4;
const PRIORITY: u32 = 100;
/// NFPROTO_IPV4.
const IPV4: u8 = 2;
/// NFNL_SUBSYS_NFTABLES, and the two messages around a transaction.
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// NFT_MSG_*.
const NEW_TABLE: u16 = 0;
const GET_TABLE: u16 = 1;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
/// Before the hash in the comment of our tables. One without it is somebody else's, whatever its name.
const MARK: &str = "made by portreeve: ";
/// Of the rules that are made of a list: another number has them made anew.
const FORMAT: u32 = 1;
/// Tries to read the tables while others change them.
const READINGS: usize = 5;
/// NLM_F_*.
const REQUEST: u16 = 0x001;
const ACK: u16 = 0x004;
const DUMP: u16 = 0x300;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const NAME: u16 = 1;
const TABLE_USERDATA: u16 = 6;
const MAX_ANSWER: usize = 64 * 1024;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NLM_F_DUMP_INTR: what was read is not of one moment.
const INTERRUPTED: u16 = 0x10;
/// Bytes of struct nfgenmsg.
const FAMILY_HEADER: usize = 4;

/// The tables that are ours: the plugin each is for, and its comment.
///
/// # Errors
/// The kernel's; EOPNOTSUPP and the like where it has no nf_tables.
pub fn tables() -> io::Result<Vec<(String, String)>> {
    Ok(named_tables()?.into_iter().filter(|(_, comment)| comment.starts_with(MARK)).collect())
}

/// The tables that have a name like ours.
fn named_tables() -> io::Result<Vec<(String, String)>> {
    for _ in 0..READINGS {
        if let Some(tables) = read_tables()? {
            return Ok(tables);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EAGAIN))
}

/// None if they changed meanwhile.
fn read_tables() -> io::Result<Option<Vec<(String, String)>>> {
    let mut socket = open()?;
    let mut request = Vec::new();
    message(&mut request, SUBSYSTEM << 8 | GET_TABLE, REQUEST | DUMP, IPV4, 0, |_| {});
    socket.send(&request, 0)?;
    let (mut tables, mut whole) = (Vec::new(), true);
    loop {
        let answer = receive(&mut socket)?;
        for Message { kind, flags, body } in messages(&answer) {
            whole &= flags & INTERRUPTED == 0;
            match kind {
                NLMSG_DONE | NLMSG_ERROR => match error_of(body) {
                    Ok(()) => return Ok(whole.then_some(tables)),
                    Err(error) if error.raw_os_error() == Some(libc::EINTR) => return Ok(None),
                    // What nfnetlink says of a subsystem that it does not have.
                    Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
                    }
                    Err(error) => return Err(error),
                },
                _ => tables.extend(table(body.get(FAMILY_HEADER..).unwrap_or_default())),
            }
        }
    }
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
    let (batch, mut expected) = transaction(owner, wanted);
    let mut socket = open()?;
    socket.send(&batch, 0)?;
    let mut result = Ok(());
    while expected > 0 && result.is_ok() {
        for Message { kind, body, .. } in messages(&receive(&mut socket)?) {
            if kind == NLMSG_ERROR && expected > 0 {
                expected -= 1;
                // The first is the cause, those after it follow from it.
                result = result.and(error_of(body));
            }
        }
    }
    result.map_err(Refusal::from)
}

/// The messages that do it, and how many the kernel answers.
fn transaction(owner: &str, wanted: &[Masquerade]) -> (Vec<u8>, usize) {
    let table = format!("{TABLE}{owner}");
    let mut batch = Vec::new();
    let mut expected = 0;
    message(&mut batch, BATCH_BEGIN, REQUEST, 0, SUBSYSTEM, |_| {});
    let mut add = |kind: u16, flags: u16, fill: &dyn Fn(&mut Vec<u8>)| {
        message(&mut batch, SUBSYSTEM << 8 | kind, REQUEST | ACK | flags, IPV4, 0, fill);
        expected += 1;
    };
    // Made first, so that removing it works whether or not it was there.
    add(NEW_TABLE, CREATE, &|m| text(m, NAME, &table));
    add(DELETE_TABLE, 0, &|m| text(m, NAME, &table));
    if !wanted.is_empty() {
        add(NEW_TABLE, CREATE, &|m| {
            text(m, NAME, &table);
            // A comment as nft reads it: type 0, length, text with its zero.
            let comment = mark(wanted);
            let mut data = vec![0, u8::try_from(comment.len() + 1).unwrap_or(u8::MAX)];
            data.extend_from_slice(comment.as_bytes());
            data.push(0);
            attribute(m, TABLE_USERDATA, &data);
        });
        add(NEW_CHAIN, CREATE, &|m| {
            text(m, 1, &table);
            text(m, 3, CHAIN);
            nested(m, 4, |m| {
                number(m, 1, HOOK);
                number(m, 2, PRIORITY);
            });
            text(m, 7, "nat");
        });
    }
    for masquerade in wanted {
        add(NEW_RULE, CREATE | APPEND, &|m| {
            text(m, 1, &table);
            text(m, 2, CHAIN);
            nested(m, 4, |m| rule(m, masquerade));
        });
    }
    message(&mut batch, BATCH_END, REQUEST, 0, SUBSYSTEM, |_| {});
    (batch, expected)
}

/// `ip saddr SOURCE oifname OUT masquerade`.
fn rule(m: &mut Vec<u8>, masquerade: &Masquerade) {
    let length = masquerade.source.length.min(32);
    if length > 0 {
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let std::net::IpAddr::V4(source) = masquerade.source.network().address else { return };
        expression(m, "payload", |m| {
            number(m, 1, REGISTER);
            number(m, 2, 1); // NFT_PAYLOAD_NETWORK_HEADER
            number(m, 3, 12);
            number(m, 4, 4);
        });
        expression(m, "bitwise", |m| {
            number(m, 1, REGISTER);
            number(m, 2, REGISTER);
            number(m, 3, 4);
            nested(m, 4, |m| attribute(m, 1, &mask.to_be_bytes()));
            nested(m, 5, |m| attribute(m, 1, &[0; 4]));
        });
        equals(m, &source.octets());
    }
    if let Some(out) = &masquerade.out {
        expression(m, "meta", |m| {
            number(m, 1, REGISTER);
            number(m, 2, 7); // NFT_META_OIFNAME
        });
        let mut name = [0; 16];
        for (to, from) in name.iter_mut().zip(out.as_bytes().iter().take(15)) {
            *to = *from;
        }
        equals(m, &name);
    }
    expression(m, "masq", |_| {});
}

/// NFT_REG_1.
const REGISTER: u32 = 1;

fn equals(m: &mut Vec<u8>, value: &[u8]) {
    expression(m, "cmp", |m| {
        number(m, 1, REGISTER);
        number(m, 2, 0); // NFT_CMP_EQ
        nested(m, 3, |m| attribute(m, 1, value));
    });
}

fn expression(m: &mut Vec<u8>, name: &str, data: impl FnOnce(&mut Vec<u8>)) {
    nested(m, 1, |m| {
        text(m, NAME, name);
        nested(m, 2, data);
    });
}

fn open() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let _ = socket.set_cap_ack(true);
    Ok(socket)
}

fn receive(socket: &mut Socket) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(MAX_ANSWER);
    socket.recv(&mut buffer, 0)?;
    Ok(buffer)
}

fn error_of(body: &[u8]) -> io::Result<()> {
    match body.first_chunk::<4>().map(|code| i32::from_ne_bytes(*code)) {
        Some(0) => Ok(()),
        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        None => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Owner and comment of a table message, if it is one of ours.
fn table(mut attributes: &[u8]) -> Option<(String, String)> {
    let (mut owner, mut comment) = (None, String::new());
    while let Some((header, _)) = attributes.split_first_chunk::<4>() {
        let [l0, l1, k0, k1] = *header;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(value) = attributes.get(4..length) else { break };
        match u16::from_ne_bytes([k0, k1]) & !NESTED {
            NAME => {
                let name = String::from_utf8_lossy(value);
                owner = name.trim_end_matches('\0').strip_prefix(TABLE).map(str::to_owned);
            }
            TABLE_USERDATA => {
                comment = String::from_utf8_lossy(value.get(2..).unwrap_or_default()).trim_end_matches('\0').to_owned();
            }
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((owner?, comment))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tables_of_ours_are_told_with_their_comment() {
        let body = |name: &str| {
            let mut body = Vec::new();
            text(&mut body, NAME, name);
            attribute(&mut body, TABLE_USERDATA, b"\0\x06hello\0");
            body
        };
        assert_eq!(table(&body("portreeve-translator")), Some(("translator".to_owned(), "hello".to_owned())));
        assert_eq!(table(&body("filter")), None);
        assert_eq!(table(&[3, 0]), None);
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
        let kinds = |wanted: &[Masquerade]| -> (Vec<u16>, usize) {
            let (batch, expected) = transaction("x", wanted);
            (messages(&batch).into_iter().map(|message| message.kind & 0xff).collect(), expected)
        };
        assert_eq!(kinds(&[]), (vec![BATCH_BEGIN, NEW_TABLE, DELETE_TABLE, BATCH_END], 2));
        let all = vec![BATCH_BEGIN, NEW_TABLE, DELETE_TABLE, NEW_TABLE, NEW_CHAIN, NEW_RULE, NEW_RULE, BATCH_END];
        let wanted = [Masquerade { source, out: None }, Masquerade { source, out: Some("wan0".to_owned()) }];
        assert_eq!(kinds(&wanted), (all, 6));
    }
}
