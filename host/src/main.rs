//! The program `host`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use host::command::{check, feed, inspect, run, wit};
use host::shutdown::Shutdown;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(name = "host", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Inspect(inspect::InspectArgs),
    Wit(wit::WitArgs),
    Feed(feed::FeedArgs),
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let shutdown = Shutdown::new();
    let _ = shutdown.on_signals();
    let mut out = std::io::stdout().lock();
    let done = match Cli::parse().command {
        Command::Run(args) => {
            drop(out);
            run::run(&args, &shutdown)
        }
        Command::Check(args) => check::check(&args, &mut out).map(|()| true),
        Command::Inspect(args) => inspect::inspect(&args, &mut out).map(|()| true),
        Command::Wit(args) => wit::wit(&args, &mut out).map(|()| true),
        Command::Feed(args) => feed::feed(&args, &mut out, &shutdown),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            tracing::error!("{e:#}");
            ExitCode::FAILURE
        }
    }
}
