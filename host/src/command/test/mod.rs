//! `host test`: a module over cases, without topics and in virtual time.
//!
//! ```text
//! folder ── case, input ──> Case ── run, session ──> Outcome ── expect, diff ──> what differs ──> the report, JUnit XML
//! topic ── capture ──> folder                                                └─ bless ──> folder
//! ```
//!
//! A case runs through the same worker, loop and stage as in a pipeline; only the session is another.

mod capture;
mod case;
mod diff;
mod expect;
mod input;
mod junit;
mod project;
mod run;
mod session;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::sandbox;
use crate::cli::failure::{Usage, causes};
use crate::cli::place::PlaceArguments;
use crate::module::{Limits, Module, THREAD_STACK_BYTES, VirtualTime};
use case::Case;
use junit::Report;
use project::Project;

/// What was typed.
#[derive(clap::Args, Debug)]
pub struct TestArgs {
    /// A module, or the folder of its project [default: this folder]
    pub target: Option<PathBuf>,
    /// The module, where the folder does not tell
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// The folder of the cases, or of one case [default: `cases` in the project]
    #[arg(long, value_name = "DIR")]
    pub cases: Option<PathBuf>,
    /// Only the case of this name; again for more. With `--capture`, the name of the new case
    #[arg(long, value_name = "NAME")]
    pub case: Vec<String>,
    /// Write what the module answers to the files of what is expected
    #[arg(long)]
    pub bless: bool,
    /// Also write the outcome as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Make a case of the newest records of this topic, instead of running cases; with `--bless` it is run too
    #[arg(long, value_name = "TOPIC")]
    pub capture: Option<String>,
    /// How many records to capture
    #[arg(long, value_name = "N", default_value_t = 100, requires = "capture")]
    pub last: usize,
    /// Capture from this partition only
    #[arg(long, value_name = "N", requires = "capture")]
    pub partition: Option<u32>,
    /// Where the topic is
    #[command(flatten, next_help_heading = "Where the topic of --capture is")]
    pub(crate) place: PlaceArguments,
}

/// Does what was typed. False if a case failed.
///
/// # Errors
/// If the module or a case cannot be used.
pub fn test(args: &TestArgs, out: &mut dyn Write) -> Result<bool> {
    let tested = capture_or_run(args, out);
    // The report of an earlier run would tell that all is well.
    if let (Err(error), Some(path)) = (&tested, &args.junit) {
        let why = causes(error.chain()).join("\nbecause: ");
        if let Err(error) = junit::write_error(path, &why) {
            tracing::warn!("{error:#}");
        }
    }
    tested
}

fn capture_or_run(args: &TestArgs, out: &mut dyn Write) -> Result<bool> {
    let project = Project::find(args.target.as_deref(), args.module.as_deref(), args.cases.as_deref())?;
    if let Some(topic) = &args.capture {
        let name = match args.case.as_slice() {
            [] => "captured",
            [one] => one,
            _ => return Err(Usage::new("`--capture` makes one case, and several `--case` were given").into()),
        };
        let folder = project.cases.join(name);
        capture::capture(&args.place, topic, args.partition, args.last, &folder, out)?;
        if !args.bless {
            writeln!(out, "`host test --bless --case {name}` writes what the module answers to them")?;
            return Ok(true);
        }
        return run_all(&project, &[Case::read(&folder)?], args, out);
    }
    let mut folders = case::folders(&project.cases)?;
    if !args.case.is_empty() {
        let name = |folder: &Path| folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let known: Vec<String> = folders.iter().filter_map(|folder| name(folder)).collect();
        if let Some(other) = args.case.iter().find(|wanted| !known.contains(wanted)) {
            let what = format!("there is no case `{other}` in `{}`", project.cases.display());
            return Err(Usage::new(what).hint(format!("it has {}", known.join(", "))).into());
        }
        folders.retain(|folder| name(folder).is_some_and(|name| args.case.contains(&name)));
    }
    let cases = folders.iter().map(|folder| Case::read(folder)).collect::<Result<Vec<_>>>()?;
    run_all(&project, &cases, args, out)
}

/// Runs the cases of a folder over a module that sees this time, and tells of each. False if one failed.
///
/// # Errors
/// If a case cannot be read, or the module does not fit its schemas.
pub fn run_cases(module: &Module, time: &VirtualTime, cases: &Path, out: &mut dyn Write) -> Result<bool> {
    let cases = case::folders(cases)?.iter().map(|folder| Case::read(folder)).collect::<Result<Vec<_>>>()?;
    tell(module, &reports(module, time, &cases, false)?, out)
}

