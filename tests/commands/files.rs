//! Files that cannot be read, or not written: what is said of each, and what is kept of it.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};

use similar_asserts::assert_eq;

use super::{Ended, ended, fresh, host, printed, run, through};

#[test]
fn a_file_that_cannot_be_written_ends_with_1_and_a_wrong_path_with_64() {
    let dir = fresh();
    fs::write(dir.path().join("file"), "no folder").expect("a file");
    fs::create_dir(dir.path().join("folder")).expect("a folder");
    let ids = "schema ids must be kept, so its folder must be writable";
    for (set, code, said) in [
        ("log.path=file/prices.db", 1, "the log at `file/prices.db`: `file` is a file, not a folder"),
        ("log.path=folder", 1, "the log at `folder`: it is a folder, and a log is a file"),
        (
            "log.path=/proc/none/prices.db",
            1,
            "the log at `/proc/none/prices.db`: its folder `/proc/none` cannot be made: No such file or directory (os error 2)",
        ),
        (
            "schemas.ids=file/ids.json",
            1,
            &format!("the schema registry `file/ids.json`: Not a directory (os error 20); {ids}"),
        ),
        (
            "schemas.ids=/proc/ids.json",
            1,
            &format!(
                "topic `prices`: the schema registry `/proc/ids.json`: No such file or directory (os error 2); {ids}"
            ),
        ),
        ("schemas.dir=none", 64, "schemas: `none` cannot be read: No such file or directory (os error 2)"),
        ("schemas.dir=file", 64, "schemas: `file`: it is not JSON: expected ident at line 1 column 2"),
        ("topics.prices.schema=cost", 64, "topic `prices`: there is no schema `cost` in `schemas`; it has price"),
    ] {
        let ended = run(dir.path(), &["run", "--until-end", "--set", set]);
        assert_eq!((ended.code, ended.err), (Some(code), format!("error: {said}\n")), "{set}");
    }
    printed(dir.path(), &["run", "--until-end"]);
    let partitions = run(dir.path(), &["run", "--until-end", "--set", "topics.prices.partitions=3"]);
    assert_eq!(partitions.code, Some(64), "{partitions:?}");
    assert!(partitions.err.contains("topic `prices` has 1 partitions, not 3"), "{partitions:?}");
}

/// A command that may write only where permissions allow it. Those of root do everywhere, unless that is taken from it.
fn restrained(dir: &Path, arguments: &[&str]) -> Ended {
    let plain = host(dir, arguments);
    let is_root = fs::metadata(dir).expect("a folder").uid() == 0;
    let mut command = match is_root {
        true => Command::new("setpriv"),
        false => Command::new("env"),
    };
    if is_root {
        command.args(["--inh-caps=-all", "--bounding-set=-all"]);
    }
    command.arg(plain.get_program()).args(plain.get_args()).current_dir(dir).env("XDG_CACHE_HOME", dir.join("cache"));
    ended(command.output().expect("setpriv of util-linux, or env"))
}

