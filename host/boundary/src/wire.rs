//! Reading and writing the primitives of Avro's binary encoding (specification 1.12, "Binary Encoding").
//!
//! A [`Cursor`] walks bytes that may be hostile: every read checks its bounds, every length is checked against the bytes
//! that are left before anyone allocates for it.

pub use crate::wire_error::{MAX_DEPTH, MAX_EMPTY_ITEMS, MAX_GROWTH_BYTES, WireError};

/// A position in encoded bytes.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of `bytes`.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Within `bytes`, of which `at` are read.
    ///
    /// # Panics
    /// If there are not so many.
    #[inline(always)]
    #[must_use]
    pub(crate) fn resume(bytes: &'a [u8], at: usize) -> Self {
        assert!(at <= bytes.len());
        Self { bytes, at }
    }

    /// All of the bytes, also those that are read.
    #[inline(always)]
    #[must_use]
    pub(crate) fn whole(&self) -> &'a [u8] {
        self.bytes
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
    #[inline(always)]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], WireError> {
        match self.bytes[self.at..].get(..len) {
            Some(taken) => {
                self.at += len;
                Ok(taken)
            }
            None => Err(WireError::Truncated),
        }
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`].
    #[inline(always)]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(head) => {
                self.at += N;
                Ok(*head)
            }
            None => Err(WireError::Truncated),
        }
    }

    /// A boolean.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Boolean`].
    #[inline(always)]
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
    #[inline(always)]
    pub fn long(&mut self) -> Result<i64, WireError> {
        let raw = match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                u64::from(byte)
            }
            _ => {
                let (raw, len) = varint(&self.bytes[self.at..]);
                if len == 0 {
                    return Err(self.no_varint());
                }
                self.at += len;
                raw
            }
        };
        Ok(unzigzag(raw))
    }

    /// Moves behind a long, without working out which.
    ///
    /// # Errors
    /// As for [`Cursor::long`].
    #[inline(always)]
    pub(crate) fn pass_long(&mut self) -> Result<(), WireError> {
        match word_of_varint(&self.bytes[self.at..]) {
            Some((_, last)) => {
                self.at += len_of_word(last);
                Ok(())
            }
            None => self.long().map(|_| ()),
        }
    }

    #[cold]
    fn no_varint(self) -> WireError {
        let rest = &self.bytes[self.at..];
        if rest.len() < MAX_VARINT_BYTES && rest.iter().all(|b| *b >= 0x80) {
            WireError::Truncated
        } else {
            WireError::Varint { at: self.at }
        }
    }

    /// An int.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`].
    #[inline(always)]
    pub fn int(&mut self) -> Result<i32, WireError> {
        let start = self.at;
        match i32::try_from(self.long()?) {
            Ok(value) => Ok(value),
            Err(_) => Err(WireError::Varint { at: start }),
        }
    }

    /// The bytes of a `bytes` or, unchecked, of a `string`.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`], [`WireError::Length`].
    #[inline(always)]
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        // Up to 63 bytes, whose length is one even byte, are most of them.
        if let Some(&byte) = self.bytes.get(self.at)
            && byte & 0x81 == 0
        {
            let start = self.at + 1;
            let end = start + usize::from(byte >> 1);
            if let Some(bytes) = self.bytes.get(start..end) {
                self.at = end;
                return Ok(bytes);
            }
        }
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
        match std::str::from_utf8(self.bytes()?) {
            Ok(text) => Ok(text),
            Err(_) => Err(WireError::Utf8 { at: self.at }),
        }
    }

    /// The bytes of a string, which are checked. For those who only copy it, this is faster than [`Cursor::string`].
    ///
    /// # Errors
    /// As for [`Cursor::string`].
    #[inline(always)]
    pub fn text(&mut self) -> Result<&'a [u8], WireError> {
        let bytes = self.bytes()?;
        if is_utf8(bytes) { Ok(bytes) } else { Err(WireError::Utf8 { at: self.at }) }
    }

    /// The index of a union branch or of an enum symbol, of which there are `count`.
    ///
    /// # Errors
    /// [`WireError::Truncated`], [`WireError::Varint`], [`WireError::Index`].
    #[inline(always)]
    pub fn index(&mut self, count: usize) -> Result<usize, WireError> {
        if let Some(&byte) = self.bytes.get(self.at)
            && byte & 0x81 == 0
            && usize::from(byte >> 1) < count
        {
            self.at += 1;
            return Ok(usize::from(byte >> 1));
        }
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

/// The varint that `bytes` start with, and its length, which is zero if they do not start with one. All by value, so
/// that a caller's position stays in a register.
fn varint(bytes: &[u8]) -> (u64, usize) {
    if let Some((word, last)) = word_of_varint(bytes) {
        return (join_word(word, last), len_of_word(last));
    }
    let mut raw = 0u64;
    for (i, byte) in bytes.iter().take(MAX_VARINT_BYTES).enumerate() {
        raw |= u64::from(byte & 0x7f) << (7 * i);
        if *byte < 0x80 {
            // The last byte has room for one bit.
            let fits = i < MAX_VARINT_BYTES - 1 || *byte <= 1;
            return if fits { (raw, i + 1) } else { (0, 0) };
        }
    }
    (0, 0)
}

/// The first eight bytes as one word, which holds all of a varint in most cases, and the marks that its bytes lack: the
/// lowest is that of the varint's last byte. None if it is longer, or if there are no eight bytes.
#[inline(always)]
pub(crate) fn word_of_varint(bytes: &[u8]) -> Option<(u64, u64)> {
    let word = u64::from_le_bytes(*bytes.first_chunk::<8>()?);
    let last = !word & CONTINUED;
    (last != 0).then_some((word, last))
}

/// The varint of such a word: everything up to the first byte without the mark.
#[inline(always)]
pub(crate) fn join_word(word: u64, last: u64) -> u64 {
    join_groups(word & !CONTINUED & (last ^ (last - 1)))
}

/// Its length: bytes up to the lowest of these marks.
#[inline(always)]
pub(crate) fn len_of_word(last: u64) -> usize {
    last.trailing_zeros() as usize / 8 + 1
}

/// Bytes of the longest varint: ten times seven bits hold 64.
const MAX_VARINT_BYTES: usize = 10;

/// Whether a string is what it says. Most strings are short and ASCII, which is decided without a call.
#[inline]
#[must_use]
pub fn is_utf8(bytes: &[u8]) -> bool {
    bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()
}

/// The bit of each byte of a varint that says that more bytes follow.
const CONTINUED: u64 = 0x8080_8080_8080_8080;

/// The number whose groups of seven bits stand in a byte each, the lowest first.
#[inline]
const fn join_groups(groups: u64) -> u64 {
    let pairs = (groups & 0x007f_007f_007f_007f) | (groups & 0x7f00_7f00_7f00_7f00) >> 1;
    let quads = (pairs & 0x0000_3fff_0000_3fff) | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    (quads & 0x0fff_ffff) | (quads & 0x0fff_ffff_0000_0000) >> 4
}

/// The reverse of [`join_groups`], for numbers below 2^56.
#[inline]
const fn part_groups(raw: u64) -> u64 {
    let quads = (raw & 0x0fff_ffff) | (raw & 0x00ff_ffff_f000_0000) << 4;
    let pairs = (quads & 0x0000_3fff_0000_3fff) | (quads & 0x0fff_c000_0fff_c000) << 2;
    (pairs & 0x007f_007f_007f_007f) | (pairs & 0x3f80_3f80_3f80_3f80) << 1
}

/// The zig-zag code of a number.
#[inline(always)]
pub(crate) const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The varint of a number below 2 to the power of [`WORD_BITS`], and of how many bytes it is.
#[inline(always)]
pub(crate) const fn word_of_long(raw: u64) -> ([u8; 8], usize) {
    let len = (63 - (raw | 1).leading_zeros()) / 7 + 1;
    let continued = CONTINUED & ((1 << (8 * (len - 1))) - 1);
    ((part_groups(raw) | continued).to_le_bytes(), len as usize)
}

/// Eight groups of seven bits.
pub(crate) const WORD_BITS: u32 = 56;

/// Appends a long (or an int, which is encoded alike).
#[inline(always)]
pub fn write_long(out: &mut Vec<u8>, value: i64) {
    let raw = zigzag(value);
    if raw < 0x80 {
        out.push(raw as u8);
    } else if raw >> WORD_BITS == 0 {
        let (word, len) = word_of_long(raw);
        // A whole word is one store; what it has too much is taken back.
        let end = out.len() + len;
        out.extend_from_slice(&word);
        out.truncate(end);
    } else {
        write_long_by_byte(out, raw);
    }
}

#[cold]
fn write_long_by_byte(out: &mut Vec<u8>, mut raw: u64) {
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

/// Appends `len` bytes of `source` from `start` on. Short stretches are copied with a fixed size, which needs no call;
/// what is too much is taken back.
///
/// # Panics
/// If the stretch leaves `source`.
#[inline(always)]
pub(crate) fn copy_stretch(out: &mut Vec<u8>, source: &[u8], start: usize, len: usize) {
    let from = &source[start..];
    match (from.first_chunk::<SHORT>(), from.first_chunk::<MIDDLE>()) {
        (Some(chunk), _) if len <= SHORT => {
            let end = out.len() + len;
            out.extend_from_slice(chunk);
            out.truncate(end);
        }
        (_, Some(chunk)) if len <= MIDDLE => {
            let end = out.len() + len;
            out.extend_from_slice(chunk);
            out.truncate(end);
        }
        _ => out.extend_from_slice(&from[..len]),
    }
}

/// Bytes that are copied at once: most strings are shorter than the first, most runs of fields than the second.
const SHORT: usize = 32;
const MIDDLE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_come_back() {
        let powers = (0..63).map(|shift| 1i64 << shift);
        let around = powers.flat_map(|p| [p - 1, p, p + 1, -p - 1, -p, -p + 1]);
        for value in around.chain([0, 0x0123_4567_89ab_cdef, i64::MAX, i64::MIN]) {
            let mut out = Vec::new();
            write_long(&mut out, value);
            let mut plain = Vec::new();
            write_long_by_byte(&mut plain, zigzag(value));
            assert_eq!(out, plain, "{value}");
            // With and without bytes behind it, which are not part of it.
            for padding in [0, 1, 9] {
                let padded = [out.as_slice(), &[0xff; 9][..padding]].concat();
                let mut cursor = Cursor::new(&padded);
                assert_eq!(cursor.long(), Ok(value), "{value}");
                assert_eq!(cursor.left(), padding, "{value}");
                let mut passing = Cursor::new(&padded);
                assert_eq!((passing.pass_long(), passing.left()), (Ok(()), padding), "{value}");
            }
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
    fn longer_codes_of_a_number_are_taken_too() {
        // Avro does not ask for the shortest code.
        assert_eq!(Cursor::new(&[0x82, 0x80, 0x00, 7, 7, 7, 7, 7]).long(), Ok(1));
        assert_eq!(Cursor::new(&[0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]).long(), Ok(1));
    }

    #[test]
    fn a_stretch_is_copied_whatever_its_length() {
        let source: Vec<u8> = (0..=255).collect();
        for start in [0, 1, 180, 230, 256] {
            for len in 0..=source.len() - start {
                let mut out = vec![9];
                copy_stretch(&mut out, &source, start, len);
                assert_eq!(out[0], 9);
                assert_eq!(out[1..], source[start..start + len], "{len} from {start}");
            }
        }
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
