//! One WIT value in the guest's memory -> Avro bytes: the compiled form, and its run.
//!
//! The memory is the module's, so everything in it is suspect, also how much it asks the host to write. What the Canonical
//! ABI forbids is a [`Violation`].

use std::collections::HashMap;

use crate::guest::{Guest, Violation};
use crate::mismatch::Misfit;
use crate::names;
use crate::read::{branch_name, wit_type};
use crate::resolve::{encode_default, min_size};
use crate::schema::{Field, Kind, Schema, TypeId};
use crate::shape::{Member, Shape, discriminant_size};
use crate::wire::{copy_stretch, is_utf8, write_long};

/// How to carry one type.
#[derive(Debug)]
pub(crate) enum Write {
    Bool,
    /// s32 as int or long.
    S32,
    /// s64 as long.
    S64,
    F32,
    F64,
    String,
    Bytes,
    Nested(Box<Nested>),
}

/// What holds other values, and what is rare.
#[derive(Debug)]
pub(crate) enum Nested {
    /// s64 as int.
    S64Int,
    /// Decimal digits as long.
    TextLong,
    /// f32 as double.
    F32As64,
    Fixed(usize),
    Enum {
        size: u32,
        symbols: Vec<u32>,
    },
    EnumText(HashMap<String, u32>),
    /// An option as a union of null and another: the indices of both.
    Nullable {
        null: usize,
        value: usize,
        payload: u32,
        some: Write,
    },
    /// A bare value as one branch of a union.
    Branch(usize, Write),
    Union {
        null: Option<(usize, u32)>,
        size: u32,
        payload: u32,
        cases: Vec<(usize, Write)>,
    },
    List {
        item: Write,
        size: u32,
        align: u32,
    },
    Map {
        value: Write,
        value_at: u32,
        size: u32,
        align: u32,
    },
    Record(Vec<FieldWrite>),
}

/// Where a field of a nested record comes from.
#[derive(Debug)]
pub(crate) enum FieldWrite {
    Guest(u32, Write),
    Default(Vec<u8>),
}

impl Write {
    pub fn compile(schema: &Schema, ty: TypeId, shape: &Shape) -> Result<Self, Misfit> {
        let refuse = || {
            Misfit::new(format!(
                "WIT type `{shape}` cannot become Avro type `{}`; use `{}`",
                schema.describe(ty),
                wit_type(schema, ty)
            ))
        };
        Ok(match (schema.kind(ty), shape) {
            (Kind::Union(branches), _) => return Self::compile_union(schema, ty, branches, shape),
            (Kind::Boolean, Shape::Bool) => Self::Bool,
            (Kind::Int | Kind::Long, Shape::S32) => Self::S32,
            (Kind::Long, Shape::S64) => Self::S64,
            (Kind::Int, Shape::S64) => Nested::S64Int.into(),
            (Kind::Long, Shape::String) => Nested::TextLong.into(),
            (Kind::Float, Shape::F32) => Self::F32,
            (Kind::Double, Shape::F32) => Nested::F32As64.into(),
            (Kind::Double, Shape::F64) => Self::F64,
            (Kind::String, Shape::String) => Self::String,
            (Kind::Bytes, Shape::Bytes) => Self::Bytes,
            (Kind::Fixed(fixed), Shape::Bytes) => Nested::Fixed(fixed.size).into(),
            (Kind::Enum(e), Shape::String) => {
                Nested::EnumText(e.symbols.iter().enumerate().map(|(i, s)| (s.clone(), i as u32)).collect()).into()
            }
            (Kind::Enum(e), Shape::Enum(cases)) => {
                let symbol = |case: &String| {
                    let matching = |symbol: &&String| names::matches(symbol, case);
                    let index = e.symbols.iter().position(|s| matching(&s));
                    index.map(|i| i as u32).ok_or_else(|| {
                        Misfit::new(format!("{} has no symbol for the WIT case `{case}`", schema.describe(ty)))
                    })
                };
                let symbols = cases.iter().map(symbol).collect::<Result<_, _>>()?;
                Nested::Enum { size: discriminant_size(cases.len()), symbols }.into()
            }
            (Kind::Array(item), Shape::List(inner)) => {
                let layout = inner.layout();
                // The limit on an answer bounds its lists, which may overlap, only if each item adds to it.
                if min_size(schema, *item) == 0 {
                    let item = schema.describe(*item);
                    return Err(Misfit::new(format!(
                        "items of type `{item}` have no bytes, so that a module could answer them without end; leave the \
                         field out"
                    ))
                    .within("[]"));
                }
                let item = Self::compile(schema, *item, inner).map_err(|m| m.within("[]"))?;
                Nested::List { item, size: layout.size, align: layout.align }.into()
            }
            (Kind::Map(value), Shape::List(inner)) => match &**inner {
                Shape::Pair(pair) if pair.0 == Shape::String => {
                    let layout = inner.layout();
                    Nested::Map {
                        value: Self::compile(schema, *value, &pair.1).map_err(|m| m.within("{}"))?,
                        value_at: inner.offsets()[1],
                        size: layout.size,
                        align: layout.align,
                    }
                    .into()
                }
                _ => return Err(refuse()),
            },
            (Kind::Record(record), Shape::Record(members)) => {
                let offsets = shape.offsets();
                let sources = match_members(&record.fields, members, &record.name.full)?;
                let field = |(field, member): (&Field, Option<usize>)| match member {
                    Some(m) => Self::compile(schema, field.ty, &members[m].shape)
                        .map(|write| FieldWrite::Guest(offsets[m], write))
                        .map_err(|e| e.within(&members[m].name)),
                    None => default_of(schema, field)?.map(FieldWrite::Default).ok_or_else(|| {
                        Misfit::new(format!(
                            "neither the module answers it nor does record `{}` have a default for it",
                            record.name.full
                        ))
                        .within(&field.name)
                    }),
                };
                Nested::Record(record.fields.iter().zip(sources).map(field).collect::<Result<_, _>>()?).into()
            }
            _ => return Err(refuse()),
        })
    }

