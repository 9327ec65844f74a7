//! An Avro record becomes the cells of a row.

use bespoke_boundary::resolve::Skip;
use bespoke_boundary::schema::{Kind, Logical, Schema, TypeId};
use bespoke_boundary::{Cursor, WireError};
use bespoke_record::Span;

use crate::format::decimal;
use crate::format::json::{self, JsonStyle};
use crate::table::{Cell, TableSpec};

/// How records of one schema become rows of one table.
pub struct RowPlan {
    steps: Vec<Step>,
    columns: usize,
    names: Vec<String>,
    keys: Vec<usize>,
}

enum Step {
    Skip(Skip),
    Cell(usize, Part),
}

/// How to read one value.
enum Part {
    Boolean,
    Integer,
    /// Milliseconds as microseconds.
    Thousandfold,
    Float,
    Double,
    Text,
    Blob,
    Fixed(usize),
    Symbol(Vec<String>),
    Decimal {
        scale: usize,
        fixed: Option<usize>,
    },
    UuidBytes(Option<usize>),
    /// Anything else, as JSON.
    Json(TypeId, Skip),
    Nullable(usize, Box<Part>),
}

/// A record that has no row.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// A key column is null.
    #[error("key column `{0}` is null or not a number, so that there is no row for it")]
    NullKey(String),
    /// The bytes are not what the schema says.
    #[error("not a record of the topic's schema: {0}")]
    Wire(#[from] WireError),
    /// A value that has no JSON.
    #[error("a column cannot be written as JSON: {0}")]
    Json(String),
    /// A decimal of more digits than anyone means.
    #[error("a decimal column: {0}")]
    Decimal(decimal::DecimalError),
    /// A uuid that is not 16 bytes.
    #[error("a uuid has {0} bytes, not 16")]
    Uuid(usize),
}

impl RowPlan {
    /// The columns of the table are fields of the schema's record.
    #[must_use]
    pub fn compile(schema: &Schema, table: &TableSpec) -> Self {
        let fields = schema.record().map(|r| r.fields.as_slice()).unwrap_or_default();
        let steps = fields
            .iter()
            .map(|field| match table.columns.iter().position(|c| c.name == field.name) {
                Some(column) => Step::Cell(column, part(schema, field.ty)),
                None => Step::Skip(Skip::compile(schema, field.ty)),
            })
            .collect();
        let keys = table.partition_key.iter().chain(&table.clustering_key).copied().collect();
        let names = table.columns.iter().map(|c| c.name.clone()).collect();
        Self { steps, columns: table.columns.len(), names, keys }
    }

    /// Appends the cells of a datum; text and blobs go to `arena`.
    ///
    /// # Errors
    /// [`RowError`]; then nothing is appended.
    pub fn read(
        &self,
        schema: &Schema,
        datum: &[u8],
        cells: &mut Vec<Cell>,
        arena: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let (cells_before, arena_before) = (cells.len(), arena.len());
        let result = self.read_into(schema, datum, cells, arena);
        if result.is_err() {
            cells.truncate(cells_before);
            arena.truncate(arena_before);
        }
        result
    }

    fn read_into(
        &self,
        schema: &Schema,
        datum: &[u8],
        cells: &mut Vec<Cell>,
        arena: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let first = cells.len();
        cells.resize(first + self.columns, Cell::Null);
        let mut cursor = Cursor::new(datum);
        for step in &self.steps {
            match step {
                Step::Skip(skip) => skip.run(&mut cursor)?,
                Step::Cell(column, part) => cells[first + column] = part.read(schema, &mut cursor, arena)?,
            }
        }
        cursor.end()?;
        // SQLite keeps NaN as null, and no store finds a row by it.
        let no_key = |cell: Cell| matches!(cell, Cell::Null) || matches!(cell, Cell::Real(x) if x.is_nan());
        match self.keys.iter().find(|k| no_key(cells[first + **k])) {
            Some(key) => Err(RowError::NullKey(self.names[*key].clone())),
            None => Ok(()),
        }
    }
}

