//! What the file says, word for word. Every key, its default, its unit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// A pipeline file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    /// The pipeline's name, part of the names of consumer groups.
    pub name: String,
    /// Where topics live.
    #[serde(default)]
    pub log: RawLog,
    /// Where schemas come from.
    #[serde(default)]
    pub schemas: RawSchemas,
    /// Whether topics are made on start. Default: true for the embedded log, false for Kafka.
    pub create_topics: Option<bool>,
    /// Topics by name.
    #[serde(default)]
    pub topics: BTreeMap<String, RawTopic>,
    /// What puts records into topics from outside.
    #[serde(default)]
    pub feed: Vec<RawFeed>,
    /// What runs modules.
    #[serde(default)]
    pub stage: Vec<RawStage>,
    /// What fills tables.
    #[serde(default)]
    pub sink: Vec<RawSink>,
    /// Tables by name.
    #[serde(default)]
    pub tables: BTreeMap<String, RawTable>,
    /// Where records go that could not be handled.
    #[serde(default)]
    pub dead_letters: RawDeadLetters,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// `embedded` or `kafka`. Default: `embedded`.
    pub kind: Option<String>,
    /// The file of an embedded log. Default: `data/NAME.db`.
    pub path: Option<PathBuf>,
    /// `exactly-once`, which the embedded log always is, or `at-least-once`.
    pub guarantee: Option<String>,
    /// `full` or `normal`. Default: `full`.
    pub sync: Option<String>,
    /// Time between commits, in milliseconds. Default: 100.
    pub commit_interval_ms: Option<u64>,
    /// The largest record, in bytes. Default: 16777216.
    pub max_record_bytes: Option<usize>,
    /// Kafka's brokers.
    pub bootstrap: Option<String>,
    /// Settings of Kafka's client, handed on as they are.
    #[serde(default)]
    pub properties: BTreeMap<String, toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSchemas {
    /// The folder of `*.avsc` files. Default: `schemas`.
    pub dir: Option<PathBuf>,
    /// The file that gives schemas their ids. Default: `registry.json` in that folder.
    pub ids: Option<PathBuf>,
    /// `none`, `backward`, `forward` or `full`. Default: `backward`.
    #[serde(default)]
    pub compatibility: crate::schema::Compatibility,
    /// The URL of a schema registry.
    pub registry: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTopic {
    /// The name of the schema of its values. Default: derived from the module that writes it.
    pub schema: Option<String>,
    /// How many partitions. Default: as many as the topic that it is made of, or 1.
    pub partitions: Option<u32>,
    /// How long records are kept, in milliseconds. Default: for ever.
    pub retention_ms: Option<i64>,
    /// How many bytes of a partition are kept. Default: all.
    pub retention_bytes: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFeed {
    /// Default: the topic.
    pub name: Option<String>,
    /// A file, or `-` for standard input. This or `generate`.
    pub file: Option<PathBuf>,
    /// `jsonl`, `csv` or `avro`. Default: by the file's ending, `jsonl` for standard input.
    pub format: Option<String>,
    /// Whether the feed waits for the file to grow. Default: false.
    #[serde(default)]
    pub follow: bool,
    /// Makes records. This or `file`.
    pub generate: Option<RawGenerate>,
    /// The topic to write to.
    pub topic: String,
    /// The fields that make the key. Default: no key.
    #[serde(default)]
    pub key: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGenerate {
    /// How many records. Default: no end.
    pub count: Option<u64>,
    /// Another seed gives other records. Default: 1.
    pub seed: Option<u64>,
    /// Records per second; 0 for as fast as it goes. Default: 0.
    pub rate: Option<f64>,
    /// How many products. Default: 10000.
    pub products: Option<u32>,
    /// How many categories. Default: 12.
    pub categories: Option<u32>,
    /// The share of records with impossible prices. Default: 0.
    pub invalid: Option<f64>,
    /// The share of records with an unusual price. Default: 0.001.
    pub outliers: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStage {
    /// The stage's name.
    pub name: String,
    /// The module's file.
    pub module: PathBuf,
    /// The topic to read.
    pub from: String,
    /// A topic, `{ topic, key, schema }`, or such a table for each named output of the module.
    pub to: toml::Value,
    /// Handed to the module's `configure`.
    #[serde(default)]
    pub settings: BTreeMap<String, toml::Value>,
    /// Threads. Default: 1.
    pub workers: Option<u32>,
    /// Records of one call at most. Default: 1024.
    pub batch_records: Option<usize>,
    /// `dead-letter`, `stop` or `drop`. Default: `dead-letter`.
    pub on_error: Option<String>,
    /// Dead letters in a row after which the stage stops. Default: 100.
    pub max_dead_letters_in_a_row: Option<u64>,
    /// What the module may use.
    #[serde(default)]
    pub limits: RawLimits,
    /// `none`, or `header` for the module's digest on every record. Default: `none`.
    pub provenance: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    /// Memory of an instance, in MiB. Default: 256.
    pub memory_mb: Option<usize>,
    /// Time of a call, in milliseconds. Default: 1000.
    pub time_ms: Option<u64>,
    /// The answer of a call, in MiB. Default: 64.
    pub answer_mb: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSink {
    /// Default: the table.
    pub name: Option<String>,
    /// The topic to read.
    pub from: String,
    /// The table to fill.
    pub table: String,
    /// Threads. Default: 1.
    pub workers: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTable {
    /// `sqlite`, in the file of the embedded log. Default: `sqlite`.
    pub store: Option<String>,
    /// The columns that place a row.
    pub partition_key: Vec<String>,
    /// The columns that order rows in their place. Default: none.
    #[serde(default)]
    pub clustering_key: Vec<String>,
    /// The fields to keep. Default: all.
    pub columns: Option<Vec<String>>,
    /// Whether the table is made if it is not there. Default: true.
    pub create: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDeadLetters {
    /// Default: `NAME.dead-letters`.
    pub topic: Option<String>,
    /// How long they are kept, in milliseconds. Default: for ever.
    pub retention_ms: Option<i64>,
    /// How many bytes are kept. Default: all.
    pub retention_bytes: Option<i64>,
}
