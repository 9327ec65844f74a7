//! Whether a component is that of the sources: by what they hold, not by their times.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Generated, ProjectError, files, sources::Sources};

/// Where the digests of the last build are, in the folder of the bindings.
const NOTE: &str = ".built";

/// The digest of all that goes into a component: the sources, what is generated beside them, the helpers among it, and the
/// versions of this program and its tools.
pub(super) fn of_sources(
    dir: &Path,
    output: &Path,
    world: &str,
    generated: &Generated,
) -> Result<String, ProjectError> {
    let sources = Sources::of(dir, output);
    let sources = sources.map_err(|source| ProjectError::File { path: dir.to_owned(), source })?;
    let mut hasher = Sha256::new();
    for part in [env!("CARGO_PKG_VERSION"), super::tools::VERSIONS, world] {
        add(&mut hasher, part.as_bytes());
    }
    add(&mut hasher, &(generated.len() as u64).to_le_bytes());
    for (path, bytes) in generated {
        add(&mut hasher, path.as_bytes());
        add(&mut hasher, bytes);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_what_is_generated_both_make_another_component() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path();
        fs::write(dir.join("module.c"), "int a;").expect("written");
        let helpers = |text: &str| vec![("bespoke.h".to_owned(), text.as_bytes().to_vec())];
        let digest = |generated: &Generated| of_sources(dir, &dir.join("m.wasm"), "m", generated).expect("readable");
        let first = digest(&helpers("int b;"));
        assert_eq!(digest(&helpers("int b;")), first);
        assert_ne!(digest(&helpers("int c;")), first);
        assert_ne!(digest(&Vec::new()), first);
        fs::write(dir.join("module.c"), "int d;").expect("written");
        assert_ne!(digest(&helpers("int b;")), first);
    }
}
