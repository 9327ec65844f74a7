//! Which topics a pipeline has: those of `[topics]`, and those that feeds and stages write without a word there.
//!
//! A topic that is only read must stand in `[topics]`: a name that nobody writes is a slip far more often than a topic of
//! another program.

use std::collections::BTreeMap;

use toml::Spanned;

use super::document::Place;
use super::error::Fault;
use super::validate::Check;
use super::{Topic, names, raw};
use crate::log::Retention;

/// More are a burden for a log and of no use to one pipeline.
const MAX_PARTITIONS: i64 = 10_000;

/// The topics as they are found.
pub(super) struct Topics {
    known: BTreeMap<String, Topic>,
    read: Vec<Spanned<String>>,
    /// A registry may know the schema of a topic that `[topics]` is silent about.
    registry: bool,
}

impl Topics {
    pub(super) fn new(raw: BTreeMap<Spanned<String>, raw::Topic>, check: &mut Check<'_, '_>, registry: bool) -> Self {
        let mut known = BTreeMap::new();
        for (name, topic) in raw {
            legal(name.get_ref(), &name.span(), check);
            let partitions = topic.partitions.map(|p| check.range(Some(&p), 1, 1, MAX_PARTITIONS) as u32);
            let retention = check.retention(topic.retention_ms.as_ref(), topic.retention_bytes.as_ref());
            let schema = topic.schema.map(Spanned::into_inner);
            known.insert(name.into_inner(), Topic { schema, partitions, retention, upstream: None });
        }
        Self { known, read: Vec::new(), registry }
    }

    /// A feed writes it.
    pub(super) fn fed(&mut self, name: &Spanned<String>, check: &mut Check<'_, '_>) {
        self.add(name, None, check);
    }

    /// Records can be made of text only by a schema.
    pub(super) fn needs_schema(&mut self, name: &Spanned<String>, check: &mut Check<'_, '_>) {
        let has = self.known.get(name.get_ref()).is_some_and(|found| found.schema.is_some());
        if !has && !self.registry {
            check.fault(&name.span(), Fault::NoSchema(name.get_ref().clone()));
        }
    }

    /// A stage writes it, from what it reads in `upstream`.
    pub(super) fn written(
        &mut self,
        name: &Spanned<String>,
        upstream: &str,
        schema: Option<&Spanned<String>>,
        check: &mut Check<'_, '_>,
    ) {
        let found = self.add(name, Some(upstream), check);
        if let Some(schema) = schema {
            let known = found.schema.get_or_insert_with(|| schema.get_ref().clone());
            if known != schema.get_ref() {
                let fault = Fault::TwoSchemas { topic: name.get_ref().clone(), known: known.clone() };
                check.fault(&schema.span(), fault);
            }
        }
    }

    /// A stage or a sink reads it.
    pub(super) fn read(&mut self, name: &Spanned<String>, check: &mut Check<'_, '_>) {
        legal(name.get_ref(), &name.span(), check);
        self.read.push(name.clone());
    }

    /// The topics with all that was left to be told by others.
    pub(super) fn finish(self, dead_letters: &str, check: &mut Check<'_, '_>) -> BTreeMap<String, Topic> {
        for name in &self.read {
            if !self.known.contains_key(name.get_ref()) && name.get_ref() != dead_letters {
                let suggestion = names::suggest(name.get_ref(), self.known.keys().map(String::as_str));
                check.fault(&name.span(), Fault::NoTopic { name: name.get_ref().clone(), suggestion });
            }
        }
        self.known
    }

    fn add(&mut self, name: &Spanned<String>, upstream: Option<&str>, check: &mut Check<'_, '_>) -> &mut Topic {
        legal(name.get_ref(), &name.span(), check);
        let new = Topic { schema: None, partitions: None, retention: Retention::default(), upstream: None };
        let found = self.known.entry(name.get_ref().clone()).or_insert(new);
        if found.upstream.is_none() {
            found.upstream = upstream.map(str::to_owned);
        }
        found
    }
}

fn legal(name: &str, place: &Place, check: &mut Check<'_, '_>) {
    if !names::is_topic(name) {
        check.fault(place, Fault::TopicName(name.to_owned()));
    }
}
