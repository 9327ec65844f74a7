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
            Entry::Vacant(place) => Ok(place.insert(made(&self.version, state)?)),
        }
    }

    /// Whether there is an instance for a partition.
    pub fn has(&self, partition: u32) -> bool {
        self.by_slot.contains_key(&slot(&self.version, partition))
    }

    /// The instance for a partition, if there is one.
    pub fn existing(&mut self, partition: u32) -> Option<&mut Instance> {
        self.by_slot.get_mut(&slot(&self.version, partition))
    }

    /// Takes an instance for a partition that has none.
    pub fn put(&mut self, partition: u32, instance: Instance) {
        self.by_slot.insert(slot(&self.version, partition), instance);
    }

    /// Drops the instance for a partition, which has failed.
    pub fn drop_failed(&mut self, partition: u32) {
        self.by_slot.remove(&slot(&self.version, partition));
    }

    /// Drops the instance of a slot.
    pub fn drop_slot(&mut self, slot: u32) {
        self.by_slot.remove(&slot);
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

/// A new instance, with this state.
pub(super) fn made(version: &Version, state: Option<&Bytes>) -> Result<Instance, Fault> {
    let mut instance = Instance::new(&version.module, &version.settings)?;
    if let Some(state) = state {
        instance.restore(state)?;
    }
    Ok(instance)
}

/// Which instance a partition has.
pub(super) fn slot(version: &Version, partition: u32) -> u32 {
    if version.module.is_stateful() { partition } else { SHARED }
}
