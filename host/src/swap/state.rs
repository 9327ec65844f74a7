//! What a [`super::Director`] knows, and how it tells of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::{Cause, Differences, Entry, Side, Tally, Trial};
use crate::stage::Version;

/// Where a stage is with its versions, for people.
#[derive(Clone, Debug)]
pub struct Status {
    /// The live version.
    pub live: Arc<Version>,
    /// What goes on.
    pub phase: Phase,
    /// How many workers there are.
    pub workers: usize,
    /// How many of them have the live version already.
    pub switched: usize,
}

/// What goes on.
#[derive(Clone, Debug)]
pub enum Phase {
    /// Nothing.
    Steady,
    /// A candidate is on trial.
    Trial {
        /// The candidate.
        candidate: Arc<Version>,
        /// What led to it.
        cause: Cause,
        /// How it may come to be live.
        trial: Trial,
        /// What both did so far.
        tally: Tally,
        /// How what they answered differs.
        differences: Differences,
        /// How many workers have it.
        joined: usize,
    },
    /// The version before may come back.
    Guard {
        /// That version.
        before: Arc<Version>,
        /// What the live one did since.
        live: Side,
    },
}

pub(super) struct Inner {
    pub live: Arc<Version>,
    /// What led to the live version, and the digest of the one before it.
    pub cause: Cause,
    pub from: Option<String>,
    pub state: State,
    /// By worker the number of the version that it has.
    pub workers: BTreeMap<u64, u64>,
    pub next_worker: u64,
    pub next_version: u64,
    /// What is to be written down, by whichever worker comes first.
    pub notes: Vec<Entry>,
    /// What came while a swap back was under way.
    pub waiting: Option<(Arc<Version>, Cause, Trial)>,
    /// A shadow that rests while another version is on trial, or the live one is guarded.
    pub resting: Option<Arc<Version>>,
    /// How many ask for a state, who has answered, and the state.
    pub asks: u32,
    pub answered: BTreeSet<u64>,
    pub sample: Option<Bytes>,
}

pub(super) enum State {
    Steady,
    Trial(OnTrial),
    Guard(OnGuard),
}

pub(super) struct OnTrial {
    pub candidate: Arc<Version>,
    pub cause: Cause,
    pub trial: Trial,
    pub tally: Tally,
    /// What both did with batches that the candidate had missed at first, which are not compared.
    pub missed: Box<Tally>,
    pub differences: Differences,
    pub joined: BTreeSet<u64>,
    /// Since all workers have joined.
    pub since: Option<Instant>,
}

pub(super) struct OnGuard {
    pub before: Arc<Version>,
    /// What it did when it was last looked at.
    pub baseline: Side,
    pub live: Side,
    pub until: Instant,
}

// === impl Inner ===

impl Inner {
    /// A stage that starts with a version.
    pub fn new(first: Arc<Version>) -> Self {
        Self {
            next_version: first.number + 1,
            live: first,
            cause: Cause::Start,
            from: None,
            state: State::Steady,
            workers: BTreeMap::new(),
            next_worker: 0,
            notes: Vec::new(),
            waiting: None,
            resting: None,
            asks: 0,
            answered: BTreeSet::new(),
            sample: None,
        }
    }

    /// How things are.
    pub fn status(&self) -> Status {
        let phase = match &self.state {
            State::Steady => Phase::Steady,
            State::Trial(OnTrial { candidate, cause, trial, tally, differences, joined, .. }) => Phase::Trial {
                candidate: candidate.clone(),
                cause: *cause,
                trial: *trial,
                tally: *tally,
                differences: differences.clone(),
                joined: joined.len(),
            },
            State::Guard(OnGuard { before, live, .. }) => Phase::Guard { before: before.clone(), live: *live },
        };
        let switched = self.workers.values().filter(|number| **number == self.live.number).count();
        Status { live: self.live.clone(), phase, workers: self.workers.len(), switched }
    }
}
