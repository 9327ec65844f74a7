//! Reading and writing the primitives of Avro's binary encoding (specification 1.12, "Binary Encoding").
//!
//! A [`Cursor`] walks bytes that may be hostile: every read checks its bounds, every length is checked against the bytes
//! that are left before anyone allocates for it.

use std::sync::Arc;

/// A position in encoded bytes.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Bytes that are not what the schema says. Positions are counted from the start of the datum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes stop within a value.
    #[error("the bytes end within a value")]
    Truncated,
    /// A varint of more than 10 bytes, or beyond the type's range.
    #[error("a varint at byte {at} is too long or out of range")]
    Varint {
        /// Where it starts.
        at: usize,
    },
    /// A length or a count below zero, or beyond the bytes that are left.
    #[error("a length of {len} at byte {at} does not fit the bytes")]
    Length {
        /// Where it ends.
        at: usize,
        /// What it says.
        len: i64,
    },
    /// A boolean that is neither 0 nor 1.
    #[error("the boolean at byte {at} is {value}")]
    Boolean {
        /// Where it is.
        at: usize,
        /// What it is.
        value: u8,
    },
    /// The index of a union branch or of an enum symbol that the schema does not have.
    #[error("index {index} before byte {at} is not one of {count}")]
    Index {
        /// Where it ends.
        at: usize,
        /// What it says.
        index: i64,
        /// How many there are.
        count: usize,
    },
    /// A string that is not UTF-8.
    #[error("the string that ends at byte {at} is not UTF-8")]
    Utf8 {
        /// Where it ends.
        at: usize,
    },
    /// A value that is well encoded, but that the reader schema has no place for. The text tells which, and why.
    #[error("{0}")]
    Unreadable(Arc<str>),
    /// Items that take no bytes can be written in any number with a few bytes; each would take memory here.
    #[error("more than {MAX_EMPTY_ITEMS} items of arrays that take no bytes")]
    EmptyItems,
    /// Nested deeper than anything that is not an attack.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// More bytes than the datum has.
    #[error("{0} bytes are left over after the value")]
    Trailing(usize),
}

/// How deep values may nest where the schema is recursive.
pub const MAX_DEPTH: usize = 128;

