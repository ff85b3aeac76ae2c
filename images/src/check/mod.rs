//! The rules of the repository that no compiler holds. Each check reads, judges in a function without side effects,
//! and fails with every finding at once, a line each.

mod directions;
mod files;
mod imports;
mod licences;
mod scan;

use std::fs;
use std::path::{Path, PathBuf};

use crate::build::PLUGINS;
use crate::metadata::Metadata;
use crate::process::root;
use crate::{Result, build};

/// One source file as the checks see it.
pub struct Source {
    /// Relative to the workspace, with `/`.
    pub path: String,
    pub text: String,
}

/// Who depends on whom, how long files are, and where `unsafe` stands.
pub fn sources(metadata: &Metadata) -> Result {
    let sources = read_sources()?;
    let mut findings = directions::packages(metadata);
    findings.extend(directions::modules_of_core(&sources));
    findings.extend(files::check(&sources));
    report("rule of the sources broken", findings)
}

/// Whether every dependency may be used.
pub fn licences(metadata: &Metadata) -> Result {
    report("licence not allowed", licences::check(metadata))
}

/// Whether the staged plugins import only what the core serves.
pub fn imports(stage: &Path) -> Result {
    let read =
        |path: &str| fs::read_to_string(root().join(path)).map_err(|error| format!("cannot read {path}: {error}"));
    let allowed = imports::allowed(&read("core/src/host/mod.rs")?, &read("core/src/host/wasi.rs")?)?;
    let mut findings = Vec::new();
    for (_, name) in PLUGINS {
        let path = stage.join("plugins").join(format!("{name}.wasm"));
        let component = fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let names = imports::names(&component).map_err(|error| format!("{}: {error}", path.display()))?;
        findings.extend(imports::refused(&names, &allowed).into_iter().map(|import| format!("{name}: {import}")));
    }
    report("import outside the core's lists", findings)
}

fn report(what: &str, findings: Vec<String>) -> Result {
    if findings.is_empty() { Ok(()) } else { Err(format!("{what}:\n  {}", findings.join("\n  "))) }
}

fn read_sources() -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for top in ["core", "plugins", "wit", "images", "tests"] {
        walk(&root().join(top), &mut sources)?;
    }
    sources.sort_by(|a: &Source, b| a.path.cmp(&b.path));
    Ok(sources)
}

fn walk(directory: &Path, sources: &mut Vec<Source>) -> Result {
    let failed = |error: std::io::Error, path: &Path| format!("cannot read {}: {error}", path.display());
    for entry in fs::read_dir(directory).map_err(|error| failed(error, directory))? {
        let path: PathBuf = entry.map_err(|error| failed(error, directory))?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                walk(&path, sources)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).map_err(|error| failed(error, &path))?;
            let relative = path.strip_prefix(root()).unwrap_or(&path);
            sources.push(Source { path: relative.to_string_lossy().into_owned(), text });
        }
    }
    Ok(())
}

/// The packages that are test guests: they are plugins to the rules.
fn is_guest(package: &str) -> bool {
    build::guest_package("").len() < package.len() && package.starts_with(&build::guest_package(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_findings_are_reported_at_once() {
        assert!(report("x", Vec::new()).is_ok());
        assert_eq!(report("x", vec!["a".into(), "b".into()]).unwrap_err(), "x:\n  a\n  b");
    }

    #[test]
    fn this_repository_is_read() {
        assert!(read_sources().unwrap().iter().any(|source| source.path == "images/src/check/mod.rs"));
    }
}
