//! A kernel that takes no super-packets, or only some kinds: everything works, and status tells which are in use.

use portreeve_tests::lab::{Result, Server, ensure};

use super::echo;
use super::scene::{OWN_POOL, SERVER, Scene, nat64, nat64_of};
use super::status::{self, NAT64, OFFLOADS};

const MIB: u64 = 1024 * 1024;
/// Has the core ask the kernel for no more than this.
const VARIABLE: &str = "PORTREEVE_TUN_OFFLOADS";

fn works_with(level: &str, holds: &[&str], lacks: &[&str]) -> Result {
    let mut scene = Scene::laid_out(&nat64(OWN_POOL))?;
    scene.start(&[(VARIABLE, level)])?;
    scene.hosts_are_connected(nat64_of(SERVER))?;
    let down = Server::start(&scene.server, SERVER, 2, 20 * MIB)?;
    let up = Server::taking(&scene.server, SERVER, 2)?;
    for host in [&scene.hosts[0], &scene.hosts[2]] {
        let fetched = down.fetch_at(host, nat64_of(SERVER))?;
        ensure(fetched.bytes == 20 * MIB, || format!("{fetched:?}"))?;
        up.push_to(host, nat64_of(SERVER), 20 * MIB)?;
        for length in [1, 1400, 4000, 60_000] {
            echo::udp(host, scene.echo_at(), length)?;
        }
        host.run(&format!("ping -n -c 2 -i 0.2 -W 5 -s 3000 {}", nat64_of(SERVER)))?;
    }
    let shown = status::instance(scene.core(), NAT64, OFFLOADS)?.to_ascii_lowercase();
    let right = holds.iter().all(|word| shown.contains(word)) && !lacks.iter().any(|word| shown.contains(word));
    ensure(right, || format!("{level}: status says {shown}"))?;
    status::is_untouched(scene.core())
}

#[test]
fn everything_works_without_any_offload() -> Result {
    works_with("none", &["none"], &["checksum", "tcp", "udp"])
}

#[test]
fn everything_works_with_checksums_alone() -> Result {
    works_with("checksum", &["checksum"], &["tcp", "udp"])
}

#[test]
fn everything_works_with_tcp_segmentation_alone() -> Result {
    works_with("tcp", &["checksum", "tcp"], &["udp"])
}

#[test]
fn everything_works_with_all_that_this_kernel_has() -> Result {
    works_with("udp", &["checksum", "tcp", "udp"], &["none"])
}
