//! How a command that did not do what it should ends: the words on standard error, and the exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use bespoke_boundary::Mismatch;
use bespoke_project::ProjectError;

use crate::config::ConfigError;
use crate::feed::generate::GeneratorError;
use crate::log::LogError;
use crate::module::LoadError;
use crate::pipeline::BuildError;
use crate::schema::{DirError, RegistryError};
use crate::table::TableError;
use crate::wit::WitError;

/// The command line or the configuration is wrong (EX_USAGE of sysexits.h).
const EXIT_USAGE: u8 = 64;
/// It was understood, and failed.
const EXIT_FAILED: u8 = 1;

/// A command line that clap takes, and that means nothing all the same.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct Usage {
    what: String,
    hint: Option<String>,
}

/// How a command failed.
pub(super) enum Failure {
    /// Nobody reads on. Nothing has failed, and there is nothing to say.
    NobodyReads,
    /// An error with what to say about it.
    Told { lines: Vec<String>, hint: Option<String>, code: u8 },
}

// === impl Usage ===

impl Usage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

// === impl Failure ===

impl Failure {
    pub(super) fn of(error: &anyhow::Error) -> Self {
        if error.chain().any(is_broken_pipe) {
            return Self::NobodyReads;
        }
        let is_usage = error.chain().any(is_usage);
        let lines = causes(error.chain());
        let hint = error.chain().find_map(hint);
        Self::Told { lines, hint, code: if is_usage { EXIT_USAGE } else { EXIT_FAILED } }
    }

    /// Says it.
    pub(super) fn tell(self) -> ExitCode {
        let Self::Told { lines, hint, code } = self else { return ExitCode::SUCCESS };
        // Several mistakes stand below each other.
        let lines: Vec<String> = lines.iter().map(|line| line.trim_end().replace('\n', "\n       ")).collect();
        let mut text = format!("error: {}\n", lines.join("\n  because: "));
        if let Some(hint) = hint {
            text.push_str(&format!("hint: {hint}\n"));
        }
        // Without standard error, the code is all that can be said.
        let _ = io::stderr().write_all(text.as_bytes());
        ExitCode::from(code)
    }
}

/// What each error of a chain says. Those that pass on their source's words tell them once.
pub(crate) fn causes(chain: anyhow::Chain<'_>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for cause in chain.map(ToString::to_string) {
        if lines.last().is_none_or(|last| !last.contains(&cause)) {
            lines.push(cause);
        }
    }
    lines
}

