//! wasm only: moves links, names, packets and stated networks between the host and the [`Engine`]. Decides nothing.
//!
//! One loop owns everything; what waits at the host stays waiting over many turns of it. `guest/shim.rs` does what the
//! engine says. Paths that this plugin carries itself are in `guest/paths.rs`, `guest/carry.rs` and
//! `guest/settings.rs`, echo requests through the kernel's tunnels in `guest/echo.rs`, what the engine is told of links
//! in `guest/links.rs`, what people are told in `guest/report.rs` and `guest/metrics.rs`, what the plugin needs in
//! `guest/describe.rs`.

mod carry;
mod describe;
mod echo;
mod links;
mod metrics;
mod paths;
mod report;
mod settings;
mod shim;

use portreeve_sdk::futures::channel::mpsc;
use portreeve_sdk::futures::future::LocalBoxFuture;
use portreeve_sdk::futures::stream::{FuturesUnordered, StreamExt};
use portreeve_sdk::futures::{FutureExt, select_biased};
use portreeve_sdk::raw_ip::Icmpv6Socket;
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{
    Diagnostic, Failure, Manifest, Once, Planned, Plugin, Reply, Request, Requests, Timer, clock, diagnostics, network,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use crate::engine::{Action, PathEvent};
use crate::{Config, Engine, Instant};
use echo::Echoes;
use links::LinkBook;
use metrics::Metrics;
use paths::Paths;
use shim::Shim;

struct Tunnels;

portreeve_sdk::export!(Tunnels);

/// What a call at the host, or a path, came to.
enum News {
    Resolved(String, Result<Vec<IpAddr>, String>),
    Support(&'static str, Result<(), String>),
    /// This socket for echo requests through the tunnel is of no more use.
    EchoesEnded(String, Rc<Icmpv6Socket>),
    /// A task without an answer ended.
    Done,
}

/// The calls that are under way beside each other.
type Tasks = FuturesUnordered<LocalBoxFuture<'static, News>>;
/// Where paths tell what happens: the tunnel and what it was.
type Told = mpsc::UnboundedSender<(String, PathEvent)>;

impl Plugin for Tunnels {
    fn describe() -> Manifest {
        describe::manifest()
    }

    fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
        describe::plan(section)
    }

    async fn run(section: String, mut requests: Requests) -> Result<(), Failure> {
        let mut config = parse(&section)?;
        let mut book = LinkBook::default();
        book.follow(&config)?;
        let mut engine = Engine::new(&config, now());
        if book.is_open() {
            let changes = book.next().await;
            links::apply(changes, &mut engine);
        }
        engine.handle_timeout(now());
        let (told, mut events) = mpsc::unbounded();
        let (tasks, paths, echoes, resolving) = (Tasks::new(), Paths::default(), Echoes::default(), BTreeSet::new());
        let mut shim = Shim { tasks, paths, echoes, resolving, told };
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
            let next = engine.poll_timeout().into_iter().chain(metrics.next_sync(&shim.paths)).min();
            timer.arm(next.map(Instant::nanos));
            select_biased! {
                request = requests.next().fuse() => match request {
                    Request::Reconfigure(section, reply) => {
                        let done = parse(&section).and_then(|new| {
                            book.follow(&new)?;
                            engine.reconfigure(&new, now());
                            let asks = |name: &str| new.tunnel(name).is_some_and(|tunnel| tunnel.keepalive.is_some());
                            shim.echoes.keep(asks);
                            config = new;
                            Ok(())
                        });
                        // The answer ends the grants of the old section, so it waits for the new state (see above).
                        match done {
                            Ok(()) => changing = Some(reply),
                            failed => reply.send(failed),
                        }
                    }
                    Request::Query(words, reply) => {
                        reply.send(report::report(&config, &engine.status(), &shim.paths, &words).await);
                    }
                    // What the kernel has stays as it is: the next start adopts it.
                    Request::Stop => return Ok(()),
                },
                news = shim.tasks.select_next_some() => match news {
                    News::Resolved(name, result) => {
                        shim.resolving.remove(&name);
                        engine.handle_resolved(&name, result, now());
                    }
                    News::Support(kind, result) => {
                        let reason = result.as_ref().err().cloned().unwrap_or_default();
                        engine.handle_support(kind, result.is_ok(), reason, now());
                    }
                    News::EchoesEnded(tunnel, socket) => shim.echoes.forget(&tunnel, &socket),
                    News::Done => {}
                },
                (tunnel, event) = events.select_next_some() => engine.handle_path_event(&tunnel, event, now()),
                answer = applying.answer().fuse() => engine.handle_applied(shim::outcome(answer), now()),
                changes = book.next().fuse() => links::apply(changes, &mut engine),
                () = timer.expired().fuse() => engine.handle_timeout(now()),
            }
            metrics.sync(&engine, &shim.paths, now());
        }
    }
}

fn parse(section: &str) -> Result<Config, Failure> {
    Config::parse(section).map(|(config, _)| config).map_err(|list| Failure::Config(diagnostics(list)))
}

fn now() -> Instant {
    Instant::from_nanos(clock::now())
}
