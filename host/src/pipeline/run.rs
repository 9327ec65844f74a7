//! Running a pipeline: a thread for every feed and every worker, until all is done or someone asks to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::build::{Built, BuiltStage};
use crate::aside::Aside;
use crate::config;
use crate::feed::{FeedTask, Open, Source, open_file, open_generator, run_feed};
use crate::log::{Log, LogError, Member};
use crate::metrics::Counters;
use crate::module::THREAD_STACK_BYTES;
use crate::sink::SinkTask;
use crate::stage::{StageTask, Writers};
use crate::swap::{self, Deployable, Deployments, Director, Reporter, Watch, Workshop};
use crate::worker::{Pace, Stop, Task};
use bespoke_boundary::Schema;

/// When a run is over by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never.
    Stopped,
    /// When the feeds are through and every record has reached its end.
    Drained,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Feeds, stages and sinks that ended before they were told to, with the reason.
    pub failed: Vec<(String, String)>,
    /// What everything counted.
    pub counted: Watched,
}

/// Feeds, stages and sinks with what they count.
pub type Watched = Vec<(String, Arc<Counters>)>;

/// What a thread of a run does.
struct Worker {
    role: String,
    thread: JoinHandle<Result<(), Stop>>,
}

/// A step of the drain: a group that must have read all of a topic.
struct Reader {
    group: String,
    topic: String,
    role: String,
    /// Positions, by partition, that are known to have a record behind them: a read is not cheap.
    unread: BTreeMap<u32, i64>,
}

/// How often a drain looks how far everyone is.
const DRAIN_CHECK: Duration = Duration::from_millis(20);
/// How long the end waits for what a host has to say of it.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How often the same trouble is told.
const TELL: Duration = Duration::from_secs(5);

