//! How the cells of a column become CQL values: compiled from what the column holds here and what it is there.
//!
//! Whether a column fits and how its cells are written is one question, so that nothing is checked that is not written, or
//! the other way round. The formats are those of the native protocol, version 4, section 6.

use scylla::cluster::metadata::{CollectionType, ColumnType as Live, NativeType};
use scylla::serialize::writers::{CellOverflowError, CellWriter, WrittenCellProof};

use super::decimal;
use crate::table::{Cell, ColumnType, FineTimes, Rows};

const NANOS_OF_DAY: i64 = 86_400_000_000_000;

/// How a cell is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Encoder {
    Boolean,
    Int,
    BigInt,
    Varint,
    Float,
    Double,
    Text,
    Blob,
    Decimal,
    Uuid,
    Date,
    /// Microseconds as nanoseconds.
    Time,
    /// Milliseconds, of which there are so many of ours in each.
    Timestamp(i64),
    Duration,
    /// Lists and sets.
    Items(Box<Encoder>),
    Map(Box<Encoder>),
    /// For each field of the type there, which of ours it is. Others are null.
    Udt(Vec<Option<(usize, Encoder)>>),
}

/// A value that its column cannot hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0} is no text of a uuid")]
    Uuid(String),
    #[error("{0} is no decimal")]
    Decimal(String),
    #[error("{value} is no {what} that Cassandra has")]
    Range { what: &'static str, value: i64 },
    #[error("a value of another type than its column")]
    Type,
    #[error("{0} bytes are more than a row of Cassandra may have, which is {max}", max = super::statement::MAX_ROW_BYTES)]
    Large(usize),
}

impl From<CellOverflowError> for Unfit {
    fn from(_: CellOverflowError) -> Self {
        Self::Large(i32::MAX as usize)
    }
}

// === impl Encoder ===

