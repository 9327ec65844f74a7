//! The records of a case: their values, and what is known of them besides.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bespoke_boundary::Schema;
use serde::Deserialize;

use crate::cli::failure::Usage;
use crate::format::ContainerReader;
use crate::format::reader::{Format, Item, ReadOptions, RecordReader, Source};

/// A line that stands for a record without a value.
const TOMBSTONE: &[u8] = b"null";

/// What is known of a record besides its value.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub partition: u32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A line of `meta.jsonl`, as `host topics read --meta` prints it, without the value.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    partition: u32,
    offset: Option<i64>,
    timestamp: Option<Moment>,
    #[serde(default)]
    key: Content,
    #[serde(default)]
    headers: Vec<(String, Content)>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Moment {
    Milliseconds(i64),
    Text(String),
}

/// Bytes in JSON: text if they are text.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum Content {
    #[default]
    None,
    Text(String),
    Bytes {
        base64: String,
    },
}

/// The values of a file, as Avro of this schema; none for a tombstone.
///
/// # Errors
/// The first one that is no record.
pub(super) fn values(path: &Path, schema: &Arc<Schema>) -> Result<Vec<Option<Vec<u8>>>> {
    let format = Format::of(path).unwrap_or(Format::Jsonl);
    let source = Source::File(path.to_owned());
    let mut reader = RecordReader::open(source, format, schema.clone(), ReadOptions::default())?;
    let mut values = Vec::new();
    loop {
        let mut datum = Vec::new();
        match reader.next(&mut datum)? {
            None => return Ok(values),
            Some(Item::Datum) => values.push(Some(datum)),
            Some(Item::Rejected { raw, .. }) if raw.trim_ascii() == TOMBSTONE => values.push(None),
            Some(Item::Rejected { reason, line, .. }) => {
                return Err(Usage::new(format!("`{}`, record {line}: {reason}", path.display())).into());
            }
        }
    }
}

/// The schema that a file has in itself.
///
/// # Errors
/// If it cannot be read.
pub(super) fn own_schema(path: &Path) -> Result<Option<Arc<Schema>>> {
    if Format::of(path) != Some(Format::Avro) {
        return Ok(None);
    }
    let context = || format!("`{}` cannot be read", path.display());
    let file = BufReader::new(File::open(path).with_context(context)?);
    Ok(Some(ContainerReader::new(file).with_context(context)?.schema().clone()))
}

/// What is known of each of so many records: what the file says, if it is there, and else they are of one partition, one
/// after the other, and without keys and headers.
///
/// # Errors
/// A file with other lines, or with offsets that do not grow.
pub(super) fn abouts(path: &Path, records: usize, start_ms: i64) -> Result<Vec<About>> {
    let lines = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "{}\n".repeat(records),
        Err(error) => return Err(error).with_context(|| format!("`{}` cannot be read", path.display())),
    };
    let mut abouts: Vec<About> = Vec::with_capacity(records);
    for (number, text) in lines.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let wrong = |what: String| Usage::new(format!("`{}`, line {}: {what}", path.display(), number + 1));
        let line: Line = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let before = abouts.iter().rev().find(|about| about.partition == line.partition).map(|about| about.offset);
        let offset = line.offset.unwrap_or(before.map_or(0, |before| before + 1));
        if let Some(before) = before.filter(|before| offset <= *before) {
            return Err(wrong(format!("offset {offset} comes after {before}, and offsets grow")).into());
        }
        let bytes = |content: Content| content.bytes().map_err(|e| wrong(e.to_string()));
        abouts.push(About {
            partition: line.partition,
            offset,
            timestamp_ms: match line.timestamp {
                None => start_ms,
                Some(Moment::Milliseconds(number)) => number,
                Some(Moment::Text(text)) => {
                    let timestamp = text.parse::<jiff::Timestamp>();
                    timestamp.map_err(|_| wrong(format!("`{text}` is no time")))?.as_millisecond()
                }
            },
            key: bytes(line.key)?,
            headers: line
                .headers
                .into_iter()
                .map(|(name, content)| Ok((name, bytes(content)?)))
                .collect::<Result<_, Usage>>()?,
        });
    }
    if abouts.len() != records {
        let what = format!("`{}` has {} lines, and the case {records} records", path.display(), abouts.len());
        return Err(Usage::new(what).into());
    }
    Ok(abouts)
}

impl Content {
    fn bytes(self) -> Result<Option<Vec<u8>>, base64::DecodeError> {
        match self {
            Self::None => Ok(None),
            Self::Text(text) => Ok(Some(text.into_bytes())),
            Self::Bytes { base64 } => STANDARD.decode(base64).map(Some),
        }
    }
}
