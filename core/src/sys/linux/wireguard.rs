//! WireGuard's settings through generic netlink, family `wireguard` (linux/wireguard.h).
//!
//! The link is made and named by whoever makes the other links; this file gives it its keys and peers. What is set is
//! whole: peers that are not in the settings go. Many peers are split over several messages, which the kernel takes one
//! by one, so a failure in between leaves the first ones. Encoding is apart from the socket; parsing never panics on
//! any bytes. Calls block for as long as the kernel needs, far below a millisecond each.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portreeve_network::Prefix;
use rtnetlink::sys::{Socket, SocketAddr as NetlinkAddr, protocols::NETLINK_GENERIC};

use super::process::wipe;

/// Bytes of a key.
const KEY_LENGTH: usize = 32;
/// Largest message that is sent, in bytes, without its netlink header; what `wg` takes too.
const MAX_MESSAGE: usize = 8192;
/// Room that the first message's own attributes leave to peers.
const MAX_PEERS: usize = MAX_MESSAGE - 128;
/// More than a peer takes with all settings and one address.
const LARGEST_PEER: usize = 192;
/// The kernel's largest answer at once is 32 KiB.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// How long an answer may take; the kernel gives it at once.
const TIMEOUT: Duration = Duration::from_secs(5);

// linux/netlink.h
const HEADER_LENGTH: usize = 16;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_ACK: u16 = 0x04;
const NLM_F_DUMP: u16 = 0x300;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE_MASK: u16 = 0x3fff;
const NLA_HEADER_LENGTH: usize = 4;

// linux/genetlink.h
const GENL_ID_CTRL: u16 = 0x10;
const GENL_HEADER_LENGTH: usize = 4;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;

// linux/wireguard.h
const WG_GENL_NAME: &[u8] = b"wireguard\0";
const WG_CMD_GET_DEVICE: u8 = 0;
const WG_CMD_SET_DEVICE: u8 = 1;
const WGDEVICE_F_REPLACE_PEERS: u32 = 1;
const WGDEVICE_A_IFINDEX: u16 = 1;
const WGDEVICE_A_PRIVATE_KEY: u16 = 3;
const WGDEVICE_A_PUBLIC_KEY: u16 = 4;
const WGDEVICE_A_FLAGS: u16 = 5;
const WGDEVICE_A_LISTEN_PORT: u16 = 6;
const WGDEVICE_A_FWMARK: u16 = 7;
const WGDEVICE_A_PEERS: u16 = 8;
const WGPEER_F_REPLACE_ALLOWEDIPS: u32 = 2;
const WGPEER_A_PUBLIC_KEY: u16 = 1;
const WGPEER_A_PRESHARED_KEY: u16 = 2;
const WGPEER_A_FLAGS: u16 = 3;
const WGPEER_A_ENDPOINT: u16 = 4;
const WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL: u16 = 5;
const WGPEER_A_ALLOWEDIPS: u16 = 9;
const WGALLOWEDIP_A_FAMILY: u16 = 1;
const WGALLOWEDIP_A_IPADDR: u16 = 2;
const WGALLOWEDIP_A_CIDR_MASK: u16 = 3;
/// Version of the requests, of the family and of the controller.
const VERSION: u8 = 1;

/// All that a WireGuard link is told. Keys are zeroed when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// X25519 private key; the kernel clamps it.
    pub private_key: [u8; KEY_LENGTH],
    /// UDP port; none leaves the one that the link has, which the kernel chose if nobody else did.
    pub listen_port: Option<u16>,
    /// Mark of the outer packets; none takes it away.
    pub mark: Option<u32>,
    /// The other ends. The kernel silently leaves out one whose public key is the link's own.
    pub peers: Vec<Peer>,
}

/// One other end. Its shared key is zeroed when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its public key.
    pub public_key: [u8; KEY_LENGTH],
    /// A key shared with it.
    pub preshared_key: Option<[u8; KEY_LENGTH]>,
    /// Where it is; none waits for it to speak.
    pub endpoint: Option<SocketAddr>,
    /// Seconds between two signs of life; none sends none.
    pub keepalive: Option<u16>,
    /// What may come from it and goes to it; bits behind the length do not count.
    pub allowed_ips: Vec<Prefix>,
}

