//! The embedded log keeps the promises of every log, and some of its own: rows in the step, one host at a time, and clear
//! words about files that are damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use host::log::embedded::{EmbeddedLog, Options};
use host::log::{Commit, Event, Log, LogError, NewTopic};
use host::table::TableError;
use tempfile::TempDir;

use super::log_keeps_its_promises;
use super::records::{
    Reader, all_kept, batch, counts, keyed, member, new_topic, numbered, produce, producer, row, unkeyed, values,
};

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("log.db")
}

pub fn open(path: &Path) -> EmbeddedLog {
    EmbeddedLog::open(path, Options::default()).expect("a log")
}

fn fresh() -> super::Fresh {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(&folder);
    (Box::new(move || Box::new(open(&path)) as Box<dyn Log>), Box::new(folder))
}

log_keeps_its_promises!(embedded_log, super::fresh);

/// The rows of a table of `counts`.
pub fn counted(log: &EmbeddedLog, table: &str) -> Vec<(i64, i64)> {
    let number = |cell: &Option<String>| cell.as_deref().expect("no null").parse::<i64>().expect("a number");
    let (_, rows) = log.top_rows(table, usize::MAX).expect("rows");
    rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect()
}

#[test]
fn rows_count_with_the_step() {
    let folder = tempfile::tempdir().unwrap();
    let table = counts("counts");
    {
        let log = open(&file(&folder));
        log.ensure_table(&table).unwrap();
        new_topic(&log, "t", 1);
        let mut session = producer(&log);
        session.append("t", &batch(&[unkeyed("first")])).unwrap();
        session.commit(Commit { rows: &[row(&table, 1, 10), row(&table, 2, 20)], ..Commit::default() }).unwrap();
        session.commit(Commit { rows: &[row(&table, 1, 11)], ..Commit::default() }).unwrap();
        assert_eq!(counted(&log, "counts"), [(1, 11), (2, 20)]);

        session.append("t", &batch(&[unkeyed("never")])).unwrap();
        let rows = [row(&table, 2, 21), row(&counts("nowhere"), 1, 1)];
        let refused = session.commit(Commit { rows: &rows, ..Commit::default() }).unwrap_err();
        assert!(refused.to_string().contains("nowhere"), "{refused}");
    }
    let log = open(&file(&folder));
    log.check_table(&table).unwrap();
    assert_eq!(counted(&log, "counts"), [(1, 11), (2, 20)]);
    assert_eq!(values(&all_kept(&log, "t")), ["first"]);
}

#[test]
fn a_table_can_have_the_name_of_anything_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&file(&folder));
    new_topic(&log, "topics", 1);
    for name in ["topics", "batches", "positions", "states", "meta"] {
        log.ensure_table(&counts(name)).unwrap();
        let mut session = producer(&log);
        session.commit(Commit { rows: &[row(&counts(name), 1, 2)], ..Commit::default() }).unwrap();
        assert_eq!(counted(&log, name), [(1, 2)]);
    }
    produce(&log, "topics", &[unkeyed("fine")]);
    assert_eq!(values(&all_kept(&log, "topics")), ["fine"]);
    assert!(matches!(log.top_rows("none", 1), Err(LogError::Table(TableError::NoTable(_)))));
}

#[test]
fn the_limit_of_a_record_is_to_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    // A byte each for the lengths of the key and of the value, and for the number of headers.
    let options = Options { max_record_bytes: 100 + 3, ..Options::default() };
    let log = EmbeddedLog::open(file(&folder), options).unwrap();
    new_topic(&log, "t", 1);
    produce(&log, "t", &[keyed([1; 40], [2; 60])]);
    let mut session = producer(&log);
    let refused = session.append("t", &batch(&[keyed([1; 40], [2; 61])]));
    assert!(matches!(refused, Err(LogError::TooLarge { bytes: 104, limit: 103, .. })), "{refused:?}");
}

