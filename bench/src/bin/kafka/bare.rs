//! librdkafka as fast as it goes: batches in by one queue, batches out grouped by partition, values untouched.
//!
//! The settings are those of the host. Partitions are taken without a group protocol; positions are committed all the same.
//! At least once, each record carries the place of its batch, which knows its epoch, and positions are committed when an epoch
//! is delivered, so that nothing ever waits for deliveries.

#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::ptr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bespoke_record::partition_of;
use rdkafka::bindings as sys;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::IsError as _;
use rdkafka::{Offset, TopicPartitionList};

use super::{Clock, Figures, Job, PARTITIONS, SELDOM};

/// Messages of one call.
const BATCH: usize = 1_000;
const TIMEOUT_MS: i32 = 60_000;

/// What of a record goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Key and value. A batch of records is produced by one call, which cannot set times and headers.
    Bytes,
    /// Time and headers too, as the host keeps them. librdkafka is asked for those of each record, and given each record alone.
    All,
    /// The same, and values are not copied: what was fetched is kept until it is delivered.
    AllLent,
}

struct Bare {
    topic: String,
    kept: Kept,
    is_transactional: bool,
    consumer: BaseConsumer,
    queue: *mut sys::rd_kafka_queue_t,
    producer: *mut sys::rd_kafka_t,
    to: *mut sys::rd_kafka_topic_t,
    reports: *mut sys::rd_kafka_queue_t,
    room: Vec<*mut sys::rd_kafka_message_t>,
    /// Per partition what is to be produced.
    groups: Vec<Vec<sys::rd_kafka_message_t>>,
    /// Where to go on, per partition.
    positions: [i64; PARTITIONS as usize],
    epochs: VecDeque<Epoch>,
    /// The number of the first of these epochs.
    first_epoch: usize,
    /// Batches on their way, and the places among them that are free.
    sent: Vec<Sent>,
    free: Vec<usize>,
}

/// A batch that was produced.
#[derive(Default)]
struct Sent {
    epoch: usize,
    outstanding: usize,
    /// What its values lie in, if they were not copied.
    messages: Vec<*mut sys::rd_kafka_message_t>,
}

/// Records between two commits.
#[derive(Default)]
struct Epoch {
    outstanding: usize,
    closed_at: Option<[i64; PARTITIONS as usize]>,
}

pub fn at_least_once(job: &Job, kept: Kept) -> Result<Figures> {
    // Not dropped: a client waits for its queues, and the process ends after this.
    let mut bare = ManuallyDrop::new(Bare::new(job, false, kept)?);
    let (mut clock, mut seen, mut closed) = (Clock::default(), 0, Instant::now());
    while seen < job.records {
        seen += bare.pass_on()?;
        clock.saw(seen)?;
        bare.serve(0);
        if closed.elapsed() > SELDOM || seen >= job.records {
            closed = Instant::now();
            bare.close();
        }
        bare.commit_delivered(CommitMode::Async)?;
    }
    // SAFETY: the producer is alive. What does not fill a batch is sent; how long that takes is seen below.
    unsafe { sys::rd_kafka_flush(bare.producer, 1) };
    while bare.epochs.len() > 1 {
        bare.serve(10);
        bare.commit_delivered(CommitMode::Sync)?;
    }
    clock.stop(seen)
}

pub fn exactly_once(job: &Job, commit: Duration) -> Result<Figures> {
    let mut bare = ManuallyDrop::new(Bare::new(job, true, Kept::All)?);
    let (mut clock, mut seen, mut begun) = (Clock::default(), 0, Instant::now());
    bare.begin()?;
    while seen < job.records {
        seen += bare.pass_on()?;
        clock.saw(seen)?;
        if begun.elapsed() > commit || seen >= job.records {
            bare.commit_transaction()?;
            begun = Instant::now();
            if seen < job.records {
                bare.begin()?;
            }
        }
    }
    clock.stop(seen)
}

