//! The part of `raw-ip` on whole IPv4 packets: every destination is asked of the grant, a source is only ever our own.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::raw_ip::{HostIpv4Socket, HostIpv4SocketWithStore, IcmpError, Ipv4Sent};
use super::bindings::portreeve::plugin::types::{ErrorCode, Ipv4Address};
use super::counted::Counted;
use super::types::{ipv4_in, ipv4_out};
use crate::grants::{Access, Prefix};
use crate::sys::{self, Ipv4Socket, frames};

/// The most that one `receive` gives, in bytes.
const MAX_BATCH: u32 = 1024 * 1024;
/// Bounds of what one `receive` gives, in bytes.
pub(super) const BATCH: std::ops::RangeInclusive<u32> = 64 * 1024..=MAX_BATCH;
/// The most that one `send` takes, in bytes: such a batch, and a packet more.
pub(super) const MAX_SEND: usize = MAX_BATCH as usize + 64 * 1024;

/// Errors of one `next-errors`.
const MAX_ERRORS: usize = 32;
/// Bytes of an IPv4 header without options, and its first: version 4, five words (RFC 791 section 3.1).
const HEADER: usize = 20;
const VERSION_AND_LENGTH: u8 = 0x45;
/// "More fragments" and the fragment's offset; DF is left out.
const FRAGMENT: u16 = 0x3fff;
const EVERYBODY: Prefix = Prefix { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };

/// A socket and what it was opened for.
pub struct Ipv4Handle {
    socket: Arc<dyn Ipv4Socket>,
    protocol: u8,
    local: Option<Ipv4Addr>,
    /// With whom it may speak.
    peers: Prefix,
    _counted: Counted,
}

impl HostIpv4Socket for State {
    fn open(
        &mut self,
        protocol: u8,
        local: Option<Ipv4Address>,
        remote: Option<Ipv4Address>,
    ) -> Result<Result<Resource<Ipv4Handle>, ErrorCode>> {
        Ok(self.open_ipv4(protocol, local.map(ipv4_in), remote.map(ipv4_in)))
    }

    fn drop(&mut self, this: Resource<Ipv4Handle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

impl State {
    fn open_ipv4(
        &mut self,
        protocol: u8,
        local: Option<Ipv4Addr>,
        remote: Option<Ipv4Addr>,
    ) -> Result<Resource<Ipv4Handle>, ErrorCode> {
        let peers = remote.map_or(EVERYBODY, |remote| Prefix::new(remote.into(), 32));
        self.check(Access::Ipv4(protocol, peers))?;
        if local.is_some_and(|local| !self.is_ours(local)) {
            return Err(ErrorCode::Unreachable);
        }
        let counted = self.counts.socket().ok_or(ErrorCode::Limit)?;
        let opened = self.meter.excuse(|| self.shared.kernel.open_ipv4(protocol, local, remote));
        let socket = opened.map_err(|error| self.os_error("open a raw IPv4 socket", &error))?;
        self.push(Ipv4Handle { socket, protocol, local, peers, _counted: counted })
    }

    /// Whether an interface has this address. The kernel would bind a socket to a group or to broadcast, too.
    fn is_ours(&self, local: Ipv4Addr) -> bool {
        let table = self.shared.kernel.links().borrow().clone();
        let is_host = !local.is_unspecified() && !local.is_multicast() && !local.is_broadcast();
        is_host && table.addresses.values().any(|there| there.address == local)
    }

    /// The socket of a handle, if it may still be used.
    fn ipv4(&mut self, this: &Resource<Ipv4Handle>) -> Result<Result<Arc<dyn Ipv4Socket>, ErrorCode>> {
        let handle = self.handles.get(this)?;
        let (socket, access) = (handle.socket.clone(), Access::Ipv4(handle.protocol, handle.peers));
        Ok(self.check(access).map(|()| socket))
    }

    /// Every packet is whole and without options (a source route would lead it elsewhere), of the protocol, from us, and
    /// for a granted destination. The peers of the socket are granted as a whole, so comparing with them is enough.
    fn check_packets(&self, this: &Resource<Ipv4Handle>, batch: &[u8]) -> Result<Result<(), ErrorCode>> {
        let handle = self.handles.get(this)?;
        for packet in frames::iter(batch) {
            let Some(header) = packet.ok().and_then(|packet| packet.first_chunk::<HEADER>()) else {
                return Ok(Err(ErrorCode::InvalidArgument));
            };
            let fragment = u16::from_be_bytes([header[6], header[7]]) & FRAGMENT;
            if header[0] != VERSION_AND_LENGTH || fragment != 0 {
                return Ok(Err(ErrorCode::InvalidArgument));
            }
            let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
            let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
            // Without `local` the kernel chooses: no other source can be vouched for.
            let ours = source.is_unspecified() || self.handles.get(this)?.local == Some(source);
            let meant = handle.peers.contains(Prefix { address: destination.into(), length: 32 });
            if header[9] != handle.protocol || !ours || !meant {
                return Ok(Err(ErrorCode::Denied));
            }
        }
        Ok(Ok(()))
    }
}

impl<T: Send + 'static> HostIpv4SocketWithStore<T> for HasSelf<State> {
    async fn receive(
        accessor: &Accessor<T, Self>,
        this: Resource<Ipv4Handle>,
        max: u32,
    ) -> Result<Result<Vec<u8>, ErrorCode>> {
        let (socket, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            Ok((state.handles.get(&this)?.socket.clone(), state.begin_call()?))
        })?;
        super::let_others_run().await;
        let received = socket.receive(max.clamp(*BATCH.start(), *BATCH.end()) as usize).await;
        accessor.with(|mut access| {
            let state = access.get();
            // The grant may have changed while this waited.
            Ok(state.ipv4(&this)?.and_then(|_| received.map_err(|error| state.os_error("receive IPv4", &error))))
        })
    }

