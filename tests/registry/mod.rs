//! The schema registry behind HTTP: the client against a real registry, against one that is not well, and the program with
//! both, its records read and written by other people's client.

mod client;
mod faults;
pub mod java;
mod others;
mod program;
mod tls;

use std::time::Duration;

use host::schema::HttpRegistry;
use host::schema::http::Settings;

use crate::support::services;

/// What most tests ask a registry with.
fn settings(urls: &[&str]) -> Settings {
    Settings {
        urls: urls.iter().map(|url| (*url).to_owned()).collect(),
        credentials: None,
        ca: None,
        timeout: Duration::from_secs(20),
        register: true,
    }
}

/// The real registry.
fn real() -> HttpRegistry {
    HttpRegistry::new(&settings(&[services::registry().address()])).expect("sound settings")
}

/// The real registry, without leave to register.
fn read_only() -> HttpRegistry {
    let settings = Settings { register: false, ..settings(&[services::registry().address()]) };
    HttpRegistry::new(&settings).expect("sound settings")
}

/// A record schema; each test has a name of its own, since they share a registry.
fn record(name: &str, fields: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","namespace":"test","fields":[{fields}]}}"#)
}
