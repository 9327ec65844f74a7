//! The log that a configuration names, opened to run on it or to look into it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, LogKind, Pipeline, Store};
use crate::log::embedded::{self, EmbeddedLog};
use crate::log::kafka::{self, KafkaLog};
use crate::log::{Log, LogError};
use crate::shutdown::Shutdown;
use crate::sink::Sink;
use crate::table::cassandra::{self, Cassandra};
use crate::table::sqlite::SqliteFile;
use crate::table::{TableError, TableStore};

/// How long a pipeline waits for brokers that are away, and how long a look into topics does.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOKING: Duration = Duration::from_secs(10);

/// Where a log is, and how it is opened.
#[derive(Clone, Debug)]
pub enum Location {
    /// The file of an embedded log.
    File(std::path::PathBuf, embedded::Options),
    /// The brokers of a Kafka log.
    Brokers(Box<kafka::Options>),
}

/// A log that is open, and what belongs to its kind.
#[derive(Clone)]
pub enum OpenLog {
    /// One SQLite file, with tables.
    Embedded(Arc<EmbeddedLog>),
    /// Brokers.
    Kafka(Arc<KafkaLog>),
}

// === impl Location ===

impl Location {
    /// That of a pipeline.
    #[must_use]
    pub fn of(config: &Pipeline) -> Self {
        match &config.log.kind {
            LogKind::Embedded { path, sync } => {
                Self::File(path.clone(), embedded::Options { durability: *sync, ..embedded::Options::default() })
            }
            LogKind::Kafka(cluster) => {
                let guarantee = match config.log.guarantee {
                    config::Guarantee::ExactlyOnce => kafka::Guarantee::ExactlyOnce,
                    config::Guarantee::AtLeastOnce => kafka::Guarantee::AtLeastOnce,
                };
                let mut location = Self::of_cluster(cluster, guarantee);
                if let Self::Brokers(options) = &mut location {
                    options.creates_states = config.create_topics;
                    let calls = config.stages.iter().map(|stage| Duration::from_millis(stage.limits.time_ms));
                    options.step = config.log.commit_interval + calls.max().unwrap_or_default();
                }
                location
            }
        }
    }

    /// The same, where topics for states are made whatever the pipeline says.
    #[must_use]
    pub fn making_states(mut self) -> Self {
        if let Self::Brokers(options) = &mut self {
            options.creates_states = true;
        }
        self
    }

    /// That of a cluster.
    #[must_use]
    pub fn of_cluster(cluster: &config::Cluster, guarantee: kafka::Guarantee) -> Self {
        let mut options = kafka::Options::new(&cluster.bootstrap, guarantee);
        options.properties.clone_from(&cluster.properties);
        Self::Brokers(Box::new(options))
    }

    /// Opens it to run a pipeline on it. A file is made if there is none; brokers that are away are waited for,
    /// until the host is to stop.
    ///
    /// # Errors
    /// As for opening either kind.
    pub fn open(&self, stop: &Shutdown) -> Result<OpenLog, LogError> {
        match self {
            Self::File(path, options) => Ok(OpenLog::Embedded(Arc::new(EmbeddedLog::open(path, *options)?))),
            Self::Brokers(options) => brokers(options, PATIENCE, stop),
        }
    }

    /// Opens it to look into it, beside a host that runs.
    ///
    /// # Errors
    /// As for opening either kind; [`LogError::Missing`] if there is no file.
    pub fn look(&self) -> Result<OpenLog, LogError> {
        match self {
            Self::File(path, _) => Ok(OpenLog::Embedded(Arc::new(EmbeddedLog::open_read_only(path)?))),
            Self::Brokers(options) => brokers(options, LOOKING, &Shutdown::new()),
        }
    }

    /// The file, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path, _) => Some(path),
            Self::Brokers(_) => None,
        }
    }
}

fn brokers(options: &kafka::Options, patience: Duration, stop: &Shutdown) -> Result<OpenLog, LogError> {
    let options = kafka::Options { patience, stop: stop.clone(), ..options.clone() };
    Ok(OpenLog::Kafka(Arc::new(KafkaLog::open(options)?)))
}

// === impl OpenLog ===

impl OpenLog {
    /// Its topics.
    #[must_use]
    pub fn log(&self) -> Arc<dyn Log> {
        match self {
            Self::Embedded(log) => log.clone(),
            Self::Kafka(log) => log.clone(),
        }
    }

    /// Makes the table of a sink, unless it is there; then it is checked.
    ///
    /// # Errors
    /// As for [`TableStore::ensure`].
    pub fn ensure_table(&self, sink: &Sink) -> Result<(), LogError> {
        match (&sink.store, self) {
            (Some(store), _) => Ok(store.ensure(&sink.table)?),
            (None, Self::Embedded(log)) => log.ensure_table(&sink.table),
            (None, Self::Kafka(_)) => Err(TableError::NoTable(sink.table.name.clone()).into()),
        }
    }

    /// Checks the table of a sink.
    ///
    /// # Errors
    /// As for [`TableStore::check`].
    pub fn check_table(&self, sink: &Sink) -> Result<(), LogError> {
        match (&sink.store, self) {
            (Some(store), _) => Ok(store.check(&sink.table)?),
            (None, Self::Embedded(log)) => log.check_table(&sink.table),
            (None, Self::Kafka(_)) => Err(TableError::NoTable(sink.table.name.clone()).into()),
        }
    }
}

/// The stores of a pipeline's tables, those outside of the log.
pub struct TableStores {
    cassandra: Option<Arc<Cassandra>>,
}

// === impl TableStores ===

impl TableStores {
    /// To run a pipeline: nodes that are away are waited for, until the host is to stop.
    #[must_use]
    pub fn to_run(config: &Pipeline, stop: &Shutdown) -> Self {
        Self::with(config, PATIENCE, stop)
    }

    /// To look into tables.
    #[must_use]
    pub fn to_look(config: &Pipeline) -> Self {
        Self::with(config, LOOKING, &Shutdown::new())
    }

    fn with(config: &Pipeline, patience: Duration, stop: &Shutdown) -> Self {
        let cassandra =
            |settings: &cassandra::Settings| Arc::new(Cassandra::new(settings.clone(), patience, stop.clone()));
        Self { cassandra: config.cassandra.as_ref().map(cassandra) }
    }

    /// Where a table lives; none for the log. Tables of one cluster share what this is.
    #[must_use]
    pub fn store(&self, store: &Store) -> Option<Arc<dyn TableStore>> {
        match store {
            Store::Log => None,
            Store::Sqlite(path) => Some(Arc::new(SqliteFile::new(path))),
            // A configuration that has such a table has a cluster.
            Store::Cassandra => self.cassandra.clone().map(|store| store as Arc<dyn TableStore>),
        }
    }
}
