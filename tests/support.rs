//! A folder with a pipeline, the program `host` run in it, and a look at what it left: for the tests that use the
//! program as people do. Never waits without a limit.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bespoke_boundary::Schema;
use bespoke_record::Batch;
use host::dead_letter::DeadLetter;
use host::format::json::{JsonStyle, write_json};
use host::log::embedded::{EmbeddedLog, Options};
use host::log::{Commit, Log as _, LogError, Member};
use host::schema::{Compatibility, FileRegistry, Registry as _, framing};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

pub mod certificates;
pub mod front;
mod running;
pub mod services;
pub mod terminal;

pub use running::{Ended, Running};

/// The log of every pipeline here.
pub const LOG: &str = "log.db";
/// The file beside it that keeps its schema ids.
const IDS: &str = "log.schemas.json";
/// Modules are looked for here, and else where `make guests` leaves them.
const MODULES: &str = "BESPOKE_TEST_MODULES";
/// No run takes as long.
pub const LIMIT: Duration = Duration::from_secs(60);
/// More than a topic of any case here holds.
const MANY: usize = 1 << 20;

/// Waits until something is so, which a slow machine may take its time for.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder of its own for one run of a pipeline.
pub struct Folder(TempDir);

/// A dead letter.
pub struct Letter {
    pub kind: String,
    pub reason: String,
    /// Where the record was, in a topic or a file.
    pub place: String,
    pub stage: String,
    /// The original, as it was.
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// The top of the repository.
pub fn top() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The sample modules, built.
pub fn modules() -> PathBuf {
    let built = top().join("guests/target/wasm32-wasip2/release");
    let folder = std::env::var_os(MODULES).map_or(built, PathBuf::from);
    assert!(folder.join("processor.wasm").exists(), "there are no modules in {folder:?}: run `make guests`");
    folder.canonicalize().expect("a folder")
}

/// Where `make guests-all` has put the tools for modules.
pub fn tools() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    std::env::var_os("BESPOKE_TOOLS")
        .map(PathBuf::from)
        .or_else(|| cache.or_else(home).map(|cache| cache.join("bespoke").join("tools")))
        .expect("a folder for caches")
}

// === impl Folder ===

