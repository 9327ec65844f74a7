//! What must come of a case, by its files, and how what came differs.
//!
//! A file that is not there expects nothing. What is expected may be written in any spacing and order of fields; where it
//! means the same, it is the same.

use std::path::Path;

use anyhow::{Context, Result};
use bespoke_boundary::{Schema, names};
use serde::Deserialize;
use serde_json::Value;

use super::case::{Case, Tolerance, is_given, is_hidden, state_file};
use super::diff;
use super::session::{Letter, Outcome};
use crate::cli::failure::Usage;
use crate::format::{JsonOptions, JsonStyle, parse_json, write_json};
use crate::stage::Destination;

const LETTERS: &str = "dead-letters.jsonl";
const STOPPED: &str = "stops.txt";
/// Stands for any text in an expected reason.
const ANY: char = '…';

/// One file of a case, and what it should hold.
pub(super) struct Expectation {
    /// The file's name.
    pub file: String,
    /// What came, as the file has it.
    actual: Vec<u8>,
    /// How what came differs, if it does.
    pub difference: Option<String>,
}

/// A line of `dead-letters.jsonl`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedLetter {
    index: usize,
    kind: String,
    /// Any will do if there is none.
    reason: Option<String>,
}

/// Compares all files of a case with what came of it.
///
/// # Errors
/// If the folder has a file that is none of a case, or one cannot be read.
pub(super) fn compare(case: &Case, outputs: &[Destination], outcome: &Outcome) -> Result<Vec<Expectation>> {
    let mut all = Vec::new();
    for (output, lines) in outputs.iter().zip(&outcome.lines) {
        let expected = lines_of(&case.folder.join(file_of(output)))?;
        let fields = |name: &str| case.tolerances.iter().find(|tolerance| names::matches(&tolerance.field, name));
        let same = |expected: &str, actual: &str| {
            canonical(&output.schema, expected).is_some_and(|line| line == actual || is_near(&line, actual, &fields))
        };
        all.push(Expectation::of_lines(file_of(output), &settled(&expected, lines, same), lines));
    }
    let letters: Vec<String> = outcome.letters.iter().map(Letter::line).collect();
    let expected = letters_of(case, outcome)?;
    all.push(Expectation::of_lines(LETTERS.to_owned(), &expected, &letters));
    let stopped: Vec<String> = outcome.stopped.iter().cloned().collect();
    let expected = settled(&lines_of(&case.folder.join(STOPPED))?, &stopped, fits);
    all.push(Expectation::of_lines(STOPPED.to_owned(), &expected, &stopped));
    for partition in &case.partitions {
        let file = state_file("after", *partition, &case.partitions);
        // Not every case is about the state.
        if let Some(expected) = bytes_of(&case.folder.join(&file))? {
            let actual = outcome.states.get(partition).map(|state| state.to_vec()).unwrap_or_default();
            let difference = (expected != actual).then(|| diff::bytes(&expected, &actual));
            all.push(Expectation { file, actual, difference });
        }
    }
    check_files(case, &all)?;
    Ok(all)
}

impl Expectation {
    fn of_lines(file: String, expected: &[String], actual: &[String]) -> Self {
        let difference = (expected != actual).then(|| diff::lines(expected, actual));
        let actual = actual.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        Self { file, actual, difference }
    }

    /// Makes the file hold what came. Nothing is an absent file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn bless(&self, folder: &Path) -> Result<()> {
        let path = folder.join(&self.file);
        let done =
            if self.actual.is_empty() { std::fs::remove_file(&path) } else { std::fs::write(&path, &self.actual) };
        done.with_context(|| format!("`{}` cannot be written", path.display()))
    }
}

impl Letter {
    fn line(&self) -> String {
        let Self { index, kind, reason } = self;
        format!("{{\"index\":{index},\"kind\":\"{kind}\",\"reason\":{}}}", Value::from(reason.as_str()))
    }
}

/// The file with the records of an output.
fn file_of(output: &Destination) -> String {
    output.name.as_ref().map_or("expected.jsonl".to_owned(), |name| format!("expected.{name}.jsonl"))
}

/// A file with a mistyped name would be taken for one that is not there.
fn check_files(case: &Case, expected: &[Expectation]) -> Result<()> {
    let folder = &case.folder;
    let entries = std::fs::read_dir(folder).with_context(|| format!("`{}` cannot be read", folder.display()))?;
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| !is_hidden(path)) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !is_given(&name) && !expected.iter().any(|expectation| expectation.file == name) {
            let known: Vec<_> = expected.iter().map(|expectation| expectation.file.as_str()).collect();
            let what = format!("`{}` is no file of a case", path.display());
            return Err(Usage::new(what)
                .hint(format!("what is expected of this one is in {}", known.join(", ")))
                .into());
        }
    }
    Ok(())
}

