//! `tun`: devices that are held, and the streams of their packets, asked of the grant at every batch.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};

use tokio::task::coop;
use wasmtime::component::{
    Access as StoreAccess, Destination, HasSelf, Resource, Source, StreamConsumer, StreamProducer, StreamReader,
    StreamResult,
};
use wasmtime::{AsContextMut, Result, StoreContextMut};

use super::State;
use super::bindings::portreeve::plugin::tun::{Counters, Host, HostDevice, HostDeviceWithStore, Offloads};
use super::bindings::portreeve::plugin::types::ErrorCode;
use super::counted::Counted;
use super::standing::Standing;
use crate::config::LogLevel;
use crate::grants::Access;
use crate::reconcile::tag;
use crate::sys::{self, BoxFuture, Link, TunDevice, frames};

/// The most that one read gives and one write takes at once, in bytes.
const MAX_BATCH: usize = 1024 * 1024;
/// Frames of one write that are taken at once, padding among them.
const MAX_FRAMES: usize = 4096;
/// Bytes of padding that can be asked for in front of a packet.
const HEADROOM: std::ops::RangeInclusive<u32> = 4..=256;

/// A held device.
pub struct TunHandle {
    device: Arc<dyn TunDevice>,
    /// Whether there is a stream of its packets: the reactor wakes only one.
    packets: Arc<AtomicUsize>,
    _counted: Counted,
}

impl Host for State {}

impl HostDevice for State {
    fn open(&mut self, name: String) -> Result<Result<Resource<TunHandle>, ErrorCode>> {
        Ok(self.open_tun(&name))
    }

    fn index(&mut self, this: Resource<TunHandle>) -> Result<u32> {
        Ok(self.handles.get(&this)?.device.index())
    }

    fn offloads(&mut self, this: Resource<TunHandle>) -> Result<Offloads> {
        Ok(match self.handles.get(&this)?.device.offloads() {
            sys::Offloads::None => Offloads::None,
            sys::Offloads::Checksum => Offloads::Checksum,
            sys::Offloads::Tcp => Offloads::Tcp,
            sys::Offloads::Udp => Offloads::Udp,
        })
    }

    fn counters(&mut self, this: Resource<TunHandle>) -> Result<Result<Counters, ErrorCode>> {
        let device = self.handles.get(&this)?.device.clone();
        Ok(self.check_tun(device.index()).map(|()| {
            let sys::TunCounters { received, sent, dropped } = device.counters();
            Counters { received, sent, dropped }
        }))
    }

    fn drop(&mut self, this: Resource<TunHandle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

impl State {
    fn open_tun(&mut self, name: &str) -> Result<Resource<TunHandle>, ErrorCode> {
        self.check(Access::Tun(name))?;
        let table = self.shared.kernel.links().borrow().clone();
        if let Some(link) = table.links.values().find(|link| link.name == name) {
            self.check_owner(link)?;
        }
        let counted = self.counts.socket().ok_or(ErrorCode::Limit)?;
        let opened = self.meter.excuse(|| self.shared.kernel.open_tun(name));
        let device = opened.map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => ErrorCode::Exists,
            Some(libc::ENODEV) => ErrorCode::NotFound,
            _ => self.os_error("hold a tun device", &error),
        })?;
        self.push(TunHandle { device, packets: Arc::default(), _counted: counted })
    }

    /// The device of a handle, if it may still be used, for a stream.
    fn open_stream(&mut self, this: &Resource<TunHandle>) -> Result<Result<Held, ErrorCode>> {
        let device = self.handles.get(this)?.device.clone();
        Ok(self.check_tun(device.index()).and_then(|()| Ok((device, self.counts.socket().ok_or(ErrorCode::Limit)?))))
    }

    /// Asks the grant for the name that the device has now.
    fn check_tun(&mut self, index: u32) -> Result<(), ErrorCode> {
        let table = self.shared.kernel.links().borrow().clone();
        let link = table.links.get(&index).ok_or(ErrorCode::Gone)?;
        self.check(Access::Tun(&link.name))?;
        self.check_owner(link)
    }

