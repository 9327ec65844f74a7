//! What the format promises, by examples and by random batches.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{Batch, BatchBuilder, Header};

type Plain = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);

fn batch_of(records: &[Plain]) -> Batch {
    let mut builder = BatchBuilder::new();
    for (key, value, headers, timestamp_ms) in records {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        builder.push(key.as_deref(), value.as_deref(), headers, *timestamp_ms).expect("room");
    }
    builder.finish()
}

fn plain_of(batch: &Batch) -> Vec<Plain> {
    let own = |(name, value): Header<'_>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let vec = |bytes: &[u8]| bytes.to_vec();
    batch
        .iter()
        .map(|r| (r.key().map(vec), r.value().map(vec), r.headers().map(own).collect(), r.timestamp_ms()))
        .collect()
}

fn encode(records: &[Plain], base_offset: i64) -> Vec<u8> {
    let batch = batch_of(records);
    let mut encoder = Encoder::new();
    for index in 0..batch.len() {
        encoder.push(&batch, index).expect("room");
    }
    let mut encoded = encoder.finish().expect("records");
    encoded.set_base_offset(base_offset);
    encoded.into_bytes().to_vec()
}

fn sample() -> Vec<u8> {
    let headers = vec![("h".to_owned(), Some(b"1".to_vec())), ("none".to_owned(), None)];
    encode(&[(Some(b"key".to_vec()), Some(b"value".to_vec()), headers, 1_000), (None, None, vec![], 900)], 41)
}

/// Writes the checksum anew, as one who forges a batch would.
fn resealed(mut bytes: Vec<u8>) -> Bytes {
    let crc = crc32c::crc32c(&bytes[ATTRIBUTES_AT..]);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    Bytes::from(bytes)
}

fn plain() -> impl Strategy<Value = Plain> {
    let bytes = || proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200));
    let headers = proptest::collection::vec((".{0,8}", bytes()), 0..3);
    (bytes(), bytes(), headers, any::<i64>())
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(records in proptest::collection::vec(plain(), 1..50), base in 0..i64::MAX - 100) {
        let batch = decode(Bytes::from(encode(&records, base))).expect("a batch");
        let offsets: Vec<i64> = batch.iter().map(|r| r.offset()).collect();
        prop_assert_eq!(offsets, (base..base + records.len() as i64).collect::<Vec<_>>());
        prop_assert_eq!(plain_of(&batch), records);
    }

    #[test]
    fn forged_content_never_panics(records in proptest::collection::vec(plain(), 1..5),
                                   changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = encode(&records, 7);
        for (at, value) in changes {
            let at = ATTRIBUTES_AT + at.index(bytes.len() - ATTRIBUTES_AT);
            bytes[at] = value;
        }
        if let Ok(batch) = decode(resealed(bytes)) {
            // Every span can be used.
            prop_assert_eq!(plain_of(&batch).len(), batch.len());
            prop_assert!(batch.entries().is_sorted_by(|a, b| a.offset < b.offset));
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode(Bytes::from(bytes)).is_err());
    }
}

#[test]
fn the_header_is_as_kafka_documents_it() {
    let bytes = sample();
    assert_eq!(bytes[..8], 41_i64.to_be_bytes());
    assert_eq!(bytes[8..12], (bytes.len() as i32 - 12).to_be_bytes());
    assert_eq!(bytes[12..17], [0xff, 0xff, 0xff, 0xff, 2]);
    assert_eq!(bytes[21..27], [0, 0, 0, 0, 0, 1], "attributes, last offset delta");
    assert_eq!(bytes[27..35], 1_000_i64.to_be_bytes(), "base timestamp: the first record's");
    assert_eq!(bytes[35..43], 1_000_i64.to_be_bytes(), "max timestamp");
    assert_eq!(bytes[43..57], [0xff; 14], "no producer id, epoch, sequence");
    assert_eq!(bytes[57..61], 2_i32.to_be_bytes());
    // length 24, attributes, deltas 0 and 0, key, value, two headers
    assert_eq!(bytes[61..65], [48, 0, 0, 0]);
    assert_eq!(&bytes[65..75], b"\x06key\x0avalue");
    assert_eq!(&bytes[75..85], b"\x04\x02h\x021\x08none");
    assert_eq!(bytes[85], 1);
    // length 7, attributes, timestamp -100, offset 1, neither key nor value, no headers
    assert_eq!(bytes[86..], [14, 0, 199, 1, 2, 1, 1, 0]);
}

