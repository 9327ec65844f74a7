//! What one writes first: a record at a time, decoded into apache-avro's values and encoded again, by rdkafka as it comes.
//!
//! Settings are librdkafka's, but for compression and what keeps records whole; the allocator is the system's. Run by the
//! bench of the Kafka log.

use std::path::Path;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use anyhow::{Context as _, Result, bail};
use apache_avro::Schema;
use apache_avro::types::Value;
use bench_measure::{Clock, Figures};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

/// The bytes that name the schema before each value.
const PREFIX: usize = 5;
/// How often positions are committed.
const COMMIT: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let brokers = env::var("KAFKA_BOOTSTRAP").context("KAFKA_BOOTSTRAP names no broker: see bench/README.md")?;
    let typed: Vec<String> = env::args().skip(1).collect();
    let [from, to, records] = &typed[..] else { bail!("plain FROM TO RECORDS") };
    let figures = run(&brokers, from, to, records.parse().context("RECORDS is a number")?)?;
    serde_json::to_writer(io::stdout(), &figures)?;
    Ok(())
}

fn run(brokers: &str, from: &str, to: &str, records: u64) -> Result<Figures> {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/product.avsc");
    let schema = Schema::parse_str(&fs::read_to_string(schema)?)?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", to)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .create()?;
    consumer.subscribe(&[from])?;
    let (mut clock, mut seen, mut committed) = (Clock::default(), 0, Instant::now());
    while seen < records {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message?;
            let value = changed(&schema, message.payload().context("a record without a value")?)?;
            let mut record = BaseRecord::to(to).payload(&value).key(message.key().unwrap_or_default());
            while let Err((error, again)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                record = again;
                thread::sleep(Duration::from_millis(1));
            }
            seen += 1;
            clock.saw(seen)?;
        }
        if committed.elapsed() > COMMIT {
            producer.flush(Duration::from_secs(30))?;
            consumer.commit_consumer_state(CommitMode::Async)?;
            committed = Instant::now();
        }
    }
    producer.flush(Duration::from_secs(30))?;
    consumer.commit_consumer_state(CommitMode::Sync)?;
    clock.stop(seen)
}

/// The same change as that of `guests/bench/two`.
#[expect(deprecated, reason = "what its replacement does per datum, without its set-up")]
fn changed(schema: &Schema, value: &[u8]) -> Result<Vec<u8>> {
    let mut datum = value.get(PREFIX..).context("a value that is too short")?;
    let mut product = apache_avro::from_avro_datum(schema, &mut datum, None)?;
    let Value::Record(fields) = &mut product else { bail!("not a record") };
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("price", Value::Double(price)) => *price *= 0.9,
            ("quantity", Value::Int(quantity)) => *quantity = quantity.wrapping_add(1),
            _ => {}
        }
    }
    let mut out = value[..PREFIX].to_vec();
    out.extend(apache_avro::to_avro_datum(schema, product)?);
    Ok(out)
}
