//! Running a pipeline: everything starts, and runs until all is done or someone asks to stop.

use std::sync::Arc;
use std::time::Duration;

use super::build::Built;
use super::crew::Crew;
use super::drain::Drain;
use crate::log::{Log, LogError};
use crate::metrics::Counters;
use crate::shutdown::Shutdown;

/// When a run is over by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never.
    Stopped,
    /// When the feeds are through and every record has reached its end.
    Drained,
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Feeds, stages and sinks that ended before they were told to, with the reason.
    pub failed: Vec<(String, String)>,
    /// What everything counted.
    pub counted: Watched,
}

/// Feeds, stages and sinks with what they count.
pub type Watched = Vec<(String, Arc<Counters>)>;

/// How often a run looks how far everyone is.
const LOOK: Duration = Duration::from_millis(20);

/// Runs until `stop` is set, or until everything is drained. `tick` is called now and then, to show what was counted.
///
/// # Errors
/// If the log refuses a worker from the start.
pub fn run(
    built: Built,
    log: &Arc<dyn Log>,
    commit_interval: Duration,
    until: Until,
    stop: &Shutdown,
    mut tick: impl FnMut(&Watched),
) -> Result<Outcome, LogError> {
    let mut crew = Crew::start(built, log, commit_interval, stop)?;
    let mut drain = Drain::new(log.clone(), crew.take_readers());
    let mut before = None;
    while !stop.is_requested() {
        // Looking costs the log a read: not while records come.
        let now = Some(crew.records_in());
        let is_quiet = std::mem::replace(&mut before, now) == now;
        if until == Until::Drained && is_quiet && crew.is_fed() {
            drain.ask(crew.failed());
        }
        if drain.is_done(LOOK) {
            break;
        }
        if crew.is_gone() {
            stop.request();
        }
        tick(crew.counted());
        std::thread::sleep(LOOK);
    }
    Ok(crew.end())
}
