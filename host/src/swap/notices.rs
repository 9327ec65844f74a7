//! The system's notices of changes in some folders: they only wake up whoever looks at files.
//!
//! No notice comes from other machines, or when the system has too many. So [`Notices::look_every`] says how often to look
//! without being told. Called by what watches modules, and by what watches their sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// So long nothing may have changed before files are read.
pub const QUIET: Duration = Duration::from_millis(100);
/// How often files are looked at without being told.
pub(super) const LOOK: Duration = Duration::from_secs(2);
/// The same where nobody tells.
const POLL: Duration = Duration::from_millis(500);
/// So long after a notice others may come that mean the same.
const GAP: Duration = Duration::from_millis(20);
/// How often the stop is looked at.
const SLICE: Duration = Duration::from_millis(50);

/// Notices of changes in some folders.
pub struct Notices {
    watcher: Option<RecommendedWatcher>,
    comes: Option<Receiver<()>>,
    folders: BTreeSet<PathBuf>,
    look_every: Duration,
}

// === impl Notices ===

impl Notices {
    /// Of no folder yet. Unless it `is_told` there never are any. `what` is named where the system refuses.
    #[must_use]
    pub fn new(is_told: bool, what: &Path) -> Self {
        let mut notices = Self { watcher: None, comes: None, folders: BTreeSet::new(), look_every: POLL };
        if is_told {
            let (tell, comes) = channel();
            // That files are read changes nothing; and whoever fails to tell has something to tell.
            let told = move |event: notify::Result<notify::Event>| {
                if !event.is_ok_and(|event| event.kind.is_access()) {
                    let _ = tell.send(());
                }
            };
            match notify::recommended_watcher(told) {
                Ok(watcher) => {
                    (notices.watcher, notices.comes, notices.look_every) = (Some(watcher), Some(comes), LOOK);
                }
                Err(error) => {
                    tracing::info!(file = %what.display(), %error, "no notices of changes, looking at the file instead");
                }
            }
        }
        notices
    }

    /// How often to look without being told.
    #[must_use]
    pub fn look_every(&self) -> Duration {
        self.look_every
    }

    /// Waits for a notice, but not for long, and not beyond the stop.
    pub fn wait(&self, patience: Duration, stop: &AtomicBool) {
        let until = Instant::now() + patience;
        while !stop.load(Ordering::Relaxed) {
            let left = until.saturating_duration_since(Instant::now()).min(SLICE);
            if left.is_zero() {
                return;
            }
            match self.comes.as_ref().map(|comes| comes.recv_timeout(left)) {
                Some(Ok(())) => {
                    // One look is for all of a burst, also of other files in the folder.
                    std::thread::sleep(GAP);
                    self.comes.iter().flat_map(Receiver::try_iter).for_each(drop);
                    return;
                }
                Some(Err(RecvTimeoutError::Timeout)) => {}
                Some(Err(RecvTimeoutError::Disconnected)) | None => std::thread::sleep(left),
            }
        }
    }

    /// Watches these folders from now on, and no others. Those that are watched are watched anew: one may have been
    /// deleted and made again.
    pub fn follow(&mut self, wanted: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for old in self.folders.difference(&wanted) {
            let _ = watcher.unwatch(old);
        }
        for folder in &wanted {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), %error, "not watched");
            }
        }
        self.folders = wanted;
    }
}
