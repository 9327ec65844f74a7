//! Rules of the code base that clippy cannot hold. Each is a function from a file to what is wrong in it.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of more lines does two jobs.
const MAX_LINES: usize = 500;

/// Folders that are not ours, or not source.
const SKIPPED: [&str; 8] = [".git", ".services", "target", "data", "modules", "node_modules", "bindings", "built"];

/// What is read. Lock files and records are not written by hand.
const TEXTS: [&str; 7] = ["rs", "md", "wit", "toml", "avsc", "sh", "yml"];

/// The parts of `host/src`, from the top down: a part uses those of its own row and of the rows below, never above.
const LAYERS: [&[&str]; 4] = [
    &["main", "cli", "command", "progress"],
    &["config", "pipeline"],
    &["stage", "swap", "sink", "feed", "worker", "wit"],
    &[
        "log",
        "table",
        "module",
        "schema",
        "format",
        "dead_letter",
        "metrics",
        "shutdown",
        "aside",
        "random",
        "allocator",
    ],
];

/// Implementations of a trait. None knows another, but for a pair with its reason: the tables of the embedded log live
/// in its file and are written in its transactions.
const ADAPTERS: [&str; 4] = ["log/embedded", "log/kafka", "table/sqlite", "table/cassandra"];
const JOINED: (&str, &str) = ("log/embedded", "table/sqlite");

/// The only files in which unsafe code may be allowed; that of a folder's `mod.rs` counts for the folder.
const UNSAFE: [&str; 4] = [
    "host/boundary/src/call.rs",
    "host/src/allocator.rs",
    "host/src/log/kafka/native/mod.rs",
    "bench/src/bin/kafka/bare.rs",
];

struct File {
    /// From the top of the repository, with slashes.
    path: String,
    text: String,
}

/// A line that breaks a rule.
fn at(file: &File, line: usize, what: impl std::fmt::Display) -> String {
    format!("{}:{}: {what}", file.path, line + 1)
}

fn length(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if is_rust(file) && lines > MAX_LINES { vec![at(file, 0, format!("{lines} lines, split it"))] } else { vec![] }
}

fn module_docs(file: &File) -> Vec<String> {
    if is_rust(file) && !file.text.starts_with("//! ") {
        vec![at(file, 0, "begin with `//!`: what it does, what it must never do, who calls it")]
    } else {
        vec![]
    }
}

fn no_notes_to_self(file: &File) -> Vec<String> {
    // Put together here, so that this file passes.
    let words = [concat!("to", "do"), concat!("fix", "me"), concat!("for ", "now"), concat!("x", "xx")];
    let is_lint = |line: &str| line.ends_with("= \"warn\"");
    each_line(file, |line| {
        let line = line.to_ascii_lowercase();
        let word = words.iter().find(|word| has_word(&line, word))?;
        (!is_lint(&line)).then(|| format!("`{word}`: do it, or delete it"))
    })
}

fn no_machine_paths(file: &File) -> Vec<String> {
    let paths = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
    let is_absolute = |line: &str, path: &str| {
        line.match_indices(path)
            .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~*}".contains(c)))
    };
    each_line(file, |line| {
        let path = paths.iter().find(|path| is_absolute(line, path))?;
        Some(format!("`{path}` is a path of one machine"))
    })
}

fn arrows_point_down(file: &File) -> Vec<String> {
    let Some(inside) = file.path.strip_prefix("host/src/") else { return vec![] };
    let own = part(inside);
    if own == "lib" {
        return vec![];
    }
    let Some(own_layer) = layer(own) else {
        return vec![at(file, 0, format!("give `{own}` its place in LAYERS of tests/tidy.rs"))];
    };
    each_line(file, |line| {
        let used = used_parts(line).find(|used| layer(used).is_some_and(|layer| layer < own_layer))?;
        Some(format!("`{own}` must not use `{used}`, which is above it"))
    })
}

fn adapters_stay_apart(file: &File) -> Vec<String> {
    let Some(inside) = file.path.strip_prefix("host/src/") else { return vec![] };
    let is_in = |adapter: &str| inside.strip_prefix(adapter).is_some_and(|rest| rest.starts_with(['/', '.']));
    let Some(own) = ADAPTERS.into_iter().find(|adapter| is_in(adapter)) else { return vec![] };
    each_line(file, |line| {
        let names = |adapter: &str| line.contains(&format!("crate::{}", adapter.replace('/', "::")));
        let other = ADAPTERS.into_iter().find(|other| *other != own && (own, *other) != JOINED && names(other))?;
        Some(format!("adapter `{own}` must not use adapter `{other}`"))
    })
}

