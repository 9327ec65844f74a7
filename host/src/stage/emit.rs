//! Answers become batches for topics: values from the boundary, keys, headers, timestamps.

use bespoke_boundary::{Answers, Verdict};
use bespoke_record::{Batch, Entry, Full, Span, v2};
use bytes::Bytes;

use super::key::{KeyError, KeyPlan};
use crate::schema::framing::{KEY_HEADER, VALUE_HEADER};

/// Collects the records of one output of one call. The arena already holds the values.
pub struct Emitter {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Option<Span>)>,
    /// Headers that every record gets.
    common: Vec<(Span, Option<Span>)>,
    /// No record takes more bytes, with all that is written around it.
    bound: usize,
}

/// A record that cannot be emitted.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// It has no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The batch would be too large.
    #[error(transparent)]
    Full(#[from] Full),
}

impl Emitter {
    /// Starts with the bytes of the answers, to which spans refer.
    #[must_use]
    pub fn new(arena: Vec<u8>, records: usize) -> Self {
        Self { arena, entries: Vec::with_capacity(records), headers: Vec::new(), common: Vec::new(), bound: 0 }
    }

    /// Every record gets this header, but a tombstone none that names a schema. To be called before the first record.
    ///
    /// # Errors
    /// [`Full`].
    pub fn header(&mut self, name: &str, value: &[u8]) -> Result<(), Full> {
        let name = self.write(name.as_bytes())?;
        let value = self.write(value)?;
        self.common.push((name, Some(value)));
        Ok(())
    }

    /// A record whose value is a span of the arena, framed by `framing` bytes, with key and headers of `input`, but for
    /// those that name schemas of what is replaced. A key plan makes another key.
    ///
    /// # Errors
    /// [`EmitError`]; then it is not in.
    pub fn answer(
        &mut self,
        value: Span,
        framing: usize,
        key_plan: Option<&KeyPlan>,
        (batch, index): (&Batch, usize),
    ) -> Result<(), EmitError> {
        let before = self.arena.len();
        let input = &batch.entries()[index];
        let key = match key_plan {
            Some(plan) => Some(self.derived(value, framing, plan)?),
            None => input.key.map(|k| self.write(k.of(batch.arena()))).transpose()?,
        };
        let first_header = self.headers.len() as u32;
        let made = if key_plan.is_some() { &[VALUE_HEADER, KEY_HEADER][..] } else { &[VALUE_HEADER] };
        let copied = self.copy_headers(batch, input, made);
        if let Err(full) = copied {
            self.arena.truncate(before);
            self.headers.truncate(first_header as usize);
            return Err(full.into());
        }
        self.headers.extend_from_slice(&self.common);
        let headers = self.headers.len() as u32 - first_header;
        let timestamp_ms = input.timestamp_ms;
        self.add(Entry { key, value: Some(value), first_header, headers, timestamp_ms, offset: 0 });
        Ok(())
    }

    /// A tombstone as it came.
    ///
    /// # Errors
    /// [`Full`]; then it is not in.
    pub fn tombstone(&mut self, batch: &Batch, index: usize) -> Result<(), Full> {
        let input = &batch.entries()[index];
        let key = input.key.map(|k| self.write(k.of(batch.arena()))).transpose()?;
        let first_header = self.headers.len() as u32;
        self.copy_headers(batch, input, &[VALUE_HEADER])?;
        let is_of_value = |name: Span| name.of(&self.arena) == VALUE_HEADER.as_bytes();
        self.headers.extend(self.common.iter().filter(|(name, _)| !is_of_value(*name)));
        let headers = self.headers.len() as u32 - first_header;
        let timestamp_ms = input.timestamp_ms;
        self.add(Entry { key, value: None, first_header, headers, timestamp_ms, offset: 0 });
        Ok(())
    }

    /// A row that belongs to no single record.
    ///
    /// # Errors
    /// [`EmitError`]; then it is not in.
    pub fn row(
        &mut self,
        value: Span,
        framing: usize,
        key: Option<&KeyPlan>,
        timestamp_ms: i64,
    ) -> Result<(), EmitError> {
        let key = key.map(|plan| self.derived(value, framing, plan)).transpose()?;
        // All rows share their headers: rows have no others.
        if self.headers.is_empty() {
            self.headers.extend_from_slice(&self.common);
        }
        let (first_header, headers) = (0, self.common.len() as u32);
        self.add(Entry { key, value: Some(value), first_header, headers, timestamp_ms, offset: 0 });
        Ok(())
    }

    /// Bytes of the largest record, with all that is written around it, if that is more than `limit`.
    #[must_use]
    pub fn larger_than(&self, limit: usize) -> Option<u64> {
        // Nearly always the bound says enough.
        if self.bound <= limit {
            return None;
        }
        let largest = self.entries.iter().map(|entry| v2::parts_bytes(entry, self.headers_of(entry))).max();
        largest.filter(|bytes| *bytes > limit as u64)
    }

