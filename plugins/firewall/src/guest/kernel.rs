//! nf_tables at the host: the byte order, batches, what is there, changes, connections.

use portreeve_nftables::{Acknowledgement, Endian};
use portreeve_sdk::netfilter::{self, Change, ConnectionFamily, Dump, Watch};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, Standing, info, warn};
use std::rc::Rc;

use super::News;
use crate::engine::CommitError;
use crate::install::{self, Existing, ReadError};

/// The generation, and what is in the table.
pub type Found = Result<(u32, Existing), CommitError>;
/// What the kernel has against a batch.
pub type Answered = Result<Vec<Acknowledgement>, CommitError>;

/// The machine's byte order.
pub fn byte_order() -> Endian {
    match netfilter::byte_order() {
        netfilter::Endian::Little => Endian::Little,
        netfilter::Endian::Big => Endian::Big,
    }
}

/// Changes of tables by others. While a batch of ours is on its way nothing is listened to: the kernel would tell of every
/// element, which takes it longer than the batch itself. What others did meanwhile shows in the generation.
#[derive(Default)]
pub struct Changes(Standing<Result<Change, ErrorCode>>);

impl Changes {
    /// Listens from now on. None are heard of where the kernel does not let us: without the right to change tables there is
    /// nothing to keep.
    pub fn listen(&mut self) -> Result<(), ErrorCode> {
        let watch = match Watch::open() {
            Ok(watch) => Rc::new(watch),
            Err(ErrorCode::Other) => {
                warn!("cannot hear of changes by others, so none is mended; does the core have CAP_NET_ADMIN?");
                return Ok(());
            }
            Err(code) => return Err(code),
        };
        self.0 = Standing::new(move || {
            let watch = watch.clone();
            async move { watch.next().await }
        });
        Ok(())
    }

    /// Listens no longer.
    pub fn pause(&mut self) {
        self.0 = Standing::default();
    }

    /// Waits for the next.
    pub async fn next(&mut self) -> Result<Change, ErrorCode> {
        self.0.next().await
    }
}

/// The present generation, to see whether others changed something while nothing was listened to.
pub async fn generation() -> News {
    netfilter::generation().await.map_or(News::Done, News::Generation)
}

/// Sends a batch.
pub async fn commit(batch: Vec<u8>) -> News {
    let answer = netfilter::commit(batch).await.map_err(reason);
    News::Committed(answer.map(|list| list.into_iter().map(acknowledgement).collect()))
}

fn acknowledgement(found: netfilter::Acknowledgement) -> Acknowledgement {
    Acknowledgement {
        sequence: found.sequence,
        errno: i32::try_from(found.errno).unwrap_or(i32::MAX),
        offset: found.offset,
        message: found.message,
        missing: None,
    }
}

fn reason(code: ErrorCode) -> CommitError {
    match code {
        ErrorCode::Denied => CommitError::Denied,
        ErrorCode::TooBig => CommitError::TooBig,
        ErrorCode::QueueFull => CommitError::Busy,
        ErrorCode::NotSupported => CommitError::NotSupported,
        _ => CommitError::Other,
    }
}

/// The generation, and what is in the table.
pub async fn look(endian: Endian) -> News {
    News::Existing(existing(endian).await)
}

async fn existing(endian: Endian) -> Found {
    let generation = match netfilter::generation().await {
        Ok(generation) => generation,
        // What keeps this from being answered, such as a right that lacks, keeps the batch from being taken, and there
        // the kernel's reason is told.
        Err(ErrorCode::Other) => return Ok((0, Existing::default())),
        Err(code) => return Err(reason(code)),
    };
    let mut found = Existing::default();
    for request in install::requests(endian, 1) {
        let answered = each(request, |datagram| found.absorb(endian, datagram)).await;
        match answered {
            // No such table, or a kernel without flowtables.
            Ok(()) | Err(Failed::Code(ErrorCode::NotFound | ErrorCode::NotSupported | ErrorCode::InvalidArgument)) => {}
            Err(Failed::Code(code)) => return Err(reason(code)),
            Err(Failed::Read(ReadError::Interrupted)) => return Err(CommitError::Busy),
            Err(Failed::Read(_)) => return Err(CommitError::Other),
        }
    }
    Ok((generation, found))
}

/// Why a dump ended early.
pub enum Failed {
    Code(ErrorCode),
    Read(ReadError),
}

/// Hands every datagram of the answer to `take`.
pub async fn each(request: Vec<u8>, take: impl FnMut(&[u8]) -> Result<(), ReadError>) -> Result<(), Failed> {
    drain(Dump::open(&request).map_err(Failed::Code)?, take).await
}

/// The connections of a family, likewise.
pub async fn connections(
    family: ConnectionFamily,
    take: impl FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<(), Failed> {
    drain(Dump::connections(family).map_err(Failed::Code)?, take).await
}

async fn drain(dump: Dump, mut take: impl FnMut(&[u8]) -> Result<(), ReadError>) -> Result<(), Failed> {
    loop {
        let datagram = dump.next().await.map_err(Failed::Code)?;
        if datagram.is_empty() {
            return Ok(());
        }
        take(&datagram).map_err(Failed::Read)?;
    }
}

/// What was tried, and why it could not be.
pub fn denied(what: &str, code: ErrorCode) -> Failure {
    let why = match code {
        ErrorCode::NotSupported => "this kernel has no nf_tables; load the module nf_tables".to_owned(),
        other => other.name().to_owned(),
    };
    info!("cannot begin", tried = what, error = why);
    Failure::Other(format!("cannot {what}: {why}"))
}
