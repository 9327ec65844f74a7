//! The tools of the languages: compilers that the machine has, and packages of registries that are fetched once.
//!
//! What is fetched goes into one folder for all modules of a user, by name and version, so that a second module fetches
//! nothing. A folder counts when its mark is there, which is written last; two builds at once wait for each other.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

use super::process::{LockError, Stop};
use super::{ProjectError, files};

/// What is fetched. Exact, since a module is to be the same wherever it is built.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";
const ZIG: &str = "ziglang==0.16.0";
const COMPONENTIZE_QJS: &str = "componentize-qjs@0.4.5";
const ESBUILD: &str = "esbuild@0.28.2";
const TYPESCRIPT: &str = "typescript@7.0.2";
/// All of them: another version makes another module of the same source.
pub(super) const VERSIONS: &str = "componentize-py 0.25.1 ziglang 0.16.0 componentize-qjs 0.4.5 esbuild 0.28.2";

const WHOLE: &str = ".whole";
/// In the folder of the bindings.
const LOCK: &str = ".lock";
const NO_PYTHON: ProjectError = ProjectError::Missing {
    program: "python3",
    cure: "install Python 3.10 or later with its module venv (on Debian and Ubuntu: apt install python3 python3-venv)",
};
const NO_NODE: ProjectError = ProjectError::Missing {
    program: "npm",
    cure: "install Node.js 20 or later with npm (https://nodejs.org; on Debian and Ubuntu: apt install nodejs npm)",
};

/// Where tools are, whether they may be fetched, and who is told.
pub struct Tools<'a> {
    folder: PathBuf,
    offline: bool,
    say: &'a dyn Fn(&str),
    stop: Stop<'a>,
}

impl<'a> Tools<'a> {
    /// Tools in this folder, which is made when one is fetched.
    pub fn new(folder: PathBuf, offline: bool, say: &'a dyn Fn(&str)) -> Self {
        Self { folder, offline, say, stop: Stop::default() }
    }

    /// The same, and what runs is ended when the flag is set: [`ProjectError::Stopped`].
    #[must_use]
    pub fn stopped_by(self, flag: &'a AtomicBool) -> Self {
        Self { stop: Stop(Some(flag)), ..self }
    }

    /// componentize-py, to be given arguments.
    pub(super) fn componentize_py(&self) -> Result<Command, ProjectError> {
        let folder = self.python_package(COMPONENTIZE_PY, "57 MB")?;
        let mut command = Command::new(folder.join("bin").join("componentize-py"));
        // It looks into the environment of another Python, which is not that of the module.
        command.env_remove("VIRTUAL_ENV").env_remove("RUST_BACKTRACE").env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(command)
    }

    /// zig, to be given arguments. What it builds of libc it keeps beside itself.
    pub(super) fn zig(&self) -> Result<Command, ProjectError> {
        let folder = self.python_package(ZIG, "98 MB; the first build makes libc too, which takes a minute")?;
        let mut command = Command::new(folder.join("bin").join("python"));
        command.args(["-m", "ziglang"]).env("ZIG_GLOBAL_CACHE_DIR", folder.join("cache"));
        command.env("ZIG_LOCAL_CACHE_DIR", folder.join("cache"));
        Ok(command)
    }

    /// The tools for JavaScript: esbuild and componentize-qjs, to be given arguments.
    pub(super) fn javascript(&self) -> Result<(Command, Command), ProjectError> {
        let packages = self.node_packages("javascript", &[COMPONENTIZE_QJS, ESBUILD], "20 MB")?.join("node_modules");
        let programs = packages.join(".bin");
        // The program itself: what npm puts before it adds a traceback of its own to every error.
        let platforms = fs::read_dir(packages.join("@esbuild")).into_iter().flatten().flatten();
        let own = platforms.map(|platform| platform.path().join("bin").join("esbuild")).find(|path| path.is_file());
        let esbuild = own.unwrap_or_else(|| programs.join("esbuild"));
        Ok((Command::new(esbuild), Command::new(programs.join("componentize-qjs"))))
    }

    /// The compiler of TypeScript, which checks types.
    pub(super) fn typescript(&self) -> Result<PathBuf, ProjectError> {
        Ok(self.node_packages("typescript", &[TYPESCRIPT], "10 MB")?.join("node_modules").join(".bin").join("tsc"))
    }

