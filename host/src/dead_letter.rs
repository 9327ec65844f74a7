//! Dead letters: records that could not be handled, kept as they were, with why and where.
//!
//! A dead letter is a record of its own topic: key, value, timestamp and headers of the original untouched, so that it
//! can be sent again as it is, and headers of ours behind them. Names and texts follow Kafka Connect's error headers in
//! meaning, not in spelling.

use bespoke_record::{Batch, BatchBuilder, Header, Record};

/// What all our headers begin with.
pub const PREFIX: &str = "bespoke.error.";

const REASON: &str = "bespoke.error.reason";
const KIND: &str = "bespoke.error.kind";
const BY: &str = "bespoke.error.by";
const MODULE: &str = "bespoke.error.module";
const TOPIC: &str = "bespoke.error.topic";
const PARTITION: &str = "bespoke.error.partition";
const OFFSET: &str = "bespoke.error.offset";
const SOURCE: &str = "bespoke.error.source";

/// Why a record could not be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The module said so.
    Rejected,
    /// The module broke at it.
    Trap,
    /// The module took too long with it.
    Timeout,
    /// The module wanted too much memory for it.
    Memory,
    /// What the module answered cannot be used.
    Answer,
    /// The value is not Avro of its schema.
    Decode,
    /// The value's schema is unknown, or cannot be read with the topic's.
    Schema,
    /// It has no key where it needs one.
    Key,
    /// A line or record of a feed is not one of the topic's schema.
    Feed,
    /// It has no place in the table.
    Row,
    /// What comes of it is larger than a record may be.
    TooLarge,
}

/// Collects the dead letters of a batch.
pub struct DeadLetters {
    by: String,
    module: Option<String>,
    batch: BatchBuilder,
}

/// What a dead letter tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetter {
    /// In words.
    pub reason: String,
    /// The name of the [`Kind`].
    pub kind: String,
    /// The stage, feed or sink.
    pub by: String,
    /// The digest of the module.
    pub module: Option<String>,
    /// Where the original stands: topic, partition, offset. None for what came from a feed.
    pub origin: Option<(String, u32, i64)>,
    /// Where it came from, for what came from a feed: file and line.
    pub source: Option<String>,
}

impl Kind {
    /// The word for it in headers and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Answer => "answer",
            Self::Decode => "decode",
            Self::Schema => "schema",
            Self::Key => "key",
            Self::Feed => "feed",
            Self::Row => "row",
            Self::TooLarge => "too-large",
        }
    }
}

impl DeadLetters {
    /// Of a stage, feed or sink, and the module in use.
    #[must_use]
    pub fn new(by: &str, module: Option<&str>) -> Self {
        Self { by: by.to_owned(), module: module.map(str::to_owned), batch: BatchBuilder::new() }
    }

    /// Adds a record of a topic.
    pub fn push(&mut self, record: Record<'_>, topic: &str, partition: u32, kind: Kind, reason: &str) {
        let (partition, offset) = (partition.to_string(), record.offset().to_string());
        let mut headers: Vec<Header<'_>> = record.headers().filter(|(name, _)| !name.starts_with(PREFIX)).collect();
        headers.extend([
            (REASON, Some(reason.as_bytes())),
            (KIND, Some(kind.name().as_bytes())),
            (BY, Some(self.by.as_bytes())),
            (TOPIC, Some(topic.as_bytes())),
            (PARTITION, Some(partition.as_bytes())),
            (OFFSET, Some(offset.as_bytes())),
        ]);
        headers.extend(self.module.as_ref().map(|digest| (MODULE, Some(digest.as_bytes()))));
        // A batch that is full can hold no more letters; its records fit into one before, so this does not happen.
        let _ = self.batch.push(record.key(), record.value(), headers, record.timestamp_ms());
    }

    /// Adds what came from outside and never was a record.
    pub fn push_raw(&mut self, value: &[u8], source: &str, kind: Kind, reason: &str, timestamp_ms: i64) {
        let headers = [
            (REASON, Some(reason.as_bytes())),
            (KIND, Some(kind.name().as_bytes())),
            (BY, Some(self.by.as_bytes())),
            (SOURCE, Some(source.as_bytes())),
        ];
        let _ = self.batch.push(None, Some(value), headers, timestamp_ms);
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The batch, for the topic of dead letters.
    #[must_use]
    pub fn finish(self) -> Batch {
        self.batch.finish()
    }
}

impl DeadLetter {
    /// What a record tells, if it is a dead letter.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Option<Self> {
        let mut letter = Self::default();
        let (mut topic, mut partition, mut offset) = (None, None, None);
        for (name, value) in record.headers() {
            let text = || String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            match name {
                REASON => letter.reason = text(),
                KIND => letter.kind = text(),
                BY => letter.by = text(),
                MODULE => letter.module = Some(text()),
                SOURCE => letter.source = Some(text()),
                TOPIC => topic = Some(text()),
                PARTITION => partition = text().parse().ok(),
                OFFSET => offset = text().parse().ok(),
                _ => {}
            }
        }
        if let (Some(topic), Some(partition), Some(offset)) = (topic, partition, offset) {
            letter.origin = Some((topic, partition, offset));
        }
        (!letter.kind.is_empty()).then_some(letter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_keeps_the_record_and_tells_why() {
        let mut builder = BatchBuilder::new();
        builder.push(Some(b"k"), Some(b"v"), [("trace", Some(&b"1"[..]))], 7).unwrap();
        let original = builder.finish();
        let mut letters = DeadLetters::new("analyzer", Some("abc"));
        letters.push(original.get(0), "t", 3, Kind::Trap, "panicked");
        let batch = letters.finish();
        let record = batch.get(0);
        assert_eq!((record.key(), record.value(), record.timestamp_ms()), (Some(&b"k"[..]), Some(&b"v"[..]), 7));
        assert_eq!(record.headers().next(), Some(("trace", Some(&b"1"[..]))));
        let told = DeadLetter::of(&record).unwrap();
        assert_eq!((told.kind.as_str(), told.reason.as_str(), told.by.as_str()), ("trap", "panicked", "analyzer"));
        assert_eq!(told.origin, Some(("t".to_owned(), 3, 0)));
        assert_eq!(DeadLetter::of(&original.get(0)), None);
    }

    #[test]
    fn a_letter_of_a_letter_tells_the_last_reason_once() {
        let mut first = DeadLetters::new("feed", None);
        first.push_raw(b"{", "feed.jsonl:3", Kind::Feed, "cut short", 0);
        let first = first.finish();
        let mut second = DeadLetters::new("analyzer", None);
        second.push(first.get(0), "t", 0, Kind::Decode, "not framed");
        let batch = second.finish();
        let told = DeadLetter::of(&batch.get(0)).unwrap();
        assert_eq!((told.reason.as_str(), told.source), ("not framed", None));
    }
}
