//! The reference modules in every language against the same cases, in `tests/conformance`: one folder for each module, and in
//! it one for each case. What Rust answers, all others must answer, to the last bit.
//!
//! A language is a folder in `guests` with a folder for each module; what is built of them is in `guests/built/<language>`. The
//! Rust ones stand in `guests` itself, and are all that there is until the others are built.

use std::fs;
use std::path::PathBuf;

use crate::support::{Folder, modules, top};

/// Cases that a language cannot pass, and why.
const EXCEPT: [(&str, &str, &str); 1] =
    [("typescript", "wide-times", "QuickJS holds numbers as doubles; a module takes a long beyond 2^53 as text")];

/// Languages besides Rust that have this module.
fn languages(module: &str) -> Vec<String> {
    let entries = fs::read_dir(top().join("guests")).expect("a folder");
    let folders = entries.map(|entry| entry.expect("an entry").path());
    let of_module = folders.filter(|folder| folder.join(module).join("wit").is_dir());
    let mut names: Vec<String> =
        of_module.map(|folder| folder.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The module in every language.
fn built(module: &str) -> Vec<(String, PathBuf)> {
    let mut all = vec![("rust".to_owned(), modules().join(format!("{module}.wasm")))];
    let others = top().join("guests/built");
    for language in languages(module).into_iter().filter(|_| others.is_dir()) {
        let path = others.join(&language).join(format!("{module}.wasm"));
        assert!(path.exists(), "the {module} in {language} is not built, and others are");
        all.push((language, path.canonicalize().expect("a path")));
    }
    all
}

/// The names of its cases.
fn cases_of(module: &str) -> Vec<String> {
    let entries = fs::read_dir(top().join("tests/conformance").join(module)).expect("cases");
    let folders = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let mut names: Vec<String> =
        folders.map(|folder| folder.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn must_pass(module: &str) {
    let cases = top().join("tests/conformance").join(module).canonicalize().expect("cases");
    let names = cases_of(module);
    assert!(names.len() >= 8, "too few cases in {}", cases.display());
    let folder = Folder::of(&top().join("tests/testing"));
    let mut failed = String::new();
    for (language, path) in built(module) {
        let (path, cases) = (path.to_string_lossy(), cases.to_string_lossy());
        let mut arguments = vec!["test", &path, "--cases", &cases];
        let able = |name: &&String| !EXCEPT.iter().any(|(of, case, _)| *of == language && case == name);
        arguments.extend(names.iter().filter(able).flat_map(|name| ["--case", name]));
        let ended = folder.host(&arguments);
        if ended.code() != Some(0) {
            failed += &format!("\n==== {module} in {language}\n{}{}", ended.stdout, ended.stderr);
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn every_processor_answers_the_same() {
    must_pass("processor");
}

#[test]
fn every_analyzer_answers_the_same() {
    must_pass("analyzer");
}
