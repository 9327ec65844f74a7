//! From what a `pipeline.toml` says to what it means. Every function notes all that is wrong and goes on.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;

use super::document::{Document, Place};
use super::error::Fault;
use super::schemas::schemas;
use super::topics::Topics;
use super::{
    Cluster, DeadLetterTopic, Feed, Format, Guarantee, Input, Limits, Log, LogKind, Output, Pipeline, RegistryKind,
    Sink, Source, Stage, Store, Table, To, clusters, names, raw,
};
use crate::feed::generate::GeneratorOptions;
use crate::log::Retention;
use crate::log::embedded::Durability;
use crate::sink::{MAX_TTL_S, Ttl};
use crate::table::{FineTimes, Nulls};

/// Threads of one feed, stage or sink.
const MAX_WORKERS: i64 = 256;
/// Above this a batch only costs memory.
const MAX_BATCH_RECORDS: i64 = 65_536;
/// All that a 32-bit module can address.
const MAX_MEMORY_MB: i64 = 4096;
/// An hour: a call that takes longer holds up its partition for good.
const MAX_TIME_MS: i64 = 3_600_000;
/// A step that is open longer is not one.
const MAX_COMMIT_INTERVAL_MS: i64 = 60_000;
/// Integers of TOML end here.
const MAX: i64 = i64::MAX;

const MB: usize = 1 << 20;

/// Checks everything. None if anything is wrong.
pub(super) fn pipeline(raw: raw::Pipeline, dir: &Path, document: &mut Document<'_>) -> Option<Pipeline> {
    let mut check = Check { dir, document, names: HashSet::new() };
    check.name(&raw.name);
    let name = raw.name.get_ref().clone();
    let clusters = clusters::clusters(raw.clusters, &mut check);
    let log = check.log(raw.log, &clusters, &name);
    let schemas = schemas(raw.schemas, &log, &mut check);
    let dead_letters = check.dead_letters(raw.dead_letters, &name);
    let embedded = matches!(log.kind, LogKind::Embedded { .. });
    let mut topics = Topics::new(raw.topics, &mut check, matches!(schemas.registry, RegistryKind::Http(_)));
    if raw.feed.is_empty() && raw.stage.is_empty() && raw.sink.is_empty() {
        check.fault(&(0..0), Fault::Nothing);
    }
    let feeds = raw.feed.into_iter().map(|feed| check.feed(feed, &mut topics)).collect();
    let stages = raw.stage.into_iter().map(|stage| check.stage(stage, &mut topics)).collect();
    let has_cassandra = raw.cassandra.is_some();
    let cassandra = raw.cassandra.map(|cassandra| super::cassandra::cassandra(cassandra, &mut check));
    let tables: BTreeMap<_, _> =
        raw.tables.into_iter().map(|(table, raw)| check.table(table, raw, (&log.kind, has_cassandra), &name)).collect();
    let sinks = raw.sink.into_iter().map(|sink| check.sink(sink, &tables, &mut topics)).collect();
    let topics = topics.finish(&dead_letters.topic, &mut check);
    let create_topics = raw.create_topics.unwrap_or(embedded);
    let modules = match &log.kind {
        LogKind::Embedded { path, .. } => path.with_extension("modules"),
        LogKind::Kafka(_) => check.data(&name).with_extension("modules"),
    };
    let is_sound = check.document.is_sound();
    is_sound.then_some(Pipeline {
        name,
        log,
        clusters,
        schemas,
        topics,
        create_topics,
        feeds,
        stages,
        sinks,
        cassandra,
        tables,
        dead_letters,
        modules,
    })
}

/// What all checks share.
pub(super) struct Check<'c, 't> {
    dir: &'c Path,
    document: &'c mut Document<'t>,
    /// Names of feeds, stages and sinks: consumer groups are called after them, so no two may be alike.
    names: HashSet<String>,
}

impl Check<'_, '_> {
    pub(super) fn fault(&mut self, place: &Place, fault: Fault) {
        self.document.problem(place, fault);
    }

    pub(super) fn name(&mut self, name: &Spanned<String>) {
        if !names::is_name(name.get_ref()) {
            self.fault(&name.span(), Fault::Name(name.get_ref().clone()));
        }
    }

    /// The name of a stage or sink, which is that of its consumer group.
    fn reader(&mut self, name: &Spanned<String>) -> String {
        if let Some(prefix) = names::reserved(name.get_ref()) {
            self.fault(&name.span(), Fault::Reserved { name: name.get_ref().clone(), prefix });
        }
        self.member(name)
    }

