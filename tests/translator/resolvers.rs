//! Resolvers that are dead, lie or babble: hosts get the answers of those that do not, or are told that there are none.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use portreeve_tests::lab::{Result, ensure, wait_until};

use super::dns::{FALSE, Manner, Resolver};
use super::echo;
use super::programs::{dig, dig_in_full};
use super::scene::{DNS64, GATEWAYS, RESOLVERS, SERVER, Scene, WITHIN, nat64_of};
use super::status::{self, LIES};
use super::talk::Talk;

/// The second one is asked first.
fn two() -> String {
    DNS64.replace("resolvers: [", "resolvers: [\"198.51.100.54\", ")
}

/// A scene whose preferred resolver behaves like this.
fn scene(manner: Manner) -> Result<(Scene, Resolver)> {
    let scene = Scene::new(&two())?;
    let preferred = Resolver::start(&scene.server, RESOLVERS[1], manner)?;
    Ok((scene, preferred))
}

/// The first host asks for a name that is new, and gets what is right.
fn asks(scene: &Scene, number: u32) -> Result<Duration> {
    let begun = Instant::now();
    let heard = dig(&scene.hosts[0], GATEWAYS[0], &format!("AAAA r{number}.many.example"))?;
    ensure(heard == [nat64_of(SERVER).to_string()], || format!("{heard:?}"))?;
    Ok(begun.elapsed())
}

#[test]
fn a_silent_resolver_is_passed_over() -> Result {
    let (scene, silent) = scene(Manner::Silent)?;
    let talk = Talk::start(&scene.hosts[1], scene.echo_at())?;
    let took: Vec<Duration> = (0..12).map(|number| asks(&scene, number)).collect::<Result<_>>()?;
    println!("{took:?}");
    // `dig` itself takes a part of it.
    ensure(took[0] < Duration::from_secs(4), || format!("{took:?}"))?;
    let late = took[6..].iter().filter(|took| **took > Duration::from_millis(700)).count();
    ensure(late <= 1, || format!("it is still waited for: {took:?}"))?;
    ensure(silent.asked() > 0, || "it was never asked".to_owned())?;
    let first = status::asked(scene.core(), "198.51.100.54")? + status::asked(scene.core(), "198.51.100.54:53")?;
    ensure(first > 0, || "status does not tell that it was asked".to_owned())?;
    status::is_untouched(scene.core())?;
    talk.finish().map(drop)
}

#[test]
fn a_host_is_told_when_no_resolver_answers_and_served_when_one_does_again() -> Result {
    let (scene, preferred) = scene(Manner::Silent)?;
    scene.resolver.behave(Manner::Silent);
    let begun = Instant::now();
    let text = dig_in_full(&scene.hosts[0], GATEWAYS[0], "AAAA only4.example")?;
    ensure(text.contains("status: SERVFAIL"), || text)?;
    ensure(begun.elapsed() < Duration::from_secs(8), || format!("after {:?}", begun.elapsed()))?;
    preferred.behave(Manner::Honest);
    let mut number = 100;
    wait_until("an answer", WITHIN, || {
        number += 1;
        asks(&scene, number).ok()
    })?;
    status::is_untouched(scene.core())
}

#[test]
fn lies_are_counted_and_never_passed_on() -> Result {
    for manner in [Manner::WrongId, Manner::WrongQuestion, Manner::Garbage] {
        let (scene, liar) = scene(manner)?;
        let talk = Talk::start(&scene.hosts[1], scene.echo_at())?;
        let memory = status::memory(scene.core())?;
        for number in 0..10 {
            asks(&scene, number).map_err(|failure| failure.with("manner", &format!("{manner:?}")))?;
        }
        // Alone, it has nothing to say that counts.
        scene.resolver.behave(manner);
        let text = dig_in_full(&scene.hosts[0], GATEWAYS[0], "AAAA last.many.example")?;
        let lie = nat64_of(FALSE).to_string();
        ensure(text.contains("status: SERVFAIL") && !text.contains(&lie), || format!("{manner:?}: {text}"))?;
        ensure(liar.asked() > 0, || format!("{manner:?}: it was never asked"))?;
        scene.counts("lies", 0, |core| LIES.iter().map(|name| status::dns64(core, name)).sum())?;
        let now = status::memory(scene.core())?;
        ensure(now <= memory + (4 << 20), || format!("memory grew from {memory} to {now} bytes"))?;
        status::is_untouched(scene.core())?;
        talk.finish()?;
    }
    Ok(())
}

#[test]
fn questions_that_are_none_do_no_harm() -> Result {
    let scene = Scene::new(DNS64)?;
    let mut random = fastrand::Rng::with_seed(1035);
    let socket: UdpSocket = echo::udp_socket(&scene.hosts[0], super::dns::at(GATEWAYS[0]))?;
    for number in 0..3000_u16 {
        let mut bytes = super::dns::question(number, "only4.example");
        for _ in 0..random.usize(1..6) {
            let at = random.usize(2..bytes.len());
            bytes[at] = random.u8(..);
        }
        bytes.truncate(random.usize(0..=bytes.len()));
        // An ICMP error would be told here.
        socket.send(&bytes)?;
    }
    asks(&scene, 0)?;
    status::is_untouched(scene.core())
}
