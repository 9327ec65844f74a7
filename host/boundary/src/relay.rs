//! The short way out of a module, for answers in which only numbers are the module's and all else passes.
//!
//! A [`Relay`] is compiled from the pieces of an [`OutputPlan`](crate::answer::OutputPlan). How long records can become at most
//! is known before the first is written, so that all are written into one stretch of bytes, by a position that stays in a
//! register. Measured, 9 ns a record instead of 15.
//!
//! It writes all of the records or says nothing; the pieces know what is wrong with an answer.

use bespoke_record::Span;

use crate::answer::{List, Piece, Verdict};
use crate::guest::Guest;
use crate::stage::Row;
use crate::wire::{WORD_BITS, word_of_long, zigzag};
use crate::write::Write;

/// How to write records of one plan.
#[derive(Debug)]
pub(crate) struct Relay {
    /// The framing, and how much of it counts.
    prefix: [u8; 8],
    prefix_len: usize,
    links: Box<[Link]>,
    /// Bytes of a record at most, beyond those of the one that came in.
    beyond: usize,
}

/// What passes from a mark to another, which may be the same, then what the module answers.
#[derive(Debug, Default)]
struct Link {
    from: usize,
    to: usize,
    fields: Vec<Field>,
}

/// A field that the module answers: in the list `column`, at `offset` within its item.
#[derive(Debug)]
struct Field {
    column: usize,
    offset: usize,
    form: Form,
}

/// How a number stands in the guest's memory, and how it is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Bool,
    S32,
    S64,
    F32,
    F64,
}

/// A field of the next row.
#[derive(Clone, Copy, Debug)]
struct Source {
    form: Form,
    at: usize,
    /// Bytes from row to row.
    step: usize,
}

/// What passes.
#[derive(Clone, Copy)]
pub(crate) struct Passing<'a> {
    pub rows: &'a [Row],
    /// A column for each mark, of `stride` rows.
    pub marks: &'a [u32],
    pub stride: usize,
    pub input: &'a [u8],
    pub converted: &'a [u8],
}

/// Bytes that are written in one go, of which only the first may count: behind the last record there are so many more.
const AHEAD: usize = 64;
/// The same for a number.
const WORD: usize = 8;

// === impl Relay ===

impl Relay {
    /// None if the records need more than this.
    pub fn compile(prefix: &[u8], pieces: &[Piece]) -> Option<Self> {
        let mut padded = [0; WORD];
        padded.get_mut(..prefix.len())?.copy_from_slice(prefix);
        let (mut links, mut link) = (Vec::new(), Link::default());
        for piece in pieces {
            match piece {
                Piece::Copy { from, to } => {
                    links.push(std::mem::replace(&mut link, Link { from: *from, to: *to, fields: Vec::new() }));
                }
                Piece::Guest { column, offset, write } => {
                    let form = match write {
                        Write::Bool => Form::Bool,
                        Write::S32 => Form::S32,
                        Write::S64 => Form::S64,
                        Write::F32 => Form::F32,
                        Write::F64 => Form::F64,
                        Write::String | Write::Bytes | Write::Nested(_) => return None,
                    };
                    link.fields.push(Field { column: *column as usize, offset: *offset as usize, form });
                }
                Piece::Default(_) => return None,
            }
        }
        links.push(link);
        links.retain(|link| link.from != link.to || !link.fields.is_empty());
        let beyond =
            prefix.len() + links.iter().flat_map(|link| &link.fields).map(|field| field.form.most()).sum::<usize>();
        Some(Self { prefix: padded, prefix_len: prefix.len(), links: links.into(), beyond })
    }

