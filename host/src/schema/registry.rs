//! The registry: which id a schema has, and which schema an id means.
//!
//! Ids are given once and never change, because they stand in front of every value of every log. The file registry is
//! one JSON file beside the schemas, meant to be kept in version control like a lock file: then the same records are the
//! same bytes on every machine.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use apache_avro::Schema as Authority;
use apache_avro::schema_compatibility::SchemaCompatibility;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Gives ids to schemas. Shared by all threads.
pub trait Registry: Send + Sync {
    /// The id of a schema as the newest version of its subject; a schema that the subject has already keeps its id.
    ///
    /// # Errors
    /// If it is not compatible with the version before, or cannot be written down.
    fn register(&self, subject: &str, schema: &str, compatibility: Compatibility) -> Result<u32, RegistryError>;

    /// The schema with an id, as JSON.
    ///
    /// # Errors
    /// If the registry cannot be read.
    fn by_id(&self, id: u32) -> Result<Option<String>, RegistryError>;

    /// The newest version of a subject: its id and schema.
    ///
    /// # Errors
    /// If the registry cannot be read.
    fn latest(&self, subject: &str) -> Result<Option<(u32, String)>, RegistryError>;
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
}

/// A version of a subject.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: u32,
    subject: String,
    version: u32,
    schema: Value,
}

/// A registry in one JSON file.
pub struct FileRegistry {
    path: PathBuf,
    entries: Mutex<Vec<Entry>>,
}

impl FileRegistry {
    /// Opens the file; one that is not there is empty.
    ///
    /// # Errors
    /// [`RegistryError::File`], [`RegistryError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        Ok(Self { path: path.to_owned(), entries: Mutex::new(read(path)?) })
    }

    fn write(&self, entries: &[Entry]) -> Result<(), RegistryError> {
        let failed = |source| RegistryError::File { path: self.path.clone(), source };
        let mut text = String::from("[\n");
        for (i, entry) in entries.iter().enumerate() {
            let line = serde_json::to_string(entry).map_err(|e| RegistryError::Schema(e.to_string()))?;
            text.push_str(if i == 0 { "  " } else { ",\n  " });
            text.push_str(&line);
        }
        text.push_str("\n]\n");
        let temporary = self.path.with_extension("json.new");
        let mut file = File::create(&temporary).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        std::fs::rename(&temporary, &self.path).map_err(failed)
    }
}

fn read(path: &Path) -> Result<Vec<Entry>, RegistryError> {
    let damaged = |what: String| RegistryError::Damaged { path: path.to_owned(), what };
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RegistryError::File { path: path.to_owned(), source }),
    };
    let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    for (i, entry) in entries.iter().enumerate() {
        if entry.id == 0 || entry.id > i32::MAX as u32 {
            return Err(damaged(format!(
                "id {} of subject `{}` is not from 1 to {}",
                entry.id,
                entry.subject,
                i32::MAX
            )));
        }
        if let Some(other) = entries[..i].iter().find(|e| e.id == entry.id && e.schema != entry.schema) {
            return Err(damaged(format!("id {} is given to `{}` and to `{}`", entry.id, other.subject, entry.subject)));
        }
    }
    Ok(entries)
}

impl Registry for FileRegistry {
    fn register(&self, subject: &str, schema: &str, compatibility: Compatibility) -> Result<u32, RegistryError> {
        let json: Value = serde_json::from_str(schema).map_err(|e| RegistryError::Schema(e.to_string()))?;
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Another process may have written since; a lock beside the file keeps two from giving the same id.
        let lock_path = self.path.with_extension("json.lock");
        let known_already =
            |entries: &[Entry]| entries.iter().find(|e| e.subject == subject && e.schema == json).map(|e| e.id);
        if let Some(id) = known_already(&known) {
            return Ok(id);
        }
        let failed = |source| RegistryError::File { path: self.path.clone(), source };
        if let Some(folder) = self.path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let lock = File::create(&lock_path).map_err(failed)?;
        lock.lock().map_err(failed)?;
        *known = read(&self.path)?;
        let result = match known_already(&known) {
            Some(id) => Ok(id),
            None => self.add(&mut known, subject, json, compatibility),
        };
        // Whoever waits for it opens it again, so that removing it harms no one.
        drop(lock);
        let _ = std::fs::remove_file(&lock_path);
        result
    }

