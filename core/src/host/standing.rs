//! Noticing that what a call waits on is no longer granted, or no longer there. A socket whose interface goes is not always
//! told by the kernel, and none is told of a grant that is taken back.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;
use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::bindings::portreeve::plugin::types::ErrorCode;
use super::inet::Purpose;
use crate::grants::{Grants, Transport};
use crate::sys::LinkTable;

/// Tells when links or grants have changed.
pub(super) struct Standing {
    links: watch::Receiver<Arc<LinkTable>>,
    grants: watch::Receiver<Arc<Grants>>,
}

impl Standing {
    /// Waits for the next change. Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        // A sender that is gone changes nothing any more.
        tokio::select! {
            Ok(()) = self.links.changed() => {}
            Ok(()) = self.grants.changed() => {}
            else => std::future::pending().await,
        }
    }

    /// Waits and gives itself back.
    pub async fn next(mut self) -> Self {
        self.changed().await;
        self
    }
}

impl State {
    /// Tells of changes from now on.
    pub(super) fn standing(&self) -> Standing {
        let (mut links, mut grants) = (self.shared.kernel.links(), self.grants.clone());
        links.mark_unchanged();
        grants.mark_unchanged();
        Standing { links, grants }
    }
}

/// Waits for `work` of a socket for as long as its purpose is granted and its interface there; whether it still is when the
/// work is done is asked, too.
pub(super) async fn while_standing<T: Send + 'static, W: Future>(
    accessor: &Accessor<T, HasSelf<State>>,
    transport: Transport,
    purpose: Purpose,
    work: W,
) -> Result<W::Output, ErrorCode> {
    let mut work = pin!(work);
    let mut standing = accessor.with(|mut access| access.get().standing());
    loop {
        accessor.with(|mut access| access.get().check_purpose(transport, purpose))?;
        tokio::select! {
            biased;
            done = &mut work => {
                accessor.with(|mut access| access.get().check_purpose(transport, purpose))?;
                return Ok(done);
            }
            () = standing.changed() => {}
        }
    }
}
