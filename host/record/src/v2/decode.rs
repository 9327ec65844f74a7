//! RecordBatch v2 -> [`Batch`], whose spans point into the bytes.

use bytes::Bytes;

use super::{
    ATTRIBUTES_AT, BASE_TIMESTAMP_AT, COUNT_AT, CRC_AT, HEADER_BYTES, LAST_OFFSET_DELTA_AT, LENGTH_AT, MAGIC, MAGIC_AT,
    MAX_TIMESTAMP_AT, PREFIX_BYTES,
};
use crate::{Batch, Entry, Span};

/// The fewest bytes that a record takes.
const MIN_RECORD_BYTES: usize = 7;

const COMPRESSION_BITS: u16 = 0b111;
const LOG_APPEND_TIME_BIT: u16 = 1 << 3;
const CONTROL_BIT: u16 = 1 << 5;

/// Why bytes are not a batch that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Fewer or more bytes than the batch has.
    #[error("the batch says {expected} bytes, {found} are there")]
    Length {
        /// What the length field says; the header's size if there is not even that.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// Another version of the format.
    #[error("magic {0} instead of 2; only the record batch format of Kafka 0.11 and later can be read")]
    Magic(u8),
    /// The bytes have changed since they were written.
    #[error("the checksum is {found:08x} instead of {expected:08x}")]
    Crc {
        /// As written.
        expected: u32,
        /// As computed.
        found: u32,
    },
    /// A compressed batch.
    #[error("compressed with {0}, which cannot be read here; write uncompressed batches")]
    Compressed(&'static str),
    /// A marker of Kafka's transactions, which holds no records. Readers skip it.
    #[error("a control batch, which has no records")]
    Control,
    /// The checksum is right and the content is not.
    #[error("record {record}: {what}")]
    Record {
        /// Counted from 0.
        record: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The bytes go on after the last record, or offsets pass the last possible one.
    #[error("{0}")]
    Batch(&'static str),
}

/// Reads the one batch that `bytes` hold.
///
/// # Errors
/// [`DecodeError`]. [`DecodeError::Control`] is no damage: there is nothing to read in such a batch.
pub fn decode(bytes: Bytes) -> Result<Batch, DecodeError> {
    check_frame(&bytes)?;
    let attributes = u16::from_be_bytes(at(&bytes, ATTRIBUTES_AT));
    match attributes & COMPRESSION_BITS {
        0 => {}
        1 => return Err(DecodeError::Compressed("gzip")),
        2 => return Err(DecodeError::Compressed("snappy")),
        3 => return Err(DecodeError::Compressed("lz4")),
        4 => return Err(DecodeError::Compressed("zstd")),
        _ => return Err(DecodeError::Compressed("an unknown codec")),
    }
    if attributes & CONTROL_BIT != 0 {
        return Err(DecodeError::Control);
    }
    let base_offset = i64::from_be_bytes(at(&bytes, 0));
    let last_delta = i64::from(i32::from_be_bytes(at(&bytes, LAST_OFFSET_DELTA_AT)));
    if base_offset < 0 || last_delta < 0 || base_offset.checked_add(last_delta).is_none_or(|last| last == i64::MAX) {
        return Err(DecodeError::Batch("the offsets are out of range"));
    }
    let Ok(count) = usize::try_from(i32::from_be_bytes(at(&bytes, COUNT_AT))) else {
        return Err(DecodeError::Batch("the number of records is negative"));
    };
    if count > (bytes.len() - HEADER_BYTES) / MIN_RECORD_BYTES {
        return Err(DecodeError::Batch("the number of records is larger than the bytes can hold"));
    }
    let base_timestamp = i64::from_be_bytes(at(&bytes, BASE_TIMESTAMP_AT));
    let append_time = (attributes & LOG_APPEND_TIME_BIT != 0).then(|| i64::from_be_bytes(at(&bytes, MAX_TIMESTAMP_AT)));

    let mut entries = Vec::with_capacity(count);
    let mut headers = Vec::new();
    let mut cursor = Cursor { bytes: &bytes, position: HEADER_BYTES };
    let mut lowest_delta = 0;
    for record in 0..count {
        let wrong = |what| DecodeError::Record { record, what };
        let (entry, delta) = cursor.record(&mut headers).map_err(wrong)?;
        if delta < lowest_delta || delta > last_delta {
            return Err(wrong("its offset is not after the one before, or after the last one of the batch"));
        }
        lowest_delta = delta + 1;
        // Wraps as the encoder does; a batch whose timestamps are the time of appending has the one.
        let timestamp_ms = append_time.unwrap_or(base_timestamp.wrapping_add(entry.timestamp_ms));
        entries.push(Entry { timestamp_ms, offset: base_offset + delta, ..entry });
    }
    if cursor.position != bytes.len() {
        return Err(DecodeError::Batch("there are bytes after the last record"));
    }
    // Spans and header indices are right by construction, so that what remains to be found is a header name.
    Batch::from_parts(bytes, entries, headers).map_err(|_| DecodeError::Batch("the name of a header is not UTF-8"))
}

fn check_frame(bytes: &[u8]) -> Result<(), DecodeError> {
    let found = bytes.len();
    if found < HEADER_BYTES {
        return Err(DecodeError::Length { expected: HEADER_BYTES, found });
    }
    let length = i32::from_be_bytes(at(bytes, LENGTH_AT));
    let expected = usize::try_from(length).unwrap_or(0) + PREFIX_BYTES;
    if expected != found {
        return Err(DecodeError::Length { expected, found });
    }
    if bytes[MAGIC_AT] != MAGIC {
        return Err(DecodeError::Magic(bytes[MAGIC_AT]));
    }
    let expected = u32::from_be_bytes(at(bytes, CRC_AT));
    let found = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    if expected != found {
        return Err(DecodeError::Crc { expected, found });
    }
    Ok(())
}

/// A number of the header, whose presence was checked.
fn at<const N: usize>(bytes: &[u8], position: usize) -> [u8; N] {
    std::array::from_fn(|i| bytes[position + i])
}

struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Cursor<'_> {
    /// The next record, with the timestamp's delta for a timestamp, and its offset's delta.
    #[inline]
    fn record(&mut self, headers: &mut Vec<(Span, Option<Span>)>) -> Result<(Entry, i64), &'static str> {
        let length = usize::try_from(self.varint()?).map_err(|_| "its length is negative")?;
        if length > self.bytes.len() - self.position {
            return Err("it is longer than the batch");
        }
        let end = self.position + length;
        self.byte()?;
        let timestamp_ms = self.varint()?;
        let delta = self.varint()?;
        let key = self.field()?;
        let value = self.field()?;
        let count = self.varint()?;
        let first_header = headers.len() as u32;
        if count != 0 {
            // Each takes two bytes at least, so that a wrong count ends at the end of the bytes.
            if count < 0 {
                return Err("the number of headers is negative");
            }
            for _ in 0..count {
                let name = self.field()?.ok_or("a header has no name")?;
                headers.push((name, self.field()?));
            }
        }
        if self.position != end {
            return Err("its length is not that of its fields");
        }
        let count = headers.len() as u32 - first_header;
        Ok((Entry { key, value, first_header, headers: count, timestamp_ms, offset: 0 }, delta))
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, &'static str> {
        let byte = *self.bytes.get(self.position).ok_or("the batch ends within it")?;
        self.position += 1;
        Ok(byte)
    }

    #[inline]
    fn varint(&mut self) -> Result<i64, &'static str> {
        let first = self.byte()?;
        let zigzag = if first < 0x80 { u64::from(first) } else { self.long_varint(first)? };
        Ok((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    fn long_varint(&mut self, first: u8) -> Result<u64, &'static str> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if (bits << shift) >> shift != bits {
                return Err("a number has more than 64 bits");
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number has more than 64 bits")
    }

    /// A length and as many bytes; -1 is none.
    #[inline]
    fn field(&mut self) -> Result<Option<Span>, &'static str> {
        let length = self.varint()?;
        if length < 0 {
            return if length == -1 { Ok(None) } else { Err("a length is negative") };
        }
        if length as u64 > (self.bytes.len() - self.position) as u64 {
            return Err("a field is longer than the batch");
        }
        // A batch is at most 2 GiB long, as its length field was found right.
        let span = Span { start: self.position as u32, len: length as u32 };
        self.position += length as usize;
        Ok(Some(span))
    }
}
