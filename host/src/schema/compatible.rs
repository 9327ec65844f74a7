//! Whether records of one schema can be read with another: what the resolution of records can do, so that what passes here
//! cannot fail later.

use bespoke_boundary::{Resolution, Schema};

/// Why some records of `writer` cannot be read with `reader`. None if all can.
pub(super) fn unreadable(writer: &Schema, reader: &Schema) -> Option<String> {
    match Resolution::plan(writer, reader) {
        Ok(resolution) => resolution.gaps().next().map(str::to_owned),
        Err(error) => Some(error.to_string()),
    }
}
