//! Whether a component is one of ours: what it imports and exports, by name and version, before anything of
//! it runs. Each refusal says in one line which name and why.

use super::LoadError;
use crate::host::{WASI_IMPORTS, WIT_IMPORTS, WIT_VERSION};

/// Our package.
const PACKAGE: &str = "portreeve:plugin";

/// Judges the names that a component imports and exports.
///
/// # Errors
/// The first name that does not fit.
pub fn check<'a>(
    imports: impl IntoIterator<Item = &'a str>,
    exports: impl IntoIterator<Item = &'a str>,
) -> Result<(), LoadError> {
    let lifecycle = exports.into_iter().find(|name| split(name).0 == format!("{PACKAGE}/lifecycle"));
    let lifecycle = lifecycle.ok_or(LoadError::NotAPlugin)?;
    check_version(lifecycle)?;
    for import in imports {
        let (name, _) = split(import);
        let unknown = || LoadError::UnknownImport { name: import.to_owned() };
        if let Some(interface) = name.strip_prefix("portreeve:plugin/") {
            check_version(import)?;
            if !WIT_IMPORTS.contains(&interface) {
                // Added within our minor version, after us?
                let newer = split(import).1.and_then(parse_version).filter(|found| *found > WIT_VERSION);
                return Err(
                    newer.map_or_else(unknown, |found| LoadError::WitVersion { found: dotted(found), newer: true })
                );
            }
        } else if !WASI_IMPORTS.contains(&name) {
            return Err(unknown());
        }
    }
    Ok(())
}

/// Within a minor version everything fits as long as the names do: items are only added.
fn check_version(import: &str) -> Result<(), LoadError> {
    let version = split(import).1.and_then(parse_version);
    let (major, minor, _) = WIT_VERSION;
    match version {
        Some((a, b, _)) if (a, b) == (major, minor) => Ok(()),
        Some(found) => Err(LoadError::WitVersion { found: dotted(found), newer: found > WIT_VERSION }),
        None => Err(LoadError::Damaged(format!("{import} has no version"))),
    }
}

fn split(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(name, version)| (name, Some(version)))
}

fn parse_version(text: &str) -> Option<(u64, u64, u64)> {
    let mut parts = text.split('.').map(str::parse::<u64>);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(a)), Some(Ok(b)), Some(Ok(c)), None) => Some((a, b, c)),
        _ => None,
    }
}

/// A version as it is written.
pub(super) fn dotted((a, b, c): (u64, u64, u64)) -> String {
    format!("{a}.{b}.{c}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORT: [&str; 1] = ["portreeve:plugin/lifecycle@0.1.0"];

    #[test]
    fn our_interfaces_and_the_empty_wasi_pass() {
        let imports = ["portreeve:plugin/clock@0.1.0", "wasi:io/poll@0.2.6", "portreeve:plugin/raw-ip@0.1.7"];
        assert!(check(imports, EXPORT).is_ok());
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let text = |imports: &[&'static str], exports: &[&'static str]| {
            check(imports.iter().copied(), exports.iter().copied()).unwrap_err().to_string()
        };
        assert!(text(&[], &["wasi:cli/run@0.2.0"]).contains("not a portreeve plugin"));
        assert!(text(&["wasi:sockets/tcp@0.2.0"], &EXPORT).contains("wasi:sockets/tcp@0.2.0"));
        assert!(text(&["acme:x/y"], &EXPORT).contains("acme:x/y"));
        assert!(text(&["portreeve:plugin/quantum@0.1.0"], &EXPORT).contains("quantum"));
        let later = text(&["portreeve:plugin/quantum@0.1.9"], &EXPORT);
        assert!(later.contains("0.1.9") && later.contains("newer"), "{later}");
        assert!(text(&[], &["portreeve:plugin/lifecycle"]).contains("no version"));
        let newer = text(&[], &["portreeve:plugin/lifecycle@0.2.0"]);
        assert!(newer.contains("0.2.0") && newer.contains("newer"), "{newer}");
        let older = text(&["portreeve:plugin/clock@0.0.9"], &EXPORT);
        assert!(older.contains("0.0.9") && older.contains("older"), "{older}");
    }
}
