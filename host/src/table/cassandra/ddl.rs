//! What Cassandra is told to make a keyspace and a table, and the names of types as it writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use scylla::cluster::metadata::{CollectionType, ColumnType as Live, NativeType};

use super::Replication;
use crate::table::{Column, ColumnType, FineTimes, RecordType, TableError, TableSpec};

/// A name as CQL takes it, whatever is in it.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as CQL takes it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A list of columns by their indices.
pub(super) fn names(spec: &TableSpec, indices: impl IntoIterator<Item = usize>) -> String {
    indices.into_iter().map(|index| quote(&spec.columns[index].name)).collect::<Vec<_>>().join(", ")
}

/// What makes a keyspace.
pub(super) fn keyspace(name: &str, replication: &Replication) -> String {
    let factors = match replication {
        Replication::Everywhere(factor) => format!("'replication_factor': {factor}"),
        Replication::In(datacenters) => {
            let factor = |(datacenter, factor): &(String, u32)| format!("{}: {factor}", literal(datacenter));
            datacenters.iter().map(factor).collect::<Vec<_>>().join(", ")
        }
    };
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {{'class': 'NetworkTopologyStrategy', {factors}}}",
        quote(name)
    )
}

/// What makes the types that a table is made of, each after those that it is made of itself, and the table.
pub(super) fn table(keyspace: &str, spec: &TableSpec) -> Vec<String> {
    let mut types = Vec::new();
    for column in &spec.columns {
        records(&column.ty, &mut types);
    }
    let mut statements: Vec<String> = Vec::new();
    for record in types {
        let field = |field: &Column| format!("{} {}", quote(&field.name), ty(spec, &field.ty));
        let fields: Vec<String> = record.fields.iter().map(field).collect();
        let name = type_name(spec, &record);
        let made = format!("CREATE TYPE IF NOT EXISTS {}.{name} ({})", quote(keyspace), fields.join(", "));
        if !statements.contains(&made) {
            statements.push(made);
        }
    }
    let mut cql = format!("CREATE TABLE IF NOT EXISTS {}.{} (\n", quote(keyspace), quote(&spec.name));
    for column in &spec.columns {
        let _ = writeln!(cql, "  {} {},", quote(&column.name), ty(spec, &column.ty));
    }
    let _ = write!(cql, "  PRIMARY KEY ({})\n)", key(spec));
    statements.push(cql);
    statements
}

/// The statements as one text.
pub(super) fn text(statements: &[String]) -> String {
    statements.iter().fold(String::new(), |text, statement| text + statement + ";\n").trim_end().to_owned()
}

/// A primary key: `("shop", "day"), "at"`.
pub(super) fn key(spec: &TableSpec) -> String {
    let partition = names(spec, spec.partition_key.iter().copied());
    match spec.clustering_key.as_slice() {
        [] => format!("({partition})"),
        clustering => format!("({partition}), {}", names(spec, clustering.iter().copied())),
    }
}

/// Two records of one name that are not the same would be one type there.
pub(super) fn check_types(spec: &TableSpec) -> Result<(), TableError> {
    let mut types = Vec::new();
    for column in &spec.columns {
        records(&column.ty, &mut types);
    }
    let mut by_name: BTreeMap<&str, &Arc<RecordType>> = BTreeMap::new();
    for record in &types {
        let known = by_name.insert(&record.name, record);
        if known.is_some_and(|known| known != record) {
            let what =
                format!("two different records are called `{}`, and a keyspace has one type of a name", record.name);
            return Err(TableError::Spec { table: spec.name.clone(), what });
        }
    }
    Ok(())
}

/// The records in a type, the innermost first.
fn records(ty: &ColumnType, found: &mut Vec<Arc<RecordType>>) {
    match ty {
        ColumnType::Array(of) | ColumnType::Map(of) => records(of, found),
        ColumnType::Record(record) => {
            record.fields.iter().for_each(|field| records(&field.ty, found));
            found.push(record.clone());
        }
        _ => {}
    }
}

/// The type of a record: `prices_box_size` for the record `BoxSize` in the table `prices`, so that each table has its own. Of
/// small letters, as the driver cannot read the names of types that stand in quotes; and no word of CQL.
fn type_name(spec: &TableSpec, record: &RecordType) -> String {
    let mut name = spec.name.to_ascii_lowercase();
    let mut before = 'A';
    name.push('_');
    for letter in record.name.chars() {
        if letter.is_ascii_uppercase() && !before.is_ascii_uppercase() && before != '_' {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
        before = letter;
    }
    name
}

/// The type of a column that is made here.
pub(super) fn ty(spec: &TableSpec, ty: &ColumnType) -> String {
    use ColumnType as T;
    let fine = spec.fine_times;
    match ty {
        T::Boolean => "boolean",
        T::Int => "int",
        T::Long => "bigint",
        T::Float => "float",
        T::Double => "double",
        T::Text | T::Json => "text",
        T::Blob => "blob",
        T::Decimal => "decimal",
        T::Uuid => "uuid",
        T::Date => "date",
        T::TimeMicros => "time",
        T::TimestampMillis => "timestamp",
        T::TimestampMicros | T::TimestampNanos if fine == FineTimes::Truncated => "timestamp",
        T::TimestampMicros | T::TimestampNanos => "bigint",
        T::Duration => "duration",
        // Frozen, so that a value that is written again takes the place of the one before, without a tombstone.
        T::Array(item) => return format!("frozen<list<{}>>", self::ty(spec, item)),
        T::Map(value) => return format!("frozen<map<text, {}>>", self::ty(spec, value)),
        T::Record(record) => return format!("frozen<{}>", type_name(spec, record)),
    }
    .to_owned()
}

/// The type of a column that is there.
pub(super) fn live(live: &Live<'_>) -> String {
    let frozen = |is_frozen: bool, text: String| if is_frozen { format!("frozen<{text}>") } else { text };
    match live {
        Live::Native(NativeType::BigInt) => "bigint".to_owned(),
        Live::Native(native) => format!("{native:?}").to_lowercase(),
        Live::Collection { frozen: is_frozen, typ } => {
            let text = match typ {
                CollectionType::List(of) => format!("list<{}>", self::live(of)),
                CollectionType::Set(of) => format!("set<{}>", self::live(of)),
                CollectionType::Map(key, of) => format!("map<{}, {}>", self::live(key), self::live(of)),
                other => format!("{other:?}"),
            };
            frozen(*is_frozen, text)
        }
        Live::UserDefinedType { frozen: is_frozen, definition } => {
            let field =
                |(name, ty): &(std::borrow::Cow<'_, str>, Live<'_>)| format!("{} {}", quote(name), self::live(ty));
            let fields: Vec<String> = definition.field_types.iter().map(field).collect();
            frozen(*is_frozen, format!("{} ({})", quote(&definition.name), fields.join(", ")))
        }
        Live::Tuple(parts) => format!("tuple<{}>", parts.iter().map(self::live).collect::<Vec<_>>().join(", ")),
        Live::Vector { typ, dimensions } => format!("vector<{}, {dimensions}>", self::live(typ)),
        other => format!("{other:?}"),
    }
}
