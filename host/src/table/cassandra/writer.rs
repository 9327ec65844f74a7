//! The way of a worker's rows to their table: a pass sends all that are open, and those that nodes could not take go again.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use rand::RngExt as _;
use scylla::client::session::Session;
use scylla::errors::SchemaAgreementError;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::cluster::{Cluster, runtime, store};
use super::live;
use super::statement::{SharedStatements, Statements};
use super::trouble::{self, Trouble};
use crate::table::{Refused, RowIndex, Rows, TableError, TableSpec, TableWriter, Written};

/// The pauses between passes that had trouble.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// Nodes that take longer to agree are told of.
const SOON: Duration = Duration::from_secs(1);

/// One worker's way to a table.
pub(super) struct Writer {
    cluster: Arc<Cluster>,
    table: Arc<TableSpec>,
    session: Option<Arc<Session>>,
    /// How rows are written. Forgotten when the table may be another.
    statements: Arc<Mutex<Option<SharedStatements>>>,
    current: Option<Current>,
}

/// Rows on their way.
struct Current {
    rows: Arc<Rows>,
    task: JoinHandle<()>,
    state: Arc<State>,
}

/// What the worker and the driver's threads both see.
#[derive(Default)]
struct State {
    seen: Mutex<Seen>,
    done: Condvar,
}

#[derive(Default)]
struct Seen {
    trouble: Option<String>,
    result: Option<Result<Vec<Refused>, TableError>>,
}

/// All that the rows of a write share.
struct Sending {
    cluster: Arc<Cluster>,
    session: Arc<Session>,
    table: Arc<TableSpec>,
    rows: Arc<Rows>,
    statements: Arc<Mutex<Option<SharedStatements>>>,
    state: Arc<State>,
}

/// How long to wait before the next pass: twice as long each time, up to a bound, each a bit shorter by chance, so that
/// hosts do not come back to a cluster all at once.
struct Pauses {
    next: Duration,
}

/// How an attempt at rows ended; what is not in it is written.
#[derive(Default)]
struct Tried {
    /// Rows that may be written later.
    again: Vec<RowIndex>,
    /// Why not now.
    why: Option<String>,
    /// Rows that a node refused.
    refused: Vec<Refused>,
    /// Rows that no node was asked for, as their values do not fit the table.
    unfit: Vec<Refused>,
}

/// Rows that are sent once.
struct Pass {
    session: Arc<Session>,
    statements: SharedStatements,
    rows: Arc<Rows>,
    open: Vec<RowIndex>,
    next: AtomicUsize,
    /// Whether nodes have trouble: the rest is not even sent.
    halted: AtomicBool,
    failed: Mutex<Vec<(RowIndex, Trouble)>>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(cluster: Arc<Cluster>, table: Arc<TableSpec>) -> Self {
        Self { cluster, table, session: None, statements: Arc::default(), current: None }
    }

    fn begin(&mut self, rows: &Arc<Rows>) -> Result<Current, TableError> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.session.insert(self.cluster.session(&self.table.name)?).clone(),
        };
        let runtime = runtime().map_err(|error| store(&self.table.name, error.to_string()))?;
        let state = Arc::new(State::default());
        let sending = Sending {
            cluster: self.cluster.clone(),
            session,
            table: self.table.clone(),
            rows: rows.clone(),
            statements: self.statements.clone(),
            state: state.clone(),
        };
        let task = runtime.spawn(async move {
            let result = sending.run().await;
            sending.state.finish(result);
        });
        Ok(Current { rows: rows.clone(), task, state })
    }
}

impl TableWriter for Writer {
    fn write(&mut self, rows: &Arc<Rows>, patience: Duration) -> Result<Written, TableError> {
        let current = match self.current.take() {
            Some(current) if Arc::ptr_eq(&current.rows, rows) => current,
            // Dropped, it sends no more.
            _ => self.begin(rows)?,
        };
        if let Some(result) = current.state.wait(patience) {
            return Ok(Written::Done(result?));
        }
        if current.task.is_finished() && !current.state.is_finished() {
            return Err(store(&self.table.name, "the driver has ended in the middle of it"));
        }
        let trouble = current.state.trouble();
        self.current = Some(current);
        Ok(Written::Pending(trouble))
    }

