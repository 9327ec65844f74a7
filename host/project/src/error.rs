//! What can be wrong with a module's folder, or keep it from being built.

use std::io;
use std::path::PathBuf;

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The folder has none of the files that a module's source has.
    #[error(
        "`{dir}` is not the folder of a module: it has no module.py, module.js, module.ts, module.c, go.mod or Cargo.toml",
        dir = dir.display()
    )]
    NoModule {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder has files of several languages.
    #[error("`{dir}` has {found}; a folder holds a module in one language", dir = dir.display())]
    Several {
        /// The folder.
        dir: PathBuf,
        /// The files.
        found: String,
    },
    /// The WIT cannot be read.
    #[error("`{path}` is not a WIT package", path = path.display())]
    Wit {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: anyhow::Error,
    },
    /// The WIT does not say which world is meant.
    #[error("{}", of_worlds(path, found, wanted.as_deref()))]
    World {
        /// Its folder.
        path: PathBuf,
        /// Its worlds.
        found: Vec<String>,
        /// What was asked for.
        wanted: Option<String>,
    },
    /// A name that a language's tools cannot write.
    #[error(
        "{what} `{name}` cannot be written in {language}, whose tools do not escape it; give the field another name in a \
         reader schema, with `{name}` as an alias, or leave it out with `--omit`"
    )]
    Name {
        /// What has the name, and where.
        what: String,
        /// The name.
        name: String,
        /// The language.
        language: &'static str,
    },
    /// A module whose name means something else in its language.
    #[error("`{name}` cannot be the name of a module in {language}: {why}; choose another, such as `{name}-check`")]
    Taken {
        /// The name, of the world or in `go.mod`.
        name: String,
        /// The language.
        language: &'static str,
        /// What it means.
        why: &'static str,
    },
    /// The generator of bindings refuses the WIT.
    #[error("no bindings can be made for `{path}`", path = path.display())]
    Bindings {
        /// The WIT's folder.
        path: PathBuf,
        /// Why.
        source: anyhow::Error,
    },
    /// A program of the language is not there.
    #[error("{program} is missing: {cure}")]
    Missing {
        /// The program.
        program: &'static str,
        /// What to do.
        cure: &'static str,
    },
    /// A tool is not there, and may not be fetched.
    #[error("{tool} is missing, and `--offline` forbids to fetch it; it is put in place by: {command}")]
    Offline {
        /// The tool with its version.
        tool: String,
        /// What puts it in place.
        command: String,
    },
    /// A tool ended with an error.
    #[error("{tool} failed\n{output}")]
    Failed {
        /// The tool.
        tool: String,
        /// What it said.
        output: String,
    },
    /// It was asked to stop.
    #[error("the build was stopped")]
    Stopped,
    /// The core code does not become a component.
    #[error("the compiled code does not fit its WIT: {0:#}")]
    Component(anyhow::Error),
    /// The folder that `host new` is to make is there.
    #[error("`{path}` is there already", path = path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("`{path}`: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ProjectError {
    /// With what it means for the author, if the tool has said this.
    pub(super) fn with_note(mut self, said: &str, note: &str) -> Self {
        if let Self::Failed { output, .. } = &mut self
            && output.contains(said)
        {
            output.push('\n');
            output.push_str(note);
        }
        self
    }
}

fn of_worlds(path: &std::path::Path, found: &[String], wanted: Option<&str>) -> String {
    let path = path.display();
    let names = found.join(", ");
    match wanted {
        Some(wanted) => format!("`{path}` has no world `{wanted}`, but {names}"),
        None if found.is_empty() => format!("`{path}` has no world"),
        None => format!("`{path}` has the worlds {names}; name one with `--world`, or delete the others"),
    }
}