    /// The name of a feed, stage or sink.
    fn member(&mut self, name: &Spanned<String>) -> String {
        self.name(name);
        if !self.names.insert(name.get_ref().clone()) {
            self.fault(&name.span(), Fault::Duplicate(name.get_ref().clone()));
        }
        name.get_ref().clone()
    }

    pub(super) fn range(&mut self, number: Option<&Spanned<i64>>, default: i64, min: i64, max: i64) -> i64 {
        self.optional_range(number, min, max).unwrap_or(default)
    }

    /// Dead letters in a row that are too many.
    fn in_a_row(&mut self, number: Option<&Spanned<i64>>) -> u64 {
        self.range(number, 100, 1, MAX).unsigned_abs()
    }

    pub(super) fn optional_range(&mut self, number: Option<&Spanned<i64>>, min: i64, max: i64) -> Option<i64> {
        let (number, place) = (*number?.get_ref(), number?.span());
        if !(min..=max).contains(&number) {
            self.fault(&place, Fault::Range { value: number as f64, min: min as f64, max: max as f64 });
        }
        Some(number)
    }

    fn share(&mut self, share: Option<&Spanned<f64>>, default: f64) -> f64 {
        self.number(share, default, 0.0, 1.0)
    }

    pub(super) fn number(&mut self, number: Option<&Spanned<f64>>, default: f64, min: f64, max: f64) -> f64 {
        let Some(number) = number else { return default };
        if !(min..=max).contains(number.get_ref()) {
            self.fault(&number.span(), Fault::Range { value: *number.get_ref(), min, max });
        }
        *number.get_ref()
    }

    pub(super) fn retention(&mut self, age: Option<&Spanned<i64>>, bytes: Option<&Spanned<i64>>) -> Retention {
        Retention { age_ms: self.optional_range(age, 1, MAX), bytes: self.optional_range(bytes, 1, MAX) }
    }

    /// Fields or columns: at least one, none twice.
    fn list(&mut self, list: &Spanned<Vec<Spanned<String>>>) -> Vec<String> {
        if list.get_ref().is_empty() {
            self.fault(&list.span(), Fault::Empty);
        }
        self.distinct(list.get_ref())
    }

    fn distinct(&mut self, list: &[Spanned<String>]) -> Vec<String> {
        for (index, item) in list.iter().enumerate() {
            if list[..index].contains(item) {
                self.fault(&item.span(), Fault::Twice(item.get_ref().clone()));
            }
        }
        list.iter().map(|item| item.get_ref().clone()).collect()
    }

    pub(super) fn meaningless<T>(&mut self, given: Option<&Spanned<T>>, key: &'static str, why: &'static str) {
        if let Some(given) = given {
            self.fault(&given.span(), Fault::Meaningless { key, why });
        }
    }

    /// A file that nobody has named.
    fn data(&self, name: &str) -> PathBuf {
        self.path(&format!("data/{name}.db"))
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.dir.join(path)
    }

    // === sections ===

    fn log(&mut self, mut raw: raw::Log, clusters: &BTreeMap<String, Cluster>, name: &str) -> Log {
        let mut guarantee = Guarantee::ExactlyOnce;
        let kind = match raw.kind.as_ref().map(|kind| *kind.get_ref()).unwrap_or_default() {
            raw::LogKind::Embedded => {
                self.meaningless(raw.bootstrap.as_ref(), "bootstrap", "only `kind = \"kafka\"` has brokers");
                self.meaningless(raw.cluster.as_ref(), "cluster", "only `kind = \"kafka\"` has brokers");
                if let Some((property, _)) = raw.properties.first_key_value() {
                    let why = "only `kind = \"kafka\"` has client properties";
                    self.fault(&property.span(), Fault::Meaningless { key: "properties", why });
                }
                if let Some(given) = raw.guarantee.filter(|given| *given.get_ref() != guarantee) {
                    self.fault(&given.span(), Fault::Guarantee);
                }
                let path = raw.path.map_or_else(|| self.data(name), |path| self.path(path.get_ref()));
                let sync = raw.sync.map_or(Durability::default(), Spanned::into_inner);
                LogKind::Embedded { path, sync }
            }
            raw::LogKind::Kafka => {
                self.meaningless(raw.path.as_ref(), "path", "only an embedded log is a file");
                self.meaningless(raw.sync.as_ref(), "sync", "only an embedded log is a file");
                guarantee = raw.guarantee.as_ref().map_or(Guarantee::AtLeastOnce, |given| *given.get_ref());
                let place = raw.kind.as_ref().map(Spanned::span).unwrap_or_default();
                LogKind::Kafka(clusters::of_log(&mut raw, &place, clusters, self))
            }
        };
        let default = if guarantee == Guarantee::AtLeastOnce { 1000 } else { 100 };
        let interval_ms = self.range(raw.commit_interval_ms.as_ref(), default, 1, MAX_COMMIT_INTERVAL_MS);
        Log { kind, guarantee, commit_interval: Duration::from_millis(interval_ms.unsigned_abs()) }
    }

