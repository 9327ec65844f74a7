//! One Avro value -> the memory layout of one WIT value: the compiled form, and its run.
//!
//! Both sides were matched when the plan was made; a run only follows it. It checks everything that bytes can get
//! wrong and never panics on any of them.

use bespoke_record::Span;

use crate::heap::{Arena, Heap, Place};
use crate::mismatch::Misfit;
use crate::names;
use crate::resolve::{Skip, min_size};
use crate::schema::{Kind, Schema, TypeId};
use crate::shape::{Member, Shape, discriminant_size};
use crate::wire::{Cursor, WireError};

/// How to carry one type.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Read {
    Bool,
    /// An int as s32.
    S32,
    /// An int or a long as s64.
    S64,
    F32,
    F64,
    /// A float as f64.
    F32As64,
    String,
    Bytes,
    Fixed(usize),
    Nested(Box<Nested>),
}

/// What holds other values, and what is rare.
#[derive(Debug)]
pub(crate) enum Nested {
    /// A long as its decimal digits.
    LongText,
    /// The case of the WIT enum for each symbol.
    Enum {
        size: u32,
        cases: Vec<u32>,
    },
    /// The symbol itself.
    EnumText(Vec<String>),
    /// A union of null and another.
    Nullable {
        null: usize,
        payload: u32,
        some: Read,
    },
    /// A type that is never null, as an option.
    Always {
        payload: u32,
        some: Read,
    },
    /// A union of exactly one branch.
    Single(Read),
    Union(UnionRead),
    List {
        item: Read,
        size: u32,
        align: u32,
        min_item: usize,
    },
    Map {
        value: Read,
        value_at: u32,
        size: u32,
        align: u32,
        min_item: usize,
    },
    Record(Vec<RecordStep>),
}

/// Any other union.
#[derive(Debug)]
pub(crate) struct UnionRead {
    /// Where the variant stands in the option, if null is a branch.
    option_payload: Option<u32>,
    size: u32,
    payload: u32,
    /// Per branch the case and how to read it; none is null.
    branches: Vec<Option<(u32, Read)>>,
}

/// What to do for one field of a record, in the writer's order.
#[derive(Debug)]
pub(crate) enum RecordStep {
    Skip(Skip),
    Field(u32, Read),
}

/// Where a record's bytes stand, so that strings can be copied from there.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub arena: Arena,
    pub start: u32,
}

/// Bytes that a record may take in the guest's memory beyond its row: a bound on what a few hostile bytes can ask for.
pub(crate) const MAX_RECORD_BYTES: usize = 64 << 20;

impl Read {
    pub fn compile(schema: &Schema, ty: TypeId, shape: &Shape) -> Result<Self, Misfit> {
        if let Kind::Union(branches) = schema.kind(ty) {
            return Self::compile_union(schema, ty, branches, shape);
        }
        if let Shape::Option(some) = shape {
            let read = Self::compile(schema, ty, some)?;
            return Ok(Nested::Always { payload: shape.payload_offset(), some: read }.into());
        }
        let refuse = || Misfit::types(shape, schema.describe(ty), &wit_type(schema, ty));
        Ok(match (schema.kind(ty), shape) {
            (Kind::Boolean, Shape::Bool) => Self::Bool,
            (Kind::Int, Shape::S32) => Self::S32,
            (Kind::Int | Kind::Long, Shape::S64) => Self::S64,
            (Kind::Long, Shape::String) => Nested::LongText.into(),
            (Kind::Float, Shape::F32) => Self::F32,
            (Kind::Float, Shape::F64) => Self::F32As64,
            (Kind::Double, Shape::F64) => Self::F64,
            (Kind::String, Shape::String) => Self::String,
            (Kind::Bytes, Shape::Bytes) => Self::Bytes,
            (Kind::Fixed(fixed), Shape::Bytes) => Self::Fixed(fixed.size),
            (Kind::Enum(e), Shape::String) => Nested::EnumText(e.symbols.clone()).into(),
            (Kind::Enum(e), Shape::Enum(cases)) => {
                let index = |symbol: &String| {
                    case_of(symbol, cases.iter().map(String::as_str))?.ok_or_else(|| {
                        Misfit::new(format!(
                            "the WIT enum `{shape}` has no case for symbol `{symbol}` of {}",
                            schema.describe(ty)
                        ))
                    })
                };
                let cases_of_symbols = e.symbols.iter().map(index).collect::<Result<_, _>>()?;
                Nested::Enum { size: discriminant_size(cases.len()), cases: cases_of_symbols }.into()
            }
            (Kind::Array(item), Shape::List(inner)) => {
                let layout = inner.layout();
                Nested::List {
                    item: Self::compile(schema, *item, inner).map_err(|m| m.within("[]"))?,
                    size: layout.size,
                    align: layout.align,
                    min_item: min_size(schema, *item),
                }
                .into()
            }
            (Kind::Map(value), Shape::List(inner)) => match &**inner {
                Shape::Pair(pair) if pair.0 == Shape::String => {
                    let layout = inner.layout();
                    Nested::Map {
                        value: Self::compile(schema, *value, &pair.1).map_err(|m| m.within("{}"))?,
                        value_at: inner.offsets()[1],
                        size: layout.size,
                        align: layout.align,
                        min_item: 1 + min_size(schema, *value),
                    }
                    .into()
                }
                _ => return Err(refuse()),
            },
            (Kind::Record(_), Shape::Record(members)) => {
                let offsets = shape.offsets();
                let mut steps = Vec::new();
                let mut skipped = Vec::new();
                for (field, found) in compile_fields(schema, ty, members)? {
                    match found {
                        None => skipped.push(field),
                        Some((member, read)) => {
                            steps.extend(skip_all(schema, &mut skipped).map(RecordStep::Skip));
                            steps.push(RecordStep::Field(offsets[member], read));
                        }
                    }
                }
                steps.extend(skip_all(schema, &mut skipped).map(RecordStep::Skip));
                Nested::Record(steps).into()
            }
            _ => return Err(refuse()),
        })
    }

