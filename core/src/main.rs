//! The `portreeve` program: arguments, logging, then hand over. What the commands do is in the library.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use portreeve::commands::{Failed, ask, check, import, plugin};
use portreeve::config::LogLevel;
use portreeve::runtime;
use portreeve::runtime::options::Options;
use portreeve::stores::logs::LogStore;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The init-side component of a router appliance: one file, every feature a sandboxed plugin.
#[derive(Parser)]
#[command(version, after_help = "Example: portreeve check --config /flash/router.ron && portreeve status")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the router, in the foreground. SIGHUP reads router.ron again, SIGTERM winds up.
    #[command(after_help = "Example: portreeve run --config router.ron --plugins ./plugins --state /tmp/portreeve")]
    Run(Files),
    /// Validate router.ron and plan everything; touches nothing. Exit code 1 with every diagnostic.
    #[command(after_help = "Example: portreeve check --config router.ron")]
    Check(Files),
    /// How the core and its plugins are, or what one plugin says of itself.
    #[command(after_help = "Example: portreeve status radvd lan0")]
    Status {
        /// The plugin's name in router.ron.
        plugin: Option<String>,
        /// What to ask it; each plugin has its own words, none asks for the overview.
        words: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        files: Files,
    },
    /// The log of the core and of all plugins, or of one.
    #[command(after_help = "Example: portreeve logs radvd -f")]
    Logs {
        /// The plugin's name in router.ron.
        plugin: Option<String>,
        /// Go on with what comes.
        #[arg(short, long)]
        follow: bool,
        #[command(flatten)]
        files: Files,
    },
    /// All figures, as OpenMetrics text.
    #[command(after_help = "Example: portreeve metrics | grep radvd")]
    Metrics(Files),
    /// Turn foreign configuration into a router.ron, on stdout; what needs attention goes to stderr, with its line.
    #[command(after_help = "Examples:\n  portreeve import interfaces /etc/network/interfaces > router.ron\n  \
        ip6tables-save > rules.v6 && portreeve import ip6tables rules.v6 > firewall.ron")]
    Import {
        /// Whose configuration it is.
        format: import::Format,
        /// The file.
        file: PathBuf,
    },
    /// Look at components.
    #[command(subcommand, after_help = "Example: portreeve plugin inspect radvd")]
    Plugin(Plugin),
}

#[derive(Subcommand)]
enum Plugin {
    /// The components of the image and of router.ron.
    #[command(after_help = "Example: portreeve plugin list")]
    List(Files),
    /// Who a component is, what it imports, and the most it may ever need.
    #[command(after_help = "Example: portreeve plugin inspect ./acme-ddns.wasm")]
    Inspect {
        /// A file, or the name of a plugin in router.ron or in the image.
        which: String,
        #[command(flatten)]
        files: Files,
    },
}

/// Where things are. Each has a default.
#[derive(Args)]
struct Files {
    /// router.ron [default: /flash/router.ron]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Components of the image [default: /lib/portreeve/plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// What may be lost at power-off [default: /run/portreeve]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// What must last: key, compiled code, values [default: `portreeve` beside router.ron]
    #[arg(long, value_name = "DIR")]
    flash: Option<PathBuf>,
    /// The control socket [default: control.sock in the state directory]
    #[arg(long, value_name = "SOCK")]
    control: Option<PathBuf>,
}

impl Files {
    fn options(self) -> Options {
        Options::new(self.config, self.plugins, self.state, self.flash, self.control)
    }
}

fn main() -> ExitCode {
    match hand_over(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn hand_over(command: Command) -> Result<bool, Failed> {
    // Commands that ask or check are quiet; the daemon's level comes from router.ron.
    let level = if matches!(command, Command::Run(_)) { LogLevel::Info } else { LogLevel::Warn };
    let logs = LogStore::new(level, true);
    tracing_subscriber::registry().with(logs.layer()).init();
    let done = obey(command, &logs);
    logs.flush();
    done
}

fn obey(command: Command, logs: &LogStore) -> Result<bool, Failed> {
    match command {
        Command::Run(files) => Ok(runtime::run(files.options(), logs.clone()).map(|()| true)?),
        Command::Check(files) => check::check(&files.options(), logs),
        Command::Status { plugin, words, json, files } => {
            ask::status(&files.options().control, plugin.as_deref(), &words, json)
        }
        Command::Logs { plugin, follow, files } => ask::logs(&files.options().control, plugin.as_deref(), follow),
        Command::Import { format, file } => import::import(format, &file),
        Command::Metrics(files) => ask::metrics(&files.options().control),
        Command::Plugin(Plugin::List(files)) => plugin::list(&files.options(), logs),
        Command::Plugin(Plugin::Inspect { which, files }) => plugin::inspect(&files.options(), &which, logs),
    }
}
