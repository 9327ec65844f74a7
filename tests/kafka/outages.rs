//! Brokers and a registry that are away for a while, when a host starts and in the middle of its work: it waits, says so, and
//! goes on, and each record is there once.

use std::fs;
use std::ops::Range;
use std::time::{Duration, Instant};

use host::log::Log as _;
use host::log::kafka::Guarantee;
use serde_json::{Value, from_str, json};

use super::stand::{DEADLINE, Plan, Stand};
use crate::contract::kafka::open;
use crate::support::{Folder, Running, services, top, until};

/// For how many seconds; more make a longer test.
const AWAY: &str = "BESPOKE_TEST_AWAY_SECS";
const BRIEFLY_SECS: u64 = 15;
const RATE: u64 = 400;
/// Seconds of the feed beside the outages.
const BESIDE_SECS: u64 = 45;
/// Records of a schema that comes late.
const LATE: u64 = 10;

fn away_secs() -> u64 {
    std::env::var(AWAY).map_or(BRIEFLY_SECS, |secs| secs.parse().unwrap())
}

fn plan(records: u64, hosts: usize, registry: &str) -> Plan<'_> {
    Plan { guarantee: "exactly-once", records, rate: RATE, hosts, registry }
}

/// All hosts live through an outage as long as it is to be.
fn outlast(stand: &mut Stand<'_>, since: Instant) {
    until("the time is over", Duration::from_secs(away_secs()) + DEADLINE, || {
        since.elapsed() >= Duration::from_secs(away_secs())
    });
    stand.works("an outage");
}

/// It says so again, after what it had `said`.
fn says(host: &Running, said: usize, text: &str) {
    until(text, DEADLINE, || host.said()[said..].contains(text));
}

#[test]
fn brokers_that_are_away_are_waited_for() {
    let records = RATE * (away_secs() + BESIDE_SECS);
    let mut stand = Stand::new(plan(records, 1, services::registry().address()));
    stand.flows("nothing");

    // All of them, in the middle of the work of one host, and when another starts.
    assert!(!stand.is_fed(), "there is no more work");
    let said = stand.hosts[0].said().len();
    let since = Instant::now();
    (1..=3).for_each(|node| stand.kafka.kill(node));
    let host = stand.start_host(1);
    stand.hosts.push(host);
    says(&stand.hosts[0], said, "waiting for the brokers");
    says(&stand.hosts[1], 0, "waiting for the brokers");
    outlast(&mut stand, since);
    stand.kafka.start_all_again();
    says(&stand.hosts[1], 0, "running pipeline=");
    stand.flows("the brokers are back");

    // One of three: nobody has to wait, also who starts meanwhile.
    stand.hosts.remove(1).kill();
    let since = Instant::now();
    stand.kafka.kill(1);
    let host = stand.start_host(1);
    says(&host, 0, "running pipeline=");
    stand.hosts.push(host);
    stand.flows("a broker was killed");
    outlast(&mut stand, since);
    stand.flows("a broker was away");
    stand.kafka.start_again(1);
    stand.flows("the broker is back");
    stand.judge();
}

/// Of a feed that nobody but its command knows: what it says is there is there, once, whatever the brokers did meanwhile.
#[test]
fn a_feed_from_the_command_line_tells_what_is_there() {
    let (kafka, folder) = (services::own_kafka(3, &[]), Folder::of(&top().join("tests/scenarios/empty-feed")));
    let host = |arguments: &[&str]| folder.start(&[arguments, &["--brokers", kafka.address()]].concat());
    let replicated = ["--partitions", "3", "--replication", "3", "--config", "min.insync.replicas=2"];
    host(&[&["topics", "create", "fed"][..], &replicated].concat()).end().must_end(0);
    let records = RATE * (away_secs() + BESIDE_SECS);
    let (count, rate) = (records.to_string(), RATE.to_string());
    let mut feed = host(&["feed", "generate", "--to", "fed", "--key", "id", "--count", &count, "--rate", &rate]);
    let log = open(kafka.address(), Guarantee::AtLeastOnce, &[]);
    let there = || -> i64 { log.topic("fed").unwrap().unwrap().partitions.iter().map(|p| p.end).sum() };
    until("records come", DEADLINE, || there() > 0);

    // One of them, and then all.
    kafka.kill(1);
    let before = there();
    until("the others take them", DEADLINE, || there() >= before + RATE as i64);
    kafka.start_again(1);
    assert!(feed.is_running(), "there is no more to feed: {}", feed.said());
    let since = Instant::now();
    (1..=3).for_each(|node| kafka.kill(node));
    until("the time is over", Duration::from_secs(away_secs()) + DEADLINE, || {
        since.elapsed() >= Duration::from_secs(away_secs())
    });
    assert!(feed.is_running(), "it did not wait: {}", feed.said());
    kafka.start_all_again();
    until("all is fed", Duration::from_secs(records / RATE) + DEADLINE, || !feed.is_running());
    assert_eq!(feed.end().must_end(0).stdout, format!("{records} records written to fed\n"));
    assert_eq!(there(), records as i64);
}

