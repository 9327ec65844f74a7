//! The generator and files go to brokers that are named on the command line, without a pipeline, and all of it arrives.

use std::fs;

use serde_json::Value;

use crate::contract::kafka::{brokers, prefix};
use crate::registry::java::java;
use crate::support::{Ended, Folder, services, top};

/// More than a step takes at once.
const COUNT: &str = "20000";
const PRICES: &str = "id,shop,cents\na,north,100\nb,south,five\nc,west,300\n";
const PRICE: &str = r#"{"type": "record", "name": "Price", "fields": [
    {"name": "id", "type": "string"}, {"name": "shop", "type": "string"}, {"name": "cents", "type": "long"}]}"#;

fn folder() -> Folder {
    Folder::of(&top().join("tests/scenarios/empty-feed"))
}

/// A command on the brokers.
fn host(folder: &Folder, arguments: &[&str]) -> Ended {
    folder.host(&[arguments, &["--brokers", brokers()]].concat())
}

/// In an order that does not depend on partitions, with numbers as Avro has them: in JSON 8 is 8.0.
fn sorted(mut values: Vec<Value>) -> Vec<Value> {
    for value in &mut values {
        ["price", "rating"].into_iter().for_each(|field| value[field] = value[field].as_f64().into());
    }
    values.sort_by_cached_key(Value::to_string);
    values
}

#[test]
fn the_generator_feeds_brokers_and_every_record_arrives() {
    let (folder, topic) = (folder(), format!("{}generated", prefix()));
    host(&folder, &["topics", "create", &topic, "--partitions", "3"]).must_end(0);
    let feed = ["feed", "generate", "--count", COUNT, "--seed", "7", "--key", "id", "--to"];
    let registry = ["--registry", services::registry().address()];
    // Nothing is registered unasked.
    let refused = host(&folder, &[&feed[..], &[&topic], &registry].concat());
    assert!(refused.must_end(64).stderr.contains("register the schema"), "{}", refused.stderr);
    let fed = host(&folder, &[&feed[..], &[&topic, "--register"], &registry].concat());
    assert_eq!(fed.must_end(0).stdout, format!("{COUNT} records written to {topic}\n"));

    let lines = folder.host(&[&feed[..], &["-"]].concat());
    let made = lines.must_end(0).stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let theirs = java("read", &[&topic, "prefix"], &[]);
    assert!(theirs.iter().all(|record| record["key"] == record["value"]["id"]));
    let values = theirs.into_iter().map(|mut record| record["value"].take()).collect();
    let (values, made) = (sorted(values), sorted(made));
    let other = values.iter().zip(&made).find(|(theirs, ours)| theirs != ours);
    assert_eq!((values.len(), other), (made.len(), None));

    let read = host(&folder, &[&["topics", "read", &topic, "--until-end"][..], &registry].concat());
    assert_eq!(read.must_end(0).stdout.lines().count().to_string(), COUNT);
    // Whatever it kept to go on after an outage is gone.
    let list = host(&folder, &["topics", "list"]);
    assert!(!list.must_end(0).stdout.contains("host.feed.generate"), "{}", list.stdout);
}

#[test]
fn a_file_feeds_brokers_once() {
    let (folder, topic) = (folder(), format!("{}prices", prefix()));
    let letters = format!("{topic}.dead-letters");
    fs::write(folder.path("prices.csv"), PRICES).expect("written");
    fs::write(folder.path("price.avsc"), PRICE).expect("written");
    let feed = ["feed", "prices.csv", "--to", &topic, "--schema", "price.avsc"];
    let told = host(&folder, &feed);
    assert!(told.must_end(1).stderr.contains(&format!("`{topic}`")), "{}", told.stderr);
    host(&folder, &["topics", "create", &topic]).must_end(0);
    // Nothing is lost for want of a topic of dead letters.
    let told = host(&folder, &feed);
    assert!(told.must_end(1).stderr.contains(&letters), "{}", told.stderr);
    host(&folder, &["topics", "create", &letters]).must_end(0);
    let told = format!("2 records written to {topic}\n1 dead letters written to {letters}\n");
    assert_eq!(host(&folder, &feed).must_end(0).stdout, told);
    assert_eq!(host(&folder, &feed).must_end(0).stdout, format!("0 records written to {topic}\n"));
    let read = host(&folder, &["topics", "read", &topic, "--until-end", "--ids", "kafka.schemas.json"]);
    let shops = read.must_end(0).stdout.lines().filter(|line| line.contains("north") || line.contains("west")).count();
    assert_eq!((shops, read.stdout.lines().count()), (2, 2));
}

#[test]
fn a_file_whose_schema_nobody_tells_is_refused() {
    let folder = folder();
    let told = host(&folder, &["feed", "feed.jsonl", "--to", "untold"]);
    assert!(told.must_end(64).stderr.contains("--schema FILE"), "{}", told.stderr);
}
