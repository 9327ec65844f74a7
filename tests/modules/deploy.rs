//! Modules are deployed for all hosts of a pipeline on Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use host::log::Log as _;
use host::log::kafka::{Guarantee, KafkaLog};
use host::schema::{Compatibility, FileRegistry, Registry as _};

use super::{lines, printed};
use crate::contract::kafka::{brokers, open, prefix};
use crate::support::{Folder, Running, top, until};
use crate::swap::{MODULE, Outcome, STAGE, Version, put};

const DEADLINE: Duration = Duration::from_secs(120);

struct Stand {
    folder: Folder,
    prefix: String,
    log: KafkaLog,
}

impl Stand {
    fn new() -> Self {
        let (folder, prefix) = (Folder::of(&top().join("tests/scenarios/empty-feed")), prefix());
        put(&folder, &Version::of(1).bytes());
        let head = |name: &str| {
            format!(
                r#"
name = "{prefix}{name}"
create_topics = true

[log]
kind = "kafka"
bootstrap = "{}"
guarantee = "exactly-once"
commit_interval_ms = 100

[log.properties]
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 500
"transaction.timeout.ms" = 12000
"message.timeout.ms" = 10000

[schemas]
dir = "schemas"
ids = "ids.json"

[topics]
"{prefix}in" = {{ schema = "product", partitions = 4 }}
"#,
                brokers()
            )
        };
        let feed = format!(
            r#"
[[feed]]
name = "generated"
topic = "{prefix}in"
key = ["id"]
generate = {{ rate = 2000, start_ms = 0, interval_ms = 1 }}
"#
        );
        let work = format!(
            r#"
[[stage]]
name = "{STAGE}"
module = "{MODULE}"
from = "{prefix}in"
to = "{prefix}out"
batch_records = 100
trial_batches = 2
guard_time_ms = 0
"#
        );
        fs::write(folder.path("feed.toml"), head("feed") + &feed).expect("written");
        fs::write(folder.path("pipeline.toml"), head("work") + &work).expect("written");
        Self { folder, prefix, log: open(brokers(), Guarantee::ExactlyOnce, &[]) }
    }

    fn host(&self, number: u32) -> Running {
        let id = format!("log.properties.\"group.instance.id\"=host-{number}");
        self.folder.start(&["run", "--set", &id])
    }

    fn so_far(&self) -> i64 {
        let topic = self.log.topic(&format!("{}out", self.prefix)).expect("readable");
        topic.map_or(0, |topic| topic.partitions.iter().map(|p| p.decided).sum())
    }

    fn flows(&self, hosts: &mut [Running]) {
        let goal = self.so_far() + 300;
        until("records come through", DEADLINE, || {
            for host in hosts.iter_mut() {
                assert!(host.is_running(), "a host has ended:\n{}", host.said());
            }
            self.so_far() >= goal
        });
    }

    /// Waits until so many hosts report that they run a version.
    fn run_by(&self, version: &Version, hosts: usize) {
        let digest = version.digest();
        until("the hosts report what they run", DEADLINE, || {
            let status = lines(&self.folder, &["modules", "status"]);
            let there: BTreeSet<&str> = status
                .iter()
                .filter(|report| report["module"] == digest.as_str() && report["switched"] == report["workers"])
                .filter_map(|report| report["host"].as_str())
                .collect();
            there.len() == hosts
        });
    }
}

#[test]
fn every_host_runs_what_was_deployed_also_one_that_joins_later() {
    let versions = [1, 2, 3].map(Version::of);
    let stand = Stand::new();
    let feed = stand.folder.start(&["run", "feed.toml"]);
    until("the feed has made its topic", DEADLINE, || {
        stand.log.topic(&format!("{}in", stand.prefix)).expect("readable").is_some()
    });
    let mut hosts = vec![stand.host(0), stand.host(1)];
    stand.flows(&mut hosts);
    stand.run_by(&versions[0], 2);
    fs::write(stand.folder.path("two.wasm"), versions[1].bytes()).unwrap();
    let told = printed(&stand.folder, &["modules", "deploy", "two.wasm", "--stage", STAGE]);
    assert!(told.contains(&format!("{}work.control", stand.prefix)), "{told}");
    stand.run_by(&versions[1], 2);
    stand.flows(&mut hosts);

    // A host that comes later begins with it, though its file is another. Nobody minds the file any more.
    hosts.push(stand.host(2));
    stand.run_by(&versions[1], 3);
    put(&stand.folder, &versions[2].bytes());
    stand.flows(&mut hosts);
    stand.run_by(&versions[1], 3);
    assert!(hosts[2].said().contains("the control topic says which module is to run"), "{}", hosts[2].said());

    // A module that breaks is refused by all, and they go on.
    fs::write(stand.folder.path("bad.wasm"), Version::doing(9, "unreachable").bytes()).unwrap();
    printed(&stand.folder, &["modules", "deploy", "bad.wasm", "--stage", STAGE]);
    until("all have refused it", DEADLINE, || hosts.iter().all(|host| host.said().contains("module refused")));
    stand.flows(&mut hosts);
    stand.run_by(&versions[1], 3);

    let back = printed(&stand.folder, &["modules", "rollback", STAGE, "--to", &versions[0].short()]);
    assert!(back.contains(&versions[0].short()), "{back}");
    stand.run_by(&versions[0], 3);
    stand.flows(&mut hosts);

    feed.interrupt();
    feed.end().must_end(0);
    for host in hosts {
        host.interrupt();
        host.end().must_end(0);
    }
    let mut last = stand.folder.start(&["run", "--until-end"]);
    until("all is through", DEADLINE, || !last.is_running());
    last.end().must_end(0);
    let registry = FileRegistry::open(&stand.folder.path("ids.json"), Compatibility::default()).expect("ids");
    let schema = |id| registry.by_id(id).expect("readable").expect("known");
    let topics = ["in", "out"].map(|name| format!("{}{name}", stand.prefix));
    let outcome =
        Outcome::read(&stand.log, &schema, topics.each_ref().map(String::as_str), &format!("{}work", stand.prefix));
    let made: BTreeMap<i64, usize> = outcome.must_be_exact(&versions);
    assert_eq!(made.keys().collect::<Vec<_>>(), [&1, &2], "{made:?}");
}
