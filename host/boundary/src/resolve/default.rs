//! Field defaults: the JSON of a schema becomes Avro bytes (specification 1.12, "Complex Types", table of field defaults).
//!
//! Called when a plan is made, never for a record. A schema can make a small default large (records whose fields have
//! defaults of their own, twice at every level), so the work is bounded.

use serde_json::Value;

use crate::schema::{Kind, Schema, TypeId};
use crate::wire::{MAX_DEPTH, write_bytes, write_long};

/// Bytes and values that one default may come to.
const MAX_WORK: usize = 16 * 1024 * 1024;

/// A default that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefaultError {
    /// JSON that is no value of the type.
    #[error("default{path}: {found} is not a value of type `{ty}`{why}")]
    Unfit {
        /// Where in the default, as `.field` or `[2]`.
        path: String,
        /// The JSON, shortened.
        found: String,
        /// The Avro type.
        ty: String,
        /// What is expected, if the type alone does not tell.
        why: String,
    },
    /// A field that is neither in the default of its record nor has one itself.
    #[error("default{path}: field `{field}` is missing, and has no default of its own")]
    MissingField {
        /// Where in the default.
        path: String,
        /// The field.
        field: String,
    },
    /// Endless, or as good as.
    #[error("default{path}: the value is nested too deep or too large")]
    TooLarge {
        /// Where in the default.
        path: String,
    },
}

/// Appends the encoding of a default. In a union, the value is one of the first branch that takes it.
///
/// # Errors
/// If it is not a value of the type; then nothing is appended.
pub fn encode_default(schema: &Schema, ty: TypeId, default: &Value, out: &mut Vec<u8>) -> Result<(), DefaultError> {
    let before = out.len();
    let mut encoder = Encoder { schema, out, path: Vec::new(), work_left: MAX_WORK };
    let encoded = encoder.value(ty, default);
    if encoded.is_err() {
        out.truncate(before);
    }
    encoded
}

struct Encoder<'a> {
    schema: &'a Schema,
    out: &'a mut Vec<u8>,
    path: Vec<String>,
    work_left: usize,
}

// === impl Encoder ===

