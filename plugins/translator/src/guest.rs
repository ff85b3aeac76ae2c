//! wasm only: moves links, facts, questions, packets and stated networks between the host and the engines. Decides
//! nothing.
//!
//! One loop owns everything; what waits at the host stays waiting over many turns of it. `guest/shim.rs` does what the
//! engine says. Packets are in `guest/paths.rs` and `guest/path.rs`, the resolver's sockets in `guest/dns.rs` and
//! `guest/tcp.rs`, what the engine is told of links and facts in `guest/links.rs`, what is configured as the engines take
//! it in `guest/convert.rs`, what people are told in `guest/report.rs` and `guest/metrics.rs`, what the plugin needs in
//! `guest/describe.rs`.

mod convert;
mod describe;
mod dns;
mod links;
mod metrics;
mod path;
mod paths;
mod report;
mod shim;
mod tcp;

use std::net::IpAddr;

use portreeve_sdk::futures::channel::mpsc;
use portreeve_sdk::futures::future::LocalBoxFuture;
use portreeve_sdk::futures::stream::{FuturesUnordered, StreamExt};
use portreeve_sdk::futures::{FutureExt, select_biased};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{
    Diagnostic, Failure, Manifest, Once, Planned, Plugin, Reply, Request, Requests, Timer, clock, diagnostics, network,
};

use crate::engine::{Action, Event, Socket};
use crate::{Config, Engine, Instant};
use links::Watches;
use metrics::Metrics;
use shim::Shim;

struct Translator;

portreeve_sdk::export!(Translator);

/// What a call at the host, a path or a listener came to.
enum News {
    Resolved(&'static str, Result<Vec<IpAddr>, String>),
    Path(String, Event),
    Listener(Socket, Event),
    /// A task without an answer ended.
    Done,
}

/// Something that goes on beside the loop.
type Task = LocalBoxFuture<'static, News>;
/// The tasks that are under way beside each other.
type Tasks = FuturesUnordered<Task>;

impl Plugin for Translator {
    fn describe() -> Manifest {
        describe::manifest()
    }

    fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
        describe::plan(section)
    }

    async fn run(section: String, mut requests: Requests) -> Result<(), Failure> {
        let config = parse(&section)?;
        let mut watches = Watches::default();
        watches.follow(&config)?;
        let mut engine = Engine::new(&config, now());
        if watches.links.is_set() {
            links::apply(watches.links.next().await, &mut engine);
        }
        engine.handle_timeout(now());
        let (begin, mut begun) = mpsc::unbounded();
        let mut shim = Shim::new(begin);
        shim.set_resolver(&config);
        let mut applying: Once<Result<network::Outcome, ErrorCode>> = Once::default();
        let mut metrics = Metrics::default();
        let mut timer = Timer::default();
        let mut changing: Option<Reply<Result<(), Failure>>> = None;
        loop {
            while let Some(action) = engine.poll_action() {
                match action {
                    Action::Apply => applying.set(network::apply(engine.state())),
                    other => shim.obey(other),
                }
            }
            // An apply of the old section that is under way ends first; then the engine asks for one of the new, unless
            // the state is the same. Only when there is none left to wait for the new state has been brought about.
            if let Some(reply) = changing.take_if(|_| !applying.is_under_way()) {
                reply.send(Ok(()));
            }
            let next = [engine.poll_timeout(), shim.poll_timeout(), metrics.next_sync(&shim)];
            timer.arm(next.into_iter().flatten().min().map(Instant::nanos));
            select_biased! {
                request = requests.next().fuse() => match request {
                    Request::Reconfigure(section, reply) => {
                        let done = parse(&section).and_then(|new| {
                            watches.follow(&new)?;
                            engine.reconfigure(&new, now());
                            shim.set_resolver(&new);
                            Ok(())
                        });
                        // The answer ends the grants of the old section, so it waits for the new state (see above).
                        match done {
                            Ok(()) => changing = Some(reply),
                            failed => reply.send(failed),
                        }
                    }
                    Request::Query(words, reply) => reply.send(report::report(&engine, &shim, &words)),
                    // What the kernel has stays as it is: the next start adopts it, and takes over the sessions.
                    Request::Stop => {
                        shim.paths.store();
                        return Ok(());
                    }
                },
                task = begun.select_next_some() => shim.tasks.push(task),
                news = shim.tasks.select_next_some() => match news {
                    News::Resolved(name, result) => engine.handle_resolved(name, result, now()),
                    News::Path(instance, event) => engine.handle_path(&instance, event, now()),
                    News::Listener(socket, event) => engine.handle_listener(&socket, event, now()),
                    News::Done => {}
                },
                answer = applying.answer().fuse() => engine.handle_applied(shim::outcome(answer), now()),
                changes = watches.links.next().fuse() => links::apply(changes, &mut engine),
                facts = watches.facts.next().fuse() => engine.handle_facts(&links::prefixes(facts), now()),
                () = timer.expired().fuse() => {
                    engine.handle_timeout(now());
                    shim.handle_timeout(now());
                }
            }
            metrics.sync(&shim, now());
        }
    }
}

fn parse(section: &str) -> Result<Config, Failure> {
    Config::parse(section).map(|(config, _)| config).map_err(|list| Failure::Config(diagnostics(list)))
}

fn now() -> Instant {
    Instant::from_nanos(clock::now())
}
