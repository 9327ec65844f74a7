//! Answers become batches for topics: values from the boundary, keys, headers, timestamps.

use bespoke_boundary::{Answers, Verdict};
use bespoke_record::{Batch, Entry, Span, v2};
use bytes::Bytes;

use super::key::{KeyError, KeyPlan};

/// Collects the records of one output of one call. The arena already holds the values.
pub struct Emitter {
    arena: Vec<u8>,
    entries: Vec<Entry>,
    headers: Vec<(Span, Option<Span>)>,
    provenance: Option<(Span, Option<Span>)>,
    largest: usize,
}

/// A record that cannot be emitted.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// It has no key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The batch would be too large.
    #[error("the records of one batch take more than 4 GiB")]
    Full,
}

impl Emitter {
    /// Starts with the bytes of the answers, to which spans refer.
    #[must_use]
    pub fn new(arena: Vec<u8>, records: usize) -> Self {
        Self { arena, entries: Vec::with_capacity(records), headers: Vec::new(), provenance: None, largest: 0 }
    }

    /// Every record gets this header.
    ///
    /// # Errors
    /// [`EmitError::Full`].
    pub fn provenance(&mut self, name: &str, value: &str) -> Result<(), EmitError> {
        let name = self.write(name.as_bytes())?;
        let value = self.write(value.as_bytes())?;
        self.provenance = Some((name, Some(value)));
        Ok(())
    }

    /// A record whose value is a span of the arena, framed by `framing` bytes, with key and headers of `input`.
    /// A key plan makes another key.
    ///
    /// # Errors
    /// [`EmitError`]; then it is not in.
    pub fn answer(
        &mut self,
        value: Span,
        framing: usize,
        key: Option<&KeyPlan>,
        (batch, index): (&Batch, usize),
    ) -> Result<(), EmitError> {
        let before = self.arena.len();
        let input = &batch.entries()[index];
        let key = match key {
            Some(plan) => Some(self.derived(value, framing, plan)?),
            None => input.key.map(|k| self.write(k.of(batch.arena()))).transpose()?,
        };
        let first_header = self.headers.len() as u32;
        let copied = self.copy_headers(batch, input);
        if let Err(full) = copied {
            self.arena.truncate(before);
            self.headers.truncate(first_header as usize);
            return Err(full);
        }
        let headers = self.headers.len() as u32 - first_header;
        let timestamp_ms = input.timestamp_ms;
        self.add(Entry { key, value: Some(value), first_header, headers, timestamp_ms, offset: 0 });
        Ok(())
    }

    /// A tombstone as it came.
    ///
    /// # Errors
    /// [`EmitError::Full`]; then it is not in.
    pub fn tombstone(&mut self, batch: &Batch, index: usize) -> Result<(), EmitError> {
        let input = &batch.entries()[index];
        let key = input.key.map(|k| self.write(k.of(batch.arena()))).transpose()?;
        let first_header = self.headers.len() as u32;
        self.copy_headers(batch, input)?;
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
        let first_header = self.headers.len() as u32;
        // All rows share the one header, if there is one.
        let (first_header, headers) = match self.provenance {
            Some(header) if self.headers.is_empty() => {
                self.headers.push(header);
                (first_header, 1)
            }
            Some(_) => (0, 1),
            None => (0, 0),
        };
        self.add(Entry { key, value: Some(value), first_header, headers, timestamp_ms, offset: 0 });
        Ok(())
    }

    /// Bytes of the largest record, with all that is written around it.
    #[must_use]
    pub fn largest_bytes(&self) -> usize {
        self.largest
    }

    fn add(&mut self, entry: Entry) {
        let first = entry.first_header as usize;
        let headers = &self.headers[first..first + entry.headers as usize];
        let in_headers: usize = headers
            .iter()
            .map(|(n, v)| n.len as usize + v.map_or(0, |v| v.len as usize) + v2::AROUND_HEADER_BYTES)
            .sum();
        let parts = [entry.key, entry.value].into_iter().flatten().map(|span| span.len as usize);
        self.largest = self.largest.max(parts.sum::<usize>() + in_headers + v2::AROUND_RECORD_BYTES);
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
    pub fn finish(self) -> Option<Batch> {
        // Every span was written into this arena, so that the check cannot fail.
        Batch::from_parts(Bytes::from(self.arena), self.entries, self.headers).ok()
    }

    fn derived(&mut self, value: Span, framing: usize, plan: &KeyPlan) -> Result<Span, EmitError> {
        let (start, framed) = (self.arena.len(), value.start as usize);
        // The key goes to the end of the arena that holds the value, so the two are split.
        let mut key = Vec::with_capacity(32);
        plan.write(&self.arena[framed + framing..framed + value.len as usize], &mut key)?;
        self.arena.extend_from_slice(&key);
        span(start, key.len())
    }

    fn copy_headers(&mut self, batch: &Batch, input: &Entry) -> Result<(), EmitError> {
        let first = input.first_header as usize;
        for (name, value) in &batch.header_spans()[first..first + input.headers as usize] {
            let name = self.write(name.of(batch.arena()))?;
            let value = value.map(|v| self.write(v.of(batch.arena()))).transpose()?;
            self.headers.push((name, value));
        }
        self.headers.extend(self.provenance);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Span, EmitError> {
        let start = self.arena.len();
        let span = span(start, bytes.len())?;
        self.arena.extend_from_slice(bytes);
        Ok(span)
    }
}

fn span(start: usize, len: usize) -> Result<Span, EmitError> {
    match (u32::try_from(start), u32::try_from(start + len)) {
        (Ok(start), Ok(_)) => Ok(Span { start, len: len as u32 }),
        _ => Err(EmitError::Full),
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
