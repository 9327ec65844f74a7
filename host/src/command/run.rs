//! `host run` in its three forms: a pipeline, one stage of it, or a module as a pipe.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::rebuild::Rebuilding;
use super::source::{self, Typed};
use super::{PIPELINE, assemble, load, open_log, pipe};
use crate::cli::failure::Usage;
use crate::config::{self, Pipeline};
use crate::log::{Log, Standing, standings};
use crate::pipeline::{OpenLog, Purpose, Until, choose, prepare, run as run_pipeline};
use crate::progress::Progress;
use crate::shutdown::Shutdown;
use crate::swap::Control;

/// What was typed.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct RunArgs {
    /// The pipeline file; by default pipeline.toml in this folder
    pub pipeline: Option<PathBuf>,
    /// Run the one stage with this module: of the pipeline, or of --from and --to, or as a pipe from standard input. A folder
    /// stands for the module that `host build` makes of it
    #[arg(long, value_name = "FILE|DIR")]
    pub module: Option<PathBuf>,
    /// Build modules again when their source changes; what runs is swapped for it
    #[arg(long)]
    pub watch_source: bool,
    /// The topic to read, for a module without a pipeline
    #[arg(long, value_name = "TOPIC", requires_all = ["module", "to", "schema"])]
    pub from: Option<String>,
    /// The topic to write, for a module without a pipeline
    #[arg(long, value_name = "TOPIC", requires_all = ["module", "from"])]
    pub to: Option<String>,
    /// The Avro schema of the input, for a module without a pipeline [default: that beside its source, as a pipe]
    #[arg(long, value_name = "FILE", requires = "module", conflicts_with = "pipeline")]
    pub schema: Option<PathBuf>,
    /// The file of the embedded log, for a module without a pipeline
    #[arg(long, value_name = "FILE", default_value = "bespoke.db", requires = "from")]
    pub log: PathBuf,
    /// A field that makes the key of what is written, for a module without a pipeline; again for more
    #[arg(long, value_name = "FIELD", requires = "from")]
    pub key: Vec<String>,
    /// A setting for a module without a pipeline
    #[arg(long, value_name = "NAME=VALUE", requires = "module", conflicts_with = "pipeline")]
    pub setting: Vec<String>,
    /// Override a key of the pipeline file
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Stop when the feeds are through and every record has reached its end
    #[arg(long)]
    pub until_end: bool,
}

/// Runs what was asked for. False if a part of it failed.
///
/// # Errors
/// If it cannot start.
pub fn run(args: &RunArgs, shutdown: &Shutdown) -> Result<bool> {
    let module = args.module.as_deref().map(Typed::of).transpose()?;
    match (&module, &args.from, &args.schema) {
        (Some(module), None, Some(schema)) => run_pipe(args, module, schema, shutdown),
        (Some(module), Some(_), Some(_)) => {
            let config = lone_stage(args, &module.file)?;
            let Some(_building) = building(args, module, shutdown)? else { return Ok(true) };
            run_config(&config, None, args.until_end, shutdown)
        }
        (module, _, None) => {
            let path = args.pipeline.clone().unwrap_or_else(|| PathBuf::from(PIPELINE));
            if let Some(module) = module
                && args.pipeline.is_none()
                && !path.exists()
            {
                if let Some(schema) = module.schema() {
                    tracing::info!(schema = %schema.display(), "a pipe from standard input to standard output");
                    return run_pipe(args, module, &schema, shutdown);
                }
                let pipe = "add --schema FILE to run it from standard input to standard output";
                let topics = "and --from TOPIC --to TOPIC to run it between topics";
                return Err(Usage::new(format!("there is no {PIPELINE} here, so the module needs a schema"))
                    .hint(format!("{pipe}, {topics}"))
                    .into());
            }
            if !args.setting.is_empty() {
                let what = format!("`--setting` is for a module without a pipeline, and `{}` is one", path.display());
                return Err(Usage::new(what)
                    .hint("write `--set stage.NAME.settings.KEY=VALUE`, or add --schema FILE")
                    .into());
            }
            let mut config = load(&path, &args.set)?;
            let only = module.as_ref().map(|module| lone_stage_of(&mut config, module)).transpose()?;
            if !args.watch_source {
                must_be_built(&config, only.as_deref(), module.as_ref())?;
                return run_config(&config, only.as_deref(), args.until_end, shutdown);
            }
            let _building = Rebuilding::start(source::of_pipeline(&config, only.as_deref())?, shutdown)?;
            if shutdown.is_requested() {
                return Ok(true);
            }
            run_config(&config, only.as_deref(), args.until_end, shutdown)
        }
        (None, ..) => Err(Usage::new("--schema goes with --module").into()),
    }
}

