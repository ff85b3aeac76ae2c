//! `cargo xtask build`: compiles the core for this machine and the plugins for WebAssembly, and stages what an
//! installation has: the binary, `plugins/`, the shipped `router.ron` and `gateway.ron`, and the test guests when asked for.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{cargo, root, run, step};
use crate::{Result, install, metadata};

/// The plugins that ship: package, and name under which it is loaded.
pub const PLUGINS: [(&str, &str); 5] = [
    ("portreeve-firewall", "firewall"),
    ("portreeve-interfaces", "interfaces"),
    ("portreeve-radvd", "radvd"),
    ("portreeve-translator", "translator"),
    ("portreeve-tunnels", "tunnels"),
];

/// Where wasm artefacts of the profile `plugin` are, below the target directory.
const WASM_OUT: &str = "wasm32-wasip2/plugin";

/// What to build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The core optimised, into `stage-release`.
    pub release: bool,
    /// The test guests as well.
    pub guests: bool,
}

impl Options {
    /// From the command line; none if something there is unknown.
    pub fn parse(arguments: &[&str]) -> Option<Self> {
        let mut options = Self::default();
        for argument in arguments {
            match *argument {
                "--release" => options.release = true,
                "--guests" => options.guests = true,
                _ => return None,
            }
        }
        Some(options)
    }
}

/// Builds and stages; gives the directory.
pub fn build(options: Options) -> Result<PathBuf> {
    install::wasm_target()?;
    let target = metadata::target_directory()?;
    let stage = target.join(if options.release { "stage-release" } else { "stage" });

    step("building the core (wasmtime takes 5 to 10 minutes the first time)");
    let mut core = cargo(&["build", "-p", "portreeve"]);
    if options.release {
        core.arg("--release");
    }
    run(&mut core)?;
    copy(&target.join(if options.release { "release" } else { "debug" }).join("portreeve"), &stage.join("portreeve"))?;

    for (package, name) in PLUGINS {
        step(&format!("building the plugin {name}"));
        wasm(&target, package, &stage.join("plugins").join(format!("{name}.wasm")))?;
    }
    if options.guests {
        for guest in guests()? {
            step(&format!("building the test guest {guest}"));
            wasm(&target, &guest_package(&guest), &stage.join("guests").join(format!("{guest}.wasm")))?;
        }
    }
    for shipped in ["router.ron", "gateway.ron"] {
        copy(&root().join("images").join(shipped), &stage.join(shipped))?;
    }
    step(&format!("staged in {}", stage.display()));
    Ok(stage)
}

/// The names of the test guests: the directories below `tests/guests` that are packages.
pub fn guests() -> Result<Vec<String>> {
    let directory = root().join("tests/guests");
    if !directory.exists() {
        return Ok(Vec::new());
    }
    let unreadable = |error| format!("cannot list {}: {error}", directory.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.path().join("Cargo.toml").is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The package of a test guest.
pub fn guest_package(directory: &str) -> String {
    format!("guest-{directory}")
}

fn wasm(target: &Path, package: &str, to: &Path) -> Result {
    run(&mut cargo(&["build", "-p", package, "--target", "wasm32-wasip2", "--profile", "plugin"]))?;
    copy(&target.join(WASM_OUT).join(format!("{}.wasm", package.replace('-', "_"))), to)
}

/// Copies beside the target and renames, so that a running binary can be replaced.
fn copy(from: &Path, to: &Path) -> Result {
    let failed = |error: std::io::Error| format!("cannot copy {} to {}: {error}", from.display(), to.display());
    let new = to.with_extension("new");
    fs::create_dir_all(to.parent().unwrap_or(Path::new("."))).map_err(failed)?;
    fs::copy(from, &new).map_err(failed)?;
    fs::rename(&new, to).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_options_are_refused() {
        assert_eq!(Options::parse(&["--release"]), Some(Options { release: true, guests: false }));
        assert_eq!(Options::parse(&["--relaese"]), None);
    }
}