fn unsafe_stays_in_its_files(file: &File) -> Vec<String> {
    let allows = concat!("allow(", "unsafe_code");
    each_line(file, |line| {
        let allowed = UNSAFE.contains(&file.path.as_str()) || !line.contains(allows);
        (!allowed).then(|| format!("unsafe code belongs in {}", UNSAFE.join(", ")))
    })
}

const RULES: [fn(&File) -> Vec<String>; 7] = [
    length,
    module_docs,
    no_notes_to_self,
    no_machine_paths,
    arrows_point_down,
    adapters_stay_apart,
    unsafe_stays_in_its_files,
];

fn is_rust(file: &File) -> bool {
    file.path.ends_with(".rs")
}

fn each_line(file: &File, wrong: impl Fn(&str) -> Option<String>) -> Vec<String> {
    file.text.lines().enumerate().filter_map(|(n, line)| Some(at(file, n, wrong(line)?))).collect()
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !is_part(line[..at].chars().next_back()) && !is_part(line[at + word.len()..].chars().next()))
}

/// The part that a path below `host/src`, or the rest of a line after `crate::`, begins with.
fn part(path: &str) -> &str {
    path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or(path)
}

fn used_parts(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or(line);
    code.match_indices("crate::").map(|(at, found)| part(&code[at + found.len()..]))
}

fn layer(part: &str) -> Option<usize> {
    LAYERS.iter().position(|parts| parts.contains(&part))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn collect(folder: &Path, top: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !SKIPPED.contains(&name) {
                collect(&path, top, files);
            }
        } else if name == "Makefile" || path.extension().is_some_and(|e| TEXTS.iter().any(|text| e == *text)) {
            let inside = path.strip_prefix(top).expect("below the top").to_string_lossy().replace('\\', "/");
            files.push(File { path: inside, text: fs::read_to_string(&path).expect("UTF-8") });
        }
    }
}

#[test]
fn the_code_base_keeps_its_rules() {
    let mut files = Vec::new();
    collect(&repository(), &repository(), &mut files);
    assert!(files.iter().any(|file| file.path == "host/src/lib.rs"), "found no sources");
    let mut broken: Vec<String> = files.iter().flat_map(|file| RULES.iter().flat_map(move |rule| rule(file))).collect();
    broken.sort();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn each_rule_finds_what_breaks_it() {
    let broken = |rule: fn(&File) -> Vec<String>, path: &str, text: &str| {
        rule(&File { path: path.to_owned(), text: text.to_owned() }).len()
    };
    assert_eq!(broken(length, "a.rs", &"x\n".repeat(MAX_LINES + 1)), 1);
    assert_eq!(broken(module_docs, "a.rs", "use std;"), 1);
    assert_eq!(broken(no_notes_to_self, "a.md", concat!("FIX", "ME: later\nTO", "DO\ntodos are fine")), 2);
    assert_eq!(broken(no_notes_to_self, "Cargo.toml", concat!("to", "do = \"warn\"")), 0);
    assert_eq!(broken(no_machine_paths, "a.md", concat!("in /ho", "me/me/x\n${X}/ho", "me/x\n../wo", "rk/x")), 1);
    assert_eq!(
        broken(arrows_point_down, "host/src/log/mod.rs", "use crate::stage::Stage;\nuse crate::table::Rows;"),
        1
    );
    assert_eq!(broken(arrows_point_down, "host/src/feed/mod.rs", "use crate::log::Log; // crate::cli"), 0);
    assert_eq!(broken(arrows_point_down, "host/src/unheard_of.rs", ""), 1);
    assert_eq!(broken(adapters_stay_apart, "host/src/log/embedded/mod.rs", "use crate::log::kafka::X;"), 1);
    assert_eq!(broken(adapters_stay_apart, "host/src/log/embedded/mod.rs", "use crate::table::sqlite::X;"), 0);
    assert_eq!(broken(unsafe_stays_in_its_files, "host/src/log/mod.rs", concat!("#![allow(", "unsafe_code)]")), 1);
}
