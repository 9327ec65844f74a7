//! Partitions that are added to a topic while it is written, with the client's own settings: it asks for them every five
//! minutes, and no step waits for that.

use std::time::Duration;

use host::log::kafka::Guarantee;
use host::log::{Commit, Event, Log as _};

use crate::contract::kafka::{brokers, open, prefix};
use crate::contract::records::{all_kept, batch, keyed, member, new_topic};
use crate::support::until;

/// How many records go to all partitions.
const KEYS: u64 = 40;
const PARTITIONS: u32 = 5;
const MOMENT: Duration = Duration::from_millis(200);
/// Longer than a log takes to see new partitions, and much less than the client does.
const DEADLINE: Duration = Duration::from_secs(90);

fn grows(guarantee: Guarantee) {
    let (topic, group) = (format!("{}t", prefix()), format!("{}feed", prefix()));
    let log = open(brokers(), guarantee, &[]);
    new_topic(&log, &topic, 1);
    let mut session = log.join(member(&group, None)).unwrap();
    until("the feed is this session's", DEADLINE, || {
        matches!(session.poll(1, MOMENT).unwrap(), Event::Assigned { .. })
    });
    let records = (0..KEYS).map(|key| keyed(key.to_string(), "x")).collect::<Vec<_>>();
    let mut committed = 0;
    let mut step = || {
        session.append(&topic, &batch(&records)).unwrap();
        let done = session.commit(Commit::default());
        // One that fails is done again, as workers do; what comes of it is counted below.
        committed += usize::from(done.is_ok());
        session.poll(1, MOMENT).unwrap();
    };
    step();
    open(brokers(), guarantee, &[]).add_partitions(&topic, PARTITIONS).unwrap();
    let filled = || {
        let info = log.topic(&topic).unwrap().unwrap();
        info.partitions.iter().filter(|partition| partition.end > 0).count()
    };
    until("all partitions are written to", DEADLINE, || {
        step();
        filled() == PARTITIONS as usize
    });
    let (kept, wanted) = (all_kept(&log, &topic).len(), committed * KEYS as usize);
    // Without transactions, what was sent of a step that has failed stays.
    let is_right = if guarantee == Guarantee::ExactlyOnce { kept == wanted } else { kept >= wanted };
    assert!(is_right, "{kept} of {wanted}");
}

#[test]
fn new_partitions_are_written_to_exactly_once() {
    grows(Guarantee::ExactlyOnce);
}

#[test]
fn new_partitions_are_written_to_at_least_once() {
    grows(Guarantee::AtLeastOnce);
}
