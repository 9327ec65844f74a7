//! The sample modules in every language against the same cases, in `tests/conformance`: one folder for each module, and in
//! it one for each case. What Rust answers, all others must answer, to the last bit.
//!
//! A language is a folder in `guests` with a folder for each module; what is built of them is in `guests/built/<language>`. The
//! Rust ones stand in `guests` itself.
//!
//! `shapes` has a function for each shape of an answer, and in its folder one for each of them, with its cases. A stage would
//! call `process`; here each is called in its place, by a module that is compiled once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bespoke_boundary::Function;
use host::command::test::run_cases;
use host::module::{Limits, Module, Sandbox, VirtualTime};

use crate::support::{Ended, Folder, modules, top};

/// Cases that a language cannot pass, and why.
const EXCEPT: [(&str, &str, &str); 2] = [
    ("typescript", "wide-times", "QuickJS holds numbers as doubles; a module takes a long beyond 2^53 as text"),
    ("c", "wide-decimals", "the helpers for C read decimals of 64 bits"),
];

/// Languages that have all modules, at least.
const LANGUAGES: [&str; 4] = ["c", "go", "python", "typescript"];
/// All that have cases.
const MODULES: [&str; 4] = ["processor", "analyzer", "orders", SHAPES];
/// The one with many functions.
const SHAPES: &str = "shapes";

/// Languages besides Rust that have this module.
fn languages(module: &str) -> Vec<String> {
    let mut names = folders(&top().join("guests"));
    names.retain(|language| top().join("guests").join(language).join(module).join("wit").is_dir());
    names
}

/// The names of the folders in one.
fn folders(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let folders = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let mut names: Vec<String> =
        folders.map(|folder| folder.file_name().expect("a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The module in every language.
fn built(module: &str) -> Vec<(String, PathBuf)> {
    let mut all = vec![("rust".to_owned(), modules().join(format!("{module}.wasm")))];
    let languages = languages(module);
    let is_there = |language: &&str| languages.iter().any(|there| there == language);
    assert!(LANGUAGES.iter().all(is_there), "{module} is there in {languages:?} only");
    for language in languages {
        let path = top().join("guests/built").join(&language).join(format!("{module}.wasm"));
        assert!(path.exists(), "the {module} in {language} is not built: run `make guests-all`");
        all.push((language, path.canonicalize().expect("a path")));
    }
    all
}

/// Where the cases of a module are.
fn cases(module: &str) -> PathBuf {
    top().join("tests/conformance").join(module).canonicalize().expect("cases")
}

/// Runs the cases of a folder over a module in a language.
fn run(folder: &Folder, language: &str, module: &Path, cases: &Path) -> Ended {
    let names = folders(cases);
    let (path, cases) = (module.to_string_lossy(), cases.to_string_lossy());
    let mut arguments = vec!["test", &path, "--cases", &cases];
    let able = |name: &&String| !EXCEPT.iter().any(|(of, case, _)| *of == language && case == name);
    arguments.extend(names.iter().filter(able).flat_map(|name| ["--case", name]));
    folder.host(&arguments)
}

/// Runs all cases of a module over it in every language. Returns what each has logged.
fn must_pass(module: &str) -> Vec<(String, String)> {
    let cases = cases(module);
    assert!(folders(&cases).len() >= 8, "too few cases in {}", cases.display());
    let folder = Folder::of(&top().join("tests/testing"));
    let mut failed = String::new();
    let mut logged = Vec::new();
    for (language, path) in built(module) {
        let ended = run(&folder, &language, &path, &cases);
        if ended.code() != Some(0) {
            failed += &format!("\n==== {module} in {language}\n{}{}", ended.stdout, ended.stderr);
        }
        logged.push((language, ended.stderr));
    }
    assert!(failed.is_empty(), "{failed}");
    logged
}

#[test]
fn every_processor_answers_the_same() {
    must_pass("processor");
}

#[test]
fn every_analyzer_answers_the_same() {
    must_pass("analyzer");
}

#[test]
fn every_type_of_avro_is_the_same_in_every_language() {
    for (language, lines) in must_pass("orders") {
        for (level, said) in [("INFO", "the step is 40"), ("WARN", "000000000002 has a count below zero")] {
            let is_it = |line: &str| line.contains(level) && line.contains(said) && line.contains("context=\"orders\"");
            assert!(lines.lines().any(is_it), "{language} did not log `{said}`\n{lines}");
        }
    }
}

#[test]
fn every_shape_of_an_answer_works_in_every_language() {
    let time = VirtualTime::default();
    let sandbox = Sandbox::new(None).expect("an engine").within(time.clone());
    let mut failed = String::new();
    for (language, path) in built(SHAPES) {
        let module = Module::load(&sandbox, &path, Limits::default()).expect("a module");
        for export in folders(&cases(SHAPES)) {
            let function = if export.starts_with("analyze") { Function::Analyze } else { Function::Process };
            let module = module.calling(function, &export).expect("a function of the contract");
            let mut told = Vec::new();
            let is_good = run_cases(&module, &time, &cases(SHAPES).join(&export), &mut told).expect("cases");
            if !is_good {
                failed += &format!("\n==== {export} in {language}\n{}", String::from_utf8_lossy(&told));
            }
        }
    }
    assert!(failed.is_empty(), "{failed}");
}

/// Whoever reads of the languages has to know what they cannot do.
#[test]
fn what_a_language_cannot_do_is_in_the_guide() {
    let guide = fs::read_to_string(top().join("docs/guides/README.md")).expect("the guide");
    for (language, case, _) in EXCEPT {
        let is_there = MODULES.iter().any(|module| cases(module).join(case).is_dir());
        assert!(is_there, "there is no case {case}");
        assert!(guide.contains(&format!("`{case}`")), "nothing is said of {case}, which {language} cannot pass");
    }
}

#[test]
fn a_module_has_the_same_types_in_every_language() {
    for module in MODULES {
        let text = |folder: PathBuf| fs::read_to_string(folder.join(format!("wit/{module}.wit"))).expect("the WIT");
        let guests = top().join("guests");
        let mut texts: BTreeSet<String> =
            languages(module).iter().map(|language| text(guests.join(language).join(module))).collect();
        texts.insert(text(guests.join(module)));
        assert_eq!(texts.len(), 1, "the WIT of {module} differs between languages");
    }
}
