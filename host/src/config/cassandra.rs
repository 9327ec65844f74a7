//! `[cassandra]`: the cluster and keyspace in which tables with `store = "cassandra"` are.

use std::time::Duration;

use toml::Spanned;

use super::error::Fault;
use super::validate::Check;
use super::{names, raw};
use crate::table::cassandra::{Credentials, Password, Replication, Settings, Tls};

/// As many as a connection has numbers for.
const MAX_IN_FLIGHT: i64 = 32_768;
/// Who waits longer has a cluster that is not there.
const MAX_TIMEOUT_MS: i64 = 300_000;
/// More copies nobody keeps.
const MAX_FACTOR: i64 = 100;

/// Checks the section.
pub(super) fn cassandra(raw: Spanned<raw::Cassandra>, check: &mut Check<'_, '_>) -> Settings {
    let raw = raw.into_inner();
    let whole = raw.nodes.span();
    let nodes: Vec<String> =
        raw.nodes.get_ref().0.iter().flat_map(|n| n.get_ref().split(',')).map(|n| n.trim().to_owned()).collect();
    if nodes.is_empty() || nodes.iter().any(String::is_empty) {
        check.fault(&whole, Fault::Missing("an address".to_owned()));
    }
    if !names::is_table(raw.keyspace.get_ref()) {
        check.fault(&raw.keyspace.span(), Fault::Keyspace(raw.keyspace.get_ref().clone()));
    }
    let replication = raw.replication.as_ref().map(|factors| replication(factors, check));
    let timeout_ms = check.range(raw.timeout_ms.as_ref(), 10_000, 1, MAX_TIMEOUT_MS).unsigned_abs();
    let speculative = check.optional_range(raw.speculative_execution_ms.as_ref(), 1, MAX_TIMEOUT_MS);
    Settings {
        replication,
        datacenter: raw.datacenter.as_ref().map(|name| name.get_ref().clone()),
        credentials: credentials(&raw, check),
        tls: tls(&raw, check),
        consistency: raw.consistency,
        max_in_flight: check.range(raw.max_in_flight.as_ref(), 512, 1, MAX_IN_FLIGHT) as usize,
        timeout: Duration::from_millis(timeout_ms),
        speculative: speculative.map(|ms| Duration::from_millis(ms.unsigned_abs())),
        ..Settings::new(nodes, raw.keyspace.get_ref())
    }
}

fn replication(factors: &Spanned<raw::Factors>, check: &mut Check<'_, '_>) -> Replication {
    let place = factors.span();
    let mut factor = |factor: i64| {
        if !(1..=MAX_FACTOR).contains(&factor) {
            check.fault(&place, Fault::Range { value: factor as f64, min: 1.0, max: MAX_FACTOR as f64 });
        }
        factor.clamp(1, MAX_FACTOR) as u32
    };
    match factors.get_ref() {
        raw::Factors::Everywhere(number) => Replication::Everywhere(factor(*number)),
        raw::Factors::In(places) => {
            let places: Vec<_> = places.iter().map(|(place, number)| (place.clone(), factor(*number))).collect();
            if places.is_empty() {
                check.fault(&factors.span(), Fault::Missing("a data centre".to_owned()));
            }
            Replication::In(places)
        }
    }
}

fn credentials(raw: &raw::Cassandra, check: &mut Check<'_, '_>) -> Option<Credentials> {
    let password = match (&raw.password, &raw.password_file) {
        (Some(_), Some(file)) => {
            check.fault(&file.span(), Fault::OneOf("password", "password_file"));
            None
        }
        (Some(text), None) => Some(Password::Text(text.get_ref().clone())),
        (None, Some(file)) => Some(Password::File(check.path(file.get_ref()))),
        (None, None) => None,
    };
    match (&raw.username, password) {
        (Some(username), Some(password)) => Some(Credentials { username: username.get_ref().clone(), password }),
        (Some(username), None) => {
            if raw.password.is_none() {
                check.fault(&username.span(), Fault::Missing("password_file".to_owned()));
            }
            None
        }
        (None, Some(_)) => {
            let place = raw.password.as_ref().or(raw.password_file.as_ref()).map(Spanned::span).unwrap_or_default();
            check.fault(&place, Fault::Missing("username".to_owned()));
            None
        }
        (None, None) => None,
    }
}

fn tls(raw: &raw::Cassandra, check: &mut Check<'_, '_>) -> Option<Tls> {
    let identity = match (&raw.certificate, &raw.key) {
        (Some(certificate), Some(key)) => Some((check.path(certificate.get_ref()), check.path(key.get_ref()))),
        (Some(alone), None) => {
            check.fault(&alone.span(), Fault::Missing("key".to_owned()));
            None
        }
        (None, Some(alone)) => {
            check.fault(&alone.span(), Fault::Missing("certificate".to_owned()));
            None
        }
        (None, None) => None,
    };
    let tls = Tls { ca: raw.ca.as_ref().map(|path| check.path(path.get_ref())), identity };
    let is_implied = tls.ca.is_some() || tls.identity.is_some();
    match raw.tls.as_ref().map(|tls| *tls.get_ref()) {
        Some(false) if is_implied => {
            let why = "connections are not encrypted: `tls` is false";
            check.meaningless(raw.ca.as_ref(), "ca", why);
            check.meaningless(raw.certificate.as_ref(), "certificate", why);
            None
        }
        Some(false) => None,
        Some(true) => Some(tls),
        None => is_implied.then_some(tls),
    }
}
