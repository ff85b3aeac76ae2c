//! What `bench-firewall` is made of: the rules that are loaded, in our words and nft's ([`rulesets`]), loading them ([`load`]),
//! what a packet costs ([`packets`]), and what is lost while rules are replaced ([`swap`]).

pub mod load;
pub mod packets;
pub mod rulesets;
pub mod swap;

use super::figure;

/// Prints a figure of the firewall.
pub fn print(name: &str, value: f64, unit: &str) {
    figure(&format!("firewall.{name}"), value, unit);
}
