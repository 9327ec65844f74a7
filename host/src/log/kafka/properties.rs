//! The settings of librdkafka: those of the user untouched, with ours beneath, and none that would break what is promised.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;

use super::native::Producer;
use super::{Guarantee, LETTER_BYTES, MAX_RECORD_BYTES, Options};
use crate::log::LogError;

/// Settings that the guarantees rest on, with the only values that keep them.
const FIXED: [(&str, &[&str], &str); 10] = [
    ("enable.auto.commit", &["false"], "positions are committed with the step that they belong to"),
    ("enable.auto.offset.store", &["false"], "positions are committed with the step that they belong to"),
    ("auto.offset.reset", &["earliest", "smallest", "beginning"], "a group without a position reads all that is kept"),
    ("isolation.level", &["read_committed"], "records of a transaction that is open or aborted are not to be seen"),
    ("enable.idempotence", &["true"], "a record that is sent again would be there twice"),
    ("acks", &["all", "-1"], "a record must be on all replicas before its step counts"),
    ("request.required.acks", &["all", "-1"], "a record must be on all replicas before its step counts"),
    ("allow.auto.create.topics", &["false"], "a mistyped name would become a topic"),
    ("delivery.report.only.error", &["false"], "the bytes of a record are kept until its delivery is reported"),
    ("enable.partition.eof", &["false"], "ends of partitions are asked for where they are needed"),
];

/// Settings that come from elsewhere.
const ELSEWHERE: [(&str, &str); 6] = [
    ("bootstrap.servers", "write `bootstrap` in [log]"),
    ("metadata.broker.list", "write `bootstrap` in [log]"),
    ("group.id", "it is made of the names of the pipeline and the stage"),
    ("transactional.id", "it is made of the consumer group; a fixed `group.instance.id` makes it fixed"),
    ("partitioner", "keys go to partitions by murmur2, as those of Kafka's Java client"),
    ("log.queue", "the client's log goes into that of this host"),
];

/// Ours for every client. Long waits between attempts to connect only make an outage longer.
const COMMON: [(&str, &str); 5] = [
    ("client.id", "bespoke"),
    ("allow.auto.create.topics", "false"),
    ("reconnect.backoff.max.ms", "2000"),
    ("log.connection.close", "false"),
    ("socket.keepalive.enable", "true"),
];

/// Ours for consumers. The default backoff of a second would stall every pipeline that is slower than its broker; the
/// sizes bound what a partition may hold in memory, as the manual of the configuration says.
const CONSUMER: [(&str, &str); 8] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "earliest"),
    ("isolation.level", "read_committed"),
    ("fetch.queue.backoff.ms", "1"),
    ("max.partition.fetch.bytes", "262144"),
    ("queued.min.messages", "20000"),
    ("queued.max.messages.kbytes", "65536"),
];

/// Ours for producers. Records wait for a full batch as long as that takes, or until a step ends, which does not wait
/// (`native/produce.rs`). With a short linger librdkafka burns a core: its idempotent producer has one request of a partition
/// on its way, and takes what waits behind that for longer than the linger for a reason never to sleep.
const PRODUCER: [(&str, &str); 7] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("delivery.report.only.error", "false"),
    ("compression.type", "lz4"),
    ("linger.ms", "500"),
    ("queue.buffering.max.messages", "100000"),
    ("queue.buffering.max.kbytes", "262144"),
];