    async fn send(
        accessor: &Accessor<T, Self>,
        this: Resource<Ipv4Handle>,
        batch: Vec<u8>,
    ) -> Result<Result<Ipv4Sent, ErrorCode>> {
        let (checked, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            if batch.len() > MAX_SEND {
                return Ok((Err(ErrorCode::InvalidArgument), call));
            }
            let socket = state.ipv4(&this)?;
            let packets = state.check_packets(&this, &batch)?;
            Ok((socket.and_then(|socket| packets.map(|()| socket)), call))
        })?;
        let socket = match checked {
            Ok(socket) => socket,
            Err(code) => return Ok(Err(code)),
        };
        super::let_others_run().await;
        let sent = socket.send(batch).await;
        Ok(sent.map(sent_out).map_err(|e| accessor.with(|mut access| access.get().os_error("send IPv4", &e))))
    }

    async fn next_errors(
        accessor: &Accessor<T, Self>,
        this: Resource<Ipv4Handle>,
    ) -> Result<Result<Vec<IcmpError>, ErrorCode>> {
        let (socket, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            Ok((state.handles.get(&this)?.socket.clone(), state.begin_call()?))
        })?;
        super::let_others_run().await;
        let errors = socket.errors(MAX_ERRORS).await;
        accessor.with(|mut access| {
            let state = access.get();
            let errors = state.ipv4(&this)?.and_then(|_| errors.map_err(|e| state.os_error("receive ICMP errors", &e)));
            Ok(errors.map(|errors| errors.into_iter().map(error_out).collect()))
        })
    }
}

fn sent_out(sent: sys::Ipv4Sent) -> Ipv4Sent {
    Ipv4Sent {
        packets: sent.packets,
        too_big: sent.too_big,
        unreachable: sent.unreachable,
        queue_full: sent.queue_full,
        refused: sent.refused,
    }
}

fn error_out(error: sys::IcmpError) -> IcmpError {
    IcmpError {
        reporter: error.reporter.map(ipv4_out),
        destination: ipv4_out(error.destination),
        kind: error.kind,
        code: error.code,
        mtu: error.mtu,
        quoted: error.quoted,
    }
}
