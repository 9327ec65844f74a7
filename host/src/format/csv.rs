//! CSV to Avro: the header row names fields, each cell is read as its field's type.
//!
//! An empty cell is null where the field may be null, else the field's default. Cells of arrays, maps, records and unions
//! are JSON. Called by [`super::reader`], with one line at a time.

use bespoke_boundary::Schema;
use bespoke_boundary::schema::{Kind, Record, TypeId};
use csv::{ByteRecord, ReaderBuilder, Terminator};
use serde_json::{Map, Number, Value};

use super::json::{JsonOptions, encode_json};
use super::lines::{BYTE_ORDER_MARK, Quoting};

/// The columns of a file.
#[derive(Debug)]
pub(super) struct Columns {
    /// Per column the index of its field.
    fields: Vec<usize>,
    row: ByteRecord,
}

// === impl Columns ===

impl Columns {
    /// From the header row.
    ///
    /// # Errors
    /// In words: a column that is no field, or a field that has no column and no value without one.
    pub(super) fn parse(header: &[u8], schema: &Schema) -> Result<Self, String> {
        let Some(record) = schema.record() else {
            return Err(format!("CSV holds records, and the schema is `{}`", schema.describe(schema.root())));
        };
        if header.contains(&b'\r') {
            return Err("there is a carriage return within the header row; rows must end in a line feed".to_owned());
        }
        let mut row = ByteRecord::new();
        split(header, &mut row)?;
        let mut fields = Vec::with_capacity(row.len());
        for name in &row {
            let name = String::from_utf8_lossy(name);
            let name = name.trim();
            let Some(field) = record.fields.iter().position(|f| f.name == name) else {
                let known: Vec<_> = record.fields.iter().map(|f| f.name.as_str()).collect();
                let hint =
                    if row.len() == 1 && name.contains([';', '\t']) { "; cells are separated by commas" } else { "" };
                return Err(format!(
                    "column `{name}` is no field of `{}`; it has {}{hint}",
                    record.name.full,
                    known.join(", ")
                ));
            };
            if fields.contains(&field) {
                return Err(format!("column `{name}` is there twice"));
            }
            fields.push(field);
        }
        let missing =
            record.fields.iter().enumerate().find(|(i, field)| {
                !fields.contains(i) && field.default.is_none() && schema.nullable(field.ty).is_none()
            });
        match missing {
            Some((_, field)) => Err(format!("there is no column `{}`, and the field has no default", field.name)),
            None => Ok(Self { fields, row }),
        }
    }

    /// Appends the record of a row.
    ///
    /// # Errors
    /// In words, with the column's name.
    pub(super) fn encode(&mut self, line: &[u8], schema: &Schema, out: &mut Vec<u8>) -> Result<(), String> {
        let Some(record) = schema.record() else { return Ok(()) };
        split(line, &mut self.row)?;
        if self.row.len() != self.fields.len() {
            return Err(format!("the row has {} cells and the header has {}", self.row.len(), self.fields.len()));
        }
        let json = self.object(record, schema)?;
        encode_json(schema, &json, JsonOptions::default(), out).map_err(|e| e.to_string())
    }

    fn object(&self, record: &Record, schema: &Schema) -> Result<Value, String> {
        let mut object = Map::with_capacity(self.fields.len());
        for (cell, field) in self.row.iter().zip(&self.fields) {
            let field = &record.fields[*field];
            let cell = std::str::from_utf8(cell).map_err(|_| format!("column `{}` is not UTF-8", field.name))?;
            let value = match schema.nullable(field.ty) {
                Some(_) if cell.is_empty() => Value::Null,
                None if cell.is_empty() && field.default.is_some() => continue,
                Some((_, ty)) => value(schema, ty, cell),
                None => value(schema, field.ty, cell),
            };
            object.insert(field.name.clone(), value);
        }
        Ok(Value::Object(object))
    }
}

