//! The registry in a file: one JSON file beside the log or the schemas.
//!
//! It can be kept in version control like a lock file: then the same records are the same bytes on every machine.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use bespoke_boundary::Schema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::compatible::unreadable;
use super::framing::{SchemaId, is_id};
use super::registry::{Compatibility, Registered, Registry, RegistryError};

/// A registry of more bytes was not written by a host.
const MAX_FILE_BYTES: u64 = 256 << 20;

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
    compatibility: Compatibility,
    entries: Mutex<Vec<Entry>>,
}

impl FileRegistry {
    /// Opens the file; one that is not there is empty. New versions must be compatible in this way with the last one.
    ///
    /// # Errors
    /// [`RegistryError::File`], [`RegistryError::Damaged`].
    pub fn open(path: &Path, compatibility: Compatibility) -> Result<Self, RegistryError> {
        Ok(Self { path: path.to_owned(), compatibility, entries: Mutex::new(read(path)?) })
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Keeps other processes from giving the same id, until it is dropped. It is the folder that is locked: the file is
    /// replaced by every writer, and a lock file would lie beside schemas that are under version control.
    fn lock(&self) -> Result<File, RegistryError> {
        let lock = || {
            std::fs::create_dir_all(self.folder())?;
            let folder = File::open(self.folder())?;
            folder.lock()?;
            Ok(folder)
        };
        lock().map_err(|source| RegistryError::File { path: self.path.clone(), source })
    }

    /// Replaces the file as a whole: who reads it finds the old one or the new one, also after a power cut.
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
        std::fs::rename(&temporary, &self.path).map_err(failed)?;
        File::open(self.folder()).and_then(|folder| folder.sync_all()).map_err(failed)
    }
}

fn read(path: &Path) -> Result<Vec<Entry>, RegistryError> {
    let damaged = |what: String| RegistryError::Damaged { path: path.to_owned(), what };
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)) {
        Ok(bytes) if bytes as u64 > MAX_FILE_BYTES => {
            return Err(damaged(format!("it has more than {MAX_FILE_BYTES} bytes")));
        }
        Ok(_) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(RegistryError::File { path: path.to_owned(), source }),
    }
    let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?;
    let (mut by_id, mut versions) = (HashMap::new(), HashSet::new());
    for entry in &entries {
        let Entry { id, subject, version, schema } = entry;
        if !is_id(*id) {
            return Err(damaged(format!("id {id} of subject `{subject}` is not from 1 to {}", i32::MAX)));
        }
        if !versions.insert((subject, version)) {
            return Err(damaged(format!("subject `{subject}` has version {version} twice")));
        }
        let first = by_id.entry(id).or_insert(entry);
        if first.schema != *schema {
            return Err(damaged(format!("id {id} is given to `{}` and to `{subject}`", first.subject)));
        }
    }
    Ok(entries)
}

impl Registry for FileRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<Registered, RegistryError> {
        let json = parse(schema)?;
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = id_of(&known, subject, &json) {
            return Ok(registered(id));
        }
        // Another process may have written since, or be about to.
        let _lock = self.lock()?;
        *known = read(&self.path)?;
        match id_of(&known, subject, &json) {
            Some(id) => Ok(registered(id)),
            None => self.add(&mut known, subject, json).map(registered),
        }
    }

    fn check(&self, subject: &str, schema: &str) -> Result<Option<Registered>, RegistryError> {
        let json = parse(schema)?;
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        *known = read(&self.path)?;
        let id = id_of(&known, subject, &json);
        if let (None, Some(last)) = (id, newest(&known, subject)) {
            check(self.compatibility, last, &json)?;
        }
        Ok(id.map(registered))
    }

    fn by_id(&self, id: SchemaId) -> Result<Option<String>, RegistryError> {
        let SchemaId::Id(id) = id else { return Ok(None) };
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |entries: &[Entry]| entries.iter().find(|e| e.id == id).map(|e| e.schema.to_string());
        if find(&known).is_none() {
            *known = read(&self.path)?;
        }
        Ok(find(&known))
    }

    fn latest(&self, subject: &str) -> Result<Option<(Registered, String)>, RegistryError> {
        let mut known = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        *known = read(&self.path)?;
        Ok(newest(&known, subject).map(|e| (registered(e.id), e.schema.to_string())))
    }
}

