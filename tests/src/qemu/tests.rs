//! The harness against real guests: what the tests of Portreeve rely on.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{Image, Kernel, Machine, Options, cache, find_program, tap};
use crate::lab::{Lab, Result, ensure, output};

const IP: &str = "/sbin/ip";
const PING: &str = "/bin/ping";

fn kernel() -> Kernel {
    Kernel::fetch(&cache()).unwrap()
}

fn run(image: &Image<'_>) -> super::Run {
    Machine::boot(image, &Options::default()).unwrap().wait().unwrap()
}

/// Both ways to load: by name, and by the kernel that was asked for a kind of link.
#[test]
fn modules_are_loaded_on_demand_and_programs_of_the_host_run() {
    let kernel = kernel();
    let mut image = Image::new(&kernel);
    image.modules(&["sit", "veth", "ipv6", "nf_tables"]).unwrap();
    image.program(IP, IP).unwrap();
    image.program(PING, PING).unwrap();
    image.script(
        "set -e
        ! grep -E '^(veth|sit) ' /proc/modules
        ip netns add a; ip netns add b
        ip link add eth0 netns a type veth peer name eth0 netns b
        modprobe sit
        # It has a soft dependency.
        modprobe nf_tables
        join() {
            ip -n $1 addr add $2/24 dev eth0; ip -n $1 link set eth0 up
            ip -n $1 tunnel add six mode sit local $2 remote $3 ttl 64
            ip -n $1 addr add $4/64 dev six nodad; ip -n $1 link set six up
        }
        join a 192.0.2.1 192.0.2.2 2001:db8::1
        join b 192.0.2.2 192.0.2.1 2001:db8::2
        ip netns exec a ping -6 -c 3 -i 0.2 -W 5 2001:db8::2",
    );
    let text = run(&image).success().unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
}

#[test]
fn what_is_not_in_the_image_cannot_be_loaded() {
    let kernel = kernel();
    let mut image = Image::new(&kernel);
    assert!(image.modules(&["no_such_module"]).unwrap_err().to_string().contains("no_such_module"));
    image.modules(&["dummy"]).unwrap();
    image.preload(&["bridge"]).unwrap();
    image.without_modprobe();
    image.program(IP, IP).unwrap();
    image.file("/etc/greeting", "hello\n", 0o640);
    image.script(
        "cat /etc/greeting; stat -c %a /etc/greeting
        ip link add br0 type bridge && ip link add d0 type dummy
        ip link show d0 || exit 42",
    );
    let run = run(&image);
    assert_eq!(run.code, 42);
    assert!(run.output.starts_with("hello\n640\nError: Unknown device type."), "{}", run.output);
}

/// As later Debians than 12 ship them.
#[test]
fn compressed_modules_are_made_readable_for_the_guest() {
    let kernel = kernel();
    let lab = Lab::new().unwrap();
    let (root, release) = (lab.directory().join("xz"), kernel.release());
    let to = root.join("lib/modules").join(release);
    let from = kernel.modules_directory();
    fs::create_dir_all(&to).unwrap();
    fs::create_dir_all(root.join("boot")).unwrap();
    fs::copy(kernel.vmlinuz(), root.join(format!("boot/vmlinuz-{release}"))).unwrap();
    for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        fs::copy(from.join(list), to.join(list)).unwrap();
    }
    for file in ["sit", "virtio_pci", "virtio_net"].iter().flat_map(|name| kernel.module_files(name).unwrap()) {
        fs::create_dir_all(to.join(file).parent().unwrap()).unwrap();
        // The two drivers share some.
        if !to.join(format!("{file}.xz")).exists() {
            fs::copy(from.join(file), to.join(file)).unwrap();
            output(Command::new("xz").arg(to.join(file))).unwrap();
        }
    }
    output(Command::new(find_program("depmod", "kmod").unwrap()).arg("-b").arg(&root).arg(release)).unwrap();
    let compressed = Kernel::open(&root).unwrap();
    assert!(compressed.module_files("sit").unwrap().iter().all(|file| file.ends_with(".ko.xz")));
    let mut image = Image::new(&compressed);
    image.modules(&["sit"]).unwrap();
    image.script("set -e; grep -q ^virtio_net /proc/modules; modprobe sit; grep ^sit /proc/modules");
    run(&image).success().unwrap();
}

#[test]
fn the_guest_talks_to_a_namespace_and_the_test_to_the_script() -> Result {
    let kernel = kernel();
    let mut lab = Lab::new()?;
    let outside = lab.netns("outside")?;
    tap(&outside, "tap0")?;
    outside.run("ip addr add 2001:db8:1::1/64 dev tap0 nodad")?;
    let mut image = Image::new(&kernel);
    image.program(IP, IP)?;
    image.program(PING, PING)?;
    image.script(
        "set -e
        ip link set eth0 up
        ip addr add 2001:db8:1::2/64 dev eth0 nodad
        ping -6 -c 3 -i 0.2 -W 5 2001:db8:1::1
        echo ready
        read -r answer
        test \"$answer\" = 'go on'",
    );
    let taps = vec![("tap0".to_owned(), "02:00:5e:10:00:01".to_owned())];
    let options = Options { netns: Some(outside.name().to_owned()), taps, ..Options::default() };
    let mut machine = Machine::boot(&image, &options)?;
    machine.wait_for("ready\n")?;
    outside.run("ping -6 -c 3 -i 0.2 -W 5 2001:db8:1::2")?;
    let neighbours = outside.output("ip neigh show dev tap0")?;
    ensure(neighbours.contains("02:00:5e:10:00:01"), || neighbours)?;
    machine.send("go on")?;
    machine.wait()?.success().map(drop)
}

#[test]
fn a_panic_is_a_failure_that_shows_the_console() {
    let kernel = kernel();
    let mut image = Image::new(&kernel);
    image.script("echo c >/proc/sysrq-trigger");
    let failure = Machine::boot(&image, &Options::default()).unwrap().wait().unwrap_err().to_string();
    assert!(failure.contains("without an exit code") && failure.contains("Kernel panic"), "{failure}");
}

#[test]
fn a_machine_that_does_not_start_fails_at_once() {
    let kernel = kernel();
    let started = Instant::now();
    let options = Options { memory: 1, ..Options::default() };
    let failure = Machine::boot(&Image::new(&kernel), &options).unwrap().wait().unwrap_err().to_string();
    assert!(failure.contains("initrd is too large"), "{failure}");
    assert!(started.elapsed() < Duration::from_secs(10));
}
