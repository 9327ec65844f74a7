//! Which types of a reader go with which types of a writer (Avro 1.12 specification, "Schema Resolution"), looking at one
//! level only, and [`same_encoding`], which looks at all of them. Called by the planner and by pass-through.

use std::collections::HashMap;

use crate::schema::{Field, Kind, Logical, Names, Record, Schema, TypeId};
use crate::wire::MAX_DEPTH;

/// How well a reader's type takes a writer's, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fit {
    /// The same type under the same full name.
    Exact,
    /// The same kind of type, whose unqualified names or aliases agree, or whose meaning one side does not tell.
    Alike,
    /// The value changes its type.
    Promoted,
}

/// Whether the reader's type takes the writer's, as far as can be seen without looking inside.
pub(super) fn fit(w: &Schema, w_ty: TypeId, r: &Schema, r_ty: TypeId) -> Option<Fit> {
    let logical = fit_logical(w.get(w_ty).logical, r.get(r_ty).logical)?;
    let kind = match (w.kind(w_ty), r.kind(r_ty)) {
        (Kind::Null, Kind::Null)
        | (Kind::Boolean, Kind::Boolean)
        | (Kind::Int, Kind::Int)
        | (Kind::Long, Kind::Long)
        | (Kind::Float, Kind::Float)
        | (Kind::Double, Kind::Double)
        | (Kind::Bytes, Kind::Bytes)
        | (Kind::String, Kind::String)
        | (Kind::Array(_), Kind::Array(_))
        | (Kind::Map(_), Kind::Map(_)) => Fit::Exact,
        (Kind::Fixed(w), Kind::Fixed(r)) if w.size == r.size => fit_names(&w.name, &r.name)?,
        (Kind::Enum(w), Kind::Enum(r)) => fit_names(&w.name, &r.name)?,
        (Kind::Record(w), Kind::Record(r)) => fit_names(&w.name, &r.name)?,
        (Kind::Int, Kind::Long | Kind::Float | Kind::Double)
        | (Kind::Long, Kind::Float | Kind::Double)
        | (Kind::Float, Kind::Double)
        | (Kind::String, Kind::Bytes)
        | (Kind::Bytes, Kind::String) => Fit::Promoted,
        _ => return None,
    };
    Some(kind.max(logical))
}

/// The specification reads logical types that differ as their plain types. Two that both say what they mean, and mean
/// different things (milliseconds and microseconds), would silently become wrong numbers: they do not fit.
fn fit_logical(w: Option<Logical>, r: Option<Logical>) -> Option<Fit> {
    match (w, r) {
        (w, r) if w == r => Some(Fit::Exact),
        (Some(_), Some(_)) => None,
        _ => Some(Fit::Alike),
    }
}

/// Unqualified names decide; a reader's alias may be the writer's name, with or without its namespace.
fn fit_names(w: &Names, r: &Names) -> Option<Fit> {
    let short = |full: &str| full.rsplit('.').next().unwrap_or(full) == w.short();
    if w.full == r.full {
        Some(Fit::Exact)
    } else {
        (short(&r.full) || r.aliases.iter().any(|a| short(a))).then_some(Fit::Alike)
    }
}

/// The branches of the reader's union that may take the writer's type, the best first and else in their order.
///
/// The specification says "the first that matches". Taken literally, `bytes` under `[string, bytes]` would be read as
/// `string` though nothing changed; like Avro's Java library, this prefers the same type.
pub(super) fn branches_for(w: &Schema, w_ty: TypeId, r: &Schema, branches: &[TypeId]) -> Vec<usize> {
    let mut fits: Vec<_> =
        branches.iter().enumerate().filter_map(|(i, r_ty)| Some((fit(w, w_ty, r, *r_ty)?, i))).collect();
    fits.sort_unstable();
    fits.into_iter().map(|(_, i)| i).collect()
}

/// The writer's field that a reader's field is read from: by its name, else by one of its aliases.
pub(super) fn source_of(field: &Field, writer: &Record) -> Option<usize> {
    let by_name = |name: &str| writer.fields.iter().position(|f| f.name == name);
    by_name(&field.name).or_else(|| field.aliases.iter().find_map(|alias| by_name(alias)))
}

