//! The host: a pipeline of one stage.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use bench::{assemble, repository};
use host::config::Pipeline;
use host::log::kafka::Guarantee;
use host::pipeline::{Location, Outcome, Until, prepare, run};
use host::shutdown::Shutdown;

use super::{Clock, Figures, Job, PARTITIONS, SELDOM};

/// Moves the records through `guests/bench/two`.
pub fn host(job: &Job, folder: &Path, guarantee: Guarantee, commit: Duration) -> Result<Figures> {
    let guarantee = match guarantee {
        Guarantee::AtLeastOnce => "at-least-once",
        Guarantee::ExactlyOnce => "exactly-once",
    };
    let module = repository().join("guests/target/wasm32-wasip2/release/bench_two.wasm");
    let stage =
        format!("[[stage]]\nname = 'two'\nmodule = '{}'\nfrom = '{}'\nto = '{}'", module.display(), job.from, job.to);
    through(&config(job, folder, (guarantee, commit), &stage)?, job.records)
}

/// Fills the topic that all cases read.
pub fn fill(job: &Job, folder: &Path) -> Result<Figures> {
    let feed = format!("[[feed]]\ngenerate = {{ count = {} }}\ntopic = '{}'\nkey = ['id']", job.records, job.from);
    through(&config(job, folder, ("at-least-once", SELDOM), &feed)?, job.records)
}

fn config(job: &Job, folder: &Path, (guarantee, commit): (&str, Duration), part: &str) -> Result<Pipeline> {
    let Job { brokers, from, to, .. } = job;
    let topics: String = BTreeSet::from([from, to])
        .into_iter()
        .map(|topic| format!("'{topic}' = {{ schema = 'product', partitions = {PARTITIONS} }}\n"))
        .collect();
    let text = format!(
        "name = '{to}'\n\
         create_topics = true\n\
         [log]\nkind = 'kafka'\nbootstrap = '{brokers}'\nguarantee = '{guarantee}'\n\
         commit_interval_ms = {}\n\
         [schemas]\ndir = '{}'\nids = '{}'\n\
         [topics]\n{topics}{part}\n",
        commit.as_millis(),
        repository().join("schemas").display(),
        folder.join("ids.json").display(),
    );
    let file = folder.join("pipeline.toml");
    fs::write(&file, text)?;
    Ok(Pipeline::load(&file, &[])?)
}

fn through(config: &Pipeline, records: u64) -> Result<Figures> {
    let open = Location::of(config).open(&Shutdown::new())?;
    let built = assemble(config)?;
    prepare(&built, config, &open)?;
    let mut clock = Clock::default();
    let mut troubled = Ok(());
    let outcome: Outcome =
        run(built, &open.log(), config.log.commit_interval, Until::Drained, &Shutdown::new(), |watched| {
            let seen = watched.iter().map(|(_, counters)| counters.records_in.get()).max().unwrap_or_default();
            if let Err(error) = clock.saw(seen) {
                troubled = Err(error);
            }
        })?;
    troubled?;
    if let Some((role, why)) = outcome.failed.first() {
        bail!("{role}: {why}");
    }
    clock.stop(records)
}
