//! Reading Rust just well enough for the checks: code without comments, texts and tests, and the paths in it.

/// The code of a file: comments, string and character literals are blanked, lines stay.
pub fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !out.ends_with(is_word)) {
            length
        } else if next == '"' {
            string(rest)
        } else if next == '\'' {
            character(rest)
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        let (blank, after) = rest.split_at(skipped);
        out.push(' ');
        out.extend(blank.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out
}

/// The same without what is compiled for tests only. Takes the result of [`code`].
pub fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at + "#[cfg(test)]".len()..];
        let (mut depth, mut end) = (0_usize, rest.len());
        for (index, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                end = index + 1;
                break;
            }
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The words of code.
pub fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

/// Every path that starts at the crate's root: `a::b` for `crate::a::b`, and each branch of `crate::{a, b::c}`.
/// `depth` is how many modules deep the file is: so many `super::` reach the root as well.
pub fn paths_from_root(code: &str, depth: usize) -> Vec<String> {
    let compact = compact(code);
    let mut paths = Vec::new();
    for start in ["crate::".to_owned(), "super::".repeat(depth)] {
        if start.is_empty() {
            continue;
        }
        for (at, _) in compact.match_indices(&start) {
            let before = &compact[..at];
            if before.ends_with(is_word) || before.ends_with("super::") {
                continue;
            }
            branches(&compact[at + start.len()..], &mut paths);
        }
    }
    paths
}

/// Code without white space, except for one space between words.
fn compact(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    for word in code.split_whitespace() {
        if out.ends_with(is_word) && word.starts_with(is_word) {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

fn branches(rest: &str, paths: &mut Vec<String>) {
    let Some(group) = rest.strip_prefix('{') else {
        paths.push(path(rest));
        return;
    };
    let (mut depth, mut at_start) = (1_usize, true);
    for (index, c) in group.char_indices() {
        if depth == 1 && at_start && is_word(c) {
            paths.push(path(&group[index..]));
        }
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        at_start = c == ',';
        if depth == 0 {
            break;
        }
    }
}

fn path(rest: &str) -> String {
    let end = rest.find(|c: char| !is_word(c) && c != ':').unwrap_or(rest.len());
    rest[..end].trim_end_matches(':').to_owned()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let after = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let inside = after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let at = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(rest.len() - inside.len() + at)
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (index, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return index + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or one quote of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            rest[from..].find('\'').map_or(1, |quote| from + quote + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = "a /* b /* c */ d */ \"e\\\" f\" r#\"g\" h\"# 'i' '\\'' &'j k // l\nm";
        assert_eq!(words(&code(text)).collect::<Vec<_>>(), ["a", "j", "k", "m"]);
    }

    #[test]
    fn tests_are_cut_out() {
        let text = "use a;\n#[cfg(test)]\nmod tests { fn f() { {} } }\nuse b;\n#[cfg(test)]\nmod more;\nuse c;";
        assert_eq!(words(&without_tests(text)).filter(|word| *word != "use").collect::<Vec<_>>(), ["a", "b", "c"]);
    }

    #[test]
    fn paths_are_found_in_groups_and_over_super() {
        let text = "use crate::a::b; use crate::{c, d::{e, f}, g::h}; fn x(y: crate::i::J) { super::k::l() }";
        assert_eq!(paths_from_root(text, 1), ["a::b", "c", "d", "g::h", "i::J", "k::l"]);
        assert_eq!(paths_from_root("super::super::a; super::b", 2), ["a"]);
    }
}
