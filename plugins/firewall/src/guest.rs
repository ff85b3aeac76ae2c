//! wasm only: moves files, batches and answers between the host and the [`Engine`]. Decides nothing.
//!
//! One loop owns everything; what waits at the host stays waiting over many turns of it. `guest/shim.rs` does what the
//! engine says, `guest/kernel.rs` asks nf_tables and changes it, `guest/report.rs` answers people, `guest/metrics.rs` counts,
//! `guest/describe.rs` says what the plugin needs.

mod describe;
mod devices;
mod files;
mod kernel;
mod metrics;
mod report;
mod shim;

use portreeve_sdk::futures::future::{LocalBoxFuture, pending};
use portreeve_sdk::futures::stream::{FuturesUnordered, StreamExt};
use portreeve_sdk::futures::{FutureExt, select_biased};
use portreeve_sdk::{
    Diagnostic, Failure, Manifest, Planned, Plugin, Reply, Request, Requests, Timer, clock, diagnostics, instance, warn,
};

use crate::engine::{Action, Engine};
use crate::{Instant, install};
use kernel::denied;
use metrics::Metrics;
use shim::Shim;

struct Firewall;

portreeve_sdk::export!(Firewall);

/// What a call at the host came to.
enum News {
    Existing(kernel::Found),
    Committed(kernel::Answered),
    /// The generation after batches of ours.
    Generation(u32),
    /// Of this file, by the number that it was opened under.
    File(String, u64, Result<Vec<u8>, String>),
    /// Parameters of connection tracking were set, or not for this reason.
    Parameters(Option<String>),
    /// A task without an answer ended.
    Done,
}

/// Who waits for a section to be in force, and its text.
type Asked = (Option<Reply<Result<(), Failure>>>, String);
/// The calls that are under way beside each other.
type Tasks = FuturesUnordered<LocalBoxFuture<'static, News>>;

impl Plugin for Firewall {
    fn describe() -> Manifest {
        describe::manifest()
    }

    fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
        describe::plan(section)
    }

    async fn run(section: String, mut requests: Requests) -> Result<(), Failure> {
        let mut engine = Engine::new(kernel::byte_order());
        let mut shim = Shim::default();
        let mut metrics = Metrics::default();
        let mut timer = Timer::default();
        // The section that was given last, until it is settled; nobody waits for the first.
        shim.begin(&section, &mut engine)?;
        let mut asked: Option<Asked> = Some((None, section));
        loop {
            while let Some(action) = engine.poll_action() {
                match action {
                    Action::Settled(result) => {
                        let (reply, text) = asked.take().unwrap_or_default();
                        let result = result.map_err(|list| Failure::Config(diagnostics(list)));
                        if result.is_ok() {
                            shim.settled(text, &engine);
                        }
                        match (reply, result) {
                            (Some(reply), result) => reply.send(result),
                            (None, Ok(())) => instance::ready(),
                            (None, Err(failure)) => return Err(failure),
                        }
                    }
                    Action::Condition(Some(reason)) => {
                        warn!("not all as it should be", reason = reason);
                        instance::degraded(&reason);
                    }
                    Action::Condition(None) => instance::ready(),
                    Action::Touched(who) => {
                        warn!("somebody else changed the firewall's table, mending it", process = who)
                    }
                    other => shim.obey(other, &engine),
                }
            }
            timer.arm(engine.poll_timeout().map(Instant::nanos));
            // One section at a time: requests wait until it is settled.
            let request = async { if asked.is_none() { requests.next().await } else { pending().await } };
            select_biased! {
                request = request.fuse() => match request {
                    Request::Reconfigure(text, reply) => match shim.begin(&text, &mut engine) {
                        Ok(()) => asked = Some((Some(reply), text)),
                        Err(failure) => reply.send(Err(failure)),
                    },
                    Request::Query(words, reply) => {
                        let asked = report::Asked::of(&shim, &engine);
                        shim.tasks.push(Box::pin(async move {
                            reply.send(asked.answer(&words).await);
                            News::Done
                        }));
                    }
                    // The kernel goes on filtering.
                    Request::Stop => return Ok(()),
                },
                news = shim.tasks.select_next_some() => match news {
                    News::Existing(found) => shim.looked(found, &mut engine),
                    News::Committed(answer) => {
                        shim.committed(answer, &mut engine);
                        shim.listen(&engine).map_err(|code| denied("follow changes of nf_tables", code))?;
                    }
                    News::Generation(now_is) => engine.handle_change(now_is, false, false, true, "", now()),
                    News::File(path, number, contents) => shim.read(&path, number, contents, &mut engine),
                    News::Parameters(problem) => engine.handle_parameters(problem, now()),
                    News::Done => {}
                },
                change = shim.changes.next().fuse() => match change {
                    Ok(change) => {
                        let ours = change.tables.iter().any(|table| table.ends_with(install::TABLE));
                        let (generation, own, lost) = (change.generation, change.by_us, change.lost);
                        engine.handle_change(generation, own, ours, lost, &change.process, now());
                    }
                    Err(code) => return Err(denied("follow changes of nf_tables", code)),
                },
                devices = shim.devices.next().fuse() => engine.handle_devices(devices, now()),
                () = timer.expired().fuse() => engine.handle_timeout(now()),
            }
            metrics.sync(&engine, &shim.load);
        }
    }
}

fn now() -> Instant {
    Instant::from_nanos(clock::now())
}
