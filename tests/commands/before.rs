//! What is told before anything runs: of modules, of schemas, of a pipeline.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use similar_asserts::assert_eq;

use super::{SCHEMA, host, run, through};
use crate::support::{Folder, Running, modules, top};

/// A folder with modules, schemas and a pipeline.
fn folder() -> Folder {
    Folder::of(&top().join("tests/scenarios/empty-feed"))
}

fn printed(folder: &Folder, arguments: &[&str]) -> String {
    folder.host(arguments).must_end(0).stdout.clone()
}

#[test]
fn inspect_tells_what_a_module_takes_and_answers_and_how_each_field_maps() {
    let folder = folder();
    let told = printed(&folder, &["inspect", "modules/processor.wasm", "--schema", "schemas/product.avsc"]);
    let size = fs::metadata(folder.path("modules/processor.wasm")).expect("a module").len();
    for line in [
        "module     processor.wasm",
        &format!("size       {size} bytes"),
        "function   process: rows in, an answer for each record out",
        "configure  yes",
        "state      none",
        "  category: string <- category: string (its WIT type is string)",
        "  price: f64 <- price: double (its WIT type is f64)",
        "  quantity: s32 <- quantity: int (its WIT type is s32)",
        "  price-band: enum { budget, standard, premium }",
    ] {
        assert!(told.lines().any(|told| told == line), "no line `{line}` in\n{told}");
    }
    let imports = told.lines().find(|line| line.starts_with("imports ")).expect("imports");
    assert!(imports.contains("wasi:io/streams@0.2") && !imports.contains("filesystem"), "{imports}");
    let derived = told.lines().find_map(|line| line.strip_prefix("  as Avro: ")).expect("the schema of the answers");
    let derived: serde_json::Value = serde_json::from_str(derived).expect("JSON");
    assert_eq!(
        (derived["fields"][8]["name"].as_str(), derived["fields"][8]["type"].as_str()),
        (Some("discount"), Some("double"))
    );

    let told = printed(&folder, &["inspect", "modules/analyzer.wasm"]);
    for line in [
        "function   analyze: rows in, named outputs out",
        "state      snapshot and restore",
        "answers alerts",
        "  z-score: option<f64>",
    ] {
        assert!(told.lines().any(|told| told == line), "no line `{line}` in\n{told}");
    }
    let narrow = r#"{"type": "record", "name": "N", "fields": [{"name": "id", "type": "string"}]}"#;
    fs::write(folder.path("narrow.avsc"), narrow).expect("written");
    let refused = folder.host(&["inspect", "modules/analyzer.wasm", "--schema", "narrow.avsc"]);
    assert_eq!(
        refused.must_end(64).stderr,
        "error: module `analyzer.wasm`\n  \
           because: function `analyze`, field `category`: Avro record `N` has no such field; it has id; make it \
         `option<string>` if it may be missing\n"
    );
}

#[test]
fn check_tells_how_the_parts_of_a_pipeline_hang_together() {
    let told = printed(&folder(), &["check"]);
    assert_eq!(
        told,
        "pipeline `case` is sound\n  \
           feed feed -> in (record Product)\n  \
           stage processor: in (record Product) -> process of processor.wasm -> out\n"
    );
    // A file may come later.
    let told = printed(&folder(), &["check", "--set", "feed.feed.file=later.jsonl"]);
    let missing =
        "    but it has nothing to read as of now: cannot read `later.jsonl`: No such file or directory (os error 2)";
    assert!(told.starts_with("pipeline `case` is sound\n") && told.lines().any(|line| line == missing), "{told}");
}

