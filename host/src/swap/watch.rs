//! Watching the file of a module.
//!
//! A file is not watched by itself, because it may be replaced by another one: watched are the folders that decide what
//! its path leads to, that is its own, and that of every link on the way (`current -> v2`). The system only wakes the
//! thread up; whether there is something new is told by what the file is now (its number, length and times) and then by
//! its digest. It is also looked at now and then without being told, as no notice comes from other machines or when the
//! system has too many. A file that is being written is left alone until it has been quiet for a moment.
//!
//! One thread per stage, so that a module that takes long to compile does not hold up others.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::notices::{LOOK, Notices, QUIET};
use super::{Cause, Director, Trial, Watch, Workshop};
use crate::module::{THREAD_STACK_BYTES, digest_of};

/// Links on one path, as Linux has it.
const MAX_LINKS: u32 = 40;

/// A module's file, and who is told of what becomes of it.
pub struct Watched {
    /// The stage's director.
    pub director: Arc<Director>,
    /// Where versions are made.
    pub workshop: Workshop,
    /// The file.
    pub path: PathBuf,
    /// The settings of the stage's modules.
    pub settings: Arc<[(String, String)]>,
    /// The digest of a file that is not to be tried, until it changes.
    pub passed_over: Option<String>,
    /// Whether it is the file of a shadow, which never takes the place of the live module by itself.
    pub is_shadow: bool,
}

/// What tells one file from another, or from itself before it was written.
type Looks = Option<(u64, u64, u64, i128, i128)>;

/// Watches until the flag is set, on a thread of its own.
///
/// # Errors
/// If there can be no thread.
pub fn watch(watched: Watched, stop: Arc<AtomicBool>) -> io::Result<JoinHandle<()>> {
    let name = format!("watch {}", watched.director.stage().name);
    // It calls modules.
    std::thread::Builder::new().name(name).stack_size(THREAD_STACK_BYTES).spawn(move || watched.run(&stop))
}

// === impl Watched ===

impl Watched {
    fn run(&self, stop: &AtomicBool) {
        let mut notices = Notices::new(self.director.terms().watch == Watch::Notified, &self.path);
        // Unlike anything, so that a change between the start of the stage and now is seen.
        let mut last: Option<Looks> = None;
        let mut changed = Some(Instant::now());
        let live = || self.director.live().module.digest().to_owned();
        let mut judged = match (&self.passed_over, self.is_shadow) {
            (Some(digest), _) => digest.clone(),
            (None, true) => String::new(),
            (None, false) => live(),
        };
        let mut is_gone = false;
        while !stop.load(Ordering::Relaxed) {
            // From then on the file says no more what is to run.
            if self.director.is_deployed() && !self.is_shadow {
                return;
            }
            let patience = if changed.is_some() { QUIET / 2 } else { notices.look_every() };
            notices.wait(patience, stop);
            notices.follow(folders_of(&self.path));
            let looks = looks(&self.path);
            if last != Some(looks) {
                (last, changed) = (Some(looks), Some(Instant::now()));
                continue;
            }
            if changed.is_none_or(|since| since.elapsed() < QUIET) {
                continue;
            }
            changed = None;
            match std::fs::read(&self.path) {
                // Written again while it was read.
                Ok(_) if self::looks(&self.path) != looks => changed = Some(Instant::now()),
                Ok(bytes) => {
                    is_gone = false;
                    self.consider(&bytes, &mut judged);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if !std::mem::replace(&mut is_gone, true) {
                        self.tell("the module's file is gone, the live one goes on", &error);
                    }
                }
                // A folder of another machine may be back soon.
                Err(error) => {
                    self.tell("the module's file cannot be read, trying again", &error);
                    notices.wait(LOOK, stop);
                    changed = Some(Instant::now());
                }
            }
        }
    }

