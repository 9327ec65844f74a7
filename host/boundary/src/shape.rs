//! The WIT types of a module as the plans read them, with their layout in linear memory.
//!
//! Read from wasmtime's public type information, not from its internals; the layout follows the Component Model's
//! Canonical ABI ("Alignment", "Element Size", 32-bit memories).

use std::fmt;

use wasmtime::component::Type;

/// A WIT type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `bool`
    Bool,
    /// `s32`
    S32,
    /// `s64`
    S64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `string`
    String,
    /// `list<u8>`
    Bytes,
    /// `list<T>`
    List(Box<Shape>),
    /// `record`
    Record(Vec<Member>),
    /// `tuple<A, B>`, which is how the pairs of a map travel
    Pair(Box<(Shape, Shape)>),
    /// `option<T>`
    Option(Box<Shape>),
    /// `result<T, E>`, each of which may be missing
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
    /// `variant`
    Variant(Vec<(String, Option<Shape>)>),
    /// `enum`
    Enum(Vec<String>),
    /// A type that no Avro type maps to, in words.
    Other(&'static str),
}

/// A field of a WIT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name, in kebab-case.
    pub name: String,
    /// The type.
    pub shape: Shape,
}

/// Bytes and alignment in linear memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes, a multiple of `align`.
    pub size: u32,
    /// Alignment in bytes.
    pub align: u32,
}

/// A pointer and a length, which is how strings and lists stand in memory.
pub(crate) const POINTER_PAIR: Layout = Layout { size: 8, align: 4 };

impl Shape {
    /// The shape of a type.
    #[must_use]
    pub fn of(ty: &Type) -> Self {
        match ty {
            Type::Bool => Self::Bool,
            Type::S32 => Self::S32,
            Type::S64 => Self::S64,
            Type::Float32 => Self::F32,
            Type::Float64 => Self::F64,
            Type::String => Self::String,
            Type::List(list) => match list.ty() {
                Type::U8 => Self::Bytes,
                item => Self::List(Box::new(Self::of(&item))),
            },
            Type::Record(record) => Self::Record(
                record.fields().map(|f| Member { name: f.name.to_owned(), shape: Self::of(&f.ty) }).collect(),
            ),
            Type::Tuple(tuple) => {
                let mut types = tuple.types();
                match (types.next(), types.next(), types.next()) {
                    (Some(a), Some(b), None) => Self::Pair(Box::new((Self::of(&a), Self::of(&b)))),
                    _ => Self::Other("a tuple that is not a pair"),
                }
            }
            Type::Option(option) => Self::Option(Box::new(Self::of(&option.ty()))),
            Type::Result(result) => Self::Result(
                result.ok().map(|ty| Box::new(Self::of(&ty))),
                result.err().map(|ty| Box::new(Self::of(&ty))),
            ),
            Type::Variant(variant) => {
                Self::Variant(variant.cases().map(|c| (c.name.to_owned(), c.ty.map(|ty| Self::of(&ty)))).collect())
            }
            Type::Enum(e) => Self::Enum(e.names().map(str::to_owned).collect()),
            Type::U8 => Self::Other("u8"),
            Type::U16 => Self::Other("u16"),
            Type::U32 => Self::Other("u32"),
            Type::U64 => Self::Other("u64"),
            Type::S8 => Self::Other("s8"),
            Type::S16 => Self::Other("s16"),
            Type::Char => Self::Other("char"),
            Type::Flags(_) => Self::Other("flags"),
            Type::Own(_) | Type::Borrow(_) => Self::Other("a resource"),
            Type::Map(_) => Self::Other("map"),
            Type::Future(_) | Type::Stream(_) => Self::Other("a stream or future"),
            _ => Self::Other("a type of a newer component model"),
        }
    }

    /// Size and alignment.
    #[must_use]
    pub fn layout(&self) -> Layout {
        match self {
            Self::Bool => Layout { size: 1, align: 1 },
            Self::S32 | Self::F32 => Layout { size: 4, align: 4 },
            Self::S64 | Self::F64 => Layout { size: 8, align: 8 },
            Self::String | Self::Bytes | Self::List(_) => POINTER_PAIR,
            Self::Record(members) => record_layout(members.iter().map(|m| &m.shape)),
            Self::Pair(pair) => record_layout([&pair.0, &pair.1]),
            Self::Option(some) => variant_layout(2, Some(&**some)),
            Self::Result(ok, err) => variant_layout(2, [ok, err].into_iter().flatten().map(|s| &**s)),
            Self::Variant(cases) => variant_layout(cases.len(), cases.iter().filter_map(|(_, s)| s.as_ref())),
            Self::Enum(names) => {
                let size = discriminant_size(names.len());
                Layout { size, align: size }
            }
            // Never lowered or lifted: a plan refuses it.
            Self::Other(_) => Layout { size: 1, align: 1 },
        }
    }

