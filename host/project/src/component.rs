//! From core code to a component.

use wit_component::ComponentEncoder;

use super::ProjectError;

/// What code for WASI preview 1 calls, by its name there.
const PREVIEW1: &str = "wasi_snapshot_preview1";

/// Makes the component of core code that says what its world is.
pub(super) fn of(core: &[u8]) -> Result<Vec<u8>, ProjectError> {
    let adapter = wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    let encode = || ComponentEncoder::default().module(core)?.adapter(PREVIEW1, adapter)?.validate(true).encode();
    encode().map_err(ProjectError::Component)
}
