//! Commands that go on until they are stopped.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use similar_asserts::assert_eq;

use super::{Ended, FEED, ended, fresh, host, printed, run, through};
use crate::support::{LIMIT, until};

/// A command that goes on until it is stopped. A test that fails takes it along.
struct Running(Option<Child>);

impl Running {
    fn start(dir: &Path, arguments: &[&str]) -> Self {
        let child = host(dir, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(Some(child.expect("it starts")))
    }

    fn stdout(&mut self) -> ChildStdout {
        self.0.as_mut().and_then(|child| child.stdout.take()).expect("not taken before")
    }

    fn wait(mut self) -> Ended {
        ended(self.0.take().expect("running").wait_with_output().expect("it ends"))
    }

    /// Asks it to stop, as Ctrl-C does, and waits for its end.
    fn interrupt(self) -> Ended {
        let id = self.0.as_ref().expect("running").id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let dir = fresh();
    // More than any pipe holds, so that it is still writing when the reader goes.
    let endless = ["feed", "generate", "--to", "-", "--count", "1000000"];
    let mut running = Running::start(dir.path(), &endless);
    let mut start = [0; 1];
    running.stdout().read_exact(&mut start).expect("it writes");
    let ended = running.wait();
    assert_eq!((ended.code, start), (Some(0), *b"{"), "{}", ended.err);
    assert!(!ended.err.contains("error"), "{}", ended.err);
}

#[test]
fn an_interrupted_run_commits_and_the_next_one_goes_on() {
    let dir = fresh();
    let following = ["run", "--set", "feed.file.follow=true"];
    let running = Running::start(dir.path(), &following);
    until("a row in the table", LIMIT, || run(dir.path(), &["table", "show", "by_shop"]).out.contains("north"));
    let ended = running.interrupt();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    fs::write(dir.path().join("feed.jsonl"), format!("{FEED}{{\"id\":\"f\",\"shop\":\"west\",\"cents\":600}}\n"))
        .expect("a file");
    printed(dir.path(), &["run", "--until-end"]);
    let read = printed(dir.path(), &["topics", "read", "prices", "--until-end"]);
    let ids: Vec<&str> = read.lines().filter_map(|line| line.get(7..8)).collect();
    assert_eq!(ids, ["a", "b", "d", "f"], "{read}");
}

#[test]
fn reading_a_topic_waits_for_more_until_it_is_interrupted() {
    let dir = through();
    let read = ["topics", "read", "prices"];
    let mut running = Running::start(dir.path(), &read);
    let mut lines = BufReader::new(running.stdout()).lines().map(|line| line.expect("text"));
    assert!(lines.by_ref().take(3).all(|line| line.contains("cents")));
    fs::write(dir.path().join("more.jsonl"), "{\"id\":\"z\",\"shop\":\"west\",\"cents\":700}\n").expect("a file");
    printed(dir.path(), &["feed", "more.jsonl", "--to", "prices"]);
    assert_eq!(lines.next().as_deref(), Some("{\"id\":\"z\",\"shop\":\"west\",\"cents\":700}"));
    let ended = running.interrupt();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
}

#[test]
fn looking_works_while_a_pipeline_runs_and_a_replay_is_told_to_wait() {
    let dir = fresh();
    let following = ["run", "--set", "feed.file.follow=true"];
    let running = Running::start(dir.path(), &following);
    until("dead letters", LIMIT, || run(dir.path(), &["dead-letters", "list"]).out.lines().count() == 4);
    let replay = run(dir.path(), &["dead-letters", "replay"]);
    assert_eq!(replay.code, Some(1), "{replay:?}");
    assert!(replay.err.contains("in use") && replay.err.contains("hint: stop that host first"), "{}", replay.err);
    assert_eq!(running.interrupt().code, Some(0));
}

#[test]
fn retention_goes_on_while_nothing_comes_and_who_misses_records_is_told() {
    let dir = through();
    fs::write(dir.path().join("more.jsonl"), "{\"id\":\"z\",\"shop\":\"west\",\"cents\":700}\n").expect("a file");
    let kept = ["--set", "topics.prices.retention_ms=200"];
    // The feed waits for its file to grow, which it does not.
    let running =
        Running::start(dir.path(), &[&["feed", "more.jsonl", "--to", "prices", "--follow"][..], &kept].concat());
    until("the removal of all records", LIMIT, || {
        let described = printed(dir.path(), &["topics", "describe", "prices"]);
        described.lines().any(|line| line.split_whitespace().take(3).eq(["0", "4", "4"]))
    });
    assert_eq!(running.interrupt().code, Some(0));
    // The sink had read three of the four.
    let ended = run(dir.path(), &[&["run", "--until-end", "--log-format", "json"][..], &kept].concat());
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let lines: Vec<serde_json::Value> =
        ended.err.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told = lines.iter().find(|line| line["message"] == "retention removed records before they were read");
    let told = told.unwrap_or_else(|| panic!("nothing told: {}", ended.err));
    let place = (told["level"].as_str(), told["topic"].as_str(), told["partition"].as_i64());
    assert_eq!(place, (Some("WARN"), Some("prices"), Some(0)));
    assert_eq!((told["from"].as_i64(), told["to"].as_i64()), (Some(3), Some(4)));
    let sink = lines.iter().rfind(|line| line["role"] == "sink keeper" && line["message"] == "progress");
    assert_eq!(sink.and_then(|sink| sink["skipped"].as_i64()), Some(1), "{}", ended.err);
    let again = run(dir.path(), &[&["run", "--until-end"][..], &kept].concat());
    assert!(again.code == Some(0) && !again.err.contains("retention removed"), "it is told once: {}", again.err);
}
