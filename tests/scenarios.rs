//! What becomes of feeds, records and modules of all kinds, seen from outside: the program runs a pipeline.
//!
//! A case is a folder in `tests/scenarios`: `pipeline.toml`, what it needs, and what must come of it, of which a case has
//! what tells something: `table.txt` (the table `rows`), `expected.jsonl` (the topic `out`), `dead-letters.txt`, or
//! `error.txt` (what standard error must have in it, a line each; the program fails). With `BESPOKE_BLESS=1` in the
//! environment the answers are written anew, to be read before they are committed.

use std::fs;
use std::path::{Path, PathBuf};

use bespoke_record::BatchBuilder;
use host::schema::framing;

use crate::support::{Folder, joined, top};

const RUN: [&str; 3] = ["run", "--until-end", "pipeline.toml"];
/// What the example's pipeline needs to run in a folder of a test. One partition, so that every run has one order.
const IN_FOLDER: [&str; 8] = [
    "--set",
    "log.path=log.db",
    "--set",
    "schemas.dir=schemas",
    "--set",
    "schemas.ids=log.schemas.json",
    "--set",
    "topics.\"bespoke.avro.product\".partitions=1",
];

fn cases() -> PathBuf {
    top().join("tests/scenarios")
}

/// Compares with a file of the case, if it has it.
fn compare(file: &Path, found: impl FnOnce() -> String) {
    if !file.exists() {
        return;
    }
    let found = found();
    if std::env::var_os("BESPOKE_BLESS").is_some() {
        fs::write(file, &found).expect("the folder is writable");
    }
    similar_asserts::assert_eq!(fs::read_to_string(file).expect("UTF-8"), found, "{:?}", file);
}

fn letters(folder: &Folder, topic: &str) -> String {
    joined(&folder.letters(topic).iter().map(|letter| letter.line()).collect::<Vec<_>>())
}

fn case(name: &str) {
    let dir = cases().join(name);
    let folder = Folder::of(&dir);
    let ended = folder.host(&RUN);
    match fs::read_to_string(dir.join("error.txt")) {
        Ok(errors) => {
            // The first line tells how it ends: 64 for what is wrong before anything runs, 1 for what fails then.
            let (code, said) = errors.split_once('\n').expect("an exit code, then what is said");
            ended.must_end(code.strip_prefix("exit ").and_then(|c| c.parse().ok()).expect("exit CODE"));
            for line in said.lines() {
                assert!(ended.stderr.contains(line), "{name}: no `{line}` in:\n{}", ended.stderr);
            }
            assert!(!said.is_empty(), "{name}: it must say something:\n{}", ended.stderr);
        }
        Err(_) => {
            ended.must_end(0);
        }
    }
    compare(&dir.join("table.txt"), || folder.table("rows"));
    compare(&dir.join("expected.jsonl"), || folder.topic("out"));
    compare(&dir.join("dead-letters.txt"), || letters(&folder, "case.dead-letters"));
}

/// A test for each folder, so that they run side by side.
macro_rules! cases {
    ($($test:ident = $folder:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            case($folder);
        })*

        #[test]
        fn every_case_has_a_test() {
            let mut tested = vec!["reference", $($folder),*];
            let entries = fs::read_dir(cases()).expect("cases").map(|entry| entry.expect("readable"));
            let mut there: Vec<_> = entries
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            tested.sort_unstable();
            there.sort_unstable();
            assert_eq!(there, tested);
        }
    };
}

cases! {
    malformed_lines_are_dead_letters = "malformed-lines",
    a_table_of_text_is_a_feed = "csv",
    an_empty_feed_is_through_at_once = "empty-feed",
    a_feed_that_is_not_there_is_told = "missing-feed",
    a_key_that_is_null_makes_a_dead_letter = "null-key",
    a_module_that_is_not_there_is_told = "module-missing",
    an_empty_file_is_no_module = "module-empty",
    a_text_is_no_module = "module-text",
    a_core_module_is_no_component = "module-core",
    a_module_must_export_a_function = "module-export",
    a_module_cannot_import_what_nobody_has = "module-import",
    a_field_of_another_type_is_told_with_both_types = "module-field",
}

