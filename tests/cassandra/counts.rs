//! A table and rows of it, for tests of a writer without a host.

use std::sync::Arc;

use bespoke_record::Span;
use host::table::{Cell, Column, ColumnType, Mark, Rows, TableSpec};

/// The table `counts`: `id` and `count`.
pub fn spec() -> Arc<TableSpec> {
    let column = |name: &str, ty| Column { name: name.to_owned(), ty, nullable: true };
    Arc::new(TableSpec {
        name: "counts".to_owned(),
        columns: vec![column("id", ColumnType::Text), column("count", ColumnType::Long)],
        partition_key: vec![0],
        clustering_key: vec![],
        nulls: Default::default(),
        fine_times: Default::default(),
    })
}

/// The key of a row.
pub fn id(number: usize) -> String {
    format!("r{number}")
}

/// So many rows of which each says `count`, with stamps from one on.
pub fn rows(spec: &Arc<TableSpec>, how_many: usize, count: i64, first_stamp: i64) -> Arc<Rows> {
    let mut rows = Rows::new(spec.clone());
    for (number, stamp) in (0..how_many).zip(first_stamp..) {
        let id = id(number);
        let span = Span { start: rows.arena.len() as u32, len: id.len() as u32 };
        rows.arena.extend_from_slice(id.as_bytes());
        rows.upserts.extend([Cell::Text(span), Cell::Integer(count)]);
        rows.marks.push(Mark { stamp, ttl_s: None });
    }
    Arc::new(rows)
}
