//! From what the file says to what it means.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::raw::{Raw, RawFeed, RawLimits, RawLog, RawStage, RawTable};
use super::text::nearest;
use super::{
    DeadLettersConfig, FeedConfig, FeedSource, LogConfig, OutputConfig, Outputs, Pipeline, SchemasConfig, SinkConfig,
    StageConfig, TableConfig, TopicConfig,
};
use crate::feed::generate::GeneratorOptions;
use crate::format::reader::Format;
use crate::log::{Retention, embedded};
use crate::module::Limits;
use crate::stage::OnError;

/// Records of a call, at most: a batch must fit into the module's memory several times.
const MAX_BATCH_RECORDS: usize = 65_536;
const MAX_WORKERS: u32 = 256;
const MAX_PARTITIONS: u32 = 10_000;

/// The topic of a pipeline's dead letters, where none is named.
#[must_use]
pub fn derive_dead_letters(pipeline: &str) -> String {
    format!("{pipeline}.dead-letters")
}

struct Reader<'p> {
    folder: &'p Path,
    errors: Vec<String>,
}

pub(super) fn understand(path: &Path, raw: Raw) -> Result<Pipeline, Vec<String>> {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut reader = Reader { folder, errors: Vec::new() };
    let pipeline = reader.pipeline(raw);
    reader.check(&pipeline);
    if reader.errors.is_empty() { Ok(pipeline) } else { Err(reader.errors) }
}

