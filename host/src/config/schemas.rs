//! `[schemas]`: the folder, and a registry in a file or behind HTTP. What belongs to one of them means nothing to the other.

use std::time::Duration;

use toml::Spanned;

use super::error::Fault;
use super::validate::Check;
use super::{Log, LogKind, RegistryKind, Schemas, raw};
use crate::schema::framing::Form;
use crate::schema::http::{Credentials, Secret, Settings, check_url};

/// An answer of a registry takes milliseconds.
const TIMEOUT_MS: i64 = 5_000;
/// Who waits longer has a registry that is not there.
const MAX_TIMEOUT_MS: i64 = 300_000;

/// Checks the section.
pub(super) fn schemas(raw: raw::Schemas, log: &Log, check: &mut Check<'_, '_>) -> Schemas {
    let dir = check.path(raw.dir.as_ref().map_or("schemas", |dir| dir.get_ref()));
    let compatibility = raw.compatibility.as_ref().map(|c| *c.get_ref()).unwrap_or_default();
    let schema_id = raw.schema_id.as_ref().map(|form| *form.get_ref()).unwrap_or_default();
    let subject = raw.subject;
    let registry = if raw.registry.is_some() {
        RegistryKind::Http(http(raw, check))
    } else {
        file_only(&raw, check);
        RegistryKind::File(match (&raw.ids, &log.kind) {
            (Some(ids), _) => check.path(ids.get_ref()),
            // Beside the log: its records name schemas by these ids, so the two must not be parted.
            (None, LogKind::Embedded { path, .. }) => path.with_extension("schemas.json"),
            (None, LogKind::Kafka(_)) => dir.join("registry.json"),
        })
    };
    Schemas { dir, registry, compatibility, subject, schema_id }
}

/// Refuses what only a registry has.
fn file_only(raw: &raw::Schemas, check: &mut Check<'_, '_>) {
    let why = "it is about a `registry`, and there is none";
    check.meaningless(raw.register.as_ref(), "register", why);
    check.meaningless(raw.username.as_ref(), "username", why);
    check.meaningless(raw.password.as_ref(), "password", why);
    check.meaningless(raw.token.as_ref(), "token", why);
    check.meaningless(raw.ca.as_ref(), "ca", why);
    check.meaningless(raw.timeout_ms.as_ref(), "timeout_ms", why);
    let header = raw.schema_id.as_ref().filter(|form| *form.get_ref() == Form::Header);
    check.meaningless(header, "schema_id", "a header holds the GUID of a schema, which only a `registry` gives");
}

fn http(raw: raw::Schemas, check: &mut Check<'_, '_>) -> Settings {
    check.meaningless(raw.ids.as_ref(), "ids", "`registry` gives the ids");
    let why = "the registry has rules of its own; change them there, for the subject or for all";
    check.meaningless(raw.compatibility.as_ref(), "compatibility", why);
    let timeout_ms = check.range(raw.timeout_ms.as_ref(), TIMEOUT_MS, 1, MAX_TIMEOUT_MS);
    Settings {
        credentials: credentials(&raw, check),
        urls: raw.registry.map(|addresses| urls(addresses, check)).unwrap_or_default(),
        ca: raw.ca.map(|path| check.path(path.get_ref())),
        timeout: Duration::from_millis(timeout_ms.unsigned_abs()),
        register: raw.register.is_some_and(Spanned::into_inner),
    }
}

fn urls(addresses: Spanned<raw::Addresses>, check: &mut Check<'_, '_>) -> Vec<String> {
    let whole = addresses.span();
    let addresses = addresses.into_inner().0;
    if addresses.is_empty() {
        check.fault(&whole, Fault::Missing("an address".to_owned()));
    }
    for address in &addresses {
        if let Err(what) = check_url(address.get_ref()) {
            let place = if address.span().is_empty() { whole.clone() } else { address.span() };
            check.fault(&place, Fault::Address(what));
        }
    }
    addresses.into_iter().map(Spanned::into_inner).collect()
}

fn credentials(raw: &raw::Schemas, check: &mut Check<'_, '_>) -> Option<Credentials> {
    let secret = |text: &Spanned<String>| Secret(text.get_ref().clone());
    match (&raw.username, &raw.password, &raw.token) {
        (None, None, None) => None,
        (None, None, Some(token)) => Some(Credentials::Token(secret(token))),
        (Some(username), Some(password), None) => {
            Some(Credentials::Basic { username: username.get_ref().clone(), password: secret(password) })
        }
        (Some(_), None, None) => missing(raw.username.as_ref(), "password", check),
        (None, Some(_), None) => missing(raw.password.as_ref(), "username", check),
        (_, _, Some(_)) => {
            let why = "`username` and `password` say who asks; leave them or the token away";
            check.meaningless(raw.token.as_ref(), "token", why);
            None
        }
    }
}

fn missing(beside: Option<&Spanned<String>>, key: &str, check: &mut Check<'_, '_>) -> Option<Credentials> {
    check.fault(&beside.map(Spanned::span).unwrap_or_default(), Fault::Missing(key.to_owned()));
    None
}
