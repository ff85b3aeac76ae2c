//! `tun`: devices that are held, asked of the grant at every batch.

use std::sync::Arc;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::tun::{Host, HostDevice, HostDeviceWithStore, Written};
use super::bindings::portreeve::plugin::types::ErrorCode;
use crate::grants::Access;
use crate::sys::TunDevice;

/// Bounds of what one `receive` gives, in bytes.
pub(super) const BATCH: std::ops::RangeInclusive<u32> = 64 * 1024..=1024 * 1024;

/// A held device.
pub struct TunHandle(Arc<dyn TunDevice>);

impl Host for State {}

impl HostDevice for State {
    fn open(&mut self, name: String) -> Result<Result<Resource<TunHandle>, ErrorCode>> {
        Ok(self.open_tun(&name))
    }

    fn index(&mut self, this: Resource<TunHandle>) -> Result<u32> {
        Ok(self.handles.get(&this)?.0.index())
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
        let opened = self.meter.excuse(|| self.shared.kernel.open_tun(name));
        let device = opened.map_err(|error| match error.raw_os_error() {
            Some(libc::EBUSY) => ErrorCode::Exists,
            Some(libc::ENODEV) => ErrorCode::NotFound,
            _ => self.os_error("hold a tun device", &error),
        })?;
        self.push(TunHandle(device))
    }

    /// The device of a handle, if it may still be used.
    fn tun(&mut self, this: &Resource<TunHandle>) -> Result<Result<Arc<dyn TunDevice>, ErrorCode>> {
        let device = self.handles.get(this)?.0.clone();
        let name = self.name_of(device.index());
        Ok(name.and_then(|name| self.check(Access::Tun(&name))).map(|()| device))
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
            Ok((state.handles.get(&this)?.0.clone(), state.begin_call()?))
        })?;
        super::let_others_run().await;
        let received = device.receive(max.clamp(*BATCH.start(), *BATCH.end()) as usize).await;
        Ok(accessor.with(|mut access| {
            let state = access.get();
            // The grant may have changed while this waited, and the device may have gone.
            let name = state.name_of(device.index())?;
            state.check(Access::Tun(&name))?;
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
            Ok((state.tun(&this)?, state.begin_call()?))
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
