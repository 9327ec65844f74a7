//! A schema registry behind HTTP, as Confluent's: Confluent's own, Apicurio's `ccompat`, Karapace.
//!
//! ```text
//! HttpRegistry   what is asked, and what an answer means
//!   client       one question to whichever address answers: credentials, TLS, time limits
//!   references   a schema and those that it refers to, as one text
//! ```
//!
//! Nothing is registered unless the settings say so, and what is registered was found to be compatible before. Nothing is
//! cached here: who asks keeps what it got. Source: Confluent Platform documentation, "Schema Registry API Reference".

mod client;
mod references;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bespoke_boundary::Schema;
use serde_json::{Value, json};

pub use self::client::check_url;
use self::client::{Answer, Client};
use super::compatible::unreadable;
use super::framing::{Guid, SchemaId, is_id};
use super::registry::{Registered, Registry, RegistryError};

/// Where a registry is, and what may be done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Its addresses, with `http://` or `https://`: the next one is asked when one does not answer.
    pub urls: Vec<String>,
    /// Who asks.
    pub credentials: Option<Credentials>,
    /// A file of certificates (PEM) that are trusted instead of the usual ones.
    pub ca: Option<PathBuf>,
    /// How long one address may take for one answer.
    pub timeout: Duration,
    /// Whether schemas may be registered.
    pub register: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// HTTP basic authentication.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A bearer token.
    Token(Secret),
}

/// Text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

/// The registry.
pub struct HttpRegistry {
    client: Client,
    register: bool,
}

/// More messages of an incompatible schema than anyone reads.
const MAX_MESSAGES: usize = 5;

// === impl Secret ===

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

// === impl HttpRegistry ===

impl HttpRegistry {
    /// A registry that was not asked anything yet: it need not be there.
    ///
    /// # Errors
    /// [`RegistryError::Settings`].
    pub fn new(settings: &Settings) -> Result<Self, RegistryError> {
        Ok(Self { client: Client::new(settings)?, register: settings.register })
    }

    /// The schema in its subject, if it is there: as it is written, or as the newest version with all that it refers to.
    fn look_up(&self, subject: &str, schema: &str) -> Result<Option<Registered>, RegistryError> {
        let answer = self.client.post(&format!("/subjects/{}", segment(subject)), &json!({ "schema": schema }))?;
        match answer.status {
            200 => return registered(&answer).map(Some),
            404 => answer.must_be_of_registry()?,
            _ => return Err(refused(&answer, subject)),
        }
        let Some((registered, text)) = self.latest(subject)? else { return Ok(None) };
        let same = match (serde_json::from_str::<Value>(&text), serde_json::from_str::<Value>(schema)) {
            (Ok(latest), Ok(wanted)) => latest == wanted,
            _ => false,
        };
        Ok(same.then_some(registered))
    }

    /// Whether a schema may follow the versions of its subject, by the rules of the registry.
    fn must_be_compatible(&self, subject: &str, schema: &str) -> Result<(), RegistryError> {
        let ask = |versions: &str| {
            let path = format!("/compatibility/subjects/{}/{versions}?verbose=true", segment(subject));
            self.client.post(&path, &json!({ "schema": schema }))
        };
        let answer = if self.is_transitive(subject)? {
            let answer = ask("versions")?;
            // Not all registries can be asked about all versions at once.
            if answer.is_no_path() { ask("versions/latest")? } else { answer }
        } else {
            ask("versions/latest")?
        };
        match (answer.status, answer.json.get("is_compatible").and_then(Value::as_bool)) {
            (200, Some(true)) => Ok(()),
            (200, Some(false)) => {
                let messages = answer.json.get("messages").and_then(Value::as_array).into_iter().flatten();
                let messages: Vec<&str> = messages.filter_map(Value::as_str).take(MAX_MESSAGES).collect();
                let why = if messages.is_empty() { self.why(subject, schema)? } else { messages.join("; ") };
                Err(RegistryError::Refused { subject: subject.to_owned(), why })
            }
            (200, None) => Err(answer.unexpected("it does not say whether the schema is compatible")),
            // A subject without versions takes anything.
            (404, _) => answer.must_be_of_registry(),
            _ => Err(refused(&answer, subject)),
        }
    }

    /// Whether a new version of a subject is held to all versions before it, and not to the newest one alone.
    fn is_transitive(&self, subject: &str) -> Result<bool, RegistryError> {
        for path in [&format!("/config/{}?defaultToGlobal=true", segment(subject)), "/config"] {
            let level = match self.client.get(path) {
                // Rules may be nobody's to read; registering is held to them all the same.
                Err(RegistryError::Denied { .. }) => return Ok(false),
                told => told?,
            };
            let level = ["compatibilityLevel", "compatibility"].into_iter().find_map(|name| level.json.get(name));
            if let Some(level) = level.and_then(Value::as_str) {
                return Ok(level.ends_with("_TRANSITIVE"));
            }
        }
        Ok(false)
    }

