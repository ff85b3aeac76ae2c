//! The packet path against the RFCs, against a slow translation written from them, and against noise.

mod build;
mod gso;
mod modes;
mod random;
mod reference;
mod rfc6146;
mod rfc7915_from4;
mod rfc7915_from6;
