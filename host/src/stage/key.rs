//! The key of a record, made of fields of its value.
//!
//! One field: its text in UTF-8 (bytes and fixed as they are), so that a client with a string serializer makes the same
//! key and reaches the same partition. Several: a JSON array of them. A null field makes no key and is an error, because
//! a record without a key has no place in any order.

use bespoke_boundary::resolve::Skip;
use bespoke_boundary::schema::{Kind, Schema, TypeId};
use bespoke_boundary::{Cursor, WireError};

/// How to read the key fields of one schema.
#[derive(Debug)]
pub struct KeyPlan {
    steps: Vec<Step>,
    /// For each key field, in the order of the key, which of the read ones it is.
    order: Vec<usize>,
    names: Vec<String>,
}

#[derive(Debug)]
enum Step {
    Skip(Skip),
    Take(Part),
}

#[derive(Debug)]
enum Part {
    Boolean,
    Number,
    Float,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    Symbol(Vec<String>),
    /// Which branch is null, and the other.
    Nullable(usize, Box<Part>),
}

/// Fields that cannot be a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The schema has no such field.
    #[error("key field `{0}` is not a field of the schema; it has {1}")]
    NoField(String, String),
    /// The field's type has no text.
    #[error("key field `{0}` is of type `{1}`; a key is made of plain values")]
    Type(String, String),
    /// The field is null in this record.
    #[error("key field `{0}` is null, and a record without a key has no place in any order")]
    Null(String),
    /// The bytes are not what the schema says.
    #[error("the key cannot be read: {0}")]
    Wire(#[from] WireError),
}