    /// What may be wrong with a schema, where the registry does not say.
    fn why(&self, subject: &str, schema: &str) -> Result<String, RegistryError> {
        let parse = |json: &str| Schema::parse(json).map_err(|e| RegistryError::Schema(e.to_string()));
        let Some((Registered { id, .. }, latest)) = self.latest(subject)? else {
            return Ok("it says no more".to_owned());
        };
        let (old, new) = (parse(&latest)?, parse(schema)?);
        let backward =
            unreadable(&old, &new).map(|why| format!("records of schema {id} cannot be read with it: {why}"));
        let forward =
            || unreadable(&new, &old).map(|why| format!("its records cannot be read with schema {id}: {why}"));
        Ok(backward.or_else(forward).unwrap_or_else(|| "it says no more".to_owned()))
    }

    fn not_registered(&self, subject: &str) -> Result<RegistryError, RegistryError> {
        let has = match self.latest(subject)? {
            Some((registered, _)) => format!("has other schemas, the newest with id {}", registered.id),
            None => "has no schemas".to_owned(),
        };
        Ok(RegistryError::NotRegistered { subject: subject.to_owned(), has })
    }

    /// The schema of an answer, if it is there.
    fn schema(&self, answer: &Answer, what: &str) -> Result<Option<String>, RegistryError> {
        match answer.status {
            200 => references::whole(&self.client, answer, what).map(Some),
            404 => answer.must_be_of_registry().map(|()| None),
            _ => Err(answer.unexpected("")),
        }
    }
}

impl Registry for HttpRegistry {
    fn register(&self, subject: &str, schema: &str) -> Result<Registered, RegistryError> {
        if let Some(known) = self.check(subject, schema)? {
            return Ok(known);
        }
        let path = format!("/subjects/{}/versions", segment(subject));
        let answer = self.client.post(&path, &json!({ "schema": schema }))?;
        if answer.status != 200 {
            return Err(refused(&answer, subject));
        }
        let registered = registered(&answer)?;
        tracing::info!(subject, id = registered.id, "registered a schema");
        Ok(registered)
    }

    fn check(&self, subject: &str, schema: &str) -> Result<Option<Registered>, RegistryError> {
        if let Some(known) = self.look_up(subject, schema)? {
            return Ok(Some(known));
        }
        // Also said to whoever registers the schema by hand.
        self.must_be_compatible(subject, schema)?;
        if self.register { Ok(None) } else { Err(self.not_registered(subject)?) }
    }

    fn by_id(&self, id: SchemaId) -> Result<Option<String>, RegistryError> {
        let answer = match id {
            // To some registries the path of a number that is no id is no path at all.
            SchemaId::Id(id) if !is_id(id) => return Ok(None),
            SchemaId::Id(id) => self.client.get(&format!("/schemas/ids/{id}"))?,
            SchemaId::Guid(guid) => {
                let answer = self.client.get(&format!("/schemas/guids/{guid}"))?;
                if answer.status == 404 && answer.must_be_of_registry().is_err() {
                    let what = format!("no schema can be found by the GUID {guid}: the registry does not offer that");
                    return Err(RegistryError::Schema(what));
                }
                answer
            }
        };
        self.schema(&answer, &format!("schema {id}"))
    }

    fn latest(&self, subject: &str) -> Result<Option<(Registered, String)>, RegistryError> {
        let answer = self.client.get(&format!("/subjects/{}/versions/latest", segment(subject)))?;
        let schema = self.schema(&answer, &format!("the newest version of subject `{subject}`"))?;
        schema.map(|schema| Ok((registered(&answer)?, schema))).transpose()
    }
}

fn registered(answer: &Answer) -> Result<Registered, RegistryError> {
    let id = answer.json.get("id").and_then(Value::as_u64).and_then(|id| u32::try_from(id).ok());
    let guid = answer.json.get("guid").and_then(Value::as_str).and_then(Guid::parse);
    let id = id.ok_or_else(|| answer.unexpected("it has no id"))?;
    Ok(Registered { id, guid })
}

/// What an answer means that is neither a schema nor its absence.
fn refused(answer: &Answer, subject: &str) -> RegistryError {
    match answer.status {
        409 => RegistryError::Refused { subject: subject.to_owned(), why: answer.message() },
        422 => RegistryError::Schema(format!("the registry does not take the schema: {}", answer.message())),
        _ => answer.unexpected(""),
    }
}

/// A segment of a path: what has a meaning in paths is escaped (RFC 3986, section 2.3).
fn segment(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_of_any_name_are_one_segment() {
        assert_eq!(segment("bespoke.avro.product-value"), "bespoke.avro.product-value");
        assert_eq!(segment("a/b?c d%é"), "a%2Fb%3Fc%20d%25%C3%A9");
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = Credentials::Token(Secret("hunter2".to_owned()));
        assert!(!format!("{token:?}").contains("hunter2"));
    }
}
