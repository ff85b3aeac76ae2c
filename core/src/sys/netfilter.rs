//! What the core asks of nf_tables: transactions, whoever wrote them.

use std::io;

pub use portreeve_nftables::Acknowledgement as Refused;

use super::BoxFuture;

/// A socket for transactions. Each is one datagram.
pub trait NfTables: Send + Sync {
    /// The port that the kernel names in what it tells others of this socket's changes.
    fn port(&self) -> u32;

    /// Sends a batch and takes what the kernel has against it; nothing if it is in force. Errors: EMSGSIZE, ENOBUFS if
    /// there were more reasons than the socket could hold and none arrived.
    fn commit(&self, batch: Vec<u8>) -> BoxFuture<'static, io::Result<Vec<Refused>>>;

    /// The present generation of all tables.
    fn generation(&self) -> BoxFuture<'static, io::Result<u32>>;
}

/// A family's word, as nft has it.
#[must_use]
pub const fn family_name(family: u8) -> Option<&'static str> {
    Some(match portreeve_nftables::Family::from_number(family) {
        Some(portreeve_nftables::Family::Inet) => "inet",
        Some(portreeve_nftables::Family::Ip) => "ip",
        Some(portreeve_nftables::Family::Ip6) => "ip6",
        Some(portreeve_nftables::Family::Bridge) => "bridge",
        Some(portreeve_nftables::Family::Arp) => "arp",
        Some(portreeve_nftables::Family::Netdev) => "netdev",
        _ => return None,
    })
}

/// How the grant names a table: family, a slash, and the name; none for a family that nf_tables has not.
#[must_use]
pub fn table_name(family: u8, table: &str) -> Option<String> {
    Some(format!("{}/{table}", family_name(family)?))
}
