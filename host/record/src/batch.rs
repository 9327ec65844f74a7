//! One arena, many slices.

use bytes::Bytes;

/// Where a slice lies in an arena. An arena is at most `u32::MAX` bytes long.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// The index entry of one record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The key, if the record has one.
    pub key: Option<Span>,
    /// The value; none is a tombstone.
    pub value: Option<Span>,
    /// First header in the batch's list of headers.
    pub first_header: u32,
    /// How many headers.
    pub headers: u32,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Offset in the partition; 0 in a batch that is not yet in a log.
    pub offset: i64,
}

/// Records of one partition, in order of their offsets. Cloning is cheap for the arena and copies the index.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    arena: Bytes,
    entries: Vec<Entry>,
    headers: Vec<(Span, Option<Span>)>,
}

/// A record as a view into its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    batch: &'a Batch,
    entry: &'a Entry,
}

/// A header: a name and a value that may be absent.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// Collects records into a [`Batch`].
#[derive(Default, Debug)]
pub struct BatchBuilder {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Option<Span>)>,
}

/// The arena would pass 4 GiB.
#[derive(Debug, thiserror::Error)]
#[error("a batch holds at most 4 GiB")]
pub struct Full;

// === impl Span ===

impl Span {
    /// Appends bytes to an arena.
    ///
    /// # Errors
    /// [`Full`], and then the arena is as before.
    #[inline]
    pub fn append(arena: &mut Vec<u8>, bytes: &[u8]) -> Result<Self, Full> {
        let (start, len) = (arena.len(), bytes.len());
        if start as u64 + len as u64 > u64::from(u32::MAX) {
            return Err(Full);
        }
        arena.extend_from_slice(bytes);
        Ok(Self { start: start as u32, len: len as u32 })
    }

    /// The bytes.
    ///
    /// # Panics
    /// If the span is not of this arena.
    #[inline]
    #[must_use]
    pub fn of(self, arena: &[u8]) -> &[u8] {
        &arena[self.start as usize..self.start as usize + self.len as usize]
    }
}

// === impl Batch ===

impl Batch {
    /// A batch over bytes that were indexed by the caller, typically a fetched RecordBatch that stays as it is.
    ///
    /// # Errors
    /// A span that leaves the arena, header indices that leave `headers`, or header names that are not UTF-8.
    pub fn from_parts(
        arena: Bytes,
        entries: Vec<Entry>,
        headers: Vec<(Span, Option<Span>)>,
    ) -> Result<Self, InvalidParts> {
        let inside = |span: Span| u64::from(span.start) + u64::from(span.len) <= arena.len() as u64;
        for entry in &entries {
            let spans = [entry.key, entry.value];
            let last = u64::from(entry.first_header) + u64::from(entry.headers);
            if !spans.into_iter().flatten().all(inside) || last > headers.len() as u64 {
                return Err(InvalidParts);
            }
        }
        for (name, value) in &headers {
            if !inside(*name) || !value.is_none_or(inside) || std::str::from_utf8(name.of(&arena)).is_err() {
                return Err(InvalidParts);
            }
        }
        Ok(Self { arena, entries, headers })
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes that the spans point into.
    #[inline]
    #[must_use]
    pub fn arena(&self) -> &Bytes {
        &self.arena
    }

    /// The index.
    #[inline]
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The headers that entries refer to: spans of names and values.
    #[must_use]
    pub fn header_spans(&self) -> &[(Span, Option<Span>)] {
        &self.headers
    }

    /// The record at an index of this batch.
    ///
    /// # Panics
    /// If there is no such record.
    #[must_use]
    pub fn get(&self, index: usize) -> Record<'_> {
        Record { batch: self, entry: &self.entries[index] }
    }

    /// The records in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| Record { batch: self, entry })
    }

    /// The offset after the last record: where to read on.
    #[must_use]
    pub fn next_offset(&self) -> Option<i64> {
        self.entries.last().map(|e| e.offset + 1)
    }

    /// A batch of the records in `range`, sharing the arena.
    ///
    /// # Panics
    /// If the range leaves the batch.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        let mut entries = self.entries[range].to_vec();
        // Only the headers in use are copied: a long batch is handed out in many slices.
        let used = || entries.iter().filter(|e| e.headers > 0);
        let first = used().map(|e| e.first_header).min().unwrap_or(0);
        let end = used().map(|e| e.first_header + e.headers).max().unwrap_or(0);
        let headers = self.headers[first as usize..end as usize].to_vec();
        for entry in &mut entries {
            entry.first_header = if entry.headers > 0 { entry.first_header - first } else { 0 };
        }
        Self { arena: self.arena.clone(), entries, headers }
    }
}