/// How many items without bytes (nulls, empty records) a datum may have where each of them costs something.
pub const MAX_EMPTY_ITEMS: usize = 65_536;

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes read so far.
    #[inline]
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Bytes left.
    #[inline]
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The bytes from `start` up to here.
    ///
    /// # Panics
    /// If `start` is beyond the position.
    #[inline]
    #[must_use]
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// An error unless everything was read.
    ///
    /// # Errors
    /// [`WireError::Trailing`].
    #[inline]
    pub fn end(&self) -> Result<(), WireError> {
        if self.left() == 0 { Ok(()) } else { Err(WireError::Trailing(self.left())) }
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(len).ok_or(WireError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(WireError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, _) = self.bytes[self.at..].split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.at += N;
        Ok(*head)
    }

    /// A boolean.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Boolean`].
    #[inline]
    pub fn boolean(&mut self) -> Result<bool, WireError> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [value] => Err(WireError::Boolean { at: self.at - 1, value }),
        }
    }

    /// A long.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`].
    #[inline]
    pub fn long(&mut self) -> Result<i64, WireError> {
        let raw = match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                u64::from(byte)
            }
            Some(_) => self.long_varint()?,
            None => return Err(WireError::Truncated),
        };
        Ok(unzigzag(raw))
    }

    /// Out of line: the first byte says that there are more.
    fn long_varint(&mut self) -> Result<u64, WireError> {
        let start = self.at;
        let (mut raw, mut shift) = (0u64, 0u32);
        loop {
            let byte = *self.bytes.get(self.at).ok_or(WireError::Truncated)?;
            self.at += 1;
            // The tenth byte has room for one bit.
            if shift == 63 && byte > 1 {
                return Err(WireError::Varint { at: start });
            }
            raw |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(raw);
            }
            shift += 7;
        }
    }

    /// An int.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`].
    #[inline]
    pub fn int(&mut self) -> Result<i32, WireError> {
        let start = self.at;
        i32::try_from(self.long()?).map_err(|_| WireError::Varint { at: start })
    }

    /// The bytes of a `bytes` or, unchecked, of a `string`.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`], [`WireError::Length`].
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let len = self.long()?;
        match usize::try_from(len) {
            Ok(size) if size <= self.left() => self.take(size),
            _ => Err(WireError::Length { at: self.at, len }),
        }
    }

    /// A string.
    ///
    /// # Errors
    /// As for [`Cursor::bytes`], and [`WireError::Utf8`].
    #[inline]
    pub fn string(&mut self) -> Result<&'a str, WireError> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).map_err(|_| WireError::Utf8 { at: self.at })
    }

    /// The index of a union branch or of an enum symbol, of which there are `count`.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`], [`WireError::Index`].
    #[inline]
    pub fn index(&mut self, count: usize) -> Result<usize, WireError> {
        let index = self.long()?;
        match usize::try_from(index) {
            Ok(i) if i < count => Ok(i),
            _ => Err(WireError::Index { at: self.at, index, count }),
        }
    }

    /// The head of a block of an array or a map whose items take at least `min_item` bytes each. None ends the value.
    /// The count is never larger than the bytes that are left allow, unless items may be empty.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`], [`WireError::Length`].
    #[inline]
    pub fn block(&mut self, min_item: usize) -> Result<Option<usize>, WireError> {
        Ok(self.sized_block(min_item)?.map(|(items, _)| items))
    }

    /// As [`Cursor::block`], with the bytes that the block says it takes, if it says so.
    ///
    /// # Errors
    /// As for [`Cursor::block`].
    #[inline]
    pub fn sized_block(&mut self, min_item: usize) -> Result<Option<(usize, Option<usize>)>, WireError> {
        let count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        let mut bytes = None;
        if count < 0 {
            // A negative count is followed by the bytes of the block.
            let size = self.long()?;
            bytes = usize::try_from(size).ok().filter(|s| *s <= self.left());
            if bytes.is_none() {
                return Err(WireError::Length { at: self.at, len: size });
            }
        }
        let items = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        let fits = min_item == 0 || items <= self.left() / min_item;
        if fits { Ok(Some((items, bytes))) } else { Err(WireError::Length { at: self.at, len: count }) }
    }
}

/// The number that a zig-zag code stands for.
#[inline]
#[must_use]
pub const fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// Appends a long (or an int, which is encoded alike).
#[inline]
pub fn write_long(out: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Appends a `bytes` or a `string`.
#[inline]
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_come_back() {
        for value in [0, 1, -1, 63, 64, -64, -65, i64::from(i32::MAX), i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_long(&mut out, value);
            let mut cursor = Cursor::new(&out);
            assert_eq!(cursor.long(), Ok(value));
            assert_eq!(cursor.end(), Ok(()));
        }
    }

    #[test]
    fn varints_that_are_too_long_or_cut_are_errors() {
        assert_eq!(Cursor::new(&[0xff; 10]).long(), Err(WireError::Varint { at: 0 }));
        assert_eq!(Cursor::new(&[0x80; 11]).long(), Err(WireError::Varint { at: 0 }));
        assert_eq!(Cursor::new(&[0x80, 0x80]).long(), Err(WireError::Truncated));
        let mut out = Vec::new();
        write_long(&mut out, i64::from(i32::MAX) + 1);
        assert_eq!(Cursor::new(&out).int(), Err(WireError::Varint { at: 0 }));
    }

    #[test]
    fn lengths_beyond_the_bytes_are_errors() {
        let mut out = Vec::new();
        write_long(&mut out, 1 << 40);
        assert!(matches!(Cursor::new(&out).bytes(), Err(WireError::Length { len, .. }) if len == 1 << 40));
        assert!(matches!(Cursor::new(&out).block(1), Err(WireError::Length { .. })));
        assert!(matches!(Cursor::new(&out).block(0), Ok(Some(_))));
        assert!(matches!(Cursor::new(&[1]).bytes(), Err(WireError::Length { len: -1, .. })));
    }
}
