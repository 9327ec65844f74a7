//! The files that a module is made of: those of its folder, without what tools and editors leave there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::BINDINGS;

/// Not sources, wherever they stand.
const SKIPPED: [&str; 5] = [BINDINGS, "cases", "target", "node_modules", "__pycache__"];
/// A virtual environment of Python, whatever it is called.
const ENVIRONMENT: &str = "pyvenv.cfg";
/// How files end that are no sources: components, words for people, and what editors keep while they write.
const ENDINGS: [&str; 8] = [".wasm", ".new", ".md", "~", ".swp", ".swx", ".tmp", ".bak"];
/// A file that Vim makes to see whether it may.
const PROBE: &str = "4913";
/// Written by a build when it is missing or out of date.
const LOCKS: [&str; 1] = ["Cargo.lock"];

/// What files look like, which tells without reading them whether one was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    files: BTreeMap<PathBuf, (u64, u64, i64, i64)>,
    folders: BTreeSet<PathBuf>,
}

/// What files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// By their paths in the folder.
    files: BTreeMap<PathBuf, [u8; 32]>,
}

// === impl Looks ===

impl Looks {
    /// What the sources in a folder look like now.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn of(dir: &Path, output: &Path) -> io::Result<Self> {
        let mut looks = Self::default();
        collect(dir, output, &mut looks, &mut BTreeSet::new())?;
        Ok(looks)
    }

    /// The folders that have sources.
    #[must_use]
    pub fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }
}

// === impl Sources ===

impl Sources {
    /// What the sources in a folder hold now. `output` is the component, which is none of them.
    ///
    /// # Errors
    /// If the folder or a file cannot be read.
    pub fn of(dir: &Path, output: &Path) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for path in Looks::of(dir, output)?.files.into_keys() {
            match fs::read(&path) {
                Ok(bytes) => {
                    files.insert(path.strip_prefix(dir).unwrap_or(&path).to_owned(), Sha256::digest(bytes).into());
                }
                // Editors put one file in the place of another.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { files })
    }

    /// The files that no build writes, and what each holds.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &[u8; 32])> {
        self.files.iter().map(|(path, digest)| (&**path, digest)).filter(|(path, _)| !is_lock(path))
    }

    /// The files that are not as they were: changed, new or gone.
    #[must_use]
    pub fn changed_since<'s>(&'s self, before: &'s Self) -> Vec<&'s Path> {
        let changed = self.files.iter().filter(|(path, digest)| before.files.get(*path) != Some(digest));
        let gone = before.files.keys().filter(|path| !self.files.contains_key(*path));
        let mut paths: Vec<&Path> = changed.map(|(path, _)| &**path).chain(gone.map(|path| &**path)).collect();
        paths.sort();
        paths
    }

    /// These, with what a build writes itself as it is in others.
    #[must_use]
    pub fn with_locks_of(mut self, others: &Self) -> Self {
        self.files.retain(|path, _| !is_lock(path));
        let locks = others.files.iter().filter(|(path, _)| is_lock(path));
        self.files.extend(locks.map(|(path, digest)| (path.clone(), *digest)));
        self
    }
}

/// All files that can be sources. Folders that lead back into themselves are gone into once.
fn collect(dir: &Path, output: &Path, looks: &mut Looks, seen: &mut BTreeSet<(u64, u64)>) -> io::Result<()> {
    let about = fs::metadata(dir)?;
    if !seen.insert((about.dev(), about.ino())) {
        return Ok(());
    }
    looks.folders.insert(dir.to_owned());
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path == output || !path.file_name().is_some_and(|name| is_source(&name.to_string_lossy())) {
            continue;
        }
        // What is gone already, or leads nowhere, is no source.
        let Ok(about) = fs::metadata(&path) else { continue };
        if !about.is_dir() {
            looks.files.insert(path, look(&about));
        } else if !path.join(ENVIRONMENT).exists() {
            match collect(&path, output, looks, seen) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                done => done?,
            }
        }
    }
    Ok(())
}

fn look(about: &Metadata) -> (u64, u64, i64, i64) {
    (about.ino(), about.len(), about.mtime(), about.mtime_nsec())
}

fn is_lock(path: &Path) -> bool {
    path.file_name().is_some_and(|name| LOCKS.iter().any(|lock| name == *lock))
}

fn is_source(name: &str) -> bool {
    let is_temporary = name.starts_with(['.', '#']) || name.contains("___jb_") || name == PROBE;
    !is_temporary && !SKIPPED.contains(&name) && !ENDINGS.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for file in files {
            write(folder.path(), file, file);
        }
        folder
    }

    fn write(dir: &Path, file: &str, text: &str) {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("written");
    }

    fn sources(folder: &tempfile::TempDir) -> Sources {
        Sources::of(folder.path(), &folder.path().join("m.out")).expect("readable")
    }

    #[test]
    fn what_tools_and_editors_leave_is_no_source() {
        let kept = ["module.py", "src/lib.rs", "wit/m.wit", "p.avsc", "inner/deep/a.py"];
        let left = [
            "Cargo.lock",
            ".git/HEAD",
            ".module.py.swp",
            "#module.py#",
            ".#module.py",
            "module.py~",
            "4913",
            "module.py___jb_tmp___",
            "bindings/types/a.py",
            "cases/first/input.jsonl",
            "target/a",
            "node_modules/a/a.js",
            "inner/__pycache__/a.pyc",
            "m.wasm",
            "m.wasm.new",
            "m.out",
            "README.md",
            "venv/pyvenv.cfg",
            "venv/lib/a.py",
        ];
        let folder = folder(&[&kept[..], &left[..]].concat());
        symlink("..", folder.path().join("inner/up")).expect("a link");
        symlink("nowhere", folder.path().join("dangling.py")).expect("a link");
        let found = sources(&folder);
        let mut names: Vec<_> = found.iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect();
        names.sort();
        let mut kept = kept.map(str::to_owned);
        kept.sort();
        assert_eq!(names, kept);
    }

    #[test]
    fn changes_are_told_by_what_files_hold() {
        let folder = folder(&["a.py", "b.py", "Cargo.lock"]);
        let (before, looked) = (sources(&folder), Looks::of(folder.path(), Path::new("")).expect("readable"));
        write(folder.path(), "a.py", "a.py");
        assert_eq!(sources(&folder).changed_since(&before), [] as [&Path; 0]);
        write(folder.path(), "a.py", "another");
        write(folder.path(), "c.py", "new");
        fs::remove_file(folder.path().join("b.py")).expect("removed");
        let after = sources(&folder);
        assert_eq!(after.changed_since(&before), ["a.py", "b.py", "c.py"].map(Path::new));
        assert_ne!(Looks::of(folder.path(), Path::new("")).expect("readable"), looked);
        // What a build writes is no change, but for whoever writes it later.
        write(folder.path(), "Cargo.lock", "made");
        let made = sources(&folder);
        assert_eq!(made.changed_since(&after.clone().with_locks_of(&made)), [] as [&Path; 0]);
        assert_eq!(made.changed_since(&after), [Path::new("Cargo.lock")]);
    }
}
