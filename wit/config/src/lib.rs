//! The text side of the contract between the core and its plugins.
//!
//! WIT says which values cross; this crate says how the text of `router.ron` becomes values and
//! complaints. Both sides need the same answer (the core for the frame of the file, a plugin for its own
//! section), so it stands beside the WIT package, and neither side depends on the other.
//!
//! Derived `serde` types stop at their first error and lose their place. Here `ron` still does all the
//! lexing and the reading of leaves, but a struct, map or list is taken apart into [`Value`]s that
//! remember where they stand; every mistake becomes a [`Diagnostic`] and reading goes on. One pass over
//! a file therefore reports all of its mistakes.
//!
//! Map: `span` (places in text), `diagnostic` (complaints and how they are printed), `value` (taking text
//! apart), `duration`, `net` and `pattern` (leaf types of the field), `suggest` (did you mean).
#![forbid(unsafe_code)]

pub mod diagnostic;
pub mod duration;
pub mod net;
pub mod pattern;
pub mod span;
mod suggest;
pub mod value;

pub use diagnostic::{Diagnostic, Diagnostics, Severity};
pub use net::{IpPrefix, Ipv4Prefix, Ipv6Prefix, PrefixError};
pub use pattern::{NamePattern, NamePatternError, Pattern, PatternError};
pub use span::{Position, Span, Spanned};
pub use suggest::did_you_mean;
pub use value::{Document, Fields, Items, Members, Value};
