//! Tables in SQLite: made or checked at start, written inside a transaction.
//!
//! It never changes a table that is there, and never begins or ends a transaction: the embedded log does, because its
//! tables live in its file and their rows count together with the records (see [`crate::log::Commit::rows`]), and so does
//! a file of tables alone ([`SqliteFile`]).

use std::collections::HashSet;
use std::fmt::Write as _;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Statement, Transaction};

use super::{Cell, Column, ColumnType, Nulls, Refused, RowIndex, Rows, TableError, TableSpec, Top};

mod file;

pub use file::SqliteFile;

/// Makes the table, unless there is one; a table that is there must take the rows of the spec.
///
/// # Errors
/// As for [`check`], but for [`TableError::Missing`].
pub fn ensure(conn: &Connection, spec: &TableSpec) -> Result<(), TableError> {
    match check(conn, spec) {
        Err(TableError::Missing { ddl, .. }) => conn.execute_batch(&ddl).map_err(|e| store(&spec.name, e)),
        checked => checked,
    }
}

/// Whether there is a table that takes the rows of the spec.
///
/// # Errors
/// [`TableError::Spec`], [`TableError::Missing`], [`TableError::Different`], or if the store fails.
pub fn check(conn: &Connection, spec: &TableSpec) -> Result<(), TableError> {
    check_spec(spec)?;
    let ddl = ddl(spec);
    let kind = kind_of(conn, &spec.name).map_err(|e| store(&spec.name, e))?;
    match kind.as_deref() {
        None => Err(TableError::Missing { table: spec.name.clone(), ddl }),
        Some("table") => {
            let live = live_columns(conn, &spec.name).map_err(|e| store(&spec.name, e))?;
            let differences = differences(spec, &live);
            if differences.is_empty() {
                return Ok(());
            }
            Err(TableError::Different { table: spec.name.clone(), differences, ddl })
        }
        Some(kind) => {
            let differences = format!("  wanted a table, found a {kind}\n");
            Err(TableError::Different { table: spec.name.clone(), differences, ddl })
        }
    }
}

/// Writes the rows but for those that are `refused` already; those that are there are written over. What constraints or
/// triggers of the table refuse is added to `refused`, and all others are written. A trigger may have rolled all of it back
/// then, and the transaction is none any more.
///
/// # Errors
/// If the store fails, for instance because the table was changed since [`ensure`].
pub fn write(tx: &Transaction<'_>, rows: &Rows, refused: &mut Vec<Refused>) -> Result<(), TableError> {
    write_rows(tx, rows, refused).map_err(|e| store(&rows.table.name, e))
}

/// The columns and the first rows by primary key.
///
/// # Errors
/// [`TableError::NoTable`], or if the store cannot be read.
pub fn top(conn: &Connection, table: &str, limit: usize) -> Result<Top, TableError> {
    if kind_of(conn, table).map_err(|e| store(table, e))?.is_none() {
        return Err(TableError::NoTable(table.to_owned()));
    }
    first_rows(conn, table, limit).map_err(|e| store(table, e))
}

// === What SQLite is told ===

/// A name as SQLite takes it, whatever is in it.
fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list(names: impl Iterator<Item = impl AsRef<str>>) -> String {
    names.map(|name| quote(name.as_ref())).collect::<Vec<_>>().join(", ")
}

fn key_names(spec: &TableSpec) -> impl Iterator<Item = &str> {
    spec.key().map(|index| spec.columns[index].name.as_str())
}

/// The type of a column; none for what SQLite has not.
fn class(ty: &ColumnType) -> Option<&'static str> {
    use ColumnType as T;
    Some(match ty {
        T::Boolean | T::Int | T::Long | T::Date | T::TimeMicros => "INTEGER",
        T::TimestampMillis | T::TimestampMicros | T::TimestampNanos => "INTEGER",
        T::Float | T::Double => "REAL",
        T::Text | T::Decimal | T::Uuid | T::Json => "TEXT",
        T::Blob | T::Duration => "BLOB",
        T::Array(_) | T::Map(_) | T::Record(_) => return None,
    })
}

/// Whether the column is NOT NULL. SQLite keeps a NaN as null, so that a column of floats takes nulls outside of keys.
fn not_null(spec: &TableSpec, index: usize) -> bool {
    let Column { ty, nullable, .. } = &spec.columns[index];
    spec.key().any(|k| k == index) || !(*nullable || matches!(ty, ColumnType::Float | ColumnType::Double))
}

fn column_type(class: &str, not_null: bool) -> String {
    format!("{class}{}", if not_null { " NOT NULL" } else { "" })
}

