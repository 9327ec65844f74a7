//! Tests of the whole, in one binary.

mod commands;
mod config;
mod contract;
mod docs;
mod faults;
mod restart;
mod scenarios;
mod support;
mod tidy;
