//! The short way through records: all of them at once, a field at a time.
//!
//! A [`Walk`] is compiled from the steps of an [`InputPlan`](crate::stage::InputPlan). Where the steps take one record after
//! the other, and decide for each field of each record what is to be done, a walk decides it once for the field and does it
//! in all records, whose positions are a column of numbers. Measured, 11 ns a record instead of 25.
//!
//! It takes what is good and knows no errors: on anything else it gives up, and the steps, which know what is wrong, are
//! taken instead. Positions only grow, so that it is enough to compare them with the ends of the records at the end. Must
//! not take any bytes that the steps refuse, nor make anything else of them.

use bespoke_record::Span;

use crate::heap::{Arena, Heap, Place};
use crate::read::{MAX_RECORD_BYTES, Origin, Read};
use crate::resolve::Leaf;
use crate::stage::Step;
use crate::wire::{Cursor, is_utf8, join_word, len_of_word, unzigzag, word_of_varint};

/// How to go through records of one plan: from mark to mark.
#[derive(Debug)]
pub(crate) struct Walk {
    stretches: Box<[Box<[Next]>]>,
    /// What a step may take in the heap, so that all of them together stay below the limit of a record.
    step_bytes: usize,
}

/// What stands next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Fixed(u32),
    Boolean,
    Int,
    Long,
    /// So many lengths with their bytes.
    Bytes(u32),
    Enum(u32),
    FixedUnion([u32; 2]),
    PutBool(Slot),
    PutS32(Slot),
    PutS64(Slot),
    PutF32(Slot),
    PutF64(Slot),
    PutText(Slot),
    PutBytes(Slot),
    /// The step of this number, as it is.
    Step(u32),
}

/// Where a field of a row is: in the list `top`, at `offset` within its item of `size` bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub top: u32,
    pub offset: u32,
    pub size: u32,
}

/// Records in a row, and where they go.
pub(crate) struct Target<'a> {
    pub heap: &'a mut Heap,
    pub tops: &'a [Place],
    /// The row of the first.
    pub row: u32,
    /// Where their data stand.
    pub arena: Arena,
    pub bytes: &'a [u8],
    /// Of each its index in the batch, and its datum.
    pub records: &'a [(usize, Span)],
}

// === impl Slot ===

impl Slot {
    #[inline(always)]
    pub fn of(self, tops: &[Place], row: u32) -> Place {
        tops[self.top as usize].at(row * self.size + self.offset)
    }
}

// === impl Walk ===

impl Walk {
    /// `steps`, each with whether the position behind it is a mark.
    pub fn compile(steps: &[(Step, bool)]) -> Self {
        let (mut stretches, mut stretch, mut whole_steps) = (Vec::new(), Vec::new(), 0);
        for (number, (step, marked)) in steps.iter().enumerate() {
            let short: Option<Vec<Next>> = match step {
                Step::Skip(skip) => skip.leaves().and_then(|leaves| leaves.into_iter().map(pass).collect()),
                Step::Field(slot, read) => put(*slot, read).map(|next| vec![next]),
            };
            whole_steps += usize::from(short.is_none());
            stretch.extend(short.unwrap_or_else(|| vec![Next::Step(number as u32)]));
            if *marked {
                stretches.push(std::mem::take(&mut stretch).into());
            }
        }
        Self { stretches: stretches.into(), step_bytes: MAX_RECORD_BYTES / whole_steps.max(1) }
    }

    /// Goes through the records, notes their marks, and puts their fields in place. `marks` are columns of `stride` numbers,
    /// in which the first record is at the start. None if that cannot be done in this way; the rows, the marks and what was
    /// added to the heap may be anything then.
    pub fn run(&self, steps: &[(Step, bool)], target: &mut Target<'_>, marks: &mut [u32], stride: usize) -> Option<()> {
        let count = target.records.len();
        let mut columns = marks.chunks_mut(stride.max(1)).map(|column| &mut column[..count]);
        let mut last = columns.next()?;
        for (at, (_, datum)) in last.iter_mut().zip(target.records) {
            *at = datum.start;
        }
        for (stretch, column) in self.stretches.iter().zip(columns) {
            column.copy_from_slice(last);
            for next in stretch {
                self.take(*next, steps, target, column)?;
            }
            last = column;
        }
        let is_end = |(at, (_, datum)): (&u32, &(usize, Span))| *at == datum.start + datum.len;
        last.iter().zip(target.records).all(is_end).then_some(())
    }

