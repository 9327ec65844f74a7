//! Rows of a table as text.

use std::cmp::Ordering;

use scylla::statement::Consistency;
use scylla::statement::unprepared::Statement;
use scylla::value::{CqlValue, Row};

use super::cluster::{Cluster, store};
use super::ddl::quote;
use crate::format::decimal;
use crate::table::{TableError, Top};

/// As [`crate::table::TableStore::top`]: of so many rows that come first, by the token of their partition key, in the order
/// of the key.
pub(super) fn top(cluster: &Cluster, table: &str, limit: usize) -> Result<Top, TableError> {
    let session = cluster.session(table)?;
    let failed = |error: &dyn std::error::Error| store(table, error.to_string());
    cluster.wait(table, session.refresh_metadata())?.map_err(|error| failed(&error))?;
    let state = session.get_cluster_state();
    let keyspace = &cluster.settings.keyspace;
    let live = state.get_keyspace(keyspace).and_then(|keyspace| keyspace.tables.get(table));
    let live = live.ok_or_else(|| TableError::NoTable(table.to_owned()))?;
    let limit = i32::try_from(limit).unwrap_or(i32::MAX);
    let cql = format!("SELECT * FROM {}.{} LIMIT {limit}", quote(keyspace), quote(table));
    let mut select = Statement::new(cql);
    if Consistency::from(cluster.settings.consistency) == Consistency::Any {
        // No node reads at it.
        select.set_consistency(Consistency::One);
    }
    let found = cluster.wait(table, session.query_unpaged(select, ()))?.map_err(|error| failed(&error))?;
    let found = found.into_rows_result().map_err(|error| failed(&error))?;
    let names: Vec<String> = found.column_specs().iter().map(|column| column.name().to_owned()).collect();
    let key = live.partition_key.iter().chain(&live.clustering_key);
    let key: Vec<usize> = key.filter_map(|column| names.iter().position(|name| name == column)).collect();
    let rows = found.rows::<Row>().map_err(|error| failed(&error))?;
    let mut rows: Vec<Row> = rows.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
    rows.sort_by(|a, b| {
        let order = |index: &usize| compare(a.columns[*index].as_ref(), b.columns[*index].as_ref());
        key.iter().map(order).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    });
    let rows = rows.into_iter().map(|row| row.columns.iter().map(|value| value.as_ref().map(text)).collect()).collect();
    Ok((names, rows))
}

fn text(value: &CqlValue) -> String {
    match value {
        CqlValue::Text(text) | CqlValue::Ascii(text) => text.clone(),
        // The driver shows its bytes.
        CqlValue::Decimal(number) => {
            let (unscaled, scale) = number.as_signed_be_bytes_slice_and_exponent();
            let text = usize::try_from(scale).ok().and_then(|scale| decimal::text(unscaled, scale).ok());
            text.unwrap_or_else(|| number_of(unscaled, scale))
        }
        other => {
            let shown = other.to_string();
            // A literal of CQL stands in quotes where a cell of a table does not.
            shown.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).map_or(shown.clone(), str::to_owned)
        }
    }
}

/// A decimal of more digits than anyone writes out.
fn number_of(unscaled: &[u8], scale: i32) -> String {
    format!("{}e{}", num_bigint::BigInt::from_signed_bytes_be(unscaled), -i64::from(scale))
}

fn compare(a: Option<&CqlValue>, b: Option<&CqlValue>) -> Ordering {
    use CqlValue as V;
    match (a, b) {
        (Some(V::Int(a)), Some(V::Int(b))) => a.cmp(b),
        (Some(V::BigInt(a)), Some(V::BigInt(b))) => a.cmp(b),
        (Some(V::Double(a)), Some(V::Double(b))) => a.total_cmp(b),
        (Some(V::Float(a)), Some(V::Float(b))) => a.total_cmp(b),
        (Some(V::Timestamp(a)), Some(V::Timestamp(b))) => a.0.cmp(&b.0),
        (Some(V::Date(a)), Some(V::Date(b))) => a.0.cmp(&b.0),
        (Some(V::Time(a)), Some(V::Time(b))) => a.0.cmp(&b.0),
        (a, b) => a.map(text).cmp(&b.map(text)),
    }
}
