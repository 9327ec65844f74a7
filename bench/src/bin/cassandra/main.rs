//! The benchmark of tables in Cassandra: the same rows, by a sink of the host and by other means.
//!
//! It fills a topic of an embedded log with generated products, and then has them written by each of the [`CASES`], in turn,
//! so that a busy minute falls on all of them. Each runs in a process of its own and has a table of its own, in whose key no two
//! records are alike, so that all write as many rows. What it takes to connect, to prepare and to read the rows of the bare loop
//! into memory is not counted; that the host reads its topic, decodes the records and commits its position is. The node, which
//! is on the same machine, does not count, but takes most of the cores: records per second say how the two share them, CPU time
//! what a row costs here.
//!
//! ```text
//! CASSANDRA_NODES=localhost:9042 PYTHON=… cargo run --release --package bench --bin cassandra -- [RECORDS] [ROUNDS]
//! ```

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::{Schema, from_value};
use bench::{assemble, repository};
use bench_measure::cpu_time;
use host::config::Pipeline;
use host::pipeline::{Location, Until, prepare, run};
use host::shutdown::Shutdown;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::value::CqlTimestamp;
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 200_000;
const ROUNDS: usize = 3;
const TOPIC: &str = "products";
/// Rows on their way, for all cases.
const IN_FLIGHT: usize = 512;

/// Ways to write rows, by the name that a process of this program is given, and what they are.
const CASES: [(&str, &str); 3] = [
    ("bare", "the driver `scylla` in a bare loop, rows in memory"),
    ("host", "a sink of `host`, from Avro on a topic"),
    ("python", "cassandra-driver for Python, `execute_concurrent`, rows in memory"),
];

/// What it took.
#[derive(Serialize, Deserialize)]
struct Figures {
    rows: u64,
    wall_s: f64,
    /// Of all threads of the process, in user and kernel mode.
    cpu_s: f64,
}

/// A row of the topic.
#[derive(Clone, Serialize, Deserialize)]
struct Product {
    id: String,
    name: String,
    category: String,
    price: f64,
    quantity: i32,
    updated: i64,
    in_stock: bool,
    rating: Option<f32>,
}

fn main() -> Result<()> {
    host::allocator::keep_freed();
    let nodes = env::var("CASSANDRA_NODES").context("CASSANDRA_NODES names no node: see bench/README.md")?;
    let typed: Vec<String> = env::args().skip(1).collect();
    let number = |text: &str| text.parse::<u64>().with_context(|| format!("`{text}` is not a number"));
    match typed.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["case", "fill", folder, records] => fill(Path::new(folder), &nodes, number(records)?),
        ["case", "host", folder, keyspace] => tell(&through(Path::new(folder), &nodes, keyspace)?),
        ["case", "bare", folder, keyspace] => tell(&bare(Path::new(folder), &nodes, keyspace)?),
        [] => compare(&nodes, RECORDS, ROUNDS),
        [records] => compare(&nodes, number(records)?, ROUNDS),
        [records, rounds] => compare(&nodes, number(records)?, number(rounds)? as usize),
        _ => bail!("cassandra [RECORDS] [ROUNDS]"),
    }
}

fn tell(figures: &Figures) -> Result<()> {
    Ok(serde_json::to_writer(io::stdout(), figures)?)
}