    /// Takes what stands next in all records.
    fn take(&self, next: Next, steps: &[(Step, bool)], target: &mut Target<'_>, at: &mut [u32]) -> Option<()> {
        let bytes = target.bytes;
        match next {
            Next::Fixed(size) => each(at, |_, at| Some(at + size as usize)),
            Next::Boolean => each(at, |_, at| boolean(bytes, at).map(|_| at + 1)),
            Next::Int => each(at, |_, at| {
                let (value, len) = long(bytes, at)?;
                i32::try_from(value).ok()?;
                Some(at + len)
            }),
            Next::Long => each(at, |_, at| {
                let (_, last) = word_of_varint(bytes.get(at..)?)?;
                Some(at + len_of_word(last))
            }),
            Next::Bytes(count) => (0..count).try_for_each(|_| {
                each(at, |_, at| {
                    let (start, len) = length(bytes, at)?;
                    Some(start + len)
                })
            }),
            Next::Enum(symbols) => each(at, |_, at| {
                small(bytes, at).filter(|index| *index < symbols)?;
                Some(at + 1)
            }),
            Next::FixedUnion([null, one]) => each(at, |_, at| {
                let branch = small(bytes, at).filter(|branch| *branch < 2)?;
                // By the bits of the index, as a branch could not be foreseen.
                Some(at + 1 + (null ^ ((null ^ one) & branch.wrapping_neg())) as usize)
            }),
            Next::PutBool(slot) => each(at, |row, at| {
                target.put(slot, row, [boolean(bytes, at)?]);
                Some(at + 1)
            }),
            Next::PutS32(slot) => each(at, |row, at| {
                let (value, len) = long(bytes, at)?;
                target.put(slot, row, i32::try_from(value).ok()?.to_le_bytes());
                Some(at + len)
            }),
            Next::PutS64(slot) => each(at, |row, at| {
                let (value, len) = long(bytes, at)?;
                target.put(slot, row, value.to_le_bytes());
                Some(at + len)
            }),
            Next::PutF32(slot) => each(at, |row, at| {
                target.put(slot, row, *bytes.get(at..)?.first_chunk::<4>()?);
                Some(at + 4)
            }),
            Next::PutF64(slot) => each(at, |row, at| {
                target.put(slot, row, *bytes.get(at..)?.first_chunk::<8>()?);
                Some(at + 8)
            }),
            Next::PutText(slot) => each(at, |row, at| {
                let (start, len) = length(bytes, at)?;
                if !is_utf8(bytes.get(start..start + len)?) {
                    return None;
                }
                target.point(slot, row, start, len);
                Some(start + len)
            }),
            Next::PutBytes(slot) => each(at, |row, at| {
                let (start, len) = length(bytes, at)?;
                target.point(slot, row, start, len);
                Some(start + len)
            }),
            Next::Step(number) => {
                let (step, _) = &steps[number as usize];
                each(at, |row, at| target.step(step, row, at, self.step_bytes))
            }
        }
    }
}

/// Moves every position on. `next` tells where to, for each row.
#[inline(always)]
fn each(at: &mut [u32], mut next: impl FnMut(usize, usize) -> Option<usize>) -> Option<()> {
    for (row, at) in at.iter_mut().enumerate() {
        *at = u32::try_from(next(row, *at as usize)?).ok()?;
    }
    Some(())
}

