//! Programs that everybody has, as a host runs them: `curl`, `ssh`, `dig`, `traceroute`, `ping`, with a resolv.conf of
//! the host's own. An SSH server, too: it sees accounts, keys and `/run` of its own.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use portreeve_tests::lab::{Failure, Lab, Netns, Process, Result, ensure};

const WITHIN: Duration = Duration::from_secs(20);

/// Runs words separated by spaces while `resolver` is whom `/etc/resolv.conf` names, and gives stdout.
pub fn with_resolver(lab: &Lab, netns: &Netns, resolver: Ipv6Addr, line: &str) -> Result<String> {
    let file = lab.directory().join(format!("{}.resolv.conf", netns.name()));
    fs::write(&file, format!("nameserver {resolver}\n"))?;
    // `ip netns exec` gives a mount namespace of its own.
    let script = lab.directory().join("with-resolver");
    fs::write(&script, "mount --bind \"$1\" /etc/resolv.conf && shift && exec \"$@\"\n")?;
    netns.output(&format!("sh {} {} {line}", script.display(), file.display()))
}

/// What `dig` prints in short, a line each.
pub fn dig(netns: &Netns, resolver: impl Into<IpAddr>, words: &str) -> Result<Vec<String>> {
    let text = netns.output(&format!("dig +short +tries=1 +timeout=8 @{} {words}", resolver.into()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// What `dig` prints in full.
pub fn dig_in_full(netns: &Netns, resolver: impl Into<IpAddr>, words: &str) -> Result<String> {
    netns.output(&format!("dig +tries=1 +timeout=8 @{} {words}", resolver.into()))
}

/// The hops that `traceroute` finds, with 0 for those that say nothing.
pub fn traceroute(netns: &Netns, words: &str) -> Result<Vec<Option<IpAddr>>> {
    let text = netns.output(&format!("traceroute -n -q 1 -w 5 -m 12 {words}"))?;
    let hop = |line: &str| line.split_whitespace().nth(1).and_then(|word| word.parse().ok());
    let hops: Vec<_> = text.lines().skip(1).map(hop).collect();
    if hops.is_empty() {
        Err(Failure::new(format!("traceroute {words} found nothing")).with("it", &text))
    } else {
        Ok(hops)
    }
}

/// A real SSH server, and the key of the only one who may enter.
pub struct Ssh {
    directory: PathBuf,
    _process: Process,
}

impl Ssh {
    /// Starts it at port 22 of this address.
    pub fn start(lab: &Lab, netns: &Netns, address: Ipv4Addr) -> Result<Self> {
        let directory = lab.directory().join("ssh");
        fs::create_dir_all(&directory)?;
        let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
        for key in ["host", "user"] {
            // Without a passphrase, which `Netns::output` cannot say.
            let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]).output()?;
            ensure(made.status.success(), || String::from_utf8_lossy(&made.stderr).into_owned())?;
        }
        let config = format!(
            "ListenAddress {address}:22\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPidFile none\n\
            PermitRootLogin prohibit-password\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            path("host"),
            path("user.pub")
        );
        fs::write(path("sshd_config"), config)?;
        let home = directory.display();
        let accounts = format!(
            "root:x:0:0:root:{home}:/bin/sh\nsshd:x:105:65534::/run/sshd:/usr/sbin/nologin\n\
            nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n"
        );
        fs::write(path("passwd"), accounts)?;
        fs::write(path("shadow"), "root:*:19000:0:99999:7:::\n")?;
        let script = "mount -t tmpfs none /run && mkdir -m 755 /run/sshd && mount --bind \"$0/passwd\" /etc/passwd \
            && mount --bind \"$0/shadow\" /etc/shadow && exec /usr/sbin/sshd -D -e -f \"$0/sshd_config\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script]).arg(&directory);
        let mut process = netns.spawn(&mut command, &directory.join("log"))?;
        let log = process.log_path().to_owned();
        process.wait_until("the SSH server listens", WITHIN, || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("Server listening")).then_some(())
        })?;
        Ok(Self { directory, _process: process })
    }

    /// The words of a client that enters `host` and runs `line` there.
    pub fn client(&self, host: &str, line: &str) -> String {
        format!(
            "ssh -F none -i {} -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
            -o LogLevel=ERROR -o ConnectTimeout=15 root@{host} {line}",
            self.directory.join("user").display()
        )
    }
}
