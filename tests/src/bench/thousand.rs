//! A thousand addresses and a thousand routes, half of each IPv6, on a few links: as a section of the plugin `interfaces`, and
//! as commands of `ip`.

use std::fmt::Write as _;

/// Links, `lan0` and on.
pub const LINKS: usize = 4;
/// Addresses, and routes, of each family on each link: 4 * 2 * 125 = 1,000.
const EACH: usize = 125;
/// All of them.
pub const OBJECTS: usize = 2 * 2 * LINKS * EACH;

/// The section with everything; `changed` is the one address that is another each time.
pub fn section(changed: usize) -> String {
    let mut text = String::from("(interfaces: {\n");
    for link in 0..LINKS {
        let _ = write!(text, "  \"lan{link}\": (\n    addresses: [");
        for n in 0..EACH {
            let last = if (link, n) == (0, EACH - 1) { 1 + changed } else { 1 };
            let _ = write!(text, "\"2001:db8:{link}:{n:x}::{last:x}/64\", \"10.{link}.{n}.1/24\", ");
        }
        text.push_str("],\n    routes: [");
        for n in 0..EACH {
            let _ = write!(text, "(to: \"2001:db8:1{link}:{n:x}::/64\", via: \"2001:db8:{link}::2\"), ");
            let _ = write!(text, "(to: \"172.{}.{n}.0/24\", via: \"10.{link}.0.2\"), ", 16 + link);
        }
        text.push_str("],\n  ),\n");
    }
    text.push_str("})");
    text
}

/// A section with the same links without anything on them.
pub fn bare_section() -> String {
    let links: Vec<String> = (0..LINKS).map(|link| format!("\"lan{link}\": ()")).collect();
    format!("(interfaces: {{{}}})", links.join(", "))
}

/// All of it as `ip -batch` reads it; `verb` is `add` or `del`.
pub fn batch(verb: &str) -> String {
    let mut text = String::new();
    for link in 0..LINKS {
        for n in 0..EACH {
            let _ = writeln!(text, "addr {verb} 2001:db8:{link}:{n:x}::1/64 dev lan{link}");
            let _ = writeln!(text, "addr {verb} 10.{link}.{n}.1/24 dev lan{link}");
        }
    }
    for link in 0..LINKS {
        for n in 0..EACH {
            let _ = writeln!(text, "route {verb} 2001:db8:1{link}:{n:x}::/64 via 2001:db8:{link}::2 dev lan{link}");
            let _ = writeln!(text, "route {verb} 172.{}.{n}.0/24 via 10.{link}.0.2 dev lan{link}", 16 + link);
        }
    }
    // Routes first when they go: the kernel removes some of them with the addresses.
    if verb == "del" { text.lines().rev().fold(String::new(), |all, line| all + line + "\n") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_section_is_legal_and_says_the_same_as_the_commands() {
        let (config, warnings) = portreeve_interfaces::Config::parse(&section(3)).unwrap();
        assert!(warnings.is_empty());
        assert_eq!(config.routes().count(), OBJECTS / 2);
        assert_eq!(batch("add").lines().count(), OBJECTS);
        assert_ne!(section(0), section(1));
        assert!(portreeve_interfaces::Config::parse(&bare_section()).is_ok());
    }
}
