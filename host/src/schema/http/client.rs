//! One question to a registry: the address that answered last is asked first, then the others in turn.
//!
//! An address that cannot be reached, takes too long, has an error of its own (5xx) or answers with something that is not
//! JSON is passed over; if no address is left, that is told for each, as [`RegistryError::Unavailable`]. Every question has
//! a time limit, and every answer a limit in bytes. Asking twice does no harm: what registries do is idempotent.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use ureq::Agent;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Request, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::{Credentials, Settings};
use crate::schema::registry::RegistryError;

/// No registry has a schema of this size.
const MAX_ANSWER_BYTES: u64 = 16 << 20;
/// Addresses that a registry may send on to for one question.
const MAX_REDIRECTS: u32 = 4;
/// Characters of a message that somebody else wrote.
const MAX_MESSAGE_CHARS: usize = 500;
/// What registries answer with, and take.
const CONTENT: &str = "application/vnd.schemaregistry.v1+json";

/// Asks a registry.
pub(super) struct Client {
    agent: Agent,
    urls: Vec<String>,
    /// The index of the address that answered last.
    preferred: AtomicUsize,
    authorization: Option<String>,
}

/// An answer of a registry that works.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Null if it is not JSON, which only an error may be.
    pub(super) json: Value,
    /// The address without the path.
    url: String,
}

// === impl Client ===

impl Client {
    pub(super) fn new(settings: &Settings) -> Result<Self, RegistryError> {
        for url in &settings.urls {
            check_url(url).map_err(|what| RegistryError::Settings(what.to_owned()))?;
        }
        let roots = match &settings.ca {
            None => RootCerts::WebPki,
            Some(path) => {
                let wrong =
                    |what: String| RegistryError::Settings(format!("certificates `{}`: {what}", path.display()));
                let pem = std::fs::read(path).map_err(|e| wrong(e.to_string()))?;
                let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(e.to_string()))?;
                let is_certificate = |item| if let PemItem::Certificate(found) = item { Some(found) } else { None };
                let found: Vec<_> = items.into_iter().filter_map(is_certificate).collect();
                if found.is_empty() {
                    return Err(wrong("there is none in the file; it must be PEM".to_owned()));
                }
                RootCerts::Specific(Arc::new(found))
            }
        };
        let config = Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            // Questions are rare: a kept connection would mostly be one that the registry has closed.
            .max_idle_connections(0)
            .user_agent(concat!("bespoke/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let authorization = settings.credentials.as_ref().map(|credentials| match credentials {
            Credentials::Basic { username, password } => {
                format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.0)))
            }
            Credentials::Token(token) => format!("Bearer {}", token.0),
        });
        let urls = settings.urls.iter().map(|url| url.trim_end_matches('/').to_owned()).collect();
        Ok(Self { agent: config.new_agent(), urls, preferred: AtomicUsize::new(0), authorization })
    }

    pub(super) fn get(&self, path: &str) -> Result<Answer, RegistryError> {
        self.ask(path, None)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Answer, RegistryError> {
        self.ask(path, Some(body.to_string()))
    }

    fn ask(&self, path: &str, body: Option<String>) -> Result<Answer, RegistryError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut passed_over = Vec::new();
        for index in (0..self.urls.len()).map(|i| (first + i) % self.urls.len()) {
            let url = &self.urls[index];
            match self.ask_one(url, path, body.as_deref()) {
                Ok(answer) => {
                    if index != first {
                        tracing::info!(url, "the schema registry is asked at another address");
                        self.preferred.store(index, Ordering::Relaxed);
                    }
                    return answer.if_allowed();
                }
                Err(why) => passed_over.push(format!("{url}: {why}")),
            }
        }
        Err(RegistryError::Unavailable(passed_over.join("; ")))
    }

    /// An error is why another address should be asked.
    fn ask_one(&self, url: &str, path: &str, body: Option<&str>) -> Result<Answer, String> {
        let mut request = Request::builder().uri(format!("{url}{path}")).header("accept", CONTENT);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let response = match body {
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.agent.run(request)),
            Some(body) => {
                let request = request.method("POST").header("content-type", CONTENT);
                request.body(body).map_err(ureq::Error::from).and_then(|request| self.agent.run(request))
            }
        };
        let mut response = response.map_err(told)?;
        let status = response.status();
        let text = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(told)?;
        let json = serde_json::from_slice(&text);
        if status.is_success() && json.is_err() {
            return Err("the answer is not JSON, so that is no schema registry, or one that is not well".to_owned());
        }
        let answer = Answer { status: status.as_u16(), json: json.unwrap_or_default(), url: url.to_owned() };
        // Too busy is what 408 and 429 mean.
        if status.is_server_error() || matches!(answer.status, 408 | 429) {
            return Err(format!("status {status}: {}", answer.message()));
        }
        Ok(answer)
    }
}

// === impl Answer ===

impl Answer {
    /// What the registry says, in one line that is not too long.
    pub(super) fn message(&self) -> String {
        let text = self.json.get("message").and_then(Value::as_str).unwrap_or("without a message");
        text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MAX_MESSAGE_CHARS).collect()
    }

    /// Whether there is nothing at the path, or nothing of this method.
    pub(super) fn is_no_path(&self) -> bool {
        let code = self.json.get("error_code").and_then(Value::as_u64).unwrap_or_default();
        self.status == 405 || self.status == 404 && !(40400..40500).contains(&code)
    }

    /// An error if a 404 is about the path as a whole, and not about a subject, version or schema.
    pub(super) fn must_be_of_registry(&self) -> Result<(), RegistryError> {
        if !self.is_no_path() {
            return Ok(());
        }
        Err(self.denied("there is no schema registry; that of Apicurio, for one, is below `/apis/ccompat/v7`"))
    }

    /// An answer that a registry does not give.
    pub(super) fn unexpected(&self, what: &str) -> RegistryError {
        let what = if what.is_empty() { self.message() } else { what.to_owned() };
        self.denied(&format!("an answer that was not expected, with status {}: {what}", self.status))
    }

    fn if_allowed(self) -> Result<Self, RegistryError> {
        match self.status {
            401 | 403 => {
                let how = "check `username` and `password`, or `token`, in [schemas]";
                Err(self.denied(&format!("it does not allow this (status {}: {}); {how}", self.status, self.message())))
            }
            _ => Ok(self),
        }
    }

    fn denied(&self, what: &str) -> RegistryError {
        RegistryError::Denied { url: self.url.clone(), what: what.to_owned() }
    }
}

/// An error in words that say where it comes from.
fn told(error: ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::BodyExceedsLimit(limit) => format!("the answer has more than {limit} bytes"),
        ureq::Error::HostNotFound => "there is no host of this name".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// What is wrong with the address of a registry.
///
/// # Errors
/// In words.
pub fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is not an address; write `http://HOST:PORT`")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err("it is not an address; write `http://HOST:PORT`");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("it has a password in it; write that under `password`, where it is not printed");
    }
    if uri.query().is_some() {
        return Err("it has a query in it; an address ends with its path");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        for good in ["http://localhost:8081", "https://r.example/apis/ccompat/v7/", "http://[::1]:8081"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for (bad, says) in [
            ("localhost:8081", "not an address"),
            ("ftp://localhost", "not an address"),
            ("http://", "not an address"),
            ("http://me:secret@localhost", "password"),
            ("http://localhost/?a=b", "query"),
        ] {
            assert!(check_url(bad).is_err_and(|what| what.contains(says)), "{bad}");
        }
    }
}
