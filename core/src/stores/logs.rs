//! The log: one stream of records from the core and from all plugins, kept in a ring, shown on stderr, and
//! handed to whoever follows (`portreeve logs -f`).
//!
//! The core's own records come in through `tracing` ([`LogStore::layer`]), a plugin's through the WIT
//! interface `log`, where each plugin has its own rate limit ([`RateLimit`]) and its own ring: one that talks a lot
//! pushes out nobody else's records. stderr is written by a thread of its own, so that a reader who stops reading, or
//! goes away, stops nothing.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::broadcast;

use super::lock;
use crate::config::LogLevel;

/// Records that are kept of each plugin and of the core; the oldest goes first.
pub const KEPT: usize = 1024;
/// Lines that may wait for stderr; more are dropped and counted.
const WAITING: usize = 1024;
/// How long the end of the program waits for a reader of stderr.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// Records that a slow follower may lag behind; it is told how many it missed.
const FOLLOWER_LAG: usize = 1024;
/// A plugin's records a second, on average.
pub const RATE: f64 = 200.0;
/// A plugin's records in a burst.
pub const BURST: f64 = 1000.0;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub time: SystemTime,
    /// How much it matters.
    pub level: LogLevel,
    /// The plugin it comes from or is about; none for the core itself.
    pub plugin: Option<String>,
    /// A constant text.
    pub message: String,
    /// The values.
    pub fields: Vec<(String, String)>,
}

impl fmt::Display for Record {
    /// `2026-01-02T03:04:05.678Z INFO radvd: advertising ifname=lan0`; control characters are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            LogLevel::Error => "ERROR",
            LogLevel::Warn => "WARN",
            LogLevel::Info => "INFO",
            LogLevel::Debug => "DEBUG",
            LogLevel::Trace => "TRACE",
        };
        let from = self.plugin.as_deref().unwrap_or("portreeve");
        write!(f, "{} {level} {from}: ", humantime::format_rfc3339_millis(self.time))?;
        write_escaped(f, &self.message)?;
        for (name, value) in &self.fields {
            f.write_char(' ')?;
            write_escaped(f, name)?;
            f.write_char('=')?;
            if value.is_empty() || value.contains([' ', '"', '=']) {
                f.write_char('"')?;
                write_escaped(f, &value.replace('"', "\\\""))?;
                f.write_char('"')?;
            } else {
                write_escaped(f, value)?;
            }
        }
        Ok(())
    }
}

/// Control characters of a plugin or a peer must not reach a terminal.
fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
}

/// The log. Clones share the same records.
#[derive(Clone)]
pub struct LogStore(Arc<Inner>);

struct Inner {
    rings: Mutex<Rings>,
    followers: broadcast::Sender<Arc<Record>>,
    level: AtomicU8,
    stderr: Option<Stderr>,
}

/// Records with their place in the whole, by where they come from.
#[derive(Default)]
struct Rings {
    next: u64,
    by_plugin: BTreeMap<Option<String>, VecDeque<(u64, Arc<Record>)>>,
}

/// The thread that writes to stderr.
struct Stderr {
    lines: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

enum Line {
    Text(String),
    /// Everything before this is written when it is answered.
    Flush(SyncSender<()>),
}

impl Stderr {
    fn start() -> Option<Self> {
        let (lines, inbox) = sync_channel(WAITING);
        let dropped = Arc::new(AtomicU64::new(0));
        let count = dropped.clone();
        let write = move || {
            for line in inbox {
                let missed = count.swap(0, Ordering::Relaxed);
                let mut stderr = std::io::stderr().lock();
                // Nobody to tell if nobody reads.
                if missed > 0 {
                    let _ = writeln!(stderr, "({missed} lines were not shown: nobody read them)");
                }
                match line {
                    Line::Text(text) => drop(stderr.write_all(text.as_bytes())),
                    Line::Flush(written) => drop(written.send(())),
                }
            }
        };
        std::thread::Builder::new().name("log".to_owned()).spawn(write).ok()?;
        Some(Self { lines, dropped })
    }