/// Refuses the folder of a module that the stage needs, and that was not made yet.
fn must_be_built(config: &Pipeline, only: Option<&str>, typed: Option<&Typed>) -> Result<(), Usage> {
    let stage = config.stages.iter().find(|stage| only == Some(&*stage.name));
    let (Some(stage), Some(typed)) = (stage, typed) else { return Ok(()) };
    Typed { file: stage.module.clone(), dir: typed.dir.clone() }.must_be_built()
}

/// A module as a pipe.
fn run_pipe(args: &RunArgs, module: &Typed, schema: &Path, shutdown: &Shutdown) -> Result<bool> {
    if !args.set.is_empty() {
        return Err(Usage::new("`--set` goes with a pipeline, and a pipe has none").into());
    }
    let settings = settings(&args.setting)?;
    let Some(_building) = building(args, module, shutdown)? else { return Ok(true) };
    pipe::run(&module.file, schema, &settings, shutdown)
}

/// The module of a run without a pipeline is built now, and again whenever its source changes, if that was asked for.
/// None if a stop was asked for meanwhile.
fn building(args: &RunArgs, module: &Typed, shutdown: &Shutdown) -> Result<Option<Rebuilding>> {
    if !args.watch_source {
        module.must_be_built()?;
        return Ok(Some(Rebuilding::default()));
    }
    let source = module.source().ok_or_else(|| {
        let what = format!("`{}` does not stand in the folder that it is built from", module.file.display());
        Usage::new(what).hint("name that folder: --module DIR --watch-source")
    })?;
    let building = Rebuilding::start(vec![source], shutdown)?;
    Ok((!shutdown.is_requested()).then_some(building))
}

