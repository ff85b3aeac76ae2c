//! The kernel's sit in the guest against Portreeve's own data path on this machine, over a tap.

use std::io::{Read as _, Write as _};
use std::net::{Ipv6Addr, SocketAddrV6, TcpListener, TcpStream};
use std::time::Duration;

use portreeve_tests::lab::{Lab, Result, Site, Stage, ensure};
use portreeve_tests::qemu::{self, Kernel, Machine, Options, section};

const WITHIN: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;
const DOWN: usize = 16 * MIB;
const UP: usize = 16 * MIB;
const HERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
const THERE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2);

const ROUTER: &str = r#"Router(system: (log: Debug), plugins: {
    "interfaces": (config: (interfaces: {"LINK": (addresses: ["192.0.2.US/30"])})),
    "tunnels": (config: (tunnels: {"six": (
        kind: SixInFour(remote: "192.0.2.THEM", local: Address("192.0.2.US"), path: PATH),
        addresses: ["2001:db8:1::US/64"],
        keepalive: (target: "2001:db8:1::THEM", interval: "1s", timeout: "30s"),
    )})),
})"#;

const SCRIPT: &str = r#"
truncate -s 16M /tmp/data
core router
within 60 shows ' kernel ' ask router status tunnels
echo ready
read -r peer
within 60 ping -n -c 1 -W 1 2001:db8:1::1
echo "== ping"
ping -n -c 3 -i 0.2 -W 5 2001:db8:1::1
# Larger than the tunnel takes: fragments.
ping -n -c 3 -i 0.2 -W 5 -s 4000 2001:db8:1::1
httpd -p '[2001:db8:1::2]:80' -h /tmp
within 30 shows ' ms' ask router status tunnels
echo "== status"
ask router status tunnels
echo "== serving"
echo serving
read -r done
echo "== received"
nc 2001:db8:1::1 9 </dev/null | wc -c
"#;

fn config(link: &str, us: &str, them: &str, path: &str) -> String {
    ROUTER.replace("LINK", link).replace("US", us).replace("THEM", them).replace("PATH", path)
}

/// Reads to the end, which must come within the deadline of each read.
fn drain(stream: &mut TcpStream) -> std::io::Result<usize> {
    stream.set_read_timeout(Some(WITHIN))?;
    let (mut buffer, mut total) = (vec![0; 64 * 1024], 0);
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(total),
            length => total += length,
        }
    }
}

#[test]
fn the_kernels_sit_and_the_userspace_path_understand_each_other() -> Result {
    let _turn = super::turn();
    let (mut lab, stage, kernel) = (Lab::new()?, Stage::find()?, Kernel::fetch(&qemu::cache())?);
    let outside = lab.netns("outside")?;
    qemu::tap(&outside, "tap0")?;
    let site = Site::new(&lab, &stage, &config("tap0", "1", "2", "Userspace"))?;
    let mut core = site.start(&outside)?;
    core.wait_ready("tunnels", WITHIN)?;
    let image = super::image(&kernel, &["sit", "tun"], &[("router", &config("eth0", "2", "1", "Kernel"))], SCRIPT)?;
    let taps = vec![("tap0".to_owned(), "02:00:5e:10:00:01".to_owned())];
    let netns = Some(outside.name().to_owned());
    let mut machine = Machine::boot(&image, &Options { memory: 768, cpus: 2, netns, taps, ..Options::default() })?;
    machine.wait_for("ready\n")?;
    machine.send("go on")?;
    machine.wait_for("serving\n")?;

    let status = core.command(&["status", "tunnels"])?;
    ensure(status.contains(" userspace ") && status.contains(" up "), || status.clone())?;
    outside.run(&format!("ping -n -c 3 -i 0.2 -W 5 {THERE}"))?;
    outside.run(&format!("ping -n -c 3 -i 0.2 -W 5 -s 4000 {THERE}"))?;
    // Each way some MiB: from the kernel's end to ours, and back.
    let fetched = outside.enter(|| {
        let mut stream = TcpStream::connect(SocketAddrV6::new(THERE, 80, 0, 0))?;
        stream.write_all(b"GET /data HTTP/1.0\r\n\r\n")?;
        drain(&mut stream)
    })??;
    ensure(fetched >= DOWN, || format!("{fetched} of {DOWN} bytes came"))?;
    let listener = outside.enter(|| TcpListener::bind(SocketAddrV6::new(HERE, 9, 0, 0)))??;
    machine.send("go on")?;
    listener.accept()?.0.write_all(&vec![0; UP])?;
    let run = machine.wait()?;
    println!("the guest took {:.1} s", run.elapsed.as_secs_f64());
    let output = run.success()?;
    println!("{output}\n{}", core.command(&["status", "tunnels"])?);
    ensure(section(&output, "received")?.trim() == UP.to_string(), || output.clone())?;
    let status = section(&output, "status")?;
    ensure(status.contains(" kernel ") && status.contains(" up "), || status.to_owned())?;
    ensure(section(&output, "ping")?.matches(" 0% packet loss").count() == 2, || output.clone())?;
    let status = core.command(&["status", "tunnels"])?;
    ensure(status.contains(" ms"), || format!("no round trip of the keepalive:\n{status}"))
}
