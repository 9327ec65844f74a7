//! What a `pipeline.toml` says, key by key.
//!
//! These types are the shape of the file and nothing more: whether it makes sense is decided in `validate`. Every key is
//! described in `docs/configuration.md`, which a test holds to this file. Values that a later check can refuse carry
//! their span.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use toml::Spanned;

pub use super::forms::{Addresses, Factors, Scalar, Watching};
use super::{Durability, Format, Guarantee, OnError, Provenance};
use crate::schema::framing::Form;
use crate::schema::{Compatibility, SubjectNames};
use crate::table::cassandra::Level;
use crate::table::{FineTimes, Nulls};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// The pipeline's name: consumer groups and the dead-letter topic are called after it.
    pub name: Spanned<String>,
    /// Whether topics that are missing are made on start. By default only those of an embedded log are.
    pub create_topics: Option<bool>,
    /// Where topics live.
    #[serde(default)]
    pub log: Log,
    /// Kafka clusters by name.
    #[serde(default)]
    pub clusters: BTreeMap<Spanned<String>, Cluster>,
    /// Where schemas come from.
    #[serde(default)]
    pub schemas: Schemas,
    /// Topics by name.
    #[serde(default)]
    pub topics: BTreeMap<Spanned<String>, Topic>,
    /// What puts records into topics.
    #[serde(default)]
    pub feed: Vec<Spanned<Feed>>,
    /// What modules do.
    #[serde(default)]
    pub stage: Vec<Spanned<Stage>>,
    /// What goes into tables.
    #[serde(default)]
    pub sink: Vec<Spanned<Sink>>,
    /// Where tables in Cassandra are.
    pub cassandra: Option<Spanned<Cassandra>>,
    /// Tables by name.
    #[serde(default)]
    pub tables: BTreeMap<Spanned<String>, Table>,
    /// Where records go that could not be handled.
    #[serde(default)]
    pub dead_letters: DeadLetters,
}

/// `[log]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Which kind of log. Default: `embedded`.
    pub kind: Option<Spanned<LogKind>>,
    /// The file of an embedded log. Default: `data/<name>.db`.
    pub path: Option<Spanned<String>>,
    /// The brokers of a Kafka log.
    pub bootstrap: Option<Spanned<String>>,
    /// One of `[clusters]` instead.
    pub cluster: Option<Spanned<String>>,
    /// What is promised. Default: `exactly-once` on an embedded log, `at-least-once` on Kafka.
    pub guarantee: Option<Spanned<Guarantee>>,
    /// What a commit to an embedded log survives. Default: `full`.
    pub sync: Option<Spanned<Durability>>,
    /// How often a step is committed. Default: 100, and 1000 for at-least-once.
    pub commit_interval_ms: Option<Spanned<i64>>,
    /// Settings for the Kafka client, untouched.
    #[serde(default)]
    pub properties: BTreeMap<Spanned<String>, Scalar>,
}

/// One of `[clusters]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The brokers.
    pub bootstrap: Spanned<String>,
    /// Settings for the Kafka client, untouched.
    #[serde(default)]
    pub properties: BTreeMap<Spanned<String>, Scalar>,
}

/// `log.kind`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// One SQLite file.
    #[default]
    Embedded,
    /// Brokers.
    Kafka,
}

/// `[schemas]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schemas {
    /// The folder of `.avsc` files. Default: `schemas`.
    pub dir: Option<Spanned<String>>,
    /// The address of a schema registry, or several. Default: none, ids are kept in a file.
    pub registry: Option<Spanned<Addresses>>,
    /// Whether missing schemas are registered on start. Default: false.
    pub register: Option<Spanned<bool>>,
    /// Who asks the registry, together with `password`.
    pub username: Option<Spanned<String>>,
    /// The password of `username`.
    pub password: Option<Spanned<String>>,
    /// Who asks the registry, by a bearer token.
    pub token: Option<Spanned<String>>,
    /// A file of certificates that are trusted instead of the usual ones.
    pub ca: Option<Spanned<String>>,
    /// How long an address of the registry may take for an answer. Default: 5000.
    pub timeout_ms: Option<Spanned<i64>>,
    /// Which subject has the schemas of a topic. Default: `topic`.
    #[serde(default)]
    pub subject: SubjectNames,
    /// How records name their schema. Default: `prefix`.
    pub schema_id: Option<Spanned<Form>>,
    /// The file that keeps ids. Default: `<log path>.schemas.json`.
    pub ids: Option<Spanned<String>>,
    /// What a new version of a schema must be able to do. Default: `backward`.
    pub compatibility: Option<Spanned<Compatibility>>,
}

/// One of `[topics]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topic {
    /// The schema of its values, by file stem or full name.
    pub schema: Option<Spanned<String>>,
    /// How many partitions. Default: as many as the topic that its stage reads, else 1.
    pub partitions: Option<Spanned<i64>>,
    /// Records older than this may go. Default: none do.
    pub retention_ms: Option<Spanned<i64>>,
    /// The oldest records of a partition go when it holds more bytes. Default: none do.
    pub retention_bytes: Option<Spanned<i64>>,
}

