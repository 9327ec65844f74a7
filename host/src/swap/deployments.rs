//! A host's eye on the control topic: what is deployed there is tried by every stage that it is for.
//!
//! One thread per process. What comes is prepared here, while the workers go on, and each worker swaps at a step of its
//! own; what became of it is in the ledger.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::control::{Control, Deployed};
use super::watch::offer;
use super::{Director, Trial, Workshop};
use crate::module::THREAD_STACK_BYTES;

/// How often the topic is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the stop is.
const SLICE: Duration = Duration::from_millis(50);
/// How often the same trouble is told.
const TELL: Duration = Duration::from_secs(60);

/// A stage that modules may be deployed for.
pub struct Deployable {
    /// Its director.
    pub director: Arc<Director>,
    /// Where its versions are made.
    pub workshop: Workshop,
    /// The settings of its modules.
    pub settings: Arc<[(String, String)]>,
}

/// The stages of a process, and where modules for them come from.
pub struct Deployments {
    control: Control,
    stages: Vec<Deployable>,
}

// === impl Deployments ===

impl Deployments {
    /// Goes on from where the topic was read to.
    #[must_use]
    pub fn new(control: Control, stages: Vec<Deployable>) -> Self {
        Self { control, stages }
    }

    /// Looks until the flag is set.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(mut self, stop: Arc<AtomicBool>) -> std::io::Result<JoinHandle<()>> {
        // It calls modules.
        let builder = std::thread::Builder::new().name("deployments".to_owned()).stack_size(THREAD_STACK_BYTES);
        builder.spawn(move || {
            let (mut next, mut told) = (Instant::now(), None);
            while !stop.load(Ordering::Relaxed) {
                if Instant::now() < next {
                    std::thread::sleep(SLICE);
                    continue;
                }
                match self.control.take() {
                    Ok(taken) => taken.iter().for_each(|deployed| self.handle(deployed)),
                    Err(error) if told.is_none_or(|told: Instant| told.elapsed() > TELL) => {
                        told = Some(Instant::now());
                        tracing::warn!(%error, "cannot tell whether a module was deployed, trying again");
                    }
                    Err(_) => {}
                }
                next = Instant::now() + LOOK;
            }
        })
    }

    fn handle(&mut self, deployed: &Deployed) {
        let Deployed { stage, order, bytes } = deployed;
        self.control.forget(deployed);
        let Some(to) = self.stages.iter().find(|known| known.director.stage().name == *stage) else { return };
        to.director.set_deployed();
        tracing::info!(stage, module = super::director::short(&order.module), file = order.file, "deployed");
        if to.director.live().module.digest() == order.module {
            to.director.withdraw("the live module was deployed again");
            return;
        }
        // A shadow that is promoted has had its trial, where it runs. Elsewhere it is tried like any other.
        let (made, how) = ((Path::new(&order.file), &**bytes), (&*order.file, order.cause, Trial::Usual));
        offer(&to.director, &to.workshop, made, &to.settings, how);
    }
}