#[test]
fn one_host_at_a_time_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    let log = open(&path);
    match EmbeddedLog::open(&path, Options::default()).err() {
        Some(LogError::InUse { path: named, pid }) => {
            assert_eq!((named.as_str(), pid), (path.to_str().unwrap(), std::process::id().to_string()));
        }
        other => panic!("{other:?}"),
    }
    drop(log);
    open(&path);
}

#[test]
fn a_running_log_can_be_looked_at_but_not_written_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(&file(&folder));
    new_topic(&log, "t", 1);
    produce(&log, "t", &numbered(0..3));
    let looking = EmbeddedLog::open_read_only(file(&folder)).unwrap();
    produce(&log, "t", &numbered(3..5));
    assert_eq!(values(&all_kept(&looking, "t")), ["0", "1", "2", "3", "4"]);
    assert_eq!(looking.topics().unwrap().len(), 1);
    assert_eq!(looking.committed("g", "t").unwrap(), [(0, 0)]);
    let topic = NewTopic { name: "u".to_owned(), partitions: 1, retention: Default::default() };
    let refused = [
        looking.create_topic(&topic).err(),
        looking.join(member("g", Some("t"))).err(),
        looking.ensure_table(&counts("counts")).err(),
    ];
    for error in refused {
        assert!(matches!(&error, Some(LogError::ReadOnly { path }) if path.ends_with(".db")), "{error:?}");
    }
    assert_eq!(log.topics().unwrap().len(), 1);
}

#[test]
fn a_log_that_is_not_there_cannot_be_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let error = EmbeddedLog::open_read_only(file(&folder)).err();
    assert!(matches!(&error, Some(LogError::Missing { path }) if path.ends_with(".db")), "{error:?}");
    assert!(!file(&folder).exists(), "looking at a log made one");
}

/// Opens a damaged file and reads all that is in it; none of it may panic.
fn read_through(path: &Path) -> Result<usize, LogError> {
    let log = EmbeddedLog::open(path, Options::default())?;
    let mut records = 0;
    for topic in log.topics()? {
        for partition in topic.partitions {
            let mut offset = partition.start;
            while let Some(next) = log.read(&topic.name, partition.partition, offset, 100)?.next_offset() {
                offset = next;
                records += 1;
            }
        }
        log.committed("g", &topic.name)?;
        let mut session = log.join(member("g", Some(&topic.name)))?;
        while !matches!(session.poll(100, Duration::from_millis(1))?, Event::Idle) {}
    }
    Ok(records)
}

#[test]
fn a_file_that_is_no_log_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    fs::write(&path, "certainly no database, but long enough to have had a header of one hundred bytes".repeat(9))
        .unwrap();
    let error = EmbeddedLog::open(&path, Options::default()).err().unwrap();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = EmbeddedLog::open(&path, Options::default()).err().unwrap();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_damaged_file_is_an_error_or_still_readable() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    {
        let log = open(&path);
        new_topic(&log, "t", 2);
        (0..20).for_each(|n| produce(&log, "t", &numbered(n * 50..n * 50 + 50)));
        let mut reader = Reader::of(&log, "g", "t");
        reader.take(10);
        reader.commit(&[(0, "state".into())]);
    }
    assert!(read_through(&path).unwrap() > 0);
    let sound = fs::read(&path).unwrap();
    for (index, step) in [(0, 37), (3, 1_009)] {
        for at in (index..sound.len()).step_by(sound.len() / step + 1) {
            let mut damaged = sound.clone();
            damaged[at] ^= 0xff;
            check(&path, &damaged);
        }
    }
    for len in (0..sound.len()).step_by(sound.len() / 20) {
        check(&path, &sound[..len]);
    }
}

fn check(path: &Path, bytes: &[u8]) {
    for end in ["-wal", "-shm"] {
        let mut side = path.as_os_str().to_owned();
        side.push(end);
        let _ = fs::remove_file(side);
    }
    fs::write(path, bytes).expect("written");
    if let Err(error) = read_through(path) {
        assert!(error.to_string().contains("log.db"), "does not say which file: {error}");
    }
}
