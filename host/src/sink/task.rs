//! One worker's share of a sink.
//!
//! A row that a table refuses becomes a dead letter. A table outside of the log tells it before the step is committed. One in
//! the log tells it by the commit, so that the step is thrown away and done again without the records that are known to be
//! at fault; from then on each of its rows is judged, and not only the last of each key, or it would take one more time for
//! each row that has been written over.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bespoke_boundary::Schema;
use bespoke_record::Batch;
use bytes::Bytes;

use super::row::{RowPlan, one_zero};
use super::staged::{Sent, Staged};
use super::stamps::Stamps;
use crate::dead_letter::{DeadLetters, Kind};
use crate::log::{LogError, Session};
use crate::metrics::Counters;
use crate::schema::framing;
use crate::stage::{NoSchema, Writers};
use crate::table::{
    Cell, ColumnType, Refused, RowIndex, Rows, TableError, TableSpec, TableStore, TableWriter, Written,
};
use crate::worker::{Between, Flow, MAX_STEP_BYTES, Outside, Stop, Task};

/// Everything about a sink that its workers share.
pub struct Sink {
    /// The sink's name.
    pub name: String,
    /// The topic that it reads.
    pub from: String,
    /// The table that it fills.
    pub table: Arc<TableSpec>,
    /// Where the table lives; none for the log, of whose steps the rows are a part then.
    pub store: Option<Arc<dyn TableStore>>,
    /// Whether the table is made if it is missing.
    pub creates_table: bool,
    /// The fields that made the records' keys, in order; tombstones name their rows by them.
    pub key: Vec<String>,
    /// Why rows of one key may come from several partitions, which have no order, if they may.
    pub unordered: Option<String>,
    /// Where dead letters go.
    pub dead_letters: String,
    /// How records become rows.
    pub plan: RowPlan,
    /// After so many refused rows in a row, without one that the table took, the sink ends.
    pub max_dead_letters_in_a_row: u64,
}

/// A sink's worker: the rows of the open step, one for each key.
pub struct SinkTask {
    sink: Arc<Sink>,
    writers: Writers,
    schema: Arc<Schema>,
    counters: Arc<Counters>,
    /// The way to a table outside of the log.
    writer: Option<Box<dyn TableWriter>>,
    staged: Staged,
    /// What the writer or the log has.
    sent: Option<Sent>,
    /// Whether each change is to be judged, since the log's table has refused one.
    judges_each: bool,
    /// Records whose rows the log's table has refused in this step, by partition and offset, and why.
    refused: HashMap<(u32, i64), String>,
    /// Where the partitions ended in the step that was refused; it is not to become longer.
    tried: HashMap<u32, i64>,
    /// What the table has done with the rows of this step.
    judged: Judged,
    /// Rows that it has refused since the last step of which it took one, and why the last of them.
    refused_in_a_row: (u64, String),
    /// The last stamp of each partition.
    stamps: HashMap<u32, Stamps>,
    converted: Vec<u8>,
}

/// What a table has done with the rows of a step.
#[derive(Default)]
struct Judged {
    /// Upserts: a table that takes nothing else may take deletes.
    taken: usize,
    refused: usize,
    /// Why the last one was.
    why: String,
}

/// Why there is no row.
enum Failed {
    /// The record is at fault.
    Bad(Kind, String),
    /// Its schema cannot be had at the moment.
    Schema(String),
}

fn bad(kind: Kind, why: impl ToString) -> Failed {
    Failed::Bad(kind, why.to_string())
}

impl SinkTask {
    /// A worker that has nothing assigned yet.
    ///
    /// # Errors
    /// If the table cannot be opened.
    pub fn new(sink: Arc<Sink>, writers: Writers, counters: Arc<Counters>) -> Result<Self, TableError> {
        let schema = writers.reader().clone();
        let writer = sink.store.as_ref().map(|store| store.writer(&sink.table)).transpose()?;
        Ok(Self {
            sink,
            writers,
            schema,
            counters,
            writer,
            staged: Staged::default(),
            sent: None,
            judges_each: false,
            refused: HashMap::new(),
            tried: HashMap::new(),
            judged: Judged::default(),
            refused_in_a_row: (0, String::new()),
            stamps: HashMap::new(),
            converted: Vec::new(),
        })
    }

