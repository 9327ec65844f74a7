//! JSON and Avro, by the schema.
//!
//! Two styles. **Plain** is what people and other programs write: union values stand for themselves, bytes are base64,
//! decimals are text. **Avro** is the specification's own ("JSON Encoding"): union values are wrapped in the name of their
//! branch, bytes are text of code points U+0000 to U+00FF. What is written in a style reads back as the same value.
//!
//! Plain values of a union are told apart by their JSON type. Where two branches share one (`int` and `double`, two
//! records), values are wrapped as in the Avro style, and taken either way.

mod read;
#[cfg(test)]
mod tests;
mod time;
mod unions;
mod write;

pub use read::{JsonError, JsonOptions, UnknownFields, encode_json, parse_json};
pub(crate) use write::uuid_text;
pub use write::{write_json, write_value};

/// How values stand in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum JsonStyle {
    /// As people write it.
    #[default]
    Plain,
    /// As the Avro specification has it.
    Avro,
}