    /// Writes all rows. None if that cannot be done in this way; what was added must be taken away then.
    pub fn run(
        &self,
        guest: Guest<'_>,
        lists: &[List],
        passing: Passing<'_>,
        arena: &mut Vec<u8>,
        verdicts: &mut Vec<Verdict>,
    ) -> Option<()> {
        let came: usize = passing.rows.iter().map(|row| row.datum.len as usize).sum();
        let most = arena.len() + came + passing.rows.len() * self.beyond;
        if most > guest.limit {
            return None;
        }
        let source = |field: &Field| {
            let list = lists.get(field.column)?;
            Some(Source { form: field.form, at: list.start + field.offset, step: list.size })
        };
        let fields = self.links.iter().flat_map(|link| &link.fields);
        let mut sources: Vec<Source> = fields.map(source).collect::<Option<_>>()?;
        let mut at = arena.len();
        arena.resize(most + AHEAD, 0);
        let out = arena.as_mut_slice();
        for (number, row) in passing.rows.iter().enumerate() {
            let start = at;
            put(out, at, self.prefix)?;
            at += self.prefix_len;
            let from = passing.arena(row);
            let mut rest = sources.as_mut_slice();
            for link in &self.links {
                let first = passing.mark(link.from, number)?;
                let len = passing.mark(link.to, number)?.checked_sub(first)?;
                copy(out, at, from, first, len)?;
                at += len;
                let (here, others) = rest.split_at_mut_checked(link.fields.len())?;
                for source in here {
                    at += source.next(guest, out, at)?;
                }
                rest = others;
            }
            verdicts.push(Verdict::Value(Span { start: start as u32, len: (at - start) as u32 }));
        }
        arena.truncate(at);
        Some(())
    }
}

impl Form {
    /// Bytes at most. A long that takes more is not written in this way.
    fn most(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::S32 => 5,
            Self::F32 => 4,
            Self::S64 | Self::F64 => 8,
        }
    }
}

impl Source {
    /// Writes the number of this row, and goes to the next. How many bytes it takes.
    #[inline(always)]
    fn next(&mut self, guest: Guest<'_>, out: &mut [u8], to: usize) -> Option<usize> {
        let at = self.at;
        self.at += self.step;
        // One after the other, since a jump by a table, taken for each number of each row, would cost more than its work.
        if matches!(self.form, Form::F64) {
            put::<8>(out, to, guest.get(at).ok()?)?;
            return Some(8);
        }
        let value = match self.form {
            Form::S32 => i64::from(i32::from_le_bytes(guest.get(at).ok()?)),
            Form::S64 => i64::from_le_bytes(guest.get(at).ok()?),
            _ => return self.rare(guest, at, out, to),
        };
        let (word, len) = long(value)?;
        put(out, to, word)?;
        Some(len)
    }

    #[inline(never)]
    fn rare(self, guest: Guest<'_>, at: usize, out: &mut [u8], to: usize) -> Option<usize> {
        if matches!(self.form, Form::Bool) {
            put(out, to, [u8::from(guest.get::<1>(at).ok()? != [0])])?;
            return Some(1);
        }
        put::<4>(out, to, guest.get(at).ok()?)?;
        Some(4)
    }
}

/// The bytes of a long, if a word holds them.
#[inline(always)]
fn long(value: i64) -> Option<([u8; WORD], usize)> {
    let raw = zigzag(value);
    if raw < 1 << 14 {
        // Of one byte or of two, which answers mix in a way that no branch can foresee.
        let second = u64::from(raw > 0x7f);
        let word = (raw & 0x7f) | second << 7 | (raw >> 7) << 8;
        return Some((word.to_le_bytes(), 1 + second as usize));
    }
    (raw >> WORD_BITS == 0).then(|| word_of_long(raw))
}

impl Passing<'_> {
    #[inline(always)]
    fn mark(&self, mark: usize, row: usize) -> Option<usize> {
        self.marks.get(mark * self.stride + row).map(|at| *at as usize)
    }

    #[inline(always)]
    fn arena(&self, row: &Row) -> &[u8] {
        match row.arena {
            crate::heap::Arena::Input => self.input,
            _ => self.converted,
        }
    }
}

#[inline(always)]
fn put<const N: usize>(out: &mut [u8], at: usize, bytes: [u8; N]) -> Option<()> {
    *out.get_mut(at..)?.first_chunk_mut::<N>()? = bytes;
    Some(())
}

/// Copies a stretch; a short one with a fixed size, which needs no call, and what is too much is written over.
#[inline(always)]
fn copy(out: &mut [u8], at: usize, source: &[u8], start: usize, len: usize) -> Option<()> {
    let from = source.get(start..)?;
    let to = out.get_mut(at..)?;
    if len <= AHEAD / 2
        && let (Some(from), Some(to)) = (from.first_chunk::<{ AHEAD / 2 }>(), to.first_chunk_mut())
    {
        *to = *from;
    } else if len <= AHEAD
        && let (Some(from), Some(to)) = (from.first_chunk::<AHEAD>(), to.first_chunk_mut())
    {
        *to = *from;
    } else {
        to.get_mut(..len)?.copy_from_slice(from.get(..len)?);
    }
    Some(())
}
