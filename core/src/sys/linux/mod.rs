//! Linux behind the [`Kernel`] trait: route netlink for what there is, raw sockets for packets.
//!
//! `mirror` keeps the table of links and addresses, `convert` turns netlink messages into plain values,
//! `icmpv6` is the socket, `process` what concerns our own process and machine.

pub mod convert;
mod icmpv6;
mod mirror;
pub mod process;

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError};

use futures::TryStreamExt;
use netlink_packet_route::route::RouteMessage;
use tokio::sync::watch;

use super::{BoxFuture, Icmpv6Socket, Kernel, LinkTable, Neighbour, Route};

/// The kernel of this network namespace.
pub struct LinuxKernel {
    links: watch::Receiver<Arc<LinkTable>>,
    netlink: mirror::SharedHandle,
}

impl LinuxKernel {
    /// Opens route netlink, reads links and addresses, and follows them from then on in tasks of the
    /// calling runtime.
    ///
    /// # Errors
    /// The kernel's answer to the socket or to the first dumps.
    pub async fn start() -> io::Result<Self> {
        let (links, netlink) = mirror::start().await?;
        Ok(Self { links, netlink })
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
}

/// rtnetlink's error as the errno it carries, where it carries one.
fn to_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
