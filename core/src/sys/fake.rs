//! A kernel made of maps and channels, for tests of everything above `sys`.
//!
//! A test sets links and addresses, takes what plugins send from [`FakeKernel::sent`] and hands packets to
//! their sockets with [`FakeKernel::deliver`]. Filters and group membership behave like the kernel's.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::network::{Change, Changed, Found, Hardware, Masquerade};
use super::{
    Address, BoxFuture, Icmpv6Socket, Ipv4Socket, Kernel, Link, LinkTable, Neighbour, NetlinkSocket, Received, Route,
    TcpAccept, TcpConnection, Transmit, TunDevice, UdpSocket, WireGuardSettings,
};

/// The guard's table.
const GUARD: &str = "inet/portreeve-guard";

/// The fake. Clones share the same state.
#[derive(Clone)]
pub struct FakeKernel {
    links: Arc<watch::Sender<Arc<LinkTable>>>,
    shared: Arc<Mutex<Shared>>,
    sent: Arc<Notify>,
}

#[derive(Default)]
struct Shared {
    sockets: Vec<Arc<FakeSocket>>,
    sent: VecDeque<(u32, Transmit)>,
    routes: Vec<Route>,
    neighbours: Vec<Neighbour>,
    found: Found,
    changes: Vec<Change>,
    masquerades: BTreeMap<String, String>,
    refuse_masquerades: Option<i32>,
    tables: BTreeSet<String>,
    refuse_guard: Option<i32>,
    flood: Option<(u32, Received)>,
}

struct FakeSocket {
    index: u32,
    receive: BTreeSet<u8>,
    groups: Mutex<BTreeSet<Ipv6Addr>>,
    queue: Mutex<VecDeque<Received>>,
    arrived: Notify,
    kernel: FakeKernel,
}

impl Default for FakeKernel {
    fn default() -> Self {
        Self { links: Arc::new(watch::channel(Arc::default()).0), shared: Arc::default(), sent: Arc::default() }
    }
}

impl FakeKernel {
    /// A machine without any link.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a link.
    pub fn set_link(&self, link: Link) {
        self.links.send_modify(|table| {
            Arc::make_mut(table).links.insert(link.index, link);
        });
    }

    /// Replaces the tables of nf_tables that are plugins', and the guard.
    pub fn set_tables(&self, tables: &[&str]) {
        lock(&self.shared).tables = tables.iter().map(|&table| table.to_owned()).collect();
    }

    /// The tables that there are.
    #[must_use]
    pub fn tables(&self) -> BTreeSet<String> {
        lock(&self.shared).tables.clone()
    }

    /// Has the guard refused from now on, for this reason.
    pub fn refuse_guard(&self, code: Option<i32>) {
        lock(&self.shared).refuse_guard = code;
    }

    /// Removes a link, its addresses, and the life of the sockets on it.
    pub fn remove_link(&self, index: u32) {
        self.links.send_modify(|table| Arc::make_mut(table).remove_link(index));
        for socket in &lock(&self.shared).sockets {
            socket.arrived.notify_waiters();
        }
    }

    /// Adds or replaces an address.
    pub fn set_address(&self, address: Address) {
        self.links.send_modify(|table| {
            Arc::make_mut(table).addresses.insert(address.key(), address);
        });
    }

    /// Sets what `routes` answers.
    pub fn set_routes(&self, routes: Vec<Route>) {
        lock(&self.shared).routes = routes;
    }

    /// Sets what `found` answers. Changes do not alter it.
    pub fn set_found(&self, found: Found) {
        lock(&self.shared).found = found;
    }

    /// From now on masquerading is refused with this errno, or no longer.
    pub fn refuse_masquerades(&self, code: Option<i32>) {
        lock(&self.shared).refuse_masquerades = code;
    }

