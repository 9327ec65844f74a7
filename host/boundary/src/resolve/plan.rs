//! From two schemas to the operations of a [`Resolution`].
//!
//! Pairs of types are planned once and remembered, so that recursion needs no special case: a pair that is being planned
//! counts as readable, and what was planned on that ground is forgotten if it turns out not to be.

use std::collections::HashMap;

use super::default::{DefaultError, encode_default};
use super::matching::{Sameness, branches_for, fit, source_of};
use super::skip::Compiler;
use super::{Operation, Resolution, Step};
use crate::schema::{Enum, Kind, Record, Schema, TypeId};
use crate::wire::MAX_DEPTH;

/// How deep types may nest: more than any value may, since unions and map entries are levels here.
const MAX_LEVELS: usize = 3 * MAX_DEPTH;

/// A reader schema that cannot read what the writer schema writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Types that do not go together.
    #[error("`{path}` is written as `{writer}` and cannot be read as `{reader}`: {hint}")]
    Types {
        /// The place in the reader schema.
        path: String,
        /// The writer's type.
        writer: String,
        /// The reader's type.
        reader: String,
        /// What to do.
        hint: String,
    },
    /// A field that only the reader has, without a default.
    #[error(
        "`{path}` is not in the writer's record `{record}`: give it a default in the reader schema, or the writer's name for it as an alias"
    )]
    MissingField {
        /// The field.
        path: String,
        /// The writer's record.
        record: String,
    },
    /// A default that is not one.
    #[error("`{path}` is not written, and its {source}")]
    Default {
        /// The field.
        path: String,
        /// What is wrong with it.
        source: DefaultError,
    },
    /// Schemas that nest without end.
    #[error("`{path}`: the schemas nest deeper than {MAX_LEVELS} levels")]
    Depth {
        /// Where it was too deep, shortened.
        path: String,
    },
}

pub(super) fn plan(writer: &Schema, reader: &Schema) -> Result<Resolution, ResolveError> {
    let name = reader.record().map_or("value", |r| r.name.short());
    let mut planner = Planner {
        w: writer,
        r: reader,
        skips: Compiler::new(writer),
        same: Sameness::new(writer, reader),
        operations: Vec::new(),
        known: HashMap::new(),
        planned: Vec::new(),
        path: vec![name.to_owned()],
    };
    let root = planner.pair(writer.root(), reader.root())?;
    let skips = planner.skips.finish();
    // Every operation that was reserved is made by now.
    let operations = planner.operations.into_iter().flatten().collect();
    Ok(Resolution { skips, operations, root })
}

type Pair = (TypeId, TypeId);

struct Planner<'s> {
    w: &'s Schema,
    r: &'s Schema,
    skips: Compiler<'s>,
    same: Sameness<'s>,
    /// None is being made.
    operations: Vec<Option<Operation>>,
    known: HashMap<Pair, Result<u32, ResolveError>>,
    /// Pairs that are known to be readable, in the order in which that was assumed.
    planned: Vec<Pair>,
    path: Vec<String>,
}

// === impl Planner ===

