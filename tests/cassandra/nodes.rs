//! Which node a row is sent to, seen by proxies before three real ones.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use host::shutdown::Shutdown;
use host::table::cassandra::{Cassandra, Level, Settings};
use host::table::{TableStore as _, Written};
use scylla_proxy::{
    Condition, Node, Proxy, Reaction as _, RequestOpcode, RequestReaction, RequestRule, RunningProxy, ShardAwareness,
};
use tokio::sync::mpsc::unbounded_channel;

use super::counts;
use super::keyspace::{Keyspace, wait};
use crate::support::services::{self, Service};

const ROWS: usize = 300;
/// How late the answers of a slow node are.
const LATE: Duration = Duration::from_secs(4);

/// Three nodes, each behind a proxy at its address, and the proxies all at one port.
struct Watched {
    nodes: Service,
    proxy: RunningProxy,
    proxies: Vec<SocketAddr>,
}

// === impl Watched ===

impl Watched {
    fn new() -> Self {
        let nodes = services::own_cassandra(3);
        let real: Vec<SocketAddr> = nodes.address().split(',').map(|node| node.parse().expect("an address")).collect();
        let port = services::free_port();
        // Nodes tell each other's addresses and not their ports, so that all comes by way of the proxies.
        let proxies: Vec<SocketAddr> = real.iter().map(|real| SocketAddr::new(real.ip(), port)).collect();
        let node =
            |(real, proxy): (&SocketAddr, &SocketAddr)| Node::new(*real, *proxy, ShardAwareness::Unaware, None, None);
        let proxy = wait(Proxy::new(real.iter().zip(&proxies).map(node)).run()).expect("a proxy");
        Self { nodes, proxy, proxies }
    }

    /// Writes rows into a table, while nodes treat them so. How many each node was sent, and how long it took.
    fn write(
        &mut self,
        keyspace: &Keyspace,
        reactions: [RequestReaction; 3],
        settings: Settings,
    ) -> (BTreeMap<IpAddr, usize>, Duration) {
        let settings = Settings {
            nodes: self.proxies.iter().map(ToString::to_string).collect(),
            keyspace: keyspace.name.clone(),
            consistency: Level::Quorum,
            ..settings
        };
        let store = Cassandra::new(settings, Duration::from_secs(60), Shutdown::new());
        let spec = counts::spec();
        store.ensure(&spec).expect("a table");
        let mut writer = store.writer(&spec).expect("a writer");
        // Once, so that all is prepared.
        let mut write = |first_stamp| {
            let rows = counts::rows(&spec, ROWS, 1, first_stamp);
            assert_eq!(writer.write(&rows, Duration::from_secs(60)).expect("written"), Written::Done(vec![]));
        };
        write(1);
        let mut seen = Vec::new();
        for (node, reaction) in self.proxy.running_nodes.iter_mut().zip(reactions) {
            let (tell, told) = unbounded_channel();
            let of_writer = Condition::not(Condition::ConnectionRegisteredAnyEvent);
            let executed = Condition::RequestOpcode(RequestOpcode::Execute).and(of_writer);
            node.change_request_rules(Some(vec![RequestRule(executed, reaction.with_feedback_when_performed(tell))]));
            seen.push(told);
        }
        let begin = Instant::now();
        write(1_000_000);
        let took = begin.elapsed();
        let mut sent = BTreeMap::new();
        for ((node, mut told), proxy) in self.proxy.running_nodes.iter_mut().zip(seen).zip(&self.proxies) {
            node.change_request_rules(None);
            sent.insert(proxy.ip(), std::iter::from_fn(|| told.try_recv().ok()).count());
        }
        (sent, took)
    }
}

/// All do what they are told at once.
fn quick() -> [RequestReaction; 3] {
    [RequestReaction::noop(), RequestReaction::noop(), RequestReaction::noop()]
}

/// One does not.
fn one_slow() -> [RequestReaction; 3] {
    [RequestReaction::noop(), RequestReaction::delay(LATE), RequestReaction::noop()]
}

#[test]
fn a_row_is_sent_to_a_node_that_keeps_it_and_to_another_too_only_if_asked() {
    let mut watched = Watched::new();
    let usual = || Settings::new(Vec::new(), "");

    let keyspace = Keyspace::new(watched.nodes.address(), 1);
    let (sent, _) = watched.write(&keyspace, quick(), usual());
    assert_eq!(sent, keyspace.keepers("counts", (0..ROWS).map(counts::id)));

    let keyspace = Keyspace::new(watched.nodes.address(), 3);
    let (sent, took) = watched.write(&keyspace, one_slow(), usual());
    assert_eq!(sent.values().sum::<usize>(), ROWS);
    assert!(took >= LATE, "{took:?}");

    let speculative = Some(Duration::from_millis(100));
    let (sent, took) = watched.write(&keyspace, one_slow(), Settings { speculative, ..usual() });
    assert!(sent.values().sum::<usize>() > ROWS, "{sent:?}");
    assert!(took < LATE, "{took:?}");
}
