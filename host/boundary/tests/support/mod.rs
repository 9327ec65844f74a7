//! Random Avro schemas, and random values of them, for property tests.
//!
//! Schemas never recurse. A named type is called after its place, so that two schemas that are made from one another
//! agree on the names of what they have in common.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::{InnerDecimalSchema, Schema as Avro};
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{AvroResult, Decimal};
use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// A type, before it has a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Ty {
    /// `null`, `int` and so on.
    Primitive(&'static str),
    /// A plain type and what it stands for.
    Logical(&'static str, &'static str),
    /// Bytes with a precision and a scale.
    Decimal(usize, usize),
    /// With that many bytes.
    Fixed(usize),
    /// With symbols, of which the first is the default if that is wanted.
    Enum(Vec<String>, bool),
    /// Of items.
    Array(Box<Ty>),
    /// Of values.
    Map(Box<Ty>),
    /// Of branches that are no unions, at most one of a kind.
    Union(Vec<Ty>),
    /// With fields.
    Record(Vec<Field>),
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Unique in its record.
    pub name: String,
    /// The type.
    pub ty: Ty,
    /// The default in JSON.
    pub default: Option<Json>,
}

/// Any schema whose root is a record.
pub fn arb_schema() -> impl Strategy<Value = Ty> {
    vec(arb_type(), 0..6).prop_map(record_of)
}

/// Any type.
pub fn arb_type() -> impl Strategy<Value = Ty> {
    let leaf = prop_oneof![
        8 => prop::sample::select(vec!["boolean", "int", "long", "float", "double", "bytes", "string"]).prop_map(Ty::Primitive),
        1 => Just(Ty::Primitive("null")),
        2 => prop::sample::select(vec![
            ("int", "date"), ("int", "time-millis"), ("long", "time-micros"), ("long", "timestamp-millis"),
            ("long", "timestamp-micros"), ("long", "timestamp-nanos"), ("long", "local-timestamp-millis"),
        ]).prop_map(|(ty, logical)| Ty::Logical(ty, logical)),
        1 => (1..12usize, 0..3usize).prop_map(|(p, s)| Ty::Decimal(p.max(s), s)),
        1 => (0..9usize).prop_map(Ty::Fixed),
        1 => (1..5usize, any::<bool>()).prop_map(|(n, default)| Ty::Enum((0..n).map(|i| format!("S{i}")).collect(), default)),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            2 => inner.clone().prop_map(|item| Ty::Array(item.into())),
            1 => inner.clone().prop_map(|value| Ty::Map(value.into())),
            3 => inner.clone().prop_map(|some| union_of(vec![Ty::Primitive("null"), some])),
            1 => vec(inner.clone(), 1..4).prop_map(union_of),
            2 => vec(inner, 0..5).prop_map(record_of),
        ]
    })
}

fn record_of(types: Vec<Ty>) -> Ty {
    let field = |(i, ty)| Field { name: format!("f{i}"), ty, default: None };
    Ty::Record(types.into_iter().enumerate().map(field).collect())
}

/// Without the branches that a union cannot have.
fn union_of(branches: Vec<Ty>) -> Ty {
    let mut kept: Vec<Ty> = Vec::new();
    for branch in branches {
        let flat = match branch {
            Ty::Union(inner) => inner,
            other => vec![other],
        };
        for branch in flat {
            if kept.iter().all(|k| k.kind() != branch.kind()) {
                kept.push(branch);
            }
        }
    }
    Ty::Union(kept)
}

// === impl Ty ===

impl Ty {
    /// What may be only once in a union.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Primitive(name) | Self::Logical(name, _) => name,
            Self::Decimal(..) => "bytes",
            Self::Fixed(_) => "fixed",
            Self::Enum(..) => "enum",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(_) => "record",
        }
    }

    /// The schema.
    pub fn json(&self) -> Json {
        self.named("T")
    }

    fn named(&self, place: &str) -> Json {
        match self {
            Self::Primitive(name) => json!(name),
            Self::Logical(ty, logical) => json!({"type": ty, "logicalType": logical}),
            Self::Decimal(precision, scale) => {
                json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
            }
            Self::Fixed(size) => json!({"type": "fixed", "name": format!("{place}_F"), "size": size}),
            Self::Enum(symbols, default) => {
                let mut json = json!({"type": "enum", "name": format!("{place}_E"), "symbols": symbols});
                if *default {
                    json["default"] = json!(symbols[0]);
                }
                json
            }
            Self::Array(item) => json!({"type": "array", "items": item.named(&format!("{place}_i"))}),
            Self::Map(value) => json!({"type": "map", "values": value.named(&format!("{place}_v"))}),
            // The place of a branch is that of the union, as a type may become one.
            Self::Union(branches) => Json::Array(branches.iter().map(|b| b.named(place)).collect()),
            Self::Record(fields) => {
                let field = |field: &Field| {
                    let mut json =
                        json!({"name": field.name, "type": field.ty.named(&format!("{place}_{}", field.name))});
                    if let Some(default) = &field.default {
                        json["default"] = default.clone();
                    }
                    json
                };
                let name = if place == "T" { "T".to_owned() } else { format!("{place}_R") };
                json!({"type": "record", "name": name, "fields": fields.iter().map(field).collect::<Vec<_>>()})
            }
        }
    }
}

