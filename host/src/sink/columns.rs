//! The columns that an Avro record makes.

use std::sync::Arc;

use bespoke_boundary::resolve;
use bespoke_boundary::schema::{Field, Kind, Logical, Schema, TypeId};

use super::row::Ttl;
use crate::table::{Column, ColumnType, FineTimes, Nulls, RecordType, TableSpec};

/// What a table is to be, as far as the schema does not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// The fields that are columns; none for all of them.
    pub columns: Option<&'a [String]>,
    /// The columns that place a row.
    pub partition_key: &'a [String],
    /// The columns that order the rows of a partition.
    pub clustering_key: &'a [String],
    /// Whether its columns may hold lists, maps and records.
    pub nests: bool,
    /// What becomes of a column whose value is null.
    pub nulls: Nulls,
    /// What becomes of times that are finer than those of the store.
    pub fine_times: FineTimes,
}

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
    /// A lifetime that is no number.
    #[error("table `{table}`: `ttl_field` names `{field}` of Avro type `{ty}`; it must be a number of seconds")]
    Ttl {
        /// The table.
        table: String,
        /// The field.
        field: String,
        /// Its type.
        ty: String,
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

/// Whether the records of a schema tell how long their rows live, if they are to.
///
/// # Errors
/// [`ColumnsError::NoField`], [`ColumnsError::Ttl`].
pub fn check_ttl(schema: &Schema, table: &str, ttl: &Ttl) -> Result<(), ColumnsError> {
    let (Ttl::Field(name), Some(record)) = (ttl, schema.record()) else { return Ok(()) };
    let Some(field) = record.fields.iter().find(|field| field.name == *name) else {
        return Err(ColumnsError::NoField {
            table: table.to_owned(),
            column: name.clone(),
            record: record.name.full.clone(),
            known: record.fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", "),
        });
    };
    match column_type(schema, value_of(schema, field.ty).0, false, &mut Vec::new()) {
        ColumnType::Int | ColumnType::Long => Ok(()),
        _ => Err(ColumnsError::Ttl { table: table.to_owned(), field: name.clone(), ty: schema.describe(field.ty) }),
    }
}

/// The table that records of a schema fill.
///
/// # Errors
/// [`ColumnsError`].
pub fn table_spec(schema: &Schema, table: &Wanted<'_>) -> Result<TableSpec, ColumnsError> {
    let Wanted { name, columns, partition_key, clustering_key, nests, nulls, fine_times } = *table;
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
        let (value, nullable) = value_of(schema, field.ty);
        let ty = column_type(schema, value, nests, &mut Vec::new());
        if is_key(column) && !ty.may_be_key() {
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
        nulls,
        fine_times,
    })
}

/// The type without null, and whether null was one of it.
pub(super) fn value_of(schema: &Schema, ty: TypeId) -> (TypeId, bool) {
    schema.nullable(ty).map_or((ty, false), |(_, value)| (value, true))
}

/// The type of a column. `around` are the records that it is in: one in itself has no other type than JSON.
fn column_type(schema: &Schema, ty: TypeId, nests: bool, around: &mut Vec<TypeId>) -> ColumnType {
    let of = schema.get(ty);
    match (&of.kind, of.logical) {
        (_, Some(Logical::Decimal { .. })) => ColumnType::Decimal,
        (_, Some(Logical::BigDecimal)) if nests => ColumnType::Decimal,
        (_, Some(Logical::Uuid)) => ColumnType::Uuid,
        (_, Some(Logical::Date)) => ColumnType::Date,
        (_, Some(Logical::TimeMillis | Logical::TimeMicros)) => ColumnType::TimeMicros,
        (_, Some(Logical::TimestampMillis | Logical::LocalTimestampMillis)) => ColumnType::TimestampMillis,
        (_, Some(Logical::TimestampMicros | Logical::LocalTimestampMicros)) => ColumnType::TimestampMicros,
        (_, Some(Logical::TimestampNanos | Logical::LocalTimestampNanos)) => ColumnType::TimestampNanos,
        (_, Some(Logical::Duration)) => ColumnType::Duration,
        (Kind::Boolean, _) => ColumnType::Boolean,
        (Kind::Int, _) => ColumnType::Int,
        (Kind::Long, _) => ColumnType::Long,
        (Kind::Float, _) => ColumnType::Float,
        (Kind::Double, _) => ColumnType::Double,
        (Kind::String | Kind::Enum(_), _) => ColumnType::Text,
        (Kind::Bytes | Kind::Fixed(_), _) => ColumnType::Blob,
        // Items without bytes may be as many as they like.
        (Kind::Array(item), _) if nests && resolve::min_size(schema, *item) > 0 => {
            ColumnType::Array(Box::new(column_type(schema, value_of(schema, *item).0, nests, around)))
        }
        (Kind::Map(value), _) if nests => {
            ColumnType::Map(Box::new(column_type(schema, value_of(schema, *value).0, nests, around)))
        }
        (Kind::Record(record), _) if nests && !record.fields.is_empty() && !around.contains(&ty) => {
            around.push(ty);
            let field = |field: &Field| {
                let (value, nullable) = value_of(schema, field.ty);
                Column { name: field.name.clone(), ty: column_type(schema, value, nests, around), nullable }
            };
            let fields = record.fields.iter().map(field).collect();
            around.pop();
            ColumnType::Record(Arc::new(RecordType { name: record.name.short().to_owned(), fields }))
        }
        (Kind::Null | Kind::Array(_) | Kind::Map(_) | Kind::Union(_) | Kind::Record(_), _) => ColumnType::Json,
    }
}

