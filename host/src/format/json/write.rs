//! Avro bytes to JSON text, with no value in between.
//!
//! The bytes may be anything: the text grows with them, and items without bytes are counted. Text that was begun when an
//! error is found is taken back.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bespoke_boundary::schema::{Kind, Logical, TypeId};
use bespoke_boundary::wire::{MAX_DEPTH, MAX_EMPTY_ITEMS};
use bespoke_boundary::{Cursor, Schema, WireError, resolve};

use super::JsonStyle;
use super::unions::{branch_name, has_text, is_ambiguous};
use crate::format::decimal;

/// Appends a datum as JSON on one line.
///
/// # Errors
/// Bytes that are no datum of the schema; then nothing is appended.
pub fn write_json(schema: &Schema, datum: &[u8], style: JsonStyle, out: &mut Vec<u8>) -> Result<(), WireError> {
    let before = out.len();
    let mut cursor = Cursor::new(datum);
    let written = write_value(schema, schema.root(), &mut cursor, style, out).and_then(|()| cursor.end());
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// Appends the value at the cursor as JSON on one line, and moves behind it.
///
/// # Errors
/// Bytes that are no value of the type; then nothing is appended, and the cursor is anywhere.
pub fn write_value(
    schema: &Schema,
    ty: TypeId,
    cursor: &mut Cursor<'_>,
    style: JsonStyle,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    let before = out.len();
    let mut writer = Writer { schema, style, out, empty_items_left: MAX_EMPTY_ITEMS };
    let written = writer.value(ty, cursor, 0);
    if written.is_err() {
        out.truncate(before);
    }
    written
}

struct Writer<'a> {
    schema: &'a Schema,
    style: JsonStyle,
    out: &'a mut Vec<u8>,
    empty_items_left: usize,
}

// === impl Writer ===

