//! The changes of an open step: which of them have to be written, and what of a record that cannot be.
//!
//! Of each key only the last change is written, unless it leaves columns as they are that an earlier one sets; then both
//! are, so that the table ends as if every record had been written alone, wherever steps begin and end. The last is that of
//! the greatest stamp: records of one key may be in several partitions, which are read in any order. A change that the store
//! refuses is as if it had not been: those before it count then, and all of them are sent, since one that is refused is
//! seldom alone.

use std::collections::HashMap;
use std::sync::Arc;

use bespoke_record::{Batch, Record};

use super::row::{Drawn, Found};
use crate::table::{Cell, Mark, Nulls, RowIndex, Rows, TableSpec};

/// The changes of a step.
#[derive(Default)]
pub(super) struct Staged {
    /// What rows are read into.
    pub(super) drawn: Drawn,
    changes: Vec<Change>,
    /// The last change of each key.
    by_key: HashMap<Vec<u8>, usize>,
    /// Whether a change came after one of the same key that has a greater stamp.
    is_mixed: bool,
    /// Where records are, which may become dead letters.
    batches: Vec<(u32, Batch)>,
}

/// Rows on their way, and the changes that they are.
pub(super) struct Sent {
    pub(super) rows: Arc<Rows>,
    upserts: Vec<usize>,
    deletes: Vec<usize>,
}

/// Rows that are put together from changes.
struct Gathered {
    rows: Rows,
    upserts: Vec<usize>,
    deletes: Vec<usize>,
}

struct Change {
    kind: Kind,
    /// The first of its cells.
    first: usize,
    mark: Mark,
    /// Index of the record's batch and of the record in it.
    record: (usize, usize),
    /// The change of the same key before it.
    before: Option<usize>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upsert,
    Delete,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Sent,
    Refused,
}

// === impl Sent ===

impl Sent {
    /// How many of the rows are upserts.
    pub(super) fn upserts(&self) -> usize {
        self.upserts.len()
    }
}

// === impl Gathered ===

impl Gathered {
    fn new(table: &Arc<TableSpec>) -> Self {
        Self { rows: Rows::new(table.clone()), upserts: Vec::new(), deletes: Vec::new() }
    }

    fn put(&mut self, number: usize, change: &Change, cells: &[Cell]) {
        let rows = &mut self.rows;
        match change.kind {
            Kind::Upsert => {
                rows.order.push(RowIndex::Upsert(self.upserts.len()));
                self.upserts.push(number);
                rows.upserts.extend_from_slice(cells);
                rows.marks.push(change.mark);
            }
            Kind::Delete => {
                rows.order.push(RowIndex::Delete(self.deletes.len()));
                self.deletes.push(number);
                rows.deletes.extend_from_slice(cells);
                rows.delete_stamps.push(change.mark.stamp);
            }
        }
    }

    fn finish(self) -> Sent {
        Sent { rows: Arc::new(self.rows), upserts: self.upserts, deletes: self.deletes }
    }
}

// === impl Change ===

impl Change {
    /// The cells of its row, or of its key.
    fn cells<'d>(&self, drawn: &'d Drawn, table: &TableSpec) -> &'d [Cell] {
        let len = match self.kind {
            Kind::Upsert => table.columns.len(),
            Kind::Delete => table.key().count(),
        };
        &drawn.cells[self.first..][..len]
    }
}

// === impl Staged ===

impl Staged {
    /// Keeps a batch whose records follow.
    pub(super) fn keep(&mut self, partition: u32, batch: &Batch) {
        self.batches.push((partition, batch.clone()));
    }

    /// An upsert, whose cells were drawn last.
    pub(super) fn upsert(&mut self, table: &TableSpec, index: usize, found: &Found, stamp: i64) {
        let cells = &self.drawn.cells[found.first..];
        let mut key = Vec::with_capacity(32);
        for column in table.key() {
            encode_cell(&mut key, cells[column], &self.drawn.arena);
        }
        self.push(key, Kind::Upsert, found.first, Mark { stamp, ttl_s: found.ttl_s }, index);
    }

    /// A delete, with the cells of its key.
    pub(super) fn delete(&mut self, cells: &[Cell], index: usize, stamp: i64) {
        let mut key = Vec::with_capacity(32);
        for cell in cells {
            encode_cell(&mut key, *cell, &self.drawn.arena);
        }
        let first = self.drawn.cells.len();
        self.drawn.cells.extend_from_slice(cells);
        self.push(key, Kind::Delete, first, Mark { stamp, ttl_s: None }, index);
    }

