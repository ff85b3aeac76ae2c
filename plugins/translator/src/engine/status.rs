//! What there is to tell: rows for people and metrics.

use std::net::Ipv6Addr;

use super::Engine;
use super::attempt::Stage;
use super::instance::Runtime;
use crate::config::Pref64;

/// One instance, as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What it is: `nat64`, `siit` or `clat`.
    pub kind: &'static str,
    /// The prefix it translates with.
    pub prefix: Option<Pref64>,
    /// `up`, `down`, or `waiting`.
    pub state: &'static str,
    /// Whether others are told of its prefix.
    pub advertised: bool,
    /// What is wrong, or was last.
    pub last_error: Option<String>,
}

/// One interface where clients ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerRow {
    /// Its name.
    pub interface: String,
    /// `udp` or `tcp`.
    pub transport: &'static str,
    /// The port.
    pub port: u16,
    /// Whether questions are taken.
    pub open: bool,
    /// The address that others are told.
    pub advertised: Option<Ipv6Addr>,
    /// What is wrong.
    pub last_error: Option<String>,
}

impl Engine {
    /// All instances, by name.
    #[must_use]
    pub fn status(&self) -> Vec<Row> {
        let rows = self.instances.iter().map(|(name, runtime)| Row {
            name: name.clone(),
            kind: runtime.config.kind_name(),
            prefix: runtime.prefix,
            state: match runtime.path.stage {
                Stage::Open => "up",
                Stage::Closed | Stage::Opening if self.problem(runtime, self.now).is_some() => "down",
                Stage::Closed | Stage::Opening => "waiting",
            },
            advertised: runtime.is_published(),
            last_error: self.problem(runtime, self.now).or_else(|| self.last_error(runtime)),
        });
        rows.collect()
    }

    /// What went wrong without harm so far: the path is to be opened again, or the prefix that was found still holds.
    fn last_error(&self, runtime: &Runtime) -> Option<String> {
        let lookup = || self.lookup.error().filter(|_| runtime.config.is_auto()).map(str::to_owned);
        runtime.path.error.clone().or_else(lookup)
    }

    /// Where clients ask, by interface.
    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerRow> {
        let row = |(socket, open, error): (&super::Socket, bool, Option<&str>)| ListenerRow {
            interface: socket.interface.clone(),
            transport: socket.transport.name(),
            port: socket.port,
            open,
            advertised: self.listeners.told(&socket.interface),
            last_error: error.map(str::to_owned),
        };
        self.listeners.all().map(row).collect()
    }
}
