//! From files to stanzas: logical lines, the keywords, sourced files, templates.
//!
//! A line is extended by a backslash at its end; a comment has its line for itself. A stanza ends where the next
//! keyword begins; everything between is a setting. The file that sources goes on where it stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::ImportError;
use super::glob;
use super::plan::{Place, Plan};

/// Files that source each other deeper than this do so without end.
const MAX_DEPTH: usize = 16;
/// More files than anybody writes.
const MAX_FILES: usize = 1000;

/// One line within a stanza.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub place: Place,
    /// With hyphens, never underscores.
    pub name: String,
    pub value: String,
}

/// One `iface` or `template`.
#[derive(Clone, Debug)]
pub(super) struct Stanza {
    pub place: Place,
    pub name: String,
    /// Empty if it is left to what is inherited.
    pub family: String,
    pub method: String,
    pub inherits: Option<String>,
    pub template: bool,
    pub settings: Vec<Setting>,
}

/// A word of an `auto` or `allow-` line: `eth0`, `eth0=home`, `/eth*`, `/eth*=lan`, `mac/02:…=lan`.
#[derive(Clone, Debug)]
pub(super) struct Selected {
    pub place: Place,
    pub word: String,
    /// `allow-hotplug`, in contrast to `auto`.
    pub hotplug: bool,
}

/// All that the files say, in order.
#[derive(Debug, Default)]
pub(super) struct Declared {
    pub stanzas: Vec<Stanza>,
    pub selected: Vec<Selected>,
    /// Words of `rename` lines.
    pub renames: Vec<(Place, String)>,
    /// Patterns of `mapping` stanzas.
    pub mappings: Vec<(Place, String)>,
}

/// Reads `path` and what it sources.
pub(super) fn read(
    path: &Path,
    read: &dyn Fn(&Path) -> io::Result<String>,
    list: &dyn Fn(&Path) -> io::Result<Vec<PathBuf>>,
) -> Result<(Declared, Plan), ImportError> {
    let mut reader =
        Reader { read, list, declared: Declared::default(), plan: Plan::default(), open: Vec::new(), files: 0 };
    let text = read(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
    reader.file(path, &text)?;
    Ok((reader.declared, reader.plan))
}

struct Reader<'a> {
    read: &'a dyn Fn(&Path) -> io::Result<String>,
    list: &'a dyn Fn(&Path) -> io::Result<Vec<PathBuf>>,
    declared: Declared,
    plan: Plan,
    /// The files that are being read, outermost first.
    open: Vec<PathBuf>,
    files: usize,
}

/// What a setting belongs to.
#[derive(Clone, Copy)]
enum Within {
    Nothing,
    Stanza,
    Mapping,
}

