//! The kernel, as far as the core uses it: one small trait, Linux behind it, a fake beside it.
//!
//! What plugins reach goes through [`Kernel`]; what concerns our own process (clocks, randomness, limits) is called in
//! `linux::process` as it is. `linux` is the only place that makes system calls and the only one with `unsafe` (besides `precompiled`, which trusts machine code that carries our own MAC). The fake has
//! links that a test sets and packets that a test exchanges, so that the host interfaces run without rights.

pub mod fake;
pub mod links;
pub mod linux;
pub mod precompiled;

use std::future::Future;
use std::io;
use std::net::Ipv6Addr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

pub use links::{Address, Link, LinkTable, Neighbour, Route};

/// A future that can be handed around.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the core asks of a kernel.
pub trait Kernel: Send + Sync {
    /// The links and addresses, kept up to date. The receiver sees the latest table; tables in between may
    /// be skipped.
    fn links(&self) -> watch::Receiver<Arc<LinkTable>>;

    /// The routes of the main table, both families.
    fn routes(&self) -> BoxFuture<'static, io::Result<Vec<Route>>>;

    /// The neighbours, both families.
    fn neighbours(&self) -> BoxFuture<'static, io::Result<Vec<Neighbour>>>;

    /// A raw ICMPv6 socket on one interface that receives only the types in `receive`. Must be called where
    /// it will be used: the socket belongs to the calling thread's reactor.
    ///
    /// # Errors
    /// The kernel's: EPERM, ENODEV, EAFNOSUPPORT, EMFILE …
    fn open_icmpv6(&self, index: u32, receive: &[u8]) -> io::Result<Arc<dyn Icmpv6Socket>>;
}

/// A raw ICMPv6 socket that is bound to one interface.
pub trait Icmpv6Socket: Send + Sync {
    /// Joins a multicast group there.
    ///
    /// # Errors
    /// EADDRINUSE if joined already, ENOBUFS if net.core.optmem_max is used up, ENODEV if it is gone.
    fn join(&self, group: Ipv6Addr) -> io::Result<()>;

    /// Leaves a group.
    ///
    /// # Errors
    /// EADDRNOTAVAIL if it was not joined.
    fn leave(&self, group: Ipv6Addr) -> io::Result<()>;

    /// Waits for packets and takes up to `max` of those that are there. Dropping the future loses nothing.
    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<Received>>>;

    /// Sends one message; the kernel fills in the checksum.
    fn send(&self, packet: Transmit) -> BoxFuture<'_, io::Result<()>>;
}

/// An ICMPv6 message that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// From whom.
    pub source: Ipv6Addr,
    /// To whom.
    pub destination: Ipv6Addr,
    /// IPv6 hop limit, 0 to 255.
    pub hop_limit: u8,
    /// From the ICMPv6 type on.
    pub message: Vec<u8>,
}

/// An ICMPv6 message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Our address to send from; none leaves the choice to the kernel.
    pub source: Option<Ipv6Addr>,
    /// To whom.
    pub destination: Ipv6Addr,
    /// IPv6 hop limit.
    pub hop_limit: u8,
    /// From the ICMPv6 type on.
    pub message: Vec<u8>,
}
