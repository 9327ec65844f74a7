//! The threads of a run: one for every feed and every worker, and those that watch modules, take deployed ones and report.
//!
//! They end in an order. Feeds stop first, so that workers commit what comes last too; the reports end last, as the end is
//! reported as well.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bespoke_boundary::Schema;

use super::build::{Built, BuiltFeed, BuiltSink, BuiltStage};
use super::drain::Reader;
use super::run::{Outcome, Watched};
use super::schemas::SchemaStore;
use crate::config;
use crate::feed::{FeedTask, Open, Source, open_file, open_generator, run_feed};
use crate::log::{Log, LogError, Member};
use crate::metrics::Counters;
use crate::module::{Sandbox, THREAD_STACK_BYTES};
use crate::shutdown::Shutdown;
use crate::sink::SinkTask;
use crate::stage::{StageTask, Writers};
use crate::swap::{self, Control, Deployable, Deployments, Director, Kept, Reporter, Watch, Workshop};
use crate::worker::{Pace, Stop, Task};

/// Records of a sink's batch. Larger than a stage's, because nothing is called with it.
const SINK_BATCH_RECORDS: usize = 4096;
/// How long a stop waits for feeds, and then for workers. Some would not end: librdkafka in the middle of a commit waits for a
/// broker if there is none, and no time limit of it ends that (its issues 5456 and 5511).
const LAST_STEPS: Duration = Duration::from_secs(35);
/// How long the end waits for what a host has to say of it.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How often it looks whether that is said.
const LOOK: Duration = Duration::from_millis(20);

/// What runs of a pipeline.
pub(super) struct Crew {
    pipeline: String,
    log: Arc<dyn Log>,
    schemas: Arc<SchemaStore>,
    sandbox: Sandbox,
    kept: Kept,
    commit_interval: Duration,
    /// Ends feeds.
    stop: Shutdown,
    /// Ends workers, and what watches for them.
    halt: Arc<AtomicBool>,
    /// Ends the reports.
    all_told: Arc<AtomicBool>,
    feeds: Vec<Worker>,
    workers: Vec<Worker>,
    watchers: Vec<JoinHandle<()>>,
    talkers: Vec<JoinHandle<()>>,
    readers: Vec<Reader>,
    counted: Watched,
}

/// What a thread of a run does.
struct Worker {
    role: String,
    thread: JoinHandle<Result<(), Stop>>,
}

/// What the workers of a stage or a sink have in common.
struct Group<'g> {
    role: String,
    name: &'g str,
    topic: &'g str,
    workers: u32,
    batch_records: usize,
    counters: Arc<Counters>,
}

// === impl Crew ===

impl Crew {
    /// Starts all of a pipeline.
    ///
    /// # Errors
    /// If the log refuses one of them; those before it have ended then.
    pub(super) fn start(
        built: Built,
        log: &Arc<dyn Log>,
        commit_interval: Duration,
        stop: &Shutdown,
    ) -> Result<Self, LogError> {
        let Built { name, feeds, stages, sinks, schemas, dead_letters, sandbox, kept, control, .. } = built;
        let mut crew = Self {
            pipeline: name,
            log: log.clone(),
            schemas,
            sandbox,
            kept,
            commit_interval,
            stop: stop.clone(),
            halt: Arc::default(),
            all_told: Arc::default(),
            feeds: Vec::new(),
            workers: Vec::new(),
            watchers: Vec::new(),
            talkers: Vec::new(),
            readers: Vec::new(),
            counted: Watched::new(),
        };
        match crew.start_each(feeds, &dead_letters, stages, sinks) {
            Ok(stages) => crew.talk(control, stages),
            Err(error) => {
                crew.end();
                return Err(error);
            }
        }
        Ok(crew)
    }

    fn start_each(
        &mut self,
        feeds: Vec<BuiltFeed>,
        dead_letters: &str,
        stages: Vec<BuiltStage>,
        sinks: Vec<BuiltSink>,
    ) -> Result<Vec<Deployable>, LogError> {
        for feed in feeds {
            self.start_feed(feed, dead_letters)?;
        }
        let stages = stages.into_iter().map(|stage| self.start_stage(stage)).collect::<Result<Vec<_>, _>>()?;
        for sink in sinks {
            self.start_sink(sink)?;
        }
        Ok(stages)
    }

