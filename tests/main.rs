//! Tests of the whole, in one binary.

mod config;
mod contract;
mod restart;
mod scenarios;
mod support;
mod tidy;