    /// What was made for a plugin is no other plugin's, whatever the names that are granted.
    fn check_owner(&mut self, link: &Link) -> Result<(), ErrorCode> {
        let Some(alias) = link.alias.as_deref().filter(|alias| alias.starts_with(&tag(""))) else { return Ok(()) };
        if alias == tag(&self.plugin) {
            return Ok(());
        }
        let fields = vec![("link".to_owned(), link.name.clone()), ("alias".to_owned(), alias.to_owned())];
        self.log(LogLevel::Warn, "denied: the tun device was made for another plugin", fields);
        Err(ErrorCode::Denied)
    }
}

impl HostDeviceWithStore<State> for HasSelf<State> {
    fn packets(
        mut access: StoreAccess<'_, State, Self>,
        this: Resource<TunHandle>,
        headroom: u32,
    ) -> Result<Result<StreamReader<u8>, ErrorCode>> {
        let state = access.get();
        let changed = Box::pin(state.standing().next());
        let (device, counted) = match state.open_stream(&this)? {
            Ok(opened) if headroom == 0 || HEADROOM.contains(&headroom) => opened,
            Ok(_) => return Ok(Err(ErrorCode::InvalidArgument)),
            Err(code) => return Ok(Err(code)),
        };
        let Some(only) = Counted::new(&state.handles.get(&this)?.packets, 1) else {
            return Ok(Err(ErrorCode::Exists));
        };
        let packets = Packets { device, headroom: headroom as usize, changed, _counted: (counted, only) };
        StreamReader::new(access, packets).map(Ok)
    }

    fn send(
        mut access: StoreAccess<'_, State, Self>,
        this: Resource<TunHandle>,
        mut frames: StreamReader<u8>,
    ) -> Result<Result<(), ErrorCode>> {
        match access.get().open_stream(&this)? {
            Ok((device, counted)) => {
                let outlet = Outlet { device, _counted: counted };
                frames.pipe(access, outlet).map(Ok)
            }
            Err(code) => {
                frames.close(access)?;
                Ok(Err(code))
            }
        }
    }
}

/// A device and the count of one more stream of it.
type Held = (Arc<dyn TunDevice>, Counted);

/// What comes out of a device.
struct Packets {
    device: Arc<dyn TunDevice>,
    headroom: usize,
    /// Links or grants have changed since the device was last asked for. The kernel tells nobody who waits for packets that
    /// the device is gone.
    changed: BoxFuture<'static, Standing>,
    _counted: (Counted, Counted),
}

impl StreamProducer<State> for Packets {
    type Item = u8;
    type Buffer = Option<u8>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, State>,
        destination: Destination<'a, u8, Option<u8>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let this = self.get_mut();
        while let Poll::Ready(standing) = this.changed.as_mut().poll(cx) {
            this.changed = Box::pin(standing.next());
        }
        if store.data_mut().check_tun(this.device.index()).is_err() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        if destination.remaining(store.as_context_mut()) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let meter = store.data().meter.clone();
        let mut destination = destination.as_direct(store, MAX_BATCH);
        let into = destination.remaining();
        let room = into.len().min(MAX_BATCH);
        let into = into.get_mut(..room).unwrap_or_default();
        match meter.excuse(|| this.device.poll_receive(cx, into, this.headroom)) {
            Poll::Ready(Ok(bytes)) => {
                destination.mark_written(bytes);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            // The plugin asks for the reason.
            Poll::Ready(Err(_)) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// What goes into a device.
struct Outlet {
    device: Arc<dyn TunDevice>,
    _counted: Counted,
}

impl StreamConsumer<State> for Outlet {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, State>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        // A device takes frames as fast as they come: others would never have their turn.
        let Poll::Ready(turn) = coop::poll_proceed(cx) else {
            return if finish { Poll::Ready(Ok(StreamResult::Cancelled)) } else { Poll::Pending };
        };
        turn.made_progress();
        let state = store.data_mut();
        if state.check_tun(self.device.index()).is_err() {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        let meter = state.meter.clone();
        let mut source = source.as_direct(store);
        let frames = frames::beginning(source.remaining(), MAX_BATCH, MAX_FRAMES);
        let taken = frames.len();
        let sent = meter.excuse(|| self.device.send(frames));
        source.mark_read(taken);
        let result = if sent.is_ok() { StreamResult::Completed } else { StreamResult::Dropped };
        Poll::Ready(Ok(result))
    }
}
