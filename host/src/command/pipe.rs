//! A module as a pipe: JSON lines in on standard input, JSON lines out on standard output, no log.
//!
//! The same worker loop and the same stage run as in a pipeline; only the session is another. It keeps the records of the
//! open step, because a step that is thrown away is done again, and writes what came out when the step commits. What
//! cannot be handled is told on standard error, with its line.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use bespoke_record::{Batch, BatchBuilder, Entry};
use bytes::Bytes;

use super::alone::{self, Handed, OneSchema};
use super::{sandbox, schema_in};
use crate::cli::failure::Usage;
use crate::dead_letter::DeadLetter;
use crate::feed::{Next, Source, open_file};
use crate::format::reader::Format;
use crate::format::{JsonStyle, write_json};
use crate::log::{Commit, Event, LogError, Session};
use crate::metrics::Counters;
use crate::module::{Fault, Instance, Limits, Module, THREAD_STACK_BYTES};
use crate::schema::framing;
use crate::shutdown::Shutdown;
use crate::stage::{Stage, StageTask, Version, Writers};
use crate::swap::{self, Director, Terms, Watched, Workshop};
use crate::worker::{Pace, Stop};

/// Where a module reads when there are no topics.
const INPUT: &str = "standard input";
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 4 << 20;
const COMMIT_INTERVAL: Duration = Duration::from_millis(100);

/// Runs a module over standard input until it ends. False if a record could not be handled.
///
/// # Errors
/// If the module cannot be used, or breaks for good.
pub fn run(module: &Path, schema: &Path, settings: &[(String, String)], shutdown: &Shutdown) -> Result<bool> {
    let schema = Arc::new(schema_in(schema)?);
    let (path, sandbox) = (module, sandbox()?);
    let module = Arc::new(Module::load(&sandbox, path, Limits::default())?);
    let settings: Arc<[(String, String)]> = settings.into();
    // Settings that it refuses are known now.
    let refused = |fault: Fault| Usage::new(format!("module `{}` does not start: {fault}", module.name()));
    Instance::new(&module, &settings).map_err(refused)?;
    let stage = Arc::new(alone::stage(&module, INPUT, &schema, &BTreeMap::new())?);
    let first = Arc::new(Version::compile(&stage, 1, module, settings.clone())?);
    let counters = Arc::new(Counters::default());
    let director = Director::new(stage, first, Terms::default(), counters.clone());
    let workshop = Workshop { sandbox, limits: Limits::default(), kept: None, source: None };
    let halt = Arc::new(AtomicBool::new(false));
    let (path, passed_over, is_shadow) = (path.to_owned(), None, false);
    let watched = Watched { director: director.clone(), workshop, path, settings, passed_over, is_shadow };
    swap::watch(watched, halt.clone())?;
    let task_counters = counters.clone();
    let shutdown = shutdown.clone();
    let run = move || {
        let writers = Writers::new(Arc::new(OneSchema(schema.clone())), schema.clone());
        let mut task = StageTask::new(&director, writers, task_counters.clone());
        let source =
            open_file(None, Format::Jsonl, &schema, false, None).map_err(|e| Stop::Policy(format!("{INPUT}: {e}")))?;
        let mut session = PipeSession::new(source, director.stage().clone(), shutdown.clone());
        let pace = Pace { batch_records: BATCH_RECORDS, commit_interval: COMMIT_INTERVAL };
        crate::worker::run(&mut session, &mut task, pace, shutdown.flag(), &task_counters)?;
        match session.broken {
            Some(error) => Err(Stop::Policy(format!("standard output: {error}; its last line may be torn"))),
            None => Ok(session.rejected),
        }
    };
    // Modules may use more stack than the main thread is sure to have.
    let thread = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn(run)?;
    let ended = thread.join();
    // What watches the module has nothing left to tell. It may be compiling one, which nobody waits for.
    halt.store(true, Ordering::Relaxed);
    let rejected = ended.map_err(|_| anyhow!("the worker panicked; this is a bug of the host"))??;
    let letters = counters.dead_letters.get() + rejected;
    tracing::info!(
        records_in = counters.records_in.get(),
        records_out = counters.records_out.get(),
        dropped = counters.dropped.get(),
        dead_letters = letters,
        "through"
    );
    Ok(letters == 0)
}

/// Standard input and output as a log of one step.
struct PipeSession {
    source: Box<dyn Source>,
    stage: Arc<Stage>,
    shutdown: Shutdown,
    announced: bool,
    handed: Handed<Batch>,
    state: Option<Bytes>,
    next_offset: i64,
    /// Where the records of the open step were, by offset.
    places: BTreeMap<i64, String>,
    out: Vec<u8>,
    complaints: Vec<String>,
    rejected: u64,
    ended: bool,
    /// Why standard output takes no more.
    broken: Option<std::io::Error>,
}

