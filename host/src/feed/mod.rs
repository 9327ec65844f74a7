//! Feeds: what puts records into a topic from outside.
//!
//! A feed reads a [`Source`] (a file, standard input, the load generator) and writes one topic. Its position in the source
//! is its state in the log, committed with the records: a restart goes on where it stopped, and nothing is read twice. A
//! line that is no record becomes a dead letter, alone.

pub mod generate;
mod source;
mod task;

pub use source::{FeedError, Next, Source};
pub use task::{FeedTask, run_feed};
