//! `host modules deploy|rollback|promote`: a stage is to run another module.
//!
//! On an embedded log the module's file is what says so: it is replaced in one go, and the host that runs notices, tries the
//! new one and swaps. On Kafka, where there may be hosts on many machines, it is said in the control topic, from which each
//! takes it. Either way a module that is no good is refused by the hosts, and what they run goes on.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use super::failure::Usage;
use super::modules::{pipeline_of, short, stage_named};
use super::place::{Place, PlaceArguments};
use crate::command::{check_module_of, sandbox};
use crate::config::{Pipeline, Stage};
use crate::log::Log;
use crate::module::{Module, digest_of};
use crate::pipeline::OpenLog;
use crate::swap::{Cause, Control, Event, Kept, Ledger, Order, Watch};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host modules deploy analyzer-v2.wasm --stage analyzer
  host modules deploy analyzer-v2.wasm --stage analyzer --pipeline examples/products/kafka.toml

Hosts that run try it beside the live module first; `host modules status` shows how that goes, and
`host modules history` how it ended. On Kafka, hosts that start later begin with it, whatever their file says.")]
pub(super) struct Deploy {
    /// The module
    module: PathBuf,

    /// The stage that is to run it
    #[arg(long, value_name = "NAME")]
    stage: String,

    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host modules rollback analyzer                     to the one that was live before
  host modules rollback analyzer --to 1f2e3d         to the one whose digest begins like this

`host modules list` lists those that there are. The way back is a swap like any other, with a trial.")]
pub(super) struct Rollback {
    /// The stage
    stage: String,

    /// The digest of the module, or how it begins [default: the one that was live before]
    #[arg(long, value_name = "DIGEST")]
    to: Option<String>,

    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  host modules promote analyzer

The shadow knows what the live module knows, and takes its place at the next step, without another trial.")]
pub(super) struct Promote {
    /// The stage
    stage: String,

