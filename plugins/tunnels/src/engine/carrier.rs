//! Who carries the packets of a tunnel: the kernel where it can, the plugin where it may.
//!
//! What the kernel refused although it said it could stays refused until the kind or the path is configured otherwise.

use super::support::Support;
use super::tunnel::Runtime;
use super::types::Action;
use crate::config::Path;

/// Who carries the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// Not known before the host has answered.
    Waiting,
    Kernel,
    Userspace,
    /// Nobody can.
    Nobody,
}

impl Runtime {
    /// Chooses again by what is known now.
    pub(super) fn choose_carrier(&mut self, support: &mut Support, actions: &mut Vec<Action>) {
        let (kind, module) = self.config.kernel_kind();
        let path = self.config.path();
        if path == Path::Auto {
            // Asked for beforehand: a tunnel that falls back must not wait, for meanwhile it would not be stated.
            let _ = support.of("tun", actions);
        }
        let (reason, userspace) = match (path, &self.refused) {
            (Path::Userspace, _) => ("as configured".to_owned(), true),
            (Path::Auto, Some(refused)) => (format!("the kernel refused the link: {refused}"), true),
            (Path::Auto | Path::Kernel, _) => match support.of(kind, actions) {
                None => (format!("asking whether the kernel has {kind}"), false),
                Some(Ok(())) => {
                    self.carrier = Carrier::Kernel;
                    self.why = format!("the kernel has {kind}");
                    return;
                }
                Some(Err(why)) => {
                    let missing = format!("the kernel has no {kind} (module {module}): {why}");
                    if path == Path::Kernel {
                        self.carrier = Carrier::Nobody;
                        self.why = missing;
                        return;
                    }
                    (missing, true)
                }
            },
        };
        if !userspace {
            self.carrier = Carrier::Waiting;
            self.why = reason;
            return;
        }
        (self.carrier, self.why) = match support.of("tun", actions) {
            None => (Carrier::Waiting, "asking whether the kernel has tun".to_owned()),
            Some(Ok(())) => (Carrier::Userspace, reason),
            Some(Err(why)) if path == Path::Userspace => {
                (Carrier::Nobody, format!("the kernel has no tun (module tun): {why}"))
            }
            Some(Err(why)) => (Carrier::Nobody, format!("{reason}; and it has no tun (module tun): {why}")),
        };
    }
}