    fn forget(&mut self) {
        self.current = None;
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl State ===

impl State {
    /// The result, if it comes in time.
    fn wait(&self, patience: Duration) -> Option<Result<Vec<Refused>, TableError>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.done.wait_timeout_while(seen, patience, |seen| seen.result.is_none());
        let (mut seen, _) = waited.unwrap_or_else(PoisonError::into_inner);
        seen.result.take()
    }

    fn finish(&self, result: Result<Vec<Refused>, TableError>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).result = Some(result);
        self.done.notify_all();
    }

    fn is_finished(&self) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).result.is_some()
    }

    fn trouble(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    fn set_trouble(&self, what: Option<String>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).trouble = what;
    }
}

// === impl Sending ===

impl Sending {
    /// Writes all rows. Ends when each is written or refused, or none can be.
    async fn run(&self) -> Result<Vec<Refused>, TableError> {
        let deletes = (0..self.rows.delete_stamps.len()).map(RowIndex::Delete);
        let mut open: Vec<RowIndex> = deletes.chain((0..self.rows.marks.len()).map(RowIndex::Upsert)).collect();
        let mut refused = Vec::new();
        let mut pauses = Pauses::new();
        while !open.is_empty() {
            let rows = std::mem::take(&mut open);
            let (again, why) = match self.statements().await? {
                Ok(statements) => {
                    let sent = rows.len();
                    let tried = self.attempt(statements, rows).await?;
                    if tried.again.len() < sent {
                        pauses = Pauses::new();
                    }
                    let judged = self.judge(tried).await?;
                    refused.extend(judged.refused);
                    (judged.again, judged.why)
                }
                Err(what) => (rows, Some(what)),
            };
            open = again;
            self.state.set_trouble(why);
            if !open.is_empty() {
                tokio::time::sleep(pauses.next()).await;
            }
        }
        refused.sort_by_key(|refused| match refused.row {
            RowIndex::Delete(index) => (0, index),
            RowIndex::Upsert(index) => (1, index),
        });
        Ok(refused)
    }

    /// The statements, or why they cannot be had at the moment.
    async fn statements(&self) -> Result<Result<SharedStatements, String>, TableError> {
        if let Some(known) = &*self.statements.lock().unwrap_or_else(PoisonError::into_inner)
            && live::writes_as(&self.cluster, &self.session, &self.table, known)
        {
            return Ok(Ok(known.clone()));
        }
        let encoders = match live::inspect(&self.cluster, &self.session, &self.table).await {
            Ok(encoders) => encoders,
            Err(TableError::Store { source, .. }) => return Ok(Err(source.to_string())),
            Err(changed) => return Err(changed),
        };
        let keyspace = &self.cluster.settings.keyspace;
        match Statements::prepare(&self.session, keyspace, &self.table, encoders).await {
            Ok(statements) => {
                let statements = Arc::new(statements);
                *self.statements.lock().unwrap_or_else(PoisonError::into_inner) = Some(statements.clone());
                Ok(Ok(statements))
            }
            Err(error) => match trouble::of_prepare(&error) {
                Trouble::Passing(what) | Trouble::Stale(what) => Ok(Err(what)),
                Trouble::Row(what) | Trouble::Unfit(what) | Trouble::Final(what) => Err(store(&self.table.name, what)),
            },
        }
    }

    fn forget_statements(&self) -> Option<SharedStatements> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sends rows, and sorts what failed by what is to be done about it.
    async fn attempt(&self, statements: SharedStatements, rows: Vec<RowIndex>) -> Result<Tried, TableError> {
        let mut tried = Tried::default();
        for (row, trouble) in self.pass(statements, rows).await? {
            match trouble {
                Trouble::Passing(what) => {
                    tried.why.get_or_insert(what);
                    tried.again.push(row);
                }
                Trouble::Stale(what) => {
                    self.forget_statements();
                    tried.why.get_or_insert(what);
                    tried.again.push(row);
                }
                Trouble::Row(why) => tried.refused.push(Refused { row, why }),
                Trouble::Unfit(why) => tried.unfit.push(Refused { row, why }),
                Trouble::Final(what) => return Err(store(&self.table.name, what)),
            }
        }
        Ok(tried)
    }

