//! Which log a command is about: that of a pipeline file, or a file by itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::failure::Usage;
use crate::command::{self, PIPELINE};
use crate::config::{self, Pipeline, RegistryKind};
use crate::log::embedded::Options;
use crate::log::kafka;
use crate::log::{Log, LogError};
use crate::pipeline::{Location, OpenLog, TableStores};
use crate::schema::framing::Form;
use crate::schema::{Compatibility, FileRegistry, Registry, SubjectNames, http};
use crate::shutdown::Shutdown;
use crate::table::{TableError, Top};

/// How the topics of dead letters end, unless a pipeline names them otherwise.
const DEAD_LETTERS: &str = ".dead-letters";

/// How the file of schema ids beside a log ends, unless a pipeline names it otherwise.
const IDS: &str = "schemas.json";

/// How long an address of a registry may take for an answer: it takes milliseconds.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a log is named on the command line.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArguments {
    /// The pipeline whose log it is [default: pipeline.toml in this folder]
    #[arg(long, value_name = "FILE", conflicts_with = "log")]
    pipeline: Option<PathBuf>,

    /// One of the pipeline's `[clusters]`, instead of its log
    #[arg(long, value_name = "NAME", conflicts_with_all = ["log", "brokers"])]
    cluster: Option<String>,

    /// The file of an embedded log, without a pipeline
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,

    /// The brokers of a Kafka cluster, without a pipeline
    #[arg(long, value_name = "HOST:PORT,…", conflicts_with_all = ["log", "pipeline"])]
    brokers: Option<String>,

    /// A setting of the Kafka client, such as security.protocol=ssl; again for more
    #[arg(long, value_name = "NAME=VALUE", requires = "brokers")]
    property: Vec<String>,

    /// The file of schema ids, with `--log` or `--brokers` [default: the one beside the log]
    #[arg(long, value_name = "FILE", conflicts_with = "pipeline")]
    ids: Option<PathBuf>,

    /// The schema registry, with `--brokers`
    #[arg(long, value_name = "URL", requires = "brokers", conflicts_with = "ids")]
    registry: Option<String>,

    /// Override a key of the pipeline, such as log.path=other.db
    #[arg(long, value_name = "KEY=VALUE", conflicts_with_all = ["log", "brokers"])]
    set: Vec<String>,
}

/// A log and what is known around it.
pub(crate) struct Place {
    location: Location,
    schemas: Schemas,
    dead_letters: Option<String>,
    tables: BTreeMap<String, config::Table>,
    stores: Option<TableStores>,
    pipeline: Option<Box<Pipeline>>,
}

/// Where schemas are found.
enum Schemas {
    /// In the registry of a pipeline, or as one would have it.
    Pipeline(Box<config::Schemas>),
    /// By the ids of a file.
    Ids(PathBuf),
    /// Nobody has told.
    Unknown,
}

// === impl PlaceArguments ===

impl PlaceArguments {
    /// Reads the pipeline, or takes the log as it is named.
    pub(crate) fn find(&self) -> anyhow::Result<Place> {
        if let Some(log) = &self.log {
            let options = Options::default();
            let ids = self.ids.clone().unwrap_or_else(|| log.with_extension(IDS));
            let location = Location::File(log.clone(), options);
            let (schemas, tables) = (Schemas::Ids(ids), BTreeMap::new());
            return Ok(Place { location, schemas, dead_letters: None, tables, stores: None, pipeline: None });
        }
        if let Some(brokers) = &self.brokers {
            let mut options = kafka::Options::new(brokers, kafka::Guarantee::AtLeastOnce);
            options.properties = properties(&self.property)?;
            let location = Location::Brokers(Box::new(options));
            let schemas = match (&self.registry, &self.ids) {
                (Some(urls), _) => Schemas::Pipeline(Box::new(behind(urls))),
                (None, Some(ids)) => Schemas::Ids(ids.clone()),
                (None, None) => Schemas::Unknown,
            };
            let tables = BTreeMap::new();
            return Ok(Place { location, schemas, dead_letters: None, tables, stores: None, pipeline: None });
        }
        let pipeline = Pipeline::load(self.pipeline.as_deref().unwrap_or(Path::new(PIPELINE)), &self.set)?;
        let location = match &self.cluster {
            Some(name) => Location::of_cluster(command::cluster(&pipeline, name)?, kafka::Guarantee::AtLeastOnce),
            None => Location::of(&pipeline),
        };
        let stores = Some(TableStores::to_look(&pipeline));
        let schemas = Schemas::Pipeline(Box::new(pipeline.schemas.clone()));
        let (dead_letters, tables) = (Some(pipeline.dead_letters.topic.clone()), pipeline.tables.clone());
        Ok(Place { location, schemas, dead_letters, tables, stores, pipeline: Some(Box::new(pipeline)) })
    }
}

