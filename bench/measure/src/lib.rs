//! What a bench counts of its own process. Without any other part of the project, so that a program that is compared with
//! the host has nothing of it, not even its allocator.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

/// The unit of the times in `/proc/self/stat`, in Linux's interface to programs (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

/// What it took, from the first records that were seen on.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    /// How many records.
    pub records: u64,
    /// By the clock on the wall.
    pub wall: Duration,
    /// Of all threads of the process, in user and kernel mode.
    pub cpu: Duration,
    /// The most memory that the process had.
    pub peak_bytes: u64,
}

/// Begins to count with the first record.
#[derive(Debug, Default)]
pub struct Clock(Option<(u64, Instant, Duration)>);

/// What all threads of this process have used so far, in user and kernel mode, those that have ended too.
///
/// # Errors
/// Elsewhere than on Linux.
pub fn cpu_time() -> Result<Duration> {
    times_of_stat(14)
}

/// What processes that this one has waited for have used, and those that they have waited for.
///
/// # Errors
/// Elsewhere than on Linux.
pub fn children_cpu_time() -> Result<Duration> {
    times_of_stat(16)
}

/// The sum of two fields of `/proc/self/stat`, of which this is the first, as proc(5) counts them.
fn times_of_stat(field: usize) -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("CPU time is measured on Linux only")?;
    // The second field is the program's name in parentheses, which may hold spaces; the third comes after it.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let times: Vec<u64> = after.split_whitespace().skip(field - 3).take(2).filter_map(|t| t.parse().ok()).collect();
    ensure!(times.len() == 2, "/proc/self/stat is not as proc(5) has it");
    Ok(Duration::from_millis(times.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND))
}

/// The most memory that this process had so far, in bytes.
///
/// # Errors
/// Elsewhere than on Linux.
pub fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("memory is measured on Linux only")?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: u64| kib * 1024).context("/proc/self/status is not as proc(5) has it")
}

// === impl Figures ===

impl Figures {
    /// CPU time of a record, in nanoseconds.
    #[must_use]
    pub fn cpu_ns(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.records as f64
    }

    /// Records in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.records as f64 / self.wall.as_secs_f64()
    }
}

// === impl Clock ===

impl Clock {
    /// So many records were seen by now.
    ///
    /// # Errors
    /// Elsewhere than on Linux.
    pub fn saw(&mut self, records: u64) -> Result<()> {
        if self.0.is_none() && records > 0 {
            self.0 = Some((records, Instant::now(), cpu_time()?));
        }
        Ok(())
    }

    /// All of these are done.
    ///
    /// # Errors
    /// If none but the first were seen; elsewhere than on Linux.
    pub fn stop(&self, records: u64) -> Result<Figures> {
        let (first, begin, cpu) = self.0.context("no record was seen")?;
        ensure!(records > first, "too few records to measure");
        Ok(Figures {
            records: records - first,
            wall: begin.elapsed(),
            cpu: cpu_time()?.saturating_sub(cpu),
            peak_bytes: peak_memory()?,
        })
    }
}
