//! Tun devices of a plugin on the kernel itself: packets in short reads and long writes, and the end of a stream.

use std::net::UdpSocket;
use std::sync::Arc;

use portreeve::grants::{Grants, Need, Pattern};
use portreeve::plugin::engine::TURN_LIMIT;
use portreeve::plugin::instance::{Ended, What};
use portreeve_tests::lab::{Failure, Result, ensure};

use super::inside::{Place, Probe, grants};

fn needs() -> Vec<Need> {
    let pattern = |text| Pattern::new(text).expect("a pattern");
    vec![
        Need::Tun(pattern("tun*")),
        Need::Configure(pattern("tun*")),
        Need::Create { interfaces: pattern("tun*"), kinds: ["tun".to_owned()].into() },
    ]
}

async fn open(place: &Place, probe: &Probe) -> Result {
    probe.expect("make tun0 tun", &["changes 1"]).await?;
    place.router.run("ip link set tun0 up")?;
    place.router.run("ip addr add 10.9.0.1/24 dev tun0")?;
    // The core hears of a new link when the kernel tells it.
    let mut answer = Vec::new();
    for _ in 0..100 {
        answer = probe.call("socket tun open tun0").await?;
        if answer != ["gone"] {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    ensure(answer == ["ok"], || format!("{answer:?}"))
}

#[test]
fn short_reads_give_whole_packets_and_lose_none() -> Result {
    const PACKETS: usize = 200;
    const PAYLOAD: usize = 1000;
    let place = Place::new()?;
    place.run(&needs(), async |probe| {
        open(&place, &probe).await?;
        probe.expect("socket tun again", &["exists"]).await?;
        let send = || {
            let socket = UdpSocket::bind("10.9.0.1:0")?;
            (0..PACKETS).try_for_each(|_| socket.send_to(&[7; PAYLOAD], "10.9.0.2:9").map(drop))
        };
        place.router.enter(send)?.map_err(|error| Failure::new(format!("cannot send: {error}")))?;
        let (mut packets, mut bytes, mut reads) = (0, 0, 0);
        while packets < PACKETS {
            let read = probe.call("socket tun read").await?;
            let numbers: Vec<usize> = read.iter().filter_map(|word| word.parse().ok()).collect();
            let [count, size] = numbers[..] else { return Err(Failure::new(format!("{read:?}"))) };
            (packets, bytes, reads) = (packets + count, bytes + size, reads + 1);
        }
        ensure((packets, bytes) == (PACKETS, PACKETS * (PAYLOAD + 28)), || {
            format!("{packets} packets, {bytes} bytes")
        })?;
        ensure(reads >= 3, || format!("{reads} reads of 72 KiB for {bytes} bytes"))
    })
}

#[test]
fn a_long_write_is_taken_in_parts_and_what_is_no_frame_is_dropped_and_counted() -> Result {
    let place = Place::new()?;
    place.run(&needs(), async |probe| {
        open(&place, &probe).await?;
        probe.expect("socket tun write 20000", &["20000", "2"]).await?;
        probe.expect("socket tun write 0", &["20000", "4"]).await
    })
}

#[test]
fn a_plugin_that_always_has_frames_to_send_is_not_taken_for_one_that_spins_and_can_be_ended() -> Result {
    let place = Place::new()?;
    place.run(&needs(), async |mut probe| {
        open(&place, &probe).await?;
        let _answer = probe.ask("socket tun forever");
        let early = tokio::time::timeout(TURN_LIMIT * 4, probe.events.recv()).await;
        ensure(early.is_err(), || format!("it ended: {early:?}"))?;
        probe.instance.kill();
        let event = tokio::time::timeout(super::WITHIN, probe.events.recv()).await;
        let is_stopped = matches!(&event, Ok(Some(event)) if event.what == What::Ended(Ended::Stopped));
        ensure(is_stopped, || format!("it was not ended: {event:?}"))
    })
}

#[test]
fn whoever_waits_for_packets_is_told_that_the_device_is_gone() -> Result {
    let place = Place::new()?;
    place.run(&needs(), async |probe| {
        open(&place, &probe).await?;
        // What the kernel itself sends there, of IPv6, comes first.
        drain(&probe, || place.router.run("ip link del tun0"), "gone").await
    })
}

#[test]
fn whoever_waits_for_packets_is_told_that_the_grant_was_taken_back() -> Result {
    let place = Place::new()?;
    place.run(&needs(), async |probe| {
        open(&place, &probe).await?;
        let take = || {
            probe.instance.set_grants(Arc::new(Grants::none()));
            Ok(())
        };
        drain(&probe, take, "denied").await?;
        probe.instance.set_grants(Arc::new(grants(&needs())));
        probe.expect("socket tun open tun0", &["exists"]).await
    })
}

/// Reads until nothing comes any more, then does `end`, and fails unless the read that waits comes to `expected`.
async fn drain(probe: &Probe, end: impl FnOnce() -> Result, expected: &str) -> Result {
    let silence = std::time::Duration::from_millis(300);
    let mut end = Some(end);
    loop {
        let mut waiting = probe.ask("socket tun read");
        let read = match tokio::time::timeout(silence, &mut waiting).await {
            Ok(read) => read,
            Err(_) => {
                if let Some(end) = end.take() {
                    end()?;
                }
                tokio::time::timeout(super::WITHIN, waiting)
                    .await
                    .map_err(|_| Failure::new("a read waits although its stream should have ended"))?
            }
        };
        let answer = read.ok().and_then(|answer| answer.ok()).ok_or_else(|| Failure::new("no answer"))?;
        let words: Vec<&str> = answer.values.iter().map(|(_, value)| value.as_str()).collect();
        if words.len() == 1 {
            return ensure(words == [expected] && end.is_none(), || format!("{words:?}, not {expected}"));
        }
    }
}
