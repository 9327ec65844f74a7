//! How a value names its schema: Confluent's two wire formats.
//!
//! - The prefix: a zero byte, the schema's id as four big-endian bytes, the datum.
//! - The header: the value is the datum alone, and the record's header `__value_schema_id` holds a one byte and the schema's
//!   GUID as sixteen bytes.
//!
//! Which of them is written is configured; both are always read, the header first, and either content in either place, as
//! Confluent's own deserializers do. Sources: Confluent Platform documentation, "Wire format"; confluent-kafka-python,
//! `schema_registry/common/serde.py` (`SchemaId`) and `dual_schema_id_deserializer`.

use std::fmt;

use bespoke_record::{Batch, Record, Span};

use super::registry::Registered;

/// The header that names the schema of a record's value.
pub const VALUE_HEADER: &str = "__value_schema_id";
/// The header that names the schema of a record's key.
pub const KEY_HEADER: &str = "__key_schema_id";

/// Bytes of an id with the zero byte before it.
const ID_BYTES: usize = 5;
/// Bytes of a GUID with the one byte before it.
const GUID_BYTES: usize = 17;

/// A schema as a record names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SchemaId {
    /// Its number in the registry.
    Id(u32),
    /// Its globally unique identifier.
    Guid(Guid),
}

/// A schema's globally unique identifier: the sixteen bytes of a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guid(pub [u8; 16]);

/// Which of the two forms is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The id, before the datum.
    #[default]
    Prefix,
    /// The GUID, in a header.
    Header,
}

/// What names the schema of all values of one topic that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// These bytes before each datum.
    Prefix([u8; ID_BYTES]),
    /// This value of [`VALUE_HEADER`] in each record.
    Header([u8; GUID_BYTES]),
}

/// A value that does not name its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Fewer bytes than the prefix has.
    #[error("the value has {0} bytes, fewer than those that name its schema")]
    Short(usize),
    /// Another first byte.
    #[error(
        "the value starts with byte {0:#04x}, not with 0 and a schema id; was it written without a schema registry?"
    )]
    Magic(u8),
    /// A header of another form.
    #[error(
        "the header {VALUE_HEADER} has {0} bytes and does not name a schema: 0 and an id are 5, 1 and a GUID are 17"
    )]
    Header(usize),
}

/// Whether a number can be that of a schema: registries count in signed numbers, from 1 on.
pub(super) fn is_id(number: u32) -> bool {
    (1..=i32::MAX as u32).contains(&number)
}

// === impl SchemaId ===

impl From<u32> for SchemaId {
    fn from(id: u32) -> Self {
        Self::Id(id)
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Guid(guid) => write!(f, "{guid}"),
        }
    }
}

// === impl Guid ===

impl Guid {
    /// Reads the usual text: 32 hexadecimal digits, with or without hyphens.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: String = text.chars().filter(|c| *c != '-').collect();
        let is_hex = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let number = is_hex.then(|| u128::from_str_radix(&digits, 16).ok())?;
        number.map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let hyphen = if [4, 6, 8, 10].contains(&index) { "-" } else { "" };
            write!(f, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

// === impl Frame ===

impl Frame {
    /// How values of a schema are written in a form. None if it has no GUID and needs one.
    #[must_use]
    pub fn new(form: Form, registered: Registered) -> Option<Self> {
        match form {
            Form::Prefix => Some(Self::Prefix(prefix(registered.id))),
            Form::Header => registered.guid.map(|Guid(guid)| {
                let mut value = [1; GUID_BYTES];
                value[1..].copy_from_slice(&guid);
                Self::Header(value)
            }),
        }
    }

    /// The bytes before each datum.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        match self {
            Self::Prefix(prefix) => prefix,
            Self::Header(_) => &[],
        }
    }

    /// The header of each record.
    #[must_use]
    pub fn header(&self) -> Option<(&'static str, &[u8])> {
        match self {
            Self::Prefix(_) => None,
            Self::Header(value) => Some((VALUE_HEADER, value)),
        }
    }
}

/// The bytes in front of a datum of the schema with this id.
#[must_use]
pub fn prefix(id: u32) -> [u8; ID_BYTES] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

/// Splits a value that stands alone into what names its schema and the datum.
///
/// # Errors
/// [`FramingError`].
#[inline]
pub fn split(value: &[u8]) -> Result<(SchemaId, &[u8]), FramingError> {
    match value {
        [0, a, b, c, d, datum @ ..] => Ok((SchemaId::Id(u32::from_be_bytes([*a, *b, *c, *d])), datum)),
        [1, rest @ ..] => {
            let (guid, datum) = rest.split_first_chunk().ok_or(FramingError::Short(value.len()))?;
            Ok((SchemaId::Guid(Guid(*guid)), datum))
        }
        [0, ..] | [] => Err(FramingError::Short(value.len())),
        [magic, ..] => Err(FramingError::Magic(*magic)),
    }
}