enum Value<'a> {
    Json(String),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl KeyPlan {
    /// Reads `fields`, in that order, of records of the schema.
    ///
    /// # Errors
    /// [`KeyError::NoField`], [`KeyError::Type`].
    pub fn compile(schema: &Schema, fields: &[String]) -> Result<Self, KeyError> {
        let all = schema.record().map(|r| r.fields.as_slice()).unwrap_or_default();
        let known = || all.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
        let positions = fields
            .iter()
            .map(|name| {
                let found = all.iter().position(|f| f.name == *name);
                found.ok_or_else(|| KeyError::NoField(name.clone(), known()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let mut read: Vec<usize> = positions.clone();
        read.sort_unstable();
        read.dedup();
        let end = read.last().map_or(0, |last| last + 1);
        let steps = all[..end]
            .iter()
            .enumerate()
            .map(|(i, field)| {
                if read.binary_search(&i).is_err() {
                    return Ok(Step::Skip(Skip::compile(schema, field.ty)));
                }
                let part = part(schema, field.ty);
                part.map(Step::Take).ok_or_else(|| KeyError::Type(field.name.clone(), schema.describe(field.ty)))
            })
            .collect::<Result<_, _>>()?;
        let order = positions.iter().filter_map(|p| read.binary_search(p).ok()).collect();
        let names = read.iter().map(|i| all[*i].name.clone()).collect();
        Ok(Self { steps, order, names })
    }

    /// Appends the key of a datum.
    ///
    /// # Errors
    /// [`KeyError::Null`], [`KeyError::Wire`]; then nothing is appended.
    pub fn write(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), KeyError> {
        let mut cursor = Cursor::new(datum);
        if self.order.len() == 1 {
            for step in &self.steps {
                match step {
                    Step::Skip(skip) => skip.run(&mut cursor)?,
                    Step::Take(part) => match part.read(&mut cursor)? {
                        None => return Err(KeyError::Null(self.names[0].clone())),
                        Some(Value::Json(text)) => out.extend_from_slice(text.as_bytes()),
                        Some(Value::Text(text)) => out.extend_from_slice(text.as_bytes()),
                        Some(Value::Bytes(bytes)) => out.extend_from_slice(bytes),
                    },
                }
            }
            return Ok(());
        }
        let mut values = Vec::with_capacity(self.names.len());
        for step in &self.steps {
            match step {
                Step::Skip(skip) => skip.run(&mut cursor)?,
                Step::Take(part) => {
                    let value = part.read(&mut cursor)?;
                    values.push(value.ok_or_else(|| KeyError::Null(self.names[values.len()].clone()))?);
                }
            }
        }
        out.push(b'[');
        for (i, field) in self.order.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            match &values[*field] {
                Value::Json(text) => out.extend_from_slice(text.as_bytes()),
                Value::Text(text) => out.extend_from_slice(serde_json::Value::from(*text).to_string().as_bytes()),
                // As in Avro's JSON encoding: one character a byte.
                Value::Bytes(bytes) => {
                    let text: String = bytes.iter().map(|b| char::from(*b)).collect();
                    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
                }
            }
        }
        out.push(b']');
        Ok(())
    }
}

fn part(schema: &Schema, ty: TypeId) -> Option<Part> {
    Some(match schema.kind(ty) {
        Kind::Boolean => Part::Boolean,
        Kind::Int | Kind::Long => Part::Number,
        Kind::Float => Part::Float,
        Kind::Double => Part::Double,
        Kind::String => Part::Text,
        Kind::Bytes => Part::Bytes,
        Kind::Fixed(fixed) => Part::Fixed(fixed.size),
        Kind::Enum(e) => Part::Symbol(e.symbols.clone()),
        Kind::Union(_) => {
            let (null, other) = schema.nullable(ty)?;
            Part::Nullable(null, Box::new(part(schema, other)?))
        }
        Kind::Null | Kind::Array(_) | Kind::Map(_) | Kind::Record(_) => return None,
    })
}

impl Part {
    fn read<'a>(&'a self, cursor: &mut Cursor<'a>) -> Result<Option<Value<'a>>, WireError> {
        Ok(Some(match self {
            Self::Boolean => Value::Json(cursor.boolean()?.to_string()),
            Self::Number => Value::Json(cursor.long()?.to_string()),
            Self::Float => Value::Json(f32::from_le_bytes(cursor.array()?).to_string()),
            Self::Double => Value::Json(f64::from_le_bytes(cursor.array()?).to_string()),
            Self::Text => Value::Text(cursor.string()?),
            Self::Bytes => Value::Bytes(cursor.bytes()?),
            Self::Fixed(size) => Value::Bytes(cursor.take(*size)?),
            Self::Symbol(symbols) => Value::Text(&symbols[cursor.index(symbols.len())?]),
            Self::Nullable(null, part) => {
                return if cursor.index(2)? == *null { Ok(None) } else { part.read(cursor) };
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use bespoke_boundary::wire::{write_bytes, write_long};

    use super::*;

    const SCHEMA: &str = r#"{"type":"record","name":"R","fields":[
        {"name":"id","type":"string"},{"name":"n","type":["null","long"]},{"name":"raw","type":"bytes"}]}"#;

    fn datum(n: Option<i64>) -> Vec<u8> {
        let mut out = Vec::new();
        write_bytes(&mut out, "p\"1".as_bytes());
        write_long(&mut out, i64::from(n.is_some()));
        if let Some(n) = n {
            write_long(&mut out, n);
        }
        write_bytes(&mut out, &[0xff, b'a']);
        out
    }

    fn key(fields: &[&str], datum: &[u8]) -> Result<Vec<u8>, KeyError> {
        let schema = Schema::parse(SCHEMA).unwrap();
        let fields: Vec<_> = fields.iter().map(|f| (*f).to_owned()).collect();
        let mut out = Vec::new();
        KeyPlan::compile(&schema, &fields)?.write(datum, &mut out)?;
        Ok(out)
    }

    #[test]
    fn one_field_is_its_text_and_several_are_a_json_array() {
        let datum = datum(Some(-7));
        assert_eq!(key(&["id"], &datum).unwrap(), b"p\"1");
        assert_eq!(key(&["n"], &datum).unwrap(), b"-7");
        assert_eq!(key(&["raw"], &datum).unwrap(), [0xff, b'a']);
        assert_eq!(key(&["n", "id"], &datum).unwrap(), br#"[-7,"p\"1"]"#);
    }

    #[test]
    fn null_and_unknown_fields_are_errors() {
        assert!(matches!(key(&["n"], &datum(None)), Err(KeyError::Null(name)) if name == "n"));
        assert!(matches!(key(&["id", "n"], &datum(None)), Err(KeyError::Null(name)) if name == "n"));
        assert!(matches!(key(&["nix"], &datum(None)), Err(KeyError::NoField(..))));
    }
}
