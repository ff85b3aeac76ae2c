//! The other lab: a real Debian kernel in QEMU, for what the kernel of the machine that tests cannot do (sit, gre,
//! wireguard, vlan, vrf and more).
//!
//! [`Kernel`] is Debian's newest, fetched once and never installed; [`Image`] is an initramfs with busybox, chosen
//! modules, programs and a script; [`Machine`] boots both under TCG, which needs neither root nor `/dev/kvm`, and gives
//! what the script printed and its exit code. With taps the guest talks to a namespace of [`crate::lab`].
//! [`Image::portreeve`] puts the router into it; `guest.sh` is what scripts about it have in common.
//!
//! Debian packages: qemu-system-x86, busybox-static, kmod, xz-utils;
//! for the router in it binutils, iproute2, iputils-ping. `apt-get download` needs no root either.
//!
//! Of the 6.1 kernel these are built in: ipv6, unix, packet sockets, tcp, netfilter's core. These are modules:
//! sit, `ip_gre`, `ip6_gre`, `ip6_tunnel`, ipip, `ip_vti`, `ip6_vti`, wireguard, 8021q, dummy, vrf, bonding, macvlan,
//! ipvlan, veth, tun, bridge, vxlan, geneve, ifb, `nf_tables` and every nft expression, `virtio_net`.
//!
//! What a kernel asks for at run time, as `nft_ct` for a rule with `ct`, is no dependency of the module that asks: name
//! it too.

mod cpio;
mod image;
mod kernel;
mod machine;
mod router;
#[cfg(test)]
mod tests;

pub use image::Image;
pub use kernel::Kernel;
pub use machine::{Machine, Options, Run, tap};
pub use router::{beside_tests, section};

use std::path::{Path, PathBuf};

use crate::lab::{Failure, Result};

/// Where Debian keeps programs, those of the administrator too.
const PROGRAM_DIRECTORIES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The cache that the tests share, below `target`. Its content is Debian's and outlives `cargo xtask build`.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/qemu")
}

/// The path of a program, or a failure that names the package it comes with.
fn find_program(name: &str, package: &str) -> Result<PathBuf> {
    let mut paths = PROGRAM_DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
    paths
        .find(|path| path.is_file())
        .ok_or_else(|| Failure::new(format!("{name} is missing: apt-get install --no-install-recommends {package}")))
}
