//! Typed batches between Avro bytes and the memory of a WebAssembly component.
//!
//! ```text
//! Avro bytes ──Staged::push──> Heap ──Args::lower──> guest memory ──process──> guest memory ──Answered::lift──> Avro
//!              (stage, read)   (heap)   (call)                                              (answer, write)
//! ```
//!
//! [`Signature`] is what a module's function takes and answers, [`Schema`] what the records are; a [`Plan`] is both
//! matched, once, by field names. An [`Exchange`] takes a batch through a call with it. No value of any record is ever a
//! Rust value of its own: bytes go to memory and memory to bytes.

mod answer;
mod call;
mod derive;
mod guest;
mod heap;
mod mismatch;
pub mod names;
mod plan;
mod read;
mod relay;
pub mod resolve;
pub mod schema;
mod shape;
mod signature;
mod stage;
mod walk;
pub mod wire;
mod wire_error;
mod write;

pub use answer::{Answers, Verdict};
pub use call::Entry;
pub use derive::output_schema;
pub use guest::Violation;
pub use mismatch::Mismatch;
pub use plan::{Exchange, Output, Plan};
pub use read::{branch_name, wit_type};
pub use resolve::Resolution;
pub use schema::{Schema, SchemaError};
pub use shape::{Layout, Member, Shape};
pub use signature::{Answer, Function, Input, Signature, SignatureError, Wrap};
pub use stage::About;
pub use wire::{Cursor, WireError};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
