//! A keyspace of one test, and what is in it, asked by a client that knows nothing of ours.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::{CqlValue, Row};
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads"));

/// How long questions are asked again.
const PATIENCE: Duration = Duration::from_secs(30);

/// Has it done, and waits for it.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    RUNTIME.block_on(work)
}

/// A keyspace that nobody else has.
pub struct Keyspace {
    pub nodes: String,
    pub name: String,
    session: Arc<Session>,
}

impl Keyspace {
    /// Makes one, whose rows are kept so often.
    pub fn new(nodes: &str, replicas: u32) -> Self {
        Self::of(nodes, replicas, None)
    }

    /// The same as a user with a password.
    pub fn of(nodes: &str, replicas: u32, user: Option<(&str, &str)>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let builder = SessionBuilder::new().known_nodes(nodes.split(',')).connection_timeout(Duration::from_secs(30));
        let builder = match user {
            Some((name, password)) => builder.user(name, password),
            None => builder,
        };
        let session = wait(builder.build());
        let keyspace = Self { nodes: nodes.to_owned(), name, session: Arc::new(session.expect("a session")) };
        keyspace.cql(&format!(
            "CREATE KEYSPACE {} WITH replication = {{'class': 'NetworkTopologyStrategy', 'replication_factor': {replicas}}}",
            keyspace.name
        ));
        keyspace
    }

    /// Has a statement done; `{ks}` stands for the keyspace. Its rows, if it has any.
    pub fn cql(&self, statement: &str) -> Vec<BTreeMap<String, Option<CqlValue>>> {
        let statement = statement.replace("{ks}", &self.name);
        let ask = || wait(self.session.query_unpaged(statement.as_str(), ())).map_err(Box::new);
        let (mut done, begin) = (ask(), Instant::now());
        // A node that has just died is asked for a while.
        while done.is_err() && statement.starts_with("SELECT") && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(200));
            done = ask();
        }
        let done = done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        let Ok(rows) = done.into_rows_result() else { return Vec::new() };
        let names: Vec<String> = rows.column_specs().iter().map(|column| column.name().to_owned()).collect();
        let named = |row: Row| names.iter().cloned().zip(row.columns).collect();
        rows.rows::<Row>().expect("rows").map(|row| named(row.expect("a row"))).collect()
    }

    /// The rows that a statement has, each as the text of its cells in the order of the columns' names, sorted.
    pub fn rows(&self, statement: &str) -> Vec<String> {
        let text = |value: &Option<CqlValue>| value.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let row = |row: BTreeMap<String, Option<CqlValue>>| row.values().map(text).collect::<Vec<_>>().join(" | ");
        let mut rows: Vec<String> = self.cql(statement).into_iter().map(row).collect();
        rows.sort();
        rows
    }

    /// Of how many rows of a table, by their key of one text, each node is the first to keep them.
    pub fn keepers(&self, table: &str, keys: impl Iterator<Item = String>) -> BTreeMap<IpAddr, usize> {
        wait(self.session.refresh_metadata()).expect("metadata");
        let state = self.session.get_cluster_state();
        let mut keepers: BTreeMap<IpAddr, usize> =
            state.get_nodes_info().iter().map(|node| (node.address.ip(), 0)).collect();
        for key in keys {
            let nodes = state.get_endpoints(&self.name, table, &(key,)).expect("a table");
            *keepers.entry(nodes[0].0.address.ip()).or_default() += 1;
        }
        keepers
    }
}

impl Drop for Keyspace {
    fn drop(&mut self) {
        // The node may be gone, and a test that has failed has something to say of its own.
        let statement = format!("DROP KEYSPACE IF EXISTS {}", self.name);
        let _ = wait(async {
            tokio::time::timeout(Duration::from_secs(20), self.session.query_unpaged(statement, ())).await
        });
    }
}