    /// Leaves those rows refused that are at fault. It may be a node that has not heard of the table's last change, so what
    /// nodes refused is sent once more when they agree; or a table that is no longer what it was, which is an error. Without
    /// an answer no row is at fault.
    async fn judge(&self, mut tried: Tried) -> Result<Tried, TableError> {
        if tried.refused.is_empty() && tried.unfit.is_empty() {
            return Ok(tried);
        }
        let mut refused = std::mem::take(&mut tried.refused);
        if !refused.is_empty()
            && let Err(error) = self.agreement().await
        {
            tried.put_off(
                &std::mem::take(&mut refused),
                format!("the nodes do not agree on what tables there are: {error}"),
            );
        }
        let known = self.forget_statements();
        let why = match self.statements().await? {
            Ok(now) if known.is_some_and(|known| known.writes_as(&now)) => {
                let rows = refused.iter().map(|refused| refused.row).collect();
                let twice = self.attempt(now, rows).await?;
                tried.again.extend(twice.again);
                tried.why = tried.why.or(twice.why);
                tried.refused = [std::mem::take(&mut tried.unfit), twice.refused, twice.unfit].concat();
                return Ok(tried);
            }
            Ok(_) => "the table has changed".to_owned(),
            Err(what) => what,
        };
        refused.append(&mut tried.unfit);
        tried.put_off(&refused, why);
        Ok(tried)
    }

    /// Waits until all nodes that can be reached know the same tables. One that does not answer may take long.
    async fn agreement(&self) -> Result<(), SchemaAgreementError> {
        let mut agreement = pin!(self.session.await_schema_agreement());
        let agreed = match timeout(SOON, &mut agreement).await {
            Ok(agreed) => agreed,
            Err(_) => {
                self.state.set_trouble(Some("the nodes do not agree yet on what tables there are".to_owned()));
                agreement.await
            }
        };
        agreed.map(drop)
    }

    /// Sends rows, as many at a time as may be in flight. What failed, and why.
    async fn pass(
        &self,
        statements: SharedStatements,
        open: Vec<RowIndex>,
    ) -> Result<Vec<(RowIndex, Trouble)>, TableError> {
        let lanes = self.cluster.settings.max_in_flight.min(open.len());
        let pass = Arc::new(Pass {
            session: self.session.clone(),
            statements,
            rows: self.rows.clone(),
            open,
            next: AtomicUsize::new(0),
            halted: AtomicBool::new(false),
            failed: Mutex::default(),
        });
        let mut running = JoinSet::new();
        for _ in 0..lanes {
            let pass = pass.clone();
            running.spawn(async move { pass.lane().await });
        }
        while let Some(ended) = running.join_next().await {
            // What a lane had that panicked is not written.
            ended.map_err(|error| store(&self.table.name, error.to_string()))?;
        }
        Ok(std::mem::take(&mut *pass.failed.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

// === impl Tried ===

impl Tried {
    fn put_off(&mut self, rows: &[Refused], why: String) {
        self.again.extend(rows.iter().map(|refused| refused.row));
        self.why.get_or_insert(why);
    }
}

// === impl Pauses ===

impl Pauses {
    fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    fn next(&mut self) -> Duration {
        let pause = self.next.mul_f64(rand::rng().random_range(0.5..1.0));
        self.next = (self.next * 2).min(LAST_PAUSE);
        pause
    }
}

// === impl Pass ===

impl Pass {
    /// Sends one row after the other, each when the one before has its answer.
    async fn lane(&self) {
        while let Some(row) = self.open.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let trouble = if self.halted.load(Ordering::Relaxed) {
                Trouble::Passing("nodes have trouble".to_owned())
            } else {
                let bound = self.statements.bind(&self.rows, *row);
                match self.session.execute_unpaged(self.statements.of(*row), bound).await {
                    Ok(_) => continue,
                    Err(error) => trouble::of_row(&error),
                }
            };
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(trouble, Trouble::Passing(_)) {
                self.halted.store(true, Ordering::Relaxed);
            }
            failed.push((*row, trouble));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_not_all_alike() {
        let (mut some, mut others) = (Pauses::new(), Pauses::new());
        let mut longest = FIRST_PAUSE;
        let mut differ = false;
        for _ in 0..20 {
            let (pause, other) = (some.next(), others.next());
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?} of {longest:?}");
            differ |= pause != other;
            longest = (longest * 2).min(LAST_PAUSE);
        }
        assert!(differ && longest == LAST_PAUSE);
    }
}
