//! Tests of the whole, in one binary.

mod commands;
mod config;
mod contract;
mod docs;
mod kafka;
mod restart;
mod scenarios;
mod support;
mod tidy;