/// What a cell means as JSON. What it cannot mean stays text, for the encoder to complain about.
fn value(schema: &Schema, ty: TypeId, cell: &str) -> Value {
    let text = || Value::String(cell.trim().to_owned());
    let parsed = match schema.kind(ty) {
        Kind::String => return Value::String(cell.to_owned()),
        Kind::Boolean => match cell.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(Value::Bool(true)),
            "false" | "0" => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::Int | Kind::Long => cell.trim().parse::<i64>().ok().map(Value::from),
        Kind::Float | Kind::Double => cell.trim().parse().ok().and_then(Number::from_f64).map(Value::Number),
        Kind::Null | Kind::Array(_) | Kind::Map(_) | Kind::Record(_) | Kind::Union(_) => {
            serde_json::from_str(cell).ok()
        }
        Kind::Bytes | Kind::Fixed(_) | Kind::Enum(_) => None,
    };
    parsed.unwrap_or_else(text)
}

/// The cells of a line, all of it or none: what is left over would be lost.
fn split(line: &[u8], row: &mut ByteRecord) -> Result<(), String> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    if line.contains(&b'"') && line.iter().fold(Quoting::default(), |at, byte| at.after(*byte)) == Quoting::Quoted {
        return Err("a quote at the begin of a cell is never closed".to_owned());
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(line.len().clamp(64, 64 * 1024))
        .from_reader(line);
    match reader.read_byte_record(row) {
        Ok(true) if reader.position().byte() == line.len() as u64 => Ok(()),
        Ok(true) => Err(format!("the row ends at byte {} of {}", reader.position().byte(), line.len())),
        Ok(false) => {
            row.clear();
            Ok(())
        }
        Err(e) => Err(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::parse(
            r#"{"type":"record","name":"P","fields":[
            {"name":"id","type":"string"},{"name":"n","type":["null","int"]},{"name":"d","type":"double","default":1.5},
            {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"},"default":0},
            {"name":"tags","type":{"type":"array","items":"string"},"default":[]},
            {"name":"ok","type":"boolean","default":true}]}"#,
        )
        .expect("legal")
    }

    fn json(header: &str, row: &str) -> Result<String, String> {
        let schema = schema();
        let mut columns = Columns::parse(header.as_bytes(), &schema)?;
        let (mut datum, mut text) = (Vec::new(), Vec::new());
        columns.encode(row.as_bytes(), &schema, &mut datum)?;
        super::super::write_json(&schema, &datum, super::super::JsonStyle::Plain, &mut text)
            .map_err(|e| e.to_string())?;
        String::from_utf8(text).map_err(|e| e.to_string())
    }

    #[test]
    fn cells_are_read_by_their_type() {
        assert_eq!(
            json("at,id,n,tags,ok,d", r#"1970-01-01T00:00:01Z,"a ""b"",c", 7,"[""x""]",FALSE,NaN"#).as_deref(),
            Ok(r#"{"id":"a \"b\",c","n":7,"d":"NaN","at":1000,"tags":["x"],"ok":false}"#)
        );
    }

    #[test]
    fn empty_and_missing_cells_are_null_or_the_default() {
        let defaults = r#"{"id":"","n":null,"d":1.5,"at":0,"tags":[],"ok":true}"#;
        assert_eq!(json("id,n,d", ",,").as_deref(), Ok(defaults));
        assert_eq!(json("id,tags", "\"\",").as_deref(), Ok(defaults));
    }

    #[test]
    fn a_carriage_return_and_a_quote_within_a_cell_are_text() {
        let read = |row| json("id,d", row).map(|json| json[..json.find(",\"n\"").expect("the next field")].to_owned());
        assert_eq!(read("a\rb,1").as_deref(), Ok("{\"id\":\"a\\rb\""));
        assert_eq!(read("5\" pipe,1").as_deref(), Ok("{\"id\":\"5\\\" pipe\""));
        assert_eq!(read("\"a\"b\"c,1").as_deref(), Ok("{\"id\":\"ab\\\"c\""));
    }

    #[test]
    fn what_is_wrong_is_said_by_column() {
        for (header, row, says) in [
            ("id,x", "", "`x` is no field"),
            ("id,id", "", "twice"),
            ("n", "", "no column `id`"),
            ("id,n", "a", "1 cells"),
            ("id,n", "a,b", "`n`: \"b\""),
            ("id,ok", "a,maybe", "`ok`"),
            ("id,tags", "a,[1", "`tags`"),
            ("id,n", "\"a,1\nb,2", "never closed"),
            ("id,n", "a,1\nb,2", "ends at byte 4 of 7"),
            ("id,n\ra,1\rb,2", "", "carriage return"),
        ] {
            let error = json(header, row).expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
