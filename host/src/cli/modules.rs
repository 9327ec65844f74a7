//! `host modules`: which modules the stages of a pipeline run and ran, and having them run another one.
//!
//! What was is in the pipeline's ledger; what is, in the reports of the hosts that run ([`super::modules_status`]). To
//! change it, this file never talks to a host: on an embedded log it replaces the module's file, which the host watches,
//! and on Kafka it writes to the control topic, which all hosts read ([`super::modules_change`]).

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::bail;

use super::compare::Format;
use super::failure::Usage;
use super::grid::{self, Side};
use super::{modules_change, modules_status, modules_who, place};
use crate::config::{self, Pipeline};
use crate::swap::{Entry, Event, Kept, Ledger};

/// Reasons are cut after so many characters in a table.
const MAX_REASON_CHARS: usize = 80;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host modules status
  host modules deploy new.wasm --stage analyzer
  host modules history --stage analyzer
  host modules rollback analyzer")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show which host runs which module, what is on trial, and what a shadow does.
    Status(modules_status::Status),
    /// List the modules that ran or were tried, and whether one can go back to them.
    List(List),
    /// List what happened to the modules of stages, the newest last.
    History(History),
    /// Name the module that made a record, or handled it.
    Who(modules_who::Who),
    /// Have a stage run a module.
    Deploy(modules_change::Deploy),
    /// Have a stage run a module again that it ran before.
    Rollback(modules_change::Rollback),
    /// Have a stage run its shadow.
    Promote(modules_change::Promote),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host modules list
  host modules list --stage analyzer --format json")]
struct List {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host modules history
  host modules history --stage analyzer --max 5
  host modules history --format json                 an object a line, with digests and offsets in full")]
struct History {
    #[command(flatten)]
    which: Which,

    /// How many at most, of the newest
    #[arg(long, value_name = "N", default_value_t = 50)]
    max: usize,
}

/// Which stages, and how they are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Only this stage
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,

    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,

    #[command(flatten)]
    pub place: place::PlaceArguments,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    match &arguments.command {
        Command::Status(status) => modules_status::run(status, out),
        Command::List(list) => print_list(list, out),
        Command::History(history) => print_history(history, out),
        Command::Who(who) => modules_who::run(who, out),
        Command::Deploy(deploy) => modules_change::deploy(deploy, out),
        Command::Rollback(rollback) => modules_change::rollback(rollback, out),
        Command::Promote(promote) => modules_change::promote(promote, out),
    }
}

/// The pipeline that a command is about.
pub(super) fn pipeline_of(place: &place::Place) -> Result<&Pipeline, Usage> {
    let none = || Usage::new("modules are those of a pipeline").hint("name it with `--pipeline FILE`");
    place.pipeline().ok_or_else(none)
}

/// A stage by its name.
pub(super) fn stage_named<'p>(pipeline: &'p Pipeline, name: &str) -> anyhow::Result<&'p config::Stage> {
    let known: Vec<&str> = pipeline.stages.iter().map(|stage| stage.name.as_str()).collect();
    let none = || {
        Usage::new(format!("pipeline `{}` has no stage `{name}`", pipeline.name))
            .hint(format!("its stages are {}", known.join(", ")))
    };
    Ok(pipeline.stages.iter().find(|stage| stage.name == name).ok_or_else(none)?)
}

/// As much of a digest as people look at.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

impl Which {
    /// The pipeline's ledger, and the stages that are meant.
    pub(super) fn read(&self) -> anyhow::Result<(place::Place, Ledger, Vec<String>)> {
        let place = self.place.find()?;
        let pipeline = pipeline_of(&place)?;
        let stages = match &self.stage {
            Some(name) => vec![stage_named(pipeline, name)?.name.clone()],
            None => pipeline.stages.iter().map(|stage| stage.name.clone()).collect(),
        };
        let ledger = Ledger::read(&*place.read_only()?, &Ledger::topic(&pipeline.name))?;
        Ok((place, ledger, stages))
    }
}

/// A module in a stage.
#[derive(serde::Serialize)]
struct Row<'a> {
    stage: &'a str,
    module: &'a str,
    file: &'a str,
    state: &'static str,
    last_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    kept: bool,
}

