//! Records that other people's client writes are read, and those that are written here it can read: confluent-kafka for
//! Python, with its Avro serializers, and a registry between the two.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use bespoke_record::BatchBuilder;
use host::schema::framing::{Frame, Guid, SchemaId, VALUE_HEADER, split_record};
use serde_json::{Value, json};

use super::program::{RUN, pipeline, products};
use crate::support::front::{Front, Reply, guid};
use crate::support::{Folder, services, top};

/// Runs the client over lines of JSON.
fn client(arguments: &[&str], lines: &[Value]) -> Vec<Value> {
    let script = top().join("tests/services/clients/avro.py");
    through(Command::new(services::python()).arg(script).args(arguments), lines)
}

/// What a program makes of lines of JSON.
pub fn through(command: &mut Command, lines: &[Value]) -> Vec<Value> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the client");
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut stdin = child.stdin.take().expect("piped");
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("an end");
    // A client that fails does not read to the end.
    let _ = feeder.join();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let digits = hex.as_str().expect("text").as_bytes();
    let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).expect("ASCII"), 16).expect("digits");
    digits.chunks(2).map(byte).collect()
}

/// The records of a topic as the client takes them.
fn taken(folder: &Folder, topic: &str) -> Vec<Value> {
    let mut records = Vec::new();
    folder.each(topic, |_, record| {
        let header = |(name, value): (&str, Option<&[u8]>)| json!([name, hex(value.unwrap_or_default())]);
        let headers: Vec<Value> = record.headers().map(header).collect();
        records.push(json!({"value": hex(record.value().expect("a value")), "headers": headers}));
    });
    records
}

/// What the host shows of a topic.
pub fn shown(folder: &Folder, topic: &str) -> Vec<Value> {
    let read = folder.host(&["topics", "read", topic, "--until-end"]);
    read.must_end(0);
    read.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Appends what the client wrote, with a key.
fn append(folder: &Folder, topic: &str, written: &[Value]) {
    let mut batch = BatchBuilder::new();
    for record in written {
        let headers: Vec<(String, Vec<u8>)> = record["headers"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|header| (header[0].as_str().expect("a name").to_owned(), bytes(&header[1])))
            .collect();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), Some(value.as_slice())));
        batch.push(Some(b"key"), Some(&bytes(&record["value"])), headers, 0).expect("room");
    }
    folder.append(topic, &batch.finish());
}

/// Each form and each strategy. By the name of the record alone, the answers of a stage that changes products are products
/// of another kind, and have no place in their subject; so there the feed writes both topics.
fn combinations() -> [(&'static str, &'static str); 4] {
    [("prefix", "topic"), ("prefix", "record"), ("prefix", "topic-record"), ("header", "topic")]
}

/// The folder of a combination.
fn folder(name: &str, url: &str, form: &str, strategy: &str) -> Folder {
    let more = format!("register = true\nschema_id = \"{form}\"\nsubject = \"{strategy}\"");
    let folder = pipeline(name, url, &more);
    if strategy == "record" {
        let text = fs::read_to_string(folder.path("pipeline.toml")).expect("text");
        let (head, _) = text.split_once("[[stage]]").expect("a stage");
        let feed = format!("[[feed]]\nname = \"second\"\ntopic = \"{name}.out\"\nfile = \"feed.jsonl\"\n");
        let text = format!("{head}\n{feed}")
            .replace("[topics]", &format!("[topics]\n\"{name}.out\" = {{ schema = \"product\" }}"));
        fs::write(folder.path("pipeline.toml"), text).expect("written");
    }
    folder
}

/// The registry, with GUIDs.
pub fn with_guids() -> Front {
    Front::start(|_| Reply::Guids)
}

