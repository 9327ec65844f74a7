//! What can be wrong with encoded bytes.

use std::sync::Arc;

/// Bytes that are not what the schema says. Positions are counted from the start of the datum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes stop within a value.
    #[error("the bytes end within a value")]
    Truncated,
    /// A varint of more than 10 bytes, or beyond the type's range.
    #[error("a varint at byte {at} is too long or out of range")]
    Varint {
        /// Where it starts.
        at: usize,
    },
    /// A length or a count below zero, or beyond the bytes that are left.
    #[error("a length of {len} at byte {at} does not fit the bytes")]
    Length {
        /// Where it ends.
        at: usize,
        /// What it says.
        len: i64,
    },
    /// A boolean that is neither 0 nor 1.
    #[error("the boolean at byte {at} is {value}")]
    Boolean {
        /// Where it is.
        at: usize,
        /// What it is.
        value: u8,
    },
    /// The index of a union branch or of an enum symbol that the schema does not have.
    #[error("index {index} before byte {at} is not one of {count}")]
    Index {
        /// Where it ends.
        at: usize,
        /// What it says.
        index: i64,
        /// How many there are.
        count: usize,
    },
    /// A string that is not UTF-8.
    #[error("the string that ends at byte {at} is not UTF-8")]
    Utf8 {
        /// Where it ends.
        at: usize,
    },
    /// A value that is well encoded, but that the reader schema has no place for. The text tells which, and why.
    #[error("{0}")]
    Unreadable(Arc<str>),
    /// Items that take no bytes can be written in any number with a few bytes; each would take memory here.
    #[error("more than {MAX_EMPTY_ITEMS} items of arrays that take no bytes")]
    EmptyItems,
    /// A few bytes that become very many in the reader schema, by defaults or wider numbers.
    #[error("it would be more than {} MiB longer in the reader schema", MAX_GROWTH_BYTES >> 20)]
    Growth,
    /// More text than a batch can hold.
    #[error("the batch has more text than can be handed over at once")]
    Text,
    /// Nested deeper than anything that is not an attack.
    #[error("nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// More bytes than the datum has.
    #[error("{0} bytes are left over after the value")]
    Trailing(usize),
}

/// How deep values may nest where the schema is recursive.
pub const MAX_DEPTH: usize = 128;

/// By how many bytes a datum may become longer when it is brought to another schema.
pub const MAX_GROWTH_BYTES: usize = 64 << 20;

/// How many items without bytes (nulls, empty records) a datum may have where each of them costs something.
pub const MAX_EMPTY_ITEMS: usize = 65_536;
