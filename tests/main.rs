//! Tests of the whole, in one binary.

mod cassandra;
mod commands;
mod config;
mod conformance;
mod contract;
mod docs;
mod editor_types;
mod faults;
mod hostile;
mod kafka;
mod lone_module;
mod modules;
mod projects;
mod registry;
mod restart;
mod scenarios;
mod services;
mod support;
mod swap;
mod terminal;
mod testing;
mod tidy;
mod watch_source;
