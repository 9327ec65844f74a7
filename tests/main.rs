//! Tests of the whole, in one binary.

mod config;
mod contract;
mod tidy;
