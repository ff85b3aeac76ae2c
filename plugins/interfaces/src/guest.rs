//! wasm only: moves links, facts and stated networks between the host and the [`Engine`]. Decides nothing.
//!
//! One loop owns everything. What waits at the host stays waiting over many turns of it. What the engine is told of
//! links is in `guest/links.rs`, delegated prefixes are in `guest/delegations.rs`, what people are told in
//! `guest/report.rs`, what the plugin needs in `guest/describe.rs`.

mod delegations;
mod describe;
mod links;
mod report;

use portreeve_sdk::facts;
use portreeve_sdk::futures::{FutureExt, select_biased};
use portreeve_sdk::network;
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{
    Diagnostic, Failure, Manifest, Once, Planned, Plugin, Reply, Request, Requests, Standing, Timer, clock,
    diagnostics, info, instance, warn,
};

use crate::engine::{Action, Outcome, Problem};
use crate::{Config, Engine, Instant};
use delegations::{delegated, published};
use links::LinkBook;

struct Interfaces;

portreeve_sdk::export!(Interfaces);

type Applied = Result<network::Outcome, ErrorCode>;

impl Plugin for Interfaces {
    fn describe() -> Manifest {
        describe::manifest()
    }

    fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
        describe::plan(section)
    }

    async fn run(section: String, mut requests: Requests) -> Result<(), Failure> {
        let config = parse(&section)?;
        let mut book = LinkBook::default();
        let mut delegations = Standing::default();
        book.follow(&config)?;
        delegations::follow(&config, &mut delegations)?;
        let mut engine = Engine::new(config);
        let mut applying: Once<Applied> = Once::default();
        let mut timer = Timer::default();
        // The first answers are what there is, at once: what should be is worked out from it.
        if book.is_open() {
            let changes = book.next().await;
            book.apply(changes, &mut engine);
        }
        if delegations.is_set() {
            engine.handle_delegated(delegated(delegations.next().await), now());
        }
        let mut changing: Option<Reply<Result<(), Failure>>> = None;
        loop {
            obey(&mut engine, &mut applying);
            // An apply of the old section that is under way ends first; then the engine asks for one of the new, unless
            // the state is the same. Only when there is none left to wait for the new state has been brought about.
            if let Some(reply) = changing.take_if(|_| !applying.is_under_way()) {
                reply.send(Ok(()));
            }
            timer.arm(engine.poll_timeout().map(Instant::nanos));
            select_biased! {
                request = requests.next().fuse() => match request {
                    Request::Reconfigure(section, reply) => {
                        let done = parse(&section).and_then(|config| {
                            book.follow(&config)?;
                            delegations::follow(&config, &mut delegations)?;
                            engine.reconfigure(config);
                            book.look(&mut engine);
                            Ok(())
                        });
                        // The answer ends the grants of the old section, so it waits for the new state (see above).
                        match done {
                            Ok(()) => changing = Some(reply),
                            failed => reply.send(failed),
                        }
                    }
                    Request::Query(words, reply) => reply.send(report::report(&engine.status(), &words, now())),
                    // What the kernel has stays as it is: the next start adopts it.
                    Request::Stop => return Ok(()),
                },
                answer = applying.answer().fuse() => engine.handle_applied(outcome(answer), now()),
                changes = book.next().fuse() => book.apply(changes, &mut engine),
                list = delegations.next().fuse() => engine.handle_delegated(delegated(list), now()),
                () = timer.expired().fuse() => engine.handle_timeout(now()),
            }
        }
    }
}

fn obey(engine: &mut Engine, applying: &mut Once<Applied>) {
    while let Some(action) = engine.poll_action() {
        match action {
            Action::Apply => applying.set(network::apply(engine.state())),
            Action::Publish { key, fact } => {
                if let Err(code) = facts::publish(&key, &published(fact)) {
                    warn!("cannot publish a subnet", key = key, error = code.name());
                }
            }
            // One that was never taken is as gone as it should be.
            Action::Withdraw { key } => drop(facts::withdraw(&key)),
            Action::Ready => instance::ready(),
            Action::Degraded(reason) => instance::degraded(&reason),
        }
    }
}

fn outcome(answer: Applied) -> Outcome {
    match answer {
        Ok(outcome) => {
            if outcome.changes > 0 {
                info!("changed the network", changes = outcome.changes);
            }
            let problem = |p: network::Problem| Problem { object: p.object, message: p.message };
            Outcome { waiting: outcome.waiting, problems: outcome.problems.into_iter().map(problem).collect() }
        }
        Err(code) => {
            let message = format!("the core refuses it: {}", code.name());
            Outcome { waiting: Vec::new(), problems: vec![Problem { object: "the whole network".to_owned(), message }] }
        }
    }
}

fn parse(section: &str) -> Result<Config, Failure> {
    Config::parse(section).map(|(config, _)| config).map_err(|list| Failure::Config(diagnostics(list)))
}

fn now() -> Instant {
    Instant::from_nanos(clock::now())
}