/// Runs all cases in turn, and prints a table.
fn compare(nodes: &str, records: u64, rounds: usize) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let exe = env::current_exe()?;
    let filled = Command::new(&exe).args(["case", "fill"]).arg(folder.path()).arg(records.to_string()).status()?;
    ensure!(filled.success(), "fill: {filled}");
    let python = env::var("PYTHON").ok();
    let mut taken: Vec<Vec<Figures>> = CASES.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for ((case, _), taken) in CASES.iter().zip(&mut taken) {
            let keyspace = format!("bench{}_{case}_{round}", std::process::id());
            let mut command = match (*case, &python) {
                ("python", None) => continue,
                ("python", Some(python)) => {
                    let mut command = Command::new(python);
                    let script = repository().join("tests/services/clients/write_rows.py");
                    command.arg(script).arg(nodes).arg(&keyspace).arg(folder.path().join("rows.jsonl"));
                    command.arg(IN_FLIGHT.to_string());
                    command
                }
                _ => {
                    let mut command = Command::new(&exe);
                    command.args(["case", case]).arg(folder.path()).arg(&keyspace);
                    command
                }
            };
            let output = command.stderr(Stdio::inherit()).output()?;
            ensure!(output.status.success(), "{case}: {}", output.status);
            let figures: Figures =
                serde_json::from_slice(&output.stdout).with_context(|| format!("{case} told nothing"))?;
            ensure!(figures.rows == records, "{case}: {} rows of {records} records", figures.rows);
            writeln!(io::stderr(), "{case}: {:.2} µs/row, {:.0} rows/s", figures.cpu_us(), figures.per_second())?;
            taken.push(figures);
        }
    }
    let mut out = io::stdout().lock();
    if cfg!(debug_assertions) {
        writeln!(out, "built without --release: these figures mean nothing")?;
    }
    writeln!(out, "{records} records; medians, and the least in parentheses\n")?;
    writeln!(out, "| how | CPU µs/row | rows/s |\n|---|---:|---:|")?;
    for ((_, label), taken) in CASES.iter().zip(&mut taken) {
        taken.sort_by(|a, b| a.cpu_us().total_cmp(&b.cpu_us()));
        let (Some(least), Some(median)) = (taken.first(), taken.get(taken.len() / 2)) else { continue };
        let (least, cpu) = (least.cpu_us(), median.cpu_us());
        taken.sort_by(|a, b| a.per_second().total_cmp(&b.per_second()));
        let rate = taken[taken.len() / 2].per_second();
        writeln!(out, "| {label} | {cpu:.2} ({least:.2}) | {rate:.0} |")?;
    }
    Ok(())
}

/// The pipeline of all cases.
fn configured(folder: &Path, nodes: &str, keyspace: &str, records: Option<u64>) -> Result<Pipeline> {
    let feed = records.map_or_else(String::new, |records| {
        format!(
            "[[feed]]\ntopic = \"{TOPIC}\"\nkey = [\"id\"]\ngenerate = {{ count = {records}, products = 1000000 }}\n"
        )
    });
    let sink = match records {
        Some(_) => String::new(),
        None => format!("[[sink]]\nname = \"{keyspace}\"\nfrom = \"{TOPIC}\"\ntable = \"product\"\n"),
    };
    let text = format!(
        "name = \"bench\"\n[log]\npath = \"bench.db\"\n[schemas]\ndir = \"{}\"\nids = \"ids.json\"\n\
         [topics]\n\"{TOPIC}\" = {{ schema = \"product\" }}\n{feed}{sink}\
         [cassandra]\nnodes = \"{nodes}\"\nkeyspace = \"{keyspace}\"\nreplication = 1\nmax_in_flight = {IN_FLIGHT}\n\
         [tables.product]\nstore = \"cassandra\"\npartition_key = [\"id\"]\n\
         clustering_key = [\"updated\"]\n",
        repository().join("schemas").display()
    );
    Ok(Pipeline::parse(&text, "bench", folder, &[], &|_| None)?)
}

/// Fills the topic, and writes its records as JSON lines beside the log.
fn fill(folder: &Path, nodes: &str, records: u64) -> Result<()> {
    let config = configured(folder, nodes, "none", Some(records))?;
    let open = Location::of(&config).open(&Shutdown::new())?;
    let built = assemble(&config)?;
    prepare(&built, &config, &open)?;
    run(built, &open.log(), config.log.commit_interval, Until::Drained, &Shutdown::new(), |_| {})?;
    let schema = Schema::parse_str(&fs::read_to_string(repository().join("schemas/product.avsc"))?)?;
    let reader = GenericDatumReader::builder(&schema).build()?;
    let mut rows = io::BufWriter::new(fs::File::create(folder.join("rows.jsonl"))?);
    let (log, mut at) = (open.log(), 0);
    loop {
        let batch = log.read(TOPIC, 0, at, 10_000)?;
        let Some(next) = batch.next_offset() else { return Ok(rows.flush()?) };
        for record in batch.iter() {
            // Behind the id of the schema.
            let mut datum = record.value().and_then(|value| value.get(5..)).context("no value")?;
            let product: Product = from_value(&reader.read_value(&mut datum)?)?;
            serde_json::to_writer(&mut rows, &product)?;
            rows.write_all(b"\n")?;
        }
        at = next;
    }
}

