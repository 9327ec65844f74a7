//! Tests of the whole, in one binary.

mod contract;
mod tidy;
