//! `host dead-letters`: what could not be handled.

use std::collections::VecDeque;
use std::io::Write;

use anyhow::bail;
use bespoke_record::Record;

use super::grid::{self, Side};
use super::values::{Schemas, write_bytes};
use super::{place, replay};
use crate::dead_letter::DeadLetter;
use crate::format::json::JsonStyle;
use crate::log::{self, Log, LogError};

/// Letters that are read at once.
const BATCH_RECORDS: usize = 1024;
/// Reasons are cut after so many characters in the list.
const MAX_REASON_CHARS: usize = 80;
/// Letters that are shown whole, unless more are wanted.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host dead-letters list
  host dead-letters show 12
  host dead-letters replay")]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List dead letters, the newest last.
    List(List),
    /// Show dead letters with all that is known of them.
    Show(Show),
    /// Send records again to the topics that they came from.
    Replay(replay::Arguments),
}

/// Which topic the letters are in.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// The topic of the dead letters [default: that of the pipeline]
    #[arg(long, value_name = "TOPIC")]
    pub(super) topic: Option<String>,

    #[command(flatten)]
    pub(super) place: place::PlaceArguments,
}

/// Which letters.
#[derive(Debug, clap::Args)]
struct Which {
    /// Only those of this feed, stage or sink
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,

    /// Only those of these kinds, such as rejected, trap or decode
    #[arg(long, value_name = "KIND,…", value_delimiter = ',')]
    kind: Vec<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host dead-letters list
  host dead-letters list --stage processor --kind rejected --max 100")]
struct List {
    #[command(flatten)]
    which: Which,

    /// How many at most, of the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    max: usize,

    #[command(flatten)]
    place: Where,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host dead-letters show 12
  host dead-letters show --kind trap --max 1
  host dead-letters show --kind feed,key,too-large --raw > lines.jsonl    what was no record, to be corrected and fed again")]
struct Show {
    /// The offset of one dead letter [default: the newest ones]
    offset: Option<i64>,

    #[command(flatten)]
    which: Which,

    /// How many at most, of the newest [default: 10, and all with --raw]
    #[arg(long, value_name = "N")]
    max: Option<usize>,

    /// Write the values alone, byte for byte, each with an end of line
    #[arg(long)]
    raw: bool,