impl Folder {
    /// The files of `from`, with the sample modules in `modules` and the schemas in `schemas`. A `NAME.wat` becomes
    /// `modules/NAME.wasm`.
    pub fn of(from: &Path) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        let own = folder.path("modules");
        fs::create_dir(&own).expect("a folder");
        symlink(top().join("schemas").canonicalize().expect("schemas"), folder.path("schemas")).expect("a link");
        let built = modules();
        for name in ["processor.wasm", "analyzer.wasm"] {
            symlink(built.join(name), own.join(name)).expect("a link");
        }
        for entry in fs::read_dir(from).expect("the folder of the case") {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("a name");
            if path.extension().is_some_and(|e| e == "wat") {
                folder.module(&name.to_string_lossy().replace(".wat", ""), &fs::read_to_string(&path).expect("text"));
            } else if path.is_file() {
                // Folders are what a run leaves behind, such as `data`.
                fs::copy(&path, folder.path(name)).expect("copied");
            }
        }
        folder
    }

    /// Makes `modules/NAME.wasm` of a text.
    pub fn module(&self, name: &str, text: &str) {
        let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        fs::write(self.path("modules").join(format!("{name}.wasm")), bytes).expect("written");
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program to its end.
    pub fn host(&self, arguments: &[&str]) -> Ended {
        self.host_given(arguments, "")
    }

    /// The same with something on standard input.
    pub fn host_given(&self, arguments: &[&str], input: &str) -> Ended {
        let mut running = self.start(arguments);
        running.tell(input);
        running.end()
    }

    /// Starts the program.
    pub fn start(&self, arguments: &[&str]) -> Running {
        self.start_with(arguments, &[])
    }

    /// The same with variables of the environment.
    pub fn start_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        self.spawn(Command::new(env!("CARGO_BIN_EXE_host")).args(arguments).envs(environment.iter().copied()))
    }

    /// The same, with a limit on the length of every file that it writes.
    pub fn start_with_files_of(&self, bytes: u64, arguments: &[&str]) -> Running {
        // In units of 512 bytes. The signal that comes with the error would end the process.
        let limited = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$@\"", bytes / 512);
        self.spawn(Command::new("sh").args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_host")]).args(arguments))
    }

    /// The same on a terminal, as people do.
    pub fn start_on_terminal(&self, arguments: &[&str]) -> Running {
        self.spawn(&mut terminal::command(Path::new(env!("CARGO_BIN_EXE_host")), arguments))
    }

    fn spawn(&self, command: &mut Command) -> Running {
        let command = command
            .current_dir(self.0.path())
            // Compiled modules are shared by all runs.
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG");
        Running::spawn(command)
    }

    /// The log, for looking at it.
    fn log(&self) -> Option<EmbeddedLog> {
        self.path(LOG).exists().then(|| EmbeddedLog::open_read_only(self.path(LOG)).expect("a log"))
    }

    /// How many records the first partition of a topic has by now, also while a host makes the log or was just killed.
    pub fn so_far(&self, topic: &str) -> i64 {
        match EmbeddedLog::open_read_only(self.path(LOG)) {
            Ok(log) => log.topic(topic).expect("readable").map_or(0, |topic| topic.partitions[0].end),
            Err(LogError::Missing { .. }) => 0,
            Err(error) => panic!("{error}"),
        }
    }

    /// Appends records to a topic, while no host runs.
    pub fn append(&self, topic: &str, batch: &Batch) {
        let log = EmbeddedLog::open(self.path(LOG), Options::default()).expect("a log");
        let member = Member { group: "test".to_owned(), topic: None, worker: 0, workers: 1 };
        let mut session = log.join(member).expect("a session");
        session.append(topic, batch).expect("appended");
        session.commit(Commit::default()).expect("committed");
    }

    /// Hands every record of a topic to `look`, with the partition.
    pub fn each(&self, topic: &str, mut look: impl FnMut(u32, bespoke_record::Record<'_>)) {
        let Some(log) = self.log() else { return };
        let Some(info) = log.topic(topic).expect("readable") else { return };
        for partition in info.partitions {
            let mut at = partition.start;
            loop {
                let batch = log.read(topic, partition.partition, at, MANY).expect("readable");
                let Some(next) = batch.next_offset() else { break };
                batch.iter().for_each(|record| look(partition.partition, record));
                at = next;
            }
        }
    }

    /// The value of every record of a topic, as it lies there.
    pub fn values(&self, topic: &str) -> Vec<Vec<u8>> {
        let mut values = Vec::new();
        self.each(topic, |_, record| values.push(record.value().expect("a value").to_vec()));
        values
    }

    /// The records of a topic as JSON lines, sorted.
    pub fn topic(&self, topic: &str) -> String {
        let registry = FileRegistry::open(&self.path(IDS), Compatibility::default()).expect("schema ids");
        let mut lines = Vec::new();
        let mut known: Option<(framing::SchemaId, Schema)> = None;
        self.each(topic, |_, record| {
            let (id, datum) = framing::split(record.value().expect("a value")).expect("framed");
            if known.as_ref().is_none_or(|(of, _)| *of != id) {
                let json = registry.by_id(id).expect("readable").expect("a known schema");
                known = Some((id, Schema::parse(&json).expect("a schema")));
            }
            let mut line = Vec::new();
            let (_, schema) = known.as_ref().expect("known");
            write_json(schema, datum, JsonStyle::Plain, &mut line).expect("a datum");
            lines.push(String::from_utf8(line).expect("UTF-8"));
        });
        lines.sort();
        joined(&lines)
    }

    /// A text without the name of this folder.
    pub fn inside(&self, text: &str) -> String {
        text.replace(&(self.0.path().to_string_lossy().into_owned() + "/"), "")
    }

    /// Every dead letter must have the bytes of the record that it tells of, or of the line.
    pub fn must_keep_originals(&self, topic: &str) {
        for letter in self.letters(topic) {
            let (from, number) = letter.place.rsplit_once(':').expect("a place and a number");
            let number: usize = number.parse().expect("a number");
            if let Some((topic, partition)) = from.rsplit_once('-').filter(|_| !from.ends_with("jsonl")) {
                let log = self.log().expect("a log");
                let batch = log.read(topic, partition.parse().expect("a number"), number as i64, 1).expect("readable");
                let found = (letter.key.as_deref(), letter.value.as_deref());
                assert!(found == (batch.get(0).key(), batch.get(0).value()), "not as it was: {letter:?}");
            } else if letter.kind == "feed" {
                let file = fs::read(self.path(from)).expect("the file");
                let line = file.split(|byte| *byte == b'\n').nth(number - 1);
                assert!(letter.value.as_deref() == line, "not as it was: {letter:?}");
            }
        }
    }

    /// Dead letters, in order.
    pub fn letters(&self, topic: &str) -> Vec<Letter> {
        let mut letters = Vec::new();
        self.each(topic, |_, record| {
            let letter = DeadLetter::of(record).expect("a dead letter");
            let origin = letter.origin.map(|o| format!("{}-{}:{}", o.topic, o.partition, o.offset));
            letters.push(Letter {
                kind: letter.kind.into_owned(),
                reason: self.inside(&letter.reason),
                place: origin.or(letter.source.map(|source| self.inside(&source))).unwrap_or_default(),
                stage: letter.stage.into_owned(),
                key: record.key().map(<[u8]>::to_vec),
                value: record.value().map(<[u8]>::to_vec),
            });
        });
        letters
    }

    /// All of a table, a row a line, bit for bit: what SQLite holds, in the order of its key.
    pub fn table(&self, table: &str) -> String {
        if !self.path(LOG).exists() {
            return String::new();
        }
        let file = Connection::open_with_flags(self.path(LOG), OpenFlags::SQLITE_OPEN_READ_ONLY).expect("a database");
        // A table without rowids comes in the order of its key.
        let mut statement = file.prepare(&format!("SELECT * FROM \"{table}\"")).expect("a table");
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut text = joined(&[names.join(" | ")]);
        let mut rows = statement.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..names.len() {
                let between = if column == 0 { "" } else { " | " };
                let cell = match row.get_ref(column).expect("a cell") {
                    ValueRef::Null => "-".to_owned(),
                    ValueRef::Integer(number) => number.to_string(),
                    // The shortest text that reads back as the same bits.
                    ValueRef::Real(number) => format!("{number:?}"),
                    ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                };
                let _ = write!(text, "{between}{cell}");
            }
            text.push('\n');
        }
        text
    }
}

// === impl Letter ===

impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line())
    }
}

impl Letter {
    pub fn line(&self) -> String {
        format!("{} | {} | {} | {}", self.kind, self.stage, self.place, self.reason)
    }
}

/// Every line with its end.
pub fn joined(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}
