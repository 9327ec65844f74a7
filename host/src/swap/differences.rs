//! How the answers of two versions to the same records differ, in numbers and with the first examples.
//!
//! Made by [`super::Comparer`] and told by whoever shows it: the log of a host, `host modules status`, `host compare`.
//! Nothing here grows with the stream: counts are by field, and examples are few and short.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// So many examples are kept, and so many of each kind.
const MAX_EXAMPLES: usize = 10;
const MAX_ALIKE: usize = 2;

/// How what two versions answered differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// By topic of the output.
    pub outputs: BTreeMap<String, Output>,
    /// Records of `process` that one version answered and the other did not: by what both did, `answered -> dropped` for
    /// instance, the live one first.
    pub verdicts: BTreeMap<String, u64>,
    /// The first of each kind.
    pub examples: Vec<Example>,
}

/// How the answers to one topic differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Answers that both gave.
    pub same: u64,
    /// Answers of both to the same record, or rows with the same key, that are not the same.
    pub different: u64,
    /// Answers that only the live one gave.
    pub missing: u64,
    /// Answers that only the candidate gave.
    pub more: u64,
    /// Rows that both gave, in another order.
    pub moved: u64,
    /// By field, in how many of `different` it differs.
    pub fields: BTreeMap<String, u64>,
}

/// A difference, to look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The partition of the input.
    pub partition: u32,
    /// The offset of the record; of rows, that of the first record of their batch.
    pub offset: i64,
    /// The topic of the output.
    pub topic: String,
    /// What is different: fields, what both did, `missing` or `more`.
    pub what: String,
    /// What the live version answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<Value>,
    /// What the candidate answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Value>,
}

// === impl Differences ===

impl Differences {
    /// Whether there are none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.verdicts.is_empty() && self.outputs.values().all(Output::is_same)
    }

    /// How many there are: records and rows.
    #[must_use]
    pub fn count(&self) -> u64 {
        let outputs = self.outputs.values().map(|o| o.different + o.missing + o.more + o.moved);
        outputs.sum::<u64>() + self.verdicts.values().sum::<u64>()
    }

    /// How many answers are the same.
    #[must_use]
    pub fn same(&self) -> u64 {
        self.outputs.values().map(|output| output.same).sum()
    }

    /// Adds what came later, or from another worker.
    pub fn add(&mut self, more: Self) {
        for (topic, output) in more.outputs {
            let own = self.outputs.entry(topic).or_default();
            own.same += output.same;
            own.different += output.different;
            own.missing += output.missing;
            own.more += output.more;
            own.moved += output.moved;
            for (field, count) in output.fields {
                *own.fields.entry(field).or_default() += count;
            }
        }
        for (verdict, count) in more.verdicts {
            *self.verdicts.entry(verdict).or_default() += count;
        }
        for example in more.examples {
            if self.wants(&example.what) {
                self.examples.push(example);
            }
        }
    }

    /// The answers to a topic. Its name is copied once.
    pub(super) fn output(&mut self, topic: &str) -> &mut Output {
        if !self.outputs.contains_key(topic) {
            self.outputs.insert(topic.to_owned(), Output::default());
        }
        self.outputs.entry(topic.to_owned()).or_default()
    }

    /// In a line, for a log.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut parts = Vec::new();
        for (topic, output) in self.outputs.iter().filter(|(_, output)| !output.is_same()) {
            let counts = [
                (output.different, "differ"),
                (output.missing, "missing"),
                (output.more, "more"),
                (output.moved, "moved"),
            ];
            let counts: Vec<String> =
                counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
            let fields: Vec<String> = output.fields.iter().map(|(field, count)| format!("{field} {count}")).collect();
            let fields = if fields.is_empty() { String::new() } else { format!(" ({})", fields.join(", ")) };
            parts.push(format!("{topic}: {}{fields}", counts.join(", ")));
        }
        parts.extend(self.verdicts.iter().map(|(what, count)| format!("{what} {count}")));
        if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
    }

    /// Counts a record with which both did different things.
    pub(super) fn verdict(&mut self, what: String, example: impl FnOnce(String) -> Example) {
        if self.wants(&what) {
            self.examples.push(example(what.clone()));
        }
        *self.verdicts.entry(what).or_default() += 1;
    }

    /// Counts records of a batch at which the candidate failed as a whole, and the live version did not.
    pub(crate) fn failed(&mut self, records: u64, example: impl FnOnce(String) -> Example) {
        let what = "answered -> batch failed".to_owned();
        if self.wants(&what) {
            self.examples.push(example(what.clone()));
        }
        *self.verdicts.entry(what).or_default() += records;
    }

    /// Whether there is room for an example of this kind.
    pub(super) fn wants(&self, what: &str) -> bool {
        self.examples.len() < MAX_EXAMPLES
            && self.examples.iter().filter(|example| example.what == what).count() < MAX_ALIKE
    }
}

// === impl Output ===

impl Output {
    /// Whether all answers are the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.different + self.missing + self.more + self.moved == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(what: &str, offset: i64) -> Example {
        let (topic, what) = ("t".to_owned(), what.to_owned());
        Example { partition: 0, offset, topic, what, live: None, candidate: None }
    }

    #[test]
    fn what_comes_of_two_workers_is_added_and_told() {
        let mut one = Differences::default();
        assert!(one.is_none() && one.summary() == "none");
        let fields = [("price".to_owned(), 2)].into();
        one.outputs.insert("t".to_owned(), Output { same: 5, different: 2, fields, ..Output::default() });
        one.verdicts.insert("answered -> dropped".to_owned(), 1);
        let mut all = one.clone();
        all.add(one);
        assert_eq!(all.summary(), "t: 4 differ (price 4); answered -> dropped 2");
        assert_eq!((all.count(), all.same(), all.is_none()), (6, 10, false));
        let back: Differences = serde_json::from_str(&serde_json::to_string(&all).unwrap()).unwrap();
        assert_eq!(back, all);
    }

    #[test]
    fn examples_are_few_of_each_kind() {
        let mut all = Differences::default();
        for offset in 0..100 {
            let examples = vec![example("price", offset), example(&format!("kind {offset}"), offset)];
            all.add(Differences { examples, ..Differences::default() });
        }
        assert_eq!(all.examples.len(), MAX_EXAMPLES);
        assert_eq!(all.examples.iter().filter(|example| example.what == "price").count(), MAX_ALIKE);
    }
}