/// Whether every value of type `w_ty`, as it is encoded, is a value of type `r_ty` that means the same: nothing would be
/// lost or wrong if the bytes were copied. So it is for equal types, whatever their docs, and for int as long, string as
/// bytes, an enum that gained symbols at its end, a union that gained branches at its end.
#[must_use]
pub fn same_encoding(w: &Schema, w_ty: TypeId, r: &Schema, r_ty: TypeId) -> bool {
    Sameness::new(w, r).of(w_ty, r_ty)
}

/// [`same_encoding`] with a memory, for many questions about two schemas.
pub(super) struct Sameness<'s> {
    w: &'s Schema,
    r: &'s Schema,
    known: HashMap<(TypeId, TypeId), bool>,
    /// Pairs of records that were taken to be the same since the question was asked: so they are, unless the answer is no.
    assumed: Vec<(TypeId, TypeId)>,
}

// === impl Sameness ===

impl<'s> Sameness<'s> {
    pub(super) fn new(w: &'s Schema, r: &'s Schema) -> Self {
        Self { w, r, known: HashMap::new(), assumed: Vec::new() }
    }

    pub(super) fn of(&mut self, w_ty: TypeId, r_ty: TypeId) -> bool {
        self.assumed.clear();
        let same = self.compare(w_ty, r_ty, 0);
        if !same {
            for pair in self.assumed.drain(..) {
                if self.known.get(&pair) == Some(&true) {
                    self.known.remove(&pair);
                }
            }
            self.known.insert((w_ty, r_ty), false);
        }
        same
    }

    fn compare(&mut self, w_ty: TypeId, r_ty: TypeId, depth: usize) -> bool {
        if let Some(known) = self.known.get(&(w_ty, r_ty)) {
            return *known;
        }
        // Values that deep are refused anyway.
        if depth > 2 * MAX_DEPTH {
            return false;
        }
        let (w, r) = (self.w, self.r);
        match (w.kind(w_ty), r.kind(r_ty)) {
            (Kind::Union(w_branches), Kind::Union(r_branches)) => {
                w_branches.len() <= r_branches.len()
                    && w_branches.iter().enumerate().all(|(i, branch)| {
                        branches_for(w, *branch, r, r_branches).first() == Some(&i)
                            && self.compare(*branch, r_branches[i], depth + 1)
                    })
            }
            (Kind::Union(_), _) | (_, Kind::Union(_)) => false,
            _ if fit(w, w_ty, r, r_ty).is_none() => false,
            (Kind::Array(w_item), Kind::Array(r_item)) => self.compare(*w_item, *r_item, depth + 1),
            (Kind::Map(w_value), Kind::Map(r_value)) => self.compare(*w_value, *r_value, depth + 1),
            (Kind::Enum(w), Kind::Enum(r)) => r.symbols.starts_with(&w.symbols),
            (Kind::Record(w_record), Kind::Record(r_record)) => {
                self.known.insert((w_ty, r_ty), true);
                self.assumed.push((w_ty, r_ty));
                let same = w_record.fields.len() == r_record.fields.len()
                    && r_record.fields.iter().enumerate().all(|(i, field)| {
                        source_of(field, w_record) == Some(i)
                            && self.compare(w_record.fields[i].ty, field.ty, depth + 1)
                    });
                if !same {
                    self.known.insert((w_ty, r_ty), false);
                }
                same
            }
            (w, r) => matches!(
                (w, r),
                (Kind::Null, Kind::Null)
                    | (Kind::Boolean, Kind::Boolean)
                    | (Kind::Int, Kind::Int | Kind::Long)
                    | (Kind::Long, Kind::Long)
                    | (Kind::Float, Kind::Float)
                    | (Kind::Double, Kind::Double)
                    | (Kind::Bytes, Kind::Bytes)
                    | (Kind::String, Kind::String | Kind::Bytes)
                    | (Kind::Fixed(_), Kind::Fixed(_))
            ),
        }
    }
}
