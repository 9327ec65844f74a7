//! The bench of swaps: how long a worker does nothing else, and what they cost in throughput.
//!
//! A topic is filled with processed products, and the analyzer, or another module for its place, reads all of it, without a
//! swap and with one a second, in turn. Each swap is to a module with other bytes, which is compiled while the stream flows.
//! After that it is swapped again and again while records come at a steady rate. Pauses are those that the workers write
//! down themselves: how long they did nothing else, which is the handing over of the states, and the switch.
//!
//! ```text
//! cargo run --release --package bench --bin swap -- [RECORDS] [SWAPS] [MODULE]
//! ```

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::{assemble, repository};
use host::config::{self, Pipeline};
use host::feed::generate::GeneratorOptions;
use host::log::{Event, Log, Member};
use host::pipeline::{Location, Until, prepare, run};
use host::shutdown::Shutdown;
use host::swap::{self, Ledger};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RECORDS: u64 = 10_000_000;
/// So many that the state of each of the two partitions has more than a mebibyte.
const PRODUCTS: u32 = 120_000;
const STAGE: &str = "analyzer";
const MODULE: &str = "modules/analyzer.wasm";
/// An even number, as what comes first changes from round to round.
const ROUNDS: u32 = 6;
/// Swaps while records come steadily.
const SWAPS: u64 = 200;
const EVERY: Duration = Duration::from_secs(1);
const STEADY_RATE: u32 = 50_000;
/// A swap that takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with a log, and the module that is swapped in it.
struct Stand {
    folder: tempfile::TempDir,
    module: Vec<u8>,
}