    fn write(&self, text: String) {
        if self.lines.try_send(Line::Text(text)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl LogStore {
    /// An empty log; `to_stderr` also shows every record there.
    #[must_use]
    pub fn new(level: LogLevel, to_stderr: bool) -> Self {
        Self(Arc::new(Inner {
            rings: Mutex::default(),
            followers: broadcast::channel(FOLLOWER_LAG).0,
            level: AtomicU8::new(level as u8),
            stderr: to_stderr.then(Stderr::start).flatten(),
        }))
    }

    /// Keeps only records of this level and what matters more, from now on.
    pub fn set_level(&self, level: LogLevel) {
        self.0.level.store(level as u8, Ordering::Relaxed);
    }

    /// Whether records of this level are kept.
    #[must_use]
    pub fn enabled(&self, level: LogLevel) -> bool {
        level as u8 <= self.0.level.load(Ordering::Relaxed)
    }

    /// Adds a record.
    pub fn push(&self, record: Record) {
        if !self.enabled(record.level) {
            return;
        }
        self.print(format!("{record}\n"));
        let record = Arc::new(record);
        let mut rings = lock(&self.0.rings);
        let number = rings.next;
        rings.next += 1;
        let ring = rings.by_plugin.entry(record.plugin.clone()).or_default();
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back((number, record.clone()));
        // Sent under the lock, so that `follow` neither misses nor repeats a record.
        let _ = self.0.followers.send(record);
    }

    /// What is kept, and everything after it.
    #[must_use]
    pub fn follow(&self) -> (Vec<Arc<Record>>, broadcast::Receiver<Arc<Record>>) {
        let rings = lock(&self.0.rings);
        let mut kept: Vec<_> = rings.by_plugin.values().flatten().cloned().collect();
        kept.sort_by_key(|(number, _)| *number);
        (kept.into_iter().map(|(_, record)| record).collect(), self.0.followers.subscribe())
    }

    /// Shows text on stderr between the records, such as complaints about router.ron.
    pub fn print(&self, text: String) {
        if let Some(stderr) = self.0.stderr.as_ref().filter(|_| !text.is_empty()) {
            stderr.write(text);
        }
    }

    /// Waits until what was shown so far is written, or for a second.
    pub fn flush(&self) {
        if let Some(stderr) = &self.0.stderr {
            let (sender, written) = sync_channel(1);
            let end = Instant::now() + FLUSH_WITHIN;
            let mut flush = Line::Flush(sender);
            // A full queue first has to get shorter.
            while let Err(TrySendError::Full(line)) = stderr.lines.try_send(flush) {
                if Instant::now() >= end {
                    return;
                }
                flush = line;
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = written.recv_timeout(end.saturating_duration_since(Instant::now()));
        }
    }

    /// Forgets the records of a plugin that is removed.
    pub fn remove_all(&self, plugin: &str) {
        lock(&self.0.rings).by_plugin.remove(&Some(plugin.to_owned()));
    }

    /// Takes the core's own `tracing` events into this log.
    #[must_use]
    pub fn layer<S: tracing::Subscriber>(&self) -> impl tracing_subscriber::Layer<S> + use<S> {
        Layer(self.clone())
    }
}

struct Layer(LogStore);

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Layer {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let level = match *event.metadata().level() {
            tracing::Level::ERROR => LogLevel::Error,
            tracing::Level::WARN => LogLevel::Warn,
            tracing::Level::INFO => LogLevel::Info,
            tracing::Level::DEBUG => LogLevel::Debug,
            tracing::Level::TRACE => LogLevel::Trace,
        };
        // What libraries say below a warning is about themselves, not about the router.
        let ours = event.metadata().target().starts_with("portreeve");
        if !(self.0.enabled(level) && (ours || level <= LogLevel::Warn)) {
            return;
        }
        let mut record =
            Record { time: SystemTime::now(), level, plugin: None, message: String::new(), fields: Vec::new() };
        event.record(&mut Fields(&mut record));
        self.0.push(record);
    }
}

struct Fields<'a>(&'a mut Record);

impl tracing::field::Visit for Fields<'_> {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.0.message),
            "plugin" => self.0.plugin = Some(value.to_owned()),
            name => self.0.fields.push((name.to_owned(), value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// A token bucket for one plugin's records.
#[derive(Debug)]
pub struct RateLimit {
    tokens: f64,
    last: Instant,
    dropped: u64,
}

impl RateLimit {
    /// A full bucket.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { tokens: BURST, last: now, dropped: 0 }
    }

    /// Whether a record may pass, and how many were dropped since the last one that did.
    pub fn admit(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.last).min(Duration::from_secs(60));
        self.last = now;
        self.tokens = RATE.mul_add(passed.as_secs_f64(), self.tokens).min(BURST);
        if self.tokens < 1.0 {
            self.dropped += 1;
            return None;
        }
        self.tokens -= 1.0;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(level: LogLevel, message: &str) -> Record {
        Record { time: SystemTime::UNIX_EPOCH, level, plugin: None, message: message.into(), fields: Vec::new() }
    }

    #[test]
    fn a_record_is_one_line_whatever_a_plugin_puts_in() {
        let mut r = record(LogLevel::Info, "a\nb\u{1b}[31m");
        r.plugin = Some("x".into());
        r.fields = vec![("k".into(), "v w".into()), ("n".into(), "1".into())];
        assert_eq!(r.to_string(), "1970-01-01T00:00:00.000Z INFO x: a\\nb\\u{1b}[31m k=\"v w\" n=1");
    }

    #[test]
    fn the_ring_is_bounded_and_a_follower_starts_where_it_ends() {
        let log = LogStore::new(LogLevel::Info, false);
        for i in 0..KEPT + 2 {
            log.push(record(LogLevel::Info, &i.to_string()));
        }
        log.push(record(LogLevel::Debug, "not kept"));
        let mut other = record(LogLevel::Info, "other");
        other.plugin = Some("p".into());
        log.push(other.clone());
        assert_eq!(log.follow().0.len(), KEPT + 1, "a talkative one pushes out nobody else's");
        assert_eq!(log.follow().0.last().unwrap().message, "other", "in the order they came");
        log.remove_all("p");
        let (kept, mut rest) = log.follow();
        assert_eq!((kept.len(), kept[0].message.as_str()), (KEPT, "2"));
        log.push(record(LogLevel::Error, "next"));
        assert_eq!(rest.try_recv().unwrap().message, "next");
    }

    #[test]
    fn a_flood_is_cut_and_counted() {
        let start = Instant::now();
        let mut limit = RateLimit::new(start);
        let passed = (0..5000).filter(|_| limit.admit(start).is_some()).count();
        assert_eq!(passed, 1000);
        assert_eq!(limit.admit(start + Duration::from_secs(1)), Some(4000));
    }
}
