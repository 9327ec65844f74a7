//! `host topics read`: the records of a topic, as JSON lines or as an Avro container file.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use apache_avro::Codec;
use bespoke_boundary::{Resolution, Schema};
use bespoke_record::Record;
use clap::ValueEnum;

use super::failure::Usage;
use super::values::{Schemas, write_meta};
use super::{out, place};
use crate::format::container::ContainerWriter;
use crate::format::json::JsonStyle;
use crate::log::{Log, LogError};
use crate::progress::leave_terminal;
use crate::schema::framing::{self, SchemaId};
use crate::shutdown::Shutdown;

/// Records that are read at once.
const BATCH_RECORDS: usize = 1024;
/// How often the end of a topic is looked at for more.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host topics read products.alerts --until-end
  host topics read products.analysis --max 5 --meta
  host topics read products.analysis --until-end --format avro --out analysis.avro")]
pub(super) struct Arguments {
    /// The topic
    topic: String,

    /// Only this partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,

    /// Start at this offset, in every partition that is read
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from_offset: i64,

    /// Stop after so many records
    #[arg(long, value_name = "N")]
    max: Option<u64>,

    /// Stop at what is the end now, instead of waiting for more
    #[arg(long)]
    until_end: bool,

    /// How records are printed
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,

    /// In JSON, write unions and bytes as Avro's own JSON encoding has them
    #[arg(long)]
    avro_json: bool,

    /// In JSON, also print where each record is, its key and its headers
    #[arg(long)]
    meta: bool,

    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    #[command(flatten)]
    place: place::PlaceArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A JSON object a line.
    Json,
    /// An Avro object container file.
    Avro,
}

/// What to read.
struct Range<'a> {
    topic: &'a str,
    partition: Option<u32>,
    from: i64,
    max: u64,
    until_end: bool,
}

