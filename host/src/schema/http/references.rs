//! Schemas that refer to others of the registry: all of them become one text, as with files.
//!
//! A reference names a version of a subject. References of references are followed; each version is asked for once.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::Value;

use super::client::{Answer, Client};
use super::segment;
use crate::schema::inline::{Definitions, full_name, inline};
use crate::schema::registry::RegistryError;

/// Versions that one schema may come to: a registry that sends on without end is broken.
const MAX_REFERENCES: usize = 1000;

/// A schema as registries answer with it. Those of Avro may leave `schemaType` out.
#[derive(Deserialize)]
struct Found {
    schema: String,
    #[serde(default, rename = "schemaType")]
    ty: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
struct Reference {
    subject: String,
    version: i64,
}

/// The schema of an answer, with all that it refers to. `what` is what messages call it.
pub(super) fn whole(client: &Client, answer: &Answer, what: &str) -> Result<String, RegistryError> {
    let found = read(answer, what)?;
    let mut waiting = found.references.unwrap_or_default();
    if waiting.is_empty() {
        return Ok(found.schema);
    }
    let mut definitions = Definitions::new();
    let mut seen = HashSet::new();
    while let Some(reference) = waiting.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        if seen.len() > MAX_REFERENCES {
            return Err(RegistryError::Schema(format!("{what} refers to more than {MAX_REFERENCES} others")));
        }
        let Reference { subject, version } = &reference;
        let name = format!("version {version} of subject `{subject}`");
        let answer = client.get(&format!("/subjects/{}/versions/{version}", segment(subject)))?;
        match answer.status {
            200 => {}
            404 => {
                answer.must_be_of_registry()?;
                return Err(RegistryError::Schema(format!("{what} refers to {name}, which is not in the registry")));
            }
            _ => return Err(answer.unexpected("")),
        }
        let referred = read(&answer, &name)?;
        let json = parse(&referred.schema, &name)?;
        definitions.extend(full_name(&json).map(|full| (full, json)));
        waiting.extend(referred.references.unwrap_or_default());
    }
    Ok(inline(&parse(&found.schema, what)?, &definitions).to_string())
}

fn read(answer: &Answer, what: &str) -> Result<Found, RegistryError> {
    let found = Found::deserialize(&answer.json).map_err(|e| answer.unexpected(&format!("{what}: {e}")))?;
    match found.ty.as_deref() {
        None | Some("AVRO") => Ok(found),
        Some(other) => Err(RegistryError::Schema(format!("{what} is of type {other}, and only Avro can be read"))),
    }
}

fn parse(schema: &str, what: &str) -> Result<Value, RegistryError> {
    serde_json::from_str(schema).map_err(|e| RegistryError::Schema(format!("{what} is not JSON: {e}")))
}
