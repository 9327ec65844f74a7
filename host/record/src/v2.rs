//! Kafka's RecordBatch format, version 2, without compression.
//!
//! Source: Apache Kafka documentation, "Message Format", "Record Batch" and "Record". The checksum covers everything
//! from the attributes on, so that the base offset can be set when the batch gets its place ([`set_base_offset`]).

use bytes::Bytes;

use crate::batch::{Batch, Entry, Record, Span};

/// Bytes before the first record.
const HEADER_BYTES: usize = 61;
/// Where the checksum stands, and where what it covers begins.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
const MAGIC: u8 = 2;
/// Attributes: the low three bits are the codec, bit 5 marks a control batch.
const CODEC_MASK: u16 = 0x07;
const CONTROL: u16 = 0x20;

/// Writes records of one partition into one RecordBatch.
#[derive(Debug)]
pub struct Encoder {
    out: Vec<u8>,
    count: u32,
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

/// Bytes that are not a RecordBatch of version 2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early, or a length in them is wrong.
    #[error("the record batch is cut short or its lengths are wrong")]
    Truncated,
    /// Another version.
    #[error("the record batch has magic {0}, not 2")]
    Magic(u8),
    /// They were changed.
    #[error("the record batch fails its checksum")]
    Checksum,
    /// Compressed.
    #[error("the record batch is compressed with codec {0}, which is not supported here")]
    Compressed(u16),
    /// A transaction marker, which holds no records.
    #[error("the record batch is a control batch")]
    Control,
    /// A varint, a count or a header name that cannot be.
    #[error("record {0} of the batch is malformed")]
    Record(usize),
}

// === impl Encoder ===

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self { out: vec![0; HEADER_BYTES], count: 0, base_timestamp_ms: 0, max_timestamp_ms: i64::MIN }
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.out.len()
    }

    /// The newest timestamp of all records.
    #[must_use]
    pub fn max_timestamp_ms(&self) -> i64 {
        self.max_timestamp_ms
    }

    /// Adds a record; its own offset does not count.
    pub fn push(&mut self, record: Record<'_>) {
        let timestamp_ms = record.timestamp_ms();
        if self.count == 0 {
            self.base_timestamp_ms = timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp_ms);
        let offset_delta = i64::from(self.count);
        let (key, value) = (record.key(), record.value());
        let mut length = 1 + varint_len(timestamp_delta) + varint_len(offset_delta);
        length += optional_len(key) + optional_len(value) + varint_len(record.headers().len() as i64);
        for (name, content) in record.headers() {
            length += optional_len(Some(name.as_bytes())) + optional_len(content);
        }
        let out = &mut self.out;
        out.reserve(length + 5);
        write_varint(out, length as i64);
        out.push(0);
        write_varint(out, timestamp_delta);
        write_varint(out, offset_delta);
        write_optional(out, key);
        write_optional(out, value);
        write_varint(out, record.headers().len() as i64);
        for (name, content) in record.headers() {
            write_optional(out, Some(name.as_bytes()));
            write_optional(out, content);
        }
        self.count += 1;
    }

    /// The batch, with offsets from `base_offset` on.
    #[must_use]
    pub fn finish(mut self, base_offset: i64) -> Vec<u8> {
        let length = (self.out.len() - 12) as u32;
        let last = self.count.saturating_sub(1);
        let out = &mut self.out;
        out[0..8].copy_from_slice(&base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&length.to_be_bytes());
        // Partition leader epoch: there is no leader.
        out[12..16].copy_from_slice(&(-1i32).to_be_bytes());
        out[16] = MAGIC;
        out[21..23].copy_from_slice(&0u16.to_be_bytes());
        out[23..27].copy_from_slice(&last.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp_ms.to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp_ms.to_be_bytes());
        // Producer id, epoch and sequence: none.
        out[43..51].copy_from_slice(&(-1i64).to_be_bytes());
        out[51..53].copy_from_slice(&(-1i16).to_be_bytes());
        out[53..57].copy_from_slice(&(-1i32).to_be_bytes());
        out[57..61].copy_from_slice(&self.count.to_be_bytes());
        let crc = crc32c::crc32c(&out[CRC_FROM..]);
        out[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
        self.out
    }
}