    #[command(flatten)]
    place: Where,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    match &arguments.command {
        Command::List(list) => {
            let place = list.place.place.find()?;
            let log = place.read_only()?;
            let topic = list.place.topic(&*log, &place)?;
            print_list(&*log, &topic, list, out)
        }
        Command::Show(show) => {
            let place = show.place.place.find()?;
            let log = place.read_only()?;
            let topic = show.place.topic(&*log, &place)?;
            let mut schemas = Schemas::new(place.registry()?, place.subjects());
            print_whole(&*log, &topic, show, &mut schemas, out)
        }
        Command::Replay(replay) => replay::run(replay, out),
    }
}

// === impl Where ===

impl Where {
    pub(super) fn topic(&self, log: &dyn Log, place: &place::Place) -> anyhow::Result<String> {
        match &self.topic {
            Some(topic) => Ok(topic.clone()),
            None => place.dead_letters(log),
        }
    }
}

// === impl Which ===

impl Which {
    fn takes(&self, letter: &DeadLetter<'_>) -> bool {
        self.stage.as_ref().is_none_or(|stage| *stage == letter.stage)
            && (self.kind.is_empty() || self.kind.iter().any(|kind| *kind == letter.kind))
    }
}

/// Calls `each` with every dead letter of a topic, its partition and its record.
pub(super) fn each_letter<'l>(
    log: &dyn Log,
    topic: &str,
    mut each: impl FnMut(u32, Record<'_>, &DeadLetter<'_>) -> anyhow::Result<()> + 'l,
) -> anyhow::Result<()> {
    let info = log.topic(topic)?.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
    for partition in info.partitions {
        let offsets = partition.start..partition.end;
        for batch in log::batches(log, topic, partition.partition, offsets, BATCH_RECORDS) {
            for record in batch?.iter() {
                if let Some(letter) = DeadLetter::of(record) {
                    each(partition.partition, record, &letter)?;
                }
            }
        }
    }
    Ok(())
}

fn print_list(log: &dyn Log, topic: &str, list: &List, out: &mut dyn Write) -> anyhow::Result<()> {
    let replayed = log.committed(&replay::group(topic), topic)?;
    let mut rows = VecDeque::new();
    let mut all = 0u64;
    each_letter(log, topic, |partition, record, letter| {
        if !list.which.takes(letter) {
            return Ok(());
        }
        all += 1;
        let again = replayed.iter().any(|(p, position)| *p == partition && record.offset() < *position);
        rows.push_back(row(record, letter, again));
        if rows.len() > list.max {
            rows.pop_front();
        }
        Ok(())
    })?;
    if all == 0 {
        writeln!(out, "no dead letters in {topic}")?;
        return Ok(());
    }
    let head = [
        ("OFFSET", Side::Right),
        ("WHEN", Side::Left),
        ("REPLAYED", Side::Left),
        ("BY", Side::Left),
        ("KIND", Side::Left),
        ("FROM", Side::Left),
        ("REASON", Side::Left),
    ];
    let shown = rows.len() as u64;
    grid::print(out, &head, rows.make_contiguous())?;
    if shown < all {
        writeln!(out, "the newest {shown} of {all}; `--max N` shows more")?;
    }
    Ok(())
}

fn row(record: Record<'_>, letter: &DeadLetter<'_>, replayed: bool) -> Vec<String> {
    let again = match (&letter.origin, replayed) {
        (Some(_), true) => "yes",
        (Some(_), false) => "no",
        (None, _) => "-",
    };
    vec![
        record.offset().to_string(),
        grid::time(record.timestamp_ms()),
        again.to_owned(),
        grid::one_line(&letter.stage, MAX_REASON_CHARS),
        grid::one_line(&letter.kind, MAX_REASON_CHARS),
        origin(letter),
        grid::one_line(&letter.reason, MAX_REASON_CHARS),
    ]
}

/// Where the record was.
fn origin(letter: &DeadLetter<'_>) -> String {
    let place = match (&letter.origin, &letter.source) {
        (Some(origin), _) => format!("{}-{}@{}", origin.topic, origin.partition, origin.offset),
        (None, Some(source)) => source.to_string(),
        (None, None) => "not known".to_owned(),
    };
    grid::one_line(&place, MAX_REASON_CHARS)
}

fn print_whole(
    log: &dyn Log,
    topic: &str,
    show: &Show,
    schemas: &mut Schemas,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let max = show.max.or((!show.raw).then_some(SHOWN));
    let (mut texts, mut all) = (VecDeque::new(), 0);
    each_letter(log, topic, |partition, record, letter| {
        if show.offset.is_some_and(|wanted| wanted != record.offset()) || !show.which.takes(letter) {
            return Ok(());
        }
        all += 1;
        let text = match show.raw {
            true => [record.value().unwrap_or_default(), b"\n"].concat(),
            false => whole(partition, record, letter, schemas),
        };
        let Some(max) = max else { return Ok(out.write_all(&text)?) };
        texts.push_back(text);
        if texts.len() > max {
            texts.pop_front();
        }
        Ok(())
    })?;
    if let (Some(offset), 0) = (show.offset, all) {
        bail!("{topic} has no dead letter with offset {offset}; `host dead-letters list` lists them");
    }
    if all == 0 && !show.raw {
        writeln!(out, "no dead letters in {topic}")?;
    }
    for (index, text) in texts.iter().enumerate() {
        if index > 0 && !show.raw {
            writeln!(out)?;
        }
        out.write_all(text)?;
    }
    if !show.raw && texts.len() < all {
        writeln!(out, "\nthe newest {} of {all}; `--max N` shows more", texts.len())?;
    }
    Ok(())
}

fn whole(partition: u32, record: Record<'_>, letter: &DeadLetter<'_>, schemas: &mut Schemas) -> Vec<u8> {
    let mut out = Vec::new();
    let mut line = |name: &str, text: &str| {
        // Reasons may have lines of their own; they stay below each other.
        let visible: String = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
        let text = visible.trim_end().replace('\n', "\n            ");
        out.extend_from_slice(format!("{name:<10}  {text}\n").as_bytes());
    };
    line("offset", &format!("{} of partition {partition}", record.offset()));
    line("when", &grid::time(record.timestamp_ms()));
    line("by", &letter.stage);
    line("kind", &letter.kind);
    line("reason", &letter.reason);
    if let Some(module) = &letter.module {
        line("module", module);
    }
    line("from", &origin(letter));
    if let Some(origin) = &letter.origin {
        line("written", &grid::time(origin.timestamp_ms));
    } else {
        let offset = record.offset();
        let raw = format!("`host dead-letters show {offset} --raw` writes it as it was, to be corrected and fed again");
        line("replay", &format!("not possible: it never was a record of a topic; {raw}"));
    }
    let json = |bytes| {
        let mut text = Vec::new();
        write_bytes(bytes, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    line("key", &json(record.key()));
    for (name, value) in &letter.headers {
        line("header", &format!("{name}: {}", json(*value)));
    }
    let mut value = Vec::new();
    // What is no Avro is shown as the bytes that it is: that may be why it is here.
    if schemas.write(record, JsonStyle::Plain, &mut value).is_err() {
        value.clear();
        write_bytes(record.value(), &mut value);
    }
    line("value", &String::from_utf8_lossy(&value));
    out
}
