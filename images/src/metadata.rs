//! What `cargo metadata` says of the workspace: packages, their licences, and which depends on which.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Result;
use crate::process::{cargo, output};

/// The workspace and everything it depends on, on any platform.
pub struct Metadata {
    /// Where cargo builds.
    pub target: PathBuf,
    /// All packages.
    pub packages: Vec<Package>,
}

/// One package.
pub struct Package {
    pub name: String,
    pub version: String,
    /// The SPDX expression of its manifest.
    pub license: Option<String>,
    /// The manifest's directory relative to the workspace, for members.
    pub member: Option<PathBuf>,
    pub dependencies: Vec<Dependency>,
}

/// One entry of a package's dependencies, whatever its kind.
pub struct Dependency {
    pub name: String,
    /// The condition on the platform, as written.
    pub target: Option<String>,
}

/// Asks cargo.
pub fn read() -> Result<Metadata> {
    parse(&output(&mut cargo(&["metadata", "--format-version", "1"]))?)
}

/// Where cargo builds, without looking at dependencies.
pub fn target_directory() -> Result<PathBuf> {
    Ok(parse(&output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?)?.target)
}

fn parse(text: &str) -> Result<Metadata> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("cargo metadata: {error}"))?;
    let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned);
    let root = PathBuf::from(text(&value, "workspace_root").ok_or("cargo metadata: no workspace_root")?);
    let target = PathBuf::from(text(&value, "target_directory").ok_or("cargo metadata: no target_directory")?);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&value["packages"]);
    let packages = packages.iter().filter_map(|package| {
        let manifest = text(package, "manifest_path")?;
        let in_registry = !package["source"].is_null();
        let directory = Path::new(&manifest).parent()?.strip_prefix(&root).ok().map(PathBuf::from);
        let dependencies = list(&package["dependencies"]);
        let dependencies =
            dependencies.iter().filter_map(|d| Some(Dependency { name: text(d, "name")?, target: text(d, "target") }));
        Some(Package {
            name: text(package, "name")?,
            version: text(package, "version")?,
            license: text(package, "license"),
            member: directory.filter(|_| !in_registry),
            dependencies: dependencies.collect(),
        })
    });
    Ok(Metadata { target, packages: packages.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_told_from_the_registry() {
        let text = r#"{"workspace_root": "/w", "target_directory": "/w/target", "packages": [
            {"name": "portreeve", "version": "0.1.0", "license": null, "manifest_path": "/w/core/Cargo.toml",
             "source": null, "dependencies": [{"name": "ron", "target": "cfg(unix)"}]},
            {"name": "ron", "version": "0.12.0", "license": "MIT", "manifest_path": "/w/vendor/ron/Cargo.toml",
             "source": "registry+x", "dependencies": []}]}"#;
        let metadata = parse(text).unwrap();
        assert_eq!(metadata.packages[0].member.as_deref(), Some(Path::new("core")));
        assert_eq!(metadata.packages[0].dependencies[0].target.as_deref(), Some("cfg(unix)"));
        assert_eq!(metadata.packages[1].member, None);
    }

    #[test]
    fn what_is_no_metadata_is_refused() {
        assert!(parse("{}").is_err());
    }
}
