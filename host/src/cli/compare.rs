//! `host compare`: two modules on the same real records, and how what they answer differs.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};
use bespoke_boundary::{Plan, Schema, output_schema};
use clap::ValueEnum;

use super::failure::Usage;
use super::place;
use super::values::Schemas;
use crate::command::{sandbox, schema_in};
use crate::config;
use crate::log::{self, Log, LogError, PartitionInfo};
use crate::module::{Limits, Module};
use crate::pipeline::{Naming, Purpose, SchemaStore};
use crate::schema::framing::{self, Frame};
use crate::stage::{Destination, KeyPlan, OnError, Stage, Unfit, Version, Writers};
use crate::swap::{Comparison, Offline};

/// Records of a call, as many as a stage takes if nothing else is said.
const BATCH_RECORDS: usize = 256;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host compare modules/processor.wasm new.wasm --from bespoke.avro.product
  host compare old.wasm new.wasm --from prices --last 1000 --format json
  host compare old.wasm new.wasm --from prices --brokers localhost:9092 --registry http://localhost:8081

Nothing is written. A module that keeps state begins without any. The exit code is 0 if the modules answer the
same, 1 if they do not or something fails, and 64 for a wrong command line.")]
pub(super) struct Arguments {
    /// The module that is compared with
    old: PathBuf,

    /// The module that is compared
    new: PathBuf,

    /// The topic whose records both are given
    #[arg(long, value_name = "TOPIC")]
    from: String,

    /// How many of the newest records, over all partitions
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    last: u64,

    /// The Avro schema that the records are read with [default: the newest one of the topic]
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,

    /// The stage whose settings, limits and keys count [default: the one that reads the topic]
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,

    /// A setting for both modules; again for more [default: those of the stage]
    #[arg(long, value_name = "NAME=VALUE")]
    setting: Vec<String>,

    /// How the outcome is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    place: place::PlaceArguments,
}

/// How an outcome is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// A JSON object.
    Json,
}

/// Whether both answer the same.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<bool> {
    let place = arguments.place.find()?;
    let log = place.read_only()?;
    let topic = &arguments.from;
    let info = log.topic(topic)?.ok_or_else(|| LogError::NoTopic(topic.clone()))?;
    let config = stage_of(&place, topic, arguments.stage.as_deref())?;
    let reader = match &arguments.schema {
        Some(file) => Arc::new(schema_in(file)?),
        None => Schemas::required(place.registry()?, place.subjects())?.of_topic(topic)?.map(|(_, s)| s).ok_or_else(
            || Usage::new(format!("the schema of topic `{topic}` is not known")).hint("name it with `--schema FILE`"),
        )?,
    };
    let Some(registry) = place.registry()? else {
        return Err(Usage::new("the schemas of the records are not known")
            .hint("name the pipeline with `--pipeline FILE`, or the file of schema ids with `--ids FILE`")
            .into());
    };
    let (sandbox, limits) = (sandbox()?, config.map_or_else(Limits::default, |stage| stage.limits));
    let load = |path| Module::load(&sandbox, path, limits).map(Arc::new);
    let (old, new) = (load(&arguments.old)?, load(&arguments.new)?);
    let stage = stage(topic, &reader, &old, config)?;
    let settings: Arc<[(String, String)]> = match (arguments.setting.is_empty(), config) {
        (true, Some(stage)) => stage.settings.clone().into(),
        _ => crate::command::run::settings(&arguments.setting)?.into(),
    };
    let unfit = |unfit: Unfit| Usage::new(unfit.to_string());
    let version = |number, module: &Arc<Module>| {
        Version::compile(&stage, number, module.clone(), settings.clone()).map(Arc::new).map_err(unfit)
    };
    let (live, candidate) = (version(1, &old)?, version(2, &new)?);
    candidate.check_function(&live).map_err(unfit)?;
    let naming = Naming { subjects: place.subjects(), form: framing::Form::default() };
    let store = SchemaStore::new(registry, naming, Purpose::Check);
    let mut offline = Offline::new(&stage, Writers::new(Arc::new(store), reader), [live, candidate]);
    for (partition, from, to) in newest(&info.partitions, arguments.last) {
        read(&*log, topic, (partition.partition, from, to), &mut offline)?;
    }
    let comparison = offline.finish();
    if comparison.records == 0 {
        bail!("topic `{topic}` has no records that the modules could be given");
    }
    match arguments.format {
        Format::Json => {
            let modules =
                [&old, &new].map(|module| serde_json::json!({"file": module.name(), "digest": module.digest()}));
            let mut object = serde_json::to_value(&comparison)?;
            object["topic"] = topic.clone().into();
            object["same"] = comparison.differences.is_none().into();
            object["modules"] = modules.to_vec().into();
            writeln!(out, "{object}")?;
        }
        Format::Text => print(out, topic, [&old, &new], &comparison)?,
    }
    Ok(comparison.differences.is_none())
}

