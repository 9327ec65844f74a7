//! The commands, as they are typed: the real program in a fresh folder, with what it prints and how it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use similar_asserts::assert_eq;

use crate::support::{Running, services};

mod before;
mod files;
mod running;

const PIPELINE: &str = r#"
name = "prices"

[log]
path = "prices.db"

[topics]
prices = { schema = "price" }

[[feed]]
name = "file"
file = "feed.jsonl"
topic = "prices"
key = ["id"]

[[sink]]
name = "keeper"
from = "prices"
table = "by_shop"

[tables.by_shop]
partition_key = ["shop"]
clustering_key = ["id"]
"#;

const SCHEMA: &str = r#"{"type": "record", "name": "Price", "fields": [
    {"name": "id", "type": "string"},
    {"name": "shop", "type": ["null", "string"]},
    {"name": "cents", "type": "long"}]}"#;

/// Two good records, one that has no row, two that are no records.
const FEED: &str = r#"{"id":"a","shop":"north","cents":100}
{"id":"b","shop":null,"cents":200}
{"id":"c","shop":"south"
{"id":"d","shop":"south","cents":400}
{"id":"e","shop":"south","cents":"five"}
"#;

/// How a command ended.
#[derive(Debug)]
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

fn host(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host"));
    command.current_dir(dir).args(arguments);
    command.env_remove("BESPOKE_LOG").env("XDG_CACHE_HOME", dir.join("cache"));
    command
}

fn ended(Output { status, stdout, stderr }: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended { code: status.code(), out: text(stdout), err: text(stderr) }
}

fn run(dir: &Path, arguments: &[&str]) -> Ended {
    let mut running = Running::spawn(&mut host(dir, arguments));
    running.tell("");
    let ended = running.end();
    Ended { code: ended.code(), out: ended.stdout, err: ended.stderr }
}

/// What a command printed that went well.
fn printed(dir: &Path, arguments: &[&str]) -> String {
    let ended = run(dir, arguments);
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.err);
    ended.out
}

/// A folder with a pipeline that has not run.
fn fresh() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    fs::create_dir(dir.path().join("schemas")).expect("a folder");
    for (name, text) in [("pipeline.toml", PIPELINE), ("schemas/price.avsc", SCHEMA), ("feed.jsonl", FEED)] {
        fs::write(dir.path().join(name), text).expect("a file");
    }
    dir
}

/// A folder with a pipeline that is through.
fn through() -> tempfile::TempDir {
    let dir = fresh();
    printed(dir.path(), &["run", "--until-end"]);
    dir
}

/// The last cells of each row, without those that hold the time.
fn without_times(table: &str) -> Vec<String> {
    let is_time = |word: &&str| word.ends_with('Z') && word.contains('T') && word.contains(':');
    table
        .lines()
        .map(|line| line.split_whitespace().filter(|word| !is_time(word)).collect::<Vec<_>>().join(" "))
        .collect()
}

#[test]
fn what_goes_through_a_pipeline_can_be_looked_into() {
    let dir = through();
    let topics = printed(dir.path(), &["topics", "list"]);
    assert!(topics.contains("prices.dead-letters") && topics.lines().count() == 3, "{topics}");
    let described = printed(dir.path(), &["topics", "describe", "prices"]);
    let described: Vec<_> = described.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        described,
        [
            "topic prices",
            "schema record Price, id 1",
            "kept for ever",
            "",
            "PARTITION FIRST NEXT SIZE",
            "0 0 3 127 B",
            "",
            "GROUP PARTITION POSITION LAG",
            "prices.keeper 0 3 0",
        ]
    );
    assert_eq!(
        printed(dir.path(), &["topics", "read", "prices", "--until-end"]),
        "{\"id\":\"a\",\"shop\":\"north\",\"cents\":100}\n\
         {\"id\":\"b\",\"shop\":null,\"cents\":200}\n\
         {\"id\":\"d\",\"shop\":\"south\",\"cents\":400}\n"
    );
    assert_eq!(
        printed(dir.path(), &["table", "show", "by_shop"]).split_whitespace().collect::<Vec<_>>().join(" "),
        "id shop cents a north 100 d south 400"
    );
    let one = ["topics", "read", "prices", "--from-offset", "1", "--max", "1", "--avro-json"];
    assert_eq!(printed(dir.path(), &one), "{\"id\":\"b\",\"shop\":null,\"cents\":200}\n");
    let wrapped = ["topics", "read", "prices", "--max", "1", "--avro-json"];
    assert_eq!(printed(dir.path(), &wrapped), "{\"id\":\"a\",\"shop\":{\"string\":\"north\"},\"cents\":100}\n");
}

