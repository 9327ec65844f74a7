//! An Avro record becomes the cells of a row.

use bespoke_boundary::resolve::{self, Skip};
use bespoke_boundary::schema::{Kind, Logical, Schema, TypeId};
use bespoke_boundary::{Cursor, WireError};
use bespoke_record::Span;

use crate::format::decimal;
use crate::format::json::{self, JsonStyle};
use crate::table::{Cell, ColumnType, TableSpec};

/// How records of one schema become rows of one table.
pub struct RowPlan {
    steps: Vec<Step>,
    columns: usize,
    names: Vec<String>,
    keys: Vec<usize>,
    ttl: Ttl,
}

/// How long rows live.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ttl {
    /// For ever.
    #[default]
    None,
    /// So many seconds.
    Seconds(u32),
    /// As many as a field of the record says.
    Field(String),
}

/// The cells of rows, and what they point into.
#[derive(Debug, Default)]
pub struct Drawn {
    /// The rows, one after the other.
    pub cells: Vec<Cell>,
    /// Cells in cells.
    pub nested: Vec<Cell>,
    /// Text and blobs.
    pub arena: Vec<u8>,
    /// Cells of values that are being read.
    open: Vec<Cell>,
}

/// A row among those that were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its first cell.
    pub first: usize,
    /// Seconds that it lives, 0 for ever; none if nothing says so.
    pub ttl_s: Option<u32>,
}

/// The longest that a row may live: twenty years, as in Cassandra.
pub(crate) const MAX_TTL_S: i64 = 20 * 365 * 24 * 60 * 60;

enum Step {
    Skip(Skip),
    /// A column; the lifetime; or both.
    Read(Option<usize>, bool, Part),
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
    BigDecimal,
    /// Items of at least so many bytes.
    Array(usize, Box<Part>),
    Map(Box<Part>),
    Record(Vec<Part>),
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
    /// A null where the store has no place for one.
    #[error("an array or a map has null in it, which its column cannot hold")]
    NullItem,
    /// More text than rows can hold at once.
    #[error("its row, with those before it that are not yet written, takes more than 4 GiB")]
    TooMuch,
    /// A lifetime that is none.
    #[error("its time to live is {0} s; it must be from 0 to {MAX_TTL_S}")]
    Ttl(i64),
    /// A uuid that is not 16 bytes.
    #[error("a uuid has {0} bytes, not 16")]
    Uuid(usize),
}

impl RowPlan {
    /// The columns of the table are fields of the schema's record, and so is that of the lifetime.
    #[must_use]
    pub fn compile(schema: &Schema, table: &TableSpec, ttl: Ttl) -> Self {
        let fields = schema.record().map(|r| r.fields.as_slice()).unwrap_or_default();
        let steps = fields
            .iter()
            .map(|field| {
                let column = table.columns.iter().position(|c| c.name == field.name);
                let is_ttl = matches!(&ttl, Ttl::Field(name) if *name == field.name);
                match column {
                    Some(index) => Step::Read(column, is_ttl, part(schema, field.ty, Some(&table.columns[index].ty))),
                    None if is_ttl => Step::Read(None, true, part(schema, field.ty, None)),
                    None => Step::Skip(Skip::compile(schema, field.ty)),
                }
            })
            .collect();
        let names = table.columns.iter().map(|c| c.name.clone()).collect();
        Self { steps, columns: table.columns.len(), names, keys: table.key().collect(), ttl }
    }

    /// Appends the cells of a datum.
    ///
    /// # Errors
    /// [`RowError`]; then nothing is appended.
    pub fn read(&self, schema: &Schema, datum: &[u8], drawn: &mut Drawn) -> Result<Found, RowError> {
        let (cells, nested, arena) = (drawn.cells.len(), drawn.nested.len(), drawn.arena.len());
        let result = self.read_into(schema, datum, drawn);
        if result.is_err() {
            drawn.cells.truncate(cells);
            drawn.nested.truncate(nested);
            drawn.arena.truncate(arena);
            drawn.open.clear();
        }
        result
    }

