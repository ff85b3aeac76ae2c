//! Linux behind the [`Kernel`] trait: route netlink for what there is, raw sockets for packets.
//!
//! `mirror` keeps the table of links and addresses, `convert` turns netlink messages into plain values, `network` reads and
//! changes what there is for reconciling, `nftables` makes transactions of the packet filter, `guard` closes the router with
//! one, `masquerade` has the kernel translate sources, `icmpv6`, `ipv4`, `netlink`, `tcp`,
//! `tun` (with `refusals`) and `udp` are what packets go through, `sysctl`, `modules` and `wireguard` what their names say,
//! `process` what concerns our own process and machine.
#![expect(unsafe_code, reason = "AsyncFd asks for a promise")]

pub mod convert;
mod guard;
mod icmpv6;
mod ipv4;
mod masquerade;
mod mirror;
pub mod modules;
mod netlink;
pub mod network;
mod nftables;
pub mod process;
mod refusals;
mod sysctl;
mod tcp;
mod tun;
mod udp;
pub mod wireguard;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::{Arc, PoisonError};

use futures::TryStreamExt;
use netlink_packet_route::route::RouteMessage;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;

use super::network::{Change, Changed, Found, Hardware, Masquerade, Refusal};
use super::{
    BoxFuture, Icmpv6Socket, Ipv4Socket, Kernel, LinkTable, Neighbour, NetlinkSocket, NfTables, Route, TcpAccept,
    TcpConnection, TunDevice, UdpSocket, WireGuardSettings,
};

/// The kernel of this network namespace.
pub struct LinuxKernel {
    links: watch::Receiver<Arc<LinkTable>>,
    netlink: mirror::SharedHandle,
    /// Has the table of links read again.
    refresh: Arc<Notify>,
}

impl LinuxKernel {
    /// Opens route netlink, reads links and addresses, and follows them from then on in tasks of the
    /// calling runtime.
    ///
    /// # Errors
    /// The kernel's answer to the socket or to the first dumps.
    pub async fn start() -> io::Result<Self> {
        let (links, netlink, refresh) = mirror::start().await?;
        Ok(Self { links, netlink, refresh })
    }

    fn handle(&self) -> rtnetlink::Handle {
        self.netlink.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Kernel for LinuxKernel {
    fn links(&self) -> watch::Receiver<Arc<LinkTable>> {
        self.links.clone()
    }

    fn routes(&self) -> BoxFuture<'static, io::Result<Vec<Route>>> {
        let netlink = self.handle();
        Box::pin(async move {
            let mut routes = Vec::new();
            for unspecified in [IpAddr::from([0u8; 4]), IpAddr::from([0u8; 16])] {
                let mut request = RouteMessage::default();
                request.header.address_family = convert::family_of(unspecified);
                let mut answers = netlink.route().get(request).execute();
                while let Some(message) = answers.try_next().await.map_err(to_io)? {
                    routes.extend(convert::route(&message));
                }
            }
            Ok(routes)
        })
    }

    fn neighbours(&self) -> BoxFuture<'static, io::Result<Vec<Neighbour>>> {
        let netlink = self.handle();
        Box::pin(async move {
            let mut neighbours = Vec::new();
            let mut answers = netlink.neighbours().get().execute();
            while let Some(message) = answers.try_next().await.map_err(to_io)? {
                neighbours.extend(convert::neighbour(&message));
            }
            Ok(neighbours)
        })
    }

    fn open_icmpv6(&self, index: u32, receive: &[u8]) -> io::Result<Arc<dyn Icmpv6Socket>> {
        let name = self.links.borrow().links.get(&index).map(|link| link.name.clone());
        let name = name.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        Ok(Arc::new(icmpv6::Socket::open(index, &name, receive)?))
    }

