//! Who may depend on whom: packages by `cargo metadata`, the modules of the core by the paths in their sources.
//! The tables are those of the design, section 1.

use super::{Source, is_guest, scan};
use crate::metadata::{Metadata, Package};

/// Modules of the core and what each may name of the others. A module that is not listed may use all.
const CORE: [(&str, &[&str]); 8] = [
    ("supervisor", &[]),
    ("grants", &[]),
    ("sys", &[]),
    ("config", &["grants"]),
    ("stores", &["config", "grants", "sys"]),
    ("reconcile", &["stores", "sys"]),
    ("host", &["config", "grants", "reconcile", "stores", "sys", "plugin::limits"]),
    ("plugin", &["config", "grants", "host", "reconcile", "stores", "sys", "supervisor"]),
];

/// A line per dependency between members that is not allowed.
pub fn packages(metadata: &Metadata) -> Vec<String> {
    let members: Vec<&str> =
        metadata.packages.iter().filter(|package| package.member.is_some()).map(|p| p.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in metadata.packages.iter().filter(|package| package.member.is_some()) {
        for dependency in &package.dependencies {
            let to = dependency.name.as_str();
            if members.contains(&to) && !may_depend(package, to, dependency.target.as_deref()) {
                let target = dependency.target.as_ref().map(|target| format!(" ({target})")).unwrap_or_default();
                findings.push(format!("{} must not depend on {to}{target}", package.name));
            }
        }
    }
    findings
}

fn may_depend(package: &Package, to: &str, target: Option<&str>) -> bool {
    let is_plugin = package.member.as_ref().is_some_and(|directory| directory.starts_with("plugins"));
    match package.name.as_str() {
        "portreeve-tests" => true,
        "xtask" | "portreeve-config" | "portreeve-nftables" | "portreeve-packet" => false,
        "portreeve-network" => to == "portreeve-config",
        "portreeve" => matches!(to, "portreeve-config" | "portreeve-network" | "portreeve-nftables"),
        "portreeve-sdk" => matches!(to, "portreeve-config" | "portreeve-network"),
        name if is_guest(name) => {
            let shared = ["portreeve-config", "portreeve-network", "portreeve-nftables", "portreeve-packet"];
            to == "portreeve-sdk" || shared.contains(&to)
        }
        _ if is_plugin => match to {
            "portreeve-config" | "portreeve-network" | "portreeve-nftables" | "portreeve-packet" => true,
            "portreeve-sdk" => target.is_some_and(|target| target.contains("wasm32")),
            _ => false,
        },
        // A package that this table does not know yet.
        _ => false,
    }
}

/// A line per path from one module of the core up to one above it.
pub fn modules_of_core(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for Source { path, text } in sources {
        let Some(file) = path.strip_prefix("core/src/").and_then(|file| file.strip_suffix(".rs")) else { continue };
        let modules: Vec<&str> = file.split('/').filter(|module| *module != "mod").collect();
        let Some((module, allowed)) = CORE.iter().find(|(module, _)| modules.first() == Some(module)) else { continue };
        if modules.contains(&"tests") {
            continue;
        }
        let code = scan::without_tests(&scan::code(text));
        for named in scan::paths_from_root(&code, modules.len()) {
            let is = |prefix: &str| named == prefix || named.starts_with(&format!("{prefix}::"));
            let is_module = named.starts_with(|c: char| c.is_ascii_lowercase());
            if is_module && !is(module) && !allowed.iter().any(|prefix| is(prefix)) {
                findings.push(format!("{path}: {module} must not use crate::{named}"));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn package(name: &str, directory: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        let dependency =
            |(name, target): &(&str, Option<&str>)| Dependency { name: (*name).into(), target: target.map(Into::into) };
        Package {
            name: name.into(),
            version: "0.1.0".into(),
            license: None,
            member: Some(directory.into()),
            dependencies: dependencies.iter().map(dependency).collect(),
        }
    }

    fn judged(packages: Vec<Package>) -> Vec<String> {
        super::packages(&Metadata { target: "target".into(), packages })
    }

    #[test]
    fn wrong_directions_between_packages_are_found() {
        let wasm = Some("cfg(target_arch = \"wasm32\")");
        let findings = judged(vec![
            package("portreeve", "core", &[("portreeve-config", None), ("portreeve-radvd", None), ("serde", None)]),
            package("portreeve-config", "wit/config", &[]),
            package("portreeve-packet", "plugins/packet", &[("portreeve-config", None)]),
            package("portreeve-sdk", "plugins/sdk", &[("portreeve-config", None)]),
            package("portreeve-radvd", "plugins/radvd", &[("portreeve-packet", None), ("portreeve-sdk", wasm)]),
            package("portreeve-firewall", "plugins/firewall", &[("portreeve-sdk", None), ("portreeve-radvd", None)]),
            package("guest-misfit", "tests/guests/misfit", &[("portreeve-sdk", None), ("portreeve", None)]),
            package("xtask", "images", &[("portreeve", None)]),
        ]);
        assert_eq!(
            findings,
            [
                "portreeve must not depend on portreeve-radvd",
                "portreeve-packet must not depend on portreeve-config",
                "portreeve-firewall must not depend on portreeve-sdk",
                "portreeve-firewall must not depend on portreeve-radvd",
                "guest-misfit must not depend on portreeve",
                "xtask must not depend on portreeve",
            ]
        );
    }

    fn core(path: &str, text: &str) -> Vec<String> {
        modules_of_core(&[Source { path: path.into(), text: text.into() }])
    }

    #[test]
    fn a_module_that_reaches_up_is_found() {
        assert_eq!(core("core/src/grants/mod.rs", "use crate::host::Report;").len(), 1);
        assert_eq!(core("core/src/grants/mod.rs", "use super::host;").len(), 1);
        assert_eq!(core("core/src/supervisor.rs", "use crate::{config, sys};").len(), 2);
        assert_eq!(core("core/src/host/log.rs", "use crate::plugin::Engine;").len(), 1);
        assert_eq!(core("core/src/host/log.rs", "fn f() { crate::runtime::x() }").len(), 1);
    }

    #[test]
    fn what_is_below_and_what_is_no_code_may_be_named() {
        assert!(core("core/src/config/mod.rs", "use crate::grants::Allow;").is_empty());
        assert!(core("core/src/host/log.rs", "use crate::plugin::limits::Limits; use super::State;").is_empty());
        assert!(core("core/src/sys/precompiled.rs", "/// See [`crate::plugin`].\nfn f() {}").is_empty());
        assert!(core("core/src/sys/x.rs", "#[cfg(test)]\nmod tests { use crate::host; }").is_empty());
        assert!(core("core/src/runtime.rs", "use crate::control;").is_empty());
    }
}
