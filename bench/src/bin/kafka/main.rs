//! The benchmark of the Kafka log: the same records from one topic to another, by the host and by other means.
//!
//! It fills a topic with generated products, and then moves them by each of the [`CASES`], in turn, so that a busy minute
//! falls on all of them. Each runs in a process of its own, which tells what it took from the first record on, so that
//! neither compiling a module nor joining a group counts. The broker, which is on the same machine, does not count either,
//! but takes its share of the cores.
//!
//! ```text
//! cargo build --release --package bench-plain
//! KAFKA_BOOTSTRAP=localhost:9092 cargo run --release --package bench --bin kafka -- [RECORDS] [ROUNDS]
//! ```

use std::env;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bench_measure::{Clock, Figures};
use host::log::Log as _;
use host::log::kafka::{Guarantee, KafkaLog, Options};
use host::log::{NewTopic, Retention};

mod bare;
mod through;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 12_000_000;
const ROUNDS: usize = 5;
/// Of every topic.
const PARTITIONS: u32 = 2;
/// How often positions are committed.
const SELDOM: Duration = Duration::from_secs(1);
/// The default of the host for transactions.
const OFTEN: Duration = Duration::from_millis(100);

/// Ways to move records, by the name that a process of this program is given, and what they are.
const CASES: [(&str, &str); 9] = [
    ("bare-lossy", "librdkafka alone, by the batch: without the records' times and headers; at least once"),
    ("bare-lent", "librdkafka alone, values not copied; at least once"),
    ("bare", "librdkafka alone; at least once"),
    ("host", "`host`, a Rust module that changes 2 of 8 fields; at least once"),
    ("bare-exactly-once", "librdkafka alone; exactly once, a commit each second"),
    ("host-exactly-once", "`host`, the same module; exactly once, a commit each second"),
    ("bare-exactly-once-often", "librdkafka alone; exactly once, ten commits a second"),
    ("host-exactly-once-often", "`host`, the same module; exactly once, ten commits a second, as by default"),
    (PLAIN, "a straightforward program: a record at a time, apache-avro; at least once, a quarter of the records"),
];

/// The case that is a program of its own, beside this one (`bench/plain`).
const PLAIN: &str = "plain";

/// What is compared with what, within each round.
const PAIRS: [(&str, &str); 7] = [
    ("host", "bare-lossy"),
    ("host", "bare-lent"),
    ("host", "bare"),
    ("host-exactly-once", "bare-exactly-once"),
    ("host-exactly-once-often", "bare-exactly-once-often"),
    ("host", "host-exactly-once"),
    (PLAIN, "host"),
];

/// What is to be moved, and where to.
struct Job {
    brokers: String,
    from: String,
    to: String,
    records: u64,
}

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
        "bare-lent" => bare::at_least_once(job, bare::Kept::AllLent),
        "host" => through::host(job, folder, Guarantee::AtLeastOnce, SELDOM),
        "bare-exactly-once" => bare::exactly_once(job, SELDOM),
        "host-exactly-once" => through::host(job, folder, Guarantee::ExactlyOnce, SELDOM),
        "bare-exactly-once-often" => bare::exactly_once(job, OFTEN),
        "host-exactly-once-often" => through::host(job, folder, Guarantee::ExactlyOnce, OFTEN),
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
    let of = |name: &str| CASES.iter().position(|(case, _)| *case == name).map(|at| &taken[at]);
    let mut ratios = Vec::new();
    for (case, other) in PAIRS {
        let (Some(case_taken), Some(other_taken)) = (of(case), of(other)) else { bail!("no case {case} or {other}") };
        let mut rounds: Vec<f64> = case_taken.iter().zip(other_taken).map(|(a, b)| a.cpu_ns() / b.cpu_ns()).collect();
        rounds.sort_by(f64::total_cmp);
        ratios.push((case, other, rounds));
    }
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
    writeln!(out, "\nCPU time of one over that of the other, of the rounds from the least, and the median\n")?;
    for (case, other, rounds) in ratios {
        let all: Vec<String> = rounds.iter().map(|ratio| format!("{ratio:.2}")).collect();
        writeln!(out, "| {case} / {other} | {} | {:.2} |", all.join(", "), rounds[rounds.len() / 2])?;
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
    let own = env::current_exe()?;
    let mut command = if case == PLAIN {
        Command::new(own.with_file_name(PLAIN))
    } else {
        let mut command = Command::new(own);
        command.args(["case", case]).arg(folder);
        command
    };
    // It takes four times as long for each.
    let records = if case == PLAIN { records / 4 } else { records };
    command.args([from, to, &records.to_string()]).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("{case}: `make bench-kafka` builds it"))?;
    ensure!(output.status.success(), "{case}: {}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{case} told nothing"))
}
