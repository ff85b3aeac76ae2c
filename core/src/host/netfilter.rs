//! `netfilter`: transactions of nf_tables, what is in granted tables, what changes, and tracked connections.
//!
//! `netfilter/check.rs` takes batches and requests apart before anything is sent, `netfilter/follow.rs` puts together what the
//! kernel tells of changes.

mod check;
mod follow;

use std::sync::{Arc, Mutex, PoisonError};

use portreeve_nftables::{Answer, Endian as Order, Family, answer, conntrack, messages};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::netfilter::{
    Acknowledgement, Change, ConnectionFamily, Endian, Host, HostDump, HostDumpWithStore, HostWatch,
    HostWatchWithStore, HostWithStore,
};
use super::bindings::portreeve::plugin::types::ErrorCode;
use super::counted::Counted;
use crate::config::LogLevel;
use crate::grants::Access;
use crate::sys::{NetlinkSocket, NfTables, Refused};
use follow::Followed;

/// NETLINK_NETFILTER and the group in it that is told of changes of tables (NFNLGRP_NFTABLES).
const NETFILTER: u8 = 12;
const CHANGES: u32 = 7;
/// Bytes of a batch.
const MAX_BATCH: usize = 64 * 1024 * 1024;
/// Bytes of a request: a name or two.
const MAX_REQUEST: usize = 4096;
/// NLM_F_DUMP_INTR.
const INTERRUPTED: u16 = 0x10;

/// Answers that are being read.
pub struct DumpHandle {
    socket: Arc<dyn NetlinkSocket>,
    access: DumpOf,
    progress: Arc<Mutex<Progress>>,
    _counted: Counted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum DumpOf {
    Tables,
    Connections,
}

/// How far a dump is.
enum Progress {
    /// Nothing was asked yet.
    Request(Vec<u8>),
    /// Answers come; whether others changed meanwhile what is read.
    Reading { interrupted: bool },
    /// The last one came.
    Ended,
}

/// Changes that are followed.
pub struct WatchHandle {
    socket: Arc<dyn NetlinkSocket>,
    followed: Arc<Mutex<Followed>>,
    _counted: Counted,
}

/// Why a batch is not sent.
enum Unsent {
    Illegal(check::Illegal),
    Code(ErrorCode),
}

impl From<check::Illegal> for Unsent {
    fn from(illegal: check::Illegal) -> Self {
        Self::Illegal(illegal)
    }
}

/// The socket that an instance's transactions go through: by its port they are told from others'.
pub type Transactions = Option<Arc<dyn NfTables>>;

impl State {
    fn transactions(&mut self) -> Result<Arc<dyn NfTables>, ErrorCode> {
        if let Some(socket) = &self.transactions {
            return Ok(socket.clone());
        }
        let opened = self.meter.excuse(|| self.shared.kernel.open_nftables());
        let socket = opened.map_err(|error| self.os_error("open a socket for nf_tables", &error))?;
        self.transactions = Some(socket.clone());
        Ok(socket)
    }

    /// Every table of a batch is granted.
    fn check_batch(&mut self, batch: &[u8]) -> Result<(), ErrorCode> {
        if batch.len() > MAX_BATCH {
            return Err(ErrorCode::InvalidArgument);
        }
        let denied = |table: &str| self.check(Access::NfTable(table)).map_err(Unsent::Code);
        let (code, reason, message) = match check::each_table(Order::NATIVE, batch, denied) {
            Ok(()) => return Ok(()),
            Err(Unsent::Code(code)) => return Err(code),
            Err(Unsent::Illegal(check::Illegal::Malformed(what))) => {
                (ErrorCode::InvalidArgument, what, "no batch of nf_tables")
            }
            Err(Unsent::Illegal(check::Illegal::Beyond(what))) => {
                self.check(Access::AnyNfTable)?;
                (ErrorCode::Denied, what, "denied: a message of a batch")
            }
        };
        self.log(LogLevel::Warn, message, vec![("reason".to_owned(), reason)]);
        Err(code)
    }

    /// What of some answers is granted.
    fn granted(&mut self, of: DumpOf, bytes: &[u8]) -> Result<Vec<u8>, ErrorCode> {
        if of == DumpOf::Connections {
            self.check(Access::Conntrack)?;
            return Ok(bytes.to_vec());
        }
        self.check(Access::AnyNfTable)?;
        let grants = self.grants.borrow().clone();
        Ok(check::only(Order::NATIVE, bytes, |table| grants.check(Access::NfTable(table)).is_ok()))
    }

