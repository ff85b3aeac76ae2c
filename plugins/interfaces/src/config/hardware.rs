//! Which hardware an interface's name is for: by permanent MAC address, by driver, by place in the machine.
//!
//! Drivers and places are patterns with `*`. A place is meant from any directory of the sysfs path on, and may be
//! written as udev writes it (`pci-0000:01:00.0`): `/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/virtio0` is meant by
//! `pci-0000:01:00.0*`, by `0000:01:00.0*` and by `/devices/pci0000:00/*`.

use std::fmt;

use portreeve_config::{Diagnostics, Value};
use portreeve_network::read;

/// The longest pattern for a driver or a path, in bytes.
const MAX_PATTERN: usize = 256;

/// What the hardware of a name looks like; at least one part is there, and all that are there must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HardwareMatch {
    /// Its permanent MAC address.
    pub(crate) mac: Option<Vec<u8>>,
    /// Its driver.
    pub(crate) driver: Option<String>,
    /// Where it is plugged in.
    pub(crate) path: Option<String>,
}

impl HardwareMatch {
    /// Whether hardware with these properties is meant.
    #[must_use]
    pub fn matches(&self, mac: &[u8], driver: Option<&str>, path: Option<&str>) -> bool {
        self.mac.as_ref().is_none_or(|wanted| wanted.as_slice() == mac)
            && self.driver.as_ref().is_none_or(|wanted| driver.is_some_and(|driver| glob(wanted, driver)))
            && self.path.as_ref().is_none_or(|wanted| path.is_some_and(|path| at_place(wanted, path)))
    }
}

impl fmt::Display for HardwareMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(mac) = &self.mac {
            let pairs: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            parts.push(pairs.join(":"));
        }
        parts.extend(self.driver.as_ref().map(|driver| format!("driver {driver}")));
        parts.extend(self.path.as_ref().map(|path| format!("at {path}")));
        f.write_str(&parts.join(", "))
    }
}

pub(super) fn read(value: &Value<'_>, d: &mut Diagnostics) -> Option<HardwareMatch> {
    let mut fields = value.fields(d)?;
    let before = d.as_slice().len();
    let found = HardwareMatch {
        mac: fields.take("mac").and_then(|v| read::mac(&v, d)),
        driver: fields.take("driver").and_then(|v| pattern(&v, d)),
        path: fields.take("path").and_then(|v| pattern(&v, d)),
    };
    fields.finish(d);
    if found == HardwareMatch::default() {
        if d.as_slice().len() == before {
            d.error_with_hint(value.span(), "no hardware is described", "add `mac`, `driver` or `path`");
        }
        return None;
    }
    Some(found)
}

fn pattern(value: &Value<'_>, d: &mut Diagnostics) -> Option<String> {
    let text = value.get::<String>(d)?;
    let legal =
        !text.value.is_empty() && text.value.len() <= MAX_PATTERN && text.value.chars().all(|c| c.is_ascii_graphic());
    if !legal {
        d.error_with_hint(
            text.span,
            "neither a name nor a pattern",
            format!("write 1 to {MAX_PATTERN} printable ASCII characters without blanks, `*` for any number of them"),
        );
    }
    legal.then_some(text.value)
}

/// From the start of the path, or from any directory of it on; with udev's word for the bus in front or without.
fn at_place(pattern: &str, path: &str) -> bool {
    let bare = pattern.split_once('-').filter(|(bus, _)| bus.bytes().all(|b| b.is_ascii_alphabetic())).map(|(_, p)| p);
    let from = |at: usize| path.get(at..).unwrap_or_default();
    glob(pattern, path)
        || path.match_indices('/').any(|(at, _)| {
            let rest = from(at + 1);
            glob(pattern, rest) || bare.is_some_and(|bare| glob(bare, rest))
        })
}

/// `*` stands for any number of characters, everything else for itself. One place to come back to: quadratic at worst.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_meant_from_any_directory_on() {
        let path = "/devices/pci0000:00/0000:00:1c.0/0000:01:00.0/virtio0";
        for pattern in ["pci-0000:01:00.0*", "0000:01:00.0*", "/devices/*", "*virtio0", "virtio0"] {
            assert!(at_place(pattern, path), "{pattern}");
        }
        for pattern in ["pci-0000:01:00.0", "pci-0000:01:00.1*", "irtio0", "0000:00:1c.0"] {
            assert!(!at_place(pattern, path), "{pattern}");
        }
    }

    #[test]
    fn stars_stand_for_any_number_of_characters() {
        assert!(glob("*", "") && glob("a*b*c", "a--b--c") && glob("a*", "a") && glob("e1000*", "e1000e"));
        assert!(!glob("a*a", "a") && !glob("e1000", "e1000e") && !glob("a*b*c", "acb"));
    }
}
