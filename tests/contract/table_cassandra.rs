//! Tables in Cassandra as the contract sees them, and what they promise beyond it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use host::shutdown::Shutdown;
use host::table::cassandra::{Cassandra, Level, Settings};
use host::table::{ColumnType, RowIndex, Rows, TableError, TableSpec, TableStore as _, Top, Written};

use super::table::Value::{Integer, Text};
use super::table::{Store, prices, rows, some};
use crate::cassandra::keyspace::Keyspace;
use crate::support::services;

const PATIENCE: Duration = Duration::from_secs(60);

/// A keyspace of its own.
pub struct InKeyspace {
    store: Cassandra,
    keyspace: Keyspace,
    /// The columns as they were described last, by table.
    columns: Mutex<HashMap<String, Vec<String>>>,
}

impl InKeyspace {
    pub fn new() -> Self {
        let keyspace = Keyspace::new(services::cassandra().address(), 1);
        let settings =
            Settings { consistency: Level::One, ..Settings::new(vec![keyspace.nodes.clone()], &keyspace.name) };
        Self { store: Cassandra::new(settings, PATIENCE, Shutdown::new()), keyspace, columns: Mutex::default() }
    }
}

impl Store for InKeyspace {
    fn has_not_null(&self) -> bool {
        false
    }

    fn shown(&self, ty: &ColumnType, text: &'static str) -> String {
        match ty {
            ColumnType::Boolean => "true".to_owned(),
            ColumnType::Date => "1969-12-31".to_owned(),
            ColumnType::TimeMicros => "23:59:59.999999000".to_owned(),
            ColumnType::TimestampMillis => "1970-01-01 00:00:00.000+0000".to_owned(),
            _ => text.to_owned(),
        }
    }

    fn ensure(&self, spec: &TableSpec) -> Result<(), TableError> {
        let names = spec.columns.iter().map(|column| column.name.clone()).collect();
        self.columns.lock().unwrap().entry(spec.name.clone()).or_insert(names);
        self.store.ensure(spec)
    }

    fn check(&self, spec: &TableSpec) -> Result<(), TableError> {
        self.store.check(spec)
    }

    fn write(&self, rows: &Rows) -> Result<(), TableError> {
        let rows = Arc::new(rows.clone());
        let mut writer = self.store.writer(&rows.table)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match writer.write(&rows, Duration::from_millis(100))? {
                Written::Done(refused) => {
                    assert_eq!(refused, []);
                    return Ok(());
                }
                Written::Pending(why) => assert!(Instant::now() < deadline, "{why:?}"),
            }
        }
    }

    /// In the order of the description; Cassandra has one of its own.
    fn top(&self, table: &str, limit: usize) -> Result<Top, TableError> {
        let (names, rows) = self.store.top(table, limit)?;
        let wanted = self.columns.lock().unwrap()[table].clone();
        let places: Vec<usize> = wanted.iter().map(|name| names.iter().position(|n| n == name).unwrap()).collect();
        let rows = rows.into_iter().map(|row| places.iter().map(|place| row[*place].clone()).collect());
        Ok((wanted, rows.collect()))
    }
}

/// A row that is refused is refused alone, with the reason.
#[test]
fn a_row_at_fault_is_refused_and_the_others_are_written() {
    let store = InKeyspace::new();
    let spec = prices();
    store.ensure(&spec).unwrap();
    let bad = [Integer(1), Text("a"), Integer(1), Integer(2), Text(""), Integer(1), Integer(3), Text("b"), Integer(1)];
    let rows = Arc::new(rows(&spec, &bad, &[Text(""), Integer(1)]));
    let mut writer = store.store.writer(&rows.table).unwrap();
    let Written::Done(refused) = writer.write(&rows, Duration::from_secs(60)).unwrap() else { panic!("not in time") };
    let which: Vec<RowIndex> = refused.iter().map(|refused| refused.row).collect();
    assert_eq!(which, [RowIndex::Delete(0), RowIndex::Upsert(1)]);
    assert!(refused.iter().all(|refused| refused.why.contains("may not be empty")), "{refused:?}");
    assert_eq!(store.rows("prices"), [some(&["1", "a", "1"]), some(&["3", "b", "1"])]);
}

#[test]
fn an_older_stamp_changes_nothing() {
    let store = InKeyspace::new();
    let spec = prices();
    store.ensure(&spec).unwrap();
    let older = rows(&spec, &[Integer(9), Text("a"), Integer(1)], &[]);
    let deleted = rows(&spec, &[], &[Text("a"), Integer(1)]);
    let newer = rows(&spec, &[Integer(1), Text("a"), Integer(1)], &[]);
    for late in [&newer, &older, &deleted, &older] {
        store.write(late).unwrap();
        assert_eq!(store.rows("prices"), [some(&["1", "a", "1"])]);
    }
}

/// The table is made anew while a writer has statements of the old one.
#[test]
fn a_writer_goes_on_with_a_table_that_was_made_anew_and_stops_at_one_that_does_not_fit() {
    let store = InKeyspace::new();
    let spec = prices();
    store.ensure(&spec).unwrap();
    let mut writer = store.store.writer(&Arc::new(spec.clone())).unwrap();
    let mut write = |price| {
        let rows = Arc::new(rows(&spec, &[Integer(price), Text("a"), Integer(1)], &[]));
        writer.write(&rows, Duration::from_secs(60))
    };
    assert_eq!(write(1).unwrap(), Written::Done(vec![]));
    store.keyspace.cql("DROP TABLE {ks}.prices");
    store.ensure(&spec).unwrap();
    assert_eq!(write(2).unwrap(), Written::Done(vec![]));
    assert_eq!(store.rows("prices"), [some(&["2", "a", "1"])]);
    store.keyspace.cql("ALTER TABLE {ks}.prices DROP price");
    let error = write(3).unwrap_err();
    assert!(matches!(error, TableError::Different { .. }), "{error}");
    store.keyspace.cql("DROP TABLE {ks}.prices");
    let error = write(4).unwrap_err();
    assert!(matches!(error, TableError::Missing { .. }), "{error}");
}