impl Bare {
    fn new(job: &Job, transactional: bool, kept: Kept) -> Result<Self> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &job.brokers)
            .set("group.id", &job.to)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("fetch.queue.backoff.ms", "1")
            .set("max.partition.fetch.bytes", "262144")
            .set("queued.min.messages", "20000")
            .create()?;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &job.brokers)
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "500")
            .set("queue.buffering.max.messages", "100000");
        if transactional {
            config.set("transactional.id", &job.to);
        }
        let native = config.create_native_config()?;
        let name = CString::new(job.to.as_str())?;
        let from = CString::new(job.from.as_str())?;
        let client = consumer.client().native_ptr();
        // SAFETY: the configuration is the client's from here on; clients, topics and queues live as long as the process,
        // which ends after this.
        let (queue, producer, to, reports) = unsafe {
            if !transactional {
                // Transactions wait for reports to be served, and serve none themselves.
                sys::rd_kafka_conf_set_events(native.ptr(), sys::RD_KAFKA_EVENT_DR);
            }
            let kind = sys::rd_kafka_type_t::RD_KAFKA_PRODUCER;
            let producer = sys::rd_kafka_new(kind, native.ptr(), ptr::null_mut(), 0);
            ensure!(!producer.is_null(), "no producer");
            std::mem::forget(native);
            let to = sys::rd_kafka_topic_new(producer, name.as_ptr(), ptr::null_mut());
            let queue = sys::rd_kafka_queue_new(client);
            for partition in 0..PARTITIONS as i32 {
                let own = sys::rd_kafka_queue_get_partition(client, from.as_ptr(), partition);
                sys::rd_kafka_queue_forward(own, queue);
                sys::rd_kafka_queue_destroy(own);
            }
            (queue, producer, to, sys::rd_kafka_queue_get_main(producer))
        };
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS as i32 {
            list.add_partition_offset(&job.from, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let bare = Self {
            topic: job.from.clone(),
            kept,
            is_transactional: transactional,
            consumer,
            queue,
            producer,
            to,
            reports,
            room: vec![ptr::null_mut(); BATCH],
            groups: (0..PARTITIONS).map(|_| Vec::with_capacity(BATCH)).collect(),
            positions: [0; PARTITIONS as usize],
            epochs: VecDeque::from([Epoch::default()]),
            first_epoch: 0,
            sent: Vec::new(),
            free: Vec::new(),
        };
        if transactional {
            // SAFETY: the producer is alive.
            checked(unsafe { sys::rd_kafka_init_transactions(bare.producer, TIMEOUT_MS) })?;
        }
        Ok(bare)
    }

    /// Takes a batch and produces it. How many records there were.
    fn pass_on(&mut self) -> Result<u64> {
        let _ = self.consumer.poll(Duration::ZERO);
        // SAFETY: the queue is alive and the room is as large as it is said to be.
        let count = unsafe { sys::rd_kafka_consume_batch_queue(self.queue, 50, self.room.as_mut_ptr(), BATCH) };
        let count = usize::try_from(count).context("consuming failed")?;
        let place = self.free.pop().unwrap_or_else(|| {
            self.sent.push(Sent::default());
            self.sent.len() - 1
        });
        for &message in &self.room[..count] {
            // SAFETY: the first `count` places hold messages that are ours. The error is read as the number that it is.
            let (code, message) = unsafe { (ptr::addr_of!((*message).err).cast::<i32>().read(), &*message) };
            ensure!(code == 0, "consuming failed with {code}");
            // SAFETY: keys are bytes of that length, and live as long as the message, which has a time.
            let (key, time) = unsafe {
                let key = std::slice::from_raw_parts(message.key.cast::<u8>(), message.key_len);
                (key, sys::rd_kafka_message_timestamp(message, ptr::null_mut()))
            };
            if self.kept != Kept::Bytes {
                let mut headers = ptr::null_mut();
                // SAFETY: the message is alive, and keeps what it has.
                unsafe { sys::rd_kafka_message_headers(message, &mut headers) };
                ensure!(headers.is_null(), "the generated records have no headers, and this one has some");
            }
            self.positions[message.partition as usize] = message.offset + 1;
            let partition = partition_of(key, PARTITIONS) as usize;
            self.groups[partition].push(sys::rd_kafka_message_t {
                err: sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
                rkt: ptr::null_mut(),
                partition: partition as i32,
                payload: message.payload,
                len: message.len,
                key: message.key,
                key_len: message.key_len,
                // Producing a batch does not look at it, and producing one by one takes it for the time.
                offset: time,
                _private: ptr::without_provenance_mut(place),
            });
        }
        self.sent[place].epoch = self.first_epoch + self.epochs.len() - 1;
        self.sent[place].outstanding = count;
        if let Some(epoch) = self.epochs.back_mut() {
            epoch.outstanding += count;
        }
        if self.kept == Kept::AllLent {
            self.sent[place].messages.extend_from_slice(&self.room[..count]);
        }
        for partition in 0..self.groups.len() {
            self.produce(partition)?;
        }
        if self.kept != Kept::AllLent {
            for message in &self.room[..count] {
                // SAFETY: they are ours until here; what was produced was copied.
                unsafe { sys::rd_kafka_message_destroy(*message) };
            }
        }
        if count == 0 || self.is_transactional {
            self.free.push(place);
        }
        Ok(count as u64)
    }

    fn produce(&mut self, partition: usize) -> Result<()> {
        let mut done = 0;
        while done < self.groups[partition].len() {
            if self.kept != Kept::Bytes {
                let flags = if self.kept == Kept::AllLent { 0 } else { sys::RD_KAFKA_MSG_F_COPY };
                // SAFETY: as below; what is not copied is kept until it is delivered.
                while done < self.groups[partition].len()
                    && unsafe { produce_timed(self.producer, self.to, flags, &self.groups[partition][done]) }
                {
                    done += 1;
                }
                if done < self.groups[partition].len() {
                    self.serve(10);
                }
                continue;
            }
            let rest = &mut self.groups[partition][done..];
            let flags = sys::RD_KAFKA_MSG_F_COPY;
            // SAFETY: the topic is alive, and the messages point to bytes that are alive.
            let taken = unsafe {
                sys::rd_kafka_produce_batch(self.to, partition as i32, flags, rest.as_mut_ptr(), rest.len() as i32)
            };
            let taken = usize::try_from(taken).context("producing failed")?;
            done += taken;
            if done < self.groups[partition].len() {
                self.serve(10);
            }
        }
        self.groups[partition].clear();
        Ok(())
    }

    /// Counts deliveries.
    fn serve(&mut self, timeout_ms: i32) {
        loop {
            // SAFETY: the queue is alive; an event is ours until it is destroyed, and its messages until then.
            unsafe {
                let event = sys::rd_kafka_queue_poll(self.reports, timeout_ms);
                if event.is_null() {
                    return;
                }
                loop {
                    let message = sys::rd_kafka_event_message_next(event);
                    if message.is_null() {
                        break;
                    }
                    let code = ptr::addr_of!((*message).err).cast::<i32>().read();
                    // A record that fails stays outstanding: nothing is committed beyond it.
                    if code == 0 {
                        self.delivered((*message)._private.addr());
                    }
                }
                sys::rd_kafka_event_destroy(event);
            }
            if timeout_ms > 0 {
                return;
            }
        }
    }

    /// A record of a batch is delivered.
    fn delivered(&mut self, place: usize) {
        let sent = &mut self.sent[place];
        self.epochs[sent.epoch - self.first_epoch].outstanding -= 1;
        sent.outstanding -= 1;
        if sent.outstanding == 0 {
            for message in sent.messages.drain(..) {
                // SAFETY: it is ours until here, and nobody reads it any more.
                unsafe { sys::rd_kafka_message_destroy(message) };
            }
            self.free.push(place);
        }
    }

    fn close(&mut self) {
        if let Some(epoch) = self.epochs.back_mut() {
            epoch.closed_at = Some(self.positions);
        }
        self.epochs.push_back(Epoch::default());
    }

    fn commit_delivered(&mut self, mode: CommitMode) -> Result<()> {
        while let Some(Epoch { outstanding: 0, closed_at: Some(positions) }) = self.epochs.front() {
            self.consumer.commit(&self.list(positions)?, mode)?;
            self.epochs.pop_front();
            self.first_epoch += 1;
        }
        Ok(())
    }

    fn begin(&self) -> Result<()> {
        // SAFETY: the producer is alive.
        checked(unsafe { sys::rd_kafka_begin_transaction(self.producer) })
    }

    fn commit_transaction(&self) -> Result<()> {
        let list = self.list(&self.positions)?;
        // SAFETY: both clients and the list are alive; the group's metadata is ours, and given back.
        unsafe {
            let group = sys::rd_kafka_consumer_group_metadata(self.consumer.client().native_ptr());
            let sent = sys::rd_kafka_send_offsets_to_transaction(self.producer, list.ptr(), group, TIMEOUT_MS);
            sys::rd_kafka_consumer_group_metadata_destroy(group);
            checked(sent)?;
            checked(sys::rd_kafka_commit_transaction(self.producer, TIMEOUT_MS))
        }
    }

    fn list(&self, positions: &[i64]) -> Result<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, position) in positions.iter().enumerate() {
            list.add_partition_offset(&self.topic, partition as i32, Offset::Offset(*position))?;
        }
        Ok(list)
    }
}

