//! The command line: what was typed, and who does it.
//!
//! Commands that look into a log have a file here; those that run things are in [`crate::command`]. This file is the
//! table of them, and the way out: exit code 0 for done, 1 for failed, 64 for wrong usage or configuration. Only commands
//! print, and only in them errors lose their types.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{build, check, feed, inspect, new, run, test, wit};
use crate::progress::leave_terminal;
use crate::shutdown::Shutdown;

mod advice;
mod compare;
mod dead_letters;
mod differences;
pub(crate) mod failure;
mod grid;
mod logging;
mod modules;
mod modules_change;
mod modules_status;
mod modules_who;
mod out;
pub(crate) mod place;
mod replay;
mod table;
mod topics;
mod topics_describe;
mod topics_manage;
mod topics_read;
pub(crate) mod values;

use failure::Failure;

/// Runs analysis logic on streams of Avro records, as sandboxed WebAssembly modules.
#[derive(Debug, Parser)]
#[command(name = "host", version, about, after_help = EXAMPLES, arg_required_else_help = true, max_term_width = 110)]
struct Arguments {
    #[command(flatten)]
    logging: logging::LogArguments,

    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  host run pipeline.toml                          all of a pipeline, until Ctrl-C
  host topics list                                the topics of the pipeline in this folder
  host topics read products.alerts --until-end    records as JSON lines
  host dead-letters list                          what could not be handled, and why";

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run a pipeline, one stage of it, or a module as a pipe.
    #[command(after_help = "\
Examples:
  host run products/pipeline.toml                                    all of it, until Ctrl-C
  host run --until-end                                               until everything is through
  host run --module modules/analyzer.wasm                            the one stage with this module
  host run --module price-check --watch-source                       the one that is built in this folder, on every change
  host run --set log.path=data/test.db --set stage.analyzer.workers=2
  cat feed.jsonl | host run --module m.wasm --schema product.avsc > out.jsonl

With --watch-source each module that stands where `host build` puts it, or whose stage has the key `source`, is built at the
start and whenever a file of its source is saved. What does not build is told, and the module that runs goes on.

Ctrl-C finishes and commits what is open; a second one quits at once, which loses nothing either.")]
    Run(run::RunArgs),
    /// Check all of a pipeline that can be known without running it.
    #[command(after_help = "\
Examples:
  host check
  host check products/pipeline.toml")]
    Check(check::CheckArgs),
    /// Show what a module takes and answers.
    #[command(after_help = "\
Examples:
  host inspect modules/analyzer.wasm
  host inspect modules/analyzer.wasm --schema schemas/product.avsc")]
    Inspect(inspect::InspectArgs),
    /// Make the folder of a new module for an Avro schema, ready to build.
    #[command(after_help = "\
Examples:
  host new price-check --lang python --schema schemas/product.avsc
  host new trends --lang go --kind analyzer --schema schemas/product.avsc")]
    New(new::NewArgs),
    /// Make a module from its source, with the tools of its language.
    #[command(after_help = "\
Examples:
  host build                                  the module in this folder
  host build discount --output modules/discount.wasm
  host build discount --offline               with the tools that are there

The language is told by the file that the folder has: module.py, module.js, module.ts, module.c, go.mod or Cargo.toml.
Compilers have to be there: go, cargo, or python3 and npm, by which the tools for Python, C and JavaScript are fetched.")]
    Build(build::BuildArgs),
    /// Run a module over test cases, without topics and in virtual time.
    #[command(after_help = "\
Examples:
  host test                                      the module and the cases of this folder
  host test discount.wasm --cases discount/cases --junit out.xml
  host test --bless                              write down what the module answers now
  host test --capture bespoke.avro.product --last 100 --case busy-day --pipeline pipeline.toml

A case is a folder: input.jsonl or input.avro, and what must come of it in expected.jsonl (expected.NAME.jsonl for the output
NAME), dead-letters.jsonl, state-after.bin and stops.txt. docs/testing.md has all of it.")]
    Test(Box<test::TestArgs>),
    /// Write a WIT package for an Avro schema.
    #[command(after_help = "\
Examples:
  host wit schemas/product.avsc > wit/product.wit
  host wit product.avsc --package shop:feed --omit Product.parent")]
    Wit(wit::WitArgs),
    /// Put the records of a file or of the generator into a topic.
    #[command(after_help = "\
Examples:
  host feed generate --count 1000 --to bespoke.avro.product --key id
  host feed generate --count 10 --to -                               JSON lines on standard output
  host feed prices.csv --to bespoke.avro.product --key id
  host feed generate --count 1000000 --to products --key id --brokers localhost:9092,localhost:9093
  host feed prices.csv --to prices --brokers localhost:9092 --registry http://localhost:8081")]
    Feed(feed::FeedArgs),
    /// Look into topics, and make, change or delete them.
    Topics(topics::Arguments),
    /// Look into what could not be handled, and send it again.
    DeadLetters(dead_letters::Arguments),
    /// Look into tables.
    Table(table::Arguments),
    /// Look into the modules of stages, and have them run others while the stream flows.
    Modules(modules::Arguments),
    /// Compare what two modules answer to the records of a topic.
    Compare(compare::Arguments),
}

/// The program: reads the command line, does what it says, tells how it went.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) => return failure::of_usage(&told),
    };
    match logging::start(&arguments.logging).and_then(|()| run(&arguments.command)) {
        Ok(true) => ExitCode::SUCCESS,
        // What failed has been told when it did.
        Ok(false) => ExitCode::FAILURE,
        Err(error) => Failure::of(&error).tell(),
    }
}

/// Does what was typed. False if a part of it failed.
fn run(command: &Command) -> anyhow::Result<bool> {
    let shutdown = Shutdown::new();
    let mut out = out::stdout();
    let done = match command {
        Command::Run(arguments) => run::run(arguments, &listening(&shutdown)?),
        Command::Feed(arguments) => feed::feed(arguments, &mut out, &listening(&shutdown)?),
        Command::Check(arguments) => check::check(arguments, &mut out).map(|()| true),
        Command::Inspect(arguments) => inspect::inspect(arguments, &mut out).map(|()| true),
        Command::New(arguments) => new::new(arguments, &mut out).map(|()| true),
        Command::Build(arguments) => build::build(arguments, &mut out).map(|()| true),
        Command::Test(arguments) => test::test(arguments, &mut out),
        Command::Wit(arguments) => wit::wit(arguments, &mut out).map(|()| true),
        Command::Topics(arguments) => topics::run(arguments, &mut out, &shutdown).map(|()| true),
        Command::DeadLetters(arguments) => dead_letters::run(arguments, &mut out).map(|()| true),
        Command::Table(arguments) => table::run(arguments, &mut out).map(|()| true),
        Command::Modules(arguments) => modules::run(arguments, &mut out).map(|()| true),
        Command::Compare(arguments) => compare::run(arguments, &mut out),
    }?;
    out.flush()?;
    Ok(done)
}

/// Signals ask for a stop from now on; commands that are short are simply ended by them.
fn listening(shutdown: &Shutdown) -> anyhow::Result<Shutdown> {
    shutdown.on_signals(leave_terminal)?;
    Ok(shutdown.clone())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_in_its_help() {
        fn check(command: &clap::Command, path: &str) {
            for inner in command.get_subcommands() {
                check(inner, &format!("{path} {}", inner.get_name()));
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("  {path}")), "`{path} --help` has no example");
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains("What was typed"), "`{path}` does not say what it does");
        }
        check(&Arguments::command(), "host");
    }
}