    fn open_dump(&mut self, access: DumpOf, request: Vec<u8>) -> Result<Resource<DumpHandle>, ErrorCode> {
        let counted = self.counts.socket().ok_or(ErrorCode::Limit)?;
        let opened = self.meter.excuse(|| self.shared.kernel.open_netlink(NETFILTER));
        let socket = opened.map_err(|error| self.os_error("open a netlink socket", &error))?;
        let progress = Arc::new(Mutex::new(Progress::Request(request)));
        self.push(DumpHandle { socket, access, progress, _counted: counted })
    }
}

impl Host for State {
    fn byte_order(&mut self) -> Result<Endian> {
        Ok(match Order::NATIVE {
            Order::Little => Endian::Little,
            Order::Big => Endian::Big,
        })
    }
}

impl HostDump for State {
    fn open(&mut self, request: Vec<u8>) -> Result<Result<Resource<DumpHandle>, ErrorCode>> {
        if let Err(denied) = self.check(Access::AnyNfTable) {
            return Ok(Err(denied));
        }
        let table = match check::table_of_request(Order::NATIVE, &request) {
            Ok(table) if request.len() <= MAX_REQUEST => table,
            _ => return Ok(Err(ErrorCode::InvalidArgument)),
        };
        if let Some(table) = table
            && let Err(denied) = self.check(Access::NfTable(&table))
        {
            return Ok(Err(denied));
        }
        Ok(self.open_dump(DumpOf::Tables, request))
    }

    fn connections(&mut self, family: ConnectionFamily) -> Result<Result<Resource<DumpHandle>, ErrorCode>> {
        if let Err(denied) = self.check(Access::Conntrack) {
            return Ok(Err(denied));
        }
        let family = match family {
            ConnectionFamily::Ipv4 => Family::Ip,
            ConnectionFamily::Ipv6 => Family::Ip6,
        };
        Ok(self.open_dump(DumpOf::Connections, conntrack::request(Order::NATIVE, 1, family)))
    }

    fn drop(&mut self, this: Resource<DumpHandle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

impl HostWatch for State {
    fn open(&mut self) -> Result<Result<Resource<WatchHandle>, ErrorCode>> {
        if let Err(denied) = self.check(Access::AnyNfTable) {
            return Ok(Err(denied));
        }
        let Some(counted) = self.counts.socket() else { return Ok(Err(ErrorCode::Limit)) };
        let opened = self.meter.excuse(|| {
            let socket = self.shared.kernel.open_netlink(NETFILTER)?;
            socket.join(CHANGES).map(|()| socket)
        });
        Ok(match opened {
            Ok(socket) => self.push(WatchHandle { socket, followed: Arc::default(), _counted: counted }),
            Err(error) => Err(self.os_error("follow changes of nf_tables", &error)),
        })
    }

    fn drop(&mut self, this: Resource<WatchHandle>) -> Result<()> {
        let handle = self.handles.delete(this)?;
        self.meter.excuse(|| drop(handle));
        Ok(())
    }
}

/// Sends a batch; what the kernel has against it.
async fn transact<T: Send + 'static>(
    accessor: &Accessor<T, HasSelf<State>>,
    mut batch: Vec<u8>,
    in_force: bool,
) -> Result<Result<Vec<Acknowledgement>, ErrorCode>> {
    let (checked, _call) = accessor.with(|mut access| -> Result<_> {
        let state = access.get();
        let call = state.begin_call()?;
        let checked = state.check_batch(&batch).and_then(|()| {
            let one = state.counts.transaction().ok_or(ErrorCode::Limit)?;
            Ok((state.transactions()?, one))
        });
        Ok((checked, call))
    })?;
    let (socket, one) = match checked {
        Ok(socket) => socket,
        Err(code) => return Ok(Err(code)),
    };
    if !in_force {
        check::leave_end_out(Order::NATIVE, &mut batch);
    }
    super::let_others_run().await;
    // The thread that sends it goes on when the guest no longer waits, so the count does too.
    let work = socket.commit(batch);
    let sent = tokio::spawn(async move {
        let sent = work.await;
        drop(one);
        sent
    });
    Ok(match sent.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(reasons) => Ok(reasons.into_iter().map(acknowledgement_out).collect()),
        Err(error) => Err(accessor.with(|mut access| access.get().os_error("change tables of nf_tables", &error))),
    })
}

fn acknowledgement_out(refused: Refused) -> Acknowledgement {
    Acknowledgement {
        sequence: refused.sequence,
        errno: refused.errno.unsigned_abs(),
        offset: refused.offset,
        message: refused.message,
    }
}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn commit(accessor: &Accessor<T, Self>, batch: Vec<u8>) -> Result<Result<Vec<Acknowledgement>, ErrorCode>> {
        transact(accessor, batch, true).await
    }

    async fn check(accessor: &Accessor<T, Self>, batch: Vec<u8>) -> Result<Result<Vec<Acknowledgement>, ErrorCode>> {
        transact(accessor, batch, false).await
    }

    async fn generation(accessor: &Accessor<T, Self>) -> Result<Result<u32, ErrorCode>> {
        let (checked, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let checked = state.check(Access::AnyNfTable).and_then(|()| {
                let one = state.counts.transaction().ok_or(ErrorCode::Limit)?;
                Ok((state.transactions()?, one))
            });
            Ok((checked, call))
        })?;
        let (socket, _one) = match checked {
            Ok(socket) => socket,
            Err(code) => return Ok(Err(code)),
        };
        let asked = socket.generation().await;
        Ok(asked.map_err(|error| accessor.with(|mut access| access.get().os_error("ask nf_tables", &error))))
    }
}