    /// Has what the file holds tried, unless it was judged before and nobody asks for it again.
    fn consider(&self, bytes: &[u8], judged: &mut String) {
        let digest = digest_of(bytes);
        // Somebody has just asked for it, as whoever deploys does, perhaps again.
        let noted = || self.workshop.kept.as_ref()?.take_note(&self.director.stage().name, &digest);
        let asked = if self.is_shadow { None } else { noted() };
        if digest == *judged && asked.is_none() {
            return;
        }
        judged.clone_from(&digest);
        let is_live = digest == self.director.live().module.digest();
        match (is_live, self.is_shadow) {
            (true, true) => return self.director.withdraw_shadow("its file is the live module"),
            (true, false) => return self.director.withdraw("its file is the live module again"),
            (false, _) => {}
        }
        let (cause, trial) = match self.is_shadow {
            true => (Cause::Shadow, Trial::Endless),
            false => (asked.unwrap_or(Cause::File), Trial::Usual),
        };
        let file = self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        offer(&self.director, &self.workshop, (&self.path, bytes), &self.settings, (&file, cause, trial));
    }

    fn tell(&self, what: &str, error: &io::Error) {
        tracing::warn!(stage = self.director.stage().name, file = %self.path.display(), %error, "{what}");
    }
}

/// Has bytes tried in a stage, or says why not.
pub(super) fn offer(
    director: &Director,
    workshop: &Workshop,
    (path, bytes): (&Path, &[u8]),
    settings: &Arc<[(String, String)]>,
    (file, cause, trial): (&str, Cause, Trial),
) {
    match workshop.prepare(director, path, bytes, settings.clone()) {
        Ok(version) => {
            director.offer(version, cause, trial);
        }
        Err(refusal) => director.refuse(&digest_of(bytes), file, cause, &refusal),
    }
}

/// What the file looks like now.
fn looks(path: &Path) -> Looks {
    let nanos = |seconds: i64, nanos: i64| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    let of = |about: Metadata| {
        let (written, changed) = (nanos(about.mtime(), about.mtime_nsec()), nanos(about.ctime(), about.ctime_nsec()));
        (about.dev(), about.ino(), about.len(), written, changed)
    };
    std::fs::metadata(path).ok().map(of)
}

/// The folders in which a change can lead the path elsewhere: that of the file, and that of each link on the way to it. As
/// far as the path can be followed.
fn folders_of(path: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut at = std::env::current_dir().unwrap_or_default();
    // What is left of the path, the next part last.
    let mut left: Vec<OsString> = parts(path);
    let mut links = 0;
    while let Some(part) = left.pop() {
        let next =
            if part == ".." { at.parent().map_or_else(|| at.clone(), Path::to_path_buf) } else { at.join(&part) };
        match std::fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => {
                links += 1;
                folders.insert(at.clone());
                left.extend(parts(&target));
            }
            _ if left.is_empty() => {
                folders.insert(at.clone());
            }
            // It is to come.
            _ if !next.exists() => {
                folders.insert(at.clone());
                break;
            }
            _ => at = next,
        }
    }
    folders
}

/// The parts of a path, the first one last. An absolute one begins with the root, to which whatever is before it leads.
fn parts(path: &Path) -> Vec<OsString> {
    let part = |component: Component<'_>| match component {
        Component::CurDir => None,
        other => Some(other.as_os_str().to_owned()),
    };
    path.components().rev().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_watched() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("releases/v1/lib")).unwrap();
        fs::create_dir_all(top.join("live")).unwrap();
        symlink("../releases/v1", top.join("live/current")).unwrap();
        symlink("lib/real.wasm", top.join("releases/v1/m.wasm")).unwrap();
        fs::write(top.join("releases/v1/lib/real.wasm"), b"x").unwrap();
        let found = folders_of(&top.join("live/./current/m.wasm"));
        let wanted = ["live", "releases/v1", "releases/v1/lib"].map(|folder| top.join(folder));
        assert_eq!(found, wanted.into());
    }

    #[test]
    fn a_folder_that_is_to_come_is_waited_for() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        assert_eq!(folders_of(&top.join("later/m.wasm")), [top.clone()].into());
        assert_eq!(folders_of(&top.join("m.wasm")), [top.clone()].into());
        symlink("loop", top.join("loop")).unwrap();
        assert!(folders_of(&top.join("loop/m.wasm")).contains(&top));
    }

    #[test]
    fn a_file_is_another_after_it_was_replaced() {
        let top = tempfile::tempdir().unwrap();
        let (file, new) = (top.path().join("m.wasm"), top.path().join("new"));
        assert_eq!(looks(&file), None);
        fs::write(&file, b"one").unwrap();
        let before = looks(&file);
        fs::write(&new, b"two").unwrap();
        fs::rename(&new, &file).unwrap();
        assert_ne!(looks(&file), before);
    }
}
