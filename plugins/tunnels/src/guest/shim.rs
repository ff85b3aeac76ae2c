//! The engine's actions, carried out: lookups, questions, paths, echo requests, facts.

use std::collections::BTreeSet;

use portreeve_sdk::facts::{self, Value};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{info, instance, ip, ip_address, names, network, warn};

use super::echo::Echoes;
use super::paths::Paths;
use super::{News, Tasks, Told};
use crate::engine::{Action, Outcome, Problem};

/// What the engine's actions are done with.
pub struct Shim {
    pub tasks: Tasks,
    pub paths: Paths,
    pub echoes: Echoes,
    /// Names that are being looked up.
    pub resolving: BTreeSet<String>,
    pub told: Told,
}

impl Shim {
    /// Does one; an apply is the loop's.
    pub fn obey(&mut self, action: Action) {
        match action {
            Action::Apply => {}
            // An answer that is on its way is as good as another one: lookups that hang must not pile up.
            Action::Resolve(name) => {
                if self.resolving.insert(name.clone()) {
                    self.tasks.push(Box::pin(resolve(name)));
                }
            }
            Action::AskSupport(kind) => self.tasks.push(Box::pin(ask_support(kind))),
            Action::OpenPath { tunnel, settings } => {
                self.echoes.close(&tunnel);
                self.paths.open(&tunnel, &settings, &self.tasks, &self.told);
            }
            Action::UpdatePath { tunnel, settings } => self.paths.update(&tunnel, &settings, &self.tasks, &self.told),
            Action::ClosePath { tunnel } => {
                self.echoes.close(&tunnel);
                self.paths.close(&tunnel);
            }
            Action::SendEcho { tunnel, source, target, identifier, sequence } => {
                if !self.paths.has(&tunnel) {
                    self.echoes.send(tunnel, target, identifier, sequence, &self.tasks, &self.told);
                } else if let Some(source) = source {
                    let number = (identifier, sequence);
                    self.paths.send_echo(&tunnel, (source, target), number, &self.tasks, &self.told);
                }
            }
            Action::Publish { key, interface, fact } => {
                let (local, remote) = (fact.local.map(ip_address), fact.remote.map(ip_address));
                let value = Value::Tunnel(facts::Tunnel { interface, up: fact.up, mtu: fact.mtu, local, remote });
                if let Err(code) = facts::publish(&key, &value) {
                    warn!("cannot publish a tunnel", key = key, error = code.name());
                }
            }
            Action::PublishPrefix { key, prefix } => {
                let prefix = network::ip_prefix(prefix);
                let fact = facts::DelegatedPrefix { prefix, preferred_until: None, valid_until: None, interface: None };
                if let Err(code) = facts::publish(&key, &Value::DelegatedPrefix(fact)) {
                    warn!("cannot publish a prefix", key = key, error = code.name());
                }
            }
            // One that was never taken is as gone as it should be.
            Action::Withdraw { key } => drop(facts::withdraw(&key)),
            Action::Ready => instance::ready(),
            Action::Degraded(reason) => instance::degraded(&reason),
        }
    }
}

async fn resolve(name: String) -> News {
    let found = names::resolve(name.clone()).await;
    let found = found.map(|list| list.into_iter().map(ip).collect()).map_err(|code| match code {
        ErrorCode::NotFound => "there is no such name, or it has no address".to_owned(),
        ErrorCode::Unreachable => "the resolver does not answer".to_owned(),
        other => other.name().to_owned(),
    });
    News::Resolved(name, found)
}

async fn ask_support(kind: &'static str) -> News {
    News::Support(kind, network::probe(kind.to_owned()).await.map_err(|problem| problem.message))
}

/// The answer to an apply as the engine takes it.
pub fn outcome(answer: Result<network::Outcome, ErrorCode>) -> Outcome {
    match answer {
        Ok(outcome) => {
            if outcome.changes > 0 {
                info!("changed the network", changes = outcome.changes);
            }
            let problem = |p: network::Problem| Problem {
                object: p.object,
                message: p.message,
                not_supported: p.error == ErrorCode::NotSupported,
            };
            Outcome { waiting: outcome.waiting, problems: outcome.problems.into_iter().map(problem).collect() }
        }
        Err(code) => {
            let message = format!("the core refuses it: {}", code.name());
            let problem = Problem { object: "the whole network".to_owned(), message, not_supported: false };
            Outcome { waiting: Vec::new(), problems: vec![problem] }
        }
    }
}
