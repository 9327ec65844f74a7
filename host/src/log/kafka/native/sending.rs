//! Records on their way to librdkafka, one after the other.

use std::ptr;

use bespoke_record::Batch;
use rdkafka::bindings as sys;

use super::lent::Place;
use super::produce::{Producer, TopicHandle};
use super::text;

/// Records of one batch on their way to librdkafka. It reads their values where they lie, until they are delivered; or
/// copies them, if too much lies there already.
pub(in crate::log::kafka) struct Sending<'a> {
    producer: &'a Producer,
    batch: &'a Batch,
    lent: Option<Place>,
    /// Room for what describes a record. The first [`SAME`] are those of every record.
    parts: [Part; PARTS],
}

/// Why a record was not taken.
#[derive(Debug, thiserror::Error)]
pub(in crate::log::kafka) enum SendError {
    /// There is no room; serve reports, and try again.
    #[error("there is no room")]
    Full,
    /// It never will be.
    #[error("{0}")]
    Failed(String),
}

type Part = sys::rd_kafka_vu_t;
type Union = sys::rd_kafka_vu_s__bindgen_ty_1;
type Memory = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1;

/// How many parts a record is described by at most: topic, flags, opaque, partition, timestamp, key, value, headers.
const PARTS: usize = 8;
/// Those of them that are the same for all records of a batch.
const SAME: usize = 3;

// === impl Sending ===

impl<'a> Sending<'a> {
    /// Begins to send records of a batch to a topic of this producer.
    pub(in crate::log::kafka) fn new(producer: &'a Producer, topic: TopicHandle, batch: &'a Batch) -> Self {
        use sys::rd_kafka_vtype_t as Kind;
        let lent = producer.lent().lend(batch.arena());
        let flags = if lent.is_some() { 0 } else { sys::RD_KAFKA_MSG_F_COPY };
        let end = Part { vtype: Kind::RD_KAFKA_VTYPE_END, u: Union { i64_: 0 } };
        let mut parts: [Part; PARTS] = [end; PARTS];
        parts[0] = Part { vtype: Kind::RD_KAFKA_VTYPE_RKT, u: Union { rkt: topic.as_ptr() } };
        parts[1] = Part { vtype: Kind::RD_KAFKA_VTYPE_MSGFLAGS, u: Union { i: flags } };
        parts[2] = Part { vtype: Kind::RD_KAFKA_VTYPE_OPAQUE, u: Union { ptr: Place::to_opaque(lent) } };
        Self { producer, batch, lent, parts }
    }

    /// Gives the record at an index of the batch to librdkafka.
    ///
    /// # Errors
    /// [`SendError`]; then it was not taken.
    pub(in crate::log::kafka) fn send(&mut self, partition: u32, index: usize) -> Result<(), SendError> {
        use sys::rd_kafka_vtype_t as Kind;
        let Self { producer, batch, lent, parts } = self;
        let entry = &batch.entries()[index];
        let arena = batch.arena();
        // librdkafka takes 0 for "now"; the next millisecond is nearer to what is meant.
        let timestamp_ms = if entry.timestamp_ms == 0 { 1 } else { entry.timestamp_ms };
        parts[SAME] = Part { vtype: Kind::RD_KAFKA_VTYPE_PARTITION, u: Union { i32_: partition as i32 } };
        parts[SAME + 1] = Part { vtype: Kind::RD_KAFKA_VTYPE_TIMESTAMP, u: Union { i64_: timestamp_ms } };
        let mut count = SAME + 2;
        for (vtype, span) in [(Kind::RD_KAFKA_VTYPE_KEY, entry.key), (Kind::RD_KAFKA_VTYPE_VALUE, entry.value)] {
            // None is null to librdkafka, and an empty slice is not.
            let Some(bytes) = span.map(|span| span.of(arena)) else { continue };
            let mem = Memory { ptr: bytes.as_ptr().cast_mut().cast(), size: bytes.len() };
            parts[count] = Part { vtype, u: Union { mem } };
            count += 1;
        }
        let mut headers = ptr::null_mut();
        if entry.headers > 0 {
            headers = headers_of(batch, index);
            parts[count] = Part { vtype: Kind::RD_KAFKA_VTYPE_HEADERS, u: Union { headers } };
            count += 1;
        }
        // SAFETY: the client is alive, `count` parts are filled each with the member of the union that its kind says. What
        // they point to lives during the call, in which it is copied; but for a value that is lent: that lives until the
        // report of its record gives it back, or the client is destroyed, and is only read. Headers are librdkafka's if it
        // takes the record and stay ours if it does not.
        unsafe {
            let error = sys::rd_kafka_produceva(producer.client(), parts.as_ptr(), count);
            if error.is_null() {
                if let Some(place) = *lent {
                    producer.lent().keep(place);
                }
                return Ok(());
            }
            if !headers.is_null() {
                sys::rd_kafka_headers_destroy(headers);
            }
            let full = sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__QUEUE_FULL as i32;
            let is_full = sys::rd_kafka_error_code(error) as i32 == full;
            let what = text(sys::rd_kafka_error_string(error));
            sys::rd_kafka_error_destroy(error);
            if is_full { Err(SendError::Full) } else { Err(SendError::Failed(what)) }
        }
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.lent {
            self.producer.lent().release(place);
        }
    }
}

/// The headers of a record, as librdkafka has them.
fn headers_of(batch: &Batch, index: usize) -> *mut sys::rd_kafka_headers_t {
    let headers = batch.get(index).headers();
    // SAFETY: names and values are copied within the calls; lengths are theirs. A null value is a header without one.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for (name, value) in headers {
            let (pointer, size) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
            // The pointer of an empty name is never read.
            sys::rd_kafka_header_add(list, name.as_ptr().cast(), name.len() as isize, pointer.cast(), size as isize);
        }
        list
    }
}
