//! Every Avro type becomes the CQL type that holds it, exactly; what a column cannot hold is said at start, or is one dead
//! letter.

use std::fs;

use super::keyspace::Keyspace;
use crate::support::{Folder, services, top};

const SCHEMA: &str = r#"{"type": "record", "name": "All", "fields": [
    {"name": "id", "type": "string"},
    {"name": "b", "type": "boolean"}, {"name": "i", "type": "int"}, {"name": "l", "type": "long"},
    {"name": "f", "type": "float"}, {"name": "d", "type": "double"}, {"name": "bytes", "type": "bytes"},
    {"name": "fixed", "type": {"type": "fixed", "name": "Three", "size": 3}},
    {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
    {"name": "nothing", "type": ["null", "string"]}, {"name": "something", "type": ["null", "long"]},
    {"name": "dec", "type": {"type": "bytes", "logicalType": "decimal", "precision": 38, "scale": 4}},
    {"name": "dec_fixed", "type": {"type": "fixed", "name": "Money", "size": 8, "logicalType": "decimal", "precision": 18,
        "scale": 2}},
    {"name": "big", "type": {"type": "bytes", "logicalType": "big-decimal"}},
    {"name": "uuid", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "uuid_fixed", "type": {"type": "fixed", "name": "Id", "size": 16, "logicalType": "uuid"}},
    {"name": "date", "type": {"type": "int", "logicalType": "date"}},
    {"name": "time_ms", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "time_us", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "ts_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "ts_us", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "ts_ns", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    {"name": "local_ms", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
    {"name": "local_us", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
    {"name": "local_ns", "type": {"type": "long", "logicalType": "local-timestamp-nanos"}},
    {"name": "length", "type": {"type": "fixed", "name": "Length", "size": 12, "logicalType": "duration"}},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "days", "type": {"type": "array", "items": {"type": "int", "logicalType": "date"}}},
    {"name": "sizes", "type": {"type": "map", "values": "long"}},
    {"name": "prices", "type": {"type": "map", "values": {"type": "array", "items":
        {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}}},
    {"name": "box", "type": {"type": "record", "name": "Box", "fields": [
        {"name": "w", "type": "int"}, {"name": "label", "type": ["null", "string"]},
        {"name": "parts", "type": {"type": "array", "items": {"type": "record", "name": "Part", "fields": [
            {"name": "n", "type": "int"}, {"name": "made", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}}}
    ]}},
    {"name": "either", "type": ["int", "string"]}
]}"#;

const LINE: &str = r#"{"id": "a", "b": true, "i": -2147483648, "l": 9223372036854775807, "f": 0.25, "d": 0.1, "bytes": "AP8=",
    "fixed": "AP8B", "e": "B", "nothing": null, "something": -1, "dec": "-12345678901234567890123.4567",
    "dec_fixed": "-1234567890123456.78", "big": "-0.000000000000000000001", "uuid": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
    "uuid_fixed": "00000000-0000-0000-0000-0000000000ff", "date": "1969-12-31", "time_ms": "23:59:59.999",
    "time_us": "23:59:59.999999", "ts_ms": "2026-01-01T00:00:00.123Z", "ts_us": "2026-01-01T00:00:00.123456Z",
    "ts_ns": "2026-01-01T00:00:00.123456789Z", "local_ms": "2026-01-01T00:00:00.123", "local_us": "2026-01-01T00:00:00.123456",
    "local_ns": "2026-01-01T00:00:00.123456789", "length": "AQAAAAIAAAADAAAA", "tags": ["y", "x", "y"],
    "days": ["1970-01-01", "2026-12-31"], "sizes": {"s": 1, "m": -2}, "prices": {"old": ["1.50", "-0.01"], "new": []},
    "box": {"w": 7, "label": null, "parts": [{"n": 1, "made": "1970-01-01T00:00:00Z"},
        {"n": 2, "made": "1969-12-31T23:59:59.999Z"}]}, "either": "s"}"#;

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
    // As Cassandra itself shows them, and not the driver.
    let shown = keyspace.cql("SELECT JSON * FROM {ks}.every");
    let shown: serde_json::Value = serde_json::from_str(&text(&shown[0]["[json]"])).expect("JSON");
    for (column, ty, value) in [
        ("id", "text", r#""a""#),
        ("b", "boolean", "true"),
        ("i", "int", "-2147483648"),
        ("l", "bigint", "9223372036854775807"),
        ("f", "float", "0.25"),
        ("d", "double", "0.1"),
        ("bytes", "blob", r#""0x00ff""#),
        ("fixed", "blob", r#""0x00ff01""#),
        ("e", "text", r#""B""#),
        ("nothing", "text", "null"),
        ("something", "bigint", "-1"),
        ("uuid", "uuid", r#""f81d4fae-7dec-11d0-a765-00a0c91e6bf6""#),
        ("uuid_fixed", "uuid", r#""00000000-0000-0000-0000-0000000000ff""#),
        ("date", "date", r#""1969-12-31""#),
        ("time_ms", "time", r#""23:59:59.999000000""#),
        ("time_us", "time", r#""23:59:59.999999000""#),
        ("ts_ms", "timestamp", r#""2026-01-01 00:00:00.123Z""#),
        ("ts_us", "bigint", "1767225600123456"),
        ("ts_ns", "bigint", "1767225600123456789"),
        ("local_ms", "timestamp", r#""2026-01-01 00:00:00.123Z""#),
        ("local_us", "bigint", "1767225600123456"),
        ("local_ns", "bigint", "1767225600123456789"),
        ("length", "duration", r#""1mo2d3ms""#),
        ("tags", "frozen<list<text>>", r#"["y","x","y"]"#),
        ("days", "frozen<list<date>>", r#"["1970-01-01","2026-12-31"]"#),
        ("sizes", "frozen<map<text, bigint>>", r#"{"m":-2,"s":1}"#),
        (
            "box",
            "frozen<every_box>",
            r#"{"w":7,"label":null,"parts":[{"n":1,"made":"1970-01-01 00:00:00.000Z"},{"n":2,"made":"1969-12-31 23:59:59.999Z"}]}"#,
        ),
        ("either", "text", r#""\"s\"""#),
    ] {
        assert_eq!((types[column].as_str(), shown[column].to_string().as_str()), (ty, value), "{column}");
    }
    // Numbers of more digits than a JSON number of most programs has.
    for (column, ty) in [
        ("dec", "decimal"),
        ("dec_fixed", "decimal"),
        ("big", "decimal"),
        ("prices", "frozen<map<text, frozen<list<decimal>>>>"),
    ] {
        assert_eq!(types[column], ty, "{column}");
    }
    let decimals =
        keyspace.rows("SELECT CAST(dec AS text), CAST(dec_fixed AS text), CAST(big AS text) FROM {ks}.every");
    assert_eq!(decimals, ["'-1E-21' | '-12345678901234567890123.4567' | '-1234567890123456.78'"]);
    let prices = keyspace.rows("SELECT JSON prices FROM {ks}.every");
    assert!(prices[0].contains(r#"{"new": [], "old": [1.50, -0.01]}"#), "{prices:?}");
}

#[test]
fn columns_that_are_wider_than_their_type_take_it() {
    let keyspace = Keyspace::new(services::cassandra().address(), 1);
    keyspace.cql("CREATE TYPE {ks}.part (made timestamp, n varint)");
    keyspace.cql("CREATE TYPE {ks}.wide_box (parts frozen<list<frozen<part>>>, label text, w bigint, more int)");
    keyspace.cql(
        "CREATE TABLE {ks}.every (id text PRIMARY KEY, i varint, l varint, f double, box wide_box, days set<date>,
         sizes map<text, varint>)",
    );
    let table = "columns = [\"id\", \"i\", \"l\", \"f\", \"box\", \"days\", \"sizes\"]\n";
    folder(&keyspace, table).host(&["run", "--until-end"]).must_end(0);
    let shown = keyspace.cql("SELECT JSON i, l, f, box, days, sizes FROM {ks}.every");
    let shown = shown[0]["[json]"].as_ref().and_then(|json| json.as_text()).expect("text").clone();
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(
        shown.to_string(),
        r#"{"i":-2147483648,"l":9223372036854775807,"f":0.25,"box":{"parts":[{"made":"1970-01-01 00:00:00.000Z","n":1},{"made":"1969-12-31 23:59:59.999Z","n":2}],"label":null,"w":7,"more":null},"days":["1970-01-01","2026-12-31"],"sizes":{"m":-2,"s":1}}"#
    );
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