    fn headers_of(&self, entry: &Entry) -> &[(Span, Option<Span>)] {
        let first = entry.first_header as usize;
        &self.headers[first..first + entry.headers as usize]
    }

    fn add(&mut self, entry: Entry) {
        let headers = self.headers_of(&entry);
        let in_headers: usize = headers
            .iter()
            .map(|(n, v)| n.len as usize + v.map_or(0, |v| v.len as usize) + v2::AROUND_HEADER_BYTES)
            .sum();
        let parts = [entry.key, entry.value].into_iter().flatten().map(|span| span.len as usize);
        self.bound = self.bound.max(parts.sum::<usize>() + in_headers + v2::AROUND_RECORD_BYTES);
        self.entries.push(entry);
    }

    /// How many are in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The batch.
    #[must_use]
    pub fn finish(mut self) -> Option<Batch> {
        // The batch may live for long, and is counted by its length.
        if self.arena.capacity() > 2 * self.arena.len() {
            self.arena.shrink_to_fit();
        }
        // Every span was written into this arena, so that the check cannot fail.
        Batch::from_parts(Bytes::from(self.arena), self.entries, self.headers).ok()
    }

    fn derived(&mut self, value: Span, framing: usize, plan: &KeyPlan) -> Result<Span, EmitError> {
        let framed = value.start as usize;
        // The key goes to the end of the arena that holds the value, so the two are split.
        let mut key = Vec::with_capacity(32);
        plan.write(&self.arena[framed + framing..framed + value.len as usize], &mut key)?;
        Ok(self.write(&key)?)
    }

    fn copy_headers(&mut self, batch: &Batch, input: &Entry, but: &[&str]) -> Result<(), Full> {
        let first = input.first_header as usize;
        for (name, value) in &batch.header_spans()[first..first + input.headers as usize] {
            if but.iter().any(|other| name.of(batch.arena()) == other.as_bytes()) {
                continue;
            }
            let name = self.write(name.of(batch.arena()))?;
            let value = value.map(|v| self.write(v.of(batch.arena()))).transpose()?;
            self.headers.push((name, value));
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Span, Full> {
        Span::append(&mut self.arena, bytes)
    }
}

/// The reason that a module gave for a rejected record.
#[must_use]
pub fn reason(answers: &Answers, verdict: Verdict) -> Option<String> {
    match verdict {
        Verdict::Rejected(span) => Some(String::from_utf8_lossy(span.of(&answers.arena)).into_owned()),
        Verdict::Value(_) | Verdict::Dropped => None,
    }
}

#[cfg(test)]
mod tests {
    use bespoke_boundary::Schema;
    use bespoke_record::BatchBuilder;

    use super::*;

    #[test]
    fn headers_that_name_what_was_replaced_do_not_come_along() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}"#;
        let plan = KeyPlan::compile(&Schema::parse(schema).expect("a schema"), &["a".to_owned()]).expect("a key");
        let mut input = BatchBuilder::new();
        let headers = [(KEY_HEADER, Some(&b"k"[..])), ("other", None), (VALUE_HEADER, Some(&b"v"[..]))];
        input.push(Some(b"key"), Some(b"value"), headers, 0).expect("room");
        input.push(Some(b"key"), None, headers, 0).expect("room");
        let input = input.finish();
        let mut emitter = Emitter::new(b"\x02x".to_vec(), 3);
        emitter.header(VALUE_HEADER, b"own").expect("room");
        emitter.header("module", b"m").expect("room");
        let value = Span { start: 0, len: 2 };
        emitter.answer(value, 0, None, (&input, 0)).expect("in");
        emitter.answer(value, 0, Some(&plan), (&input, 0)).expect("in");
        emitter.tombstone(&input, 1).expect("in");
        let batch = emitter.finish().expect("a batch");
        let (own, module) = ((VALUE_HEADER, Some(&b"own"[..])), ("module", Some(&b"m"[..])));
        let (key, other) = ((KEY_HEADER, Some(&b"k"[..])), ("other", None));
        let headers = |index: usize| batch.get(index).headers().collect::<Vec<_>>();
        assert_eq!(headers(0), [key, other, own, module]);
        assert_eq!((headers(1), batch.get(1).key()), (vec![other, own, module], Some(&b"x"[..])));
        assert_eq!(headers(2), [key, other, module]);
    }

    #[test]
    fn rows_share_their_headers() {
        let mut emitter = Emitter::new(b"value".to_vec(), 2);
        emitter.header(VALUE_HEADER, b"own").expect("room");
        emitter.header("module", b"m").expect("room");
        for _ in 0..2 {
            emitter.row(Span { start: 0, len: 5 }, 0, None, 7).expect("in");
        }
        let batch = emitter.finish().expect("a batch");
        assert!(batch.iter().all(|row| row.headers().len() == 2 && row.timestamp_ms() == 7));
        assert_eq!(batch.header_spans().len(), 2);
    }
}