pub(crate) fn settings(typed: &[String]) -> Result<Vec<(String, String)>> {
    let split = |s: &String| {
        let (name, value) =
            s.split_once('=').ok_or_else(|| Usage::new(format!("`--setting {s}`: write it as NAME=VALUE")))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    typed.iter().map(split).collect()
}

/// The name of the stage with this module; the file that was typed is the one that it runs.
fn lone_stage_of(config: &mut Pipeline, typed: &Typed) -> Result<String> {
    let is_same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    let is_built_of = |stage: &config::Stage| match (&stage.source, &typed.dir) {
        (Some(source), Some(dir)) => is_same(source, dir),
        _ => false,
    };
    let module = &typed.file;
    let is_it =
        |stage: &config::Stage| is_same(&stage.module, module) || stage.module.file_name() == module.file_name();
    let known: Vec<_> = config.stages.iter().map(|s| s.module.display().to_string()).collect();
    // A folder that stages name is what they are known by.
    let is_named = config.stages.iter().any(is_built_of);
    let is_meant = |stage: &config::Stage| if is_named { is_built_of(stage) } else { is_it(stage) };
    let mut found: Vec<&mut config::Stage> = config.stages.iter_mut().filter(|stage| is_meant(stage)).collect();
    match found.as_mut_slice() {
        [stage] => {
            // Its source is built into the file that the pipeline has.
            if !is_named {
                stage.module.clone_from(module);
                stage.source = typed.dir.clone().or(stage.source.take());
            }
            Ok(stage.name.clone())
        }
        [_, ..] => {
            let names: Vec<_> = found.iter().map(|stage| format!("`{}`", stage.name)).collect();
            let (module, names) = (module.display(), names.join(", "));
            Err(Usage::new(format!("`{module}` is the module of the stages {names}, and --module runs one stage"))
                .into())
        }
        [] => Err(Usage::new(format!(
            "no stage of pipeline `{}` runs `{}`; its modules are {}",
            config.name,
            module.display(),
            known.join(", ")
        ))
        .into()),
    }
}

/// A pipeline of one stage, from what was typed.
fn lone_stage(args: &RunArgs, module: &Path) -> Result<Pipeline> {
    let (Some(from), Some(to), Some(schema)) = (&args.from, &args.to, &args.schema) else {
        return Err(Usage::new("a module without a pipeline needs --from, --to and --schema").into());
    };
    let stem = schema.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let name = module.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let keys = toml::Value::Array(args.key.iter().map(|k| k.clone().into()).collect()).to_string();
    let key = if args.key.is_empty() { String::new() } else { format!(", key = {keys}") };
    let mut settings = toml::Table::new();
    for (name, value) in self::settings(&args.setting)? {
        settings.insert(name, value.into());
    }
    let text = format!(
        "name = {}\n[log]\npath = {}\n[schemas]\ndir = {}\nids = {}\n[topics]\n{} = {{ schema = {} }}\n[[stage]]\nname = \"stage\"\n\
         module = {}\nfrom = {}\nto = {{ topic = {}{key} }}\nsettings = {}\n",
        quote(&name),
        quote(&args.log.to_string_lossy()),
        quote(&schema.to_string_lossy()),
        quote(&args.log.with_extension("schemas.json").to_string_lossy()),
        quote(from),
        quote(&stem),
        quote(&module.to_string_lossy()),
        quote(from),
        quote(to),
        toml::Value::Table(settings),
    );
    Ok(Pipeline::parse(&text, "the command line", Path::new(""), &args.set, &|_| None)?)
}

fn run_config(config: &Pipeline, only: Option<&str>, until_end: bool, shutdown: &Shutdown) -> Result<bool> {
    let log = open_log(config, shutdown)?;
    let mut config = config.clone();
    let control = modules(&mut config, &log)?;
    let config = &config;
    let mut built = assemble(config, Purpose::Run(shutdown.clone()))?;
    built.control = control;
    prepare(&built, config, &log)?;
    if let Some(only) = only {
        // All of it was brought together, because its schemas come from the stages before it.
        built.stages.retain(|built| built.stage.name == only);
        built.feeds.clear();
        built.sinks.clear();
    }
    let log = log.log();
    let until = if until_end { Until::Drained } else { Until::Stopped };
    let (read, looked) = (readings(config), log.clone());
    let mut progress = Progress::new(move |role| lag(read.get(role)?, &*looked));
    tracing::info!(
        pipeline = built.name,
        feeds = built.feeds.len(),
        stages = built.stages.len(),
        sinks = built.sinks.len(),
        "running"
    );
    let outcome =
        run_pipeline(built, &log, config.log.commit_interval, until, shutdown, |watched| progress.tick(watched))?;
    progress.finish(&outcome.counted);
    for (role, why) in &outcome.failed {
        tracing::error!(role, why, "ended early");
    }
    Ok(outcome.failed.is_empty())
}

/// Decides what stages start with: what was deployed for all hosts, or what their files hold, or what was live last. Where to
/// look for more deployments, on a log that several hosts may have.
fn modules(config: &mut Pipeline, log: &OpenLog) -> Result<Option<Control>> {
    let OpenLog::Kafka(kafka) = log else {
        choose(config, &*log.log(), None)?;
        return Ok(None);
    };
    let mut control = Control::new(kafka.clone(), Control::topic(&config.name));
    let taken = control.take()?;
    for deployed in &taken {
        if let Some(stage) = config.stages.iter_mut().find(|stage| stage.name == deployed.stage) {
            stage.deployed = Some(deployed.bytes.as_slice().into());
        }
    }
    choose(config, &**kafka, Some(&control))?;
    for deployed in taken {
        control.forget(&deployed);
        if let Some(stage) = config.stages.iter_mut().find(|stage| stage.name == deployed.stage) {
            // In messages it has the name that it was deployed by.
            stage.module = deployed.order.file.into();
        }
    }
    Ok(Some(control))
}

/// What stages and sinks read, by their roles: the group and the topic.
fn readings(config: &Pipeline) -> BTreeMap<String, (String, String)> {
    let stages = config.stages.iter().map(|s| (format!("stage {}", s.name), &s.name, &s.from));
    let sinks = config.sinks.iter().map(|s| (format!("sink {}", s.name), &s.name, &s.from));
    stages.chain(sinks).map(|(role, name, from)| (role, (config.group(name), from.clone()))).collect()
}

/// How many offsets a group has before it.
fn lag((group, topic): &(String, String), log: &dyn Log) -> Option<u64> {
    Some(standings(log, group, topic).ok()?.iter().map(Standing::lag).sum())
}