    /// Where the payload of an option, result or variant starts.
    pub(crate) fn payload_offset(&self) -> u32 {
        match self {
            Self::Option(some) => payload_offset(2, Some(&**some)),
            Self::Result(ok, err) => payload_offset(2, [ok, err].into_iter().flatten().map(|s| &**s)),
            Self::Variant(cases) => payload_offset(cases.len(), cases.iter().filter_map(|(_, s)| s.as_ref())),
            _ => 0,
        }
    }

    /// Offsets of the fields of a record or of the two halves of a pair.
    pub(crate) fn offsets(&self) -> Vec<u32> {
        match self {
            Self::Record(members) => offsets(members.iter().map(|m| &m.shape)),
            Self::Pair(pair) => offsets([&pair.0, &pair.1]),
            _ => Vec::new(),
        }
    }
}

/// Bytes of the discriminant of a type with `cases` cases.
pub(crate) fn discriminant_size(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

fn align_to(offset: u32, align: u32) -> u32 {
    offset.next_multiple_of(align)
}

fn offsets<'a>(parts: impl IntoIterator<Item = &'a Shape>) -> Vec<u32> {
    let mut end = 0;
    let mut starts = Vec::new();
    for part in parts {
        let layout = part.layout();
        let start = align_to(end, layout.align);
        starts.push(start);
        end = start + layout.size;
    }
    starts
}

fn record_layout<'a>(parts: impl IntoIterator<Item = &'a Shape>) -> Layout {
    let mut whole = Layout { size: 0, align: 1 };
    for part in parts {
        let layout = part.layout();
        whole.size = align_to(whole.size, layout.align) + layout.size;
        whole.align = whole.align.max(layout.align);
    }
    whole.size = align_to(whole.size, whole.align);
    whole
}

fn payload_offset<'a>(cases: usize, payloads: impl IntoIterator<Item = &'a Shape>) -> u32 {
    let align = payloads.into_iter().map(|p| p.layout().align).max().unwrap_or(1);
    align_to(discriminant_size(cases), align)
}

fn variant_layout<'a>(cases: usize, payloads: impl IntoIterator<Item = &'a Shape> + Clone) -> Layout {
    let discriminant = discriminant_size(cases);
    let layouts = payloads.clone().into_iter().map(Shape::layout);
    let (size, align) = layouts.fold((0, discriminant), |(s, a), l| (s.max(l.size), a.max(l.align)));
    Layout { size: align_to(payload_offset(cases, payloads) + size, align), align }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::S32 => f.write_str("s32"),
            Self::S64 => f.write_str("s64"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::String => f.write_str("string"),
            Self::Bytes => f.write_str("list<u8>"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Record(members) => {
                f.write_str("record { ")?;
                for (i, member) in members.iter().enumerate() {
                    write!(f, "{}{}: {}", if i == 0 { "" } else { ", " }, member.name, member.shape)?;
                }
                f.write_str(" }")
            }
            Self::Pair(pair) => write!(f, "tuple<{}, {}>", pair.0, pair.1),
            Self::Option(some) => write!(f, "option<{some}>"),
            Self::Result(None, None) => f.write_str("result"),
            Self::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Self::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            Self::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Self::Variant(cases) => {
                f.write_str("variant { ")?;
                for (i, (name, payload)) in cases.iter().enumerate() {
                    f.write_str(if i == 0 { "" } else { ", " })?;
                    match payload {
                        Some(payload) => write!(f, "{name}({payload})")?,
                        None => f.write_str(name)?,
                    }
                }
                f.write_str(" }")
            }
            Self::Enum(names) => write!(f, "enum {{ {} }}", names.join(", ")),
            Self::Other(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_follow_the_canonical_abi() {
        let record = Shape::Record(vec![
            Member { name: "a".into(), shape: Shape::Bool },
            Member { name: "b".into(), shape: Shape::S64 },
            Member { name: "c".into(), shape: Shape::String },
            Member { name: "d".into(), shape: Shape::Option(Box::new(Shape::F32)) },
        ]);
        assert_eq!(record.offsets(), [0, 8, 16, 24]);
        assert_eq!(record.layout(), Layout { size: 32, align: 8 });
        let answer = Shape::Result(
            Some(Box::new(Shape::Option(Box::new(Shape::Record(vec![Member {
                name: "x".into(),
                shape: Shape::F64,
            }]))))),
            Some(Box::new(Shape::String)),
        );
        assert_eq!((answer.layout(), answer.payload_offset()), (Layout { size: 24, align: 8 }, 8));
        assert_eq!(Shape::Enum(vec!["x".into(); 300]).layout(), Layout { size: 2, align: 2 });
    }
}
