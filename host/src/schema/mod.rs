//! Schemas outside of the record path: files, the registry that gives them ids, and the framing that carries the ids.

mod compatible;
mod dir;
mod file;
pub mod framing;
pub mod http;
mod inline;
mod registry;
mod subject;

pub use dir::{DirError, SchemaDir};
pub use file::FileRegistry;
pub use http::HttpRegistry;
pub use registry::{Compatibility, Registered, Registry, RegistryError};
pub use subject::SubjectNames;
