//! Machine code that this core compiled itself: the one place where it is trusted.
//!
//! `Component::deserialize` runs what it is given. The only caller is the compile cache, which hands over
//! bytes whose MAC under the device's own key it has just verified.
#![expect(unsafe_code, reason = "wasmtime cannot check machine code; the MAC does")]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Bytes that carry a valid MAC of this device. Only [`crate::plugin::cache`] makes them.
#[derive(Clone, Copy, Debug)]
pub struct Authentic<'a>(pub(crate) &'a [u8]);

/// Turns authentic precompiled bytes into a component.
///
/// # Errors
/// wasmtime's, if the bytes are for another version or another configuration of the engine.
pub fn deserialize(engine: &Engine, code: Authentic<'_>) -> wasmtime::Result<Component> {
    // SAFETY: the bytes came from `Component::serialize` of this program: they carry a MAC under a key that
    // only the core can read, over the code, the component's hash and the engine's compatibility hash.
    unsafe { Component::deserialize(engine, code.0) }
}
