//! The whole on three brokers, while hosts and brokers are killed, partitions added and workers moved: each record is there
//! once, or at least once, as it was promised.

use super::stand::{Plan, Stand};
use crate::support::{Running, services};

/// How many records; more make a longer test.
const RECORDS: &str = "BESPOKE_TEST_RECORDS";
const FEW: u64 = 50_000;
/// Records a second at least, so few that they come through all accidents, and how long they come at most.
const RATE: u64 = 600;
const FED_WITHIN_SECS: u64 = 200;

/// What happens to it, in turn.
#[derive(Clone, Copy, Debug)]
enum Accident {
    Host(usize),
    Feed,
    Broker(u32),
    Partitions,
    Rebalance,
}

const ACCIDENTS: [Accident; 9] = [
    Accident::Host(0),
    Accident::Broker(1),
    Accident::Feed,
    Accident::Rebalance,
    Accident::Host(1),
    Accident::Partitions,
    Accident::Broker(2),
    Accident::Host(0),
    Accident::Broker(3),
];

/// Has it happen, and looks whether all goes on.
fn happens(stand: &mut Stand<'_>, accident: Accident) {
    let what = format!("{accident:?}");
    match accident {
        Accident::Host(number) => {
            stand.hosts.remove(number).kill();
            let started = stand.start_host(number);
            stand.hosts.insert(number, started);
        }
        Accident::Feed => {
            stand.feed.take().map(Running::kill);
            stand.feed = Some(stand.start_feed());
        }
        Accident::Broker(node) => {
            stand.kafka.kill(node);
            stand.flows(&format!("{what} was killed"));
            stand.kafka.start_again(node);
        }
        Accident::Partitions => {
            // A host that is about to start has read how many there are.
            stand.hosts.iter().for_each(|host| host.wait_for("running pipeline="));
            stand.partitions += 2;
            for topic in ["raw", "checked", "processed"] {
                stand.log.add_partitions(&format!("{}{topic}", stand.prefix), stand.partitions).unwrap();
            }
            stand.write();
        }
        Accident::Rebalance => {
            let guest = stand.start_host(stand.hosts.len());
            guest.wait_for("running pipeline=");
            stand.flows("a host has come");
            guest.interrupt();
            guest.end().must_end(0);
        }
    }
    stand.flows(&what);
}

fn prove(guarantee: &'static str) {
    let records = std::env::var(RECORDS).map_or(FEW, |records| records.parse().unwrap());
    let rate = RATE.max(records / FED_WITHIN_SECS);
    let mut stand = Stand::new(Plan { guarantee, records, rate, hosts: 2, registry: services::registry().address() });
    stand.flows("nothing");
    stand.poison();
    // Each once, and again as long as records come.
    for (round, accident) in (0..).flat_map(|round| ACCIDENTS.map(|accident| (round, accident))) {
        if round > 0 && stand.is_fed() {
            break;
        }
        happens(&mut stand, accident);
    }
    stand.judge();
}

#[test]
fn every_number_comes_out_once_whatever_happens() {
    prove("exactly-once");
}

#[test]
fn at_least_once_loses_no_number_whatever_happens() {
    prove("at-least-once");
}
