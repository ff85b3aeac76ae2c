//! Masquerading with a kernel that refuses: what was made stays written down until it is gone.

use std::path::Path;

use portreeve_network::Prefix;

use super::*;
use crate::sys::fake::FakeKernel;

fn reconciler(kernel: &FakeKernel, directory: &Path) -> Reconciler {
    let keys = KeyStore::new(directory.join("keys"));
    Reconciler::new(Arc::new(kernel.clone()), directory.join("network"), keys)
}

fn masqueraded() -> State {
    let masquerades = vec![Masquerade { source: Prefix::new([192, 0, 0, 4].into(), 30), out: None }];
    State { masquerades, ..State::default() }
}

async fn apply(reconciler: &Reconciler, wanted: State) -> (usize, Vec<Option<i32>>) {
    let outcome = reconciler.apply("clat", wanted, Permit::default()).await.unwrap();
    (outcome.changes, outcome.problems.iter().map(|(_, refusal)| refusal.error.raw_os_error()).collect())
}

async fn owners(kernel: &FakeKernel) -> Vec<String> {
    kernel.masquerades().await.unwrap().into_iter().map(|(owner, _)| owner).collect()
}

#[tokio::test]
async fn a_removal_that_fails_is_told_and_tried_again() {
    let (kernel, directory) = (FakeKernel::new(), tempfile::tempdir().unwrap());
    let first = reconciler(&kernel, directory.path());
    assert_eq!(apply(&first, masqueraded()).await, (1, vec![]));
    kernel.refuse_masquerades(Some(libc::ENOBUFS));
    assert_eq!(apply(&first, State::default()).await, (0, vec![Some(libc::ENOBUFS)]));
    assert_eq!(owners(&kernel).await, ["clat"]);
    first.settle().await;
    // Another core finds it written down.
    kernel.refuse_masquerades(None);
    let second = reconciler(&kernel, directory.path());
    let routes_only = State { links: Vec::new(), ..State::default() };
    assert_eq!(apply(&second, routes_only).await, (1, vec![]));
    assert_eq!(owners(&kernel).await, [""; 0]);
    second.settle().await;
    assert_eq!(Record::owners(&directory.path().join("network")), [""; 0]);
}

#[tokio::test]
async fn a_kernel_without_nf_tables_has_nothing_to_remove() {
    let (kernel, directory) = (FakeKernel::new(), tempfile::tempdir().unwrap());
    let reconciler = reconciler(&kernel, directory.path());
    apply(&reconciler, masqueraded()).await;
    kernel.refuse_masquerades(Some(libc::EOPNOTSUPP));
    assert_eq!(apply(&reconciler, State::default()).await, (0, vec![]));
    reconciler.settle().await;
    assert_eq!(Record::owners(&directory.path().join("network")), [""; 0]);
}

#[tokio::test]
async fn what_the_kernel_does_already_is_written_down_when_the_record_was_lost() {
    let (kernel, directory) = (FakeKernel::new(), tempfile::tempdir().unwrap());
    let first = reconciler(&kernel, directory.path());
    apply(&first, masqueraded()).await;
    first.settle().await;
    let network = directory.path().join("network");
    std::fs::remove_file(network.join("clat.json")).unwrap();
    let second = reconciler(&kernel, directory.path());
    assert_eq!(apply(&second, masqueraded()).await, (0, vec![]));
    second.settle().await;
    assert_eq!(Record::owners(&network), ["clat"]);
    let written = std::fs::read_to_string(network.join("clat.json")).unwrap();
    assert!(written.contains("192.0.0.4"), "{written}");
}
