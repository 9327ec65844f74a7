//! Whether a component is that of the sources: by what they hold, not by their times.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{ProjectError, files, sources::Sources};

/// Where the digests of the last build are, in the folder of the bindings.
const NOTE: &str = ".built";

/// The digest of all that goes into a component: the sources, and the version of this program and so of its tools.
pub(super) fn of_sources(dir: &Path, output: &Path, world: &str) -> Result<String, ProjectError> {
    let sources = Sources::of(dir, output);
    let sources = sources.map_err(|source| ProjectError::File { path: dir.to_owned(), source })?;
    let mut hasher = Sha256::new();
    for part in [env!("CARGO_PKG_VERSION"), super::tools::VERSIONS, world] {
        add(&mut hasher, part.as_bytes());
    }
    for (path, digest) in sources.iter() {
        add(&mut hasher, path.as_os_str().as_encoded_bytes());
        add(&mut hasher, digest);
    }
    Ok(hex(&hasher.finalize()))
}

/// Whether the component that is there was made of these sources.
pub(super) fn is_built(bindings: &Path, sources: &str, output: &Path) -> bool {
    let noted = fs::read_to_string(bindings.join(NOTE));
    let Ok(bytes) = fs::read(output) else { return false };
    noted.is_ok_and(|noted| noted == text(sources, &bytes))
}

/// Whether the component that is there was made of other sources. False if nobody has noted of which.
pub(super) fn is_stale(bindings: &Path, sources: &str, output: &Path) -> bool {
    bindings.join(NOTE).exists() && output.exists() && !is_built(bindings, sources, output)
}

/// Notes which sources the component was made of.
pub(super) fn note(bindings: &Path, sources: &str, component: &[u8]) -> Result<(), ProjectError> {
    files::write(&bindings.join(NOTE), text(sources, component).as_bytes())
}

fn text(sources: &str, component: &[u8]) -> String {
    format!("{sources} {}\n", hex(&Sha256::digest(component)))
}

/// Adds a part so that no two lists of parts look alike.
fn add(hasher: &mut Sha256, part: &[u8]) {
    hasher.update((part.len() as u64).to_le_bytes());
    hasher.update(part);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
