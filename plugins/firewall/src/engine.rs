//! Puts the section in force, keeps it so, and says why it cannot.
//!
//! One installation goes on at a time: files are read, the section is compiled, the kernel's present table is looked at, and
//! batches make it what it should be, bound to the generation that was looked at: new sets are made ready, the rules are
//! switched, what is unused goes. When somebody else's change came between (ERESTART), it looks again. A new section that
//! cannot be put in force leaves the old one there. When somebody else touches our table it is made whole again, at once
//! the first time, then after growing pauses.
//!
//! Map: `installation` (one that goes on), `contents` (what the files of sets hold), `repair` (when to mend what others
//! did), `backoff` (when to try again what failed), `parameters` (of connection tracking), `reasons` (what the operator is
//! told when the kernel refuses a whole batch).

mod backoff;
mod contents;
mod installation;
mod parameters;
mod reasons;
mod repair;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use portreeve_config::{Diagnostic, Diagnostics, Span};
use portreeve_nftables::{Acknowledgement, Endian};

use crate::compile::{Options, Whole, compile};
use crate::config::Config;
use crate::install::{self, Existing};
use crate::ruleset::Ruleset;
use crate::time::Instant;
use backoff::Backoff;
use contents::{Contents, Source};
use installation::{Install, Reason, Sent};
use parameters::Parameters;
use repair::Repair;

pub use reasons::CommitError;

/// Batches that are bound to a generation before one is sent unbound: somebody changes tables all the time.
const BOUND_TRIES: u32 = 10;
/// Tries in all.
const MAX_TRIES: u32 = 20;
/// Readings that others may disturb, over all tries.
const MAX_LOOKS: u32 = 1000;
/// Before what could not be brought about, such as a set whose file has changed, is tried again: at most.
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(30);

/// What the shim is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read this file, tell with [`Engine::handle_file`], and again whenever it changes.
    Read(String),
    /// This file is of no more interest.
    Forget(String),
    /// Ask the kernel for its generation, then for what is in the table ([`install::requests`]); tell with
    /// [`Engine::handle_existing`].
    Look,
    /// Send this batch; tell with [`Engine::handle_committed`].
    Commit(Vec<u8>),
    /// Have these parameters of the kernel be so, and those that were set earlier be what they were; tell with
    /// [`Engine::handle_parameters`].
    SetParameters(Vec<(String, String)>),
    /// The section that was given last is in force, or is not, for these reasons.
    Settled(Result<(), Vec<Diagnostic>>),
    /// All is well, or the reason why not.
    Condition(Option<String>),
    /// Somebody else changed our table; it is being made whole.
    Touched(String),
}

/// What is in force.
#[derive(Debug)]
pub struct InForce {
    /// The section.
    pub config: Arc<Config>,
    /// What it came to.
    pub ruleset: Ruleset,
}

/// See the module.
pub struct Engine {
    endian: Endian,
    /// A section that waits for its files.
    waiting: Option<Arc<Config>>,
    in_force: Option<Arc<InForce>>,
    install: Option<Install>,
    /// What is in force has to be installed anew.
    again: bool,
    /// And sets with it.
    distrust: bool,
    /// A file of what is in force was written while a section waits, which may yet be refused.
    missed: bool,
    files: BTreeMap<Source, Contents>,
    options: Options,
    /// The interfaces that are there, once they were told.
    devices: Option<Vec<String>>,
    /// The batch that was refused last came behind one that had been taken.
    prepared: bool,
    /// The generation that our last batch made, if it was bound.
    generation: Option<u32>,
    repair: Repair,
    retry: Backoff,
    parameters: Parameters,
    /// Why what is in force is not what it should be.
    failure: Option<String>,
    condition: Option<String>,
    actions: VecDeque<Action>,
    counters: Counters,
}

/// How often things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Batches that were put in force.
    pub installed: u64,
    /// Batches that were refused.
    pub refused: u64,
    /// Batches that were overtaken by somebody else's.
    pub stale: u64,
    /// Foreign changes of our table.
    pub touched: u64,
}

