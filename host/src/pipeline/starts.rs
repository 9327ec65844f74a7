//! What a stage starts with: its file, unless the ledger has a reason to start with the module that was live last.
//!
//! A file that nobody has seen yet is taken as it is; who puts it there before a start wants it. One that did not fit is
//! tried again, as the pipeline may be another now, and if it still does not do, the last live module goes on. One that fits
//! and did not take the state, failed at records, was dropped, or that the host itself went back from, stays passed over until
//! the file changes: without this a restart would undo what a swap back has mended. What was deployed counts as the file.
//!
//! The last live module may have come to this machine or not: it is looked for where modules are kept, in the control topic,
//! and in the stage's file. Called before the pipeline is built.

use crate::config::{Pipeline, Stage, StartWith};
use crate::log::{Log, LogError};
use crate::module::{Module, digest_of};
use crate::swap::{Cause, Control, Entry, Event, Kept, Ledger};

/// Decides for every stage of a pipeline. `control` has read what was deployed, if anything may be.
///
/// # Errors
/// If the ledger cannot be read.
pub fn choose(config: &mut Pipeline, log: &dyn Log, control: Option<&Control>) -> Result<(), LogError> {
    let ledger = Ledger::read(log, &Ledger::topic(&config.name))?;
    let kept = Kept::new(config.modules.clone());
    for stage in &mut config.stages {
        stage.start = start_of(&ledger, &kept, control, stage);
    }
    Ok(())
}

fn start_of(ledger: &Ledger, kept: &Kept, control: Option<&Control>, stage: &Stage) -> Option<StartWith> {
    let live = ledger.live(&stage.name)?;
    // That there is no file is told where it is needed.
    let file = Module::read(&stage.module).ok();
    let file_digest = file.as_deref().map(digest_of);
    let digest = stage.deployed.as_deref().map(digest_of).or_else(|| file_digest.clone())?;
    if digest == live.module {
        return None;
    }
    let of_file = ledger.verdict(&stage.name, &digest)?;
    let is_passed_over = ledger.is_gone_back_from(&stage.name, &digest) || passes_over(live, of_file)?;
    let deployed = || control?.find(&stage.name, &live.module);
    let same = || file.filter(|_| file_digest.as_deref() == Some(&live.module));
    let bytes = kept.get(&live.module).ok().or_else(deployed).or_else(same)?;
    Some(StartWith { bytes: bytes.into(), file: digest, is_passed_over })
}

/// Whether the file is passed over for the live module, or only if it does not do. None if it counts.
fn passes_over(live: &Entry, of_file: &Entry) -> Option<bool> {
    match (of_file.event, live.cause) {
        (Event::Refused, _) => Some(of_file.fails),
        (Event::Dropped, _) => Some(true),
        // The host itself went back from it.
        (Event::Live | Event::Stays, Cause::SwapBack) => Some(true),
        // It was replaced by a file or an order, and somebody has put it back: who deploys, promotes or rolls back
        // replaces the file.
        (Event::Live | Event::Stays | Event::Withdrawn, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_counts_unless_it_was_judged() {
        let entry = |event, cause| Entry::now("s", event, cause, "m", "m.wasm");
        let started = entry(Event::Live, Cause::Start);
        assert_eq!(passes_over(&started, &entry(Event::Live, Cause::File)), None, "put back by hand");
        let refused = entry(Event::Refused, Cause::File);
        assert_eq!(passes_over(&started, &refused), Some(false), "the pipeline may be another now");
        assert_eq!(passes_over(&started, &Entry { fails: true, ..refused }), Some(true));
        assert_eq!(passes_over(&started, &entry(Event::Dropped, Cause::File)), Some(true));
        let rolled_back = entry(Event::Live, Cause::Rollback);
        assert_eq!(passes_over(&rolled_back, &entry(Event::Live, Cause::File)), None, "put there after it");
        let back = entry(Event::Live, Cause::SwapBack);
        assert_eq!(passes_over(&back, &entry(Event::Live, Cause::File)), Some(true));
        assert_eq!(passes_over(&back, &entry(Event::Stays, Cause::SwapBack)), Some(true));
    }
}