    #[command(flatten)]
    place: PlaceArguments,
}

/// So many modules of each stage are not taken away for a new one, however old they are.
const STAYING: usize = 5;

/// A module that a stage is to run.
struct Wanted {
    bytes: Vec<u8>,
    file: String,
    cause: Cause,
}

pub(super) fn deploy(deploy: &Deploy, out: &mut dyn Write) -> anyhow::Result<()> {
    let place = deploy.place.find()?;
    let pipeline = pipeline_of(&place)?;
    let stage = stage_named(pipeline, &deploy.stage)?;
    let bytes = Module::read(&deploy.module)?;
    // What is no module at all, or does not fit, is told here; whether it does well is for the hosts to find out.
    Module::from_bytes(&sandbox()?, &deploy.module, &bytes, stage.limits)?;
    check_module_of(pipeline, &stage.name, &deploy.module, &bytes)?;
    let wanted = Wanted { bytes, file: name_of(&deploy.module), cause: Cause::Deploy };
    change(&place, stage, &wanted, out)
}

pub(super) fn rollback(rollback: &Rollback, out: &mut dyn Write) -> anyhow::Result<()> {
    let place = rollback.place.find()?;
    let pipeline = pipeline_of(&place)?;
    let stage = stage_named(pipeline, &rollback.stage)?;
    let log = place.read_only()?;
    let ledger = Ledger::read(&*log, &Ledger::topic(&pipeline.name))?;
    let digest = match &rollback.to {
        Some(typed) => meant(typed, &ledger, stage)?,
        None => before(&ledger, stage)?,
    };
    let file = ledger.of_stage(&stage.name).rfind(|entry| entry.module == digest).map(|entry| entry.file.clone());
    let bytes = kept(pipeline, stage, &digest, &place)?;
    let wanted = Wanted { bytes, file: file.unwrap_or_else(|| name_of(&stage.module)), cause: Cause::Rollback };
    change(&place, stage, &wanted, out)
}

pub(super) fn promote(promote: &Promote, out: &mut dyn Write) -> anyhow::Result<()> {
    let place = promote.place.find()?;
    let stage = stage_named(pipeline_of(&place)?, &promote.stage)?;
    let Some(shadow) = &stage.shadow else {
        return Err(Usage::new(format!("stage `{}` has no shadow", stage.name))
            .hint("add `shadow = \"candidate.wasm\"` to it, or deploy a module with `host modules deploy`")
            .into());
    };
    let wanted = Wanted { bytes: Module::read(shadow)?, file: name_of(shadow), cause: Cause::Promote };
    change(&place, stage, &wanted, out)
}

/// Has a stage run a module, in the way of its log.
fn change(place: &Place, stage: &Stage, wanted: &Wanted, out: &mut dyn Write) -> anyhow::Result<()> {
    let pipeline = pipeline_of(place)?;
    let digest = digest_of(&wanted.bytes);
    let kept = Kept::new(pipeline.modules.clone());
    let ledger = ledger_of(place, pipeline)?;
    for stage in &pipeline.stages {
        // What runs, or may come back, stays.
        kept.pin(&stage.name, &ledger.lately(&stage.name, STAYING));
    }
    kept.keep(&wanted.bytes).with_context(|| format!("the module cannot be kept in `{}`", kept.dir().display()))?;
    let (module, name) = (short(&digest), &stage.name);
    if place.is_embedded() {
        kept.note(name, &digest, wanted.cause)?;
        let was_link = stage.module.is_symlink();
        replace(&stage.module, &wanted.bytes)
            .with_context(|| format!("module file `{}` cannot be replaced", stage.module.display()))?;
        writeln!(out, "stage {name} is to run {module} ({}): it is in {}", wanted.file, stage.module.display())?;
        if was_link {
            writeln!(out, "that was a link and is a file now")?;
        }
        if stage.swap.watch == Watch::Off {
            writeln!(out, "the file is not watched (`watch = false`): it counts from the next `host run` on")?;
        } else {
            writeln!(out, "a host that runs tries it now; `host modules status` shows how that goes")?;
        }
        return Ok(());
    }
    let OpenLog::Kafka(log) = place.changeable()? else { bail!("the log is neither a file nor brokers") };
    let topic = Control::topic(&pipeline.name);
    log.ensure_compacted(&topic)?;
    let log: Arc<dyn Log> = log;
    let mut control = Control::new(log, topic.clone());
    control.take()?;
    control.deploy(name, &Order::now(&wanted.bytes, &wanted.file, wanted.cause), &wanted.bytes)?;
    writeln!(out, "stage {name} is to run {module} ({}): it is in topic {topic}", wanted.file)?;
    writeln!(out, "hosts that run try it now; `host modules status` shows how that goes")?;
    Ok(())
}

/// What was written down so far: nothing in a log that is still to be made.
fn ledger_of(place: &Place, pipeline: &Pipeline) -> anyhow::Result<Ledger> {
    match place.look_if_there()? {
        Some(log) => Ok(Ledger::read(&*log, &Ledger::topic(&pipeline.name))?),
        None => Ok(Ledger::default()),
    }
}

/// The module that was live before the one that is, leaving out those that had to be swapped back from.
fn before(ledger: &Ledger, stage: &Stage) -> anyhow::Result<String> {
    let Some(live) = ledger.live(&stage.name) else {
        bail!("stage `{}` has run no module yet; `host run` runs the pipeline", stage.name);
    };
    let failed = |module: &str| {
        let last = ledger.of_stage(&stage.name).rfind(|entry| entry.module == module && entry.event != Event::Live);
        last.is_some_and(|entry| entry.event == Event::Dropped && entry.cause == Cause::SwapBack)
    };
    let mut earlier = ledger.of_stage(&stage.name).rev().filter(|entry| entry.event == Event::Live);
    let found = earlier.find(|entry| entry.module != live.module && !failed(&entry.module));
    match found {
        Some(entry) => Ok(entry.module.clone()),
        None => bail!(
            "stage `{}` has run no other module that it could go back to; `host modules list` lists those that there are",
            stage.name
        ),
    }
}

/// The module whose digest begins as was typed.
fn meant(typed: &str, ledger: &Ledger, stage: &Stage) -> anyhow::Result<String> {
    let mut known: Vec<&str> = ledger.of_stage(&stage.name).map(|entry| entry.module.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    known.retain(|digest| digest.starts_with(typed));
    let list = "`host modules list` lists those that there are";
    match known.as_slice() {
        [only] => Ok((*only).to_owned()),
        [] => Err(Usage::new(format!("stage `{}` knows no module `{typed}`", stage.name)).hint(list).into()),
        several => {
            Err(Usage::new(format!("`{typed}` is the beginning of {} digests", several.len())).hint(list).into())
        }
    }
}

/// The bytes of a module, from the folder of this machine, or from the control topic.
fn kept(pipeline: &Pipeline, stage: &Stage, digest: &str, place: &Place) -> anyhow::Result<Vec<u8>> {
    let kept = Kept::new(pipeline.modules.clone());
    let missing = match kept.get(digest) {
        Ok(bytes) => return Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => error,
        Err(error) => return Err(error).context("the module cannot be read"),
    };
    if !place.is_embedded() {
        let mut control = Control::new(place.read_only()?, Control::topic(&pipeline.name));
        control.take()?;
        if let Some(bytes) = control.find(&stage.name, digest) {
            return Ok(bytes);
        }
    }
    let told = format!("module {} is not kept in `{}`", short(digest), kept.dir().display());
    Err(missing).context(format!("{told}; deploy its file with `host modules deploy FILE --stage {}`", stage.name))
}

/// Puts bytes in the place of a file, so that whoever reads it sees all of one or all of the other.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = folder.join(format!(".{}.{}.new", name_of(path), std::process::id()));
    let written = fs::File::create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&new, path));
    if done.is_err() {
        // What is left of it is of no use.
        let _ = fs::remove_file(&new);
    }
    done
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
