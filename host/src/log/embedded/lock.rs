//! One host per log: an exclusive lock on the file `<log>.lock`, which holds the process id of its owner.
//!
//! The operating system gives the lock back when the process ends, however it ends. The file stays: to delete it would
//! let two hosts lock two files of the same name.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::log::LogError;

/// More than any process id is long.
const MAX_PID_BYTES: u64 = 32;

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock of the log at `log`.
    pub(super) fn take(log: &Path) -> Result<Self, LogError> {
        let path = path_of(log);
        let failed =
            |source: std::io::Error| LogError::Store { path: path.display().to_string(), source: Box::new(source) };
        let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(|error| {
            failed(std::io::Error::other(format!("{error}; a log has files beside it, so its folder must be writable")))
        })?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LogError::InUse { path: log.display().to_string(), pid: owner(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        write_owner(&mut file).map_err(failed)?;
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // To close the file is not enough: a process that was just started by another thread has the file open, too,
        // until it is the other program. What fails here is done by the system when the last of them is gone.
        let _ = self.file.unlock();
    }
}

fn path_of(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

fn write_owner(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

/// What the file says, if it is a number: the owner may be about to write it.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(MAX_PID_BYTES).read_to_string(&mut text);
    match read.ok().and_then(|_| text.trim().parse::<u32>().ok()) {
        Some(pid) => pid.to_string(),
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_open_file_does_not_keep_the_lock() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("log.db");
        let lock = Lock::take(&log).expect("free");
        let copy = lock.file.try_clone().expect("a copy, as a new process has it");
        assert!(matches!(Lock::take(&log), Err(LogError::InUse { .. })));
        drop(lock);
        Lock::take(&log).expect("given back");
        drop(copy);
    }
}
