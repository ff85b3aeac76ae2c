//! Reads and changes the kernel's network for reconciling: blocking, in batches.
//!
//! A thousand changes are a few system calls: requests are collected into one buffer, sent together, and their
//! acknowledgements read together. What is no netlink (kernel parameters, tun devices) sends what waits first, so the
//! order of the list is the order in the kernel. `encode` and `kinds` write messages, `found` reads them.

mod encode;
mod found;
mod kinds;

use std::collections::HashMap;
use std::io;

use netlink_packet_core::{NetlinkBuffer, NetlinkMessage};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{LinkAttribute, LinkInfo};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{sysctl, tun};
use crate::sys::network::{Change, Changed, Found, Kind, Refusal, Route};
use encode::Request;

/// Requests that are sent before their acknowledgements are read, and their bytes.
const MAX_BATCH: usize = 256;
const MAX_BATCH_BYTES: usize = 64 * 1024;
/// Receive buffer of the socket in bytes.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Largest datagram of the kernel in bytes.
const MAX_DATAGRAM: usize = 256 * 1024;
/// A dump that others' changes interrupt is read again this often.
const DUMP_TRIES: usize = 4;
/// More transmit queues than any link may have: makes the kernel refuse a link after it has found its kind.
const TOO_MANY_QUEUES: u32 = 0x7fff_ffff;

/// From linux/netlink.h.
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSGERR_ATTR_MSG: u16 = 1;
/// Bytes of struct nlmsghdr.
const HEADER: usize = 16;

/// What the kernel has.
///
/// # Errors
/// The kernel's.
pub fn found() -> io::Result<Found> {
    let mut connection = Connection::open()?;
    let mut found = Found { addresses_are_tagged: addresses_are_tagged(), ..Found::default() };
    for request in found::requests() {
        connection.dump(&request, &mut found)?;
    }
    Ok(found)
}

/// Carries changes out in their order; one that is refused does not hold up the others.
///
/// # Errors
/// No connection to the kernel.
pub fn change(changes: &[Change]) -> io::Result<Vec<Changed>> {
    let mut batch = Batch::new(changes.len())?;
    for (number, change) in changes.iter().enumerate() {
        if let Err(refusal) = batch.add(number, change) {
            batch.refuse(number, refusal);
        }
    }
    batch.flush();
    Ok(batch.results)
}

/// Whether the kernel can make links of a kind. It may load the module that brings it.
///
/// # Errors
/// EOPNOTSUPP if it cannot.
pub fn probe(kind: &str) -> Changed {
    if kind == "tun" {
        return tun::probe().map_err(Refusal::from);
    }
    let info = vec![LinkInfo::Kind(netlink_packet_route::link::InfoKind::Other(kind.to_owned()))];
    let attributes = vec![LinkAttribute::LinkInfo(info), LinkAttribute::NumTxQueues(TOO_MANY_QUEUES)];
    let mut connection = Connection::open()?;
    let bytes = encode::bytes(encode::make_link(encode::link(0, attributes)), 1);
    connection.socket.send(&bytes, 0)?;
    let mut result = Ok(());
    connection.acknowledgements(1, |_, answer| result = answer)?;
    match result {
        Err(refusal) if refusal.error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        other => other,
    }
}

/// IFA_PROTO came with Linux 5.18.
fn addresses_are_tagged() -> bool {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (5, 18)
}

struct Connection {
    socket: Socket,
    buffer: Vec<u8>,
}

impl Connection {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // These only make answers better; kernels that lack them answer all the same.
        let _ = socket.set_ext_ack(true);
        let _ = socket.set_cap_ack(true);
        let _ = socket.set_netlink_get_strict_chk(true);
        super::enlarge_receive_buffer(&socket, RECEIVE_BUFFER);
        Ok(Self { socket, buffer: Vec::with_capacity(MAX_DATAGRAM) })
    }

    fn receive(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.socket.recv(&mut self.buffer, 0)?;
        Ok(())
    }

    fn dump(&mut self, request: &NetlinkMessage<RouteNetlinkMessage>, found: &mut Found) -> io::Result<()> {
        for _ in 0..DUMP_TRIES {
            let before = found.clone_lengths();
            self.socket.send(&encode::bytes(request.clone(), 1), 0)?;
            if self.read_dump(found)? {
                return Ok(());
            }
            found.truncate(before);
        }
        Err(io::Error::new(io::ErrorKind::WouldBlock, "the network changes faster than it can be read"))
    }

    /// True if nothing changed while it was read.
    fn read_dump(&mut self, found: &mut Found) -> io::Result<bool> {
        let mut whole = true;
        loop {
            self.receive()?;
            let mut rest = self.buffer.as_slice();
            while let Some((kind, flags, _, payload, next)) = message(rest) {
                whole &= flags & NLM_F_DUMP_INTR == 0;
                match kind {
                    NLMSG_DONE => return Ok(whole),
                    NLMSG_ERROR => return Err(errno(payload).unwrap_or_else(|| io::ErrorKind::InvalidData.into())),
                    _ => {
                        found::add(found, kind, payload, rest);
                    }
                }
                rest = next;
            }
        }
    }

    /// Reads `count` acknowledgements; tells sequence number and answer of each.
    fn acknowledgements(&mut self, mut count: usize, mut tell: impl FnMut(u32, Changed)) -> io::Result<()> {
        while count > 0 {
            self.receive()?;
            let mut rest = self.buffer.as_slice();
            while let Some((kind, flags, sequence, payload, next)) = message(rest) {
                if kind == NLMSG_ERROR {
                    count = count.saturating_sub(1);
                    let answer = match errno(payload) {
                        None => Ok(()),
                        Some(error) => Err(Refusal { error, message: words(flags, payload) }),
                    };
                    tell(sequence, answer);
                }
                rest = next;
            }
        }
        Ok(())
    }
}

