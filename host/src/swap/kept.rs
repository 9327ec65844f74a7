//! Modules by digest: a folder beside the log, in which every version that a stage ran or tried stays for a while.
//!
//! Files are named by what is in them, so that writing one twice changes nothing; they appear whole or not at all. Each
//! host has a folder of its own. Read by `host modules`, written when a stage starts and when a candidate is prepared.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::Cause;
use crate::module::digest_of;

/// The ending of a kept module.
const ENDING: &str = "wasm";
/// So many are kept; the oldest go, but for those that run or may do so soon.
const MOST: usize = 100;

/// A folder of modules.
#[derive(Clone, Debug)]
pub struct Kept {
    dir: PathBuf,
    /// By stage the digests of those that do not go.
    pinned: Arc<Mutex<HashMap<String, Vec<String>>>>,
}

/// A module that is kept.
#[derive(Clone, Debug)]
pub struct KeptModule {
    /// SHA-256 of its bytes, in hexadecimal.
    pub digest: String,
    /// How large it is.
    pub bytes: u64,
    /// When it was kept last.
    pub kept: SystemTime,
}

// === impl Kept ===

impl Kept {
    /// The folder; it is made when there is something to keep.
    #[must_use]
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, pinned: Arc::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a module. What it is called.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<String> {
        let digest = digest_of(bytes);
        let path = self.path(&digest);
        fs::create_dir_all(&self.dir)?;
        if fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64) {
            // It is the newest again.
            let _ = fs::File::options().append(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        } else {
            let new = self.dir.join(format!("{digest}.{}.new", std::process::id()));
            fs::write(&new, bytes)?;
            fs::rename(&new, &path)?;
        }
        self.forget_old()?;
        Ok(digest)
    }

    /// Has these modules of a stage stay, instead of those before, however many come after them.
    pub fn pin(&self, stage: &str, digests: &[&str]) {
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        pinned.insert(stage.to_owned(), digests.iter().map(|digest| (*digest).to_owned()).collect());
    }

    /// The bytes of a module, which are checked.
    ///
    /// # Errors
    /// If it is not there, or not what it was.
    pub fn get(&self, digest: &str) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.path(digest))?;
        if digest_of(&bytes) == digest {
            return Ok(bytes);
        }
        let what = format!("`{}` is damaged: its digest is another", self.path(digest).display());
        Err(io::Error::new(io::ErrorKind::InvalidData, what))
    }

    /// Where a module is, or would be.
    #[must_use]
    pub fn path(&self, digest: &str) -> PathBuf {
        self.dir.join(format!("{digest}.{ENDING}"))
    }

    /// Notes why the file of a stage's module is about to become this module: whoever watches it sees only the file.
    ///
    /// # Errors
    /// If the folder cannot be written.
    pub fn note(&self, stage: &str, digest: &str, cause: Cause) -> io::Result<()> {
        let (path, new) = (self.note_of(stage), self.dir.join(format!("{stage}.{}.new", std::process::id())));
        fs::create_dir_all(&self.dir)?;
        fs::write(&new, serde_json::to_vec(&(digest, cause))?)?;
        fs::rename(&new, &path)
    }

    /// Why the file of a stage's module became this module, if that was noted. A note is for once: the same module may be
    /// asked for again.
    #[must_use]
    pub fn take_note(&self, stage: &str, digest: &str) -> Option<Cause> {
        let path = self.note_of(stage);
        let (of, cause): (String, Cause) = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        // One that cannot be taken away would be taken again and again.
        (of == digest && fs::remove_file(&path).is_ok()).then_some(cause)
    }

    fn note_of(&self, stage: &str) -> PathBuf {
        self.dir.join(format!("{stage}.json"))
    }

    /// All that are kept, the newest first.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn list(&self) -> io::Result<Vec<KeptModule>> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let is_module = path.extension().is_some_and(|ending| ending == ENDING);
            let Some(digest) = path.file_stem().filter(|_| is_module) else { continue };
            // Another host may have taken it away just now.
            let Ok(about) = fs::metadata(&path) else { continue };
            let kept = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            found.push(KeptModule { digest: digest.to_string_lossy().into_owned(), bytes: about.len(), kept });
        }
        found.sort_by(|a, b| b.kept.cmp(&a.kept).then_with(|| a.digest.cmp(&b.digest)));
        Ok(found)
    }

    fn forget_old(&self) -> io::Result<()> {
        let pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let stays = |old: &KeptModule| pinned.values().flatten().any(|digest| *digest == old.digest);
        for old in self.list()?.iter().skip(MOST).filter(|old| !stays(old)) {
            match fs::remove_file(self.path(&old.digest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_by_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().join("modules"));
        assert!(kept.list().unwrap().is_empty());
        let digest = kept.keep(b"one").unwrap();
        assert_eq!(kept.keep(b"one").unwrap(), digest);
        assert_ne!(kept.keep(b"two").unwrap(), digest);
        assert_eq!(kept.get(&digest).unwrap(), b"one");
        assert_eq!(kept.list().unwrap().len(), 2);
        fs::write(kept.path(&digest), b"eno").unwrap();
        assert_eq!(kept.get(&digest).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(kept.get("none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_note_is_for_one_module_and_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().join("modules"));
        assert_eq!(kept.take_note("s", "a"), None);
        kept.note("s", "a", Cause::Rollback).unwrap();
        let taken =
            [("s", "b"), ("t", "a"), ("s", "a"), ("s", "a")].map(|(stage, digest)| kept.take_note(stage, digest));
        assert_eq!(taken, [None, None, Some(Cause::Rollback), None]);
        assert!(kept.list().unwrap().is_empty());
    }

    #[test]
    fn the_oldest_go_but_for_those_that_run() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(folder.path().to_owned());
        let [first, live] = [b"first".as_slice(), b"live"].map(|bytes| kept.keep(bytes).unwrap());
        for old in [&first, &live] {
            let file = fs::File::options().append(true).open(kept.path(old)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        kept.pin("s", &[&first]);
        kept.pin("s", &[&live]);
        (0..MOST).for_each(|n| drop(kept.keep(n.to_string().as_bytes()).unwrap()));
        assert_eq!(kept.list().unwrap().len(), MOST + 1);
        assert!(kept.get(&first).is_err() && kept.get(&live).is_ok());
    }
}