/// A leaf that a module does not name.
fn pass(leaf: Leaf) -> Option<Next> {
    Some(match leaf {
        Leaf::Fixed(size) => Next::Fixed(u32::try_from(size).ok()?),
        Leaf::Boolean => Next::Boolean,
        Leaf::Int => Next::Int,
        Leaf::Long => Next::Long,
        Leaf::Bytes(count) | Leaf::Text(count) => Next::Bytes(count),
        Leaf::Enum(symbols) => Next::Enum(u32::try_from(symbols).ok()?),
        Leaf::FixedUnion([a, b]) => Next::FixedUnion([u32::try_from(a).ok()?, u32::try_from(b).ok()?]),
    })
}

/// A field that a module names, if it is one of those that are frequent.
fn put(slot: Slot, read: &Read) -> Option<Next> {
    Some(match read {
        Read::Bool => Next::PutBool(slot),
        Read::S32 => Next::PutS32(slot),
        Read::S64 => Next::PutS64(slot),
        Read::F32 => Next::PutF32(slot),
        Read::F64 => Next::PutF64(slot),
        Read::String => Next::PutText(slot),
        Read::Bytes => Next::PutBytes(slot),
        Read::F32As64 | Read::Fixed(_) | Read::Nested(_) => return None,
    })
}

#[inline(always)]
fn boolean(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied().filter(|value| *value <= 1)
}

/// An index of a union or an enum that stands in one byte.
#[inline(always)]
fn small(bytes: &[u8], at: usize) -> Option<u32> {
    let byte = *bytes.get(at)?;
    (byte & 0x81 == 0).then_some(u32::from(byte >> 1))
}

/// A long and the bytes that it takes, if a word holds them.
#[inline(always)]
fn long(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    let bytes = bytes.get(at..)?;
    let &[low, high] = bytes.first_chunk::<2>()?;
    if low & high & 0x80 == 0 {
        // Of one byte or of two, which records mix in a way that no branch can foresee.
        let second = u64::from(low >> 7);
        let raw = u64::from(low & 0x7f) | (u64::from(high) << 7) & second.wrapping_neg();
        return Some((unzigzag(raw), 1 + second as usize));
    }
    let (word, last) = word_of_varint(bytes)?;
    Some((unzigzag(join_word(word, last)), len_of_word(last)))
}

/// Where bytes begin whose length is at `at`, and that length.
#[inline(always)]
fn length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    match *bytes.get(at)? {
        byte if byte & 0x81 == 0 => Some((at + 1, usize::from(byte >> 1))),
        _ => long_length(bytes, at),
    }
}

#[inline(never)]
fn long_length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let mut cursor = Cursor::resume(bytes, at);
    let len = usize::try_from(cursor.long().ok()?).ok()?;
    // What is longer than all there is cannot be in the record.
    (len <= bytes.len()).then_some((cursor.at(), len))
}

// === impl Target ===

impl Target<'_> {
    #[inline(always)]
    fn place(&self, slot: Slot, row: usize) -> Place {
        slot.of(self.tops, self.row + row as u32)
    }

    #[inline(always)]
    fn put<const N: usize>(&mut self, slot: Slot, row: usize, bytes: [u8; N]) {
        let place = self.place(slot, row);
        self.heap.put(place, bytes);
    }

    /// A string or bytes, which stay where they are until the call.
    #[inline(always)]
    fn point(&mut self, slot: Slot, row: usize, start: usize, len: usize) {
        let (place, span) = (self.place(slot, row), Span { start: start as u32, len: len as u32 });
        self.heap.put_bytes(place, self.arena, span);
    }

    /// Takes a step as it is. Where it ends.
    fn step(&mut self, step: &Step, row: usize, at: usize, limit_bytes: usize) -> Option<usize> {
        let (_, datum) = self.records[row];
        let start = datum.start as usize;
        let at = at.checked_sub(start).filter(|at| *at <= datum.len as usize)?;
        let mut cursor = Cursor::resume(datum.of(self.bytes), at);
        match step {
            Step::Skip(skip) => skip.run(&mut cursor).ok()?,
            Step::Field(slot, read) => {
                let place = self.place(*slot, row);
                self.heap.allow(limit_bytes);
                read.run(&mut cursor, Origin { arena: self.arena, start: datum.start }, self.heap, place).ok()?;
            }
        }
        Some(start + cursor.at())
    }
}
