//! That every file has a head comment (rule 28 of the style), how long files are (rule 29), and where `unsafe` may
//! stand (rule 18).

use super::{Source, scan};

const SHORT: usize = 150;
const LONGEST: usize = 800;
const UNSAFE_HOME: &str = "core/src/sys/";

/// A line per finding.
pub fn check(sources: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    for Source { path, text } in sources {
        let lines = text.lines().count();
        let name = path.rsplit('/').next().unwrap_or(path);
        let most = if matches!(name, "main.rs" | "guest.rs") { SHORT } else { LONGEST };
        if lines > most {
            findings.push(format!("{path}: {lines} lines, more than {most}"));
        }
        if !text.lines().take(3).any(|line| line.starts_with("//!")) {
            findings.push(format!("{path}: no head comment"));
        }
        if !path.starts_with(UNSAFE_HOME) && scan::words(&scan::code(text)).any(|word| word == "unsafe") {
            findings.push(format!("{path}: `unsafe` outside {UNSAFE_HOME}"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: String) -> Vec<String> {
        check(&[Source { path: path.to_owned(), text }])
    }

    #[test]
    fn a_file_without_a_head_comment_is_found() {
        assert_eq!(found("core/src/x.rs", "use a;\n".to_owned()), ["core/src/x.rs: no head comment"]);
    }

    #[test]
    fn long_files_are_found() {
        assert!(found("core/src/runtime.rs", "//! x\n".repeat(800)).is_empty());
        assert_eq!(found("core/src/runtime.rs", "//! x\n".repeat(801)).len(), 1);
        assert_eq!(found("plugins/radvd/src/guest.rs", "//! x\n".repeat(151)).len(), 1);
    }

    #[test]
    fn unsafe_is_found_outside_sys_only() {
        let text = "//! x\nfn f() { unsafe { g() } }".to_owned();
        assert_eq!(found("core/src/host/x.rs", text.clone()).len(), 1);
        assert!(found("core/src/sys/x.rs", text).is_empty());
        assert!(
            found("core/src/host/x.rs", "//! x\n#![forbid(unsafe_code)] // unsafe\n\"unsafe\"".to_owned()).is_empty()
        );
    }
}
