//! What every store of tables promises, as functions over a [`Store`], and the stores that keep it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bespoke_record::Span;
use host::log::embedded::{EmbeddedLog, Options};
use host::log::{Commit, LogError};
use host::table::sqlite::SqliteFile;
use host::table::{Cell, Column, ColumnType, Mark, Rows, TableError, TableSpec, TableStore as _, Top, Written};
use rusqlite::Connection;
use tempfile::TempDir;

use super::records::producer;

/// The rows of a table as text.
type Cells = Vec<Vec<Option<String>>>;

/// A store of tables, as the contract sees it.
pub trait Store {
    /// Whether a column may be one that takes no null.
    fn has_not_null(&self) -> bool {
        true
    }

    /// How the value is shown that SQLite shows so.
    fn shown(&self, _: &ColumnType, text: &'static str) -> String {
        text.to_owned()
    }

    fn ensure(&self, spec: &TableSpec) -> Result<(), TableError>;
    fn check(&self, spec: &TableSpec) -> Result<(), TableError>;
    fn write(&self, rows: &Rows) -> Result<(), TableError>;
    fn top(&self, table: &str, limit: usize) -> Result<Top, TableError>;

    /// All rows by primary key.
    fn rows(&self, table: &str) -> Cells {
        self.top(table, usize::MAX).expect("a table").1
    }
}

/// A value of a row, with what it points into.
pub enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'static str),
    Blob(&'static [u8]),
}
use Value::{Blob, Integer, Null, Real, Text};

fn column(name: &str, ty: ColumnType, nullable: bool) -> Column {
    Column { name: name.to_owned(), ty, nullable }
}

/// A table with the key `(shop, at)` and the value `price`.
pub fn prices() -> TableSpec {
    TableSpec {
        name: "prices".to_owned(),
        columns: vec![
            column("price", ColumnType::Long, true),
            column("shop", ColumnType::Text, false),
            column("at", ColumnType::TimestampMicros, false),
        ],
        partition_key: vec![1],
        clustering_key: vec![2],
        nulls: Default::default(),
        fine_times: Default::default(),
    }
}

fn cells(arena: &mut Vec<u8>, values: &[Value]) -> Vec<Cell> {
    let mut keep = |bytes: &[u8]| {
        let start = arena.len() as u32;
        arena.extend_from_slice(bytes);
        Span { start, len: bytes.len() as u32 }
    };
    let cell = |value: &Value| match value {
        Null => Cell::Null,
        Integer(value) => Cell::Integer(*value),
        Real(value) => Cell::Real(*value),
        Text(text) => Cell::Text(keep(text.as_bytes())),
        Blob(bytes) => Cell::Blob(keep(bytes)),
    };
    values.iter().map(cell).collect()
}

/// Rows, each with a stamp of its own that is newer than all before.
pub fn rows(spec: &TableSpec, upserts: &[Value], deletes: &[Value]) -> Rows {
    static STAMP: AtomicI64 = AtomicI64::new(1_700_000_000_000_000);
    let stamp = || STAMP.fetch_add(1, Ordering::Relaxed);
    let mut rows = Rows { arena: b"not at the start".to_vec(), ..Rows::new(Arc::new(spec.clone())) };
    rows.deletes = cells(&mut rows.arena, deletes);
    rows.delete_stamps = (0..deletes.len() / spec.key().count().max(1)).map(|_| stamp()).collect();
    rows.upserts = cells(&mut rows.arena, upserts);
    rows.marks = (0..upserts.len() / spec.columns.len()).map(|_| Mark { stamp: stamp(), ttl_s: None }).collect();
    rows
}

pub fn some(cells: &[&str]) -> Vec<Option<String>> {
    cells.iter().map(|cell| Some((*cell).to_owned())).collect()
}

// === The contract ===

