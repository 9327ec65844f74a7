//! Dead letters: records that could not be handled, as records of the dead-letter topic.
//!
//! Key, value and headers are those of the original, byte for byte; what happened is told in headers that are put after
//! its own. [`KIND`] always comes first among them, so that everything before its last occurrence is the original's, even
//! where the original was a dead letter itself. Written by stages, sinks and feeds; read by `host dead-letters`. Values
//! are never looked into.

use std::borrow::Cow;

use bespoke_record::{Batch, BatchBuilder, Full, Header, Record};

/// Which kind of failure: see [`Kind`].
pub const KIND: &str = "bespoke.error.kind";
/// What happened, in words.
pub const REASON: &str = "bespoke.error.reason";
/// The feed, stage or sink that could not handle the record.
pub const STAGE: &str = "bespoke.error.stage";
/// The digest of the module that could not handle it.
pub const MODULE: &str = "bespoke.error.module";
/// The topic that the record came from.
pub const TOPIC: &str = "bespoke.error.topic";
/// Its partition there.
pub const PARTITION: &str = "bespoke.error.partition";
/// Its offset there.
pub const OFFSET: &str = "bespoke.error.offset";
/// Its timestamp there, in milliseconds since the epoch.
pub const TIMESTAMP: &str = "bespoke.error.timestamp";
/// The file and the line that the record came from, if it came from a feed.
pub const SOURCE: &str = "bespoke.error.source";

/// A reason is cut after this many bytes: modules write it, and it must not outgrow the record.
const MAX_REASON_BYTES: usize = 4096;

/// Why a record could not be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The module refused it by its answer.
    Rejected,
    /// The module broke on it.
    Trap,
    /// The module took too long for it.
    Timeout,
    /// The module wanted too much memory for it.
    Memory,
    /// The module's answer is not one.
    Answer,
    /// Its bytes are not what its schema says.
    Decode,
    /// Its schema is unknown, or does not fit.
    Schema,
    /// Its key cannot be made.
    Key,
    /// The line or entry of a feed is not a record.
    Feed,
    /// It cannot be a row of the table.
    Row,
    /// It is larger than the log takes.
    TooLarge,
}

/// Collects the dead letters of one feed, stage or sink into a batch for the dead-letter topic.
#[derive(Debug)]
pub struct DeadLetters<'a> {
    stage: &'a str,
    module: Option<&'a str>,
    builder: BatchBuilder,
}

/// A dead letter as its headers tell it. What is missing or not readable is empty: the letter is shown all the same.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter<'a> {
    /// The kind, as it is written.
    pub kind: Cow<'a, str>,
    /// What happened.
    pub reason: Cow<'a, str>,
    /// The feed, stage or sink.
    pub stage: Cow<'a, str>,
    /// The module's digest, if a module had to do with it.
    pub module: Option<Cow<'a, str>>,
    /// Where the record was, if it was in a topic.
    pub origin: Option<Origin<'a>>,
    /// The file and line, if it came from a feed.
    pub source: Option<Cow<'a, str>>,
    /// The headers that the original had.
    pub headers: Vec<Header<'a>>,
}

/// Where a record was before it became a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// The partition.
    pub partition: u32,
    /// The offset.
    pub offset: i64,
    /// The timestamp, in milliseconds since the epoch.
    pub timestamp_ms: i64,
}

// === impl Kind ===

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Rejected,
        Self::Trap,
        Self::Timeout,
        Self::Memory,
        Self::Answer,
        Self::Decode,
        Self::Schema,
        Self::Key,
        Self::Feed,
        Self::Row,
        Self::TooLarge,
    ];

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

// === impl DeadLetters ===

impl<'a> DeadLetters<'a> {
    /// None yet, for the feed, stage or sink of this name and the digest of its module.
    #[must_use]
    pub fn new(stage: &'a str, module: Option<&'a str>) -> Self {
        Self { stage, module, builder: BatchBuilder::new() }
    }

    /// Adds a record of a topic. Its dead letter is as old as the failure, so that retention counts from there.
    ///
    /// # Errors
    /// [`Full`], and then the letter is not added.
    pub fn push(
        &mut self,
        record: Record<'_>,
        topic: &str,
        partition: u32,
        kind: Kind,
        reason: &str,
    ) -> Result<(), Full> {
        let (partition, offset) = (partition.to_string(), record.offset().to_string());
        let timestamp = record.timestamp_ms().to_string();
        let origin = [(TOPIC, topic), (PARTITION, &*partition), (OFFSET, &*offset), (TIMESTAMP, &*timestamp)];
        self.add(record.key(), record.value(), record.headers(), kind, reason, &origin)
    }

    /// Adds what a feed read at `source` (file and line) and could not turn into a record.
    ///
    /// # Errors
    /// [`Full`], and then the letter is not added.
    pub fn push_unread(&mut self, raw: &[u8], source: &str, kind: Kind, reason: &str) -> Result<(), Full> {
        self.add(None, Some(raw), [], kind, reason, &[(SOURCE, source)])
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.builder.len()
    }

    /// Bytes of all of them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.builder.bytes()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// The batch for the dead-letter topic.
    #[must_use]
    pub fn finish(self) -> Batch {
        self.builder.finish()
    }

