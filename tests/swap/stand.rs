//! Numbered records through a stage on the brokers of the tests.

use std::fs;
use std::time::{Duration, Instant};

use host::log::Log as _;
use host::log::kafka::{Guarantee, KafkaLog};
use host::schema::{Compatibility, FileRegistry, Registry as _};

use super::{MODULE, Outcome, STAGE, Version, put};
use crate::contract::kafka::{brokers, open, prefix};
use crate::support::{Folder, Running, top, until};

pub const DEADLINE: Duration = Duration::from_secs(120);

pub struct Stand {
    pub folder: Folder,
    pub prefix: String,
    pub log: KafkaLog,
}

// === impl Stand ===

impl Stand {
    /// With the first version as the module, and no pipeline yet.
    pub fn new() -> Self {
        let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
        put(&folder, &Version::of(1).bytes());
        Self { folder, prefix: prefix(), log: open(brokers(), Guarantee::ExactlyOnce, &[]) }
    }

    /// Writes a pipeline of these parts, with more properties of the client.
    pub fn write(&self, file: &str, name: &str, guarantee: &str, properties: &str, parts: &[&str]) {
        let (prefix, brokers, parts) = (&self.prefix, brokers(), parts.concat());
        let text = format!(
            r#"
name = "{prefix}{name}"
create_topics = true

[log]
kind = "kafka"
bootstrap = "{brokers}"
guarantee = "{guarantee}"
commit_interval_ms = 100

[log.properties]
{properties}
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 500
"transaction.timeout.ms" = 12000
"message.timeout.ms" = 10000

[schemas]
dir = "schemas"
ids = "ids.json"

[topics]
"{prefix}in" = {{ schema = "product", partitions = 4 }}
{parts}"#
        );
        fs::write(self.folder.path(file), text).expect("written");
    }

    /// Another machine: the same pipeline in a folder in which nothing is kept yet, with a version as the module.
    pub fn elsewhere(&self, module: &Version) -> Folder {
        let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
        for file in ["pipeline.toml", "ids.json"] {
            fs::copy(self.folder.path(file), folder.path(file)).expect("copied");
        }
        put(&folder, &module.bytes());
        folder
    }

    /// A feed of so many numbered records a second.
    pub fn feed(&self, rate: u32) -> String {
        format!(
            r#"
[[feed]]
name = "generated"
topic = "{}in"
key = ["id"]
generate = {{ rate = {rate}, start_ms = 0, interval_ms = 1 }}
"#,
            self.prefix
        )
    }

    /// The stage, with more keys.
    pub fn stage(&self, keys: &str) -> String {
        let prefix = &self.prefix;
        format!(
            r#"
[[stage]]
name = "{STAGE}"
module = "{MODULE}"
from = "{prefix}in"
to = "{prefix}out"
batch_records = 100
{keys}
"#
        )
    }

    fn so_far(&self) -> i64 {
        let topic = self.log.topic(&format!("{}out", self.prefix)).expect("readable");
        topic.map_or(0, |topic| topic.partitions.iter().map(|p| p.decided).sum())
    }

    /// Waits until so many more records have come through, and no host has ended.
    pub fn flows(&self, hosts: &mut [Running], more: i64) {
        let goal = self.so_far() + more;
        until("records come through", DEADLINE, || {
            for host in hosts.iter_mut() {
                assert!(host.is_running(), "a host has ended:\n{}", host.said());
            }
            self.so_far() >= goal
        });
    }

    /// Lets what was fed come through the pipeline of a name, which stands in `pipeline.toml`.
    pub fn finish(&self, name: &str) -> Outcome {
        let mut last = self.folder.start(&["run", "--until-end"]);
        let deadline = Instant::now() + DEADLINE;
        while last.is_running() {
            assert!(Instant::now() < deadline, "not all is through:\n{}", last.said());
            std::thread::sleep(Duration::from_millis(20));
        }
        last.end().must_end(0);
        let registry = FileRegistry::open(&self.folder.path("ids.json"), Compatibility::default()).expect("ids");
        let schema = |id| registry.by_id(id).expect("readable").expect("known");
        let topics = ["in", "out"].map(|topic| format!("{}{topic}", self.prefix));
        Outcome::read(&self.log, &schema, topics.each_ref().map(String::as_str), &format!("{}{name}", self.prefix))
    }
}