#[test]
fn a_record_with_its_meta_tells_where_it_is() {
    let dir = through();
    let line = printed(dir.path(), &["topics", "read", "prices", "--max", "1", "--meta"]);
    let json: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!((json["partition"].as_u64(), json["offset"].as_i64()), (Some(0), Some(0)));
    assert_eq!((json["key"].as_str(), json["value"]["cents"].as_i64()), (Some("a"), Some(100)));
}

#[test]
fn a_topic_becomes_an_avro_file_that_can_be_fed_again() {
    let dir = through();
    let read = ["topics", "read", "prices", "--until-end", "--format", "avro", "--out", "prices.avro"];
    printed(dir.path(), &read);
    printed(dir.path(), &["feed", "prices.avro", "--to", "prices", "--key", "id"]);
    let ids: Vec<String> = printed(dir.path(), &["topics", "read", "prices", "--until-end"])
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["id"].to_string())
        .collect();
    assert_eq!(ids, ["\"a\"", "\"b\"", "\"d\"", "\"a\"", "\"b\"", "\"d\""]);
}

/// By fastavro, which shares no code with ours.
#[test]
fn other_tools_open_the_avro_file_of_a_topic() {
    let dir = through();
    let read = ["topics", "read", "prices", "--until-end", "--format", "avro", "--out", "prices.avro"];
    printed(dir.path(), &read);
    let script = "import fastavro, json; print(json.dumps(list(fastavro.reader(open('prices.avro', 'rb')))))";
    let output = Command::new(services::python()).current_dir(dir.path()).args(["-c", script]).output();
    let opened = ended(output.expect("Python"));
    assert_eq!(opened.code, Some(0), "{}", opened.err);
    let records: serde_json::Value = serde_json::from_str(&opened.out).expect("JSON");
    let expected = serde_json::json!([
        { "id": "a", "shop": "north", "cents": 100 },
        { "id": "b", "shop": null, "cents": 200 },
        { "id": "d", "shop": "south", "cents": 400 }
    ]);
    assert_eq!(records, expected);
}

#[test]
fn dead_letters_say_where_they_are_from_and_why() {
    let dir = through();
    let list = without_times(&printed(dir.path(), &["dead-letters", "list"]));
    assert_eq!(list.len(), 4, "{list:#?}");
    assert!(list.iter().any(|row| row.contains("keeper row prices-0@1 key column `shop` is null")), "{list:#?}");
    assert!(
        list.iter().filter(|row| row.contains("file feed") && row.contains("feed.jsonl:")).count() == 2,
        "{list:#?}"
    );
    let shown = printed(dir.path(), &["dead-letters", "show", "--kind", "row"]);
    for part in ["keeper", "prices-0@1", "\"b\"", "{\"id\":\"b\",\"shop\":null,\"cents\":200}"] {
        assert!(shown.contains(part), "{part} is not in\n{shown}");
    }
    let shown = printed(dir.path(), &["dead-letters", "show", "--stage", "file", "--max", "1"]);
    assert!(shown.contains("five") && !shown.contains("keeper"), "{shown}");
}

#[test]
fn a_replay_sends_each_record_once_and_as_it_was() {
    let dir = through();
    let marks = || {
        let list = without_times(&printed(dir.path(), &["dead-letters", "list"]));
        list.iter().skip(1).filter_map(|row| row.split(' ').nth(1).map(str::to_owned)).collect::<Vec<_>>()
    };
    // Only one can be replayed: the other two never were records of a topic.
    assert!(marks().contains(&"no".to_owned()) && !marks().contains(&"yes".to_owned()), "{:?}", marks());
    let replayed = printed(dir.path(), &["dead-letters", "replay"]);
    assert!(replayed.contains("sent again: 1") && replayed.contains("not sent: 2"), "{replayed}");
    assert_eq!(marks().iter().filter(|mark| *mark == "yes").count(), 1);
    let again = printed(dir.path(), &["dead-letters", "replay"]);
    assert_eq!(again, "sent again: 0\n");
    let lines = printed(dir.path(), &["topics", "read", "prices", "--until-end", "--meta"]);
    let records: Vec<serde_json::Value> = lines.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let [_, original, _, copy] = &records[..] else { panic!("{lines}") };
    for part in ["key", "value", "headers", "timestamp"] {
        assert_eq!(original[part], copy[part], "{part}");
    }
}

