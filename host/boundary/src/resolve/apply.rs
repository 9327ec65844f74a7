//! The operations of a [`Resolution`], on a datum.
//!
//! The bytes may be anything. Nothing is appended that the input does not pay for: items without bytes are counted, and what
//! defaults and wider numbers add is bounded.

use super::skip::deeper;
use super::{Operation, Resolution, Step};
use crate::wire::{Cursor, MAX_EMPTY_ITEMS, MAX_GROWTH_BYTES, WireError, write_bytes, write_long};

pub(super) fn apply(resolution: &Resolution, datum: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
    let before = out.len();
    let most = before.saturating_add(datum.len()).saturating_add(MAX_GROWTH_BYTES);
    let mut run = Run { resolution, out, most, marks: Vec::new(), empty_items_left: MAX_EMPTY_ITEMS };
    let mut cursor = Cursor::new(datum);
    let applied = run.operation(resolution.root, &mut cursor, 0).and_then(|()| cursor.end());
    if applied.is_err() {
        out.truncate(before);
    }
    applied
}

/// One datum on its way.
struct Run<'r, 'd> {
    resolution: &'r Resolution,
    out: &'r mut Vec<u8>,
    /// How long that may become.
    most: usize,
    /// Where values start that are wanted later, of all records that are open.
    marks: Vec<Cursor<'d>>,
    empty_items_left: usize,
}

// === impl Run ===

impl<'d> Run<'_, 'd> {
    fn operation(&mut self, operation: u32, cursor: &mut Cursor<'d>, depth: usize) -> Result<(), WireError> {
        match &self.resolution.operations[operation as usize] {
            Operation::Copy(entry) => self.copy(*entry, cursor, depth)?,
            Operation::IntToFloat => self.float(cursor.int()? as f32),
            Operation::IntToDouble => self.double(f64::from(cursor.int()?)),
            Operation::LongToFloat => self.float(cursor.long()? as f32),
            Operation::LongToDouble => self.double(cursor.long()? as f64),
            Operation::FloatToDouble => self.double(f64::from(f32::from_le_bytes(cursor.array()?))),
            Operation::BytesToString => write_bytes(self.out, cursor.text()?),
            Operation::Enum(symbols) => match &symbols[cursor.index(symbols.len())?] {
                Ok(symbol) => write_long(self.out, i64::from(*symbol)),
                Err(why) => return Err(WireError::Unreadable(why.clone())),
            },
            Operation::Items { item, min } => self.items(*item, *min, cursor, deeper(depth)?)?,
            Operation::Pair(value) => {
                write_bytes(self.out, cursor.text()?);
                self.operation(*value, cursor, depth)?;
            }
            Operation::Record(steps) => self.record(steps, cursor, deeper(depth)?)?,
            Operation::Union(branches) => {
                let branch = cursor.index(branches.len())?;
                self.operation(branches[branch], cursor, depth)?;
            }
            Operation::Branch(index, operation) => {
                write_long(self.out, i64::from(*index));
                self.operation(*operation, cursor, depth)?;
            }
            Operation::Unreadable(why) => return Err(WireError::Unreadable(why.clone())),
        }
        Ok(())
    }

    fn copy(&mut self, entry: u32, cursor: &mut Cursor<'d>, depth: usize) -> Result<(), WireError> {
        let start = cursor.at();
        self.resolution.skips.pass::<true>(entry, cursor, depth)?;
        self.out.extend_from_slice(cursor.since(start));
        Ok(())
    }

    fn items(&mut self, item: u32, min: usize, cursor: &mut Cursor<'d>, depth: usize) -> Result<(), WireError> {
        while let Some((items, bytes)) = cursor.sized_block(min)? {
            if min == 0 {
                self.empty_items_left = self.empty_items_left.checked_sub(items).ok_or(WireError::EmptyItems)?;
            }
            let start = cursor.at();
            write_long(self.out, items as i64);
            for _ in 0..items {
                self.operation(item, cursor, depth)?;
                // Only items make many of a few bytes.
                if self.out.len() > self.most {
                    return Err(WireError::Growth);
                }
            }
            if let Some(bytes) = bytes.filter(|b| *b != cursor.at() - start) {
                return Err(WireError::Length { at: start, len: bytes as i64 });
            }
        }
        self.out.push(0);
        Ok(())
    }

    fn record(&mut self, steps: &[Step], cursor: &mut Cursor<'d>, depth: usize) -> Result<(), WireError> {
        let first_mark = self.marks.len();
        for step in steps {
            match step {
                Step::Skip(entry) => self.resolution.skips.pass::<true>(*entry, cursor, depth)?,
                Step::Copy(entry) => self.copy(*entry, cursor, depth)?,
                Step::Convert(operation) => self.operation(*operation, cursor, depth)?,
                Step::Constant(bytes) => self.out.extend_from_slice(bytes),
                Step::Mark => self.marks.push(*cursor),
                Step::Recall { mark, operation } => {
                    let mut at_mark = self.marks[first_mark + mark];
                    self.operation(*operation, &mut at_mark, depth)?;
                }
            }
        }
        self.marks.truncate(first_mark);
        Ok(())
    }

    fn float(&mut self, value: f32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    fn double(&mut self, value: f64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }
}