impl Writer<'_> {
    fn value(&mut self, ty: TypeId, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), WireError> {
        let schema = self.schema;
        match schema.kind(ty) {
            Kind::Null => self.out.extend_from_slice(b"null"),
            Kind::Boolean => {
                let value = cursor.boolean()?;
                self.out.extend_from_slice(if value { b"true" } else { b"false" });
            }
            Kind::Int => self.integer(i64::from(cursor.int()?)),
            Kind::Long => self.integer(cursor.long()?),
            Kind::Float => {
                let value = f32::from_le_bytes(cursor.array()?);
                match not_finite(f64::from(value)) {
                    Some(name) => self.text(name),
                    None => put(self.out, &value),
                }
            }
            Kind::Double => {
                let value = f64::from_le_bytes(cursor.array()?);
                match not_finite(value) {
                    Some(name) => self.text(name),
                    None => put(self.out, &value),
                }
            }
            Kind::String => {
                let text = cursor.string()?;
                self.text(text);
            }
            Kind::Bytes => {
                let bytes = cursor.bytes()?;
                self.bytes(bytes, schema.get(ty).logical);
            }
            Kind::Fixed(fixed) => {
                let bytes = cursor.take(fixed.size)?;
                self.bytes(bytes, schema.get(ty).logical);
            }
            Kind::Enum(e) => {
                let symbol = cursor.index(e.symbols.len())?;
                self.text(&e.symbols[symbol]);
            }
            Kind::Array(item) => {
                let min = resolve::min_size(schema, *item);
                self.items(b"[]", min, depth, cursor, |w, cursor, depth| w.value(*item, cursor, depth))?;
            }
            Kind::Map(value) => self.items(b"{}", 1, depth, cursor, |w, cursor, depth| {
                let key = cursor.string()?;
                w.text(key);
                w.out.push(b':');
                w.value(*value, cursor, depth)
            })?,
            Kind::Record(record) => {
                let depth = deeper(depth)?;
                self.out.push(b'{');
                for (i, field) in record.fields.iter().enumerate() {
                    if i > 0 {
                        self.out.push(b',');
                    }
                    self.text(&field.name);
                    self.out.push(b':');
                    self.value(field.ty, cursor, depth)?;
                }
                self.out.push(b'}');
            }
            Kind::Union(branches) => {
                let branch = branches[cursor.index(branches.len())?];
                if self.is_wrapped(branches, branch, cursor) {
                    self.out.push(b'{');
                    self.text(branch_name(schema, branch));
                    self.out.push(b':');
                    self.value(branch, cursor, depth)?;
                    self.out.push(b'}');
                } else {
                    self.value(branch, cursor, depth)?;
                }
            }
        }
        Ok(())
    }

    fn is_wrapped(&self, branches: &[TypeId], branch: TypeId, cursor: &Cursor<'_>) -> bool {
        let kind = self.schema.kind(branch);
        if matches!(kind, Kind::Null) {
            return false;
        }
        if self.style == JsonStyle::Avro || is_ambiguous(self.schema, branches) {
            return true;
        }
        // NaN is written as text, which beside a branch of text means that one.
        let mut ahead = *cursor;
        let number = match kind {
            Kind::Float => ahead.array().map(|b| f64::from(f32::from_le_bytes(b))),
            Kind::Double => ahead.array().map(f64::from_le_bytes),
            _ => return false,
        };
        number.is_ok_and(|n| !n.is_finite()) && has_text(self.schema, branches)
    }

    fn items<'d>(
        &mut self,
        brackets: &[u8; 2],
        min: usize,
        depth: usize,
        cursor: &mut Cursor<'d>,
        mut each: impl FnMut(&mut Self, &mut Cursor<'d>, usize) -> Result<(), WireError>,
    ) -> Result<(), WireError> {
        let depth = deeper(depth)?;
        self.out.push(brackets[0]);
        let mut first = true;
        while let Some(items) = cursor.block(min)? {
            if min == 0 {
                self.empty_items_left = self.empty_items_left.checked_sub(items).ok_or(WireError::EmptyItems)?;
            }
            for _ in 0..items {
                if !first {
                    self.out.push(b',');
                }
                first = false;
                each(self, cursor, depth)?;
            }
        }
        self.out.push(brackets[1]);
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8], logical: Option<Logical>) {
        if self.style == JsonStyle::Avro {
            let text: String = bytes.iter().map(|b| char::from(*b)).collect();
            return self.text(&text);
        }
        // Bytes that are not what the logical type says are shown as the bytes that they are.
        let meant = match logical {
            Some(Logical::Decimal { scale, .. }) => decimal::text(bytes, scale).ok(),
            Some(Logical::BigDecimal) => decimal::big_text(bytes).ok(),
            Some(Logical::Uuid) => bytes.try_into().ok().map(uuid_text),
            _ => None,
        };
        match meant {
            Some(text) => self.text(&text),
            None => {
                self.out.push(b'"');
                let start = self.out.len();
                self.out.resize(start + bytes.len().div_ceil(3) * 4, 0);
                // It has exactly that size, padding included.
                let written = STANDARD.encode_slice(bytes, &mut self.out[start..]).unwrap_or(0);
                self.out.truncate(start + written);
                self.out.push(b'"');
            }
        }
    }

    fn integer(&mut self, value: i64) {
        // Writing to memory does not fail.
        let _ = write!(self.out, "{value}");
    }

    fn text(&mut self, text: &str) {
        put(self.out, text);
    }
}

fn put<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Text and numbers have a JSON form, and writing to memory does not fail.
    let _ = serde_json::to_writer(out, value);
}

/// The text for a number that JSON has no form for, as Java and JavaScript call it.
fn not_finite(value: f64) -> Option<&'static str> {
    match value {
        v if v.is_nan() => Some("NaN"),
        f64::INFINITY => Some("Infinity"),
        f64::NEG_INFINITY => Some("-Infinity"),
        _ => None,
    }
}

fn deeper(depth: usize) -> Result<usize, WireError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(WireError::Depth) }
}

/// The text of a UUID (RFC 9562, section 4).
pub(crate) fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(u32::from(digit), 16));
        }
    }
    text
}
