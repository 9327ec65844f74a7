//! Running the tools of the languages: to their end, or until a stop is asked for.
//!
//! Tools start others (cargo starts rustc, npm starts node). So that a stop ends all of them, whoever can be stopped gives
//! each tool a process group of its own. Without a stop they stay in the group of this program, where Ctrl-C finds them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::ProjectError;

/// How often the end of a tool and the stop are looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Whether to stop; none if nobody can ask for it.
#[derive(Clone, Copy, Default)]
pub(super) struct Stop<'a>(pub Option<&'a AtomicBool>);

// === impl Stop ===

impl Stop<'_> {
    fn is_requested(self) -> bool {
        self.0.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Runs a command to its end, whatever it says of itself.
    pub fn run(self, command: &mut Command) -> Result<Output, ProjectError> {
        let failed = |source, command: &Command| ProjectError::File { path: command.get_program().into(), source };
        if self.0.is_none() {
            return command.output().map_err(|source| failed(source, command));
        }
        if self.is_requested() {
            return Err(ProjectError::Stopped);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|source| failed(source, command))?;
        let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
        let status = loop {
            if self.is_requested() {
                end(&mut child);
                return Err(ProjectError::Stopped);
            }
            match child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) => std::thread::sleep(LOOK),
                Err(source) => {
                    end(&mut child);
                    return Err(failed(source, command));
                }
            }
        };
        Ok(Output { status, stdout: stdout.join().unwrap_or_default(), stderr: stderr.join().unwrap_or_default() })
    }

    /// Locks a file, which another process may have for a while. `wait` is called once if it has.
    pub fn lock(self, file: &File, wait: impl FnOnce()) -> Result<(), LockError> {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::WouldBlock) => wait(),
            Err(std::fs::TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        while !self.is_requested() {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(std::fs::TryLockError::WouldBlock) => std::thread::sleep(LOOK),
                Err(std::fs::TryLockError::Error(error)) => return Err(LockError::Io(error)),
            }
        }
        Err(LockError::Stopped)
    }
}

/// Why there is no lock.
pub(super) enum LockError {
    /// A stop was asked for.
    Stopped,
    /// The system refuses.
    Io(io::Error),
}

/// All of a pipe, as it comes: a tool whose pipe is full waits for its reader.
fn read(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    spawn(move || {
        let mut bytes = Vec::new();
        // What came before a pipe broke is as good.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    })
}

/// Ends a tool and all that it has started.
fn end(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    #[test]
    fn a_stop_ends_what_a_tool_has_started_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let started = folder.path().join("started");
        let (stop, since) = (AtomicBool::new(false), Instant::now());
        let mut command = Command::new("sh");
        // The inner one is no child of this process, and has the pipe.
        let script = "sh -c 'echo $$ > started.new; mv started.new started; exec sleep 600' & wait";
        command.args(["-c", script]).current_dir(folder.path());
        let inner = std::thread::scope(|scope| {
            let tool = scope.spawn(|| Stop(Some(&stop)).run(&mut command));
            while !started.exists() {
                assert!(since.elapsed() < LIMIT, "it does not start");
                std::thread::sleep(LOOK);
            }
            stop.store(true, Ordering::Relaxed);
            assert!(matches!(tool.join().expect("no panic"), Err(ProjectError::Stopped)));
            std::fs::read_to_string(&started).expect("a number").trim().parse::<i32>().expect("a number")
        });
        // Whoever is killed is there until somebody has heard of it.
        let is_there = || {
            let state = std::fs::read_to_string(format!("/proc/{inner}/stat")).unwrap_or_default();
            !state.is_empty() && !state.contains(") Z ")
        };
        while is_there() {
            assert!(since.elapsed() < LIMIT, "it goes on");
            std::thread::sleep(LOOK);
        }
    }

    #[test]
    fn what_a_tool_says_arrives_whole() {
        let stop = AtomicBool::new(false);
        let mut command = Command::new("sh");
        command.args(["-c", "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2; cat; exit 3"]);
        let output = Stop(Some(&stop)).run(&mut command).expect("it runs");
        assert_eq!((output.stdout.len(), output.stderr.len(), output.status.code()), (300_000, 300_000, Some(3)));
    }

    #[test]
    fn nothing_is_started_after_a_stop() {
        let stop = AtomicBool::new(true);
        let run = Stop(Some(&stop)).run(&mut Command::new("there-is-no-such-program"));
        assert!(matches!(run, Err(ProjectError::Stopped)));
    }
}