    fn by_id(&self, id: u32) -> Result<Option<String>, RegistryError> {
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |entries: &[Entry]| entries.iter().find(|e| e.id == id).map(|e| e.schema.to_string());
        if find(&known).is_none() {
            *known = read(&self.path)?;
        }
        Ok(find(&known))
    }

    fn latest(&self, subject: &str) -> Result<Option<(u32, String)>, RegistryError> {
        let known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = known.iter().filter(|e| e.subject == subject).max_by_key(|e| e.version);
        Ok(newest.map(|e| (e.id, e.schema.to_string())))
    }
}

impl FileRegistry {
    fn add(
        &self,
        known: &mut Vec<Entry>,
        subject: &str,
        json: Value,
        compatibility: Compatibility,
    ) -> Result<u32, RegistryError> {
        let last = known.iter().filter(|e| e.subject == subject).max_by_key(|e| e.version);
        if let Some(last) = last {
            check(compatibility, last, &json)?;
        }
        // As in Confluent's registry, the same schema has one id in all subjects.
        let same = known.iter().find(|e| e.schema == json).map(|e| e.id);
        let id = same.unwrap_or_else(|| known.iter().map(|e| e.id).max().unwrap_or(0) + 1);
        let version = last.map_or(1, |e| e.version + 1);
        known.push(Entry { id, subject: subject.to_owned(), version, schema: json });
        if let Err(error) = self.write(known) {
            known.pop();
            return Err(error);
        }
        Ok(id)
    }
}

fn check(mode: Compatibility, last: &Entry, new: &Value) -> Result<(), RegistryError> {
    let parse = |json: &Value| Authority::parse(json).map_err(|e| RegistryError::Schema(e.to_string()));
    let (old, new) = (parse(&last.schema)?, parse(new)?);
    let fails = |writer: &Authority, reader: &Authority, mode: &'static str| {
        SchemaCompatibility::can_read(writer, reader).map(|_| ()).map_err(|why| RegistryError::Incompatible {
            subject: last.subject.clone(),
            version: last.version,
            mode,
            why: why.to_string(),
        })
    };
    if matches!(mode, Compatibility::Backward | Compatibility::Full) {
        fails(&old, &new, "backward")?;
    }
    if matches!(mode, Compatibility::Forward | Compatibility::Full) {
        fails(&new, &old, "forward")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
    }

    #[test]
    fn ids_stay_and_the_same_schema_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        let one = record(r#"{"name":"a","type":"int"}"#);
        let two = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#);
        let registry = FileRegistry::open(&path).unwrap();
        assert_eq!(registry.register("s-value", &one, Compatibility::Backward).unwrap(), 1);
        assert_eq!(registry.register("s-value", &two, Compatibility::Backward).unwrap(), 2);
        assert_eq!(registry.register("t-value", &one, Compatibility::Backward).unwrap(), 1);
        let again = FileRegistry::open(&path).unwrap();
        assert_eq!(again.register("s-value", &one, Compatibility::Backward).unwrap(), 1);
        assert_eq!(again.latest("s-value").unwrap().unwrap().0, 2);
        assert_eq!(again.by_id(3).unwrap(), None);
        // Another process's id is found without opening the file again.
        let three = record(r#"{"name":"c","type":"int"}"#);
        assert_eq!(again.register("u-value", &three, Compatibility::None).unwrap(), 3);
        assert_eq!(registry.by_id(3).unwrap().as_deref(), Some(three.as_str()));
    }

    #[test]
    fn a_version_that_cannot_read_the_last_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let registry = FileRegistry::open(&folder.path().join("registry.json")).unwrap();
        let one = record(r#"{"name":"a","type":"int"}"#);
        let two = record(r#"{"name":"a","type":"int"},{"name":"price","type":"double"}"#);
        registry.register("s-value", &one, Compatibility::Backward).unwrap();
        let error = registry.register("s-value", &two, Compatibility::Backward).unwrap_err().to_string();
        assert!(error.contains("not backward compatible with version 1 of subject `s-value`"), "{error}");
        assert!(error.contains("price"), "{error}");
        assert_eq!(registry.register("s-value", &two, Compatibility::None).unwrap(), 2);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        for text in ["", "{", "[{\"id\":0,\"subject\":\"s\",\"version\":1,\"schema\":\"int\"}]"] {
            std::fs::write(&path, text).unwrap();
            let error = FileRegistry::open(&path).err().unwrap().to_string();
            assert!(error.contains("registry.json") && error.contains("damaged"), "{error}");
        }
    }
}
