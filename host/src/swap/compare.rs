//! Comparing what two versions answer to the same records.
//!
//! Answers are compared as bytes. Only where those differ are they walked, field by field, and only for an example are
//! they decoded. Used by `stage::candidate` for every trial, and by [`super::offline`] for records that lie in a topic.

use std::cmp::Ordering;
use std::collections::{HashMap, VecDeque};

use bespoke_boundary::resolve::Skip;
use bespoke_boundary::{Cursor, Exchange, Function, Verdict};
use bespoke_record::{Batch, Span};
use serde_json::Value;

use super::differences::{Differences, Example, Output};
use crate::format::json::{JsonStyle, write_json};
use crate::stage::{Destination, Stage, Version};

/// A value of an example that is longer as JSON is cut.
const MAX_VALUE_BYTES: usize = 1024;

/// How answers of a stage are compared.
pub struct Comparer {
    outputs: Vec<Fields>,
    key: Vec<u8>,
}

/// The fields of one output.
struct Fields {
    names: Vec<String>,
    skips: Vec<Skip>,
    prefix: usize,
}

/// The records that were called with.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// Its partition.
    pub partition: u32,
}

/// A version and what it answered.
#[derive(Clone, Copy)]
pub struct Answered<'a> {
    /// The version.
    pub version: &'a Version,
    /// Its call.
    pub exchange: &'a Exchange,
}

/// What became of a record of `process`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate<'a> {
    Answered(&'a [u8]),
    Dropped,
    Rejected(&'a [u8]),
    Unread,
}

/// How many answers to one topic were so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    same: u64,
    different: u64,
    missing: u64,
    more: u64,
    moved: u64,
}

// === impl Comparer ===

impl Comparer {
    /// For the outputs of a stage.
    #[must_use]
    pub fn new(stage: &Stage) -> Self {
        let fields = |to: &Destination| {
            let fields = to.schema.record().map(|record| record.fields.as_slice()).unwrap_or_default();
            Fields {
                names: fields.iter().map(|field| field.name.clone()).collect(),
                skips: fields.iter().map(|field| Skip::compile(&to.schema, field.ty)).collect(),
                prefix: to.frame.prefix().len(),
            }
        };
        Self { outputs: stage.outputs.iter().map(fields).collect(), key: Vec::new() }
    }

    /// Compares what two versions answered to the same records. How many answers differ.
    pub fn compare(
        &mut self,
        stage: &Stage,
        given: Given<'_>,
        live: Answered<'_>,
        candidate: Answered<'_>,
        into: &mut Differences,
    ) -> u64 {
        match live.version.function() {
            Function::Process => self.records(stage, given, live, candidate, into),
            Function::Analyze => (0..stage.outputs.len())
                .map(|at| self.rows(&stage.outputs[at], at, given, [rows(live, at), rows(candidate, at)], into))
                .sum(),
        }
    }

