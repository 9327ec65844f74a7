//! What is written down of swaps: the topic `<pipeline>.modules`, one JSON object a record, the stage's name as its key.
//!
//! An entry of a version that has become live stands in the step from which it is so, with the offset from which it has
//! each partition: whoever sees records of that version sees the entry too. The topic has one partition and is kept for
//! ever. Written by workers, read by `host modules` and when a host starts.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use bespoke_record::{Batch, BatchBuilder, Full};
use serde::{Deserialize, Serialize};

use crate::log::{self, Log, LogError, NewTopic, Retention};

/// Records that are read at once.
const TAKE_RECORDS: usize = 1_000;
/// Reasons are cut after so many bytes: modules write some of them.
const MAX_REASON_BYTES: usize = 4096;

/// Something that happened to a module of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The stage.
    pub stage: String,
    /// What happened.
    pub event: Event,
    /// What led to it.
    pub cause: Cause,
    /// The digest of the module.
    pub module: String,
    /// The name of its file.
    pub file: String,
    /// The digest of the module that was live before, or is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Why, where there is something to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a module that was refused fits the stage and starts, but does not take the state, or fails at records.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fails: bool,
    /// By partition the offset of the input from which this module has it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fences: BTreeMap<u32, i64>,
    /// How long the worker did nothing else because of the swap, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_us: Option<u64>,
    /// The host: its machine and process.
    pub host: String,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// It has the partitions in `fences` from there on.
    Live,
    /// It did not come as far as a trial.
    Refused,
    /// Its trial did not end well, or it went wrong after its swap.
    Dropped,
    /// Its trial was ended before it was over: something else is to run.
    Withdrawn,
    /// It went wrong after its swap, and stays, because the version before it cannot come back.
    Stays,
}

/// What led to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The stage started with it, or a worker got the partition.
    Start,
    /// Its file has changed.
    File,
    /// The version after it went wrong.
    SwapBack,
    /// Somebody asked to go back to it.
    Rollback,
    /// Somebody ended its shadow.
    Promote,
    /// Somebody deployed it.
    Deploy,
    /// It runs as a shadow.
    Shadow,
}

/// What was written down, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// All of it.
    pub entries: Vec<Entry>,
}

// === impl Entry ===

impl Entry {
    /// Something that happens now, here.
    #[must_use]
    pub fn now(stage: &str, event: Event, cause: Cause, module: &str, file: &str) -> Self {
        Self {
            at_ms: now_ms(),
            stage: stage.to_owned(),
            event,
            cause,
            module: module.to_owned(),
            file: file.to_owned(),
            from: None,
            reason: None,
            fails: false,
            fences: BTreeMap::new(),
            pause_us: None,
            host: this_host(),
        }
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        let end = (0..=reason.len().min(MAX_REASON_BYTES)).rev().find(|at| reason.is_char_boundary(*at));
        self.reason = Some(reason[..end.unwrap_or(0)].to_owned());
        self
    }
}

// === impl Ledger ===

impl Ledger {
    /// The topic of a pipeline's ledger.
    #[must_use]
    pub fn topic(pipeline: &str) -> String {
        format!("{pipeline}.modules")
    }

    /// The topic as it is made.
    #[must_use]
    pub fn new_topic(topic: &str) -> NewTopic {
        NewTopic { name: topic.to_owned(), partitions: 1, retention: Retention::default() }
    }

    /// Reads all that is there. Empty if there is no such topic.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read(log: &dyn Log, topic: &str) -> Result<Self, LogError> {
        let mut entries = Vec::new();
        let Some(info) = log.topic(topic)? else { return Ok(Self::default()) };
        for partition in info.partitions {
            let offsets = partition.start..partition.end;
            for batch in log::batches(log, topic, partition.partition, offsets, TAKE_RECORDS) {
                entries.extend(Self::of(&batch?));
            }
        }
        Ok(Self { entries })
    }

    /// The entries of a batch. What is none, of a later version perhaps, is passed over.
    fn of(batch: &Batch) -> impl Iterator<Item = Entry> + '_ {
        batch.iter().filter_map(|record| match serde_json::from_slice(record.value()?) {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::debug!(offset = record.offset(), %error, "not an entry of the ledger");
                None
            }
        })
    }

    /// Entries as records.
    ///
    /// # Errors
    /// [`Full`].
    pub fn records(entries: &[Entry]) -> Result<Batch, Full> {
        let mut records = BatchBuilder::new();
        for entry in entries {
            // It has only texts and numbers, which JSON always takes.
            let value = serde_json::to_vec(entry).unwrap_or_default();
            records.push(Some(entry.stage.as_bytes()), Some(&value), [], entry.at_ms)?;
        }
        Ok(records.finish())
    }

    /// The entries of a stage, oldest first.
    pub fn of_stage<'a>(&'a self, stage: &str) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.stage == stage)
    }

    /// The module that became live last in a stage, and was not gone back from.
    #[must_use]
    pub fn live(&self, stage: &str) -> Option<&Entry> {
        let mut live = self.of_stage(stage).filter(|entry| entry.event == Event::Live).rev().peekable();
        let last = live.peek().copied();
        live.find(|entry| !self.is_gone_back_from(stage, &entry.module)).or(last)
    }

    /// Whether a stage has gone back from a module since it last became live. By the time at which that was so: a worker that
    /// is slow may write down that it has a module after another one has written that it goes back from it.
    #[must_use]
    pub fn is_gone_back_from(&self, stage: &str, module: &str) -> bool {
        let of_module = || self.of_stage(stage).filter(|entry| entry.module == module);
        let live_ms = of_module().filter(|entry| entry.event == Event::Live).map(|entry| entry.at_ms).max();
        let gone = |entry: &&Entry| entry.event == Event::Dropped && entry.cause == Cause::SwapBack;
        let last = of_module().rfind(|entry| gone(entry) || entry.event == Event::Stays);
        last.filter(gone).is_some_and(|gone| live_ms.is_none_or(|live_ms| live_ms <= gone.at_ms))
    }

    /// The module that handled the record at an offset of a partition of the stage's input: the last one that was given
    /// the partition from there or before.
    #[must_use]
    pub fn who(&self, stage: &str, partition: u32, offset: i64) -> Option<&Entry> {
        let has_it = |entry: &&Entry| entry.fences.get(&partition).is_some_and(|from| *from <= offset);
        self.of_stage(stage).filter(|entry| entry.event == Event::Live).rfind(has_it)
    }

    /// What came of a module in a stage last, if it was judged.
    #[must_use]
    pub fn verdict(&self, stage: &str, module: &str) -> Option<&Entry> {
        self.of_stage(stage).rfind(|entry| entry.module == module && entry.event != Event::Withdrawn)
    }

    /// The modules that became live last in a stage, the newest first: one of them runs, and others may come back.
    #[must_use]
    pub fn lately(&self, stage: &str, most: usize) -> Vec<&str> {
        let mut found: Vec<&str> = Vec::new();
        for entry in self.of_stage(stage).rev().filter(|entry| entry.event == Event::Live) {
            if found.len() < most && !found.contains(&entry.module.as_str()) {
                found.push(&entry.module);
            }
        }
        found
    }
}