    /// Runs a tool whose warnings the author should see. Returns what it printed.
    pub(super) fn run(&self, command: &mut Command, tool: &str) -> Result<String, ProjectError> {
        let output = self.finished(command, tool)?;
        let told = String::from_utf8_lossy(&output.stderr);
        if !told.trim().is_empty() {
            (self.say)(told.trim_end());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A virtual environment with one package.
    fn python_package(&self, package: &str, size: &str) -> Result<PathBuf, ProjectError> {
        self.fetched(&package.replace("==", "-"), package, size, |folder| {
            let python = folder.join("bin").join("python");
            let mut make = Command::new("python3");
            make.args(["-m", "venv"]).arg(folder);
            let mut fetch = Command::new(python);
            fetch.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", package]);
            (vec![make, fetch], NO_PYTHON)
        })
    }

    /// A folder with packages of npm. None of them needs its install script.
    fn node_packages(&self, name: &str, packages: &[&str], size: &str) -> Result<PathBuf, ProjectError> {
        let versions: Vec<_> = packages.iter().map(|package| package.replace('@', "-")).collect();
        self.fetched(&format!("{name}-{}", versions.join("-")), &packages.join(" and "), size, |folder| {
            let mut fetch = Command::new("npm");
            fetch.args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--silent", "--prefix"]);
            fetch.arg(folder).args(packages);
            (vec![fetch], NO_NODE)
        })
    }

    /// A folder that is there whole, or is filled now by commands.
    fn fetched(
        &self,
        name: &str,
        tool: &str,
        size: &str,
        commands: impl FnOnce(&Path) -> (Vec<Command>, ProjectError),
    ) -> Result<PathBuf, ProjectError> {
        let folder = self.folder.join(name);
        let mark = folder.join(WHOLE);
        if mark.exists() {
            return Ok(folder);
        }
        let (commands, missing) = commands(&folder);
        if self.offline {
            let command: Vec<_> = commands.iter().map(shown).collect();
            let command = format!("{} && touch {}", command.join(" && "), mark.display());
            return Err(ProjectError::Offline { tool: tool.to_owned(), command });
        }
        let failed = |source| ProjectError::File { path: folder.clone(), source };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let lock = File::create(self.folder.join(format!("{name}.lock"))).map_err(failed)?;
        let wait = || (self.say)(&format!("waiting for another build that fetches {tool}"));
        self.locked(&lock, &folder, wait)?;
        if mark.exists() {
            return Ok(folder);
        }
        // What an install that was ended has left.
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(failed)?;
        }
        (self.say)(&format!("fetching {tool} ({size}, once) into {}", folder.display()));
        for mut command in commands {
            let words = shown(&command);
            match self.finished(&mut command, &words) {
                Err(ProjectError::File { source, .. }) if source.kind() == ErrorKind::NotFound => return Err(missing),
                done => done?,
            };
        }
        files::write(&mark, b"")?;
        Ok(folder)
    }

    /// One build at a time has the folder of the bindings, for as long as the file is open.
    pub(super) fn lock_bindings(&self, bindings: &Path) -> Result<File, ProjectError> {
        let path = bindings.join(LOCK);
        let lock = File::create(&path).map_err(|source| ProjectError::File { path: path.clone(), source })?;
        self.locked(&lock, &path, || (self.say)("waiting for another build in the same folder"))?;
        Ok(lock)
    }

    /// Locks a file, and says so once if another has it.
    fn locked(&self, lock: &File, path: &Path, wait: impl FnOnce()) -> Result<(), ProjectError> {
        self.stop.lock(lock, wait).map_err(|error| match error {
            LockError::Stopped => ProjectError::Stopped,
            LockError::Io(source) => ProjectError::File { path: path.to_owned(), source },
        })
    }

    /// Runs a command to its end.
    fn finished(&self, command: &mut Command, tool: &str) -> Result<Output, ProjectError> {
        let output = self.stop.run(command)?;
        if output.status.success() {
            return Ok(output);
        }
        let told = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
        let told = String::from_utf8_lossy(told).trim_end().to_owned();
        Err(ProjectError::Failed { tool: tool.to_owned(), output: told })
    }
}

/// Runs a program that the machine has to have.
pub(super) fn run_own(
    tools: &Tools<'_>,
    command: &mut Command,
    program: &'static str,
    cure: &'static str,
) -> Result<String, ProjectError> {
    tools.run(command, program).map_err(|error| match error {
        ProjectError::File { source, .. } if source.kind() == ErrorKind::NotFound => {
            ProjectError::Missing { program, cure }
        }
        other => other,
    })
}

/// A command as one types it.
fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