    fn compile_union(schema: &Schema, ty: TypeId, branches: &[TypeId], shape: &Shape) -> Result<Self, Misfit> {
        let refuse = || Misfit::types(shape, schema.describe(ty), &wit_type(schema, ty));
        if let Some((null, other)) = schema.nullable(ty) {
            let Shape::Option(some) = shape else { return Err(refuse()) };
            let read = Self::compile(schema, other, some)?;
            return Ok(Nested::Nullable { null, payload: shape.payload_offset(), some: read }.into());
        }
        if let [only] = branches {
            return Ok(Nested::Single(Self::compile(schema, *only, shape)?).into());
        }
        let null = branches.iter().any(|b| matches!(schema.kind(*b), Kind::Null));
        let (option_payload, variant) = match shape {
            Shape::Option(some) => (Some(shape.payload_offset()), &**some),
            _ if null => return Err(refuse()),
            variant => (None, variant),
        };
        let Shape::Variant(cases) = variant else { return Err(refuse()) };
        let branch = |branch: &TypeId| {
            if matches!(schema.kind(*branch), Kind::Null) {
                return Ok(None);
            }
            let name = branch_name(schema, *branch);
            let case = case_of(&name, cases.iter().map(|(n, _)| n.as_str()))?;
            match case.map(|c| (c, &cases[c as usize].1)) {
                Some((case, Some(payload))) => {
                    Ok(Some((case, Self::compile(schema, *branch, payload).map_err(|m| m.within(&name))?)))
                }
                _ => Err(Misfit::new(format!(
                    "the WIT variant has no case `{}` with a payload for that branch of {}",
                    names::wit_name(&name).unwrap_or(name),
                    schema.describe(ty)
                ))),
            }
        };
        Ok(Nested::Union(UnionRead {
            option_payload,
            size: discriminant_size(cases.len()),
            payload: variant.payload_offset(),
            branches: branches.iter().map(branch).collect::<Result<_, _>>()?,
        })
        .into())
    }

    /// What is not nested is done in line: a call for each field would cost more than its work.
    #[inline(always)]
    pub fn run(&self, cursor: &mut Cursor<'_>, origin: Origin, heap: &mut Heap, place: Place) -> Result<(), WireError> {
        match self {
            Self::Bool => {
                let value = cursor.boolean()?;
                heap.put(place, [u8::from(value)]);
            }
            Self::S32 => {
                let value = cursor.int()?;
                heap.put(place, value.to_le_bytes());
            }
            Self::S64 => {
                let value = cursor.long()?;
                heap.put(place, value.to_le_bytes());
            }
            Self::F32 => {
                let value = cursor.array::<4>()?;
                heap.put(place, value);
            }
            Self::F64 => {
                let value = cursor.array::<8>()?;
                heap.put(place, value);
            }
            Self::F32As64 => {
                let value = f32::from_le_bytes(cursor.array()?);
                heap.put(place, f64::from(value).to_le_bytes());
            }
            Self::String => {
                let len = cursor.text()?.len();
                put_last(cursor, origin, heap, place, len);
            }
            Self::Bytes => {
                let len = cursor.bytes()?.len();
                put_last(cursor, origin, heap, place, len);
            }
            Self::Fixed(size) => {
                cursor.take(*size)?;
                put_last(cursor, origin, heap, place, *size);
            }
            // The position goes and comes by value, so that it stays in a register.
            Self::Nested(nested) => {
                let end = nested.run(cursor.whole(), cursor.at(), origin, heap, place)?;
                *cursor = Cursor::resume(cursor.whole(), end);
            }
        }
        Ok(())
    }
}

