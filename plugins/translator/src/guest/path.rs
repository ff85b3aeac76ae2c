//! One instance's packets: a tun device, and the [`DataPath`] that translates what comes out of it where it lies.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use portreeve_sdk::clock;
use portreeve_sdk::tun::{Device, Offloads};
use portreeve_sdk::types::ErrorCode;

use crate::Instant;
use crate::nat64::Table;
use crate::xlat::DataPath;

/// Bytes that are asked for at once. A few large packets fill it, or a few thousand small ones; what is larger leaves
/// the processor's caches.
const BATCH: usize = 256 * 1024;
/// Padding in front of each packet: an IPv6 header is longer than an IPv4 one.
const HEADROOM: u32 = portreeve_packet::vnet::HEADROOM as u32;

/// The data path of an instance.
pub type Data = Rc<RefCell<DataPath<Table>>>;

/// What translating cost, without what the kernel did.
#[derive(Default)]
pub struct Spent {
    pub nanoseconds: Cell<u64>,
    pub batches: Cell<u64>,
}

/// Opens the device of an instance.
pub fn open(name: &str) -> Result<Rc<Device>, String> {
    Device::open(name).map(Rc::new).map_err(|code| format!("cannot hold tun device {name}: {}", code.name()))
}

/// Translates until something is wrong, and gives what.
pub async fn carry(data: Data, spent: Rc<Spent>, device: Rc<Device>) -> String {
    match translate(&data, &spent, &device).await {
        Ok(()) => format!("the tun device ended: {}", device.reason().name()),
        Err(code) => format!("cannot exchange packets with the tun device: {}", code.name()),
    }
}

async fn translate(data: &RefCell<DataPath<Table>>, spent: &Spent, device: &Device) -> Result<(), ErrorCode> {
    let (mut packets, mut outlet) = (device.packets(HEADROOM)?, device.outlet()?);
    let (mut batch, mut side) = (Vec::with_capacity(BATCH), Vec::new());
    while let Some(mut received) = packets.receive(batch).await {
        let begun = clock::now();
        data.borrow_mut().handle_batch(&mut received, &mut side, Instant::from_nanos(begun));
        spent.nanoseconds.set(spent.nanoseconds.get() + clock::now().saturating_sub(begun));
        spent.batches.set(spent.batches.get() + 1);
        let Some(empty) = outlet.send(received).await else { return Ok(()) };
        batch = empty;
        let Some(empty) = outlet.send(side).await else { return Ok(()) };
        side = empty;
    }
    Ok(())
}

/// The offloads in words.
pub const fn offloads(offloads: Offloads) -> &'static str {
    match offloads {
        Offloads::None => "none",
        Offloads::Checksum => "checksum",
        Offloads::Tcp => "checksum, TCP",
        Offloads::Udp => "checksum, TCP, UDP",
    }
}
