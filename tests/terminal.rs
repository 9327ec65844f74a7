//! On a terminal: what runs is shown live, Ctrl-C drains and commits, and a second one quits at once.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::terminal::CTRL_C;
use crate::support::{Folder, Running, top};

const LETTERS: &str = "case.dead-letters";
/// The step of a stage stays open for longer than the test takes.
const OPEN: [&str; 2] = ["--set", "log.commit_interval_ms=60000"];
/// What takes a line off a terminal.
const TAKEN_OFF: &str = "\x1b[2K";
/// Ctrl-C does not wait for the end of a step.
const SOON: Duration = Duration::from_secs(20);

fn line(n: usize, quantity: u32) -> String {
    format!(
        r#"{{"id":"p-{n}","name":"n","category":"c","price":10,"quantity":{quantity},"updated":{n},"in_stock":true}}"#
    ) + "\n"
}

/// A folder whose topic `in` has records, and whose pipeline has nothing more to feed.
fn fed(lines: &str) -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    fs::write(folder.path("fed.jsonl"), lines).expect("written");
    folder.host(&["feed", "fed.jsonl", "--to", "in"]).must_end(0);
    folder
}

/// Waits until a line of the terminal has all of these.
#[track_caller]
fn wait_for_line(running: &Running, parts: &[&str]) {
    running.wait_until_shown(&format!("a line with {parts:?}"), |shown| {
        shown.split(['\r', '\n']).any(|line| parts.iter().all(|part| line.contains(part)))
    });
}

#[test]
fn progress_is_live_and_ctrl_c_commits_what_is_open() {
    let folder = fed(&(0..3).map(|n| line(n, 1)).collect::<String>());
    let mut running = folder.start_on_terminal(&[&["run"][..], &OPEN].concat());
    wait_for_line(&running, &["stage processor", " 3 in", " 3 out", "/s"]);
    assert_eq!(folder.so_far("out"), 0, "the step is not open any more");
    let pressed = Instant::now();
    running.press(CTRL_C);
    let ended = running.end();
    ended.must_end(0);
    assert!(pressed.elapsed() < SOON, "it took {:?}", pressed.elapsed());
    assert!(ended.stdout.contains("stopping: finishing and committing what is open"), "{}", ended.stdout);
    assert_eq!((folder.topic("out").lines().count(), folder.letters(LETTERS).len()), (3, 0));
    // What was counted stays, as plain lines below all that was taken off.
    let (_, last) = ended.stdout.rsplit_once(TAKEN_OFF).expect("progress was taken off");
    let last: Vec<Vec<&str>> = last.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(last.len(), 2, "{last:?}");
    assert_eq!(last[0][..6], ["feed", "feed", "0", "in", "0", "out"]);
    assert_eq!(last[1][..6], ["stage", "processor", "3", "in", "3", "out"]);

    // The next run has nothing left to do.
    folder.host(&["run", "--until-end"]).must_end(0);
    assert_eq!(folder.topic("out").lines().count(), 3);
}

#[test]
fn a_second_ctrl_c_quits_at_once_and_leaves_the_terminal_in_order() {
    let folder = fed(&[line(0, 1), line(1, 13), line(2, 1)].concat());
    let module = fs::read_to_string(top().join("tests/scenarios/endless.wat")).expect("the module");
    folder.module("endless", &module);
    let endless = ["--set", "stage.processor.module=modules/endless.wasm"];
    let limit = ["--set", "stage.processor.limits.time_ms=60000"];
    let mut running = folder.start_on_terminal(&[&["run"][..], &endless, &limit].concat());
    wait_for_line(&running, &["about to loop for ever"]);
    wait_for_line(&running, &["stage processor ", " 3 in"]);
    running.press(CTRL_C);
    wait_for_line(&running, &["once more quits at once"]);
    assert!(running.is_running(), "it did not wait for the call");
    running.press(CTRL_C);
    let ended = running.end();
    ended.must_end(130);
    // What comes next does not stand behind a line of progress. (The terminal shows `^C` when it likes.)
    let (_, after) = ended.stdout.rsplit_once("stage processor ").expect("progress was shown");
    assert!(after.contains(TAKEN_OFF), "{after:?}");
    assert_eq!(folder.topic("out"), "", "the open step happened");
}

#[test]
fn a_feed_shows_how_far_it_is() {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    fs::write(folder.path("more.jsonl"), (0..3).map(|n| line(n, 1)).collect::<String>()).expect("written");
    let mut running = folder.start_on_terminal(&["feed", "more.jsonl", "--to", "in", "--follow"]);
    wait_for_line(&running, &["feed more.jsonl", " 3 in", " 3 out"]);
    running.press(CTRL_C);
    let ended = running.end();
    assert!(ended.must_end(0).stdout.ends_with("3 records written to in\r\n"), "{}", ended.stdout);
}