impl<T: Send + 'static> HostDumpWithStore<T> for HasSelf<State> {
    async fn next(accessor: &Accessor<T, Self>, this: Resource<DumpHandle>) -> Result<Result<Vec<u8>, ErrorCode>> {
        let (socket, of, progress, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let handle = state.handles.get(&this)?;
            Ok((handle.socket.clone(), handle.access, handle.progress.clone(), call))
        })?;
        let request = {
            let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
            match std::mem::replace(&mut *progress, Progress::Reading { interrupted: false }) {
                Progress::Request(request) => Some(request),
                Progress::Ended => {
                    *progress = Progress::Ended;
                    return Ok(Ok(Vec::new()));
                }
                reading @ Progress::Reading { .. } => {
                    *progress = reading;
                    None
                }
            }
        };
        super::let_others_run().await;
        let mut outcome = Ok(());
        if let Some(request) = request {
            outcome = socket.send(request).await;
        }
        loop {
            let received = match outcome {
                Ok(()) => socket.receive().await,
                Err(error) => Err(error),
            };
            outcome = Ok(());
            let bytes = match received {
                Ok(bytes) => bytes,
                Err(error) => return Ok(Err(accessor.with(|mut a| a.get().os_error("read nf_tables", &error)))),
            };
            let (ended, failed) = advance(&progress, &bytes);
            if let Some(error) = failed {
                return Ok(Err(accessor.with(|mut access| access.get().os_error("read nf_tables", &error))));
            }
            let granted = accessor.with(|mut access| access.get().granted(of, &bytes));
            match granted {
                // An empty answer would be the end.
                Ok(granted) if granted.is_empty() && !ended => {}
                other => return Ok(other),
            }
        }
    }
}

/// Notes what a datagram says of the dump itself: whether it ended, and how badly.
fn advance(progress: &Mutex<Progress>, bytes: &[u8]) -> (bool, Option<std::io::Error>) {
    let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    let Progress::Reading { mut interrupted } = *progress else { return (true, None) };
    let mut end = None;
    for message in messages(Order::NATIVE, bytes).map_while(std::result::Result::ok) {
        interrupted |= message.flags & INTERRUPTED != 0;
        if let Answer::Acknowledged(found) | Answer::Done(found) = answer(&message) {
            end = Some(found.errno);
        }
    }
    *progress = if end.is_some() { Progress::Ended } else { Progress::Reading { interrupted } };
    let failed = match end {
        Some(0) if interrupted => Some(libc::EAGAIN),
        Some(libc::EINTR) => Some(libc::EAGAIN),
        Some(0) | None => None,
        Some(code) => Some(code),
    };
    (end.is_some(), failed.map(std::io::Error::from_raw_os_error))
}

impl<T: Send + 'static> HostWatchWithStore<T> for HasSelf<State> {
    async fn next(accessor: &Accessor<T, Self>, this: Resource<WatchHandle>) -> Result<Result<Change, ErrorCode>> {
        let (socket, followed, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            let handle = state.handles.get(&this)?;
            Ok((handle.socket.clone(), handle.followed.clone(), call))
        })?;
        loop {
            let mut whole = followed.lock().unwrap_or_else(PoisonError::into_inner).next();
            if whole.is_none() {
                super::let_others_run().await;
                match socket.receive().await {
                    Ok(bytes) => followed.lock().unwrap_or_else(PoisonError::into_inner).take(Order::NATIVE, &bytes),
                    // Which generation it is now is asked below.
                    Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                        whole = Some(followed.lock().unwrap_or_else(PoisonError::into_inner).overflow());
                    }
                    Err(error) => {
                        return Ok(Err(accessor.with(|mut a| a.get().os_error("follow nf_tables", &error))));
                    }
                }
            }
            let Some(mut whole) = whole else { continue };
            if whole.lost {
                let transactions = accessor.with(|mut access| access.get().transactions());
                if let Ok(transactions) = transactions
                    && let Ok(generation) = transactions.generation().await
                {
                    whole.generation = generation;
                }
            }
            return Ok(accessor.with(|mut access| {
                let state = access.get();
                state.check(Access::AnyNfTable)?;
                let grants = state.grants.borrow().clone();
                let own = state.transactions.as_ref().is_some_and(|socket| socket.port() == whole.port);
                Ok(Change {
                    generation: whole.generation,
                    by_us: own && !whole.lost,
                    tables: (whole.tables.into_iter())
                        .filter(|table| grants.check(Access::NfTable(table)).is_ok())
                        .collect(),
                    process: whole.process,
                    lost: whole.lost,
                })
            }));
        }
    }
}