    /// Takes the changes that were asked for.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut lock(&self.shared).changes)
    }

    /// Hands a packet to every socket on the interface that the kernel would hand it to.
    pub fn deliver(&self, index: u32, packet: &Received) {
        for socket in lock(&self.shared).sockets.iter().filter(|s| s.index == index) {
            let wanted = packet.message.first().is_some_and(|kind| socket.receive.contains(kind));
            let member = !packet.destination.is_multicast() || lock(&socket.groups).contains(&packet.destination);
            if wanted && member {
                lock(&socket.queue).push_back(packet.clone());
                socket.arrived.notify_one();
            }
        }
    }

    /// From now on the sockets of an interface never lack packets: each wait gives as many copies of this one
    /// as it takes, at once. `None` ends it.
    pub fn set_flood(&self, flood: Option<(u32, Received)>) {
        let mut shared = lock(&self.shared);
        shared.flood = flood;
        for socket in &shared.sockets {
            socket.arrived.notify_one();
        }
    }

    /// Waits for the next packet that a plugin sends: the interface's index and the packet.
    pub async fn sent(&self) -> (u32, Transmit) {
        loop {
            let arrived = self.sent.notified();
            if let Some(packet) = lock(&self.shared).sent.pop_front() {
                return packet;
            }
            arrived.await;
        }
    }

    /// How many sockets are open.
    #[must_use]
    pub fn open_sockets(&self) -> usize {
        lock(&self.shared).sockets.iter().filter(|s| Arc::strong_count(s) > 1).count()
    }

    fn has_link(&self, index: u32) -> bool {
        self.links.borrow().links.contains_key(&index)
    }
}

impl Kernel for FakeKernel {
    fn links(&self) -> watch::Receiver<Arc<LinkTable>> {
        self.links.subscribe()
    }

