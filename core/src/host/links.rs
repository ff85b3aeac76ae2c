//! `links`: what the kernel has, filtered by the grant.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};
use wasmtime::Result;
use wasmtime::component::{Accessor, HasSelf, Resource};

use super::State;
use super::bindings::portreeve::plugin::links::{
    self as wit, Change, Host, HostWatch, HostWatchWithStore, HostWithStore,
};
use super::bindings::portreeve::plugin::types::ErrorCode;
use super::types::{ip_out, prefix_out};
use crate::grants::{Access, Grants};
use crate::sys::{self, BoxFuture, Kernel, LinkTable};

/// Follows links and addresses.
pub struct LinkWatch {
    /// Held by the one call of `next` that runs.
    position: Arc<Mutex<Position>>,
}

struct Position {
    table: watch::Receiver<Arc<LinkTable>>,
    grants: watch::Receiver<Arc<Grants>>,
    /// What was told, and to whom it was visible then; none before the first answer.
    told: Option<(Arc<LinkTable>, Arc<Grants>)>,
}

impl Host for State {
    fn list_links(&mut self) -> Result<Result<Vec<wit::Link>, ErrorCode>> {
        Ok(self.check(Access::AnyLink).map(|()| {
            let (table, grants) = self.now();
            table.links.values().filter(|l| sees(&grants, &l.name)).cloned().map(link_out).collect()
        }))
    }

    fn list_addresses(&mut self) -> Result<Result<Vec<wit::Address>, ErrorCode>> {
        Ok(self.check(Access::AnyLink).map(|()| {
            let (table, grants) = self.now();
            let visible = |index| sees_index(&grants, &table, index);
            table.addresses.values().filter(|a| visible(a.index)).cloned().map(address_out).collect()
        }))
    }
}

impl State {
    fn now(&self) -> (Arc<LinkTable>, Arc<Grants>) {
        (self.shared.kernel.links().borrow().clone(), self.grants.borrow().clone())
    }
}

impl<T: Send + 'static> HostWithStore<T> for HasSelf<State> {
    async fn list_routes(accessor: &Accessor<T, Self>) -> Result<Result<Vec<wit::Route>, ErrorCode>> {
        list(
            accessor,
            "list routes",
            |kernel| kernel.routes(),
            |routes, grants, table| {
                let visible = |route: &sys::Route| match route.index {
                    Some(index) => sees_index(grants, table, index),
                    None => grants.check(Access::EveryLink).is_ok(),
                };
                routes.into_iter().filter(visible).map(route_out).collect()
            },
        )
        .await
    }

    async fn list_neighbours(accessor: &Accessor<T, Self>) -> Result<Result<Vec<wit::Neighbour>, ErrorCode>> {
        list(
            accessor,
            "list neighbours",
            |kernel| kernel.neighbours(),
            |neighbours, grants, table| {
                let visible = |n: &sys::Neighbour| sees_index(grants, table, n.index);
                neighbours.into_iter().filter(visible).map(neighbour_out).collect()
            },
        )
        .await
    }
}

/// Asks the kernel for a list, and shows of it what is granted.
async fn list<T: Send + 'static, K, W>(
    accessor: &Accessor<T, HasSelf<State>>,
    what: &str,
    ask: impl FnOnce(&dyn Kernel) -> BoxFuture<'static, std::io::Result<Vec<K>>>,
    show: impl FnOnce(Vec<K>, &Grants, &LinkTable) -> Vec<W>,
) -> Result<Result<Vec<W>, ErrorCode>> {
    let asked = accessor.with(|mut access| -> Result<_> {
        let state = access.get();
        let call = state.begin_call()?;
        Ok(state.check(Access::AnyLink).map(|()| (ask(&*state.shared.kernel), call)))
    })?;
    let (answer, _call) = match asked {
        Ok(asked) => asked,
        Err(denied) => return Ok(Err(denied)),
    };
    let answer = answer.await;
    Ok(accessor.with(|mut access| {
        let state = access.get();
        let found = answer.map_err(|error| state.os_error(what, &error))?;
        let (table, grants) = state.now();
        Ok(show(found, &grants, &table))
    }))
}