#[test]
fn what_the_host_writes_others_read() {
    let front = with_guids();
    for (form, strategy) in combinations() {
        let name = format!("to-others-{form}-{strategy}");
        let folder = folder(&name, &front.url(), form, strategy);
        folder.host(&RUN).must_end(0);
        let (raw, out) = (format!("{name}.raw"), format!("{name}.out"));
        for topic in [&raw, &out] {
            let theirs = client(&["read", &front.url(), topic], &taken(&folder, topic));
            assert_eq!(theirs, shown(&folder, topic), "{topic}");
            assert!(theirs.len() >= 3, "{topic}");
        }
        folder.each(&out, |_, record| {
            let (id, datum) = split_record(record).expect("framed").expect("a value");
            let header = record.headers().filter(|(name, _)| *name == VALUE_HEADER).count();
            match id {
                SchemaId::Id(_) => assert_eq!((form, header), ("prefix", 0)),
                SchemaId::Guid(_) => assert_eq!((form, header, Some(datum)), ("header", 1, record.value())),
            }
        });
    }
}

#[test]
fn what_others_write_the_host_reads() {
    let front = with_guids();
    let schema = top().join("schemas/product.avsc");
    for (form, strategy) in combinations() {
        let name = format!("from-others-{form}-{strategy}");
        // What the host itself writes is in the other form: both are read always.
        let own = if form == "prefix" { "header" } else { "prefix" };
        let folder = folder(&name, &front.url(), own, strategy);
        folder.host(&RUN).must_end(0);
        let (raw, out) = (format!("{name}.raw"), format!("{name}.out"));
        let (before, through) = (shown(&folder, &raw).len(), shown(&folder, &out).len());
        let arguments = ["write", &front.url(), &raw, form, strategy, schema.to_str().expect("UTF-8")];
        append(&folder, &raw, &client(&arguments, &products()));
        folder.host(&RUN).must_end(0);
        assert_eq!(shown(&folder, &raw)[before..], products(), "{name}");
        let letters = folder.letters(&format!("{name}.dead-letters"));
        let expected = if strategy == "record" { through } else { 2 * through };
        assert_eq!((shown(&folder, &out).len(), letters.len()), (expected, 0), "{name}: {letters:?}");
        // What they call the schema is not what the answer is called, wherever it stood.
        let mut forms = Vec::new();
        folder.each(&out, |_, record| forms.push(split_record(record).expect("framed").expect("a value").0));
        assert!(
            forms.iter().all(|id| *id == forms[0] && matches!(id, SchemaId::Guid(_)) == (own == "header")),
            "{forms:?}"
        );
    }
}

#[test]
fn what_others_write_by_a_newer_schema_is_brought_to_ours() {
    let front = with_guids();
    let folder = pipeline("newer", &front.url(), "register = true");
    folder.host(&RUN).must_end(0);
    let text = fs::read_to_string(top().join("schemas/product.avsc")).expect("a schema");
    let mut schema: Value = serde_json::from_str(&text).expect("JSON");
    let fields = schema["fields"].as_array_mut().expect("a list");
    fields.insert(0, json!({"name": "shop", "type": "string", "default": "none"}));
    let file = folder.path("newer.avsc");
    fs::write(&file, schema.to_string()).expect("written");
    let mut newer = products();
    newer.iter_mut().for_each(|product| product["shop"] = "north".into());
    let file = file.to_str().expect("UTF-8");
    for form in ["prefix", "header"] {
        append(&folder, "newer.raw", &client(&["write", &front.url(), "newer.raw", form, "topic", file], &newer));
    }
    let before = shown(&folder, "newer.out");
    folder.host(&RUN).must_end(0);
    let after = shown(&folder, "newer.out");
    assert_eq!(after, [&before[..], &before, &before].concat());
}

#[test]
fn a_guid_stands_in_the_header_as_others_have_it() {
    let front = with_guids();
    let schema = top().join("schemas/product.avsc");
    let arguments = ["write", &front.url(), "guid", "header", "topic", schema.to_str().expect("UTF-8")];
    let written = client(&arguments, &products()[..1]);
    let header = &written[0]["headers"][0];
    assert_eq!(header[0], VALUE_HEADER);
    let value = bytes(&header[1]);
    let id = u32::from_be_bytes(value[13..].try_into().expect("four bytes"));
    let registered = host::schema::Registered { id, guid: Some(guid(id)) };
    let frame = Frame::new(host::schema::framing::Form::Header, registered).expect("a GUID");
    assert_eq!(frame.header(), Some((VALUE_HEADER, value.as_slice())));
    assert_eq!(Guid::parse(&guid(id).to_string()), Some(guid(id)));
}