    fn routes(&self) -> BoxFuture<'static, io::Result<Vec<Route>>> {
        let routes = lock(&self.shared).routes.clone();
        Box::pin(async { Ok(routes) })
    }

    fn neighbours(&self) -> BoxFuture<'static, io::Result<Vec<Neighbour>>> {
        let neighbours = lock(&self.shared).neighbours.clone();
        Box::pin(async { Ok(neighbours) })
    }

    fn open_icmpv6(&self, index: u32, receive: &[u8]) -> io::Result<Arc<dyn Icmpv6Socket>> {
        if !self.has_link(index) {
            return Err(errno(libc::ENODEV));
        }
        let socket = Arc::new(FakeSocket {
            index,
            receive: receive.iter().copied().collect(),
            groups: Mutex::default(),
            queue: Mutex::default(),
            arrived: Notify::new(),
            kernel: self.clone(),
        });
        let mut shared = lock(&self.shared);
        shared.sockets.retain(|s| Arc::strong_count(s) > 1);
        shared.sockets.push(socket.clone());
        Ok(socket)
    }

    fn found(&self) -> BoxFuture<'static, io::Result<Found>> {
        let found = lock(&self.shared).found.clone();
        Box::pin(async { Ok(found) })
    }

    fn change(&self, changes: Vec<Change>) -> BoxFuture<'static, io::Result<Vec<Changed>>> {
        let answers = changes.iter().map(|_| Ok(())).collect();
        lock(&self.shared).changes.extend(changes);
        Box::pin(async { Ok(answers) })
    }

    fn probe(&self, _: &str) -> BoxFuture<'static, Changed> {
        Box::pin(async { Ok(()) })
    }

    fn load_module(&self, name: &str) -> BoxFuture<'static, Result<(), String>> {
        let text = format!("the fake has no kernel module {name}");
        Box::pin(async { Err(text) })
    }

    fn is_loadable(&self, _: &str) -> bool {
        false
    }

    fn set_wireguard(&self, _: &str, _: WireGuardSettings) -> BoxFuture<'static, io::Result<()>> {
        Box::pin(async { Ok(()) })
    }

    fn masquerades(&self) -> BoxFuture<'static, io::Result<Vec<(String, String)>>> {
        let masquerades: Vec<_> =
            lock(&self.shared).masquerades.iter().map(|(owner, mark)| (owner.clone(), mark.clone())).collect();
        Box::pin(async { Ok(masquerades) })
    }

    fn plugin_tables(&self) -> BoxFuture<'static, io::Result<Vec<String>>> {
        let tables = self.tables().into_iter().collect();
        Box::pin(async { Ok(tables) })
    }

    fn set_guard(&self, closed: bool) -> BoxFuture<'static, Changed> {
        let mut shared = lock(&self.shared);
        if let Some(code) = shared.refuse_guard {
            return Box::pin(async move { Err(errno(code).into()) });
        }
        if closed {
            shared.tables.insert(GUARD.to_owned());
        } else {
            shared.tables.remove(GUARD);
        }
        Box::pin(async { Ok(()) })
    }

    fn masquerade_mark(&self, wanted: &[Masquerade]) -> String {
        format!("{wanted:?}")
    }

    fn set_masquerades(&self, owner: &str, wanted: Vec<Masquerade>) -> BoxFuture<'static, Changed> {
        let mut shared = lock(&self.shared);
        if let Some(code) = shared.refuse_masquerades {
            return Box::pin(async move { Err(errno(code).into()) });
        }
        if wanted.is_empty() {
            shared.masquerades.remove(owner);
        } else {
            shared.masquerades.insert(owner.to_owned(), self.masquerade_mark(&wanted));
        }
        Box::pin(async { Ok(()) })
    }

    fn sysctl(&self, _: &str) -> io::Result<String> {
        Err(errno(libc::ENOENT))
    }

    fn hardware(&self) -> Vec<Hardware> {
        let hardware =
            |link: &Link| Hardware { index: link.index, permanent_mac: link.mac.clone(), ..Hardware::default() };
        self.links.borrow().links.values().map(hardware).collect()
    }

    fn open_tun(&self, _: &str) -> io::Result<Arc<dyn TunDevice>> {
        Err(errno(libc::ENODEV))
    }

    fn open_ipv4(&self, _: u8, _: Option<Ipv4Addr>, _: Option<Ipv4Addr>) -> io::Result<Arc<dyn Ipv4Socket>> {
        Err(errno(libc::EOPNOTSUPP))
    }

    fn listen_udp(&self, _: u32, _: u16) -> io::Result<Arc<dyn UdpSocket>> {
        Err(errno(libc::EOPNOTSUPP))
    }

    fn connect_udp(&self, _: SocketAddr) -> io::Result<Arc<dyn UdpSocket>> {
        Err(errno(libc::EOPNOTSUPP))
    }

    fn listen_tcp(&self, _: u32, _: u16) -> io::Result<Arc<dyn TcpAccept>> {
        Err(errno(libc::EOPNOTSUPP))
    }

    fn connect_tcp(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Arc<dyn TcpConnection>>> {
        Box::pin(async { Err(errno(libc::EOPNOTSUPP)) })
    }

    fn open_netlink(&self, _: u8) -> io::Result<Arc<dyn NetlinkSocket>> {
        Err(errno(libc::EPROTONOSUPPORT))
    }

    fn resolve(&self, _: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

impl Icmpv6Socket for FakeSocket {
    fn join(&self, group: Ipv6Addr) -> io::Result<()> {
        if lock(&self.groups).insert(group) { Ok(()) } else { Err(errno(libc::EADDRINUSE)) }
    }

    fn leave(&self, group: Ipv6Addr) -> io::Result<()> {
        if lock(&self.groups).remove(&group) { Ok(()) } else { Err(errno(libc::EADDRNOTAVAIL)) }
    }

    fn receive(&self, max: usize) -> BoxFuture<'_, io::Result<Vec<Received>>> {
        Box::pin(async move {
            loop {
                let arrived = self.arrived.notified();
                if let Some((index, packet)) = &lock(&self.kernel.shared).flood
                    && *index == self.index
                {
                    return Ok(vec![packet.clone(); max]);
                }
                {
                    let mut queue = lock(&self.queue);
                    if !queue.is_empty() {
                        let take = queue.len().min(max);
                        return Ok(queue.drain(..take).collect());
                    }
                }
                if !self.kernel.has_link(self.index) {
                    return Err(errno(libc::ENETDOWN));
                }
                arrived.await;
            }
        })
    }

    fn send(&self, packet: Transmit) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(async move {
            if !self.kernel.has_link(self.index) {
                return Err(errno(libc::ENODEV));
            }
            lock(&self.kernel.shared).sent.push_back((self.index, packet));
            self.kernel.sent.notify_one();
            Ok(())
        })
    }
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
