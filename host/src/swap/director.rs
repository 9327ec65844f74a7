//! Who decides about the versions of one stage: one per stage and process, shared by its workers and by whoever offers.
//!
//! The state machine is `State`; its transitions are titled. Workers act between their steps by what [`Post::orders`] of
//! theirs says, each when it comes there, and report. Orders are levels, not edges: a worker compares what it has with
//! what it should have, so that one that comes late, or has thrown its step away, does the right thing all the same.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::post::{Orders, Post};
use super::state::{Inner, OnGuard, OnTrial, State};
use super::{Cause, Differences, Entry, Event, Refusal, Same, Side, Status, Tally, Terms};
use crate::metrics::Counters;
use crate::stage::{Stage, Version};

/// Decides about the versions of a stage.
pub struct Director {
    stage: Arc<Stage>,
    terms: Terms,
    counters: Arc<Counters>,
    /// Grows with every order. Workers compare it with what they have seen.
    pub(super) news: AtomicU64,
    /// Grows with those that are worth a commit before its time.
    pub(super) urgent: AtomicU64,
    inner: Mutex<Inner>,
    /// A worker has told a state.
    pub(super) told: Condvar,
    /// Whether the module comes from the control topic.
    deployed: AtomicBool,
}

/// How a candidate comes to be live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// As the stage is told to.
    Usual,
    /// At once, as soon as every worker could give it its state.
    Short,
    /// Only by [`Director::promote`].
    Endless,
}

// === impl Director ===

impl Director {
    /// A stage that starts with a version.
    #[must_use]
    pub fn new(stage: Arc<Stage>, first: Arc<Version>, terms: Terms, counters: Arc<Counters>) -> Arc<Self> {
        let inner = Inner::new(first);
        let (news, urgent, told, deployed) = Default::default();
        Arc::new(Self { stage, terms, counters, news, urgent, inner: Mutex::new(inner), told, deployed })
    }

    /// The stage.
    #[must_use]
    pub fn stage(&self) -> &Arc<Stage> {
        &self.stage
    }

    /// How it changes its module.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The live version.
    #[must_use]
    pub fn live(&self) -> Arc<Version> {
        self.lock().live.clone()
    }

    /// How things are.
    #[must_use]
    pub fn status(&self) -> Status {
        self.lock().status()
    }

    /// From now on the control topic says what is to run, and the module's file no more.
    pub fn set_deployed(&self) {
        if !self.deployed.swap(true, Ordering::Relaxed) {
            tracing::info!(stage = self.stage.name, "the control topic says which module is to run, its file no more");
        }
    }

    /// Whether the control topic says which module is to run.
    #[must_use]
    pub fn is_deployed(&self) -> bool {
        self.deployed.load(Ordering::Relaxed)
    }