#[test]
fn lines_that_were_no_records_come_out_as_they_were_and_are_fed_again_when_corrected() {
    let dir = through();
    let lines = printed(dir.path(), &["dead-letters", "show", "--kind", "feed", "--raw"]);
    let wrong = ["{\"id\":\"c\",\"shop\":\"south\"\n", "{\"id\":\"e\",\"shop\":\"south\",\"cents\":\"five\"}\n"];
    assert_eq!(lines, wrong.concat());
    let right = lines.replace("\"south\"\n", "\"south\",\"cents\":300}\n").replace("\"five\"", "500");
    fs::write(dir.path().join("right.jsonl"), right).expect("a file");
    printed(dir.path(), &["feed", "right.jsonl", "--to", "prices", "--key", "id"]);
    printed(dir.path(), &["run", "--until-end"]);
    let shown = printed(dir.path(), &["table", "show", "by_shop"]);
    let ids: Vec<_> = shown.lines().skip(1).filter_map(|row| row.split_whitespace().next()).collect();
    assert_eq!(ids, ["a", "c", "d", "e"], "{shown}");
}

#[test]
fn a_log_can_be_named_without_its_pipeline() {
    let dir = through();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let log = dir.path().join("prices.db");
    let log = log.to_str().expect("UTF-8");
    let read = printed(elsewhere.path(), &["topics", "read", "prices", "--until-end", "--log", log]);
    assert_eq!(read.lines().count(), 3);
    let list = printed(elsewhere.path(), &["dead-letters", "list", "--log", log]);
    assert_eq!(list.lines().count(), 4, "{list}");
}

#[test]
fn wrong_usage_and_configuration_end_with_64_and_say_what_to_do() {
    let dir = fresh();
    let empty = tempfile::tempdir().expect("a folder");
    let bad = "name = \"prices\"\n[logs]\npath = \"x\"\n";
    fs::write(dir.path().join("bad.toml"), bad).expect("a file");
    let no_field = PIPELINE.replace("key = [\"id\"]", "key = [\"name\"]");
    fs::write(dir.path().join("no-field.toml"), no_field).expect("a file");
    let nowhere = "error: cannot read `pipeline.toml`: No such file or directory (os error 2)\n\
                   hint: name a pipeline file, or change to the folder that has one\n";
    let missing = "error: the following required arguments were not provided:\n";
    for (place, arguments, said) in [
        (
            dir.path(),
            &["runn"][..],
            "error: unrecognized subcommand 'runn'\n\n  tip: a similar subcommand exists: 'run'",
        ),
        (dir.path(), &["topics", "read"][..], &format!("{missing}  <TOPIC>")),
        (
            dir.path(),
            &["topics", "list", "--log", "a", "--pipeline", "b"][..],
            "error: the argument '--log <FILE>' cannot be used with '--pipeline <FILE>'",
        ),
        (
            dir.path(),
            &["check", "bad.toml"][..],
            "error: bad.toml:2:2: logs: unknown key `logs`, did you mean `log`?\n",
        ),
        (
            dir.path(),
            &["check", "no-field.toml"][..],
            "error: feed `file`, topic `prices`: key field `name` is not a field of the schema; it has id, shop, cents\n",
        ),
        (
            dir.path(),
            &["check", "--set", "schemas.registry=registry"][..],
            "error: --set schemas.registry=registry: schemas.registry: it is not an address; write `http://HOST:PORT`\n",
        ),
        (dir.path(), &["run", "--schema", "schemas/price.avsc"][..], &format!("{missing}  --module <FILE|DIR>")),
        (empty.path(), &["check"][..], nowhere),
        (empty.path(), &["run"][..], nowhere),
        (empty.path(), &["topics", "list"][..], nowhere),
    ] {
        let ended = run(place, arguments);
        let told = ended.err.split("\n\nUsage").next().unwrap_or_default();
        assert_eq!((ended.code, ended.out.as_str(), told), (Some(64), "", said), "{arguments:?}");
    }
    let filter = host(dir.path(), &["topics", "list"]).env("BESPOKE_LOG", "host=loud").output().expect("it starts");
    let filter = ended(filter);
    assert!(filter.code == Some(64) && filter.err.ends_with("or BESPOKE_LOG=host=debug\n"), "{filter:?}");
}