/// `[[feed]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feed {
    /// Its name. Default: the topic.
    pub name: Option<Spanned<String>>,
    /// The topic that gets the records.
    pub topic: Spanned<String>,
    /// The fields whose values are the key. Default: no key.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// The file to read, `-` for standard input. Either this or `generate`.
    pub file: Option<Spanned<String>>,
    /// How the file is written. Default: by its extension.
    pub format: Option<Spanned<Format>>,
    /// Whether to wait for more at the end of the file. Default: false.
    pub follow: Option<Spanned<bool>>,
    /// What to generate. Either this or `file`.
    pub generate: Option<Spanned<Generate>>,
}

/// `feed.generate`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// How many records. Default: no end.
    pub count: Option<Spanned<i64>>,
    /// Another seed gives other records. Default: 1.
    pub seed: Option<Spanned<i64>>,
    /// Records per second, 0 for as fast as it goes. Default: 0.
    pub rate: Option<Spanned<i64>>,
    /// How many products. Default: 10000.
    pub products: Option<Spanned<i64>>,
    /// How many categories. Default: 20.
    pub categories: Option<Spanned<i64>>,
    /// The share of records that cannot be right. Default: 0.
    pub invalid: Option<Spanned<f64>>,
    /// The share of records with a price far from the others. Default: 0.001.
    pub outliers: Option<Spanned<f64>>,
    /// `updated` of the first record, milliseconds since the epoch. Default: 2026-01-01.
    pub start_ms: Option<Spanned<i64>>,
    /// How much later each record is than the one before. Default: 100.
    pub interval_ms: Option<Spanned<i64>>,
}

/// `[[stage]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Its name.
    pub name: Spanned<String>,
    /// The module's file.
    pub module: Spanned<String>,
    /// The folder that the module is built from. Default: the one it stands in, if that is one.
    pub source: Option<Spanned<String>>,
    /// The topic to read.
    pub from: Spanned<String>,
    /// Where the answers go.
    pub to: Spanned<To>,
    /// What is handed to the module's `configure`. Default: nothing.
    #[serde(default)]
    pub settings: BTreeMap<String, Scalar>,
    /// How many threads. Default: 1.
    pub workers: Option<Spanned<i64>>,
    /// How many records a call gets at most. Default: 1024.
    pub batch_records: Option<Spanned<i64>>,
    /// What becomes of a record that could not be handled. Default: `dead-letter`.
    #[serde(default)]
    pub on_error: OnError,
    /// After so many dead letters without a good record the stage stops. Default: 100.
    pub max_dead_letters_in_a_row: Option<Spanned<i64>>,
    /// What the module may use.
    #[serde(default)]
    pub limits: Limits,
    /// Whether each record tells which module made it. Default: `none`.
    #[serde(default)]
    pub provenance: Provenance,
    /// Whether the module is swapped when its file changes. Default: true.
    #[serde(default)]
    pub watch: Watching,
    /// After so many batches a new version has passed its trial. Default: 16.
    pub trial_batches: Option<Spanned<i64>>,
    /// After this time it has passed with what it has seen. Default: 2000.
    pub trial_time_ms: Option<Spanned<i64>>,
    /// For so long the version before may come back. Default: 30000.
    pub guard_time_ms: Option<Spanned<i64>>,
    /// What a new version may do worse.
    #[serde(default)]
    pub budget: Budget,
    /// A module that is on trial without an end. Default: none.
    pub shadow: Option<Spanned<String>>,
}

/// `stage.budget`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The share of records that it may fail at beyond the version before. Default: 0.01.
    pub error_share: Option<Spanned<f64>>,
    /// How many times the time per record of the version before it may take. Default: 10.
    pub time_factor: Option<Spanned<f64>>,
}

/// `stage.limits`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Memory of an instance. Default: 256.
    pub memory_mb: Option<Spanned<i64>>,
    /// Time for one call. Default: 1000.
    pub time_ms: Option<Spanned<i64>>,
    /// Bytes that a call may return. Default: 64.
    pub answer_mb: Option<Spanned<i64>>,
}

/// `stage.to`: a topic, one output, or outputs by name.
#[derive(Debug)]
pub enum To {
    /// A topic's name.
    Topic(String),
    /// A table; which of the two it is depends on what `topic` holds.
    Table(BTreeMap<Spanned<String>, Spanned<ToPart>>),
}

/// What stands behind a key of a `to` table.
#[derive(Debug)]
pub enum ToPart {
    /// A topic or a schema.
    Text(String),
    /// A key.
    List(Vec<Spanned<String>>),
    /// A named output.
    Output(Output),
}

/// One output of a stage.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The topic that gets the records.
    pub topic: Spanned<String>,
    /// The fields whose values are the key. Default: the key of the input for `process`, none for `analyze`.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// The schema of the records. Default: that of the topic, else derived from the module's types.
    pub schema: Option<Spanned<String>>,
}

