//! Changes of links and addresses at the host, as the engine takes them; and the hardware, when it is asked for.

use std::rc::Rc;

use portreeve_sdk::links::{Change, Watch};
use portreeve_sdk::network::{self, prefix};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, Standing, warn};

use crate::engine::{Hardware, HeldAddress, Link};
use crate::{Config, Engine};

#[derive(Default)]
pub struct LinkBook {
    watch: Standing<Vec<Change>>,
    looks_at_hardware: bool,
}

impl LinkBook {
    /// Follows links from now on, if the section names any: without one nothing may be followed.
    pub fn follow(&mut self, config: &Config) -> Result<(), Failure> {
        self.looks_at_hardware = config.sees_all_links();
        if self.watch.is_set() || config.interfaces().is_empty() && config.route_interfaces().is_empty() {
            return Ok(());
        }
        let failed = |code: ErrorCode| Failure::Other(format!("cannot follow links: {}", code.name()));
        let watch = Rc::new(Watch::open().map_err(failed)?);
        self.watch = Standing::new(move || {
            let watch = watch.clone();
            async move { watch.next().await }
        });
        Ok(())
    }

    pub const fn is_open(&self) -> bool {
        self.watch.is_set()
    }

    /// Waits for changes. Dropping the future loses none.
    pub async fn next(&mut self) -> Vec<Change> {
        self.watch.next().await
    }

    pub fn apply(&self, changes: Vec<Change>, engine: &mut Engine) {
        let mut links_changed = false;
        for change in changes {
            match change {
                Change::Link(link) => {
                    links_changed = true;
                    engine.handle_link(Link {
                        index: link.index,
                        name: link.name,
                        kind: link.kind,
                        mac: link.mac,
                        up: link.up,
                        running: link.running,
                        controller: link.controller,
                        mtu: link.mtu,
                    });
                }
                Change::LinkGone(index) => engine.handle_link_gone(index),
                Change::Address(address) => engine.handle_address(HeldAddress {
                    index: address.index,
                    address: prefix(address.address),
                    tentative: address.tentative,
                    duplicate: address.duplicate,
                }),
                Change::AddressGone((index, address)) => engine.handle_address_gone(index, prefix(address)),
            }
        }
        if links_changed {
            self.look(engine);
        }
    }

    /// Looks at the hardware, if the section asks for any: when links change, and when the section does.
    pub fn look(&self, engine: &mut Engine) {
        if !self.looks_at_hardware {
            return;
        }
        match network::list_hardware() {
            Ok(list) => engine.handle_hardware(list.into_iter().map(hardware).collect()),
            Err(code) => warn!("cannot look at the hardware", error = code.name()),
        }
    }
}

fn hardware(hardware: network::Hardware) -> Hardware {
    Hardware {
        index: hardware.index,
        permanent_mac: hardware.permanent_mac,
        driver: hardware.driver,
        path: hardware.path,
    }
}