impl Planner<'_> {
    fn pair(&mut self, w_ty: TypeId, r_ty: TypeId) -> Result<u32, ResolveError> {
        if let Some(known) = self.known.get(&(w_ty, r_ty)) {
            return known.clone();
        }
        let (planned, reserved) = (self.planned.len(), self.operations.len());
        let operation = reserved as u32;
        self.operations.push(None);
        self.known.insert((w_ty, r_ty), Ok(operation));
        self.planned.push((w_ty, r_ty));
        match self.make(w_ty, r_ty) {
            Ok(made) => {
                self.operations[reserved] = Some(made);
                Ok(operation)
            }
            Err(error) => {
                self.operations.truncate(reserved);
                for pair in self.planned.drain(planned..) {
                    self.known.remove(&pair);
                }
                self.known.insert((w_ty, r_ty), Err(error.clone()));
                Err(error)
            }
        }
    }

    fn make(&mut self, w_ty: TypeId, r_ty: TypeId) -> Result<Operation, ResolveError> {
        if self.same.of(w_ty, r_ty) {
            return Ok(Operation::Copy(self.skips.entry(&[w_ty])));
        }
        let (w, r) = (self.w, self.r);
        match (w.kind(w_ty), r.kind(r_ty)) {
            (Kind::Union(branches), _) => return self.written_union(branches, w_ty, r_ty),
            (_, Kind::Union(branches)) => return self.read_union(w_ty, branches, r_ty),
            _ if fit(w, w_ty, r, r_ty).is_none() => return Err(self.types(w_ty, r_ty)),
            _ => {}
        }
        Ok(match (w.kind(w_ty), r.kind(r_ty)) {
            (Kind::Int, Kind::Float) => Operation::IntToFloat,
            (Kind::Int, Kind::Double) => Operation::IntToDouble,
            (Kind::Long, Kind::Float) => Operation::LongToFloat,
            (Kind::Long, Kind::Double) => Operation::LongToDouble,
            (Kind::Float, Kind::Double) => Operation::FloatToDouble,
            (Kind::Bytes, Kind::String) => Operation::BytesToString,
            (Kind::Enum(w_enum), Kind::Enum(r_enum)) => self.symbols(w_enum, r_enum),
            (Kind::Array(w_item), Kind::Array(r_item)) => {
                let item = self.within("[]", |p| p.pair(*w_item, *r_item))?;
                Operation::Items { item, min: self.skips.min_size(*w_item) }
            }
            (Kind::Map(w_value), Kind::Map(r_value)) => {
                let value = self.within("{}", |p| p.pair(*w_value, *r_value))?;
                self.operations.push(Some(Operation::Pair(value)));
                let item = self.operations.len() as u32 - 1;
                Operation::Items { item, min: self.skips.min_size(*w_value).saturating_add(1) }
            }
            (Kind::Record(w_record), Kind::Record(r_record)) => self.record(w_record, r_record)?,
            // What fits and is none of these is encoded alike.
            _ => Operation::Copy(self.skips.entry(&[w_ty])),
        })
    }

    fn symbols(&self, w: &Enum, r: &Enum) -> Operation {
        let index = |symbol: &str| r.symbols.iter().position(|s| s == symbol);
        let default = r.default.as_deref().and_then(index);
        let symbol = |symbol: &String| {
            index(symbol).or(default).map(|i| i as u32).ok_or_else(|| {
                format!(
                    "`{}`: the reader's enum `{}` has no symbol `{symbol}` and no default",
                    self.path(),
                    r.name.full
                )
                .into()
            })
        };
        Operation::Enum(w.symbols.iter().map(symbol).collect())
    }

    fn written_union(&mut self, branches: &[TypeId], w_ty: TypeId, r_ty: TypeId) -> Result<Operation, ResolveError> {
        let mut operations = Vec::with_capacity(branches.len());
        let mut readable = false;
        for branch in branches {
            let operation = match self.within("", |p| p.pair(*branch, r_ty)) {
                Ok(operation) => {
                    readable = true;
                    operation
                }
                Err(error @ ResolveError::Depth { .. }) => return Err(error),
                Err(error) => {
                    self.operations.push(Some(Operation::Unreadable(error.to_string().into())));
                    self.operations.len() as u32 - 1
                }
            };
            operations.push(operation);
        }
        if readable { Ok(Operation::Union(operations.into())) } else { Err(self.types(w_ty, r_ty)) }
    }

    fn read_union(&mut self, w_ty: TypeId, branches: &[TypeId], r_ty: TypeId) -> Result<Operation, ResolveError> {
        let mut first_error = None;
        for branch in branches_for(self.w, w_ty, self.r, branches) {
            match self.within("", |p| p.pair(w_ty, branches[branch])) {
                Ok(operation) => return Ok(Operation::Branch(branch as u32, operation)),
                Err(error @ ResolveError::Depth { .. }) => return Err(error),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| self.types(w_ty, r_ty)))
    }

    fn record(&mut self, w: &Record, r: &Record) -> Result<Operation, ResolveError> {
        let sources: Vec<_> = r.fields.iter().map(|field| source_of(field, w)).collect();
        // A field that comes later in the reader than one that the writer has behind it is read from a mark.
        let (mut at, mut marks) = (0, Vec::new());
        for source in sources.iter().flatten() {
            if *source >= at {
                at = source + 1;
            } else {
                marks.push(*source);
            }
        }
        marks.sort_unstable();
        marks.dedup();

        let mut steps = Steps { record: w, marks, pieces: Vec::new(), at: 0 };
        for (field, source) in r.fields.iter().zip(sources) {
            let Some(source) = source else {
                let bytes = self.within(&field.name, |p| p.default_of(field, w))?;
                steps.pieces.push(Piece::Constant(bytes));
                continue;
            };
            let operation = self.within(&field.name, |p| p.pair(w.fields[source].ty, field.ty))?;
            if let Ok(mark) = steps.marks.binary_search(&source)
                && source < steps.at
            {
                steps.pieces.push(Piece::Recall { mark, operation });
                continue;
            }
            steps.advance(source);
            let same = matches!(&self.operations[operation as usize], Some(Operation::Copy(_)));
            let ty = w.fields[source].ty;
            steps.take(if same { Piece::Copy(vec![ty]) } else { Piece::Convert(operation) });
        }
        steps.advance(w.fields.len());
        Ok(Operation::Record(self.merge(steps.pieces)))
    }

    /// Neighbours that are skipped, copied or constant become one step.
    fn merge(&mut self, pieces: Vec<Piece>) -> Box<[Step]> {
        let mut merged: Vec<Piece> = Vec::new();
        for piece in pieces {
            match (merged.last_mut(), piece) {
                (Some(Piece::Skip(types)), Piece::Skip(more)) | (Some(Piece::Copy(types)), Piece::Copy(more)) => {
                    types.extend(more);
                }
                (Some(Piece::Constant(bytes)), Piece::Constant(more)) => bytes.extend(more),
                (_, piece) => merged.push(piece),
            }
        }
        let step = |piece| match piece {
            Piece::Skip(types) => Step::Skip(self.skips.entry(&types)),
            Piece::Copy(types) => Step::Copy(self.skips.entry(&types)),
            Piece::Convert(operation) => Step::Convert(operation),
            Piece::Constant(bytes) => Step::Constant(bytes.into()),
            Piece::Mark => Step::Mark,
            Piece::Recall { mark, operation } => Step::Recall { mark, operation },
        };
        merged.into_iter().map(step).collect()
    }

    fn default_of(&self, field: &crate::schema::Field, w: &Record) -> Result<Vec<u8>, ResolveError> {
        let Some(default) = &field.default else {
            return Err(ResolveError::MissingField { path: self.path(), record: w.name.full.clone() });
        };
        let mut bytes = Vec::new();
        encode_default(self.r, field.ty, default, &mut bytes)
            .map_err(|source| ResolveError::Default { path: self.path(), source })?;
        Ok(bytes)
    }

    /// Goes one level in. An empty step is a level without a name of its own.
    fn within<T>(
        &mut self,
        step: &str,
        run: impl FnOnce(&mut Self) -> Result<T, ResolveError>,
    ) -> Result<T, ResolveError> {
        if self.path.len() >= MAX_LEVELS {
            return Err(ResolveError::Depth { path: self.path() });
        }
        self.path.push(step.to_owned());
        let done = run(self);
        self.path.pop();
        done
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.path.iter().filter(|s| !s.is_empty()).take(32) {
            if !path.is_empty() && !step.starts_with(['[', '{']) {
                path.push('.');
            }
            path.push_str(step);
        }
        path
    }

    fn types(&self, w_ty: TypeId, r_ty: TypeId) -> ResolveError {
        let (w, r) = (self.w.get(w_ty), self.r.get(r_ty));
        let hint = match (&w.kind, &r.kind) {
            (Kind::Record(w), Kind::Record(r)) => rename(&w.name.full, &r.name.full),
            (Kind::Enum(w), Kind::Enum(r)) => rename(&w.name.full, &r.name.full),
            (Kind::Fixed(w), Kind::Fixed(r)) if w.size == r.size => rename(&w.name.full, &r.name.full),
            (Kind::Fixed(_), Kind::Fixed(_)) => "their sizes differ".to_owned(),
            _ if w.logical.is_some() && r.logical.is_some() && w.logical != r.logical => {
                "the same number would mean something else; read it as the writer's logical type, or as the plain type"
                    .to_owned()
            }
            _ => "Avro has no promotion between them; read it as the writer's type".to_owned(),
        };
        ResolveError::Types { path: self.path(), writer: self.w.describe(w_ty), reader: self.r.describe(r_ty), hint }
    }
}

fn rename(writer: &str, reader: &str) -> String {
    format!("their names differ; if they are the same, give the reader's `{reader}` the alias `{writer}`")
}

/// A [`Step`] before neighbours are merged.
enum Piece {
    Skip(Vec<TypeId>),
    Copy(Vec<TypeId>),
    Convert(u32),
    Constant(Vec<u8>),
    Mark,
    Recall { mark: usize, operation: u32 },
}

/// A record's steps while they are laid out, and the writer's field that is next in the bytes.
struct Steps<'s> {
    record: &'s Record,
    /// Fields whose start is noted, ascending.
    marks: Vec<usize>,
    pieces: Vec<Piece>,
    at: usize,
}

// === impl Steps ===

impl Steps<'_> {
    /// Skips up to a field.
    fn advance(&mut self, field: usize) {
        while self.at < field {
            let ty = self.record.fields[self.at].ty;
            self.take(Piece::Skip(vec![ty]));
        }
    }

    /// Uses the next field.
    fn take(&mut self, piece: Piece) {
        if self.marks.contains(&self.at) {
            self.pieces.push(Piece::Mark);
        }
        self.pieces.push(piece);
        self.at += 1;
    }
}
