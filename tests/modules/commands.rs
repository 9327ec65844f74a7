//! What happened to the modules of a stage can be looked at and changed, on an embedded log.

use std::fs;
use std::time::UNIX_EPOCH;

use super::{lines, printed};
use crate::support::{LIMIT, until};
use crate::swap::{MODULE, STAGE, Version, fed, finish, flows, folder, kept, put, swapped};

#[test]
fn what_runs_and_ran_is_told_and_can_come_back() {
    let versions = [1, 2].map(Version::of);
    let folder = folder(2_000, "trial_batches = 2");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 50);
    fs::write(folder.path("two.wasm"), versions[1].bytes()).unwrap();
    let told = printed(&folder, &["modules", "deploy", "two.wasm", "--stage", STAGE]);
    assert!(told.contains(&versions[1].short()) && told.contains("tries it now"), "{told}");
    swapped(&mut running, &versions[1]);
    flows(&folder, &mut running, 50);

    let list = lines(&folder, &["modules", "list"]);
    let states: Vec<_> =
        list.iter().map(|row| (row["module"].as_str().unwrap(), row["state"].as_str().unwrap())).collect();
    let digests = versions.each_ref().map(Version::digest);
    assert_eq!(states, [(digests[0].as_str(), "was live"), (&digests[1], "live")]);
    assert!(list.iter().all(|row| row["kept"] == true), "{list:?}");
    let table = printed(&folder, &["modules", "list"]);
    assert!(table.starts_with("STAGE") && table.contains(&versions[0].short()), "{table}");

    until("the host reports what it runs", LIMIT, || {
        let status = lines(&folder, &["modules", "status"]);
        status.len() == 1 && status[0]["module"] == digests[1].as_str() && status[0]["switched"] == 2
    });
    let table = printed(&folder, &["modules", "status"]);
    assert!(table.contains("2 of 2") && table.contains(&versions[1].short()), "{table}");

    // Back, which is a swap with a trial like any other.
    let told = printed(&folder, &["modules", "rollback", STAGE]);
    assert!(told.contains(&versions[0].short()), "{told}");
    running.await_said(&format!("swapped stage=\"{STAGE}\" module=\"{}\" version=3", versions[0].short()));
    flows(&folder, &mut running, 50);
    // And there again, by the beginning of a digest.
    printed(&folder, &["modules", "rollback", STAGE, "--to", &versions[1].short()]);
    running.await_said(&format!("swapped stage=\"{STAGE}\" module=\"{}\" version=4", versions[1].short()));
    flows(&folder, &mut running, 50);

    let outcome = finish(&folder, running);
    outcome.must_be_exact(&versions);
    let causes: Vec<String> = lines(&folder, &["modules", "history"])
        .iter()
        .filter(|entry| entry["event"] == "live" && entry["cause"] != "start")
        .map(|entry| entry["cause"].as_str().unwrap().to_owned())
        .fold(Vec::new(), |mut causes, cause| {
            if causes.last() != Some(&cause) {
                causes.push(cause);
            }
            causes
        });
    assert_eq!(causes, ["deploy", "rollback"]);
    let table = printed(&folder, &["modules", "history", "--max", "2"]);
    assert!(table.contains("the newest 2 of"), "{table}");

    // Records are brought back to their modules, also where several of the input look alike.
    let mut places = Vec::new();
    folder.each("out", |partition, record| places.push((partition.to_string(), record.offset().to_string())));
    assert_eq!(places.len(), outcome.made.len());
    for at in (0..places.len()).step_by(places.len().div_ceil(10)) {
        let ((partition, offset), (number, version, _)) = (&places[at], outcome.made[at]);
        let answers = lines(&folder, &["modules", "who", "out", partition, offset]);
        let digest = &digests[version as usize - 1];
        let modules = answers[0]["modules"].as_array().unwrap();
        assert!(modules.iter().any(|module| module["digest"] == digest.as_str()), "{number}: {answers:?}");
        let (input_of, _, at) = outcome.given[&number];
        assert!(answers[0]["input"].as_array().unwrap().contains(&serde_json::json!([input_of, at])), "{answers:?}");
    }
    let (number, (partition, _, offset)) = outcome.given.iter().next().unwrap();
    let (partition, offset) = (partition.to_string(), offset.to_string());
    let handled = printed(&folder, &["modules", "who", "in", &partition, &offset]);
    assert!(
        handled.contains("handled by stage numbers") && handled.contains(&versions[0].short()),
        "{number}: {handled}"
    );

    let ended = folder.host(&["modules", "status"]);
    assert!(ended.stdout.contains("ended"), "{}", ended.stdout);
}

/// The file still has what was dropped. Whoever deploys the same once more has it tried once more.
#[test]
fn what_was_dropped_is_tried_again_when_it_is_deployed_again() {
    let bad = Version::doing(2, "(if (i32.gt_u (global.get $calls) (i32.const 1)) (then unreachable))");
    let folder = folder(5_000, "trial_batches = 8\ntrial_time_ms = 60000");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    fs::write(folder.path("two.wasm"), bad.bytes()).unwrap();
    for time in 1..=2 {
        printed(&folder, &["modules", "deploy", "two.wasm", "--stage", STAGE]);
        until("it is dropped", LIMIT, || running.said().matches("dropped from its trial").count() == time);
    }
    // Nobody asks for it again.
    put(&folder, &bad.bytes());
    flows(&folder, &mut running, 3_000);
    assert_eq!(running.said().matches("dropped from its trial").count(), 2, "{}", running.said());
    finish(&folder, running).must_be_exact(&[Version::of(1)]);
}