    fn dead_letters(&mut self, raw: raw::DeadLetters, name: &str) -> DeadLetterTopic {
        let retention = self.retention(raw.retention_ms.as_ref(), raw.retention_bytes.as_ref());
        if let Some(topic) = raw.topic.as_ref().filter(|topic| !names::is_topic(topic.get_ref())) {
            self.fault(&topic.span(), Fault::TopicName(topic.get_ref().clone()));
        }
        let topic = raw.topic.map_or_else(|| format!("{name}.dead-letters"), Spanned::into_inner);
        DeadLetterTopic { topic, retention }
    }

    fn feed(&mut self, raw: Spanned<raw::Feed>, topics: &mut Topics) -> Feed {
        let place = raw.span();
        let raw = raw.into_inner();
        let name = self.member(raw.name.as_ref().unwrap_or(&raw.topic));
        topics.fed(&raw.topic, self);
        let key = raw.key.as_ref().map(|key| self.list(key)).unwrap_or_default();
        let format = raw.format.as_ref();
        let source = match (&raw.file, &raw.generate) {
            (Some(file), None) => self.file(file, format, raw.follow.as_ref(), &raw.topic, topics),
            (None, Some(generate)) => {
                self.meaningless(format, "format", "only a `file` has one");
                self.meaningless(raw.follow.as_ref(), "follow", "only a `file` can be followed");
                topics.needs_schema(&raw.topic, self);
                self.generate(generate.get_ref())
            }
            _ => {
                self.fault(&place, Fault::OneOf("file", "generate"));
                Source::Generate { options: GeneratorOptions::default(), rate: None }
            }
        };
        Feed { name, topic: raw.topic.into_inner(), key, source }
    }

    fn file(
        &mut self,
        file: &Spanned<String>,
        format: Option<&Spanned<Format>>,
        follow: Option<&Spanned<bool>>,
        topic: &Spanned<String>,
        topics: &mut Topics,
    ) -> Source {
        let name = file.get_ref();
        let input = if name == "-" { Input::Stdin } else { Input::File(self.path(name)) };
        let by_name = || if name == "-" { Some(Format::Jsonl) } else { Format::of(Path::new(name)) };
        let format = format.map(|format| *format.get_ref()).or_else(by_name).unwrap_or_else(|| {
            self.fault(&file.span(), Fault::Format(name.clone()));
            Format::Jsonl
        });
        // An Avro file brings its schema.
        if format != Format::Avro {
            topics.needs_schema(topic, self);
        }
        let follows = follow.is_some_and(|follow| *follow.get_ref());
        if follows && input == Input::Stdin {
            self.meaningless(follow, "follow", "standard input is read to its end");
        }
        if follows && format == Format::Avro {
            self.meaningless(follow, "follow", "an Avro file does not grow");
        }
        Source::File { input, format, follow: follows }
    }

    fn generate(&mut self, raw: &raw::Generate) -> Source {
        let default = GeneratorOptions::default();
        // The ranges are those that the generator checks.
        let options = GeneratorOptions {
            count: self.optional_range(raw.count.as_ref(), 0, MAX).map(i64::unsigned_abs),
            seed: self.range(raw.seed.as_ref(), 1, 0, MAX).unsigned_abs(),
            products: self.range(raw.products.as_ref(), default.products.into(), 1, 1_000_000) as u32,
            categories: self.range(raw.categories.as_ref(), default.categories.into(), 1, 1_000_000) as u32,
            invalid: self.share(raw.invalid.as_ref(), default.invalid),
            outliers: self.share(raw.outliers.as_ref(), default.outliers),
            start_ms: self.range(raw.start_ms.as_ref(), default.start_ms, 0, MAX),
            interval_ms: self.range(raw.interval_ms.as_ref(), default.interval_ms.into(), 0, u32::MAX.into()) as u32,
        };
        let rate = self.range(raw.rate.as_ref(), 0, 0, u32::MAX.into()) as u32;
        Source::Generate { options, rate: (rate > 0).then_some(rate) }
    }

