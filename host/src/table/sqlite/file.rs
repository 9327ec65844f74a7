//! Tables in an SQLite file of their own, for a pipeline whose log has no place for them.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use super::{Top, check, ensure, top, write};
use crate::table::{Rows, TableError, TableSpec, TableStore, TableWriter, Written};

/// How long a writer waits for others of the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A file that belongs to its user: other programs may read it, and have tables of their own in it.
#[derive(Clone, Debug)]
pub struct SqliteFile {
    path: PathBuf,
}

struct Writer {
    conn: Connection,
}

impl SqliteFile {
    /// The file at `path`, which is made with its folder when a table is made in it.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Opens it for `table`; none if there is no file and none is to be made.
    fn open(&self, table: &str, flags: OpenFlags) -> Result<Option<Connection>, TableError> {
        let makes = flags.contains(OpenFlags::SQLITE_OPEN_CREATE);
        if !makes && !self.path.exists() {
            return Ok(None);
        }
        if let (true, Some(folder)) = (makes, self.path.parent()) {
            fs::create_dir_all(folder).map_err(|error| self.failed(table, error))?;
        }
        let conn = Connection::open_with_flags(&self.path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let conn = conn.and_then(|conn| conn.busy_timeout(BUSY_TIMEOUT).map(|()| conn));
        conn.map(Some).map_err(|error| self.failed(table, error))
    }

    /// The table and the file, because a pipeline may have several of both.
    fn failed(&self, table: &str, error: impl std::error::Error) -> TableError {
        let source = format!("{}: {error}", self.path.display()).into();
        TableError::Store { table: table.to_owned(), source }
    }
}

/// Writers keep readers waiting for nothing, and what is written outlives a power cut: the log goes on behind it.
fn set_up(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "FULL")
}

impl TableStore for SqliteFile {
    fn ensure(&self, spec: &TableSpec) -> Result<(), TableError> {
        match self.open(&spec.name, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)? {
            Some(conn) => {
                set_up(&conn).map_err(|error| self.failed(&spec.name, error))?;
                ensure(&conn, spec)
            }
            None => self.check(spec),
        }
    }

    fn check(&self, spec: &TableSpec) -> Result<(), TableError> {
        match self.open(&spec.name, OpenFlags::SQLITE_OPEN_READ_WRITE)? {
            Some(conn) => check(&conn, spec),
            None => Err(TableError::Missing { table: spec.name.clone(), ddl: super::ddl(spec) }),
        }
    }

    fn writer(&self, table: &Arc<TableSpec>) -> Result<Box<dyn TableWriter>, TableError> {
        let conn = self.open(&table.name, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let conn = conn.ok_or_else(|| TableError::NoTable(table.name.clone()))?;
        set_up(&conn).map_err(|error| self.failed(&table.name, error))?;
        Ok(Box::new(Writer { conn }))
    }

    fn top(&self, table: &str, limit: usize) -> Result<Top, TableError> {
        match self.open(table, OpenFlags::SQLITE_OPEN_READ_WRITE)? {
            Some(conn) => top(&conn, table, limit),
            None => Err(TableError::NoTable(table.to_owned())),
        }
    }
}

impl TableWriter for Writer {
    fn write(&mut self, rows: &Arc<Rows>, _: Duration) -> Result<Written, TableError> {
        let failed = |error| super::store(&rows.table.name, error);
        let mut refused = Vec::new();
        loop {
            // Taken for writing at once: a transaction that becomes one later is refused if another has written meanwhile.
            let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            write(&tx, rows, &mut refused)?;
            // Else a trigger has rolled it back: once more without the row at which it did.
            if !tx.is_autocommit() {
                tx.commit().map_err(failed)?;
                return Ok(Written::Done(refused));
            }
        }
    }
}