impl Engine {
    /// Nothing is in force yet; messages are in this byte order.
    #[must_use]
    pub fn new(endian: Endian) -> Self {
        Self {
            endian,
            waiting: None,
            in_force: None,
            install: None,
            again: false,
            distrust: false,
            missed: false,
            files: BTreeMap::new(),
            options: Options::default(),
            devices: None,
            prepared: false,
            generation: None,
            repair: Repair::default(),
            retry: Backoff::new(MAX_RETRY_PAUSE),
            parameters: Parameters::new(),
            failure: None,
            condition: None,
            actions: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// A section to put in force. One at a time: the next after [`Action::Settled`].
    pub fn handle_section(&mut self, config: Config, now: Instant) {
        for source in contents::sources(&config).into_values() {
            // What was read for a set of another kind or size is another list.
            if !self.files.contains_key(&source) {
                self.actions.push_back(Action::Read(source.path));
            }
        }
        self.waiting = Some(Arc::new(config));
        self.proceed(now);
    }

    /// What a file holds, or why it cannot be read. To be called whenever it was written, also with the same content: that
    /// fills sets anew whose elements time out.
    pub fn handle_file(&mut self, path: &str, contents: Result<&[u8], String>, now: Instant) {
        let installing = self.install.as_ref().map(|install| &install.config);
        let in_force = self.in_force.as_ref().map(|found| &found.config);
        let configs: Vec<&Arc<Config>> = self.waiting.iter().chain(installing).chain(in_force).collect();
        let sources: BTreeSet<Source> =
            configs.iter().filter_map(|config| contents::sources(config).remove(path)).collect();
        let standing = in_force.and_then(|config| contents::sources(config).remove(path));
        let dated = configs.iter().any(|config| contents::is_dated(config, path));
        if sources.is_empty() {
            return;
        }
        let contents = contents.as_deref().map_err(String::as_str);
        let (mut same, mut touched) = (true, false);
        for source in sources {
            let mut read = Contents::read(&source, contents, now);
            let before = self.files.get(&source);
            if let Some(before) = before {
                read = read.after(before);
            }
            let stays =
                |before: &Contents| before.elements == read.elements && !(dated && before.read_at != read.read_at);
            let stays = before.is_some_and(stays);
            same &= stays;
            touched |= !stays && standing.as_ref() == Some(&source);
            self.files.insert(source, read);
        }
        if same && self.waiting.is_none() {
            if self.install.is_none() {
                self.tell();
            }
            return;
        }
        if self.waiting.is_some() {
            self.missed |= touched;
            self.proceed(now);
        } else {
            self.reinstall(now);
        }
    }

    /// The interfaces that are there, for the flowtable.
    pub fn handle_devices(&mut self, devices: Vec<String>, now: Instant) {
        let devices = Some(devices);
        if self.devices == devices {
            return;
        }
        self.devices = devices;
        // A section with a flowtable may have waited for this.
        self.proceed(now);
        let installing = self.install.as_ref().map(|install| &install.config);
        let mut configs = installing.into_iter().chain(self.in_force.as_ref().map(|found| &found.config));
        if configs.any(|config| config.offload.is_some()) {
            self.reinstall(now);
        }
    }

    /// What [`Action::Look`] came to: the generation, and what is there.
    pub fn handle_existing(&mut self, found: Result<(u32, Existing), CommitError>, now: Instant) {
        let Some(install) = &mut self.install else { return };
        if install.sent.is_some() {
            return;
        }
        let (generation, mut existing) = match found {
            Ok(found) => found,
            // Reading is disturbed far more often than a batch is overtaken, and costs nothing.
            Err(CommitError::Busy) if install.looks < MAX_LOOKS => {
                install.looks += 1;
                self.actions.push_back(Action::Look);
                return;
            }
            Err(error) => return self.fail(vec![error.diagnostic(0)], now),
        };
        if install.distrust {
            existing.distrust(&install.ruleset);
        }
        let bound = (install.tries < BOUND_TRIES).then_some(generation);
        match install::batch(&install.ruleset, &existing, bound, self.endian) {
            Ok(built) => {
                let mut sent = Sent { built, bound, stage: 0 };
                self.actions.extend(sent.take().map(Action::Commit));
                install.sent = Some(sent);
            }
            Err(refusal) => self.fail(vec![refusal.diagnostic()], now),
        }
    }

    /// What [`Action::Commit`] came to: what the kernel has against it, nothing if it is in force.
    pub fn handle_committed(&mut self, answer: Result<Vec<Acknowledgement>, CommitError>, now: Instant) {
        let Some(install) = &mut self.install else { return };
        let Some(mut sent) = install.sent.take() else { return };
        let again = |install: &mut Install, actions: &mut VecDeque<Action>| {
            install.tries += 1;
            actions.push_back(Action::Look);
        };
        match answer {
            Ok(errors) if errors.is_empty() => {
                self.generation = sent.made();
                sent.stage += 1;
                match sent.take() {
                    Some(next) => {
                        self.actions.push_back(Action::Commit(next));
                        install.sent = Some(sent);
                    }
                    None => self.succeed(now),
                }
            }
            // The rules are in force; what is unused is left lying for a while.
            _ if sent.stage > sent.built.switch => {
                self.counters.refused += 1;
                let retry = self.retry;
                self.succeed(now);
                self.retry = retry;
                self.retry.failed(now);
            }
            Ok(errors) if install.tries < MAX_TRIES && (install::is_stale(&errors) || sent.bound.is_none()) => {
                self.counters.stale += 1;
                again(install, &mut self.actions);
            }
            Err(CommitError::Busy) if install.tries < MAX_TRIES => again(install, &mut self.actions),
            Ok(errors)
                if self.options.whole != Whole::Tracking
                    && install::cannot_defragment(&install.ruleset, &sent.built, &errors) =>
            {
                self.options.whole = Whole::Tracking;
                self.prepared |= sent.stage > 0;
                self.distrust |= install.distrust;
                if let Some(Install { reason, config, .. }) = self.install.take() {
                    self.begin(reason, config, now);
                }
            }
            Ok(errors) => {
                self.prepared |= sent.stage > 0;
                let list = install::explain(&install.ruleset, &sent.built, &errors);
                self.fail(list, now);
            }
            Err(error) => {
                let list = vec![error.diagnostic(sent.built.stages.iter().map(Vec::len).max().unwrap_or(0))];
                self.fail(list, now);
            }
        }
    }

    /// Tables were changed: in which generation, whether by ourselves, whether ours was touched, and by whom; `lost` if
    /// ours may have been.
    pub fn handle_change(&mut self, generation: u32, own: bool, ours: bool, lost: bool, process: &str, now: Instant) {
        if own || (lost && self.generation == Some(generation)) || !(ours || lost) {
            return;
        }
        if self.in_force.is_none() {
            // What is being installed may be touched already.
            self.again |= self.install.is_some();
            self.distrust |= self.install.is_some();
            return;
        }
        if ours {
            self.counters.touched += 1;
            let who = if process.is_empty() { "somebody" } else { process };
            self.actions.push_back(Action::Touched(who.to_owned()));
        }
        self.repair.touched(now);
        self.handle_timeout(now);
    }

    /// What is due is done. May be called at any time.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.repair.take_due(now) {
            self.distrust = true;
            self.reinstall(now);
        }
        if self.retry.take_due(now) {
            self.reinstall(now);
        }
        if self.parameters.take_due(now) {
            self.set_parameters();
        }
    }