fn print_list(list: &List, out: &mut dyn Write) -> anyhow::Result<()> {
    let (place, ledger, stages) = list.which.read()?;
    let kept = Kept::new(pipeline_of(&place)?.modules.clone());
    let mut rows: Vec<Row<'_>> = Vec::new();
    for stage in &stages {
        let live = ledger.live(stage).map(|entry| entry.module.as_str());
        // By module the last that happened to it.
        let mut last: BTreeMap<&str, &Entry> = BTreeMap::new();
        last.extend(ledger.of_stage(stage).map(|entry| (entry.module.as_str(), entry)));
        let mut entries: Vec<&Entry> = last.into_values().collect();
        entries.sort_by_key(|entry| entry.at_ms);
        rows.extend(entries.into_iter().map(|entry| Row {
            stage,
            module: &entry.module,
            file: &entry.file,
            state: if live == Some(&entry.module) { "live" } else { state_of(entry) },
            last_ms: entry.at_ms,
            reason: entry.reason.as_deref(),
            kept: kept.path(&entry.module).exists(),
        }));
    }
    if list.which.format == Format::Json {
        return print_lines(out, &rows);
    }
    if rows.is_empty() {
        bail!("no module has run yet; `host run` runs the pipeline");
    }
    let head = ["STAGE", "MODULE", "FILE", "STATE", "SINCE", "KEPT", "REASON"].map(|name| (name, Side::Left));
    let cells = rows.iter().map(|row| {
        vec![
            row.stage.to_owned(),
            short(row.module).to_owned(),
            grid::one_line(row.file, MAX_REASON_CHARS),
            row.state.to_owned(),
            grid::time(row.last_ms),
            if row.kept { "yes" } else { "no" }.to_owned(),
            grid::one_line(row.reason.unwrap_or_default(), MAX_REASON_CHARS),
        ]
    });
    Ok(grid::print(out, &head, &cells.collect::<Vec<_>>())?)
}

fn state_of(entry: &Entry) -> &'static str {
    match entry.event {
        Event::Live | Event::Stays => "was live",
        Event::Refused => "refused",
        Event::Dropped => "dropped",
        Event::Withdrawn => "withdrawn",
    }
}

fn print_history(history: &History, out: &mut dyn Write) -> anyhow::Result<()> {
    let (_, ledger, stages) = history.which.read()?;
    let entries: Vec<&Entry> = ledger.entries.iter().filter(|entry| stages.contains(&entry.stage)).collect();
    let shown = &entries[entries.len().saturating_sub(history.max)..];
    if history.which.format == Format::Json {
        return print_lines(out, shown);
    }
    if shown.is_empty() {
        bail!("nothing has happened to a module yet; `host run` runs the pipeline");
    }
    let head = ["WHEN", "STAGE", "EVENT", "CAUSE", "MODULE", "FROM", "PARTITION@OFFSET", "REASON"];
    let cells = shown.iter().map(|entry| {
        let fences: Vec<String> = entry.fences.iter().map(|(partition, at)| format!("{partition}@{at}")).collect();
        vec![
            grid::time(entry.at_ms),
            entry.stage.clone(),
            word(&entry.event),
            word(&entry.cause),
            short(&entry.module).to_owned(),
            entry.from.as_deref().map_or("-", short).to_owned(),
            if fences.is_empty() { "-".to_owned() } else { fences.join(" ") },
            grid::one_line(entry.reason.as_deref().unwrap_or_default(), MAX_REASON_CHARS),
        ]
    });
    grid::print(out, &head.map(|name| (name, Side::Left)), &cells.collect::<Vec<_>>())?;
    if shown.len() < entries.len() {
        writeln!(out, "the newest {} of {}; `--max N` shows more", shown.len(), entries.len())?;
    }
    Ok(())
}

/// What a value is called where it is written down.
pub(super) fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// An object a line.
pub(super) fn print_lines(out: &mut dyn Write, rows: &[impl serde::Serialize]) -> anyhow::Result<()> {
    for row in rows {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}