#[test]
fn what_is_there_already_must_fit() {
    let dir = through();
    rusqlite::Connection::open(dir.path().join("other.db"))
        .unwrap()
        .execute_batch("CREATE TABLE by_shop (id)")
        .unwrap();
    let other = ("tables.by_shop.path=other.db", "column \"shop\": wanted TEXT NOT NULL, found no such column");
    for (log, (set, told)) in [
        ("prices.db", ("topics.prices.partitions=3", "`prices` has 1 partition")),
        ("prices.db", (r#"tables.by_shop.clustering_key=["cents"]"#, "primary key: wanted")),
        ("prices.db", other),
        ("not-there-yet.db", other),
    ] {
        let ended = run(dir.path(), &["check", "--set", set, "--set", &format!("log.path={log}")]);
        assert!(ended.code == Some(64) && ended.err.contains(told), "{set}: {ended:?}");
    }
    printed(dir.path(), &["check", "--set", "tables.by_shop.path=not-made-yet.db"]);
    assert!(!dir.path().join("not-made-yet.db").exists(), "a check makes nothing");
}

#[test]
fn rows_may_go_to_a_file_of_their_own() {
    let dir = fresh();
    let path = ["--set", "tables.by_shop.path=tables/rows.db"];
    printed(dir.path(), &[&["run", "--until-end"], &path[..]].concat());
    let shown = printed(dir.path(), &[&["table", "show", "by_shop"], &path[..]].concat());
    assert!(shown.contains("south") && dir.path().join("tables/rows.db").exists(), "{shown}");
    assert_eq!(run(dir.path(), &["table", "show", "by_shop"]).code, Some(1));
}

#[test]
fn what_is_not_there_ends_with_1_and_is_named() {
    let dir = through();
    let no_topic = |name: &str| {
        let made = "`host topics create` makes it, and so does the start of a pipeline that makes its topics";
        format!("there is no topic `{name}`; {made}\nhint: `host topics list` lists those that there are")
    };
    for (arguments, said) in [
        (&["topics", "read", "price", "--until-end"][..], no_topic("price")),
        (&["topics", "describe", "price"][..], no_topic("price")),
        (
            &["table", "show", "shops"][..],
            "there is no table `shops`; [tables] of the pipeline names those that it makes when it runs".to_owned(),
        ),
        (
            &["dead-letters", "show", "77"][..],
            "prices.dead-letters has no dead letter with offset 77; `host dead-letters list` lists them".to_owned(),
        ),
        (
            &["topics", "list", "--log", "none.db"][..],
            "there is no log at `none.db`; check the path, or run the pipeline once to make it".to_owned(),
        ),
        (
            &["dead-letters", "replay", "--to", "nowhere"][..],
            format!("records for `nowhere` cannot be sent\n  because: {}", no_topic("nowhere")),
        ),
    ] {
        let ended = run(dir.path(), arguments);
        assert_eq!((ended.code, ended.err), (Some(1), format!("error: {said}\n")), "{arguments:?}");
    }
    assert!(!dir.path().join("none.db").exists(), "looking made a log");
}

#[test]
fn help_and_version_are_no_failures() {
    let dir = tempfile::tempdir().expect("a folder");
    for arguments in
        [&["--help"][..], &["--version"][..], &["run", "--help"][..], &["dead-letters", "replay", "--help"][..]]
    {
        let ended = run(dir.path(), arguments);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ended.out.contains("host"), "{arguments:?}");
    }
}

#[test]
fn log_lines_are_json_if_asked_for() {
    let dir = fresh();
    let ended = run(dir.path(), &["run", "--until-end", "--log-format", "json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let lines: Vec<serde_json::Value> = ended
        .err
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let sink = lines.iter().rfind(|line| line["role"] == "sink keeper" && line["message"] == "progress");
    let sink = sink.unwrap_or_else(|| panic!("no summary of the sink in {}", ended.err));
    assert_eq!((sink["records_in"].as_u64(), sink["dead_letters"].as_u64()), (Some(3), Some(1)));
}

#[test]
fn a_topic_tells_who_reads_it_and_how_far_each_is_behind() {
    let dir = through();
    let groups = |topic: &str| {
        let described = printed(dir.path(), &["topics", "describe", topic]);
        let groups = described.lines().skip_while(|line| !line.starts_with("GROUP")).skip(1);
        groups.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(groups("prices"), ["prices.keeper 0 3 0"]);
    fs::write(dir.path().join("more.jsonl"), "{\"id\":\"z\",\"shop\":\"west\",\"cents\":700}\n".repeat(5))
        .expect("a file");
    printed(dir.path(), &["feed", "more.jsonl", "--to", "prices"]);
    assert_eq!(groups("prices"), ["prices.keeper 0 3 5"]);
    let described = printed(dir.path(), &["topics", "describe", "prices.dead-letters"]);
    assert!(described.ends_with("\nno group has read of it\n"), "{described}");
    printed(dir.path(), &["dead-letters", "replay"]);
    assert_eq!(groups("prices"), ["prices.keeper 0 3 6"]);
    assert_eq!(groups("prices.dead-letters"), ["prices.dead-letters.replay 0 3 0"]);
}
