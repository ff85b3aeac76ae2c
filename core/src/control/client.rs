//! Asks a running core over its control socket.

use std::path::{Path, PathBuf};

use futures::Stream;
use futures::StreamExt as _;
use zlink::tokio::unix::{Stream as Socket, connect};

use super::protocol::{ControlError, LogsReply, MetricsReply, QueryReply, Status};

/// Why a core could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error(
        "cannot reach the core on {socket}: {reason}; is `portreeve run` running? (--control names another socket)"
    )]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// Why.
        reason: String,
    },
    /// No such plugin.
    #[error("there is no plugin `{0}` in router.ron; `portreeve status` lists them")]
    NoSuchPlugin(String),
    /// The plugin did not answer.
    #[error("{plugin}: {reason}")]
    Plugin {
        /// Its name.
        plugin: String,
        /// Why.
        reason: String,
    },
    /// The connection broke, or the answer is none.
    #[error("the core does not answer as expected: {0}")]
    Protocol(#[from] zlink::Error),
}

#[zlink::proxy("org.portreeve.Control")]
trait Control {
    async fn status(&mut self) -> zlink::Result<Result<Status, ControlError>>;
    async fn query(&mut self, plugin: &str, request: &[String]) -> zlink::Result<Result<QueryReply, ControlError>>;
    async fn metrics(&mut self) -> zlink::Result<Result<MetricsReply, ControlError>>;
    #[zlink(more)]
    async fn logs(
        &mut self,
        plugin: Option<&str>,
        follow: bool,
    ) -> zlink::Result<impl Stream<Item = zlink::Result<Result<LogsReply, ControlError>>>>;
}

/// A connection to a core.
pub struct Client(zlink::Connection<Socket>);

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Nobody listens there, or the socket is not ours to open.
    pub async fn connect(socket: &Path) -> Result<Self, ClientError> {
        let failed = |e: zlink::Error| ClientError::Connect { socket: socket.to_owned(), reason: e.to_string() };
        connect(socket).await.map(Self).map_err(failed)
    }

    /// The status of the core and all plugins.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&mut self) -> Result<Status, ClientError> {
        self.0.status().await?.map_err(refused)
    }

    /// An answer of a plugin.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn query(&mut self, plugin: &str, request: &[String]) -> Result<QueryReply, ClientError> {
        self.0.query(plugin, request).await?.map_err(refused)
    }

    /// All figures.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn metrics(&mut self) -> Result<String, ClientError> {
        Ok(self.0.metrics().await?.map_err(refused)?.text)
    }

    /// Hands every record to `show` until the log ends or `show` says false.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn logs(
        &mut self,
        plugin: Option<&str>,
        follow: bool,
        mut show: impl FnMut(&LogsReply) -> bool,
    ) -> Result<(), ClientError> {
        let mut replies = std::pin::pin!(self.0.logs(plugin, follow).await?);
        while let Some(reply) = replies.next().await {
            if !show(&reply?.map_err(refused)?) {
                break;
            }
        }
        Ok(())
    }
}

fn refused(error: ControlError) -> ClientError {
    match error {
        ControlError::NoSuchPlugin { plugin } => ClientError::NoSuchPlugin(plugin),
        ControlError::PluginFailed { plugin, reason } => ClientError::Plugin { plugin, reason },
    }
}