/// Milliseconds since the epoch.
pub(super) fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64)
}

/// The name of this machine and the number of this process.
pub(super) fn this_host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = if name.trim().is_empty() { "host" } else { name.trim() };
    format!("{name}:{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(module: &str, fences: [(u32, i64); 2]) -> Entry {
        Entry { fences: fences.into(), ..Entry::now("s", Event::Live, Cause::File, module, "m.wasm") }
    }

    #[test]
    fn fences_tell_who_had_a_record() {
        let dropped = Entry::now("s", Event::Dropped, Cause::File, "c", "m.wasm").because("it trapped");
        let other = Entry { stage: "t".to_owned(), ..live("z", [(0, 0), (1, 0)]) };
        let ledger =
            Ledger { entries: vec![live("a", [(0, 0), (1, 5)]), dropped, live("b", [(0, 10), (1, 7)]), other] };
        let who = |partition, offset| ledger.who("s", partition, offset).map(|entry| entry.module.as_str());
        assert_eq!(
            [who(0, 0), who(0, 9), who(0, 10), who(1, 6), who(1, 7)],
            [Some("a"), Some("a"), Some("b"), Some("a"), Some("b")]
        );
        assert_eq!([who(1, 4), who(2, 0)], [None, None]);
        assert_eq!(ledger.live("s").unwrap().module, "b");
        assert_eq!(ledger.verdict("s", "c").unwrap().reason.as_deref(), Some("it trapped"));
        assert_eq!([ledger.lately("s", 5), ledger.lately("s", 1)], [vec!["b", "a"], vec!["b"]]);
    }

    #[test]
    fn a_trial_that_was_ended_early_is_no_verdict() {
        let entry = |event| Entry::now("s", event, Cause::File, "a", "m.wasm");
        let ledger = |events: &[Event]| Ledger { entries: events.iter().map(|event| entry(*event)).collect() };
        assert_eq!(ledger(&[Event::Withdrawn]).verdict("s", "a"), None);
        let tried_again = ledger(&[Event::Dropped, Event::Withdrawn]);
        assert_eq!(tried_again.verdict("s", "a").unwrap().event, Event::Dropped);
    }

    #[test]
    fn what_was_gone_back_from_is_not_live_however_late_a_worker_says_so() {
        let at = |at_ms, entry: Entry| Entry { at_ms, ..entry };
        let gone = || Entry::now("s", Event::Dropped, Cause::SwapBack, "b", "m.wasm").because("it traps");
        let stays = || Entry::now("s", Event::Stays, Cause::SwapBack, "b", "m.wasm").because("the state");
        let a = || at(10, live("a", [(0, 0), (1, 0)]));
        let b = |at_ms, fence| at(at_ms, live("b", fence));
        let is_live = |entries: Vec<Entry>| Ledger { entries }.live("s").unwrap().module.clone();
        assert_eq!(is_live(vec![a(), b(20, [(0, 5), (0, 5)]), at(30, gone()), b(25, [(1, 7), (1, 7)])]), "a");
        assert_eq!(is_live(vec![a(), b(20, [(0, 5), (1, 5)]), at(30, gone()), at(31, stays())]), "b");
        assert_eq!(is_live(vec![a(), b(20, [(0, 5), (1, 5)]), at(30, gone()), b(40, [(0, 9), (1, 9)])]), "b");
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        let entries =
            vec![live("a", [(0, 0), (1, 5)]), Entry::now("s", Event::Stays, Cause::SwapBack, "b", "m").because("x")];
        let batch = Ledger::records(&entries).unwrap();
        assert_eq!(Ledger::of(&batch).collect::<Vec<_>>(), entries);
        assert_eq!(batch.get(0).key(), Some(&b"s"[..]));
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = "é".repeat(MAX_REASON_BYTES);
        let entry = Entry::now("s", Event::Refused, Cause::File, "a", "m").because(&long);
        assert_eq!(entry.reason.map(|reason| reason.len()), Some(MAX_REASON_BYTES));
    }
}
