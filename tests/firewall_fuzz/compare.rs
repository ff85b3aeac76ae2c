//! What is compared: both rulesets of a policy and the interpreter, packet by packet; and the smallest section that still fails.

use std::collections::BTreeMap;
use std::ops::Range;

use fastrand::Rng;
use portreeve_firewall::compile::{Options, compile};
use portreeve_firewall::config::Config;
use portreeve_firewall::ruleset::Ruleset;
use portreeve_firewall::trace::{Outcome, trace};
use portreeve_tests::lab::{Failure, Lab, Result, ensure};

use crate::generate::{self, Section};
use crate::packets::{self, Crafted, DEVICES};
use crate::place::Place;

/// Of each policy.
pub const PACKETS: u32 = 250;

/// Where both rulesets stand, and a router without one.
struct Places {
    folded: Place,
    linear: Place,
    plain: Place,
    _lab: Lab,
}

impl Places {
    fn new() -> Result<Self> {
        let mut lab = Lab::new()?;
        let mut place = |name: &str| Place::new(&mut lab, name);
        let (folded, linear, plain) = (place("folded")?, place("linear")?, place("plain")?);
        Ok(Self { folded, linear, plain, _lab: lab })
    }
}

/// Parsed and compiled, folded and not.
pub fn rulesets(text: &str) -> Result<[Ruleset; 2]> {
    let refused = |what: &str, complaints: Vec<portreeve_config::Diagnostic>| {
        let errors = complaints.iter().filter(|complaint| complaint.severity == portreeve_config::Severity::Error);
        let told: String = errors.map(|complaint| complaint.render("section", text)).collect();
        Failure::new(format!("{what}:\n{told}"))
    };
    let config = Config::parse(text).map_err(|errors| refused("the section is refused", errors))?.0;
    let devices = DEVICES.map(str::to_owned);
    let compiled = |fold| {
        let compiled = compile(&config, &BTreeMap::new(), &devices, Options { fold, ..Options::default() });
        compiled.map(|(ruleset, _)| ruleset).map_err(|errors| refused("the section is not compiled", errors))
    };
    Ok([compiled(true)?, compiled(false)?])
}

/// What became of packets: how many there were that the kernel itself lets through, and how many of them came out.
#[derive(Clone, Copy, Default)]
struct Tally {
    possible: usize,
    passed: usize,
}

/// Fails unless all agree on a policy. With states the interpreter is not asked: it does not follow connections.
fn judge(places: &Places, section: &Section, packets: &[Crafted], states: bool) -> Result<Tally> {
    let text = section.text();
    let [folded, linear] = rulesets(&text)?;
    for (place, ruleset) in [(&places.folded, &folded), (&places.linear, &linear)] {
        place.clear()?;
        place.install(ruleset)?;
    }
    let (with, without, plain) =
        (places.folded.pass(packets)?, places.linear.pass(packets)?, places.plain.pass(packets)?);
    let mut tally = Tally::default();
    for (number, packet) in packets.iter().enumerate() {
        let (with, without, plain) = (with[number], without[number], plain[number]);
        tally.possible += usize::from(plain.is_some());
        tally.passed += usize::from(with.is_some());
        ensure(plain.is_none() || plain == Some(packet.exit), || {
            format!("{packet:?} came out of {plain:?} without rules")
        })?;
        ensure(with == without, || {
            format!(
                "packet {number} came out of {with:?} folded, of {without:?} rule by rule: {:?}\n{packet:02x?}",
                packet.seen
            )
        })?;
        // A later fragment alone is held back where the ruleset has fragments put together; elsewhere the kernel takes what
        // stands in it for ports. The interpreter speaks of packets.
        if states || packet.seen.fragment != 0 {
            continue;
        }
        let (told, told_linear) = (trace(&folded, &packet.seen), trace(&linear, &packet.seen));
        let expected = (told.verdict == Outcome::Accept).then_some(packet.exit).filter(|_| plain.is_some());
        ensure(with == expected && told.verdict == told_linear.verdict, || {
            let steps: Vec<String> = told.steps.iter().map(|step| format!("{}: {}", step.chain, step.what)).collect();
            format!(
                "packet {number} came out of {with:?}; the interpreter says {:?}, and {:?} of the linear rules: {:?}\n{}",
                told.verdict,
                told_linear.verdict,
                packet.seen,
                steps.join("\n")
            )
        })?;
    }
    Ok(tally)
}

/// The smallest section that still fails, by leaving out what does not matter.
fn smaller(places: &Places, section: &Section, packets: &[Crafted], states: bool) -> (Section, Failure) {
    let mut best = section.clone();
    let mut why = judge(places, &best, packets, states).err().unwrap_or_else(|| Failure::new("it does not fail again"));
    for list in 0..best.lists().len() {
        let mut at = best.lists()[list].len();
        while at > 0 {
            at -= 1;
            let mut tried = best.clone();
            tried.lists()[list].remove(at);
            if let Err(failure) = judge(places, &tried, packets, states)
                && failure.to_string().starts_with("packet ")
            {
                (best, why) = (tried, failure);
            }
        }
    }
    (best, why)
}

/// Compares on a policy for each seed.
pub fn compare(seeds: Range<u64>, states: bool) -> Result {
    let places = Places::new()?;
    let mut sum = Tally::default();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let mut random = Rng::with_seed(seed);
        let section = generate::section(&mut random, states);
        let packets: Vec<Crafted> = (0..PACKETS).map(|number| packets::random(&mut random, number, !states)).collect();
        match judge(&places, &section, &packets, states) {
            Ok(tally) => {
                sum.possible += tally.possible;
                sum.passed += tally.passed;
            }
            Err(failure) if failure.to_string().starts_with("packet ") => {
                let (section, failure) = smaller(&places, &section, &packets, states);
                return Err(Failure::new(format!("seed {seed}: {failure}")).with("a section", &section.text()));
            }
            Err(failure) => {
                return Err(Failure::new(format!("seed {seed}: {failure}")).with("the section", &section.text()));
            }
        }
    }
    let all = usize::try_from(count).unwrap_or(0) * PACKETS as usize;
    eprintln!("{count} policies, {all} packets: the kernel forwards {}, {} came out", sum.possible, sum.passed);
    ensure(sum.possible * 10 >= all * 9, || {
        format!("the kernel itself lets only {} of {all} packets pass", sum.possible)
    })?;
    // Neither everything nor nothing: the rules decide.
    ensure(sum.passed * 10 >= sum.possible && sum.passed * 10 <= sum.possible * 9, || {
        format!("{} of {} packets came out", sum.passed, sum.possible)
    })
}
