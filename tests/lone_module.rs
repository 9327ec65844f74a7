//! `host run --module`: the one stage with a module, a module between two topics, or a module as a pipe; and what is said
//! when something is missing.

use std::fs;

use crate::support::{Folder, top};

const MODULE: &str = "modules/processor.wasm";
const SCHEMA: &str = "schemas/product.avsc";
const RECORDS: usize = 4;

fn line(n: usize) -> String {
    format!(
        r#"{{"id":"p-{n}","name":"n","category":"c-{n}","price":10,"quantity":2,"updated":1767225600000,"in_stock":true}}"#
    )
}

fn lines() -> String {
    (0..RECORDS).map(|n| line(n) + "\n").collect()
}

/// A folder with a pipeline of one stage, whose topic `in` has records.
fn fed() -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    fs::write(folder.path("more.jsonl"), lines()).expect("written");
    folder.host(&["feed", "more.jsonl", "--to", "in", "--key", "id"]).must_end(0);
    // The pipeline's own feed has records now that no run of one stage may take.
    fs::write(folder.path("feed.jsonl"), line(99)).expect("written");
    folder
}

/// A folder with modules, schemas and no pipeline.
fn without_pipeline() -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    fs::remove_file(folder.path("pipeline.toml")).expect("removed");
    folder
}

#[track_caller]
fn must_refuse(folder: &Folder, arguments: &[&str], said: &str) {
    let ended = folder.host(&[&["run", "--until-end"], arguments].concat());
    ended.must_end(64);
    let stderr = folder.inside(&ended.stderr);
    // What the usage is stands below, where it is told.
    let told = stderr.split("\n\nUsage").next().unwrap_or_default().trim_end();
    assert_eq!(told, said, "{arguments:?}");
    assert_eq!(ended.stdout, "", "{arguments:?}");
}

/// What is said of arguments that others need.
fn missing(arguments: &[&str]) -> String {
    let lines: String = arguments.iter().map(|argument| format!("\n  {argument}")).collect();
    format!("error: the following required arguments were not provided:{lines}")
}

#[test]
fn in_the_folder_of_a_pipeline_only_the_stage_with_the_module_runs() {
    let folder = fed();
    let ended = folder.host(&["run", "--until-end", "--module", MODULE]);
    ended.must_end(0);
    assert!(ended.stderr.contains("feeds=0 stages=1 sinks=0"), "{}", ended.stderr);
    assert_eq!((folder.values("in").len(), folder.topic("out").lines().count()), (RECORDS, RECORDS));
    // It goes on where it stopped, and all of the pipeline goes on there too.
    folder.host(&["run", "--until-end", "--module", MODULE]).must_end(0);
    assert_eq!(folder.topic("out").lines().count(), RECORDS);
    folder.host(&["run", "--until-end"]).must_end(0);
    assert_eq!(folder.topic("out").lines().count(), RECORDS + 1);
}

#[test]
fn a_pipeline_can_be_named_and_only_its_stage_runs() {
    let folder = fed();
    fs::rename(folder.path("pipeline.toml"), folder.path("other.toml")).expect("renamed");
    folder.host(&["run", "--until-end", "--module", MODULE, "other.toml"]).must_end(0);
    assert_eq!((folder.values("in").len(), folder.topic("out").lines().count()), (RECORDS, RECORDS));
}

#[test]
fn a_module_of_the_same_name_runs_in_the_place_of_the_pipelines() {
    let folder = fed();
    fs::create_dir(folder.path("new")).expect("a folder");
    let text = fs::read_to_string(top().join("tests/scenarios/faulty.wat")).expect("the module");
    folder.module("faulty", &text.replace("(then FAULT)", "(then (nop))"));
    fs::rename(folder.path("modules/faulty.wasm"), folder.path("new/processor.wasm")).expect("moved");
    folder.host(&["run", "--until-end", "--module", "new/processor.wasm"]).must_end(0);
    // This one lets records pass as they are.
    assert!(folder.values("out") == folder.values("in"), "another module has run");
}

#[test]
fn a_module_runs_between_two_topics_without_a_pipeline() {
    let folder = fed();
    fs::remove_file(folder.path("pipeline.toml")).expect("removed");
    let between = ["--module", MODULE, "--from", "in", "--to", "made", "--schema", SCHEMA, "--log", "log.db"];
    folder.host(&[&["run", "--until-end", "--key", "category"][..], &between].concat()).must_end(0);
    let mut keys = Vec::new();
    folder.each("made", |_, record| keys.push(String::from_utf8_lossy(record.key().expect("a key")).into_owned()));
    assert_eq!(keys, (0..RECORDS).map(|n| format!("c-{n}")).collect::<Vec<_>>());
}

#[test]
fn a_module_between_topics_that_are_not_there_makes_them() {
    let folder = without_pipeline();
    let between = ["--module", MODULE, "--from", "in", "--to", "made", "--schema", SCHEMA];
    folder.host(&[&["run", "--until-end"][..], &between].concat()).must_end(0);
    let listed = folder.host(&["topics", "list", "--log", "bespoke.db"]);
    let names: Vec<_> = listed.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["in", "made", "processor.dead-letters", "processor.modules", "processor.status"]);
}

#[test]
fn a_module_with_a_schema_is_a_pipe() {
    for folder in [without_pipeline(), fed()] {
        let ended = folder.host_given(&["run", "--module", MODULE, "--schema", SCHEMA], &lines());
        ended.must_end(0);
        assert_eq!(ended.stdout.lines().count(), RECORDS);
        assert!(ended.stdout.lines().all(|line| line.contains("\"price_band\"")), "{}", ended.stdout);
    }
}

