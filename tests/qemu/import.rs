//! The imported files that need what the kernel of the machine that tests may lack, each in a namespace of one guest.

use std::fs;
use std::path::PathBuf;

use portreeve_tests::lab::{Failure, Result, ensure, kernel_facts};
use portreeve_tests::qemu::{beside_tests, section};

const MODULES: [&str; 8] = ["8021q", "bonding", "ip_gre", "ip6_gre", "ip6_tunnel", "sit", "tun", "bridge"];

/// A directory of `tests/import`.
struct Fixture {
    name: String,
    ron: String,
    links: Vec<String>,
    facts: String,
}

fn fixtures() -> Vec<Fixture> {
    let entries = fs::read_dir(beside_tests("import")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let fixture = |path: PathBuf| {
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap();
        let links = read("links.txt").split_whitespace().map(str::to_owned).collect();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        Fixture { name, ron: read("expected.ron"), links, facts: read("kernel.txt") }
    };
    paths.into_iter().filter(|path| path.join("needs.txt").exists()).map(fixture).collect()
}

/// What is asked for one fact, as `kernel_facts` does.
fn questions(fixture: &Fixture) -> Vec<String> {
    let mut all = ["ip -j addr show", "ip -j -4 route show table all", "ip -j -6 route show table all"]
        .map(str::to_owned)
        .to_vec();
    all.push("ip -j -d link show".to_owned());
    let sysctls = fixture.facts.lines().filter_map(|fact| fact.strip_prefix("sysctl "));
    all.extend(sysctls.filter_map(|fact| Some(format!("cat /proc/sys/{}", fact.split_whitespace().next()?))));
    all
}

fn script(fixtures: &[Fixture]) -> String {
    let mut script = String::new();
    for Fixture { name, links, .. } in fixtures {
        script += &format!("space {name}\n");
        for link in links {
            script += &format!("ip -n {name} link add {link} type veth peer name x-{link}\n");
            script += &format!("ip -n {name} link set x-{link} up\n");
        }
        script += &format!("core {name} {name}\n");
    }
    for fixture in fixtures {
        let name = &fixture.name;
        // The last that comes is an address or a tunnel; the rest is looked at afterwards, once.
        for fact in fixture.facts.lines() {
            script += &match fact.split_whitespace().collect::<Vec<_>>()[..] {
                ["address", link, address] => {
                    format!("within 60 shows '{address}' ip -n {name} addr show dev {link}\n")
                }
                ["tunnel" | "link", link, ..] => format!("within 60 ip -n {name} link show dev {link}\n"),
                _ => String::new(),
            };
        }
        for question in questions(fixture) {
            script += &format!("echo '== {name}: {question}'\nip netns exec {name} {question}\n");
        }
    }
    script + "echo '== end'\n"
}

#[test]
fn what_was_imported_for_kinds_of_links_that_are_modules_is_what_the_kernel_then_holds() -> Result {
    let fixtures = fixtures();
    ensure(fixtures.len() >= 4, || format!("only {} fixtures need modules", fixtures.len()))?;
    let configurations: Vec<_> = fixtures.iter().map(|fixture| (&*fixture.name, &*fixture.ron)).collect();
    let output = super::run(&MODULES, &configurations, &script(&fixtures))?;
    let mut unmet = Vec::new();
    for fixture in &fixtures {
        let answer = |question: &str| section(&output, &format!("{}: {question}", fixture.name)).map(str::to_owned);
        let of_this = kernel_facts::unmet(&fixture.facts, answer)?;
        unmet.extend(of_this.into_iter().map(|fact| format!("{}: {fact}", fixture.name)));
    }
    if unmet.is_empty() { Ok(()) } else { Err(Failure::new(unmet.join("\n"))) }
}