    /// What [`Action::SetParameters`] came to: why not all of them could be set. They are tried again after a while.
    pub fn handle_parameters(&mut self, problem: Option<String>, now: Instant) {
        if self.parameters.handle_answer(problem, now) {
            self.set_parameters();
        }
        self.tell();
    }

    /// When [`Self::handle_timeout`] wants to be called. Changes with every input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.repair.due().into_iter().chain(self.retry.due()).chain(self.parameters.due()).min()
    }

    /// What is to be done next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What is in force.
    #[must_use]
    pub const fn in_force(&self) -> Option<&Arc<InForce>> {
        self.in_force.as_ref()
    }

    /// Why not all is as it should be.
    #[must_use]
    pub fn condition(&self) -> Option<&str> {
        self.condition.as_deref()
    }

    /// Whether a batch is on its way, or about to be.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        self.install.as_ref().is_some_and(|install| install.sent.is_some())
    }

    /// The byte order of messages.
    #[must_use]
    pub const fn endian(&self) -> Endian {
        self.endian
    }

    /// How often things happened.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The generation that our last batch made.
    #[must_use]
    pub const fn generation(&self) -> Option<u32> {
        self.generation
    }

    /// Begins to install the section that waits, if all its files were looked at, and interfaces if it asks for them.
    fn proceed(&mut self, now: Instant) {
        let Some(config) = self.waiting.clone() else { return };
        let lacks_devices = config.offload.is_some() && self.devices.is_none();
        let sources = contents::sources(&config);
        let lacks_files = sources.values().any(|source| !self.files.contains_key(source));
        if self.install.is_some() || lacks_devices || lacks_files {
            return;
        }
        self.waiting = None;
        // A machine that boots before a list was fetched must not stay without its firewall; an operator who names a file
        // that is not there is told.
        if self.in_force.is_some() {
            let problem = |path: &str| self.problem(sources.get(path)?);
            let bad = config.sets.iter().filter_map(|set| Some((set.span, problem(set.file.as_deref()?)?)));
            let mut d = Diagnostics::new();
            for (span, problem) in bad {
                d.error_with_hint(span, problem.to_owned(), "mend the file, or remove `file`");
            }
            if d.has_errors() {
                self.actions.push_back(Action::Settled(Err(d.into_vec())));
                self.forget_files();
                if core::mem::take(&mut self.missed) {
                    self.reinstall(now);
                }
                self.tell();
                return;
            }
        }
        self.begin(Reason::Section, config, now);
    }

    /// Why a file cannot be used.
    fn problem(&self, source: &Source) -> Option<&str> {
        self.files.get(source)?.problem.as_deref()
    }

    fn begin(&mut self, reason: Reason, config: Arc<Config>, now: Instant) {
        let contents = |source: &Source| self.files.get(source).map(|read| read.elements.clone()).unwrap_or_default();
        let sources = contents::sources(&config);
        let files = sources.iter().map(|(path, source)| ((*path).to_owned(), contents(source))).collect();
        match compile(&config, &files, self.devices.as_deref().unwrap_or_default(), self.options) {
            Ok((mut ruleset, _)) => {
                contents::date(&mut ruleset, &config, &self.files);
                install::stamp(&mut ruleset);
                let distrust = core::mem::take(&mut self.distrust);
                self.install = Some(Install { reason, config, ruleset, tries: 0, looks: 0, distrust, sent: None });
                self.actions.push_back(Action::Look);
            }
            Err(list) => {
                self.settle(reason, Err(list), now);
            }
        }
    }

    /// Installs what is in force anew, after what is under way.
    fn reinstall(&mut self, now: Instant) {
        match &self.in_force {
            _ if self.install.is_some() => self.again = true,
            Some(found) => {
                let config = found.config.clone();
                self.begin(Reason::Upkeep, config, now);
            }
            None => {}
        }
    }

    fn succeed(&mut self, now: Instant) {
        let Some(install) = self.install.take() else { return };
        self.counters.installed += 1;
        self.retry.forgive();
        self.failure = None;
        self.prepared = false;
        self.in_force = Some(Arc::new(InForce { config: install.config, ruleset: install.ruleset }));
        self.settle(install.reason, Ok(()), now);
    }

    fn fail(&mut self, list: Vec<Diagnostic>, now: Instant) {
        let Some(install) = self.install.take() else { return };
        self.counters.refused += 1;
        // New sets that were made ready are left behind: with what is in force they go. That is tried again anyway if it was
        // what failed.
        let prepared = core::mem::take(&mut self.prepared);
        self.again |= prepared && install.reason == Reason::Section && self.in_force.is_some();
        // What was not to be trusted still is not.
        self.distrust |= install.distrust;
        self.settle(install.reason, Err(list), now);
    }

    fn settle(&mut self, reason: Reason, result: Result<(), Vec<Diagnostic>>, now: Instant) {
        match (reason, result) {
            (Reason::Section, result) => {
                self.forget_files();
                let is_new = result.is_ok();
                self.again |= core::mem::take(&mut self.missed) && !is_new;
                self.actions.push_back(Action::Settled(result));
                if is_new && self.parameters.want() {
                    self.set_parameters();
                }
                self.tell();
            }
            (Reason::Upkeep, Ok(())) => self.tell(),
            (Reason::Upkeep, Err(list)) => {
                self.retry.failed(now);
                let first = list.first().map_or("no reason given", |d| d.message.as_str());
                self.failure = Some(format!("what is in force is not what it should be: {first}"));
                self.tell();
            }
        }
        if core::mem::take(&mut self.again) {
            self.reinstall(now);
        }
        self.proceed(now);
    }

    /// Has the kernel's parameters be those of what is in force; when [`Parameters`] says so.
    fn set_parameters(&mut self) {
        let Some(found) = &self.in_force else { return };
        self.actions.push_back(Action::SetParameters(found.config.sysctls()));
    }

    /// Says whether what is in force is whole: its rules, its files, its parameters.
    fn tell(&mut self) {
        let Some(found) = &self.in_force else { return };
        let sources = || contents::sources(&found.config);
        let file = || sources().values().find_map(|source| self.problem(source).map(str::to_owned));
        let parameters = || self.parameters.problem().cloned();
        let condition = self.failure.clone().or_else(file).or_else(parameters);
        if self.condition != condition {
            self.condition.clone_from(&condition);
            self.actions.push_back(Action::Condition(condition));
        }
    }

    /// Files that neither what is in force nor what waits names.
    fn forget_files(&mut self) {
        let installing = self.install.as_ref().map(|install| &install.config);
        let in_force = self.in_force.as_ref().map(|found| &found.config);
        let configs = self.waiting.iter().chain(installing).chain(in_force);
        let named: BTreeSet<Source> = configs.flat_map(|config| contents::sources(config).into_values()).collect();
        let paths = |sources: &BTreeMap<Source, Contents>| -> BTreeSet<String> {
            sources.keys().map(|source| source.path.clone()).collect()
        };
        let before = paths(&self.files);
        self.files.retain(|source, _| named.contains(source));
        let gone: Vec<String> = before.difference(&paths(&self.files)).cloned().collect();
        self.actions.extend(gone.into_iter().map(Action::Forget));
    }
}

/// The place of complaints about all of the section.
const WHOLE: Span = Span::new(0, 0);
