//! References between schema files: the text of a schema with the definitions that it takes from other files.
//!
//! A registry knows a schema by its own text alone, so what a file refers to becomes part of it: the first place that names
//! a type of another file gets that file's definition, as its author wrote it. Called when a folder is read.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

/// Definitions of other files that one schema may come to: more are two files that take each other in without end.
const MAX_DEFINITIONS: usize = 4096;

/// The names that Avro gives to types of its own.
const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// Schemas of files by the full name of what they define.
pub(super) type Definitions = BTreeMap<String, Value>;

/// The full name of the type that a schema file defines, if it defines a named one.
pub(super) fn full_name(schema: &Value) -> Option<String> {
    let object = schema.as_object()?;
    is_named(object).then(|| defined_name(object, "")).flatten()
}

/// A schema with all that it refers to. Names that no file defines stay, for the parser to complain about.
pub(super) fn inline(schema: &Value, definitions: &Definitions) -> Value {
    let mut inliner = Inliner { definitions, known: HashSet::new(), taken: 0 };
    inliner.remember(schema, "");
    inliner.schema(schema, "")
}

struct Inliner<'a> {
    definitions: &'a Definitions,
    /// Full names that are defined in the text so far, or further on in the file itself.
    known: HashSet<String>,
    taken: usize,
}

// === impl Inliner ===

impl Inliner<'_> {
    fn schema(&mut self, schema: &Value, space: &str) -> Value {
        match schema {
            Value::String(name) => self.name(name, space),
            Value::Array(branches) => Value::Array(branches.iter().map(|b| self.schema(b, space)).collect()),
            Value::Object(object) => {
                let inner = inner_space(object, space);
                let entry = |(key, value): (&String, &Value)| {
                    let value = match key.as_str() {
                        "type" | "items" | "values" => self.schema(value, &inner),
                        "fields" => self.fields(value, &inner),
                        _ => value.clone(),
                    };
                    (key.clone(), value)
                };
                Value::Object(object.iter().map(entry).collect())
            }
            other => other.clone(),
        }
    }

    fn fields(&mut self, fields: &Value, space: &str) -> Value {
        let Value::Array(fields) = fields else { return fields.clone() };
        let field = |field: &Value| {
            let Value::Object(object) = field else { return field.clone() };
            let entry = |(key, value): (&String, &Value)| {
                let value = if key == "type" { self.schema(value, space) } else { value.clone() };
                (key.clone(), value)
            };
            Value::Object(object.iter().map(entry).collect())
        };
        Value::Array(fields.iter().map(field).collect())
    }

    fn name(&mut self, name: &str, space: &str) -> Value {
        let full = qualified(name, space);
        let definition = self
            .definitions
            .get(&full)
            .filter(|_| !PRIMITIVES.contains(&name) && !self.known.contains(&full) && self.taken < MAX_DEFINITIONS);
        let Some(definition) = definition else { return Value::String(name.to_owned()) };
        self.taken += 1;
        self.remember(definition, "");
        let mut definition = self.schema(definition, "");
        // The full name, lest it falls into the namespace that it now stands in.
        if let Value::Object(object) = &mut definition {
            let space = full.rsplit_once('.').map_or("", |(space, _)| space);
            object.insert("namespace".to_owned(), Value::String(space.to_owned()));
        }
        definition
    }

    /// Notes all names that a text defines, in whatever order it uses them.
    fn remember(&mut self, schema: &Value, space: &str) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| self.remember(item, space)),
            Value::Object(object) => {
                if is_named(object) {
                    self.known.extend(defined_name(object, space));
                }
                let inner = inner_space(object, space);
                for (_, value) in object.iter().filter(|(key, _)| *key != "default") {
                    self.remember(value, &inner);
                }
            }
            _ => {}
        }
    }
}

fn is_named(object: &Map<String, Value>) -> bool {
    matches!(object.get("type").and_then(Value::as_str), Some("record" | "error" | "enum" | "fixed"))
}

fn defined_name(object: &Map<String, Value>, space: &str) -> Option<String> {
    let name = object.get("name")?.as_str()?;
    Some(qualified(name, object.get("namespace").and_then(Value::as_str).unwrap_or(space)))
}

/// The namespace of names within a definition.
fn inner_space(object: &Map<String, Value>, space: &str) -> String {
    match defined_name(object, space).filter(|_| is_named(object)) {
        Some(full) => full.rsplit_once('.').map_or(String::new(), |(space, _)| space.to_owned()),
        None => space.to_owned(),
    }
}

fn qualified(name: &str, space: &str) -> String {
    if space.is_empty() || name.contains('.') { name.to_owned() } else { format!("{space}.{name}") }
}

#[cfg(test)]
mod tests {
    use bespoke_boundary::Schema;
    use serde_json::json;

    use super::*;

    fn definitions(schemas: &[Value]) -> Definitions {
        schemas.iter().map(|s| (full_name(s).expect("named"), s.clone())).collect()
    }

    #[test]
    fn a_definition_is_taken_in_once_and_keeps_its_full_name() {
        let money = json!({"type":"record","name":"Money","namespace":"shop.base","fields":[
            {"name":"amount","type":"Amount"},{"name":"again","type":["null","Amount"],"default":null}]});
        let amount = json!({"type":"fixed","name":"shop.base.Amount","size":8});
        let plain = json!({"type":"enum","name":"Plain","symbols":["a"]});
        let order = json!({"type":"record","name":"Order","namespace":"shop","fields":[
            {"name":"price","type":"shop.base.Money"},
            {"name":"tax","type":{"type":"array","items":"shop.base.Money"}},
            {"name":"self","type":{"type":"map","values":"Order"}}]});
        let all = definitions(&[money, amount, plain, order.clone()]);
        let text = inline(&order, &all).to_string();
        assert_eq!(text.matches("\"amount\"").count(), 1);
        let schema = Schema::parse(&text).expect("it stands alone");
        let fields = &schema.record().expect("a record").fields;
        assert_eq!(schema.describe(fields[1].ty), "array<record Money>");
    }

    #[test]
    fn files_that_take_each_other_in_are_one_recursive_schema() {
        let a = json!({"type":"record","name":"A","fields":[{"name":"b","type":["null","B"]}]});
        let b = json!({"type":"record","name":"B","fields":[{"name":"a","type":["null","A"]}]});
        let all = definitions(&[a.clone(), b]);
        assert!(Schema::parse(&inline(&a, &all).to_string()).is_ok());
    }
}
