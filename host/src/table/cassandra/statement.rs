//! The two statements of a table, and rows as their bound values.

use std::sync::Arc;

use scylla::client::session::Session;
use scylla::cluster::metadata::Table;
use scylla::errors::PrepareError;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::statement::prepared::PreparedStatement;

use super::ddl::{names, quote};
use super::encode::{Encoder, Unfit};
use crate::table::{Cell, Nulls, RowIndex, Rows, TableSpec};

/// More than this no node takes in one frame (`native_transport_max_frame_size`, 16 MiB): it would close the connection, and
/// nobody would know why.
pub(super) const MAX_ROW_BYTES: usize = 15 * 1024 * 1024;

/// How rows of a table are written, as long as that is as it was.
pub(super) struct Statements {
    upsert: PreparedStatement,
    delete: PreparedStatement,
    /// One for each column of the description.
    encoders: Vec<Encoder>,
    /// The columns of the key.
    key: Vec<usize>,
    nulls: Nulls,
}

/// A row as the values of its statement.
pub(super) struct Bound<'a> {
    statements: &'a Statements,
    rows: &'a Rows,
    row: RowIndex,
}

// === impl Statements ===

impl Statements {
    /// Prepares them. The table is one that fits.
    pub(super) async fn prepare(
        session: &Session,
        keyspace: &str,
        spec: &TableSpec,
        encoders: Vec<Encoder>,
    ) -> Result<Self, PrepareError> {
        let prepare = async |cql: String| {
            let mut statement = session.prepare(cql).await?;
            statement.set_is_idempotent(true);
            Ok::<_, PrepareError>(statement)
        };
        let upsert = prepare(upsert_cql(keyspace, spec)).await?;
        let delete = prepare(delete_cql(keyspace, spec)).await?;
        Ok(Self { upsert, delete, encoders, key: spec.key().collect(), nulls: spec.nulls })
    }

    /// Whether they are for a table whose columns are written so.
    pub(super) fn write_as(&self, encoders: &[Encoder]) -> bool {
        self.encoders == encoders
    }

    /// Whether these are for a table of the same columns.
    pub(super) fn writes_as(&self, other: &Self) -> bool {
        self.write_as(&other.encoders)
    }

    /// What a row is written with.
    pub(super) fn of(&self, row: RowIndex) -> &PreparedStatement {
        match row {
            RowIndex::Upsert(_) => &self.upsert,
            RowIndex::Delete(_) => &self.delete,
        }
    }

    /// A row as its values.
    pub(super) fn bind<'a>(&'a self, rows: &'a Rows, row: RowIndex) -> Bound<'a> {
        Bound { statements: self, rows, row }
    }
}

/// How each column of the description is written, unless one is not there or of another type.
pub(super) fn encoders(spec: &TableSpec, live: &Table) -> Option<Vec<Encoder>> {
    let encoder = |column: &crate::table::Column| {
        Encoder::compile(&column.ty, &live.columns.get(&column.name)?.typ, spec.fine_times)
    };
    spec.columns.iter().map(encoder).collect()
}

fn upsert_cql(keyspace: &str, spec: &TableSpec) -> String {
    let columns = names(spec, 0..spec.columns.len());
    let marks = vec!["?"; spec.columns.len()].join(", ");
    let table = format!("{}.{}", quote(keyspace), quote(&spec.name));
    format!("INSERT INTO {table} ({columns}) VALUES ({marks}) USING TIMESTAMP ? AND TTL ?")
}

fn delete_cql(keyspace: &str, spec: &TableSpec) -> String {
    let conditions: Vec<String> = spec.key().map(|index| format!("{} = ?", quote(&spec.columns[index].name))).collect();
    let table = format!("{}.{}", quote(keyspace), quote(&spec.name));
    format!("DELETE FROM {table} USING TIMESTAMP ? WHERE {}", conditions.join(" AND "))
}

// === impl Bound ===

impl Bound<'_> {
    fn write(&self, writer: &mut RowWriter<'_>) -> Result<(), Unfit> {
        let Self { statements, rows, row } = self;
        match *row {
            RowIndex::Upsert(index) => {
                let cells = rows.upsert(index);
                check_size(cells, rows)?;
                for (cell, encoder) in cells.iter().zip(&statements.encoders) {
                    let writer = writer.make_cell_writer();
                    match (cell, statements.nulls) {
                        (Cell::Null, Nulls::Unset) => writer.set_unset(),
                        (Cell::Null, Nulls::Delete) => writer.set_null(),
                        (cell, _) => encoder.write(*cell, rows, writer)?,
                    };
                }
                let mark = rows.marks[index];
                writer.make_cell_writer().set_value(&mark.stamp.to_be_bytes())?;
                match mark.ttl_s.and_then(|seconds| i32::try_from(seconds).ok()) {
                    // What the table has by default.
                    None => writer.make_cell_writer().set_unset(),
                    Some(seconds) => writer.make_cell_writer().set_value(&seconds.to_be_bytes())?,
                };
            }
            RowIndex::Delete(index) => {
                writer.make_cell_writer().set_value(&rows.delete_stamps[index].to_be_bytes())?;
                for (cell, column) in rows.delete(index).iter().zip(&statements.key) {
                    statements.encoders[*column].write(*cell, rows, writer.make_cell_writer())?;
                }
            }
        }
        Ok(())
    }
}

fn check_size(cells: &[Cell], rows: &Rows) -> Result<(), Unfit> {
    let bytes = size(cells, rows);
    if bytes > MAX_ROW_BYTES { Err(Unfit::Large(bytes)) } else { Ok(()) }
}

/// At least as many bytes as the cells take.
fn size(cells: &[Cell], rows: &Rows) -> usize {
    let of = |cell: &Cell| match cell {
        Cell::Text(span) | Cell::Blob(span) => span.len as usize + 4,
        Cell::Nested(span) => 8 + size(&rows.nested[span.start as usize..][..span.len as usize], rows),
        Cell::Null | Cell::Integer(_) | Cell::Real(_) => 12,
    };
    cells.iter().map(of).sum()
}

impl SerializeRow for Bound<'_> {
    fn serialize(&self, _: &RowSerializationContext<'_>, writer: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        self.write(writer).map_err(SerializationError::new)
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// Shared by the rows in flight.
pub(super) type SharedStatements = Arc<Statements>;
