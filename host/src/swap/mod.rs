//! The change of a stage's module while the stream flows.
//!
//! ```text
//! file ──watch──> prepare ──offer──> Director ──orders──> workers, each between two of its steps
//!                 compile, types,       │   <──reports──  join, follow, switch
//!                 dry call              └──notes──> ledger: the topic `<pipeline>.modules`
//! ```
//!
//! A [`Director`] per stage decides, and a worker does what it is told between two steps, when nothing is open: it gives
//! the candidate the state of its last commit (**joins** the trial), has it handle what the live version handled and throws
//! the answers away (**follows**), and puts it in the place of the live one (**switches**). Workers look at the director
//! by one relaxed load; there is no lock on the path of a record.
//!
//! Why nothing is lost, doubled or reordered: a step is of one version, because a worker switches where no step is open.
//! The first step of a version in a partition carries an [`Entry`] with the offset from which it has the partition, and,
//! if it was switched to, the state as it keeps it: both happen with the step or not at all. A step that is thrown away
//! takes the entry with it, and the next one has it again.
//!
//! How it is used by others:
//!
//! - [`Director::offer`] has a prepared [`crate::stage::Version`] tried as [`Trial`] says, [`Director::promote`] ends a
//!   trial without an end, [`Director::withdraw`] stops one, and [`Director::status`] tells how things are.
//! - [`Workshop::prepare`] makes versions from bytes, keeps them in [`Kept`] by digest, and refuses what does not fit.
//! - [`Ledger`] reads what was written down: the history of a stage, who had which offset, what it should start with.
//!
//! Nothing here touches a record. The workers' part is `stage::change` and `stage::candidate`.

mod asked;
mod compare;
mod control;
mod deployments;
mod differences;
mod director;
mod kept;
mod ledger;
mod notices;
mod offline;
mod post;
mod prepare;
mod report;
mod state;
mod tally;
mod watch;

use std::time::Duration;

pub use asked::Asked;
pub use compare::{Answered, Comparer, Given};
pub use control::{Control, Deployed, Order};
pub use deployments::{Deployable, Deployments};
pub use differences::{Differences, Example, Output};
pub use director::{Director, Trial};
pub use kept::{Kept, KeptModule};
pub use ledger::{Cause, Entry, Event, Ledger};
pub use notices::{Notices, QUIET};
pub use offline::{Comparison, Offline};
pub use post::{Orders, Post};
pub use prepare::{Refusal, Source, Workshop};
pub use report::{Other, PhaseName, Report, Reporter, SILENT_MS};
pub use state::{Phase, Status};
pub use tally::{Budget, Same, Side, Tally};
pub use watch::{Watched, watch};

/// How a stage changes its module.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How the module's file is watched.
    pub watch: Watch,
    /// After so many batches, over all workers, a trial has passed. 0 swaps at once.
    pub trial_batches: u64,
    /// After this time a trial has passed with what it has seen.
    pub trial_time: Duration,
    /// For so long after a swap the version before it comes back if the new one goes wrong. Zero: it does not.
    pub guard_time: Duration,
    /// What a version may do worse than the one before it.
    pub budget: Budget,
}

/// How the file of a module is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// The system tells of changes.
    #[default]
    Notified,
    /// It is looked at again and again: for folders of other machines.
    Poll,
    /// It is not.
    Off,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            watch: Watch::Notified,
            trial_batches: 16,
            trial_time: Duration::from_secs(2),
            guard_time: Duration::from_secs(30),
            budget: Budget::default(),
        }
    }
}
