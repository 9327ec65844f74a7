//! What a module writes: standard output and error become log lines, and the end of standard error is kept for faults.
//!
//! A module cannot flood the log: lines are counted per second, and what is above the limit is only counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes of standard error that are kept.
const TAIL_BYTES: usize = 4096;
/// Bytes after which a line without an end is logged as it is.
const MAX_LINE_BYTES: usize = 1024;
/// Lines per second and module that reach the log.
const LINES_PER_SECOND: u32 = 50;
/// How much may be written at once; WASI asks for a number.
const PERMIT_BYTES: usize = 64 << 10;

/// The output of one instance.
#[derive(Clone)]
pub(super) struct Output(Arc<Mutex<Inner>>);

struct Inner {
    module: Arc<str>,
    tail: VecDeque<u8>,
    lines: [Vec<u8>; 2],
    rate: Rate,
}

/// How many lines of a module have reached the log, whichever of its instances wrote them.
#[derive(Clone)]
pub(super) struct Rate(Arc<Mutex<Second>>);

struct Second {
    since: Instant,
    logged: u32,
    suppressed: u64,
}

/// One of the two streams, as WASI wants it.
#[derive(Clone)]
pub(super) struct Stream {
    output: Output,
    error: bool,
}

impl Output {
    pub fn new(module: Arc<str>, rate: Rate) -> Self {
        Self(Arc::new(Mutex::new(Inner { module, tail: VecDeque::new(), lines: [Vec::new(), Vec::new()], rate })))
    }

    pub fn stdout(&self) -> Stream {
        Stream { output: self.clone(), error: false }
    }

    pub fn stderr(&self) -> Stream {
        Stream { output: self.clone(), error: true }
    }

    /// A line by way of `wasi:logging`.
    pub fn log(&self, level: &str, context: &str, message: &str) {
        let inner = self.lock();
        if !inner.may_log() {
            return;
        }
        let (module, context, message) = (inner.module.clone(), cut(context), cut(message));
        match level {
            "trace" => tracing::trace!(target: "module", %module, context, "{message}"),
            "debug" => tracing::debug!(target: "module", %module, context, "{message}"),
            "warn" => tracing::warn!(target: "module", %module, context, "{message}"),
            "error" | "critical" => tracing::error!(target: "module", %module, context, "{message}"),
            _ => tracing::info!(target: "module", %module, context, "{message}"),
        }
    }

    /// Forgets what was written to standard error; before a call.
    pub fn forget(&self) {
        self.lock().tail.clear();
    }

    /// The end of what was written to standard error since.
    pub fn tail(&self) -> String {
        let mut inner = self.lock();
        String::from_utf8_lossy(inner.tail.make_contiguous()).into_owned()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Whoever panicked with it left at worst half a line.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, error: bool, bytes: &[u8]) {
        if error {
            let keep = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
            let over = (self.tail.len() + keep.len()).saturating_sub(TAIL_BYTES);
            self.tail.drain(..over.min(self.tail.len()));
            self.tail.extend(keep);
        }
        for &byte in bytes {
            let line = &mut self.lines[usize::from(error)];
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= MAX_LINE_BYTES {
                let line = std::mem::take(line);
                self.line(error, &line);
            }
        }
    }

    fn line(&mut self, error: bool, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        if text.trim().is_empty() || !self.may_log() {
            return;
        }
        let (module, stream) = (&*self.module, if error { "stderr" } else { "stdout" });
        tracing::info!(target: "module", module, stream, "{text}");
    }

    fn may_log(&self) -> bool {
        let mut second = self.rate.0.lock().unwrap_or_else(PoisonError::into_inner);
        if second.since.elapsed() >= Duration::from_secs(1) {
            if second.suppressed > 0 {
                let (module, lines) = (&*self.module, second.suppressed);
                tracing::warn!(target: "module", module, lines, "log lines were suppressed");
            }
            *second = Second::begin();
        }
        let may = second.logged < LINES_PER_SECOND;
        if may {
            second.logged += 1;
        } else {
            second.suppressed += 1;
        }
        may
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Second::begin())))
    }
}

impl Second {
    fn begin() -> Self {
        Self { since: Instant::now(), logged: 0, suppressed: 0 }
    }
}

fn cut(message: &str) -> &str {
    let end = (0..=message.len().min(MAX_LINE_BYTES)).rev().find(|i| message.is_char_boundary(*i));
    &message[..end.unwrap_or(0)]
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Stream {
    async fn ready(&mut self) {}
}

impl OutputStream for Stream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.lock().write(self.error, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_end_of_stderr_only() {
        let output = Output::new("m".into(), Rate::default());
        output.lock().write(false, b"not this\n");
        output.lock().write(true, &vec![b'x'; TAIL_BYTES]);
        output.lock().write(true, b"the end");
        let tail = output.tail();
        assert_eq!(tail.len(), TAIL_BYTES);
        assert!(tail.ends_with("the end") && !tail.contains("not"));
        output.forget();
        assert_eq!(output.tail(), "");
    }

    #[test]
    fn a_flood_of_lines_is_only_counted() {
        // Also if each line comes from an instance of its own, as of a module that breaks at every record.
        let rate = Rate::default();
        for _ in 0..10 {
            Output::new("m".into(), rate.clone()).lock().write(true, &b"line\n".repeat(100));
        }
        let second = rate.0.lock().unwrap();
        assert_eq!(u64::from(second.logged) + second.suppressed, 1000);
        assert_eq!(second.logged, LINES_PER_SECOND);
    }
}