/// Gives a batch another place.
pub fn set_base_offset(batch: &mut [u8], base_offset: i64) {
    if let Some(head) = batch.first_chunk_mut::<8>() {
        *head = base_offset.to_be_bytes();
    }
}

// === decoding ===

/// Reads the index of a batch; the arena is the batch itself.
///
/// # Errors
/// [`DecodeError`]. Nothing is allocated that the bytes do not pay for.
pub fn decode(bytes: Bytes) -> Result<Batch, DecodeError> {
    let head = bytes.get(..HEADER_BYTES).ok_or(DecodeError::Truncated)?;
    let int = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let long = |at: usize| (i64::from(int(at)) << 32) | i64::from(int(at + 4));
    if head[16] != MAGIC {
        return Err(DecodeError::Magic(head[16]));
    }
    if int(8) as usize != bytes.len() - 12 || u32::try_from(bytes.len()).is_err() {
        return Err(DecodeError::Truncated);
    }
    if int(CRC_AT) != crc32c::crc32c(&bytes[CRC_FROM..]) {
        return Err(DecodeError::Checksum);
    }
    let attributes = u16::from_be_bytes([head[21], head[22]]);
    match attributes & CODEC_MASK {
        0 => {}
        codec => return Err(DecodeError::Compressed(codec)),
    }
    if attributes & CONTROL != 0 {
        return Err(DecodeError::Control);
    }
    let (base_offset, base_timestamp_ms, count) = (long(0), long(27), int(57) as usize);
    // A record takes at least 7 bytes, so a count beyond that is a lie.
    if count > (bytes.len() - HEADER_BYTES) / 7 {
        return Err(DecodeError::Truncated);
    }
    let mut entries = Vec::with_capacity(count);
    let mut headers = Vec::new();
    let mut reader = Reader { bytes: &bytes, at: HEADER_BYTES };
    for i in 0..count {
        let entry = reader.record(base_offset, base_timestamp_ms, &mut headers).ok_or(DecodeError::Record(i))?;
        entries.push(entry);
    }
    if reader.at != bytes.len() {
        return Err(DecodeError::Truncated);
    }
    Batch::from_parts(bytes, entries, headers).map_err(|_| DecodeError::Record(count))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    #[inline]
    fn record(
        &mut self,
        base_offset: i64,
        base_timestamp_ms: i64,
        headers: &mut Vec<(Span, Option<Span>)>,
    ) -> Option<Entry> {
        let length = usize::try_from(self.varint()?).ok()?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        self.at += 1; // attributes, unused
        let timestamp_ms = base_timestamp_ms.wrapping_add(self.varint()?);
        let offset = base_offset.wrapping_add(self.varint()?);
        let key = self.optional()?;
        let value = self.optional()?;
        let count = usize::try_from(self.varint()?).ok().filter(|count| *count <= length)?;
        let first_header = headers.len() as u32;
        for _ in 0..count {
            let name = self.optional()??;
            let content = self.optional()?;
            headers.push((name, content));
        }
        let entry = Entry { key, value, first_header, headers: count as u32, timestamp_ms, offset };
        (self.at == end).then_some(entry)
    }

    /// None if the bytes are wrong, `Some(None)` if there is no value.
    #[inline]
    fn optional(&mut self) -> Option<Option<Span>> {
        let length = self.varint()?;
        if length == -1 {
            return Some(None);
        }
        let length = usize::try_from(length).ok()?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let span = Span { start: self.at as u32, len: length as u32 };
        self.at = end;
        Some(Some(span))
    }

    #[inline]
    fn varint(&mut self) -> Option<i64> {
        let (mut raw, mut shift) = (0u64, 0);
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return None;
            }
            raw |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
            }
            shift += 7;
        }
    }
}