    fn upsert(&mut self, batch: &Batch, index: usize, stamp: i64) -> Result<(), Failed> {
        let Some(value) = batch.entries()[index].value else { return Ok(()) };
        let (id, datum) = framing::split_span(batch, index, value).map_err(|e| bad(Kind::Decode, e))?;
        let resolution = self.writers.get(id).map_err(|missing| match missing {
            NoSchema::Unknown(why) => Failed::Bad(Kind::Schema, why),
            NoSchema::Unavailable(why) => Failed::Schema(why),
        })?;
        let mut datum = datum.of(batch.arena());
        if let Some(resolution) = resolution {
            self.converted.clear();
            resolution.apply(datum, &mut self.converted).map_err(|e| bad(Kind::Decode, e))?;
            datum = &self.converted;
        }
        let plan = &self.sink.plan;
        let found = plan.read(&self.schema, datum, &mut self.staged.drawn).map_err(|e| bad(Kind::Row, e))?;
        self.staged.upsert(&self.sink.table, index, &found, stamp);
        Ok(())
    }

    /// A tombstone: its key names the row, if the key is made of the table's key columns.
    fn delete(&mut self, batch: &Batch, index: usize, stamp: i64) -> Result<(), Failed> {
        let table = self.sink.table.clone();
        let columns: Vec<usize> = table.key().collect();
        let why = |what: &str| bad(Kind::Row, format!("a tombstone whose key does not name a row: {what}"));
        let key = batch.entries()[index].key.ok_or_else(|| why("there is none"))?.of(batch.arena());
        let text = std::str::from_utf8(key).map_err(|_| why("it is not UTF-8"))?;
        let parts: Vec<serde_json::Value> = match self.sink.key.as_slice() {
            [] => return Err(why("nobody says of which fields it is made; give the sink a `key`")),
            [_] => vec![text.into()],
            _ => serde_json::from_str(text).map_err(|_| why("it is not a JSON array"))?,
        };
        let mut cells = Vec::with_capacity(columns.len());
        for column in &columns {
            let name = &table.columns[*column].name;
            let part = self.sink.key.iter().position(|k| k == name).and_then(|i| parts.get(i));
            let part = part.ok_or_else(|| why(&format!("column `{name}` is not part of the topic's key")))?;
            let cell = cell_of(part, &table.columns[*column].ty, &mut self.staged.drawn.arena);
            let cell = cell.map(one_zero);
            cells.push(cell.ok_or_else(|| why(&format!("column `{name}` cannot be read from it")))?);
        }
        self.staged.delete(&cells, index, stamp);
        Ok(())
    }
}

/// The value of a key column in a tombstone's key.
fn cell_of(value: &serde_json::Value, ty: &ColumnType, arena: &mut Vec<u8>) -> Option<Cell> {
    use ColumnType as T;
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(match ty {
        T::Boolean => Cell::Integer(i64::from(text.parse::<bool>().ok()?)),
        T::Int | T::Long | T::Date | T::TimestampMillis | T::TimestampMicros | T::TimestampNanos => {
            Cell::Integer(text.parse().ok()?)
        }
        // As a row has it: the number nearest to the text that a float can be.
        T::Float => Cell::Real(f64::from(text.parse::<f32>().ok()?)),
        T::Double => Cell::Real(text.parse().ok()?),
        T::Text | T::Uuid => {
            u32::try_from(arena.len() + text.len()).ok()?;
            let start = arena.len() as u32;
            arena.extend_from_slice(text.as_bytes());
            Cell::Text(bespoke_record::Span { start, len: text.len() as u32 })
        }
        // A key has the bytes of a decimal, which are not its digits.
        T::TimeMicros | T::Blob | T::Decimal => return None,
        T::Duration | T::Array(_) | T::Map(_) | T::Record(_) | T::Json => return None,
    })
}

