//! Which branch of a union a JSON value means.

use bespoke_boundary::Schema;
use bespoke_boundary::schema::{Kind, Logical, TypeId};
use serde_json::Value;

/// The types of JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Null,
    Boolean,
    Number,
    Text,
    Array,
    Object,
}

/// The type of JSON in which values of an Avro type are written; None for a union.
pub(super) fn class(schema: &Schema, ty: TypeId) -> Option<Class> {
    Some(match schema.kind(ty) {
        Kind::Null => Class::Null,
        Kind::Boolean => Class::Boolean,
        Kind::Int | Kind::Long | Kind::Float | Kind::Double => Class::Number,
        Kind::Bytes | Kind::String | Kind::Fixed(_) | Kind::Enum(_) => Class::Text,
        Kind::Array(_) => Class::Array,
        Kind::Map(_) | Kind::Record(_) => Class::Object,
        Kind::Union(_) => return None,
    })
}

/// The type of a JSON value.
pub(super) fn class_of(value: &Value) -> Class {
    match value {
        Value::Null => Class::Null,
        Value::Bool(_) => Class::Boolean,
        Value::Number(_) => Class::Number,
        Value::String(_) => Class::Text,
        Value::Array(_) => Class::Array,
        Value::Object(_) => Class::Object,
    }
}

/// Whether two branches are written alike, so that plain values have to be wrapped.
pub(super) fn is_ambiguous(schema: &Schema, branches: &[TypeId]) -> bool {
    let classes: Vec<_> = branches.iter().map(|b| class(schema, *b)).collect();
    classes.iter().enumerate().any(|(i, class)| classes[..i].contains(class))
}

/// Whether a branch is written as text: then text never means a number or a time.
pub(super) fn has_text(schema: &Schema, branches: &[TypeId]) -> bool {
    branches.iter().any(|b| class(schema, *b) == Some(Class::Text))
}

/// The name under which a branch is wrapped: its full name if it has one, else its type's.
pub(super) fn branch_name(schema: &Schema, ty: TypeId) -> &str {
    match schema.kind(ty) {
        Kind::Null => "null",
        Kind::Boolean => "boolean",
        Kind::Int => "int",
        Kind::Long => "long",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Bytes => "bytes",
        Kind::String => "string",
        Kind::Array(_) => "array",
        Kind::Map(_) => "map",
        Kind::Union(_) => "union",
        Kind::Fixed(fixed) => &fixed.name.full,
        Kind::Enum(e) => &e.name.full,
        Kind::Record(record) => &record.name.full,
    }
}

/// The branch with that name: the full one, or one without its namespace that only one branch has.
pub(super) fn branch_named(schema: &Schema, branches: &[TypeId], name: &str) -> Option<usize> {
    let full = branches.iter().position(|b| branch_name(schema, *b) == name);
    full.or_else(|| {
        let short = |b: &TypeId| branch_name(schema, *b).rsplit('.').next() == Some(name);
        let mut found = branches.iter().enumerate().filter(|(_, b)| short(b)).map(|(i, _)| i);
        found.next().filter(|_| found.next().is_none())
    })
}

/// The branches that may take a plain value: those that are written in its type; if there is none, those that also read
/// other types (a time from text, a decimal from a number).
pub(super) fn branches_for(schema: &Schema, branches: &[TypeId], value: &Value) -> Vec<usize> {
    let own = class_of(value);
    let with = |wanted: &dyn Fn(TypeId) -> bool| -> Vec<usize> {
        branches.iter().enumerate().filter(|(_, b)| wanted(**b)).map(|(i, _)| i).collect()
    };
    let direct = with(&|b| class(schema, b) == Some(own));
    if !direct.is_empty() {
        return direct;
    }
    with(&|b| match own {
        Class::Text => class(schema, b) == Some(Class::Number),
        Class::Number => matches!(schema.get(b).logical, Some(Logical::Decimal { .. } | Logical::BigDecimal)),
        _ => false,
    })
}
