//! The columns that an Avro record makes.

use bespoke_boundary::schema::{Kind, Logical, Schema, TypeId};

use crate::table::{Column, ColumnType, TableSpec};

/// A table that cannot be made of a schema.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    /// A name that the record does not have.
    #[error("table `{table}`: `{column}` is not a field of record `{record}`; it has {known}")]
    NoField {
        /// The table.
        table: String,
        /// The name.
        column: String,
        /// The record.
        record: String,
        /// Its fields.
        known: String,
    },
    /// A key column whose values cannot be a key.
    #[error("table `{table}`: key column `{column}` is of Avro type `{ty}`; a key is made of plain values")]
    Key {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        ty: String,
    },
    /// The key is not among the columns.
    #[error("table `{table}`: key column `{column}` is not in `columns`; add it")]
    Missing {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The topic does not hold records.
    #[error("table `{table}`: the schema is `{ty}`, and rows are made of records")]
    NotARecord {
        /// The table.
        table: String,
        /// What it is.
        ty: String,
    },
}

/// The table that records of a schema fill. `columns` are names of fields, all of them if none are given.
///
/// # Errors
/// [`ColumnsError`].
pub fn table_spec(
    schema: &Schema,
    name: &str,
    columns: Option<&[String]>,
    partition_key: &[String],
    clustering_key: &[String],
) -> Result<TableSpec, ColumnsError> {
    let Some(record) = schema.record() else {
        return Err(ColumnsError::NotARecord { table: name.to_owned(), ty: schema.describe(schema.root()) });
    };
    let all: Vec<String> = record.fields.iter().map(|f| f.name.clone()).collect();
    let wanted = columns.unwrap_or(&all);
    let is_key = |column: &String| partition_key.contains(column) || clustering_key.contains(column);
    let column = |column: &String| {
        let field = record.fields.iter().find(|f| f.name == *column).ok_or_else(|| ColumnsError::NoField {
            table: name.to_owned(),
            column: column.clone(),
            record: record.name.full.clone(),
            known: all.join(", "),
        })?;
        let (value, nullable) = match schema.nullable(field.ty) {
            Some((_, value)) => (value, true),
            None => (field.ty, false),
        };
        let ty = column_type(schema, value);
        if is_key(column) && ty == ColumnType::Json {
            return Err(ColumnsError::Key {
                table: name.to_owned(),
                column: column.clone(),
                ty: schema.describe(field.ty),
            });
        }
        // A record whose key is null has no row, whatever its schema allows.
        Ok(Column { name: column.clone(), ty, nullable: nullable && !is_key(column) })
    };
    let columns: Vec<Column> = wanted.iter().map(column).collect::<Result<_, _>>()?;
    let position = |key: &String| {
        columns
            .iter()
            .position(|c| c.name == *key)
            .ok_or_else(|| ColumnsError::Missing { table: name.to_owned(), column: key.clone() })
    };
    Ok(TableSpec {
        name: name.to_owned(),
        partition_key: partition_key.iter().map(position).collect::<Result<_, _>>()?,
        clustering_key: clustering_key.iter().map(position).collect::<Result<_, _>>()?,
        columns,
    })
}

fn column_type(schema: &Schema, ty: TypeId) -> ColumnType {
    let of = schema.get(ty);
    match (&of.kind, of.logical) {
        (_, Some(Logical::Decimal { .. })) => ColumnType::Decimal,
        (_, Some(Logical::Uuid)) => ColumnType::Uuid,
        (_, Some(Logical::Date)) => ColumnType::Date,
        (_, Some(Logical::TimeMillis | Logical::TimeMicros)) => ColumnType::TimeMicros,
        (_, Some(Logical::TimestampMillis | Logical::LocalTimestampMillis)) => ColumnType::TimestampMillis,
        (_, Some(Logical::TimestampMicros | Logical::LocalTimestampMicros)) => ColumnType::TimestampMicros,
        (Kind::Boolean, _) => ColumnType::Boolean,
        (Kind::Int, _) => ColumnType::Int,
        (Kind::Long, _) => ColumnType::Long,
        (Kind::Float, _) => ColumnType::Float,
        (Kind::Double, _) => ColumnType::Double,
        (Kind::String | Kind::Enum(_), _) => ColumnType::Text,
        (Kind::Bytes | Kind::Fixed(_), _) => ColumnType::Blob,
        (Kind::Null | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Record(_), _) => ColumnType::Json,
    }
}
