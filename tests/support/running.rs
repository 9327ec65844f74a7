//! A host that runs, what it says meanwhile, and how it ends. Whoever waits for it does so up to a limit, and a test that fails
//! takes it along.

use std::io::{Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::LIMIT;

/// A host that runs.
pub struct Running {
    child: Child,
    stdout: Said,
    stderr: Said,
}

/// What a host has said so far. It is read as it comes, so that a host never waits for its reader.
struct Said {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// None when all of it was read.
    reader: Option<JoinHandle<()>>,
}

/// How a host ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

// === impl Running ===

impl Running {
    /// Starts a command.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_read_up_to(u64::MAX, command)
    }

    /// The same with a reader that goes away when it has read so many bytes of standard output.
    pub fn spawn_read_up_to(bytes: u64, command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (stdout, stderr) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        Self { child, stdout: Said::read(stdout.take(bytes)), stderr: Said::read(stderr) }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }

    /// Writes all of its standard input.
    pub fn tell(&mut self, text: &str) {
        let mut stdin = self.child.stdin.take().expect("standard input");
        // A host that ends early reads no further, which is its right.
        let _ = stdin.write_all(text.as_bytes());
    }

    /// Writes to its standard input, after which more may come, or presses keys on its terminal.
    pub fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().expect("standard input");
        stdin.write_all(keys.as_bytes()).and_then(|()| stdin.flush()).expect("somebody reads it");
    }

    /// What it has said on standard error so far.
    pub fn said(&self) -> String {
        self.stderr.so_far()
    }

    /// Waits until it has said something on standard error.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + LIMIT;
        while !self.stderr.so_far().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in\n{}", self.stderr.so_far());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until standard output is so, or the terminal shows it.
    #[track_caller]
    pub fn wait_until_shown(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let shown = self.stdout.so_far();
            if is_so(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{what} is not in\n{shown}\n{}", self.stderr.so_far());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// As Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status().expect("kill");
        assert!(sent.success(), "the process is gone");
    }

    /// Takes the limit on the length of files away.
    pub fn let_files_grow(&self) {
        let done = Command::new("prlimit").args(["--fsize=unlimited", "--pid", &self.id().to_string()]).status();
        assert!(done.expect("prlimit of util-linux").success(), "the process is gone");
    }

    /// Waits until standard error has this text.
    #[track_caller]
    pub fn await_said(&mut self, text: &str) {
        let started = Instant::now();
        while !self.stderr.so_far().contains(text) {
            let waits = self.is_running() && started.elapsed() < LIMIT;
            assert!(waits, "it did not say `{text}`, but:\n{}", self.stderr.so_far());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Ends it at once, whatever it does.
    pub fn kill(mut self) -> Ended {
        // It may have ended by itself, and then that is what is told.
        let _ = self.child.kill();
        self.end()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Ended {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a process") {
                break status;
            }
            let said = || self.stdout.so_far() + &self.stderr.so_far();
            assert!(started.elapsed() < LIMIT, "still running after {LIMIT:?}; it said:\n{}", said());
            std::thread::sleep(Duration::from_millis(2));
        };
        Ended { status, stdout: self.stdout.whole(), stderr: self.stderr.whole() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// === impl Said ===

impl Said {
    fn read(mut from: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let all = bytes.clone();
        let reader = std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut some) {
                all.lock().expect("no panic").extend_from_slice(&some[..read]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no panic")).into_owned()
    }

    /// All of it; waits for the end.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no panic");
        }
        self.so_far()
    }
}

// === impl Ended ===

impl Ended {
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Says what it said if it did not end as it should.
    #[track_caller]
    pub fn must_end(&self, code: i32) -> &Self {
        assert_eq!(self.code(), Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }
}