#[test]
fn a_truncated_batch_is_refused_at_every_length() {
    let bytes = Bytes::from(sample());
    for length in 0..bytes.len() {
        assert!(decode(bytes.slice(..length)).is_err(), "{length}");
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_outside_of_the_records() {
    let bytes = sample();
    let records = plain_of(&decode(Bytes::from(bytes.clone())).expect("a batch"));
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            match decode(Bytes::from(flipped)) {
                // The base offset and the leader epoch are all that the checksum and the checks leave out.
                Ok(batch) => {
                    assert!(at < 8 || (12..16).contains(&at), "byte {at}");
                    assert_eq!(plain_of(&batch), records);
                    assert!(batch.iter().all(|r| r.offset() >= 0));
                }
                Err(_) => assert!(!(12..16).contains(&at), "byte {at}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let with = |at: usize, value: u8| {
        let mut bytes = sample();
        bytes[at] = value;
        decode(resealed(bytes)).expect_err("refused")
    };
    assert_eq!(with(ATTRIBUTES_AT + 1, 3), DecodeError::Compressed("lz4"));
    assert_eq!(with(ATTRIBUTES_AT + 1, 0b10_0000), DecodeError::Control);
    assert_eq!(with(MAGIC_AT, 1), DecodeError::Magic(1));
    assert!(matches!(with(COUNT_AT, 0x7f), DecodeError::Batch(_)));
    assert!(matches!(with(COUNT_AT + 3, 1), DecodeError::Batch(_)));
    assert!(matches!(with(LAST_OFFSET_DELTA_AT + 3, 0), DecodeError::Record { record: 1, .. }));
}

#[test]
fn the_time_of_appending_replaces_those_of_the_records() {
    let mut bytes = sample();
    bytes[ATTRIBUTES_AT + 1] = LOG_APPEND_TIME;
    bytes[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&5_i64.to_be_bytes());
    let batch = decode(resealed(bytes)).expect("a batch");
    assert!(batch.iter().all(|r| r.timestamp_ms() == 5));
}

const LOG_APPEND_TIME: u8 = 1 << 3;

#[test]
fn an_encoder_starts_anew_after_a_batch() {
    let batch = batch_of(&[(None, Some(vec![1]), vec![], 3)]);
    let mut encoder = Encoder::new();
    assert!(encoder.finish().is_none());
    for timestamp_ms in [3, 3] {
        encoder.push(&batch, 0).expect("room");
        let encoded = encoder.finish().expect("a record");
        assert_eq!((encoded.records(), encoded.max_timestamp_ms()), (1, timestamp_ms));
        assert_eq!(plain_of(&decode(encoded.into_bytes()).expect("a batch")), plain_of(&batch));
    }
}

#[test]
fn a_record_takes_as_many_bytes_as_it_is_said_to() {
    let headers = vec![("name".to_owned(), Some(vec![0; 300])), ("n".to_owned(), None)];
    let record = (Some(vec![1; 100]), Some(vec![2; 20_000]), headers, 0);
    let bytes = encode(std::slice::from_ref(&record), 0).len() as u64;
    // Besides: three bytes of length, one each of attributes, timestamp, offset.
    assert_eq!(bytes, HEADER_BYTES as u64 + 6 + record_bytes(&batch_of(&[record]), 0));
}
