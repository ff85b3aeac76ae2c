//! `tun`: devices that are held, asked of the grant at every batch.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::tun::{Host, HostDevice, HostDeviceWithStore, Written};
use super::bindings::portreeve::plugin::types::ErrorCode;
use super::counted::Counted;
use crate::config::LogLevel;
use crate::grants::Access;
use crate::reconcile::tag;
use crate::sys::{Link, TunDevice};

/// The most that one `receive` gives, in bytes.
const MAX_BATCH: u32 = 1024 * 1024;
/// Bounds of what one `receive` gives, in bytes.
pub(super) const BATCH: std::ops::RangeInclusive<u32> = 64 * 1024..=MAX_BATCH;
/// The most that one `send` takes, in bytes: such a batch, and a packet more.
pub(super) const MAX_SEND: usize = MAX_BATCH as usize + 64 * 1024;

/// A held device.
pub struct TunHandle {
    device: Arc<dyn TunDevice>,
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
        self.push(TunHandle { device, _counted: counted })
    }

    /// The device of a handle, if it may still be used.
    fn tun(&mut self, this: &Resource<TunHandle>) -> Result<Result<Arc<dyn TunDevice>, ErrorCode>> {
        let device = self.handles.get(this)?.device.clone();
        Ok(self.check_tun(device.index()).map(|()| device))
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

impl<T: Send + 'static> HostDeviceWithStore<T> for HasSelf<State> {
    async fn receive(
        accessor: &Accessor<T, Self>,
        this: Resource<TunHandle>,
        max: u32,
    ) -> Result<Result<Vec<u8>, ErrorCode>> {
        let (device, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            Ok((state.handles.get(&this)?.device.clone(), state.begin_call()?))
        })?;
        super::let_others_run().await;
        let received = device.receive(max.clamp(*BATCH.start(), *BATCH.end()) as usize).await;
        Ok(accessor.with(|mut access| {
            let state = access.get();
            // The grant may have changed while this waited, and the device may have gone.
            state.check_tun(device.index())?;
            received.map_err(|error| gone(state.os_error("receive from a tun device", &error), &error))
        }))
    }

    async fn send(
        accessor: &Accessor<T, Self>,
        this: Resource<TunHandle>,
        batch: Vec<u8>,
    ) -> Result<Result<Written, ErrorCode>> {
        let (device, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            if batch.len() > MAX_SEND {
                return Ok((Err(ErrorCode::InvalidArgument), call));
            }
            Ok((state.tun(&this)?, call))
        })?;
        let device = match device {
            Ok(device) => device,
            Err(code) => return Ok(Err(code)),
        };
        super::let_others_run().await;
        let written = device.send(batch).await;
        Ok(written.map(|w| Written { frames: w.frames, dropped: w.dropped }).map_err(|error| {
            accessor.with(|mut access| gone(access.get().os_error("send to a tun device", &error), &error))
        }))
    }
}

/// A tun device whose link is gone answers EBADFD.
fn gone(code: ErrorCode, error: &std::io::Error) -> ErrorCode {
    if error.raw_os_error() == Some(libc::EBADFD) { ErrorCode::Gone } else { code }
}
