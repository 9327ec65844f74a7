//! The benchmark of the Kafka log: the same records from one topic to another, by the host and by other means.
//!
//! It fills a topic with generated products, and then moves them by each of the [`CASES`], in turn, so that a busy minute
//! falls on all of them. Each runs in a process of its own, which tells what it took from the first record on, so that
//! neither compiling a module nor joining a group counts. The broker, which is on the same machine, does not count either,
//! but takes its share of the cores.
//!
//! ```text
//! KAFKA_BOOTSTRAP=localhost:9092 cargo run --release --package bench --bin kafka -- [RECORDS] [ROUNDS]
//! ```

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bench::{cpu_time, peak_memory};
use host::log::Log as _;
use host::log::kafka::{Guarantee, KafkaLog, Options};
use host::log::{NewTopic, Retention};
use serde::{Deserialize, Serialize};

mod bare;
mod plain;
mod through;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 4_000_000;
const ROUNDS: usize = 3;
/// Of every topic.
const PARTITIONS: u32 = 2;
/// How often positions are committed.
const SELDOM: Duration = Duration::from_secs(1);
/// The default of the host for transactions.
const OFTEN: Duration = Duration::from_millis(100);

/// Ways to move records, by the name that a process of this program is given, and what they are.
const CASES: [(&str, &str); 8] = [
    ("bare-lossy", "librdkafka alone, by the batch: without the records' times and headers; at least once"),
    ("bare", "librdkafka alone; at least once"),
    ("host", "`host`, a Rust module that changes 2 of 8 fields; at least once"),
    ("bare-exactly-once", "librdkafka alone; exactly once, a commit each second"),
    ("host-exactly-once", "`host`, the same module; exactly once, a commit each second"),
    ("bare-exactly-once-often", "librdkafka alone; exactly once, ten commits a second"),
    ("host-exactly-once-often", "`host`, the same module; exactly once, ten commits a second, as by default"),
    ("plain", "a straightforward program: a record at a time, apache-avro; at least once"),
];

/// What is to be moved, and where to.
struct Job {
    brokers: String,
    from: String,
    to: String,
    records: u64,
}

/// What it took, from the first records that were seen on.
#[derive(Serialize, Deserialize)]
struct Figures {
    records: u64,
    wall: Duration,
    /// Of all threads of the process, in user and kernel mode.
    cpu: Duration,
    peak_bytes: u64,
}

/// Begins to count with the first record.
#[derive(Default)]
struct Clock(Option<(u64, Instant, Duration)>);

fn main() -> Result<()> {
    host::allocator::keep_freed();
    let brokers = env::var("KAFKA_BOOTSTRAP").context("KAFKA_BOOTSTRAP names no broker: see bench/README.md")?;
    let typed: Vec<String> = env::args().skip(1).collect();
    match typed.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["case", case, folder, from, to, records] => {
            let job = Job { brokers, from: from.to_owned(), to: to.to_owned(), records: records.parse()? };
            let figures = run(case, &job, Path::new(folder))?;
            serde_json::to_writer(io::stdout(), &figures)?;
            Ok(())
        }
        [] => compare(brokers, RECORDS, ROUNDS),
        [records] => compare(brokers, records.parse().context("RECORDS is a number")?, ROUNDS),
        [records, rounds] => compare(
            brokers,
            records.parse().context("RECORDS is a number")?,
            rounds.parse().context("ROUNDS is a number")?,
        ),
        _ => bail!("kafka [RECORDS] [ROUNDS]"),
    }
}

fn run(case: &str, job: &Job, folder: &Path) -> Result<Figures> {
    match case {
        "fill" => through::fill(job, folder),
        "bare-lossy" => bare::at_least_once(job, bare::Kept::Bytes),
        "bare" => bare::at_least_once(job, bare::Kept::All),
        "host" => through::host(job, folder, Guarantee::AtLeastOnce, SELDOM),
        "bare-exactly-once" => bare::exactly_once(job, SELDOM),
        "host-exactly-once" => through::host(job, folder, Guarantee::ExactlyOnce, SELDOM),
        "bare-exactly-once-often" => bare::exactly_once(job, OFTEN),
        "host-exactly-once-often" => through::host(job, folder, Guarantee::ExactlyOnce, OFTEN),
        "plain" => plain::run(job),
        _ => bail!("no case `{case}`"),
    }
}

/// Runs all cases in turn, and prints a table.
fn compare(brokers: String, records: u64, rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = KafkaLog::open(Options::new(&brokers, Guarantee::AtLeastOnce))?;
    let mut taken: Vec<Vec<Figures>> = CASES.iter().map(|_| Vec::new()).collect();
    let from = format!("bench-{}", std::process::id());
    create(&log, &from)?;
    child("fill", folder.path(), &from, &from, records)?;
    for round in 0..rounds {
        for ((case, _), taken) in CASES.iter().zip(&mut taken) {
            let to = format!("{from}-{case}-{round}");
            create(&log, &to)?;
            let figures = child(case, folder.path(), &from, &to, records)?;
            writeln!(io::stderr(), "{case}: {:.0} ns/record", figures.cpu_ns())?;
            log.delete(&to)?;
            taken.push(figures);
        }
    }
    log.delete(&from)?;
    table(records, &mut taken)
}

fn table(records: u64, taken: &mut [Vec<Figures>]) -> Result<()> {
    let mut out = io::stdout().lock();
    if cfg!(debug_assertions) {
        writeln!(out, "built without --release: these figures mean nothing")?;
    }
    writeln!(out, "{records} records; medians, and the least in parentheses\n")?;
    writeln!(out, "| how | CPU ns/record | records/s | peak memory, MiB |\n|---|---:|---:|---:|")?;
    for ((_, label), taken) in CASES.iter().zip(taken) {
        taken.sort_by(|a, b| a.cpu_ns().total_cmp(&b.cpu_ns()));
        let (Some(least), Some(median)) = (taken.first(), taken.get(taken.len() / 2)) else { continue };
        let (least, cpu, memory) = (least.cpu_ns(), median.cpu_ns(), median.peak_bytes >> 20);
        taken.sort_by(|a, b| a.per_second().total_cmp(&b.per_second()));
        let rate = taken[taken.len() / 2].per_second();
        writeln!(out, "| {label} | {cpu:.0} ({least:.0}) | {rate:.0} | {memory} |")?;
    }
    Ok(())
}

fn create(log: &KafkaLog, name: &str) -> Result<()> {
    let topic = NewTopic { name: name.to_owned(), partitions: PARTITIONS, retention: Retention::default() };
    log.create_topic(&topic)?;
    Ok(())
}

/// Runs a case in a process of its own.
fn child(case: &str, folder: &Path, from: &str, to: &str, records: u64) -> Result<Figures> {
    let output = Command::new(env::current_exe()?)
        .args(["case", case])
        .arg(folder)
        .args([from, to, &records.to_string()])
        .stderr(std::process::Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{case}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{case} told nothing"))
}

// === impl Figures ===

impl Figures {
    fn cpu_ns(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.records as f64
    }

    fn per_second(&self) -> f64 {
        self.records as f64 / self.wall.as_secs_f64()
    }
}

// === impl Clock ===

impl Clock {
    /// So many records were seen by now.
    fn saw(&mut self, records: u64) -> Result<()> {
        if self.0.is_none() && records > 0 {
            self.0 = Some((records, Instant::now(), cpu_time()?));
        }
        Ok(())
    }

    /// All of these are done.
    fn stop(&self, records: u64) -> Result<Figures> {
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
