//! JSON to Avro bytes.
//!
//! Called by feeds, for each line, and by commands. JSON can make a union of records that hold unions be tried over and
//! over: the values looked at are counted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bespoke_boundary::Schema;
use bespoke_boundary::resolve::{DefaultError, encode_default};
use bespoke_boundary::schema::{Kind, Logical, Record, TypeId};
use bespoke_boundary::wire::{MAX_DEPTH, write_bytes, write_long};
use serde_json::Value;

use super::unions::{branch_named, branches_for, is_ambiguous};
use super::{JsonStyle, time};
use crate::format::decimal::{self, DecimalError};

/// Values looked at for one record: several for each that 16 MiB of JSON can hold.
const MAX_VISITS: usize = 1 << 25;

/// Digits with which a JSON number is surely the decimal that was written.
const EXACT_DIGITS: usize = 15;

/// How JSON is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JsonOptions {
    /// Which style it is in.
    pub style: JsonStyle,
    /// What becomes of fields that the schema does not have.
    pub unknown: UnknownFields,
}

/// What becomes of fields that the schema does not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum UnknownFields {
    /// They are an error, as they are mostly misspelled.
    #[default]
    Reject,
    /// They are left out.
    Ignore,
}

/// JSON that is no value of the schema.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON.
    #[error("it is not JSON: {0}")]
    Syntax(#[from] serde_json::Error),
    /// A value of another type.
    #[error("{}{found} is not a value of type `{ty}`{hint}", at(path))]
    Type {
        /// Where, from the inside out.
        path: Vec<String>,
        /// The JSON, shortened.
        found: String,
        /// The Avro type.
        ty: String,
        /// What is expected.
        hint: String,
    },
    /// A field that is not there.
    #[error("field `{}` is missing, and has no default", path_text(path))]
    Missing {
        /// Where, from the inside out.
        path: Vec<String>,
    },
    /// A field that the schema does not have.
    #[error("field `{}` is not in the schema{hint}", path_text(path))]
    Unknown {
        /// Where, from the inside out.
        path: Vec<String>,
        /// What may be meant.
        hint: String,
    },
    /// A default that is not one.
    #[error("{}{source}", at(path))]
    Default {
        /// Where, from the inside out.
        path: Vec<String>,
        /// What is wrong with it.
        source: DefaultError,
    },
    /// Too much.
    #[error("it is nested deeper than {MAX_DEPTH} levels, or its unions can be read in too many ways")]
    TooDeep,
}

/// Appends the Avro encoding of a JSON text.
///
/// # Errors
/// What is wrong, and where; then nothing is appended.
pub fn parse_json(schema: &Schema, json: &[u8], options: JsonOptions, out: &mut Vec<u8>) -> Result<(), JsonError> {
    encode_json(schema, &serde_json::from_slice(json)?, options, out)
}

/// Appends the Avro encoding of a JSON value.
///
/// # Errors
/// What is wrong, and where; then nothing is appended.
pub fn encode_json(schema: &Schema, json: &Value, options: JsonOptions, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let before = out.len();
    let mut reader = Reader { schema, options, out, visits_left: MAX_VISITS };
    let read = reader.value(schema.root(), json, 0);
    if read.is_err() {
        out.truncate(before);
    }
    read
}

struct Reader<'a> {
    schema: &'a Schema,
    options: JsonOptions,
    out: &'a mut Vec<u8>,
    visits_left: usize,
}

// === impl Reader ===

