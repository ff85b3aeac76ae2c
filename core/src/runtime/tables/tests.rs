//! When the router is closed, on a fake kernel and a virtual clock.

use super::*;
use crate::sys::fake::FakeKernel;

const TABLE: &str = "inet/portreeve-firewall";

fn down(degraded: bool) -> [Down<'static>; 1] {
    [Down { name: "firewall", tables: vec![NamePattern::new(TABLE).unwrap()], degraded }]
}

fn is_closed(kernel: &FakeKernel) -> bool {
    kernel.tables().contains(GUARD)
}

#[tokio::test]
async fn a_plugin_that_is_down_without_its_table_closes_the_router_until_it_is_ready() {
    let (kernel, down, mut now) = (FakeKernel::new(), &down(false), Instant::now());
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
    let (kernel, down, now) = (FakeKernel::new(), &down(true), Instant::now());
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
