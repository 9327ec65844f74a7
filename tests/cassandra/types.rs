//! Every Avro type becomes the CQL type that holds it, exactly; what a column cannot hold is said at start, or is one dead
//! letter.

use std::fs;

use super::keyspace::Keyspace;
use crate::support::{Folder, services, top};

const SCHEMA: &str = r#"{"type": "record", "name": "All", "fields": [
    {"name": "id", "type": "string"},
    {"name": "b", "type": "boolean"}, {"name": "i", "type": "int"}, {"name": "l", "type": "long"},
    {"name": "f", "type": "float"}, {"name": "d", "type": "double"}, {"name": "bytes", "type": "bytes"},
    {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
    {"name": "dec", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 4}},
    {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "date", "type": {"type": "int", "logicalType": "date"}},
    {"name": "time_ms", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "time_us", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "ts_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "ts_us", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "sizes", "type": {"type": "map", "values": "long"}},
    {"name": "box", "type": {"type": "record", "name": "Box", "fields": [
        {"name": "w", "type": "int"}, {"name": "label", "type": ["null", "string"]},
        {"name": "parts", "type": {"type": "array", "items": {"type": "record", "name": "Part", "fields": [
            {"name": "n", "type": "int"}]}}}]}},
    {"name": "either", "type": ["int", "string"]}
]}"#;

const LINE: &str = r#"{"id": "a", "b": true, "i": -2147483648, "l": 9223372036854775807, "f": 0.25, "d": 0.1, "bytes": "AP8=",
    "e": "B", "dec": "-12345678901234567890123.4567", "uuid": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "date": "1969-12-31",
    "time_ms": "23:59:59.999", "time_us": "23:59:59.999999", "ts_ms": "2026-01-01T00:00:00.123Z",
    "ts_us": "2026-01-01T00:00:00.123456Z", "tags": ["y", "x", "y"], "sizes": {"s": 1, "m": -2},
    "box": {"w": 7, "label": null, "parts": [{"n": 1}, {"n": 2}]}, "either": "s"}"#;

/// A folder whose one record goes into the table `all` of a keyspace.
fn folder(keyspace: &Keyspace, table: &str) -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    fs::create_dir(folder.path("own")).expect("a folder");
    fs::write(folder.path("own/all.avsc"), SCHEMA).expect("written");
    fs::write(folder.path("one.jsonl"), format!("{}\n", LINE.replace('\n', " "))).expect("written");
    let text = format!(
        r#"
name = "types"
[log]
path = "log.db"
[schemas]
dir = "own"
[topics]
t = {{ schema = "all" }}
[[feed]]
topic = "t"
file = "one.jsonl"
key = ["id"]
[[sink]]
from = "t"
table = "every"
[cassandra]
nodes = "{}"
keyspace = "{}"
consistency = "one"
[tables.every]
store = "cassandra"
partition_key = ["id"]
{table}
"#,
        keyspace.nodes, keyspace.name
    );
    fs::write(folder.path("pipeline.toml"), text).expect("written");
    folder
}

fn cells(keyspace: &Keyspace) -> std::collections::BTreeMap<String, String> {
    let rows = keyspace.cql("SELECT * FROM {ks}.every");
    let [row] = &rows[..] else { panic!("{} rows", rows.len()) };
    row.iter().map(|(name, value)| (name.clone(), value.as_ref().map_or("-".to_owned(), ToString::to_string))).collect()
}

