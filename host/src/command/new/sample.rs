//! The first case of a new module: three records, and what its template makes of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bespoke_boundary::schema::{Kind, Logical, Schema, TypeId};
use serde_json::{Map, Value, json};

/// The texts of the three records. The last is refused.
const TEXTS: [&str; 3] = ["  first ", "second", "   "];
/// Their numbers, with means that are the same in every language.
const NUMBERS: [u32; 3] = [1, 2, 6];
const MEANS: [f64; 3] = [1.0, 1.5, 3.0];
const UUID: &str = "00000000-0000-4000-8000-000000000000";

/// The files of the case.
pub(super) fn case(schema: &Schema, is_analyzer: bool, field: Option<&str>) -> Vec<(&'static str, String)> {
    let records: Vec<_> = (0..TEXTS.len()).map(|n| record(schema, is_analyzer, field, n)).collect();
    let expected = records.iter().enumerate().filter_map(|(n, record)| match (is_analyzer, field) {
        (true, Some(_)) => Some(json!({ "count": n + 1, "mean": MEANS[n] })),
        (true, None) => Some(json!({ "count": n + 1 })),
        (false, None) => Some(Value::Object(record.clone())),
        (false, Some(field)) => {
            let mut record = record.clone();
            let trimmed = TEXTS[n].trim();
            record.insert(field.to_owned(), json!(trimmed));
            (!trimmed.is_empty()).then_some(Value::Object(record))
        }
    });
    let mut files =
        vec![("input.jsonl", lines(records.iter().cloned().map(Value::Object))), ("expected.jsonl", lines(expected))];
    if let (false, Some(field)) = (is_analyzer, field) {
        let name = bespoke_boundary::names::wit_name(field).unwrap_or_default().replace('-', "_");
        let letter = json!({ "index": 2, "kind": "rejected", "reason": format!("`{name}` is empty") });
        files.push(("dead-letters.jsonl", lines([letter])));
    }
    files
}

fn lines(values: impl IntoIterator<Item = Value>) -> String {
    values.into_iter().map(|value| format!("{value}\n")).collect()
}

fn record(schema: &Schema, is_analyzer: bool, field: Option<&str>, n: usize) -> Map<String, Value> {
    let Value::Object(mut record) = value(schema, schema.root()) else { return Map::new() };
    if let Some(field) = field {
        record.insert(field.to_owned(), if is_analyzer { json!(NUMBERS[n]) } else { json!(TEXTS[n]) });
    }
    record
}

/// A value of a type, as JSON has it in the plain style.
fn value(schema: &Schema, ty: TypeId) -> Value {
    let full = schema.get(ty);
    match (&full.kind, full.logical) {
        (_, Some(Logical::Uuid)) => json!(UUID),
        (_, Some(Logical::Decimal { .. } | Logical::BigDecimal)) => json!("1"),
        (Kind::Null, _) => Value::Null,
        (Kind::Boolean, _) => json!(true),
        (Kind::Int | Kind::Long | Kind::Float | Kind::Double, _) => json!(1),
        (Kind::Bytes, _) => json!(STANDARD.encode(b"bytes")),
        (Kind::Fixed(fixed), _) => json!(STANDARD.encode(vec![0; fixed.size])),
        (Kind::String, _) => json!("text"),
        (Kind::Enum(symbols), _) => symbols.symbols.first().map_or(Value::Null, |symbol| json!(symbol)),
        (Kind::Array(_), _) => json!([]),
        (Kind::Map(_), _) => json!({}),
        (Kind::Union(branches), _) => {
            let has_null = branches.iter().any(|branch| matches!(schema.kind(*branch), Kind::Null));
            let first = branches.first().filter(|_| !has_null);
            first.map_or(Value::Null, |branch| value(schema, *branch))
        }
        (Kind::Record(record), _) => {
            let fields = record.fields.iter().map(|field| (field.name.clone(), value(schema, field.ty)));
            Value::Object(fields.collect())
        }
    }
}
