//! `names`: host names to addresses.

use std::io;

use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf};

use super::State;
use super::bindings::portreeve::plugin::names::{Host, HostWithStore};
use super::bindings::portreeve::plugin::types::{ErrorCode, IpAddress};
use super::types::ip_out;
use crate::grants::Access;

/// Longest host name in bytes (RFC 1035 section 2.3.4), and a label's.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;
/// Addresses that are given of one name.
const MAX_ADDRESSES: usize = 64;

impl Host for State {}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn resolve(accessor: &Accessor<T, Self>, name: String) -> Result<Result<Vec<IpAddress>, ErrorCode>> {
        let checked = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let call = state.begin_call()?;
            if !is_host_name(&name) {
                return Ok(Err(ErrorCode::InvalidArgument));
            }
            Ok(state.check(Access::Resolve(&name)).and_then(|()| {
                let lookup = state.counts.lookup().ok_or(ErrorCode::Limit)?;
                Ok((state.shared.kernel.clone(), lookup, call))
            }))
        })?;
        let (kernel, lookup, _call) = match checked {
            Ok(checked) => checked,
            Err(code) => return Ok(Err(code)),
        };
        // The resolver's thread goes on when the guest no longer waits, so the count does too.
        let asked = tokio::spawn(async move {
            let found = kernel.resolve(&name).await;
            drop(lookup);
            found
        });
        let found = asked.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        Ok(match found {
            Ok(found) if found.is_empty() => Err(ErrorCode::NotFound),
            Ok(found) => Ok(found.into_iter().take(MAX_ADDRESSES).map(ip_out).collect()),
            // The resolver tells in words alone why it failed.
            Err(error) if error.to_string().contains("Temporary failure") => Err(ErrorCode::Unreachable),
            Err(error) => Err(match super::types::error_code(&error) {
                ErrorCode::Other => ErrorCode::NotFound,
                code => code,
            }),
        })
    }
}

fn is_host_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let label = |label: &str| !label.is_empty() && label.len() <= MAX_LABEL && label.chars().all(legal);
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= MAX_NAME && name.split('.').all(label)
}
