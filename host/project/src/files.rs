//! Files that are written by a build. What did not change keeps its time, so that compilers' caches hold.

use std::fs;
use std::path::Path;

use super::ProjectError;

/// Writes a file, with its folders, unless it has these bytes already.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), ProjectError> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    let failed = |source| ProjectError::File { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, bytes).map_err(failed)
}

/// Puts a file in place whole: whoever watches it sees the old bytes or the new ones.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), ProjectError> {
    let new = path.with_extension("wasm.new");
    write(&new, bytes)?;
    fs::rename(&new, path).map_err(|source| ProjectError::File { path: path.to_owned(), source })
}

/// The bytes of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ProjectError> {
    fs::read(path).map_err(|source| ProjectError::File { path: path.to_owned(), source })
}
