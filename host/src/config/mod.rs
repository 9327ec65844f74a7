//! Configuration: from the text of a `pipeline.toml` to types that can be trusted.
//!
//! ```text
//! text --document--> tree --raw--> what it says --validate--> Pipeline: what it means
//!       --set, ${ENV}      serde                 names, ranges, what belongs together
//! ```
//!
//! Past [`Pipeline`] no text stands for something else, every name is legal, every number is in its range and every
//! reference has a target. Nothing here opens a log, a schema or a module: `pipeline` does. All that is wrong with a file
//! is told at once. Called by the command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use crate::feed::generate::GeneratorOptions;
use crate::format::reader::Format;
use crate::log::Retention;
use crate::log::embedded::Durability;
use crate::module::Limits;
use crate::schema::framing::Form;
use crate::schema::{Compatibility, SubjectNames, http};
use crate::sink::Ttl;
use crate::stage::OnError;
use crate::swap::Terms;
use crate::table::cassandra::Settings;
use crate::table::{FineTimes, Nulls};

mod cassandra;
mod clusters;
mod document;
mod error;
mod forms;
mod names;
mod raw;
mod schemas;
mod swap;
mod topics;
mod validate;

pub use error::{ConfigError, Fault, Problem, Problems};
pub(crate) use forms::Scalar;

/// A pipeline that makes sense.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The name.
    pub name: String,
    /// Where topics live.
    pub log: Log,
    /// Kafka clusters by name, of which the log may be one.
    pub clusters: BTreeMap<String, Cluster>,
    /// Where schemas come from.
    pub schemas: Schemas,
    /// Every topic that the pipeline reads or writes, but that of the dead letters.
    pub topics: BTreeMap<String, Topic>,
    /// Whether missing topics are made on start.
    pub create_topics: bool,
    /// What puts records into topics.
    pub feeds: Vec<Feed>,
    /// What modules do.
    pub stages: Vec<Stage>,
    /// What goes into tables.
    pub sinks: Vec<Sink>,
    /// Where tables in Cassandra are; there if any table is.
    pub cassandra: Option<Settings>,
    /// The tables by name.
    pub tables: BTreeMap<String, Table>,
    /// The dead-letter topic.
    pub dead_letters: DeadLetterTopic,
    /// The folder that keeps the modules that ran.
    pub modules: PathBuf,
}

/// Where topics live.
#[derive(Clone, Debug)]
pub struct Log {
    /// Which kind.
    pub kind: LogKind,
    /// What is promised.
    pub guarantee: Guarantee,
    /// How often a step is committed.
    pub commit_interval: Duration,
}

/// The kinds of logs.
#[derive(Clone, Debug)]
pub enum LogKind {
    /// One SQLite file.
    Embedded {
        /// The file.
        path: PathBuf,
        /// What a commit survives.
        sync: Durability,
    },
    /// Brokers.
    Kafka(Cluster),
}

/// A Kafka cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Addresses of its brokers.
    pub bootstrap: String,
    /// Settings for the client.
    pub properties: BTreeMap<String, String>,
}

/// What is promised of every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// It counts once, whatever fails when.
    ExactlyOnce,
    /// It counts, and after a failure perhaps again.
    AtLeastOnce,
}

/// Where schemas come from.
#[derive(Clone, Debug)]
pub struct Schemas {
    /// The folder of `.avsc` files.
    pub dir: PathBuf,
    /// Who gives ids to schemas.
    pub registry: RegistryKind,
    /// What a new version of a schema must be able to do. A registry has rules of its own.
    pub compatibility: Compatibility,
    /// Which subject has the schemas of a topic.
    pub subject: SubjectNames,
    /// How records name their schema.
    pub schema_id: Form,
}

/// Who gives ids to schemas.
#[derive(Clone, Debug)]
pub enum RegistryKind {
    /// A file.
    File(PathBuf),
    /// A schema registry.
    Http(http::Settings),
}

/// A topic.
#[derive(Clone, Debug)]
pub struct Topic {
    /// The schema of its values, if it is given and not derived.
    pub schema: Option<String>,
    /// How many partitions, if it is told.
    pub partitions: Option<u32>,
    /// The topic from which a stage makes this one: it gets as many partitions, unless told otherwise.
    pub upstream: Option<String>,
    /// What is kept for how long.
    pub retention: Retention,
}

/// The dead-letter topic.
#[derive(Clone, Debug)]
pub struct DeadLetterTopic {
    /// Its name.
    pub topic: String,
    /// What is kept for how long.
    pub retention: Retention,
}

/// A feed.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The name.
    pub name: String,
    /// The topic that gets the records.
    pub topic: String,
    /// The fields whose values are the key; none for no key.
    pub key: Vec<String>,
    /// Where records come from.
    pub source: Source,
}

/// Where the records of a feed come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File {
        /// Which.
        input: Input,
        /// How it is written.
        format: Format,
        /// Whether to wait for more at its end.
        follow: bool,
    },
    /// The load generator.
    Generate {
        /// What to generate.
        options: GeneratorOptions,
        /// Records per second; none for as fast as it goes.
        rate: Option<u32>,
    },
}

/// A file that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

