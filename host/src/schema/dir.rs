//! A folder of Avro schemas, `*.avsc`.
//!
//! A schema is known by the name of its file without the ending, and by its full name. Every file stands for itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bespoke_boundary::Schema;

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
        let mut dir = Self { path: path.to_owned(), ..Self::default() };
        for file in files {
            dir.add(&file)?;
        }
        Ok(dir)
    }

    /// Reads one schema file, for those who have no folder.
    ///
    /// # Errors
    /// [`DirError`].
    pub fn single(file: &Path) -> Result<Self, DirError> {
        let mut dir = Self { path: file.to_owned(), ..Self::default() };
        dir.add(file)?;
        Ok(dir)
    }

    fn add(&mut self, file: &Path) -> Result<(), DirError> {
        let read = |source| DirError::Read { path: file.to_owned(), source };
        let wrong = |what: String| DirError::Schema { path: file.to_owned(), what };
        let bytes = std::fs::metadata(file).map_err(read)?.len();
        if bytes > MAX_FILE_BYTES {
            return Err(wrong(format!("it has {bytes} bytes, and schemas have at most {MAX_FILE_BYTES}")));
        }
        let json = std::fs::read_to_string(file).map_err(read)?;
        let schema = Schema::parse(&json).map_err(|e| wrong(e.to_string()))?;
        let stem = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(record) = schema.record() {
            self.by_name.insert(record.name.full.clone(), json.clone());
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