/// Spans that do not fit their arena.
#[derive(Debug, thiserror::Error)]
#[error("the index does not fit the bytes")]
pub struct InvalidParts;

// === impl Record ===

impl<'a> Record<'a> {
    /// The key, if there is one.
    #[must_use]
    pub fn key(&self) -> Option<&'a [u8]> {
        self.entry.key.map(|s| s.of(&self.batch.arena))
    }

    /// The value; none is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        self.entry.value.map(|s| s.of(&self.batch.arena))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn timestamp_ms(&self) -> i64 {
        self.entry.timestamp_ms
    }

    /// Offset in the partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.entry.offset
    }

    /// The headers in order; a name may come more than once.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> + use<'a> {
        let first = self.entry.first_header as usize;
        let batch = self.batch;
        batch.headers[first..first + self.entry.headers as usize].iter().map(move |(name, value)| {
            let name = std::str::from_utf8(name.of(&batch.arena)).unwrap_or_default();
            (name, value.map(|v| v.of(&batch.arena)))
        })
    }
}

// === impl BatchBuilder ===

impl BatchBuilder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys, values and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`Full`], and then the batch is as before.
    pub fn push<'h>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = Header<'h>>,
        timestamp_ms: i64,
    ) -> Result<(), Full> {
        let (arena_before, headers_before) = (self.arena.len(), self.headers.len());
        let added = (|| {
            let key = key.map(|k| self.write(k)).transpose()?;
            let value = value.map(|v| self.write(v)).transpose()?;
            for (name, content) in headers {
                let name = self.write(name.as_bytes())?;
                let content = content.map(|c| self.write(c)).transpose()?;
                self.headers.push((name, content));
            }
            Ok((key, value))
        })();
        match added {
            Ok((key, value)) => {
                let first_header = headers_before as u32;
                let headers = (self.headers.len() - headers_before) as u32;
                self.entries.push(Entry { key, value, first_header, headers, timestamp_ms, offset: 0 });
                Ok(())
            }
            Err(full) => {
                self.arena.truncate(arena_before);
                self.headers.truncate(headers_before);
                Err(full)
            }
        }
    }

    /// The batch; the builder's memory goes with it.
    #[must_use]
    pub fn finish(self) -> Batch {
        Batch { arena: Bytes::from(self.arena), entries: self.entries, headers: self.headers }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Span, Full> {
        Span::append(&mut self.arena, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut builder = BatchBuilder::new();
        builder.push(Some(b"k"), Some(b"value"), [("h", Some(&b"x"[..])), ("n", None)], 7).expect("room");
        builder.push(None, None, [], 8).expect("room");
        let batch = builder.finish();
        let record = batch.get(0);
        assert_eq!((record.key(), record.value()), (Some(&b"k"[..]), Some(&b"value"[..])));
        assert_eq!(record.headers().collect::<Vec<_>>(), [("h", Some(&b"x"[..])), ("n", None)]);
        let tombstone = batch.get(1);
        assert_eq!((tombstone.key(), tombstone.value(), tombstone.headers().len()), (None, None, 0));
    }

    #[test]
    fn a_slice_keeps_the_headers_of_its_records() {
        let mut builder = BatchBuilder::new();
        for name in ["a", "b", "c"] {
            builder.push(None, None, [(name, None), ("x", None)], 0).expect("room");
            builder.push(None, None, [], 0).expect("room");
        }
        let slice = builder.finish().slice(1..4);
        let names = |i: usize| slice.get(i).headers().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!((names(0), names(1), names(2)), (vec![], vec!["b", "x"], vec![]));
        assert_eq!(slice.header_spans().len(), 2);
        assert_eq!(slice.slice(2..3).get(0).headers().len(), 0);
        assert!(slice.slice(2..3).header_spans().is_empty());
    }

    #[test]
    fn spans_outside_the_arena_are_refused() {
        let entry = Entry {
            key: None,
            value: Some(Span { start: 3, len: 2 }),
            first_header: 0,
            headers: 0,
            timestamp_ms: 0,
            offset: 0,
        };
        assert!(Batch::from_parts(Bytes::from_static(b"1234"), vec![entry], vec![]).is_err());
        assert!(Batch::from_parts(Bytes::from_static(b"12345"), vec![entry], vec![]).is_ok());
    }
}
