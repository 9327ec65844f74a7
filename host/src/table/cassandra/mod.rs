//! Tables in Cassandra, or ScyllaDB, which speaks as it does.
//!
//! ```text
//! Cassandra ── Cluster: the session, shared by all tables   ddl: what is made   live: what is there, and whether it fits
//!    │ writer
//! Writer ── Pass: rows in flight, on the driver's threads   statement: a row as bound values, by its `encode` plans
//!                                                           trouble: whose fault an error is, and whether it passes
//! ```
//!
//! # Why the table ends as its topic says
//!
//! Cassandra has no order but the write timestamps: of two writes of a cell the newer counts, whenever they come. Every
//! statement here says its timestamp, the stamp of its record, deletes too. Stamps grow with the offsets of a partition, and a
//! record has the same one whenever it is handled. So a statement whose outcome is unknown is sent again as it is; a row of a
//! worker that has lost its partition meanwhile is no newer than what came after it; and a replay writes what is there.
//!
//! Statements are single rows, prepared, idempotent, each sent to a replica of its partition, so many at a time. None is a
//! batch: these save nothing across partitions. What a node is asked to keep is kept when a quorum has it (or what
//! `consistency` says); a write of a step is done when that is so of all its rows.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use scylla::statement::Consistency;

use crate::shutdown::Shutdown;
use crate::table::{TableError, TableSpec, TableStore, TableWriter, Top};

mod cluster;
mod ddl;
mod decimal;
mod encode;
mod live;
mod refusal;
mod show;
mod statement;
mod trouble;
mod writer;

use cluster::Cluster;
use writer::Writer;

/// How a cluster is reached, and what it is asked for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Some of its nodes, each with a port.
    pub nodes: Vec<String>,
    /// The keyspace of all tables.
    pub keyspace: String,
    /// How a keyspace is made that is not there. None if it must be.
    pub replication: Option<Replication>,
    /// The data centre whose nodes are asked.
    pub datacenter: Option<String>,
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// How connections are encrypted, if they are.
    pub tls: Option<Tls>,
    /// Which replicas must have a row.
    pub consistency: Level,
    /// How many statements of a worker may wait for their answer.
    pub max_in_flight: usize,
    /// How long a statement may take.
    pub timeout: Duration,
    /// After how long a statement is sent to another node too, if it is.
    pub speculative: Option<Duration>,
}

/// How often the rows of a keyspace are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// So often in each data centre.
    Everywhere(u32),
    /// So often in each of these.
    In(Vec<(String, u32)>),
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Password,
}

/// A password, or where it is.
#[derive(Clone)]
pub enum Password {
    /// The password itself.
    Text(String),
    /// A file that has it, read whenever a session is made.
    File(PathBuf),
}

/// How connections are encrypted.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Certificates that are trusted; none for those of the system.
    pub ca: Option<PathBuf>,
    /// The certificate and the key that say who asks.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Which replicas must have a row before it counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Any of them, or a node that keeps it for them.
    Any,
    /// One.
    One,
    /// Two.
    Two,
    /// Three.
    Three,
    /// More than half of them all.
    Quorum,
    /// All.
    All,
    /// One in the data centre.
    LocalOne,
    /// More than half of those in the data centre.
    #[default]
    LocalQuorum,
    /// More than half in each data centre.
    EachQuorum,
}

/// The tables of a keyspace.
pub struct Cassandra {
    cluster: Arc<Cluster>,
}

// === impl Password ===

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("***"),
            Self::File(path) => path.fmt(f),
        }
    }
}

// === impl Level ===

impl From<Level> for Consistency {
    fn from(level: Level) -> Self {
        match level {
            Level::Any => Self::Any,
            Level::One => Self::One,
            Level::Two => Self::Two,
            Level::Three => Self::Three,
            Level::Quorum => Self::Quorum,
            Level::All => Self::All,
            Level::LocalOne => Self::LocalOne,
            Level::LocalQuorum => Self::LocalQuorum,
            Level::EachQuorum => Self::EachQuorum,
        }
    }
}

// === impl Settings ===

impl Settings {
    /// The usual ones.
    #[must_use]
    pub fn new(nodes: Vec<String>, keyspace: &str) -> Self {
        Self {
            nodes,
            keyspace: keyspace.to_owned(),
            replication: None,
            datacenter: None,
            credentials: None,
            tls: None,
            consistency: Level::default(),
            max_in_flight: 512,
            timeout: Duration::from_secs(10),
            speculative: None,
        }
    }
}

// === impl Cassandra ===

impl Cassandra {
    /// Nothing is asked of the cluster yet. When it is, nodes that are away are waited for, so long at most, until a stop.
    #[must_use]
    pub fn new(settings: Settings, patience: Duration, stop: Shutdown) -> Self {
        Self { cluster: Arc::new(Cluster::new(settings, patience, stop)) }
    }
}

impl TableStore for Cassandra {
    fn nests(&self) -> bool {
        true
    }

    fn ensure(&self, spec: &TableSpec) -> Result<(), TableError> {
        live::ensure(&self.cluster, spec)
    }

    fn check(&self, spec: &TableSpec) -> Result<(), TableError> {
        live::check(&self.cluster, spec)
    }

    fn writer(&self, table: &Arc<TableSpec>) -> Result<Box<dyn TableWriter>, TableError> {
        Ok(Box::new(Writer::new(self.cluster.clone(), table.clone())))
    }

    fn top(&self, table: &str, limit: usize) -> Result<Top, TableError> {
        show::top(&self.cluster, table, limit)
    }
}
