//! Sinks into real Cassandra, judged by what CQL tells.
//!
//! All tests share one node and have a keyspace each. Those that take nodes away have clusters of their own, and take
//! minutes (`outages`).

mod counts;
mod faults;
pub mod keyspace;
mod nodes;
mod order;
mod outages;
mod refused;
mod secured;
mod settings;
mod shop;
mod types;