/// `[[sink]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sink {
    /// Its name. Default: the table.
    pub name: Option<Spanned<String>>,
    /// The topic to read.
    pub from: Spanned<String>,
    /// The table that gets the rows.
    pub table: Spanned<String>,
    /// The fields that the keys of the topic's records are made of. Default: what the feed or stage says that writes it, else
    /// the table's key column, if it is one.
    pub key: Option<Spanned<Vec<Spanned<String>>>>,
    /// After so many rows in a row that the table refuses the sink ends. Default: 100.
    pub max_dead_letters_in_a_row: Option<Spanned<i64>>,
    /// How many threads. Default: 1.
    pub workers: Option<Spanned<i64>>,
}

/// One of `[tables]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Where the table lives. Default: `sqlite`.
    #[serde(default = "sqlite")]
    pub store: Spanned<StoreKind>,
    /// The file of an `sqlite` table. Default: that of the embedded log; with `kafka` `data/<name>.tables.db`.
    pub path: Option<Spanned<String>>,
    /// The columns that place a row.
    pub partition_key: Spanned<Vec<Spanned<String>>>,
    /// The columns that order the rows of a partition. Default: none.
    #[serde(default)]
    pub clustering_key: Vec<Spanned<String>>,
    /// The columns. Default: all fields of the topic's schema.
    pub columns: Option<Spanned<Vec<Spanned<String>>>>,
    /// Whether a missing table is made on start. Default: true.
    pub create: Option<bool>,
    /// What becomes of a column whose value is null. Default: `unset` in Cassandra, `delete` in SQLite.
    pub nulls: Option<Spanned<Nulls>>,
    /// How long rows live. Default: for ever.
    pub ttl_s: Option<Spanned<i64>>,
    /// The field that says how many seconds a row lives. Default: none.
    pub ttl_field: Option<Spanned<String>>,
    /// What becomes of microseconds in timestamps. Default: `exact`.
    pub fine_times: Option<Spanned<FineTimes>>,
}

/// `[cassandra]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cassandra {
    /// Some of its nodes.
    pub nodes: Spanned<Addresses>,
    /// The keyspace of the tables.
    pub keyspace: Spanned<String>,
    /// How often a row is kept, if the keyspace is made. Default: it is not made.
    pub replication: Option<Spanned<Factors>>,
    /// The data centre whose nodes are asked. Default: all are.
    pub datacenter: Option<Spanned<String>>,
    /// Who asks.
    pub username: Option<Spanned<String>>,
    /// The password of `username`.
    pub password: Option<Spanned<String>>,
    /// The file that has the password.
    pub password_file: Option<Spanned<String>>,
    /// Whether connections are encrypted. Default: if there is a `ca` or a `certificate`.
    pub tls: Option<Spanned<bool>>,
    /// A file of certificates that are trusted.
    pub ca: Option<Spanned<String>>,
    /// The file of the certificate that says who asks.
    pub certificate: Option<Spanned<String>>,
    /// The file of its key.
    pub key: Option<Spanned<String>>,
    /// Which replicas must have a row. Default: `local-quorum`.
    #[serde(default)]
    pub consistency: Level,
    /// How many rows of a worker may be on their way. Default: 512.
    pub max_in_flight: Option<Spanned<i64>>,
    /// How long a row may take, before it is sent again. Default: 10000.
    pub timeout_ms: Option<Spanned<i64>>,
    /// After how long a row is sent to another node too. Default: it is not.
    pub speculative_execution_ms: Option<Spanned<i64>>,
}

/// Where tables live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// In an SQLite file.
    #[default]
    Sqlite,
    /// In Cassandra.
    Cassandra,
}

fn sqlite() -> Spanned<StoreKind> {
    Spanned::new(0..0, StoreKind::Sqlite)
}

/// `[dead_letters]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeadLetters {
    /// The topic. Default: `<name>.dead-letters`.
    pub topic: Option<Spanned<String>>,
    /// Dead letters older than this may go. Default: none do.
    pub retention_ms: Option<Spanned<i64>>,
    /// The oldest dead letters go when there are more bytes. Default: none do.
    pub retention_bytes: Option<Spanned<i64>>,
}

// === impl To ===

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ToVisitor;
        impl<'de> Visitor<'de> for ToVisitor {
            type Value = To;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a topic, { topic, key, schema }, or a table of named outputs")
            }

            fn visit_str<E>(self, topic: &str) -> Result<To, E> {
                Ok(To::Topic(topic.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<To, A::Error> {
                let mut parts = BTreeMap::new();
                while let Some((key, part)) = map.next_entry()? {
                    parts.insert(key, part);
                }
                Ok(To::Table(parts))
            }
        }
        deserializer.deserialize_any(ToVisitor)
    }
}

impl<'de> Deserialize<'de> for ToPart {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartVisitor;
        impl<'de> Visitor<'de> for PartVisitor {
            type Value = ToPart;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a topic or { topic, key, schema }")
            }

            fn visit_str<E>(self, text: &str) -> Result<ToPart, E> {
                Ok(ToPart::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ToPart, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(ToPart::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ToPart, A::Error> {
                Output::deserialize(MapAccessDeserializer::new(map)).map(ToPart::Output)
            }
        }
        deserializer.deserialize_any(PartVisitor)
    }
}