impl HostWatch for State {
    fn open(&mut self) -> Result<Result<Resource<LinkWatch>, ErrorCode>> {
        if let Err(denied) = self.check(Access::AnyLink) {
            return Ok(Err(denied));
        }
        let position = Position { table: self.shared.kernel.links(), grants: self.grants.clone(), told: None };
        Ok(self.push(LinkWatch { position: Arc::new(Mutex::new(position)) }))
    }

    fn drop(&mut self, this: Resource<LinkWatch>) -> Result<()> {
        self.handles.delete(this)?;
        Ok(())
    }
}

impl<T: Send + 'static> HostWatchWithStore<T> for HasSelf<State> {
    async fn next(accessor: &Accessor<T, Self>, this: Resource<LinkWatch>) -> Result<Vec<Change>> {
        let (position, _call) = accessor.with(|mut access| -> Result<_> {
            let state = access.get();
            Ok((state.handles.get(&this)?.position.clone(), state.begin_call()?))
        })?;
        super::let_others_run().await;
        let mut position = position.lock().await;
        loop {
            let table = position.table.borrow_and_update().clone();
            let grants = position.grants.borrow_and_update().clone();
            let first = position.told.is_none();
            let (told, told_to) = position.told.take().unwrap_or_else(|| (Arc::default(), Arc::new(Grants::none())));
            let changes = table.changes_since(&told, |name| sees(&told_to, name), |name| sees(&grants, name));
            position.told = Some((table, grants));
            if first || !changes.is_empty() {
                return Ok(changes.into_iter().map(change_out).collect());
            }
            let Position { table, grants, .. } = &mut *position;
            let ended = tokio::select! {
                changed = table.changed() => changed.is_err(),
                changed = grants.changed() => changed.is_err(),
            };
            if ended {
                std::future::pending::<()>().await;
            }
        }
    }
}

fn sees(grants: &Grants, name: &str) -> bool {
    grants.check(Access::Link(name)).is_ok()
}

fn sees_index(grants: &Grants, table: &LinkTable, index: u32) -> bool {
    table.links.get(&index).is_some_and(|link| sees(grants, &link.name))
}

fn change_out(change: sys::links::Change) -> Change {
    match change {
        sys::links::Change::Link(link) => Change::Link(link_out(link)),
        sys::links::Change::LinkGone(index) => Change::LinkGone(index),
        sys::links::Change::Address(address) => Change::Address(address_out(address)),
        sys::links::Change::AddressGone((index, address, length)) => {
            Change::AddressGone((index, prefix_out((address, length))))
        }
    }
}

fn link_out(link: sys::Link) -> wit::Link {
    wit::Link {
        index: link.index,
        name: link.name,
        kind: link.kind,
        mac: link.mac,
        mtu: link.mtu,
        up: link.up,
        running: link.running,
        loopback: link.loopback,
        point_to_point: link.point_to_point,
        multicast: link.multicast,
        controller: link.controller,
        alias: link.alias,
        ipv6_forwarding: link.ipv6_forwarding,
    }
}

fn address_out(address: sys::Address) -> wit::Address {
    wit::Address {
        index: address.index,
        address: prefix_out((address.address, address.prefix_length)),
        tentative: address.tentative,
        duplicate: address.duplicate,
        deprecated: address.deprecated,
        temporary: address.temporary,
        preferred_lifetime: address.preferred_lifetime,
        valid_lifetime: address.valid_lifetime,
    }
}

fn route_out(route: sys::Route) -> wit::Route {
    wit::Route {
        destination: prefix_out(route.destination),
        gateway: route.gateway.map(ip_out),
        index: route.index,
        metric: route.metric,
        protocol: route.protocol,
    }
}

fn neighbour_out(neighbour: sys::Neighbour) -> wit::Neighbour {
    wit::Neighbour {
        index: neighbour.index,
        address: ip_out(neighbour.address),
        mac: neighbour.mac,
        usable: neighbour.usable,
        router: neighbour.router,
    }
}
