//! wasm only: moves links, packets and time between the host and the [`Engine`]. Decides nothing.
//!
//! One loop owns everything. It waits for whatever comes first (a request of the core, a change of links, packets,
//! the engine's timer), hands it to the engine, and then carries out what the engine says. What waits at the
//! host stays waiting over many turns of the loop; a call that was dropped half way could lose a packet.
//! Converting is in `guest/links.rs`, `guest/report.rs` and `guest/describe.rs`, sockets are in `guest/sockets.rs`.

mod describe;
mod links;
mod metrics;
mod report;
mod sockets;

use std::rc::Rc;

use portreeve_sdk::facts::{Fact, Kind, Watch};
use portreeve_sdk::futures::{FutureExt, select_biased};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{
    Diagnostic, Failure, Manifest, Planned, Plugin, Reply, Request, Requests, Standing, Timer, clock, diagnostics,
    random,
};

use crate::{Config, Engine, Instant};
use links::LinkBook;
use metrics::Metrics;
use sockets::Sockets;

struct Radvd;

portreeve_sdk::export!(Radvd);

impl Plugin for Radvd {
    fn describe() -> Manifest {
        describe::manifest()
    }

    fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
        describe::plan(section)
    }

    async fn run(section: String, mut requests: Requests) -> Result<(), Failure> {
        let config = parse(&section)?;
        let mut book = LinkBook::default();
        let follows = book.follow(&config)?;
        let mut given = Standing::default();
        follow_given(&config, &mut given)?;
        let mut engine = Engine::new(config, random::number(), now());
        let mut sockets = Sockets::default();
        let mut metrics = Metrics::default();
        let mut timer = Timer::default();
        if follows {
            // The first answer is what there is, at once, be it nothing: after it the plugin does its work.
            book.apply(&mut engine).await;
        }
        metrics.note(now());
        let mut changing: Option<(Reply<_>, _)> = None;
        loop {
            sockets.obey(&mut engine).await;
            if let Some((reply, done)) = changing.take_if(|_| !engine.takes_leave()) {
                reply.send(done);
            }
            metrics.sync(&engine, now());
            let next = [engine.poll_timeout(), metrics.next_sync(), sockets.next_retry()].into_iter().flatten().min();
            timer.arm(next.map(|at| at.micros().saturating_mul(1000)));
            select_biased! {
                request = requests.next().fuse() => match request {
                    Request::Reconfigure(section, reply) => {
                        let done = parse(&section).and_then(|config| {
                            book.follow(&config)?;
                            follow_given(&config, &mut given)?;
                            engine.reconfigure(config, now());
                            Ok(())
                        });
                        // The answer ends the grants of the old section: interfaces that left it take leave first.
                        changing = Some((reply, done));
                    }
                    Request::Query(words, reply) => reply.send(report::report(&engine.status(now()), &words)),
                    Request::Stop => break,
                },
                () = book.apply(&mut engine).fuse() => metrics.note(now()),
                facts = given.next().fuse() => book.give(facts, &mut engine),
                packets = sockets.receive().fuse() => {
                    sockets.hand_over(packets, &mut engine);
                    metrics.note(now());
                }
                () = timer.expired().fuse() => {
                    sockets.retry(now());
                    if engine.poll_timeout().is_some_and(|at| at <= now()) {
                        engine.handle_timeout(now());
                        metrics.note(now());
                    }
                }
            }
        }
        engine.stop(now());
        drain(&mut engine, &mut sockets).await;
        Ok(())
    }
}

/// Follows the prefixes that interfaces are given, if any interface advertises its own.
fn follow_given(config: &Config, given: &mut Standing<Vec<Fact>>) -> Result<(), Failure> {
    if given.is_set() || !config.follows_own_prefixes() {
        return Ok(());
    }
    let failed = |code: ErrorCode| Failure::Other(format!("cannot follow delegated prefixes: {}", code.name()));
    let watch = Rc::new(Watch::open(&[Kind::DelegatedPrefix]).map_err(failed)?);
    *given = Standing::new(move || {
        let watch = watch.clone();
        async move { watch.next().await }
    });
    Ok(())
}

/// Sends the final advertisements; the engine bounds how long that takes.
async fn drain(engine: &mut Engine, sockets: &mut Sockets) {
    loop {
        sockets.obey(engine).await;
        match engine.poll_timeout() {
            Some(deadline) if !engine.is_drained() => clock::sleep_until(deadline.micros() * 1000).await,
            _ => return,
        }
        engine.handle_timeout(now());
    }
}

fn parse(section: &str) -> Result<Config, Failure> {
    Config::parse(section).map(|(config, _)| config).map_err(|list| Failure::Config(diagnostics(list)))
}

fn now() -> Instant {
    Instant::from_micros(clock::now() / 1000)
}