    fn start_feed(&mut self, feed: BuiltFeed, dead_letters: &str) -> Result<(), LogError> {
        let role = format!("feed {}", feed.config.name);
        let group = format!("{}.feed.{}", self.pipeline, feed.config.name);
        let session = self.log.join(Member { group, topic: None, worker: 0, workers: 1 })?;
        let counters = Arc::<Counters>::default();
        self.counted.push((role.clone(), counters.clone()));
        let task = FeedTask {
            name: feed.config.name,
            topic: feed.config.topic,
            frame: feed.frame,
            key: feed.key,
            open: opener(feed.config.source, feed.topic.schema),
            dead_letters: dead_letters.to_owned(),
            commit_interval: self.commit_interval,
            counters,
        };
        let stop = self.stop.clone();
        self.feeds.push(spawn(role, move || run_feed(session, task, stop.flag())));
        Ok(())
    }

    fn start_stage(&mut self, built: BuiltStage) -> Result<Deployable, LogError> {
        let BuiltStage { stage, first, bytes, config, from } = built;
        let role = format!("stage {}", stage.name);
        self.kept.pin(&stage.name, &[first.module.digest()]);
        if let Err(error) = self.kept.keep(&bytes) {
            tracing::warn!(role, %error, folder = %self.kept.dir().display(), "the module cannot be kept");
        }
        let counters = Arc::<Counters>::default();
        let settings = first.settings.clone();
        let director = Director::new(stage.clone(), first, config.swap, counters.clone());
        let schemas = self.schemas.clone();
        let task = || {
            let writers = Writers::new(schemas.clone(), from.schema.clone());
            Ok(StageTask::new(&director, writers, counters.clone()))
        };
        let (name, topic, workers, batch_records) = (&*stage.name, &*stage.from, config.workers, config.batch_records);
        let group = Group { role, name, topic, workers, batch_records, counters: counters.clone() };
        let id = self.start_workers(group, task)?;
        let source = swap::Source { log: self.log.clone(), group: id, schemas: self.schemas.clone() };
        let (sandbox, kept) = (self.sandbox.clone(), Some(self.kept.clone()));
        let workshop = Workshop { sandbox, limits: config.limits, kept, source: Some(source) };
        let made = Deployable { director, workshop, settings };
        if config.deployed.is_some() {
            made.director.set_deployed();
        } else if config.swap.watch != Watch::Off {
            let passed_over = config.start.filter(|start| start.is_passed_over).map(|start| start.file);
            self.watch(&made, config.module, passed_over, false);
        }
        if let Some(shadow) = config.shadow {
            self.watch(&made, shadow, None, true);
        }
        Ok(made)
    }

    fn start_sink(&mut self, (sink, config, from): BuiltSink) -> Result<(), LogError> {
        let counters = Arc::<Counters>::default();
        let schemas = self.schemas.clone();
        let task = || {
            let writers = Writers::new(schemas.clone(), from.schema.clone());
            Ok(SinkTask::new(sink.clone(), writers, counters.clone())?)
        };
        let group = Group {
            role: format!("sink {}", sink.name),
            name: &sink.name,
            topic: &sink.from,
            workers: config.workers,
            batch_records: SINK_BATCH_RECORDS,
            counters: counters.clone(),
        };
        self.start_workers(group, task).map(drop)
    }