#[test]
fn the_example_ends_in_its_table_and_a_second_run_changes_nothing() {
    let folder = Folder::of(&top().join("examples/products"));
    let arguments = [&RUN[..], &IN_FOLDER[..]].concat();
    folder.host(&arguments).must_end(0);
    let table = folder.table("product_analysis");
    compare(&cases().join("reference/table.txt"), || table.clone());
    compare(&cases().join("reference/dead-letters.txt"), || letters(&folder, "products.dead-letters"));
    folder.host(&arguments).must_end(0);
    similar_asserts::assert_eq!(folder.table("product_analysis"), table);
    let mut processed = 0;
    folder.each("bespoke.avro.product.processed", |_, _| processed += 1);
    assert_eq!(processed + folder.letters("products.dead-letters").len(), 2000);
}

#[test]
fn a_pipe_goes_from_standard_input_to_standard_output() {
    let folder = Folder::of(&cases().join("malformed-lines"));
    let feed = fs::read_to_string(folder.path("feed.jsonl")).expect("a feed");
    let ended =
        folder.host_given(&["run", "--module", "modules/processor.wasm", "--schema", "schemas/product.avsc"], &feed);
    ended.must_end(1);
    let mut lines: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    let expected = fs::read_to_string(cases().join("malformed-lines/expected.jsonl")).expect("its answers");
    similar_asserts::assert_eq!(joined(&lines), expected);
    assert!(ended.stderr.contains("the price 0 is not above zero"), "{}", ended.stderr);
}

#[test]
fn a_second_host_on_the_same_log_is_refused() {
    let folder = Folder::of(&cases().join("csv"));
    let mut first = folder.start(&["run", "pipeline.toml"]);
    // The second comes when the first has the file and has done its work.
    while folder.so_far("out") == 0 {
        assert!(first.is_running(), "the first host ended: {}", first.end().stderr);
        std::thread::yield_now();
    }
    let second = folder.host(&RUN);
    second.must_end(1);
    let told = format!("is in use by another host (process {})", first.id());
    assert!(second.stderr.contains(&told), "{}", second.stderr);
    first.interrupt();
    first.end().must_end(0);
}

#[test]
fn records_that_others_wrote_wrongly_are_dead_letters() {
    let folder = Folder::of(&cases().join("csv"));
    folder.host(&RUN).must_end(0);
    let (good, before) = (folder.topic("out"), folder.letters("case.dead-letters").len());
    {
        let mut right = None;
        folder.each("in", |_, record| right = right.take().or(record.value().map(<[u8]>::to_vec)));
        let right = right.expect("a record");
        let (_, datum) = framing::split(&right).expect("framed");
        let mut records = BatchBuilder::new();
        let unknown = [&framing::prefix(4711)[..], datum].concat();
        let long = [&right[..], b"more"].concat();
        for value in [&unknown[..], b"{\"id\":1}", &[0, 0], b"", &right[..right.len() - 3], &long, &right] {
            records.push(Some(b"k"), Some(value), [], 0).expect("room");
        }
        folder.append("in", &records.finish());
    }
    folder.host(&RUN).must_end(0);
    let found = folder.letters("case.dead-letters");
    let kinds: Vec<_> = found[before..].iter().map(|letter| letter.kind.as_str()).collect();
    assert_eq!(kinds, ["schema", "decode", "decode", "decode", "decode", "decode"], "{found:#?}");
    assert!(found[before].reason.contains("4711"), "{found:#?}");
    assert!(found[before + 1].reason.contains("0x7b"), "{found:#?}");
    assert_eq!(folder.topic("out").lines().count(), good.lines().count() + 1);
}
