//! The engine's actions, carried out: lookups, paths, listeners, facts; and the resolver that the section wants.

use portreeve_sdk::facts::{self, Value};
use portreeve_sdk::futures::channel::mpsc;
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{info, instance, ip, ip_address, names, network, warn};

use super::dns::Dns;
use super::paths::Paths;
use super::{News, Task, Tasks, convert};
use crate::engine::{Action, Event, Outcome, Problem};
use crate::{Config, Instant};

/// What the engine's actions are done with.
pub struct Shim {
    pub tasks: Tasks,
    pub paths: Paths,
    pub dns: Option<Dns>,
    begin: mpsc::UnboundedSender<Task>,
}

impl Shim {
    /// Nothing yet. Tasks that are begun from within tasks go through `begin`.
    pub fn new(begin: mpsc::UnboundedSender<Task>) -> Self {
        Self { tasks: Tasks::default(), paths: Paths::default(), dns: None, begin }
    }

    /// Makes, changes or ends the resolver.
    pub fn set_resolver(&mut self, config: &Config) {
        let Some(dns64) = config.dns64() else {
            self.dns = None;
            return;
        };
        let settings = convert::dns64(dns64);
        let dns = match &self.dns {
            Some(dns) => {
                dns.reconfigure(settings);
                dns
            }
            None => self.dns.insert(Dns::new(settings, self.begin.clone())),
        };
        dns.limit_connections(dns64.tcp_connections as usize, dns64.tcp_idle);
    }

    /// When [`Shim::handle_timeout`] is to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.paths.poll_timeout()
    }

    /// Time has passed.
    pub fn handle_timeout(&self, now: Instant) {
        self.paths.handle_timeout(now);
    }

    /// Does one; an apply is the loop's.
    pub fn obey(&mut self, action: Action) {
        match action {
            Action::Apply => {}
            Action::Resolve(name) => self.tasks.push(Box::pin(resolve(name))),
            Action::OpenPath { instance, settings } => self.paths.open(&instance, &settings, &self.tasks),
            Action::UpdatePath { instance, settings } => {
                if let Err(why) = self.paths.update(&instance, &settings) {
                    let news = News::Path(instance, Event::Failed(why));
                    self.tasks.push(Box::pin(async { news }));
                }
            }
            Action::ClosePath { instance, forget } => self.paths.close(&instance, forget),
            Action::Listen(socket) => match &mut self.dns {
                Some(dns) => dns.listen(socket, &self.tasks),
                None => self.tasks.push(Box::pin(async { News::Listener(socket, Event::Closed) })),
            },
            Action::Unlisten(socket) => {
                if let Some(dns) = &mut self.dns {
                    dns.unlisten(&socket);
                }
            }
            Action::PublishPrefix { key, prefix } => {
                publish(&key, &Value::Nat64Prefix(network::ip_prefix(prefix.prefix())));
            }
            Action::PublishDns { key, address } => publish(&key, &Value::DnsServer(ip_address(address))),
            // One that was never taken is as gone as it should be.
            Action::Withdraw { key } => drop(facts::withdraw(&key)),
            Action::Ready => instance::ready(),
            Action::Degraded(reason) => instance::degraded(&reason),
        }
    }
}

fn publish(key: &str, value: &Value) {
    if let Err(code) = facts::publish(key, value) {
        warn!("cannot publish a fact", key = key, error = code.name());
    }
}

async fn resolve(name: &'static str) -> News {
    let found = names::resolve(name.to_owned()).await;
    let found = found.map(|list| list.into_iter().map(ip).collect()).map_err(|code| match code {
        ErrorCode::NotFound => "there is no such name, or it has no address".to_owned(),
        ErrorCode::Unreachable => "the resolver does not answer".to_owned(),
        other => other.name().to_owned(),
    });
    News::Resolved(name, found)
}

/// The answer to an apply as the engine takes it.
pub fn outcome(answer: Result<network::Outcome, ErrorCode>) -> Outcome {
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
