//! Two modules on the same records, without a stream.

use std::fs;

use serde_json::Value;

use super::lines;
use crate::support::{Folder, top};
use crate::swap::{MODULE, Version, flows, folder};

/// A folder with a log in which records are.
fn with_records() -> Folder {
    let folder = folder(10_000, "");
    let mut running = folder.start(&["run", "--set", "feed.generated.generate.count=2000"]);
    flows(&folder, &mut running, 100);
    running.interrupt();
    running.end().must_end(0);
    folder
}

#[test]
fn modules_that_answer_the_same_are_the_same() {
    let folder = with_records();
    let arguments = ["compare", MODULE, MODULE, "--from", "in", "--last", "300"];
    let outcome = &lines(&folder, &arguments)[0];
    assert_eq!((&outcome["same"], &outcome["records"]), (&true.into(), &300.into()), "{outcome}");
    assert_eq!(outcome["differences"]["outputs"]["out"]["same"], 300, "{outcome}");
    let text = folder.host(&arguments);
    text.must_end(0);
    assert!(text.stdout.contains("different  nothing"), "{}", text.stdout);
}

#[test]
fn what_differs_is_counted_by_field_and_shown() {
    let folder = with_records();
    // Of each eight records one is answered with another version, and one in 64 breaks it.
    let code = "(if (i64.eqz (i64.and (local.get $number) (i64.const 63))) (then unreachable))
          (if (i64.eqz (i64.and (local.get $number) (i64.const 7))) (then (i32.store offset=8 (local.get $answer) (i32.const 9))))";
    fs::write(folder.path("new.wasm"), Version::doing(1, code).bytes()).unwrap();
    let arguments = ["compare", MODULE, "new.wasm", "--from", "in", "--last", "400", "--format", "json"];
    let ended = folder.host(&arguments);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let outcome: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    let failed = outcome["differences"]["verdicts"]["answered -> failed"].as_u64().unwrap();
    assert!(failed > 0 && failed == outcome["candidate"]["errors"].as_u64().unwrap(), "{outcome}");
    let out = &outcome["differences"]["outputs"]["out"];
    let number = |name: &str| out[name].as_u64().unwrap();
    assert_eq!(number("same") + number("different") + failed, 400, "{outcome}");
    assert_eq!(out["fields"]["version"], out["different"], "{outcome}");
    // A state that has not seen the record that broke it is another from there on.
    assert!(out["fields"]["count"].as_u64().is_none(), "{outcome}");
    let text = folder.host(&arguments[..arguments.len() - 2]);
    assert_eq!(text.status.code(), Some(1), "{}", text.stderr);
    for words in ["answered -> failed", "version", "\"version\":9", "panicked or aborted"] {
        assert!(text.stdout.contains(words), "{words}: {}", text.stdout);
    }
}

#[test]
fn rows_are_paired_by_their_key() {
    let folder = Folder::of(&top().join("examples/products"));
    folder.host(&["run", "--until-end", "--set", "schemas.dir=schemas"]).must_end(0);
    let analyzer = "modules/analyzer.wasm";
    let from = "bespoke.avro.product.processed";
    let place = ["--set", "schemas.dir=schemas"];
    let same = [&["compare", analyzer, analyzer, "--from", from][..], &place].concat();
    let outcome = &lines(&folder, &same)[0];
    let analysis = &outcome["differences"]["outputs"]["bespoke.avro.product.analysis"];
    assert!(outcome["same"] == true && analysis["same"].as_u64().is_some_and(|same| same > 1000), "{outcome}");
    assert_eq!(outcome["records"], analysis["same"], "{outcome}");
}

#[test]
fn what_cannot_be_compared_says_why() {
    let folder = with_records();
    let cases: [(&[&str], i32, &str); 4] = [
        (&["compare", MODULE, MODULE, "--from", "nothing"], 1, "there is no topic `nothing`"),
        (&["compare", MODULE, "missing.wasm", "--from", "in"], 64, "cannot be read"),
        (&["compare", MODULE, MODULE, "--from", "in", "--stage", "nobody"], 64, "its stages are numbers"),
        (&["compare", MODULE, "modules/analyzer.wasm", "--from", "in"], 64, "has the outputs"),
    ];
    for (arguments, code, words) in cases {
        let ended = folder.host(arguments);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
}
