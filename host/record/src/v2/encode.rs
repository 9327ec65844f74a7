//! Records of a [`Batch`] -> RecordBatch v2.

use bytes::Bytes;

use super::{
    ATTRIBUTES_AT, BASE_TIMESTAMP_AT, COUNT_AT, CRC_AT, HEADER_BYTES, LAST_OFFSET_DELTA_AT, LENGTH_AT, MAGIC, MAGIC_AT,
    MAX_TIMESTAMP_AT, PREFIX_BYTES,
};
use crate::{Batch, Entry, Full, Span};

/// The most that a record takes besides what [`record_bytes`] counts: its length, attributes, timestamp and offset.
const MAX_RECORD_PREFIX_BYTES: u64 = 5 + 1 + 10 + 5;

/// Collects the records of one partition.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    records: u32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

/// A finished batch that has no offsets yet.
#[derive(Debug)]
pub struct Encoded {
    bytes: Vec<u8>,
    records: u32,
    max_timestamp_ms: i64,
}

/// What [`record_bytes`] counts around the bytes of key and value, at most: two lengths and the number of headers.
pub const AROUND_RECORD_BYTES: usize = 16;
/// What it counts around the bytes of a header's name and value, at most.
pub const AROUND_HEADER_BYTES: usize = 10;

/// How many bytes a record takes for its key, value and headers.
///
/// # Panics
/// If the batch has no such record.
#[must_use]
pub fn record_bytes(batch: &Batch, index: usize) -> u64 {
    let entry = &batch.entries()[index];
    let first = entry.first_header as usize;
    parts_bytes(entry, &batch.header_spans()[first..first + entry.headers as usize])
}

/// The same for a record that is in no batch yet.
#[must_use]
pub fn parts_bytes(entry: &Entry, headers: &[(Span, Option<Span>)]) -> u64 {
    let around = field_bytes(entry.key) + field_bytes(entry.value) + varint_bytes(zigzag(i64::from(entry.headers)));
    around + headers.iter().map(|(name, value)| field_bytes(Some(*name)) + field_bytes(*value)).sum::<u64>()
}

// === impl Encoder ===

impl Encoder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records are in.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// Bytes so far, with the header.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Adds the record at an index of `batch`. Its offset is not taken over.
    ///
    /// # Errors
    /// [`Full`] if the batch would be longer than the format can say, 2 GiB; then it is as before.
    ///
    /// # Panics
    /// If the batch has no such record.
    pub fn push(&mut self, batch: &Batch, index: usize) -> Result<(), Full> {
        let payload = record_bytes(batch, index);
        let total = self.bytes.len().max(HEADER_BYTES) as u64 + payload + MAX_RECORD_PREFIX_BYTES;
        if total > i32::MAX as u64 {
            return Err(Full);
        }
        let (arena, entry) = (batch.arena().as_ref(), &batch.entries()[index]);
        if self.records == 0 {
            self.bytes.resize(HEADER_BYTES, 0);
            self.base_timestamp_ms = entry.timestamp_ms;
            self.max_timestamp_ms = entry.timestamp_ms;
        }
        // Wrapping, so that any two timestamps have a delta; the decoder wraps back.
        let timestamp = zigzag(entry.timestamp_ms.wrapping_sub(self.base_timestamp_ms));
        let offset = zigzag(i64::from(self.records));
        let length = payload + 1 + varint_bytes(timestamp) + varint_bytes(offset);

        let out = &mut self.bytes;
        out.reserve((payload + MAX_RECORD_PREFIX_BYTES) as usize);
        put_varint(out, zigzag(length as i64));
        out.push(0);
        put_varint(out, timestamp);
        put_varint(out, offset);
        put_field(out, arena, entry.key);
        put_field(out, arena, entry.value);
        put_varint(out, zigzag(i64::from(entry.headers)));
        let first = entry.first_header as usize;
        for (name, value) in &batch.header_spans()[first..first + entry.headers as usize] {
            put_field(out, arena, Some(*name));
            put_field(out, arena, *value);
        }
        self.records += 1;
        self.max_timestamp_ms = self.max_timestamp_ms.max(entry.timestamp_ms);
        Ok(())
    }

    /// The batch, if any record is in. The encoder is empty then.
    pub fn finish(&mut self) -> Option<Encoded> {
        let Self { mut bytes, records, base_timestamp_ms, max_timestamp_ms } = std::mem::take(self);
        if records == 0 {
            return None;
        }
        let length = (bytes.len() - PREFIX_BYTES) as i32;
        put(&mut bytes, LENGTH_AT, length.to_be_bytes());
        bytes[MAGIC_AT] = MAGIC;
        put(&mut bytes, LAST_OFFSET_DELTA_AT, (records - 1).to_be_bytes());
        put(&mut bytes, BASE_TIMESTAMP_AT, base_timestamp_ms.to_be_bytes());
        put(&mut bytes, MAX_TIMESTAMP_AT, max_timestamp_ms.to_be_bytes());
        // Leader epoch and the producer's id, epoch and sequence: -1 is unknown.
        bytes[PREFIX_BYTES..MAGIC_AT].fill(0xff);
        bytes[MAX_TIMESTAMP_AT + 8..COUNT_AT].fill(0xff);
        put(&mut bytes, COUNT_AT, records.to_be_bytes());
        let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
        put(&mut bytes, CRC_AT, crc.to_be_bytes());
        Some(Encoded { bytes, records, max_timestamp_ms })
    }
}

// === impl Encoded ===

impl Encoded {
    /// How many records, at least one.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The newest timestamp.
    #[must_use]
    pub fn max_timestamp_ms(&self) -> i64 {
        self.max_timestamp_ms
    }

    /// The bytes, with base offset 0 or the one that was set.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the first record this offset and the others those that follow.
    pub fn set_base_offset(&mut self, offset: i64) {
        put(&mut self.bytes, 0, offset.to_be_bytes());
    }

    /// The bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        Bytes::from(self.bytes)
    }
}

fn put<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
    bytes[at..at + N].copy_from_slice(&value);
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn varint_bytes(value: u64) -> u64 {
    u64::from((70 - (value | 1).leading_zeros()) / 7)
}

#[inline]
fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn field_bytes(span: Option<Span>) -> u64 {
    span.map_or(1, |span| varint_bytes(u64::from(span.len) << 1) + u64::from(span.len))
}

#[inline]
fn put_field(out: &mut Vec<u8>, arena: &[u8], span: Option<Span>) {
    match span {
        // The length -1 says that there is none.
        None => out.push(1),
        Some(span) => {
            put_varint(out, u64::from(span.len) << 1);
            out.extend_from_slice(span.of(arena));
        }
    }
}
