//! Reading: messages of a datagram, what a transaction touches, what is at an offset, and what a dump tells.

pub mod attributes;
pub mod info;
pub mod inspect;
pub mod locate;
pub mod messages;