    fn push(&mut self, key: Vec<u8>, kind: Kind, first: usize, mark: Mark, index: usize) {
        let number = self.changes.len();
        let before = self.by_key.insert(key, number);
        self.is_mixed |= before.is_some_and(|before| self.changes[before].mark.stamp > mark.stamp);
        let record = (self.batches.len().saturating_sub(1), index);
        self.changes.push(Change { kind, first, mark, record, before, fate: Fate::Open });
    }

    /// Puts the changes of each key into the order of their stamps; those of one stamp stay as they came.
    fn sort(&mut self) {
        if !std::mem::take(&mut self.is_mixed) {
            return;
        }
        let mut chain = Vec::new();
        for newest in self.by_key.values_mut() {
            chain.clear();
            let mut next = Some(*newest);
            while let Some(number) = next {
                chain.push(number);
                next = self.changes[number].before;
            }
            chain.sort_unstable_by_key(|number| (self.changes[*number].mark.stamp, *number));
            let mut before = None;
            for number in &chain {
                self.changes[*number].before = before.replace(*number);
            }
            *newest = before.unwrap_or(*newest);
        }
    }

    /// What has to be written next. None if all is. `last` are the rows before, in whose arena the cells are by then.
    pub(super) fn send(&mut self, table: &Arc<TableSpec>, last: Option<Sent>) -> Option<Sent> {
        self.sort();
        let mut gathered = Gathered::new(table);
        let mut covered = vec![false; table.columns.len()];
        for newest in self.by_key.values() {
            covered.fill(false);
            let mut is_refused = false;
            let mut next = Some(*newest);
            while let Some(number) = next {
                let change = &mut self.changes[number];
                next = change.before;
                if change.fate == Fate::Refused {
                    is_refused = true;
                    continue;
                }
                let cells = change.cells(&self.drawn, table);
                if std::mem::replace(&mut change.fate, Fate::Sent) == Fate::Open {
                    gathered.put(number, change, cells);
                }
                if is_refused {
                    continue;
                }
                if change.kind == Kind::Delete || table.nulls == Nulls::Delete {
                    break;
                }
                cells.iter().zip(&mut covered).for_each(|(cell, covered)| *covered |= *cell != Cell::Null);
                if covered.iter().all(|covered| *covered) {
                    break;
                }
                // Those before it that set no more are passed over.
                let sets_more = |number: usize| {
                    let change = &self.changes[number];
                    let mut cells = change.cells(&self.drawn, table).iter().zip(&covered);
                    // A delete has the cells of its key alone.
                    change.kind == Kind::Delete || cells.any(|(cell, covered)| *cell != Cell::Null && !covered)
                };
                while let Some(number) = next
                    && !sets_more(number)
                {
                    next = self.changes[number].before;
                }
            }
        }
        let rows = &mut gathered.rows;
        if rows.order.is_empty() {
            return None;
        }
        // Only after a refusal there are several of a key that a store without stamps must have in their order.
        match &last {
            Some(_) => rows.order.reverse(),
            None => rows.order.clear(),
        }
        // Those before are there only after a refusal. A writer may have them still.
        (rows.arena, rows.nested) = match last.map(|last| Arc::try_unwrap(last.rows)) {
            Some(Ok(last)) => (last.arena, last.nested),
            Some(Err(last)) => (last.arena.clone(), last.nested.clone()),
            None => (std::mem::take(&mut self.drawn.arena), std::mem::take(&mut self.drawn.nested)),
        };
        Some(gathered.finish())
    }

    /// Every change, in the order of stamps: each is judged by itself.
    pub(super) fn send_each(&mut self, table: &Arc<TableSpec>) -> Option<Sent> {
        let mut gathered = Gathered::new(table);
        let mut order: Vec<usize> = (0..self.changes.len()).collect();
        if self.is_mixed {
            order.sort_by_key(|number| self.changes[*number].mark.stamp);
        }
        for number in order {
            let change = &mut self.changes[number];
            change.fate = Fate::Sent;
            gathered.put(number, change, change.cells(&self.drawn, table));
        }
        gathered.rows.arena = std::mem::take(&mut self.drawn.arena);
        gathered.rows.nested = std::mem::take(&mut self.drawn.nested);
        (!gathered.rows.order.is_empty()).then(|| gathered.finish())
    }

    /// Where the batches end that are kept, by partition.
    pub(super) fn ends(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.batches.iter().filter_map(|(partition, batch)| Some((*partition, batch.next_offset()?)))
    }

    /// Bytes of text and blobs.
    pub(super) fn bytes(&self) -> usize {
        self.drawn.arena.len()
    }