fn varint_len(value: i64) -> usize {
    let raw = ((value << 1) ^ (value >> 63)) as u64;
    (70 - (raw | 1).leading_zeros() as usize) / 7
}

#[inline]
fn write_varint(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

fn optional_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |b| varint_len(b.len() as i64) + b.len())
}

#[inline]
fn write_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => write_varint(out, -1),
        Some(bytes) => {
            write_varint(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::batch::BatchBuilder;

    type Raw = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);

    fn records() -> impl Strategy<Value = Vec<Raw>> {
        let bytes = || option::of(vec(any::<u8>(), 0..40));
        let timestamp = prop_oneof![any::<i64>(), 1_790_000_000_000..1_790_000_100_000i64];
        vec((bytes(), bytes(), vec(("[a-zü]{0,5}", bytes()), 0..3), timestamp), 1..12)
    }

    fn encode(records: &[Raw], base: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        for (key, value, headers, timestamp_ms) in records {
            let headers = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref()));
            builder.push(key.as_deref(), value.as_deref(), headers, *timestamp_ms).unwrap();
        }
        let batch = builder.finish();
        let mut encoder = Encoder::new();
        batch.iter().for_each(|record| encoder.push(record));
        encoder.finish(base)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(records in records(), base in 0..1i64 << 60, other in 0..1i64 << 60) {
            let mut bytes = encode(&records, base);
            set_base_offset(&mut bytes, other);
            let batch = decode(Bytes::from(bytes)).unwrap();
            prop_assert_eq!(batch.len(), records.len());
            for (i, (record, (key, value, headers, timestamp_ms))) in batch.iter().zip(&records).enumerate() {
                prop_assert_eq!(record.key(), key.as_deref());
                prop_assert_eq!(record.value(), value.as_deref());
                prop_assert_eq!(record.timestamp_ms(), *timestamp_ms);
                prop_assert_eq!(record.offset(), other + i as i64);
                let wanted: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
                prop_assert_eq!(record.headers().collect::<Vec<_>>(), wanted);
            }
        }

        #[test]
        fn damage_behind_the_checksum_is_always_seen(records in records(), at in 21usize..4000, bit in 0..8) {
            let mut bytes = encode(&records, 5);
            let at = 21 + (at - 21) % (bytes.len() - 21);
            bytes[at] ^= 1u8 << bit;
            prop_assert!(decode(Bytes::from(bytes)).is_err());
        }

        #[test]
        fn a_right_checksum_does_not_make_bytes_a_batch(mut tail in vec(any::<u8>(), 0..200), count in any::<u32>()) {
            let mut bytes = encode(&[(None, None, vec![], 0)], 0);
            bytes.truncate(HEADER_BYTES);
            bytes.append(&mut tail);
            let length = (bytes.len() - 12) as u32;
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[57..61].copy_from_slice(&count.to_be_bytes());
            let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
            bytes[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
            // Random bytes may happen to be a batch; what matters is that nothing panics and all spans are inside.
            let _ = decode(Bytes::from(bytes));
        }
    }

    #[test]
    fn cut_at_any_byte_it_is_an_error() {
        let bytes = encode(&[(Some(b"k".to_vec()), Some(b"v".to_vec()), vec![("h".into(), None)], 9)], 1);
        for end in 0..bytes.len() {
            assert!(decode(Bytes::copy_from_slice(&bytes[..end])).is_err(), "{end}");
        }
    }

    #[test]
    fn compressed_and_control_batches_are_told_apart() {
        for (attributes, error) in [(4u16, DecodeError::Compressed(4)), (CONTROL, DecodeError::Control)] {
            let mut bytes = encode(&[(None, None, vec![], 0)], 0);
            bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
            let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
            bytes[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
            assert_eq!(decode(Bytes::from(bytes)).unwrap_err(), error);
        }
    }
}
