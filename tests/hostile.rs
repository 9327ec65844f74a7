//! Modules that mean harm, in each export that a module has and in its start-up. Each is held by a limit, is reported with the
//! export and the limit, and the stages beside it go on as fast as without it.
//!
//! An attack is a folder in `tests/hostile`: code, and what is to be said of it. `base.wat` there is the module in which it
//! takes place. What answers can be wrong with is in `faults.rs` and in the tests of the boundary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use serde::Deserialize;
use similar_asserts::assert_eq;

use crate::support::{Folder, LIMIT, top, until};

const PLACES: [&str; 8] = ["start", "configure", "restore", "process", "analyze", "snapshot", "realloc", "return"];
/// The one of the two functions that the module exports, and the other.
const PROCESS: &str = "(export \"process\" (func $process))";
const ANALYZE: &str = "(export \"analyze\" (func $analyze))";
/// While it hands over or takes back memory, a module may not call the host.
const NO_CALLS: &str = "wasm trap: cannot leave component instance";
/// Log lines of a module that reach the log in a second, and some around them.
const MAX_LINES: usize = 120;

const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [{"name": "quantity", "type": "int"}, {"name": "id", "type": "int"}]}"#;
/// The second one is what the module is after.
const INPUT: [&str; 3] = [r#"{"quantity":1,"id":0}"#, r#"{"quantity":13,"id":1}"#, r#"{"quantity":1,"id":2}"#];
const LIMITS: &str = "limits = { time_ms = 50, memory_mb = 8, answer_mb = 1 }\n";

/// `attack.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    /// Where it makes sense. Default: everywhere.
    places: Option<Vec<String>>,
    /// Whether it calls the host, which cannot be done everywhere.
    #[serde(default)]
    calls_host: bool,
    /// What it may take, where another limit must come first. Default: that of [`LIMITS`].
    time_ms: Option<u32>,
    /// What stands in the module.
    code: String,
    /// The kind of its dead letter.
    kind: Option<String>,
    /// What is said of it. None: it does no harm, and nothing is.
    reason: Option<String>,
}

fn base() -> String {
    fs::read_to_string(top().join("tests/hostile/base.wat")).expect("the module")
}

