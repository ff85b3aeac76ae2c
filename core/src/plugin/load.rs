//! From a file to a component that can be started, or one line that says why not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use wasmtime::component::{Component, Linker};

use super::PluginEngine;
use super::cache::{Cache, ComponentHash};
use super::imports::{self, dotted};
use crate::host::bindings::PluginPre;
use crate::host::{self, State, WIT_VERSION};

/// Largest component in bytes.
pub const MAX_COMPONENT: u64 = 64 * 1024 * 1024;

/// Why a component cannot be used. Each is one line: what is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Beyond [`MAX_COMPONENT`].
    #[error("it is larger than {} MiB", MAX_COMPONENT >> 20)]
    TooLarge,
    /// Not WebAssembly at all.
    #[error("it is not WebAssembly: the file does not start with `\\0asm`")]
    NotWasm,
    /// Machine code from somewhere else.
    #[error("it is precompiled machine code, which is never taken from elsewhere; use the portable component")]
    Precompiled,
    /// A core module.
    #[error("it is a core module, not a component; build it with `--target wasm32-wasip2`")]
    CoreModule,
    /// Ends early or is malformed.
    #[error("it is damaged or truncated: {0}")]
    Damaged(String),
    /// No lifecycle.
    #[error("it is a component, but not a portreeve plugin: it does not export portreeve:plugin/lifecycle")]
    NotAPlugin,
    /// Built for another version of the WIT package.
    #[error(
        "it was built for portreeve:plugin {found}, {}; this core serves {}: {}",
        if *.newer { "a newer version" } else { "an older version" },
        dotted(WIT_VERSION),
        if *.newer { "update portreeve" } else { "rebuild the plugin" }
    )]
    WitVersion {
        /// Its version.
        found: String,
        /// Newer than ours.
        newer: bool,
    },
    /// Imports what the core does not have.
    #[error("it imports {name}, which this core does not offer")]
    UnknownImport {
        /// The import.
        name: String,
    },
    /// Right names, wrong types.
    #[error("it does not fit this core's portreeve:plugin {}: {reason}", dotted(WIT_VERSION))]
    Mismatch {
        /// wasmtime's reason.
        reason: String,
    },
    /// `describe` failed.
    #[error("it does not say who it is: {0}")]
    Describe(String),
    /// Built without a compiler, and not in the cache.
    #[error("it is not compiled yet, and this build of portreeve has no compiler")]
    NoCompiler,
}

/// A component that can be started.
#[derive(Clone)]
pub struct Loaded {
    /// With all its imports resolved.
    pub pre: PluginPre<State>,
    /// Hash of its bytes: tells whether the file is another one now.
    pub hash: ComponentHash,
    /// Size of the file in bytes.
    pub size: usize,
    /// Imports by name.
    pub imports: Vec<String>,
}

/// Loads components.
#[derive(Clone)]
pub struct Loader {
    engine: PluginEngine,
    linker: Arc<Linker<State>>,
    cache: Option<Arc<Cache>>,
}

impl Loader {
    /// A loader that keeps compiled code in `cache`.
    ///
    /// # Errors
    /// wasmtime's, if the host interfaces do not link.
    pub fn new(engine: PluginEngine, cache: Option<Cache>) -> wasmtime::Result<Self> {
        let linker = Arc::new(host::linker(engine.wasmtime())?);
        Ok(Self { engine, linker, cache: cache.map(Arc::new) })
    }

    /// The engine that components run in.
    #[must_use]
    pub const fn engine(&self) -> &PluginEngine {
        &self.engine
    }

    /// Loads the component in `path`.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&self, path: &Path) -> Result<Loaded, LoadError> {
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        let file = std::fs::File::open(path).map_err(read)?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_COMPONENT + 1), &mut bytes).map_err(read)?;
        self.load_bytes(&bytes)
    }

    /// Loads a component from memory.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load_bytes(&self, bytes: &[u8]) -> Result<Loaded, LoadError> {
        check_header(bytes)?;
        let engine = self.engine.wasmtime();
        let hash = blake3::hash(bytes);
        let component = match self.cache.as_ref().and_then(|cache| cache.load(&self.engine, &hash)) {
            Some(component) => component,
            None => {
                let component = self.compile(bytes)?;
                if let Some(cache) = &self.cache {
                    cache.store(&hash, &component);
                }
                component
            }
        };
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(engine).map(|(name, _)| name.to_owned()).collect();
        imports::check(imports.iter().map(String::as_str), ty.exports(engine).map(|(name, _)| name))?;
        let mismatch = |error: wasmtime::Error| LoadError::Mismatch { reason: one_line(&error) };
        let pre = self.linker.instantiate_pre(&component).and_then(PluginPre::new).map_err(mismatch)?;
        Ok(Loaded { pre, hash, size: bytes.len(), imports })
    }

    #[cfg(feature = "compile")]
    fn compile(&self, bytes: &[u8]) -> Result<Component, LoadError> {
        Component::from_binary(self.engine.wasmtime(), bytes).map_err(|error| LoadError::Damaged(one_line(&error)))
    }

    #[cfg(not(feature = "compile"))]
    fn compile(&self, _: &[u8]) -> Result<Component, LoadError> {
        Err(LoadError::NoCompiler)
    }
}

/// What the first eight bytes say: magic, version, layer.
fn check_header(bytes: &[u8]) -> Result<(), LoadError> {
    if bytes.len() as u64 > MAX_COMPONENT {
        return Err(LoadError::TooLarge);
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(LoadError::Precompiled);
    }
    let Some(rest) = bytes.strip_prefix(b"\0asm") else {
        return Err(LoadError::NotWasm);
    };
    match rest.get(..4) {
        Some([1, 0, 0, 0]) => Err(LoadError::CoreModule),
        Some([_, _, 1, 0]) => Ok(()),
        Some(_) => Err(LoadError::Damaged("unknown version".to_owned())),
        None => Err(LoadError::Damaged("it ends in the header".to_owned())),
    }
}

/// The whole chain of causes in one line.
pub(super) fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(bytes: &[u8]) -> String {
        let loader = Loader::new(PluginEngine::new().unwrap(), None).unwrap();
        loader.load_bytes(bytes).err().unwrap().to_string()
    }

    #[test]
    fn each_kind_of_wrong_file_is_told_apart_in_one_line() {
        for (bytes, says) in [
            (&b""[..], "not WebAssembly"),
            (b"#!/bin/sh", "not WebAssembly"),
            (b"\x7fELF\x02\x01", "precompiled"),
            (b"\0asm\x01\0\0\0", "core module"),
            (b"\0asm\x0d\0", "ends in the header"),
            (b"\0asm\x0d\0\x01\0\x07", "damaged or truncated"),
            (b"\0asm\x0d\0\x01\0", "not a portreeve plugin"),
        ] {
            let error = load(bytes);
            assert!(error.contains(says) && !error.contains('\n'), "{error}");
        }
    }
}
