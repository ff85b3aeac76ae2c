//! The WIT interface `tun` as plain Rust: a device, the batches of packets that come out of it, and the way back.
//!
//! Batches lie in vectors that go round: what [`Packets::receive`] fills is changed in place, handed to
//! [`Outlet::send`], and comes back empty with its memory.

use wit_bindgen::StreamResult;

use crate::bindings::portreeve::plugin::tun as raw;
use crate::bindings::wit_stream;
use crate::types::ErrorCode;

pub use raw::{Counters, Offloads};

/// A read must offer so many bytes: a packet of 64 KiB and what goes with it.
pub const MIN_READ: usize = 72 * 1024;

/// A tun device that is held.
pub struct Device(raw::Device);

impl Device {
    /// Takes hold of a device, alone.
    ///
    /// # Errors
    /// See the WIT interface.
    pub fn open(name: &str) -> Result<Self, ErrorCode> {
        raw::Device::open(name).map(Self)
    }

    /// Its interface.
    pub fn index(&self) -> u32 {
        self.0.index()
    }

    /// The offloads in use.
    pub fn offloads(&self) -> Offloads {
        self.0.offloads()
    }

    /// What went through it.
    ///
    /// # Errors
    /// Why its streams ended.
    pub fn counters(&self) -> Result<Counters, ErrorCode> {
        self.0.counters()
    }

    /// The packets that come out of it, each with `headroom` bytes of padding in front.
    ///
    /// # Errors
    /// See the WIT interface.
    pub fn packets(&self, headroom: u32) -> Result<Packets, ErrorCode> {
        self.0.packets(headroom).map(Packets)
    }

    /// A way to send packets into it.
    ///
    /// # Errors
    /// See the WIT interface.
    pub fn outlet(&self) -> Result<Outlet, ErrorCode> {
        let (writer, reader) = wit_stream::new::<u8>();
        self.0.send(reader)?;
        Ok(Outlet(writer))
    }

    /// Why a stream ended.
    pub fn reason(&self) -> ErrorCode {
        self.0.counters().err().unwrap_or(ErrorCode::Gone)
    }
}

/// What comes out of a device.
pub struct Packets(wit_bindgen::StreamReader<u8>);

impl Packets {
    /// Waits for packets and fills the memory of `batch`, whose content is dropped, with those that are there; at least
    /// [`MIN_READ`] bytes of it. None when the stream has ended.
    pub async fn receive(&mut self, mut batch: Vec<u8>) -> Option<Vec<u8>> {
        batch.clear();
        batch.reserve(MIN_READ);
        let (result, batch) = self.0.read(batch).await;
        matches!(result, StreamResult::Complete(_)).then_some(batch)
    }
}

/// What goes into a device.
pub struct Outlet(wit_bindgen::StreamWriter<u8>);

impl Outlet {
    /// Hands a batch over and gives its memory back, empty. None when the stream has ended.
    pub async fn send(&mut self, mut batch: Vec<u8>) -> Option<Vec<u8>> {
        while !batch.is_empty() {
            let (result, rest) = self.0.write(batch).await;
            batch = rest.into_vec();
            if !matches!(result, StreamResult::Complete(_)) {
                return None;
            }
        }
        Some(batch)
    }
}
