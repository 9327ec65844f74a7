//! The session with a cluster: made when it is first needed, shared by all tables and workers of a host.
//!
//! The driver is asynchronous, and workers are not: it has a few threads of its own, and workers wait for what they have it
//! do.

use std::fs;
use std::future::Future;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::{OpenSsl010Config, Session};
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use tokio::runtime::{Builder, Runtime};

use super::trouble::is_hopeless;
use super::{Credentials, Password, Settings, Tls};
use crate::table::TableError;

/// Threads of the driver. They only move bytes, and share the cores with the workers.
const THREADS: usize = 2;
/// How long to wait between two attempts at a session.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the same trouble is told.
const TELL: Duration = Duration::from_secs(10);
/// Other nodes that a statement may be sent to that has no answer.
const MAX_SPECULATIVE: usize = 1;

/// The driver's threads, one set for the process.
static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(THREADS).thread_name("cassandra").enable_all().build());

/// A cluster that is connected to when it is needed.
pub(super) struct Cluster {
    pub(super) settings: Settings,
    session: Mutex<Option<Arc<Session>>>,
}

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// It never will be.
    #[error("{0}")]
    Hopeless(String),
    /// It may be, later.
    #[error("{0}")]
    Away(String),
}

// === impl Cluster ===

impl Cluster {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, session: Mutex::new(None) }
    }

    /// The session, for `table`. Nodes that are away are waited for.
    pub(super) fn session(&self, table: &str) -> Result<Arc<Session>, TableError> {
        // One thread connects, and the others wait for it.
        let mut known = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &*known {
            return Ok(session.clone());
        }
        let failed = |what: String| TableError::Connect {
            table: table.to_owned(),
            place: format!("Cassandra at {}", self.settings.nodes.join(", ")),
            what,
        };
        let runtime = runtime().map_err(|error| failed(error.to_string()))?;
        let begin = Instant::now();
        let mut told = None;
        loop {
            let error = match runtime.block_on(connect(&self.settings)) {
                Ok(session) => {
                    let session = Arc::new(session);
                    *known = Some(session.clone());
                    return Ok(session);
                }
                Err(error) => error,
            };
            if matches!(error, Failed::Hopeless(_)) || begin.elapsed() > self.settings.patience {
                return Err(failed(error.to_string()));
            }
            if told.is_none_or(|told: Instant| told.elapsed() > TELL) {
                told = Some(Instant::now());
                tracing::warn!(%error, nodes = self.settings.nodes.join(", "), "waiting for Cassandra");
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// Has something done and waits for it.
    pub(super) fn wait<T>(&self, table: &str, work: impl Future<Output = T>) -> Result<T, TableError> {
        let runtime = runtime().map_err(|error| store(table, error.to_string()))?;
        Ok(runtime.block_on(work))
    }
}

/// The driver's threads.
pub(super) fn runtime() -> Result<&'static Runtime, &'static io::Error> {
    RUNTIME.as_ref()
}

/// The store said this about a table.
pub(super) fn store(table: &str, what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TableError {
    TableError::Store { table: table.to_owned(), source: what.into() }
}

async fn connect(settings: &Settings) -> Result<Session, Failed> {
    let mut policy = DefaultPolicy::builder().token_aware(true);
    if let Some(datacenter) = &settings.datacenter {
        policy = policy.prefer_datacenter(datacenter.clone());
    }
    let mut profile = ExecutionProfile::builder()
        .consistency(settings.consistency.into())
        .request_timeout(Some(settings.timeout))
        .load_balancing_policy(policy.build());
    if let Some(retry_interval) = settings.speculative {
        let speculative = SimpleSpeculativeExecutionPolicy { max_retry_count: MAX_SPECULATIVE, retry_interval };
        profile = profile.speculative_execution_policy(Some(Arc::new(speculative)));
    }
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.nodes)
        .connection_timeout(settings.timeout)
        // Names in other keyspaces are nothing to this, and may be many.
        .keyspaces_to_fetch([settings.keyspace.clone()])
        .default_execution_profile_handle(profile.build().into_handle());
    if let Some(Credentials { username, password }) = &settings.credentials {
        builder = builder.user(username, password.text()?);
    }
    if let Some(tls) = &settings.tls {
        builder = builder.tls_context(Some(context(tls)?));
    }
    let session = builder.build().await.map_err(|error| {
        let what = error.to_string();
        if is_hopeless(&error) { Failed::Hopeless(what) } else { Failed::Away(what) }
    })?;
    check_datacenter(&session, settings)?;
    Ok(session)
}

/// No node is asked in a data centre that does not exist.
fn check_datacenter(session: &Session, settings: &Settings) -> Result<(), Failed> {
    let Some(wanted) = &settings.datacenter else { return Ok(()) };
    let state = session.get_cluster_state();
    let known: std::collections::BTreeSet<&str> =
        state.get_nodes_info().iter().filter_map(|node| node.datacenter.as_deref()).collect();
    if known.contains(wanted.as_str()) {
        return Ok(());
    }
    let known: Vec<&str> = known.into_iter().collect();
    Err(Failed::Hopeless(format!("there is no data centre `{wanted}`; it has {}", known.join(", "))))
}

fn context(tls: &Tls) -> Result<OpenSsl010Config, Failed> {
    let made = || {
        let mut builder = SslConnector::builder(SslMethod::tls())?;
        if let Some(ca) = &tls.ca {
            builder.set_ca_file(ca)?;
        }
        if let Some((certificate, key)) = &tls.identity {
            builder.set_certificate_chain_file(certificate)?;
            builder.set_private_key_file(key, SslFiletype::PEM)?;
        }
        Ok::<_, openssl::error::ErrorStack>(OpenSsl010Config::new(builder))
    };
    made().map_err(|error| Failed::Hopeless(format!("its certificates cannot be used: {error}")))
}

// === impl Password ===

impl Password {
    fn text(&self) -> Result<String, Failed> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::File(path) => match fs::read_to_string(path) {
                // As editors leave it.
                Ok(text) => Ok(text.trim_end_matches(['\n', '\r']).to_owned()),
                Err(error) => {
                    Err(Failed::Hopeless(format!("its password cannot be read from `{}`: {error}", path.display())))
                }
            },
        }
    }
}
