//! Runs a case: the stage's own worker and loop, from the first record to the last, in virtual time.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Result;

use super::case::Case;
use super::session::{CaseSession, Outcome};
use crate::command::alone::{self, OneSchema};
use crate::metrics::Counters;
use crate::module::{Module, VirtualTime};
use crate::stage::{Stage, StageTask, Version, Writers};
use crate::swap::{Director, Terms};
use crate::worker::{Pace, Stop};

/// A step ends with the life of the module, and never by time: when a state is taken is the same on every run.
const PACE: Pace = Pace { batch_records: usize::MAX, commit_interval: Duration::MAX };

/// Runs a case, on a thread with a stack for modules.
///
/// # Errors
/// If the module does not fit the schemas of the case.
pub(super) fn run(module: &Module, case: &Case, time: &VirtualTime) -> Result<(Outcome, Arc<Stage>)> {
    let module = Arc::new(module.limited(case.limits));
    let mut stage = alone::stage(&module, &case.topic, &case.schema, &case.outputs)?;
    // A case may have nothing else than dead letters.
    stage.max_dead_letters_in_a_row = u64::MAX;
    let stage = Arc::new(stage);
    let name = module.name().to_owned();
    let version = Arc::new(Version::compile(&stage, 1, module, case.settings.as_slice().into())?);
    let mut outcome = Outcome { states: case.states.clone(), ..Outcome::default() };
    time.begin(case.start_ms, case.seed);
    for calls in &case.lives {
        let writers = Writers::new(Arc::new(OneSchema(case.schema.clone())), case.schema.clone());
        let counters = Arc::new(Counters::default());
        let director = Director::new(stage.clone(), version.clone(), Terms::default(), counters.clone());
        let mut task = StageTask::new(&director, writers, counters.clone());
        let is_over = AtomicBool::new(false);
        let mut session = CaseSession::new(case, &stage.outputs, calls, time, &is_over, &mut outcome);
        match crate::worker::run(&mut session, &mut task, PACE, &is_over, &counters) {
            Ok(()) => {}
            Err(stop @ (Stop::Module(_) | Stop::Policy(_))) => {
                outcome.stopped = Some(without_name(&stop.to_string(), &name));
                break;
            }
            Err(other) => return Err(other.into()),
        }
    }
    outcome.letters.sort_by_key(|letter| letter.index);
    Ok((outcome, stage))
}

/// What is said must be the same of a module of another name.
fn without_name(why: &str, module: &str) -> String {
    let name = format!("module `{module}`: ");
    why.strip_prefix(&name).unwrap_or(why).to_owned()
}