/// Sets everything about the WireGuard link `index` of this network namespace. Peers are made anew: each
/// shakes hands again, so call it when something changed.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN, ENODEV if it is not there, EOPNOTSUPP if it is no WireGuard link, EADDRINUSE for the
/// port, and NotFound if the kernel has no WireGuard.
pub fn configure(index: u32, settings: &Settings) -> io::Result<()> {
    let on = |error| about(&format!("configure wireguard interface {index}"), error);
    let mut netlink = Netlink::open().map_err(on)?;
    let family = netlink.family().map_err(on)?;
    for request in set_device(index, settings) {
        netlink.exchange(family, 0, &request.0, |_| ()).map_err(on)?;
    }
    Ok(())
}

/// The public key of the WireGuard link `index` of this network namespace.
///
/// # Errors
/// As [`configure`]; and NotFound if it has no private key yet.
pub fn public_key(index: u32) -> io::Result<[u8; KEY_LENGTH]> {
    let on = |error| about(&format!("read the public key of wireguard interface {index}"), error);
    let mut netlink = Netlink::open().map_err(on)?;
    let family = netlink.family().map_err(on)?;
    let mut request = Attributes::request(WG_CMD_GET_DEVICE);
    request.put(WGDEVICE_A_IFINDEX, &index.to_ne_bytes());
    let mut key = None;
    // The key is in the first of the messages only.
    netlink.exchange(family, NLM_F_DUMP, &request.0, |answer| key = key.or(device_public_key(answer))).map_err(on)?;
    key.ok_or_else(|| on(io::Error::new(io::ErrorKind::NotFound, "it has no key yet")))
}

/// Says what was tried, and keeps the kind.
fn about(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what}: {error}"))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Settings");
        text.field("listen_port", &self.listen_port).field("mark", &self.mark).field("peers", &self.peers);
        text.finish_non_exhaustive()
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        wipe(&mut self.private_key);
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Peer");
        text.field("public_key", &self.public_key).field("has_preshared_key", &self.preshared_key.is_some());
        text.field("endpoint", &self.endpoint).field("keepalive", &self.keepalive);
        text.field("allowed_ips", &self.allowed_ips).finish_non_exhaustive()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(key) = &mut self.preshared_key {
            wipe(key);
        }
    }
}

/// The messages of WG_CMD_SET_DEVICE from the generic netlink header on, each of at most [`MAX_MESSAGE`] bytes. A peer
/// with many addresses goes on in the next message, which names it by its public key and adds to its addresses.
fn set_device(index: u32, settings: &Settings) -> Vec<Attributes> {
    let mut messages = Vec::new();
    let mut message = Attributes::request(WG_CMD_SET_DEVICE);
    message.put(WGDEVICE_A_IFINDEX, &index.to_ne_bytes());
    message.put(WGDEVICE_A_PRIVATE_KEY, &settings.private_key);
    message.put(WGDEVICE_A_FLAGS, &WGDEVICE_F_REPLACE_PEERS.to_ne_bytes());
    if let Some(port) = settings.listen_port {
        message.put(WGDEVICE_A_LISTEN_PORT, &port.to_ne_bytes());
    }
    message.put(WGDEVICE_A_FWMARK, &settings.mark.unwrap_or(0).to_ne_bytes());
    let mut peers = Attributes::new();
    for peer in &settings.peers {
        let mut addresses = peer.allowed_ips.iter().peekable();
        let mut entry = peer_settings(peer);
        loop {
            if peers.0.len() + LARGEST_PEER > MAX_PEERS {
                message.nest(WGDEVICE_A_PEERS, &peers);
                messages.push(message);
                message = Attributes::request(WG_CMD_SET_DEVICE);
                message.put(WGDEVICE_A_IFINDEX, &index.to_ne_bytes());
                peers = Attributes::new();
            }
            let mut allowed = Attributes::new();
            let taken = peers.0.len() + 2 * NLA_HEADER_LENGTH + entry.0.len();
            while taken + allowed.0.len() + LARGEST_ALLOWED_IP <= MAX_PEERS
                && let Some(prefix) = addresses.next()
            {
                allowed.nest(0, &allowed_ip(*prefix));
            }
            if !allowed.0.is_empty() {
                entry.nest(WGPEER_A_ALLOWEDIPS, &allowed);
            }
            peers.nest(0, &entry);
            if addresses.peek().is_none() {
                break;
            }
            entry = Attributes::new();
            entry.put(WGPEER_A_PUBLIC_KEY, &peer.public_key);
        }
    }
    if !peers.0.is_empty() {
        message.nest(WGDEVICE_A_PEERS, &peers);
    }
    messages.push(message);
    messages
}