impl PipeSession {
    fn new(source: Box<dyn Source>, stage: Arc<Stage>, shutdown: Shutdown) -> Self {
        Self {
            source,
            stage,
            shutdown,
            announced: false,
            handed: Handed::default(),
            state: None,
            next_offset: 0,
            places: BTreeMap::new(),
            out: Vec::new(),
            complaints: Vec::new(),
            rejected: 0,
            ended: false,
            broken: None,
        }
    }

    /// Lines until there are enough, or none yet.
    fn read(&mut self, max_records: usize, until: Instant) -> Result<Batch, LogError> {
        let mut builder = BatchBuilder::new();
        let mut value = Vec::new();
        let failed =
            |e: Box<dyn std::error::Error + Send + Sync>| LogError::Store { path: INPUT.to_owned(), source: e };
        while builder.len() < max_records && builder.bytes() < BATCH_BYTES {
            value.clear();
            value.extend_from_slice(&alone::prefix());
            match self.source.next(&mut value).map_err(|e| failed(Box::new(e)))? {
                Next::Datum => {
                    self.places.insert(self.next_offset + builder.len() as i64, self.source.place());
                    builder.push(None, Some(&value), [], 0).map_err(|e| failed(Box::new(e)))?;
                }
                Next::Rejected { reason, place, .. } => {
                    self.rejected += 1;
                    tracing::warn!("{place}: {reason}");
                }
                Next::Wait if builder.is_empty() && Instant::now() < until && !self.shutdown.is_requested() => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                Next::Wait => break,
                Next::End => {
                    self.ended = true;
                    break;
                }
            }
        }
        Ok(self.numbered(&builder.finish()))
    }

    /// The same records with offsets, which the search for a bad one needs.
    fn numbered(&mut self, batch: &Batch) -> Batch {
        let first = self.next_offset;
        self.next_offset += batch.len() as i64;
        let number = |(i, entry): (usize, &Entry)| Entry { offset: first + i as i64, ..*entry };
        let entries = batch.entries().iter().enumerate().map(number).collect();
        Batch::from_parts(batch.arena().clone(), entries, Vec::new()).unwrap_or_default()
    }

    fn print(&mut self, topic: &str, value: &[u8]) {
        let Some(output) = self.stage.outputs.iter().find(|output| output.topic == topic) else { return };
        let before = self.out.len();
        if output.name.is_some() {
            // Several outputs share one stream: each line tells of which it is.
            self.out.extend_from_slice(format!("{{\"{topic}\":").as_bytes());
        }
        // What this host wrote itself is framed.
        let datum = framing::split(value).map_or(value, |(_, datum)| datum);
        if let Err(error) = write_json(&output.schema, datum, JsonStyle::Plain, &mut self.out) {
            self.out.truncate(before);
            self.complaints.push(format!("a record of {topic} cannot be shown: {error}"));
            return;
        }
        self.out.extend_from_slice(if output.name.is_some() { b"}\n" } else { b"\n" });
    }
}

impl Session for PipeSession {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Event, LogError> {
        if !self.announced {
            self.announced = true;
            let position = self.handed.first().and_then(|b| b.entries().first()).map_or(self.next_offset, |e| e.offset);
            return Ok(Event::Assigned { partition: 0, position, note: None, state: self.state.clone() });
        }
        let batch = match self.handed.again() {
            Some(batch) => batch,
            None => self.read(max_records, Instant::now() + timeout)?,
        };
        if batch.is_empty() {
            if self.ended {
                // The worker commits what is open, and ends.
                self.shutdown.request();
            }
            return Ok(Event::Idle);
        }
        self.handed.out(&batch);
        Ok(Event::Records { partition: 0, batch })
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<(), LogError> {
        records.iter().filter_map(|record| record.value()).for_each(|value| self.print(topic, value));
        Ok(())
    }

    fn divert(&mut self, _: &str, letters: &Batch) -> Result<(), LogError> {
        for letter in letters.iter().filter_map(DeadLetter::of) {
            let place = letter.origin.as_ref().and_then(|origin| self.places.get(&origin.offset));
            let place = place.map_or(INPUT, String::as_str);
            self.complaints.push(format!("{place}: {} ({})", letter.reason, letter.kind));
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), LogError> {
        for complaint in self.complaints.drain(..) {
            tracing::warn!("{complaint}");
        }
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(&self.out).and_then(|()| stdout.flush());
        self.out.clear();
        match written {
            Ok(()) => {}
            // Nobody reads any more, so nothing more is worth doing.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => self.shutdown.request(),
            // Some of the step may be out, so that another try would write it twice.
            Err(error) => {
                self.broken = Some(error);
                self.shutdown.request();
            }
        }
        self.handed.commit();
        if let [(_, next)] = commit.positions {
            self.places = self.places.split_off(next);
        }
        if let [(_, state)] = commit.states {
            self.state = Some(state.clone());
        }
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.out.clear();
        self.complaints.clear();
        self.handed.abort();
        self.announced = false;
        Ok(())
    }

    fn attend(&mut self) -> Result<bool, LogError> {
        Ok(true)
    }

    fn max_record_bytes(&self, _: &str) -> usize {
        usize::MAX
    }

    fn open_bytes(&self) -> usize {
        self.out.len()
    }
}
