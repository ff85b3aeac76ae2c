//! Tests of the compiler: what all rulesets are like, and what single sections come to.

pub mod arbitrary;
pub mod common;
mod defaults;
mod evaluate;
mod folding;
mod full;
mod matching;
mod plain;
mod translation;
mod wellformed;
mod zones;
