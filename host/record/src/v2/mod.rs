//! Kafka's RecordBatch v2: the format in which a log keeps records.
//!
//! From "Record Batch" and "Record" in the chapter "Implementation" of Kafka's documentation (magic 2). All numbers of
//! the header are big-endian, those of records are zigzag varints:
//!
//! ```text
//! base offset i64 | batch length i32 | leader epoch i32 | magic i8 | crc u32 | attributes i16 | last offset delta i32
//! base timestamp i64 | max timestamp i64 | producer id i64 | producer epoch i16 | base sequence i32 | count i32
//! records: length | attributes i8 | timestamp delta | offset delta | key | value | header count, headers
//! ```
//!
//! The CRC-32C covers everything from the attributes on. The base offset lies before it, which is why a log can give
//! offsets to a finished batch. An [`Encoder`] writes batches, [`decode`] indexes one without copying it. Neither
//! panics on any bytes, and nothing is allocated because a number in the bytes says so. Compressed batches and Kafka's
//! control batches are refused by name.

mod decode;
mod encode;

pub use decode::{DecodeError, decode};
pub use encode::{AROUND_HEADER_BYTES, AROUND_RECORD_BYTES, Encoded, Encoder, parts_bytes, record_bytes};

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes before and of the field `batch length`, which it does not count.
const PREFIX_BYTES: usize = 12;
const MAGIC: u8 = 2;

const LENGTH_AT: usize = 8;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const COUNT_AT: usize = 57;

#[cfg(test)]
mod tests;
