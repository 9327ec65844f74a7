//! The running copies of one version in one worker.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use bytes::Bytes;

use super::Version;
use crate::module::{Fault, Instance};

/// The key of the only instance of a module without state.
const SHARED: u32 = u32::MAX;

/// Instances by partition, or one for all if the module keeps no state.
pub(super) struct Instances {
    pub version: Arc<Version>,
    by_slot: HashMap<u32, Instance>,
}

// === impl Instances ===

impl Instances {
    /// None yet.
    pub fn of(version: Arc<Version>) -> Self {
        Self { version, by_slot: HashMap::new() }
    }

    /// The instance for a partition, made anew and given this state if there is none.
    pub fn get(&mut self, partition: u32, state: Option<&Bytes>) -> Result<&mut Instance, Fault> {
        match self.by_slot.entry(slot(&self.version, partition)) {
            Entry::Occupied(found) => Ok(found.into_mut()),
            Entry::Vacant(place) => {
                let mut instance = Instance::new(&self.version.module, &self.version.settings)?;
                if let Some(state) = state {
                    instance.restore(state)?;
                }
                Ok(place.insert(instance))
            }
        }
    }

    /// The instance for a partition, if there is one.
    pub fn existing(&mut self, partition: u32) -> Option<&mut Instance> {
        self.by_slot.get_mut(&slot(&self.version, partition))
    }

    /// Drops the instance for a partition, which has failed.
    pub fn drop_failed(&mut self, partition: u32) {
        self.by_slot.remove(&slot(&self.version, partition));
    }

    /// The partition has another state now, or is gone.
    pub fn forget(&mut self, partition: u32) {
        self.by_slot.remove(&partition);
    }

    /// The states of all partitions are others now.
    pub fn forget_all(&mut self) {
        if self.version.module.is_stateful() {
            self.by_slot.clear();
        }
    }
}

fn slot(version: &Version, partition: u32) -> u32 {
    if version.module.is_stateful() { partition } else { SHARED }
}
