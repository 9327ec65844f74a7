//! `host topics` on brokers: topics are made, shown, changed and deleted, and what is wrong is marked.

use std::time::Duration;

use host::log::kafka::Guarantee;

use crate::contract::kafka::{brokers, open, prefix};
use crate::contract::records::{Reader, new_topic, numbered, produce};
use crate::support::{Ended, Folder, services, top, until};

const DEADLINE: Duration = Duration::from_secs(120);

fn folder() -> Folder {
    Folder::of(&top().join("tests/scenarios/empty-feed"))
}

/// The cells of the line that begins with these.
fn line<'a>(printed: &'a str, begin: &[&str]) -> Vec<&'a str> {
    let cells = printed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    cells.into_iter().find(|cells| cells.starts_with(begin)).unwrap_or_else(|| panic!("no {begin:?} in:\n{printed}"))
}

#[test]
fn a_topic_is_made_shown_changed_and_deleted() {
    let (folder, topic, group) = (folder(), format!("{}shown", prefix()), format!("{}readers", prefix()));
    let topics = |arguments: &[&str]| folder.host(&[&["topics"], arguments, &["--brokers", brokers()]].concat());
    let create = [
        "create",
        &topic,
        "--partitions",
        "2",
        "--replication",
        "auto",
        "--config",
        "retention.ms=86400000",
        "--config",
    ];
    let made = topics(&[&create[..], &["min.insync.replicas=1"]].concat());
    let told = &made.must_end(0).stdout;
    assert!(told.contains("replication factor  1") && told.contains("min.insync.replicas = 2"), "{told}");
    assert!(told.ends_with(&format!("created {topic}\n")), "{told}");
    let refused = |code: i32, arguments: &[&str], why: &str| {
        let told = topics(arguments);
        assert!(told.must_end(code).stderr.contains(why), "{}", told.stderr);
    };
    refused(64, &["create", &topic], "has 2 partitions, not 1");
    let again = topics(&["create", &topic, "--partitions", "2"]);
    assert_eq!(again.must_end(0).stdout, format!("topic {topic} was there, and stays as it is\n"));
    refused(1, &["create", &format!("{topic}.more"), "--replication", "4"], "3 broker(s) are registered");
    let setting = ["create", &format!("{topic}.more"), "--config", "cleanup.policy=sometimes"];
    refused(1, &setting, "Invalid value sometimes for configuration cleanup.policy");
    refused(
        1,
        &["create", &format!("{topic}.more"), "--config", "no.such.setting=1"],
        "Unknown topic config name: no.such.setting",
    );

    // Records without a key, so that all of a batch are in one partition, and a group that has read some of them.
    let log = open(brokers(), Guarantee::AtLeastOnce, &[]);
    produce(&log, &topic, &numbered(0..100));
    let mut reader = Reader::of(&log, &group, &topic);
    reader.take(10);
    reader.commit(&[]);
    let described = || topics(&["describe", &topic, "--group", &group]);
    let printed = described().must_end(0).stdout.clone();
    assert!(printed.contains("kept    24h"), "{printed}");
    assert_eq!(line(&printed, &["setting", "retention.ms"])[2..], ["=", "86400000"]);
    let partitions = [line(&printed, &["0"]), line(&printed, &["1"])];
    let full = partitions.iter().position(|cells| cells[5] == "100").expect("the records are in one partition");
    for (number, cells) in partitions.iter().enumerate() {
        // Number, leader, replicas, in sync, first, next, size.
        assert!(["1", "2", "3"].contains(&cells[1]) && cells[1] == cells[2] && cells[2] == cells[3], "{printed}");
        assert_eq!((cells[4], cells[5]), ("0", if number == full { "100" } else { "0" }), "{printed}");
        assert_ne!(cells[6], "unknown", "{printed}");
    }
    assert_eq!(line(&printed, &[&group])[1..], ["Stable", "90", "90", "in", "partition", &full.to_string()]);
    // A group that nobody is in does not catch up by itself.
    drop(reader);
    until("the group is empty", DEADLINE, || line(&described().stdout, &[&group])[1..4] == ["Empty", "90", "!"]);

    refused(64, &["alter", &topic, "--partitions", "1"], "has 2 partitions, not 1");
    // Partitions cannot be taken back, so that nothing else may be wrong when they are added.
    refused(1, &["alter", &topic, "--partitions", "4", "--config", "retention.ms=soon"], "retention.ms");
    let alter =
        ["alter", &topic, "--partitions", "4", "--config", "retention.ms=", "--config", "max.message.bytes=2000"];
    assert_eq!(
        topics(&alter).must_end(0).stdout,
        format!(
            "retention.ms of {topic}: the brokers' default\nmax.message.bytes of {topic}: 2000\n\
             partitions of {topic}: 2 -> 4\n"
        )
    );
    until("the new partitions are there", DEADLINE, || {
        let printed = described().must_end(0).stdout.clone();
        let is_so = printed.lines().any(|line| line.split_whitespace().next() == Some("3"));
        is_so && printed.contains("max.message.bytes = 2000") && !printed.contains("retention.ms")
    });
    assert!(topics(&["list"]).must_end(0).stdout.contains(&topic));

    // All are looked for before the first is gone.
    refused(1, &["delete", &topic, &format!("{topic}.more")], &format!("`{topic}.more`"));
    assert_eq!(topics(&["delete", &topic]).must_end(0).stdout, format!("deleted {topic}\n"));
    until("the topic is gone", DEADLINE, || topics(&["describe", &topic]).stderr.contains("there is no topic"));
}