/// What runs may be older than all the modules that are kept.
#[test]
fn a_deployment_leaves_the_module_that_runs_where_it_is_kept() {
    let versions = [1, 2].map(Version::of);
    let folder = folder(1_000, "");
    let mut running = folder.start(&["run", "--set", "feed.generated.generate.count=100"]);
    flows(&folder, &mut running, 1);
    running.interrupt();
    running.end().must_end(0);
    let modules = kept(&folder);
    for other in 0..120 {
        fs::write(modules.join(format!("{other:064}.wasm")), b"another").unwrap();
    }
    let live = modules.join(format!("{}.wasm", versions[0].digest()));
    fs::File::options().append(true).open(&live).and_then(|file| file.set_modified(UNIX_EPOCH)).unwrap();
    fs::write(folder.path("two.wasm"), versions[1].bytes()).unwrap();
    printed(&folder, &["modules", "deploy", "two.wasm", "--stage", STAGE]);
    assert!(fs::read_dir(&modules).unwrap().count() < 110, "none was taken away");
    let back = printed(&folder, &["modules", "rollback", STAGE, "--to", &versions[0].short()]);
    assert!(back.contains(&versions[0].short()), "{back}");
}

/// A record that the stage has not come to was handled by nobody.
#[test]
fn who_knows_what_was_not_handled_yet() {
    let folder = folder(1_000, "");
    let mut running = folder.start(&["run", "--set", "feed.generated.generate.count=100"]);
    flows(&folder, &mut running, 1);
    until("all is through", LIMIT, || fed(&folder) == 100 && folder.so_far("out") == folder.so_far("in"));
    running.interrupt();
    running.end().must_end(0);
    let next = folder.so_far("in").to_string();
    let key = ["feed", "generate", "--count", "100", "--to", "in", "--key", "id"];
    folder.host(&key).must_end(0);
    let last = (folder.so_far("in") - 1).to_string();
    for offset in [&next, &last] {
        let told = printed(&folder, &["modules", "who", "in", "0", offset]);
        assert!(told.contains("not handled yet by stage numbers"), "{told}");
        let answers = lines(&folder, &["modules", "who", "in", "0", offset]);
        assert_eq!((&answers[0]["did"], &answers[0]["modules"]), (&"waits".into(), &serde_json::json!([])));
    }
    let before = (next.parse::<i64>().unwrap() - 1).to_string();
    let told = printed(&folder, &["modules", "who", "in", "0", &before]);
    assert!(told.contains("handled by stage numbers (known by the ledger)"), "{told}");
}

#[test]
fn the_header_names_the_module_that_is_live_after_a_swap() {
    let versions = [1, 2].map(Version::of);
    let folder = folder(2_000, "trial_batches = 0\nprovenance = \"header\"");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 50);
    put(&folder, &versions[1].bytes());
    swapped(&mut running, &versions[1]);
    flows(&folder, &mut running, 200);
    let outcome = finish(&folder, running);
    let mut at = 0;
    folder.each("out", |_, record| {
        let (_, version, _) = outcome.made[at];
        let header = record.headers().find(|(name, _)| *name == "bespoke.module").and_then(|(_, value)| value).unwrap();
        assert_eq!(header, versions[version as usize - 1].digest().as_bytes(), "record {at}");
        at += 1;
    });
    assert_eq!(at, outcome.made.len());
    let told = printed(&folder, &["modules", "who", "out", "0", "0"]);
    assert!(told.contains("known by the record's header") && told.contains(&versions[0].short()), "{told}");
}

#[test]
fn what_cannot_be_done_says_what_to_do() {
    let folder = folder(1_000, "");
    let mut running = folder.start(&["run", "--set", "feed.generated.generate.count=100"]);
    flows(&folder, &mut running, 1);
    running.interrupt();
    running.end().must_end(0);
    fs::write(folder.path("garbage.wasm"), b"no module").unwrap();
    let unfit = Version { field: "elsewhere", ..Version::of(9) };
    fs::write(folder.path("unfit.wasm"), unfit.bytes()).unwrap();
    let before = fs::read(folder.path(MODULE)).unwrap();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["modules", "rollback", STAGE], 1, "host modules list"),
        (&["modules", "rollback", STAGE, "--to", "zzz"], 64, "knows no module `zzz`"),
        (&["modules", "rollback", "nobody"], 64, "its stages are numbers"),
        (&["modules", "promote", STAGE], 64, "shadow = "),
        (&["modules", "deploy", "garbage.wasm", "--stage", STAGE], 64, "not a WebAssembly component"),
        (&["modules", "deploy", "unfit.wasm", "--stage", STAGE], 64, "field `elsewhere`"),
        (&["modules", "who", "nothing", "0", "0"], 1, "there is no topic `nothing`"),
        (&["modules", "who", "out", "0", "1000000"], 1, "has no record at offset"),
        (&["modules", "list", "--log", "log.db"], 64, "--pipeline FILE"),
    ];
    for (arguments, code, words) in cases {
        let ended = folder.host(arguments);
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{arguments:?}: {}", ended.stderr);
    }
    assert_eq!(fs::read(folder.path(MODULE)).unwrap(), before, "a module that is none was put in place");
}
