//! What one writes first: a record at a time, decoded into apache-avro's values and encoded again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use apache_avro::Schema;
use apache_avro::types::Value;
use bench::repository;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};

use super::{Clock, Figures, Job, SELDOM};

/// The bytes that name the schema before each value.
const PREFIX: usize = 5;

pub fn run(job: &Job) -> Result<Figures> {
    let schema = Schema::parse_str(&std::fs::read_to_string(repository().join("schemas/product.avsc"))?)?;
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &job.brokers)
        .set("group.id", &job.to)
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .create()?;
    let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
        .set("bootstrap.servers", &job.brokers)
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .create()?;
    consumer.subscribe(&[&job.from])?;
    let (mut clock, mut seen, mut committed) = (Clock::default(), 0, Instant::now());
    while seen < job.records {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message?;
            let value = changed(&schema, message.payload().context("a record without a value")?)?;
            let mut record = BaseRecord::to(&job.to).payload(&value).key(message.key().unwrap_or_default());
            while let Err((error, again)) = producer.send(record) {
                if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                    return Err(error.into());
                }
                record = again;
                std::thread::sleep(Duration::from_millis(1));
            }
            seen += 1;
            clock.saw(seen)?;
        }
        if committed.elapsed() > SELDOM {
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
