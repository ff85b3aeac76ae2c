//! A plugin that misbehaves in the way its section names: `(mode: Spin)`.
//!
//! It stands for what a third party's plugin may do to the core, by mistake or on purpose. Every mode says ready
//! first where that makes sense, so that a test sees the plugin up before it falls.
#![cfg(target_arch = "wasm32")]
#![expect(clippy::panic, reason = "that is what it is for")]

use portreeve_sdk::config::{Diagnostics, Value};
use portreeve_sdk::{
    Diagnostic, Failure, Manifest, Planned, Plugin, Report, Request, Requests, Table, clock, diagnostics, instance,
    links,
};

struct Misfit;

portreeve_sdk::export!(Misfit);

impl Plugin for Misfit {
    fn describe() -> Manifest {
        Manifest {
            name: "misfit".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "misbehaves as its section says".to_owned(),
            needs: vec![portreeve_sdk::Need::Links("*".to_owned())],
            config_example: "(mode: Spin)".to_owned(),
            state_schema: 0,
        }
    }

    fn plan(section: &str) -> Result<Planned, Vec<Diagnostic>> {
        match mode(section)?.as_str() {
            "SpinInPlan" => spin(),
            "AllocateInPlan" => allocate(),
            "SleepInPlan" => std::thread::sleep(std::time::Duration::from_secs(3600)),
            _ => {}
        }
        Ok(Planned { needs: vec![portreeve_sdk::Need::Links("*".to_owned())], warnings: vec![], summary: vec![] })
    }

    async fn run(section: String, mut requests: Requests) -> Result<(), Failure> {
        let mode = mode(&section).map_err(Failure::Config)?;
        if mode != "NeverReady" {
            instance::ready();
        }
        // Whoever watches must have seen it ready.
        clock::sleep_until(clock::now() + 20_000_000).await;
        match mode.as_str() {
            "Trap" => panic!("a misfit panics"),
            "Spin" => spin(),
            "Allocate" => allocate(),
            "Return" => return Ok(()),
            "GiveUp" => return Err(Failure::Other("a misfit gives up".to_owned())),
            // Never computes long, never stops computing: its own thread is busy, nobody else's.
            "Busy" => loop {
                clock::sleep_until(0).await;
            },
            _ => {}
        }
        let mut held = Vec::new();
        loop {
            match requests.next().await {
                Request::Reconfigure(_, reply) => reply.send(Err(Failure::Other("a misfit stays".to_owned()))),
                Request::Query(words, reply) => match (mode.as_str(), words.first().map(String::as_str)) {
                    ("TrapOnQuery", _) => panic!("a misfit panics when asked"),
                    ("NeverAnswer", _) => held.push(reply),
                    ("Sprawl", _) => {
                        let columns = vec![String::new(); 40_000];
                        let table = Table { title: "x\n".repeat(9000), columns, rows: vec![vec![]; 40_000] };
                        reply.send(Ok(Report { values: vec![], tables: vec![table] }));
                    }
                    ("WaitALot", _) => {
                        let sleeps: Vec<_> = (0..5000).map(|_| clock::sleep_until(u64::MAX)).collect();
                        portreeve_sdk::futures::future::join_all(sleeps).await;
                    }
                    ("Hoard", _) => {
                        let mut watches = Vec::new();
                        let end = loop {
                            match links::Watch::open() {
                                Ok(watch) => watches.push(watch),
                                Err(code) => break code,
                            }
                        };
                        let values = vec![(end.name().to_owned(), watches.len().to_string())];
                        reply.send(Ok(Report { values, tables: vec![] }));
                    }
                    _ => reply.send(Ok(Report { values: vec![], tables: vec![] })),
                },
                Request::Stop if mode == "NeverStop" => {}
                Request::Stop => return Ok(()),
            }
        }
    }
}

fn mode(section: &str) -> Result<String, Vec<Diagnostic>> {
    let mut d = Diagnostics::new();
    let mut mode = None;
    if let Some(mut fields) = Value::root(section, &mut d).and_then(|v| v.fields(&mut d)) {
        mode = fields.require("mode", &mut d).and_then(|v| v.name()).map(|n| n.value.to_owned());
        fields.finish(&mut d);
    }
    mode.filter(|_| !d.has_errors()).ok_or_else(|| diagnostics(d.into_vec()))
}

fn spin() {
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn allocate() {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}