#[test]
fn a_folder_that_cannot_be_written_is_told() {
    let dir = fresh();
    let closed = dir.path().join("closed");
    fs::create_dir(&closed).expect("a folder");
    fs::set_permissions(&closed, Permissions::from_mode(0o555)).expect("closed");
    let denied = "Permission denied (os error 13)";
    for (set, said) in [
        (
            "log.path=closed/prices.db",
            &*format!(
                "the log at `closed/prices.db.lock`: {denied}; a log has files beside it, so its folder must be writable"
            ),
        ),
        (
            "log.path=closed/deeper/prices.db",
            &format!("the log at `closed/deeper/prices.db`: its folder `closed/deeper` cannot be made: {denied}"),
        ),
        (
            "schemas.ids=closed/ids.json",
            &format!(
                "topic `prices`: the schema registry `closed/ids.json`: {denied}; schema ids must be kept, so its folder must \
                 be writable"
            ),
        ),
    ] {
        let ended = restrained(dir.path(), &["run", "--until-end", "--set", set]);
        let said = said.replace("closed/", &format!("{}/", closed.display()));
        let err = ended.err.replace("`closed/", &format!("`{}/", closed.display()));
        assert_eq!((ended.code, err), (Some(1), format!("error: {said}\n")), "{set}");
    }
    printed(dir.path(), &["run", "--until-end"]);
    let read = ["topics", "read", "prices", "--until-end", "--out", "closed/out.jsonl"];
    let ended = restrained(dir.path(), &read);
    assert_eq!((ended.code, ended.err), (Some(1), format!("error: cannot write `closed/out.jsonl`: {denied}\n")));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_with_what_was_written() {
    let dir = through();
    let full = "No space left on device (os error 28)";
    let read = ["topics", "read", "prices", "--until-end"];
    for arguments in [&read[..], &["topics", "list"], &["feed", "generate", "--count", "3", "--to", "-"]] {
        let stdout = Stdio::from(fs::File::options().write(true).open("/dev/full").expect("a device"));
        let ended = ended(host(dir.path(), arguments).stdout(stdout).output().expect("it starts"));
        let said = format!("error: cannot write standard output: {full}\n");
        assert_eq!((ended.code, ended.err), (Some(1), said), "{arguments:?}");
    }
    for format in ["json", "avro"] {
        let ended = run(dir.path(), &[&read[..], &["--format", format, "--out", "/dev/full"]].concat());
        assert_eq!(
            (ended.code, ended.err),
            (Some(1), format!("error: cannot write `/dev/full`: {full}\n")),
            "{format}"
        );
    }
}

/// What a feed that cannot go on says of its file.
#[track_caller]
fn broken(dir: &Path, file: &str) -> String {
    let ended = run(dir, &["feed", file, "--to", "prices"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    let line = ended.err.lines().find(|line| line.contains("ended early")).expect("a reason");
    let (_, why) = line.split_once(&format!("`{file}`")).expect("the file's name");
    format!("{} | {}", ended.out.trim_end(), why.trim_start_matches(": ").trim_end_matches('"'))
}

#[test]
fn a_file_that_cannot_be_fed_is_told_with_what_it_is() {
    let dir = through();
    fs::create_dir(dir.path().join("folder.jsonl")).expect("a folder");
    for (file, text) in
        [("empty.csv", ""), ("empty.avro", ""), ("text.avro", "{\"id\":\"a\"}\n"), ("other.csv", "name,cents\nx,1\n")]
    {
        fs::write(dir.path().join(file), text).expect("a file");
    }
    let nothing = "0 records written to prices | ";
    for (file, said) in [
        ("missing.jsonl", "No such file or directory (os error 2)"),
        ("missing.avro", "No such file or directory (os error 2)"),
        ("folder.jsonl", "is a directory"),
        ("empty.csv", "the file is empty; its first row must name the fields"),
        ("empty.avro", "the file is empty, and an Avro container file begins with its schema"),
        ("text.avro", "it is no Avro container file: it does not start with `Obj` and 1"),
    ] {
        assert_eq!(broken(dir.path(), file), format!("{nothing}{said}"), "{file}");
    }
    let other = broken(dir.path(), "other.csv");
    assert!(other.contains("id") && other.contains("name"), "{other}");
    // An empty file of lines has none.
    fs::write(dir.path().join("empty.jsonl"), "").expect("a file");
    assert_eq!(printed(dir.path(), &["feed", "empty.jsonl", "--to", "prices"]), "0 records written to prices\n");
}

/// In a pipe one cannot go back to where the last commit was.
#[test]
fn a_pipe_is_no_file_to_feed() {
    let dir = fresh();
    let made = Command::new("mkfifo").arg(dir.path().join("pipe.jsonl")).status().expect("mkfifo");
    assert!(made.success());
    let ended = run(dir.path(), &["feed", "pipe.jsonl", "--to", "prices"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = "cannot read `pipe.jsonl`: it is a pipe or a device, in which one cannot go back; give it as standard input, `-`";
    assert!(ended.err.contains(said), "{ended:?}");
}

#[test]
fn what_comes_before_the_damage_of_a_file_is_fed_and_the_rest_when_it_is_mended() {
    const RECORDS: usize = 6000;
    let dir = fresh();
    let mut lines = String::new();
    for n in 0..RECORDS {
        let _ = writeln!(lines, "{{\"id\":\"{n}\",\"shop\":\"north\",\"cents\":{n}}}");
    }
    fs::write(dir.path().join("feed.jsonl"), lines).expect("a file");
    printed(dir.path(), &["run", "--until-end"]);
    printed(dir.path(), &["topics", "read", "prices", "--until-end", "--format", "avro", "--out", "whole.avro"]);
    let whole = fs::read(dir.path().join("whole.avro")).expect("a file");
    let mut damaged = whole.clone();
    *damaged.last_mut().expect("a byte") ^= 1;
    fs::write(dir.path().join("fed.avro"), damaged).expect("a file");
    let said = broken(dir.path(), "fed.avro");
    let (fed, why) = said.split_once(" records written to prices | it is damaged at byte ").expect("a place");
    let fed: usize = fed.parse().expect("a number");
    assert!(
        (1..RECORDS).contains(&fed) && why.ends_with(": the block does not end with the file's sync marker"),
        "{said}"
    );
    assert_eq!(broken(dir.path(), "fed.avro"), said.replacen(&fed.to_string(), "0", 1));
    fs::write(dir.path().join("fed.avro"), whole).expect("a file");
    let rest = printed(dir.path(), &["feed", "fed.avro", "--to", "prices"]);
    assert_eq!(rest, format!("{} records written to prices\n", RECORDS - fed));
    let read = printed(dir.path(), &["topics", "read", "prices", "--until-end"]);
    let (first, again) = read.split_at(read.len() / 2);
    assert!(first == again, "records are lost or doubled");
}
