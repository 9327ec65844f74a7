//! A case from real records: the newest ones of a topic, as they are.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{create_dir_all, write};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use bespoke_boundary::{Resolution, Schema};
use bespoke_record::{Batch, Record};

use super::case::{CASE, META, nearest_schema};
use crate::cli::failure::Usage;
use crate::cli::place::PlaceArguments;
use crate::cli::values::{Schemas, write_meta};
use crate::command::schema_in;
use crate::format::{JsonStyle, write_json};
use crate::log::{self, Log, LogError, PartitionInfo};
use crate::schema::framing::{self, SchemaId};

/// Where values go.
const VALUES: &str = "input.jsonl";
/// Where the topic's schema goes if the project has none.
const SCHEMA: &str = "schema.avsc";

/// Writes the `last` records of a topic to a new folder.
///
/// # Errors
/// If the folder is there, or the topic cannot be read.
pub(super) fn capture(
    place: &PlaceArguments,
    topic: &str,
    partition: Option<u32>,
    last: usize,
    folder: &Path,
    out: &mut dyn Write,
) -> Result<()> {
    if folder.exists() {
        let what = format!("`{}` is there already", folder.display());
        return Err(Usage::new(what).hint("give the new case another name, with --case NAME").into());
    }
    let place = place.find()?;
    let log = place.read_only()?;
    let mut schemas = Schemas::required(place.registry()?, place.subjects())?;
    let tails = tails(&*log, topic, partition, last)?;
    let records = merged(&tails, last);
    let newest = match schemas.of_topic(topic)? {
        Some((_, newest)) => newest,
        // The subject may have another name. What a record is of, it tells itself.
        None => {
            let id = records.iter().rev().find_map(|(_, record)| framing::split_record(*record).ok().flatten());
            let Some((id, _)) = id else {
                bail!("topic `{topic}` has no schema in the registry, and no record that names one; a case needs one");
            };
            schemas.by_id(id)?
        }
    };
    let own = nearest_schema(folder)?;
    let schema = own.as_deref().map(schema_in).transpose()?.map_or(newest, Arc::new);
    let mut plans: HashMap<SchemaId, Resolution> = HashMap::new();
    let (mut values, mut metas, mut captured) = (Vec::new(), Vec::new(), 0);
    for (partition, record) in records {
        match value(record, &schema, &mut schemas, &mut plans) {
            Ok(line) => values.extend_from_slice(&line),
            Err(error) => {
                let offset = record.offset();
                tracing::warn!(topic, partition, offset, "left out, as no module would see it: {error:#}");
                continue;
            }
        }
        values.push(b'\n');
        // The value is not framed as it was, and what names its schema would be wrong.
        let headers = record.headers().filter(|(name, _)| *name != framing::VALUE_HEADER);
        write_meta(record, headers, partition, &mut metas);
        metas.extend_from_slice(b"}\n");
        captured += 1;
    }
    if captured == 0 {
        bail!("topic `{topic}` has no records that could be captured");
    }
    create_dir_all(folder).with_context(|| format!("`{}` cannot be made", folder.display()))?;
    let case = format!("topic = {}\n", toml::Value::String(topic.to_owned()));
    let mut files = vec![(VALUES, values), (META, metas), (CASE, case.into_bytes())];
    if own.is_none() {
        files.push((SCHEMA, schema.json().as_bytes().to_vec()));
    }
    for (name, content) in files {
        let path = folder.join(name);
        write(&path, content).with_context(|| format!("`{}` cannot be written", path.display()))?;
    }
    writeln!(out, "{captured} records of {topic} are in {}", folder.display())?;
    Ok(())
}

/// The end of each partition: its last records, so many if it has them.
fn tails(log: &dyn Log, topic: &str, only: Option<u32>, last: usize) -> Result<Vec<(u32, Vec<Batch>)>> {
    let info = log.topic(topic)?.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
    let chosen: Vec<&PartitionInfo> =
        info.partitions.iter().filter(|p| only.is_none_or(|only| only == p.partition)).collect();
    if chosen.is_empty() {
        let highest = info.partitions.len().saturating_sub(1);
        return Err(Usage::new(format!("topic `{topic}` has no partition like that; they are 0 to {highest}")).into());
    }
    chosen.into_iter().map(|p| Ok((p.partition, tail(log, topic, p, last)?))).collect()
}

/// Offsets may have gaps: as long as what was found is too little, it is looked further back.
fn tail(log: &dyn Log, topic: &str, info: &PartitionInfo, last: usize) -> Result<Vec<Batch>> {
    let mut back = last as i64;
    loop {
        let from = info.end.saturating_sub(back).max(info.start);
        let batches = log::batches(log, topic, info.partition, from..info.end, last).collect::<Result<Vec<_>, _>>()?;
        let found: usize = batches.iter().map(Batch::len).sum();
        if found >= last || from == info.start {
            return Ok(batches);
        }
        back = back.saturating_mul(4);
    }
}

/// The newest records of all partitions, those of each in their order.
fn merged(tails: &[(u32, Vec<Batch>)], last: usize) -> Vec<(u32, Record<'_>)> {
    let mut rest: Vec<(u32, Vec<Record<'_>>)> =
        tails.iter().map(|(partition, batches)| (*partition, batches.iter().flat_map(Batch::iter).collect())).collect();
    let mut newest = Vec::new();
    while newest.len() < last {
        let ends = rest.iter_mut().filter(|(_, records)| !records.is_empty());
        let Some((partition, records)) = ends.max_by_key(|(_, r)| r.last().map(Record::timestamp_ms)) else { break };
        newest.extend(records.pop().map(|record| (*partition, record)));
    }
    newest.reverse();
    newest
}

/// A value as JSON, by the schema with which it is read.
fn value(
    record: Record<'_>,
    schema: &Arc<Schema>,
    schemas: &mut Schemas,
    plans: &mut HashMap<SchemaId, Resolution>,
) -> Result<Vec<u8>> {
    let Some((id, datum)) = framing::split_record(record)? else { return Ok(b"null".to_vec()) };
    let plan = match plans.entry(id) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(new) => new.insert(Resolution::plan(&*schemas.by_id(id)?, schema)?),
    };
    let (mut resolved, mut line) = (Vec::new(), Vec::new());
    plan.apply(datum, &mut resolved)?;
    write_json(schema, &resolved, JsonStyle::Plain, &mut line)?;
    Ok(line)
}
