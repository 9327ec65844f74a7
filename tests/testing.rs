//! `host test`, as it is typed: cases of the sample modules and of modules that are written for it, what is said of those
//! that fail, and the files that it writes.

use std::fs;

use similar_asserts::assert_eq;

use crate::support::{Ended, Folder, top};

const PROCESSOR: &str = "modules/processor.wasm";
const ANALYZER: &str = "modules/analyzer.wasm";

/// A folder with the sample modules and the schema of products.
fn folder() -> Folder {
    let folder = Folder::of(&top().join("tests/testing"));
    fs::copy(top().join("schemas/product.avsc"), folder.path("product.avsc")).expect("copied");
    folder
}

/// Writes files of a case.
fn case(folder: &Folder, name: &str, files: &[(&str, &str)]) {
    let case = folder.path("cases").join(name);
    fs::create_dir_all(&case).expect("a folder");
    for (file, text) in files {
        fs::write(case.join(file), text).expect("written");
    }
}

fn read(folder: &Folder, file: &str) -> String {
    fs::read_to_string(folder.path("cases").join(file)).expect("a file")
}

fn product(id: &str, price: f64) -> String {
    format!(
        "{{\"id\":\"{id}\",\"name\":\"n\",\"category\":\"Pet Food\",\"price\":{price},\"quantity\":10,\"updated\":1,\"in_stock\":true}}\n"
    )
}

/// What `host test` prints, without how long it took.
fn printed(ended: &Ended) -> String {
    let without = |line: &str| match line.rsplit_once(", in ") {
        Some((line, time)) if time.ends_with(" ms") => line.to_owned(),
        _ => line.to_owned(),
    };
    ended.stdout.lines().map(|line| without(line) + "\n").collect()
}

#[track_caller]
fn must_refuse(folder: &Folder, arguments: &[&str], said: &str) {
    let ended = folder.host(&[&["test"], arguments].concat());
    ended.must_end(64);
    assert_eq!(folder.inside(&ended.stderr).trim_end(), said);
}

#[test]
fn a_case_passes_or_is_told_how_it_differs() {
    let folder = folder();
    let input = [product("a", 10.0), product("b", -1.0), "null\n".to_owned(), product("c", 200.0)].concat();
    let answer = |id: &str, price: &str, band: &str| {
        format!(
            "{{\"id\":\"{id}\",\"name\":\"n\",\"category\":\"pet-food\",\"price\":{price},\"quantity\":10,\"updated\":1,\
             \"in_stock\":true,\"rating\":null,\"discount\":0.02,\"price_band\":\"{band}\"}}\n"
        )
    };
    // In another spacing and order, and without what is null: it means the same.
    let first = "{ \"name\": \"n\", \"id\": \"a\", \"category\": \"pet-food\", \"price\": 1e1, \"quantity\": 10, \"updated\": 1, \
                 \"in_stock\": true, \"discount\": 0.02, \"price_band\": \"budget\" }\n";
    let letter = "{\"index\": 1, \"kind\": \"rejected\", \"reason\": \"the price … is not above zero\"}\n";
    let expected = [first, "null\n", &answer("c", "200.0", "premium")].concat();
    case(&folder, "good", &[("input.jsonl", &input), ("expected.jsonl", &expected), ("dead-letters.jsonl", letter)]);
    let run = ["test", PROCESSOR, "--cases", "cases"];
    let ended = folder.host(&run);
    ended.must_end(0);
    assert_eq!(printed(&ended), "case good ... ok\n\nprocessor.wasm: 1 passed, 0 failed\n");

    let wrong = [first, "null\n", &answer("c", "200.0", "budget")].concat();
    case(&folder, "wrong", &[("input.jsonl", &input), ("expected.jsonl", &wrong)]);
    case(&folder, "wrong", &[("dead-letters.jsonl", &letter.replace("rejected", "trap"))]);
    let ended = folder.host(&[&run[..], &["--junit", "out.xml"]].concat());
    ended.must_end(1);
    let (was, is) = (answer("c", "200.0", "budget"), answer("c", "200.0", "premium"));
    let (a, trap) = (answer("a", "10.0", "budget"), letter.replace("rejected", "trap"));
    assert_eq!(
        printed(&ended),
        format!(
            "case good ... ok\ncase wrong ... FAILED\n\n== wrong\nexpected.jsonl\n@@ line 1\n  {a}  null\n- {was}+ {is}  \
             line 3: price_band should be \"budget\", and is \"premium\"\ndead-letters.jsonl\n@@ line 1\n- {trap}+ \
             {{\"index\":1,\"kind\":\"rejected\",\"reason\":\"the price -1 is not above zero\"}}\n  line 1: kind should be \
             \"trap\", and is \"rejected\"; reason should be \"the price … is not above zero\", and is \"the price -1 is not \
             above zero\"\n\nprocessor.wasm: 1 passed, 1 failed\n`-` was expected, `+` came; where what came is right, `host \
             test --bless` writes it down\n"
        )
    );
    let xml = fs::read_to_string(folder.path("out.xml")).expect("a file");
    assert!(
        xml.contains("tests=\"2\" failures=\"1\"") && xml.contains("expected.jsonl, dead-letters.jsonl differ"),
        "{xml}"
    );

    // One of them by its name; then what came is written down, and only what differs.
    folder.host(&[&run[..], &["--case", "good"]].concat()).must_end(0);
    let ended = folder.host(&[&run[..], &["--bless"]].concat());
    ended.must_end(0);
    assert!(ended.stdout.contains("case wrong ... written (expected.jsonl, dead-letters.jsonl)"), "{}", ended.stdout);
    folder.host(&run).must_end(0);
    assert_eq!(read(&folder, "good/dead-letters.jsonl"), letter);
    assert_eq!(read(&folder, "wrong/expected.jsonl"), [a, "null\n".to_owned(), is].concat());
}

