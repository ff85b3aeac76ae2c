//! Serves the control interface: a task for each connection, with bounds on everything a client can do.
//!
//! zlink frames and parses; the dispatch is our own, because zlink's ready-made server handles one call at a
//! time for all connections, and one client that does not read would stop the rest. A request is at most
//! [`MAX_REQUEST`] bytes, a reply that is not read within [`WRITE_TIMEOUT`] ends the connection, and descriptors
//! that are passed along are closed.

use std::future::Future;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use zlink::connection::socket::{self, ReadResult, WriteHalf as _};
use zlink::connection::{Connection, PassedCredentials, ReadConnection};
use zlink::varlink_service::{Error as ServiceError, Info};
use zlink::{Call, Error, Reply};

use super::protocol::{
    ControlError, DESCRIPTION, INTERFACE, LogsParameters, LogsReply, MetricsReply, QueryParameters, QueryReply,
    SERVICE_DESCRIPTION, Status,
};
use crate::stores::logs::LogStore;

/// Largest request in bytes.
pub const MAX_REQUEST: usize = 64 * 1024;
/// Connections at once; more wait in the kernel's queue.
pub const MAX_CONNECTIONS: usize = 64;
/// How long a client may leave a reply unread.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a client may be connected without asking anything.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

/// What the server asks of the core's main loop.
pub enum Request {
    /// The present status.
    Status(oneshot::Sender<Status>),
    /// All figures as text.
    Metrics(oneshot::Sender<String>),
    /// An answer of a plugin.
    Query(QueryParameters, oneshot::Sender<Result<QueryReply, ControlError>>),
}

/// What the server serves from.
#[derive(Clone)]
pub struct Service {
    /// The main loop.
    pub core: mpsc::Sender<Request>,
    /// The log.
    pub logs: LogStore,
}

/// A request's frame: the method, its parameters still unread.
#[derive(Debug, Deserialize)]
pub struct Frame {
    method: String,
    #[serde(default)]
    parameters: Option<Value>,
}

