//! A whole pipeline on brokers of its own, for tests in which accidents befall it: a numbered feed, a module with state that
//! traps now and then, the processor and the analyzer. Other people's client reads what came of it and compares it with what
//! it computes itself (`tests/services/clients/judge.py`).

use std::fs;
use std::process::Command;
use std::time::Duration;

use bespoke_record::BatchBuilder;
use host::log::kafka::{Guarantee, KafkaLog};
use host::log::{Commit, Event, Log as _, Member};

use crate::contract::kafka::{open, prefix};
use crate::support::services::{self, Service};
use crate::support::{Folder, Running, top, until};

/// Seconds of the feed between two accidents.
const BETWEEN_SECS: u64 = 2;
/// A quantity that one record in a thousand has. The guard traps at it.
const TRAP: u32 = 197;
/// Values that are no products.
const POISON: usize = 20;
pub const DEADLINE: Duration = Duration::from_secs(120);
const LONG: Duration = Duration::from_secs(3_600);

/// What is to be run.
pub struct Plan<'a> {
    pub guarantee: &'static str,
    pub records: u64,
    /// Records a second.
    pub rate: u64,
    pub hosts: usize,
    /// Where schemas are.
    pub registry: &'a str,
}

/// Hosts of one pipeline, its feed, and the cluster that all of it runs on.
pub struct Stand<'a> {
    pub plan: Plan<'a>,
    pub folder: Folder,
    pub kafka: Service,
    pub prefix: String,
    pub log: KafkaLog,
    pub feed: Option<Running>,
    pub hosts: Vec<Running>,
    /// Partitions of the topics that grow.
    pub partitions: u32,
    /// Values that are no products, so far.
    poison: usize,
}

impl<'a> Stand<'a> {
    /// Starts all of it.
    pub fn new(plan: Plan<'a>) -> Self {
        let (kafka, prefix) = (services::own_kafka(3, &[]), prefix());
        let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
        let module = fs::read_to_string(top().join("tests/scenarios/faulty.wat")).unwrap();
        let module = module.replace("(i32.const 13)", &format!("(i32.const {TRAP})"));
        let module = module.replace("(then FAULT)", "(then unreachable)").replace(";; STATE", crate::faults::STATE);
        folder.module("guard", &module);
        let log = open(kafka.address(), Guarantee::ExactlyOnce, &[]);
        let (feed, hosts) = (None, Vec::new());
        let mut stand = Self { plan, folder, kafka, prefix, log, feed, hosts, partitions: 3, poison: 0 };
        stand.write();
        stand.feed = Some(stand.start_feed());
        for host in 0..stand.plan.hosts {
            until("the feed has made its topic", DEADLINE, || stand.count("raw") > 0);
            stand.hosts.push(stand.start_host(host));
        }
        stand
    }

    /// The files of both pipelines, as many partitions as there are now.
    pub fn write(&self) {
        let (prefix, partitions, Plan { records, rate, .. }) = (&self.prefix, self.partitions, &self.plan);
        let feed = format!(
            r#"{}
[topics]
"{prefix}raw" = {{ schema = "product", partitions = {partitions} }}

[[feed]]
name = "numbers"
topic = "{prefix}raw"
key = ["id"]
generate = {{ count = {records}, rate = {rate}, products = 500, invalid = 0.002, start_ms = 0, interval_ms = 1 }}
"#,
            self.head("feed")
        );
        let work = format!(
            r#"{}
[topics]
"{prefix}raw" = {{ schema = "product", partitions = {partitions} }}
"{prefix}checked" = {{ partitions = {partitions} }}
"{prefix}processed" = {{ partitions = {partitions} }}
"{prefix}analysis" = {{ partitions = 2 }}
"{prefix}alerts" = {{ partitions = 2 }}

[[stage]]
name = "guard"
module = "modules/guard.wasm"
from = "{prefix}raw"
to = "{prefix}checked"
workers = 2

[[stage]]
name = "processor"
module = "modules/processor.wasm"
from = "{prefix}checked"
to = {{ topic = "{prefix}processed", key = ["category"] }}

[[stage]]
name = "analyzer"
module = "modules/analyzer.wasm"
from = "{prefix}processed"

[stage.to]
analysis = {{ topic = "{prefix}analysis", key = ["id"] }}
alerts = {{ topic = "{prefix}alerts", key = ["id"] }}
"#,
            self.head("work")
        );
        for (name, text) in [("feed.toml", feed), ("work.toml", work)] {
            // In one go, because a host may be about to read it.
            fs::write(self.folder.path("new"), text).unwrap();
            fs::rename(self.folder.path("new"), self.folder.path(name)).unwrap();
        }
    }

