//! UDP from the client to the server as fast as the client can, counted at the server by what its program is given:
//! super-packets ([`bulk`]), and datagrams of 64 bytes ([`small`]).
//!
//! The sender does not know what arrives. It is a thread that always wants to run, so it shares the cores with the
//! translator and the receiver; what is lost is lost where the way is narrowest.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::{RcvBufForce, UdpGroSegment, UdpGsoSegment};

use crate::bench::batch::{BATCH, Inbox, Outbox};
use crate::bench::traffic::{Far, Transfer};
use crate::lab::{Netns, Result, ensure};

/// Payload of a small datagram.
pub const SMALL: usize = 64;
/// Payload of a segment: with its headers below 1500 bytes in both families.
const SEGMENT: u16 = 1400;
/// Segments that one call sends; with their headers they fit one super-packet of 64 KiB.
const SEGMENTS: usize = 45;
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
const WARM_UP: Duration = Duration::from_millis(300);
/// A receiver without work looks so often whether all is over.
const LOOK: Duration = Duration::from_millis(50);

/// Sends super-packets (`UDP_SEGMENT`), which the receiver takes whole if they come whole (`UDP_GRO`).
///
/// # Errors
/// No sockets, or nothing arrives.
pub fn bulk(client: &Netns, far: Far<'_>, lasting: Duration) -> Result<Transfer> {
    let (near, far) = sockets(client, far)?;
    setsockopt(&near, UdpGsoSegment, &i32::from(SEGMENT)).map_err(std::io::Error::from)?;
    setsockopt(&far, UdpGroSegment, &true).map_err(std::io::Error::from)?;
    let datagram = vec![0x5a; usize::from(SEGMENT) * SEGMENTS];
    let (near, far, datagram) = (&near, &far, &datagram);
    saturate(
        lasting,
        // What finds no room is lost, as in any network.
        || move || usize::from(near.send(datagram).is_ok()),
        || {
            let mut buffer = vec![0; 65_536];
            move || far.recv(&mut buffer).unwrap_or(0)
        },
    )
}

/// Sends datagrams of [`SMALL`] bytes, many for each system call.
///
/// # Errors
/// No sockets, or nothing arrives.
pub fn small(client: &Netns, far: Far<'_>, lasting: Duration) -> Result<Transfer> {
    let (near, far) = sockets(client, far)?;
    let (near, far, datagrams) = (&near, &far, &[[0x5a_u8; SMALL]; BATCH]);
    saturate(
        lasting,
        || {
            let mut outbox = Outbox::<()>::new();
            move || outbox.send(near, datagrams, &[None; BATCH]).unwrap_or(0)
        },
        || {
            let mut inbox = Inbox::<()>::new(2 * SMALL);
            move || {
                let mut bytes = 0;
                let _ = inbox.wait(far, |datagram, _| bytes += datagram.len());
                bytes
            }
        },
    )
}

/// A connected socket of the client and the server's.
fn sockets(client: &Netns, server: Far<'_>) -> Result<(UdpSocket, UdpSocket)> {
    let far = server.netns.enter(|| UdpSocket::bind((server.address, 0)))??;
    setsockopt(&far, RcvBufForce, &RECEIVE_BUFFER).map_err(std::io::Error::from)?;
    far.set_read_timeout(Some(LOOK))?;
    let port = far.local_addr()?.port();
    let near = client
        .enter(|| UdpSocket::bind("[::]:0").and_then(|near| near.connect((server.called, port)).map(|()| near)))??;
    Ok((near, far))
}

/// Makes both in threads of their own, calls them for ever, and counts the bytes that the receiver gives during `lasting`.
fn saturate<S: FnMut() -> usize, R: FnMut() -> usize>(
    lasting: Duration,
    sender: impl FnOnce() -> S + Send,
    receiver: impl FnOnce() -> R + Send,
) -> Result<Transfer> {
    let (counted, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut send = sender();
            while !over.load(Ordering::Relaxed) {
                if send() == 0 {
                    std::thread::yield_now();
                }
            }
        });
        scope.spawn(|| {
            let mut receive = receiver();
            while !over.load(Ordering::Relaxed) {
                counted.fetch_add(u64::try_from(receive()).unwrap_or(0), Ordering::Relaxed);
            }
        });
        // Not for luck: this is the time that is measured.
        std::thread::sleep(WARM_UP);
        let (begun, before) = (Instant::now(), counted.load(Ordering::Relaxed));
        std::thread::sleep(lasting);
        let done = Transfer { bytes: counted.load(Ordering::Relaxed) - before, took: begun.elapsed() };
        over.store(true, Ordering::Relaxed);
        done
    });
    ensure(done.bytes > 0, || "no datagram arrived".to_owned())?;
    Ok(done)
}