fn text_into(heap: &mut Heap, place: Place, text: &str) -> Result<(), WireError> {
    if heap.put_text(place, text) { Ok(()) } else { Err(WireError::Text) }
}

impl From<Nested> for Read {
    fn from(nested: Nested) -> Self {
        Self::Nested(Box::new(nested))
    }
}

impl Nested {
    /// Where the value ends that starts at `at`.
    fn run(&self, bytes: &[u8], at: usize, origin: Origin, heap: &mut Heap, place: Place) -> Result<usize, WireError> {
        let cursor = &mut Cursor::resume(bytes, at);
        match self {
            Self::LongText => {
                let value = cursor.long()?;
                text_into(heap, place, &value.to_string())?;
            }
            Self::Enum { size, cases } => {
                let symbol = cursor.index(cases.len())?;
                heap.put_discriminant(place, *size, cases[symbol]);
            }
            Self::EnumText(symbols) => {
                let symbol = cursor.index(symbols.len())?;
                text_into(heap, place, &symbols[symbol])?;
            }
            Self::Nullable { null, payload, some } => {
                if cursor.index(2)? != *null {
                    heap.put(place, [1]);
                    some.run(cursor, origin, heap, place.at(*payload))?;
                }
            }
            Self::Always { payload, some } => {
                heap.put(place, [1]);
                some.run(cursor, origin, heap, place.at(*payload))?;
            }
            Self::Single(read) => {
                cursor.index(1)?;
                read.run(cursor, origin, heap, place)?;
            }
            Self::Union(union) => union.run(cursor, origin, heap, place)?,
            Self::List { item, size, align, min_item } => {
                let each = |cursor: &mut Cursor<'_>, heap: &mut Heap, place| item.run(cursor, origin, heap, place);
                read_list(cursor, heap, place, (*size, *align), *min_item, each)?;
            }
            Self::Map { value, value_at, size, align, min_item } => {
                let each = |cursor: &mut Cursor<'_>, heap: &mut Heap, place: Place| {
                    Read::String.run(cursor, origin, heap, place)?;
                    value.run(cursor, origin, heap, place.at(*value_at))
                };
                read_list(cursor, heap, place, (*size, *align), *min_item, each)?;
            }
            Self::Record(steps) => {
                for step in steps {
                    match step {
                        RecordStep::Skip(skip) => skip.run(cursor)?,
                        RecordStep::Field(at, read) => read.run(cursor, origin, heap, place.at(*at))?,
                    }
                }
            }
        }
        Ok(cursor.at())
    }
}

impl UnionRead {
    fn run(&self, cursor: &mut Cursor<'_>, origin: Origin, heap: &mut Heap, place: Place) -> Result<(), WireError> {
        let branch = cursor.index(self.branches.len())?;
        // Null is an option without a payload, which is all zeros.
        let Some((case, read)) = &self.branches[branch] else { return Ok(()) };
        let variant = match self.option_payload {
            Some(payload) => {
                heap.put(place, [1]);
                place.at(payload)
            }
            None => place,
        };
        heap.put_discriminant(variant, self.size, *case);
        read.run(cursor, origin, heap, variant.at(self.payload))
    }
}

/// A field's type, and the member that it is carried to, if any.
pub(crate) type FieldRead = (TypeId, Option<(usize, Read)>);

/// Matches the members of a WIT record with the fields of an Avro record, in the order of the fields. Members that the
/// schema lacks are none.
pub(crate) fn compile_fields(schema: &Schema, ty: TypeId, members: &[Member]) -> Result<Vec<FieldRead>, Misfit> {
    let Kind::Record(record) = schema.kind(ty) else {
        return Err(Misfit::new(format!("a WIT record cannot carry Avro type `{}`", schema.describe(ty))));
    };
    let mut member_of_field = vec![None; record.fields.len()];
    for (i, member) in members.iter().enumerate() {
        let fields = record.fields.iter().map(|f| f.name.as_str());
        let found = names::find(&member.name, fields).map_err(|e| Misfit::new(e.to_string()).within(&member.name))?;
        match found {
            Some(field) => member_of_field[field] = Some(i),
            None if matches!(member.shape, Shape::Option(_)) => {}
            None => {
                let known: Vec<_> = record.fields.iter().map(|f| f.name.as_str()).collect();
                return Err(Misfit::new(format!(
                    "Avro record `{}` has no such field; it has {}; make it `option<{}>` if it may be missing",
                    record.name.full,
                    known.join(", "),
                    member.shape
                ))
                .within(&member.name));
            }
        }
    }
    let step = |(field, member): (&crate::schema::Field, &Option<usize>)| match member {
        None => Ok((field.ty, None)),
        Some(i) => Read::compile(schema, field.ty, &members[*i].shape)
            .map(|read| (field.ty, Some((*i, read))))
            .map_err(|m| m.within(&members[*i].name)),
    };
    record.fields.iter().zip(&member_of_field).map(step).collect()
}

