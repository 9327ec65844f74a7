//! Commands that go on until they are stopped.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use similar_asserts::assert_eq;

use super::{FEED, fresh, host, printed, run, through};
use crate::support::{LIMIT, Running, until};

fn start(dir: &Path, arguments: &[&str]) -> Running {
    Running::spawn(&mut host(dir, arguments))
}

/// Asks it to stop, as Ctrl-C does; it does so without an error.
#[track_caller]
fn stop(running: Running) {
    running.interrupt();
    running.end().must_end(0);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let dir = fresh();
    // More than any pipe holds, so that it is still writing when the reader goes.
    let endless = ["feed", "generate", "--to", "-", "--count", "1000000"];
    let ended = Running::spawn_read_up_to(1, &mut host(dir.path(), &endless)).end();
    assert_eq!((ended.must_end(0).stdout.as_str(), ended.stderr.as_str()), ("{", ""));
}

#[test]
fn an_interrupted_run_commits_and_the_next_one_goes_on() {
    let dir = fresh();
    let following = ["run", "--set", "feed.file.follow=true"];
    let running = start(dir.path(), &following);
    until("a row in the table", LIMIT, || run(dir.path(), &["table", "show", "by_shop"]).out.contains("north"));
    stop(running);
    fs::write(dir.path().join("feed.jsonl"), format!("{FEED}{{\"id\":\"f\",\"shop\":\"west\",\"cents\":600}}\n"))
        .expect("a file");
    printed(dir.path(), &["run", "--until-end"]);
    let read = printed(dir.path(), &["topics", "read", "prices", "--until-end"]);
    let ids: Vec<&str> = read.lines().filter_map(|line| line.get(7..8)).collect();
    assert_eq!(ids, ["a", "b", "d", "f"], "{read}");
}

#[test]
fn a_file_that_grows_is_followed_by_whole_lines() {
    let dir = fresh();
    let file = dir.path().join("growing.jsonl");
    fs::write(&file, "").expect("a file");
    let running = start(dir.path(), &["feed", "growing.jsonl", "--to", "prices", "--follow"]);
    let grow = |text: &str, records: usize| {
        let mut file = fs::File::options().append(true).open(&file).expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        until("what was added", LIMIT, || {
            run(dir.path(), &["topics", "read", "prices", "--until-end"]).out.lines().count() == records
        });
    };
    grow("{\"id\":\"a\",\"shop\":null,\"cents\":1}\n{\"id\":\"b\",\"sh", 1);
    grow("op\":null,\"cents\":2}\n", 2);
    stop(running);
    assert_eq!(printed(dir.path(), &["dead-letters", "list"]), "no dead letters in prices.dead-letters\n");
}

/// Also while its header row is not whole yet.
#[test]
fn a_csv_file_that_grows_may_have_no_header_yet() {
    let dir = fresh();
    let file = dir.path().join("growing.csv");
    fs::write(&file, "").expect("a file");
    let mut running = start(dir.path(), &["feed", "growing.csv", "--to", "prices", "--follow"]);
    let grow = |text: &str| {
        let mut file = fs::File::options().append(true).open(&file).expect("a file");
        file.write_all(text.as_bytes()).expect("written");
    };
    until("the feed has begun", LIMIT, || run(dir.path(), &["topics", "list"]).out.contains("prices"));
    grow("id,sh");
    grow("op,cents\na,,1\n");
    let read = || run(dir.path(), &["topics", "read", "prices", "--until-end"]).out;
    until("the record", LIMIT, || read() == "{\"id\":\"a\",\"shop\":null,\"cents\":1}\n");
    assert!(running.is_running());
    stop(running);
    // The next run goes on behind it, with the same header.
    let running = start(dir.path(), &["feed", "growing.csv", "--to", "prices", "--follow"]);
    grow("b,,2\n");
    until("the next record", LIMIT, || read().lines().count() == 2);
    stop(running);
    assert_eq!(printed(dir.path(), &["dead-letters", "list"]), "no dead letters in prices.dead-letters\n");
}