/// All of a peer but its addresses.
fn peer_settings(peer: &Peer) -> Attributes {
    let mut entry = Attributes::new();
    entry.put(WGPEER_A_PUBLIC_KEY, &peer.public_key);
    if let Some(key) = &peer.preshared_key {
        entry.put(WGPEER_A_PRESHARED_KEY, key);
    }
    entry.put(WGPEER_A_FLAGS, &WGPEER_F_REPLACE_ALLOWEDIPS.to_ne_bytes());
    if let Some(endpoint) = peer.endpoint {
        entry.put(WGPEER_A_ENDPOINT, &socket_address(endpoint));
    }
    if let Some(seconds) = peer.keepalive {
        entry.put(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, &seconds.to_ne_bytes());
    }
    entry
}

/// Bytes of the largest [`allowed_ip`] with its header.
const LARGEST_ALLOWED_IP: usize = 40;

fn allowed_ip(prefix: Prefix) -> Attributes {
    // The fields are public; `new` bounds the length.
    let prefix = Prefix::new(prefix.address, prefix.length).network();
    let mut entry = Attributes::new();
    match prefix.address {
        IpAddr::V4(address) => {
            entry.put(WGALLOWEDIP_A_FAMILY, &family_bytes(libc::AF_INET));
            entry.put(WGALLOWEDIP_A_IPADDR, &address.octets());
        }
        IpAddr::V6(address) => {
            entry.put(WGALLOWEDIP_A_FAMILY, &family_bytes(libc::AF_INET6));
            entry.put(WGALLOWEDIP_A_IPADDR, &address.octets());
        }
    }
    entry.put(WGALLOWEDIP_A_CIDR_MASK, &[prefix.length]);
    entry
}

/// A struct sockaddr_in or sockaddr_in6.
fn socket_address(address: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(28);
    match address {
        SocketAddr::V4(address) => {
            bytes.extend(family_bytes(libc::AF_INET));
            bytes.extend(address.port().to_be_bytes());
            bytes.extend(address.ip().octets());
            bytes.extend([0; 8]);
        }
        SocketAddr::V6(address) => {
            bytes.extend(family_bytes(libc::AF_INET6));
            bytes.extend(address.port().to_be_bytes());
            bytes.extend(address.flowinfo().to_ne_bytes());
            bytes.extend(address.ip().octets());
            bytes.extend(address.scope_id().to_ne_bytes());
        }
    }
    bytes
}

/// The number of WireGuard's family of generic netlink; none where the kernel has none.
#[must_use]
pub fn family_number() -> Option<u16> {
    Netlink::open().ok()?.family().ok()
}

/// An address family as the kernel's 16 bits.
fn family_bytes(family: libc::c_int) -> [u8; 2] {
    u16::try_from(family).unwrap_or(0).to_ne_bytes()
}

/// Attributes in the making, zeroed when they are dropped: keys pass through here.
struct Attributes(Vec<u8>);

impl Attributes {
    /// Of full size from the start, so that growing leaves no copy.
    fn new() -> Self {
        Self(Vec::with_capacity(MAX_MESSAGE))
    }

    /// With a generic netlink header.
    fn request(command: u8) -> Self {
        let mut request = Self::new();
        request.0.extend([command, VERSION, 0, 0]);
        request
    }

    /// Adds an attribute. Values are far below 64 KiB; longer ones could not be said.
    fn put(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(NLA_HEADER_LENGTH + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Adds an attribute of attributes.
    fn nest(&mut self, kind: u16, inner: &Self) {
        self.put(kind | NLA_F_NESTED, &inner.0);
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// A blocking generic netlink socket.
struct Netlink {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Netlink {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        socket.connect(&NetlinkAddr::new(0, 0))?;
        rustix::net::sockopt::set_socket_timeout(&socket, rustix::net::sockopt::Timeout::Recv, Some(TIMEOUT))?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(RECEIVE_BUFFER) })
    }

    /// The number that the kernel gave to WireGuard's family.
    fn family(&mut self) -> io::Result<u16> {
        let mut request = Attributes::request(CTRL_CMD_GETFAMILY);
        request.put(CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
        let mut family = None;
        let asked = self.exchange(GENL_ID_CTRL, 0, &request.0, |answer| family = family.or(family_id(answer)));
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the kernel has no wireguard (module wireguard)");
        match asked {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(error),
            Ok(()) => family.ok_or_else(missing),
        }
    }

    /// Sends one request, and gives the generic netlink messages of the answer to `answer` until the kernel says that
    /// it is done.
    fn exchange(&mut self, kind: u16, flags: u16, payload: &[u8], mut answer: impl FnMut(&[u8])) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut request = frame(kind, flags | NLM_F_REQUEST | NLM_F_ACK, self.sequence, payload);
        let sent = self.socket.send(&request, 0);
        wipe(&mut request);
        sent?;
        loop {
            self.buffer.clear();
            let (length, from) = match self.socket.recv_from(&mut self.buffer, libc::MSG_TRUNC) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel does not answer"));
                }
                Err(error) => return Err(error),
            };
            if from.port_number() != 0 {
                continue;
            }
            if length > self.buffer.len() {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is too long"));
            }
            for message in messages(&self.buffer).filter(|message| message.sequence == self.sequence) {
                match message.kind {
                    NLMSG_ERROR | NLMSG_DONE => return outcome(message.payload),
                    NLMSG_NOOP => {}
                    _ => answer(message.payload),
                }
            }
        }
    }
}

