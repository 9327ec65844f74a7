//! When a table that refuses rows ends its sink.

use bespoke_boundary::wire::write_long;
use bespoke_record::BatchBuilder;

use super::*;
use crate::log::Event;
use crate::log::forgetful::Forgetful;
use crate::schema::framing::SchemaId;
use crate::sink::Ttl;
use crate::stage::Schemas;
use crate::table::{Column, Top};

const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "key", "type": "long"}]}"#;
const LIMIT: u64 = 100;

/// A table that refuses negative keys, but takes deletes.
struct Picky;

/// The one schema.
struct One(Arc<Schema>);

impl Schemas for One {
    fn by_id(&self, _: SchemaId) -> Result<Arc<Schema>, NoSchema> {
        Ok(self.0.clone())
    }
}

impl TableStore for Picky {
    fn ensure(&self, _: &TableSpec) -> Result<(), TableError> {
        Ok(())
    }

    fn check(&self, _: &TableSpec) -> Result<(), TableError> {
        Ok(())
    }

    fn writer(&self, _: &Arc<TableSpec>) -> Result<Box<dyn TableWriter>, TableError> {
        Ok(Box::new(Self))
    }

    fn top(&self, _: &str, _: usize) -> Result<Top, TableError> {
        Ok(Default::default())
    }
}

impl TableWriter for Picky {
    fn write(&mut self, rows: &Arc<Rows>, _: Duration) -> Result<Written, TableError> {
        let is_bad = |index: &usize| matches!(rows.upsert(*index)[0], Cell::Integer(key) if key < 0);
        let refused = |index| Refused { row: RowIndex::Upsert(index), why: "it is negative".to_owned() };
        Ok(Written::Done((0..rows.marks.len()).filter(is_bad).map(refused).collect()))
    }
}

/// A worker, and the step that it is in.
struct Stand {
    task: SinkTask,
    session: Forgetful,
    next: i64,
}

impl Stand {
    fn new() -> Self {
        let schema = Arc::new(Schema::parse(SCHEMA).expect("a schema"));
        let table = TableSpec {
            name: "t".to_owned(),
            columns: vec![Column { name: "key".to_owned(), ty: ColumnType::Long, nullable: false }],
            partition_key: vec![0],
            clustering_key: vec![],
            nulls: Default::default(),
            fine_times: Default::default(),
        };
        let sink = Sink {
            name: "sink".to_owned(),
            from: "from".to_owned(),
            plan: RowPlan::compile(&schema, &table, Ttl::None),
            table: Arc::new(table),
            store: Some(Arc::new(Picky)),
            creates_table: false,
            key: vec!["key".to_owned()],
            unordered: None,
            dead_letters: "letters".to_owned(),
            max_dead_letters_in_a_row: LIMIT,
        };
        let writers = Writers::new(Arc::new(One(schema.clone())), schema);
        let task = SinkTask::new(Arc::new(sink), writers, Arc::default()).expect("a table");
        Self { task, session: Forgetful::new(|| Event::Idle), next: 0 }
    }

    /// A step with rows of these keys, and deletes of as many others; what is said after it, if that is the end.
    fn step(&mut self, keys: impl Iterator<Item = i64>, deletes: i64) -> Option<String> {
        let batch = batch(keys, deletes, self.next);
        self.next += 1;
        self.task.records(&mut self.session, 0, &batch).expect("handled");
        while self.task.write(&mut self.session, Duration::ZERO).expect("written") != Outside::Written {}
        self.task.committed(Vec::new());
        match self.task.between(&mut self.session, &BTreeMap::new()) {
            Ok(between) => {
                assert_eq!(between, Between::Go);
                None
            }
            Err(stop) => Some(stop.to_string()),
        }
    }
}

/// Rows of these keys, and deletes of as many others, all of one time.
fn batch(keys: impl Iterator<Item = i64>, deletes: i64, time_ms: i64) -> Batch {
    let mut batch = BatchBuilder::new();
    for key in keys {
        let mut value = framing::prefix(1).to_vec();
        write_long(&mut value, key);
        batch.push(None, Some(&value), [], time_ms).expect("room");
    }
    for key in 0..deletes {
        batch.push(Some(key.to_string().as_bytes()), None, [], time_ms).expect("room");
    }
    batch.finish()
}

#[test]
fn refused_rows_are_counted_over_steps() {
    let mut stand = Stand::new();
    assert_eq!(stand.step(-60..0, 0), None);
    let said = stand.step(-60..0, 3).expect("it is the end, deletes or not");
    assert!(said.starts_with("table `t` has refused 120 rows in a row") && said.contains("negative"), "{said}");
}

#[test]
fn a_row_that_is_taken_begins_the_count_anew() {
    let mut stand = Stand::new();
    assert_eq!(stand.step(-99..0, 0), None);
    assert_eq!(stand.step(-200..1, 0), None, "one of them was taken");
    assert_eq!(stand.step(-99..0, 0), None);
    assert!(stand.step(-1..0, 0).is_some());
}

#[test]
fn a_step_that_is_thrown_away_is_not_counted_twice() {
    let mut stand = Stand::new();
    stand.task.records(&mut stand.session, 0, &batch(-99..0, 0, 0)).expect("handled");
    stand.task.write(&mut stand.session, Duration::ZERO).expect("written");
    stand.task.aborted();
    assert_eq!(stand.step(-99..0, 0), None);
}
