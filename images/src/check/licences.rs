//! Licences: an SPDX expression is allowed if its OR branches leave one whose every part is on the list.
//!
//! `deny.toml` says the same for those who use cargo-deny; this check needs nothing installed.

use crate::metadata::Metadata;

const ALLOWED: [&str; 15] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "MPL-2.0",
    "CC0-1.0",
    "BSL-1.0",
    "0BSD",
    "Unlicense",
];

/// Licences that single crates may have: crate, licence.
const EXCEPTIONS: [(&str, &str); 1] = [("tun", "WTFPL")];

/// A line per package whose licence is missing, unreadable or not allowed.
pub fn check(metadata: &Metadata) -> Vec<String> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let name = format!("{} {}", package.name, package.version);
        match package.license.as_deref() {
            None => findings.push(format!("{name}: its manifest names no licence")),
            Some(expression) => match is_allowed(&package.name, expression) {
                Some(true) => {}
                Some(false) => findings.push(format!("{name}: {expression}")),
                None => findings.push(format!("{name}: `{expression}` is no SPDX expression")),
            },
        }
    }
    findings
}

/// Evaluates `expression`; none if it cannot be read.
fn is_allowed(package: &str, expression: &str) -> Option<bool> {
    // The old way to write OR.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut tokens = spaced.split_whitespace().peekable();
    let value = any(package, &mut tokens)?;
    tokens.next().is_none().then_some(value)
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(package: &str, tokens: &mut Tokens<'_>) -> Option<bool> {
    let mut value = all(package, tokens)?;
    while tokens.next_if_eq(&"OR").is_some() {
        value |= all(package, tokens)?;
    }
    Some(value)
}

fn all(package: &str, tokens: &mut Tokens<'_>) -> Option<bool> {
    let mut value = one(package, tokens)?;
    while tokens.next_if_eq(&"AND").is_some() {
        value &= one(package, tokens)?;
    }
    Some(value)
}

fn one(package: &str, tokens: &mut Tokens<'_>) -> Option<bool> {
    let first = tokens.next()?;
    if first == "(" {
        let value = any(package, tokens)?;
        return (tokens.next()? == ")").then_some(value);
    }
    if matches!(first, ")" | "AND" | "OR" | "WITH") {
        return None;
    }
    let mut licence = first.to_owned();
    if tokens.next_if_eq(&"WITH").is_some() {
        licence = format!("{first} WITH {}", tokens.next()?);
    }
    Some(ALLOWED.contains(&licence.as_str()) || EXCEPTIONS.contains(&(package, licence.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Package;

    #[test]
    fn expressions_are_evaluated_by_their_operators() {
        for (expression, expected) in [
            ("MIT", Some(true)),
            ("MIT/Apache-2.0", Some(true)),
            ("GPL-3.0-only OR MIT", Some(true)),
            ("GPL-3.0-only AND MIT", Some(false)),
            ("MIT OR GPL-3.0-only AND ISC", Some(true)),
            ("(MIT OR GPL-3.0-only) AND Unicode-3.0", Some(true)),
            ("(MIT OR Apache-2.0) AND OpenSSL", Some(false)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("Apache-2.0 WITH Classpath-exception-2.0", Some(false)),
            ("(MIT", None),
            ("MIT Apache-2.0", None),
            ("", None),
        ] {
            assert_eq!(is_allowed("any", expression), expected, "{expression}");
        }
    }

    #[test]
    fn wtfpl_is_for_tun_alone() {
        assert_eq!(is_allowed("tun", "WTFPL"), Some(true));
        assert_eq!(is_allowed("other", "WTFPL"), Some(false));
    }

    #[test]
    fn missing_and_foreign_licences_are_named_with_their_crate() {
        let package = |name: &str, license: Option<&str>| Package {
            name: name.to_owned(),
            version: "1.0.0".to_owned(),
            license: license.map(str::to_owned),
            member: None,
            dependencies: Vec::new(),
        };
        let packages = vec![package("good", Some("ISC")), package("bad", Some("AGPL-3.0-only")), package("none", None)];
        let findings = check(&Metadata { target: "target".into(), packages });
        assert_eq!(findings, ["bad 1.0.0: AGPL-3.0-only", "none 1.0.0: its manifest names no licence"]);
    }
}
