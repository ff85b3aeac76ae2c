//! Every directory of `tests/import` is a Debian machine's `/etc/network`; what becomes of it stands beside it.
//!
//! `expected.ron` and `expected.notes`, or `expected.error` where nothing is imported. `UPDATE=1` writes them anew;
//! read the difference then. `kernel.txt`, `links.txt` and `needs.txt` are for the test that puts the result in force.

use std::fs;
use std::path::{Path, PathBuf};

use super::interfaces::import;

const ETC: &str = "/etc/network";

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/import");
    let mut found: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_dir());
    found.sort();
    found
}

fn in_fixture(fixture: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(ETC).map_or_else(|_| fixture.join("outside").join(path), |rest| fixture.join(rest))
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
    assert!(fixtures.len() >= 24, "only {} fixtures", fixtures.len());
    for fixture in fixtures {
        let read = |path: &Path| fs::read_to_string(in_fixture(&fixture, path));
        let list = |path: &Path| {
            let entries = fs::read_dir(in_fixture(&fixture, path))?;
            entries.map(|entry| Ok(path.join(entry?.file_name()))).collect()
        };
        match import(&Path::new(ETC).join("interfaces"), &read, &list) {
            Ok(imported) => {
                let notes: String = imported.notes.iter().map(|note| format!("{note}\n")).collect();
                check(&fixture.join("expected.notes"), &notes);
                check(&fixture.join("expected.ron"), &imported.ron);
                let mut diagnostics = portreeve_config::Diagnostics::new();
                assert!(
                    portreeve_config::Value::root(&imported.ron, &mut diagnostics).is_some(),
                    "{}",
                    fixture.display()
                );
                assert!(fixture.join("kernel.txt").exists(), "{} has no kernel.txt", fixture.display());
            }
            Err(error) => check(&fixture.join("expected.error"), &format!("{error}\n")),
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let refuse = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
    let error = import(Path::new("/etc/network/interfaces"), &refuse, &|_| Ok(Vec::new())).unwrap_err();
    assert!(error.to_string().starts_with("cannot read /etc/network/interfaces: "), "{error}");
}

#[test]
fn a_file_cut_off_anywhere_is_imported_or_refused_and_never_panics() {
    for fixture in fixtures() {
        let text = fs::read_to_string(fixture.join("interfaces")).unwrap();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            let read = |_: &Path| Ok(text[..end].to_owned());
            let list = |_: &Path| Err(std::io::Error::from(std::io::ErrorKind::NotADirectory));
            if let Ok(imported) = import(Path::new("interfaces"), &read, &list) {
                let mut diagnostics = portreeve_config::Diagnostics::new();
                assert!(portreeve_config::Value::root(&imported.ron, &mut diagnostics).is_some(), "{}", imported.ron);
            }
        }
    }
}