impl FileRegistry {
    fn add(&self, known: &mut Vec<Entry>, subject: &str, json: Value) -> Result<u32, RegistryError> {
        let last = newest(known, subject);
        if let Some(last) = last {
            check(self.compatibility, last, &json)?;
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

fn parse(schema: &str) -> Result<Value, RegistryError> {
    serde_json::from_str(schema).map_err(|e| RegistryError::Schema(e.to_string()))
}

/// Ids of a file mean something beside that file only, so there are no GUIDs.
fn registered(id: u32) -> Registered {
    Registered { id, guid: None }
}

fn id_of(entries: &[Entry], subject: &str, schema: &Value) -> Option<u32> {
    entries.iter().find(|e| e.subject == subject && e.schema == *schema).map(|e| e.id)
}

fn newest<'e>(entries: &'e [Entry], subject: &str) -> Option<&'e Entry> {
    entries.iter().filter(|e| e.subject == subject).max_by_key(|e| e.version)
}

fn check(mode: Compatibility, last: &Entry, new: &Value) -> Result<(), RegistryError> {
    let parse = |json: &Value| Schema::parse(&json.to_string()).map_err(|e| RegistryError::Schema(e.to_string()));
    let (old, new) = (parse(&last.schema)?, parse(new)?);
    let reads_all = |writer: &Schema, reader: &Schema, mode: &'static str| {
        let subject = last.subject.clone();
        let incompatible = |why| RegistryError::Incompatible { subject, version: last.version, mode, why };
        unreadable(writer, reader).map_or(Ok(()), |why| Err(incompatible(why)))
    };
    if matches!(mode, Compatibility::Backward | Compatibility::Full) {
        reads_all(&old, &new, "backward")?;
    }
    if matches!(mode, Compatibility::Forward | Compatibility::Full) {
        reads_all(&new, &old, "forward")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Registers a schema in a file that is opened anew, with this compatibility.
    fn put(path: &Path, subject: &str, schema: &str, mode: Compatibility) -> Result<u32, RegistryError> {
        FileRegistry::open(path, mode)?.register(subject, schema).map(|registered| registered.id)
    }

    fn record(fields: &str) -> String {
        format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
    }

    #[test]
    fn ids_stay_and_the_same_schema_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        let one = record(r#"{"name":"a","type":"int"}"#);
        let two = record(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#);
        let registry = FileRegistry::open(&path, Compatibility::Backward).unwrap();
        let register = |subject, schema| registry.register(subject, schema).unwrap().id;
        assert_eq!((register("s-value", &one), register("s-value", &two), register("t-value", &one)), (1, 2, 1));
        assert_eq!(put(&path, "s-value", &one, Compatibility::Backward).unwrap(), 1);
        assert_eq!(registry.latest("s-value").unwrap().unwrap().0.id, 2);
        assert_eq!(registry.by_id(3.into()).unwrap(), None);
        // Another process's id is found without opening the file again.
        let three = record(r#"{"name":"c","type":"int"}"#);
        assert_eq!(put(&path, "u-value", &three, Compatibility::None).unwrap(), 3);
        assert_eq!(registry.by_id(3.into()).unwrap().as_deref(), Some(three.as_str()));
    }

    #[test]
    fn a_version_that_cannot_read_the_last_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        let one = record(r#"{"name":"a","type":"int"}"#);
        let two = record(r#"{"name":"a","type":"int"},{"name":"price","type":"double"}"#);
        put(&path, "s-value", &one, Compatibility::Backward).unwrap();
        let registry = FileRegistry::open(&path, Compatibility::Backward).unwrap();
        for refused in [registry.register("s-value", &two).map(Some), registry.check("s-value", &two)] {
            let error = refused.unwrap_err().to_string();
            assert!(error.contains("not backward compatible with version 1 of subject `s-value`"), "{error}");
            assert!(error.contains("price"), "{error}");
        }
        assert_eq!(put(&path, "s-value", &two, Compatibility::None).unwrap(), 2);
    }

    #[test]
    fn a_check_tells_what_would_be_and_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        let registry = FileRegistry::open(&path, Compatibility::Backward).unwrap();
        let one = record(r#"{"name":"a","type":"int"}"#);
        assert_eq!(registry.check("s", &one).unwrap(), None);
        assert!(!path.exists());
        put(&path, "s", &one, Compatibility::Backward).unwrap();
        assert_eq!(registry.check("s", &one).unwrap(), Some(registered(1)));
    }

    #[test]
    fn a_damaged_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        for text in ["", "{", "[{\"id\":0,\"subject\":\"s\",\"version\":1,\"schema\":\"int\"}]"] {
            std::fs::write(&path, text).unwrap();
            let error = FileRegistry::open(&path, Compatibility::None).err().unwrap().to_string();
            assert!(error.contains("registry.json") && error.contains("damaged"), "{error}");
        }
    }

    #[test]
    fn a_version_that_cannot_read_some_values_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        let symbols = |symbols: &str| {
            record(&format!(r#"{{"name":"e","type":{{"type":"enum","name":"E","symbols":[{symbols}]}}}}"#))
        };
        put(&path, "s", &symbols(r#""a","b""#), Compatibility::Full).unwrap();
        let error = put(&path, "s", &symbols(r#""a""#), Compatibility::Backward).unwrap_err().to_string();
        assert!(error.contains("`R.e`") && error.contains("`b`"), "{error}");
        assert_eq!(put(&path, "s", &symbols(r#""a""#), Compatibility::Forward).unwrap(), 2);
    }

    #[test]
    fn docs_and_defaults_make_a_version_and_the_order_of_keys_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let registry = FileRegistry::open(&folder.path().join("registry.json"), Compatibility::Full).unwrap();
        let register = |fields: &str| registry.register("s", &record(fields)).unwrap().id;
        assert_eq!(register(r#"{"name":"a","type":"int"}"#), 1);
        assert_eq!(register(r#"{"type":"int","name":"a"}"#), 1);
        assert_eq!(register(r#"{"name":"a","type":"int","doc":"words"}"#), 2);
        assert_eq!(register(r#"{"name":"a","type":"int","default":1}"#), 3);
    }

    #[test]
    fn many_writers_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let registry = FileRegistry::open(path, Compatibility::Full).unwrap();
                    for i in 0..5 {
                        let fields = format!(r#"{{"name":"a","type":"int","doc":"{writer} {i}"}}"#);
                        registry.register("s", &record(&fields)).unwrap();
                    }
                });
            }
        });
        let registry = FileRegistry::open(&path, Compatibility::Full).unwrap();
        assert_eq!(registry.latest("s").unwrap().map(|(registered, _)| registered.id), Some(20));
    }

    #[test]
    fn entries_that_contradict_each_other_are_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.json");
        let entry = |id, version, ty| format!(r#"{{"id":{id},"subject":"x","version":{version},"schema":"{ty}"}}"#);
        for (a, b, says) in
            [(entry(1, 1, "int"), entry(1, 2, "long"), "given to"), (entry(1, 1, "int"), entry(2, 1, "long"), "twice")]
        {
            std::fs::write(&path, format!("[{a},{b}]")).unwrap();
            let error = FileRegistry::open(&path, Compatibility::None).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