fn bytes_of(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("`{}` cannot be read", path.display())),
    }
}

fn lines_of(path: &Path) -> Result<Vec<String>> {
    let bytes = bytes_of(path)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

/// Expected lines, each replaced by the actual one in its place where that is the same.
fn settled(expected: &[String], actual: &[String], same: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let settle = |(i, expected): (usize, &String)| match actual.get(i) {
        Some(actual) if expected == actual || same(expected, actual) => actual.clone(),
        _ => expected.clone(),
    };
    expected.iter().enumerate().map(settle).collect()
}

/// Expected letters. Their places are those of their records.
fn letters_of(case: &Case, outcome: &Outcome) -> Result<Vec<String>> {
    let settle = |line: String| {
        let Ok(expected) = serde_json::from_str::<ExpectedLetter>(&line) else { return line };
        let found = outcome.letters.iter().find(|letter| letter.index == expected.index);
        let is_it = |letter: &&Letter| {
            let reason = expected.reason.as_ref().is_none_or(|reason| fits(reason, &letter.reason));
            letter.kind == expected.kind && reason
        };
        found.filter(is_it).map_or(line, Letter::line)
    };
    Ok(lines_of(&case.folder.join(LETTERS))?.into_iter().map(settle).collect())
}

/// Whether a text is as expected, where [`ANY`] stands for any.
fn fits(expected: &str, actual: &str) -> bool {
    let mut parts = expected.split(ANY);
    let Some(mut rest) = parts.next().and_then(|first| actual.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// A line as the host writes it; none if it is no record of the schema.
fn canonical(schema: &Schema, line: &str) -> Option<String> {
    let (mut datum, mut text) = (Vec::new(), Vec::new());
    parse_json(schema, line.as_bytes(), JsonOptions::default(), &mut datum).ok()?;
    write_json(schema, &datum, JsonStyle::Plain, &mut text).ok()?;
    String::from_utf8(text).ok()
}

/// Whether two records differ only in numbers that may be so far from each other.
fn is_near<'t>(expected: &str, actual: &str, tolerance: &impl Fn(&str) -> Option<&'t Tolerance>) -> bool {
    let record = |text: &str| match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    let (Some(expected), Some(actual)) = (record(expected), record(actual)) else { return false };
    expected.len() == actual.len()
        && expected.iter().zip(&actual).all(|((name, expected), (other, actual))| {
            let is_allowed = || match (tolerance(name), expected.as_f64(), actual.as_f64()) {
                (Some(tolerance), Some(expected), Some(actual)) => {
                    (actual - expected).abs() <= tolerance.absolute.max(tolerance.relative * expected.abs())
                }
                _ => false,
            };
            name == other && (expected == actual || is_allowed())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_may_leave_out_what_differs_between_languages() {
        for (expected, actual, is_it) in [
            ("process: panicked", "process: panicked", true),
            ("process: panicked", "process: panicked: at lib.rs", false),
            ("process: …", "process: ", true),
            ("…no price…", "process: no price: at lib.rs:3", true),
            ("a…b…c", "a-b-b-c", true),
            ("a…b…c", "a-c-b", false),
            ("ab…b", "ab", false),
            ("…", "", true),
            ("", "x", false),
        ] {
            assert_eq!(fits(expected, actual), is_it, "{expected} {actual}");
        }
    }

    #[test]
    fn numbers_may_differ_only_where_it_is_said_and_by_as_much() {
        let tolerance =
            Tolerance { field: "mean".to_owned(), absolute: 0.0, relative: 1e-3, _reason: "another order".to_owned() };
        let near = |expected: &str, actual: &str| {
            is_near(expected, actual, &|name| names::matches("mean", name).then_some(&tolerance))
        };
        assert!(near(r#"{"id":"a","mean":1000}"#, r#"{"id":"a","mean":1000.9}"#));
        assert!(!near(r#"{"id":"a","mean":1000}"#, r#"{"id":"a","mean":1001.1}"#));
        assert!(!near(r#"{"id":"a","mean":1000}"#, r#"{"id":"b","mean":1000}"#));
        assert!(!near(r#"{"mean":null}"#, r#"{"mean":1}"#));
        assert!(near(r#"{"mean":null}"#, r#"{"mean":null}"#));
        assert!(!near(r#"{"count":1000}"#, r#"{"count":1000.1}"#));
    }
}
