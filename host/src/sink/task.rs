//! One worker's share of a sink.

use std::collections::HashMap;
use std::sync::Arc;

use bespoke_boundary::Schema;
use bespoke_record::Batch;
use bytes::Bytes;

use super::row::RowPlan;
use crate::dead_letter::{DeadLetters, Kind};
use crate::log::{LogError, Session};
use crate::metrics::Counters;
use crate::schema::framing;
use crate::stage::{NoSchema, Writers};
use crate::table::{Cell, Rows, TableError, TableSpec, TableStore, TableWriter};
use crate::worker::{Flow, Stop, Task};

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
    /// Where dead letters go.
    pub dead_letters: String,
    /// How records become rows.
    pub plan: RowPlan,
}

/// A sink's worker: the rows of the open step, one for each key.
pub struct SinkTask {
    sink: Arc<Sink>,
    writers: Writers,
    schema: Arc<Schema>,
    counters: Arc<Counters>,
    /// The way to a table outside of the log.
    writer: Option<Box<dyn TableWriter>>,
    rows: Staged,
    converted: Vec<u8>,
}

/// The last change of each key in the step.
#[derive(Default)]
struct Staged {
    arena: Vec<u8>,
    cells: Vec<Cell>,
    /// By the encoded key: the index of its row, or a delete.
    by_key: HashMap<Vec<u8>, Change>,
}

enum Change {
    Upsert(usize),
    Delete(Vec<Cell>),
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
        Ok(Self { sink, writers, schema, counters, writer, rows: Staged::default(), converted: Vec::new() })
    }

    fn upsert(&mut self, batch: &Batch, index: usize) -> Result<(), Failed> {
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
        let row = self.rows.cells.len();
        let plan = &self.sink.plan;
        plan.read(&self.schema, datum, &mut self.rows.cells, &mut self.rows.arena).map_err(|e| bad(Kind::Row, e))?;
        let table = &self.sink.table;
        let mut key = Vec::with_capacity(32);
        for column in table.partition_key.iter().chain(&table.clustering_key) {
            encode_cell(&mut key, self.rows.cells[row + column], &self.rows.arena);
        }
        self.rows.by_key.insert(key, Change::Upsert(row));
        Ok(())
    }

    /// A tombstone: its key names the row, if the key is made of the table's key columns.
    fn delete(&mut self, batch: &Batch, index: usize) -> Result<(), Failed> {
        let key = batch.entries()[index].key.map(|k| k.of(batch.arena())).unwrap_or_default();
        let table = self.sink.table.clone();
        let columns: Vec<usize> = table.partition_key.iter().chain(&table.clustering_key).copied().collect();
        let why = |what: &str| bad(Kind::Row, format!("a tombstone whose key does not name a row: {what}"));
        let text = std::str::from_utf8(key).map_err(|_| why("it is not UTF-8"))?;
        let parts: Vec<serde_json::Value> = match self.sink.key.as_slice() {
            [_] => vec![text.into()],
            _ => serde_json::from_str(text).map_err(|_| why("it is not a JSON array"))?,
        };
        let mut cells = Vec::with_capacity(columns.len());
        for column in &columns {
            let name = &table.columns[*column].name;
            let part = self.sink.key.iter().position(|k| k == name).and_then(|i| parts.get(i));
            let part = part.ok_or_else(|| why(&format!("column `{name}` is not part of the topic's key")))?;
            cells
                .push(cell_of(part, table.columns[*column].ty, &mut self.rows.arena).ok_or_else(|| why("wrong type"))?);
        }
        let mut encoded = Vec::with_capacity(32);
        for cell in &cells {
            encode_cell(&mut encoded, *cell, &self.rows.arena);
        }
        self.rows.by_key.insert(encoded, Change::Delete(cells));
        Ok(())
    }
}

/// The value of a key column in a tombstone's key.
fn cell_of(value: &serde_json::Value, ty: crate::table::ColumnType, arena: &mut Vec<u8>) -> Option<Cell> {
    use crate::table::ColumnType as T;
    let text = match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(match ty {
        T::Boolean => Cell::Integer(i64::from(text.parse::<bool>().ok()?)),
        T::Int | T::Long | T::Date | T::TimestampMillis | T::TimestampMicros => Cell::Integer(text.parse().ok()?),
        // As a row has it: the number nearest to the text that a float can be.
        T::Float => Cell::Real(f64::from(text.parse::<f32>().ok()?)),
        T::Double => Cell::Real(text.parse().ok()?),
        T::Text | T::Uuid => {
            let start = arena.len() as u32;
            arena.extend_from_slice(text.as_bytes());
            Cell::Text(bespoke_record::Span { start, len: text.len() as u32 })
        }
        // A key has the bytes of a decimal, which are not its digits.
        T::TimeMicros | T::Blob | T::Json | T::Decimal => return None,
    })
}

fn encode_cell(out: &mut Vec<u8>, cell: Cell, arena: &[u8]) {
    match cell {
        Cell::Null => out.push(0),
        Cell::Integer(value) => {
            out.push(1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Cell::Real(value) => {
            out.push(2);
            // 0 and -0 are one key.
            out.extend_from_slice(&(value + 0.0).to_bits().to_le_bytes());
        }
        Cell::Text(span) | Cell::Blob(span) => {
            out.push(3);
            out.extend_from_slice(&span.len.to_le_bytes());
            out.extend_from_slice(span.of(arena));
        }
    }
}

impl Task for SinkTask {
    fn assigned(&mut self, _: u32, _: Option<Bytes>) -> Result<(), Stop> {
        Ok(())
    }

    fn revoked(&mut self, _: u32) {}

    fn records(&mut self, session: &mut dyn Session, partition: u32, batch: &Batch) -> Result<Flow, Stop> {
        let sink = self.sink.clone();
        let mut letters = DeadLetters::new(&sink.name, None);
        let mut diverted = 0;
        for index in 0..batch.len() {
            let done = match batch.entries()[index].value {
                Some(_) => self.upsert(batch, index),
                None => self.delete(batch, index),
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
        if diverted > 0 {
            self.counters.dead_letters.add(diverted);
            session.divert(&self.sink.dead_letters, &letters.finish())?;
        }
        Ok(Flow::Done)
    }

    fn states(&mut self) -> Result<Vec<(u32, Bytes)>, Stop> {
        Ok(Vec::new())
    }

    fn rows(&mut self) -> Result<Vec<Rows>, Stop> {
        let staged = std::mem::take(&mut self.rows);
        if staged.by_key.is_empty() {
            return Ok(Vec::new());
        }
        let width = self.sink.table.columns.len();
        let mut rows =
            Rows { table: self.sink.table.clone(), arena: staged.arena, upserts: Vec::new(), deletes: Vec::new() };
        for change in staged.by_key.into_values() {
            match change {
                Change::Upsert(first) => rows.upserts.extend_from_slice(&staged.cells[first..first + width]),
                Change::Delete(cells) => rows.deletes.extend(cells),
            }
        }
        self.counters.records_out.add((rows.upserts.len() / width) as u64);
        match &mut self.writer {
            Some(writer) => {
                writer.write(&rows).map_err(LogError::from)?;
                Ok(Vec::new())
            }
            None => Ok(vec![rows]),
        }
    }

    fn committed(&mut self, _: Vec<(u32, Bytes)>) {}

    fn aborted(&mut self) {
        self.rows = Staged::default();
    }
}