#[test]
fn groups_of_the_new_protocol_are_shown_as_they_are() {
    let (folder, topic, group) = (folder(), format!("{}new", prefix()), format!("{}new-readers", prefix()));
    let log = open(brokers(), Guarantee::AtLeastOnce, &[("group.protocol", "consumer")]);
    new_topic(&log, &topic, 1);
    produce(&log, &topic, &numbered(0..10));
    let mut reader = Reader::of(&log, &group, &topic);
    reader.take(4);
    reader.commit(&[]);
    let described = || {
        let told = folder.host(&["topics", "describe", &topic, "--brokers", brokers()]);
        let cells = line(&told.must_end(0).stdout, &[&group]);
        cells[1..].iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(described(), ["Stable", "6", "6", "in", "partition", "0"]);
    drop(reader);
    until("the group is empty", DEADLINE, || described()[..3] == ["Empty", "6", "!"]);
}

#[test]
fn partitions_that_a_dead_broker_had_are_marked() {
    let kafka = services::own_kafka(3, &[]);
    let folder = folder();
    let topics = |arguments: &[&str]| folder.host(&[&["topics"], arguments, &["--brokers", kafka.address()]].concat());
    topics(&["create", "safe", "--replication", "3", "--config", "min.insync.replicas=2"]).must_end(0);
    topics(&["create", "frail", "--partitions", "3", "--replication-factor", "1"]).must_end(0);
    let describe = |topic: &str| topics(&["describe", topic]);
    let sound = describe("frail");
    assert!(!sound.must_end(0).stdout.contains('!'), "{}", sound.stdout);
    kafka.kill(2);
    let tells = |told: &Ended, words: &str| told.code() == Some(0) && told.stdout.contains(words);
    until("a replica is missed", DEADLINE, || tells(&describe("safe"), "wrong    1 of 1 partitions under-replicated"));
    let in_sync = line(&describe("safe").must_end(0).stdout.clone(), &["0"])[3..5].join(" ");
    assert!(in_sync.ends_with(" !") && !in_sync.contains('2'), "{in_sync}");
    // Of a partition that nobody leads neither offsets nor size are known; of the others they are.
    until("a leader is missed", DEADLINE, || tells(&describe("frail"), "1 of 3 partitions without a leader"));
    let printed = describe("frail").must_end(0).stdout.clone();
    let left: Vec<_> = ["0", "1", "2"].map(|number| line(&printed, &[number])).into_iter().collect();
    let lost: Vec<_> = left.iter().filter(|cells| cells[1..3] == ["none", "!"]).collect();
    assert!(matches!(lost[..], [cells] if cells[3] == "2" && cells.contains(&"-")), "{printed}");
    assert!(topics(&["list"]).must_end(0).stdout.contains("safe"));
    kafka.start_again(2);
    let is_sound = |topic| {
        let told = describe(topic);
        told.code() == Some(0) && !told.stdout.contains('!')
    };
    until("all is well again", DEADLINE, || is_sound("safe") && is_sound("frail"));
}

#[test]
fn advice_is_given_for_a_number_of_brokers_or_for_those_that_are_there() {
    let folder = folder();
    let advice =
        |arguments: &[&str]| folder.host(&[&["topics", "advise"], arguments].concat()).must_end(0).stdout.clone();
    for (nodes, number) in [("3", "1"), ("4", "1"), ("5", "2"), ("6", "2"), ("8", "3"), ("10", "4")] {
        let told = advice(&["--nodes", nodes]);
        assert_eq!(line(&told, &["replication", "factor"])[2], number, "{told}");
        assert_eq!(line(&told, &["partitions"])[1], number, "{told}");
    }
    let told = advice(&["--brokers", brokers()]);
    assert!(told.starts_with("brokers             3\n") && told.contains("no broker"), "{told}");
    let told = advice(&["--nodes", "5"]);
    assert!(told.contains("loss of one broker") && told.contains("one key only"), "{told}");
}
