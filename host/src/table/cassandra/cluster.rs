//! The session with a cluster: made when it is first needed, shared by all tables and workers of a host.
//!
//! The driver is asynchronous, and workers are not: it has a few threads of its own, and workers wait for what they have it
//! do.

use std::fs;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use openssl::x509::store::X509StoreBuilder;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::{OpenSsl010Config, Session};
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::refusal::Failed;
use super::{Credentials, Password, Settings, Tls};
use crate::shutdown::Shutdown;
use crate::table::TableError;

/// Threads of the driver. They only move bytes, and share the cores with the workers.
const THREADS: usize = 2;
/// How long to wait between two attempts at a session.
const AGAIN: Duration = Duration::from_millis(500);
/// How long nodes may refuse a host that starts: while they start themselves they may not know yet who it is.
const REFUSED: Duration = Duration::from_secs(10);
/// How often is asked whether to stop while an attempt takes its time.
const LOOK: Duration = Duration::from_millis(100);
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
    /// How long to wait for nodes that are away when the first of them is needed.
    patience: Duration,
    /// Ends that wait.
    stop: Shutdown,
    session: Mutex<Option<Arc<Session>>>,
}

// === impl Cluster ===

impl Cluster {
    pub(super) fn new(settings: Settings, patience: Duration, stop: Shutdown) -> Self {
        Self { settings, patience, stop, session: Mutex::new(None) }
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
        let (mut told, mut refused) = (None::<Instant>, None::<(Instant, String)>);
        loop {
            let error = match runtime.block_on(self.connect()) {
                Ok(session) => {
                    let session = Arc::new(session);
                    *known = Some(session.clone());
                    return Ok(session);
                }
                Err(error) => error,
            };
            let is_over = begin.elapsed() >= self.patience || self.stop.is_requested();
            if is_over || matches!(error, Failed::Settings(_)) {
                return Err(failed(error.to_string()));
            }
            if let Failed::Refused(why) = &error {
                refused.get_or_insert_with(|| (Instant::now(), why.clone()));
            }
            // What comes after it may be its consequence, and says less.
            if let Some((since, why)) = &refused
                && since.elapsed() >= REFUSED
            {
                return Err(failed(why.clone()));
            }
            if told.is_none_or(|told| told.elapsed() > TELL) {
                told = Some(Instant::now());
                tracing::warn!(%error, nodes = self.settings.nodes.join(", "), "waiting for Cassandra");
            }
            self.stop.wait(AGAIN);
        }
    }

    /// One attempt at a session, given up when the host is to stop.
    async fn connect(&self) -> Result<Session, Failed> {
        let mut connecting = std::pin::pin!(connect(&self.settings));
        loop {
            match timeout(LOOK, &mut connecting).await {
                Ok(connected) => return connected,
                Err(_) if self.stop.is_requested() => return Err(Failed::Away("stopped".to_owned())),
                Err(_) => {}
            }
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
    let session = builder.build().await.map_err(|error| Failed::of(&error, settings.tls.is_some()))?;
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
    Err(Failed::Settings(format!("there is no data centre `{wanted}`; it has {}", known.join(", "))))
}

fn context(tls: &Tls) -> Result<OpenSsl010Config, Failed> {
    let (file, folder) = trusted(tls)?;
    let made = || {
        let mut builder = SslConnector::builder(SslMethod::tls())?;
        // Those and no others. The OpenSSL that is built in does not know where a system has its own.
        builder.set_cert_store(X509StoreBuilder::new()?.build());
        builder.load_verify_locations(file.as_deref(), folder.as_deref())?;
        if let Some((certificate, key)) = &tls.identity {
            builder.set_certificate_chain_file(certificate)?;
            builder.set_private_key_file(key, SslFiletype::PEM)?;
        }
        Ok::<_, openssl::error::ErrorStack>(OpenSsl010Config::new(builder))
    };
    made().map_err(|error| Failed::Settings(format!("its certificates cannot be used: {error}")))
}

/// The file and the folder of the certificates that nodes are trusted by.
fn trusted(tls: &Tls) -> Result<(Option<PathBuf>, Option<PathBuf>), Failed> {
    if tls.ca.is_some() {
        return Ok((tls.ca.clone(), None));
    }
    let found = openssl_probe::probe();
    let folder = found.cert_dir.into_iter().next();
    if found.cert_file.is_none() && folder.is_none() {
        let what = "this system has no certificates that nodes could be trusted by; name a file of them as `ca`";
        return Err(Failed::Settings(what.to_owned()));
    }
    Ok((found.cert_file, folder))
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
                    Err(Failed::Settings(format!("its password cannot be read from `{}`: {error}", path.display())))
                }
            },
        }
    }
}