/// Produces a record with its time. False if there is no room.
///
/// # Safety
/// Client and topic are alive, and so are the bytes that the message points to.
unsafe fn produce_timed(
    client: *mut sys::rd_kafka_t,
    topic: *mut sys::rd_kafka_topic_t,
    flags: i32,
    message: &sys::rd_kafka_message_t,
) -> bool {
    use sys::rd_kafka_vtype_t as Kind;
    type Union = sys::rd_kafka_vu_s__bindgen_ty_1;
    let memory = |ptr, size| Union { mem: sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } };
    let parts = [
        (Kind::RD_KAFKA_VTYPE_RKT, Union { rkt: topic }),
        (Kind::RD_KAFKA_VTYPE_PARTITION, Union { i32_: message.partition }),
        (Kind::RD_KAFKA_VTYPE_MSGFLAGS, Union { i: flags }),
        (Kind::RD_KAFKA_VTYPE_TIMESTAMP, Union { i64_: message.offset }),
        (Kind::RD_KAFKA_VTYPE_KEY, memory(message.key, message.key_len)),
        (Kind::RD_KAFKA_VTYPE_VALUE, memory(message.payload, message.len)),
        (Kind::RD_KAFKA_VTYPE_OPAQUE, Union { ptr: message._private }),
    ]
    .map(|(vtype, u)| sys::rd_kafka_vu_t { vtype, u });
    // SAFETY: as the caller promises; each part has the member of the union that its kind says.
    unsafe {
        let error = sys::rd_kafka_produceva(client, parts.as_ptr(), parts.len());
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
        error.is_null()
    }
}

fn checked(error: *mut sys::rd_kafka_error_t) -> Result<()> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: it is alive, and this process ends after it was told.
    let code = unsafe { sys::rd_kafka_error_code(error) };
    if code.is_error() { bail!("a transaction failed with {code:?}") } else { Ok(()) }
}
