//! Configuration: what the file says (`raw`), and what it means ([`Pipeline`]).
//!
//! Nothing past this edge sees a string that stands for something else, a path that is relative to the file, or a key
//! that nobody knows. Every key is described in `docs/configuration.md`.

mod meaning;
mod raw;
mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::feed::generate::GeneratorOptions;
use crate::log::{Retention, embedded};
use crate::module::Limits;
use crate::schema::Compatibility;
use crate::stage::OnError;

pub use meaning::derive_dead_letters;

/// A pipeline, understood.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// The log.
    pub log: LogConfig,
    /// Schemas.
    pub schemas: SchemasConfig,
    /// Topics that are described.
    pub topics: Vec<TopicConfig>,
    /// Whether topics are made on start.
    pub create_topics: bool,
    /// Feeds.
    pub feeds: Vec<FeedConfig>,
    /// Stages.
    pub stages: Vec<StageConfig>,
    /// Sinks.
    pub sinks: Vec<SinkConfig>,
    /// Tables.
    pub tables: Vec<TableConfig>,
    /// Dead letters.
    pub dead_letters: DeadLettersConfig,
}

/// Where topics live.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The file of the embedded log.
    pub path: PathBuf,
    /// How it is kept.
    pub options: embedded::Options,
    /// Time between commits.
    pub commit_interval: Duration,
}

/// Where schemas come from.
#[derive(Clone, Debug)]
pub struct SchemasConfig {
    /// The folder of schemas, or the one file.
    pub dir: PathBuf,
    /// The file that gives them their ids.
    pub ids: PathBuf,
    /// What a new version must be able to do.
    pub compatibility: Compatibility,
}

/// A topic.
#[derive(Clone, Debug)]
pub struct TopicConfig {
    /// Its name.
    pub name: String,
    /// The name of the schema of its values.
    pub schema: Option<String>,
    /// How many partitions; none if it is left to what it is made of.
    pub partitions: Option<u32>,
    /// What is kept.
    pub retention: Retention,
}

/// A feed.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// Its name.
    pub name: String,
    /// Where its records come from.
    pub source: FeedSource,
    /// The topic that it writes.
    pub topic: String,
    /// The fields that make the key.
    pub key: Vec<String>,
}

/// Where a feed's records come from.
#[derive(Clone, Debug)]
pub enum FeedSource {
    /// A file or standard input.
    File {
        /// The file; none for standard input.
        path: Option<PathBuf>,
        /// `jsonl`, `csv` or `avro`.
        format: crate::format::reader::Format,
        /// Whether to wait for more at its end.
        follow: bool,
    },
    /// The generator, and how many records a second it makes at most.
    Generate(GeneratorOptions, Option<f64>),
}

/// A topic that a stage writes.
#[derive(Clone, Debug)]
pub struct OutputConfig {
    /// The topic.
    pub topic: String,
    /// The fields that make the key.
    pub key: Vec<String>,
    /// The name of the schema.
    pub schema: Option<String>,
}

/// The topics that a stage writes.
#[derive(Clone, Debug)]
pub enum Outputs {
    /// The one output of the module.
    One(OutputConfig),
    /// By the names of the module's outputs.
    Named(Vec<(String, OutputConfig)>),
}

/// A stage.
#[derive(Clone, Debug)]
pub struct StageConfig {
    /// Its name.
    pub name: String,
    /// The module's file.
    pub module: PathBuf,
    /// The topic to read.
    pub from: String,
    /// The topics to write.
    pub outputs: Outputs,
    /// The module's settings.
    pub settings: Vec<(String, String)>,
    /// Threads.
    pub workers: u32,
    /// Records of a call.
    pub batch_records: usize,
    /// What is done with a record that cannot be handled.
    pub on_error: OnError,
    /// Dead letters in a row after which the stage stops.
    pub max_dead_letters_in_a_row: u64,
    /// What the module may use.
    pub limits: Limits,
    /// Whether every record carries the module's digest.
    pub provenance: bool,
}

/// A sink.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Its name.
    pub name: String,
    /// The topic to read.
    pub from: String,
    /// The table to fill.
    pub table: String,
    /// Threads.
    pub workers: u32,
}

/// A table.
#[derive(Clone, Debug)]
pub struct TableConfig {
    /// Its name.
    pub name: String,
    /// The columns that place a row.
    pub partition_key: Vec<String>,
    /// The columns that order rows in their place.
    pub clustering_key: Vec<String>,
    /// The fields to keep; none for all.
    pub columns: Option<Vec<String>>,
    /// Whether it is made if it is not there.
    pub create: bool,
}

/// Where dead letters go.
#[derive(Clone, Debug)]
pub struct DeadLettersConfig {
    /// The topic.
    pub topic: String,
    /// What is kept.
    pub retention: Retention,
}

/// A file that is no pipeline: everything that is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{}", .errors.iter().map(|e| format!("{}: {e}", .path.display())).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors {
    /// The file.
    pub path: PathBuf,
    /// What is wrong, in the order of the file where that is known.
    pub errors: Vec<String>,
}

impl Outputs {
    /// All of them, with their names.
    #[must_use]
    pub fn all(&self) -> Vec<(Option<&str>, &OutputConfig)> {
        match self {
            Self::One(output) => vec![(None, output)],
            Self::Named(named) => named.iter().map(|(name, output)| (Some(name.as_str()), output)).collect(),
        }
    }
}

/// Reads a pipeline file. `overrides` are assignments such as `log.path=other.db`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path, overrides: &[String]) -> Result<Pipeline, ConfigErrors> {
    let fail = |errors: Vec<String>| ConfigErrors { path: path.to_owned(), errors };
    let text = std::fs::read_to_string(path).map_err(|e| fail(vec![format!("cannot be read: {e}")]))?;
    parse(path, &text, overrides, &|name| std::env::var(name).ok())
}

/// As [`load`], of a text that stands for the file at `path`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(
    path: &Path,
    text: &str,
    overrides: &[String],
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Pipeline, ConfigErrors> {
    let fail = |errors: Vec<String>| ConfigErrors { path: path.to_owned(), errors };
    // Errors of the text itself come with line and column.
    let syntax = |e: toml::de::Error| fail(vec![text::with_suggestion(&e.to_string())]);
    let mut table: toml::Table = toml::from_str(text).map_err(syntax)?;
    if overrides.is_empty() && !text.contains("${") {
        let raw: raw::Raw = toml::from_str(text).map_err(syntax)?;
        return meaning::understand(path, raw).map_err(fail);
    }
    let mut errors = Vec::new();
    for assignment in overrides {
        errors.extend(text::set_in_arrays(&mut table, assignment).err());
    }
    let mut value = toml::Value::Table(table);
    text::expand(&mut value, "", variable, &mut errors);
    if !errors.is_empty() {
        return Err(fail(errors));
    }
    let raw: raw::Raw = value.try_into().map_err(syntax)?;
    meaning::understand(path, raw).map_err(fail)
}
