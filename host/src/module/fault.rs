//! What went wrong in a call, in words for a dead letter.

use std::fmt;

use bespoke_boundary::Violation;
use wasmtime::Trap;
use wasmtime_wasi::ResourceTableError;

use super::sandbox::{HANDLES, HOST_CALL_BYTES};

/// A call that did not end well. The instance is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind.
    pub kind: FaultKind,
    /// What happened, with what the module wrote to standard error.
    pub reason: String,
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The module gave up: a panic, an exception, an illegal instruction.
    Trap,
    /// It took longer than it may.
    Timeout,
    /// It wanted more memory than it may have.
    Memory,
    /// Its answer is not one.
    Answer,
    /// It answered err for the whole batch.
    Refused,
}

/// A memory that wants to be larger than allowed; raised by the limiter.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "the module wanted {wanted} bytes of memory, and its limit is {limit}; raise `limits.memory_mb` if it needs them"
)]
pub(super) struct MemoryLimit {
    pub wanted: usize,
    pub limit: usize,
}

impl FaultKind {
    /// The word for it in headers and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Answer => "answer",
            Self::Refused => "rejected",
        }
    }
}

impl Fault {
    /// What a module says of itself, or its beginning: it goes into log lines and dead letters.
    pub(super) fn shortened(said: &str) -> &str {
        &said[..said.floor_char_boundary(MAX_REASON)]
    }

    /// Tells what an error of a call means. `stderr` is the end of what the module wrote there.
    pub(super) fn of(function: &str, error: &wasmtime::Error, time_ms: u64, stderr: &str) -> Self {
        let (kind, what) = if let Some(violation) = error.downcast_ref::<Violation>() {
            let hint = matches!(violation, Violation::TooLarge { .. });
            let hint = if hint { "; raise `limits.answer_mb` if it needs to be" } else { "" };
            (FaultKind::Answer, format!("{violation}{hint}"))
        } else if let Some(limit) = error.downcast_ref::<MemoryLimit>() {
            (FaultKind::Memory, limit.to_string())
        } else {
            match error.downcast_ref::<Trap>() {
                Some(Trap::Interrupt) => (
                    FaultKind::Timeout,
                    format!("took longer than {time_ms} ms; raise `limits.time_ms` if it needs more"),
                ),
                Some(Trap::UnreachableCodeReached) => (FaultKind::Trap, "panicked or aborted".to_owned()),
                Some(trap) => (FaultKind::Trap, trap.to_string()),
                None => (FaultKind::Trap, of_host(error)),
            }
        };
        let mut reason = format!("{function}: {what}");
        let said = telling_lines(stderr);
        if !said.is_empty() {
            reason.push_str(": ");
            reason.push_str(&said);
        }
        Self { kind, reason }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

/// How the error begins by which wasmtime tells of a call of the host that is handed too much; its type is private.
const TOO_MUCH: &str = "too much data is being copied";

/// What the host refused to do for a module.
fn of_host(error: &wasmtime::Error) -> String {
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return format!("it holds more than {HANDLES} handles of the host, which is the limit");
    }
    match error.root_cause().to_string() {
        text if text.starts_with(TOO_MUCH) => {
            format!("it handed over more than {HOST_CALL_BYTES} bytes at once, which is the limit")
        }
        text => text,
    }
}

/// Bytes of a module's own words that go into a reason.
const MAX_REASON: usize = 4096;
/// Bytes of standard error that go into a reason.
const MAX_SAID: usize = 1024;

/// Where the runtimes of JavaScript and Python panic, and what they say then, when it is the module that has thrown.
const RUNTIMES: [&str; 3] = [
    "panicked at crates/runtime/src/interpreter.rs",
    "panicked at runtime/src/lib.rs",
    "Python function threw an unexpected",
];

/// Leaves out what language runtimes add to every failure.
fn telling_lines(stderr: &str) -> String {
    let noise = |line: &&str| {
        let line = line.trim();
        !line.is_empty()
            && !line.starts_with("note: run with `RUST_BACKTRACE")
            && !line.starts_with("goroutine ")
            && !RUNTIMES.iter().any(|runtime| line.contains(runtime))
    };
    let lines: Vec<&str> = stderr.lines().filter(noise).collect();
    let joined = lines.join(" | ");
    let start = joined.len().saturating_sub(MAX_SAID);
    let start = (start..joined.len()).find(|i| joined.is_char_boundary(*i)).unwrap_or(0);
    joined[start..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_what_the_module_said() {
        let error = wasmtime::Error::from(Trap::UnreachableCodeReached);
        let stderr = "\nthread '<unnamed>' panicked at src/lib.rs:9:5:\ntold to\nnote: run with `RUST_BACKTRACE=1`\n";
        let fault = Fault::of("process", &error, 10, stderr);
        assert_eq!(fault.kind, FaultKind::Trap);
        assert_eq!(
            fault.reason,
            "process: panicked or aborted: thread '<unnamed>' panicked at src/lib.rs:9:5: | told to"
        );
        // Of other languages what they say themselves.
        let python = "ValueError: told to\n\nthread '<unnamed>' (1) panicked at runtime/src/lib.rs:1280:25:\n\
                      Python function threw an unexpected exception\nnote: run with `RUST_BACKTRACE=1`\n";
        let script = "thread '<unnamed>' (1) panicked at crates/runtime/src/interpreter.rs:51:31:\nFailed to call 'process': no\n";
        for (stderr, said) in [(python, "ValueError: told to"), (script, "Failed to call 'process': no")] {
            let reason = Fault::of("process", &error, 10, stderr).reason;
            assert_eq!(reason, format!("process: panicked or aborted: {said}"));
        }
    }
}
