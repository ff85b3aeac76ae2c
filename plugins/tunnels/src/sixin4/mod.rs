//! The userspace 6in4 data path (RFC 4213), for kernels without `sit` and for hosts that keep it out.
//!
//! Bytes in, bytes out: batches of frames from a tun device become IPv4 packets of protocol 41 and back. No socket,
//! no clock, no allocation per packet; the caller reuses the output vectors.
//!
//! | file | owns |
//! |---|---|
//! | `settings.rs` | [`Settings`], the far end, the 6rd mapping (RFC 5969) |
//! | `frame.rs` | frames in a batch, the virtio header |
//! | `encapsulate.rs`, `outer.rs` | tun to IPv4: checks, size, the outer header |
//! | `segment.rs`, `mss.rs` | TCP and UDP segmentation, checksum completion, the MSS clamp |
//! | `decapsulate.rs`, `filter.rs`, `ecn.rs` | IPv4 to tun: who may send what (RFC 3964, RFC 6040) |
//! | `coalesce.rs` | TCP segments of one batch joined into large frames |
//! | `icmp.rs`, `relay.rs`, `path.rs` | ICMPv6 errors, ICMPv4 errors from the path, path MTUs, the rate limit |
//! | `echo.rs` | the keepalive |
//! | `counters.rs` | what happened, in numbers with stable names |
//!
//! # Formats
//!
//! - A batch is frames one after the other, each led by its length as a little endian `u32`.
//! - A tun frame is a `virtio_net_hdr` of ten bytes and an IPv6 packet; an IPv4 frame is a whole IPv4 packet. On
//!   transmission the kernel fills in its identification, checksum and, where it is 0.0.0.0, source.
//!
//! No function panics, whatever the bytes. What leaves has consistent lengths and fits the MTU.

mod coalesce;
mod counters;
mod decapsulate;
mod echo;
mod ecn;
mod encapsulate;
mod filter;
mod frame;
mod icmp;
mod mss;
mod outer;
mod path;
mod relay;
mod segment;
mod settings;

pub use counters::Counters;
pub use echo::{Event, MAX_EVENTS};
pub use frame::{Frame, Frames, Vnet, push_ipv4_frame, push_tun_frame};
pub use icmp::{ERROR_BURST, ERRORS_PER_SECOND};
pub use path::{MAX_PATHS, PATH_LIFETIME};
pub use relay::IcmpError;
pub use settings::{MAX_MTU, MIN_MTU, Prefix, Remote, Settings, SixRd, Tos};

pub use crate::time::Instant;
use coalesce::Coalescer;
use echo::Echo;
use path::Paths;
use portreeve_packet::limit::TokenBucket;

/// One tunnel's data path.
#[derive(Debug)]
pub struct DataPath {
    settings: Settings,
    counters: Counters,
    limit: TokenBucket,
    paths: Paths,
    coalescer: Coalescer,
    echo: Echo,
}

impl DataPath {
    /// A data path that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            counters: Counters::default(),
            limit: TokenBucket::new(ERRORS_PER_SECOND, ERROR_BURST),
            paths: Paths::default(),
            coalescer: Coalescer::default(),
            echo: Echo::default(),
        }
    }

    /// Continues under other settings; counters and keepalive stay, learnt path MTUs are forgotten.
    pub fn reconfigure(&mut self, settings: Settings) {
        self.settings = settings;
        self.paths = Paths::default();
    }

    /// The settings in force.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What happened so far.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The next thing to know about, oldest first; changes after each call that takes packets.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.echo.events.pop_front()
    }
}
