//! Tables of nf_tables that a plugin changes and reads: what its grant does not name is neither sent nor shown, and what the
//! kernel has against a batch comes back.

use std::fmt::Write as _;
use std::sync::Arc;

use portreeve::grants::{Grants, Need};
use portreeve_config::NamePattern;
use portreeve_nftables::constants::NLM_F_EXCL;
use portreeve_nftables::{
    Batch, Decoded, DeleteChain, DeleteTable, Endian, Family, NewChain, NewTable, Query, decode, messages, request,
};
use portreeve_tests::lab::{Failure, Netfilter, Netns, Result, ensure};

use super::inside::{Place, Probe, grants};

/// linux/errno.h.
const EPERM: u32 = 1;
const ENOENT: u32 = 2;
const EEXIST: u32 = 17;
const ERESTART: u32 = 85;

fn needs() -> Vec<Need> {
    vec![Need::NfTables(NamePattern::new("inet/probe*").expect("a pattern"))]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A whole batch.
fn batch(generation: Option<u32>, fill: impl FnOnce(&mut Batch)) -> Vec<u8> {
    let mut batch = Batch::new(Endian::NATIVE);
    batch.begin(generation);
    fill(&mut batch);
    batch.end(0);
    batch.bytes().to_vec()
}

fn table(batch: &mut Batch, family: Family, name: &str) {
    batch.push(&NewTable { family, name, flags: 0, comment: None }, 0);
}

fn chain(batch: &mut Batch, table: &str, name: &str) {
    batch.push(&NewChain { family: Family::Inet, table, name, base: None, comment: None }, 0);
}

/// As the grant names them, of the namespace.
fn tables(netns: &Netns) -> Result<Vec<String>> {
    Ok(netns.output("nft list tables")?.lines().map(str::to_owned).collect())
}

async fn commit(probe: &Probe, batch: &[u8]) -> Result<Vec<String>> {
    probe.call(&format!("netfilter commit {}", hex(batch))).await
}

/// Sequence and errno of each reason.
fn reasons(lines: &[String]) -> Vec<(u32, u32)> {
    let two = |line: &String| {
        let mut words = line.split_whitespace().map(str::parse);
        Some((words.next()?.ok()?, words.next()?.ok()?))
    };
    lines.iter().filter_map(two).collect()
}

#[test]
fn a_batch_is_put_in_force_as_a_whole_or_its_mistakes_come_back_by_message() -> Result {
    let place = Place::new()?;
    place.run(&needs(), async |probe| {
        let order = if cfg!(target_endian = "little") { "Endian::Little" } else { "Endian::Big" };
        probe.expect("netfilter order", &[order]).await?;
        let whole = batch(None, |batch| {
            table(batch, Family::Inet, "probe");
            chain(batch, "probe", "one");
        });
        // Checked, it is not there; committed, it is.
        probe.expect(&format!("netfilter check {}", hex(&whole)), &[]).await?;
        ensure(tables(&place.router)?.is_empty(), || "a check made something".to_owned())?;
        ensure(commit(&probe, &whole).await?.is_empty(), || "a legal batch is refused".to_owned())?;
        ensure(tables(&place.router)? == ["table inet probe"], || "no table was made".to_owned())?;
        // The third and the fourth message are wrong, the second is right and is not done.
        let mistaken = batch(None, |batch| {
            chain(batch, "probe", "two");
            batch.push(&DeleteChain { family: Family::Inet, table: "probe", name: "nowhere" }, 0);
            batch.push(&NewTable { family: Family::Inet, name: "probe", flags: 0, comment: None }, NLM_F_EXCL);
        });
        for word in ["check", "commit"] {
            let told = probe.call(&format!("netfilter {word} {}", hex(&mistaken))).await?;
            ensure(reasons(&told) == [(3, ENOENT), (4, EEXIST)], || format!("{word}: {told:?}"))?;
            // Where: the attribute with the name, behind both headers.
            ensure(told[0].split_whitespace().nth(2) != Some("-"), || format!("{word}: no place: {told:?}"))?;
        }
        let listed = place.router.output("nft list ruleset")?;
        ensure(listed.contains("chain one") && !listed.contains("chain two"), || listed)
    })
}

#[test]
fn what_is_beyond_the_grant_is_denied_and_nothing_of_the_batch_is_sent() -> Result {
    let place = Place::new()?;
    place.router.run("nft add table inet mine")?;
    place.router.run("nft add table ip probe")?;
    let before = place.router.output("nft list ruleset")?;
    let first = |batch: &mut Batch| table(batch, Family::Inet, "probe");
    let and = |bad: &dyn Fn(&mut Batch)| {
        batch(None, |batch| {
            first(batch);
            bad(batch);
        })
    };
    // The second message of this batch begins behind BEGIN; its type is at 4, its family at 16, its only attribute at 20.
    let legal = batch(None, first);
    let altered = |at: usize, value: &[u8]| {
        let mut bytes = legal.clone();
        bytes[20 + at..20 + at + value.len()].copy_from_slice(value);
        bytes
    };
    let kind = |subsystem: u16, operation: u16| (subsystem << 8 | operation).to_ne_bytes();
    let cases: [(&str, Vec<u8>); 10] = [
        ("another table", and(&|batch| table(batch, Family::Inet, "mine"))),
        ("a name that begins otherwise", and(&|batch| table(batch, Family::Inet, "prob"))),
        ("another family", and(&|batch| table(batch, Family::Ip, "probe"))),
        ("no family: all of them", and(&|batch| table(batch, Family::Unspec, "probe"))),
        (
            "a removal of another",
            and(&|batch| {
                let _ = batch.push(&DeleteTable { family: Family::Inet, name: "mine" }, 0);
            }),
        ),
        // NFTA_TABLE_HANDLE in place of the name, and an attribute that nobody knows.
        ("a handle in place of a name", altered(22, &4_u16.to_ne_bytes())),
        ("no name", altered(22, &99_u16.to_ne_bytes())),
        ("another subsystem: connection tracking", altered(4, &kind(1, 2))),
        ("another subsystem: ipset", altered(4, &kind(6, 2))),
        ("a question", altered(4, &kind(10, 1))),
    ];
    place.run(&needs(), async |probe| {
        for (what, bytes) in &cases {
            for word in ["commit", "check"] {
                let told = probe.call(&format!("netfilter {word} {}", hex(bytes))).await?;
                ensure(told == ["denied"], || format!("{what}, {word}: {told:?}"))?;
            }
            super::same(what, &before, &place.router.output("nft list ruleset")?)?;
        }
        // What is no batch at all: cut off, without its beginning or its end, two of them, one in the other.
        let (begin, end) = (legal[..20].to_vec(), legal[legal.len() - 20..].to_vec());
        let message = legal[20..legal.len() - 20].to_vec();
        for (what, bytes) in [
            ("cut off", legal[..legal.len() - 7].to_vec()),
            ("no beginning", [message.clone(), end.clone()].concat()),
            ("no end", [begin.clone(), message.clone()].concat()),
            ("two", [legal.clone(), legal.clone()].concat()),
            ("one in the other", [begin, legal.clone(), end].concat()),
        ] {
            let told = commit(&probe, &bytes).await?;
            ensure(told == ["invalid-argument"] || told == ["denied"], || format!("{what}: {told:?}"))?;
            super::same(what, &before, &place.router.output("nft list ruleset")?)?;
        }
        ensure(commit(&probe, &legal).await?.is_empty(), || "the legal one is refused".to_owned())
    })?;
    // Without any table granted, there is nothing to ask either.
    place.run(&[], async |probe| {
        probe.expect("netfilter generation", &["denied"]).await?;
        probe.expect("netfilter watch", &["denied"]).await?;
        probe.expect("netfilter connections 4", &["denied"]).await?;
        let all = request(Endian::NATIVE, 1, &Query::Tables { family: Family::Unspec });
        probe.expect(&format!("netfilter dump {}", hex(&all)), &["denied"]).await?;
        ensure(commit(&probe, &legal).await? == ["denied"], || "a batch is not denied".to_owned())
    })
}

#[test]
fn a_generation_that_has_passed_is_told_at_the_beginning_of_the_batch() -> Result {
    let place = Place::new()?;
    place.run(&needs(), async |probe| {
        let told = probe.call("netfilter generation").await?;
        let generation: u32 = told[0].parse().map_err(|_| Failure::new(format!("{told:?}")))?;
        place.router.run("nft add table ip other")?;
        let bound = |generation| batch(Some(generation), |batch| table(batch, Family::Inet, "probe"));
        let told = commit(&probe, &bound(generation)).await?;
        ensure(reasons(&told) == [(1, ERESTART)], || format!("{told:?}"))?;
        ensure(tables(&place.router)? == ["table ip other"], || "it was done".to_owned())?;
        ensure(commit(&probe, &bound(generation + 1)).await?.is_empty(), || "the present one is refused".to_owned())?;
        probe.expect("netfilter generation", &[&(generation + 2).to_string()]).await
    })
}

#[test]
fn thousands_of_mistakes_in_one_batch_are_told_in_part_and_the_next_batch_is_none_the_worse() -> Result {
    const MISTAKES: usize = 30_000;
    let place = Place::new()?;
    place.run(&needs(), async |probe| {
        let legal = batch(None, |batch| table(batch, Family::Inet, "probe"));
        ensure(commit(&probe, &legal).await?.is_empty(), || "a legal batch is refused".to_owned())?;
        let mistaken = batch(None, |batch| {
            for number in 0..MISTAKES {
                let name = format!("nowhere-{number}");
                batch.push(&DeleteChain { family: Family::Inet, table: "probe", name: &name }, 0);
            }
        });
        let told = commit(&probe, &mistaken).await?;
        let some = reasons(&told);
        let are_first =
            some.iter().enumerate().all(|(at, (sequence, errno))| *sequence as usize == at + 2 && *errno == ENOENT);
        let is_told = (!some.is_empty() && some.len() == told.len() && some.len() < MISTAKES && are_first)
            || told == ["queue-full"];
        ensure(is_told, || format!("{} lines, {:?} …", told.len(), told.first()))?;
        // Nothing of that comes up again.
        let next = batch(None, |batch| chain(batch, "probe", "one"));
        ensure(commit(&probe, &next).await?.is_empty(), || "an earlier answer is taken for a later one's".to_owned())?;
        ensure(place.router.output("nft list ruleset")?.contains("chain one"), || "it is not in force".to_owned())
    })
}

#[test]
fn only_granted_tables_are_shown_and_told_of() -> Result {
    let place = Place::new()?;
    place.router.run("nft add table inet mine")?;
    place.router.run("nft add chain inet mine secret")?;
    place.router.run("nft add table inet probe")?;
    place.router.run("nft add chain inet probe open")?;
    let netfilter = Netfilter::open(&place.router)?;
    let ask = |query: &Query<'_>| format!("netfilter dump {}", hex(&request(Endian::NATIVE, 1, query)));
    place.run(&needs(), async |probe| {
        for (table, expected) in [(Some("probe"), "ok"), (Some("mine"), "denied"), (None, "ok")] {
            probe.expect(&ask(&Query::Chains { family: Family::Inet, table }), &[expected]).await?;
        }
        // The last of them was of all tables.
        let mut names = Vec::new();
        for line in probe.call("netfilter read").await? {
            let byte = |at: usize| u8::from_str_radix(&line[at..at + 2], 16).unwrap_or(0);
            let bytes: Vec<u8> = (0..line.len()).step_by(2).map(byte).collect();
            for message in messages(Endian::NATIVE, &bytes).map_while(std::result::Result::ok) {
                if let Some(Decoded::Chain(chain)) = decode(&message) {
                    names.push(format!("{} {}", chain.table, chain.name));
                }
            }
        }
        ensure(names == ["probe open"], || format!("{names:?}"))?;
        // One datagram of two requests is none.
        let one = request(Endian::NATIVE, 1, &Query::Tables { family: Family::Inet });
        let two = hex(&[one.clone(), one].concat());
        probe.expect(&format!("netfilter dump {two}"), &["invalid-argument"]).await?;

        probe.expect("netfilter watch", &["ok"]).await?;
        let own = batch(None, |batch| chain(batch, "probe", "two"));
        ensure(commit(&probe, &own).await?.is_empty(), || "refused".to_owned())?;
        let change = probe.call("netfilter change").await?;
        ensure(change[0] == "true" && change[1] == "inet/probe" && change[3] == "false", || format!("{change:?}"))?;
        // Others' changes are told, of others' tables only that there was one.
        netfilter.commit(&batch(None, |batch| chain(batch, "probe", "three")))?;
        let change = probe.call("netfilter change").await?;
        ensure(change[0] == "false" && change[1] == "inet/probe", || format!("{change:?}"))?;
        netfilter.commit(&batch(None, |batch| chain(batch, "mine", "four")))?;
        let change = probe.call("netfilter change").await?;
        ensure(change[0] == "false" && change[1].is_empty(), || format!("{change:?}"))?;
        let take = || {
            probe.instance.set_grants(Arc::new(Grants::none()));
            netfilter.commit(&batch(None, |batch| chain(batch, "probe", "five")))
        };
        probe.expect_after("netfilter change", take, &["denied"]).await?;
        probe.instance.set_grants(Arc::new(grants(&needs())));
        Ok(())
    })
}

#[test]
fn a_table_of_another_owner_cannot_be_changed_and_the_kernel_says_so() -> Result {
    let place = Place::new()?;
    let owner = Netfilter::open(&place.router)?;
    owner.commit(&batch(None, |batch| {
        /// NFT_TABLE_F_OWNER.
        const OWNER: u32 = 2;
        batch.push(&NewTable { family: Family::Inet, name: "probe", flags: OWNER, comment: None }, 0);
    }))?;
    place.run(&needs(), async |probe| {
        let told = commit(&probe, &batch(None, |batch| chain(batch, "probe", "one"))).await?;
        ensure(reasons(&told) == [(2, EPERM)], || format!("{told:?}"))
    })
}