impl Task for SinkTask {
    fn assigned(&mut self, partition: u32, _: Option<Bytes>, note: Option<&str>) -> Result<(), Stop> {
        let stamps = note.map(|note| Stamps::after(note).ok_or(note));
        if let Some(Err(note)) = stamps {
            tracing::warn!(partition, note, "a note of another program beside the position; stamps begin anew");
        }
        self.stamps.insert(partition, stamps.and_then(Result::ok).unwrap_or_else(Stamps::new));
        Ok(())
    }

    fn revoked(&mut self, partition: u32) {
        self.stamps.remove(&partition);
    }

    fn records(&mut self, session: &mut dyn Session, partition: u32, batch: &Batch) -> Result<Flow, Stop> {
        let sink = self.sink.clone();
        let mut letters = DeadLetters::new(&sink.name, None);
        let mut diverted = 0;
        let mut stamps = self.stamps.get(&partition).copied().unwrap_or_else(Stamps::new);
        self.staged.keep(partition, batch);
        for index in 0..batch.len() {
            let entry = &batch.entries()[index];
            let stamp = stamps.next(entry.timestamp_ms);
            let refused = self.refused.get(&(partition, entry.offset)).cloned();
            let done = match entry.value {
                _ if let Some(why) = refused => Err(Failed::Bad(Kind::Row, why)),
                Some(_) => self.upsert(batch, index, stamp),
                None => self.delete(batch, index, stamp),
            };
            match done {
                Ok(()) => {}
                Err(Failed::Bad(kind, why)) => {
                    letters
                        .push(batch.get(index), &sink.from, partition, kind, &why)
                        .map_err(|e| Stop::Policy(e.to_string()))?;
                    diverted += 1;
                }
                Err(Failed::Schema(why)) => {
                    let offset = batch.entries()[index].offset;
                    tracing::warn!(sink = sink.name, partition, offset, why, "waiting for the schema of a record");
                    return Ok(Flow::Wait);
                }
            }
        }
        self.stamps.insert(partition, stamps);
        if diverted > 0 {
            self.counters.dead_letters.add(diverted);
            session.divert(&self.sink.dead_letters, &letters.finish())?;
        }
        let next = batch.next_offset();
        let is_tried = self.tried.get(&partition).is_some_and(|end| next.is_some_and(|next| next >= *end));
        Ok(if is_tried || self.staged.bytes() >= MAX_STEP_BYTES { Flow::Commit } else { Flow::Done })
    }

    fn states(&mut self) -> Result<Vec<(u32, Bytes)>, Stop> {
        Ok(Vec::new())
    }

    fn note(&self, partition: u32) -> Option<String> {
        self.stamps.get(&partition).map(|stamps| stamps.note())
    }

    fn write(&mut self, session: &mut dyn Session, patience: Duration) -> Result<Outside, Stop> {
        let sink = self.sink.clone();
        let Some(writer) = &mut self.writer else { return Ok(Outside::Written) };
        if self.sent.is_none() {
            self.sent = self.staged.send(&sink.table, None);
        }
        let Some(sent) = &self.sent else { return Ok(Outside::Written) };
        let refused = match writer.write(&sent.rows, patience).map_err(stop)? {
            Written::Pending(why) => return Ok(Outside::Pending(why)),
            Written::Done(refused) => refused,
        };
        let is_upsert = |refused: &&Refused| matches!(refused.row, RowIndex::Upsert(_));
        let written = sent.rows.marks.len() - refused.iter().filter(is_upsert).count();
        self.counters.records_out.add(written as u64);
        self.judged.taken += written;
        self.judged.refused += refused.len();
        if let Some(Refused { why, .. }) = refused.last() {
            self.judged.why.clone_from(why);
        }
        let mut letters = DeadLetters::new(&sink.name, None);
        for Refused { row, why } in &refused {
            let Some((partition, record)) = self.staged.refuse(sent, *row) else { continue };
            let pushed = letters.push(record, &sink.from, partition, Kind::Row, why);
            pushed.map_err(|e| Stop::Policy(e.to_string()))?;
        }
        if !letters.is_empty() {
            self.counters.dead_letters.add(letters.len() as u64);
            session.divert(&sink.dead_letters, &letters.finish())?;
        }
        // What a refused row had taken the place of counts again. Its turn comes after whatever else asks for the worker.
        let last = self.sent.take();
        self.sent = self.staged.send(&sink.table, last);
        if self.sent.is_some() {
            return Ok(Outside::Pending(None));
        }
        self.staged = Staged::default();
        Ok(Outside::Written)
    }

