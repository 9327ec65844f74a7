//! `--watch-source`: a module is built again whenever its source changes, beside what runs.
//!
//! ```text
//! source ──watch──> host build ──good──> the module's file ──watch──> trial and swap, as for any other file
//!                       └──bad──> what the tool says; the module that runs goes on
//! ```
//!
//! Nothing here knows of stages: it only replaces files, and whoever runs them watches these. One thread for each folder.
//! What changes while a build runs leads to one more build. A stop ends the build that runs, with all that it has started.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Result;
use bespoke_project::{Built, Looks, ProjectError, Sources, Tools};

use super::build;
use super::source::Source;
use crate::cli::failure::causes;
use crate::shutdown::Shutdown;
use crate::swap::{Notices, QUIET};

/// So many files are named that have changed.
const NAMED: usize = 3;

/// Threads that build. They end when this is dropped.
#[derive(Default)]
pub(super) struct Rebuilding {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A folder, and what was built of it last.
struct Watched {
    source: Source,
    built: Sources,
}

// === impl Rebuilding ===

impl Rebuilding {
    /// Builds everything once, and watches the sources from then on.
    ///
    /// # Errors
    /// If there is no module at all, as the source of one does not build.
    pub fn start(sources: Vec<Source>, shutdown: &Shutdown) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut rebuilding = Self { stop: stop.clone(), threads: Vec::new() };
        let asked = stop.clone();
        shutdown.on_request(move || asked.store(true, Ordering::Relaxed));
        let mut all = Vec::new();
        for source in sources {
            let built = Sources::of(&source.dir, &source.output).unwrap_or_default();
            match source.build(&stop) {
                Ok(_) => {}
                // Whoever has started this asks too.
                Err(ProjectError::Stopped) => return Ok(rebuilding),
                Err(error) if source.output.exists() => {
                    let (name, told) = (source.output.display(), told(&error));
                    tracing::error!("{} does not build, so `{name}` runs as it was\n{told}", source.dir.display());
                }
                Err(error) => return Err(error.into()),
            }
            all.push(Watched { built: after(built, &source), source });
        }
        for watched in all {
            rebuilding.threads.push(watched.start(stop.clone())?);
        }
        Ok(rebuilding)
    }
}

impl Drop for Rebuilding {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("what watches the source of a module panicked; this is a bug of the host");
            }
        }
    }
}

// === impl Watched ===

impl Watched {
    fn start(mut self, stop: Arc<AtomicBool>) -> io::Result<JoinHandle<()>> {
        let name = format!("build {}", self.source.dir.display());
        std::thread::Builder::new().name(name).spawn(move || self.run(&stop))
    }

    fn run(&mut self, stop: &AtomicBool) {
        let mut notices = Notices::new(true, &self.source.dir);
        let mut last: Option<Looks> = None;
        let mut changed = Some(Instant::now());
        while !stop.load(Ordering::Relaxed) {
            notices.wait(if changed.is_some() { QUIET / 2 } else { notices.look_every() }, stop);
            // A folder that is gone may come back, as when another branch is checked out.
            let Ok(looks) = Looks::of(&self.source.dir, &self.source.output) else { continue };
            notices.follow(looks.folders().clone());
            if last.as_ref() != Some(&looks) {
                (last, changed) = (Some(looks), Some(Instant::now()));
                continue;
            }
            if changed.is_none_or(|since| since.elapsed() < QUIET) {
                continue;
            }
            changed = None;
            match Sources::of(&self.source.dir, &self.source.output) {
                Ok(sources) => self.consider(sources, stop),
                // They are being written.
                Err(_) => changed = Some(Instant::now()),
            }
        }
    }

    /// Builds, if the sources are others than those that were built last.
    fn consider(&mut self, sources: Sources, stop: &AtomicBool) {
        let Source { dir, output } = &self.source;
        let changed = sources.changed_since(&self.built);
        if changed.is_empty() {
            return;
        }
        tracing::info!("{}: {} changed, building", dir.display(), names(&changed));
        match self.source.build(stop) {
            Ok(Built::New) => {}
            Ok(Built::Unchanged) => {
                tracing::info!("`{}` is the same as before, so there is nothing to swap", output.display());
            }
            Err(ProjectError::Stopped) => return,
            Err(error) => {
                tracing::error!("{} does not build, the module that runs goes on\n{}", dir.display(), told(&error));
            }
        }
        self.built = after(sources, &self.source);
    }
}

// === impl Source ===

impl Source {
    fn build(&self, stop: &AtomicBool) -> Result<Built, ProjectError> {
        let started = Instant::now();
        let say = |line: &str| tracing::info!("{line}");
        let project = self.project()?;
        let tools = Tools::new(build::tools(None, &project), false, &say).stopped_by(stop);
        let built = project.build(&tools, &self.output)?;
        if built == Built::New {
            tracing::info!("{}", build::told(&self.output, started.elapsed()));
        }
        Ok(built)
    }
}

/// What sources were before a build, with what the build has changed itself.
fn after(before: Sources, source: &Source) -> Sources {
    match Sources::of(&source.dir, &source.output) {
        Ok(now) => before.with_locks_of(&now),
        Err(_) => before,
    }
}

/// What is wrong, below a line that says where: as the tool says it, a little to the right.
fn told(error: &ProjectError) -> String {
    let text = causes(anyhow::Chain::new(error)).join("\nbecause: ");
    text.lines().map(|line| format!("    {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// The first few of them.
fn names(paths: &[&Path]) -> String {
    let named: Vec<_> = paths.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    match paths.len() - named.len() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