    /// Starts the workers of a group. The id under which its positions are kept.
    fn start_workers<T: Task + Send + 'static>(
        &mut self,
        group: Group<'_>,
        task: impl Fn() -> Result<T, LogError>,
    ) -> Result<String, LogError> {
        let Group { role, name, topic, workers, batch_records, counters } = group;
        let id = format!("{}.{name}", self.pipeline);
        let pace = Pace { batch_records, commit_interval: self.commit_interval };
        self.counted.push((role.clone(), counters.clone()));
        self.readers.push(Reader::new(&id, topic, &role));
        for worker in 0..workers {
            let member = Member { group: id.clone(), topic: Some(topic.to_owned()), worker, workers };
            let mut session = self.log.join(member)?;
            let (mut task, halt, counters) = (task()?, self.halt.clone(), counters.clone());
            let run = move || crate::worker::run(&mut *session, &mut task, pace, &halt, &counters);
            self.workers.push(spawn(role.clone(), run));
        }
        Ok(id)
    }

    /// Watches the file of a module. A stage whose module cannot be watched runs all the same.
    fn watch(&mut self, stage: &Deployable, path: PathBuf, passed_over: Option<String>, is_shadow: bool) {
        let Deployable { director, workshop, settings } = stage;
        let (director, workshop, settings) = (director.clone(), workshop.clone(), settings.clone());
        let name = director.stage().name.clone();
        let watched = swap::Watched { director, workshop, path, settings, passed_over, is_shadow };
        match swap::watch(watched, self.halt.clone()) {
            Ok(watcher) => self.watchers.push(watcher),
            Err(error) => tracing::warn!(stage = name, %error, "no thread to watch its module"),
        }
    }

    /// Talks with other hosts: takes modules that are deployed for all, and reports what runs here.
    fn talk(&mut self, control: Option<Control>, stages: Vec<Deployable>) {
        let directors: Vec<_> = stages.iter().map(|stage| stage.director.clone()).collect();
        let deployments = control.map(|control| Deployments::new(control, stages).start(self.halt.clone()));
        let reporter = (!directors.is_empty())
            .then(|| Reporter::new(&self.pipeline, self.log.clone(), directors).start(self.all_told.clone()));
        for started in [deployments, reporter].into_iter().flatten() {
            match started {
                Ok(talker) => self.talkers.push(talker),
                Err(error) => tracing::warn!(%error, "no thread to talk to other hosts"),
            }
        }
    }

    /// Who must have read what before all is through, in the order in which records come to them. To be asked for once.
    pub(super) fn take_readers(&mut self) -> Vec<Reader> {
        std::mem::take(&mut self.readers)
    }

    /// What everything counts.
    pub(super) fn counted(&self) -> &Watched {
        &self.counted
    }

    /// How many records all of them have taken so far.
    pub(super) fn records_in(&self) -> u64 {
        self.counted.iter().map(|(_, counters)| counters.records_in.get()).sum()
    }

    /// Whether every feed has ended.
    pub(super) fn is_fed(&self) -> bool {
        self.feeds.iter().all(|feed| feed.thread.is_finished())
    }

    /// Of whom a worker has ended.
    pub(super) fn failed(&self) -> BTreeSet<String> {
        let ended = self.workers.iter().filter(|worker| worker.thread.is_finished());
        ended.map(|worker| worker.role.clone()).collect()
    }

    /// Whether there were workers, and none is left that could handle a record.
    pub(super) fn is_gone(&self) -> bool {
        !self.workers.is_empty() && self.workers.iter().all(|worker| worker.thread.is_finished())
    }

    /// Ends everything, and waits until all is committed.
    pub(super) fn end(self) -> Outcome {
        let mut outcome = Outcome { counted: self.counted, ..Outcome::default() };
        // A drain waits for all that was read, however long that takes.
        let patience = self.stop.is_requested().then_some(LAST_STEPS);
        // A stop leaves the feeds where they are; a drain has seen them end.
        self.stop.request();
        join(self.feeds, patience, &mut outcome);
        self.halt.store(true, Ordering::Relaxed);
        join(self.workers, patience, &mut outcome);
        self.all_told.store(true, Ordering::Relaxed);
        // Nothing depends on them: neither a log that is away nor a module that is being compiled holds up the end.
        wait(self.talkers.iter().chain(&self.watchers), LAST_WORDS);
        for watcher in self.watchers.into_iter().filter(JoinHandle::is_finished) {
            if watcher.join().is_err() {
                tracing::error!("what watches a module panicked; this is a bug of the host");
            }
        }
        outcome
    }
}

/// Waits until all of these have ended, but not for longer.
fn wait<'t, T: 't>(threads: impl Iterator<Item = &'t JoinHandle<T>> + Clone, patience: Duration) {
    let until = Instant::now() + patience;
    while threads.clone().any(|thread| !thread.is_finished()) && Instant::now() < until {
        std::thread::sleep(LOOK);
    }
}

/// Waits for the end of each. Who takes longer than patience lasts is left, with its step: the next run does that again, as
/// after a kill.
fn join(workers: Vec<Worker>, patience: Option<Duration>, outcome: &mut Outcome) {
    if let Some(patience) = patience {
        wait(workers.iter().map(|worker| &worker.thread), patience);
    }
    for worker in workers {
        if patience.is_some() && !worker.thread.is_finished() {
            tracing::warn!(
                role = worker.role,
                "it does not end; its last step is left, and done again by the next run"
            );
            continue;
        }
        match worker.thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => outcome.failed.push((worker.role, error.to_string())),
            Err(_) => outcome.failed.push((worker.role, "it panicked; this is a bug of the host".to_owned())),
        }
    }
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