/// A stage.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The name.
    pub name: String,
    /// The module's file.
    pub module: PathBuf,
    /// The folder that the module is built from, if the file says so.
    pub source: Option<PathBuf>,
    /// The topic that it reads.
    pub from: String,
    /// Where the answers go.
    pub to: To,
    /// What is handed to the module's `configure`.
    pub settings: Vec<(String, String)>,
    /// How many threads.
    pub workers: u32,
    /// How many records a call gets at most.
    pub batch_records: usize,
    /// What becomes of a record that could not be handled.
    pub on_error: OnError,
    /// After so many dead letters without a good record the stage stops.
    pub max_dead_letters_in_a_row: u64,
    /// What the module may use.
    pub limits: Limits,
    /// Whether each record tells which module made it.
    pub provenance: Provenance,
    /// How it changes its module while it runs.
    pub swap: Terms,
    /// The file of a module that is on trial without an end.
    pub shadow: Option<PathBuf>,
    /// What it starts with, if not simply with its file. No key: the ledger tells.
    pub start: Option<StartWith>,
    /// What runs instead of the module's file: bytes that were deployed for all hosts. No key either.
    pub deployed: Option<Arc<[u8]>>,
}

/// A module that was live, and takes the place of the file at a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartWith {
    /// That module.
    pub bytes: Arc<[u8]>,
    /// The digest of the file.
    pub file: String,
    /// Whether the file is not even tried.
    pub is_passed_over: bool,
}

/// Where the answers of a stage go.
#[derive(Clone, Debug)]
pub enum To {
    /// Into one topic.
    One(Output),
    /// Into one topic for each named output.
    Named(BTreeMap<String, Output>),
}

/// An output of a stage.
#[derive(Clone, Debug)]
pub struct Output {
    /// The topic.
    pub topic: String,
    /// The fields whose values are the key; none to keep the key of the input, or for no key where there is none.
    pub key: Option<Vec<String>>,
}

/// Whether each record tells which module made it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provenance {
    /// It does not.
    #[default]
    None,
    /// In a header.
    Header,
}

/// A sink.
#[derive(Clone, Debug)]
pub struct Sink {
    /// The name.
    pub name: String,
    /// The topic that it reads.
    pub from: String,
    /// The table that gets the rows.
    pub table: String,
    /// The fields that the keys of the topic's records are made of.
    pub key: Option<Vec<String>>,
    /// After so many rows in a row that the table refuses the sink ends.
    pub max_dead_letters_in_a_row: u64,
    /// How many threads.
    pub workers: u32,
}

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Where it lives.
    pub store: Store,
    /// The columns that place a row.
    pub partition_key: Vec<String>,
    /// The columns that order the rows of a partition.
    pub clustering_key: Vec<String>,
    /// The columns; none for all fields of the topic's schema.
    pub columns: Option<Vec<String>>,
    /// Whether it is made on start if it is missing.
    pub create: bool,
    /// What becomes of a column whose value is null.
    pub nulls: Nulls,
    /// How long its rows live.
    pub ttl: Ttl,
    /// What becomes of times that are finer than those of the store.
    pub fine_times: FineTimes,
}

/// Where tables live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// In the file of the embedded log.
    Log,
    /// In an SQLite file of their own.
    Sqlite(PathBuf),
    /// In Cassandra.
    Cassandra,
}

// === impl Pipeline ===

impl Pipeline {
    /// Reads a file. Relative paths in it are relative to its folder; `overrides` are `key=value`; variables are those of
    /// the process.
    ///
    /// # Errors
    /// If it cannot be read, and all that is wrong with it.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let dir = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, &path.display().to_string(), dir, overrides, &|name| std::env::var(name).ok())
    }

    /// Reads a text that is called `file` in messages and whose relative paths are relative to `dir`.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(
        text: &str,
        file: &str,
        dir: &Path,
        overrides: &[String],
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut document = document::Document::parse(file, text, overrides);
        let raw = if document.is_sound() {
            document.apply_overrides();
            document.fill_in(env);
            document.read::<raw::Pipeline>()
        } else {
            None
        };
        let pipeline = raw.and_then(|raw| validate::pipeline(raw, dir, &mut document));
        pipeline.ok_or_else(|| ConfigError::Invalid(Problems(document.into_problems())))
    }

    /// The consumer group of a feed, stage or sink: its positions and states are kept under this name.
    #[must_use]
    pub fn group(&self, member: &str) -> String {
        format!("{}.{member}", self.name)
    }
}

// === impl To ===

impl To {
    /// The outputs with their names, of which one alone has none.
    pub fn outputs(&self) -> Vec<(Option<&str>, &Output)> {
        match self {
            Self::One(output) => vec![(None, output)],
            Self::Named(outputs) => outputs.iter().map(|(name, output)| (Some(name.as_str()), output)).collect(),
        }
    }

    /// The output that a module calls so. One alone is any module's only one.
    pub fn output(&self, name: Option<&str>) -> Option<&Output> {
        match (self, name) {
            (Self::One(output), None) => Some(output),
            (Self::Named(outputs), Some(name)) => outputs
                .iter()
                .find(|(known, _)| bespoke_boundary::names::matches(known, name))
                .map(|(_, output)| output),
            (Self::Named(outputs), None) if outputs.len() == 1 => outputs.values().next(),
            _ => None,
        }
    }
}
