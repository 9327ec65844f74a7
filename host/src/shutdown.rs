//! How a host is told to stop.
//!
//! The first INT or TERM asks for a drain: workers finish what they have, commit and end. The second one quits at once,
//! which loses nothing either, as the open steps never happened. Workers look at [`Shutdown::flag`] between batches;
//! whoever sleeps does so in [`Shutdown::wait`]. Nothing is ever un-asked.

use std::process::exit;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What a shell reports for a program that INT ended: 128 and the signal's number.
const EXIT_INTERRUPTED: i32 = 130;
/// How long quitting waits for the terminal, which may be the very thing that hangs.
const LEAVE: Duration = Duration::from_millis(200);

/// Whether and when to stop. Clones are the same request.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Request>);

#[derive(Default)]
struct Request {
    /// Also read without the lock, on the path of every batch.
    flag: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    asked: Condvar,
}

type Waker = Box<dyn Fn() + Send>;

impl std::fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Shutdown").field(&self.is_requested()).finish()
    }
}

/// The handler of signals could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for signals: {0}")]
pub struct SignalError(#[from] ctrlc::Error);

// === impl Shutdown ===

impl Shutdown {
    /// Nothing asked yet, and nobody who could.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asked by INT and TERM from now on. Can be done once in a process. Before it quits, it has the terminal left in order.
    ///
    /// # Errors
    /// If it was done before, or the system refuses.
    pub fn on_signals(&self, leave_terminal: fn()) -> Result<(), SignalError> {
        let request = self.clone();
        ctrlc::set_handler(move || {
            if request.is_requested() {
                let (done, left) = channel();
                thread::spawn(move || {
                    leave_terminal();
                    done.send(())
                });
                // Quits either way.
                let _ = left.recv_timeout(LEAVE);
                exit(EXIT_INTERRUPTED);
            }
            tracing::info!("stopping: finishing and committing what is open; once more quits at once");
            request.request();
        })?;
        Ok(())
    }

    /// Asks for a stop, wakes all who wait and calls the wakers.
    pub fn request(&self) {
        let wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.flag.store(true, Ordering::Relaxed);
        self.0.asked.notify_all();
        wakers.iter().for_each(|wake| wake());
    }

    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.flag.load(Ordering::Relaxed)
    }

    /// The request as a plain flag, for loops.
    #[must_use]
    pub fn flag(&self) -> &AtomicBool {
        &self.0.flag
    }

    /// Waits until a stop is asked for, at most so long. True if it was.
    pub fn wait(&self, timeout: Duration) -> bool {
        let wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.asked.wait_timeout_while(wakers, timeout, |_| !self.is_requested());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.is_requested()
    }

    /// Has `wake` called when a stop is asked for; at once if it was. It must not block, nor use this request.
    pub fn on_request(&self, wake: impl Fn() + Send + 'static) {
        let mut wakers = self.0.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_requested() {
            wake();
        }
        wakers.push(Box::new(wake));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_request_wakes_whoever_waits() {
        let shutdown = Shutdown::new();
        let waiting = shutdown.clone();
        let waiter = thread::spawn(move || waiting.wait(LONG));
        shutdown.request();
        assert!(waiter.join().expect("no panic"));
        assert!(shutdown.wait(LONG), "a request stays");
    }

    #[test]
    fn without_a_request_the_wait_ends_in_time() {
        assert!(!Shutdown::new().wait(Duration::from_millis(1)));
    }

    #[test]
    fn wakers_are_called_even_if_they_come_late() {
        let (shutdown, calls) = (Shutdown::new(), Arc::new(AtomicU32::new(0)));
        let count = |calls: &Arc<AtomicU32>| {
            let calls = calls.clone();
            move || {
                calls.fetch_add(1, Ordering::Relaxed);
            }
        };
        shutdown.on_request(count(&calls));
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        shutdown.request();
        shutdown.on_request(count(&calls));
        assert_eq!(calls.load(Ordering::Relaxed), 2);
    }
}