#[test]
fn a_schema_becomes_wit_or_it_is_told_what_to_leave_out() {
    let folder = folder();
    let wit = printed(&folder, &["wit", "schemas/product.avsc", "--package", "shop:feed@1.0.0", "--omit", "rating"]);
    for part in [
        "package shop:feed@1.0.0;",
        "    /// In euro.\n    price: f64,\n",
        "    // rating: left out\n",
        "world processor {",
        "world analyzer {",
        "  export process: func(records: list<product>) -> list<result<option<change>, string>>;",
        "  export analyze: func(records: list<product>) -> list<row>;",
    ] {
        assert!(wit.contains(part), "no `{part}` in\n{wit}");
    }
    let race = r#"{"type": "record", "name": "Race", "fields": [
        {"name": "id", "type": "string"}, {"name": "_2fast", "type": "int"}, {"name": "ID", "type": "int"},
        {"name": "laps", "type": "int"}]}"#;
    fs::write(folder.path("race.avsc"), race).expect("written");
    let refused = |omit: &[&str]| {
        let ended = folder.host(&[&["wit", "race.avsc"], omit].concat());
        assert_eq!((ended.code(), ended.stdout.as_str()), (Some(64), ""), "{omit:?}");
        ended.stderr
    };
    assert_eq!(
        refused(&["--omit", "Race.ID", "--omit", "id"]),
        "error: `race.avsc`\n  \
           because: field `Race._2fast`: `_2fast` cannot be written in WIT, because a WIT name starts with a letter; leave the \
         field out with `--omit Race._2fast`, or rename `_2fast` in the reader schema, with its old name as an alias\n"
    );
    assert_eq!(
        refused(&["--omit", "Race._2fast"]),
        "error: `race.avsc`\n  \
           because: record `Race`: `id` and `ID` are both `id` in WIT; rename one in the reader schema, with its old name as an \
         alias, or leave them out with `--omit Race.id --omit Race.ID`\n"
    );
    assert_eq!(
        refused(&["--omit", "Race._2fast", "--omit", "Race.id", "--omit", "Race.ID", "--omit", "fast"]),
        "error: `race.avsc`\n  \
           because: there is no field `fast` to leave out; write `field`, or `Record.field` for a field of a nested record\n"
    );
    fs::write(folder.path("number.avsc"), "\"int\"").expect("written");
    let ended = folder.host(&["wit", "number.avsc"]);
    assert_eq!(
        (ended.code(), ended.stderr.as_str()),
        (
            Some(64),
            "error: `number.avsc`\n  because: the schema is int, but a module takes records; put it in a field of a record\n"
        )
    );
}

#[test]
fn a_schema_that_cannot_read_what_was_written_is_refused_before_anything_runs() {
    let dir = through();
    let with_currency = |default: &str| {
        let field = format!(r#"{{"name": "currency", "type": "string"{default}}}"#);
        let text = SCHEMA.replace("\"type\": \"long\"}]", &format!("\"type\": \"long\"}}, {field}]"));
        fs::write(dir.path().join("schemas/price.avsc"), text).expect("written");
    };
    with_currency("");
    let said = "error: topic `prices`: the schema is not backward compatible with version 1 of subject `prices-value`: \
                `Price.currency` is not in the writer's record `Price`: give it a default in the reader schema, or the writer's \
                name for it as an alias; give new fields a default, or set `compatibility = \"none\"` in [schemas] if nobody \
                needs the old records\n";
    for command in [&["check"][..], &["run", "--until-end"]] {
        let ended = run(dir.path(), command);
        assert_eq!((ended.code, ended.err.as_str()), (Some(64), said), "{command:?}");
    }
    with_currency(r#", "default": "EUR""#);
    fs::write(dir.path().join("more.jsonl"), "").expect("written");
    assert_eq!(run(dir.path(), &["feed", "more.jsonl", "--to", "prices"]).code, Some(0));
    let described = run(dir.path(), &["topics", "describe", "prices"]).out;
    assert!(described.contains("record Price, id 2"), "{described}");
}

/// The files below a folder, each with what tells it from one that was written anew. What is kept of their use is left out.
fn files(folder: &Path, found: &mut Vec<(PathBuf, u64)>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_none() {
            let inode = fs::metadata(&path).expect("a file").ino();
            found.push((path, inode));
        }
    }
}

#[test]
fn a_module_is_compiled_once_whatever_becomes_of_the_cache() {
    let dir = tempfile::tempdir().expect("a folder");
    let module = modules().join("processor.wasm");
    let inspect = ["inspect", module.to_str().expect("UTF-8")];
    let compiled = || {
        let mut found = Vec::new();
        let ended = run(dir.path(), &inspect);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        files(&dir.path().join("cache/bespoke/modules"), &mut found);
        found
    };
    let first = compiled();
    assert_eq!(first.len(), 1, "{first:?}");
    assert_eq!(compiled(), first);
    // What cannot be used is made anew.
    fs::write(&first[0].0, "no code").expect("written");
    let again = compiled();
    assert_eq!((again.len(), &again[0].0), (1, &first[0].0));
    assert!(fs::metadata(&first[0].0).expect("a file").len() > 1000, "it is not made anew");
    // Without a folder for it, it is compiled at every start.
    fs::write(dir.path().join("file"), "no folder").expect("written");
    let mut command = host(dir.path(), &inspect);
    Running::spawn(command.env("XDG_CACHE_HOME", dir.path().join("file"))).end().must_end(0);
}