    fn found(&self) -> BoxFuture<'static, io::Result<Found>> {
        Box::pin(aside(network::found))
    }

    fn change(&self, changes: Vec<Change>) -> BoxFuture<'static, io::Result<Vec<Changed>>> {
        let forwards = |change: &Change| matches!(change, Change::SetSysctl { name, .. } if name.contains("forward"));
        let refresh = changes.iter().any(forwards).then(|| self.refresh.clone());
        Box::pin(async move {
            let changed = aside(move || network::change(&changes)).await;
            // No event tells of it.
            refresh.inspect(|refresh| refresh.notify_one());
            changed
        })
    }

    fn probe(&self, kind: &str) -> BoxFuture<'static, Changed> {
        let kind = kind.to_owned();
        Box::pin(
            async move { aside(move || Ok(network::probe(&kind))).await.unwrap_or_else(|e| Err(Refusal::from(e))) },
        )
    }

    fn load_module(&self, name: &str) -> BoxFuture<'static, Result<(), String>> {
        let name = name.to_owned();
        Box::pin(async move {
            let loaded = aside(move || Ok(modules::ensure(&name))).await.map_err(|error| error.to_string())?;
            loaded.map_err(|error| error.to_string())
        })
    }

    fn is_loadable(&self, name: &str) -> bool {
        modules::is_loadable(name)
    }

    fn set_wireguard(&self, name: &str, settings: WireGuardSettings) -> BoxFuture<'static, io::Result<()>> {
        let name = name.to_owned();
        Box::pin(aside(move || wireguard::configure(nix::net::if_::if_nametoindex(name.as_str())?, &settings)))
    }

    fn masquerades(&self) -> BoxFuture<'static, io::Result<Vec<(String, String)>>> {
        Box::pin(aside(masquerade::tables))
    }

    fn masquerade_mark(&self, wanted: &[Masquerade]) -> String {
        masquerade::mark(wanted)
    }

    fn set_masquerades(&self, owner: &str, wanted: Vec<Masquerade>) -> BoxFuture<'static, Changed> {
        let owner = owner.to_owned();
        Box::pin(changed(move || masquerade::set(&owner, &wanted)))
    }

    fn open_nftables(&self) -> io::Result<Arc<dyn NfTables>> {
        Ok(Arc::new(nftables::Transactions::open()?))
    }

    fn plugin_tables(&self) -> BoxFuture<'static, io::Result<Vec<String>>> {
        Box::pin(aside(nftables::plugin_tables))
    }

    fn remove_plugin_table(&self, table: &str) -> BoxFuture<'static, Changed> {
        let table = table.to_owned();
        Box::pin(changed(move || nftables::remove_plugin_table(&table)))
    }

    fn set_guard(&self, closed: bool) -> BoxFuture<'static, Changed> {
        Box::pin(changed(move || guard::set(closed)))
    }

    fn sysctl(&self, name: &str) -> io::Result<String> {
        sysctl::get(name)
    }

    fn hardware(&self) -> Vec<Hardware> {
        let table = self.links.borrow().clone();
        let hardware = |link: &super::Link| sysctl::hardware(link.index, &link.name, link.permanent_mac.clone());
        table.links.values().map(hardware).collect()
    }

    fn open_tun(&self, name: &str) -> io::Result<Arc<dyn TunDevice>> {
        Ok(Arc::new(tun::Device::open(name)?))
    }

    fn open_ipv4(
        &self,
        protocol: u8,
        local: Option<Ipv4Addr>,
        remote: Option<Ipv4Addr>,
    ) -> io::Result<Arc<dyn Ipv4Socket>> {
        Ok(Arc::new(ipv4::Socket::open(protocol, local, remote)?))
    }

    fn listen_udp(&self, interface: u32, port: u16) -> io::Result<Arc<dyn UdpSocket>> {
        Ok(Arc::new(udp::Socket::listen(interface, port)?))
    }

    fn connect_udp(&self, remote: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        Ok(Arc::new(udp::Socket::connect(remote)?))
    }

    fn listen_tcp(&self, interface: u32, port: u16) -> io::Result<Arc<dyn TcpAccept>> {
        Ok(Arc::new(tcp::Listener::listen(interface, port)?))
    }

    fn connect_tcp(&self, remote: SocketAddr) -> BoxFuture<'static, io::Result<Arc<dyn TcpConnection>>> {
        Box::pin(tcp::Connection::connect(remote))
    }

    fn generic_family(&self, name: &str) -> Option<u16> {
        (name == "wireguard").then(wireguard::family_number).flatten()
    }

    fn open_netlink(&self, family: u8) -> io::Result<Arc<dyn NetlinkSocket>> {
        Ok(Arc::new(netlink::Socket::open(family)?))
    }

    fn resolve(&self, name: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Does blocking work beside the calling runtime.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Carries a change out beside the calling runtime.
async fn changed(work: impl FnOnce() -> Changed + Send + 'static) -> Changed {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(Refusal::from(io::Error::other(error))))
}

/// A descriptor for the calling runtime's reactor.
fn register<T: AsRawFd>(descriptor: T) -> io::Result<AsyncFd<T>> {
    let interest = Interest::READABLE | Interest::WRITABLE | Interest::ERROR;
    // SAFETY: the descriptor is owned by the `AsyncFd` and closed only when that is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(descriptor, interest) }?)
}

/// rtnetlink's error as the errno it carries, where it carries one.
fn to_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

/// Makes room for a burst of messages. Without CAP_NET_ADMIN it is at most net.core.rmem_max; an overflow is then only
/// likelier.
fn enlarge_receive_buffer(socket: &rtnetlink::sys::Socket, bytes: usize) {
    // SAFETY: the descriptor is the socket's, which is borrowed for longer than this call.
    let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(socket.as_raw_fd()) };
    if nix::sys::socket::setsockopt(&descriptor, nix::sys::socket::sockopt::RcvBufForce, &bytes).is_err() {
        let _ = socket.set_rx_buf_sz(bytes);
    }
}
