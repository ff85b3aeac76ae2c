//! Packet formats that more than one plugin reads or writes, and what their engines share; knows nothing about plugins.
//!
//! | file | owns |
//! |---|---|
//! | `cursor.rs` | [`Reader`](cursor::Reader) and [`Writer`](cursor::Writer): the only code that indexes bytes |
//! | `checksum.rs` | the Internet checksum (RFC 1071) and the IPv6 pseudo header (RFC 8200 section 8.1) |
//! | `ipv4.rs` | the IPv4 header with its options (RFC 791) |
//! | `ipv6.rs` | the IPv6 header, the walk over extension headers (RFC 8200) |
//! | `tcp.rs` | the TCP header with its options (RFC 9293) |
//! | `icmpv4.rs`, `icmpv6.rs` | ICMP type numbers, the checksum field |
//! | `vnet.rs` | frames in a batch, padding, the virtio header |
//! | `segment.rs` | cutting super-packets, completing checksums |
//! | `limit.rs` | a token bucket |
//! | `retry.rs` | [`Applies`](retry::Applies), how long to wait behind failures |
//! | `time.rs` | [`Instant`](time::Instant): time as engines are given it |
//! | `nd/` | Neighbor Discovery: router solicitations and advertisements, their options |
//!
//! # The panic contract
//!
//! - Parsing never panics, whatever the bytes: every `parse` and `validate_*` function takes any `&[u8]`.
//! - Emitting never panics: into a buffer of `buffer_len()` bytes or more it writes exactly that many bytes and
//!   says so; into a smaller one, or with content the format cannot carry, it returns an [`EmitError`].
//! - What we do not understand survives: an unknown option is kept and emitted again byte for byte.
//!
//! Memory: a parsed value holds at most about the bytes it was parsed from, so a peer cannot make us grow.

pub mod checksum;
pub mod cursor;
pub mod icmpv4;
pub mod icmpv6;
pub mod ipv4;
pub mod ipv6;
pub mod limit;
pub mod nd;
pub mod retry;
pub mod segment;
pub mod tcp;
pub mod time;
pub mod vnet;

pub use cursor::EmitError;
