//! The keys of `[[stage]]` that say how its module is swapped.

use std::time::Duration;

use super::raw;
use super::validate::Check;
use crate::swap::{Budget, Terms};

/// Who tries a module for longer wants a shadow.
const MAX_TRIAL_BATCHES: i64 = 1_000_000;
const MAX_TRIAL_TIME_MS: i64 = 3_600_000;
/// A day.
const MAX_GUARD_TIME_MS: i64 = 86_400_000;
/// A version that may take as much longer has no limit.
const MAX_TIME_FACTOR: f64 = 1_000_000.0;

/// Checks them.
pub(super) fn terms(raw: &raw::Stage, check: &mut Check<'_, '_>) -> Terms {
    let default = Terms::default();
    let millis = |time: Duration| time.as_millis() as i64;
    let trial_batches = check.range(raw.trial_batches.as_ref(), default.trial_batches as i64, 0, MAX_TRIAL_BATCHES);
    let trial_ms = check.range(raw.trial_time_ms.as_ref(), millis(default.trial_time), 1, MAX_TRIAL_TIME_MS);
    let guard_ms = check.range(raw.guard_time_ms.as_ref(), millis(default.guard_time), 0, MAX_GUARD_TIME_MS);
    let budget = &raw.budget;
    Terms {
        watch: raw.watch.0,
        trial_batches: trial_batches.unsigned_abs(),
        trial_time: Duration::from_millis(trial_ms.unsigned_abs()),
        guard_time: Duration::from_millis(guard_ms.unsigned_abs()),
        budget: Budget {
            error_share: check.number(budget.error_share.as_ref(), default.budget.error_share, 0.0, 1.0),
            time_factor: check.number(budget.time_factor.as_ref(), default.budget.time_factor, 1.0, MAX_TIME_FACTOR),
        },
    }
}