    fn add<'h>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>>,
        kind: Kind,
        reason: &'h str,
        place: &[(&'static str, &'h str)],
    ) -> Result<(), Full>
    where
        'a: 'h,
    {
        let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
        let what = [(KIND, kind.name()), (REASON, reason), (STAGE, self.stage)];
        let own = what.iter().copied().chain(self.module.map(|digest| (MODULE, digest))).chain(place.iter().copied());
        let own = own.map(|(name, text)| (name, Some(text.as_bytes())));
        self.builder.push(key, value, headers.into_iter().chain(own), jiff::Timestamp::now().as_millisecond())
    }
}

// === impl DeadLetter ===

impl<'a> DeadLetter<'a> {
    /// Reads the headers of a record. None if it is not a dead letter.
    #[must_use]
    pub fn of(record: Record<'a>) -> Option<Self> {
        let mut headers: Vec<Header<'a>> = record.headers().collect();
        let first = headers.iter().rposition(|(name, _)| *name == KIND)?;
        let own = headers.split_off(first);
        let find = |wanted: &str| {
            let (_, value) = own.iter().find(|(name, _)| *name == wanted)?;
            value.map(String::from_utf8_lossy)
        };
        let number = |wanted: &str| find(wanted)?.parse::<i64>().ok();
        let origin = find(TOPIC).and_then(|topic| {
            let partition = u32::try_from(number(PARTITION)?).ok()?;
            Some(Origin { topic, partition, offset: number(OFFSET)?, timestamp_ms: number(TIMESTAMP)? })
        });
        Some(Self {
            kind: find(KIND).unwrap_or_default(),
            reason: find(REASON).unwrap_or_default(),
            stage: find(STAGE).unwrap_or_default(),
            module: find(MODULE),
            origin,
            source: find(SOURCE),
            headers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn original() -> Batch {
        let mut builder = BatchBuilder::new();
        builder.push(Some(b"k"), Some(&[0, 255, 1]), [("trace", Some(&b"7"[..])), ("gone", None)], 42).expect("room");
        builder.finish()
    }

    #[test]
    fn the_original_is_kept_byte_for_byte_and_what_happened_is_told() {
        let batch = original();
        let mut letters = DeadLetters::new("processor", Some("sha256:ab"));
        letters.push(batch.get(0), "in", 3, Kind::Rejected, "price is 0").expect("room");
        let letters = letters.finish();
        let record = letters.get(0);
        assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), Some(&[0, 255, 1][..])));
        let letter = DeadLetter::of(record).expect("a dead letter");
        assert_eq!(letter.headers, [("trace", Some(&b"7"[..])), ("gone", None)]);
        assert_eq!((&*letter.kind, &*letter.reason, &*letter.stage), ("rejected", "price is 0", "processor"));
        assert_eq!(letter.module.as_deref(), Some("sha256:ab"));
        assert_eq!(letter.origin, Some(Origin { topic: "in".into(), partition: 3, offset: 0, timestamp_ms: 42 }));
        assert_eq!(letter.source, None);
    }

    #[test]
    fn a_dead_letter_of_a_dead_letter_keeps_the_headers_of_both() {
        let mut first = DeadLetters::new("a", None);
        first.push(original().get(0), "in", 0, Kind::Decode, "one").expect("room");
        let first = first.finish();
        let mut second = DeadLetters::new("b", None);
        second.push(first.get(0), "dead", 0, Kind::Trap, "two").expect("room");
        let second = second.finish();
        let letter = DeadLetter::of(second.get(0)).expect("a dead letter");
        assert_eq!((&*letter.reason, letter.origin.map(|o| o.topic)), ("two", Some("dead".into())));
        assert_eq!(letter.headers, first.get(0).headers().collect::<Vec<_>>());
    }

    #[test]
    fn what_a_feed_could_not_read_has_a_source_and_no_origin() {
        let mut letters = DeadLetters::new("feed", None);
        letters.push_unread(b"{", "feed.jsonl:7", Kind::Feed, "not JSON").expect("room");
        let letters = letters.finish();
        let letter = DeadLetter::of(letters.get(0)).expect("a dead letter");
        assert_eq!((letter.source.as_deref(), letter.origin), (Some("feed.jsonl:7"), None));
        assert_eq!(letters.get(0).value(), Some(&b"{"[..]));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let mut letters = DeadLetters::new("s", None);
        letters.push_unread(b"", "f:1", Kind::Feed, &"ä".repeat(MAX_REASON_BYTES)).expect("room");
        letters.push_unread(b"", "f:2", Kind::Feed, &format!("x{}", "ä".repeat(MAX_REASON_BYTES))).expect("room");
        let letters = letters.finish();
        let reasons: Vec<_> = letters.iter().filter_map(DeadLetter::of).map(|l| l.reason.into_owned()).collect();
        assert_eq!(reasons[0], "ä".repeat(MAX_REASON_BYTES / 2));
        assert_eq!(reasons[1], format!("x{}", "ä".repeat(MAX_REASON_BYTES / 2 - 1)));
    }

    #[test]
    fn headers_that_were_tampered_with_do_not_hide_the_letter() {
        let mut builder = BatchBuilder::new();
        builder
            .push(None, None, [(KIND, Some(&[0xff][..])), (TOPIC, Some(&b"t"[..])), (PARTITION, Some(&b"-1"[..]))], 0)
            .expect("room");
        builder.push(None, None, [("other", None)], 0).expect("room");
        let batch = builder.finish();
        let letter = DeadLetter::of(batch.get(0)).expect("a dead letter");
        assert_eq!((&*letter.kind, letter.origin), ("\u{fffd}", None));
        assert_eq!(DeadLetter::of(batch.get(1)), None);
    }

    #[test]
    fn names_of_kinds_differ() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
