//! The folder that a module is built from, as it was typed, as a pipeline has it, or because the module stands in it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use bespoke_project::{Language, Project, ProjectError};

use crate::cli::failure::Usage;
use crate::config::{self, Pipeline};
use crate::swap::Watch;

/// What `--module` may name besides a file.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    /// The module's file. Of a folder it is what `host build` makes there.
    pub file: PathBuf,
    /// The folder, if one was typed.
    pub dir: Option<PathBuf>,
}

/// A folder, and the file that is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub dir: PathBuf,
    pub output: PathBuf,
}

// === impl Typed ===

impl Typed {
    /// A file, or the folder of a module's source.
    ///
    /// # Errors
    /// If it is a folder, and not that of one module.
    pub fn of(typed: &Path) -> Result<Self> {
        if !typed.is_dir() {
            return Ok(Self { file: typed.to_owned(), dir: None });
        }
        let project = Project::open(typed, None)?;
        Ok(Self { file: project.output(), dir: Some(typed.to_owned()) })
    }

    /// Refuses a folder of which no module was made yet, and says so if it was made of other sources.
    pub fn must_be_built(&self) -> Result<(), Usage> {
        match &self.dir {
            Some(dir) if !self.file.exists() => {
                let build = format!("`host build {}` does it, or --watch-source, on every change", dir.display());
                Err(Usage::new(format!("`{}` is not built yet", self.file.display())).hint(build))
            }
            Some(dir) => {
                warn_if_stale(dir, &self.file);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Where the module is built, if that is known.
    pub fn source(&self) -> Option<Source> {
        match &self.dir {
            Some(dir) => Some(Source { dir: dir.clone(), output: self.file.clone() }),
            None => Source::around(&self.file),
        }
    }

    /// The one Avro schema that lies beside the source.
    pub fn schema(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.source()?.dir).ok()?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut schemas = paths.filter(|path| path.extension().is_some_and(|e| e == "avsc"));
        let first = schemas.next()?;
        schemas.next().is_none().then_some(first)
    }
}

// === impl Source ===

impl Source {
    /// The folder of a module that stands where `host build` puts it.
    fn around(file: &Path) -> Option<Self> {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let dir = parent.unwrap_or(Path::new("."));
        if Language::of(dir).is_err() || !dir.join("wit").is_dir() {
            return None;
        }
        let is_made_here = match Project::open(dir, Some(&world_of(file))) {
            Ok(project) => project.output().file_name() == file.file_name(),
            Err(ProjectError::World { .. }) => false,
            // Its WIT is about to be mended.
            Err(_) => true,
        };
        is_made_here.then(|| Self { dir: dir.to_owned(), output: file.to_owned() })
    }

    /// What the folder holds now.
    ///
    /// # Errors
    /// As for [`Project::open`].
    pub fn project(&self) -> Result<Project, ProjectError> {
        match Project::open(&self.dir, None) {
            // One of several, after which the file is named.
            Err(ProjectError::World { .. }) => Project::open(&self.dir, Some(&world_of(&self.output))),
            opened => opened,
        }
    }
}

/// Says so if a module was made of other sources than those that its folder has now.
pub(super) fn warn_if_stale(dir: &Path, file: &Path) {
    if Project::open(dir, Some(&world_of(file))).is_ok_and(|project| project.is_stale(file)) {
        let (file, dir) = (file.display(), dir.display());
        tracing::warn!("the source of `{file}` was changed since it was built; `host build {dir}` builds it anew");
    }
}

/// The sources of what a pipeline runs, each once; of one stage if it is named.
///
/// # Errors
/// If there are none.
pub(super) fn of_pipeline(config: &Pipeline, only: Option<&str>) -> Result<Vec<Source>, Usage> {
    let mut sources: Vec<Source> = Vec::new();
    for stage in config.stages.iter().filter(|stage| only.is_none_or(|only| only == stage.name)) {
        let found: Vec<Source> = of_stage(stage).collect();
        if !found.is_empty() && stage.swap.watch == Watch::Off {
            tracing::warn!(stage = stage.name, "its module is built and not swapped, as it says `watch = false`");
        }
        sources.extend(found);
    }
    let place = |source: &Source| source.output.canonicalize().unwrap_or_else(|_| source.output.clone());
    sources.sort_by_key(place);
    sources.dedup_by_key(|source| place(source));
    if sources.is_empty() {
        let what = "--watch-source finds no source: no module stands in the folder that it is built from";
        let cure = "say where it is: `source = \"DIR\"` in [[stage]]";
        return Err(Usage::new(what).hint(cure));
    }
    Ok(sources)
}

fn of_stage(stage: &config::Stage) -> impl Iterator<Item = Source> {
    let named = stage.source.clone().map(|dir| Source { dir, output: stage.module.clone() });
    let live = named.or_else(|| Source::around(&stage.module));
    live.into_iter().chain(stage.shadow.as_deref().and_then(Source::around))
}

fn world_of(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}
