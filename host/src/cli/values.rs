//! Values of records for people: Avro by the schema whose id they carry, as JSON; other bytes as what they are.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bespoke_boundary::Schema;
use bespoke_record::{Header, Record};
use serde::de::IgnoredAny;

use super::failure::Usage;
use super::grid;
use crate::format::json::{JsonStyle, write_json};
use crate::schema::framing::{self, SchemaId};
use crate::schema::{Registered, Registry, SubjectNames};

/// Schemas by id, each read once.
pub(crate) struct Schemas {
    registry: Option<Arc<dyn Registry>>,
    subjects: SubjectNames,
    known: HashMap<SchemaId, Option<Arc<Schema>>>,
}

// === impl Schemas ===

impl Schemas {
    pub(crate) fn new(registry: Option<Arc<dyn Registry>>, subjects: SubjectNames) -> Self {
        Self { registry, subjects, known: HashMap::new() }
    }

    /// As [`Schemas::new`], where nothing can be told without a registry.
    pub(crate) fn required(registry: Option<Arc<dyn Registry>>, subjects: SubjectNames) -> anyhow::Result<Self> {
        if registry.is_none() {
            return Err(Usage::new("the schemas of the records are not known")
                .hint("name the pipeline with `--pipeline FILE`, the registry with `--registry URL`, or the file of schema ids with `--ids FILE`")
                .into());
        }
        Ok(Self::new(registry, subjects))
    }

    /// The newest schema of a topic's values, and its id.
    pub(crate) fn of_topic(&mut self, topic: &str) -> anyhow::Result<Option<(u32, Arc<Schema>)>> {
        let Some(registry) = &self.registry else { return Ok(None) };
        let Some(subject) = self.subjects.of_topic(topic) else { return Ok(None) };
        let Some((Registered { id, .. }, json)) = registry.latest(&subject)? else { return Ok(None) };
        let schema = Schema::parse(&json).with_context(|| format!("schema {id}"))?;
        Ok(Some((id, Arc::new(schema))))
    }

    /// The schema with an id.
    pub(crate) fn by_id(&mut self, id: SchemaId) -> anyhow::Result<Arc<Schema>> {
        if let Some(known) = self.known.get(&id) {
            return known.clone().with_context(|| unknown(id));
        }
        let json = self.registry.as_ref().map(|registry| registry.by_id(id)).transpose()?.flatten();
        let schema = json.map(|json| Schema::parse(&json)).transpose().with_context(|| format!("schema {id}"))?;
        let schema = schema.map(Arc::new);
        self.known.insert(id, schema.clone());
        schema.with_context(|| unknown(id))
    }

    /// Appends a record's value as JSON; a tombstone is null. What is a JSON object already, as the host's own entries of
    /// swaps are, is as it is: it has no framing that would name a schema.
    pub(crate) fn write(&mut self, record: Record<'_>, style: JsonStyle, out: &mut Vec<u8>) -> anyhow::Result<()> {
        if let Some(text) = record.value().filter(|value| value.first() == Some(&b'{'))
            && framing::split_record(record).is_err()
            && serde_json::from_slice::<IgnoredAny>(text).is_ok()
        {
            out.extend_from_slice(text);
            return Ok(());
        }
        let Some((id, datum)) = framing::split_record(record)? else {
            out.extend_from_slice(b"null");
            return Ok(());
        };
        let schema = self.by_id(id)?;
        write_json(&schema, datum, style, out).with_context(|| format!("not a value of schema {id}"))
    }
}

fn unknown(id: SchemaId) -> String {
    format!("no schema has the id {id}")
}

/// Appends bytes as JSON: text if they are text, else their base64 in an object.
pub(crate) fn write_bytes(bytes: Option<&[u8]>, out: &mut Vec<u8>) {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => out.extend_from_slice(b"null"),
        Some((_, Ok(text))) => write_text(text, out),
        Some((bytes, Err(_))) => {
            out.extend_from_slice(b"{\"base64\":\"");
            out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            out.extend_from_slice(b"\"}");
        }
    }
}

/// Appends text as JSON.
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}

/// Begins a JSON object that tells where a record is, its key and these headers. The caller ends it.
pub(crate) fn write_meta<'r>(
    record: Record<'r>,
    headers: impl Iterator<Item = Header<'r>>,
    partition: u32,
    line: &mut Vec<u8>,
) {
    let at = format!("{{\"partition\":{partition},\"offset\":{},\"timestamp\":", record.offset());
    line.extend_from_slice(at.as_bytes());
    write_text(&grid::time(record.timestamp_ms()), line);
    line.extend_from_slice(b",\"key\":");
    write_bytes(record.key(), line);
    line.extend_from_slice(b",\"headers\":[");
    for (index, (name, value)) in headers.enumerate() {
        line.extend_from_slice(if index == 0 { b"[" } else { b",[" });
        write_text(name, line);
        line.push(b',');
        write_bytes(value, line);
        line.push(b']');
    }
    line.push(b']');
}

#[cfg(test)]
mod tests {
    use bespoke_record::BatchBuilder;

    use super::*;

    #[test]
    fn bytes_are_text_where_they_can_be() {
        let text = |bytes: Option<&[u8]>| {
            let mut out = Vec::new();
            write_bytes(bytes, &mut out);
            String::from_utf8(out).expect("JSON is text")
        };
        assert_eq!(text(None), "null");
        assert_eq!(text(Some(b"a\"\x07")), r#""a\"\u0007""#);
        assert_eq!(text(Some(&[0xff, 0])), r#"{"base64":"/wA="}"#);
    }

    #[test]
    fn a_value_without_a_known_schema_is_an_error_that_names_it() {
        let mut schemas = Schemas::new(None, SubjectNames::default());
        let mut out = Vec::new();
        let mut batch = BatchBuilder::new();
        for value in [Some(&[0, 0, 0, 0, 9, 1][..]), Some(b"x"), None, Some(br#"{"stage":"s"}"#), Some(b"{")] {
            batch.push(None, value, [], 0).expect("room");
        }
        let batch = batch.finish();
        let error = schemas.write(batch.get(0), JsonStyle::Plain, &mut out).expect_err("no schema");
        assert!(error.to_string().contains("id 9"), "{error}");
        let error = schemas.write(batch.get(1), JsonStyle::Plain, &mut out).expect_err("no frame");
        assert!(error.to_string().contains("byte 0x78"), "{error}");
        schemas.write(batch.get(2), JsonStyle::Plain, &mut out).expect("a tombstone");
        assert_eq!(out, b"null");
        out.clear();
        schemas.write(batch.get(3), JsonStyle::Plain, &mut out).expect("an object");
        assert_eq!(out, br#"{"stage":"s"}"#);
        assert!(schemas.write(batch.get(4), JsonStyle::Plain, &mut out).is_err());
    }
}
