//! Asks a component, before it may touch anything, who it is and what a section comes to.
//!
//! The instance has no grant, lives for these two calls, and is measured like any other: a plugin that spins
//! or allocates while it plans is refused.

use std::sync::Arc;

use portreeve_config::{Diagnostic, Severity, Span};
use tokio::sync::watch;

use super::engine::JUDGE_LIMIT;
use super::limits::Meter;
use super::load::one_line;
use super::{LoadError, Loaded, PluginEngine};
use crate::config::Limits;
use crate::grants::{Grants, NamePattern, Need, Pattern, Transport};
use crate::host::bindings::exports::portreeve::plugin::lifecycle as wit;
use crate::host::{Purpose, Shared, State};

/// Most needs of a manifest or a plan; each is compared with each of the other sets.
const MAX_NEEDS: usize = 4096;
/// How long `describe` and `plan` may take together, in real time: they must not wait at all.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);
/// Lines of a plan's summary, diagnostics of a section, and bytes of an example that are kept.
const MAX_LINES: usize = 2048;
const MAX_EXAMPLE: usize = 16 * 1024;

/// Who a plugin is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it does, in one line.
    pub summary: String,
    /// The most it may ever need.
    pub needs: Vec<Need>,
    /// An example of its section.
    pub config_example: String,
    /// Number of its storage format.
    pub state_schema: u32,
}

/// What a section comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// What it touches.
    pub needs: Vec<Need>,
    /// What it will do, for people.
    pub summary: Vec<String>,
}

/// What a component says of itself and of one section.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// Who it is.
    pub manifest: Manifest,
    /// What the section comes to; none if it has errors.
    pub planned: Option<Planned>,
    /// Everything it has to say about the section; spans are within the section's text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Asks `loaded` about `section`. Runs the guest on the calling thread, which must be inside a runtime.
///
/// # Errors
/// It traps, hits a limit, or says something illegal.
pub async fn judge(
    engine: &PluginEngine,
    shared: Arc<Shared>,
    loaded: &Loaded,
    name: &str,
    limits: Limits,
    section: &str,
) -> Result<Judgement, LoadError> {
    let (_grants, grants) = watch::channel(Arc::new(Grants::none()));
    let purpose = Purpose {
        plugin: name.into(),
        run: 0,
        grants,
        report: Box::new(|_| {}),
        section_place: Arc::default(),
        limits,
        memory: Arc::default(),
        meter: Arc::new(Meter::new(JUDGE_LIMIT)),
    };
    let (mut store, meter) = engine.store(State::new(shared, purpose));
    let calls = async {
        let plugin = loaded.pre.instantiate_async(&mut store).await?;
        let lifecycle = plugin.portreeve_plugin_lifecycle();
        let manifest = lifecycle.call_describe(&mut store).await?;
        let planned = lifecycle.call_plan(&mut store, section).await?;
        Ok::<_, wasmtime::Error>((manifest, planned))
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, engine.turns(meter, Box::pin(calls))).await;
    let answer = answer.map_err(|_| LoadError::Describe("it waits while it describes itself or plans".to_owned()))?;
    let (manifest, planned) = answer.map_err(|error| LoadError::Describe(reason(&error)))?;
    let manifest = manifest_in(manifest)?;
    let (planned, diagnostics) = match planned {
        Ok(planned) => {
            let diagnostics: Vec<_> = planned.warnings.into_iter().take(MAX_LINES).map(diagnostic_in).collect();
            let failed = diagnostics.iter().any(|d| d.severity == Severity::Error);
            let needs = needs_in(planned.needs)?;
            (
                (!failed).then(|| Planned {
                    needs,
                    summary: planned.summary.iter().take(MAX_LINES).map(|l| first_line(l)).collect(),
                }),
                diagnostics,
            )
        }
        Err(list) if list.is_empty() => {
            return Err(LoadError::Describe("it refuses the section without a reason".to_owned()));
        }
        Err(list) => (
            None,
            list.into_iter()
                .take(MAX_LINES)
                .map(|d| Diagnostic { severity: Severity::Error, ..diagnostic_in(d) })
                .collect(),
        ),
    };
    Ok(Judgement { manifest, planned, diagnostics })
}

/// The reason of a trap in one line: a limit in its own words, or the trap without its backtrace.
pub(super) fn reason(error: &wasmtime::Error) -> String {
    if let Some(limit) = error.downcast_ref::<super::limits::LimitError>() {
        return limit.to_string();
    }
    if let Some(trap) = error.downcast_ref::<wasmtime::Trap>() {
        return format!("it trapped: {trap}");
    }
    one_line(error)
}

