//! The interfaces that are there, for the flowtable: only such may stand in it.

use std::collections::BTreeMap;
use std::rc::Rc;

use portreeve_sdk::links::{Change, Watch};
use portreeve_sdk::types::ErrorCode;
use portreeve_sdk::{Failure, Standing};

use super::kernel::denied;
use crate::config::Config;

#[derive(Default)]
pub struct Devices {
    changes: Standing<Vec<Change>>,
    names: BTreeMap<u32, String>,
}

impl Devices {
    /// Follows interfaces from now on, if the section has a flowtable: without one nothing may be followed.
    pub fn follow(&mut self, config: &Config) -> Result<(), Failure> {
        if self.changes.is_set() || config.offload.is_none() {
            return Ok(());
        }
        let watch = Watch::open().map_err(|code: ErrorCode| denied("follow interfaces", code))?;
        let watch = Rc::new(watch);
        self.changes = Standing::new(move || {
            let watch = watch.clone();
            async move { watch.next().await }
        });
        Ok(())
    }

    /// Waits for a change, and names all that are there.
    pub async fn next(&mut self) -> Vec<String> {
        for change in self.changes.next().await {
            match change {
                Change::Link(link) => drop(self.names.insert(link.index, link.name)),
                Change::LinkGone(index) => drop(self.names.remove(&index)),
                _ => {}
            }
        }
        let mut names: Vec<String> = self.names.values().cloned().collect();
        names.sort();
        names
    }
}
