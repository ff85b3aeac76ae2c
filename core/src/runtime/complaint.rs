//! Why the configuration that was wanted last is not in force, until another is wanted or it is in force after all.

/// See the file's head.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    text: Option<String>,
    /// It is of a plugin that was just started: when it starts after all, as the kernel has memory again, nothing is left
    /// to complain of.
    by_start_of: Option<String>,
}

impl Complaint {
    /// What was complained of.
    pub(super) fn text(&self) -> Option<&str> {
        self.text.as_deref()
    }

    /// All is in force.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A plan or a change-over was refused.
    pub(super) fn set(&mut self, complaints: &str) {
        *self = Self { text: Some(complaints.trim_end().to_owned()), by_start_of: None };
    }

    /// A plugin refused its section when it was started; true if that is new.
    pub(super) fn set_by_start(&mut self, plugin: &str, complaints: &str) -> bool {
        if self.text() == Some(complaints.trim_end()) {
            return false;
        }
        self.set(complaints);
        self.by_start_of = Some(plugin.to_owned());
        true
    }

    /// A plugin works.
    pub(super) fn started(&mut self, plugin: &str) {
        if self.by_start_of.as_deref() == Some(plugin) {
            self.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_refused_at_its_start_is_over_when_it_works() {
        let mut complaint = Complaint::default();
        assert!(complaint.set_by_start("firewall", "no memory\n"));
        assert!(!complaint.set_by_start("firewall", "no memory\n"), "the same again is not printed again");
        complaint.started("radvd");
        assert_eq!(complaint.text(), Some("no memory"));
        complaint.started("firewall");
        assert_eq!(complaint.text(), None);
    }

    #[test]
    fn a_refused_change_is_told_until_another_is_wanted() {
        let mut complaint = Complaint::default();
        complaint.set_by_start("firewall", "no memory");
        complaint.set("no such zone\n");
        complaint.started("firewall");
        assert_eq!(complaint.text(), Some("no such zone"));
        complaint.clear();
        assert_eq!(complaint.text(), None);
    }
}
