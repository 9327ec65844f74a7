//! `host modules status`: which host runs what, by the reports that hosts write.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use super::compare::Format;
use super::grid::{self, Side};
use super::modules::{Which, pipeline_of, print_lines, short, stage_named, word};
use crate::swap::{PhaseName, Report, SILENT_MS};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host modules status
  host modules status --stage analyzer --format json
  host modules status --all                          hosts that have ended too

A host reports when something changes, and every ten seconds. One of which nothing was heard for thirty is
shown as `silent`: it was killed, or its log is away.")]
pub(super) struct Status {
    #[command(flatten)]
    which: Which,

    /// Show hosts that have ended or are silent, also where others run the stage
    #[arg(long)]
    all: bool,
}

pub(super) fn run(status: &Status, out: &mut dyn Write) -> anyhow::Result<()> {
    let place = status.which.place.find()?;
    let pipeline = pipeline_of(&place)?;
    let only = status.which.stage.as_deref().map(|name| stage_named(pipeline, name)).transpose()?;
    let log = place.read_only()?;
    let mut reports = Report::read(&*log, &Report::topic(&pipeline.name))?;
    reports.retain(|report| only.is_none_or(|stage| stage.name == report.stage));
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
    let is_there = |report: &Report| report.phase != PhaseName::Ended && now_ms - report.at_ms <= SILENT_MS;
    if !status.all {
        let shown: Vec<Report> = reports.iter().filter(|report| is_there(report)).cloned().collect();
        // Of a stage that nobody runs the last that did is shown.
        let mut last: Vec<Report> = Vec::new();
        for report in reports.into_iter().filter(|report| shown.iter().all(|other| other.stage != report.stage)) {
            match last.iter_mut().find(|other| other.stage == report.stage) {
                Some(other) if other.at_ms < report.at_ms => *other = report,
                Some(_) => {}
                None => last.push(report),
            }
        }
        reports = [shown, last].concat();
    }
    let place_of = |name: &str| pipeline.stages.iter().position(|stage| stage.name == name);
    reports.sort_by_key(|report| (place_of(&report.stage), report.host.clone()));
    if status.which.format == Format::Json {
        return print_lines(out, &reports);
    }
    if reports.is_empty() {
        writeln!(out, "no host has run pipeline `{}` in the last day; `host run` does", pipeline.name)?;
        return Ok(());
    }
    let head = ["STAGE", "HOST", "MODULE", "FILE", "PHASE", "OTHER", "WORKERS", "SEEN"].map(|name| (name, Side::Left));
    let rows: Vec<Vec<String>> = reports.iter().map(|report| row(report, now_ms)).collect();
    grid::print(out, &head, &rows)?;
    for report in reports.iter().filter(|report| is_there(report) || report.phase == PhaseName::Ended) {
        print_trial(out, report)?;
    }
    Ok(())
}

fn row(report: &Report, now_ms: i64) -> Vec<String> {
    let age_ms = (now_ms - report.at_ms).max(0);
    let is_silent = report.phase != PhaseName::Ended && age_ms > SILENT_MS;
    let other =
        report.other.as_ref().map_or("-".to_owned(), |other| format!("{} {}", short(&other.module), other.file));
    vec![
        report.stage.clone(),
        report.host.clone(),
        short(&report.module).to_owned(),
        report.file.clone(),
        if is_silent { "silent".to_owned() } else { word(&report.phase) },
        other,
        format!("{} of {}", report.switched, report.workers),
        format!("{} s ago", age_ms / 1000),
    ]
}

/// What a module on trial did, if it did anything.
fn print_trial(out: &mut dyn Write, report: &Report) -> anyhow::Result<()> {
    let Some(other) = report.other.as_ref().filter(|other| other.batches > 0) else { return Ok(()) };
    writeln!(out, "\nstage {}, {}: {} beside the live module", report.stage, report.host, other.file)?;
    writeln!(out, "records    {}", other.candidate.records)?;
    super::differences::print_sides(out, &other.live, &other.candidate)?;
    writeln!(out)?;
    Ok(super::differences::print(out, &other.differences)?)
}