impl Reader<'_> {
    fn file(&mut self, path: &Path, text: &str) -> Result<(), ImportError> {
        self.open.push(path.to_owned());
        self.files += 1;
        let name: Arc<str> = path.display().to_string().into();
        let mut within = Within::Nothing;
        for (line, text) in logical_lines(text) {
            let place = Place { file: Arc::clone(&name), line };
            let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
            let rest = rest.trim();
            within = self.line(path, &place, keyword, rest, within)?;
        }
        self.open.pop();
        Ok(())
    }

    fn line(
        &mut self,
        path: &Path,
        place: &Place,
        keyword: &str,
        rest: &str,
        within: Within,
    ) -> Result<Within, ImportError> {
        match keyword {
            "iface" => return Ok(self.iface(place, rest)),
            "template" => return Ok(self.template(place, rest)),
            "mapping" => {
                self.declared.mappings.push((place.clone(), rest.to_owned()));
                return Ok(Within::Mapping);
            }
            "auto" | "allow-auto" | "allow-hotplug" => {
                let hotplug = keyword == "allow-hotplug";
                for word in rest.split_whitespace() {
                    self.declared.selected.push(Selected { place: place.clone(), word: word.to_owned(), hotplug });
                }
            }
            "rename" => {
                self.declared.renames.extend(rest.split_whitespace().map(|word| (place.clone(), word.to_owned())));
            }
            // What happens at shutdown and in /etc/network/if-*.d has no counterpart, and needs none.
            "no-auto-down" | "no-scripts" => {}
            "source" => self.source(path, place, rest)?,
            "source-directory" | "source-dir" => self.source_directory(path, place, rest)?,
            _ if keyword.starts_with("allow-") => self.plan.info(
                place,
                format!("`{keyword}` is a class for programs of its own; nothing brings {rest} up because of it"),
            ),
            _ => {
                self.setting(place, keyword, rest, within);
                return Ok(within);
            }
        }
        Ok(Within::Nothing)
    }

    fn setting(&mut self, place: &Place, keyword: &str, rest: &str, within: Within) {
        match within {
            Within::Mapping if matches!(keyword, "script" | "map") => {}
            Within::Mapping => self.plan.mistake(
                place,
                format!(
                    "`{keyword}` is no part of a mapping; only `script` and `map` are, so move or remove this line"
                ),
            ),
            Within::Nothing => self.plan.mistake(
                place,
                format!("`{keyword}` belongs to no stanza; put it below the `iface` line that it is meant for"),
            ),
            Within::Stanza if rest.is_empty() => {
                self.plan.mistake(place, format!("`{keyword}` has no value; write one behind it or remove the line"));
            }
            Within::Stanza => {
                let setting = Setting { place: place.clone(), name: keyword.replace('_', "-"), value: rest.to_owned() };
                if let Some(stanza) = self.declared.stanzas.last_mut() {
                    if matches!(setting.name.as_str(), "inherit" | "inherits") {
                        stanza.inherits = Some(setting.value);
                    } else {
                        stanza.settings.push(setting);
                    }
                }
            }
        }
    }

    fn iface(&mut self, place: &Place, rest: &str) -> Within {
        let mut words = rest.split_whitespace();
        let Some(name) = words.next() else {
            self.plan.mistake(place, "`iface` names no interface; write `iface NAME inet static` or the like".into());
            return Within::Mapping;
        };
        let mut stanza = new_stanza(place, name);
        let mut words: Vec<&str> = words.collect();
        if let Some(at) = words.iter().position(|word| *word == "inherits") {
            stanza.inherits = words.get(at + 1).map(|parent| (*parent).to_owned());
            if stanza.inherits.is_none() {
                self.plan.mistake(place, "`inherits` names no stanza; write the name of one behind it".into());
            }
            words.truncate(at);
        }
        stanza.family = words.first().copied().unwrap_or_default().to_owned();
        stanza.method = words.get(1).copied().unwrap_or_default().to_owned();
        if let Some(extra) = words.get(2) {
            self.plan.mistake(place, format!("`{extra}` is one word too many; put settings on lines of their own"));
        }
        self.declared.stanzas.push(stanza);
        Within::Stanza
    }

    fn template(&mut self, place: &Place, rest: &str) -> Within {
        let mut stanza = new_stanza(place, rest);
        stanza.template = true;
        self.declared.stanzas.push(stanza);
        Within::Stanza
    }

    fn source(&mut self, from: &Path, place: &Place, rest: &str) -> Result<(), ImportError> {
        if rest.is_empty() {
            self.plan.mistake(place, "`source` names no file; write its path behind it".into());
        }
        for pattern in rest.split_whitespace() {
            let pattern = beside(from, pattern.trim_matches(['"', '\'']));
            let wild = glob::is_pattern(&pattern.to_string_lossy());
            for path in glob::expand(&pattern, self.list) {
                // As a shell pattern would, it may match directories.
                if !(wild && (self.list)(&path).is_ok()) {
                    self.sourced(place, &path)?;
                }
            }
        }
        Ok(())
    }

    fn source_directory(&mut self, from: &Path, place: &Place, rest: &str) -> Result<(), ImportError> {
        for directory in glob::expand(&beside(from, rest.trim_matches(['"', '\''])), self.list) {
            let Ok(mut entries) = (self.list)(&directory) else {
                self.plan.warn(place, None, format!("there is no directory {}; nothing is read", directory.display()));
                continue;
            };
            entries.sort();
            for path in entries {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let legal = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
                if (self.list)(&path).is_ok() {
                    continue;
                }
                if legal {
                    self.sourced(place, &path)?;
                } else {
                    let why = "the names that count have letters, digits, `-` and `_` only";
                    self.plan.info(place, format!("{} is not read, as on Debian: {why}", path.display()));
                }
            }
        }
        Ok(())
    }

    fn sourced(&mut self, place: &Place, path: &Path) -> Result<(), ImportError> {
        if self.open.iter().any(|open| open == path) || self.open.len() >= MAX_DEPTH || self.files >= MAX_FILES {
            self.plan.mistake(place, format!("{} is sourced without end; remove this line", path.display()));
            return Ok(());
        }
        let text = (self.read)(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })?;
        self.file(path, &text)
    }
}

fn new_stanza(place: &Place, name: &str) -> Stanza {
    Stanza {
        place: place.clone(),
        name: name.to_owned(),
        family: String::new(),
        method: String::new(),
        inherits: None,
        template: false,
        settings: Vec::new(),
    }
}

/// `path` as it is meant in the file `from`.
fn beside(from: &Path, path: &str) -> PathBuf {
    from.parent().unwrap_or_else(|| Path::new("")).join(path)
}

/// Lines without comments, put together, with the number of their first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut numbered = text.lines().enumerate();
    while let Some((index, line)) = numbered.next() {
        let mut whole = line.trim_start().to_owned();
        if whole.starts_with('#') {
            continue;
        }
        while let Some(without) = whole.strip_suffix('\\') {
            whole = without.to_owned();
            match numbered.next() {
                Some((_, next)) => whole.push_str(next),
                None => break,
            }
        }
        let whole = whole.trim();
        if !whole.is_empty() {
            lines.push((index + 1, whole.to_owned()));
        }
    }
    lines
}
