//! The forms in which records come in and go out besides Avro itself: JSON, CSV, Avro object container files.
//!
//! ```text
//! bytes of a file ── reader ──> lines ──> json / csv ──> Avro datum        datum ── json ──> text
//!                            └> container ─────────────> Avro datum        datum ── container ──> file
//! ```
//!
//! All of it works from Avro bytes and to Avro bytes, by the schema; input may be anything. Called by feeds, by the
//! commands that show records, and by sinks for columns of JSON and decimals.

pub mod container;
mod csv;
pub mod decimal;
pub mod json;
mod lines;
pub mod reader;

pub use container::{ContainerError, ContainerReader, ContainerWriter};
pub use json::{JsonError, JsonOptions, JsonStyle, UnknownFields, encode_json, parse_json, write_json};
pub use reader::{Format, Item, Position, ReadError, ReadOptions, RecordReader, Source};