/// One step over all fields that were passed over so far.
pub(crate) fn skip_all(schema: &Schema, skipped: &mut Vec<TypeId>) -> Option<Skip> {
    let types = std::mem::take(skipped);
    (!types.is_empty()).then(|| Skip::compile_all(schema, &types))
}

/// The case that stands for an Avro name.
pub(crate) fn case_of<'a>(avro: &str, cases: impl Iterator<Item = &'a str>) -> Result<Option<u32>, Misfit> {
    let mut found = None;
    for (i, case) in cases.enumerate() {
        if names::matches(avro, case) {
            if found.is_some() {
                return Err(Misfit::new(format!("more than one WIT case matches `{avro}`")));
            }
            found = Some(i as u32);
        }
    }
    Ok(found)
}

/// The name by which a branch of a union is known: the short name of a named type, else the type's.
#[must_use]
pub fn branch_name(schema: &Schema, branch: TypeId) -> String {
    match schema.kind(branch) {
        Kind::Null => "null".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Int => "int".to_owned(),
        Kind::Long => "long".to_owned(),
        Kind::Float => "float".to_owned(),
        Kind::Double => "double".to_owned(),
        Kind::Bytes => "bytes".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Array(_) => "array".to_owned(),
        Kind::Map(_) => "map".to_owned(),
        Kind::Union(_) => "union".to_owned(),
        Kind::Fixed(f) => f.name.short().to_owned(),
        Kind::Enum(e) => e.name.short().to_owned(),
        Kind::Record(r) => r.name.short().to_owned(),
    }
}

/// The WIT type that carries an Avro type, for messages; records by their names.
#[must_use]
pub fn wit_type(schema: &Schema, ty: TypeId) -> String {
    let named = |avro: &str| names::wit_name(avro).unwrap_or_else(|_| avro.to_owned());
    match schema.kind(ty) {
        Kind::Null => "nothing: leave the field out".to_owned(),
        Kind::Boolean => "bool".to_owned(),
        Kind::Int => "s32".to_owned(),
        Kind::Long => "s64".to_owned(),
        Kind::Float => "f32".to_owned(),
        Kind::Double => "f64".to_owned(),
        Kind::Bytes | Kind::Fixed(_) => "list<u8>".to_owned(),
        Kind::String => "string".to_owned(),
        Kind::Enum(e) => named(e.name.short()),
        Kind::Record(r) => named(r.name.short()),
        Kind::Array(item) => format!("list<{}>", wit_type(schema, *item)),
        Kind::Map(value) => format!("list<tuple<string, {}>>", wit_type(schema, *value)),
        Kind::Union(branches) => {
            let others: Vec<_> = branches.iter().filter(|b| !matches!(schema.kind(**b), Kind::Null)).collect();
            let inner = match others.as_slice() {
                [one] => wit_type(schema, **one),
                _ => "variant".to_owned(),
            };
            if others.len() == branches.len() { inner } else { format!("option<{inner}>") }
        }
    }
}

/// Strings and bytes stay where they are until the call: the last `len` bytes that were read.
#[inline]
fn put_last(cursor: &Cursor<'_>, origin: Origin, heap: &mut Heap, place: Place, len: usize) {
    let start = origin.start + (cursor.at() - len) as u32;
    heap.put_bytes(place, origin.arena, Span { start, len: len as u32 });
}

fn read_list(
    cursor: &mut Cursor<'_>,
    heap: &mut Heap,
    place: Place,
    (size, align): (u32, u32),
    min_item: usize,
    mut each: impl FnMut(&mut Cursor<'_>, &mut Heap, Place) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut items = heap.begin_list(place, align);
    let mut len = 0u32;
    while let Some(count) = cursor.block(min_item)? {
        // Items without bytes make any count plausible, so the heap has a limit too.
        let too_long = WireError::Length { at: cursor.at(), len: count as i64 };
        items = heap.grow(items, count.saturating_mul(size as usize)).ok_or(too_long)?;
        for _ in 0..count {
            each(cursor, heap, items.at(len * size))?;
            len += 1;
        }
    }
    heap.end_list(place, align, len);
    Ok(())
}