    fn compile_union(schema: &Schema, ty: TypeId, branches: &[TypeId], shape: &Shape) -> Result<Self, Misfit> {
        let null = branches.iter().position(|b| matches!(schema.kind(*b), Kind::Null));
        let option = match (null, shape) {
            (Some(null), Shape::Option(some)) => Some((null, shape.payload_offset(), &**some)),
            _ => None,
        };
        let value = option.map_or(shape, |(_, _, some)| some);
        if let Shape::Variant(cases) = value {
            let write = |(name, payload): &(String, Option<Shape>)| {
                let find = |b: &&TypeId| names::matches(&branch_name(schema, **b), name);
                let index = branches.iter().position(|b| find(&b));
                let (Some(index), Some(payload)) = (index, payload) else {
                    return Err(Misfit::new(format!(
                        "the WIT case `{name}` needs a payload and a branch of that name in {}",
                        schema.describe(ty)
                    )));
                };
                Ok((index, Self::compile(schema, branches[index], payload).map_err(|m| m.within(name))?))
            };
            let cases = cases.iter().map(write).collect::<Result<_, _>>()?;
            return Ok(Nested::Union {
                null: option.map(|(null, payload, _)| (null, payload)),
                size: discriminant_size(match value {
                    Shape::Variant(cases) => cases.len(),
                    _ => 0,
                }),
                payload: value.payload_offset(),
                cases,
            }
            .into());
        }
        // A value that is not a variant takes the branch of its own type, else the first that can hold it.
        let mut refused = None;
        let mut found: Option<(usize, Self)> = None;
        for (index, branch) in branches.iter().enumerate() {
            match Self::compile(schema, *branch, value) {
                Ok(write) if found.is_none() || !write.converts() => {
                    let exact = !write.converts();
                    found = Some((index, write));
                    if exact {
                        break;
                    }
                }
                Err(error) if !error.path.is_empty() => refused = Some(error),
                _ => {}
            }
        }
        if let Some((index, write)) = found {
            return Ok(match option {
                Some((null, payload, _)) => Nested::Nullable { null, value: index, payload, some: write }.into(),
                None => Nested::Branch(index, write).into(),
            });
        }
        Err(refused.unwrap_or_else(|| {
            Misfit::new(format!(
                "WIT type `{shape}` cannot become Avro type `{}`; use `{}`",
                schema.describe(ty),
                wit_type(schema, ty)
            ))
        }))
    }

    /// Whether the value changes its type on the way.
    fn converts(&self) -> bool {
        use Nested::{EnumText, F32As64, S64Int, TextLong};
        matches!(self, Self::Nested(nested) if matches!(**nested, S64Int | TextLong | F32As64 | EnumText(_)))
    }

    /// What is not nested is done in line: a call for each field would cost more than its work.
    #[inline(always)]
    pub fn run(&self, guest: Guest<'_>, at: usize, out: &mut Vec<u8>) -> Result<(), Violation> {
        match self {
            // Any other number than 0 is true (Canonical ABI, `convert_int_to_bool`).
            Self::Bool => out.push(u8::from(guest.get::<1>(at)? != [0])),
            Self::S32 => write_long(out, i64::from(i32::from_le_bytes(guest.get(at)?))),
            Self::S64 => write_long(out, i64::from_le_bytes(guest.get(at)?)),
            Self::F32 => out.extend_from_slice(&guest.get::<4>(at)?),
            Self::F64 => out.extend_from_slice(&guest.get::<8>(at)?),
            Self::String => {
                let (start, len) = guest.list_at(at, 1, 1)?;
                if !is_utf8(&guest.memory[start..start + len]) {
                    return Err(Violation::Utf8);
                }
                guest.room(out, len)?;
                write_long(out, len as i64);
                copy_stretch(out, guest.memory, start, len);
            }
            Self::Bytes => {
                let (start, len) = guest.list_at(at, 1, 1)?;
                guest.room(out, len)?;
                write_long(out, len as i64);
                copy_stretch(out, guest.memory, start, len);
            }
            Self::Nested(nested) => nested.run(guest, at, out)?,
        }
        Ok(())
    }
}