/// By a sink of the host.
fn through(folder: &Path, nodes: &str, keyspace: &str) -> Result<Figures> {
    let config = configured(folder, nodes, keyspace, None)?;
    let open = Location::of(&config).open(&Shutdown::new())?;
    let built = assemble(&config)?;
    prepare(&built, &config, &open)?;
    let begin = (Instant::now(), cpu_time()?);
    let outcome = run(built, &open.log(), config.log.commit_interval, Until::Drained, &Shutdown::new(), |_| {})?;
    if let Some((role, why)) = outcome.failed.first() {
        bail!("{role}: {why}");
    }
    figures(outcome.counted.first().map_or(0, |(_, counters)| counters.records_out.get()), begin)
}

/// By the driver alone.
fn bare(folder: &Path, nodes: &str, keyspace: &str) -> Result<Figures> {
    let lines = fs::read_to_string(folder.join("rows.jsonl"))?;
    let rows: Vec<Product> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let session: Session = SessionBuilder::new().known_nodes(nodes.split(',')).build().await?;
        let replication = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 1}";
        session.query_unpaged(format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}"), ()).await?;
        let table = format!(
            "CREATE TABLE {keyspace}.product (id text, name text, category text, price double, quantity int,
             updated timestamp, in_stock boolean, rating float, PRIMARY KEY (id, updated))"
        );
        session.query_unpaged(table, ()).await?;
        let insert = format!(
            "INSERT INTO {keyspace}.product (id, name, category, price, quantity, updated, in_stock, rating)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        );
        let mut insert = session.prepare(insert).await?;
        insert.set_is_idempotent(true);
        let shared = Arc::new((session, insert, rows, AtomicUsize::new(0), Mutex::new(None)));
        let begin = (Instant::now(), cpu_time()?);
        let lanes: Vec<_> = (0..IN_FLIGHT).map(|_| tokio::spawn(lane(shared.clone()))).collect();
        for lane in lanes {
            lane.await?;
        }
        if let Some(error) = shared.4.lock().ok().and_then(|mut error| error.take()) {
            bail!("{error}");
        }
        figures(shared.2.len() as u64, begin)
    })
}

type Shared =
    (Session, scylla::statement::prepared::PreparedStatement, Vec<Product>, AtomicUsize, Mutex<Option<String>>);

async fn lane(shared: Arc<Shared>) {
    let (session, insert, rows, next, failed) = &*shared;
    loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        let Some(row) = rows.get(at) else { return };
        let updated = CqlTimestamp(row.updated);
        let stamp = row.updated * 1_000 + at as i64;
        let values =
            (&row.id, &row.name, &row.category, row.price, row.quantity, updated, row.in_stock, row.rating, stamp);
        if let Err(error) = session.execute_unpaged(insert, values).await {
            if let Ok(mut failed) = failed.lock() {
                *failed = Some(error.to_string());
            }
            return;
        }
    }
}

fn figures(rows: u64, (wall, cpu): (Instant, Duration)) -> Result<Figures> {
    let (wall, cpu) = (wall.elapsed(), cpu_time()?.saturating_sub(cpu));
    Ok(Figures { rows, wall_s: wall.as_secs_f64(), cpu_s: cpu.as_secs_f64() })
}

// === impl Figures ===

impl Figures {
    fn cpu_us(&self) -> f64 {
        self.cpu_s * 1e6 / self.rows as f64
    }

    fn per_second(&self) -> f64 {
        self.rows as f64 / self.wall_s
    }
}
