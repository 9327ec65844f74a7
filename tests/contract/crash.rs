//! A process that commits steps to an embedded log is killed again and again, whatever it is doing, and each time the
//! file must hold whole steps only.
//!
//! The process is this test binary again, told to run one test of this file by its exact name.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use host::log::{Commit, Log as _};

use super::embedded::{counted, open};
use super::records::{Reader, counts, got, kept, new_topic, numbered, produce, row, values};

/// The file that the process writes; without it the test that plays the process does nothing.
const PATH: &str = "BESPOKE_TEST_CRASH_LOG";
/// The exact name of that test.
const PROCESS: &str = "contract::crash::the_process_that_is_killed";
/// What the process prints after each commit.
const COMMITTED: &str = "committed";
const KILLS: u32 = 10;
/// How many records a step takes, and adds to its own input.
const STEP: u64 = 3;
const TABLE: &str = "totals";

/// What a file holds, as far as steps changed it.
#[derive(Debug)]
struct Found {
    inputs: u64,
    outputs: u64,
    state: u64,
    total: i64,
}

fn number(state: Option<&[u8]>) -> u64 {
    state.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
}

/// Takes inputs, writes each to the outputs, adds as many inputs, and counts in its state and in a table: for ever.
#[test]
fn the_process_that_is_killed() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let log = open(Path::new(&path));
    let table = counts(TABLE);
    log.ensure_table(&table).unwrap();
    let mut reader = Reader::of(&log, "g", "in");
    reader.settle(1);
    let mut done = number(reader.assigned[&0].1.as_deref());
    loop {
        let taken: Vec<_> = reader.take(STEP as usize).into_iter().map(|got| got.record).collect();
        reader.append("out", &taken);
        reader.append("in", &numbered(done + STEP..done + 2 * STEP));
        done += STEP;
        let states = [(0, Bytes::copy_from_slice(&done.to_be_bytes()))];
        let rows = [row(&table, 1, done as i64)];
        let positions = reader.positions();
        reader
            .session
            .commit(Commit { positions: &positions, states: &states, rows: &rows, ..Commit::default() })
            .unwrap();
        println!("{COMMITTED}");
    }
}

fn start(path: &Path) -> Child {
    Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", PROCESS, "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process")
}

/// Lets the process commit some steps, and kills it at a moment that nothing in it can know.
fn kill_at_random(mut child: Child, steps: u64) -> Duration {
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let mut seen = 0;
    while seen < steps {
        match lines.next() {
            Some(line) => seen += u64::from(line.expect("a line").ends_with(COMMITTED)),
            None => panic!("the process ended by itself after {seen} steps: {:?}", child.wait()),
        }
    }
    let jitter = Duration::from_micros(RandomState::new().hash_one(seen) % 5_000);
    let until = Instant::now() + jitter;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    jitter
}

/// Opens the file as the next host would, and checks that all of it is in order.
fn look(path: &Path) -> Found {
    let log = open(path);
    let (inputs, outputs) = (kept(&log, "in", 0), kept(&log, "out", 0));
    let numbers = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    assert_eq!(values(&inputs), numbers(inputs.len()), "inputs are lost, doubled or out of order");
    assert_eq!(values(&outputs), numbers(outputs.len()), "outputs are lost, doubled or out of order");
    let mut reader = Reader::of(&log, "g", "in");
    reader.settle(1);
    let (position, state) = reader.assigned[&0].clone();
    assert_eq!(log.committed("g", "in").expect("positions"), [(0, position)]);
    let first = log.read("in", 0, position, 1).expect("readable");
    let next = values(&got(0, &first));
    assert_eq!(next, [outputs.len().to_string()], "the position is not where the outputs end");
    Found {
        inputs: inputs.len() as u64,
        outputs: outputs.len() as u64,
        state: number(state.as_deref()),
        total: counted(&log, TABLE).first().map_or(0, |(_, total)| *total),
    }
}

#[test]
fn a_killed_process_leaves_whole_steps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    {
        let log = open(&path);
        ["in", "out"].into_iter().for_each(|topic| new_topic(&log, topic, 1));
        produce(&log, "in", &numbered(0..STEP));
    }
    let mut done = 0;
    for _ in 0..KILLS {
        let steps = 1 + RandomState::new().hash_one(done) % 30;
        let jitter = kill_at_random(start(&path), steps);
        println!("killed {jitter:?} after {steps} steps");
        let found = look(&path);
        assert!(found.outputs >= done + steps * STEP, "{steps} committed steps after {done}, but {found:?}");
        done = found.outputs;
        assert_eq!((found.inputs, found.state, found.total), (done + STEP, done, done as i64), "{found:?}");
        assert_eq!(done % STEP, 0, "a step was torn: {found:?}");
    }
}
