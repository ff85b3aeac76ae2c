//! `storage`: stored values, within the granted sizes.

use wasmtime::Result;

use super::State;
use super::bindings::portreeve::plugin::storage::{Durability, Host};
use super::bindings::portreeve::plugin::types::ErrorCode;
use crate::grants::Access;
use crate::stores::storage::{self as store, StorageStore};

impl Host for State {
    fn get(&mut self, durability: Durability, name: String) -> Result<Result<Option<Vec<u8>>, ErrorCode>> {
        Ok(self.may_keep(durability, 0).map(|d| self.shared.storage.get(&self.plugin, d, &name)))
    }

    fn set(&mut self, durability: Durability, name: String, value: Vec<u8>) -> Result<Result<(), ErrorCode>> {
        if let Err(denied) = self.may_keep(durability, 0) {
            return Ok(Err(denied));
        }
        if !StorageStore::is_name(&name) {
            return Ok(Err(ErrorCode::InvalidArgument));
        }
        let d = durability_in(durability);
        let size = self.shared.storage.size_with(&self.plugin, d, &name, value.len());
        if self.grants.borrow().check(access(durability, size)).is_err() {
            return Ok(Err(ErrorCode::Limit));
        }
        let done = self.meter.excuse(|| self.shared.storage.set(&self.plugin, d, &name, value));
        Ok(done.map_err(|error| self.os_error("keep a value", &error)))
    }

    fn remove(&mut self, durability: Durability, name: String) -> Result<Result<(), ErrorCode>> {
        Ok(self.may_keep(durability, 0).and_then(|d| {
            if self.shared.storage.remove(&self.plugin, d, &name) { Ok(()) } else { Err(ErrorCode::NotFound) }
        }))
    }

    fn names(&mut self, durability: Durability) -> Result<Result<Vec<String>, ErrorCode>> {
        Ok(self.may_keep(durability, 0).map(|d| self.shared.storage.names(&self.plugin, d)))
    }
}

impl State {
    fn may_keep(&mut self, durability: Durability, bytes: usize) -> Result<store::Durability, ErrorCode> {
        self.check(access(durability, bytes)).map(|()| durability_in(durability))
    }
}

fn access(durability: Durability, bytes: usize) -> Access<'static> {
    match durability {
        Durability::Volatile => Access::Volatile(bytes),
        Durability::Flash => Access::Flash(bytes),
    }
}

fn durability_in(durability: Durability) -> store::Durability {
    match durability {
        Durability::Volatile => store::Durability::Volatile,
        Durability::Flash => store::Durability::Flash,
    }
}