    /// A number for the next version.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        let mut inner = self.lock();
        inner.next_version += 1;
        inner.next_version - 1
    }

    /// Has a version tried, and put in the place of the live one if it does well. A shadow waits until nothing else goes
    /// on; one that is offered as more than that takes the place at once. False if it is the live one.
    pub fn offer(&self, candidate: Arc<Version>, cause: Cause, trial: Trial) -> bool {
        let mut inner = self.lock();
        if candidate.module.digest() == inner.live.module.digest() {
            return false;
        }
        let is_shadow = trial == Trial::Endless;
        match &mut inner.state {
            // ## Trial => Trial: another shadow
            State::Trial(OnTrial { trial: Trial::Endless, .. }) if is_shadow => {
                self.end_trial(&mut inner, None);
                self.begin(&mut inner, candidate, cause, trial);
            }
            State::Trial(_) | State::Guard(_) if is_shadow => inner.resting = Some(candidate),
            // The swap back comes first.
            State::Trial(OnTrial { cause: Cause::SwapBack, .. }) => inner.waiting = Some((candidate, cause, trial)),
            // The shadow knows all that it needs to.
            State::Trial(on) if on.trial == Trial::Endless && is_same(&on.candidate, &candidate) => {
                let cause = if cause == Cause::File { Cause::Promote } else { cause };
                (on.trial, on.cause) = (Trial::Short, cause);
                self.consider(&mut inner);
            }
            // ## Trial => Trial: the shadow makes room
            State::Trial(on) if on.trial == Trial::Endless => {
                inner.resting = Some(on.candidate.clone());
                inner.state = State::Steady;
                self.begin(&mut inner, candidate, cause, trial);
            }
            // ## Trial => Trial: another one takes its place
            State::Trial(_) => {
                let why = format!("another version came: {}", short(candidate.module.digest()));
                let resting = inner.resting.take();
                self.end_trial(&mut inner, Some((Event::Withdrawn, &why)));
                inner.resting = resting;
                self.begin(&mut inner, candidate, cause, trial);
            }
            // ## Steady, Guard => Trial
            State::Steady | State::Guard(_) => self.begin(&mut inner, candidate, cause, trial),
        }
        true
    }

    /// Ends the trial of a candidate that runs without an end, and puts it in the place of the live one. False if there is
    /// none.
    pub fn promote(&self) -> bool {
        let mut inner = self.lock();
        let State::Trial(OnTrial { trial: trial @ Trial::Endless, cause, .. }) = &mut inner.state else { return false };
        (*trial, *cause) = (Trial::Short, Cause::Promote);
        self.consider(&mut inner);
        true
    }

    /// Drops the candidate, if one is on trial that is no shadow.
    pub fn withdraw(&self, why: &str) {
        let mut inner = self.lock();
        inner.waiting = None;
        let is_meant = |on: &OnTrial| on.cause != Cause::SwapBack && on.trial != Trial::Endless;
        if matches!(&inner.state, State::Trial(on) if is_meant(on)) {
            self.end_trial(&mut inner, Some((Event::Withdrawn, why)));
        }
    }

    /// Drops the shadow.
    pub fn withdraw_shadow(&self, why: &str) {
        let mut inner = self.lock();
        inner.resting = None;
        if matches!(&inner.state, State::Trial(OnTrial { trial: Trial::Endless, .. })) {
            self.end_trial(&mut inner, Some((Event::Withdrawn, why)));
        }
    }

    /// Notes that a module did not come as far as a trial.
    pub fn refuse(&self, module: &str, file: &str, cause: Cause, why: &Refusal) {
        let mut inner = self.lock();
        self.counters.refused.add(1);
        let (stage, told) = (&self.stage.name, why.to_string());
        tracing::warn!(stage, file, module = short(module), why = told, "module refused, the live one goes on");
        let entry = Entry::now(stage, Event::Refused, cause, module, file).because(&told);
        self.note(&mut inner, Entry { fails: why.is_of_calls(), ..entry });
    }

    /// A worker takes its post.
    #[must_use]
    pub fn enlist(self: &Arc<Self>) -> Post {
        let mut inner = self.lock();
        let id = inner.next_worker;
        inner.next_worker += 1;
        let number = inner.live.number;
        inner.workers.insert(id, number);
        drop(inner);
        Post::new(self.clone(), id)
    }

    // === what posts tell and ask ===

    pub(super) fn discharge(&self, worker: u64) {
        let mut inner = self.lock();
        inner.workers.remove(&worker);
        inner.answered.remove(&worker);
        if let State::Trial(on) = &mut inner.state {
            on.joined.remove(&worker);
        }
        self.consider(&mut inner);
        self.told.notify_all();
    }

    pub(super) fn orders(&self, worker: u64) -> Orders {
        let mut inner = self.lock();
        self.consider(&mut inner);
        let (trial, before, returns) = match &inner.state {
            State::Steady => (None, None, false),
            State::Trial(on) => {
                let returns = on.cause == Cause::SwapBack;
                (Some(on.candidate.clone()), returns.then(|| on.candidate.clone()), returns)
            }
            State::Guard(on) => (None, Some(on.before.clone()), false),
        };
        let is_shadow = matches!(&inner.state, State::Trial(on) if on.trial == Trial::Endless);
        Orders {
            live: inner.live.clone(),
            cause: inner.cause,
            from: inner.from.clone(),
            trial,
            before,
            returns,
            is_shadow,
            asks_state: inner.asks > 0 && !inner.answered.contains(&worker),
            notes: std::mem::take(&mut inner.notes),
        }
    }

    pub(super) fn joined(&self, worker: u64, number: u64) {
        self.on_trial(number, |on| {
            on.joined.insert(worker);
        });
    }

    pub(super) fn report(&self, number: u64, tally: &Tally, missed: &Tally, differences: Differences) {
        self.on_trial(number, |on| {
            on.tally.add(tally);
            on.missed.add(missed);
            on.differences.add(differences);
        });
    }

    fn on_trial(&self, number: u64, change: impl FnOnce(&mut OnTrial)) {
        let mut inner = self.lock();
        if let State::Trial(on) = &mut inner.state
            && on.candidate.number == number
        {
            change(on);
            self.consider(&mut inner);
        }
    }

    /// A candidate broke, or could not take the state: it is dropped everywhere. One that is live by now goes back. False if
    /// there is no other version to go on with.
    pub(super) fn fails(&self, number: u64, why: &str) -> bool {
        let mut inner = self.lock();
        match &inner.state {
            State::Trial(on) if on.candidate.number == number => {
                self.end_trial(&mut inner, Some((Event::Dropped, why)));
            }
            State::Guard(_) if inner.live.number == number => self.turn_back(&mut inner, why),
            // It comes back already.
            State::Trial(on) if on.cause == Cause::SwapBack => {}
            _ => return inner.live.number != number,
        }
        true
    }

    pub(super) fn switched(&self, worker: u64, number: u64) {
        self.lock().workers.insert(worker, number);
    }

    /// What the live version did since the last report, during its guard.
    pub(super) fn guard(&self, number: u64, side: &Side) {
        let mut inner = self.lock();
        let budget = self.terms.budget;
        let is_live = inner.live.number == number;
        let State::Guard(on) = &mut inner.state else { return };
        if !is_live {
            return;
        }
        on.live.add(side);
        if let Some(why) = budget.breach(&on.live, &on.baseline, Same::Stream) {
            self.turn_back(&mut inner, &why);
        }
    }

    // === transitions ===

    /// Decides what is due by now.
    fn consider(&self, inner: &mut Inner) {
        let everybody = inner.workers.len();
        match &mut inner.state {
            State::Steady => {}
            State::Trial(on) => {
                let is_judged = on.trial == Trial::Usual;
                let worse = |tally: &Tally| {
                    let breach = || self.terms.budget.breach(&tally.candidate, &tally.live, Same::Records);
                    is_judged.then(breach).flatten()
                };
                if on.joined.len() < everybody || everybody == 0 {
                    // One that is too slow might never catch up with the stream.
                    if let Some(why) = worse(&on.missed).filter(|_| on.missed.batches >= self.terms.trial_batches) {
                        self.end_trial(inner, Some((Event::Dropped, &why)));
                    }
                    return;
                }
                let since = *on.since.get_or_insert_with(Instant::now);
                let is_over = match on.trial {
                    Trial::Endless => false,
                    Trial::Short => true,
                    Trial::Usual => {
                        on.tally.batches >= self.terms.trial_batches || since.elapsed() >= self.terms.trial_time
                    }
                };
                if !is_over {
                    return;
                }
                match worse(&on.tally) {
                    Some(why) => self.end_trial(inner, Some((Event::Dropped, &why))),
                    None => self.swap(inner),
                }
            }
            // ## Guard => Steady: nothing was wrong with it
            State::Guard(on) if on.until <= Instant::now() => {
                tracing::debug!(stage = self.stage.name, version = inner.live.number, "the guard is over");
                inner.state = State::Steady;
                self.mention();
                self.go_on(inner);
            }
            State::Guard(_) => {}
        }
    }

    fn begin(&self, inner: &mut Inner, candidate: Arc<Version>, cause: Cause, trial: Trial) {
        tracing::info!(
            stage = self.stage.name,
            module = short(candidate.module.digest()),
            version = candidate.number,
            ?cause,
            "on trial"
        );
        let (tally, missed, differences, joined, since) = Default::default();
        inner.state = State::Trial(OnTrial { candidate, cause, trial, tally, missed, differences, joined, since });
        self.announce();
    }

    /// ## Trial => Steady
    /// The candidate is dropped or withdrawn, and what waited for that is tried.
    fn end_trial(&self, inner: &mut Inner, how: Option<(Event, &str)>) {
        let State::Trial(on) = std::mem::replace(&mut inner.state, State::Steady) else { return };
        self.announce();
        if let Some((event, why)) = how {
            let (event, module, told) = match (on.cause, event) {
                (Cause::SwapBack, _) => (Event::Stays, &inner.live.module, "it cannot be swapped back, and goes on"),
                (_, Event::Withdrawn) => {
                    (event, &on.candidate.module, "withdrawn from its trial, the live one goes on")
                }
                _ => {
                    self.counters.refused.add(1);
                    (event, &on.candidate.module, "dropped from its trial, the live one goes on")
                }
            };
            tracing::warn!(stage = self.stage.name, module = short(module.digest()), why, "{told}");
            let mut entry = Entry::now(&self.stage.name, event, on.cause, module.digest(), module.name()).because(why);
            entry.from = Some(inner.live.module.digest().to_owned());
            self.note(inner, entry);
        }
        self.go_on(inner);
    }

    /// ## Steady, Guard => Trial
    /// What waited for its turn has it now. A shadow has it when nothing else goes on.
    fn go_on(&self, inner: &mut Inner) {
        let is_other = |version: &Version, live: &Version| version.module.digest() != live.module.digest();
        if let Some((version, cause, trial)) = inner.waiting.take()
            && is_other(&version, &inner.live)
        {
            self.begin(inner, version, cause, trial);
        }
        if matches!(inner.state, State::Steady)
            && let Some(version) = inner.resting.take()
            && is_other(&version, &inner.live)
        {
            self.begin(inner, version, Cause::Shadow, Trial::Endless);
        }
    }

    /// ## Trial => Guard, or Steady
    /// The candidate is live from each worker's next step on.
    fn swap(&self, inner: &mut Inner) {
        let State::Trial(on) = std::mem::replace(&mut inner.state, State::Steady) else { return };
        let before = std::mem::replace(&mut inner.live, on.candidate);
        inner.from = Some(before.module.digest().to_owned());
        inner.cause = on.cause;
        tracing::info!(
            stage = self.stage.name,
            module = short(inner.live.module.digest()),
            version = inner.live.number,
            from = short(before.module.digest()),
            cause = ?on.cause,
            batches = on.tally.batches,
            different = on.tally.different,
            "swapped"
        );
        self.counters.swaps.add(1);
        if on.cause == Cause::SwapBack {
            self.counters.swaps_back.add(1);
        } else if !self.terms.guard_time.is_zero() {
            let until = Instant::now() + self.terms.guard_time;
            let (baseline, live) = (on.tally.live, Side::default());
            inner.state = State::Guard(OnGuard { before, baseline, live, until });
        }
        self.announce();
        self.go_on(inner);
    }

    /// ## Guard => Trial
    /// The live version went wrong: the one before it takes its state, and its place.
    fn turn_back(&self, inner: &mut Inner, why: &str) {
        let State::Guard(on) = std::mem::replace(&mut inner.state, State::Steady) else { return };
        let live = inner.live.module.clone();
        tracing::warn!(stage = self.stage.name, module = short(live.digest()), why, "swapping back");
        let mut entry =
            Entry::now(&self.stage.name, Event::Dropped, Cause::SwapBack, live.digest(), live.name()).because(why);
        entry.from = Some(on.before.module.digest().to_owned());
        self.note(inner, entry);
        let number = inner.next_version;
        inner.next_version += 1;
        let before = Arc::new(Version { number, ..Version::clone(&on.before) });
        self.begin(inner, before, Cause::SwapBack, Trial::Short);
    }

    fn note(&self, inner: &mut Inner, entry: Entry) {
        if self.stage.ledger.is_some() {
            inner.notes.push(entry);
            self.mention();
        }
    }

    /// There is something that workers should do now.
    fn announce(&self) {
        self.urgent.fetch_add(1, Ordering::Relaxed);
        self.mention();
    }

    /// There is something that can wait for the commit that comes anyway.
    pub(super) fn mention(&self) {
        self.news.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_same(a: &Version, b: &Version) -> bool {
    a.module.digest() == b.module.digest()
}

/// As much of a digest as people look at.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