#[test]
fn a_pipe_tells_the_line_of_what_it_cannot_handle() {
    let folder = without_pipeline();
    let rejected = line(2).replace("\"price\":10", "\"price\":0");
    let text = format!("{{bad\n\n{}\n{rejected}\n", line(1));
    let ended = folder.host_given(&["run", "--module", MODULE, "--schema", SCHEMA], &text);
    ended.must_end(1);
    assert_eq!(ended.stdout.lines().count(), 1);
    for place in ["standard input:1: ", "standard input:4: "] {
        assert!(ended.stderr.contains(place), "no {place:?} in\n{}", ended.stderr);
    }
}

#[test]
fn a_pipe_gives_answers_as_records_come_and_ends_when_it_is_told_to() {
    let folder = without_pipeline();
    let mut running = folder.start(&["run", "--module", MODULE, "--schema", SCHEMA]);
    for n in 1..=2 {
        running.press(&(line(n) + "\n"));
        running.wait_until_shown("an answer", |shown| shown.matches('\n').count() == n);
    }
    running.interrupt();
    assert_eq!(running.end().must_end(0).stdout.lines().count(), 2);
}

#[test]
fn settings_reach_the_module_of_a_pipe_or_are_refused() {
    let folder = without_pipeline();
    let analyzer = ["--module", "modules/analyzer.wasm", "--schema", "processed.avsc"];
    let processed = r#"{"type": "record", "name": "P", "fields": [
        {"name": "id", "type": "string"}, {"name": "category", "type": "string"}, {"name": "price", "type": "double"},
        {"name": "updated", "type": "long"}]}"#;
    fs::write(folder.path("processed.avsc"), processed).expect("written");
    let given = "{\"id\":\"a\",\"category\":\"c\",\"price\":10,\"updated\":1}\n";
    let ended = folder.host_given(&[&["run", "--setting", "threshold=2.5"][..], &analyzer].concat(), given);
    ended.must_end(0);
    assert!(ended.stdout.starts_with("{\"analysis\":"), "{}", ended.stdout);
    must_refuse(
        &folder,
        &[&analyzer[..], &["--setting", "threshold=high"]].concat(),
        "error: module `analyzer.wasm` does not start: configure: refused: `threshold` must be a number above 0, not `high`",
    );
    must_refuse(
        &folder,
        &[&analyzer[..], &["--setting", "threshold"]].concat(),
        "error: `--setting threshold`: write it as NAME=VALUE",
    );
}

#[test]
fn what_is_missing_is_told() {
    let without = without_pipeline();
    let with = fed();
    must_refuse(
        &without,
        &["--module", MODULE],
        "error: there is no pipeline.toml here, so the module needs a schema\n\
         hint: add --schema FILE to run it from standard input to standard output, and --from TOPIC --to TOPIC to run it between topics",
    );
    must_refuse(
        &without,
        &["--module", MODULE, "none.toml"],
        "error: cannot read `none.toml`: No such file or directory (os error 2)\n\
         hint: name a pipeline file, or change to the folder that has one",
    );
    must_refuse(
        &without,
        &["--module", MODULE, "--schema", "none.avsc"],
        "error: schemas: `none.avsc` cannot be read: No such file or directory (os error 2)",
    );
    must_refuse(
        &without,
        &["--module", "none.wasm", "--schema", SCHEMA],
        "error: module `none.wasm` cannot be read: No such file or directory (os error 2)",
    );
    must_refuse(&without, &["--module", MODULE, "--from", "in"], &missing(&["--to <TOPIC>", "--schema <FILE>"]));
    must_refuse(&without, &["--module", MODULE, "--from", "in", "--to", "out"], &missing(&["--schema <FILE>"]));
    must_refuse(&without, &["--module", MODULE, "--to", "out"], &missing(&["--schema <FILE>", "--from <TOPIC>"]));
    must_refuse(&without, &["--schema", SCHEMA], &missing(&["--module <FILE|DIR>"]));
    must_refuse(
        &without,
        &["--module", MODULE, "--schema", SCHEMA, "--key", "id"],
        &missing(&["--to <TOPIC>", "--from <TOPIC>"]),
    );
    must_refuse(
        &without,
        &["--module", MODULE, "--schema", SCHEMA, "--log", "log.db"],
        &missing(&["--to <TOPIC>", "--from <TOPIC>"]),
    );
    must_refuse(
        &without,
        &["--module", MODULE, "--schema", SCHEMA, "--set", "log.path=x"],
        "error: `--set` goes with a pipeline, and a pipe has none",
    );
    must_refuse(
        &with,
        &["--module", "modules/analyzer.wasm"],
        "error: no stage of pipeline `case` runs `modules/analyzer.wasm`; its modules are modules/processor.wasm",
    );
    must_refuse(
        &with,
        &["--module", MODULE, "--setting", "a=b"],
        "error: `--setting` is for a module without a pipeline, and `pipeline.toml` is one\n\
         hint: write `--set stage.NAME.settings.KEY=VALUE`, or add --schema FILE",
    );
    must_refuse(
        &with,
        &["--module", MODULE, "--schema", SCHEMA, "pipeline.toml"],
        "error: the argument '--schema <FILE>' cannot be used with '[PIPELINE]'",
    );
    let again = "\n[[stage]]\nname = \"again\"\nmodule = \"modules/processor.wasm\"\nfrom = \"in\"\nto = \"out2\"\n";
    let text = fs::read_to_string(with.path("pipeline.toml")).expect("text");
    fs::write(with.path("pipeline.toml"), text + again).expect("written");
    must_refuse(
        &with,
        &["--module", MODULE],
        "error: `modules/processor.wasm` is the module of the stages `processor`, `again`, and --module runs one stage",
    );
}