    /// A row was refused: the record that it is of, with its partition.
    pub(super) fn refuse(&mut self, sent: &Sent, row: RowIndex) -> Option<(u32, Record<'_>)> {
        let number = match row {
            RowIndex::Upsert(index) => *sent.upserts.get(index)?,
            RowIndex::Delete(index) => *sent.deletes.get(index)?,
        };
        let change = &mut self.changes[number];
        change.fate = Fate::Refused;
        let (batch, index) = change.record;
        let (partition, batch) = self.batches.get(batch)?;
        Some((*partition, batch.get(index)))
    }
}

/// A key as bytes that are equal if and only if it is.
fn encode_cell(out: &mut Vec<u8>, cell: Cell, arena: &[u8]) {
    match cell {
        Cell::Null | Cell::Nested(_) => out.push(0),
        Cell::Integer(value) => {
            out.push(1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Cell::Real(value) => {
            out.push(2);
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        Cell::Text(span) | Cell::Blob(span) => {
            out.push(3);
            out.extend_from_slice(&span.len.to_le_bytes());
            out.extend_from_slice(span.of(arena));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bespoke_record::BatchBuilder;
    use proptest::prelude::*;

    use super::*;
    use crate::table::{Column, ColumnType};

    const WIDTH: usize = 3;

    /// A change of the key: what it sets the two other columns to, or none if it deletes the row.
    type Told = (i64, Option<[Option<i64>; WIDTH - 1]>);

    /// A table as Cassandra keeps it: by key, when the row was deleted, and for each column what was written when.
    type Table = BTreeMap<i64, (i64, [(i64, Option<i64>); WIDTH])>;

    fn spec(nulls: Nulls) -> Arc<TableSpec> {
        let column = |name: &str| Column { name: name.to_owned(), ty: ColumnType::Long, nullable: true };
        Arc::new(TableSpec {
            name: "t".to_owned(),
            columns: vec![column("a"), column("key"), column("b")],
            partition_key: vec![1],
            clustering_key: vec![],
            nulls,
            fine_times: Default::default(),
        })
    }

    fn cell(value: Option<i64>) -> Cell {
        value.map_or(Cell::Null, Cell::Integer)
    }

    fn stage(staged: &mut Staged, spec: &Arc<TableSpec>, changes: &[Told], stamps: &[i64]) {
        let mut batch = BatchBuilder::new();
        changes.iter().for_each(|_| batch.push(None, None, [], 0).expect("room"));
        staged.keep(0, &batch.finish());
        for (index, ((key, columns), stamp)) in changes.iter().zip(stamps).enumerate() {
            let stamp = *stamp;
            match columns {
                None => staged.delete(&[Cell::Integer(*key)], index, stamp),
                Some([a, b]) => {
                    let first = staged.drawn.cells.len();
                    staged.drawn.cells.extend([cell(*a), Cell::Integer(*key), cell(*b)]);
                    staged.upsert(spec, index, &Found { first, ttl_s: None }, stamp);
                }
            }
        }
    }

    /// Writes a change into a table.
    fn apply(table: &mut Table, nulls: Nulls, (key, columns): Told, stamp: i64) {
        let row = table.entry(key).or_default();
        let Some([a, b]) = columns else {
            row.0 = row.0.max(stamp);
            return;
        };
        for (found, value) in row.1.iter_mut().zip([a, Some(key), b]) {
            if stamp > found.0 && (value.is_some() || nulls == Nulls::Delete) {
                *found = (stamp, value);
            }
        }
    }

    /// What is seen of it.
    fn seen(table: &Table) -> BTreeMap<i64, [Option<i64>; WIDTH]> {
        let row = |(deleted, columns): &(i64, [(i64, Option<i64>); WIDTH])| {
            columns.map(|(stamp, value)| value.filter(|_| stamp > *deleted))
        };
        let rows = table.iter().map(|(key, found)| (*key, row(found)));
        rows.filter(|(_, row)| row.iter().any(Option::is_some)).collect()
    }

    /// Writes rows, the newest first, as nobody knows in which order they arrive.
    fn write(table: &mut Table, rows: &Rows) {
        let nulls = rows.table.nulls;
        let value = |cell: Cell| if let Cell::Integer(value) = cell { Some(value) } else { None };
        for index in (0..rows.marks.len()).rev() {
            let [a, key, b] = rows.upsert(index) else { panic!("as many cells as columns") };
            apply(table, nulls, (value(*key).expect("a key"), Some([value(*a), value(*b)])), rows.marks[index].stamp);
        }
        for index in (0..rows.delete_stamps.len()).rev() {
            let key = value(rows.delete(index)[0]).expect("a key");
            apply(table, nulls, (key, None), rows.delete_stamps[index]);
        }
    }

    /// As many as changes at most, each once, in any order.
    fn stamps() -> impl Strategy<Value = Vec<i64>> {
        Just((1..=40).collect::<Vec<i64>>()).prop_shuffle()
    }

    fn changes() -> impl Strategy<Value = Vec<Told>> {
        let columns = proptest::option::weighted(0.8, any::<[Option<i64>; WIDTH - 1]>());
        proptest::collection::vec((0..4i64, columns), 1..40)
    }

    #[test]
    fn bad_rows_of_one_key_are_told_at_once() {
        let spec = spec(Nulls::Delete);
        let mut staged = Staged::default();
        let changes: Vec<Told> = (0..5_000).map(|n| (1, Some([Some(n), None]))).collect();
        stage(&mut staged, &spec, &changes, &(1..=5_000).collect::<Vec<_>>());
        let (mut rounds, mut refused, mut last) = (0, 0, None);
        while let Some(sent) = staged.send(&spec, last) {
            rounds += 1;
            for index in 0..sent.rows.marks.len() {
                assert!(staged.refuse(&sent, RowIndex::Upsert(index)).is_some());
                refused += 1;
            }
            let in_order = sent.rows.order.iter().map(|row| match row {
                RowIndex::Upsert(index) => sent.rows.marks[*index].stamp,
                RowIndex::Delete(_) => unreachable!("there is none"),
            });
            assert!(in_order.is_sorted(), "a store without stamps writes the last at last");
            last = Some(sent);
        }
        assert_eq!((rounds, refused), (2, 5_000));
    }

    proptest! {
        #[test]
        fn the_table_ends_as_if_every_change_had_been_written(
            changes in changes(),
            stamps in stamps(),
            deletes in any::<bool>(),
        ) {
            let nulls = if deletes { Nulls::Delete } else { Nulls::Unset };
            let (spec, mut staged) = (spec(nulls), Staged::default());
            stage(&mut staged, &spec, &changes, &stamps);
            let sent = staged.send(&spec, None).expect("rows");
            let (mut written, mut all) = (Table::new(), Table::new());
            write(&mut written, &sent.rows);
            changes.iter().zip(&stamps).for_each(|(change, stamp)| apply(&mut all, nulls, *change, *stamp));
            prop_assert_eq!(seen(&written), seen(&all));
            // Of a key one upsert, one more for each column that it leaves as it is, and one delete.
            let keys = all.len();
            let upserts = if deletes { keys } else { keys * WIDTH };
            prop_assert!(sent.rows.marks.len() <= upserts && sent.rows.delete_stamps.len() <= keys);
            prop_assert!(staged.send(&spec, Some(sent)).is_none());
        }

        #[test]
        fn a_change_that_is_refused_is_as_if_it_had_not_been(
            changes in changes(),
            stamps in stamps(),
            bad in any::<[bool; 40]>(),
        ) {
            let (spec, mut staged) = (spec(Nulls::Unset), Staged::default());
            stage(&mut staged, &spec, &changes, &stamps);
            let (mut written, mut last) = (Table::new(), None);
            while let Some(sent) = staged.send(&spec, last) {
                // What is refused may stand in the table or not; here it does not.
                let is_bad = |stamp: i64| bad[stamp as usize - 1];
                let mut good = Rows::clone(&sent.rows);
                let upserts = (0..good.marks.len()).filter(|index| is_bad(good.marks[*index].stamp)).map(RowIndex::Upsert);
                let deletes = good.delete_stamps.iter().enumerate().filter(|(_, stamp)| is_bad(**stamp));
                let refused: Vec<RowIndex> = upserts.chain(deletes.map(|(index, _)| RowIndex::Delete(index))).collect();
                for row in refused.iter().rev() {
                    prop_assert!(staged.refuse(&sent, *row).is_some());
                    match *row {
                        RowIndex::Upsert(index) => {
                            good.marks.remove(index);
                            good.upserts.drain(index * WIDTH..(index + 1) * WIDTH);
                        }
                        RowIndex::Delete(index) => {
                            good.delete_stamps.remove(index);
                            good.deletes.remove(index);
                        }
                    }
                }
                write(&mut written, &good);
                last = Some(sent);
            }
            let mut all = Table::new();
            for (change, stamp) in changes.iter().zip(&stamps) {
                if !bad[*stamp as usize - 1] {
                    apply(&mut all, Nulls::Unset, *change, *stamp);
                }
            }
            prop_assert_eq!(seen(&written), seen(&all));
        }
    }
}