    fn rows(&mut self) -> Result<Vec<Rows>, Stop> {
        if self.writer.is_some() {
            return Ok(Vec::new());
        }
        let table = &self.sink.table;
        let sent = if self.judges_each { self.staged.send_each(table) } else { self.staged.send(table, None) };
        let Some(mut sent) = sent else { return Ok(Vec::new()) };
        let rows = std::mem::replace(&mut sent.rows, Arc::new(Rows::new(table.clone())));
        self.sent = Some(sent);
        let rows = Arc::into_inner(rows);
        self.counters.records_out.add(rows.as_ref().map_or(0, |rows| rows.marks.len() as u64));
        Ok(rows.into_iter().collect())
    }

    fn refused(&mut self, refused: Vec<Refused>) {
        let Some(sent) = self.sent.take() else { return };
        self.judges_each = true;
        self.tried = self.staged.ends().collect();
        for Refused { row, why } in refused {
            if let Some((partition, record)) = self.staged.refuse(&sent, row) {
                tracing::debug!(sink = self.sink.name, partition, offset = record.offset(), why, "row refused");
                self.refused.insert((partition, record.offset()), why);
            }
        }
    }

    fn between(&mut self, _: &mut dyn Session, _: &BTreeMap<u32, i64>) -> Result<Between, Stop> {
        let (refused, why) = &self.refused_in_a_row;
        if *refused < self.sink.max_dead_letters_in_a_row {
            return Ok(Between::Go);
        }
        let Sink { name, table, dead_letters, .. } = &*self.sink;
        Err(Stop::Policy(format!(
            "table `{}` has refused {refused} rows in a row and taken none, so that it or its settings are taken to be at fault; \
             the last one: {why}. They are dead letters, for `host dead-letters replay` when that is mended, of sink `{name}` in \
             topic `{dead_letters}`",
            table.name
        )))
    }

    fn committed(&mut self, _: Vec<(u32, Bytes)>) {
        let mut judged = std::mem::take(&mut self.judged);
        if self.writer.is_none() {
            judged.taken = self.sent.as_ref().map_or(0, Sent::upserts);
            judged.refused = self.refused.len();
            judged.why = self.refused.drain().last().map(|(_, why)| why).unwrap_or_default();
        }
        if judged.taken > 0 {
            self.refused_in_a_row.0 = 0;
        } else if judged.refused > 0 {
            self.refused_in_a_row = (self.refused_in_a_row.0 + judged.refused as u64, judged.why);
        }
        self.staged = Staged::default();
        self.sent = None;
        self.refused.clear();
        self.tried.clear();
    }

    fn aborted(&mut self) {
        // Whoever has the partitions next writes these rows; older ones of a step long gone must not follow them.
        if let Some(writer) = &mut self.writer {
            writer.forget();
        }
        self.judged = Judged::default();
        self.staged = Staged::default();
        self.sent = None;
    }
}

/// A table that has become another cannot be waited for.
fn stop(error: TableError) -> Stop {
    match error {
        TableError::Store { .. } | TableError::Connect { .. } => LogError::from(error).into(),
        changed => Stop::Table(changed),
    }
}

#[cfg(test)]
mod tests;