/// Settings of the Kafka client.
pub(crate) fn properties(typed: &[String]) -> Result<BTreeMap<String, String>, Usage> {
    let split = |property: &String| {
        let wrong = || Usage::new(format!("`--property {property}`: write it as NAME=VALUE"));
        property.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).ok_or_else(wrong)
    };
    typed.iter().map(split).collect()
}

/// A registry that is only asked.
fn behind(urls: &str) -> config::Schemas {
    let settings = http::Settings {
        urls: urls.split(',').map(str::to_owned).collect(),
        credentials: None,
        ca: None,
        timeout: REGISTRY_TIMEOUT,
        register: false,
    };
    config::Schemas {
        dir: PathBuf::new(),
        registry: RegistryKind::Http(settings),
        compatibility: Compatibility::default(),
        subject: SubjectNames::default(),
        schema_id: Form::default(),
    }
}

// === impl Place ===

impl Place {
    /// The log, to look into it; a host may run at the same time.
    pub(crate) fn read_only(&self) -> anyhow::Result<Arc<dyn Log>> {
        Ok(self.location.look()?.log())
    }

    /// The same, or none if it is a file that is still to be made.
    pub(crate) fn look_if_there(&self) -> anyhow::Result<Option<Arc<dyn Log>>> {
        match self.location.look() {
            Ok(log) => Ok(Some(log.log())),
            Err(LogError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The log, to write to it.
    pub(crate) fn writable(&self) -> anyhow::Result<Arc<dyn Log>> {
        // Opening a file would make it, and whoever mistypes a path does not want a log there.
        drop(self.read_only()?);
        Ok(self.location.open(&Shutdown::new())?.log())
    }

    /// The log, to make topics in it. A file is made if there is none.
    pub(crate) fn changeable(&self) -> anyhow::Result<OpenLog> {
        Ok(match &self.location {
            Location::File(..) => self.location.open(&Shutdown::new())?,
            // Who types a command does not want to wait as long as a pipeline does.
            Location::Brokers(_) => self.location.look()?,
        })
    }

    /// The log, to look into it as what it is.
    pub(crate) fn look(&self) -> anyhow::Result<OpenLog> {
        Ok(self.location.look()?)
    }

    /// The first rows of a table, wherever it lives.
    pub(crate) fn top_rows(&self, table: &str, limit: usize) -> anyhow::Result<Top> {
        let store = self.tables.get(table).and_then(|table| self.stores.as_ref()?.store(&table.store));
        if let Some(store) = store {
            return Ok(store.top(table, limit).map_err(LogError::from)?);
        }
        Ok(match self.location.look()? {
            OpenLog::Embedded(log) => log.top_rows(table, limit)?,
            OpenLog::Kafka(_) => return Err(LogError::from(TableError::NoTable(table.to_owned())).into()),
        })
    }

    /// Whether the log is a file, which one host at a time has.
    pub(super) fn is_embedded(&self) -> bool {
        self.location.file().is_some()
    }

    /// The pipeline, if one was named.
    pub(super) fn pipeline(&self) -> Option<&Pipeline> {
        self.pipeline.as_deref()
    }

    /// The registry; none if there is none yet, or none is known.
    pub(crate) fn registry(&self) -> anyhow::Result<Option<Arc<dyn Registry>>> {
        let found: Result<Arc<dyn Registry>, _> = match &self.schemas {
            Schemas::Unknown => return Ok(None),
            Schemas::Ids(ids) if !ids.exists() => return Ok(None),
            Schemas::Ids(ids) => FileRegistry::open(ids, Compatibility::default()).map(|file| Arc::new(file) as _),
            Schemas::Pipeline(config) => match &config.registry {
                RegistryKind::File(ids) if !ids.exists() => return Ok(None),
                _ => command::registry(config),
            },
        };
        found.map(Some).context("the schemas of the records cannot be known")
    }

    /// How the registry calls its subjects.
    pub(crate) fn subjects(&self) -> SubjectNames {
        match &self.schemas {
            Schemas::Ids(_) | Schemas::Unknown => SubjectNames::default(),
            Schemas::Pipeline(config) => config.subject,
        }
    }

    /// The topic of dead letters.
    pub(crate) fn dead_letters(&self, log: &dyn Log) -> anyhow::Result<String> {
        if let Some(topic) = &self.dead_letters {
            return Ok(topic.clone());
        }
        let topics = log.topics()?.into_iter().map(|topic| topic.name).filter(|name| name.ends_with(DEAD_LETTERS));
        let mut topics: Vec<String> = topics.collect();
        match (topics.pop(), topics.is_empty()) {
            (Some(topic), true) => Ok(topic),
            (None, _) => Err(Usage::new(format!("the log has no topic whose name ends with `{DEAD_LETTERS}`"))
                .hint("name the topic with `--topic TOPIC`, or the pipeline with `--pipeline FILE`")
                .into()),
            (Some(last), false) => {
                Err(Usage::new(format!("the log has several topics of dead letters: {}, {last}", topics.join(", ")))
                    .hint("name one with `--topic TOPIC`")
                    .into())
            }
        }
    }
}
