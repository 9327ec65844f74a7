//! What a registry is: it knows which id a schema has, and which schema an id means.
//!
//! Ids are given once and never change, because they stand in every value of every log. There are two of them: one in a
//! [file](super::FileRegistry), one behind [HTTP](super::HttpRegistry). Called when a pipeline is built, and when a record
//! names a schema that was not seen before.

use std::path::PathBuf;

use serde::Deserialize;

use super::framing::{Guid, SchemaId};

/// Gives ids to schemas. Shared by all threads.
pub trait Registry: Send + Sync {
    /// The id of a schema in its subject. One that the subject does not have becomes its newest version, if that is allowed.
    ///
    /// # Errors
    /// If it may not, or is not compatible with the versions before, or the registry cannot be used.
    fn register(&self, subject: &str, schema: &str) -> Result<Registered, RegistryError>;

    /// What [`Registry::register`] would find, without changing anything. None if it would make a new version.
    ///
    /// # Errors
    /// Those of [`Registry::register`].
    fn check(&self, subject: &str, schema: &str) -> Result<Option<Registered>, RegistryError>;

    /// A schema as JSON that stands alone.
    ///
    /// # Errors
    /// If the registry cannot be read, or what it has is no Avro schema.
    fn by_id(&self, id: SchemaId) -> Result<Option<String>, RegistryError>;

    /// The newest version of a subject.
    ///
    /// # Errors
    /// As for [`Registry::by_id`].
    fn latest(&self, subject: &str) -> Result<Option<(Registered, String)>, RegistryError>;
}

/// What a registry calls a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Its number.
    pub id: u32,
    /// Its globally unique identifier, if the registry has such.
    pub guid: Option<Guid>,
}

/// What a new version of a schema must be able to do (Avro specification, "Schema Resolution"; the names are those of
/// Confluent's registry).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compatibility {
    /// Anything goes.
    None,
    /// It reads what the version before wrote.
    #[default]
    Backward,
    /// The version before reads what it writes.
    Forward,
    /// Both.
    Full,
}

/// A schema that gets no id, or a registry that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file cannot be read or written.
    #[error("the schema registry `{path}`: {source}; schema ids must be kept, so its folder must be writable")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not a registry.
    #[error(
        "the schema registry `{path}` is damaged: {what}; restore it from version control, ids of records depend on it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// It is no schema.
    #[error("{0}")]
    Schema(String),
    /// It breaks who reads or writes by the version before.
    #[error(
        "the schema is not {mode} compatible with version {version} of subject `{subject}`: {why}; give new fields a default, or \
         set `compatibility = \"none\"` in [schemas] if nobody needs the old records"
    )]
    Incompatible {
        /// The subject.
        subject: String,
        /// The version before.
        version: u32,
        /// What is asked of it.
        mode: &'static str,
        /// What breaks.
        why: String,
    },
    /// The same, found by a registry with rules of its own.
    #[error(
        "the registry does not take the schema as a new version of subject `{subject}`: {why}; make it compatible, or change \
         the compatibility of the subject in the registry"
    )]
    Refused {
        /// The subject.
        subject: String,
        /// What it said.
        why: String,
    },
    /// It would be a new version, and nobody said that there may be one.
    #[error(
        "subject `{subject}` of the registry {has}; register the schema, or set `register = true` in [schemas] to have it \
         registered at start"
    )]
    NotRegistered {
        /// The subject.
        subject: String,
        /// What it has instead.
        has: String,
    },
    /// It is to read what others write, and cannot.
    #[error(
        "records of the newest schema of subject `{subject}` (id {id}) cannot be read with the topic's schema: {why}"
    )]
    Unreadable {
        /// The subject.
        subject: String,
        /// The newest schema.
        id: u32,
        /// What breaks.
        why: String,
    },
    /// It has no GUID, which the header form needs.
    #[error(
        "the registry gives no GUID to schema {0}, which `schema_id = \"header\"` needs; set `schema_id = \"prefix\"` in [schemas]"
    )]
    NoGuid(u32),
    /// Nobody answers, or not as a registry does. It may do so later.
    #[error("the schema registry cannot be used: {0}")]
    Unavailable(String),
    /// It answers, and asking again gives the same answer.
    #[error("the schema registry at {url}: {what}")]
    Denied {
        /// Where it is.
        url: String,
        /// What it said, and what to do.
        what: String,
    },
    /// Its address or its certificates cannot be used.
    #[error("the schema registry: {0}")]
    Settings(String),
}

// === impl RegistryError ===

impl RegistryError {
    /// Whether to wait and ask again, because it is not the schema's fault.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