fn a_row_written_twice_is_there_once(store: &impl Store) {
    let spec = prices();
    store.ensure(&spec).unwrap();
    let upserts = rows(&spec, &[Integer(7), Text("a"), Integer(1), Integer(8), Text("b"), Integer(1)], &[]);
    store.write(&upserts).unwrap();
    store.write(&upserts).unwrap();
    assert_eq!(store.rows("prices"), [some(&["7", "a", "1"]), some(&["8", "b", "1"])]);
}

fn a_row_takes_the_place_of_that_with_its_key(store: &impl Store) {
    let spec = prices();
    store.ensure(&spec).unwrap();
    store.write(&rows(&spec, &[Integer(7), Text("a"), Integer(1), Integer(8), Text("a"), Integer(2)], &[])).unwrap();
    store.write(&rows(&spec, &[Null, Text("a"), Integer(1)], &[])).unwrap();
    let first = vec![None, Some("a".to_owned()), Some("1".to_owned())];
    assert_eq!(store.rows("prices"), [first, some(&["8", "a", "2"])]);
}

fn a_delete_removes_the_row_of_its_key_only(store: &impl Store) {
    let spec = prices();
    store.ensure(&spec).unwrap();
    store.write(&rows(&spec, &[Integer(7), Text("a"), Integer(1), Integer(8), Text("a"), Integer(2)], &[])).unwrap();
    let gone_and_never_there = [Text("a"), Integer(1), Text("z"), Integer(1)];
    store.write(&rows(&spec, &[], &gone_and_never_there)).unwrap();
    assert_eq!(store.rows("prices"), [some(&["8", "a", "2"])]);
}

