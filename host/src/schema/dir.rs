//! A folder of Avro schemas, `*.avsc`.
//!
//! A schema is known by the name of its file without the ending, and by its full name. Files may refer to types of other
//! files of the folder; what they refer to becomes part of their text.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bespoke_boundary::Schema;
use serde_json::Value;

use super::inline::{Definitions, full_name, inline};

/// Files larger than this are no schemas.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The schemas of a folder.
#[derive(Debug, Default)]
pub struct SchemaDir {
    path: PathBuf,
    by_name: BTreeMap<String, String>,
    files: Vec<String>,
}

/// A folder that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// It, or a file in it, cannot be read.
    #[error("schemas: `{path}` cannot be read: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is no schema.
    #[error("schemas: `{path}`: {what}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

impl SchemaDir {
    /// Reads all schemas of a folder.
    ///
    /// # Errors
    /// [`DirError`].
    pub fn read(path: &Path) -> Result<Self, DirError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| DirError::Read { path, source }
        };
        let mut files: Vec<PathBuf> = std::fs::read_dir(path)
            .map_err(failed(path))?
            .filter_map(|entry| entry.ok().map(|e| e.path()))
            .filter(|file| file.extension().is_some_and(|e| e == "avsc"))
            .collect();
        files.sort();
        Self::of_files(path, &files)
    }

    /// Reads one schema file, for those who have no folder.
    ///
    /// # Errors
    /// [`DirError`].
    pub fn single(file: &Path) -> Result<Self, DirError> {
        Self::of_files(file, &[file.to_owned()])
    }

    /// One schema that is in no file.
    ///
    /// # Errors
    /// [`DirError::Schema`].
    pub fn of(name: &str, json: &str) -> Result<Self, DirError> {
        let mut dir = Self::default();
        dir.add(Path::new(name), json.to_owned())?;
        Ok(dir)
    }

    fn of_files(path: &Path, files: &[PathBuf]) -> Result<Self, DirError> {
        let mut dir = Self { path: path.to_owned(), ..Self::default() };
        let mut texts = Vec::with_capacity(files.len());
        let mut definitions = Definitions::new();
        let mut defined_in = BTreeMap::new();
        for file in files {
            let (text, json) = read_json(file)?;
            if let Some(name) = full_name(&json) {
                if let Some(first) = defined_in.insert(name.clone(), file) {
                    let what = format!("`{}` defines `{name}` too; refer to it, or rename one", first.display());
                    return Err(DirError::Schema { path: file.clone(), what });
                }
                definitions.insert(name, json.clone());
            }
            texts.push((file, text, json));
        }
        for (file, text, json) in texts {
            let whole = inline(&json, &definitions);
            // What needs nothing from elsewhere stays as its author wrote it.
            dir.add(file, if whole == json { text } else { whole.to_string() })?;
        }
        Ok(dir)
    }

    fn add(&mut self, file: &Path, json: String) -> Result<(), DirError> {
        let schema =
            Schema::parse(&json).map_err(|e| DirError::Schema { path: file.to_owned(), what: e.to_string() })?;
        let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(record) = schema.record() {
            self.by_name.entry(record.name.full.clone()).or_insert_with(|| json.clone());
        }
        // The file's name wins over a full name that happens to be the same.
        self.by_name.insert(stem.clone(), json);
        self.files.push(stem);
        Ok(())
    }

    /// The schema with this file name or full name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str)
    }

    /// The names of the files.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.files
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read_json(file: &Path) -> Result<(String, Value), DirError> {
    let read = |source| DirError::Read { path: file.to_owned(), source };
    let wrong = |what: String| DirError::Schema { path: file.to_owned(), what };
    let mut text = String::new();
    File::open(file).and_then(|f| f.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)).map_err(read)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(wrong(format!("it has more than {MAX_FILE_BYTES} bytes, which no schema has")));
    }
    let json = serde_json::from_str(&text).map_err(|e| wrong(format!("it is not JSON: {e}")))?;
    Ok((text, json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Result<SchemaDir, DirError>) {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).expect("writable");
        }
        let dir = SchemaDir::read(folder.path());
        (folder, dir)
    }

    const PRICE: &str = r#"{ "type": "record", "name": "a.Price", "fields": [{ "name": "cents", "type": "long" }] }"#;

    #[test]
    fn schemas_are_found_by_file_and_by_name_and_refer_to_each_other() {
        let order = r#"{"type":"record","name":"a.Order","fields":[{"name":"price","type":"Price"}]}"#;
        let (_folder, dir) = folder(&[("order.avsc", order), ("price.avsc", PRICE), ("notes.txt", "not a schema")]);
        let dir = dir.expect("all is well");
        assert_eq!(dir.names(), ["order", "price"]);
        assert_eq!(dir.get("price"), Some(PRICE));
        assert_eq!(dir.get("a.Price"), Some(PRICE));
        assert!(dir.get("a.Order").is_some_and(|text| text.contains("cents")));
        assert_eq!(dir.get("ordre"), None);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        for (name, text, says) in [
            ("a.avsc", "{", "not JSON"),
            ("b.avsc", r#"{"type":"record","name":"R","fields":[{"name":"x","type":"Missing"}]}"#, "Missing"),
            ("z.avsc", PRICE, "too"),
        ] {
            let (_folder, dir) = folder(&[("price.avsc", PRICE), (name, text)]);
            let error = dir.expect_err(says).to_string();
            assert!(error.contains(name) && error.contains(says), "{error}");
        }
        let error = SchemaDir::read(Path::new("/nowhere/at/all")).expect_err("not there").to_string();
        assert!(error.contains("/nowhere/at/all"), "{error}");
    }
}
