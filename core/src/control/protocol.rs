//! What crosses the control socket: the interface description, parameters, replies, errors.
//!
//! The description is the contract for foreign clients; a test checks that it parses.

use serde::{Deserialize, Serialize};

use crate::config::LogLevel;
use crate::plugin::instance::Answer;
use crate::stores::logs;

/// The interface's name.
pub const INTERFACE: &str = "org.portreeve.Control";

/// The interface in Varlink's own language.
pub const DESCRIPTION: &str = "\
# The control interface of a running portreeve core.
interface org.portreeve.Control

# The core itself. config is the path of router.ron; config_error is why the last reload was refused.
type Core (
  version: string,
  pid: int,
  uptime_ms: int,
  rss_bytes: ?int,
  config: string,
  config_error: ?string
)

# A plugin. state is one of starting, ready, degraded, draining, stopped, backoff, quarantined, failed.
type Plugin (
  name: string,
  version: ?string,
  component: string,
  state: string,
  since_ms: int,
  run: int,
  restarts: int,
  last_crash: ?string,
  reason: ?string,
  retry_in_ms: ?int,
  memory_bytes: int,
  cpu_ms: int,
  denied: []string,
  summary: []string
)

type Value (name: string, value: string)

type Table (title: string, columns: []string, rows: [][]string)

type Record (
  time: string,
  level: string,
  plugin: ?string,
  message: string,
  fields: []Value
)

# The core and all plugins in the order of router.ron.
method Status() -> (core: Core, plugins: []Plugin)

# Asks a plugin; an empty request asks for its overview.
method Query(plugin: string, request: []string) -> (values: []Value, tables: []Table)

# All figures as OpenMetrics text.
method Metrics() -> (text: string)

# The kept log, and with follow what comes after it, one record a reply; must be called with 'more'.
# missed counts records that were lost because this client was too slow. The last reply has no record.
method Logs(plugin: ?string, follow: bool) -> (record: ?Record, missed: int)

# There is no plugin of this name in router.ron.
error NoSuchPlugin (plugin: string)

# The plugin did not answer: it does not run, or it refused the request.
error PluginFailed (plugin: string, reason: string)
";

/// Reply of `Status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The core.
    pub core: CoreStatus,
    /// The plugins in the order of router.ron.
    pub plugins: Vec<PluginStatus>,
}

/// The core itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoreStatus {
    /// Version of this program.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Resident memory in bytes.
    pub rss_bytes: Option<u64>,
    /// The file that is in force.
    pub config: String,
    /// Why the last reload was refused.
    pub config_error: Option<String>,
}

/// A plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// Its name in router.ron.
    pub name: String,
    /// The component's version.
    pub version: Option<String>,
    /// The component's file.
    pub component: String,
    /// The state's word.
    pub state: String,
    /// Milliseconds in this state.
    pub since_ms: u64,
    /// The number of the present or last run.
    pub run: u64,
    /// Starts after the first.
    pub restarts: u64,
    /// Why its last run crashed.
    pub last_crash: Option<String>,
    /// Why it is degraded or failed.
    pub reason: Option<String>,
    /// When it is started again.
    pub retry_in_ms: Option<u64>,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// CPU time of the present run.
    pub cpu_ms: u64,
    /// What it planned and the operator does not allow.
    pub denied: Vec<String>,
    /// What it does, for people.
    pub summary: Vec<String>,
}

/// Parameters of `Query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryParameters {
    /// Whom to ask.
    pub plugin: String,
    /// What.
    #[serde(default)]
    pub request: Vec<String>,
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Reply of `Query`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryReply {
    /// Single values.
    pub values: Vec<Value>,
    /// Tables.
    pub tables: Vec<crate::plugin::instance::Table>,
}

impl From<Answer> for QueryReply {
    fn from(answer: Answer) -> Self {
        let values = answer.values.into_iter().map(|(name, value)| Value { name, value }).collect();
        Self { values, tables: answer.tables }
    }
}

/// Reply of `Metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsReply {
    /// OpenMetrics text.
    pub text: String,
}

/// Parameters of `Logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogsParameters {
    /// Only this plugin's records.
    #[serde(default)]
    pub plugin: Option<String>,
    /// Go on with what comes.
    #[serde(default)]
    pub follow: bool,
}

/// One reply of `Logs`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsReply {
    /// A record; none in the last reply.
    pub record: Option<Record>,
    /// Records lost before this one.
    pub missed: u64,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// error, warn, info, debug, trace.
    pub level: String,
    /// From or about which plugin.
    pub plugin: Option<String>,
    /// A constant text.
    pub message: String,
    /// The values.
    pub fields: Vec<Value>,
}

impl From<&logs::Record> for Record {
    fn from(record: &logs::Record) -> Self {
        let field = |(name, value): &(String, String)| Value { name: name.clone(), value: value.clone() };
        Self {
            time: humantime::format_rfc3339_millis(record.time).to_string(),
            level: format!("{:?}", record.level).to_lowercase(),
            plugin: record.plugin.clone(),
            message: record.message.clone(),
            fields: record.fields.iter().map(field).collect(),
        }
    }
}

impl Record {
    /// Back to the form that prints itself as a line; what does not parse becomes the epoch and `Info`.
    #[must_use]
    pub fn to_log(&self) -> logs::Record {
        logs::Record {
            time: humantime::parse_rfc3339(&self.time).unwrap_or(std::time::UNIX_EPOCH),
            level: match self.level.as_str() {
                "error" => LogLevel::Error,
                "warn" => LogLevel::Warn,
                "debug" => LogLevel::Debug,
                "trace" => LogLevel::Trace,
                _ => LogLevel::Info,
            },
            plugin: self.plugin.clone(),
            message: self.message.clone(),
            fields: self.fields.iter().map(|f| (f.name.clone(), f.value.clone())).collect(),
        }
    }
}

/// The interface's errors.
#[derive(Clone, Debug, PartialEq, Eq, zlink::ReplyError)]
#[zlink(interface = "org.portreeve.Control")]
pub enum ControlError {
    /// No such name in router.ron.
    NoSuchPlugin {
        /// The name.
        plugin: String,
    },
    /// It did not answer.
    PluginFailed {
        /// The name.
        plugin: String,
        /// Why, in a line.
        reason: String,
    },
}

/// `org.varlink.service` in Varlink's own language (varlink.org, "Service").
pub const SERVICE_DESCRIPTION: &str = "\
interface org.varlink.service

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)

method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)

error MethodNotFound (method: string)

error MethodNotImplemented (method: string)

error InvalidParameter (parameter: string)

error PermissionDenied ()

error ExpectedMore ()
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptions_are_varlink() {
        for (name, text) in [(INTERFACE, DESCRIPTION), ("org.varlink.service", SERVICE_DESCRIPTION)] {
            let interface = zlink::idl::Interface::try_from(text).unwrap();
            assert_eq!(interface.name(), name);
        }
    }

    #[test]
    fn a_record_survives_the_crossing() {
        let record = logs::Record {
            time: std::time::UNIX_EPOCH,
            level: LogLevel::Warn,
            plugin: Some("p".into()),
            message: "m".into(),
            fields: vec![("a".into(), "b".into())],
        };
        assert_eq!(Record::from(&record).to_log(), record);
    }
}