    /// `process`: each record has an answer of both.
    fn records(
        &mut self,
        stage: &Stage,
        given: Given<'_>,
        live: Answered<'_>,
        candidate: Answered<'_>,
        into: &mut Differences,
    ) -> u64 {
        let Some(at) = live.version.outputs.first().copied() else { return 0 };
        let (to, mut counts) = (&stage.outputs[at], Counts::default());
        let mut others = 0;
        let (mut a, mut b) = (fates(live).peekable(), fates(candidate).peekable());
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => break,
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
            };
            let left = if order.is_le() { a.next() } else { None };
            let right = if order.is_ge() { b.next() } else { None };
            let Some(index) = left.or(right).map(|(index, _)| index) else { break };
            let [left, right] = [left, right].map(|fate| fate.map_or(Fate::Unread, |(_, fate)| fate));
            match (left, right) {
                (Fate::Answered(left), Fate::Answered(right)) if left == right => counts.same += 1,
                (Fate::Answered(left), Fate::Answered(right)) => {
                    counts.different += 1;
                    let offset = given.batch.entries()[index].offset;
                    self.different(to, at, (given.partition, offset), left, right, into);
                }
                (left, right) if left.name() == right.name() => {}
                (left, right) => {
                    others += 1;
                    let (partition, offset) = (given.partition, given.batch.entries()[index].offset);
                    let prefix = self.outputs[at].prefix;
                    into.verdict(format!("{} -> {}", left.name(), right.name()), |what| {
                        let (live, candidate) = (left.shown(to, prefix), right.shown(to, prefix));
                        Example { partition, offset, topic: to.topic.clone(), what, live, candidate }
                    });
                }
            }
        }
        counts.add_to(into.output(&to.topic));
        counts.different + others
    }

    /// `analyze`: rows are the same if there are equal ones, and else belong together by their key, or by their order where
    /// they have none.
    fn rows(
        &mut self,
        to: &Destination,
        at: usize,
        given: Given<'_>,
        [live, candidate]: [Vec<&[u8]>; 2],
        into: &mut Differences,
    ) -> u64 {
        let mut counts = Counts::default();
        if live == candidate {
            counts.same = live.len() as u64;
            counts.add_to(into.output(&to.topic));
            return 0;
        }
        let offset = given.batch.entries().first().map_or(0, |entry| entry.offset);
        let place = (given.partition, offset);
        let mut equal: HashMap<&[u8], u64> = HashMap::new();
        live.iter().for_each(|row| *equal.entry(row).or_default() += 1);
        let all = live.len();
        let mut left_over = Vec::new();
        for row in candidate {
            match equal.get_mut(row) {
                Some(count) if *count > 0 => *count -= 1,
                _ => left_over.push(row),
            }
        }
        // Of equal rows the last ones are left.
        let mut left: Vec<&[u8]> = live
            .into_iter()
            .rev()
            .filter(|row| match equal.get_mut(row) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            })
            .collect();
        left.reverse();
        counts.same = (all - left.len()) as u64;
        counts.moved = u64::from(left.is_empty() && left_over.is_empty());
        let mut waiting: HashMap<Vec<u8>, VecDeque<&[u8]>> = HashMap::new();
        for row in left_over {
            waiting.entry(self.key_of(to, at, row)).or_default().push_back(row);
        }
        for row in left {
            let key = self.key_of(to, at, row);
            match waiting.get_mut(&key).and_then(VecDeque::pop_front) {
                Some(other) => {
                    counts.different += 1;
                    self.different(to, at, place, row, other, into);
                }
                None => {
                    counts.missing += 1;
                    self.alone(to, at, place, [Some(row), None], into);
                }
            }
        }
        for row in waiting.into_values().flatten() {
            counts.more += 1;
            self.alone(to, at, place, [None, Some(row)], into);
        }
        counts.add_to(into.output(&to.topic));
        counts.different + counts.missing + counts.more + counts.moved
    }

    /// What rows have in common that belong together.
    fn key_of(&mut self, to: &Destination, at: usize, row: &[u8]) -> Vec<u8> {
        self.key.clear();
        if let Some(plan) = &to.key {
            // What has no key belongs to what has none either.
            let _ = plan.write(row.get(self.outputs[at].prefix..).unwrap_or_default(), &mut self.key);
        }
        self.key.clone()
    }

    fn alone(
        &self,
        to: &Destination,
        at: usize,
        (partition, offset): (u32, i64),
        rows: [Option<&[u8]>; 2],
        into: &mut Differences,
    ) {
        let what = if rows[0].is_some() { "missing" } else { "more" };
        if into.wants(what) {
            let prefix = self.outputs[at].prefix;
            let [live, candidate] = rows.map(|row| row.map(|row| shown(to, prefix, row)));
            let (topic, what) = (to.topic.clone(), what.to_owned());
            into.examples.push(Example { partition, offset, topic, what, live, candidate });
        }
    }

    /// Counts the fields in which two answers differ.
    fn different(
        &self,
        to: &Destination,
        at: usize,
        (partition, offset): (u32, i64),
        live: &[u8],
        candidate: &[u8],
        into: &mut Differences,
    ) {
        let plan = &self.outputs[at];
        let fields = plan.differing(live, candidate);
        let output = into.output(&to.topic);
        for field in &fields {
            match output.fields.get_mut(*field) {
                Some(count) => *count += 1,
                None => drop(output.fields.insert((*field).to_owned(), 1)),
            }
        }
        let what = fields.join(", ");
        if into.wants(&what) {
            let [live, candidate] = [live, candidate].map(|row| Some(shown(to, plan.prefix, row)));
            into.examples.push(Example { partition, offset, topic: to.topic.clone(), what, live, candidate });
        }
    }
}