#[test]
fn the_load_generator_keeps_its_rate() {
    let dir = fresh();
    let begun = Instant::now();
    let lines = printed(dir.path(), &["feed", "generate", "--count", "5", "--rate", "20", "--to", "-"]);
    assert_eq!(lines.lines().count(), 5);
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[test]
fn standard_input_is_a_feed_in_any_form() {
    let dir = fresh();
    let feed = |text: &str, form: &[&str]| {
        let mut running = start(dir.path(), &[&["feed", "-", "--to", "prices"][..], form].concat());
        running.tell(text);
        running.end().must_end(0).stdout.clone()
    };
    assert_eq!(
        feed("{\"id\":\"a\",\"shop\":null,\"cents\":1}\n{\"id\":", &[]),
        "1 records written to prices\n1 dead letters written to prices.dead-letters\n"
    );
    assert_eq!(feed("id,shop,cents\nb,,2\n", &["--format", "csv"]), "1 records written to prices\n");
    let list = printed(dir.path(), &["dead-letters", "list"]);
    assert!(list.contains("standard input:2") && list.contains("it is not JSON"), "{list}");
    assert_eq!(
        printed(dir.path(), &["topics", "read", "prices", "--until-end"]),
        "{\"id\":\"a\",\"shop\":null,\"cents\":1}\n{\"id\":\"b\",\"shop\":null,\"cents\":2}\n"
    );
}

#[test]
fn reading_a_topic_waits_for_more_until_it_is_interrupted() {
    let dir = through();
    let read = ["topics", "read", "prices"];
    let running = start(dir.path(), &read);
    let lines = running.wait_until_shown("the three records", |shown| shown.matches('\n').count() == 3);
    assert!(lines.lines().all(|line| line.contains("cents")), "{lines}");
    let more = "{\"id\":\"z\",\"shop\":\"west\",\"cents\":700}\n";
    fs::write(dir.path().join("more.jsonl"), more).expect("a file");
    printed(dir.path(), &["feed", "more.jsonl", "--to", "prices"]);
    running.wait_until_shown("the record that has come", |shown| shown == lines.clone() + more);
    stop(running);
}

#[test]
fn looking_works_while_a_pipeline_runs_and_a_replay_is_told_to_wait() {
    let dir = fresh();
    let following = ["run", "--set", "feed.file.follow=true"];
    let running = start(dir.path(), &following);
    until("dead letters", LIMIT, || run(dir.path(), &["dead-letters", "list"]).out.lines().count() == 4);
    let replay = run(dir.path(), &["dead-letters", "replay"]);
    assert_eq!(replay.code, Some(1), "{replay:?}");
    assert!(replay.err.contains("in use") && replay.err.contains("hint: stop that host first"), "{}", replay.err);
    stop(running);
}

#[test]
fn retention_goes_on_while_nothing_comes_and_who_misses_records_is_told() {
    let dir = through();
    fs::write(dir.path().join("more.jsonl"), "{\"id\":\"z\",\"shop\":\"west\",\"cents\":700}\n").expect("a file");
    let kept = ["--set", "topics.prices.retention_ms=200"];
    // The feed waits for its file to grow, which it does not.
    let running = start(dir.path(), &[&["feed", "more.jsonl", "--to", "prices", "--follow"][..], &kept].concat());
    until("the removal of all records", LIMIT, || {
        let described = printed(dir.path(), &["topics", "describe", "prices"]);
        described.lines().any(|line| line.split_whitespace().take(3).eq(["0", "4", "4"]))
    });
    stop(running);
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

#[test]
fn the_oldest_go_while_nothing_comes_when_a_topic_holds_too_much() {
    let dir = through();
    fs::write(dir.path().join("more.jsonl"), "{\"id\":\"z\",\"shop\":\"west\",\"cents\":700}\n").expect("a file");
    printed(dir.path(), &["feed", "more.jsonl", "--to", "prices"]);
    printed(dir.path(), &["run", "--until-end"]);
    // All is read, and nothing is written any more.
    let running =
        start(dir.path(), &["run", "--set", "feed.file.follow=true", "--set", "topics.prices.retention_bytes=100"]);
    until("the removal of the first batch", LIMIT, || {
        let described = printed(dir.path(), &["topics", "describe", "prices"]);
        described.lines().any(|line| line.split_whitespace().take(3).eq(["0", "3", "4"]))
    });
    stop(running);
}
