//! Records with a constant message and values as fields: `info!("advertising", ifname = name)`.

use crate::bindings::portreeve::plugin::log as host;
pub use host::Level;

/// Writes one record. The macros are easier.
pub fn emit(level: Level, message: &str, fields: &[(&str, &dyn std::fmt::Display)]) {
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| host::Field { name: (*name).to_owned(), value: value.to_string() }).collect();
    host::emit(level, message, &fields);
}

/// Writes a record of the level that the first argument names.
#[macro_export]
macro_rules! record {
    ($level:ident, $message:expr $(, $name:ident = $value:expr)* $(,)?) => {
        $crate::emit($crate::Level::$level, $message, &[$((stringify!($name), &$value)),*])
    };
}

/// The operator must act.
#[macro_export]
macro_rules! error { ($($rest:tt)*) => { $crate::record!(Error, $($rest)*) }; }

/// Something is not as it should be.
#[macro_export]
macro_rules! warn { ($($rest:tt)*) => { $crate::record!(Warn, $($rest)*) }; }

/// A change an operator wants to know of.
#[macro_export]
macro_rules! info { ($($rest:tt)*) => { $crate::record!(Info, $($rest)*) }; }

/// Detail for finding faults; whatever a peer can cause at will.
#[macro_export]
macro_rules! debug { ($($rest:tt)*) => { $crate::record!(Debug, $($rest)*) }; }