fn print(out: &mut dyn Write, topic: &str, modules: [&Module; 2], comparison: &Comparison) -> anyhow::Result<()> {
    for (name, module) in ["first", "then"].iter().zip(modules) {
        writeln!(out, "{name:<9}  {} {}", super::modules::short(module.digest()), module.name())?;
    }
    let unread = if comparison.unread > 0 {
        format!(", and {} that no module is given", comparison.unread)
    } else {
        String::new()
    };
    writeln!(out, "records    {} of {topic}{unread}", comparison.records)?;
    super::differences::print_sides(out, &comparison.live, &comparison.candidate)?;
    let differences = &comparison.differences;
    writeln!(
        out,
        "different  {}\n",
        if differences.is_none() { "nothing".to_owned() } else { differences.count().to_string() }
    )?;
    Ok(super::differences::print(out, differences)?)
}

/// The stage of the pipeline whose settings count.
fn stage_of<'p>(place: &'p place::Place, topic: &str, name: Option<&str>) -> anyhow::Result<Option<&'p config::Stage>> {
    let Some(pipeline) = place.pipeline() else {
        return match name {
            Some(_) => Err(Usage::new("`--stage` is one of a pipeline; name that with `--pipeline FILE`").into()),
            None => Ok(None),
        };
    };
    if let Some(name) = name {
        return super::modules::stage_named(pipeline, name).map(Some);
    }
    let mut readers = pipeline.stages.iter().filter(|stage| stage.from == topic);
    match (readers.next(), readers.next()) {
        (Some(a), Some(b)) => Err(Usage::new(format!("stages `{}` and `{}` read topic `{topic}`", a.name, b.name))
            .hint("name one with `--stage NAME`")
            .into()),
        (only, _) => Ok(only),
    }
}

/// A stage that writes nowhere: what the first module answers decides about its outputs.
fn stage(topic: &str, reader: &Arc<Schema>, module: &Module, config: Option<&config::Stage>) -> anyhow::Result<Stage> {
    let signature = module.signature();
    let frame = Frame::Prefix(framing::prefix(0));
    let named = || format!("module `{}`", module.name());
    Plan::check_input(signature, reader).with_context(named)?;
    let mut outputs = Vec::new();
    for (index, name) in signature.answer.outputs().into_iter().enumerate() {
        let configured = config.and_then(|stage| stage.to.output(name));
        let topic = configured.map_or_else(|| name.unwrap_or("output").to_owned(), |output| output.topic.clone());
        let schema = Arc::new(Schema::parse(&output_schema(signature, index, reader, &topic).with_context(named)?)?);
        let fields = configured.and_then(|output| output.key.as_deref());
        let key = fields.map(|fields| KeyPlan::compile(&schema, fields)).transpose()?;
        outputs.push(Destination { name: name.map(str::to_owned), topic, schema, key, frame });
    }
    Ok(Stage {
        name: config.map_or_else(|| module.name().to_owned(), |stage| stage.name.clone()),
        from: topic.to_owned(),
        reader: reader.clone(),
        outputs,
        dead_letters: String::new(),
        on_error: OnError::Drop,
        max_dead_letters_in_a_row: u64::MAX,
        provenance: false,
        ledger: None,
    })
}

/// From where to where the newest records of each partition are, so many in all, as evenly as they lie.
fn newest(partitions: &[PartitionInfo], last: u64) -> Vec<(PartitionInfo, i64, i64)> {
    let mut by_size: Vec<_> = partitions.iter().filter(|p| p.end > p.start).copied().collect();
    by_size.sort_by_key(|p| p.end - p.start);
    let (mut left, mut open) = (last, by_size.len() as u64);
    let mut ranges = Vec::new();
    // What a small partition does not have, larger ones give.
    for partition in by_size {
        let share = left.div_ceil(open).min((partition.end - partition.start).unsigned_abs());
        (left, open) = (left - share, open - 1);
        ranges.push((partition, partition.end - share as i64, partition.end));
    }
    ranges.sort_by_key(|(partition, ..)| partition.partition);
    ranges
}

/// Has both handle the records of a partition from one offset up to another.
fn read(
    log: &dyn Log,
    topic: &str,
    (partition, from, to): (u32, i64, i64),
    offline: &mut Offline<'_>,
) -> anyhow::Result<()> {
    for batch in log::batches(log, topic, partition, from..to, BATCH_RECORDS) {
        let batch = batch?;
        let entries = batch.entries();
        let first = entries.first().map_or(from, |entry| entry.offset);
        let wanted = entries.partition_point(|entry| entry.offset < to);
        offline
            .handle(partition, &batch.slice(0..wanted))
            .map_err(|fault| anyhow!("{topic}-{partition} from offset {first}: {fault}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_from_all_partitions() {
        let info = |partition, start, end| PartitionInfo { partition, start, end, decided: end, bytes: None };
        let of = |last| {
            let all = [info(0, 0, 100), info(1, 5, 8), info(2, 0, 0), info(3, 50, 100)];
            newest(&all, last).into_iter().map(|(p, from, to)| (p.partition, from, to)).collect::<Vec<_>>()
        };
        assert_eq!(of(23), [(0, 90, 100), (1, 5, 8), (3, 90, 100)]);
        assert_eq!(of(1_000_000), [(0, 0, 100), (1, 5, 8), (3, 50, 100)]);
    }
}