fn part(schema: &Schema, ty: TypeId) -> Part {
    let of = schema.get(ty);
    match (&of.kind, of.logical) {
        (Kind::Bytes, Some(Logical::Decimal { scale, .. })) => Part::Decimal { scale, fixed: None },
        (Kind::Fixed(f), Some(Logical::Decimal { scale, .. })) => Part::Decimal { scale, fixed: Some(f.size) },
        (Kind::Fixed(f), Some(Logical::Uuid)) => Part::UuidBytes(Some(f.size)),
        (Kind::Bytes, Some(Logical::Uuid)) => Part::UuidBytes(None),
        (_, Some(Logical::TimeMillis)) => Part::Thousandfold,
        (Kind::Boolean, _) => Part::Boolean,
        (Kind::Int | Kind::Long, _) => Part::Integer,
        (Kind::Float, _) => Part::Float,
        (Kind::Double, _) => Part::Double,
        (Kind::String, _) => Part::Text,
        (Kind::Bytes, _) => Part::Blob,
        (Kind::Fixed(fixed), _) => Part::Fixed(fixed.size),
        (Kind::Enum(e), _) => Part::Symbol(e.symbols.clone()),
        (Kind::Union(_), _) => match schema.nullable(ty) {
            Some((null, value)) => Part::Nullable(null, Box::new(part(schema, value))),
            None => Part::Json(ty, Skip::compile(schema, ty)),
        },
        _ => Part::Json(ty, Skip::compile(schema, ty)),
    }
}

impl Part {
    fn read(&self, schema: &Schema, cursor: &mut Cursor<'_>, arena: &mut Vec<u8>) -> Result<Cell, RowError> {
        Ok(match self {
            Self::Boolean => Cell::Integer(i64::from(cursor.boolean()?)),
            Self::Integer => Cell::Integer(cursor.long()?),
            Self::Thousandfold => Cell::Integer(cursor.long()?.saturating_mul(1_000)),
            Self::Float => Cell::Real(f64::from(f32::from_le_bytes(cursor.array()?))),
            Self::Double => Cell::Real(f64::from_le_bytes(cursor.array()?)),
            Self::Text => Cell::Text(keep(arena, cursor.string()?.as_bytes())),
            Self::Blob => Cell::Blob(keep(arena, cursor.bytes()?)),
            Self::Fixed(size) => Cell::Blob(keep(arena, cursor.take(*size)?)),
            Self::Symbol(symbols) => Cell::Text(keep(arena, symbols[cursor.index(symbols.len())?].as_bytes())),
            Self::Decimal { scale, fixed } => {
                let bytes = match fixed {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.bytes()?,
                };
                let text = decimal::text(bytes, *scale).map_err(RowError::Decimal)?;
                Cell::Text(keep(arena, text.as_bytes()))
            }
            Self::UuidBytes(fixed) => {
                let bytes = match fixed {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.bytes()?,
                };
                let bytes: [u8; 16] = bytes.try_into().map_err(|_| RowError::Uuid(bytes.len()))?;
                Cell::Text(keep(arena, json::uuid_text(bytes).as_bytes()))
            }
            Self::Json(ty, skip) => {
                let mut ahead = *cursor;
                skip.run(cursor)?;
                let start = arena.len();
                json::write_value(schema, *ty, &mut ahead, JsonStyle::Plain, arena)
                    .map_err(|e| RowError::Json(e.to_string()))?;
                Cell::Text(Span { start: start as u32, len: (arena.len() - start) as u32 })
            }
            Self::Nullable(null, part) => {
                if cursor.index(2)? == *null {
                    Cell::Null
                } else {
                    part.read(schema, cursor, arena)?
                }
            }
        })
    }
}

fn keep(arena: &mut Vec<u8>, bytes: &[u8]) -> Span {
    let start = arena.len() as u32;
    arena.extend_from_slice(bytes);
    Span { start, len: bytes.len() as u32 }
}
