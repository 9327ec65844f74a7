//! Confluent's wire format: a zero byte, the schema's id as four big-endian bytes, the datum.
//!
//! Source: Confluent Platform documentation, "Wire format".

use bespoke_record::Span;

/// Bytes in front of a datum.
pub const PREFIX_BYTES: usize = 5;

/// A value that is not framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// Fewer bytes than the prefix has.
    #[error("the value has {0} bytes, fewer than the 5 that name its schema")]
    Short(usize),
    /// Another first byte.
    #[error(
        "the value starts with byte {0:#04x}, not with 0 and a schema id; was it written without a schema registry?"
    )]
    Magic(u8),
}

/// The bytes in front of a datum of the schema with this id.
#[must_use]
pub fn prefix(id: u32) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

/// Splits a value into the schema's id and the datum.
///
/// # Errors
/// [`FramingError`].
pub fn split(value: &[u8]) -> Result<(u32, &[u8]), FramingError> {
    match value {
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        [0, ..] | [] => Err(FramingError::Short(value.len())),
        [magic, ..] => Err(FramingError::Magic(*magic)),
    }
}

/// The same for a value that stands in an arena.
///
/// # Errors
/// [`FramingError`].
#[inline]
pub fn split_span(arena: &[u8], value: Span) -> Result<(u32, Span), FramingError> {
    let (id, datum) = split(value.of(arena))?;
    Ok((id, Span { start: value.start + PREFIX_BYTES as u32, len: datum.len() as u32 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framed_value_comes_apart_again() {
        let mut value = prefix(0x0102_0304).to_vec();
        value.extend_from_slice(b"datum");
        assert_eq!(split(&value), Ok((0x0102_0304, &b"datum"[..])));
        let span = Span { start: 0, len: value.len() as u32 };
        assert_eq!(split_span(&value, span), Ok((0x0102_0304, Span { start: 5, len: 5 })));
    }

    #[test]
    fn other_bytes_are_errors() {
        assert_eq!(split(b""), Err(FramingError::Short(0)));
        assert_eq!(split(&[0, 0, 0, 0]), Err(FramingError::Short(4)));
        assert_eq!(split(b"{\"id\":1}"), Err(FramingError::Magic(b'{')));
    }
}