fn main() -> Result<()> {
    host::allocator::keep_freed();
    let mut arguments = std::env::args().skip(1);
    let mut number = |what: &str, usual: u64| match arguments.next() {
        Some(typed) => typed.parse().with_context(|| format!("`{typed}` is not a number of {what}")),
        None => Ok(usual),
    };
    let (records, swaps) = (number("records", RECORDS)?, number("swaps", SWAPS)?);
    let usual = repository().join("examples/products/modules/analyzer.wasm");
    let module =
        fs::read(arguments.next().map_or(usual, PathBuf::from)).context("modules are built by `make guests`")?;
    let mut out = io::stdout().lock();
    if cfg!(debug_assertions) {
        writeln!(out, "built without --release: these figures mean nothing")?;
    }
    let stand = Stand { folder: tempfile::tempdir()?, module };
    // A folder of its own, as the watcher hears of all that happens beside the file.
    fs::create_dir(stand.path("modules"))?;
    stand.put(0)?;
    if records > 0 {
        stand.fill(records)?;
        stand.compare(records, &mut out)?;
    }
    let (mut pauses, state) = stand.steadily(swaps)?;
    pauses.sort_unstable();
    ensure!(!pauses.is_empty(), "nothing was swapped");
    let at = |share: f64| pauses[((pauses.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
    writeln!(out, "\n| pauses | state, bytes | p50 ms | p99 ms | max ms |\n|---:|---:|---:|---:|---:|")?;
    writeln!(out, "| {} | {state} | {:.2} | {:.2} | {:.2} |", pauses.len(), at(0.5), at(0.99), at(1.0))?;
    Ok(())
}

// === impl Stand ===

impl Stand {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The reference pipeline, with its log and the module of the analyzer in the folder.
    fn config(&self) -> Result<Pipeline> {
        let file = repository().join("examples/products/pipeline.toml");
        let overrides = [
            format!("log.path={}", self.path("bench.db").display()),
            "log.sync=normal".to_owned(),
            format!("schemas.ids={}", self.path("registry.json").display()),
            format!("stage.{STAGE}.module={}", self.path(MODULE).display()),
            format!("stage.{STAGE}.trial_batches=8"),
            format!("stage.{STAGE}.guard_time_ms=500"),
        ];
        let mut config = Pipeline::load(&file, &overrides)?;
        config.sinks.clear();
        Ok(config)
    }

    fn feed(&self, config: &mut Pipeline, count: Option<u64>, rate: Option<u32>) {
        let options = GeneratorOptions { count, products: PRODUCTS, ..GeneratorOptions::default() };
        config.feeds = vec![config::Feed {
            name: "bench".to_owned(),
            topic: "bespoke.avro.product".to_owned(),
            key: vec!["id".to_owned()],
            source: config::Source::Generate { options, rate },
        }];
    }

    /// The module with a section of its own at its end, so that its bytes are others and its work is the same.
    fn version(&self, number: u32) -> Vec<u8> {
        let name = number.to_be_bytes();
        // A custom section: its id, its length, the length of its name, the name (WebAssembly core specification 5.5.3).
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut bytes = self.module.clone();
        bytes.extend([0, name.len() as u8 + 1, name.len() as u8]);
        bytes.extend(name.as_bytes());
        bytes
    }

    fn put(&self, number: u32) -> Result<()> {
        let new = self.path(MODULE).with_extension("new");
        fs::write(&new, self.version(number))?;
        Ok(fs::rename(&new, self.path(MODULE))?)
    }

    /// Fills the topic that the analyzer reads.
    fn fill(&self, records: u64) -> Result<()> {
        let mut config = self.config()?;
        self.feed(&mut config, Some(records), None);
        let open = Location::of(&config).open(&Shutdown::new())?;
        let mut built = assemble(&config)?;
        prepare(&built, &config, &open)?;
        built.stages.retain(|built| built.stage.name != STAGE);
        run(built, &open.log(), config.log.commit_interval, Until::Drained, &Shutdown::new(), |_| {})?;
        Ok(())
    }

    /// Throughput with a swap a second and without one, in turn.
    fn compare(&self, records: u64, out: &mut impl Write) -> Result<()> {
        // The first ones find the topic in caches, and a fresh log to write to, as none after them does.
        for every in [None, Some(EVERY)] {
            self.through(records, 0, every)?;
        }
        writeln!(
            out,
            "| round | records/s without | swaps | records/s with | with / without |\n|---|---:|---:|---:|---:|"
        )?;
        let mut shares = Vec::new();
        for round in 1..=ROUNDS {
            let through = |every| self.through(records, round, every);
            let (swaps, with, without);
            if round % 2 == 0 {
                (swaps, with) = through(Some(EVERY))?;
                (_, without) = through(None)?;
            } else {
                (_, without) = through(None)?;
                (swaps, with) = through(Some(EVERY))?;
            }
            shares.push(with / without);
            writeln!(out, "| {round} | {without:.0} | {swaps} | {with:.0} | {:.1} % |", with / without * 100.0)?;
            out.flush()?;
        }
        shares.sort_by(f64::total_cmp);
        let median = (shares[(shares.len() - 1) / 2] + shares[shares.len() / 2]) / 2.0;
        writeln!(out, "\nmedian: {:.1} %", median * 100.0)?;
        Ok(())
    }

    /// Has all of it analyzed, by a stage that nobody has had before. How often it was swapped, and records a second.
    fn through(&self, records: u64, round: u32, every: Option<Duration>) -> Result<(u64, f64)> {
        let name = format!("{}-{round}", if every.is_some() { "swapped" } else { "steady" });
        self.put(1_000 * round)?;
        let mut config = self.config()?;
        config.feeds.clear();
        config.stages.iter_mut().filter(|stage| stage.name == STAGE).for_each(|stage| stage.name.clone_from(&name));
        let open = Location::of(&config).open(&Shutdown::new())?;
        // All of it, because its schemas come from the stage before.
        let mut built = assemble(&config)?;
        prepare(&built, &config, &open)?;
        built.stages.retain(|built| built.stage.name == name);
        let done = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let outcome = std::thread::scope(|scope| {
            if let Some(every) = every {
                let done = done.clone();
                scope.spawn(move || {
                    let mut number = 1_000 * round;
                    let mut next = Instant::now() + every;
                    while !done.load(Ordering::Relaxed) {
                        std::thread::sleep(Duration::from_millis(5));
                        if Instant::now() >= next {
                            next += every;
                            number += 1;
                            // What cannot be written is a swap less, which is counted.
                            let _ = self.put(number);
                        }
                    }
                });
            }
            let outcome = run(built, &open.log(), config.log.commit_interval, Until::Drained, &Shutdown::new(), |_| {});
            done.store(true, Ordering::Relaxed);
            outcome
        })?;
        let wall = started.elapsed();
        if let Some((role, why)) = outcome.failed.first() {
            bail!("{role}: {why}");
        }
        let swaps = outcome.counted.iter().map(|(_, counters)| counters.swaps.get()).sum();
        Ok((swaps, records as f64 / wall.as_secs_f64()))
    }

    /// Swaps again and again while records come. The pauses in microseconds, and the size of a state.
    fn steadily(&self, wanted: u64) -> Result<(Vec<u64>, usize)> {
        self.put(1_000_000)?;
        let mut config = self.config()?;
        self.feed(&mut config, None, Some(STEADY_RATE));
        let open = Location::of(&config).open(&Shutdown::new())?;
        let log = open.log();
        let built = assemble(&config)?;
        prepare(&built, &config, &open)?;
        let (shutdown, mut number, mut swaps) = (Shutdown::new(), 1_000_000, 0);
        let (stop, mut since) = (shutdown.clone(), Instant::now());
        run(built, &log, config.log.commit_interval, Until::Stopped, &shutdown, |watched| {
            let swapped: u64 = watched.iter().map(|(_, counters)| counters.swaps.get()).sum();
            if swapped >= wanted {
                stop.request();
            } else if swapped == swaps || since.elapsed() > PATIENCE {
                // The one before has happened, or was dropped because the machine was busy.
                (swaps, since) = (swapped + 1, Instant::now());
                number += 1;
                // Two versions in turn, so that only the first two swaps wait for a compiler.
                if self.put(1_000_000 + number % 2).is_err() {
                    stop.request();
                }
            }
        })?;
        let ledger = Ledger::read(&*log, &Ledger::topic(&config.name))?;
        let live = ledger.of_stage(STAGE).filter(|entry| entry.event == swap::Event::Live);
        let pauses = live.filter_map(|entry| entry.pause_us).collect();
        Ok((pauses, state_bytes(&*log, &config)?))
    }
}

/// The size of the state of the first partition.
fn state_bytes(log: &dyn Log, config: &Pipeline) -> Result<usize> {
    let topic = config.stages.iter().find(|stage| stage.name == STAGE).map(|stage| stage.from.clone());
    let mut session = log.join(Member { group: config.group(STAGE), topic, worker: 0, workers: 1 })?;
    match session.poll(1, Duration::from_secs(5))? {
        Event::Assigned { state, .. } => Ok(state.map_or(0, |state| state.len())),
        other => bail!("no state, but {other:?}"),
    }
}
