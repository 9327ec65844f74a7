//! What two versions did with the same batches, and when one of them does too badly.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a version may do worse than the one before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// The share of records that it may fail at, beyond that of the other.
    pub error_share: f64,
    /// How many times the other's time per record it may take.
    pub time_factor: f64,
}

/// Less time than this, and fewer calls, say nothing.
const MIN_TIME: Duration = Duration::from_millis(20);
const MIN_CALLS: u64 = 4;

/// How far apart two shares must be to differ by more than chance, in standard deviations of their difference.
const SIGMAS: f64 = 4.0;

/// Whether two versions had the same records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// They had: in a trial.
    Records,
    /// They had those of the same stream: before and after a swap.
    Stream,
}

/// What one version did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Side {
    /// Records that it was given.
    pub records: u64,
    /// Those of them that it rejected, or whose answer could not be used.
    pub errors: u64,
    /// Time in its calls; in nanoseconds where it is written down.
    #[serde(rename = "time_ns", with = "nanos")]
    pub time: Duration,
    /// Calls that were timed.
    pub calls: u64,
    /// The time per record of the fastest of them, in picoseconds. This is what is compared: any other call may have waited
    /// for a machine that does something else.
    pub fastest_ps: Option<u64>,
}

/// What two versions did with the same batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches.
    pub batches: u64,
    /// The live version.
    pub live: Side,
    /// The candidate.
    pub candidate: Side,
    /// Answers that differ: records of `process`, batches of `analyze`.
    pub different: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { error_share: 0.01, time_factor: 10.0 }
    }
}

/// A time as a number of nanoseconds.
mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}

// === impl Budget ===

impl Budget {
    /// Why one is too bad beside the other, if it is. Of different records so many more must fail that it is no chance; and
    /// where the other did nothing there is nothing to compare with.
    #[must_use]
    pub fn breach(&self, new: &Side, old: &Side, same: Same) -> Option<String> {
        if new.records == 0 || old.records == 0 {
            return None;
        }
        let (share, before) = (new.error_share(), old.error_share());
        let chance = if same == Same::Records { 0.0 } else { SIGMAS * new.deviation(old) };
        if share - before > self.error_share.max(chance) {
            return Some(format!(
                "it fails at {:.2} % of the records, and the one before it at {:.2} %",
                share * 100.0,
                before * 100.0
            ));
        }
        let (time, other) = (new.nanos_per_record()?, old.nanos_per_record()?);
        let is_told = new.time >= MIN_TIME && new.calls >= MIN_CALLS;
        (is_told && time > other * self.time_factor)
            .then(|| format!("it takes {time:.0} ns for a record at best, and the one before it {other:.0} ns"))
    }
}

// === impl Side ===

impl Side {
    /// The share of records that it failed at.
    #[must_use]
    pub fn error_share(&self) -> f64 {
        if self.records == 0 { 0.0 } else { self.errors as f64 / self.records as f64 }
    }

    /// The standard deviation of the difference of two error shares, if nothing but chance made it (the pooled test of two
    /// proportions).
    fn deviation(&self, other: &Self) -> f64 {
        let (n, m) = (self.records as f64, other.records as f64);
        let pooled = (self.errors + other.errors) as f64 / (n + m);
        (pooled * (1.0 - pooled) * (1.0 / n + 1.0 / m)).sqrt()
    }

    /// The time per record of its fastest call, if there was any.
    #[must_use]
    pub fn nanos_per_record(&self) -> Option<f64> {
        self.fastest_ps.map(|ps| ps as f64 / 1000.0)
    }

    /// Adds a call with so many records.
    pub fn call(&mut self, records: u64, time: Duration) {
        let per_record = (time.as_nanos() as u64).saturating_mul(1000).checked_div(records);
        self.add(&Self { records, errors: 0, time, calls: 1, fastest_ps: per_record });
    }

    /// Adds what came later.
    pub fn add(&mut self, more: &Self) {
        self.records += more.records;
        self.errors += more.errors;
        self.time += more.time;
        self.calls += more.calls;
        self.fastest_ps = self.fastest_ps.into_iter().chain(more.fastest_ps).min();
    }
}

// === impl Tally ===

impl Tally {
    /// Adds what came later, or from another worker.
    pub fn add(&mut self, more: &Self) {
        self.batches += more.batches;
        self.live.add(&more.live);
        self.candidate.add(&more.candidate);
        self.different += more.different;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(records: u64, errors: u64, millis: u64) -> Side {
        let mut side = Side { errors, ..Side::default() };
        (0..4).for_each(|_| side.call(records / 4, Duration::from_millis(millis) / 4));
        side.records = records;
        side
    }

    #[test]
    fn errors_count_beyond_those_of_the_other() {
        let budget = Budget { error_share: 0.01, time_factor: 10.0 };
        let breach = |new, old| budget.breach(&new, &old, Same::Records);
        assert_eq!(breach(side(1000, 105, 1), side(1000, 100, 1)), None);
        let told = breach(side(1000, 120, 1), side(1000, 100, 1)).expect("too many");
        assert!(told.contains("12.00 %") && told.contains("10.00 %"), "{told}");
        assert!(breach(side(3, 3, 1), side(3, 0, 1)).is_some());
        assert_eq!(breach(side(0, 0, 0), side(1000, 0, 1)), None);
    }

    #[test]
    fn errors_of_other_records_may_be_chance() {
        let budget = Budget { error_share: 0.01, time_factor: 10.0 };
        let breach = |new, old| budget.breach(&new, &old, Same::Stream);
        assert_eq!(breach(side(100, 4, 1), side(16, 0, 1)), None);
        assert!(breach(side(100, 100, 1), side(16, 0, 1)).is_some());
        assert!(breach(side(100_000, 4_000, 1), side(16_000, 0, 1)).is_some());
        assert_eq!(breach(side(100, 100, 1), side(0, 0, 0)), None);
    }

    #[test]
    fn time_counts_per_record_and_only_if_it_is_worth_it() {
        let budget = Budget { error_share: 0.01, time_factor: 10.0 };
        let breach = |new, old| budget.breach(&new, &old, Same::Records);
        assert_eq!(breach(side(1000, 0, 15), side(1000, 0, 1)), None, "too little to tell");
        assert_eq!(breach(side(1000, 0, 90), side(1000, 0, 10)), None);
        assert!(breach(side(1000, 0, 110), side(1000, 0, 10)).is_some());
        assert!(breach(side(100, 0, 110), side(10_000, 0, 100)).is_some());
    }

    #[test]
    fn a_call_that_waited_for_the_machine_says_nothing() {
        let budget = Budget { error_share: 0.01, time_factor: 10.0 };
        let (mut new, old) = (side(1000, 0, 10), side(1000, 0, 10));
        new.call(250, Duration::from_secs(1));
        assert_eq!(budget.breach(&new, &old, Same::Records), None);
    }
}