/// The fields that the keys of a sink's topic are made of, as it says itself, or who writes it here. Of a topic that others
/// fill nothing more is known; a key of one column is mostly that of the records then.
///
/// # Errors
/// If they say different things.
pub fn key_fields(
    told: Option<&[String]>,
    written: Option<&[String]>,
    table: &TableSpec,
) -> Result<Vec<String>, String> {
    let column = |index: usize| table.columns[index].name.clone();
    match (told, written) {
        // Others may write it too.
        (Some(told), Some(written)) if !written.is_empty() && told != written => Err(format!(
            "`key` of the sink is {}, and what writes its topic makes the keys of {}",
            told.join(", "),
            written.join(", ")
        )),
        (Some(key), _) | (None, Some(key)) => Ok(key.to_vec()),
        (None, None) => match table.key().collect::<Vec<_>>().as_slice() {
            [only] => Ok(vec![column(*only)]),
            _ => Ok(Vec::new()),
        },
    }
}

/// Why the rows of one key may come from several partitions of their topic, if they may.
#[must_use]
pub fn unordered(written: Option<&[String]>, key: &[String], table: &TableSpec) -> Option<String> {
    if written.is_some_and(<[String]>::is_empty) && key.is_empty() {
        return Some("the records of its topic have no key".to_owned());
    }
    let is_column = |field: &String| table.key().any(|index| table.columns[index].name == *field);
    let other = key.iter().find(|field| !is_column(field))?;
    Some(format!("the key of its topic has `{other}`, which is no part of the table's key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_topics_that_others_fill_are_told_or_guessed_of_one_column() {
        let table = |key: &[usize]| TableSpec {
            name: "t".to_owned(),
            columns: ["a", "b"]
                .map(|name| Column { name: name.to_owned(), ty: ColumnType::Text, nullable: false })
                .into(),
            partition_key: key.to_vec(),
            clustering_key: vec![],
            nulls: Default::default(),
            fine_times: Default::default(),
        };
        let (a, b) = (["a".to_owned()], ["b".to_owned()]);
        let none: [String; 0] = [];
        assert_eq!(key_fields(None, None, &table(&[1])).as_deref(), Ok(&b[..]));
        assert_eq!(key_fields(None, None, &table(&[0, 1])).as_deref(), Ok(&none[..]), "nobody knows their order");
        assert_eq!(key_fields(Some(&a), None, &table(&[0, 1])).as_deref(), Ok(&a[..]));
        assert_eq!(key_fields(None, Some(&none), &table(&[1])).as_deref(), Ok(&none[..]));
        assert_eq!(unordered(None, &a, &table(&[0, 1])), None, "rows of one key have one `a`, and so one partition");
        assert!(unordered(None, &a, &table(&[1])).is_some_and(|why| why.contains("`a`")));
        assert_eq!(unordered(None, &none, &table(&[0, 1])), None, "nobody knows");
        assert!(unordered(Some(&none), &none, &table(&[1])).is_some_and(|why| why.contains("no key")));
        assert_eq!(key_fields(None, Some(&b), &table(&[0])).as_deref(), Ok(&b[..]));
        let differ = "`key` of the sink is a, and what writes its topic makes the keys of b";
        assert_eq!(key_fields(Some(&a), Some(&b), &table(&[0])), Err(differ.to_owned()));
    }
}
