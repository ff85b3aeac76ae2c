//! The engine's actions, carried out; how long they took.

use std::rc::Rc;
use std::time::Duration;

use portreeve_network::{State, Sysctl};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, diagnostics, info, network};

use super::describe::below_net;
use super::devices::Devices;
use super::files::Files;
use super::kernel::Changes;
use super::{News, Tasks, kernel, now};
use crate::Instant;
use crate::config::Config;
use crate::engine::{Action, Engine};

/// How long the last load took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Load {
    /// Reading the section.
    pub parse: Duration,
    /// Compiling it.
    pub compile: Duration,
    /// Asking the kernel what is there.
    pub look: Duration,
    /// Writing the batch.
    pub encode: Duration,
    /// The kernel's part.
    pub commit: Duration,
    /// Bytes of the batch.
    pub bytes: usize,
}

impl Load {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.parse + self.compile + self.look + self.encode + self.commit
    }
}

/// What the engine's actions are done with.
#[derive(Default)]
pub struct Shim {
    pub tasks: Tasks,
    pub load: Load,
    /// The section that is in force.
    pub section: Rc<str>,
    pub devices: Devices,
    pub changes: Changes,
    files: Files,
    /// When the call that is under way began.
    began: Instant,
    /// Of the load that is under way.
    pending: Load,
}

impl Shim {
    /// Reads a section and hands it to the engine.
    pub fn begin(&mut self, section: &str, engine: &mut Engine) -> Result<(), Failure> {
        let start = now();
        let (config, _) = Config::parse(section).map_err(|list| Failure::Config(diagnostics(list)))?;
        let read = now();
        self.devices.follow(&config)?;
        engine.handle_section(config, read);
        self.pending = Load { parse: read.since(start), compile: now().since(read), ..Load::default() };
        Ok(())
    }

    /// The engine takes a file, and may compile.
    pub fn read(&mut self, path: &str, number: u64, contents: Result<Vec<u8>, String>, engine: &mut Engine) {
        if !self.files.follow_on(path, number, &self.tasks) {
            return;
        }
        let start = now();
        engine.handle_file(path, contents.as_deref().map_err(Clone::clone), start);
        self.pending.compile += now().since(start);
    }

    /// The engine takes what is there, and writes a batch.
    pub fn looked(&mut self, found: kernel::Found, engine: &mut Engine) {
        let start = now();
        engine.handle_existing(found, start);
        self.pending.look += start.since(self.began);
        self.pending.encode += now().since(start);
    }

    /// The engine takes the kernel's answer.
    pub fn committed(&mut self, answer: kernel::Answered, engine: &mut Engine) {
        let end = now();
        self.pending.commit += end.since(self.began);
        engine.handle_committed(answer, end);
    }

    /// Listens to others again when no batch of ours is on its way, and sees what was missed.
    pub fn listen(&mut self, engine: &Engine) -> Result<(), ErrorCode> {
        if !engine.is_sending() {
            self.changes.listen()?;
            self.tasks.push(Box::pin(kernel::generation()));
        }
        Ok(())
    }

    /// A section is in force.
    pub fn settled(&mut self, section: String, engine: &Engine) {
        self.section = section.into();
        self.load = self.pending;
        let Some(found) = engine.in_force() else { return };
        let rules: usize = found.ruleset.chains.iter().map(|chain| chain.rules.len()).sum();
        let (chains, sets, bytes) = (found.ruleset.chains.len(), found.ruleset.sets.len(), self.load.bytes);
        info!("the rules are in force", rules = rules, chains = chains, sets = sets, bytes = bytes);
    }

    /// Does one action.
    pub fn obey(&mut self, action: Action, engine: &Engine) {
        match action {
            Action::Read(path) => self.files.read(path, &self.tasks),
            Action::Forget(path) => self.files.forget(&path),
            Action::Look => {
                self.began = now();
                self.tasks.push(Box::pin(kernel::look(engine.endian())));
            }
            Action::Commit(batch) => {
                self.changes.pause();
                self.began = now();
                self.pending.bytes += batch.len();
                self.tasks.push(Box::pin(kernel::commit(batch)));
            }
            Action::SetParameters(wanted) => {
                let sysctl = |(name, value): (String, String)| Sysctl { name: below_net(&name).to_owned(), value };
                let sysctls = wanted.into_iter().map(sysctl).collect();
                self.tasks.push(Box::pin(set_parameters(State { sysctls, ..State::default() })));
            }
            // The loop's.
            Action::Settled(_) | Action::Condition(_) | Action::Touched(_) => {}
        }
    }
}

/// Parameters of connection tracking; those of an earlier section that are no longer wanted go back to what they were.
async fn set_parameters(state: State) -> News {
    News::Parameters(match network::apply(state).await {
        Ok(outcome) => outcome.problems.into_iter().next().map(|problem| {
            format!("cannot set parameters of connection tracking: {}: {}", problem.object, problem.message)
        }),
        Err(code) => Some(format!("cannot set parameters of connection tracking: {}", code.name())),
    })
}
