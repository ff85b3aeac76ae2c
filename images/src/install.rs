//! What a fresh machine lacks: Debian packages, the wasm target, the lint tools. Installs them, or says in one line what is
//! missing. Nothing is started by the installation (`RUNLEVEL=1` keeps Debian's radvd from running).

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Result;
use crate::process::{output, run, step};

/// A program and the Debian package that brings it.
pub struct Tool {
    pub program: &'static str,
    pub package: &'static str,
}

pub const IP: Tool = Tool { program: "ip", package: "iproute2" };
pub const NFT: Tool = Tool { program: "nft", package: "nftables" };
pub const PING: Tool = Tool { program: "ping", package: "iputils-ping" };
pub const RDISC6: Tool = Tool { program: "rdisc6", package: "ndisc6" };
pub const RADVD: Tool = Tool { program: "radvd", package: "radvd" };
pub const SETPRIV: Tool = Tool { program: "setpriv", package: "util-linux" };
/// What boots Debian's kernel for the links that the machine's own kernel may lack.
pub const QEMU: [Tool; 4] = [
    Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" },
    Tool { program: "busybox", package: "busybox-static" },
    Tool { program: "depmod", package: "kmod" },
    Tool { program: "xz", package: "xz-utils" },
];
/// What hosts reach the IPv4 internet with.
pub const HOSTS: [Tool; 6] = [
    Tool { program: "curl", package: "curl" },
    Tool { program: "dig", package: "bind9-dnsutils" },
    NFT,
    Tool { program: "ssh", package: "openssh-client" },
    Tool { program: "sshd", package: "openssh-server" },
    Tool { program: "traceroute", package: "traceroute" },
];
/// What the firewall is compared with and listened to by.
pub const FILTERS: [Tool; 3] = [
    Tool { program: "conntrack", package: "conntrack" },
    Tool { program: "ip6tables-restore", package: "iptables" },
    Tool { program: "tcpdump", package: "tcpdump" },
];
pub const TAYGA: Tool = Tool { program: "tayga", package: "tayga" };
pub const UNBOUND: Tool = Tool { program: "unbound", package: "unbound" };
pub const UNSHARE: Tool = Tool { program: "unshare", package: "util-linux" };

const WASM_TARGET: &str = "wasm32-wasip2";

/// Sees to it that every one of `tools` is there, and that we are root, which network namespaces need.
pub fn for_namespaces(tools: &[Tool]) -> Result {
    let missing: Vec<&str> = tools.iter().filter(|tool| !exists(tool.program)).map(|tool| tool.package).collect();
    if !is_root()? {
        let also = if missing.is_empty() { String::new() } else { format!("; missing too: {}", missing.join(" ")) };
        return Err(format!("network namespaces need root: run this as root{also}"));
    }
    if missing.is_empty() {
        return Ok(());
    }
    if !exists("apt-get") {
        return Err(format!("missing, and there is no apt-get to install it: {}", missing.join(" ")));
    }
    step(&format!("installing {}", missing.join(" ")));
    let install = || {
        let mut command = Command::new("apt-get");
        command.args(["install", "-y", "-q", "--no-install-recommends"]).args(&missing);
        command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").stdout(Stdio::null());
        command
    };
    if run(&mut install()).is_err() {
        // Either the package lists are missing or they are too old.
        run(Command::new("apt-get").args(["update", "-q"]).stdout(Stdio::null()))?;
        run(&mut install()).map_err(|error| format!("missing: {} ({error})", missing.join(" ")))?;
    }
    Ok(())
}

/// Sees to it that plugins can be compiled.
pub fn wasm_target() -> Result {
    if !exists("rustup") {
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
        if Path::new(sysroot.trim()).join("lib/rustlib").join(WASM_TARGET).exists() {
            return Ok(());
        }
        return Err(format!("missing: rustup (https://rustup.rs), or a toolchain that has the target {WASM_TARGET}"));
    }
    let installed = output(Command::new("rustup").args(["target", "list", "--installed"]))?;
    if installed.lines().any(|line| line.trim() == WASM_TARGET) {
        return Ok(());
    }
    step(&format!("rustup target add {WASM_TARGET}"));
    run(Command::new("rustup").args(["target", "add", WASM_TARGET]))
}

/// Sees to it that `cargo fmt` and `cargo clippy` are there; a toolchain without rustup is left to its packager.
pub fn lint_tools() -> Result {
    if !exists("rustup") {
        return Ok(());
    }
    let installed = output(Command::new("rustup").args(["component", "list", "--installed"]))?;
    let is_missing = |name: &&str| !installed.lines().any(|line| line.starts_with(*name));
    let missing: Vec<&str> = ["rustfmt", "clippy"].into_iter().filter(is_missing).collect();
    if missing.is_empty() {
        return Ok(());
    }
    step(&format!("rustup component add {}", missing.join(" ")));
    run(Command::new("rustup").args(["component", "add"]).args(missing))
}

fn is_root() -> Result<bool> {
    Ok(output(Command::new("id").arg("-u"))?.trim() == "0")
}

/// Whether a program is found on PATH or where Debian keeps those of the administrator.
fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<_> = std::env::split_paths(&path).collect();
    directories.extend(["/usr/sbin", "/sbin"].map(Into::into));
    directories.iter().any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_path_and_others_are_not() {
        assert!(exists("sh"));
        assert!(!exists("portreeve-no-such-program"));
    }
}