/// The first message of a datagram: type, flags, sequence number, payload, and what follows it.
#[expect(clippy::type_complexity, reason = "five plain values, taken apart at once")]
fn message(bytes: &[u8]) -> Option<(u16, u16, u32, &[u8], &[u8])> {
    let header = NetlinkBuffer::new_checked(bytes).ok()?;
    let length = usize::try_from(header.length()).ok()?;
    let payload = bytes.get(HEADER..length)?;
    let next = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Some((header.message_type(), header.flags(), header.sequence_number(), payload, next))
}

/// The error of an NLMSG_ERROR; none for an acknowledgement.
fn errno(payload: &[u8]) -> Option<io::Error> {
    let code = i32::from_ne_bytes(*payload.first_chunk::<4>()?);
    (code != 0).then(|| io::Error::from_raw_os_error(code.saturating_neg()))
}

/// The kernel's own words in an NLMSG_ERROR.
fn words(flags: u16, payload: &[u8]) -> Option<String> {
    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let quoted = if flags & NLM_F_CAPPED != 0 {
        HEADER
    } else {
        let length = u32::from_ne_bytes(*payload.get(4..)?.first_chunk::<4>()?);
        usize::try_from(length).ok()?.next_multiple_of(4)
    };
    let mut attributes = payload.get(4usize.checked_add(quoted)?..)?;
    while let Some(head) = attributes.first_chunk::<4>() {
        let [a, b, c, d] = *head;
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let value = attributes.get(4..length)?;
        if kind == NLMSGERR_ATTR_MSG {
            let text = String::from_utf8_lossy(value);
            return Some(text.trim_end_matches('\0').chars().filter(|c| !c.is_control()).take(200).collect());
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// Requests that wait, and what became of the others.
struct Batch {
    connection: Connection,
    bytes: Vec<u8>,
    /// The changes whose requests wait. Several can stand for one.
    waiting: Vec<usize>,
    results: Vec<Changed>,
    /// Names of links as numbers.
    indexes: HashMap<String, u32>,
}

impl Batch {
    fn new(changes: usize) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::open()?,
            bytes: Vec::new(),
            waiting: Vec::new(),
            results: std::iter::repeat_with(|| Ok(())).take(changes).collect(),
            indexes: HashMap::new(),
        })
    }

    fn add(&mut self, number: usize, change: &Change) -> Changed {
        match change {
            Change::RenameLink { index, name, up } => {
                if *up {
                    self.push(number, encode::set_link(*index, Some(false), Vec::new()));
                }
                self.push(number, encode::set_link(*index, None, vec![LinkAttribute::IfName(name.clone())]));
                self.flush();
                // With its old name it goes on as before.
                if *up && self.results.get(number).is_some_and(Result::is_err) {
                    self.push(number, encode::set_link(*index, Some(true), Vec::new()));
                    self.flush();
                }
                self.indexes.clear();
            }
            Change::MakeLink { name, kind, alias } => self.make(number, name, kind, alias)?,
            Change::ChangeLink { name, kind } => {
                let index = self.index(name)?;
                let attributes = self.kind_attributes(kind, true)?;
                self.push(number, encode::change_link(encode::link(index, attributes)));
            }
            Change::RemoveLink { index, .. } => {
                self.push(number, encode::remove_link(*index));
                self.flush();
                self.indexes.clear();
            }
            Change::SetLink { name, up, mtu, mac, controller } => {
                let index = self.index(name)?;
                let mut attributes = Vec::new();
                attributes.extend(mtu.map(LinkAttribute::Mtu));
                attributes.extend(mac.clone().map(LinkAttribute::Address));
                match controller {
                    Some(Some(name)) => attributes.push(LinkAttribute::Controller(self.index(name)?)),
                    Some(None) => attributes.push(LinkAttribute::Controller(0)),
                    None => {}
                }
                self.push(number, encode::set_link(index, *up, attributes));
            }
            Change::SetAddress(address) => {
                let index = self.index(&address.interface)?;
                self.push(number, encode::set_address(index, address));
            }
            Change::RemoveAddress { index, address, .. } => {
                self.push(number, encode::remove_address(*index, address));
            }
            Change::SetRoute { route, replace } => {
                let index = self.route_index(route)?;
                self.push(number, encode::set_route(route, index, *replace));
            }
            Change::RemoveRoute(key) => self.push(number, encode::remove_route(key)),
            Change::AddRule(rule) => self.push(number, encode::add_rule(rule)),
            Change::RemoveRule(rule) => self.push(number, encode::remove_rule(rule)),
            Change::SetNeighbour(neighbour) => {
                let index = self.index(&neighbour.interface)?;
                self.push(number, encode::set_neighbour(index, neighbour));
            }
            Change::RemoveNeighbour(neighbour) => {
                let index = self.index(&neighbour.interface)?;
                self.push(number, encode::remove_neighbour(index, neighbour));
            }
            Change::SetSysctl { name, value } => {
                self.flush();
                sysctl::set(name, value)?;
            }
        }
        Ok(())
    }

    /// Makes a link and tags it; the tag goes out in the same buffer.
    fn make(&mut self, number: usize, name: &str, kind: &Kind, alias: &str) -> Changed {
        if matches!(kind, Kind::Tun) {
            self.flush();
            tun::make(name)?;
        } else {
            let mut attributes = vec![LinkAttribute::IfName(name.to_owned())];
            attributes.extend(self.kind_attributes(kind, false)?);
            self.push(number, encode::make_link(encode::link(0, attributes)));
        }
        self.flush();
        // A name that is there already is somebody else's: it is not ours to tag.
        if self.results.get(number).is_some_and(Result::is_err) {
            return Ok(());
        }
        let mut names = vec![name];
        if let Kind::Veth(veth) = kind {
            names.push(&veth.peer);
        }
        for name in names {
            let tag = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::IfAlias(alias.to_owned())];
            self.push(number, encode::set_link(0, None, tag));
        }
        self.flush();
        self.indexes.clear();
        Ok(())
    }

    fn kind_attributes(&mut self, kind: &Kind, is_change: bool) -> Result<Vec<LinkAttribute>, Refusal> {
        self.flush();
        kinds::attributes(kind, is_change, index_of).map_err(Refusal::from)
    }

    fn route_index(&mut self, route: &Route) -> Result<Option<u32>, Refusal> {
        route.interface.as_deref().map(|name| self.index(name)).transpose()
    }

    fn index(&mut self, name: &str) -> Result<u32, Refusal> {
        if let Some(index) = self.indexes.get(name) {
            return Ok(*index);
        }
        self.flush();
        let index = index_of(name)?;
        self.indexes.insert(name.to_owned(), index);
        Ok(index)
    }

    /// Requests carry the number of their change as sequence number.
    fn push(&mut self, number: usize, request: Request) {
        let sequence = u32::try_from(number).unwrap_or(u32::MAX);
        self.bytes.extend(encode::bytes(request, sequence));
        self.waiting.push(number);
        if self.waiting.len() >= MAX_BATCH || self.bytes.len() >= MAX_BATCH_BYTES {
            self.flush();
        }
    }

    fn refuse(&mut self, number: usize, refusal: Refusal) {
        if let Some(result @ Ok(())) = self.results.get_mut(number) {
            *result = Err(refusal);
        }
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let mut open = std::mem::take(&mut self.waiting);
        let bytes = std::mem::take(&mut self.bytes);
        let mut answers = Vec::new();
        let done = self.connection.socket.send(&bytes, 0).and_then(|_| {
            let tell = |sequence, answer| answers.push((sequence, answer));
            self.connection.acknowledgements(open.len(), tell)
        });
        for (sequence, answer) in answers {
            let number = sequence as usize;
            if let Some(at) = open.iter().position(|waiting| *waiting == number) {
                open.remove(at);
            }
            if let Err(refusal) = answer {
                self.refuse(number, refusal);
            }
        }
        if let Err(error) = done {
            tracing::error!(%error, "lost the kernel's answers to changes of the network");
            // Whether they were made nobody knows: they count as refused, and are looked at again by the next apply.
            for number in open {
                let again = io::Error::new(error.kind(), format!("the kernel's answer was lost: {error}"));
                self.refuse(number, Refusal::from(again));
            }
            // Answers that come late would be taken for those of later requests.
            match Connection::open() {
                Ok(connection) => self.connection = connection,
                Err(error) => tracing::error!(%error, "cannot open route netlink again"),
            }
        }
    }
}

fn index_of(name: &str) -> io::Result<u32> {
    nix::net::if_::if_nametoindex(name).map_err(io::Error::from)
}

impl Found {
    fn clone_lengths(&self) -> [usize; 5] {
        [self.links.len(), self.addresses.len(), self.routes.len(), self.rules.len(), self.neighbours.len()]
    }

    fn truncate(&mut self, [links, addresses, routes, rules, neighbours]: [usize; 5]) {
        self.links.truncate(links);
        self.addresses.truncate(addresses);
        self.routes.truncate(routes);
        self.rules.truncate(rules);
        self.neighbours.truncate(neighbours);
    }
}