impl Drop for Netlink {
    fn drop(&mut self) {
        // The kernel's answer about a link has the private key. All of the buffer, not only the last answer.
        self.buffer.clear();
        self.buffer.resize(self.buffer.capacity(), 0);
        wipe(&mut self.buffer);
    }
}

/// A netlink message; the kernel fills in our port.
fn frame(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = HEADER_LENGTH + payload.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend_from_slice(payload);
    bytes
}

/// A netlink message that came in.
#[derive(Debug, PartialEq)]
struct Message<'a> {
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// The messages in a buffer, up to the first that is cut off.
fn messages(mut rest: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<2>()?;
        let (sequence, _) = after.get(2..)?.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_ne_bytes(*length)).ok()?;
        let payload = rest.get(HEADER_LENGTH..length)?;
        rest = rest.get(length.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some(Message { kind: u16::from_ne_bytes(*kind), sequence: u32::from_ne_bytes(*sequence), payload })
    })
}

/// What NLMSG_ERROR or NLMSG_DONE says: an errno below zero, or success. NLMSG_DONE may say nothing.
fn outcome(payload: &[u8]) -> io::Result<()> {
    match payload.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
        Some(code) if code < 0 => Err(io::Error::from_raw_os_error(code.saturating_neg())),
        _ => Ok(()),
    }
}

/// The attributes in a buffer with their types, up to the first that is cut off.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (kind, _) = after.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_ne_bytes(*length));
        let value = rest.get(NLA_HEADER_LENGTH..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes(*kind) & NLA_TYPE_MASK, value))
    })
}

/// The value of an attribute of a generic netlink message, if it has the right size.
fn attribute<const N: usize>(message: &[u8], kind: u16) -> Option<[u8; N]> {
    let mut all = attributes(message.get(GENL_HEADER_LENGTH..)?);
    all.find(|(k, _)| *k == kind).and_then(|(_, value)| value.try_into().ok())
}

fn family_id(message: &[u8]) -> Option<u16> {
    attribute(message, CTRL_ATTR_FAMILY_ID).map(u16::from_ne_bytes)
}