/// The rows of an output of the stage.
fn rows<'a>(answered: Answered<'a>, at: usize) -> Vec<&'a [u8]> {
    let answers = answered.exchange.answers();
    let place = answered.version.outputs.iter().position(|to| *to == at);
    let rows: &[Span] = place.and_then(|place| answers.outputs.get(place)).map(Vec::as_slice).unwrap_or_default();
    rows.iter().map(|row| row.of(&answers.arena)).collect()
}

/// What became of each record, by its index in the batch.
fn fates<'a>(answered: Answered<'a>) -> impl Iterator<Item = (usize, Fate<'a>)> {
    let answers = answered.exchange.answers();
    let fate = |verdict: &Verdict| match verdict {
        Verdict::Value(value) => Fate::Answered(value.of(&answers.arena)),
        Verdict::Dropped => Fate::Dropped,
        Verdict::Rejected(reason) => Fate::Rejected(reason.of(&answers.arena)),
    };
    answered.exchange.indices().zip(answers.verdicts.iter().map(fate))
}

/// A value as JSON, unless it is long.
fn shown(to: &Destination, prefix: usize, value: &[u8]) -> Value {
    let mut json = Vec::new();
    let datum = value.get(prefix..).unwrap_or_default();
    if let Err(error) = write_json(&to.schema, datum, JsonStyle::Plain, &mut json) {
        return Value::from(format!("not a value of the topic's schema: {error}"));
    }
    if json.len() > MAX_VALUE_BYTES {
        return Value::from(cut(&String::from_utf8_lossy(&json)));
    }
    serde_json::from_slice(&json).unwrap_or_default()
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_VALUE_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_VALUE_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

// === impl Fate ===

impl Fate<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Answered(_) => "answered",
            Self::Dropped => "dropped",
            Self::Rejected(_) => "rejected",
            Self::Unread => "not read",
        }
    }

    fn shown(&self, to: &Destination, prefix: usize) -> Option<Value> {
        match self {
            Self::Answered(value) => Some(shown(to, prefix, value)),
            Self::Rejected(reason) => Some(Value::from(cut(&String::from_utf8_lossy(reason)))),
            Self::Dropped | Self::Unread => None,
        }
    }
}

// === impl Fields ===

impl Fields {
    /// The fields in which two values differ. All of them, if they are no records or cannot be walked.
    fn differing(&self, live: &[u8], candidate: &[u8]) -> Vec<&str> {
        let [mut a, mut b] = [live, candidate].map(|value| Cursor::new(value.get(self.prefix..).unwrap_or_default()));
        let mut found = Vec::new();
        for (name, skip) in self.names.iter().zip(&self.skips) {
            let (from_a, from_b) = (a.at(), b.at());
            if skip.run(&mut a).is_err() || skip.run(&mut b).is_err() {
                return vec!["value"];
            }
            if a.since(from_a) != b.since(from_b) {
                found.push(name.as_str());
            }
        }
        if found.is_empty() { vec!["value"] } else { found }
    }
}

// === impl Counts ===

impl Counts {
    fn add_to(self, output: &mut Output) {
        output.same += self.same;
        output.different += self.different;
        output.missing += self.missing;
        output.more += self.more;
        output.moved += self.moved;
    }
}
