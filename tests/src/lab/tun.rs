//! A tun device of a test: packets that a test writes come in by it, and what the kernel sends out of it is read here.
//!
//! The kernel judges a packet while it is written, so what it lets through is in the queue of the other device when the
//! write returns. Nobody should count on that: readers wait for a packet that they know, with a deadline.

use std::time::{Duration, Instant};

use super::{Failure, Netns, Result};

/// More than the largest packet.
const LARGEST: usize = 65_536;
/// Packets that wait in the device until they are read.
const QUEUE: u32 = 4096;

/// A device, gone with its value.
pub struct Tun {
    device: tun::Device,
    name: String,
}

impl Tun {
    /// Makes one in this namespace and brings it up. It takes whatever is routed to it.
    ///
    /// # Errors
    /// If there is one of this name, or no right to make one.
    pub fn new(netns: &Netns, name: &str) -> Result<Self> {
        let mut configuration = tun::Configuration::default();
        configuration.tun_name(name);
        let device = netns.enter(|| tun::create(&configuration))?;
        let device = device.map_err(|error| Failure::new(format!("cannot make the tun device {name}: {error}")))?;
        netns.run(&format!("ip link set {name} txqueuelen {QUEUE} up"))?;
        Ok(Self { device, name: name.to_owned() })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has a packet come in.
    ///
    /// # Errors
    /// What the kernel says: it is no packet, or the device is down.
    pub fn send(&self, packet: &[u8]) -> Result {
        match self.device.send(packet) {
            Ok(length) if length == packet.len() => Ok(()),
            Ok(length) => Err(Failure::new(format!("{}: {length} of {} bytes", self.name, packet.len()))),
            Err(error) => Err(Failure::new(format!("cannot send by {}: {error}", self.name))),
        }
    }

    /// The next packet that leaves by it; none if there is none within `within`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn receive(&self, within: Duration) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; LARGEST];
        match self.device.recv_timeout(&mut buffer, within) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock) => {
                Ok(None)
            }
            Err(error) => Err(Failure::new(format!("cannot receive by {}: {error}", self.name))),
        }
    }

    /// Everything that leaves by it up to the packet that `is_last` knows, which is left out.
    ///
    /// # Errors
    /// If that does not come within `within`.
    pub fn receive_until(&self, within: Duration, is_last: impl Fn(&[u8]) -> bool) -> Result<Vec<Vec<u8>>> {
        let (end, mut packets) = (Instant::now() + within, Vec::new());
        while let Some(packet) = self.receive(end.saturating_duration_since(Instant::now()))? {
            if is_last(&packet) {
                return Ok(packets);
            }
            packets.push(packet);
        }
        Err(Failure::new(format!("the last of the packets does not leave by {}; {} did", self.name, packets.len())))
    }
}

impl std::fmt::Debug for Tun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tun").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lab;
    use super::*;

    #[test]
    fn a_packet_is_forwarded_from_one_device_to_another() {
        let mut lab = Lab::new().unwrap();
        let netns = lab.netns("a").unwrap();
        let (a, b) = (Tun::new(&netns, "tun0").unwrap(), Tun::new(&netns, "tun1").unwrap());
        netns.sysctl("net.ipv4.ip_forward", "1").unwrap();
        netns.run("ip addr add 10.1.0.1/24 dev tun0").unwrap();
        netns.run("ip addr add 10.2.0.1/24 dev tun1").unwrap();
        // From 10.1.0.2 to 10.2.0.2, protocol 253, a time to live of 9.
        let packet = [0x45, 0, 0, 20, 0, 0, 0, 0, 9, 253, 0x9c, 0xe7, 10, 1, 0, 2, 10, 2, 0, 2];
        a.send(&packet).unwrap();
        let last = |packet: &[u8]| packet.get(8..10) == Some(&[8, 253]);
        b.receive_until(Duration::from_secs(5), last).unwrap();
        assert_eq!(b.receive(Duration::ZERO).unwrap(), None);
    }
}