/// A diagnostic of the WIT package as ours.
pub(super) fn diagnostic_in(d: wit::Diagnostic) -> Diagnostic {
    let start = d.span.start as usize;
    Diagnostic {
        severity: match d.severity {
            wit::Severity::Error => Severity::Error,
            wit::Severity::Warning => Severity::Warning,
        },
        span: Span::new(start, (d.span.end as usize).max(start)),
        message: first_line(&d.message),
        hint: d.hint.as_deref().map(first_line),
    }
}

fn manifest_in(manifest: wit::Manifest) -> Result<Manifest, LoadError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if manifest.name.is_empty() || manifest.name.len() > 32 || !manifest.name.chars().all(legal) {
        return Err(LoadError::Describe(format!("its name {:?} is not 1 to 32 of [a-z0-9-]", manifest.name)));
    }
    Ok(Manifest {
        name: manifest.name,
        version: first_line(&manifest.version),
        summary: first_line(&manifest.summary),
        needs: needs_in(manifest.needs)?,
        config_example: manifest.config_example.chars().take(MAX_EXAMPLE).collect(),
        state_schema: manifest.state_schema,
    })
}

fn needs_in(needs: Vec<wit::Need>) -> Result<Vec<Need>, LoadError> {
    if needs.len() > MAX_NEEDS {
        return Err(LoadError::Describe(format!("it names more than {MAX_NEEDS} needs")));
    }
    let pattern = |text: &str| {
        Pattern::new(text).ok_or_else(|| LoadError::Describe(format!("{text:?} is no interface name or pattern")))
    };
    let other_name = |text: &str| {
        NamePattern::new(text).ok_or_else(|| LoadError::Describe(format!("{text:?} is no name or pattern of names")))
    };
    let prefix = |prefix| crate::host::network::prefix_in(prefix);
    let listen = |transport, n: wit::ListenNeed| -> Result<Need, LoadError> {
        Ok(Need::Listen { transport, interfaces: pattern(&n.interfaces)?, port: n.port })
    };
    let connect = |transport, n: wit::ConnectNeed| Need::connect(transport, prefix(n.remotes), n.port);
    let need = |need| {
        Ok(match need {
            wit::Need::Links(text) => Need::Links(pattern(&text)?),
            wit::Need::Icmpv6(n) => Need::Icmpv6 {
                interfaces: pattern(&n.interfaces)?,
                receive: n.receive.into_iter().collect(),
                send: n.send.into_iter().collect(),
            },
            wit::Need::Publish(kind) => Need::Publish(crate::host::facts::kind_in(kind)),
            wit::Need::Watch(kind) => Need::Watch(crate::host::facts::kind_in(kind)),
            wit::Need::Storage(n) => Need::Storage { volatile: n.volatile, flash: n.flash },
            wit::Need::Configure(text) => Need::Configure(pattern(&text)?),
            wit::Need::Create(n) => {
                Need::Create { interfaces: pattern(&n.interfaces)?, kinds: n.kinds.into_iter().collect() }
            }
            wit::Need::Route(destination) => Need::Route(prefix(destination)),
            wit::Need::Tables(n) => Need::Tables { first: n.first, last: n.last },
            wit::Need::Sysctl(text) => Need::Sysctl(other_name(&text)?),
            wit::Need::Module(text) => Need::Module(other_name(&text)?),
            wit::Need::Tun(text) => Need::Tun(pattern(&text)?),
            wit::Need::Ipv4(n) => Need::Ipv4 { protocol: n.protocol, remotes: prefix(n.remotes) },
            wit::Need::Resolve(text) => Need::Resolve(other_name(&text)?),
            wit::Need::Key(text) => Need::Key(other_name(&text)?),
            wit::Need::UdpListen(n) => listen(Transport::Udp, n)?,
            wit::Need::TcpListen(n) => listen(Transport::Tcp, n)?,
            wit::Need::UdpConnect(n) => connect(Transport::Udp, n),
            wit::Need::TcpConnect(n) => connect(Transport::Tcp, n),
            wit::Need::Masquerade(source) => Need::Masquerade(prefix(source)),
            wit::Need::NfTables(text) => Need::NfTables(other_name(&text)?),
            wit::Need::Conntrack => Need::Conntrack,
            wit::Need::Read(text) => Need::Read(other_name(&text)?),
            wit::Need::Guard => Need::Guard,
            wit::Need::Netlink(n) => Need::Netlink { family: n.family, send: n.send.into_iter().collect() },
        })
    };
    needs.into_iter().map(need).collect()
}

/// One printable line of what a plugin says.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    line.chars().filter(|c| !c.is_control()).take(512).collect()
}