#[test]
fn a_project_is_found_by_its_folder_or_its_module() {
    let folder = folder();
    case(&folder, "one", &[("input.jsonl", &product("a", 1.0))]);
    fs::copy(folder.path(PROCESSOR), folder.path("shop.wasm")).expect("copied");
    folder.host(&["test", "--bless"]).must_end(0);
    folder.host(&["test"]).must_end(0);
    folder.host(&["test", "shop.wasm"]).must_end(0);
    folder.host(&["test", "."]).must_end(0);
    folder.host(&["test", "--cases", "cases/one"]).must_end(0);
    fs::create_dir_all(folder.path("target/wasm32-wasip2/release")).expect("a folder");
    fs::rename(folder.path("shop.wasm"), folder.path("target/wasm32-wasip2/release/shop.wasm")).expect("moved");
    folder.host(&["test"]).must_end(0);
    folder.host(&["test", "target/wasm32-wasip2/release/shop.wasm"]).must_end(0);
}

#[test]
fn named_outputs_state_and_settings_are_part_of_a_case() {
    let folder = folder();
    let processed = r#"{"type": "record", "name": "P", "fields": [
        {"name": "id", "type": "string"}, {"name": "category", "type": "string"}, {"name": "price", "type": "double"},
        {"name": "updated", "type": "long"}]}"#;
    fs::remove_file(folder.path("product.avsc")).expect("removed");
    fs::write(folder.path("processed.avsc"), processed).expect("written");
    let line = |price: u32| format!("{{\"id\":\"p\",\"category\":\"c\",\"price\":{price},\"updated\":{price}}}\n");
    let lines = |prices: &[u32]| prices.iter().map(|price| line(*price)).collect::<String>();
    let settings = "min_samples = 3\nthreshold = 2.5\n";
    let all = [9, 11, 10, 9, 30, 10, 11];
    let run = ["test", ANALYZER, "--cases", "cases"];
    let bless = [&run[..], &["--bless"]].concat();
    // All in one call; in calls of other sizes; with the module started again in between.
    for (name, how) in [("at-once", ""), ("calls", "batch_records = [1, 3, 2]"), ("again", "restart_after = [3, 5]")] {
        let files =
            [("input.jsonl", &*lines(&all)), ("settings.toml", settings), ("case.toml", how), ("state-after.bin", "")];
        case(&folder, name, &files);
    }
    folder.host(&bless).must_end(0);
    folder.host(&run).must_end(0);
    let files = ["expected.analysis.jsonl", "expected.alerts.jsonl", "state-after.bin"];
    let bytes = |name: &str| files.map(|file| fs::read(folder.path("cases").join(name).join(file)).expect("a file"));
    let at_once = bytes("at-once");
    assert!(at_once == bytes("calls") && at_once == bytes("again"), "how it is cut makes a difference");
    let alerts = read(&folder, "at-once/expected.alerts.jsonl");
    assert!(alerts.lines().count() == 1 && alerts.contains("\"price\":30.0"), "{alerts}");

    // The same in two cases: the second goes on from the state that the first left.
    case(&folder, "first", &[("input.jsonl", &lines(&all[..4])), ("settings.toml", settings), ("state-after.bin", "")]);
    folder.host(&bless).must_end(0);
    case(
        &folder,
        "second",
        &[("input.jsonl", &lines(&all[4..])), ("settings.toml", settings), ("state-after.bin", "")],
    );
    let second = folder.path("cases/second");
    fs::copy(folder.path("cases/first/state-after.bin"), second.join("state-before.bin")).expect("copied");
    folder.host(&bless).must_end(0);
    let [analysis, alerts, state] = bytes("second");
    let rest: Vec<_> = at_once[0].split_inclusive(|byte| *byte == b'\n').skip(4).collect();
    assert!(analysis == rest.concat() && alerts == at_once[1] && state == at_once[2], "the state was not taken up");

    // Settings and states that the module refuses.
    case(&folder, "refused", &[("settings.toml", "threshold = \"high\"\n")]);
    case(&folder, "damaged", &[("state-before.bin", "no state"), ("input.jsonl", &line(1))]);
    folder.host(&bless).must_end(0);
    folder.host(&run).must_end(0);
    let refused = "configure: refused: `threshold` must be a number above 0, not `high`\n";
    assert_eq!(read(&folder, "refused/stops.txt"), refused);
    let damaged = "restore: refused: the state is not one of this module, or of a later version of it\n";
    assert_eq!(read(&folder, "damaged/stops.txt"), damaged);
    fs::write(folder.path("cases/at-once/state-after.bin"), [0, 1, 2]).expect("written");
    let ended = folder.host(&run);
    ended.must_end(1);
    assert!(ended.stdout.contains("state-after.bin\n@@ line 1\n- 000000  00 01 02"), "{}", ended.stdout);
}

