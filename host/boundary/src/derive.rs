//! An Avro schema for what a module answers, where none is given.

use serde_json::{Map, Value, json};

use crate::mismatch::{Misfit, Mismatch};
use crate::names;
use crate::schema::Schema;
use crate::shape::{Member, Shape};
use crate::signature::{Function, Signature};
use crate::write::Write;

/// The schema of one output, as JSON. For `process` it is the reader schema with the answered fields laid over it, for
/// `analyze` it has the answered fields and the full name `name`.
///
/// # Errors
/// Types that have no Avro type, or no name to be called by.
pub fn output_schema(signature: &Signature, output: usize, reader: &Schema, name: &str) -> Result<String, Mismatch> {
    let function = signature.function;
    let derived = match (signature.answer.members(output), function) {
        (None, _) => Ok(reader.json().to_owned()),
        (Some(members), Function::Process) => overlay(members, reader),
        (Some(members), Function::Analyze) => fresh(members, name),
    };
    derived.map_err(|e| e.into_mismatch(function.name()))
}

fn fresh(members: &[Member], full_name: &str) -> Result<String, Misfit> {
    let (namespace, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
    let mut schema = Map::new();
    schema.insert("type".into(), "record".into());
    schema.insert("name".into(), avro_safe(name).into());
    let namespace: Vec<_> = namespace.split('.').filter(|part| !part.is_empty()).map(avro_safe).collect();
    if !namespace.is_empty() {
        schema.insert("namespace".into(), namespace.join(".").into());
    }
    let fields: Result<Vec<_>, _> = members.iter().map(|m| field(m, "")).collect();
    schema.insert("fields".into(), fields?.into());
    Ok(Value::Object(schema).to_string())
}

fn overlay(members: &[Member], reader: &Schema) -> Result<String, Misfit> {
    let mut json: Value =
        serde_json::from_str(reader.json()).map_err(|e| Misfit::new(format!("the input schema is not JSON: {e}")))?;
    let (Some(record), Some(fields)) = (reader.record(), json.get_mut("fields").and_then(Value::as_array_mut)) else {
        return Err(Misfit::new("the input schema is not a record"));
    };
    for member in members {
        let known = record.fields.iter().map(|f| f.name.as_str());
        let found = names::find(&member.name, known).map_err(|e| Misfit::new(e.to_string()).within(&member.name))?;
        match found {
            // The Avro type says more than the WIT type (logical type, doc), so it stays if it can.
            Some(i) if Write::compile(reader, record.fields[i].ty, &member.shape).is_ok() => {}
            Some(i) => {
                let mut replaced = field(member, "")?;
                replaced["name"] = record.fields[i].name.clone().into();
                fields[i] = replaced;
            }
            None => fields.push(field(member, "")?),
        }
    }
    Ok(json.to_string())
}

fn field(member: &Member, path: &str) -> Result<Value, Misfit> {
    let name = names::avro_name(&member.name);
    let ty = derive(&member.shape, &format!("{path}{}", pascal(&member.name))).map_err(|e| e.within(&member.name))?;
    Ok(match member.shape {
        Shape::Option(_) => json!({ "name": name, "type": ty, "default": null }),
        _ => json!({ "name": name, "type": ty }),
    })
}

/// `name` is what a record or an enum is called here; the path of its field, since WIT does not tell its own.
fn derive(shape: &Shape, name: &str) -> Result<Value, Misfit> {
    Ok(match shape {
        Shape::Bool => "boolean".into(),
        Shape::S32 => "int".into(),
        Shape::S64 => "long".into(),
        Shape::F32 => "float".into(),
        Shape::F64 => "double".into(),
        Shape::String => "string".into(),
        Shape::Bytes => "bytes".into(),
        Shape::List(item) => match &**item {
            Shape::Pair(pair) if pair.0 == Shape::String => json!({ "type": "map", "values": derive(&pair.1, name)? }),
            item => json!({ "type": "array", "items": derive(item, name)? }),
        },
        Shape::Option(some) => {
            let mut branches = vec![Value::from("null")];
            match derive(some, name)? {
                Value::Array(more) if matches!(**some, Shape::Variant(_)) => branches.extend(more),
                Value::Array(_) => return Err(Misfit::new("an option within an option has no Avro type")),
                one => branches.push(one),
            }
            Value::Array(branches)
        }
        Shape::Record(members) => {
            let fields: Result<Vec<_>, _> = members.iter().map(|m| field(m, name)).collect();
            json!({ "type": "record", "name": name, "fields": fields? })
        }
        Shape::Enum(cases) => {
            let symbols: Vec<_> = cases.iter().map(|case| names::avro_name(case)).collect();
            json!({ "type": "enum", "name": name, "symbols": symbols })
        }
        Shape::Variant(cases) => {
            let branch = |(case, payload): &(String, Option<Shape>)| {
                let payload = payload.as_ref().ok_or_else(|| {
                    Misfit::new(format!("the case `{case}` has no payload, and an Avro union has no such branch"))
                })?;
                let ty = derive(payload, &pascal(case))?;
                let known_as = match &ty {
                    Value::String(name) => name.as_str(),
                    other => match other.get("type").and_then(Value::as_str) {
                        Some("record" | "enum") => return Ok(ty),
                        Some(kind) => kind,
                        None => return Err(Misfit::new("a union within a union has no Avro type")),
                    },
                };
                if names::matches(known_as, case) {
                    return Ok(ty);
                }
                Err(Misfit::new(format!(
                    "the case `{case}` carries `{payload}`: call it `{known_as}`, or give an output schema"
                )))
            };
            Value::Array(cases.iter().map(branch).collect::<Result<_, _>>()?)
        }
        Shape::Pair(_) | Shape::Result(..) | Shape::Other(_) => {
            return Err(Misfit::new(format!("WIT type `{shape}` has no Avro type")));
        }
    })
}

fn pascal(wit: &str) -> String {
    let capital = |word: &str| {
        let mut chars = word.chars();
        chars.next().map(|c| c.to_ascii_uppercase().to_string() + chars.as_str()).unwrap_or_default()
    };
    wit.split('-').map(capital).collect()
}

/// A part of a topic's name as a part of an Avro name.
fn avro_safe(part: &str) -> String {
    let safe: String = part.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if safe.starts_with(|c: char| c.is_ascii_digit()) { format!("_{safe}") } else { safe }
}
