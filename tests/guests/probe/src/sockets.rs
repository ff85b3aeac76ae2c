//! Sockets and a tun device that stay open between commands, with real packets.

use portreeve_sdk::tun::{Device, Packets};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::udp::{self, Connection, Ends, Listener, datagrams};

/// Of each kind the one that was opened last.
#[derive(Default)]
pub struct Sockets {
    udp: Option<udp::Socket>,
    listener: Option<Listener>,
    connection: Option<Connection>,
    tun: Option<Device>,
    packets: Option<Packets>,
}

/// Bytes of the header before a packet of a tun device.
const VNET: usize = 10;

impl Sockets {
    /// Does what the words behind `socket` say.
    pub async fn call(&mut self, words: &[&str]) -> Result<Vec<String>, ErrorCode> {
        let done = Ok(vec!["ok".to_owned()]);
        let none = || ErrorCode::NotFound;
        match *words {
            ["udp", "listen", interface, port] => {
                self.udp = Some(udp::Socket::listen(interface, number(port)?)?);
                done
            }
            ["udp", "connect", remote] => {
                self.udp = Some(udp::Socket::connect(udp::socket_address(parsed(remote)?))?);
                done
            }
            ["udp", "receive"] => {
                let batch = self.udp.as_ref().ok_or_else(none)?.receive(64).await?;
                Ok(datagrams(&batch).map(|(ends, payload)| text(&ends, payload)).collect())
            }
            ["udp", "echo"] => {
                let socket = self.udp.as_ref().ok_or_else(none)?;
                let batch = socket.receive(64).await?;
                let lines = datagrams(&batch).map(|(ends, payload)| text(&ends, payload)).collect();
                socket.send(batch).await?;
                Ok(lines)
            }
            ["udp", "send", peer, local, interface, payload] => {
                let ends = Ends { peer: parsed(peer)?, local: parsed(local)?, interface: parsed(interface)? };
                let mut batch = Vec::new();
                ends.push(payload.as_bytes(), &mut batch);
                sent(self.udp.as_ref().ok_or_else(none)?, batch).await
            }
            // A frame without a whole header among two that are well-formed.
            ["udp", "fault", peer] => {
                let ends = Ends { peer: parsed(peer)?, local: parsed("::")?, interface: 0 };
                let mut batch = Vec::new();
                ends.push(b"before", &mut batch);
                batch.extend_from_slice(&[3, 0, 0, 0, 1, 2, 3]);
                ends.push(b"behind", &mut batch);
                sent(self.udp.as_ref().ok_or_else(none)?, batch).await
            }
            ["tcp", "listen", interface, port] => {
                self.listener = Some(Listener::listen(interface, number(port)?)?);
                done
            }
            ["tcp", "accept"] => {
                let connection = self.listener.as_ref().ok_or_else(none)?.accept().await?;
                let ends = [connection.local(), connection.remote()].map(|end| udp::socket(end).to_string());
                self.connection = Some(connection);
                Ok(ends.to_vec())
            }
            ["tcp", "connect", remote] => {
                self.connection = Some(Connection::connect(udp::socket_address(parsed(remote)?)).await?);
                done
            }
            ["tcp", "send", text] => {
                self.connection.as_ref().ok_or_else(none)?.send(text.as_bytes().to_vec()).await.and(done)
            }
            ["tcp", "receive"] => {
                let bytes = self.connection.as_ref().ok_or_else(none)?.receive(1024).await?;
                Ok(vec![String::from_utf8_lossy(&bytes).into_owned()])
            }
            ["tun", "open", name] => {
                let device = Device::open(name)?;
                self.packets = Some(device.packets(8)?);
                self.tun = Some(device);
                done
            }
            ["tun", "again"] => self.tun.as_ref().ok_or_else(none)?.packets(0).map(drop).and(done),
            // One read that offers as little as there may be: the packets of IPv4 in it, and their bytes.
            ["tun", "read"] => match self.packets.as_mut().ok_or_else(none)?.receive(Vec::new()).await {
                Some(batch) => {
                    let (mut count, mut bytes) = (0, 0);
                    for packet in frames(&batch).filter_map(|frame| frame.get(VNET..)) {
                        if packet.first() == Some(&0x45) {
                            count += 1;
                            bytes += packet.len();
                        }
                    }
                    Ok(vec![count.to_string(), bytes.to_string()])
                }
                None => Err(self.tun.as_ref().map_or(ErrorCode::NotFound, Device::reason)),
            },
            // So many small packets in one write, then one frame that is too long, then one that is cut off.
            ["tun", "write", count] => {
                let device = self.tun.as_ref().ok_or_else(none)?;
                let mut batch = Vec::new();
                let packet = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 253, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1];
                for _ in 0..number(count)? {
                    batch.extend_from_slice(&((VNET + packet.len()) as u32).to_le_bytes());
                    batch.extend_from_slice(&[0; VNET]);
                    batch.extend_from_slice(&packet);
                }
                batch.extend_from_slice(&70_000u32.to_le_bytes());
                batch.resize(batch.len() + 70_000, 0);
                batch.extend_from_slice(&[9, 0, 0, 0, 1]);
                let mut outlet = device.outlet()?;
                outlet.send(batch).await.ok_or(ErrorCode::Gone)?;
                let counters = device.counters()?;
                Ok(vec![counters.sent.to_string(), counters.dropped.to_string()])
            }
            // Whole batches of padding and small packets, one after the other: there is never a reason to wait.
            ["tun", "forever"] => {
                let mut outlet = self.tun.as_ref().ok_or_else(none)?.outlet()?;
                let frame = [[12, 0, 0, 0].as_slice(), &[0; 12]].concat();
                let mut batch = frame.repeat(60_000);
                loop {
                    batch = outlet.send(batch).await.ok_or(ErrorCode::Gone)?;
                    batch.resize(frame.len() * 60_000, 0);
                }
            }
            _ => Ok(vec!["unknown command".to_owned()]),
        }
    }
}

async fn sent(socket: &udp::Socket, batch: Vec<u8>) -> Result<Vec<String>, ErrorCode> {
    let sent = socket.send(batch).await?;
    let counts = [sent.datagrams, sent.too_big, sent.unreachable, sent.queue_full, sent.refused];
    Ok(counts.iter().map(u32::to_string).collect())
}

fn text(ends: &Ends, payload: &[u8]) -> String {
    let payload = String::from_utf8_lossy(payload);
    // Without the scope, which is the interface.
    format!("{} {} {} {payload}", ends.peer.ip(), ends.local, ends.interface)
}

/// The frames of a batch, those of padding left out.
fn frames(mut batch: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (word, rest) = batch.split_first_chunk::<4>()?;
            let word = u32::from_le_bytes(*word);
            let (frame, rest) = rest.split_at_checked((word & 0x7fff_ffff) as usize)?;
            batch = rest;
            if word >> 31 == 0 {
                return Some(frame);
            }
        }
    })
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, ErrorCode> {
    text.parse().map_err(|_| ErrorCode::InvalidArgument)
}

fn number(text: &str) -> Result<u16, ErrorCode> {
    parsed(text)
}