/// Runs cases one after the other, and tells of each.
fn run_all(project: &Project, cases: &[Case], args: &TestArgs, out: &mut dyn Write) -> Result<bool> {
    let time = VirtualTime::default();
    let module = Module::load(&sandbox()?.within(time.clone()), project.module()?, Limits::default())?;
    let reports = reports(&module, &time, cases, args.bless)?;
    let is_good = tell(&module, &reports, out)?;
    if let Some(path) = &args.junit {
        let reports: Vec<Report> = reports.into_iter().map(Reported::into_report).collect();
        junit::write(path, module.name(), &reports)?;
    }
    Ok(is_good)
}

fn reports(module: &Module, time: &VirtualTime, cases: &[Case], bless: bool) -> Result<Vec<Reported>> {
    std::thread::scope(|scope| {
        let work = || cases.iter().map(|case| report(module, case, time, bless)).collect();
        // Modules may use more stack than the main thread is sure to have.
        let thread = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| anyhow!("the worker panicked; this is a bug of the host"))?
    })
}

/// Tells of cases that have run. False if one failed.
fn tell(module: &Module, reports: &[Reported], out: &mut dyn Write) -> Result<bool> {
    let paint = Paint { is_on: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() };
    for report in reports {
        let (word, color) = match (&report.failure, &report.blessed[..]) {
            (Some(_), _) => ("FAILED", RED),
            (None, []) => ("ok", GREEN),
            (None, _) => ("written", YELLOW),
        };
        let files = report.blessed.join(", ");
        let files = if files.is_empty() { files } else { format!(" ({files})") };
        writeln!(out, "case {} ... {}{files}", report.name, paint.over(color, word))?;
    }
    let failed: Vec<_> = reports.iter().filter_map(|report| Some((&report.name, report.failure.as_ref()?))).collect();
    for (name, (_, difference)) in &failed {
        writeln!(out, "\n== {name}")?;
        for line in difference.lines() {
            writeln!(out, "{}", paint.line(line))?;
        }
    }
    let took: Duration = reports.iter().map(|report| report.took).sum();
    let passed = reports.len() - failed.len();
    writeln!(out, "\n{}: {passed} passed, {} failed, in {} ms", module.name(), failed.len(), took.as_millis())?;
    if !failed.is_empty() {
        writeln!(out, "`-` was expected, `+` came; where what came is right, `host test --bless` writes it down")?;
    }
    Ok(failed.is_empty())
}

/// A case that has run.
struct Reported {
    name: String,
    took: Duration,
    /// Which files differ, and how.
    failure: Option<(String, String)>,
    /// Which files were written.
    blessed: Vec<String>,
}

impl Reported {
    fn into_report(self) -> Report {
        Report { name: self.name, took: self.took, failure: self.failure }
    }
}

fn report(module: &Module, case: &Case, time: &VirtualTime, bless: bool) -> Result<Reported> {
    let began = Instant::now();
    let (outcome, stage) = run::run(module, case, time)?;
    let mut expectations = expect::compare(case, &stage.outputs, &outcome)?;
    expectations.retain(|expectation| expectation.difference.is_some());
    let mut reported = Reported { name: case.name.clone(), took: began.elapsed(), failure: None, blessed: Vec::new() };
    let files: Vec<String> = expectations.iter().map(|expectation| expectation.file.clone()).collect();
    if bless {
        expectations.iter().try_for_each(|expectation| expectation.bless(&case.folder))?;
        reported.blessed = files;
    } else if !files.is_empty() {
        let told = expectations.iter().filter_map(|e| Some(format!("{}\n{}", e.file, e.difference.as_ref()?)));
        reported.failure = Some((format!("{} differ", files.join(", ")), told.collect()));
    }
    Ok(reported)
}

/// Colors, for a terminal.
struct Paint {
    is_on: bool,
}

const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

impl Paint {
    fn over(&self, color: &str, text: &str) -> String {
        if self.is_on { format!("\x1b[{color}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&self, line: &str) -> String {
        match line.as_bytes() {
            [b'-', ..] => self.over(RED, line),
            [b'+', ..] => self.over(GREEN, line),
            _ => line.to_owned(),
        }
    }
}