/// Second names of settings of ours; of two names of one setting, it is not known which counts.
const ALIASES: [(&str, &str); 5] = [
    ("compression.type", "compression.codec"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("max.partition.fetch.bytes", "fetch.message.max.bytes"),
    ("acks", "request.required.acks"),
    ("message.timeout.ms", "delivery.timeout.ms"),
];

/// A mechanism of SASL for which librdkafka needs libcurl, which is not built in; without tokens it would wait for ever.
const TOKENS: &str = "OAUTHBEARER";

/// How long a transaction may be open at least, and at most: what brokers allow if nobody tells them otherwise. One that a
/// killed host has left hides what comes after it from readers for so long.
const TRANSACTION: Duration = Duration::from_secs(30);
const MAX_TRANSACTION: Duration = Duration::from_secs(15 * 60);
/// How long its records may take.
const TRANSACTION_MESSAGE: Duration = Duration::from_secs(25);
/// How long a connection of a producer with transactions may be idle. If a group's coordinator dies in the middle of a
/// commit, librdkafka looks for the next one only when a connection opens or closes, and no time limit ends that wait (its
/// issues 5456 and 5511). Then all connections are idle, and one closes. Longer than a healthy broker takes for an answer.
const TRANSACTION_IDLE_MS: &str = "15000";
/// How long a record outside of a transaction may take: longer than it takes to replace a broker.
const MESSAGE_MS: &str = "120000";
/// Bytes of a batch at most, where topics take them: librdkafka's default.
pub(super) const BATCH_BYTES: usize = 1_000_000;
/// Bytes of a batch around its records, and of a record around its parts, at most.
pub(super) const OVERHEAD_BYTES: usize = 256;

/// Refuses settings that would break a promise, and those that librdkafka does not know.
pub(super) fn check(options: &Options) -> Result<(), LogError> {
    let refuse = |name: &str, what: String| Err(LogError::Setting { name: name.to_owned(), what });
    for (name, value) in &options.properties {
        if let Some((_, allowed, why)) = FIXED.iter().find(|(fixed, ..)| fixed == name)
            && !allowed.contains(&value.as_str())
        {
            return refuse(name, format!("it must be `{}`, because {why}", allowed[0]));
        }
        if let Some((_, instead)) = ELSEWHERE.iter().find(|(elsewhere, _)| elsewhere == name) {
            return refuse(name, format!("it cannot be set here: {instead}"));
        }
        if matches!(name.as_str(), "sasl.mechanism" | "sasl.mechanisms") && value.eq_ignore_ascii_case(TOKENS) {
            return refuse(name, format!("nobody here fetches tokens for {TOKENS}; use SCRAM, PLAIN or certificates"));
        }
        if let Err(error) = ClientConfig::new().set(name, value).create_native_config() {
            let what = match error {
                KafkaError::ClientConfig(_, what, ..) => what,
                other => other.to_string(),
            };
            return refuse(name, what);
        }
    }
    if options.properties.is_empty() {
        return Ok(());
    }
    // Which settings do not go together only a producer says. This one knows of no brokers, so that it asks none.
    let id = (options.guarantee == Guarantee::ExactlyOnce).then_some("check");
    let mut config = producer(options, id, BATCH_BYTES);
    config.remove("bootstrap.servers");
    config.set("log_level", "0");
    Producer::new(&config).map(drop).map_err(|error| {
        let what = match error {
            KafkaError::ClientCreation(what) => what,
            other => other.to_string(),
        };
        let names: Vec<&str> = options.properties.keys().map(String::as_str).collect();
        let named: Vec<&str> = names.iter().copied().filter(|name| what.contains(&format!("`{name}`"))).collect();
        let name = if named.is_empty() { names.join("`, `") } else { named.join("`, `") };
        LogError::Setting { name, what }
    })
}

/// For clients that are in no group: admin, metadata, reading from anywhere.
pub(super) fn plain(options: &Options) -> ClientConfig {
    let mut config = base(options, &CONSUMER);
    // Of a group or its kind they must know nothing.
    ["group.instance.id", "group.protocol", "group.remote.assignor"]
        .into_iter()
        .for_each(|name| _ = config.remove(name));
    config.set("enable.partition.eof", "true");
    config
}

/// For clients that ask for the positions of a group, without being in it.
pub(super) fn positions(options: &Options, group: &str) -> ClientConfig {
    let mut config = plain(options);
    config.set("group.id", group).set("enable.partition.eof", "false");
    config
}

/// For the consumer of a worker.
pub(super) fn consumer(options: &Options, group: &str, worker: u32) -> ClientConfig {
    let mut config = base(options, &CONSUMER);
    config.set("group.id", group);
    if let Some(instance) = options.properties.get("group.instance.id") {
        config.set("group.instance.id", format!("{instance}-{worker}"));
    }
    if !is_new_protocol(&options.properties) && !options.properties.contains_key("partition.assignment.strategy") {
        config.set("partition.assignment.strategy", "cooperative-sticky");
    }
    config
}

/// Whether the coordinator shares the partitions of a group out (KIP-848), and not one of its members.
pub(super) fn is_new_protocol(properties: &BTreeMap<String, String>) -> bool {
    properties.get("group.protocol").is_some_and(|protocol| protocol == "consumer")
}

/// For a producer, with transactions if it has an id, that makes batches of so many bytes at most.
pub(super) fn producer(options: &Options, transactional_id: Option<&str>, batch_bytes: usize) -> ClientConfig {
    let mut config = base(options, &PRODUCER);
    let set = config.get("batch.size").and_then(|bytes| bytes.parse().ok());
    if set.unwrap_or(BATCH_BYTES) > batch_bytes {
        config.set("batch.size", batch_bytes.to_string());
    }
    let is_set = |name: &str| {
        let alias = ALIASES
            .iter()
            .find(|(ours, _)| *ours == name)
            .is_some_and(|(_, alias)| options.properties.contains_key(*alias));
        alias || options.properties.contains_key(name)
    };
    let mut default = |name: &str, value: &str| {
        if !is_set(name) {
            config.set(name, value);
        }
    };
    default("message.max.bytes", &(MAX_RECORD_BYTES + LETTER_BYTES + OVERHEAD_BYTES).to_string());
    match transactional_id {
        Some(id) => {
            // Its first records may be sent when a step begins, and its last ones are to be delivered at its end.
            let lasts = (options.step + TRANSACTION_MESSAGE).clamp(TRANSACTION, MAX_TRANSACTION);
            if !is_set("transaction.timeout.ms") {
                // Otherwise it is librdkafka's: the same time.
                default("message.timeout.ms", &TRANSACTION_MESSAGE.as_millis().to_string());
            }
            default("transaction.timeout.ms", &lasts.as_millis().to_string());
            default("connections.max.idle.ms", TRANSACTION_IDLE_MS);
            config.set("transactional.id", id);
        }
        None => default("message.timeout.ms", MESSAGE_MS),
    }
    config
}

/// The largest record that the producer takes.
pub(super) fn max_record_bytes(properties: &BTreeMap<String, String>) -> usize {
    set_bytes(properties).unwrap_or(MAX_RECORD_BYTES)
}

/// The largest dead letter that the producer takes.
pub(super) fn max_letter_bytes(properties: &BTreeMap<String, String>) -> usize {
    set_bytes(properties).unwrap_or(MAX_RECORD_BYTES + LETTER_BYTES)
}

/// The largest record of either kind, if that is set.
fn set_bytes(properties: &BTreeMap<String, String>) -> Option<usize> {
    let bytes = properties.get("message.max.bytes")?.parse::<usize>().ok()?;
    Some(bytes.saturating_sub(OVERHEAD_BYTES))
}

fn base(options: &Options, own: &[(&str, &str)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    let is_set = |name: &str| options.properties.contains_key(name);
    for (name, value) in COMMON.iter().chain(own) {
        if !ALIASES.iter().any(|(ours, theirs)| ours == name && is_set(theirs)) {
            config.set(*name, *value);
        }
    }
    for (name, value) in &options.properties {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &options.bootstrap);
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(properties: &[(&str, &str)]) -> Options {
        let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Options { properties, ..Options::new("localhost:9092", Guarantee::AtLeastOnce) }
    }

    #[test]
    fn settings_of_the_client_pass_untouched() {
        let options = options(&[("linger.ms", "50"), ("fetch.queue.backoff.ms", "7"), ("security.protocol", "ssl")]);
        check(&options).unwrap();
        assert_eq!(producer(&options, None, BATCH_BYTES).get("linger.ms"), Some("50"));
        let consumer = consumer(&options, "g", 0);
        assert_eq!(
            (consumer.get("fetch.queue.backoff.ms"), consumer.get("security.protocol")),
            (Some("7"), Some("ssl"))
        );
    }

    #[test]
    fn settings_that_break_a_promise_are_refused() {
        let broken = [
            ("enable.auto.commit", "true"),
            ("isolation.level", "read_uncommitted"),
            ("acks", "1"),
            ("delivery.report.only.error", "true"),
            ("enable.idempotence", "false"),
            ("auto.offset.reset", "latest"),
            ("group.id", "mine"),
            ("bootstrap.servers", "elsewhere:9092"),
            ("no.such.setting", "1"),
            ("linger.ms", "long"),
            ("sasl.mechanism", "OAUTHBEARER"),
        ];
        for (name, value) in broken {
            match check(&options(&[(name, value)])) {
                Err(LogError::Setting { name: told, what }) => assert!(told == name && !what.is_empty()),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        let exact = |properties: &[(&str, &str)]| Options { guarantee: Guarantee::ExactlyOnce, ..options(properties) };
        let times = [("message.timeout.ms", "60000"), ("transaction.timeout.ms", "20000")];
        let refused = check(&exact(&times)).expect_err("a record may not outlast its transaction");
        assert!(refused.to_string().starts_with("[log.properties] `message.timeout.ms`, `transaction."), "{refused}");
        check(&options(&times)).expect("without transactions");
        check(&exact(&times[1..])).expect("records have as long as their transaction");
    }

    #[test]
    fn a_transaction_lasts_as_long_as_a_step() {
        let timeouts = |step_s| {
            let options = Options { step: Duration::from_secs(step_s), ..options(&[]) };
            let config = producer(&options, Some("t"), BATCH_BYTES);
            ["transaction.timeout.ms", "message.timeout.ms"].map(|name| config.get(name).map(str::to_owned).unwrap())
        };
        assert_eq!(timeouts(1), ["30000", "25000"]);
        assert_eq!(timeouts(61), ["86000", "25000"]);
        assert_eq!(timeouts(3600), ["900000", "25000"], "more is for a broker's administrator to allow");
    }

    #[test]
    fn batches_are_as_small_as_topics_demand() {
        let size = |properties: &[(&str, &str)], bytes| {
            producer(&options(properties), None, bytes).get("batch.size").map(str::to_owned)
        };
        assert_eq!(size(&[], BATCH_BYTES), None);
        assert_eq!(size(&[], 5_000).as_deref(), Some("5000"));
        assert_eq!(size(&[("batch.size", "2000")], 5_000).as_deref(), Some("2000"));
        assert_eq!(size(&[("batch.size", "9000")], 5_000).as_deref(), Some("5000"));
    }

    #[test]
    fn what_promises_rest_on_may_be_said() {
        check(&options(&[("acks", "all"), ("enable.auto.commit", "false"), ("isolation.level", "read_committed")]))
            .unwrap();
    }

    #[test]
    fn each_worker_is_a_static_member_of_its_own() {
        let options = options(&[("group.instance.id", "host-7")]);
        assert_eq!(consumer(&options, "g", 3).get("group.instance.id"), Some("host-7-3"));
        assert_eq!(plain(&options).get("group.instance.id"), None);
    }

    #[test]
    fn the_new_protocol_has_no_strategy_of_the_client() {
        assert_eq!(consumer(&options(&[]), "g", 0).get("partition.assignment.strategy"), Some("cooperative-sticky"));
        let new = options(&[("group.protocol", "consumer")]);
        assert_eq!(consumer(&new, "g", 0).get("partition.assignment.strategy"), None);
    }

    #[test]
    fn librdkafka_takes_every_setting_of_ours() {
        let options = options(&[]);
        for config in [
            plain(&options),
            positions(&options, "g"),
            consumer(&options, "g", 0),
            producer(&options, Some("t"), BATCH_BYTES),
        ] {
            config.create_native_config().unwrap();
        }
    }
}