impl Reader<'_> {
    fn wrong(&mut self, what: impl Into<String>) {
        self.errors.push(what.into());
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// One of a few words, or the first of them.
    fn word<T: Copy>(&mut self, key: &str, given: Option<&str>, words: &[(&str, T)]) -> T {
        let Some(given) = given else { return words[0].1 };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == given) {
            return *meaning;
        }
        let known: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let like = nearest(given, words.iter().map(|(word, _)| *word));
        let hint = like.map(|word| format!("; did you mean \"{word}\"?")).unwrap_or_default();
        self.wrong(format!("`{key}` is \"{given}\", and can be {}{hint}", known.join(", ")));
        words[0].1
    }

    fn within<T: PartialOrd + std::fmt::Display + Copy>(&mut self, key: &str, value: T, least: T, most: T) -> T {
        if value < least || value > most {
            self.wrong(format!("`{key}` is {value}, and can be from {least} to {most}"));
        }
        value
    }

    fn retention(&mut self, key: &str, age_ms: Option<i64>, bytes: Option<i64>) -> Retention {
        for (what, value) in [("retention_ms", age_ms), ("retention_bytes", bytes)] {
            if let Some(value) = value {
                self.within(&format!("{key}.{what}"), value, 1, i64::MAX);
            }
        }
        Retention { age_ms, bytes }
    }

    fn pipeline(&mut self, raw: Raw) -> Pipeline {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if raw.name.is_empty() || !raw.name.chars().all(plain) {
            self.wrong(format!("`name` is \"{}\", and can have a-z, A-Z, 0-9, dot, underscore and hyphen", raw.name));
        }
        let dir = self.path(raw.schemas.dir.as_deref().unwrap_or(Path::new("schemas")));
        if raw.schemas.registry.is_some() {
            self.wrong("`schemas.registry`: this host is built without registries over HTTP; use `schemas.dir`");
        }
        let ids = raw.schemas.ids.as_ref().map_or_else(|| dir.join("registry.json"), |ids| self.path(ids));
        let schemas = SchemasConfig { ids, dir, compatibility: raw.schemas.compatibility };
        let mut topics = Vec::new();
        for (name, topic) in raw.topics {
            let key = format!("topics.{name}");
            if let Some(partitions) = topic.partitions {
                self.within(&format!("{key}.partitions"), partitions, 1, MAX_PARTITIONS);
            }
            let retention = self.retention(&key, topic.retention_ms, topic.retention_bytes);
            topics.push(TopicConfig { name, schema: topic.schema, partitions: topic.partitions, retention });
        }
        let dead = raw.dead_letters;
        let dead_letters = DeadLettersConfig {
            retention: self.retention("dead_letters", dead.retention_ms, dead.retention_bytes),
            topic: dead.topic.unwrap_or_else(|| derive_dead_letters(&raw.name)),
        };
        let sinks = raw.sink.into_iter().map(|sink| SinkConfig {
            name: sink.name.unwrap_or_else(|| sink.table.clone()),
            from: sink.from,
            table: sink.table,
            workers: sink.workers.unwrap_or(1),
        });
        Pipeline {
            log: self.log(&raw.name, raw.log),
            schemas,
            topics,
            create_topics: raw.create_topics.unwrap_or(true),
            feeds: raw.feed.into_iter().map(|feed| self.feed(feed)).collect(),
            stages: raw.stage.into_iter().map(|stage| self.stage(stage)).collect(),
            sinks: sinks.collect(),
            tables: raw.tables.into_iter().map(|(name, table)| self.table(name, table)).collect(),
            dead_letters,
            name: raw.name,
        }
    }

    fn log(&mut self, name: &str, raw: RawLog) -> LogConfig {
        let kafka = self.word("log.kind", raw.kind.as_deref(), &[("embedded", false), ("kafka", true)]);
        if kafka {
            self.wrong("`log.kind`: this host is built without Kafka; use \"embedded\"");
        } else {
            if raw.bootstrap.is_some() || !raw.properties.is_empty() {
                self.wrong("`log.bootstrap` and `log.properties` are for `kind = \"kafka\"`");
            }
            let words = [("exactly-once", true), ("at-least-once", false)];
            if !self.word("log.guarantee", raw.guarantee.as_deref(), &words) {
                self.wrong("`log.guarantee`: the embedded log is always \"exactly-once\"");
            }
        }
        let path = raw.path.unwrap_or_else(|| PathBuf::from(format!("data/{name}.db")));
        let defaults = embedded::Options::default();
        let words = [("full", embedded::Sync::Full), ("normal", embedded::Sync::Normal)];
        let sync = self.word("log.sync", raw.sync.as_deref(), &words);
        let most = raw.max_record_bytes.unwrap_or(defaults.max_record_bytes);
        let max_record_bytes = self.within("log.max_record_bytes", most, 1, 512 << 20);
        let commit_ms = self.within("log.commit_interval_ms", raw.commit_interval_ms.unwrap_or(100), 1, 60_000);
        LogConfig {
            path: self.path(&path),
            options: embedded::Options { sync, max_record_bytes },
            commit_interval: Duration::from_millis(commit_ms),
        }
    }

    fn feed(&mut self, raw: RawFeed) -> FeedConfig {
        let name = raw.name.unwrap_or_else(|| raw.topic.clone());
        let key = format!("feed.{name}");
        let source = match (raw.file, raw.generate) {
            (Some(file), None) => {
                let stdin = file.as_os_str() == "-";
                let by_name = Format::of_path(&file);
                let format = match raw.format.as_deref() {
                    Some(word) => {
                        let words = [("jsonl", Format::JsonLines), ("csv", Format::Csv), ("avro", Format::Avro)];
                        self.word(&format!("{key}.format"), Some(word), &words)
                    }
                    None if stdin => Format::JsonLines,
                    None => by_name.unwrap_or_else(|| {
                        self.wrong(format!(
                            "`{key}.file` \"{}\" ends in none of .jsonl, .csv, .avro; add `format = …`",
                            file.display()
                        ));
                        Format::JsonLines
                    }),
                };
                let path = (!stdin).then(|| self.path(&file));
                FeedSource::File { path, format, follow: raw.follow }
            }
            (None, Some(raw)) => {
                let defaults = GeneratorOptions::default();
                let options = GeneratorOptions {
                    count: raw.count,
                    seed: raw.seed.unwrap_or(defaults.seed),
                    products: raw.products.unwrap_or(defaults.products),
                    categories: raw.categories.unwrap_or(defaults.categories),
                    invalid: raw.invalid.unwrap_or(defaults.invalid),
                    outliers: raw.outliers.unwrap_or(defaults.outliers),
                    ..defaults
                };
                let rate = raw.rate.filter(|rate| *rate != 0.0);
                if let Some(rate) = rate {
                    self.within(&format!("{key}.generate.rate"), rate, 0.001, 1e9);
                }
                FeedSource::Generate(options, rate)
            }
            _ => {
                self.wrong(format!("`{key}` has one of `file` and `generate`"));
                FeedSource::Generate(GeneratorOptions::default(), None)
            }
        };
        FeedConfig { name, source, topic: raw.topic, key: raw.key }
    }

    fn stage(&mut self, raw: RawStage) -> StageConfig {
        let key = format!("stage.{}", raw.name);
        let on_error = [("dead-letter", OnError::DeadLetter), ("stop", OnError::Stop), ("drop", OnError::Drop)];
        let mut settings = Vec::new();
        for (name, value) in raw.settings {
            match value {
                Value::String(text) => settings.push((name, text)),
                Value::Table(_) | Value::Array(_) => {
                    self.wrong(format!("`{key}.settings.{name}` must be a plain value; modules get text"));
                }
                plain => settings.push((name, plain.to_string())),
            }
        }
        StageConfig {
            module: self.path(&raw.module),
            outputs: self.outputs(&format!("{key}.to"), raw.to),
            settings,
            workers: self.within(&format!("{key}.workers"), raw.workers.unwrap_or(1), 1, MAX_WORKERS),
            batch_records: self.within(
                &format!("{key}.batch_records"),
                raw.batch_records.unwrap_or(1024),
                1,
                MAX_BATCH_RECORDS,
            ),
            on_error: self.word(&format!("{key}.on_error"), raw.on_error.as_deref(), &on_error),
            max_dead_letters_in_a_row: raw.max_dead_letters_in_a_row.unwrap_or(100),
            limits: self.limits(&key, &raw.limits),
            provenance: self.word(
                &format!("{key}.provenance"),
                raw.provenance.as_deref(),
                &[("none", false), ("header", true)],
            ),
            from: raw.from,
            name: raw.name,
        }
    }

    fn limits(&mut self, key: &str, raw: &RawLimits) -> Limits {
        let memory_mb = self.within(&format!("{key}.limits.memory_mb"), raw.memory_mb.unwrap_or(256), 1, 4096);
        let answer_mb = self.within(&format!("{key}.limits.answer_mb"), raw.answer_mb.unwrap_or(64), 1, 1024);
        let time_ms = self.within(&format!("{key}.limits.time_ms"), raw.time_ms.unwrap_or(1_000), 1, 3_600_000);
        Limits { memory_bytes: memory_mb << 20, answer_bytes: answer_mb << 20, time_ms }
    }

    fn outputs(&mut self, key: &str, to: Value) -> Outputs {
        let none = OutputConfig { topic: String::new(), key: Vec::new(), schema: None };
        match to {
            Value::String(topic) => Outputs::One(OutputConfig { topic, ..none }),
            Value::Table(table) if table.get("topic").is_some_and(Value::is_str) => {
                Outputs::One(self.output(key, table).unwrap_or(none))
            }
            Value::Table(table) => {
                let mut named = Vec::new();
                for (name, value) in table {
                    let output = match value {
                        Value::String(topic) => Some(OutputConfig { topic, ..none.clone() }),
                        Value::Table(table) => self.output(&format!("{key}.{name}"), table),
                        _ => {
                            self.wrong(format!("`{key}.{name}` must be a topic or {{ topic = … }}"));
                            None
                        }
                    };
                    named.extend(output.map(|o| (name, o)));
                }
                Outputs::Named(named)
            }
            _ => {
                self.wrong(format!("`{key}` must be a topic, {{ topic = …, key = […] }}, or one for each named output"));
                Outputs::One(none)
            }
        }
    }

    fn output(&mut self, key: &str, mut table: toml::Table) -> Option<OutputConfig> {
        let topic = table.remove("topic").and_then(|t| t.as_str().map(str::to_owned));
        let schema = table.remove("schema").and_then(|s| s.as_str().map(str::to_owned));
        let fields = match table.remove("key") {
            None => Some(Vec::new()),
            Some(Value::Array(fields)) => fields.iter().map(|f| f.as_str().map(str::to_owned)).collect(),
            Some(Value::String(field)) => Some(vec![field]),
            Some(_) => None,
        };
        for unknown in table.keys() {
            let like = nearest(unknown, ["topic", "key", "schema"].into_iter());
            let hint = like.map(|word| format!("; did you mean `{word}`?")).unwrap_or_default();
            self.wrong(format!("`{key}.{unknown}` is not known; an output has topic, key and schema{hint}"));
        }
        match (topic, fields) {
            (Some(topic), Some(key)) => Some(OutputConfig { topic, key, schema }),
            (None, _) => {
                self.wrong(format!("`{key}` needs a `topic`"));
                None
            }
            (_, None) => {
                self.wrong(format!("`{key}.key` must be a list of fields"));
                None
            }
        }
    }

    fn table(&mut self, name: String, raw: RawTable) -> TableConfig {
        let key = format!("tables.{name}");
        if self.word(&format!("{key}.store"), raw.store.as_deref(), &[("sqlite", false), ("cassandra", true)]) {
            self.wrong(format!("`{key}.store`: this host is built without Cassandra; use \"sqlite\""));
        }
        if raw.partition_key.is_empty() {
            self.wrong(format!("`{key}.partition_key` must name at least one column"));
        }
        TableConfig {
            name,
            partition_key: raw.partition_key,
            clustering_key: raw.clustering_key,
            columns: raw.columns,
            create: raw.create.unwrap_or(true),
        }
    }

    /// What no section can see for itself.
    fn check(&mut self, pipeline: &Pipeline) {
        let mut names = HashSet::new();
        let stages = pipeline.stages.iter().map(|s| ("stage", s.name.clone()));
        let sinks = pipeline.sinks.iter().map(|s| ("sink", s.name.clone()));
        let feeds = pipeline.feeds.iter().map(|f| ("feed", format!("feed.{}", f.name)));
        for (role, name) in stages.chain(sinks).chain(feeds) {
            // They name consumer groups, so stages and sinks share one space.
            if !names.insert(name.clone()) {
                self.wrong(format!("there is more than one {role} called `{name}`; give each a `name` of its own"));
            }
        }
        let mut written: BTreeSet<&str> = pipeline.topics.iter().map(|t| t.name.as_str()).collect();
        written.extend(pipeline.feeds.iter().map(|f| f.topic.as_str()));
        for stage in &pipeline.stages {
            for (_, output) in stage.outputs.all() {
                written.insert(&output.topic);
                if output.topic == stage.from {
                    self.wrong(format!("stage `{}` writes the topic that it reads, `{}`", stage.name, stage.from));
                }
            }
        }
        let reads = pipeline.stages.iter().map(|s| ("stage", &s.name, &s.from));
        for (role, name, topic) in reads.chain(pipeline.sinks.iter().map(|s| ("sink", &s.name, &s.from))) {
            if !written.contains(topic.as_str()) {
                let like = nearest(topic, written.iter().copied());
                let hint = like.map(|t| format!("; did you mean `{t}`?")).unwrap_or_default();
                self.wrong(format!("{role} `{name}` reads topic `{topic}`, which nobody here writes and [topics] does not name{hint}"));
            }
        }
        for sink in &pipeline.sinks {
            if !pipeline.tables.iter().any(|t| t.name == sink.table) {
                let like = nearest(&sink.table, pipeline.tables.iter().map(|t| t.name.as_str()));
                let hint = like.map(|t| format!("; did you mean `{t}`?")).unwrap_or_default();
                self.wrong(format!("sink `{}` fills table `{}`, and there is no [tables.{}]{hint}", sink.name, sink.table, sink.table));
            }
            self.within(&format!("sink.{}.workers", sink.name), sink.workers, 1, MAX_WORKERS);
        }
    }
}