    fn read_into(&self, schema: &Schema, datum: &[u8], drawn: &mut Drawn) -> Result<Found, RowError> {
        let first = drawn.cells.len();
        drawn.cells.resize(first + self.columns, Cell::Null);
        let mut cursor = Cursor::new(datum);
        let mut ttl_s = match self.ttl {
            Ttl::None => None,
            Ttl::Seconds(seconds) => Some(i64::from(seconds)),
            // A null.
            Ttl::Field(_) => Some(0),
        };
        for step in &self.steps {
            match step {
                Step::Skip(skip) => skip.run(&mut cursor)?,
                Step::Read(column, is_ttl, part) => {
                    let cell = part.read(schema, &mut cursor, drawn)?;
                    if let Some(column) = column {
                        drawn.cells[first + column] = cell;
                    }
                    if let (true, Cell::Integer(seconds)) = (is_ttl, cell) {
                        ttl_s = Some(seconds);
                    }
                }
            }
        }
        cursor.end()?;
        if let Some(ttl_s) = ttl_s.filter(|ttl_s| !(0..=MAX_TTL_S).contains(ttl_s)) {
            return Err(RowError::Ttl(ttl_s));
        }
        for key in &self.keys {
            let cell = &mut drawn.cells[first + key];
            *cell = one_zero(*cell);
        }
        let cells = &drawn.cells;
        // SQLite keeps NaN as null, and no store finds a row by it.
        let no_key = |cell: Cell| matches!(cell, Cell::Null) || matches!(cell, Cell::Real(x) if x.is_nan());
        match self.keys.iter().find(|k| no_key(cells[first + **k])) {
            Some(key) => Err(RowError::NullKey(self.names[*key].clone())),
            None => Ok(Found { first, ttl_s: ttl_s.map(|ttl_s| ttl_s as u32) }),
        }
    }
}

/// In a key 0 and -0 are one number, of which Cassandra would make two rows.
pub(super) fn one_zero(cell: Cell) -> Cell {
    match cell {
        // The sum of -0 and 0 is 0.
        Cell::Real(value) => Cell::Real(value + 0.0),
        other => other,
    }
}

/// How a value is read, for a column or a part of one that is of the type.
fn part(schema: &Schema, ty: TypeId, column: Option<&ColumnType>) -> Part {
    let of = schema.get(ty);
    match (&of.kind, of.logical) {
        (Kind::Bytes, Some(Logical::BigDecimal)) if column == Some(&ColumnType::Decimal) => Part::BigDecimal,
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
            Some((null, value)) => Part::Nullable(null, Box::new(part(schema, value, column))),
            None => Part::Json(ty, Skip::compile(schema, ty)),
        },
        (Kind::Array(item), _) if let Some(ColumnType::Array(of)) = column => {
            Part::Array(resolve::min_size(schema, *item), Box::new(part(schema, *item, Some(of))))
        }
        (Kind::Map(value), _) if let Some(ColumnType::Map(of)) = column => {
            Part::Map(Box::new(part(schema, *value, Some(of))))
        }
        (Kind::Record(record), _) if let Some(ColumnType::Record(of)) = column => {
            let fields = record.fields.iter().zip(&of.fields);
            Part::Record(fields.map(|(field, of)| part(schema, field.ty, Some(&of.ty))).collect())
        }
        _ => Part::Json(ty, Skip::compile(schema, ty)),
    }
}

impl Part {
    fn read(&self, schema: &Schema, cursor: &mut Cursor<'_>, drawn: &mut Drawn) -> Result<Cell, RowError> {
        let arena = &mut drawn.arena;
        Ok(match self {
            Self::Boolean => Cell::Integer(i64::from(cursor.boolean()?)),
            Self::Integer => Cell::Integer(cursor.long()?),
            Self::Thousandfold => Cell::Integer(cursor.long()?.saturating_mul(1_000)),
            Self::Float => Cell::Real(f64::from(f32::from_le_bytes(cursor.array()?))),
            Self::Double => Cell::Real(f64::from_le_bytes(cursor.array()?)),
            Self::Text => Cell::Text(keep(arena, cursor.string()?.as_bytes())?),
            Self::Blob => Cell::Blob(keep(arena, cursor.bytes()?)?),
            Self::Fixed(size) => Cell::Blob(keep(arena, cursor.take(*size)?)?),
            Self::Symbol(symbols) => Cell::Text(keep(arena, symbols[cursor.index(symbols.len())?].as_bytes())?),
            Self::Decimal { scale, fixed } => {
                let bytes = match fixed {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.bytes()?,
                };
                let text = decimal::text(bytes, *scale).map_err(RowError::Decimal)?;
                Cell::Text(keep(arena, text.as_bytes())?)
            }
            Self::BigDecimal => {
                let text = decimal::big_text(cursor.bytes()?).map_err(RowError::Decimal)?;
                Cell::Text(keep(arena, text.as_bytes())?)
            }
            Self::Array(min, item) => {
                let begin = drawn.open.len();
                while let Some(items) = cursor.block(*min)? {
                    for _ in 0..items {
                        let cell = item.read(schema, cursor, drawn)?;
                        drawn.open.push(not_null(cell)?);
                    }
                }
                drawn.close(begin)
            }
            Self::Map(value) => {
                let begin = drawn.open.len();
                while let Some(items) = cursor.block(1)? {
                    for _ in 0..items {
                        let key = keep(&mut drawn.arena, cursor.string()?.as_bytes())?;
                        drawn.open.push(Cell::Text(key));
                        let cell = value.read(schema, cursor, drawn)?;
                        drawn.open.push(not_null(cell)?);
                    }
                }
                drawn.close(begin)
            }
            Self::Record(fields) => {
                let begin = drawn.open.len();
                for field in fields {
                    let cell = field.read(schema, cursor, drawn)?;
                    drawn.open.push(cell);
                }
                drawn.close(begin)
            }
            Self::UuidBytes(fixed) => {
                let bytes = match fixed {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.bytes()?,
                };
                let bytes: [u8; 16] = bytes.try_into().map_err(|_| RowError::Uuid(bytes.len()))?;
                Cell::Text(keep(arena, json::uuid_text(bytes).as_bytes())?)
            }
            Self::Json(ty, skip) => {
                let mut ahead = *cursor;
                skip.run(cursor)?;
                let start = arena.len();
                json::write_value(schema, *ty, &mut ahead, JsonStyle::Plain, arena)
                    .map_err(|e| RowError::Json(e.to_string()))?;
                Cell::Text(span_from(arena, start)?)
            }
            Self::Nullable(null, part) => {
                if cursor.index(2)? == *null {
                    Cell::Null
                } else {
                    part.read(schema, cursor, drawn)?
                }
            }
        })
    }
}

