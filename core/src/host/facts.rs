//! `facts`: publish and follow.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::facts::{self as wit, Fact, Host, HostWatch, HostWatchWithStore, Kind, Value};
use super::bindings::portreeve::plugin::types::ErrorCode;
use super::types::{ip_in, ip_out, prefix_in, prefix_out};
use crate::grants::{Access, FactKind, Grants};
use crate::stores::facts::{self as store, FactError, FactValue};

/// Follows facts of some kinds.
pub struct FactWatch {
    kinds: Vec<FactKind>,
    /// Held by the one call of `next` that runs.
    position: Arc<Mutex<Position>>,
}

struct Position {
    version: watch::Receiver<u64>,
    grants: watch::Receiver<Arc<Grants>>,
    last: Option<Vec<store::Fact>>,
}

impl Host for State {
    fn publish(&mut self, key: String, value: Value) -> Result<Result<(), ErrorCode>> {
        let value = value_in(value);
        Ok(self
            .check(Access::Publish(value.kind()))
            .and_then(|()| self.shared.facts.publish(&self.plugin, &key, value, self.run).map_err(code)))
    }

    fn withdraw(&mut self, key: String) -> Result<Result<(), ErrorCode>> {
        Ok(self.shared.facts.withdraw(&self.plugin, &key).map_err(code))
    }
}

impl HostWatch for State {
    fn open(&mut self, kinds: Vec<Kind>) -> Result<Result<Resource<FactWatch>, ErrorCode>> {
        let kinds: Vec<_> = kinds.into_iter().map(kind_in).collect();
        for kind in &kinds {
            if let Err(denied) = self.check(Access::Watch(*kind)) {
                return Ok(Err(denied));
            }
        }
        let position = Position { version: self.shared.facts.subscribe(), grants: self.grants.clone(), last: None };
        Ok(self.push(FactWatch { kinds, position: Arc::new(Mutex::new(position)) }))
    }

    fn drop(&mut self, this: Resource<FactWatch>) -> Result<()> {
        self.handles.delete(this)?;
        Ok(())
    }
}

impl<T: Send + 'static> HostWatchWithStore<T> for HasSelf<State> {
    async fn next(accessor: &Accessor<T, Self>, this: Resource<FactWatch>) -> Result<Vec<Fact>> {
        let (position, asked, shared, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            let watch = state.handles.get(&this)?;
            Ok((watch.position.clone(), watch.kinds.clone(), state.shared.clone(), state.begin_call()?))
        })?;
        super::let_others_run().await;
        let mut position = position.lock().await;
        loop {
            position.version.mark_unchanged();
            let grants = position.grants.borrow_and_update().clone();
            // A kind whose grant was taken back is seen as empty.
            let mut kinds = asked.clone();
            kinds.retain(|kind| grants.check(Access::Watch(*kind)).is_ok());
            let facts = shared.facts.list(&kinds);
            if position.last.as_ref() != Some(&facts) {
                position.last = Some(facts.clone());
                return Ok(facts.into_iter().map(fact_out).collect());
            }
            let Position { version, grants, .. } = &mut *position;
            let ended = tokio::select! {
                changed = version.changed() => changed.is_err(),
                changed = grants.changed() => changed.is_err(),
            };
            if ended {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn code(error: FactError) -> ErrorCode {
    match error {
        FactError::Invalid => ErrorCode::InvalidArgument,
        FactError::Limit => ErrorCode::Limit,
        FactError::NotFound => ErrorCode::NotFound,
    }
}

/// A kind of the WIT package as ours.
pub fn kind_in(kind: Kind) -> FactKind {
    match kind {
        Kind::DelegatedPrefix => FactKind::DelegatedPrefix,
        Kind::Nat64Prefix => FactKind::Nat64Prefix,
        Kind::DnsServer => FactKind::DnsServer,
        Kind::SearchDomain => FactKind::SearchDomain,
        Kind::Tunnel => FactKind::Tunnel,
        Kind::Custom => FactKind::Custom,
    }
}

fn value_in(value: Value) -> FactValue {
    match value {
        Value::DelegatedPrefix(p) => {
            FactValue::DelegatedPrefix(prefix_in(p.prefix), p.preferred_until, p.valid_until, p.interface)
        }
        Value::Nat64Prefix(prefix) => FactValue::Nat64Prefix(prefix_in(prefix)),
        Value::DnsServer(address) => FactValue::DnsServer(ip_in(address)),
        Value::SearchDomain(name) => FactValue::SearchDomain(name),
        Value::Tunnel(t) => FactValue::Tunnel {
            interface: t.interface,
            up: t.up,
            mtu: t.mtu,
            local: t.local.map(ip_in),
            remote: t.remote.map(ip_in),
        },
        Value::Custom(c) => FactValue::Custom(c.name, c.value),
    }
}

fn fact_out(fact: store::Fact) -> Fact {
    let value = match fact.value {
        FactValue::DelegatedPrefix(prefix, preferred_until, valid_until, interface) => {
            let prefix = prefix_out(prefix);
            Value::DelegatedPrefix(wit::DelegatedPrefix { prefix, preferred_until, valid_until, interface })
        }
        FactValue::Nat64Prefix(prefix) => Value::Nat64Prefix(prefix_out(prefix)),
        FactValue::DnsServer(address) => Value::DnsServer(ip_out(address)),
        FactValue::SearchDomain(name) => Value::SearchDomain(name),
        FactValue::Tunnel { interface, up, mtu, local, remote } => {
            Value::Tunnel(wit::Tunnel { interface, up, mtu, local: local.map(ip_out), remote: remote.map(ip_out) })
        }
        FactValue::Custom(name, value) => Value::Custom(wit::Custom { name, value }),
    };
    Fact { publisher: fact.publisher, key: fact.key, value }
}