/// What clap has to say: help and versions are no failures.
pub(super) fn of_usage(told: &clap::Error) -> ExitCode {
    let printed = told.print();
    match (told.use_stderr(), printed) {
        (true, _) => ExitCode::from(EXIT_USAGE),
        (false, Err(error)) if !is_broken_pipe(&error) => ExitCode::from(EXIT_FAILED),
        (false, _) => ExitCode::SUCCESS,
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// Whether whoever typed or configured it has to change something. What the system refuses is a failure: a file that
/// cannot be written, a log that another host has.
fn is_usage(error: &(dyn std::error::Error + 'static)) -> bool {
    if error.is::<Usage>() || error.is::<Mismatch>() || error.is::<GeneratorError>() || error.is::<WitError>() {
        return true;
    }
    if let Some(error) = error.downcast_ref() {
        return match error {
            // Each tells by itself, here or as the cause.
            BuildError::Dir(error) => is_wrong_schema(error),
            BuildError::Module { source, .. } => is_wrong_module(source),
            BuildError::Registry { source, .. } => is_wrong_registration(source),
            BuildError::Log(error) => is_wrong_shape(error),
            BuildError::NoTopics(_) => false,
            _ => true,
        };
    }
    if let Some(error) = error.downcast_ref() {
        return is_wrong_project(error);
    }
    match error.downcast_ref() {
        Some(ConfigError::Read { source, .. }) => is_wrong_path(source),
        Some(_) => true,
        None => {
            error.downcast_ref().is_some_and(is_wrong_schema)
                || error.downcast_ref().is_some_and(is_wrong_module)
                || error.downcast_ref().is_some_and(is_wrong_shape)
        }
    }
}

/// Whether the folder of a module is not one. That its source is refused, or a tool is missing, is a failure.
fn is_wrong_project(error: &ProjectError) -> bool {
    use ProjectError::{Bindings, Exists, Name, NoModule, Several, Taken, Wit, World};
    let is_wrong_folder = matches!(error, NoModule { .. } | Several { .. } | Exists { .. });
    is_wrong_folder || matches!(error, Wit { .. } | World { .. } | Name { .. } | Taken { .. } | Bindings { .. })
}

/// Whether another file must be named, or other things written into it.
fn is_wrong_path(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory | InvalidData)
}

fn is_wrong_schema(error: &DirError) -> bool {
    match error {
        DirError::Read { source, .. } => is_wrong_path(source),
        DirError::Schema { .. } => true,
    }
}

fn is_wrong_module(error: &LoadError) -> bool {
    match error {
        LoadError::Read { source, .. } => is_wrong_path(source),
        _ => true,
    }
}

/// Whether the schema, or what is said of the registry, has to be changed.
fn is_wrong_registration(error: &RegistryError) -> bool {
    match error {
        RegistryError::File { .. } | RegistryError::Damaged { .. } | RegistryError::Unavailable(_) => false,
        RegistryError::Schema(_)
        | RegistryError::Incompatible { .. }
        | RegistryError::Refused { .. }
        | RegistryError::NotRegistered { .. }
        | RegistryError::Unreadable { .. }
        | RegistryError::NoGuid(_)
        | RegistryError::Denied { .. }
        | RegistryError::Settings(_) => true,
    }
}

/// Whether a topic or a table is there, and is not what the pipeline says.
fn is_wrong_shape(error: &LogError) -> bool {
    use LogError::{BadName, BadPartitions, Partitions, Setting, Table};
    match error {
        Partitions { .. } | BadName(_) | BadPartitions { .. } | Setting { .. } => true,
        Table(error) => matches!(error, TableError::Spec { .. } | TableError::Different { .. }),
        _ => false,
    }
}

/// What to do next, where the message alone does not say it.
fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(usage) = error.downcast_ref::<Usage>() {
        return usage.hint.clone();
    }
    if let Some(ConfigError::Read { source, .. }) = error.downcast_ref() {
        let missing = source.kind() == io::ErrorKind::NotFound;
        return missing.then(|| "name a pipeline file, or change to the folder that has one".to_owned());
    }
    if let Some(BuildError::NoTopics(missing)) = error.downcast_ref() {
        let commands: Vec<&str> = missing.iter().map(|topic| topic.command.as_str()).collect();
        let how = "set `create_topics = true`, or make them, each with `--pipeline FILE` or `--brokers …`";
        return Some(format!("{how}:\n    {}", commands.join("\n    ")));
    }
    match error.downcast_ref()? {
        LogError::InUse { .. } => Some("stop that host first; looking into topics works while it runs".to_owned()),
        LogError::NoTopic(_) => Some("`host topics list` lists those that there are".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    fn told(error: anyhow::Error) -> (Vec<String>, Option<String>, u8) {
        match Failure::of(&error) {
            Failure::Told { lines, hint, code } => (lines, hint, code),
            Failure::NobodyReads => panic!("nothing told"),
        }
    }

    #[test]
    fn causes_are_told_once() {
        let inner: anyhow::Error = io::Error::other("disk on fire").into();
        let (lines, hint, code) = told(inner.context("cannot write"));
        assert_eq!((lines, hint, code), (vec!["cannot write".to_owned(), "disk on fire".to_owned()], None, 1));
        let store = LogError::Store { path: "a.db".to_owned(), source: Box::new(io::Error::other("disk on fire")) };
        assert_eq!(told(store.into()).0.len(), 1);
    }

    #[test]
    fn wrong_usage_and_wrong_configuration_are_64() {
        let usage = Err::<(), _>(Usage::new("no").hint("yes")).context("outer").expect_err("it is one");
        assert_eq!(told(usage), (vec!["outer".to_owned(), "no".to_owned()], Some("yes".to_owned()), 64));
        let missing = ConfigError::Read { path: "p".into(), source: io::ErrorKind::NotFound.into() };
        let (_, hint, code) = told(missing.into());
        assert!(hint.is_some_and(|hint| hint.contains("name a pipeline file")));
        assert_eq!(code, 64);
    }

    #[test]
    fn what_the_system_refuses_is_1_and_what_must_be_changed_is_64() {
        let no = |kind: io::ErrorKind| io::Error::from(kind);
        let (denied, missing) = (io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound);
        let registry = |source| BuildError::Registry { topic: "t".to_owned(), source };
        let module = |kind| LoadError::Read { path: "m.wasm".into(), source: no(kind) };
        let in_stage = |source| BuildError::Module { stage: "s".to_owned(), source };
        let schema = |kind| DirError::Read { path: "schemas".into(), source: no(kind) };
        let text = || "t".to_owned();
        let partitions = || LogError::Partitions { topic: text(), existing: 1, wanted: 2 };
        let different = || TableError::Different { table: text(), differences: text(), ddl: text() };
        let core = || LoadError::NotAComponent { path: "m.wasm".into(), what: text() };
        let table: [(anyhow::Error, u8); 23] = [
            (WitError::Empty(text()).into(), 64),
            (registry(RegistryError::File { path: "ids".into(), source: no(denied) }).into(), 1),
            (registry(RegistryError::Damaged { path: "ids".into(), what: text() }).into(), 1),
            (registry(RegistryError::Schema(text())).into(), 64),
            (RegistryError::File { path: "ids".into(), source: no(denied) }.into(), 1),
            (schema(missing).into(), 64),
            (schema(denied).into(), 1),
            (BuildError::Dir(schema(denied)).into(), 1),
            (BuildError::Dir(schema(missing)).into(), 64),
            (module(missing).into(), 64),
            (module(denied).into(), 1),
            (in_stage(module(denied)).into(), 1),
            (in_stage(module(missing)).into(), 64),
            (in_stage(core()).into(), 64),
            (core().into(), 64),
            (ConfigError::Read { path: "p".into(), source: no(denied) }.into(), 1),
            (BuildError::Cycle(text()).into(), 64),
            (BuildError::Log(partitions()).into(), 64),
            (partitions().into(), 64),
            (BuildError::Log(different().into()).into(), 64),
            (BuildError::Log(LogError::NoTopic(text())).into(), 1),
            (BuildError::Log(LogError::InUse { path: text(), pid: text() }).into(), 1),
            (LogError::Store { path: text(), source: Box::new(no(missing)) }.into(), 1),
        ];
        for (error, code) in table {
            let words = format!("{error:?}");
            assert_eq!(told(error.context("outer")).2, code, "{words}");
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let gone: anyhow::Error = io::Error::from(io::ErrorKind::BrokenPipe).into();
        assert!(matches!(Failure::of(&gone.context("printing")), Failure::NobodyReads));
    }
}