// === impl Drawn ===

impl Drawn {
    /// The cells that were read since `begin` become one.
    fn close(&mut self, begin: usize) -> Cell {
        let start = self.nested.len() as u32;
        self.nested.extend(self.open.drain(begin..));
        Cell::Nested(Span { start, len: self.nested.len() as u32 - start })
    }
}

fn not_null(cell: Cell) -> Result<Cell, RowError> {
    if cell == Cell::Null { Err(RowError::NullItem) } else { Ok(cell) }
}

fn keep(arena: &mut Vec<u8>, bytes: &[u8]) -> Result<Span, RowError> {
    let start = arena.len();
    arena.extend_from_slice(bytes);
    span_from(arena, start)
}

/// What was added to the arena since.
fn span_from(arena: &[u8], start: usize) -> Result<Span, RowError> {
    let too_much = |_| RowError::TooMuch;
    u32::try_from(arena.len()).map_err(too_much)?;
    Ok(Span { start: start as u32, len: (arena.len() - start) as u32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Column, Nulls};

    const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [
        {"name": "key", "type": "double"}, {"name": "of", "type": "double"}, {"name": "ttl", "type": ["null", "int"]}]}"#;

    fn read(ttl: Ttl, datum: &[u8]) -> (Vec<Cell>, Option<u32>) {
        let schema = Schema::parse(SCHEMA).expect("a schema");
        let column = |name: &str| Column { name: name.to_owned(), ty: ColumnType::Double, nullable: false };
        let table = TableSpec {
            name: "t".to_owned(),
            columns: vec![column("key"), column("of")],
            partition_key: vec![0],
            clustering_key: vec![],
            nulls: Nulls::Unset,
            fine_times: Default::default(),
        };
        let mut drawn = Drawn::default();
        let found = RowPlan::compile(&schema, &table, ttl).read(&schema, datum, &mut drawn).expect("a row");
        (drawn.cells, found.ttl_s)
    }

    fn datum(ttl: &[u8]) -> Vec<u8> {
        [&(-0.0f64).to_le_bytes()[..], &(-0.0f64).to_le_bytes(), ttl].concat()
    }

    #[test]
    fn a_key_has_one_zero_and_other_columns_two() {
        let (cells, _) = read(Ttl::None, &datum(&[0]));
        let is_negative = |cell: &Cell| matches!(cell, Cell::Real(value) if value.is_sign_negative());
        assert_eq!(cells.iter().map(is_negative).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn only_a_lifetime_that_nobody_told_is_that_of_the_table() {
        let field = || Ttl::Field("ttl".to_owned());
        assert_eq!(read(Ttl::None, &datum(&[0])).1, None);
        assert_eq!(read(field(), &datum(&[0])).1, Some(0), "null is for ever");
        assert_eq!(read(field(), &datum(&[2, 0])).1, Some(0), "0 is for ever");
        assert_eq!(read(field(), &datum(&[2, 14])).1, Some(7));
        assert_eq!(read(Ttl::Seconds(9), &datum(&[0])).1, Some(9));
    }
}
