//! `host modules who`: the module that made a record, or handled it.
//!
//! A record that carries its module in a header says so itself. Else the ledger knows, by offsets of a stage's input. A
//! record of the input has an offset there. A record of an output is brought to one by what it keeps of its input:
//! `process` keeps the timestamp and, unless the pipeline names another, the key; a row of `analyze` has the newest
//! timestamp of its batch. Where records of the input look alike, all of them are asked about, and if they do not agree,
//! all answers are told.

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Context, bail};
use bespoke_record::Batch;

use super::compare::Format;
use super::failure::Usage;
use super::modules::{pipeline_of, short, word};
use super::{grid, place};
use crate::config::{Pipeline, Stage};
use crate::dead_letter::DeadLetter;
use crate::log::{self, Log, LogError};
use crate::stage::MODULE_HEADER;
use crate::swap::{Entry, Event, Ledger};

/// Records of the input that are read at once.
const BATCH_RECORDS: usize = 4096;
/// What is said of a record that its stage has not come to.
const WAITS: &str = "waits";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host modules who bespoke.avro.product.analysis 0 1234      which module of the analyzer made it
  host modules who bespoke.avro.product 1 17                 which module of the processor handled it
  host modules who bespoke.avro.product.analysis 0 1234 --format json

A record of an output is looked for in the input of its stage, by its timestamp and key, in the newest `--scan`
records of each partition. With `provenance = \"header\"` the record tells by itself.")]
pub(super) struct Who {
    /// The topic that the record is in
    topic: String,

    /// Its partition
    partition: u32,

    /// Its offset
    offset: i64,

    /// How many of the newest records of each partition of a stage's input are searched
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    scan: u64,

    /// How it is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    #[command(flatten)]
    place: place::PlaceArguments,
}

/// What is known of one stage's part in a record.
#[derive(Debug, serde::Serialize)]
struct Answer {
    stage: String,
    /// `made`, `handled`, or `waits` for a record that is not handled yet.
    did: &'static str,
    /// How it is known.
    by: &'static str,
    /// The digests; several if it cannot be told which.
    modules: Vec<Named>,
    /// The records of the input that it may have been made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    input: Vec<(u32, i64)>,
}

/// A module with what the ledger says of it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
struct Named {
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// When it became live, before that record.
    #[serde(skip_serializing_if = "Option::is_none")]
    live_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

/// The record that is asked about.
struct Asked {
    batch: Batch,
    partition: u32,
}

pub(super) fn run(who: &Who, out: &mut dyn Write) -> anyhow::Result<()> {
    let place = who.place.find()?;
    let pipeline = pipeline_of(&place)?;
    let log = place.read_only()?;
    let batch = log.read(&who.topic, who.partition, who.offset, 1)?;
    if batch.entries().first().map(|entry| entry.offset) != Some(who.offset) {
        bail!("{}-{} has no record at offset {}", who.topic, who.partition, who.offset);
    }
    let ledger = Ledger::read(&*log, &Ledger::topic(&pipeline.name))?;
    let asked = Asked { batch, partition: who.partition };
    let answers = answers(who, pipeline, &*log, &ledger, &asked)?;
    if answers.is_empty() {
        let told = format!("no stage of pipeline `{}` reads or writes topic `{}`", pipeline.name, who.topic);
        return Err(Usage::new(told).hint("`host check` lists the topics of its stages").into());
    }
    for answer in &answers {
        match who.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(answer)?)?,
            Format::Text => print(out, answer, pipeline)?,
        }
    }
    if answers.iter().all(|answer| answer.modules.is_empty() && answer.did != WAITS) {
        bail!("the module is not known: the record is older than the ledger, or its input is gone");
    }
    Ok(())
}

fn answers(
    who: &Who,
    pipeline: &Pipeline,
    log: &dyn Log,
    ledger: &Ledger,
    asked: &Asked,
) -> anyhow::Result<Vec<Answer>> {
    let record = asked.batch.get(0);
    let mut answers = Vec::new();
    if let Some(letter) = DeadLetter::of(record).filter(|_| who.topic == pipeline.dead_letters.topic) {
        let module = letter.module.map(|digest| named(ledger, &letter.stage, &digest));
        let (stage, modules) = (letter.stage.into_owned(), module.into_iter().collect());
        answers.push(Answer { stage, did: "handled", by: "the dead letter", modules, input: Vec::new() });
    }
    let header = record.headers().find(|(name, _)| *name == MODULE_HEADER).and_then(|(_, value)| value);
    let header = header.and_then(|value| std::str::from_utf8(value).ok());
    for stage in &pipeline.stages {
        if stage.to.outputs().iter().any(|(_, output)| output.topic == who.topic) {
            answers.push(match header {
                Some(digest) => Answer {
                    stage: stage.name.clone(),
                    did: "made",
                    by: "the record's header",
                    modules: vec![named(ledger, &stage.name, digest)],
                    input: Vec::new(),
                },
                None => made(who, stage, log, ledger, asked)?,
            });
        }
        if stage.from == who.topic {
            let entry = ledger.who(&stage.name, asked.partition, who.offset);
            let positions = log.committed(&pipeline.group(&stage.name), &stage.from)?;
            let is_before = |(partition, next): &(u32, i64)| *partition == asked.partition && who.offset < *next;
            let (did, by, modules) = match positions.iter().any(is_before) {
                true => ("handled", "the ledger", entry.map(of_entry).into_iter().collect()),
                false => (WAITS, "the stage's position", Vec::new()),
            };
            answers.push(Answer { stage: stage.name.clone(), did, by, modules, input: Vec::new() });
        }
    }
    Ok(answers)
}

