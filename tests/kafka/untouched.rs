//! A pipeline that is not to make topics makes none, whoever needs them: it names all that are missing, with the commands that
//! make them, and runs on what these have made.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use host::log::Log as _;
use host::log::kafka::Guarantee;

use crate::contract::kafka::{brokers, open, prefix};
use crate::contract::records::all_kept;
use crate::support::{Folder, services, top, until};

const RECORDS: usize = 200;
const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_pipeline_makes_no_topic_unless_it_is_told_to() {
    let (folder, prefix) = (Folder::of(&top().join("tests/scenarios/empty-feed")), prefix());
    let pipeline = format!(
        r#"
name = "{prefix}p"
[log]
kind = "kafka"
bootstrap = "{brokers}"
guarantee = "exactly-once"
commit_interval_ms = 20
[schemas]
dir = "schemas"
registry = "{registry}"
register = true
[topics]
"{prefix}raw" = {{ schema = "product", partitions = 3, retention_ms = 86400000 }}
[[feed]]
name = "generated"
topic = "{prefix}raw"
key = ["id"]
generate = {{ count = {RECORDS}, invalid = 0.0 }}
[[stage]]
name = "processor"
module = "modules/processor.wasm"
from = "{prefix}raw"
to = {{ topic = "{prefix}processed", key = ["category"] }}
[[stage]]
name = "analyzer"
module = "modules/analyzer.wasm"
from = "{prefix}processed"
[stage.to]
analysis = {{ topic = "{prefix}analysis", key = ["id"] }}
alerts = {{ topic = "{prefix}alerts", key = ["id"] }}
"#,
        brokers = brokers(),
        registry = services::registry().address(),
    );
    fs::write(folder.path("pipeline.toml"), pipeline).unwrap();
    let log = open(brokers(), Guarantee::AtLeastOnce, &[]);
    let there = || {
        let topics = log.topics().unwrap().into_iter().map(|topic| topic.name);
        topics.filter(|name| name.starts_with(&prefix)).collect::<BTreeSet<_>>()
    };
    let run = || folder.host(&["run", "--until-end"]);
    let refused = run();
    let told = &refused.must_end(1).stderr;
    let needed = [
        "raw",
        "processed",
        "analysis",
        "alerts",
        "p.dead-letters",
        "p.modules",
        "p.status",
        "p.analyzer.state",
        "p.feed.generated.state",
    ];
    let needed: BTreeSet<String> = needed.iter().map(|name| format!("{prefix}{name}")).collect();
    needed.iter().for_each(|name| assert!(told.contains(&format!("`{name}`")), "{name} in\n{told}"));
    let checked = folder.host(&["check"]);
    needed.iter().for_each(|name| assert!(checked.must_end(1).stderr.contains(&format!("`{name}`")), "{name}"));
    assert_eq!(there(), BTreeSet::new(), "a run that is refused makes nothing");

    // What it says makes just these, and only together they do.
    let commands: Vec<Vec<&str>> =
        told.lines().filter_map(|line| Some(line.trim().strip_prefix("host ")?.split_whitespace().collect())).collect();
    assert_eq!(commands.len(), needed.len(), "{told}");
    let (last, others) = commands.split_last().unwrap();
    let make =
        |command: &[&str]| folder.host(&[command, &["--brokers", brokers()]].concat()).must_end(0).stdout.clone();
    others.iter().for_each(|command| _ = make(command));
    let refused = run();
    assert!(refused.must_end(1).stderr.contains(&format!("`{}`", last[2])), "{}", refused.stderr);
    make(last);
    folder.host(&["check"]).must_end(0);
    run().must_end(0);
    assert_eq!(there(), needed, "it has made others");
    let raw = log.topic(&format!("{prefix}raw")).unwrap().unwrap();
    assert_eq!((raw.partitions.len(), raw.retention.age_ms), (3, Some(86_400_000)));
    assert_eq!(log.topic(&format!("{prefix}p.analyzer.state")).unwrap().unwrap().partitions.len(), 3);
    assert_eq!(all_kept(&log, &format!("{prefix}raw")).len(), RECORDS);
    assert_eq!(all_kept(&log, &format!("{prefix}analysis")).len(), RECORDS);

    // Where there are positions and no states, somebody has deleted them.
    let states = format!("{prefix}p.analyzer.state");
    folder.host(&["topics", "delete", &states, "--brokers", brokers()]).must_end(0);
    until("the states are gone", DEADLINE, || !there().contains(&states));
    let anew = folder.host(&["run", "--until-end", "--set", "create_topics=true"]);
    let told = &anew.must_end(0).stderr;
    let warned = |group: &str| told.lines().any(|line| line.contains("no topic of states") && line.contains(group));
    assert!(warned(&format!("{prefix}p.analyzer")) && !warned(&format!("{prefix}p.feed")), "{told}");
}
