//! Feeds: what puts records into a topic from outside.

pub mod generate;
