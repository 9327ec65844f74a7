//! Log lines on standard error: text for people, JSON for programs, never mixed into live progress.

use std::env::{self, VarError};
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use indicatif::ProgressDrawTarget;
use tracing_subscriber::EnvFilter;

use super::failure::Usage;
use crate::progress::bars;

/// The variable that filters log lines, as `RUST_LOG` does elsewhere: `debug`, `host=debug,wasmtime=info`.
const FILTER: &str = "BESPOKE_LOG";

/// What is shown unless it is set. What the driver of Cassandra says of nodes that are away is told by those who wait for them.
const DEFAULT: &str = "info,scylla=off";

/// What is said about logging on every command line.
#[derive(Debug, clap::Args)]
pub(super) struct LogArguments {
    /// How log lines are written; BESPOKE_LOG filters them, such as BESPOKE_LOG=debug
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Log lines start.
pub(super) fn start(arguments: &LogArguments) -> anyhow::Result<()> {
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter(env::var(FILTER))?).with_writer(|| Beside).with_target(false);
    let started = match arguments.log_format {
        Format::Json => {
            // Whoever reads JSON reads nothing else.
            bars().set_draw_target(ProgressDrawTarget::hidden());
            builder.json().flatten_event(true).with_span_list(false).try_init()
        }
        Format::Text => {
            let colours = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
            builder.with_ansi(colours).try_init()
        }
    };
    // It fails where someone else in the process has set up logging, whose lines are as good.
    drop(started);
    Ok(())
}

fn filter(variable: Result<String, VarError>) -> Result<EnvFilter, Usage> {
    let wanted = match variable {
        Ok(text) if !text.trim().is_empty() => text,
        Ok(_) | Err(VarError::NotPresent) => DEFAULT.to_owned(),
        Err(VarError::NotUnicode(_)) => return Err(Usage::new(format!("{FILTER} is not UTF-8"))),
    };
    EnvFilter::try_new(&wanted).map_err(|error| {
        Usage::new(format!("{FILTER}={wanted}: {error}"))
            .hint(format!("for example {FILTER}=debug or {FILTER}=host=debug"))
    })
}

/// Writes lines to standard error while live progress is out of the way.
struct Beside;

impl Write for Beside {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        bars().suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_told_and_not_ignored() {
        assert!(filter(Ok("host=loud".to_owned())).is_err());
        assert_eq!(filter(Ok(String::new())).expect("the default").to_string(), "scylla=off,info");
        assert_eq!(filter(Err(VarError::NotPresent)).expect("the default").to_string(), "scylla=off,info");
        assert_eq!(filter(Ok("host=debug".to_owned())).expect("a filter").to_string(), "host=debug");
    }
}
