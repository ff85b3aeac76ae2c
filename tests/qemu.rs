//! Portreeve on Debian's kernel, which has what the kernel of the machine that tests may lack: sit and every other kind
//! of link. Each test boots a guest under TCG; see `portreeve_tests::qemu` for the packages that this needs.
//!
//! Modules are in the images and `modprobe` is not: what gets loaded, the core has loaded.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

#[path = "qemu/firewall.rs"]
mod firewall;
#[path = "qemu/gateway.rs"]
mod gateway;
#[path = "qemu/import.rs"]
mod import;
#[path = "qemu/interoperability.rs"]
mod interoperability;
#[path = "qemu/links.rs"]
mod links;
#[path = "qemu/modules.rs"]
mod modules;

use std::sync::{Mutex, MutexGuard, PoisonError};

use portreeve_tests::lab::{Result, Stage};
use portreeve_tests::qemu::{self, Image, Kernel, Machine, Options};

/// One guest at a time: each takes a processor for itself, and what it measures is its own slowness.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a script in a guest with the router, the modules and the configurations; its output if it succeeded.
fn run(modules: &[&str], configurations: &[(&str, &str)], script: &str) -> Result<String> {
    let _turn = turn();
    let kernel = Kernel::fetch(&qemu::cache())?;
    let image = image(&kernel, modules, configurations, script)?;
    let run = Machine::boot(&image, &Options { memory: 768, cpus: 2, ..Options::default() })?.wait()?;
    println!("the guest took {:.1} s", run.elapsed.as_secs_f64());
    let output = run.success()?;
    println!("{output}");
    Ok(output)
}

fn image<'k>(kernel: &'k Kernel, modules: &[&str], configurations: &[(&str, &str)], script: &str) -> Result<Image<'k>> {
    let mut image = Image::new(kernel);
    image.preload(&["veth"])?;
    image.modules(modules)?;
    image.without_modprobe();
    image.portreeve(&Stage::find()?)?;
    for (name, ron) in configurations {
        image.configure(name, ron);
    }
    image.script(&format!(". /lib.sh\n{script}"));
    Ok(image)
}