/// Which module of a stage made a record of its output.
fn made(who: &Who, stage: &Stage, log: &dyn Log, ledger: &Ledger, asked: &Asked) -> anyhow::Result<Answer> {
    let answer = |by, modules, input| Answer { stage: stage.name.clone(), did: "made", by, modules, input };
    let live = ledger.of_stage(&stage.name).filter(|entry| entry.event == Event::Live);
    let ran: BTreeSet<&str> = live.map(|entry| entry.module.as_str()).collect();
    if let (1, Some(only)) = (ran.len(), ran.first()) {
        return Ok(answer("the ledger: it has run no other", vec![named(ledger, &stage.name, only)], Vec::new()));
    }
    let output = stage.to.outputs().into_iter().find(|(_, output)| output.topic == who.topic);
    // Records of `process` keep their key unless they are given another; rows without a key keep nothing.
    let keeps_key = asked.batch.get(0).key().is_some()
        && output.is_some_and(|(name, output)| name.is_none() && output.key.is_none());
    let found = look_alikes(who, stage, log, asked, keeps_key)?;
    let modules: BTreeSet<Named> = found
        .iter()
        .filter_map(|(partition, offset)| ledger.who(&stage.name, *partition, *offset))
        .map(of_entry)
        .collect();
    Ok(match modules.len() {
        0 => answer(
            "the ledger: its input was not found, so any of these",
            ran.iter().map(|d| named(ledger, &stage.name, d)).collect(),
            found,
        ),
        _ => answer("its input, by the ledger", modules.into_iter().collect(), found),
    })
}

/// The records of a stage's input of which the record may have been made.
fn look_alikes(
    who: &Who,
    stage: &Stage,
    log: &dyn Log,
    asked: &Asked,
    keeps_key: bool,
) -> anyhow::Result<Vec<(u32, i64)>> {
    let record = asked.batch.get(0);
    let (timestamp_ms, key) = (record.timestamp_ms(), record.key());
    let info = log.topic(&stage.from)?.ok_or_else(|| LogError::NoTopic(stage.from.clone()))?;
    let mut found = Vec::new();
    for partition in info.partitions {
        let reach = i64::try_from(who.scan).unwrap_or(i64::MAX);
        let offsets = partition.start.max(partition.end.saturating_sub(reach))..partition.end;
        for batch in log::batches(log, &stage.from, partition.partition, offsets, BATCH_RECORDS) {
            let batch = batch.context("reading the input")?;
            let alike = batch.iter().filter(|other| other.timestamp_ms() == timestamp_ms);
            let alike = alike.filter(|other| !keeps_key || other.key() == key);
            found.extend(alike.map(|other| (partition.partition, other.offset())));
        }
    }
    Ok(found)
}

fn of_entry(entry: &Entry) -> Named {
    Named {
        digest: entry.module.clone(),
        file: Some(entry.file.clone()),
        live_ms: Some(entry.at_ms),
        cause: Some(word(&entry.cause)),
    }
}

/// A digest, with what the ledger says of when it became live last.
fn named(ledger: &Ledger, stage: &str, digest: &str) -> Named {
    let live = ledger.of_stage(stage).rfind(|entry| entry.event == Event::Live && entry.module == digest);
    live.map_or_else(|| Named { digest: digest.to_owned(), file: None, live_ms: None, cause: None }, of_entry)
}

fn print(out: &mut dyn Write, answer: &Answer, pipeline: &Pipeline) -> anyhow::Result<()> {
    let Answer { stage, did, by, modules, input } = answer;
    if *did == WAITS {
        writeln!(out, "not handled yet by stage {stage} (known by {by})")?;
        return Ok(());
    }
    if modules.is_empty() {
        writeln!(out, "{did} by a module of stage {stage} that is not known")?;
        return Ok(());
    }
    let which = if modules.len() == 1 { "" } else { "one of these; " };
    writeln!(out, "{did} by stage {stage} ({which}known by {by})")?;
    for Named { digest, file, live_ms, cause } in modules {
        let file = file.as_deref().unwrap_or("-");
        let since = live_ms.map_or(String::new(), |ms| format!(", live since {}", grid::time(ms)));
        let cause = cause.as_deref().map_or(String::new(), |cause| format!(" ({cause})"));
        writeln!(out, "  {} {file}{since}{cause}", short(digest))?;
    }
    let from = pipeline.stages.iter().find(|known| known.name == *stage).map_or("", |known| known.from.as_str());
    for (partition, offset) in input.iter().take(3) {
        writeln!(out, "  of {from}-{partition}@{offset}")?;
    }
    if input.len() > 3 {
        writeln!(out, "  or of {} more that have its timestamp", input.len() - 3)?;
    }
    Ok(())
}
