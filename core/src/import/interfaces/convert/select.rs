//! Which stanza becomes which interface: `auto` and `allow-hotplug` lines with their patterns, logical names,
//! `rename`, and the templates, which become none.

use super::super::glob;
use super::super::plan::Plan;
use super::super::read::{Declared, Stanza};
use super::super::value;

/// An interface that a stanza is for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub name: String,
    /// `name` stands for several.
    pub pattern: bool,
    pub up: bool,
    pub hotplug: bool,
    /// The hardware that gets the name.
    pub mac: Option<String>,
}

/// What is brought up.
#[derive(Debug, Default)]
pub(super) struct Selection {
    chosen: Vec<Chosen>,
    /// New name and MAC address.
    renamed: Vec<(String, String)>,
}

#[derive(Debug)]
struct Chosen {
    /// A name or a shell pattern.
    name: String,
    /// The stanza; none for those of that name.
    logical: Option<String>,
    hotplug: bool,
    mac: Option<String>,
}

/// Reads `auto`, `allow-hotplug`, `rename` and `mapping`.
pub(super) fn select(declared: &Declared, plan: &mut Plan) -> Selection {
    let mut selection = Selection::default();
    for (place, pattern) in &declared.mappings {
        let advice = "write the settings under the interface's own name, with `match` if the name may change";
        plan.warn(
            place,
            None,
            format!("mapping {pattern}: a script chose the settings, which cannot be imported; {advice}"),
        );
    }
    for (place, word) in &declared.renames {
        let mac = word.split_once('=').and_then(|(old, new)| Some((value::mac(old.strip_prefix("mac/")?)?, new)));
        match mac {
            Some((mac, new)) => selection.renamed.push((new.to_owned(), mac)),
            None => plan.warn(
                place,
                None,
                format!("rename {word}: write `match: (mac: \"…\")` for the hardware that gets the name"),
            ),
        }
    }
    for selected in &declared.selected {
        let (what, logical) = match selected.word.split_once('=') {
            Some((what, logical)) => (what, Some(logical.to_owned())),
            None => (selected.word.as_str(), None),
        };
        let parts: Vec<&str> = what.split('/').collect();
        let (name, logical, mac) = match (parts.as_slice(), logical) {
            ([name], logical) | (["", name], logical) => ((*name).to_owned(), logical, None),
            (["mac", mac], Some(logical)) if value::mac(mac).is_some() => {
                plan.info(&selected.place, format!("the interface with MAC address {mac} gets the name {logical}"));
                (logical.clone(), Some(logical), value::mac(mac))
            }
            _ => {
                let advice = "write the interface's name, or `match` with its MAC address or driver";
                plan.warn(
                    &selected.place,
                    None,
                    format!("`{}` chooses an interface by what it is; {advice}", selected.word),
                );
                continue;
            }
        };
        let stanza = logical.as_ref().unwrap_or(&name);
        if !glob::is_pattern(stanza) && stanza != "lo" && !declared.stanzas.iter().any(|s| s.name == *stanza) {
            let message =
                format!("`{}` is brought up and has no `iface {stanza}`; nothing is done for it", selected.word);
            plan.warn(&selected.place, None, message);
        }
        let usable =
            logical.is_none() || portreeve_config::Pattern::new(&name).is_some_and(|_| !name.contains(['?', '[']));
        if usable {
            selection.chosen.push(Chosen { name, logical, hotplug: selected.hotplug, mac });
        } else {
            let advice = "patterns here know only `*`; write one of these, or the names";
            plan.warn(
                &selected.place,
                None,
                format!("`{}` cannot be a pattern of router.ron: {advice}", selected.word),
            );
        }
    }
    selection
}

impl Selection {
    /// The interfaces that `stanza` is for.
    pub fn targets(&self, stanza: &Stanza, declared: &Declared) -> Vec<Target> {
        let logical: Vec<Target> = self
            .chosen
            .iter()
            .filter(|chosen| chosen.logical.as_ref() == Some(&stanza.name))
            .map(|chosen| Target {
                name: chosen.name.clone(),
                pattern: chosen.name.contains('*'),
                up: true,
                hotplug: chosen.hotplug,
                mac: chosen.mac.clone(),
            })
            .collect();
        let by_name = |chosen: &&Chosen| chosen.logical.is_none() && glob::matches(&chosen.name, &stanza.name);
        let (up, always) = (
            stanza.name == "lo" || self.chosen.iter().any(|chosen| by_name(&chosen)),
            stanza.name == "lo" || self.chosen.iter().any(|chosen| by_name(&chosen) && !chosen.hotplug),
        );
        if !up && (!logical.is_empty() || stanza.template || is_template(stanza, declared)) {
            return logical;
        }
        let mac = self.renamed.iter().find(|(name, _)| *name == stanza.name).map(|(_, mac)| mac.clone());
        let own = Target { name: stanza.name.clone(), pattern: false, up, hotplug: up && !always, mac };
        std::iter::once(own).chain(logical).collect()
    }
}

/// Whether others inherit from it.
fn is_template(stanza: &Stanza, declared: &Declared) -> bool {
    declared.stanzas.iter().any(|other| other.inherits.as_ref() == Some(&stanza.name) && other.name != stanza.name)
}