/// The same for a value that stands in a batch, at an index.
///
/// # Errors
/// [`FramingError`].
#[inline]
pub fn split_span(batch: &Batch, index: usize, value: Span) -> Result<(SchemaId, Span), FramingError> {
    let entry = &batch.entries()[index];
    let first = entry.first_header as usize;
    for (name, id) in &batch.header_spans()[first..first + entry.headers as usize] {
        if name.of(batch.arena()) == VALUE_HEADER.as_bytes() {
            let id = id.map(|id| id.of(batch.arena())).unwrap_or_default();
            return Ok((of_header(id)?, value));
        }
    }
    let (id, datum) = split(value.of(batch.arena()))?;
    let len = datum.len() as u32;
    Ok((id, Span { start: value.start + (value.len - len), len }))
}

/// The same for the value of a record. None for a tombstone.
///
/// # Errors
/// [`FramingError`].
pub fn split_record(record: Record<'_>) -> Result<Option<(SchemaId, &[u8])>, FramingError> {
    let Some(value) = record.value() else { return Ok(None) };
    let header = record.headers().find(|(name, _)| *name == VALUE_HEADER);
    match header {
        Some((_, id)) => Ok(Some((of_header(id.unwrap_or_default())?, value))),
        None => split(value).map(Some),
    }
}

fn of_header(bytes: &[u8]) -> Result<SchemaId, FramingError> {
    match split(bytes) {
        Ok((id, [])) => Ok(id),
        _ => Err(FramingError::Header(bytes.len())),
    }
}

#[cfg(test)]
mod tests {
    use bespoke_record::BatchBuilder;

    use super::*;

    const GUID: Guid = Guid([0x89, 0x79, 0x1e, 0x7a, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0xa, 0xb]);

    fn record(value: &[u8], header: Option<&[u8]>) -> Batch {
        let mut builder = BatchBuilder::new();
        let headers = [("other", Some(&b"x"[..]))].into_iter().chain(header.map(|h| (VALUE_HEADER, Some(h))));
        builder.push(Some(b"key"), Some(value), headers, 0).expect("room");
        builder.finish()
    }

    fn both_ways(batch: &Batch) -> Result<(SchemaId, Vec<u8>), FramingError> {
        let whole = split_record(batch.get(0)).map(|found| found.expect("a value"));
        let spans = split_span(batch, 0, batch.entries()[0].value.expect("a value"));
        assert_eq!(whole, spans.map(|(id, datum)| (id, datum.of(batch.arena()))));
        whole.map(|(id, datum)| (id, datum.to_vec()))
    }

    #[test]
    fn what_is_written_comes_apart_again() {
        let registered = Registered { id: 0x0102_0304, guid: Some(GUID) };
        for (form, id) in [(Form::Prefix, SchemaId::Id(0x0102_0304)), (Form::Header, SchemaId::Guid(GUID))] {
            let frame = Frame::new(form, registered).expect("a GUID");
            let value = [frame.prefix(), b"datum"].concat();
            let batch = record(&value, frame.header().map(|(_, value)| value));
            assert_eq!(both_ways(&batch), Ok((id, b"datum".to_vec())));
        }
        assert_eq!(Frame::new(Form::Header, Registered { id: 1, guid: None }), None);
    }

    #[test]
    fn either_content_is_read_in_either_place_and_the_header_counts() {
        let guid = [&[1], &GUID.0[..]].concat();
        assert_eq!(both_ways(&record(b"datum", Some(&prefix(7)))), Ok((SchemaId::Id(7), b"datum".to_vec())));
        let value = [&guid[..], b"datum"].concat();
        assert_eq!(both_ways(&record(&value, None)), Ok((SchemaId::Guid(GUID), b"datum".to_vec())));
        let framed = [&prefix(7)[..], b"datum"].concat();
        assert_eq!(both_ways(&record(&framed, Some(&guid))), Ok((SchemaId::Guid(GUID), framed)));
    }

    #[test]
    fn other_bytes_are_errors() {
        assert_eq!(split(b""), Err(FramingError::Short(0)));
        assert_eq!(split(&[0, 0, 0, 0]), Err(FramingError::Short(4)));
        assert_eq!(split(&[1, 0, 0]), Err(FramingError::Short(3)));
        assert_eq!(split(b"{\"id\":1}"), Err(FramingError::Magic(b'{')));
        for header in [&b""[..], b"7", &[0, 0, 0, 0, 7, 0], &[1, 2]] {
            assert_eq!(both_ways(&record(b"x", Some(header))), Err(FramingError::Header(header.len())));
        }
    }

    #[test]
    fn a_guid_is_a_uuid() {
        let text = "89791e7a-0001-0203-0405-060708090a0b";
        assert_eq!(Guid::parse(text), Some(GUID));
        assert_eq!(GUID.to_string(), text);
        assert_eq!(Guid::parse("89791e7a-0001"), None);
        assert_eq!(Guid::parse("+9791e7a-0001-0203-0405-060708090a0b"), None);
    }
}
