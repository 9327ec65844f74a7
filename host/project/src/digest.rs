//! Whether a component is that of the sources: by what they hold, not by their times.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{BINDINGS, ProjectError, files};

/// Where the digests of the last build are, in the folder of the bindings.
const NOTE: &str = ".built";
/// Not sources, wherever they stand.
const SKIPPED: [&str; 5] = [BINDINGS, "cases", "target", "node_modules", "__pycache__"];

/// The digest of all that goes into a component: the sources, and the version of this program and so of its tools.
pub(super) fn of_sources(dir: &Path, output: &Path, world: &str) -> Result<String, ProjectError> {
    let mut paths = Vec::new();
    collect(dir, &mut paths)?;
    paths.retain(|path| path != output && path.extension().is_none_or(|e| e != "wasm" && e != "new"));
    paths.sort();
    let mut hasher = Sha256::new();
    for part in [env!("CARGO_PKG_VERSION"), super::tools::VERSIONS, world] {
        add(&mut hasher, part.as_bytes());
    }
    for path in paths {
        add(&mut hasher, path.strip_prefix(dir).unwrap_or(&path).as_os_str().as_encoded_bytes());
        add(&mut hasher, &files::read(&path)?);
    }
    Ok(hex(&hasher.finalize()))
}

/// Whether the component that is there was made of these sources.
pub(super) fn is_built(bindings: &Path, sources: &str, output: &Path) -> bool {
    let noted = fs::read_to_string(bindings.join(NOTE));
    let Ok(bytes) = fs::read(output) else { return false };
    noted.is_ok_and(|noted| noted == text(sources, &bytes))
}

/// Notes which sources the component was made of.
pub(super) fn note(bindings: &Path, sources: &str, component: &[u8]) -> Result<(), ProjectError> {
    files::write(&bindings.join(NOTE), text(sources, component).as_bytes())
}

fn text(sources: &str, component: &[u8]) -> String {
    format!("{sources} {}\n", hex(&Sha256::digest(component)))
}

/// All files that can be sources.
fn collect(dir: &Path, paths: &mut Vec<PathBuf>) -> Result<(), ProjectError> {
    let failed = |source| ProjectError::File { path: dir.to_owned(), source };
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || SKIPPED.contains(&&*name) || name.ends_with(".md") {
            continue;
        }
        if path.is_dir() { collect(&path, paths)? } else { paths.push(path) }
    }
    Ok(())
}

/// Adds a part so that no two lists of parts look alike.
fn add(hasher: &mut Sha256, part: &[u8]) {
    hasher.update((part.len() as u64).to_le_bytes());
    hasher.update(part);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
