//! The time that modules see.
//!
//! It is coarse: exact enough to take times, and too coarse to learn from what others on the machine are doing ([`Coarse`]).
//!
//! Under test it is virtual, and so is chance: what WASI's clocks and random numbers tell a module is the same on every run
//! ([`VirtualTime`]). The wall clock stands still until it is told to go on, or a module sleeps; then it goes on by as much, and the module
//! does not wait. The monotonic clock also ticks by a little at every look, so that who waits for it to go on does not wait
//! for ever. Time limits go by the machine's own clock.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rand::TryRng;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

use crate::random::Random;

/// What clocks are rounded down to.
const GRAIN_NS: u64 = 100_000;

/// How far the monotonic clock goes on at each look.
const LOOK_NS: u64 = 1_000;

/// The machine's clocks, rounded.
pub(super) struct Coarse {
    since: Instant,
}

/// The time of all instances of the modules of one sandbox. Clones are the same time.
#[derive(Clone, Default)]
pub struct VirtualTime(Arc<Mutex<Now>>);

#[derive(Default)]
struct Now {
    /// Since the epoch.
    wall: Duration,
    /// Since the beginning, without the looks.
    passed_ns: u64,
    looks: u64,
    seed: u64,
    /// How many instances were made: each has random numbers of its own.
    instances: u64,
}

/// The random numbers of one instance.
struct Chance(Random);

// === impl Coarse ===

impl Coarse {
    /// Gives a new instance this time.
    pub(super) fn enter(wasi: &mut WasiCtxBuilder) {
        let now = || Self { since: Instant::now() };
        wasi.wall_clock(now()).monotonic_clock(now());
    }
}

impl HostWallClock for Coarse {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(GRAIN_NS)
    }

    fn now(&self) -> Duration {
        // WASI has no time before the epoch.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_nanos(u64::from(now.subsec_nanos()) % GRAIN_NS))
    }
}

impl HostMonotonicClock for Coarse {
    fn resolution(&self) -> u64 {
        GRAIN_NS
    }

    fn now(&self) -> u64 {
        let passed = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        passed - passed % GRAIN_NS
    }
}

// === impl VirtualTime ===

impl VirtualTime {
    /// Begins anew, at so many milliseconds since the epoch.
    pub fn begin(&self, at_ms: i64, seed: u64) {
        *self.lock() = Now { wall: since_epoch(at_ms), seed, ..Now::default() };
    }

    /// It is as late as this, in milliseconds since the epoch, unless it is later already.
    pub fn reach(&self, at_ms: i64) {
        let ahead = since_epoch(at_ms).saturating_sub(self.lock().wall);
        self.pass(u64::try_from(ahead.as_nanos()).unwrap_or(u64::MAX));
    }

    /// So much later.
    pub(super) fn pass(&self, nanoseconds: u64) {
        let mut now = self.lock();
        now.wall = now.wall.saturating_add(Duration::from_nanos(nanoseconds));
        now.passed_ns = now.passed_ns.saturating_add(nanoseconds);
    }

    /// Gives a new instance this time, and random numbers.
    pub(super) fn enter(&self, wasi: &mut WasiCtxBuilder) {
        let (seed, instance) = {
            let mut now = self.lock();
            now.instances += 1;
            (now.seed, now.instances)
        };
        let mut chance = Random::at(seed, instance);
        wasi.wall_clock(self.clone()).monotonic_clock(self.clone());
        wasi.insecure_random_seed(u128::from(chance.bits()) << 64 | u128::from(chance.bits()));
        wasi.secure_random(Chance(Random::at(chance.bits(), 0))).insecure_random(Chance(chance));
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        // Every change is complete in itself.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// WASI has no time before the epoch.
fn since_epoch(at_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(at_ms).unwrap_or(0))
}

impl HostWallClock for VirtualTime {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(1)
    }

    fn now(&self) -> Duration {
        self.lock().wall
    }
}

impl HostMonotonicClock for VirtualTime {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let mut now = self.lock();
        now.looks += 1;
        now.passed_ns.saturating_add(now.looks.saturating_mul(LOOK_NS))
    }
}

// === impl Chance ===

impl TryRng for Chance {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.bits() as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.bits())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(size_of::<u64>()) {
            chunk.copy_from_slice(&self.0.bits().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_when_it_is_told_to_and_never_back() {
        let time = VirtualTime::default();
        time.begin(1_000, 1);
        assert_eq!(HostWallClock::now(&time), Duration::from_secs(1));
        time.reach(5_000);
        time.reach(2_000);
        time.pass(1_000_000);
        assert_eq!(HostWallClock::now(&time), Duration::from_millis(5_001));
        let (first, second) = (HostMonotonicClock::now(&time), HostMonotonicClock::now(&time));
        assert!(first >= 4_001_000_000 && second > first && second < 4_002_000_000, "{first} {second}");
        time.begin(-1, 1);
        assert_eq!(HostWallClock::now(&time), Duration::ZERO);
        assert!(HostMonotonicClock::now(&time) < first);
    }

    #[test]
    fn bytes_are_as_many_as_were_asked_for_and_the_same_again() {
        let bytes = |seed: u64, length: usize| {
            let mut bytes = vec![0; length];
            Chance(Random::at(seed, 0)).try_fill_bytes(&mut bytes).expect("it never fails");
            bytes
        };
        assert_eq!(bytes(1, 13), bytes(1, 13));
        assert_eq!(bytes(1, 13), bytes(1, 16)[..13]);
        assert_ne!(bytes(1, 16), bytes(2, 16));
    }
}
