//! The table that is there: made if it is asked for, and whether it takes the rows.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::Session;
use scylla::cluster::metadata::{ColumnKind, Table};
use scylla::statement::unprepared::Statement;

use super::cluster::{Cluster, store};
use super::encode::Encoder;
use super::statement::Statements;
use super::{ddl, statement};
use crate::table::{TableError, TableSpec};

/// How long nodes may take at least to make a table, which they tell each other of.
const MAKE: Duration = Duration::from_secs(30);

/// As [`crate::table::TableStore::ensure`].
pub(super) fn ensure(cluster: &Cluster, spec: &TableSpec) -> Result<(), TableError> {
    match check(cluster, spec) {
        Err(TableError::Missing { .. }) => {}
        checked => return checked,
    }
    let session = cluster.session(&spec.name)?;
    for cql in needed(cluster, &session, spec)? {
        let mut statement = Statement::new(cql.as_str());
        statement.set_request_timeout(Some(cluster.settings.timeout.max(MAKE)));
        let made = cluster.wait(&spec.name, session.query_unpaged(statement, ()))?;
        made.map_err(|error| store(&spec.name, format!("{error}, to\n{cql}")))?;
    }
    // Somebody may have made another meanwhile, and types of these names may have been there.
    check(cluster, spec)
}

/// As [`crate::table::TableStore::check`].
pub(super) fn check(cluster: &Cluster, spec: &TableSpec) -> Result<(), TableError> {
    check_spec(spec)?;
    let session = cluster.session(&spec.name)?;
    cluster.wait(&spec.name, inspect(cluster, &session, spec))?.map(drop)
}

/// The table as it is now, if it takes the rows; and how they are written.
pub(super) async fn inspect(
    cluster: &Cluster,
    session: &Arc<Session>,
    spec: &TableSpec,
) -> Result<Vec<Encoder>, TableError> {
    session.refresh_metadata().await.map_err(|error| store(&spec.name, error))?;
    let state = session.get_cluster_state();
    let keyspace = &cluster.settings.keyspace;
    let live = state.get_keyspace(keyspace);
    let missing = || match needed(cluster, session, spec) {
        Ok(statements) => TableError::Missing { table: spec.name.clone(), ddl: ddl::text(&statements) },
        Err(error) => error,
    };
    let Some(live) = live else { return Err(missing()) };
    let ddl = || ddl::text(&ddl::table(keyspace, spec));
    if live.views.contains_key(&spec.name) {
        let differences = "  wanted a table, found a materialized view\n".to_owned();
        return Err(TableError::Different { table: spec.name.clone(), differences, ddl: ddl() });
    }
    let table = live.tables.get(&spec.name).ok_or_else(missing)?;
    let differences = differences(spec, table);
    match statement::encoders(spec, table) {
        Some(encoders) if differences.is_empty() => Ok(encoders),
        _ => Err(TableError::Different { table: spec.name.clone(), differences, ddl: ddl() }),
    }
}

/// Whether the table, as far as the driver has heard, is one that these statements are for. Nothing is asked of nodes.
pub(super) fn writes_as(cluster: &Cluster, session: &Session, spec: &TableSpec, statements: &Statements) -> bool {
    let state = session.get_cluster_state();
    let live = state.get_keyspace(&cluster.settings.keyspace).and_then(|keyspace| keyspace.tables.get(&spec.name));
    live.is_some_and(|live| {
        // Its key too.
        differences(spec, live).is_empty()
            && statement::encoders(spec, live).is_some_and(|encoders| statements.write_as(&encoders))
    })
}

/// What makes the table, and its keyspace if that is not there.
fn needed(cluster: &Cluster, session: &Session, spec: &TableSpec) -> Result<Vec<String>, TableError> {
    let keyspace = &cluster.settings.keyspace;
    let table = ddl::table(keyspace, spec);
    if session.get_cluster_state().get_keyspace(keyspace).is_some() {
        return Ok(table);
    }
    let Some(replication) = &cluster.settings.replication else {
        let example = ddl::keyspace(keyspace, &super::Replication::Everywhere(3));
        let what = format!(
            "there is no keyspace `{keyspace}`; name its `replication` in [cassandra], or create it, as by\n{example};"
        );
        return Err(TableError::Spec { table: spec.name.clone(), what });
    };
    Ok([vec![ddl::keyspace(keyspace, replication)], table].concat())
}

/// What no table can have, told before Cassandra tells it less clearly.
fn check_spec(spec: &TableSpec) -> Result<(), TableError> {
    let wrong = |what: String| Err(TableError::Spec { table: spec.name.clone(), what });
    if spec.name.is_empty() || spec.name.len() > 48 || !spec.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return wrong("a name is 1 to 48 letters, digits and underscores".to_owned());
    }
    let mut seen = std::collections::HashSet::new();
    // They differ to Cassandra; but a description is good for every store.
    if let Some(twice) = spec.columns.iter().find(|c| !seen.insert(c.name.to_ascii_lowercase())) {
        return wrong(format!("it has two columns `{}`", twice.name));
    }
    let mut keys = std::collections::HashSet::new();
    if spec.partition_key.is_empty() || !spec.key().all(|k| k < spec.columns.len() && keys.insert(k)) {
        return wrong("its primary key must be one or more of its columns, each once".to_owned());
    }
    if let Some(column) = spec.key().map(|index| &spec.columns[index]).find(|column| !column.ty.may_be_key()) {
        return wrong(format!("its column `{}` is of a type that no key can be of", column.name));
    }
    ddl::check_types(spec)
}

/// A line for each reason why the table would not take the rows, or nothing. Order does not matter, and neither do further
/// columns outside of the key.
fn differences(spec: &TableSpec, live: &Table) -> String {
    let mut lines = String::new();
    for column in &spec.columns {
        let wanted = ddl::ty(spec, &column.ty);
        let found = match live.columns.get(&column.name) {
            None => "no such column".to_owned(),
            Some(found) if found.kind == ColumnKind::Static => format!("static {}", ddl::live(&found.typ)),
            Some(found) if Encoder::compile(&column.ty, &found.typ, spec.fine_times).is_some() => continue,
            Some(found) => ddl::live(&found.typ),
        };
        let _ = writeln!(lines, "  column {}: wanted {wanted}, found {found}", ddl::quote(&column.name));
    }
    let list = |names: &[String]| names.iter().map(|name| ddl::quote(name)).collect::<Vec<_>>().join(", ");
    let found = match live.clustering_key.as_slice() {
        [] => format!("({})", list(&live.partition_key)),
        clustering => format!("({}), {}", list(&live.partition_key), list(clustering)),
    };
    let wanted = ddl::key(spec);
    if wanted != found {
        let _ = writeln!(lines, "  primary key: wanted ({wanted}), found ({found})");
    }
    lines
}