#[test]
fn every_avro_type_has_its_cql_type_and_keeps_its_value() {
    let keyspace = Keyspace::new(services::cassandra().address(), 1);
    let folder = folder(&keyspace, "");
    folder.host(&["run", "--until-end"]).must_end(0);
    let types = keyspace.cql(
        "SELECT column_name, type FROM system_schema.columns WHERE keyspace_name = '{ks}' AND table_name = 'every'",
    );
    let text =
        |value: &Option<scylla::value::CqlValue>| value.as_ref().and_then(|v| v.as_text().cloned()).expect("text");
    let types: std::collections::BTreeMap<String, String> =
        types.iter().map(|row| (text(&row["column_name"]), text(&row["type"]))).collect();
    let cells = cells(&keyspace);
    for (column, ty, value) in [
        ("id", "text", "'a'"),
        ("b", "boolean", "true"),
        ("i", "int", "-2147483648"),
        ("l", "bigint", "9223372036854775807"),
        ("f", "float", "0.25"),
        ("d", "double", "0.1"),
        ("bytes", "blob", "0x00ff"),
        ("e", "text", "'B'"),
        ("uuid", "uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ("date", "date", "'1969-12-31'"),
        ("time_ms", "time", "'23:59:59.999000000'"),
        ("time_us", "time", "'23:59:59.999999000'"),
        ("ts_us", "bigint", "1767225600123456"),
        ("tags", "frozen<list<text>>", "['y','x','y']"),
        ("sizes", "frozen<map<text, bigint>>", "{'m':-2,'s':1}"),
        ("box", "frozen<every_box>", "{w:7,label:null,parts:[{n:1},{n:2}]}"),
        ("either", "text", "'\"s\"'"),
    ] {
        assert_eq!((types[column].as_str(), cells[column].replace(", ", ",").as_str()), (ty, value), "{column}");
    }
    assert_eq!((types["dec"].as_str(), types["ts_ms"].as_str()), ("decimal", "timestamp"));
    // As Cassandra itself shows them.
    let shown = keyspace.rows("SELECT JSON dec, ts_ms FROM {ks}.every");
    assert!(shown[0].contains("-12345678901234567890123.4567"), "{shown:?}");
    assert!(shown[0].contains("2026-01-01 00:00:00.123Z"), "{shown:?}");
}

#[test]
fn microseconds_are_cut_only_where_that_is_declared() {
    let keyspace = Keyspace::new(services::cassandra().address(), 1);
    let table = "columns = [\"id\", \"ts_us\"]\n";
    keyspace.cql("CREATE TABLE {ks}.every (id text PRIMARY KEY, ts_us timestamp)");
    let refused = folder(&keyspace, table).host(&["run", "--until-end"]);
    refused.must_end(64);
    assert!(refused.stderr.contains("wanted bigint, found timestamp"), "{}", refused.stderr);
    folder(&keyspace, &format!("{table}fine_times = \"truncated\"")).host(&["run", "--until-end"]).must_end(0);
    let shown = keyspace.rows("SELECT JSON ts_us FROM {ks}.every");
    assert!(shown[0].contains("2026-01-01 00:00:00.123Z"), "{shown:?}");
}

#[test]
fn collections_that_are_there_take_what_can_be_written_again() {
    let keyspace = Keyspace::new(services::cassandra().address(), 1);
    let table = "columns = [\"id\", \"tags\", \"sizes\"]\n";
    // A list that is not frozen would have its items twice after a replay.
    keyspace.cql("CREATE TABLE {ks}.every (id text PRIMARY KEY, tags list<text>, sizes map<text, bigint>)");
    let refused = folder(&keyspace, table).host(&["run", "--until-end"]);
    refused.must_end(64);
    assert!(refused.stderr.contains("wanted frozen<list<text>>, found list<text>"), "{}", refused.stderr);
    keyspace.cql("DROP TABLE {ks}.every");
    keyspace.cql("CREATE TABLE {ks}.every (id text PRIMARY KEY, tags set<text>, sizes map<text, bigint>, more int)");
    let folder = folder(&keyspace, table);
    folder.host(&["run", "--until-end"]).must_end(0);
    for name in ["again", "and-again"] {
        assert_eq!(cells(&keyspace)["tags"].replace(", ", ","), "{'x','y'}");
        assert_eq!(cells(&keyspace)["sizes"].replace(", ", ","), "{'m':-2,'s':1}");
        folder.host(&["run", "--until-end", "--set", &format!("sink.0.name={name}")]).must_end(0);
    }
}