/// Runs until `stop` is set, or until everything is drained. `tick` is called now and then, to show what was counted.
///
/// # Errors
/// If the log refuses a worker from the start.
pub fn run(
    built: Built,
    log: &Arc<dyn Log>,
    commit_interval: Duration,
    until: Until,
    stop: &crate::shutdown::Shutdown,
    mut tick: impl FnMut(&Watched),
) -> Result<Outcome, LogError> {
    let mut watched = Watched::new();
    let mut watch = |role: &str, counters: &Arc<Counters>| watched.push((role.to_owned(), counters.clone()));
    let mut feeds = Vec::new();
    let mut workers = Vec::new();
    let mut readers = Vec::new();
    // Feeds stop first, so that workers commit what comes last too.
    let halt = Arc::new(AtomicBool::new(false));
    for feed in built.feeds {
        let role = format!("feed {}", feed.config.name);
        let group = format!("{}.feed.{}", built.name, feed.config.name);
        let session = log.join(Member { group, topic: None, worker: 0, workers: 1 })?;
        let counters = Arc::new(Counters::default());
        watch(&role, &counters);
        let task = FeedTask {
            name: feed.config.name.clone(),
            topic: feed.config.topic.clone(),
            frame: feed.frame,
            key: feed.key,
            open: opener(feed.config.source, feed.topic.schema),
            dead_letters: built.dead_letters.clone(),
            commit_interval,
            counters,
        };
        let stop = stop.clone();
        feeds.push(spawn(role, move || run_feed(session, task, stop.flag())));
    }
    let (mut directors, mut watchers, mut deployable) = (Vec::new(), Vec::new(), Vec::new());
    for BuiltStage { stage, first, bytes, config, from } in built.stages {
        let role = format!("stage {}", stage.name);
        let counters = Arc::new(Counters::default());
        watch(&role, &counters);
        let group = format!("{}.{}", built.name, stage.name);
        if let Err(error) = built.kept.keep(&bytes) {
            tracing::warn!(role, %error, folder = %built.kept.dir().display(), "the module cannot be kept");
        }
        let settings = first.settings.clone();
        let director = Director::new(stage.clone(), first, config.swap, counters.clone());
        let pace = Pace { batch_records: config.batch_records, commit_interval };
        let task = || {
            let writers = Writers::new(built.schemas.clone(), from.schema.clone());
            Ok(StageTask::new(&director, writers, counters.clone()))
        };
        readers.push(Reader {
            group: group.clone(),
            topic: stage.from.clone(),
            role: role.clone(),
            unread: BTreeMap::new(),
        });
        start(log, &mut workers, &role, &group, (&stage.from, config.workers), pace, (&halt, &counters), task)?;
        let source = swap::Source { log: log.clone(), group, schemas: built.schemas.clone() };
        let workshop = Workshop {
            sandbox: built.sandbox.clone(),
            limits: config.limits,
            kept: Some(built.kept.clone()),
            source: Some(source),
        };
        let watched = |path, passed_over, is_shadow| swap::Watched {
            director: director.clone(),
            workshop: workshop.clone(),
            path,
            settings: settings.clone(),
            passed_over,
            is_shadow,
        };
        if config.swap.watch != Watch::Off && config.deployed.is_none() {
            let passed_over = config.start.filter(|start| start.is_passed_over).map(|start| start.file);
            watchers.push(watched(config.module, passed_over, false));
        }
        watchers.extend(config.shadow.map(|path| watched(path, None, true)));
        if config.deployed.is_some() {
            director.set_deployed();
        }
        deployable.push(Deployable { director: director.clone(), workshop, settings });
        directors.push(director);
    }
    for (sink, config, from) in built.sinks {
        let role = format!("sink {}", sink.name);
        let counters = Arc::new(Counters::default());
        watch(&role, &counters);
        let pace = Pace { batch_records: SINK_BATCH_RECORDS, commit_interval };
        let task = || {
            let writers = Writers::new(built.schemas.clone(), from.schema.clone());
            Ok(SinkTask::new(sink.clone(), writers, counters.clone())?)
        };
        let group = format!("{}.{}", built.name, sink.name);
        readers.push(Reader {
            group: group.clone(),
            topic: sink.from.clone(),
            role: role.clone(),
            unread: BTreeMap::new(),
        });
        start(log, &mut workers, &role, &group, (&sink.from, config.workers), pace, (&halt, &counters), task)?;
    }
    let watchers: Vec<_> = watchers.into_iter().filter_map(|watched| watch_module(watched, &halt)).collect();
    let deployments = built.control.map(|control| Deployments::new(control, deployable).start(halt.clone()));
    let all_told = Arc::new(AtomicBool::new(false));
    let reporter =
        (!directors.is_empty()).then(|| Reporter::new(&built.name, log.clone(), directors).start(all_told.clone()));
    let mut talkers = Vec::new();
    for started in [deployments, reporter].into_iter().flatten() {
        talkers.extend(started.inspect_err(|error| tracing::warn!(%error, "no thread to talk to other hosts")).ok());
    }
    let mut outcome = Outcome { counted: watched, ..Outcome::default() };
    let feeds_done = |feeds: &[Worker]| feeds.iter().all(|f| f.thread.is_finished());
    let read = |watched: &Watched| watched.iter().map(|(_, counters)| counters.records_in.get()).sum::<u64>();
    let (mut before, mut told) = (None, None);
    let shared = log.clone();
    let mut look = Aside::new(move |failed| drained(&*shared, &mut readers, &failed));
    while !stop.is_requested() {
        // Looking costs the log a read: not while records come.
        let now = Some(read(&outcome.counted));
        let is_quiet = std::mem::replace(&mut before, now) == now;
        let may_end = until == Until::Drained && is_quiet && feeds_done(&feeds);
        if may_end {
            look.ask(workers.iter().filter(|w| w.thread.is_finished()).map(|w| w.role.clone()).collect());
        }
        match look.answer(DRAIN_CHECK) {
            Some(Ok(true)) => break,
            Some(Ok(false)) => told = None,
            // The workers wait for a log that is away, or end; so does this.
            Some(Err(error)) if told.is_none_or(|told: Instant| told.elapsed() > TELL) => {
                told = Some(Instant::now());
                tracing::warn!(%error, "cannot tell whether all is read, trying again");
            }
            Some(Err(_)) | None => {}
        }
        if !workers.is_empty() && workers.iter().all(|w| w.thread.is_finished()) {
            // Nothing that could handle a record is left.
            stop.request();
        }
        tick(&outcome.counted);
        std::thread::sleep(DRAIN_CHECK);
    }
    // A stop leaves the feeds where they are; a drain has seen them end.
    stop.request();
    join(feeds, &mut outcome);
    halt.store(true, Ordering::Relaxed);
    join(workers, &mut outcome);
    all_told.store(true, Ordering::Relaxed);
    // Nothing depends on them: a log that is away does not hold up the end.
    let until = Instant::now() + LAST_WORDS;
    while talkers.iter().any(|talker| !talker.is_finished()) && Instant::now() < until {
        std::thread::sleep(DRAIN_CHECK);
    }
    for watcher in watchers {
        if watcher.join().is_err() {
            tracing::error!("what watches a module panicked; this is a bug of the host");
        }
    }
    Ok(outcome)
}

