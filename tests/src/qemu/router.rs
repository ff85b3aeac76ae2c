//! Portreeve in a guest: the staged binary and plugins, their machine code, and what scripts start with.
//!
//! Compiling the plugins takes long under TCG. So the host does it, for a plain x86-64 without the extensions of its
//! own processor, which QEMU's may lack, and puts the code under the MAC of a device key that every guest gets.
//! If wasmtime does not take it, the guest compiles: slower, and otherwise the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use portreeve::plugin::PluginEngine;
use portreeve::plugin::cache::Cache;
use wasmtime::component::Component;

use super::{Image, cache, find_program};
use crate::lab::{Failure, Result, Stage, output};

const LIBRARY: &str = include_str!("guest.sh");
const PLUGINS: [&str; 4] = ["firewall", "interfaces", "radvd", "tunnels"];
/// As the engine of the core on this architecture, but of no particular processor.
const TARGET: &str = "x86_64-unknown-linux-gnu";
const PROGRAMS: [(&str, &str); 2] = [("ip", "iproute2"), ("ping", "iputils-ping")];

impl Image<'_> {
    /// Adds the router, `ip`, `ping` and `/lib.sh`. The configurations are `/etc/portreeve/NAME.ron`.
    ///
    /// # Errors
    /// If nothing is staged, a program is missing or a plugin does not compile.
    pub fn portreeve(&mut self, stage: &Stage) -> Result {
        let flash = compiled(stage)?;
        // Symbols and line tables are two thirds of a debug build, and the image lies twice in the guest's memory.
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let stripped = cache().join(format!("portreeve-{}-{number}", std::process::id()));
        let strip = find_program("strip", "binutils")?;
        let done = output(Command::new(strip).arg("-o").arg(&stripped).arg(stage.binary()))
            .and_then(|_| self.program(&stripped, "/bin/portreeve"));
        let _ = fs::remove_file(&stripped);
        done?;
        for (name, package) in PROGRAMS {
            self.program(find_program(name, package)?, &format!("/bin/{name}"))?;
        }
        for plugin in PLUGINS {
            let (path, guest) = (stage.plugin(plugin), format!("/lib/portreeve/plugins/{plugin}.wasm"));
            self.file(&guest, fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?, 0o644);
        }
        self.directory(flash, "/flash")?;
        self.file("/lib.sh", LIBRARY, 0o644);
        Ok(())
    }

    /// Sets what the core called `name` by the script is told.
    pub fn configure(&mut self, name: &str, ron: &str) {
        self.file(&format!("/etc/portreeve/{name}.ron"), ron, 0o644);
    }
}

/// A directory as the core keeps it on flash, with the code of the staged plugins.
fn compiled(stage: &Stage) -> Result<PathBuf> {
    let flash = cache().join("flash");
    let failed = |what: &str, error: &dyn std::fmt::Display| Failure::new(format!("cannot {what}: {error}"));
    let cache = Cache::open(&flash).map_err(|error| Failure::io("open", &flash, &error))?;
    let engine = PluginEngine::new().map_err(|error| failed("start wasmtime", &error))?;
    for plugin in PLUGINS {
        let path = stage.plugin(plugin);
        let bytes = fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
        let hash = blake3::hash(&bytes);
        if cache.load(&engine, &hash).is_none() {
            cache.store(&hash, &compile(&bytes).map_err(|error| failed(&format!("compile {plugin}"), &error))?);
        }
    }
    Ok(flash)
}

/// The settings are those of [`PluginEngine`]; different ones are noticed by the guest's engine.
fn compile(bytes: &[u8]) -> wasmtime::Result<Component> {
    let mut config = wasmtime::Config::new();
    config.wasm_component_model(true).wasm_component_model_async(true).epoch_interruption(true).target(TARGET)?;
    Component::new(&wasmtime::Engine::new(&config)?, bytes)
}

/// What follows the line `== NAME` in the output of a script, up to the next such line.
///
/// # Errors
/// If there is none.
pub fn section<'a>(output: &'a str, name: &str) -> Result<&'a str> {
    let marker = format!("== {name}\n");
    let (_, rest) = output
        .split_once(&marker)
        .ok_or_else(|| Failure::new(format!("no section {name} in the output")).with("output", output))?;
    Ok(rest.split("\n== ").next().unwrap_or(rest))
}

/// The directory of fixtures and scripts beside the tests.
pub fn beside_tests(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}
