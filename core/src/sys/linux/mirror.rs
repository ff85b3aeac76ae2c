//! Keeps a table of links and addresses like the kernel's: dumps once, then follows the multicast groups.
//!
//! Groups are joined before the first dump, so nothing falls between. Events that came in while a dump ran
//! are applied after it; the last event of an object always tells its last state. When the kernel's queue
//! overflowed (ENOBUFS), the table is read anew.

use std::io;
use std::sync::Arc;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{StreamExt, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::sys::{AsyncSocket, SocketAddr};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::watch;

use super::{convert, to_io};
use crate::sys::LinkTable;

/// Receive buffer of the socket in bytes: a burst of some ten thousand events.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

type Events = UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>;

/// Starts to follow; the receiver already holds the first dump.
pub async fn start() -> io::Result<(watch::Receiver<Arc<LinkTable>>, Handle)> {
    let groups = [MulticastGroup::Link, MulticastGroup::Ipv4Ifaddr, MulticastGroup::Ipv6Ifaddr];
    let (mut connection, handle, events) = rtnetlink::new_multicast_connection(&groups)?;
    // Without CAP_NET_ADMIN the buffer stays at net.core.rmem_max; an overflow is then only likelier.
    let _ = connection.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER);
    tokio::spawn(connection);
    let table = dump(&handle).await?;
    let (sender, receiver) = watch::channel(Arc::new(table));
    tokio::spawn(follow(handle.clone(), events, sender));
    Ok((receiver, handle))
}

async fn follow(handle: Handle, mut events: Events, sender: watch::Sender<Arc<LinkTable>>) {
    while let Some(first) = events.next().await {
        // Everything that is there already goes into one new table.
        let mut batch = vec![first.0];
        while let Ok((message, _)) = events.try_recv() {
            batch.push(message);
        }
        if batch.iter().any(|m| matches!(m.payload, NetlinkPayload::Overrun(_))) {
            tracing::warn!("the kernel's link events overflowed, reading all links again");
            match dump(&handle).await {
                Ok(table) => {
                    sender.send_replace(Arc::new(table));
                }
                Err(error) => tracing::error!(%error, "cannot read links and addresses from the kernel"),
            }
        }
        sender.send_if_modified(|table| {
            let mut changed = false;
            for message in &batch {
                if let NetlinkPayload::InnerMessage(inner) = &message.payload {
                    changed |= convert::apply(Arc::make_mut(table), inner);
                }
            }
            changed
        });
    }
    tracing::error!("the netlink connection ended: links are no longer followed");
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