/// Watches the file of a module. A stage whose module cannot be watched runs all the same.
fn watch_module(watched: swap::Watched, halt: &Arc<AtomicBool>) -> Option<JoinHandle<()>> {
    let stage = watched.director.stage().name.clone();
    let started = swap::watch(watched, halt.clone());
    started.inspect_err(|error| tracing::warn!(stage, %error, "no thread to watch its module")).ok()
}

/// How a feed opens its source, as the configuration has it.
fn opener(source: config::Source, schema: Arc<Schema>) -> Open {
    match source {
        config::Source::Generate { options, rate } => {
            Box::new(move |position| open_generator(&options, rate, position).map(|s| Box::new(s) as Box<dyn Source>))
        }
        config::Source::File { input, format, follow } => {
            let path = match input {
                config::Input::Stdin => None,
                config::Input::File(path) => Some(path),
            };
            Box::new(move |position| open_file(path.as_deref(), format, &schema, follow, position))
        }
    }
}

/// Records of a sink's batch. Larger than a stage's, because nothing is called with it.
const SINK_BATCH_RECORDS: usize = 4096;

#[expect(clippy::too_many_arguments, reason = "one call for both kinds of workers, and each argument is its own thing")]
fn start<T: Task + Send + 'static>(
    log: &Arc<dyn Log>,
    workers: &mut Vec<Worker>,
    role: &str,
    group: &str,
    (topic, count): (&str, u32),
    pace: Pace,
    (halt, counters): (&Arc<AtomicBool>, &Arc<Counters>),
    task: impl Fn() -> Result<T, LogError>,
) -> Result<(), LogError> {
    for worker in 0..count {
        let member = Member { group: group.to_owned(), topic: Some(topic.to_owned()), worker, workers: count };
        let mut session = log.join(member)?;
        let (mut task, halt, counters) = (task()?, halt.clone(), counters.clone());
        let run = move || crate::worker::run(&mut *session, &mut task, pace, &halt, &counters);
        workers.push(spawn(role.to_owned(), run));
    }
    Ok(())
}

fn spawn(role: String, run: impl FnOnce() -> Result<(), Stop> + Send + 'static) -> Worker {
    let span = tracing::info_span!("worker", role);
    let logged = role.clone();
    let guarded = move || {
        let _in = span.enter();
        let result = run();
        if let Err(error) = &result {
            tracing::error!(role = logged, %error, "stopped");
        }
        result
    };
    let builder = std::thread::Builder::new().name(role.clone()).stack_size(THREAD_STACK_BYTES);
    let thread = match builder.spawn(guarded) {
        Ok(thread) => thread,
        // A thread that cannot be had is a worker that has failed.
        Err(error) => {
            let failed = Stop::Policy(format!("no thread for it: {error}"));
            std::thread::spawn(move || Err(failed))
        }
    };
    Worker { role, thread }
}

/// Whether everyone has read everything, from the first reader to the last: once a topic is read to its end by all who
/// write the next, the next grows no more. Who has failed is not waited for, not even in part, as nobody else may have the
/// partitions of a worker that has ended; nor is anyone behind it.
fn drained(log: &dyn Log, readers: &mut [Reader], failed: &BTreeSet<String>) -> Result<bool, LogError> {
    for reader in readers.iter_mut().filter(|reader| !failed.contains(&reader.role)) {
        // The ends last: whoever is at the end then was not told so too early.
        let positions = log.committed(&reader.group, &reader.topic)?;
        let Some(topic) = log.topic(&reader.topic)? else { continue };
        for (partition, position) in positions {
            let Some(p) = topic.partitions.iter().find(|p| p.partition == partition) else { continue };
            // Not all offsets are records: once all before the end is decided, there may be none from here on.
            // What retention took before it was read has to be told first, even if nothing is left.
            if position < p.start || position < p.end && p.decided < p.end {
                return Ok(false);
            }
            if position < p.end {
                let is_known = reader.unread.get(&partition) == Some(&position);
                if is_known || !log.read(&reader.topic, partition, position, 1)?.is_empty() {
                    reader.unread.insert(partition, position);
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

fn join(workers: Vec<Worker>, outcome: &mut Outcome) {
    for worker in workers {
        match worker.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => outcome.failed.push((worker.role, error.to_string())),
            Err(_) => outcome.failed.push((worker.role, "it panicked; this is a bug of the host".to_owned())),
        }
    }
}
