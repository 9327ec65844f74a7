//! Java's own client of Kafka, with Avro serializers of Apicurio's, on a real broker: it reads what the host wrote there, and
//! the host reads what it wrote, with the id of the schema before the value and in a header.

use std::fs;
use std::process::Command;

use host::schema::framing::VALUE_HEADER;
use serde_json::{Value, json};

use super::others::{hex, shown, through, with_guids};
use super::program::{RUN, pipeline, products};
use crate::contract::kafka::{brokers, prefix};
use crate::support::front::guid;
use crate::support::{Folder, services, top};

/// Runs the client: `verb`, then brokers, the registry's own address, and the rest.
pub fn java(verb: &str, rest: &[&str], lines: &[Value]) -> Vec<Value> {
    let registry = services::registry().address().split("/apis").next().expect("an address");
    // Small, and quick to start.
    let options =
        ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", services::java_classes(), "Client"];
    through(Command::new("java").args(options).args([verb, brokers(), registry]).args(rest), lines)
}

/// The pipeline of products, on Kafka.
fn on_kafka(name: &str, url: &str, form: &str) -> Folder {
    let folder = pipeline(name, url, &format!("register = true\nschema_id = \"{form}\""));
    let file = folder.path("pipeline.toml");
    let text = fs::read_to_string(&file).expect("text");
    let log = format!("kind = \"kafka\"\nbootstrap = \"{}\"", brokers());
    let text = text.replace("path = \"log.db\"", &log).replace("\n[log]", "create_topics = true\n\n[log]");
    fs::write(file, text).expect("written");
    folder
}

/// What the client says of a field of its records.
fn each<'a>(records: &'a [Value], field: &str) -> Vec<&'a Value> {
    records.iter().map(|record| &record[field]).collect()
}

#[test]
fn java_and_the_host_read_each_others_records() {
    let front = with_guids();
    for form in ["prefix", "header"] {
        let url = if form == "header" { front.url() } else { services::registry().address().to_owned() };
        let name = format!("{}{form}", prefix());
        let folder = on_kafka(&name, &url, form);
        let (raw, out) = (format!("{name}.raw"), format!("{name}.out"));
        folder.host(&RUN).must_end(0);

        let theirs = java("read", &[&raw, form], &[]);
        assert_eq!(each(&theirs, "value"), products().iter().collect::<Vec<_>>(), "{form}");
        assert_eq!(each(&theirs, "key"), ["sku-1", "sku-2", "sku-3"], "{form}");
        let answers = java("read", &[&out, form], &[]);
        assert_eq!(each(&answers, "value"), shown(&folder, &out).iter().collect::<Vec<_>>(), "{form}");
        assert_eq!(answers.len(), 3, "{form}");

        let schema = top().join("schemas/product.avsc");
        let schema = schema.to_str().expect("UTF-8");
        let more: Vec<Value> = products().iter().map(|product| json!({"key": "theirs", "value": product})).collect();
        let written = java("write", &[&raw, form, schema], &more);
        assert_eq!(each(&written, "offset"), [3, 4, 5], "{form}");
        folder.host(&RUN).must_end(0);

        assert_eq!(shown(&folder, &raw)[3..], products(), "{form}");
        let both = java("read", &[&out, form], &[]);
        // The same products, from another client: the same answers, under the key that it gave.
        assert_eq!(each(&both[3..], "value"), each(&answers, "value"), "{form}");
        assert_eq!(each(&both[3..], "key"), ["theirs"; 3], "{form}");
        for record in java("read", &[&raw, form], &[]) {
            match record["headers"].get(VALUE_HEADER) {
                None => assert_eq!(form, "prefix"),
                Some(header) => {
                    let id = u32::from_str_radix(&header.as_str().expect("text")[26..], 16).expect("an id");
                    assert_eq!((form, header), ("header", &Value::from(format!("01{}", hex(&guid(id).0)))));
                }
            }
        }
    }
}
