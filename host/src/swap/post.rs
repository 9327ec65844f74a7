//! A worker's end of its stage's [`Director`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::director::Director;
use super::{Cause, Differences, Entry, Side, Tally};
use crate::stage::Version;

/// A worker's place. What is told is acted on between two steps.
pub struct Post {
    director: Arc<Director>,
    worker: u64,
    seen: u64,
    seen_urgent: u64,
}

/// What a worker is to have.
pub struct Orders {
    /// The version that it is to run.
    pub live: Arc<Version>,
    /// What led to that.
    pub cause: Cause,
    /// The digest of the one before it.
    pub from: Option<String>,
    /// The version that is on trial.
    pub trial: Option<Arc<Version>>,
    /// The version that comes back if the live one goes wrong, or is about to: records that break the live one wait for it.
    pub before: Option<Arc<Version>>,
    /// Whether what is on trial is the version before: records wait until it is back.
    pub returns: bool,
    /// Whether what is on trial is so without an end: what goes wrong with it is counted, and it goes on.
    pub is_shadow: bool,
    /// Whether the last committed state is asked for.
    pub asks_state: bool,
    /// What this worker is to write down.
    pub notes: Vec<Entry>,
}

// === impl Post ===

impl Post {
    pub(super) fn new(director: Arc<Director>, worker: u64) -> Self {
        let seen = director.news.load(Ordering::Relaxed).wrapping_sub(1);
        let seen_urgent = director.urgent.load(Ordering::Relaxed);
        Self { director, worker, seen, seen_urgent }
    }

    /// Whether there are orders that were not seen.
    #[inline]
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.director.news.load(Ordering::Relaxed) != self.seen
    }

    /// Whether some of them are worth a commit before its time.
    #[must_use]
    pub fn is_urged(&self) -> bool {
        self.director.urgent.load(Ordering::Relaxed) != self.seen_urgent
    }

    /// The orders.
    #[must_use]
    pub fn orders(&mut self) -> Orders {
        // Before they are read: what is announced meanwhile is news again.
        self.seen_urgent = self.director.urgent.load(Ordering::Relaxed);
        self.seen = self.director.news.load(Ordering::Relaxed);
        self.director.orders(self.worker)
    }

    /// Batches after which a trial may be over.
    #[must_use]
    pub fn trial_batches(&self) -> u64 {
        self.director.terms().trial_batches.max(1)
    }

    /// The candidate has all that it needs here.
    pub fn joined(&self, number: u64) {
        self.director.joined(self.worker, number);
    }

    /// What both versions did since the last report: with the same batches at the same time, and with those that the candidate
    /// had missed at first.
    pub fn report(&self, number: u64, tally: &Tally, missed: &Tally, differences: Differences) {
        self.director.report(number, tally, missed, differences);
    }

    /// A version broke here. False if it is live and there is no other one to go on with.
    #[must_use]
    pub fn fails(&self, number: u64, why: &str) -> bool {
        self.director.fails(number, why)
    }

    /// This worker runs a version from now on.
    pub fn switched(&self, number: u64) {
        self.director.switched(self.worker, number);
    }

    /// What the live version did since the last report, while it is guarded.
    pub fn guard(&self, number: u64, side: &Side) {
        self.director.guard(number, side);
    }

    /// Answers [`Orders::asks_state`].
    pub fn tell_state(&self, state: Option<Bytes>) {
        self.director.tell_state(self.worker, state);
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.director.discharge(self.worker);
    }
}
