//! Modules are deployed for all hosts of a pipeline on Kafka.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use host::log::Log as _;

use super::{lines, printed};
use crate::support::{Folder, Running, until};
use crate::swap::stand::{DEADLINE, Stand};
use crate::swap::{STAGE, Version, has_some, put, swapped};

const NAME: &str = "work";
/// Records that come through before the next thing happens.
const MORE: i64 = 300;

/// The pipeline of a host that has a shadow, too.
const SHADOWED: &str = "shadowed.toml";

/// A stand whose feed is a pipeline of its own.
fn stand(shadow: &Version) -> Stand {
    let stand = Stand::new();
    let keys = "trial_batches = 2\nguard_time_ms = 0";
    stand.write("feed.toml", "feed", "exactly-once", "", &[&stand.feed(2000)]);
    stand.write("pipeline.toml", NAME, "exactly-once", "", &[&stand.stage(keys)]);
    let keys = format!("{keys}\nshadow = \"modules/shadow.wasm\"");
    stand.write(SHADOWED, NAME, "exactly-once", "", &[&stand.stage(&keys)]);
    fs::write(stand.folder.path("modules/shadow.wasm"), shadow.bytes()).expect("written");
    stand
}

fn host(folder: &Folder, pipeline: &str, number: u32) -> Running {
    let id = format!("log.properties.\"group.instance.id\"=host-{number}");
    folder.start(&["run", pipeline, "--set", &id])
}

/// Waits until so many hosts report that they run a version.
fn run_by(stand: &Stand, version: &Version, hosts: usize) {
    let digest = version.digest();
    until("the hosts report what they run", DEADLINE, || {
        let status = lines(&stand.folder, &["modules", "status"]);
        let there: BTreeSet<&str> = status
            .iter()
            .filter(|report| report["module"] == digest.as_str() && report["switched"] == report["workers"])
            .filter_map(|report| report["host"].as_str())
            .collect();
        there.len() == hosts
    });
}

#[test]
fn every_host_runs_what_was_deployed_also_one_that_joins_later() {
    let versions = [1, 2, 3, 4].map(Version::of);
    let stand = stand(&versions[3]);
    let pipeline = "pipeline.toml";
    let feed = stand.folder.start(&["run", "feed.toml"]);
    until("the feed has made its topic", DEADLINE, || {
        stand.log.topic(&format!("{}in", stand.prefix)).expect("readable").is_some()
    });
    let mut hosts = vec![host(&stand.folder, SHADOWED, 0), host(&stand.folder, pipeline, 1)];
    stand.flows(&mut hosts, MORE);
    run_by(&stand, &versions[0], 2);
    fs::write(stand.folder.path("two.wasm"), versions[1].bytes()).unwrap();
    let told = printed(&stand.folder, &["modules", "deploy", "two.wasm", "--stage", STAGE]);
    assert!(told.contains(&format!("{}{NAME}.control", stand.prefix)), "{told}");
    run_by(&stand, &versions[1], 2);
    stand.flows(&mut hosts, MORE);

    // A host that comes later begins with it, though its file is another. Nobody minds the file any more.
    hosts.push(host(&stand.folder, pipeline, 2));
    run_by(&stand, &versions[1], 3);
    put(&stand.folder, &versions[2].bytes());
    stand.flows(&mut hosts, MORE);
    run_by(&stand, &versions[1], 3);
    assert!(hosts[2].said().contains("the control topic says which module is to run"), "{}", hosts[2].said());

    // A module that breaks is refused by all, and they go on.
    fs::write(stand.folder.path("bad.wasm"), Version::doing(9, "unreachable").bytes()).unwrap();
    printed(&stand.folder, &["modules", "deploy", "bad.wasm", "--stage", STAGE]);
    until("all have refused it", DEADLINE, || hosts.iter().all(|host| host.said().contains("module refused")));
    stand.flows(&mut hosts, MORE);
    run_by(&stand, &versions[1], 3);
    // So it is by one that comes later, on another machine: it begins with what the others run.
    let elsewhere = stand.elsewhere(&versions[2]);
    hosts.push(host(&elsewhere, pipeline, 3));
    run_by(&stand, &versions[1], 4);
    stand.flows(&mut hosts, MORE);

    let back = printed(&stand.folder, &["modules", "rollback", STAGE, "--to", &versions[0].short()]);
    assert!(back.contains(&versions[0].short()), "{back}");
    run_by(&stand, &versions[0], 4);
    stand.flows(&mut hosts, MORE);

    // A shadow is promoted everywhere: at once where it ran, and after a trial where it did not.
    printed(&stand.folder, &["modules", "promote", STAGE, "--pipeline", SHADOWED]);
    run_by(&stand, &versions[3], 4);
    let batches = |host: &Running| -> u64 {
        let (said, swapped) = (host.said(), format!("swapped stage=\"{STAGE}\" module=\"{}\"", versions[3].short()));
        let line = said.lines().find(|line| line.contains(&swapped)).unwrap_or_else(|| panic!("no swap in\n{said}"));
        assert!(line.contains("cause=Promote"), "{line}");
        let (_, batches) = line.split_once(" batches=").expect("how many");
        batches.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
    };
    assert!(hosts[1..].iter().all(|host| batches(host) > 0), "promoted without a trial");
    batches(&hosts[0]);
    stand.flows(&mut hosts, MORE);

    feed.interrupt();
    feed.end().must_end(0);
    for host in hosts {
        host.interrupt();
        host.end().must_end(0);
    }
    let outcome = stand.finish(NAME);
    let made: BTreeMap<i64, usize> = outcome.must_be_exact(&versions);
    assert_eq!(made.keys().collect::<Vec<_>>(), [&1, &2, &4], "{made:?}");
}