impl Encoder {
    /// How values of a type are written into a column, unless it does not take them. A list that is not frozen does not: what
    /// is written to it again is there twice.
    pub(super) fn compile(ty: &ColumnType, live: &Live<'_>, fine: FineTimes) -> Option<Self> {
        use ColumnType as T;
        use NativeType as N;
        Some(match (ty, live) {
            (_, Live::Native(native)) => match (ty, native) {
                (T::Boolean, N::Boolean) => Self::Boolean,
                (T::Int, N::Int) => Self::Int,
                (T::Int | T::Long | T::TimestampMicros | T::TimestampNanos, N::BigInt) => Self::BigInt,
                (T::Int | T::Long, N::Varint) => Self::Varint,
                (T::Float, N::Float) => Self::Float,
                (T::Float | T::Double, N::Double) => Self::Double,
                (T::Text | T::Json, N::Text) => Self::Text,
                (T::Blob, N::Blob) => Self::Blob,
                (T::Decimal, N::Decimal) => Self::Decimal,
                (T::Uuid, N::Uuid) => Self::Uuid,
                (T::Date, N::Date) => Self::Date,
                (T::TimeMicros, N::Time) => Self::Time,
                (T::TimestampMillis, N::Timestamp) => Self::Timestamp(1),
                (T::TimestampMicros, N::Timestamp) if fine == FineTimes::Truncated => Self::Timestamp(1_000),
                (T::TimestampNanos, N::Timestamp) if fine == FineTimes::Truncated => Self::Timestamp(1_000_000),
                (T::Duration, N::Duration) => Self::Duration,
                _ => return None,
            },
            (T::Array(item), Live::Collection { frozen: true, typ: CollectionType::List(of) })
            | (T::Array(item), Live::Collection { typ: CollectionType::Set(of), .. }) => {
                Self::Items(Box::new(Self::compile(item, of, fine)?))
            }
            (T::Map(value), Live::Collection { typ: CollectionType::Map(key, of), .. })
                if **key == Live::Native(N::Text) =>
            {
                Self::Map(Box::new(Self::compile(value, of, fine)?))
            }
            (T::Record(record), Live::UserDefinedType { definition, .. }) => {
                let there = |name: &str| definition.field_types.iter().any(|(there, _)| there == name);
                if !record.fields.iter().all(|field| there(&field.name)) {
                    return None;
                }
                let field = |(name, live): &(std::borrow::Cow<'_, str>, Live<'_>)| {
                    let Some(ours) = record.fields.iter().position(|field| field.name == *name) else {
                        return Some(None);
                    };
                    Some(Some((ours, Self::compile(&record.fields[ours].ty, live, fine)?)))
                };
                Self::Udt(definition.field_types.iter().map(field).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// Writes a cell that is not null.
    pub(super) fn write<'b>(
        &self,
        cell: Cell,
        rows: &Rows,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, Unfit> {
        let arena = &rows.arena[..];
        Ok(match (self, cell) {
            (Self::Boolean, Cell::Integer(value)) => writer.set_value(&[u8::from(value != 0)])?,
            (Self::Int, Cell::Integer(value)) => {
                let value = i32::try_from(value).map_err(|_| Unfit::Range { what: "int", value })?;
                writer.set_value(&value.to_be_bytes())?
            }
            (Self::BigInt, Cell::Integer(value)) => writer.set_value(&value.to_be_bytes())?,
            (Self::Varint, Cell::Integer(value)) => writer.set_value(&decimal::minimal(value))?,
            (Self::Float, Cell::Real(value)) => writer.set_value(&(value as f32).to_be_bytes())?,
            (Self::Double, Cell::Real(value)) => writer.set_value(&value.to_be_bytes())?,
            (Self::Text, Cell::Text(span)) | (Self::Blob, Cell::Blob(span)) => writer.set_value(span.of(arena))?,
            (Self::Decimal, Cell::Text(span)) => {
                let text = String::from_utf8_lossy(span.of(arena));
                let (scale, unscaled) = decimal::parts(&text).ok_or_else(|| Unfit::Decimal(text.into_owned()))?;
                let mut value = writer.into_value_builder();
                value.append_bytes(&scale.to_be_bytes());
                value.append_bytes(&unscaled);
                value.finish()?
            }
            (Self::Uuid, Cell::Text(span)) => {
                let text = span.of(arena);
                writer.set_value(&uuid(text).ok_or_else(|| Unfit::Uuid(String::from_utf8_lossy(text).into_owned()))?)?
            }
            (Self::Date, Cell::Integer(value)) => {
                // The epoch is in the middle.
                let days = u32::try_from(value.saturating_add(1 << 31));
                writer.set_value(&days.map_err(|_| Unfit::Range { what: "date", value })?.to_be_bytes())?
            }
            (Self::Time, Cell::Integer(value)) => {
                let nanos = value.checked_mul(1_000).filter(|nanos| (0..NANOS_OF_DAY).contains(nanos));
                writer.set_value(&nanos.ok_or(Unfit::Range { what: "time", value })?.to_be_bytes())?
            }
            (Self::Timestamp(unit), Cell::Integer(value)) => {
                writer.set_value(&value.div_euclid(*unit).to_be_bytes())?
            }
            (Self::Duration, Cell::Blob(span)) => {
                let [months, days, millis] = duration(span.of(arena)).ok_or(Unfit::Type)?;
                let in_range = |value: u32, what| {
                    i32::try_from(value).map(i64::from).map_err(|_| Unfit::Range { what, value: value.into() })
                };
                let mut value = writer.into_value_builder();
                let mut bytes = Vec::with_capacity(16);
                write_vint(&mut bytes, in_range(months, "duration in months")?);
                write_vint(&mut bytes, in_range(days, "duration in days")?);
                write_vint(&mut bytes, i64::from(millis) * 1_000_000);
                value.append_bytes(&bytes);
                value.finish()?
            }
            (Self::Items(item), Cell::Nested(span)) => {
                let cells = &rows.nested[span.start as usize..][..span.len as usize];
                let mut value = writer.into_value_builder();
                value.append_bytes(&count(cells.len())?);
                for cell in cells {
                    item.write(*cell, rows, value.make_sub_writer())?;
                }
                value.finish()?
            }
            (Self::Map(item), Cell::Nested(span)) => {
                let cells = &rows.nested[span.start as usize..][..span.len as usize];
                let mut value = writer.into_value_builder();
                value.append_bytes(&count(cells.len() / 2)?);
                for pair in cells.chunks_exact(2) {
                    Self::Text.write(pair[0], rows, value.make_sub_writer())?;
                    item.write(pair[1], rows, value.make_sub_writer())?;
                }
                value.finish()?
            }
            (Self::Udt(fields), Cell::Nested(span)) => {
                let cells = &rows.nested[span.start as usize..][..span.len as usize];
                let mut value = writer.into_value_builder();
                for field in fields {
                    let ours = field.as_ref().and_then(|(ours, encoder)| Some((*cells.get(*ours)?, encoder)));
                    match ours.filter(|(cell, _)| *cell != Cell::Null) {
                        Some((cell, encoder)) => encoder.write(cell, rows, value.make_sub_writer())?,
                        None => value.make_sub_writer().set_null(),
                    };
                }
                value.finish()?
            }
            _ => return Err(Unfit::Type),
        })
    }
}

fn count(items: usize) -> Result<[u8; 4], Unfit> {
    Ok(i32::try_from(items).map_err(|_| Unfit::Large(items))?.to_be_bytes())
}

/// The bytes of `f81d4fae-7dec-11d0-a765-00a0c91e6bf6`.
fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    let hyphens = [8, 13, 18, 23];
    if text.len() != 36 || hyphens.iter().any(|at| text[*at] != b'-') {
        return None;
    }
    let mut digits = text.iter().filter(|byte| **byte != b'-').map(|byte| char::from(*byte).to_digit(16));
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = (digits.next()?? << 4 | digits.next()??) as u8;
    }
    digits.next().is_none().then_some(bytes)
}

/// Months, days and milliseconds of an Avro duration.
fn duration(bytes: &[u8]) -> Option<[u32; 3]> {
    let bytes: &[u8; 12] = bytes.try_into().ok()?;
    let part = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Some([part(0), part(4), part(8)])
}

/// A signed variable-length integer: zig-zag, then the number of further bytes as ones at the front of the first.
fn write_vint(out: &mut Vec<u8>, value: i64) {
    let raw = ((value << 1) ^ (value >> 63)) as u64;
    let bits = 64 - raw.leading_zeros() as usize;
    let len = bits.saturating_sub(1) / 7 + 1;
    if len > 8 {
        out.push(0xff);
        out.extend_from_slice(&raw.to_be_bytes());
        return;
    }
    let start = out.len();
    out.extend_from_slice(&raw.to_be_bytes()[8 - len..]);
    out[start] |= !(0xffu16 >> (len - 1)) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_sixteen_bytes_and_nothing_else() {
        assert_eq!(uuid(b"00000000-0000-0000-0000-0000000000ff").map(|bytes| bytes[15]), Some(255));
        for bad in [
            "",
            "00000000-0000-0000-0000-0000000000f",
            "00000000-0000-0000-0000-0000000000fg",
            "0-000000000000-0000-0000-0000000000ff",
        ] {
            assert_eq!(uuid(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn vints_are_as_the_protocol_has_them() {
        let written = |value| {
            let mut out = Vec::new();
            write_vint(&mut out, value);
            out
        };
        assert_eq!(written(0), [0]);
        assert_eq!(written(-1), [1]);
        assert_eq!(written(63), [126]);
        assert_eq!(written(64), [0x80, 0x80]);
        assert_eq!(written(128_000), [0xc3, 0xe8, 0x00]);
        assert_eq!(written(i64::MIN), [0xff; 9]);
    }
}
