//! Why the configuration that was wanted last is not in force, until another is wanted or it is in force after all.

use std::collections::BTreeMap;

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    /// A plan or a change-over that was refused.
    change: Option<String>,
    /// Plugins that refused their sections when they were started. When one starts after all, as the kernel has memory
    /// again, nothing is left to complain of.
    starts: BTreeMap<String, String>,
}

impl Complaint {
    /// What was complained of.
    pub(super) fn text(&self) -> Option<String> {
        let all: Vec<&str> = self.change.iter().chain(self.starts.values()).map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join("\n"))
    }

    /// A plan was accepted. What was refused at a start still is, until that plugin starts.
    pub(super) fn accepted(&mut self) {
        self.change = None;
    }

    /// A plan or a change-over was refused.
    pub(super) fn refused(&mut self, complaints: &str) {
        self.change = Some(complaints.trim_end().to_owned());
    }

    /// A plugin refused its section when it was started; true if that is new.
    pub(super) fn refused_start(&mut self, plugin: &str, complaints: &str) -> bool {
        let complaints = complaints.trim_end();
        let before = self.starts.insert(plugin.to_owned(), complaints.to_owned());
        before.is_none_or(|before| before != complaints)
    }

    /// A plugin works, or is gone.
    pub(super) fn forget(&mut self, plugin: &str) {
        self.starts.remove(plugin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_refused_at_its_start_is_over_when_it_works() {
        let mut complaint = Complaint::default();
        assert!(complaint.refused_start("firewall", "no memory\n"));
        assert!(!complaint.refused_start("firewall", "no memory\n"), "the same again is not printed again");
        assert!(complaint.refused_start("radvd", "no such link"));
        complaint.accepted();
        assert_eq!(complaint.text().as_deref(), Some("no memory\nno such link"));
        complaint.forget("radvd");
        assert_eq!(complaint.text().as_deref(), Some("no memory"));
        complaint.forget("firewall");
        assert_eq!(complaint.text(), None);
    }

    #[test]
    fn a_refused_change_is_told_until_another_is_wanted() {
        let mut complaint = Complaint::default();
        complaint.refused_start("firewall", "no memory");
        complaint.refused("no such zone\n");
        assert_eq!(complaint.text().as_deref(), Some("no such zone\nno memory"));
        complaint.forget("firewall");
        assert_eq!(complaint.text().as_deref(), Some("no such zone"));
        complaint.accepted();
        assert_eq!(complaint.text(), None);
    }
}
