//! `random`: the kernel's generator.

use wasmtime::Result;

use super::State;
use super::bindings::portreeve::plugin::random::Host;

/// Bytes of one call.
const MAX_BYTES: u32 = 4096;

impl Host for State {
    fn bytes(&mut self, length: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length.min(MAX_BYTES) as usize];
        crate::sys::linux::process::random(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        crate::sys::linux::process::random(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }
}