    fn stage(&mut self, raw: Spanned<raw::Stage>, topics: &mut Topics) -> Stage {
        let raw = raw.into_inner();
        let name = self.reader(&raw.name);
        topics.read(&raw.from, self);
        let swap = super::swap::terms(&raw, self);
        let to = self.to(raw.to, &raw.from, topics);
        let memory_mb = self.range(raw.limits.memory_mb.as_ref(), 256, 1, MAX_MEMORY_MB);
        let time_ms = self.range(raw.limits.time_ms.as_ref(), 1000, 1, MAX_TIME_MS);
        let answer_mb = self.range(raw.limits.answer_mb.as_ref(), 64, 1, MAX_MEMORY_MB);
        Stage {
            name,
            module: self.path(raw.module.get_ref()),
            source: raw.source.map(|dir| self.path(dir.get_ref())),
            from: raw.from.into_inner(),
            to,
            settings: raw.settings.into_iter().map(|(key, value)| (key, value.0)).collect(),
            workers: self.range(raw.workers.as_ref(), 1, 1, MAX_WORKERS) as u32,
            batch_records: self.range(raw.batch_records.as_ref(), 1024, 1, MAX_BATCH_RECORDS) as usize,
            on_error: raw.on_error,
            max_dead_letters_in_a_row: self.in_a_row(raw.max_dead_letters_in_a_row.as_ref()),
            limits: Limits {
                memory_bytes: memory_mb as usize * MB,
                time_ms: time_ms.unsigned_abs(),
                answer_bytes: answer_mb as usize * MB,
            },
            provenance: raw.provenance,
            swap,
            shadow: raw.shadow.map(|file| self.path(file.get_ref())),
            start: None,
            deployed: None,
        }
    }

    fn to(&mut self, raw: Spanned<raw::To>, from: &Spanned<String>, topics: &mut Topics) -> To {
        let place = raw.span();
        let mut parts = match raw.into_inner() {
            raw::To::Topic(topic) => {
                let output = raw::Output { topic: Spanned::new(place, topic), key: None, schema: None };
                return To::One(self.output(output, from, topics));
            }
            raw::To::Table(parts) => parts,
        };
        // `topic` with a text is one output; `topic` with a table would be an output of that name.
        let is_one = parts.get("topic").is_some_and(|part| matches!(part.get_ref(), raw::ToPart::Text(_)));
        if is_one {
            let output = self.one(&mut parts);
            return output.map_or(To::Named(BTreeMap::new()), |output| To::One(self.output(output, from, topics)));
        }
        if parts.is_empty() {
            self.fault(&place, Fault::Missing("topic".to_owned()));
        }
        let mut outputs = BTreeMap::new();
        for (name, part) in parts {
            let place = part.span();
            let output = match part.into_inner() {
                raw::ToPart::Text(topic) => raw::Output { topic: Spanned::new(place, topic), key: None, schema: None },
                raw::ToPart::Output(output) => output,
                raw::ToPart::List(_) => {
                    let what = "a list where a topic or { topic, key, schema } belongs; `key` and `schema` need a `topic` beside them";
                    self.fault(&place, Fault::Type(what.to_owned()));
                    continue;
                }
            };
            let output = self.output(output, from, topics);
            outputs.insert(name.into_inner(), output);
        }
        To::Named(outputs)
    }

    /// The keys of `{ topic, key, schema }`.
    fn one(&mut self, parts: &mut BTreeMap<Spanned<String>, Spanned<raw::ToPart>>) -> Option<raw::Output> {
        let (mut topic, mut key, mut schema) = (None, None, None);
        for (name, part) in std::mem::take(parts) {
            let place = part.span();
            match (name.get_ref().as_str(), part.into_inner()) {
                ("topic", raw::ToPart::Text(text)) => topic = Some(Spanned::new(place, text)),
                ("schema", raw::ToPart::Text(text)) => schema = Some(Spanned::new(place, text)),
                ("key", raw::ToPart::List(list)) => key = Some(Spanned::new(place, list)),
                ("key", _) => self.fault(&place, Fault::Type("`key` is a list of fields: [ … ]".to_owned())),
                ("schema", _) => self.fault(&place, Fault::Type("`schema` is text in quotes".to_owned())),
                (word, _) => {
                    let known = ["topic", "key", "schema"];
                    let fault = Fault::Unknown {
                        what: "key",
                        word: word.to_owned(),
                        suggestion: names::suggest(word, known),
                        known: known.map(str::to_owned).to_vec(),
                    };
                    self.fault(&name.span(), fault);
                }
            }
        }
        Some(raw::Output { topic: topic?, key, schema })
    }

