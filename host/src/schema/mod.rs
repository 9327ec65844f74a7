//! Schemas outside of the record path: files, the registry that gives them ids, and the framing that carries the ids.

mod dir;
pub mod framing;
mod registry;

pub use dir::{DirError, SchemaDir};
pub use registry::{Compatibility, FileRegistry, Registry, RegistryError};