#[test]
fn time_and_chance_are_those_of_the_case() {
    const RECORDS: i64 = 1000;
    let folder = folder();
    let schema = r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type": "int"}]}"#;
    fs::remove_file(folder.path("product.avsc")).expect("removed");
    fs::write(folder.path("r.avsc"), schema).expect("written");
    let input: String = (0..RECORDS).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    // A record in ten comes a minute after the others, in another partition.
    let meta = |n: i64| {
        let late = if n % 10 == 9 { "2026-03-01T00:01:00Z" } else { "2026-03-01T00:00:00Z" };
        format!("{{\"partition\":{},\"offset\":{},\"timestamp\":\"{late}\"}}\n", i64::from(n % 10 == 9), n * 3)
    };
    let meta: String = (0..RECORDS).map(meta).collect();
    let how = "time = 2026-02-28T12:00:00Z\nbatch_records = 3\n";
    case(&folder, "one", &[("input.jsonl", &input), ("meta.jsonl", &meta), ("case.toml", how)]);
    // Each sleeps for a quarter of a second, which would take four minutes.
    let run = ["test", "modules/clock.wasm", "--cases", "cases"];
    folder.host(&[&run[..], &["--bless"]].concat()).must_end(0);
    folder.host(&run).must_end(0);
    let answers: Vec<serde_json::Value> =
        read(&folder, "one/expected.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let number = |n: i64, field: &str| answers[n as usize][field].as_i64().expect("a number");
    let march = 1_772_323_200_000;
    assert_eq!([0, 1, 2].map(|n| number(n, "now")), [march, march + 250, march + 500]);
    // It is as late as the newest record, or later by what was slept since.
    assert_eq!(number(9, "now"), march + 60_000);
    assert_eq!(number(RECORDS - 1, "now"), march + 60_000 + 250 * (RECORDS - 10));
    assert!((0..RECORDS).all(|n| number(n, "offset") == n * 3 && number(n, "later") == 1));
    let mut chances: Vec<i64> = (0..RECORDS).map(|n| number(n, "chance")).collect();
    chances.sort_unstable();
    chances.dedup();
    assert_eq!(chances.len() as i64, RECORDS);
    case(&folder, "one", &[("case.toml", &format!("{how}seed = 2\n"))]);
    let ended = folder.host(&run);
    ended.must_end(1);
    assert!(ended.stdout.contains("chance should be") && !ended.stdout.contains("now should be"), "{}", ended.stdout);
}

#[test]
fn a_module_that_breaks_breaks_in_a_case_as_it_does_in_a_pipeline() {
    let folder = folder();
    let text = fs::read_to_string(top().join("tests/scenarios/faulty.wat")).expect("the module");
    let states = text.replace("(then FAULT)", "(then unreachable)").replace(";; STATE", crate::faults::STATE);
    folder.module("faulty", &states);
    let line = |n: u32| product(&n.to_string(), 1.0).replace(":10,", if n % 5 == 3 { ":13," } else { ":1," });
    let input: String = (0..12).map(line).collect();
    case(&folder, "one", &[("input.jsonl", &input), ("state-after.bin", "")]);
    let run = ["test", "modules/faulty.wasm", "--cases", "cases"];
    folder.host(&[&run[..], &["--bless"]].concat()).must_end(0);
    folder.host(&run).must_end(0);
    let letter = |n: u32| format!("{{\"index\":{n},\"kind\":\"trap\",\"reason\":\"process: panicked or aborted\"}}\n");
    assert_eq!(read(&folder, "one/dead-letters.jsonl"), letter(3) + &letter(8));
    assert_eq!(read(&folder, "one/expected.jsonl").lines().count(), 10);
    assert_eq!(fs::read(folder.path("cases/one/state-after.bin")).expect("a file"), 10_u32.to_le_bytes());

    let endless = text.replace("(then FAULT)", "(then (loop $ever (br $ever)))");
    folder.module("faulty", &endless);
    fs::remove_file(folder.path("cases/one/state-after.bin")).expect("removed");
    case(&folder, "one", &[("case.toml", "[limits]\ntime_ms = 50\n")]);
    folder.host(&[&run[..], &["--bless"]].concat()).must_end(0);
    assert!(read(&folder, "one/dead-letters.jsonl").contains("took longer than 50 ms"));
}

#[test]
fn a_case_is_made_of_the_newest_records_of_a_topic() {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let lines: String = (0..20).map(|n| product(&format!("p-{n}"), f64::from(n))).collect();
    fs::write(folder.path("feed.jsonl"), &lines).expect("written");
    folder.host(&["run", "--until-end"]).must_end(0);
    let capture = ["test", PROCESSOR, "--cases", "cases", "--capture", "in", "--last", "5"];
    let ended = folder.host(&capture);
    ended.must_end(0);
    assert!(ended.stdout.starts_with("5 records of in are in cases/captured\n"), "{}", ended.stdout);
    let values: Vec<serde_json::Value> =
        read(&folder, "captured/input.jsonl").lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: Vec<_> = values.iter().map(|value| value["id"].as_str().expect("text")).collect();
    assert_eq!(ids, ["p-15", "p-16", "p-17", "p-18", "p-19"]);
    let meta = read(&folder, "captured/meta.jsonl");
    assert!(
        meta.starts_with("{\"partition\":0,\"offset\":15,\"timestamp\":\"") && meta.contains("\"key\":\"p-15\""),
        "{meta}"
    );
    assert!(folder.path("cases/captured/schema.avsc").exists(), "nobody else has the schema");

    // What the stage answered to them is what the case expects.
    folder.host(&["test", PROCESSOR, "--cases", "cases", "--bless"]).must_end(0);
    let (expected, answered) = (read(&folder, "captured/expected.jsonl"), folder.topic("out"));
    assert_eq!(expected.lines().count(), 5);
    assert!(expected.lines().all(|line| answered.lines().any(|other| other == line)), "{expected}");
    let again = ["test", PROCESSOR, "--cases", "cases", "--capture", "in"];
    must_refuse(
        &folder,
        &again[1..],
        "error: `cases/captured` is there already\nhint: give the new case another name, with --case NAME",
    );
    // The same from a container file, which has the schema in it; without a module that was told of one, it is not needed.
    let container = ["topics", "read", "in", "--until-end", "--format", "avro", "--out", "cases/container/input.avro"];
    case(&folder, "container", &[]);
    folder.host(&container).must_end(0);
    folder.host(&["test", PROCESSOR, "--cases", "cases", "--case", "container", "--bless"]).must_end(0);
    folder.host(&["test", PROCESSOR, "--cases", "cases", "--case", "container"]).must_end(0);
    assert_eq!(read(&folder, "container/expected.jsonl").lines().count(), 19);
    assert!(read(&folder, "container/expected.jsonl").ends_with(&expected), "{expected}");
    assert_eq!(read(&folder, "container/dead-letters.jsonl").lines().count(), 1);
    // With a name, all there are, and run at once.
    folder.host(&[&again[..], &["--case", "all", "--bless", "--log", "log.db"]].concat()).must_end(0);
    assert_eq!(read(&folder, "all/expected.jsonl").lines().count(), 19);
    assert_eq!(read(&folder, "all/dead-letters.jsonl").lines().count(), 1);
}

#[test]
fn a_report_of_an_earlier_run_does_not_outlive_cases_that_cannot_be_run() {
    let folder = folder();
    case(&folder, "one", &[("input.jsonl", &product("a", 1.0))]);
    let run = ["test", PROCESSOR, "--cases", "cases", "--junit", "report.xml"];
    folder.host(&[&run[..], &["--bless"]].concat()).must_end(0);
    let report = || fs::read_to_string(folder.path("report.xml")).expect("a report");
    assert!(report().contains("failures=\"0\" errors=\"0\""), "{}", report());
    case(&folder, "one", &[("input.jsonl", "{\"id\":\"a\"}\n")]);
    let ended = folder.host(&run);
    ended.must_end(64);
    let said = "record 1: field `name` is missing, and has no default";
    assert!(ended.stderr.contains(said), "{}", ended.stderr);
    assert!(
        report().contains("tests=\"1\" failures=\"0\" errors=\"1\"") && report().contains("<error "),
        "{}",
        report()
    );
    assert!(report().contains(said), "{}", report());
    // There is not even a module.
    folder.host(&["test", "none.wasm", "--junit", "report.xml"]).must_end(64);
    assert!(report().contains("there is no `none.wasm`"), "{}", report());
}

#[test]
fn what_cannot_be_run_is_told() {
    let folder = folder();
    let without = folder.path("empty");
    fs::create_dir(&without).expect("a folder");
    must_refuse(
        &folder,
        &["empty"],
        "error: there is no folder `empty/cases`\nhint: name the folder of the cases, with --cases DIR",
    );
    fs::create_dir(folder.path("cases")).expect("a folder");
    must_refuse(
        &folder,
        &[PROCESSOR, "--cases", "cases"],
        "error: there are no cases in `cases`\n\
         hint: make a folder there with an input.jsonl, and `host test --bless` writes what the module answers",
    );
    case(&folder, "one", &[("input.jsonl", &product("a", 1.0))]);
    must_refuse(
        &folder,
        &[],
        "error: there is no module in `.`\nhint: build it first, or name it: `host test --module FILE`",
    );
    let run = [PROCESSOR, "--cases", "cases"];
    must_refuse(
        &folder,
        &[&run[..], &["--case", "two"]].concat(),
        "error: there is no case `two` in `cases`\nhint: it has one",
    );
    for (file, text, said) in [
        (
            "case.toml",
            "batch_record = 1",
            "error: `cases/one/case.toml`: TOML parse error at line 1, column 1\n         |\n       1 | batch_record = 1\n         | ^^^^^^^^^^^^\n       unknown field `batch_record`, expected one of `schema`, `output`, `topic`, `time`, `seed`, `batch_records`, `restart_after`, `limits`, `tolerance`",
        ),
        (
            "case.toml",
            "time = \"noon\"",
            "error: `cases/one/case.toml`: `time` must be like 2026-01-31T12:00:00Z, not `noon`",
        ),
        (
            "case.toml",
            "output = { alerts = \"../../product.avsc\" }",
            "error: there is no output `alerts`; module `processor.wasm` has output",
        ),
        (
            "expected.alerts.jsonl",
            "",
            "error: `cases/one/expected.alerts.jsonl` is no file of a case\nhint: what is expected of this one is in expected.jsonl, dead-letters.jsonl, stops.txt",
        ),
        ("meta.jsonl", "{}\n{}\n", "error: `cases/one/meta.jsonl` has 2 lines, and the case 1 records"),
        (
            "meta.jsonl",
            "{\"at\":1}\n",
            "error: `cases/one/meta.jsonl`, line 1: unknown field `at`, expected one of `partition`, `offset`, `timestamp`, `key`, `headers` at line 1 column 5",
        ),
        ("input.avro", "Obj", "error: case `cases/one` has both input.jsonl and input.avro; take one away"),
        ("other.avsc", "{}", "error: "),
    ] {
        case(&folder, "one", &[(file, text)]);
        if said == "error: " {
            folder.host(&[&["test"], &run[..]].concat()).must_end(64);
        } else {
            must_refuse(&folder, &run, said);
        }
        fs::remove_file(folder.path("cases/one").join(file)).expect("removed");
    }
    case(&folder, "one", &[("input.jsonl", "{\"id\":\"a\"}\n")]);
    must_refuse(&folder, &run, "error: `cases/one/input.jsonl`, record 1: field `name` is missing, and has no default");
    must_refuse(&folder, &["none.wasm"], "error: there is no `none.wasm`: name a module, or the folder of its project");
}