/// Where records go.
trait Printer {
    /// Prints a record.
    fn print(&mut self, record: Record<'_>, partition: u32) -> anyhow::Result<()>;
    /// All that was printed so far is to be seen.
    fn flush(&mut self) -> anyhow::Result<()>;
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write, shutdown: &Shutdown) -> anyhow::Result<()> {
    if arguments.format == Format::Avro {
        let given = [(arguments.avro_json, "--avro-json"), (arguments.meta, "--meta")];
        if let Some((_, flag)) = given.iter().find(|(given, _)| *given) {
            return Err(Usage::new(format!("`{flag}` is for `--format json`")).into());
        }
        if arguments.out.is_none() && io::stdout().is_terminal() {
            return Err(Usage::new("an Avro file is no text for a terminal").hint("add `--out FILE`").into());
        }
    }
    let place = arguments.place.find()?;
    let log = place.read_only()?;
    let mut schemas = Schemas::required(place.registry()?, place.subjects())?;
    let range = Range {
        topic: &arguments.topic,
        partition: arguments.partition,
        from: arguments.from_offset,
        max: arguments.max.unwrap_or(u64::MAX),
        until_end: arguments.until_end,
    };
    // An Avro file is finished also when the user has seen enough.
    shutdown.on_signals(leave_terminal)?;
    // Looked for before a file is made.
    log.topic(range.topic)?.ok_or_else(|| LogError::NoTopic(range.topic.to_owned()))?;
    let mut file;
    let out: &mut dyn Write = match &arguments.out {
        Some(path) => {
            file = out::file(path)?;
            &mut file
        }
        None => out,
    };
    match arguments.format {
        Format::Json => {
            let style = if arguments.avro_json { JsonStyle::Avro } else { JsonStyle::Plain };
            let mut printer = Json { out, schemas, style, meta: arguments.meta, line: Vec::new() };
            read(&*log, &range, shutdown, &mut printer)?;
        }
        Format::Avro => {
            let Some((_, reader)) = schemas.of_topic(range.topic)? else {
                bail!("topic `{}` has no schema in the registry, and an Avro file needs one", range.topic);
            };
            let writer = ContainerWriter::new(out, &reader, Codec::Null)?;
            let mut printer = Avro { writer, schemas, reader, plans: HashMap::new(), datum: Vec::new() };
            read(&*log, &range, shutdown, &mut printer)?;
            printer.writer.finish()?;
        }
    }
    Ok(())
}

/// Reads partitions in turns. A record that cannot be printed is told and passed over, so that it hides no other.
fn read(log: &dyn Log, range: &Range<'_>, shutdown: &Shutdown, printer: &mut dyn Printer) -> anyhow::Result<()> {
    let topic = log.topic(range.topic)?.ok_or_else(|| LogError::NoTopic(range.topic.to_owned()))?;
    // Per partition: its number, where to read on, and what was its end at the start.
    let chosen = topic.partitions.iter().filter(|p| range.partition.is_none_or(|wanted| wanted == p.partition));
    let mut partitions: Vec<(u32, i64, i64)> = chosen.map(|p| (p.partition, range.from.max(p.start), p.end)).collect();
    if partitions.is_empty() {
        let last = topic.partitions.len().saturating_sub(1);
        return Err(
            Usage::new(format!("topic `{}` has no partition like that; they are 0 to {last}", range.topic)).into()
        );
    }
    let (mut left, mut unreadable) = (range.max, 0u64);
    while left > 0 && !shutdown.is_requested() {
        let mut idle = true;
        for (partition, offset, end) in &mut partitions {
            if left == 0 || (range.until_end && *offset >= *end) {
                continue;
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(BATCH_RECORDS);
            let batch = log.read(range.topic, *partition, *offset, most)?;
            let Some(next) = batch.next_offset() else {
                // What is left before the end are gaps.
                if range.until_end {
                    *offset = *end;
                }
                continue;
            };
            idle = false;
            *offset = next;
            for record in batch.iter() {
                if range.until_end && record.offset() >= *end {
                    break;
                }
                left -= 1;
                let Err(error) = printer.print(record, *partition) else { continue };
                if error.chain().any(|cause| cause.is::<io::Error>()) {
                    return Err(error);
                }
                unreadable += 1;
                let offset = record.offset();
                tracing::warn!(topic = range.topic, partition, offset, "not printed: {error:#}");
            }
        }
        if idle {
            if range.until_end {
                break;
            }
            printer.flush()?;
            if shutdown.wait(LOOK_EVERY) {
                break;
            }
        }
    }
    printer.flush()?;
    if unreadable > 0 {
        bail!("{unreadable} records could not be read; the lines above say where they are");
    }
    Ok(())
}

// === JSON lines ===

struct Json<W> {
    out: W,
    schemas: Schemas,
    style: JsonStyle,
    meta: bool,
    line: Vec<u8>,
}

impl<W: Write> Printer for Json<W> {
    fn print(&mut self, record: Record<'_>, partition: u32) -> anyhow::Result<()> {
        self.line.clear();
        if self.meta {
            write_meta(record, record.headers(), partition, &mut self.line);
            self.line.extend_from_slice(b",\"value\":");
        }
        self.schemas.write(record, self.style, &mut self.line)?;
        self.line.extend_from_slice(if self.meta { b"}\n" } else { b"\n" });
        Ok(self.out.write_all(&self.line)?)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }
}

// === Avro container file ===

struct Avro<W: Write> {
    writer: ContainerWriter<W>,
    schemas: Schemas,
    /// A file has one schema: the newest of the topic.
    reader: Arc<Schema>,
    /// From older schemas to that one.
    plans: HashMap<SchemaId, Resolution>,
    datum: Vec<u8>,
}

impl<W: Write> Printer for Avro<W> {
    fn print(&mut self, record: Record<'_>, _: u32) -> anyhow::Result<()> {
        // A file has no place for tombstones.
        let Some((id, datum)) = framing::split_record(record)? else { return Ok(()) };
        if !self.plans.contains_key(&id) {
            let plan = Resolution::plan(&*self.schemas.by_id(id)?, &self.reader)?;
            self.plans.insert(id, plan);
        }
        let plan = self.plans.get(&id).with_context(|| format!("schema {id}"))?;
        self.datum.clear();
        plan.apply(datum, &mut self.datum)?;
        Ok(self.writer.append(&self.datum)?)
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.writer.flush()?)
    }
}