fn every_type_keeps_its_values(store: &impl Store) {
    use ColumnType as T;
    let cases = [
        (T::Boolean, Integer(1), "1"),
        (T::Int, Integer(i64::from(i32::MIN)), "-2147483648"),
        (T::Long, Integer(i64::MAX), "9223372036854775807"),
        (T::Float, Real(f64::from(0.25f32)), "0.25"),
        (T::Double, Real(1e-3), "0.001"),
        (T::Text, Text("with \0 and ü"), "with \0 and ü"),
        (T::Blob, Blob(&[0, 255]), "0x00ff"),
        (T::Decimal, Text("-12345678901234567890.0100"), "-12345678901234567890.0100"),
        (T::Uuid, Text("f81d4fae-7dec-11d0-a765-00a0c91e6bf6"), "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        (T::Date, Integer(-1), "-1"),
        (T::TimeMicros, Integer(86_399_999_999), "86399999999"),
        (T::TimestampMicros, Integer(i64::MIN), "-9223372036854775808"),
        (T::TimestampMillis, Integer(0), "0"),
        (T::Json, Text(r#"{"a":[1]}"#), r#"{"a":[1]}"#),
    ];
    let mut spec = TableSpec {
        name: "every_type".to_owned(),
        columns: vec![column("id", T::Int, false)],
        partition_key: vec![0],
        clustering_key: vec![],
        nulls: Default::default(),
        fine_times: Default::default(),
    };
    let (mut full, mut expected) = (vec![Integer(1)], vec!["1".to_owned()]);
    for (index, (ty, value, text)) in cases.into_iter().enumerate() {
        expected.push(store.shown(&ty, text));
        spec.columns.push(column(&format!("c{index:02}"), ty, true));
        full.push(value);
    }
    let empty: Vec<Value> = (0..spec.columns.len()).map(|index| if index == 0 { Integer(2) } else { Null }).collect();
    store.ensure(&spec).unwrap();
    store.write(&rows(&spec, &full, &[])).unwrap();
    store.write(&rows(&spec, &empty, &[])).unwrap();
    let written = store.rows("every_type");
    assert_eq!(written[0], some(&expected.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!(written[1].iter().filter(|cell| cell.is_none()).count(), spec.columns.len() - 1);
}

fn a_table_may_have_key_columns_only(store: &impl Store) {
    let mut spec = prices();
    spec.columns.remove(0);
    (spec.partition_key, spec.clustering_key) = (vec![0], vec![1]);
    store.ensure(&spec).unwrap();
    let upserts = rows(&spec, &[Text("a"), Integer(1)], &[]);
    store.write(&upserts).unwrap();
    store.write(&upserts).unwrap();
    assert_eq!(store.rows("prices"), [some(&["a", "1"])]);
}

fn a_table_is_made_only_if_asked_to(store: &impl Store) {
    let Err(TableError::Missing { table, ddl }) = store.check(&prices()) else {
        panic!("found a table that nobody made");
    };
    assert_eq!(table, "prices");
    assert!(ddl.contains("CREATE TABLE"), "{ddl}");
    store.ensure(&prices()).unwrap();
    store.check(&prices()).unwrap();
}

fn a_table_that_fits_is_kept_with_its_rows(store: &impl Store) {
    let spec = prices();
    store.ensure(&spec).unwrap();
    store.write(&rows(&spec, &[Integer(7), Text("a"), Integer(1)], &[])).unwrap();
    store.ensure(&spec).unwrap();
    assert_eq!(store.rows("prices"), [some(&["7", "a", "1"])]);
}

/// What a difference is, and how the spec gets it.
type Difference = (&'static str, fn(&mut TableSpec));

fn a_table_that_does_not_fit_is_refused_and_kept(store: &impl Store) {
    let spec = prices();
    store.ensure(&spec).unwrap();
    store.write(&rows(&spec, &[Integer(7), Text("a"), Integer(1)], &[])).unwrap();
    let changes: [Difference; 5] = [
        ("price", |spec| spec.columns[0].ty = ColumnType::Text),
        ("price", |spec| spec.columns[0].nullable = false),
        ("stock", |spec| spec.columns.push(column("stock", ColumnType::Int, true))),
        ("primary key", |spec| spec.clustering_key.clear()),
        ("primary key", |spec| (spec.partition_key, spec.clustering_key) = (vec![2], vec![1])),
    ];
    for (named, change) in changes {
        let mut changed = spec.clone();
        change(&mut changed);
        if changed.columns[0].nullable != spec.columns[0].nullable && !store.has_not_null() {
            continue;
        }
        for refused in [store.ensure(&changed), store.check(&changed)] {
            let Err(error @ TableError::Different { .. }) = refused else {
                panic!("takes a table in spite of its {named}");
            };
            let text = error.to_string();
            assert!(text.contains(named) && text.contains("wanted") && text.contains("found"), "{text}");
            assert!(text.contains("CREATE TABLE"), "{text}");
        }
    }
    assert_eq!(store.rows("prices"), [some(&["7", "a", "1"])]);
}

fn a_spec_that_no_table_can_have_is_refused(store: &impl Store) {
    let changes: [Difference; 5] = [
        ("no key", |spec| spec.partition_key.clear()),
        ("key outside", |spec| spec.clustering_key = vec![3]),
        ("key twice", |spec| spec.clustering_key = vec![1]),
        ("two columns of one name", |spec| spec.columns[0].name = "SHOP".to_owned()),
        ("no name", |spec| spec.name.clear()),
    ];
    for (named, change) in changes {
        let mut spec = prices();
        change(&mut spec);
        assert!(matches!(store.ensure(&spec), Err(TableError::Spec { .. })), "{named}");
    }
}

// === An SQLite file ===

/// A file of tables alone.
pub struct OwnFile {
    pub file: SqliteFile,
    folder: TempDir,
}

impl OwnFile {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { file: SqliteFile::new(folder.path().join("made/tables.db")), folder }
    }

    /// The file as other programs open it.
    pub fn conn(&self) -> Connection {
        std::fs::create_dir_all(self.folder.path().join("made")).expect("a folder");
        Connection::open(self.folder.path().join("made/tables.db")).expect("a database")
    }
}

impl Store for OwnFile {
    fn ensure(&self, spec: &TableSpec) -> Result<(), TableError> {
        self.file.ensure(spec)
    }

    fn check(&self, spec: &TableSpec) -> Result<(), TableError> {
        self.file.check(spec)
    }

    fn write(&self, rows: &Rows) -> Result<(), TableError> {
        let written = self.file.writer(&rows.table)?.write(&Arc::new(rows.clone()), Duration::MAX)?;
        assert_eq!(written, Written::Done(vec![]));
        Ok(())
    }

    fn top(&self, table: &str, limit: usize) -> Result<Top, TableError> {
        self.file.top(table, limit)
    }
}

// === The file of the embedded log ===

/// Rows are parts of steps.
pub struct InLog {
    log: EmbeddedLog,
    pub folder: TempDir,
}

impl InLog {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let log = EmbeddedLog::open(folder.path().join("log.db"), Options::default()).expect("a log");
        Self { log, folder }
    }
}

fn of_table<T>(result: Result<T, LogError>) -> Result<T, TableError> {
    result.map_err(|error| match error {
        LogError::Table(error) => error,
        other => panic!("{other}"),
    })
}

impl Store for InLog {
    fn ensure(&self, spec: &TableSpec) -> Result<(), TableError> {
        of_table(self.log.ensure_table(spec))
    }

    fn check(&self, spec: &TableSpec) -> Result<(), TableError> {
        of_table(self.log.check_table(spec))
    }

    fn write(&self, rows: &Rows) -> Result<(), TableError> {
        let rows = std::slice::from_ref(rows);
        of_table(producer(&self.log).commit(Commit { rows, ..Commit::default() }))
    }

    fn top(&self, table: &str, limit: usize) -> Result<Top, TableError> {
        of_table(self.log.top_rows(table, limit))
    }
}

macro_rules! stores_keep {
    ($($promise:ident),* $(,)?) => {
        mod tables_in_cassandra {
            $(#[test]
            fn $promise() {
                super::$promise(&$crate::contract::table_cassandra::InKeyspace::new());
            })*
        }

        mod tables_of_their_own {
            $(#[test]
            fn $promise() {
                super::$promise(&super::OwnFile::new());
            })*
        }

        mod tables_in_the_log {
            $(#[test]
            fn $promise() {
                super::$promise(&super::InLog::new());
            })*
        }
    };
}

stores_keep!(
    a_row_written_twice_is_there_once,
    a_row_takes_the_place_of_that_with_its_key,
    a_delete_removes_the_row_of_its_key_only,
    every_type_keeps_its_values,
    a_table_may_have_key_columns_only,
    a_table_is_made_only_if_asked_to,
    a_table_that_fits_is_kept_with_its_rows,
    a_table_that_does_not_fit_is_refused_and_kept,
    a_spec_that_no_table_can_have_is_refused,
);

#[test]
fn names_are_names_whatever_is_in_them() {
    let nasty = [
        "x\"; DROP TABLE victims; --",
        "'; DELETE FROM victims; --",
        "select",
        "two words",
        "\"",
        "[x]",
        "`x`",
        "%_?1:a@b$c",
        "ü\n",
        ")",
    ];
    let store = OwnFile::new();
    store.conn().execute_batch("CREATE TABLE victims (x); INSERT INTO victims VALUES (1);").unwrap();
    for name in nasty {
        let spec = TableSpec {
            name: name.to_owned(),
            columns: vec![
                column(name, ColumnType::Text, false),
                column(&format!("{name}2"), ColumnType::Int, false),
                column(&format!("{name}3"), ColumnType::Int, true),
            ],
            partition_key: vec![0],
            clustering_key: vec![1],
            nulls: Default::default(),
            fine_times: Default::default(),
        };
        store.ensure(&spec).unwrap();
        store.check(&spec).unwrap();
        store.write(&rows(&spec, &[Text("a"), Integer(1), Integer(2), Text("b"), Integer(1), Null], &[])).unwrap();
        store.write(&rows(&spec, &[Text("a"), Integer(1), Integer(3)], &[Text("b"), Integer(1)])).unwrap();
        let (columns, cells) = store.top(name, 10).unwrap();
        assert_eq!(columns, [name.to_owned(), format!("{name}2"), format!("{name}3")]);
        assert_eq!(cells, [some(&["a", "1", "3"])]);
    }
    assert_eq!(store.rows("victims"), [some(&["1"])]);
    assert!(matches!(store.top("victims; --", 1), Err(TableError::NoTable(_))));
    let with_zero = TableSpec { name: "a\0b".to_owned(), ..prices() };
    assert!(matches!(store.ensure(&with_zero), Err(TableError::Spec { .. })));
}

#[test]
fn a_column_added_by_hand_neither_hinders_nor_is_lost() {
    let store = OwnFile::new();
    store.ensure(&prices()).unwrap();
    store.conn().execute_batch("ALTER TABLE prices ADD COLUMN note TEXT").unwrap();
    store.write(&rows(&prices(), &[Integer(7), Text("a"), Integer(1)], &[])).unwrap();
    store.conn().execute_batch("UPDATE prices SET note = 'mine'").unwrap();
    store.check(&prices()).unwrap();
    store.write(&rows(&prices(), &[Integer(8), Text("a"), Integer(1)], &[])).unwrap();
    assert_eq!(store.rows("prices"), [some(&["8", "a", "1", "mine"])]);

    let mut with_note = prices();
    with_note.columns.insert(0, column("note", ColumnType::Text, true));
    (with_note.partition_key, with_note.clustering_key) = (vec![2], vec![3]);
    store.check(&with_note).unwrap();

    store.conn().execute_batch("DROP TABLE prices; CREATE TABLE prices (shop TEXT NOT NULL, at INT NOT NULL, price INTEGER, needed TEXT NOT NULL, PRIMARY KEY (shop, at))").unwrap();
    let refused = store.check(&prices()).unwrap_err().to_string();
    assert!(refused.contains("\"needed\": wanted no such column, found TEXT NOT NULL"), "{refused}");
}

#[test]
fn what_is_no_table_is_refused() {
    let store = OwnFile::new();
    store.conn().execute_batch("CREATE VIEW prices AS SELECT 1 AS price, 'a' AS shop, 2 AS at").unwrap();
    let refused = store.ensure(&prices()).unwrap_err().to_string();
    assert!(refused.contains("found a view"), "{refused}");
    let internal = TableSpec { name: "SQLite_mine".to_owned(), ..prices() };
    assert!(matches!(store.ensure(&internal), Err(TableError::Spec { .. })));
}

#[test]
fn a_nan_is_kept_as_null() {
    let mut spec = prices();
    spec.columns[0] = column("price", ColumnType::Double, false);
    let store = OwnFile::new();
    store.ensure(&spec).unwrap();
    store.write(&rows(&spec, &[Real(f64::NAN), Text("a"), Integer(1)], &[])).unwrap();
    assert_eq!(store.rows("prices"), [vec![None, Some("a".to_owned()), Some("1".to_owned())]]);
}

#[test]
fn a_row_that_is_refused_says_of_which_table() {
    let store = OwnFile::new();
    store.ensure(&prices()).unwrap();
    store.conn().execute_batch("ALTER TABLE prices RENAME COLUMN price TO cost").unwrap();
    let refused = store.write(&rows(&prices(), &[Integer(1), Text("a"), Integer(1)], &[])).unwrap_err();
    assert!(refused.to_string().starts_with("table `prices`: "), "{refused}");
    assert_eq!(store.rows("prices"), Cells::new());
}

#[test]
fn the_first_rows_come_by_primary_key() {
    let store = OwnFile::new();
    store.ensure(&prices()).unwrap();
    let unsorted =
        [Integer(1), Text("b"), Integer(1), Integer(2), Text("a"), Integer(9), Integer(3), Text("a"), Integer(3)];
    store.write(&rows(&prices(), &unsorted, &[])).unwrap();
    let (columns, cells) = store.top("prices", 2).unwrap();
    assert_eq!(columns, ["price", "shop", "at"]);
    assert_eq!(cells, [some(&["3", "a", "3"]), some(&["2", "a", "9"])]);
}