fn ddl(spec: &TableSpec) -> String {
    let mut sql = format!("CREATE TABLE {} (\n", quote(&spec.name));
    for (index, column) in spec.columns.iter().enumerate() {
        let ty = column_type(class(&column.ty).unwrap_or("BLOB"), not_null(spec, index));
        let _ = writeln!(sql, "  {} {ty},", quote(&column.name));
    }
    let _ = write!(sql, "  PRIMARY KEY ({})\n) STRICT, WITHOUT ROWID;", list(key_names(spec)));
    sql
}

fn upsert_sql(spec: &TableSpec) -> String {
    let marks = vec!["?"; spec.columns.len()].join(", ");
    let set: Vec<String> = (0..spec.columns.len())
        .filter(|index| spec.key().all(|k| k != *index))
        .map(|index| quote(&spec.columns[index].name))
        .map(|name| format!("{name} = excluded.{name}"))
        .collect();
    let action = if set.is_empty() { "NOTHING".to_owned() } else { format!("UPDATE SET {}", set.join(", ")) };
    let columns = list(spec.columns.iter().map(|c| &c.name));
    let (table, key) = (quote(&spec.name), list(key_names(spec)));
    format!("INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT ({key}) DO {action}")
}

fn delete_sql(spec: &TableSpec) -> String {
    let conditions: Vec<String> = key_names(spec).map(|name| format!("{} = ?", quote(name))).collect();
    format!("DELETE FROM {} WHERE {}", quote(&spec.name), conditions.join(" AND "))
}

fn write_rows(tx: &Transaction<'_>, rows: &Rows, refused: &mut Vec<Refused>) -> rusqlite::Result<()> {
    let mut delete = tx.prepare_cached(&delete_sql(&rows.table))?;
    let mut upsert = tx.prepare_cached(&upsert_sql(&rows.table))?;
    let mut left = match rows.order.is_empty() {
        true => {
            let deletes = (0..rows.delete_stamps.len()).map(RowIndex::Delete);
            deletes.chain((0..rows.marks.len()).map(RowIndex::Upsert)).collect()
        }
        false => rows.order.clone(),
    };
    if !refused.is_empty() {
        let known: HashSet<RowIndex> = refused.iter().map(|refused| refused.row).collect();
        left.retain(|row| !known.contains(row));
    }
    loop {
        let mut failed = Vec::new();
        for row in &left {
            let done = match *row {
                RowIndex::Delete(index) => write_row(&mut delete, rows.delete(index), &rows.arena),
                RowIndex::Upsert(index) => write_row(&mut upsert, rows.upsert(index), &rows.arena),
            };
            let Err(error) = done else { continue };
            if error.sqlite_error_code() != Some(ErrorCode::ConstraintViolation) {
                return Err(error);
            }
            let why = match error {
                rusqlite::Error::SqliteFailure(_, Some(why)) => why,
                other => other.to_string(),
            };
            let row = Refused { row: *row, why };
            if tx.is_autocommit() {
                refused.push(row);
                return Ok(());
            }
            failed.push(row);
        }
        // Without an order of theirs, what was in the way of a row may have been written after it.
        let is_over = !rows.order.is_empty() || failed.len() == left.len();
        if failed.is_empty() || is_over {
            refused.append(&mut failed);
            return Ok(());
        }
        left = failed.iter().map(|refused| refused.row).collect();
    }
}

fn write_row(statement: &mut Statement<'_>, cells: &[Cell], arena: &[u8]) -> rusqlite::Result<()> {
    for (index, cell) in cells.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, bound(*cell, arena))?;
    }
    statement.raw_execute().map(|_| ())
}

fn bound(cell: Cell, arena: &[u8]) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(match cell {
        Cell::Null => ValueRef::Null,
        Cell::Integer(value) => ValueRef::Integer(value),
        Cell::Real(value) => ValueRef::Real(value),
        Cell::Text(span) => ValueRef::Text(span.of(arena)),
        Cell::Blob(span) => ValueRef::Blob(span.of(arena)),
        // No table of a spec that was checked has such a column.
        Cell::Nested(_) => ValueRef::Null,
    })
}

// === What SQLite tells ===

/// A column of the table as it is.
struct LiveColumn {
    name: String,
    ty: String,
    not_null: bool,
    has_default: bool,
    /// Place in the primary key from 1, or 0.
    key: i64,
}

/// `table`, `view`, `virtual` or `shadow`, if there is something of that name.
fn kind_of(conn: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT type FROM pragma_table_list WHERE schema = 'main' AND name = ?1 COLLATE NOCASE";
    conn.query_row(sql, [name], |row| row.get(0)).optional()
}