/// Any value of a schema that does not recurse. Floats are finite, since NaN equals nothing.
pub fn arb_value(schema: &Avro) -> BoxedStrategy<Value> {
    match schema {
        Avro::Null => Just(Value::Null).boxed(),
        Avro::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Avro::Int => any::<i32>().prop_map(Value::Int).boxed(),
        Avro::Long => any::<i64>().prop_map(Value::Long).boxed(),
        Avro::Float => any::<f32>().prop_map(|v| Value::Float(if v.is_finite() { v } else { 0.5 })).boxed(),
        Avro::Double => any::<f64>().prop_map(|v| Value::Double(if v.is_finite() { v } else { 0.5 })).boxed(),
        Avro::Bytes => vec(any::<u8>(), 0..12).prop_map(Value::Bytes).boxed(),
        Avro::String => "\\PC{0,8}".prop_map(Value::String).boxed(),
        Avro::Date => any::<i32>().prop_map(Value::Date).boxed(),
        Avro::TimeMillis => any::<i32>().prop_map(Value::TimeMillis).boxed(),
        Avro::TimeMicros => any::<i64>().prop_map(Value::TimeMicros).boxed(),
        Avro::TimestampMillis => any::<i64>().prop_map(Value::TimestampMillis).boxed(),
        Avro::TimestampMicros => any::<i64>().prop_map(Value::TimestampMicros).boxed(),
        Avro::TimestampNanos => any::<i64>().prop_map(Value::TimestampNanos).boxed(),
        Avro::LocalTimestampMillis => any::<i64>().prop_map(Value::LocalTimestampMillis).boxed(),
        Avro::LocalTimestampMicros => any::<i64>().prop_map(Value::LocalTimestampMicros).boxed(),
        Avro::LocalTimestampNanos => any::<i64>().prop_map(Value::LocalTimestampNanos).boxed(),
        Avro::Decimal(decimal) => {
            assert!(matches!(decimal.inner, InnerDecimalSchema::Bytes), "no decimals in fixed are made");
            // apache-avro resolves a decimal only if its bytes have room for the precision, whatever its number.
            (0..10u8).prop_map(|digit| Value::Decimal(Decimal::from(vec![0, 0, 0, 0, 0, 0, 0, digit]))).boxed()
        }
        Avro::Fixed(fixed) => {
            let size = fixed.size;
            vec(any::<u8>(), size).prop_map(move |bytes| Value::Fixed(size, bytes)).boxed()
        }
        Avro::Enum(e) => {
            let symbols = e.symbols.clone();
            (0..symbols.len()).prop_map(move |i| Value::Enum(i as u32, symbols[i].clone())).boxed()
        }
        Avro::Array(array) => vec(arb_value(&array.items), 0..4).prop_map(Value::Array).boxed(),
        Avro::Map(map) => hash_map("[a-z]{0,3}", arb_value(&map.types), 0..4).prop_map(Value::Map).boxed(),
        Avro::Union(union) => {
            let branches: Vec<_> = union.variants().iter().map(arb_value).collect();
            (0..branches.len())
                .prop_flat_map(move |i| branches[i].clone().prop_map(move |v| Value::Union(i as u32, v.into())))
                .boxed()
        }
        Avro::Record(record) => {
            let names: Vec<_> = record.fields.iter().map(|f| f.name.clone()).collect();
            let values: Vec<_> = record.fields.iter().map(|f| arb_value(&f.schema)).collect();
            values.prop_map(move |values| Value::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        other => panic!("no such schema is made: {other:?}"),
    }
}

/// A value's datum, as apache-avro writes it.
pub fn encode(schema: &Avro, value: Value) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().expect("a schema that stands alone");
    writer.write_value_to_vec(value).expect("a value of the schema")
}

/// A datum's value, as apache-avro reads and resolves it.
#[allow(dead_code, reason = "not every test resolves")]
pub fn decode(writer: &Avro, mut datum: &[u8], reader: Option<&Avro>) -> AvroResult<Value> {
    GenericDatumReader::builder(writer).maybe_reader_schema(reader).build()?.read_value(&mut datum)
}
