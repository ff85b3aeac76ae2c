//! wasm only: moves links, packets and time between the host and the [`Engine`]. Decides nothing.
//!
//! One loop owns everything. It waits for whatever comes first (a request of the core, a change of links or facts,
//! packets, the engine's timer), hands it to the engine, and then carries out what the engine says. What waits at the
//! host stays waiting over many turns of the loop; a call that was dropped half way could lose a packet.
//! Converting is in `guest/links.rs`, `guest/facts.rs`, `guest/report.rs` and `guest/describe.rs`, sockets are in
//! `guest/sockets.rs`.

mod describe;
mod facts;
mod links;
mod metrics;
mod report;
mod sockets;

use portreeve_sdk::futures::{FutureExt, select_biased};
use portreeve_sdk::{
    Diagnostic, Failure, Manifest, Planned, Plugin, Reply, Request, Requests, Timer, clock, diagnostics, random,
};

use crate::{Config, Engine, Instant};
use facts::{Followed, hand_over};
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
        let mut engine = Engine::new(config.clone(), random::number(), now());
        let mut facts = Followed::default();
        // Before the links: the first advertisement has what is published already.
        facts.follow(&config, &mut book, &mut engine).await?;
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
                        let done = reconfigure(&section, &mut book, &mut facts, &mut engine).await;
                        // The answer ends the grants of the old section: interfaces that left it take leave first.
                        changing = Some((reply, done));
                    }
                    Request::Query(words, reply) => reply.send(report::report(&engine.status(now()), &words)),
                    Request::Stop => break,
                },
                () = book.apply(&mut engine).fuse() => metrics.note(now()),
                told = facts.next().fuse() => hand_over(told, &mut book, &mut engine),
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

async fn reconfigure(
    section: &str,
    book: &mut LinkBook,
    facts: &mut Followed,
    engine: &mut Engine,
) -> Result<(), Failure> {
    let config = parse(section)?;
    book.follow(&config)?;
    facts.follow(&config, book, engine).await?;
    facts.unfollow(&config);
    engine.reconfigure(config, now());
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
