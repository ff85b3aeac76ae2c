//! The firewall's table where the kernel, the rights or other programs make it hard: every refusal says what is missing, and
//! nothing of anybody else's is touched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use portreeve_nftables::{Batch, DeleteTable, Endian, Family, NewTable};
use portreeve_tests::lab::{Lab, Netfilter, Result, Site, Stage, ensure, wait_until};

use super::{Scene, WITHIN, ron};

/// The plugin with a section.
fn firewall(section: &str) -> String {
    format!("\"firewall\": (config: {section}),\n")
}

fn with_port(port: u16) -> String {
    firewall(&format!(
        "(zones: {{\"lan\": (interfaces: [\"lan0\"])}}, rules: [(from: [\"lan\"], to: [\"router\"], protocol: [\"tcp\"], \
         destination_port: [\"{port}\"], then: Accept)])"
    ))
}

#[test]
fn without_the_right_the_reason_names_the_capability() -> Result {
    let mut lab = Lab::new()?;
    let router = lab.netns("router")?;
    let site = Site::powerless(&lab, &Stage::find()?, &ron(&with_port(22)))?;
    let core = site.start(&router)?;
    let mut last = String::new();
    let found = wait_until("a reason with CAP_NET_ADMIN", WITHIN, || {
        last = core.command(&["status"]).unwrap_or_else(|failure| failure.to_string());
        let told = last.lines().any(|line| line.starts_with("firewall") && line.contains("CAP_NET_ADMIN"));
        told.then_some(())
    });
    found.map_err(|failure| failure.with("status", &last).with("log", &core.log()))?;
    ensure(router.output("nft list ruleset")?.is_empty(), || "something was made".to_owned())
}

#[test]
fn in_a_user_namespace_of_its_own_small_rules_load_and_too_many_say_what_to_raise() -> Result {
    let mut lab = Lab::new()?;
    let outside = lab.netns("outside")?;
    let site = Site::in_user_namespace(&lab, &Stage::find()?, &ron(&with_port(22)))?;
    let mut core = site.start(&outside)?;
    core.wait_ready("firewall", WITHIN)?;
    // The kernel takes twice net.core.wmem_max, and a rule of these is more than 400 bytes.
    let most: u32 = std::fs::read_to_string("/proc/sys/net/core/wmem_max")?.trim().parse().unwrap_or(0);
    let rules: String = (0..most / 200 + 1000)
        .map(|number| {
            let (high, low) = (number >> 16, number & 0xffff);
            format!(
                "(source: [\"2001:db8:{high:x}:{low:x}::/64\"], protocol: [\"tcp\"], destination_port: [\"{}\"], \
                 hop_limit: \"<9\", then: Drop),\n",
                low % 60_000 + 1
            )
        })
        .collect();
    let section = format!("(forward: (policy: Drop, rules: [\n{rules}]))");
    site.configure(&ron(&format!("\"firewall\": (limits: (memory_mib: 512), config: {section})")))?;
    core.reload()?;
    let log = core.log_path();
    core.wait_until("the reason", WITHIN, || {
        let log = std::fs::read_to_string(&log).ok()?;
        log.lines().any(|line| line.contains("net.core.wmem_max")).then_some(())
    })
}

#[test]
fn loads_succeed_while_another_program_changes_its_tables_all_the_time_and_these_are_left_alone() -> Result {
    const LOADS: u16 = 30;
    let mut scene = Scene::new(&with_port(1000))?;
    scene.start(&["firewall"])?;
    scene.router.run("nft add table ip kept")?;
    scene.router.run("nft add set ip kept addresses { type ipv4_addr; elements = { 192.0.2.1, 192.0.2.2 }; }")?;
    let kept = scene.router.output("nft list table ip kept")?;
    let (netfilter, over, changes) = (Netfilter::open(&scene.router)?, AtomicBool::new(false), AtomicU64::new(0));
    let mut both = [Batch::new(Endian::NATIVE), Batch::new(Endian::NATIVE)];
    both[0].begin(None);
    both[0].push(&NewTable { family: Family::Ip, name: "other", flags: 0, comment: None }, 0);
    both[0].end(0);
    both[1].begin(None);
    both[1].push(&DeleteTable { family: Family::Ip, name: "other" }, 0);
    both[1].end(0);
    std::thread::scope(|scope| -> Result {
        let busy = scope.spawn(|| -> Result {
            while !over.load(Ordering::Relaxed) {
                for batch in &both {
                    netfilter.commit(batch.bytes())?;
                    changes.fetch_add(1, Ordering::Relaxed);
                }
            }
            Ok(())
        });
        let mut outcome = Ok(());
        for port in 1001..=1000 + LOADS {
            outcome = scene.reconfigure(&with_port(port)).and_then(|()| {
                let has_port = |text: &str| text.contains(&port.to_string());
                scene.wait_output("nft list table inet portreeve-firewall", has_port).map(drop)
            });
            if outcome.is_err() {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        busy.join().map_err(|_| portreeve_tests::lab::Failure::new("the other program panicked"))??;
        outcome
    })?;
    let changes = changes.into_inner();
    ensure(changes > 1000, || format!("only {changes} changes of the other program"))?;
    super::same("the other's table", &kept, &scene.router.output("nft list table ip kept")?)?;
    let state = scene.core().plugin_state("firewall");
    ensure(state.as_deref() == Some("ready"), || format!("{state:?}\n{}", scene.core().log()))
}

#[test]
fn what_this_kernel_lacks_is_named_with_its_line_and_the_rules_stand_without_it() -> Result {
    // Flows are offloaded by nft_flow_offload, which this kernel may have; then nothing is refused.
    let mut scene = Scene::new(&with_port(1000))?;
    scene.start(&["firewall"])?;
    scene.router.run("nft add table inet try")?;
    let flowtable = "nft add flowtable inet try f { hook ingress priority 0; devices = { lan0 }; }";
    let has_flowtables = scene.router.run(flowtable).is_ok();
    scene.router.run("nft delete table inet try")?;
    let section = "(\n    zones: {\n        \"lan\": (interfaces: [\"lan0\"]),\n        \"wan\": (interfaces: [\"wan0\"]),\n    },\n    \
                   offload: (zones: [\"lan\", \"wan\"]),\n)";
    scene.reconfigure(&firewall(section))?;
    if has_flowtables {
        return scene.wait_output("nft list table inet portreeve-firewall", |text| text.contains("flow add")).map(drop);
    }
    // Whether the section is refused or put in force without its flowtable: it is said why, and where.
    let mut told = String::new();
    let found = wait_until("the reason", WITHIN, || {
        let core = scene.core();
        told = format!("{}\n{}", core.command(&["status"]).unwrap_or_default(), core.log());
        told.lines().any(|line| line.contains("flowtable") && line.contains("router.ron:6:")).then_some(())
    });
    found.map_err(|failure| failure.with("told", &told))?;
    let after = scene.router.output("nft -s list ruleset")?;
    ensure(!after.contains("flow add") && after.contains("chain forward"), || after.clone())
}