/// Accepts connections for ever.
pub async fn listen(listener: UnixListener, service: Service) {
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let service = service.clone();
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, service).await {
                        tracing::debug!(%error, "control connection closed");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: trying at once would only spin.
                tracing::warn!(%error, "cannot accept a control connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one connection until the client leaves or breaks the protocol.
///
/// # Errors
/// Why the connection was closed.
pub async fn serve(stream: UnixStream, service: Service) -> zlink::Result<()> {
    let (mut reader, writer) = Connection::new(Bounded(stream.try_into()?)).split();
    // zlink's own buffer for replies serialises anew for every 256 bytes it grows.
    let mut writer = writer.into_write_half();
    let mut queued = None;
    loop {
        let call = match queued.take() {
            Some(call) => call,
            None => match tokio::time::timeout(IDLE_TIMEOUT, next(&mut reader)).await {
                Ok(Ok(Some(call))) => call,
                Ok(Ok(None)) | Err(_) => return Ok(()),
                Ok(Err(error)) => return Err(error),
            },
        };
        let oneway = call.oneway();
        // A client that has said all it wants to say still gets its answer; the main loop bounds how long that takes.
        let outcome = service.dispatch(&call).await;
        match outcome {
            _ if oneway => {}
            Outcome::Reply(value) => send(&mut writer, &Reply::new(Some(value))).await?,
            Outcome::Error(value) => send(&mut writer, &value).await?,
            Outcome::Logs(parameters) => {
                if !stream_logs(&service.logs, &parameters, &mut reader, &mut writer, &mut queued).await? {
                    return Ok(());
                }
            }
        }
    }
}

/// What a call comes to.
#[derive(Debug)]
pub enum Outcome {
    /// One reply.
    Reply(Value),
    /// An error reply.
    Error(Value),
    /// A stream of records.
    Logs(LogsParameters),
}

impl Service {
    /// Carries out one call.
    pub async fn dispatch(&self, call: &Call<Frame>) -> Outcome {
        match self.handle(call).await {
            Ok(outcome) | Err(outcome) => outcome,
        }
    }

    async fn handle(&self, call: &Call<Frame>) -> Result<Outcome, Outcome> {
        let Frame { method: name, parameters } = call.method();
        if call.upgrade() {
            return Err(error(&ServiceError::InvalidParameter { parameter: "upgrade".into() }));
        }
        let not_found = || error(&ServiceError::MethodNotFound { method: name.as_str().into() });
        let (interface, method) = name.rsplit_once('.').ok_or_else(not_found)?;
        let gone = |_| error(&ControlError::PluginFailed { plugin: String::new(), reason: "the core stops".into() });
        match (interface, method) {
            ("org.varlink.service", "GetInfo") => {
                let interfaces = ["org.varlink.service", INTERFACE];
                let version = env!("CARGO_PKG_VERSION");
                let info = Info::<'static>::new("portreeve", "portreeve", version, "", interfaces);
                info.map(|info| reply(&info)).map_err(|_| not_found())
            }
            ("org.varlink.service", "GetInterfaceDescription") => {
                let wanted = read::<DescriptionParameters>(parameters)?.interface;
                match wanted.as_str() {
                    INTERFACE => Ok(reply(&json!({ "description": DESCRIPTION }))),
                    "org.varlink.service" => Ok(reply(&json!({ "description": SERVICE_DESCRIPTION }))),
                    other => Err(error(&ServiceError::InterfaceNotFound { interface: other.into() })),
                }
            }
            (INTERFACE, "Status") => {
                let (answer, answered) = oneshot::channel();
                let _ = self.core.send(Request::Status(answer)).await;
                answered.await.map(|status| reply(&status)).map_err(gone)
            }
            (INTERFACE, "Query") => {
                let (answer, answered) = oneshot::channel();
                let _ = self.core.send(Request::Query(read(parameters)?, answer)).await;
                answered.await.map_err(gone)?.map(|r| reply(&r)).map_err(|e| error(&e))
            }
            (INTERFACE, "Metrics") => {
                let (answer, answered) = oneshot::channel();
                let _ = self.core.send(Request::Metrics(answer)).await;
                answered.await.map(|text| reply(&MetricsReply { text })).map_err(gone)
            }
            (INTERFACE, "Logs") => {
                let parameters = read(parameters)?;
                if call.more() { Ok(Outcome::Logs(parameters)) } else { Err(error(&ServiceError::ExpectedMore)) }
            }
            ("org.varlink.service" | INTERFACE, _) => Err(not_found()),
            _ => Err(error(&ServiceError::InterfaceNotFound { interface: interface.into() })),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DescriptionParameters {
    interface: String,
}

fn read<T: DeserializeOwned>(parameters: &Option<Value>) -> Result<T, Outcome> {
    let parameters = match parameters {
        None | Some(Value::Null) => json!({}),
        Some(parameters) => parameters.clone(),
    };
    serde_json::from_value(parameters)
        .map_err(|e| error(&ServiceError::InvalidParameter { parameter: e.to_string().into() }))
}

fn reply<T: Serialize>(value: &T) -> Outcome {
    serde_json::to_value(value).map_or_else(|e| unserialisable(&e), Outcome::Reply)
}

fn error<T: Serialize>(value: &T) -> Outcome {
    serde_json::to_value(value).map_or_else(|e| unserialisable(&e), Outcome::Error)
}

/// Our own types always serialise; should one not, the client still gets an answer.
fn unserialisable(error: &serde_json::Error) -> Outcome {
    tracing::error!(%error, "a reply does not serialise");
    Outcome::Error(json!({ "error": "org.varlink.service.MethodNotImplemented", "parameters": { "method": "" } }))
}

/// Sends the kept records and, if asked, what follows. False if the client has left.
async fn stream_logs(
    logs: &LogStore,
    parameters: &LogsParameters,
    reader: &mut ReadConnection<BoundedRead>,
    writer: &mut Writer,
    queued: &mut Option<Call<Frame>>,
) -> zlink::Result<bool> {
    let (kept, mut rest) = logs.follow();
    let wanted = |plugin: &Option<String>| parameters.plugin.is_none() || *plugin == parameters.plugin;
    let mut missed = 0;
    for record in kept.iter().filter(|r| wanted(&r.plugin)) {
        let reply = LogsReply { record: Some(record.as_ref().into()), missed: 0 };
        send(writer, &Reply::new(Some(reply)).set_continues(Some(true))).await?;
    }
    loop {
        if !parameters.follow {
            break;
        }
        let Some(received) = or_hang_up(rest.recv(), reader, queued).await? else { return Ok(false) };
        match received {
            Ok(record) if wanted(&record.plugin) => {
                let reply = LogsReply { record: Some(record.as_ref().into()), missed: std::mem::take(&mut missed) };
                send(writer, &Reply::new(Some(reply)).set_continues(Some(true))).await?;
            }
            Ok(_) => {}
            Err(RecvError::Lagged(n)) => missed += n,
            Err(RecvError::Closed) => break,
        }
    }
    send(writer, &Reply::new(Some(LogsReply { record: None, missed })).set_continues(Some(false))).await?;
    Ok(true)
}

/// Waits for `future`, unless the client hangs up first. One call that comes in meanwhile is kept in `queued`.
async fn or_hang_up<T>(
    future: impl Future<Output = T>,
    reader: &mut ReadConnection<BoundedRead>,
    queued: &mut Option<Call<Frame>>,
) -> zlink::Result<Option<T>> {
    let mut future = std::pin::pin!(future);
    loop {
        tokio::select! {
            biased;
            done = &mut future => return Ok(Some(done)),
            call = next(reader), if queued.is_none() => match call? {
                Some(call) => *queued = Some(call),
                None => return Ok(None),
            },
        }
    }
}

async fn next(reader: &mut ReadConnection<BoundedRead>) -> zlink::Result<Option<Call<Frame>>> {
    match reader.receive_call::<Frame>().await {
        Ok((call, _)) => Ok(Some(call)),
        Err(Error::UnexpectedEof) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn send<T: Serialize>(writer: &mut Writer, value: &T) -> zlink::Result<()> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(0);
    writer.write(&bytes, &[] as &[BorrowedFd<'_>], None).await
}

type Stream = zlink::tokio::unix::Stream;

/// zlink's socket with our bounds.
#[derive(Debug)]
struct Bounded(Stream);

#[derive(Debug)]
struct BoundedRead {
    inner: <Stream as socket::Socket>::ReadHalf,
    /// Bytes since the last NUL.
    pending: usize,
}

#[derive(Debug)]
struct Writer(<Stream as socket::Socket>::WriteHalf);

impl socket::Socket for Bounded {
    type ReadHalf = BoundedRead;
    type WriteHalf = Writer;

    fn split(self) -> (BoundedRead, Writer) {
        let (inner, writer) = self.0.split();
        (BoundedRead { inner, pending: 0 }, Writer(writer))
    }
}

impl socket::ReadHalf for BoundedRead {
    async fn read(&mut self, buffer: &mut [u8]) -> zlink::Result<ReadResult> {
        let mut result = socket::ReadHalf::read(&mut self.inner, buffer).await?;
        // Nothing here takes descriptors; they are closed now.
        drop(result.take_fds());
        let got = &buffer[..result.bytes_read()];
        self.pending = match got.iter().rposition(|&byte| byte == 0) {
            Some(at) => got.len() - at - 1,
            None => self.pending + got.len(),
        };
        if self.pending > MAX_REQUEST { Err(Error::BufferOverflow) } else { Ok(result) }
    }
}

impl socket::WriteHalf for Writer {
    async fn write(
        &mut self,
        bytes: &[u8],
        fds: &[impl AsFd],
        credentials: Option<&PassedCredentials>,
    ) -> zlink::Result<()> {
        tokio::time::timeout(WRITE_TIMEOUT, self.0.write(bytes, fds, credentials))
            .await
            .map_err(|_| Error::Io(std::io::ErrorKind::TimedOut.into()))?
    }
}

#[cfg(test)]
mod tests;