    fn output(&mut self, raw: raw::Output, from: &Spanned<String>, topics: &mut Topics) -> Output {
        if raw.topic == *from {
            self.fault(&raw.topic.span(), Fault::Cycle(from.get_ref().clone()));
        }
        topics.written(&raw.topic, from.get_ref(), raw.schema.as_ref(), self);
        Output { topic: raw.topic.into_inner(), key: raw.key.as_ref().map(|key| self.list(key)) }
    }

    fn table(
        &mut self,
        name: Spanned<String>,
        raw: raw::Table,
        (log, has_cassandra): (&LogKind, bool),
        pipeline: &str,
    ) -> (String, Table) {
        if !names::is_table(name.get_ref()) {
            self.fault(&name.span(), Fault::TableName(name.get_ref().clone()));
        }
        let in_cassandra = *raw.store.get_ref() == raw::StoreKind::Cassandra;
        let store = match raw.store.get_ref() {
            raw::StoreKind::Sqlite => match (raw.path.map(|path| self.path(path.get_ref())), log) {
                (Some(path), LogKind::Embedded { path: log, .. }) if path != *log => Store::Sqlite(path),
                (_, LogKind::Embedded { .. }) => Store::Log,
                (path, LogKind::Kafka(_)) => {
                    Store::Sqlite(path.unwrap_or_else(|| self.data(&format!("{pipeline}.tables"))))
                }
            },
            raw::StoreKind::Cassandra => {
                self.meaningless(raw.path.as_ref(), "path", "only a table in SQLite is in a file");
                if !has_cassandra {
                    self.fault(&raw.store.span(), Fault::Missing("[cassandra]".to_owned()));
                }
                Store::Cassandra
            }
        };
        if !in_cassandra {
            let why = "SQLite keeps rows until they are deleted";
            self.meaningless(raw.ttl_s.as_ref(), "ttl_s", why);
            self.meaningless(raw.ttl_field.as_ref(), "ttl_field", why);
            self.meaningless(raw.nulls.as_ref(), "nulls", "in SQLite a row takes the place of all columns");
            self.meaningless(
                raw.fine_times.as_ref(),
                "fine_times",
                "SQLite keeps times as the whole numbers that they are",
            );
        }
        let ttl = match (&raw.ttl_s, &raw.ttl_field) {
            (Some(_), Some(field)) => {
                self.fault(&field.span(), Fault::OneOf("ttl_s", "ttl_field"));
                Ttl::None
            }
            (Some(_), None) => Ttl::Seconds(self.range(raw.ttl_s.as_ref(), 1, 1, MAX_TTL_S) as u32),
            (None, Some(field)) => Ttl::Field(field.get_ref().clone()),
            (None, None) => Ttl::None,
        };
        let nulls = raw.nulls.map_or(if in_cassandra { Nulls::Unset } else { Nulls::Delete }, Spanned::into_inner);
        let fine_times = raw.fine_times.map_or(FineTimes::Exact, Spanned::into_inner);
        let columns = raw.columns.as_ref().map(|columns| self.list(columns));
        let partition_key = self.list(&raw.partition_key);
        let keys: Vec<_> = raw.partition_key.into_inner().into_iter().chain(raw.clustering_key).collect();
        let mut clustering_key = self.distinct(&keys);
        clustering_key.drain(..partition_key.len());
        for key in &keys {
            if columns.as_ref().is_some_and(|columns| !columns.contains(key.get_ref())) {
                self.fault(&key.span(), Fault::NoColumn(key.get_ref().clone()));
            }
        }
        let create = raw.create.unwrap_or(true);
        (name.into_inner(), Table { store, partition_key, clustering_key, columns, create, nulls, ttl, fine_times })
    }

    fn sink(&mut self, raw: Spanned<raw::Sink>, tables: &BTreeMap<String, Table>, topics: &mut Topics) -> Sink {
        let raw = raw.into_inner();
        let name = self.reader(raw.name.as_ref().unwrap_or(&raw.table));
        topics.read(&raw.from, self);
        if !tables.contains_key(raw.table.get_ref()) {
            let suggestion = names::suggest(raw.table.get_ref(), tables.keys().map(String::as_str));
            self.fault(&raw.table.span(), Fault::UnknownTable { name: raw.table.get_ref().clone(), suggestion });
        }
        let workers = self.range(raw.workers.as_ref(), 1, 1, MAX_WORKERS) as u32;
        let key = raw.key.as_ref().map(|key| self.list(key));
        let max_dead_letters_in_a_row = self.in_a_row(raw.max_dead_letters_in_a_row.as_ref());
        let (from, table) = (raw.from.into_inner(), raw.table.into_inner());
        Sink { name, from, table, key, max_dead_letters_in_a_row, workers }
    }
}
