//! Taking messages by the hundred: a queue that partitions are forwarded to, and a scan of one partition outside of any
//! group.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use bespoke_record::{Batch, Entry, Span};
use bytes::Bytes;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::super::context::Context;
use super::{describe, text};

/// Bytes that the arena of one batch may have; a message beyond it begins another.
const ARENA_BYTES: usize = 1 << 30;
/// Bytes that are reserved for an arena at most, before it is known how many it gets.
const RESERVED_BYTES: usize = 1 << 20;
/// Bytes after which no more messages are taken, and how many are taken before that is looked at.
const TAKE_BYTES: usize = 16 << 20;
const AT_ONCE: usize = 64;

/// A queue of a client, to which partitions are forwarded. Kept beside the client and dropped before it.
pub(in crate::log::kafka) struct Queue {
    queue: NonNull<sys::rd_kafka_queue_t>,
    client: NonNull<sys::rd_kafka_t>,
    room: Vec<*mut sys::rd_kafka_message_t>,
    /// What a batch needs, as the last ones did.
    usual: Usual,
}

/// Bytes and records of a batch.
#[derive(Clone, Copy, Default)]
struct Usual {
    bytes: usize,
    records: usize,
}

/// What came out of a queue.
#[derive(Default)]
pub(in crate::log::kafka) struct Taken {
    /// Records, in the order in which they came for each partition.
    pub batches: Vec<(u32, Batch)>,
    /// What was told instead of a record.
    pub notes: Vec<(u32, Note)>,
}

/// Something that a queue tells of a partition.
pub(in crate::log::kafka) enum Note {
    /// All is read up to this offset.
    End(i64),
    /// Reading failed; librdkafka goes on by itself if it can.
    Failed(String),
}

/// Reads one partition from an offset on, outside of any group.
pub(in crate::log::kafka) struct Scan {
    queue: Queue,
    topic: NonNull<sys::rd_kafka_topic_t>,
    partition: i32,
    // Last, so that it is dropped last.
    _client: Arc<BaseConsumer<Context>>,
}

/// The records of one partition, while they are collected.
struct Part {
    partition: i32,
    arena: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Option<Span>)>,
}

// SAFETY: librdkafka's queues and clients may be used by any thread; `room` holds pointers during a call only.
unsafe impl Send for Queue {}
// SAFETY: as for the queue; a handle of a topic may be used by any thread.
unsafe impl Send for Scan {}

// === impl Queue ===

impl Queue {
    /// A queue of the client, which the caller keeps alive for longer. None if there is no client.
    pub(in crate::log::kafka) fn new(client: *mut sys::rd_kafka_t) -> Option<Self> {
        let client = NonNull::new(client)?;
        // SAFETY: the client is alive, as the caller has it from an object that lives.
        let queue = NonNull::new(unsafe { sys::rd_kafka_queue_new(client.as_ptr()) })?;
        Some(Self { queue, client, room: Vec::new(), usual: Usual::default() })
    }

    /// Has what is fetched of a partition put into this queue. To be done before each assignment of it: librdkafka takes
    /// the forwarding back when fetching stops.
    pub(in crate::log::kafka) fn forward(&self, topic: &str, partition: u32) -> bool {
        let Ok(topic) = CString::new(topic) else { return false };
        // SAFETY: client and queue are alive; the name is a C string. The partition's queue is counted by references, of
        // which this one is given back, and keeps one of ours as long as it forwards.
        unsafe {
            let from = sys::rd_kafka_queue_get_partition(self.client.as_ptr(), topic.as_ptr(), partition as i32);
            if from.is_null() {
                return false;
            }
            sys::rd_kafka_queue_forward(from, self.queue.as_ptr());
            sys::rd_kafka_queue_destroy(from);
        }
        true
    }

