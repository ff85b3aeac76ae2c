//! A kernel without `sit`: whoever insists on it is told what is missing, everybody else gets the userspace path.

use portreeve_tests::lab::{Result, ensure};
use portreeve_tests::qemu::section;

const ROUTER: &str = r#"Router(system: (log: Debug), plugins: {
    "interfaces": (config: (interfaces: {"wan0": (addresses: ["192.0.2.US/30"])})),
    "tunnels": (config: (tunnels: {"six": (
        kind: SixInFour(remote: "192.0.2.THEM", local: Address("192.0.2.US"), path: PATH),
        addresses: ["2001:db8:1::US/64"],
    )})),
})"#;

const SCRIPT: &str = r#"
space a; space b
join a wan0 b wan0
core a a; core b b; core strict
within 60 shows userspace ask a status tunnels
within 60 shows userspace ask b status tunnels
within 60 pings a 2001:db8:1::2
echo "== auto"
ask a status tunnels
ip -n a -d link show six
echo "== strict"
within 60 shows 'module sit' ask strict status tunnels
ask strict status tunnels
ask strict status
echo "== check"
ip link show six 2>&1 || true
"#;

#[test]
fn without_sit_auto_falls_back_to_userspace_and_kernel_is_an_error_that_names_the_module() -> Result {
    let config =
        |us: &str, them: &str, path: &str| ROUTER.replace("US", us).replace("THEM", them).replace("PATH", path);
    let configurations = [
        ("a", &*config("1", "2", "Auto")),
        ("b", &*config("2", "1", "Auto")),
        ("strict", &*config("1", "2", "Kernel").replace("wan0", "lo")),
    ];
    let output = super::run(&["tun"], &configurations, SCRIPT)?;
    let auto = section(&output, "auto")?;
    ensure(auto.contains(" userspace ") && auto.contains(" up ") && auto.contains("tun type tun"), || auto.to_owned())?;
    ensure(auto.contains("sit"), || format!("does not say why it is userspace:\n{auto}"))?;
    let strict = section(&output, "strict")?;
    let row = strict.lines().find(|line| line.starts_with("six ")).unwrap_or_default();
    ensure(row.contains(" none ") && row.contains("module sit") && row.contains(" down "), || strict.to_owned())?;
    ensure(strict.contains("degraded"), || strict.to_owned())?;
    ensure(!section(&output, "check")?.contains("mtu"), || output.clone())
}
