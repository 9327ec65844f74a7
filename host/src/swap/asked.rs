//! A question for the state of the live version, which workers answer at a boundary of theirs.

use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;

use super::Director;
use super::state::Inner;

/// The question is open as long as this lives.
pub struct Asked<'a>(&'a Director);

impl Director {
    /// Asks the workers for the state that one of them committed last, to try a module with.
    #[must_use]
    pub fn ask_state(&self) -> Asked<'_> {
        let mut inner = self.lock();
        // Who asks while another does shares the answer, and all are asked anew.
        inner.asks += 1;
        inner.answered.clear();
        self.mention();
        Asked(self)
    }

    pub(super) fn tell_state(&self, worker: u64, state: Option<Bytes>) {
        let mut inner = self.lock();
        if inner.asks > 0 {
            inner.answered.insert(worker);
            inner.sample = state.or(inner.sample.take());
            self.told.notify_all();
        }
    }
}

// === impl Asked ===

impl Asked<'_> {
    /// The state: none if there is none yet, or no worker tells in time.
    #[must_use]
    pub fn wait(self, patience: Duration) -> Option<Bytes> {
        let inner = self.0.lock();
        let waits = |inner: &mut Inner| inner.sample.is_none() && inner.answered.len() < inner.workers.len();
        let told = self.0.told.wait_timeout_while(inner, patience, waits);
        let (inner, _) = told.unwrap_or_else(PoisonError::into_inner);
        inner.sample.clone()
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.asks -= 1;
        if inner.asks == 0 {
            inner.sample = None;
        }
    }
}
