//! `host modules` and `host compare`, and what they look at: shadows, deployments, who made a record.

mod commands;
mod compare;
mod deploy;
mod shadow;

use serde_json::Value;

use crate::support::Folder;

/// What a command printed that went well.
#[track_caller]
fn printed(folder: &Folder, arguments: &[&str]) -> String {
    let ended = folder.host(arguments);
    assert_eq!(ended.status.code(), Some(0), "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

/// What a command printed as JSON lines.
#[track_caller]
fn lines(folder: &Folder, arguments: &[&str]) -> Vec<Value> {
    let printed = printed(folder, &[arguments, &["--format", "json"]].concat());
    printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}
