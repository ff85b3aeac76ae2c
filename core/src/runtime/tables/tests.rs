//! When the router is closed, on a fake kernel and a virtual clock.

use portreeve_config::NamePattern;

use super::*;
use crate::grants::Policy;
use crate::sys::fake::FakeKernel;

const TABLE: &str = "inet/portreeve-firewall";

fn grants() -> Grants {
    let needs = vec![Need::Guard, Need::NfTables(NamePattern::new(TABLE).unwrap())];
    Grants::new(needs.clone(), needs, Policy::Manifest)
}

fn is_closed(kernel: &FakeKernel) -> bool {
    kernel.tables().contains(GUARD)
}

#[tokio::test]
async fn a_plugin_that_is_down_without_its_table_closes_the_router_until_it_is_ready() {
    let (kernel, grants, mut now) = (FakeKernel::new(), grants(), Instant::now());
    let down = &[Down { name: "firewall", grants: &grants, degraded: false }];
    let mut tables = Tables::default();
    tables.keep_closed(&kernel, &[], now).await;
    assert_eq!(tables.poll_timeout(), None, "nothing is looked at while all is well");
    kernel.set_tables(&[TABLE]);
    tables.keep_closed(&kernel, down, now).await;
    assert!(!is_closed(&kernel), "its rules go on filtering");
    kernel.set_tables(&[]);
    tables.keep_closed(&kernel, down, now + LOOK_EVERY / 2).await;
    assert!(!is_closed(&kernel), "not looked at all the time");
    now = tables.poll_timeout().unwrap();
    tables.keep_closed(&kernel, down, now).await;
    assert!(is_closed(&kernel) && tables.closed);
    // Its table is there before it says that it is ready.
    kernel.set_tables(&[TABLE, GUARD]);
    tables.keep_closed(&kernel, down, now + LOOK_EVERY).await;
    assert!(tables.guarded.contains("firewall"));
    tables.unguard("firewall");
    tables.keep_closed(&kernel, &[], now + LOOK_EVERY * 2).await;
    assert!(tables.guarded.is_empty() && tables.poll_timeout().is_none());
}

#[tokio::test]
async fn a_degraded_plugin_without_its_table_closes_the_router_until_the_table_is_there() {
    let (kernel, grants, now) = (FakeKernel::new(), grants(), Instant::now());
    let down = &[Down { name: "firewall", grants: &grants, degraded: true }];
    let mut tables = Tables::default();
    tables.keep_closed(&kernel, down, now).await;
    assert!(is_closed(&kernel));
    // It may stay degraded for another reason.
    kernel.set_tables(&[TABLE, GUARD]);
    tables.keep_closed(&kernel, down, now + LOOK_EVERY).await;
    assert!(tables.guarded.is_empty());
    // What was never ready has to be.
    tables.close(&kernel, BTreeSet::from(["firewall".to_owned()])).await;
    tables.keep_closed(&kernel, down, now + LOOK_EVERY * 2).await;
    assert!(tables.guarded.contains("firewall"));
}

#[tokio::test]
async fn a_guard_that_others_flushed_or_that_was_refused_is_put_up_again() {
    let (kernel, now) = (FakeKernel::new(), Instant::now());
    let mut tables = Tables::default();
    kernel.refuse_guard(Some(libc::ENOBUFS));
    tables.close(&kernel, BTreeSet::from(["firewall".to_owned()])).await;
    tables.keep_closed(&kernel, &[], now).await;
    assert!(!is_closed(&kernel) && tables.open);
    kernel.refuse_guard(None);
    tables.keep_closed(&kernel, &[], now + LOOK_EVERY).await;
    assert!(is_closed(&kernel) && !tables.open);
    kernel.set_tables(&[]);
    tables.keep_closed(&kernel, &[], now + LOOK_EVERY * 2).await;
    assert!(is_closed(&kernel));
}

#[test]
fn who_asked_is_written_whole_or_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    write_whole(directory.path(), ASKED, "firewall\n").unwrap();
    // A write that fails on its way, as on a full disk, leaves what was there.
    std::fs::create_dir(directory.path().join(".guarded")).unwrap();
    assert!(write_whole(directory.path(), ASKED, "").is_err());
    assert_eq!(std::fs::read_to_string(directory.path().join(ASKED)).unwrap(), "firewall\n");
}