/// One host has swapped, and ends. The state of its partitions is of a format that only the new version takes, which is still
/// on trial where they go.
#[test]
fn a_state_of_the_new_version_waits_for_it_where_it_is_on_trial() {
    let first = Version::of(1);
    let second = Version {
        on_snapshot: "(i32.store (i32.const 3145728) (i32.const 8))".to_owned(),
        // It takes both.
        on_restore: "(i64.store (i32.const 48) (i64.const 0)) (i64.store (i32.const 56) (i64.const 0))".to_owned(),
        ..Version::of(2)
    };
    let stand = Stand::new();
    stand.write("feed.toml", "feed", "exactly-once", "", &[&stand.feed(1000)]);
    let terms = [
        ("pipeline.toml", "trial_batches = 1\nguard_time_ms = 0"),
        ("slow.toml", "trial_batches = 1000000\ntrial_time_ms = 12000\nguard_time_ms = 0"),
    ];
    for (file, keys) in terms {
        stand.write(file, NAME, "exactly-once", "", &[&stand.stage(keys)]);
    }
    let feed = stand.folder.start(&["run", "feed.toml"]);
    until("the feed has made its topic", DEADLINE, || {
        stand.log.topic(&format!("{}in", stand.prefix)).expect("readable").is_some()
    });
    let mut hosts = Vec::from(terms.map(|(file, _)| stand.folder.start(&["run", file])));
    run_by(&stand, &first, 2);
    stand.flows(&mut hosts, MORE);
    fs::write(stand.folder.path("two.wasm"), second.bytes()).unwrap();
    printed(&stand.folder, &["modules", "deploy", "two.wasm", "--stage", STAGE]);
    hosts[1].await_said("on trial");
    let pipeline = format!("{}{NAME}", stand.prefix);
    until("some partition has the version", DEADLINE, || has_some(&stand.log, &pipeline, &second));
    let quick = hosts.remove(0);
    quick.interrupt();
    quick.end().must_end(0);
    hosts[0].await_said("the live module does not take the state, waiting for the next one");
    swapped(&mut hosts[0], &second);
    stand.flows(&mut hosts, MORE);
    for running in hosts.into_iter().chain([feed]) {
        running.interrupt();
        running.end().must_end(0);
    }
    let outcome = stand.finish(NAME);
    assert_eq!(outcome.must_be_exact(&[first, second]).len(), 2);
    outcome.must_only_grow();
}
