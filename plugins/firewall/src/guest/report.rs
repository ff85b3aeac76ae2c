//! Answers people: the engine's state, with what only the kernel knows.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use portreeve_config::Position;
use portreeve_nftables::{Endian, conntrack, messages};
use portreeve_sdk::instance;
use portreeve_sdk::netfilter::ConnectionFamily;

use super::kernel::{self, Failed};
use super::shim::{self, Shim};
use crate::engine::{Engine, InForce};
use crate::install::{self, Elements, ReadError};
use crate::ruleset::Ruleset;
use crate::source::Source;
use crate::status::{self, Ask, Count, Load, Report, Status};
use crate::trace;

/// Connections that are looked at for one answer.
const MAX_FLOWS: usize = 100_000;
/// Elements of a set that are shown.
const MAX_ELEMENTS: usize = 10_000;
/// Times that a dump is begun anew when others change what is read.
const READINGS: usize = 5;

/// What is known when a question comes. It is answered beside the loop, which must not wait for long dumps.
pub struct Asked {
    found: Option<Arc<InForce>>,
    section: Rc<str>,
    times: shim::Load,
    endian: Endian,
    load: Load,
}

impl Asked {
    pub fn of(shim: &Shim, engine: &Engine) -> Self {
        let counters = engine.counters();
        let found = engine.in_force().cloned();
        let guard = found.as_ref().is_some_and(|found| found.config.guard);
        let load = Load {
            took: Some(shim.load.total()),
            generation: engine.generation(),
            restored: counters.touched,
            refused: counters.refused,
            guard: if guard { "until the rules stand" } else { "off" }.to_owned(),
            condition: engine.condition().map(str::to_owned),
        };
        Self { found, section: shim.section.clone(), times: shim.load, endian: engine.endian(), load }
    }

    pub async fn answer(self, words: &[String]) -> Result<portreeve_sdk::Report, String> {
        let Some(found) = &self.found else {
            return Err("no rules are in force yet; see `portreeve logs firewall`".to_owned());
        };
        let start = instance::section_place();
        let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let start = Position { line: number(start.line), column: number(start.column) };
        let source = Source::new(&self.section, start);
        let plain = || Status::of(&found.config, &found.ruleset, source);
        let report = match Ask::parse(words)? {
            Ask::Overview => {
                let mut status = self.filled(plain()).await?;
                status.elements = self.changing(&found.ruleset).await?;
                with_times(status::overview(&status), &self.times)
            }
            Ask::Counters => status::counters(&self.filled(plain()).await?),
            Ask::Sets(None) => {
                let elements = self.changing(&found.ruleset).await?;
                status::sets(&Status { elements, ..plain() }, None)?
            }
            Ask::Sets(Some(name)) => {
                let mut shown = Vec::new();
                for set in found.ruleset.sets.iter().filter(|set| set.named.as_deref() == Some(name.as_str())) {
                    let now = elements(self.endian, set).await?.shown();
                    shown.extend(now.into_iter().take(MAX_ELEMENTS).map(|element| element.to_string()));
                }
                status::sets(&plain(), Some((name.as_str(), &shown)))?
            }
            Ask::Connections(of) => status::connections(&flows(self.endian).await?, of),
            Ask::Trace(words) => {
                let request = trace::parse_request(&words, &found.config)?;
                let traces: Vec<_> =
                    request.packets.iter().map(|packet| trace::trace(&found.ruleset, packet)).collect();
                status::traced(&request.packets, &traces, &request.assumed, source)
            }
        };
        Ok(wit_report(report))
    }

    /// How many elements there are now in the named sets that change by themselves.
    async fn changing(&self, ruleset: &Ruleset) -> Result<BTreeMap<String, u64>, String> {
        let mut counts = BTreeMap::new();
        for set in ruleset.sets.iter().filter(|set| set.named.is_some() && (set.dynamic || set.timeout.is_some())) {
            let count = elements(self.endian, set).await?.count();
            counts.insert(set.name.clone(), count as u64);
        }
        Ok(counts)
    }

    /// The state, and what the counters count now.
    async fn filled(&self, mut status: Status) -> Result<Status, String> {
        let endian = self.endian;
        let mut counted = Vec::new();
        for reading in 1.. {
            counted.clear();
            let take = |datagram: &[u8]| {
                counted.extend(install::counters(endian, datagram)?);
                Ok(())
            };
            match kernel::each(install::counters_request(endian, 1), take).await {
                Ok(()) => break,
                Err(failed) => retry_or_tell(failed, reading, "read the counters")?,
            }
        }
        for counter in counted {
            status.counts.insert(counter.name, Count { packets: counter.packets, bytes: counter.bytes });
        }
        status.load = self.load.clone();
        Ok(status)
    }
}

/// Where the time of the last load went.
fn with_times(mut report: Report, load: &shim::Load) -> Report {
    let parts = [
        ("load_ms", load.total()),
        ("parse_ms", load.parse),
        ("compile_ms", load.compile),
        ("look_ms", load.look),
        ("encode_ms", load.encode),
        ("commit_ms", load.commit),
    ];
    for (name, time) in parts {
        report.values.push((name.to_owned(), format!("{:.3}", time.as_secs_f64() * 1000.0)));
    }
    report.values.push(("batch_bytes".to_owned(), load.bytes.to_string()));
    report
}

/// What is in a set now.
async fn elements(endian: Endian, set: &crate::ruleset::Set) -> Result<Elements, String> {
    for reading in 1.. {
        let mut found = Elements::new(&set.key, endian);
        let request = install::elements_request(endian, 1, &set.name);
        match kernel::each(request, |datagram| found.absorb(datagram)).await {
            Ok(()) => return Ok(found),
            Err(failed) => retry_or_tell(failed, reading, "read a set")?,
        }
    }
    Err("cannot read a set".to_owned())
}

async fn flows(endian: Endian) -> Result<Vec<conntrack::Flow>, String> {
    let mut flows = Vec::new();
    for family in [ConnectionFamily::Ipv4, ConnectionFamily::Ipv6] {
        let take = |datagram: &[u8]| {
            let found =
                messages(endian, datagram).map_while(Result::ok).filter_map(|message| conntrack::decode(&message));
            flows.extend(found.take(MAX_FLOWS.saturating_sub(flows.len())));
            Ok(())
        };
        match kernel::connections(family, take).await {
            // What changes while it is read is in the nature of connections.
            Ok(()) | Err(Failed::Code(portreeve_sdk::types::ErrorCode::QueueFull)) => {}
            Err(failed) => return Err(tell(&failed, "read the connections")),
        }
    }
    Ok(flows)
}

fn retry_or_tell(failed: Failed, reading: usize, what: &str) -> Result<(), String> {
    let busy = matches!(
        failed,
        Failed::Read(ReadError::Interrupted) | Failed::Code(portreeve_sdk::types::ErrorCode::QueueFull)
    );
    if busy && reading < READINGS { Ok(()) } else { Err(tell(&failed, what)) }
}

fn tell(failed: &Failed, what: &str) -> String {
    match failed {
        Failed::Code(code) => format!("cannot {what}: {}", code.name()),
        Failed::Read(error) => format!("cannot {what}: {error}"),
    }
}

fn wit_report(report: Report) -> portreeve_sdk::Report {
    let table =
        |table: status::Table| portreeve_sdk::Table { title: table.title, columns: table.columns, rows: table.rows };
    portreeve_sdk::Report { values: report.values, tables: report.tables.into_iter().map(table).collect() }
}