    /// What the files begin with.
    pub fn head(&self, name: &str) -> String {
        let (prefix, brokers, Plan { guarantee, registry, .. }) = (&self.prefix, self.kafka.address(), &self.plan);
        format!(
            r#"
name = "{prefix}{name}"
create_topics = true

[log]
kind = "kafka"
bootstrap = "{brokers}"
guarantee = "{guarantee}"

[log.properties]
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 500
"topic.metadata.refresh.interval.ms" = 2000
"transaction.timeout.ms" = 12000
"message.timeout.ms" = 10000

[schemas]
dir = "schemas"
registry = "{registry}"
register = true
"#
        )
    }

    pub fn start_feed(&self) -> Running {
        self.folder.start(&["run", "--until-end", "feed.toml"])
    }

    pub fn start_host(&self, number: usize) -> Running {
        let id = format!("log.properties.\"group.instance.id\"=host-{number}");
        self.folder.start(&["run", "--set", &id, "work.toml"])
    }

    /// How many offsets of a topic are taken.
    pub fn count(&self, topic: &str) -> u64 {
        let topic = self.log.topic(&format!("{}{topic}", self.prefix)).unwrap();
        topic.map_or(0, |topic| topic.partitions.iter().map(|p| p.decided.unsigned_abs()).sum())
    }

    /// Waits until more have come through. No host ends by itself meanwhile, whatever else happens.
    pub fn flows(&mut self, after: &str) {
        let goal = self.count("analysis") + BETWEEN_SECS * self.plan.rate;
        until(after, DEADLINE, || self.is_fed() || self.count("analysis") >= goal);
        self.works(after);
    }

    /// No host has ended by itself.
    pub fn works(&mut self, after: &str) {
        for host in &mut self.hosts {
            let works = host.is_running() && !host.said().contains(" stopped role=");
            assert!(works, "after {after}, a host ended by itself:\n{}", host.said());
        }
    }

    pub fn is_fed(&mut self) -> bool {
        self.feed.as_mut().is_none_or(|feed| !feed.is_running())
    }

    /// Values that no schema describes, among the others.
    pub fn poison(&mut self) {
        let mut batch = BatchBuilder::new();
        for n in 0..POISON {
            batch.push(Some(n.to_string().as_bytes()), Some(format!("poison-{n}").as_bytes()), [], 1).unwrap();
        }
        let member = Member { group: format!("{}poison", self.prefix), topic: None, worker: 0, workers: 1 };
        let mut session = self.log.join(member).unwrap();
        // As a feed does.
        until("the brokers are ready", DEADLINE, || {
            matches!(session.poll(1, Duration::from_secs(1)).unwrap(), Event::Assigned { .. })
        });
        session.append(&format!("{}raw", self.prefix), &batch.finish()).unwrap();
        session.commit(Commit::default()).unwrap();
        self.poison += POISON;
    }

    /// Lets everything come to its end, and has it judged.
    pub fn judge(mut self) {
        until("all is fed", LONG, || self.is_fed());
        self.feed.take().unwrap().end().must_end(0);
        for host in self.hosts.drain(..) {
            host.interrupt();
            host.end().must_end(0);
        }
        let mut last = self.folder.start(&["run", "--until-end", "work.toml"]);
        until("all is through", LONG, || !last.is_running());
        last.end().must_end(0);
        let numbers = [self.plan.records, u64::from(TRAP), self.poison as u64].map(|number| number.to_string());
        let judged = Command::new(services::python())
            .arg(top().join("tests/services/clients/judge.py"))
            .args([self.plan.guarantee, self.kafka.address(), self.plan.registry, &self.prefix])
            .args(&numbers)
            .output()
            .unwrap();
        let (seen, wrong) = (String::from_utf8_lossy(&judged.stdout), String::from_utf8_lossy(&judged.stderr));
        assert!(judged.status.success(), "{wrong}");
        assert!(seen.starts_with(&format!("{} ", self.plan.records)), "{seen}");
    }
}