impl From<Nested> for Write {
    fn from(nested: Nested) -> Self {
        Self::Nested(Box::new(nested))
    }
}

impl Nested {
    fn run(&self, guest: Guest<'_>, at: usize, out: &mut Vec<u8>) -> Result<(), Violation> {
        match self {
            Self::F32As64 => {
                let value = f32::from_le_bytes(guest.get(at)?);
                out.extend_from_slice(&f64::from(value).to_le_bytes());
            }
            Self::S64Int => {
                let value = i64::from_le_bytes(guest.get(at)?);
                if i32::try_from(value).is_err() {
                    return Err(Violation::Range { value: value.to_string(), ty: "int" });
                }
                write_long(out, value);
            }
            Self::TextLong => {
                let text = guest.text(at)?;
                let range = || Violation::Range { value: shorten(text), ty: "long" };
                write_long(out, text.parse().map_err(|_| range())?);
            }
            Self::Fixed(size) => {
                let bytes = guest.bytes(at)?;
                if bytes.len() != *size {
                    return Err(Violation::FixedSize { found: bytes.len(), size: *size });
                }
                guest.room(out, bytes.len())?;
                out.extend_from_slice(bytes);
            }
            Self::Enum { size, symbols } => {
                let case = guest.discriminant(at, *size, symbols.len())?;
                write_long(out, i64::from(symbols[case]));
            }
            Self::EnumText(symbols) => {
                let text = guest.text(at)?;
                let symbol = symbols.get(text).ok_or_else(|| Violation::Symbol(shorten(text)))?;
                write_long(out, i64::from(*symbol));
            }
            Self::Nullable { null, value, payload, some } => {
                if guest.flag(at)? {
                    write_long(out, *value as i64);
                    some.run(guest, at + *payload as usize, out)?;
                } else {
                    write_long(out, *null as i64);
                }
            }
            Self::Branch(index, write) => {
                write_long(out, *index as i64);
                write.run(guest, at, out)?;
            }
            Self::Union { null, size, payload, cases } => {
                let variant = match null {
                    Some((null, _)) if !guest.flag(at)? => {
                        write_long(out, *null as i64);
                        return Ok(());
                    }
                    Some((_, some)) => at + *some as usize,
                    None => at,
                };
                let (branch, write) = &cases[guest.discriminant(variant, *size, cases.len())?];
                write_long(out, *branch as i64);
                write.run(guest, variant + *payload as usize, out)?;
            }
            Self::List { item, size, align } => {
                let each = |at, out: &mut Vec<u8>| item.run(guest, at, out);
                write_list(guest, at, (*size, *align), out, each)?;
            }
            Self::Map { value, value_at, size, align } => {
                let each = |at, out: &mut Vec<u8>| {
                    Write::String.run(guest, at, out)?;
                    value.run(guest, at + *value_at as usize, out)
                };
                write_list(guest, at, (*size, *align), out, each)?;
            }
            Self::Record(fields) => {
                for field in fields {
                    match field {
                        FieldWrite::Guest(offset, write) => write.run(guest, at + *offset as usize, out)?,
                        FieldWrite::Default(bytes) => out.extend_from_slice(bytes),
                    }
                }
            }
        }
        Ok(())
    }
}

/// One block of all items, then the end. Items of lists may overlap in the guest's memory, so that a small memory can
/// ask for an endless answer: the limit is checked at every item.
fn write_list(
    guest: Guest<'_>,
    at: usize,
    (size, align): (u32, u32),
    out: &mut Vec<u8>,
    each: impl Fn(usize, &mut Vec<u8>) -> Result<(), Violation>,
) -> Result<(), Violation> {
    let (start, len) = guest.list_at(at, size, align)?;
    if len > 0 {
        write_long(out, len as i64);
        for i in 0..len {
            each(start + i * size as usize, out)?;
            guest.room(out, 0)?;
        }
    }
    out.push(0);
    Ok(())
}

/// For each Avro field the index of the member that answers it. Every member must have its field.
pub(crate) fn match_members(fields: &[Field], members: &[Member], record: &str) -> Result<Vec<Option<usize>>, Misfit> {
    let mut sources = vec![None; fields.len()];
    for (i, member) in members.iter().enumerate() {
        let names = fields.iter().map(|f| f.name.as_str());
        let found = names::find(&member.name, names).map_err(|e| Misfit::new(e.to_string()).within(&member.name))?;
        let Some(field) = found else {
            return Err(Misfit::new(format!(
                "the output record `{record}` has no such field; add it to that schema or drop it"
            ))
            .within(&member.name));
        };
        sources[field] = Some(i);
    }
    Ok(sources)
}

/// The encoded default of a field, if it has one.
pub(crate) fn default_of(schema: &Schema, field: &Field) -> Result<Option<Vec<u8>>, Misfit> {
    let Some(default) = &field.default else { return Ok(None) };
    let mut bytes = Vec::new();
    encode_default(schema, field.ty, default, &mut bytes)
        .map_err(|e| Misfit::new(format!("its default cannot be encoded: {e}")).within(&field.name))?;
    Ok(Some(bytes))
}

/// Text from a module, cut to what fits into a message.
fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}
