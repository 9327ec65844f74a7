//! Rows that an SQLite table of its user refuses: in a file, where the others are written, and in the log, where a step happens
//! whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use host::table::{Refused, RowIndex, TableError, TableStore as _, Written};
use rusqlite::Connection;

use super::table::Value::{Integer, Text};
use super::table::{InLog, OwnFile, Store as _, prices, rows};

/// A table of its user, which takes fewer rows than its columns do.
const STRICTER: &str =
    "CREATE TABLE prices (price INTEGER CHECK (price > 0) UNIQUE, shop TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (shop, at)) STRICT;
    CREATE TRIGGER cheap BEFORE INSERT ON prices WHEN new.price > 900 BEGIN SELECT RAISE(ACTION, 'too dear'); END;";

#[test]
fn a_row_that_a_table_of_its_user_refuses_is_refused_alone() {
    let cells = [
        [Integer(5), Text("a"), Integer(1)],
        [Integer(-1), Text("b"), Integer(1)],
        [Integer(5), Text("c"), Integer(1)],
        [Integer(901), Text("d"), Integer(1)],
        // Its price is that of a row which gets another one after it.
        [Integer(7), Text("e"), Integer(1)],
        [Integer(8), Text("f"), Integer(1)],
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    // A rollback takes all of it back; the rows are written all the same.
    for action in ["ABORT", "FAIL", "ROLLBACK"] {
        let store = OwnFile::new();
        store.conn().execute_batch(&STRICTER.replace("ACTION", action)).unwrap();
        store.ensure(&prices()).unwrap();
        store.write(&rows(&prices(), &[Integer(7), Text("f"), Integer(1)], &[])).unwrap();
        let rows = Arc::new(rows(&prices(), &cells, &[]));
        let written = store.file.writer(&rows.table).unwrap().write(&rows, Duration::MAX).unwrap();
        let Written::Done(mut refused) = written else { panic!("{written:?}") };
        refused.sort_by_key(|refused| format!("{:?}", refused.row));
        let why = |row, why: &str| Refused { row: RowIndex::Upsert(row), why: why.to_owned() };
        let expected = [
            why(1, "CHECK constraint failed: price > 0"),
            why(2, "UNIQUE constraint failed: prices.price"),
            why(3, "too dear"),
        ];
        assert_eq!(refused, expected, "{action}");
        let shops: Vec<_> = store.rows("prices").into_iter().map(|row| row[1].clone().unwrap_or_default()).collect();
        assert_eq!(shops, ["a", "e", "f"], "{action}");
    }
}

#[test]
fn a_step_whose_rows_the_log_refuses_has_not_happened() {
    let store = InLog::new();
    store.ensure(&prices()).unwrap();
    let conn = Connection::open(store.folder.path().join("log.db")).expect("a database");
    conn.execute_batch("CREATE UNIQUE INDEX alone ON prices (price)").unwrap();
    let twice = [Integer(5), Text("a"), Integer(1), Integer(5), Text("b"), Integer(1)];
    let Err(TableError::Refused { table, refused }) = store.write(&rows(&prices(), &twice, &[])) else {
        panic!("two rows of one price")
    };
    assert_eq!((&*table, refused.len()), ("prices", 1));
    assert_eq!(store.rows("prices"), Vec::<Vec<Option<String>>>::new());
}
