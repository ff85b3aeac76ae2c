//! Keeps a table of links and addresses like the kernel's: dumps once, then follows the multicast groups.
//!
//! Groups are joined before the first dump, so nothing falls between; events that came in while a dump ran are
//! applied after it. When the kernel's queue overflowed (ENOBUFS), what waits is thrown away, since what it
//! contradicts may be what was lost, and the table is read anew until no overflow falls into the reading. A connection
//! that breaks is opened again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::stream::FusedStream as _;
use futures::{StreamExt, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::{Notify, watch};

use super::{convert, to_io};
use crate::sys::LinkTable;

/// Receive buffer of the socket in bytes: a burst of some ten thousand events.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

/// Between two tries to read the table or to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two tries where only chance was against the first.
const MOMENT: Duration = Duration::from_millis(20);
/// Such tries at the start.
const TRIES: usize = 10;

type Events = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// The handle of the connection in use; requests go through it.
pub type SharedHandle = Arc<Mutex<Handle>>;

/// Starts to follow; the receiver already holds the first dump. The last of the three asks for reading all again: what links
/// say of forwarding changes without an event.
pub async fn start() -> io::Result<(watch::Receiver<Arc<LinkTable>>, SharedHandle, Arc<Notify>)> {
    let (handle, events) = connect()?;
    let mut read = dump(&handle).await;
    for _ in 0..TRIES {
        if !read.as_ref().is_err_and(is_mixed_up) {
            break;
        }
        tokio::time::sleep(MOMENT).await;
        read = dump(&handle).await;
    }
    let table = read?;
    let (sender, receiver) = watch::channel(Arc::new(table));
    let shared = Arc::new(Mutex::new(handle.clone()));
    let refresh = Arc::new(Notify::new());
    tokio::spawn(follow(shared.clone(), handle, events, sender, refresh.clone()));
    Ok((receiver, shared, refresh))
}

fn connect() -> io::Result<(Handle, Events)> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (mut connection, handle, events) = rtnetlink::new_multicast_connection(&groups)?;
    super::enlarge_receive_buffer(connection.socket_mut().socket_mut(), RECEIVE_BUFFER);
    tokio::spawn(connection);
    Ok((handle, events))
}

/// For ever: follows a connection, and opens another when it breaks.
async fn follow(
    shared: SharedHandle,
    mut handle: Handle,
    mut events: Events,
    sender: watch::Sender<Arc<LinkTable>>,
    refresh: Arc<Notify>,
) {
    loop {
        loop {
            let first = tokio::select! {
                first = events.next() => first,
                () = refresh.notified() => {
                    let Some(table) = read_anew(&handle, &mut events).await else { break };
                    sender.send_replace(Arc::new(table));
                    continue;
                }
            };
            let Some((first, _)) = first else { break };
            // Everything that is there already goes into one new table.
            let batch: Vec<_> = std::iter::once(first).chain(waiting(&mut events)).collect();
            if batch.iter().any(is_overflow) {
                tracing::warn!("the kernel's link events overflowed, reading all links again");
                let Some(table) = read_anew(&handle, &mut events).await else { break };
                sender.send_replace(Arc::new(table));
            } else {
                sender.send_if_modified(|table| apply(Arc::make_mut(table), &batch));
            }
        }
        tracing::error!("the netlink connection broke, opening another");
        loop {
            tokio::time::sleep(PAUSE).await;
            match connect() {
                Ok(connected) => (handle, events) = connected,
                Err(error) => {
                    tracing::error!(%error, "cannot open route netlink");
                    continue;
                }
            }
            *shared.lock().unwrap_or_else(PoisonError::into_inner) = handle.clone();
            if let Some(table) = read_anew(&handle, &mut events).await {
                sender.send_replace(Arc::new(table));
                break;
            }
        }
    }
}

/// Reads the table until no overflow falls into the reading; `None` if the connection breaks.
async fn read_anew(handle: &Handle, events: &mut Events) -> Option<LinkTable> {
    loop {
        // The kernel reports an overflow ahead of the events that it could still queue. By the end of a first dump,
        // which is thrown away, they have all come in, and go with it.
        let read = match dump(handle).await {
            Ok(_) => {
                waiting(events).for_each(drop);
                dump(handle).await
            }
            Err(error) => Err(error),
        };
        let meanwhile: Vec<_> = waiting(events).collect();
        // A dump on a connection that breaks can end early and look whole.
        if events.is_terminated() {
            return None;
        }
        match read {
            Ok(mut table) if !meanwhile.iter().any(is_overflow) => {
                apply(&mut table, &meanwhile);
                return Some(table);
            }
            Ok(_) => {}
            Err(error) if is_mixed_up(&error) => {
                tracing::debug!(%error, "an event came as the answer, reading links and addresses again");
                tokio::time::sleep(MOMENT).await;
            }
            Err(error) => {
                tracing::error!(%error, "cannot read links and addresses from the kernel, trying again");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether an event was taken for an answer: it carries the number of the request that caused it, which somebody else made
/// and which can be the same as ours.
fn is_mixed_up(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rtnetlink::Error::UnexpectedMessage(_)))
}

/// What is in the queue now.
fn waiting(events: &mut Events) -> impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>> {
    std::iter::from_fn(|| events.try_recv().ok().map(|(message, _)| message))
}

fn is_overflow(message: &NetlinkMessage<RouteNetlinkMessage>) -> bool {
    matches!(message.payload, NetlinkPayload::Overrun(_))
}

fn apply(table: &mut LinkTable, batch: &[NetlinkMessage<RouteNetlinkMessage>]) -> bool {
    let mut changed = false;
    for message in batch {
        if let NetlinkPayload::InnerMessage(inner) = &message.payload {
            changed |= convert::apply(table, inner);
        }
    }
    changed
}

async fn dump(handle: &Handle) -> io::Result<LinkTable> {
    let mut table = LinkTable::default();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await.map_err(to_io)? {
        convert::apply(&mut table, &RouteNetlinkMessage::NewLink(link));
    }
    let mut addresses = handle.address().get().execute();
    while let Some(address) = addresses.try_next().await.map_err(to_io)? {
        convert::apply(&mut table, &RouteNetlinkMessage::NewAddress(address));
    }
    Ok(table)
}