    /// The first offset of a partition that is kept, as the last answer to fetching told. Asks nobody.
    pub(in crate::log::kafka) fn first_kept(&self, topic: &str, partition: u32) -> Option<i64> {
        let topic = CString::new(topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the client is alive; the name is a C string, and the offsets are places of ours.
        let error = unsafe {
            let (client, partition) = (self.client.as_ptr(), partition as i32);
            sys::rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition, &mut low, &mut high)
        };
        (error as i32 == 0 && low >= 0).then_some(low)
    }

    /// Takes at most `max` messages, fewer if they are large, and waits for the first for at most `timeout`.
    pub(in crate::log::kafka) fn take(&mut self, max: usize, timeout: Duration) -> Taken {
        let mut timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        let mut parts: Vec<Part> = Vec::new();
        let mut taken = Taken::default();
        let (mut left, mut bytes) = (max, 0);
        while left > 0 && bytes < TAKE_BYTES {
            let most = left.min(AT_ONCE);
            self.room.resize(most, ptr::null_mut());
            let (queue, room) = (self.queue.as_ptr(), self.room.as_mut_ptr());
            // SAFETY: the queue is alive, and `room` has place for `most` pointers. Messages of partitions that were given
            // up or sought are sorted out by librdkafka here.
            let count = unsafe { sys::rd_kafka_consume_batch_queue(queue, timeout_ms, room, most) };
            let count = usize::try_from(count).unwrap_or(0).min(most);
            for message in self.room.drain(..).take(count) {
                // SAFETY: the call has filled the first `count` places with messages that are ours until they are destroyed.
                // Nothing of one is used after that: bytes are copied into the parts.
                unsafe {
                    bytes += collect(message, self.usual, &mut parts, &mut taken);
                    sys::rd_kafka_message_destroy(message);
                }
            }
            if count < most {
                break;
            }
            (left, timeout_ms) = (left - count, 0);
        }
        for part in parts {
            self.usual.bytes = part.arena.len().min(RESERVED_BYTES);
            self.usual.records = part.entries.len();
            taken.finish(part);
        }
        taken
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: this is our reference, given back once.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

// === impl Taken ===

impl Taken {
    fn finish(&mut self, part: Part) {
        if part.entries.is_empty() {
            return;
        }
        // Cannot fail: the spans were made from the arena, and names that are not UTF-8 were replaced.
        if let Ok(batch) = Batch::from_parts(Bytes::from(part.arena), part.entries, part.headers) {
            self.batches.push((part.partition as u32, batch));
        }
    }
}

/// Copies a message to the others of its partition. How many bytes that took.
///
/// # Safety
/// The message is one that librdkafka has handed out and that was not destroyed.
unsafe fn collect(
    message: *mut sys::rd_kafka_message_t,
    usual: Usual,
    parts: &mut Vec<Part>,
    taken: &mut Taken,
) -> usize {
    // SAFETY: the message is alive. The field is read as the number that it is in C, see `describe`.
    let code = unsafe { ptr::addr_of!((*message).err).cast::<i32>().read() };
    // SAFETY: the message is alive; these are plain numbers and pointers.
    let (partition, offset, value, key) = unsafe {
        let value = bytes((*message).payload.cast(), (*message).len);
        ((*message).partition, (*message).offset, value, bytes((*message).key.cast(), (*message).key_len))
    };
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF as i32 {
        taken.notes.push((partition as u32, Note::End(offset)));
        return 0;
    }
    if code != 0 {
        // SAFETY: the message is alive, and with it the text.
        let what = unsafe { text(sys::rd_kafka_message_errstr(message)) };
        let what = if what.is_empty() { describe(code) } else { what };
        taken.notes.push((partition as u32, Note::Failed(what)));
        return 0;
    }
    let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message is alive.
    let timestamp_ms = unsafe { sys::rd_kafka_message_timestamp(message, &mut kind) };
    // Messages of one partition come in runs.
    let is_last = parts.last().is_some_and(|part| part.partition == partition);
    let at = if is_last { Some(parts.len() - 1) } else { parts.iter().position(|part| part.partition == partition) };
    let added = value.map_or(0, <[u8]>::len) + key.map_or(0, <[u8]>::len);
    let at = match at {
        Some(at) if parts[at].arena.len() + added > ARENA_BYTES => {
            let full = std::mem::replace(&mut parts[at], Part::new(partition, usual));
            taken.finish(full);
            at
        }
        Some(at) => at,
        None => {
            parts.push(Part::new(partition, usual));
            parts.len() - 1
        }
    };
    let part = &mut parts[at];
    let before = part.arena.len();
    let key = key.map(|key| part.write(key));
    let value = value.map(|value| part.write(value));
    let first_header = part.headers.len() as u32;
    // SAFETY: the message is alive.
    unsafe { headers(message, part) };
    let headers = part.headers.len() as u32 - first_header;
    part.entries.push(Entry { key, value, first_header, headers, timestamp_ms, offset });
    part.arena.len() - before
}

/// Copies the headers of a message.
///
/// # Safety
/// As for `collect`.
unsafe fn headers(message: *mut sys::rd_kafka_message_t, part: &mut Part) {
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive, and keeps the headers.
    let found = unsafe { sys::rd_kafka_message_headers(message, &mut headers) };
    if found as i32 != 0 || headers.is_null() {
        return;
    }
    for index in 0.. {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers are alive; the pointers that come back point into them.
        let found = unsafe { sys::rd_kafka_header_get_all(headers, index, &mut name, &mut value, &mut size) };
        if found as i32 != 0 {
            return;
        }
        // SAFETY: as above; the name ends with a zero, the value has this size.
        let (name, value) = unsafe { (text(name), bytes(value.cast(), size)) };
        let header = (part.write(name.as_bytes()), value.map(|value| part.write(value)));
        part.headers.push(header);
    }
}

/// A pointer and a length as bytes, none if it is null.
///
/// # Safety
/// The pointer is null, or so many bytes lie there as long as the slice is used.
unsafe fn bytes<'a>(pointer: *const u8, len: usize) -> Option<&'a [u8]> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: as the caller promises.
    Some(unsafe { std::slice::from_raw_parts(pointer, len) })
}

// === impl Part ===

impl Part {
    fn new(partition: i32, usual: Usual) -> Self {
        let (arena, entries) = (Vec::with_capacity(usual.bytes), Vec::with_capacity(usual.records));
        Self { partition, arena, entries, headers: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) -> Span {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(bytes);
        Span { start, len: bytes.len() as u32 }
    }
}

// === impl Scan ===

impl Scan {
    /// Begins to read. The client is one that is in no group.
    pub(in crate::log::kafka) fn start(
        client: &Arc<BaseConsumer<Context>>,
        topic: &str,
        partition: u32,
        offset: i64,
    ) -> Option<Self> {
        let native = client.client().native_ptr();
        let queue = Queue::new(native)?;
        let name = CString::new(topic).ok()?;
        let partition = partition as i32;
        // SAFETY: the client is alive, and kept by what is made here; a null configuration is the client's. Starting
        // fails with -1 and leaves nothing behind.
        let topic = unsafe {
            let topic = NonNull::new(sys::rd_kafka_topic_new(native, name.as_ptr(), ptr::null_mut()))?;
            if sys::rd_kafka_consume_start_queue(topic.as_ptr(), partition, offset, queue.queue.as_ptr()) != 0 {
                sys::rd_kafka_topic_destroy(topic.as_ptr());
                return None;
            }
            topic
        };
        Some(Self { queue, topic, partition, _client: client.clone() })
    }

    /// As [`Queue::take`].
    pub(in crate::log::kafka) fn take(&mut self, max: usize, timeout: Duration) -> Taken {
        self.queue.take(max, timeout)
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        // SAFETY: it was started in `start`, and is stopped once; the handle was made there.
        unsafe {
            sys::rd_kafka_consume_stop(self.topic.as_ptr(), self.partition);
            sys::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}
