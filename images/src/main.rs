//! `cargo xtask`: the few commands that do everything with this repository.
//!
//! Here is only the reading of arguments. Each job has its module: `build` compiles and stages, `demo` and `bench`
//! start programs of `portreeve-tests` on what was staged, `test` runs every test and the rules of `check`. Progress
//! goes to stderr, results to stdout. Exit status: 0 done, 1 failed, 2 wrong usage.

mod bench;
mod build;
mod check;
mod demo;
mod install;
mod metadata;
mod process;
mod test;

use std::process::ExitCode;

/// A result whose error is the one line that the user reads.
type Result<T = ()> = std::result::Result<T, String>;

const HELP: &str = "\
The build driver of Portreeve

Usage: cargo xtask <COMMAND>

Commands:
  build [--release] [--guests]  compile the core and its plugins, stage them in target/stage (or stage-release)
  demo                          build, then run a router and a client in network namespaces and show what happens
  test [FILTER]                 everything CI runs; with FILTER only the tests whose name contains it
  check                         only the quick rules of `test`: directions, head comments, lengths, unsafe, licences
  bench radvd|interfaces|tunnels|translator|firewall
                                measure against Debian's radvd, `ip -batch`, native relays, Debian's TAYGA and unbound,
                                `nft -f`: `name<TAB>value<TAB>unit` on stdout

Example: cargo xtask test rs_flood
`demo`, `test` and `bench` need root (network namespaces) and install missing Debian packages.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if arguments.iter().any(|argument| matches!(*argument, "--help" | "-h" | "help")) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let outcome = match arguments.as_slice() {
        ["build", options @ ..] => match build::Options::parse(options) {
            Some(options) => build::build(options).map(|stage| println!("{}", stage.display())),
            None => return usage("build takes --release and --guests"),
        },
        ["demo"] => demo::demo(),
        ["test"] => test::test(None),
        ["test", filter] if !filter.starts_with('-') => test::test(Some(filter)),
        ["check"] => test::rules(),
        ["bench", "radvd"] => bench::radvd(),
        ["bench", "interfaces"] => bench::interfaces(),
        ["bench", "tunnels"] => bench::tunnels(),
        ["bench", "translator"] => bench::translator(),
        ["bench", "firewall"] => bench::firewall(),
        [] => return usage("a command is missing"),
        [command, ..] => return usage(&format!("`{command}` is no command, or not with these arguments")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}

fn usage(message: &str) -> ExitCode {
    eprintln!("xtask: {message}\n\n{HELP}");
    ExitCode::from(2)
}