impl Reader<'_> {
    fn value(&mut self, ty: TypeId, json: &Value, depth: usize) -> Result<(), JsonError> {
        self.visits_left = self.visits_left.checked_sub(1).ok_or(JsonError::TooDeep)?;
        let schema = self.schema;
        match (schema.kind(ty), json) {
            (Kind::Null, Value::Null) => {}
            (Kind::Boolean, Value::Bool(value)) => self.out.push(u8::from(*value)),
            (Kind::Int | Kind::Long, _) => self.integer(ty, json)?,
            (Kind::Float, _) => {
                let number = self.number(ty, json)?;
                let narrow = number as f32;
                if narrow.is_infinite() && number.is_finite() {
                    return Err(self.wrong(ty, json, "; it is too large"));
                }
                self.out.extend_from_slice(&narrow.to_le_bytes());
            }
            (Kind::Double, _) => {
                let number = self.number(ty, json)?;
                self.out.extend_from_slice(&number.to_le_bytes());
            }
            (Kind::String, Value::String(text)) => write_bytes(self.out, text.as_bytes()),
            (Kind::Bytes, _) => {
                let bytes = self.bytes(ty, json, None)?;
                write_bytes(self.out, &bytes);
            }
            (Kind::Fixed(fixed), _) => {
                let bytes = self.bytes(ty, json, Some(fixed.size))?;
                if bytes.len() != fixed.size {
                    let hint = format!("; it has {} bytes and not {}", bytes.len(), fixed.size);
                    return Err(self.wrong(ty, json, &hint));
                }
                self.out.extend_from_slice(&bytes);
            }
            (Kind::Enum(e), Value::String(symbol)) => match e.symbols.iter().position(|s| s == symbol) {
                Some(index) => write_long(self.out, index as i64),
                None => return Err(self.wrong(ty, json, &format!("; it has {}", e.symbols.join(", ")))),
            },
            (Kind::Array(item), Value::Array(items)) => {
                let depth = deeper(depth)?;
                if !items.is_empty() {
                    write_long(self.out, items.len() as i64);
                }
                for (i, json) in items.iter().enumerate() {
                    self.value(*item, json, depth).map_err(|e| e.within(|| format!("[{i}]")))?;
                }
                self.out.push(0);
            }
            (Kind::Map(value), Value::Object(entries)) => {
                let depth = deeper(depth)?;
                if !entries.is_empty() {
                    write_long(self.out, entries.len() as i64);
                }
                for (key, json) in entries {
                    write_bytes(self.out, key.as_bytes());
                    self.value(*value, json, depth).map_err(|e| e.within(|| key.clone()))?;
                }
                self.out.push(0);
            }
            (Kind::Record(record), Value::Object(entries)) => self.record(record, entries, deeper(depth)?)?,
            (Kind::Union(branches), _) => self.union(ty, branches, json, depth)?,
            _ => return Err(self.wrong(ty, json, "")),
        }
        Ok(())
    }

    fn record(
        &mut self,
        record: &Record,
        entries: &serde_json::Map<String, Value>,
        depth: usize,
    ) -> Result<(), JsonError> {
        let mut found = 0;
        for field in &record.fields {
            let within = || field.name.clone();
            if let Some(json) = entries.get(&field.name) {
                found += 1;
                self.value(field.ty, json, depth).map_err(|e| e.within(within))?;
            } else if let Some(default) = &field.default {
                encode_default(self.schema, field.ty, default, self.out)
                    .map_err(|source| JsonError::Default { path: vec![within()], source })?;
            } else if let Some((null, _)) = self.schema.nullable(field.ty) {
                write_long(self.out, null as i64);
            } else {
                return Err(JsonError::Missing { path: vec![within()] });
            }
        }
        if found < entries.len() && self.options.unknown == UnknownFields::Reject {
            let known = |name: &str| record.fields.iter().any(|f| f.name == name);
            let unknown = entries.keys().find(|name| !known(name)).map_or("", String::as_str);
            let nearest = record
                .fields
                .iter()
                .map(|f| (strsim::jaro_winkler(&f.name, unknown), &f.name))
                .filter(|(likeness, _)| *likeness > 0.8)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = nearest.map_or(String::new(), |(_, name)| format!("; did you mean `{name}`?"));
            return Err(JsonError::Unknown { path: vec![shorten(unknown)], hint });
        }
        Ok(())
    }

    fn union(&mut self, ty: TypeId, branches: &[TypeId], json: &Value, depth: usize) -> Result<(), JsonError> {
        let wrapped = || {
            let (name, value) = json.as_object().filter(|o| o.len() == 1)?.iter().next()?;
            Some((branch_named(self.schema, branches, name)?, value))
        };
        let wrapped = wrapped();
        if self.options.style == JsonStyle::Avro {
            return match (wrapped, branches_for(self.schema, branches, json).first()) {
                (Some((branch, json)), _) => self.branch(branches, branch, json, depth),
                (None, Some(null)) if json.is_null() => self.branch(branches, *null, json, depth),
                _ => Err(self.wrong(ty, json, "; it is not wrapped as {\"type\": value}")),
            };
        }
        let plain: Vec<_> = branches_for(self.schema, branches, json).into_iter().map(|b| (b, json)).collect();
        // Where plain values can be confused they are written wrapped, so that is what an object means first.
        let tries: Vec<_> = if is_ambiguous(self.schema, branches) {
            wrapped.into_iter().chain(plain).collect()
        } else {
            plain.into_iter().chain(wrapped).collect()
        };
        let mut first_error = None;
        for (branch, json) in &tries {
            match self.branch(branches, *branch, json, depth) {
                Ok(()) => return Ok(()),
                Err(JsonError::TooDeep) => return Err(JsonError::TooDeep),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        match first_error {
            Some(error) if tries.len() == 1 => Err(error),
            _ => Err(self.wrong(ty, json, "")),
        }
    }

    /// Leaves nothing behind if the branch does not take the value.
    fn branch(&mut self, branches: &[TypeId], branch: usize, json: &Value, depth: usize) -> Result<(), JsonError> {
        let before = self.out.len();
        write_long(self.out, branch as i64);
        let read = self.value(branches[branch], json, depth);
        if read.is_err() {
            self.out.truncate(before);
        }
        read
    }

    fn integer(&mut self, ty: TypeId, json: &Value) -> Result<(), JsonError> {
        let logical = self.schema.get(ty).logical;
        let number = match json {
            Value::Number(number) => number.as_i64(),
            Value::String(text) if self.options.style == JsonStyle::Plain => {
                logical.and_then(|logical| time::number(logical, text))
            }
            _ => None,
        };
        let is_int = matches!(self.schema.kind(ty), Kind::Int);
        match number.filter(|n| !is_int || i32::try_from(*n).is_ok()) {
            Some(number) => write_long(self.out, number),
            None => {
                let bits = if is_int { 32 } else { 64 };
                let or = logical.and_then(time::example).map(|e| format!(", or text such as {e}"));
                let hint = format!("; it takes whole numbers of {bits} bits{}", or.unwrap_or_default());
                return Err(self.wrong(ty, json, &hint));
            }
        }
        Ok(())
    }

    fn number(&self, ty: TypeId, json: &Value) -> Result<f64, JsonError> {
        match json {
            Value::Number(number) => number.as_f64().filter(|n| n.is_finite()),
            Value::String(text) => match text.as_str() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                _ => None,
            },
            _ => None,
        }
        .ok_or_else(|| self.wrong(ty, json, "; it takes numbers, \"NaN\", \"Infinity\" and \"-Infinity\""))
    }

    fn bytes(&self, ty: TypeId, json: &Value, size: Option<usize>) -> Result<Vec<u8>, JsonError> {
        if self.options.style == JsonStyle::Avro {
            let bytes = json.as_str().and_then(|text| text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect());
            return bytes.ok_or_else(|| {
                self.wrong(ty, json, "; it takes text whose characters U+0000 to U+00FF stand for the bytes")
            });
        }
        let logical = self.schema.get(ty).logical;
        match (logical, json) {
            (Some(Logical::Decimal { .. } | Logical::BigDecimal), Value::Number(number)) => {
                let text = number.to_string();
                let digits = text.split(['e', 'E']).next().unwrap_or_default().bytes().filter(u8::is_ascii_digit);
                if number.is_f64() && digits.skip_while(|d| *d == b'0').count() > EXACT_DIGITS {
                    return Err(self.wrong(ty, json, "; so many digits are exact only as text: write \"…\""));
                }
                self.decimal(ty, json, &text, size)
            }
            (Some(Logical::Decimal { .. } | Logical::BigDecimal), Value::String(text)) => {
                self.decimal(ty, json, text, size)
            }
            (Some(Logical::Uuid), Value::String(text)) => match uuid_bytes(text) {
                Some(bytes) => Ok(bytes),
                None => Err(self.wrong(ty, json, "; it takes a UUID of 32 hexadecimal digits")),
            },
            (_, Value::String(text)) => STANDARD
                .decode(text)
                .map_err(|e| self.wrong(ty, json, &format!("; it takes base64: {e}").to_lowercase())),
            _ => Err(self.wrong(ty, json, "")),
        }
    }

    fn decimal(&self, ty: TypeId, json: &Value, text: &str, size: Option<usize>) -> Result<Vec<u8>, JsonError> {
        let bytes = match self.schema.get(ty).logical {
            Some(Logical::Decimal { precision, scale }) => decimal::unscaled(text, precision, scale),
            _ => decimal::big_bytes(text),
        };
        let fitted = |bytes: Vec<u8>| match size {
            Some(size) => decimal::extend(&bytes, size),
            None => Ok(bytes),
        };
        bytes.and_then(fitted).map_err(|e: DecimalError| self.wrong(ty, json, &format!("; {e}")))
    }

    fn wrong(&self, ty: TypeId, json: &Value, hint: &str) -> JsonError {
        let found = match json {
            Value::Array(_) => "an array".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::String(text) => format!("\"{}\"", shorten(text)),
            other => other.to_string(),
        };
        JsonError::Type { path: Vec::new(), found, ty: self.schema.describe(ty), hint: hint.to_owned() }
    }
}

fn deeper(depth: usize) -> Result<usize, JsonError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(JsonError::TooDeep) }
}

fn uuid_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().filter(|c| *c != '-').map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    let digits = digits.filter(|d| d.len() == 32)?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

// === impl JsonError ===

impl JsonError {
    /// Adds the level outside of where it happened.
    fn within(mut self, step: impl FnOnce() -> String) -> Self {
        match &mut self {
            Self::Type { path, .. }
            | Self::Missing { path }
            | Self::Unknown { path, .. }
            | Self::Default { path, .. } => path.push(step()),
            Self::Syntax(_) | Self::TooDeep => {}
        }
        self
    }
}

fn path_text(path: &[String]) -> String {
    let mut text = String::new();
    for step in path.iter().rev() {
        if !text.is_empty() && !step.starts_with('[') {
            text.push('.');
        }
        text.push_str(step);
    }
    shorten(&text)
}

fn at(path: &[String]) -> String {
    if path.is_empty() { String::new() } else { format!("`{}`: ", path_text(path)) }
}

/// Text of a stranger, cut to what fits into a message.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
