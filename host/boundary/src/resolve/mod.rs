//! Schema resolution (Avro 1.12 specification, "Schema Resolution"): data of a writer schema as data of a reader schema.
//!
//! Everything is decided when the plan is made: which field comes from where, what is copied, what is a default. A datum
//! is then rewritten from Avro bytes to Avro bytes, and no value is ever built. What a writer *may* write but a reader
//! cannot take (a branch of a union, a symbol of an enum) is an error only when such a value comes.
//!
//! ```text
//! plan      which operation for which pair of types       matching  which types go together
//! apply     the operations on a datum                     skip      walking over values
//!                                                         default   JSON defaults to bytes
//! ```
//!
//! Called by the boundary's plans, by sinks and by everything that shows records.

mod apply;
mod default;
mod matching;
mod plan;
mod skip;
#[cfg(test)]
mod tests;

pub use default::{DefaultError, encode_default};
pub use matching::same_encoding;
pub use plan::ResolveError;
pub(crate) use skip::Leaf;
pub use skip::{Skip, min_size};

use std::sync::Arc;

use crate::schema::Schema;
use crate::wire::WireError;

/// How data of one writer schema become data of one reader schema.
#[derive(Debug)]
pub struct Resolution {
    skips: skip::Table,
    operations: Vec<Operation>,
    root: u32,
}

/// What to do with a value. Operations and entries of the skip table name each other by index.
#[derive(Debug)]
enum Operation {
    /// The bytes stay as they are.
    Copy(u32),
    IntToFloat,
    IntToDouble,
    LongToFloat,
    LongToDouble,
    FloatToDouble,
    BytesToString,
    /// Per symbol the reader's index, or why there is none.
    Enum(Box<[Result<u32, Arc<str>>]>),
    /// The items of an array or a map, which take at least `min` bytes each.
    Items {
        item: u32,
        min: usize,
    },
    /// A key of a map, and the value.
    Pair(u32),
    Record(Box<[Step]>),
    /// The writer has a union: per branch what to do.
    Union(Box<[u32]>),
    /// The reader has a union: the branch, then the value.
    Branch(u32, u32),
    /// The reader cannot take it.
    Unreadable(Arc<str>),
}

/// What to do next in a record. Steps follow the writer's order where the reader's agrees.
#[derive(Debug)]
enum Step {
    /// Values that the reader does not want.
    Skip(u32),
    /// Values that stay as they are.
    Copy(u32),
    /// A value that does not.
    Convert(u32),
    /// Values that the writer does not have.
    Constant(Box<[u8]>),
    /// Note where the next value starts, for a reader that wants it later.
    Mark,
    /// The value at a mark, counted from the record's first.
    Recall { mark: usize, operation: u32 },
}

// === impl Resolution ===

impl Resolution {
    /// Decides how to read what was written with `writer` as `reader`.
    ///
    /// # Errors
    /// If no datum of the writer could be read: the place, both types, and what to do.
    pub fn plan(writer: &Schema, reader: &Schema) -> Result<Self, ResolveError> {
        plan::plan(writer, reader)
    }

    /// Whether each datum of the writer is, byte for byte, the reader's: nothing needs to be applied.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        matches!(self.operations.get(self.root as usize), Some(Operation::Copy(_)))
    }

    /// Why some values of the writer could not be read, if any: the branches and symbols that the reader lacks.
    pub fn gaps(&self) -> impl Iterator<Item = &str> {
        self.operations.iter().flat_map(|operation| {
            let (symbols, own) = match operation {
                Operation::Enum(symbols) => (&**symbols, None),
                Operation::Unreadable(why) => (&[][..], Some(&**why)),
                _ => (&[][..], None),
            };
            own.into_iter().chain(symbols.iter().filter_map(|s| s.as_ref().err().map(|why| &**why)))
        })
    }

    /// Appends the reader's encoding of a writer's datum. All of the datum is checked, also when it only needs copying.
    ///
    /// # Errors
    /// Bytes that are no datum of the writer, and values that the reader schema has no place for; then nothing is appended.
    pub fn apply(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), WireError> {
        apply::apply(self, datum, out)
    }
}