fn live_columns(conn: &Connection, table: &str) -> rusqlite::Result<Vec<LiveColumn>> {
    let sql = r#"SELECT name, type, "notnull", dflt_value IS NOT NULL, pk FROM pragma_table_info(?1, 'main')"#;
    let mut statement = conn.prepare(sql)?;
    let columns = statement.query_map([table], |row| {
        Ok(LiveColumn {
            name: row.get(0)?,
            ty: row.get(1)?,
            not_null: row.get(2)?,
            has_default: row.get(3)?,
            key: row.get(4)?,
        })
    })?;
    columns.collect()
}

fn first_rows(conn: &Connection, table: &str, limit: usize) -> rusqlite::Result<Top> {
    let mut keys: Vec<LiveColumn> = live_columns(conn, table)?.into_iter().filter(|c| c.key > 0).collect();
    keys.sort_by_key(|column| column.key);
    let order = list(keys.iter().map(|c| &c.name));
    let order = if order.is_empty() { order } else { format!(" ORDER BY {order}") };
    let mut statement = conn.prepare(&format!("SELECT * FROM {}{order} LIMIT ?1", quote(table)))?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = statement.query_map([limit], |row| (0..names.len()).map(|i| Ok(text(row.get_ref(i)?))).collect())?;
    let rows = rows.collect::<rusqlite::Result<_>>()?;
    Ok((names, rows))
}

fn text(value: ValueRef<'_>) -> Option<String> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => bytes.iter().fold("0x".to_owned(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        }),
    })
}

// === What is compared ===

/// What no table can have, told before SQLite tells it less clearly.
fn check_spec(spec: &TableSpec) -> Result<(), TableError> {
    let wrong = |what: String| Err(TableError::Spec { table: spec.name.clone(), what });
    if spec.name.is_empty() || spec.name.to_ascii_lowercase().starts_with("sqlite_") {
        return wrong("names that are empty or begin with `sqlite_` are not allowed".to_owned());
    }
    let mut seen = HashSet::new();
    for name in spec.columns.iter().map(|c| &c.name).chain([&spec.name]) {
        if name.contains('\0') {
            return wrong(format!("the name {name:?} has a zero byte in it"));
        }
    }
    if let Some(twice) = spec.columns.iter().find(|c| !seen.insert(c.name.to_ascii_lowercase())) {
        return wrong(format!(
            "it has two columns `{}`; SQLite takes small and capital letters as the same",
            twice.name
        ));
    }
    if let Some(nested) = spec.columns.iter().find(|c| class(&c.ty).is_none()) {
        return wrong(format!("SQLite has no type for its column `{}`", nested.name));
    }
    if spec.nulls == Nulls::Unset {
        return wrong("SQLite cannot leave columns as they are".to_owned());
    }
    let mut keys = HashSet::new();
    if spec.partition_key.is_empty() || !spec.key().all(|k| k < spec.columns.len() && keys.insert(k)) {
        return wrong("its primary key must be one or more of its columns, each once".to_owned());
    }
    Ok(())
}

/// A line for each reason why the live table would not take the rows, or nothing. Order does not matter, and further
/// columns are fine if they can be left out: both come from `ALTER TABLE … ADD COLUMN`.
fn differences(spec: &TableSpec, live: &[LiveColumn]) -> String {
    let mut lines = String::new();
    for (index, column) in spec.columns.iter().enumerate() {
        let wanted = column_type(class(&column.ty).unwrap_or("BLOB"), not_null(spec, index));
        let found = match live.iter().find(|l| l.name.eq_ignore_ascii_case(&column.name)) {
            // INT and INTEGER are one type in a STRICT table.
            Some(l) if l.ty.eq_ignore_ascii_case("INT") => column_type("INTEGER", l.not_null),
            Some(l) => column_type(&l.ty.to_ascii_uppercase(), l.not_null),
            None => "no such column".to_owned(),
        };
        if wanted != found {
            let _ = writeln!(lines, "  column {}: wanted {wanted}, found {found}", quote(&column.name));
        }
    }
    for l in live.iter().filter(|l| spec.columns.iter().all(|c| !c.name.eq_ignore_ascii_case(&l.name))) {
        if l.not_null && !l.has_default {
            let found = column_type(&l.ty, l.not_null);
            let _ = writeln!(lines, "  column {}: wanted no such column, found {found}", quote(&l.name));
        }
    }
    let mut live_key: Vec<&LiveColumn> = live.iter().filter(|l| l.key > 0).collect();
    live_key.sort_by_key(|l| l.key);
    let (wanted, found) = (list(key_names(spec)), list(live_key.iter().map(|l| &l.name)));
    if !wanted.eq_ignore_ascii_case(&found) {
        let found = if found.is_empty() { "none".to_owned() } else { format!("({found})") };
        let _ = writeln!(lines, "  primary key: wanted ({wanted}), found {found}");
    }
    lines
}

fn store(table: &str, source: rusqlite::Error) -> TableError {
    TableError::Store { table: table.to_owned(), source: Box::new(source) }
}
