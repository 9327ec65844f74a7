//! Counters of feeds, stages and sinks: plain atomics, written by workers, read by whoever shows them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it is now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What something waits for, if it does.
#[derive(Debug, Default)]
pub struct Waiting(Mutex<Option<String>>);

impl Waiting {
    /// Tells it.
    pub fn set(&self, what: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// What it is now.
    #[must_use]
    pub fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a feed, a stage or a sink has done, over all its workers.
#[derive(Debug, Default)]
pub struct Counters {
    /// Records taken from the input. Those of a step that was thrown away count again.
    pub records_in: Counter,
    /// Records or rows handed on.
    pub records_out: Counter,
    /// Records that the module dropped, or `on_error`.
    pub dropped: Counter,
    /// Records that became dead letters.
    pub dead_letters: Counter,
    /// Records that retention took before they were read; offsets may have gaps, so this is how many at most.
    pub skipped: Counter,
    /// Calls that ended in a fault.
    pub faults: Counter,
    /// Steps that happened.
    pub commits: Counter,
    /// Times that another version of the module became live.
    pub swaps: Counter,
    /// Of those, times that it was the one before, because the new one went wrong.
    pub swaps_back: Counter,
    /// Versions of the module that were refused, or dropped from their trial.
    pub refused: Counter,
    /// The trouble of the store that rows wait for.
    pub waiting: Waiting,
}
