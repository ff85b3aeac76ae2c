//! Every file of `tests/fixtures/iptables` and what becomes of it; rules one by one are in `tests/`.
//!
//! `NAME.v6.rules` is of ip6tables, `NAME.v4.rules` of iptables; beside it stand `NAME.ron` and `NAME.notes`, or
//! `NAME.error` where nothing is imported. `UPDATE=1` writes them anew; read the difference then.

mod arbitrary;
mod matches;
mod nat;
mod notes;
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

use super::{Family, import};
use crate::import::{ImportError, Imported};

/// Imports text.
fn of(family: Family, text: &str) -> Result<Imported, ImportError> {
    import(Path::new("rules"), family, &|_| Ok(text.to_owned()))
}

/// The output without line ends and indents, comments left out.
fn squeezed(ron: &str) -> String {
    let lines = ron.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    lines.fold(String::new(), |mut text, line| {
        let tight = text.ends_with(['(', '[', '{']) || text.is_empty();
        let closing = line.starts_with([')', ']', '}']);
        if closing && text.ends_with(',') {
            text.pop();
        }
        if !tight && !closing {
            text.push(' ');
        }
        text.push_str(line);
        text
    })
}

/// The rules of one hook, as RON in one line, of a filter table with these lines.
fn rules(family: Family, lines: &str) -> String {
    let chains = if lines.contains("CHAIN") { ":CHAIN - [0:0]\n" } else { "" };
    let text = format!("*filter\n{chains}{lines}\nCOMMIT\n");
    let imported = of(family, &text).unwrap_or_else(|error| panic!("{lines}\n{error}"));
    assert!(imported.notes.iter().all(|note| note.line == 1), "{lines}\n{:?}", imported.notes);
    let text = squeezed(&imported.ron);
    let start = text.find("rules: [").map(|at| at + "rules: [".len()).unwrap();
    text[start..].split("]), forward:").next().unwrap().trim_end_matches(',').to_owned()
}

fn v4(line: &str) -> String {
    rules(Family::Ipv4, line)
}

fn v6(line: &str) -> String {
    rules(Family::Ipv6, line)
}

/// All messages of an import, in one text.
fn messages(family: Family, text: &str) -> String {
    let imported = of(family, text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    imported.notes.iter().map(|note| format!("{note}\n")).collect()
}

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/iptables");
    let mut found: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rules"));
    found.sort();
    found
}

fn family(path: &Path) -> Family {
    if path.to_string_lossy().ends_with(".v6.rules") { Family::Ipv6 } else { Family::Ipv4 }
}

fn check(path: &Path, text: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(path, text).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_default();
    assert_eq!(expected, text, "{} is not as it was; UPDATE=1 writes it anew", path.display());
}

#[test]
fn every_fixture_becomes_what_stands_beside_it() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 10, "only {} fixtures", fixtures.len());
    for fixture in fixtures {
        let name = Path::new(fixture.file_name().unwrap());
        let beside = |kind: &str| fixture.with_extension("").with_extension(kind);
        match import(name, family(&fixture), &|_| fs::read_to_string(&fixture)) {
            Ok(imported) => {
                let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
                check(&beside("notes"), &notes);
                check(&beside("ron"), &imported.ron);
                let mut diagnostics = portreeve_config::Diagnostics::new();
                assert!(portreeve_config::Value::root(&imported.ron, &mut diagnostics).is_some(), "{}", imported.ron);
            }
            Err(error) => check(&beside("error"), &format!("{error}\n")),
        }
    }
}

#[test]
fn the_classic_rules_lose_nothing() {
    let eight = fixtures().into_iter().find(|path| path.ends_with("01-classic-eight.v6.rules")).unwrap();
    let text = fs::read_to_string(eight).unwrap();
    let imported = of(Family::Ipv6, &text).unwrap();
    assert_eq!(imported.ron.matches("incoming: [\"sixbone\"]").count(), 8, "{}", imported.ron);
    assert!(!imported.ron.contains("left out"), "{}", imported.ron);
    let accept = "(family: Ipv4, protocol: [\"ipv6\"], then: Accept)";
    assert_eq!(v4("-I INPUT -j ACCEPT --proto 41"), accept);
    assert!(of(Family::Ipv4, "iptables -I INPUT -j ACCEPT --proto 41").unwrap().ron.contains(accept));
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let refuse = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let error = import(Path::new("/etc/iptables/rules.v4"), Family::Ipv4, &refuse).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /etc/iptables/rules.v4: "), "{error}");
}
