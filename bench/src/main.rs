//! The end-to-end benchmark: the reference pipeline over a topic that is full, to its end.
//!
//! It fills the input topic of `examples/products/pipeline.toml` in a fresh embedded log with generated records, opens the
//! log again, so that nothing is in memory, and runs processor, analyzer and sink: all at once as `host run` does it, and
//! each alone, to tell what each costs. Filling, compiling and starting the modules are not in the figures.
//!
//! ```text
//! cargo run --release --package bench -- [RECORDS]
//! ```

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::{assemble, repository};
use bench_measure::cpu_time;
use host::config::{self, Pipeline};
use host::feed::generate::GeneratorOptions;
use host::pipeline::{Location, Until, prepare, run};
use host::shutdown::Shutdown;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 1_000_000;
const INPUT: &str = "bespoke.avro.product";
/// What of the pipeline runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    All,
    Stage(&'static str),
    Sink,
}

/// What a run took.
struct Spent {
    /// Records that the first one of the part read.
    records: u64,
    wall: Duration,
    /// Of all threads, in user and kernel mode.
    cpu: Duration,
}

fn main() -> Result<()> {
    host::allocator::keep_freed();
    let records = match std::env::args().nth(1) {
        Some(typed) => typed.parse().with_context(|| format!("`{typed}` is not a number of records"))?,
        None => RECORDS,
    };
    let mut out = io::stdout().lock();
    if cfg!(debug_assertions) {
        writeln!(out, "built without --release: these figures mean nothing")?;
    }
    writeln!(out, "{records} records of the product feed, one worker for each stage and the sink\n")?;
    writeln!(out, "| sync | what runs | records | records/s | CPU ns/record |\n|---|---|---:|---:|---:|")?;
    for sync in ["full", "normal"] {
        let folder = filled(sync, records)?;
        let spent = measure(folder.path(), sync, Part::All)?;
        // The rest of the pipeline reads what was made of these records, and the figures are for the records fed in.
        ensure!(spent.records == records, "the pipeline read {} records of {records}", spent.records);
        row(&mut out, sync, "processor, analyzer and sink at once", &spent)?;
    }
    let folder = filled("full", records)?;
    let parts = [
        ("processor alone", Part::Stage("processor")),
        ("analyzer alone", Part::Stage("analyzer")),
        ("sink alone", Part::Sink),
    ];
    for (label, part) in parts {
        row(&mut out, "full", label, &measure(folder.path(), "full", part)?)?;
    }
    Ok(())
}

fn row(out: &mut impl Write, sync: &str, label: &str, spent: &Spent) -> io::Result<()> {
    let per_second = spent.records as f64 / spent.wall.as_secs_f64();
    let cpu_ns = spent.cpu.as_nanos() as f64 / spent.records as f64;
    writeln!(out, "| {sync} | {label} | {} | {per_second:.0} | {cpu_ns:.0} |", spent.records)?;
    out.flush()
}

/// A folder with a log whose input topic holds the records.
fn filled(sync: &str, records: u64) -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let mut config = configured(folder.path(), sync)?;
    config.stages.clear();
    config.sinks.clear();
    let options = GeneratorOptions { count: Some(records), ..GeneratorOptions::default() };
    config.feeds = vec![config::Feed {
        name: "bench".to_owned(),
        topic: INPUT.to_owned(),
        key: vec!["id".to_owned()],
        source: config::Source::Generate { options, rate: None },
    }];
    through(&config, Part::All)?;
    Ok(folder)
}

/// Runs a part of the pipeline to the end of what is there for it.
fn measure(folder: &Path, sync: &str, part: Part) -> Result<Spent> {
    let mut config = configured(folder, sync)?;
    config.feeds.clear();
    through(&config, part)
}

fn through(config: &Pipeline, part: Part) -> Result<Spent> {
    let open = Location::of(config).open(&Shutdown::new())?;
    let mut built = assemble(config)?;
    prepare(&built, config, &open)?;
    match part {
        Part::All => {}
        Part::Stage(name) => {
            built.stages.retain(|built| built.stage.name == name);
            built.sinks.clear();
        }
        Part::Sink => built.stages.clear(),
    }
    let (cpu, started) = (cpu_time()?, Instant::now());
    let outcome = run(built, &open.log(), config.log.commit_interval, Until::Drained, &Shutdown::new(), |_| {})?;
    let (wall, cpu) = (started.elapsed(), cpu_time()?.saturating_sub(cpu));
    if let Some((role, why)) = outcome.failed.first() {
        bail!("{role}: {why}");
    }
    let records = outcome.counted.first().map_or(0, |(_, counters)| counters.records_in.get());
    Ok(Spent { records, wall, cpu })
}

/// The reference pipeline, with its log and its registry in `folder`.
fn configured(folder: &Path, sync: &str) -> Result<Pipeline> {
    let file = repository().join("examples/products/pipeline.toml");
    let overrides = [
        format!("log.path={}", folder.join("bench.db").display()),
        format!("log.sync={sync}"),
        format!("schemas.ids={}", folder.join("registry.json").display()),
    ];
    Ok(Pipeline::load(&file, &overrides)?)
}
