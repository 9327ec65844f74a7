//! A record of everything that can be damaged, and how a module takes it.

#![allow(dead_code, reason = "not every test needs all of it")]

use apache_avro::types::Value;

use crate::guest::{component, named};

/// What a `process` takes.
pub const RECORDS: &str = "(param \"records\" (list $r))";

/// A record of everything that can be damaged.
pub const EVERYTHING: &str = r#"{"type": "record", "name": "T", "fields": [
    {"name": "flag", "type": "boolean"}, {"name": "small", "type": "int"}, {"name": "large", "type": "long"},
    {"name": "text", "type": "string"}, {"name": "raw", "type": "bytes"},
    {"name": "color", "type": {"type": "enum", "name": "Color", "symbols": ["RED", "GREEN"]}},
    {"name": "maybe", "type": ["null", "string"]}, {"name": "either", "type": ["int", "string", "null"]},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "counts", "type": {"type": "map", "values": "long"}},
    {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 3}}, {"name": "unseen", "type": "long"}]}"#;

/// The types of a module that takes or answers it, as `$r`.
pub fn types() -> String {
    named("color", "(enum \"red\" \"green\")")
        + &named("either", "(variant (case \"int\" s32) (case \"string\" string))")
        + &named(
            "r",
            "(record (field \"flag\" bool) (field \"small\" s32) (field \"large\" s64) (field \"text\" string)
               (field \"raw\" (list u8)) (field \"color\" $color) (field \"maybe\" (option string))
               (field \"either\" (option $either)) (field \"tags\" (list string))
               (field \"counts\" (list (tuple string s64))) (field \"hash\" (list u8)))",
        )
}

/// A module that answers it as it came.
pub fn everything() -> String {
    let echo = "(i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)";
    component("process", &types(), RECORDS, "(list $r)", 2, echo)
}

/// One of them.
pub fn value(i: i64) -> Value {
    let text = |s: &str| Value::String(format!("{s}{i}"));
    Value::Record(
        [
            ("flag", Value::Boolean(i % 2 == 0)),
            ("small", Value::Int(-7)),
            ("large", Value::Long(i << 40)),
            ("text", text("žluťoučký")),
            ("raw", Value::Bytes(vec![0, 255, 7])),
            ("color", Value::Enum(1, "GREEN".into())),
            ("maybe", Value::Union(1, text("some").into())),
            ("either", Value::Union(1, text("other").into())),
            ("tags", Value::Array(vec![text("a"), text("b")])),
            ("counts", Value::Map([("k".to_owned(), Value::Long(i))].into())),
            ("hash", Value::Fixed(3, vec![1, 2, 3])),
            ("unseen", Value::Long(99)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
    )
}

/// The same for values that are the same, bit for bit.
pub fn bits(value: Value) -> String {
    // Maps have no order, so their text is made of sorted entries.
    match value {
        Value::Map(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(k, v)| format!("{k:?}: {}", bits(v))).collect();
            entries.sort();
            format!("{entries:?}")
        }
        Value::Record(fields) => fields.into_iter().map(|(name, v)| format!("{name}: {}, ", bits(v))).collect(),
        other => format!("{other:?}"),
    }
}