fn device_public_key(message: &[u8]) -> Option<[u8; KEY_LENGTH]> {
    attribute(message, WGDEVICE_A_PUBLIC_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(address: &str, length: u8) -> Prefix {
        Prefix { address: address.parse().unwrap(), length }
    }

    fn peer(number: u8, allowed_ips: Vec<Prefix>) -> Peer {
        Peer { public_key: [number; 32], preshared_key: None, endpoint: None, keepalive: None, allowed_ips }
    }

    fn settings(peers: Vec<Peer>) -> Settings {
        Settings { private_key: [0x11; 32], listen_port: None, mark: None, peers }
    }

    /// The peers of a message as pairs of the key's first byte and the addresses, with whether they replace the old.
    fn peers_of(message: &[u8]) -> Vec<(u8, bool, Vec<Vec<u8>>)> {
        let peers = attributes(&message[4..]).find(|(kind, _)| *kind == WGDEVICE_A_PEERS).map_or(&[][..], |(_, v)| v);
        let of = |bytes, wanted| attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let each = |(_, peer)| {
            let allowed = attributes(of(peer, WGPEER_A_ALLOWEDIPS).unwrap_or(&[]));
            let ips = allowed.map(|(_, ip)| of(ip, WGALLOWEDIP_A_IPADDR).unwrap().to_vec()).collect();
            (of(peer, WGPEER_A_PUBLIC_KEY).unwrap()[0], of(peer, WGPEER_A_FLAGS).is_some(), ips)
        };
        attributes(peers).map(each).collect()
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_link_with_two_peers_has_these_bytes() {
        let mut settings = Settings {
            private_key: [0x11; 32],
            listen_port: Some(51820),
            mark: Some(0xca6c),
            peers: vec![
                Peer {
                    public_key: [0x22; 32],
                    preshared_key: Some([0x33; 32]),
                    endpoint: Some("192.0.2.1:51821".parse().unwrap()),
                    keepalive: Some(25),
                    allowed_ips: vec![prefix("10.1.2.3", 8), prefix("2001:db8::1", 32)],
                },
                peer(0x44, Vec::new()),
            ],
        };
        settings.peers[1].endpoint = Some("[fe80::1%3]:1".parse().unwrap());
        let messages = set_device(7, &settings);
        let mut expected: Vec<u8> = vec![1, 1, 0, 0];
        expected.extend([8, 0, 1, 0, 7, 0, 0, 0]);
        expected.extend([36, 0, 3, 0].into_iter().chain([0x11; 32]));
        expected.extend([8, 0, 5, 0, 1, 0, 0, 0]);
        expected.extend([6, 0, 6, 0, 0x6c, 0xca, 0, 0]);
        expected.extend([8, 0, 7, 0, 0x6c, 0xca, 0, 0]);
        expected.extend([(4 + 184 + 80 - 256) as u8, 1, 8, 0x80]);
        expected.extend([184, 0, 0, 0x80]);
        expected.extend([36, 0, 1, 0].into_iter().chain([0x22; 32]));
        expected.extend([36, 0, 2, 0].into_iter().chain([0x33; 32]));
        expected.extend([8, 0, 3, 0, 2, 0, 0, 0]);
        expected.extend([20, 0, 4, 0, 2, 0, 0xca, 0x6d, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([6, 0, 5, 0, 25, 0, 0, 0]);
        expected.extend([72, 0, 9, 0x80]);
        expected.extend([28, 0, 0, 0x80]);
        expected.extend([6, 0, 1, 0, 2, 0, 0, 0, 8, 0, 2, 0, 10, 0, 0, 0, 5, 0, 3, 0, 8, 0, 0, 0]);
        expected.extend([40, 0, 0, 0x80]);
        expected.extend([6, 0, 1, 0, 10, 0, 0, 0, 20, 0, 2, 0, 0x20, 1, 0xd, 0xb8]);
        expected.extend([0; 12]);
        expected.extend([5, 0, 3, 0, 32, 0, 0, 0]);
        expected.extend([80, 0, 0, 0x80]);
        expected.extend([36, 0, 1, 0].into_iter().chain([0x44; 32]));
        expected.extend([8, 0, 3, 0, 2, 0, 0, 0]);
        expected.extend([32, 0, 4, 0, 10, 0, 0, 1, 0, 0, 0, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0]);
        expected.extend([0, 0, 0, 0, 0, 0, 0, 1, 3, 0, 0, 0]);
        assert_eq!(messages.len(), 1);
        assert_eq!(messages[0].0, expected);
    }

    #[test]
    fn without_peers_one_message_takes_the_old_ones_away() {
        let messages = set_device(7, &settings(Vec::new()));
        assert_eq!(messages.len(), 1);
        assert_eq!(attribute(&messages[0].0, WGDEVICE_A_FLAGS).map(u32::from_ne_bytes), Some(1));
        assert_eq!(attribute(&messages[0].0, WGDEVICE_A_FWMARK).map(u32::from_ne_bytes), Some(0));
        assert_eq!(attribute::<2>(&messages[0].0, WGDEVICE_A_LISTEN_PORT), None);
    }

    #[test]
    fn many_peers_are_split_and_only_the_first_message_replaces() {
        let peers: Vec<_> = (0..=255).map(|n| peer(n, vec![prefix("10.0.0.0", 8); usize::from(n % 5)])).collect();
        let messages = set_device(7, &settings(peers));
        assert!(messages.len() > 1);
        for (number, message) in messages.iter().enumerate() {
            assert!(message.0.len() <= MAX_MESSAGE);
            assert_eq!(attribute::<4>(&message.0, WGDEVICE_A_IFINDEX), Some(7u32.to_ne_bytes()));
            assert_eq!(attribute::<4>(&message.0, WGDEVICE_A_FLAGS).is_some(), number == 0);
            assert_eq!(attribute::<32>(&message.0, WGDEVICE_A_PRIVATE_KEY).is_some(), number == 0);
        }
        let all: Vec<_> = messages.iter().flat_map(|message| peers_of(&message.0)).collect();
        let firsts: Vec<_> = all.iter().filter(|(_, replaces, _)| *replaces).map(|(key, ..)| *key).collect();
        assert_eq!(firsts, (0..=255).collect::<Vec<_>>());
    }

    #[test]
    fn a_peer_with_many_addresses_goes_on_in_the_next_message() {
        let addresses: Vec<_> = (0..1000u32).map(|n| Prefix::new(std::net::Ipv4Addr::from(n).into(), 32)).collect();
        let messages = set_device(7, &settings(vec![peer(1, addresses), peer(2, vec![prefix("::1", 128)])]));
        assert!(messages.len() > 3 && messages.iter().all(|message| message.0.len() <= MAX_MESSAGE));
        let all: Vec<_> = messages.iter().flat_map(|message| peers_of(&message.0)).collect();
        let replacing: Vec<_> = all.iter().map(|(key, replaces, _)| (*key, *replaces)).filter(|(_, r)| *r).collect();
        assert_eq!(replacing, [(1, true), (2, true)]);
        let ips: Vec<_> = all.iter().filter(|(key, ..)| *key == 1).flat_map(|(_, _, ips)| ips.clone()).collect();
        assert_eq!(ips, (0..1000u32).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
    }

    #[test]
    fn the_largest_entries_are_within_their_bounds() {
        let mut largest = peer(1, Vec::new());
        (largest.preshared_key, largest.keepalive) = (Some([0; 32]), Some(1));
        largest.endpoint = Some("[::1]:1".parse().unwrap());
        assert_eq!(allowed_ip(prefix("::1", 255)).0.len() + NLA_HEADER_LENGTH, LARGEST_ALLOWED_IP);
        let fixed = peer_settings(&largest).0.len() + 2 * NLA_HEADER_LENGTH;
        assert!(fixed + LARGEST_ALLOWED_IP <= LARGEST_PEER, "{fixed}");
        let mut full = settings(Vec::new());
        (full.listen_port, full.mark) = (Some(1), Some(1));
        assert!(set_device(7, &full)[0].0.len() + NLA_HEADER_LENGTH + MAX_PEERS <= MAX_MESSAGE);
    }

    #[test]
    fn answers_are_found_among_others() {
        let mut family = Attributes::request(1);
        family.put(CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
        family.put(CTRL_ATTR_FAMILY_ID, &27u16.to_ne_bytes());
        assert_eq!(family_id(&family.0), Some(27));
        let mut device = Attributes::request(0);
        device.put(WGDEVICE_A_PRIVATE_KEY, &[1; 32]);
        device.put(WGDEVICE_A_PUBLIC_KEY, &[2; 32]);
        assert_eq!(device_public_key(&device.0), Some([2; 32]));
        let mut bytes = frame(20, 0, 5, &device.0);
        bytes.extend(frame(NLMSG_ERROR, 0, 6, &(-19i32).to_ne_bytes()));
        let found: Vec<_> = messages(&bytes).collect();
        assert_eq!(found[0], Message { kind: 20, sequence: 5, payload: &device.0 });
        assert_eq!(outcome(found[1].payload).unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert!(outcome(&[0; 4]).is_ok() && outcome(&[]).is_ok() && outcome(&i32::MIN.to_ne_bytes()).is_err());
    }

    #[test]
    fn no_bytes_make_parsing_panic() {
        let mut device = Attributes::request(0);
        device.put(WGDEVICE_A_PUBLIC_KEY, &[2; 32]);
        let whole = frame(20, 0, 5, &device.0);
        let look = |bytes: &[u8]| {
            for message in messages(bytes) {
                let _ = (device_public_key(message.payload), family_id(message.payload), outcome(message.payload));
            }
            let _ = (device_public_key(bytes), attributes(bytes).count());
        };
        for length in 0..whole.len() {
            look(&whole[..length]);
            assert_eq!(messages(&whole[..length]).count(), 0);
            for value in 0..=255 {
                let mut changed = whole.clone();
                changed[length] = value;
                look(&changed);
            }
        }
        look(&[0; 64]);
        look(&[0xff; 64]);
    }

    #[test]
    fn keys_are_not_shown() {
        let mut with_key = peer(0x22, Vec::new());
        with_key.preshared_key = Some([0xab; 32]);
        let mut settings = settings(vec![with_key]);
        settings.private_key = [0xcd; 32];
        let text = format!("{settings:?}");
        assert!(!text.contains("171") && !text.contains("205"), "{text}");
    }
}