/// Long enough for requests that are out to time out, and for the wait for the last step; far less than brokers are waited for.
const STOPS_WITHIN: Duration = Duration::from_secs(45);

#[test]
fn a_host_stops_while_brokers_are_away() {
    let mut stand = Stand::new(plan(RATE * BESIDE_SECS, 1, services::registry().address()));
    stand.flows("nothing");
    (1..=3).for_each(|node| stand.kafka.kill(node));
    stand.hosts.push(stand.start_host(1));
    stand.hosts.iter().for_each(|host| says(host, 0, "waiting for the brokers"));
    // One cannot tell how far it is, the other cannot even start.
    for (host, code) in stand.hosts.drain(..).zip([0, 1]) {
        let asked = Instant::now();
        host.interrupt();
        host.end().must_end(code);
        assert!(asked.elapsed() < STOPS_WITHIN, "it took {:?}", asked.elapsed());
    }
}

#[test]
fn a_registry_that_is_away_is_waited_for() {
    let registry = services::own_registry();
    let records = RATE * BESIDE_SECS;
    let mut stand = Stand::new(plan(records, 1, registry.address()));
    stand.flows("nothing");
    // The host has asked for the newest schema by now.
    let mut late = start_late_feed(&stand);

    let since = Instant::now();
    registry.kill(1);
    stand.flows("the registry was killed");
    let host = stand.start_host(1);
    says(&host, 0, "waiting for the schema registry");
    stand.hosts.push(host);

    // Nobody knows the schema of these yet.
    late.tell(&products(records..records + LATE));
    late.end().must_end(0);
    stand.plan.records += LATE;
    says(&stand.hosts[0], 0, "waiting for the schema of a record");
    outlast(&mut stand, since);
    assert!(!stand.hosts[1].said().contains("running pipeline="), "it did not wait");
    registry.start_again(1);
    says(&stand.hosts[1], 0, "running pipeline=");
    stand.flows("the registry is back");
    stand.judge();
}

/// A feed of another version of the schema, registered already, that waits for its records.
fn start_late_feed(stand: &Stand<'_>) -> Running {
    // The same fields in another order.
    let mut schema: Value = from_str(&fs::read_to_string(top().join("schemas/product.avsc")).unwrap()).unwrap();
    schema["fields"].as_array_mut().unwrap().reverse();
    fs::create_dir(stand.folder.path("newer")).unwrap();
    fs::write(stand.folder.path("newer/product.avsc"), schema.to_string()).unwrap();
    let (prefix, partitions) = (&stand.prefix, stand.partitions);
    let text = format!(
        r#"{}
[topics]
"{prefix}raw" = {{ schema = "product", partitions = {partitions} }}

[[feed]]
name = "late"
topic = "{prefix}raw"
key = ["id"]
file = "-"
"#,
        stand.head("late").replace("dir = \"schemas\"", "dir = \"newer\"")
    );
    fs::write(stand.folder.path("late.toml"), text).unwrap();
    let late = stand.folder.start(&["run", "--until-end", "late.toml"]);
    says(&late, 0, "running pipeline=");
    late
}

/// Lines of products with these numbers.
fn products(numbers: Range<u64>) -> String {
    let product = |number: u64| {
        json!({
            "id": format!("late-{number}"), "name": "Late Box", "category": "shoes", "price": 119.5, "quantity": 1,
            "updated": number, "in_stock": true, "rating": null
        })
    };
    numbers.map(|number| format!("{}\n", product(number))).collect()
}
