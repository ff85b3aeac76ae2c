//! Changes of links and addresses at the host, as the engine takes them.

use std::rc::Rc;

use portreeve_sdk::links::{Change, Watch};
use portreeve_sdk::network::prefix;
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, Standing};

use super::now;
use crate::engine::Link;
use crate::{Config, Engine};

#[derive(Default)]
pub struct LinkBook(Standing<Vec<Change>>);

impl LinkBook {
    /// Follows links from now on, if the section has tunnels: without one nothing may be followed.
    pub fn follow(&mut self, config: &Config) -> Result<(), Failure> {
        if self.0.is_set() || config.tunnels().next().is_none() {
            return Ok(());
        }
        let failed = |code: ErrorCode| Failure::Other(format!("cannot follow links: {}", code.name()));
        let watch = Rc::new(Watch::open().map_err(failed)?);
        self.0 = Standing::new(move || {
            let watch = watch.clone();
            async move { watch.next().await }
        });
        Ok(())
    }

    pub const fn is_open(&self) -> bool {
        self.0.is_set()
    }

    /// Waits for changes. Dropping the future loses none.
    pub async fn next(&mut self) -> Vec<Change> {
        self.0.next().await
    }
}

pub fn apply(changes: Vec<Change>, engine: &mut Engine) {
    for change in changes {
        match change {
            Change::Link(link) => {
                let link = Link {
                    index: link.index,
                    name: link.name,
                    kind: link.kind.unwrap_or_default(),
                    up: link.up,
                    running: link.running,
                    mtu: link.mtu,
                };
                engine.handle_link(link, now());
            }
            Change::LinkGone(index) => engine.handle_link_gone(index, now()),
            Change::Address(address) => {
                let usable = !(address.tentative || address.duplicate || address.deprecated);
                engine.handle_address(address.index, prefix(address.address), usable, now());
            }
            Change::AddressGone((index, address)) => engine.handle_address_gone(index, prefix(address), now()),
        }
    }
}