fn attack(name: &str) -> Attack {
    let text = fs::read_to_string(top().join("tests/hostile").join(name).join("attack.toml")).expect("an attack");
    toml::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// All attacks, by name.
fn attacks() -> BTreeMap<String, Attack> {
    let entries = fs::read_dir(top().join("tests/hostile")).expect("a folder");
    let folders = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let named = folders.map(|folder| folder.file_name().expect("a name").to_string_lossy().into_owned());
    named.map(|name| (name.clone(), attack(&name))).collect()
}

/// Puts code in a place of the module.
fn module(folder: &Folder, name: &str, place: &str, code: &str) {
    let mark = format!("(;AT-{};)", place.to_uppercase());
    let text = base();
    assert!(text.contains(&mark), "{mark} is no place");
    let text = text.replace(&mark, code);
    if place == "analyze" {
        assert!(text.contains(PROCESS), "it does not export {PROCESS}");
        folder.module(name, &text.replace(PROCESS, ANALYZE));
    } else {
        folder.module(name, &text);
    }
}

/// An empty folder for modules.
fn folder() -> Folder {
    Folder::of(&top().join("tests/hostile"))
}

// === held ===

/// Runs an attack in a place as a case. What differs from what is expected.
fn held(folder: &Folder, name: &str, attack: &Attack, place: &str) -> Option<String> {
    module(folder, "hostile", place, &attack.code);
    let case = folder.path("cases").join(format!("{name}-{place}"));
    fs::create_dir_all(&case).expect("a folder");
    let is_in_a_record = ["process", "analyze", "return"].contains(&place);
    let function = if place == "analyze" { "analyze" } else { "process" };
    // An analyzer's rows have what it names.
    let answer = |line: &str| {
        if place == "analyze" {
            line.split(",\"id").next().unwrap_or_default().to_owned() + "}"
        } else {
            line.to_owned()
        }
    };
    let answers = INPUT.map(|line| answer(line) + "\n");
    let may_not_call = attack.calls_host && ["realloc", "return"].contains(&place);
    let (kind, reason) = match (&attack.kind, &attack.reason) {
        _ if may_not_call => ("trap", Some(NO_CALLS)),
        (kind, reason) => (kind.as_deref().unwrap_or_default(), reason.as_deref()),
    };
    let (mut passed, mut letters, mut stops) = (String::new(), String::new(), String::new());
    match reason {
        None => passed = answers.concat(),
        Some(reason) if is_in_a_record => {
            for (index, answer) in answers.iter().enumerate() {
                // When the host has read an answer, it may have been of any record.
                if place == "return" || index == 1 {
                    let reason = serde_json::Value::from(format!("{function}: {reason}"));
                    let _ = writeln!(letters, "{{\"index\":{index},\"kind\":\"{kind}\",\"reason\":{reason}}}");
                } else {
                    passed += answer;
                }
            }
        }
        // Settings are the first that a module is handed.
        Some(reason) => stops = format!("{}: {reason}\n", if place == "realloc" { "configure" } else { place }),
    }
    let files = [
        ("input.jsonl", INPUT.map(|line| line.to_owned() + "\n").concat()),
        ("state-before.bin", "four".to_owned()),
        ("case.toml", attack.time_ms.map_or(LIMITS.to_owned(), |ms| LIMITS.replace("50", &ms.to_string()))),
        ("expected.jsonl", passed),
        ("dead-letters.jsonl", letters),
        ("stops.txt", stops),
    ];
    for (file, text) in files {
        fs::write(case.join(file), text).expect("written");
    }
    let ended = folder.host(&["test", "modules/hostile.wasm", "--cases", &case.to_string_lossy()]);
    let lines = ended.stderr.lines().count();
    let wrong = ended.code() != Some(0) || lines > MAX_LINES;
    wrong.then(|| format!("== {name} at {place}, {lines} lines in the log\n{}{}", ended.stdout, ended.stderr))
}

#[test]
fn every_attack_is_held_wherever_it_takes_place() {
    let folder = folder();
    fs::write(folder.path("r.avsc"), SCHEMA).expect("written");
    let mut wrong = Vec::new();
    for (name, attack) in attacks() {
        let places: Vec<&str> = match &attack.places {
            None => PLACES.to_vec(),
            Some(places) => places.iter().map(String::as_str).collect(),
        };
        wrong.extend(places.into_iter().filter_map(|place| held(&folder, &name, &attack, place)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn clocks_are_too_coarse_to_watch_others_by() {
    let folder = folder();
    fs::write(folder.path("r.avsc"), SCHEMA).expect("written");
    // A tenth of a millisecond.
    let look = "(local $n i32) (loop $again
        (if (i64.ne (i64.rem_u (call $now) (i64.const 100000)) (i64.const 0)) (then (unreachable)))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $n) (i32.const 10000))))";
    module(&folder, "clock", "start", look);
    let input = INPUT.map(|line| line.to_owned() + "\n").concat();
    let ended = folder.host_given(&["run", "--module", "modules/clock.wasm", "--schema", "r.avsc"], &input);
    assert_eq!((ended.code(), ended.stdout), (Some(0), input), "{}", ended.stderr);
}

// === the others ===

/// What is done to records in the stage beside the one that is watched.
const BESIDE: [&str; 7] =
    ["endless-loop", "memory-growth", "log-flood", "host-calls", "handles", "deep-recursion", "trap"];
const RECORDS: i64 = 150_000;
/// A stage keeps at least this share of the throughput that it has beside a module that does no harm, which takes a core too; on
/// a machine that may be busy with other things.
const SHARE: f64 = 1.0 / 2.0;
const TRIES: u32 = 3;

/// A pipeline of two stages that read the same topic: the processor, and one with `module`.
fn pipeline(folder: &Folder, run: &str, module: &str) {
    let text = format!(
        "name = \"{run}\"\n[log]\npath = \"log.db\"\n[schemas]\ndir = \"schemas\"\nids = \"log.schemas.json\"\n\
         [topics]\n\"in\" = {{ schema = \"product\" }}\n\
         [[stage]]\nname = \"watched\"\nmodule = \"modules/processor.wasm\"\nfrom = \"in\"\nto = \"{run}-watched\"\n\
         [[stage]]\nname = \"beside\"\nmodule = \"modules/{module}.wasm\"\nfrom = \"in\"\nto = \"{run}-beside\"\n\
         batch_records = 16\nmax_dead_letters_in_a_row = 1000000\n{LIMITS}"
    );
    fs::write(folder.path("pipeline.toml"), text).expect("written");
}

/// Records a second of the processor with `module` in the stage beside it.
fn throughput(folder: &Folder, run: &str, module: &str) -> f64 {
    pipeline(folder, run, module);
    let mut running = folder.start(&["run"]);
    let out = format!("{run}-watched");
    // From here on, so that what it takes to compile and to start is left out.
    running.await_said("running");
    let begun = Instant::now();
    // Prices that cannot be are dead letters.
    let enough = RECORDS * 9 / 10;
    until("the watched stage is through", Duration::from_secs(120), || folder.so_far(&out) >= enough);
    let rate = enough as f64 / begun.elapsed().as_secs_f64();
    if module != "harmless" {
        until("the module does what it is there for", LIMIT, || folder.so_far(&format!("{run}.dead-letters")) > 0);
    }
    running.kill();
    rate
}

#[test]
fn a_stage_does_not_notice_a_hostile_module_in_the_stage_beside_it() {
    let folder = folder();
    let count = RECORDS.to_string();
    folder.module("harmless", &base());
    pipeline(&folder, "alone", "harmless");
    folder.host(&["feed", "generate", "--count", &count, "--seed", "7", "--to", "in", "--key", "id"]).must_end(0);
    let mut alone = throughput(&folder, "alone", "harmless");
    let mut told = String::new();
    for name in BESIDE {
        module(&folder, "hostile", "process", &attack(name).code);
        let is_kept = (1..=TRIES).any(|attempt| {
            let rate = throughput(&folder, &format!("{name}-{attempt}"), "hostile");
            let _ = writeln!(told, "{rate:.0} records/s beside {name}, {alone:.0} beside a module that does no harm");
            if rate < alone * SHARE {
                // The machine may have become slower in the meantime.
                alone = alone.min(throughput(&folder, &format!("{name}-{attempt}-alone"), "harmless"));
            }
            rate >= alone * SHARE
        });
        assert!(is_kept, "{told}");
    }
    // With `--nocapture`, for the documentation.
    print!("{told}");
}

/// A hundred products, from a file.
fn fed(folder: &Folder, file: &str) {
    let line = |n: usize| {
        format!(r#"{{"id":"p-{n}","name":"n","category":"c","price":1,"quantity":1,"updated":{n},"in_stock":true}}"#)
            + "\n"
    };
    fs::write(folder.path(file), (0..100).map(line).collect::<String>()).expect("written");
    folder.host(&["feed", file, "--to", "in"]).must_end(0);
}

#[test]
fn a_module_that_breaks_outside_of_records_stops_its_own_stage_and_no_other() {
    for place in ["restore", "snapshot"] {
        let folder = folder();
        let why =
            format!("module `hostile.wasm`: {place}: took longer than 50 ms; raise `limits.time_ms` if it needs more");
        module(&folder, "hostile", place, &attack("endless-loop").code);
        pipeline(&folder, "case", "hostile");
        if place == "restore" {
            // There has to be a state first.
            let hostile = fs::read(folder.path("modules/hostile.wasm")).expect("the module");
            folder.module("hostile", &base());
            fed(&folder, "first.jsonl");
            folder.host(&["run", "--until-end"]).must_end(0);
            fs::write(folder.path("modules/hostile.wasm"), hostile).expect("written");
        }
        fed(&folder, "feed.jsonl");
        let before = folder.values("case-beside").len();
        let ended = folder.host(&["run", "--until-end"]);
        ended.must_end(1);
        assert!(ended.stderr.contains(&why) && ended.stderr.contains("stage beside"), "{place}: {}", ended.stderr);
        assert_eq!(folder.topic("case-watched").lines().count(), before + 100, "{place}: {}", ended.stderr);
        assert_eq!(folder.values("case-beside").len(), before, "{place}: {}", ended.stderr);
    }
}

#[test]
fn a_module_that_breaks_before_its_first_record_is_told_by_its_name() {
    let folder = folder();
    pipeline(&folder, "case", "hostile");
    for place in ["start", "configure"] {
        module(&folder, "hostile", place, &attack("trap").code);
        let ended = folder.host(&["run", "--until-end"]);
        let why = format!("{place}: panicked or aborted");
        let is_told = ["hostile.wasm", "beside", &why].iter().all(|words| ended.stderr.contains(words));
        assert!(ended.code() != Some(0) && is_told, "{place}: {}", ended.stderr);
    }
}