impl Encoder<'_> {
    fn value(&mut self, ty: TypeId, value: &Value) -> Result<(), DefaultError> {
        self.work(1)?;
        let schema = self.schema;
        match (schema.kind(ty), value) {
            (Kind::Null, Value::Null) => {}
            (Kind::Boolean, Value::Bool(value)) => self.out.push(u8::from(*value)),
            (Kind::Int, Value::Number(n)) => match n.as_i64().and_then(|n| i32::try_from(n).ok()) {
                Some(n) => write_long(self.out, i64::from(n)),
                None => return Err(self.unfit(ty, value, "; it takes whole numbers of 32 bits")),
            },
            (Kind::Long, Value::Number(n)) => match n.as_i64() {
                Some(n) => write_long(self.out, n),
                None => return Err(self.unfit(ty, value, "; it takes whole numbers of 64 bits")),
            },
            (Kind::Float, Value::Number(n)) => match n.as_f64().map(|n| n as f32).filter(|n| n.is_finite()) {
                Some(n) => self.out.extend_from_slice(&n.to_le_bytes()),
                None => return Err(self.unfit(ty, value, "; it is too large")),
            },
            (Kind::Double, Value::Number(n)) => match n.as_f64() {
                Some(n) => self.out.extend_from_slice(&n.to_le_bytes()),
                None => return Err(self.unfit(ty, value, "; it is too large")),
            },
            (Kind::String, Value::String(text)) => {
                self.work(text.len())?;
                write_bytes(self.out, text.as_bytes());
            }
            (Kind::Bytes, Value::String(text)) => {
                let bytes = self.latin1(ty, value, text)?;
                write_bytes(self.out, &bytes);
            }
            (Kind::Fixed(fixed), Value::String(text)) => {
                let bytes = self.latin1(ty, value, text)?;
                if bytes.len() != fixed.size {
                    return Err(self.unfit(ty, value, &format!("; it takes {} characters", fixed.size)));
                }
                self.out.extend_from_slice(&bytes);
            }
            (Kind::Enum(e), Value::String(symbol)) => match e.symbols.iter().position(|s| s == symbol) {
                Some(index) => write_long(self.out, index as i64),
                None => return Err(self.unfit(ty, value, &format!("; its symbols are {}", e.symbols.join(", ")))),
            },
            (Kind::Array(item), Value::Array(items)) => {
                if !items.is_empty() {
                    write_long(self.out, items.len() as i64);
                }
                for (i, value) in items.iter().enumerate() {
                    self.within(format!("[{i}]"), |e| e.value(*item, value))?;
                }
                self.out.push(0);
            }
            (Kind::Map(of), Value::Object(entries)) => {
                if !entries.is_empty() {
                    write_long(self.out, entries.len() as i64);
                }
                for (key, value) in entries {
                    self.work(key.len())?;
                    write_bytes(self.out, key.as_bytes());
                    self.within(format!(".{key}"), |e| e.value(*of, value))?;
                }
                self.out.push(0);
            }
            (Kind::Record(record), Value::Object(entries)) => {
                for field in &record.fields {
                    let Some(value) = entries.get(&field.name).or(field.default.as_ref()) else {
                        return Err(DefaultError::MissingField { path: self.path(), field: field.name.clone() });
                    };
                    self.within(format!(".{}", field.name), |e| e.value(field.ty, value))?;
                }
            }
            (Kind::Union(branches), value) => return self.union(ty, branches, value),
            _ => return Err(self.unfit(ty, value, "")),
        }
        Ok(())
    }

    /// Since Avro 1.12 the default may be of any branch; before, of the first.
    fn union(&mut self, ty: TypeId, branches: &[TypeId], value: &Value) -> Result<(), DefaultError> {
        let before = self.out.len();
        let mut first_error = None;
        for (i, branch) in branches.iter().enumerate() {
            write_long(self.out, i as i64);
            match self.value(*branch, value) {
                Ok(()) => return Ok(()),
                Err(error @ DefaultError::TooLarge { .. }) => return Err(error),
                Err(error) => {
                    self.out.truncate(before);
                    first_error.get_or_insert(error);
                }
            }
        }
        // Where only one branch holds values, what is wrong there says more than that none fits.
        match first_error {
            Some(error) if branches.len() == 1 => Err(error),
            _ => Err(self.unfit(ty, value, "; no branch takes it")),
        }
    }

    /// Bytes are written as text whose characters U+0000 to U+00FF are the bytes.
    fn latin1(&mut self, ty: TypeId, value: &Value, text: &str) -> Result<Vec<u8>, DefaultError> {
        self.work(text.len())?;
        let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
        bytes.map_err(|_| self.unfit(ty, value, "; each character stands for a byte, from U+0000 to U+00FF"))
    }

    fn within(
        &mut self,
        step: String,
        run: impl FnOnce(&mut Self) -> Result<(), DefaultError>,
    ) -> Result<(), DefaultError> {
        if self.path.len() >= MAX_DEPTH {
            return Err(DefaultError::TooLarge { path: self.path() });
        }
        self.path.push(step);
        let done = run(self);
        self.path.pop();
        done
    }

    fn work(&mut self, amount: usize) -> Result<(), DefaultError> {
        match self.work_left.checked_sub(amount) {
            Some(left) => self.work_left = left,
            None => return Err(DefaultError::TooLarge { path: self.path() }),
        }
        Ok(())
    }

    fn path(&self) -> String {
        let text: String = self.path.concat();
        match text.char_indices().nth(200) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    fn unfit(&self, ty: TypeId, value: &Value, why: &str) -> DefaultError {
        let mut found: String = value.to_string();
        if let Some((end, _)) = found.char_indices().nth(60) {
            found.truncate(end);
            found.push('…');
        }
        DefaultError::Unfit { path: self.path(), found, ty: self.schema.describe(ty), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_default_that_comes_to_too_much_is_refused() {
        let schema = Schema::parse(r#"{"type":"array","items":{"type":"array","items":"null"}}"#).expect("legal");
        let default = json!([[null, null], [null, null]]);
        let encode = |work_left| {
            let mut out = Vec::new();
            Encoder { schema: &schema, out: &mut out, path: Vec::new(), work_left }.value(schema.root(), &default)
        };
        assert_eq!(encode(7), Ok(()));
        assert_eq!(encode(6), Err(DefaultError::TooLarge { path: "[1][1]".into() }));
    }
}
