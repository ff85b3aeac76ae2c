//! Masquerading in the kernel's own words: the rules as `nft` lists them, and tables of others.

use portreeve::sys::Kernel as _;
use portreeve::sys::linux::LinuxKernel;
use portreeve::sys::network::{Masquerade, Prefix};
use portreeve_tests::lab::{Failure, Lab, Netns, Result, ensure};

fn wanted() -> Vec<Masquerade> {
    let of = |address: &str, length, out: Option<&str>| Masquerade {
        source: Prefix::new(address.parse().expect("an address"), length),
        out: out.map(str::to_owned),
    };
    vec![of("192.0.0.4", 30, None), of("10.1.2.3", 8, Some("wan0")), of("0.0.0.0", 0, Some("lan0"))]
}

/// Sets it there; the errno if that was refused.
fn set(netns: &Netns, owner: &str, wanted: &[Masquerade]) -> Result<Option<i32>> {
    inside(netns, async |kernel| {
        kernel
            .set_masquerades(owner, wanted.to_vec())
            .await
            .err()
            .map(|refusal| refusal.error.raw_os_error().unwrap_or(-1))
    })
}

fn marks(netns: &Netns) -> Result<Vec<(String, String)>> {
    inside(netns, async |kernel| kernel.masquerades().await)?
        .map_err(|error| Failure::new(format!("cannot read the tables: {error}")))
}

fn inside<T: Send>(netns: &Netns, work: impl AsyncFnOnce(LinuxKernel) -> T + Send) -> Result<T> {
    netns.enter(|| {
        let failed = |error: std::io::Error| Failure::new(format!("no kernel: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async { Ok(work(LinuxKernel::start().await.map_err(failed)?).await) })
    })?
}

#[test]
fn rules_are_listed_as_they_are_meant_and_go_when_nothing_is_wanted() -> Result {
    let mut lab = Lab::new()?;
    let router = lab.netns("router")?;
    ensure(set(&router, "clat", &[])?.is_none(), || "nothing there is nothing to remove".to_owned())?;
    ensure(router.output("nft list ruleset")?.is_empty(), || "a table was made".to_owned())?;
    // Twice: what is there is replaced in the same transaction.
    for _ in 0..2 {
        let refused = set(&router, "clat", &wanted())?;
        ensure(refused.is_none(), || format!("refused: {refused:?}"))?;
        let [(owner, mark)] = &marks(&router)?[..] else { return Err(Failure::new("not one table")) };
        let expected = format!(
            "table ip portreeve-clat {{\n\tcomment \"{mark}\"\n\tchain postrouting {{\n\
             \t\ttype nat hook postrouting priority srcnat; policy accept;\n\
             \t\tip saddr 192.0.0.4/30 masquerade\n\
             \t\tip saddr 10.0.0.0/8 oifname \"wan0\" masquerade\n\
             \t\toifname \"lan0\" masquerade\n\t}}\n}}\n"
        );
        let listed = router.output("nft list ruleset")?;
        ensure(owner == "clat" && listed == expected, || format!("{owner}\n{listed}\nnot\n{expected}"))?;
    }
    ensure(set(&router, "clat", &[])?.is_none() && marks(&router)?.is_empty(), || "it is still there".to_owned())?;
    ensure(router.output("nft list ruleset")?.is_empty(), || "something was left".to_owned())
}

#[test]
fn as_many_rules_as_a_plugin_may_have_are_set() -> Result {
    let mut lab = Lab::new()?;
    let router = lab.netns("router")?;
    let source = |number: u8| Masquerade { source: Prefix::new([10, number, 0, 0].into(), 16), out: None };
    let many: Vec<_> = (0..64).map(source).collect();
    ensure(set(&router, "clat", &many)?.is_none(), || "refused".to_owned())?;
    let rules = router.output("nft list ruleset")?.matches("masquerade").count();
    ensure(rules == 64, || format!("{rules} rules"))
}

#[test]
fn a_table_of_somebody_else_is_not_touched_though_its_name_is_like_ours() -> Result {
    let mut lab = Lab::new()?;
    let router = lab.netns("router")?;
    router.run("nft add table ip portreeve-clat")?;
    router.run("nft add chain ip portreeve-clat own")?;
    let before = router.output("nft list ruleset")?;
    ensure(marks(&router)?.is_empty(), || "it counts as ours".to_owned())?;
    let refused = set(&router, "clat", &wanted())?;
    ensure(refused == Some(17), || format!("EEXIST was expected: {refused:?}"))?;
    ensure(set(&router, "clat", &[])?.is_none(), || "a removal fails".to_owned())?;
    super::same("the ruleset", &before, &router.output("nft list ruleset")?)
}
