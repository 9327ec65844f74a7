//! A producer whose delivery reports are served by the calls of the thread that uses it, so that nothing else has to poll
//! while a transaction ends.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_void};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use rdkafka::error::KafkaError;

use super::super::context;
use super::lent::{Lent, Place};
use super::sending::SendError;
use super::{describe, text};

/// A producer. Used by one thread at a time.
pub(in crate::log::kafka) struct Producer {
    client: NonNull<sys::rd_kafka_t>,
    topics: HashMap<String, TopicHandle>,
    // Boxed, because the client has its address. Dropped after the client, which is destroyed in `drop`.
    reports: Box<Reports>,
}

/// A topic of a producer, and good as long as that.
#[derive(Clone, Copy)]
pub(in crate::log::kafka) struct TopicHandle(NonNull<sys::rd_kafka_topic_t>);

/// What delivery reports have told, and what they give back. Used by the thread that uses the producer.
#[derive(Default)]
struct Reports {
    first_failure: RefCell<Option<String>>,
    lent: RefCell<Lent>,
}

/// Why a call of a transaction failed.
#[derive(Debug)]
pub(in crate::log::kafka) struct TxnError {
    what: String,
    /// The same call may be tried again.
    pub retriable: bool,
    /// The transaction must be aborted, and then another may begin.
    pub requires_abort: bool,
}

// SAFETY: librdkafka's clients and topics may be used by any thread. Reports are served, and what they tell is read, within
// calls on a reference to the producer, which is not `Sync`: by one thread at a time.
unsafe impl Send for Producer {}

/// How long the client is told to send what it has.
const PUSH: Duration = Duration::from_millis(1);
/// How long nothing may be delivered before it is told so again.
const PATIENCE: Duration = Duration::from_millis(5);

// === impl Producer ===

impl Producer {
    /// A producer. Nothing is sent yet.
    pub(in crate::log::kafka) fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        let native = config.create_native_config()?;
        let reports = Box::<Reports>::default();
        let mut why = [0 as c_char; 512];
        // SAFETY: the configuration is alive, and belongs to the client if one comes back. The callbacks have the
        // signatures that they are declared with; what they are given a pointer to is in a box that outlives the client.
        let client = unsafe {
            sys::rd_kafka_conf_set_opaque(native.ptr(), ptr::from_ref::<Reports>(&reports).cast_mut().cast());
            sys::rd_kafka_conf_set_dr_msg_cb(native.ptr(), Some(on_report));
            sys::rd_kafka_conf_set_log_cb(native.ptr(), Some(on_log));
            sys::rd_kafka_conf_set_error_cb(native.ptr(), Some(on_error));
            let kind = sys::rd_kafka_type_t::RD_KAFKA_PRODUCER;
            sys::rd_kafka_new(kind, native.ptr(), why.as_mut_ptr(), why.len())
        };
        let Some(client) = NonNull::new(client) else {
            // SAFETY: it was filled with text that ends with a zero.
            return Err(KafkaError::ClientCreation(unsafe { text(why.as_ptr()) }));
        };
        let _belongs_to_the_client = ManuallyDrop::new(native);
        Ok(Self { client, topics: HashMap::new(), reports })
    }

    pub(super) fn client(&self) -> *mut sys::rd_kafka_t {
        self.client.as_ptr()
    }

    /// What librdkafka reads until reports give it back.
    pub(super) fn lent(&self) -> RefMut<'_, Lent> {
        self.reports.lent.borrow_mut()
    }

    /// Serves delivery reports, and waits for the first for at most `timeout`.
    pub(in crate::log::kafka) fn poll(&self, timeout: Duration) {
        // SAFETY: the client is alive. Callbacks run within this call.
        unsafe { sys::rd_kafka_poll(self.client.as_ptr(), millis(timeout)) };
    }

    /// Waits until all is delivered or has failed. False if the time was too short.
    ///
    /// Not by one `rd_kafka_flush`: during that the broker's thread never sleeps while a request is on its way, as it takes
    /// every record that waits behind it for overdue. So the client is told to send what it has, again and again for a
    /// moment: at first, and whenever a request may have made way for what waits behind it.
    pub(in crate::log::kafka) fn settled(&self, timeout: Duration) -> bool {
        let begin = Instant::now();
        while self.undelivered() > 0 {
            if begin.elapsed() >= timeout {
                return false;
            }
            self.push();
            self.progressed();
        }
        true
    }

    /// Waits until there is room, or for a moment.
    pub(in crate::log::kafka) fn relieved(&self) {
        // Full of records that are not yet enough for a batch of their partition.
        if !self.progressed() {
            self.push();
        }
    }

    /// How many records have no report yet, or one that was not served.
    fn undelivered(&self) -> i32 {
        // SAFETY: the client is alive.
        unsafe { sys::rd_kafka_outq_len(self.client.as_ptr()) }
    }

    /// Has all sent that can be, whether it fills a batch or not.
    fn push(&self) {
        // SAFETY: the client is alive. Callbacks run within this call. That not all is delivered in time is expected.
        unsafe { sys::rd_kafka_flush(self.client.as_ptr(), millis(PUSH)) };
    }

    /// Waits until something is delivered or has failed, for as long as patience lasts. False if nothing was.
    fn progressed(&self) -> bool {
        let before = self.undelivered();
        if before > 0 {
            self.poll(PATIENCE);
        }
        before == 0 || self.undelivered() != before
    }

    /// What the first record that could not be delivered failed of.
    pub(in crate::log::kafka) fn failure(&self) -> Option<String> {
        self.reports.first_failure.borrow().clone()
    }

    /// Forgets what failed; to be done when a transaction was aborted.
    pub(in crate::log::kafka) fn forgive(&self) {
        *self.reports.first_failure.borrow_mut() = None;
    }

    /// Fences older producers of the same transactional id, and ends what they left open.
    pub(in crate::log::kafka) fn init_transactions(&self, timeout: Duration) -> Result<(), TxnError> {
        // SAFETY: the client is alive.
        TxnError::of(unsafe { sys::rd_kafka_init_transactions(self.client.as_ptr(), millis(timeout)) })
    }

    /// Begins a transaction.
    pub(in crate::log::kafka) fn begin(&self) -> Result<(), TxnError> {
        // SAFETY: the client is alive.
        TxnError::of(unsafe { sys::rd_kafka_begin_transaction(self.client.as_ptr()) })
    }

    /// Adds positions to the transaction, for the group in which the consumer is, as the generation that it is in now.
    pub(in crate::log::kafka) fn send_offsets(
        &self,
        consumer: *mut sys::rd_kafka_t,
        offsets: &rdkafka::TopicPartitionList,
    ) -> Result<(), TxnError> {
        // SAFETY: both clients are alive: the caller has the pointer from a consumer that lives. The list is alive during
        // the call. The group's metadata is ours, and given back.
        unsafe {
            let group = sys::rd_kafka_consumer_group_metadata(consumer);
            if group.is_null() {
                return Err(TxnError::local("the consumer is in no group".to_owned()));
            }
            // The header of librdkafka: always wait for ever. Connections that close when idle wake it (`properties.rs`).
            let sent = sys::rd_kafka_send_offsets_to_transaction(self.client.as_ptr(), offsets.ptr(), group, -1);
            sys::rd_kafka_consumer_group_metadata_destroy(group);
            TxnError::of(sent)
        }
    }

    /// Delivers what is not delivered, and commits the transaction.
    pub(in crate::log::kafka) fn commit(&self) -> Result<(), TxnError> {
        // SAFETY: the client is alive. Callbacks run within this call.
        TxnError::of(unsafe { sys::rd_kafka_commit_transaction(self.client.as_ptr(), -1) })
    }

    /// Throws away what is not delivered, and aborts the transaction.
    pub(in crate::log::kafka) fn abort(&self, timeout: Duration) -> Result<(), TxnError> {
        // SAFETY: the client is alive. Callbacks run within this call.
        TxnError::of(unsafe { sys::rd_kafka_abort_transaction(self.client.as_ptr(), millis(timeout)) })
    }

    /// The topic of that name.
    ///
    /// # Errors
    /// If no topic can be named so.
    pub(in crate::log::kafka) fn topic(&mut self, name: &str) -> Result<TopicHandle, SendError> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(*topic);
        }
        let fail = || SendError::Failed("no topic can have this name".to_owned());
        let c_name = CString::new(name).map_err(|_| fail())?;
        // SAFETY: the client is alive; a null configuration is the client's.
        let topic = unsafe { sys::rd_kafka_topic_new(self.client.as_ptr(), c_name.as_ptr(), ptr::null_mut()) };
        let topic = TopicHandle(NonNull::new(topic).ok_or_else(fail)?);
        self.topics.insert(name.to_owned(), topic);
        Ok(topic)
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // SAFETY: topics and client are alive and given back once, topics first. What is not delivered is thrown away, so
        // that destroying does not wait for it. It waits for all threads of the client: no callback runs after it.
        unsafe {
            let all = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT | sys::RD_KAFKA_PURGE_F_NON_BLOCKING;
            sys::rd_kafka_purge(self.client.as_ptr(), all);
            for topic in self.topics.values() {
                sys::rd_kafka_topic_destroy(topic.0.as_ptr());
            }
            sys::rd_kafka_destroy(self.client.as_ptr());
        }
    }
}

/// Within `poll`, `flush` and the ends of transactions, on the thread that calls them.
unsafe extern "C" fn on_report(_: *mut sys::rd_kafka_t, message: *const sys::rd_kafka_message_t, reports: *mut c_void) {
    // SAFETY: librdkafka calls this with a message that lives during the call, and with the pointer that it was given
    // in `new`, to a box that outlives the client. The fields are read as the number and the pointer that they are in C.
    let (code, opaque, reports) = unsafe {
        let code = ptr::addr_of!((*message).err).cast::<i32>().read();
        (code, (*message)._private, &*reports.cast_const().cast::<Reports>())
    };
    if let Some(place) = Place::from_opaque(opaque) {
        reports.lent.borrow_mut().release(place);
    }
    if code != 0 {
        reports.first_failure.borrow_mut().get_or_insert_with(|| describe(code));
    }
}

unsafe extern "C" fn on_log(_: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    // SAFETY: both are strings that live during the call.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    context::log_line(level, &facility, &line);
}

unsafe extern "C" fn on_error(_: *mut sys::rd_kafka_t, code: c_int, reason: *const c_char, _: *mut c_void) {
    // SAFETY: it is a string that lives during the call.
    let reason = unsafe { text(reason) };
    context::error_line(&describe(code), &reason);
}

fn millis(timeout: Duration) -> c_int {
    c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX)
}

// === impl TopicHandle ===

impl TopicHandle {
    pub(super) fn as_ptr(self) -> *mut sys::rd_kafka_topic_t {
        self.0.as_ptr()
    }
}

// === impl TxnError ===

impl TxnError {
    /// Takes an error of librdkafka, which is null if all went well.
    fn of(error: *mut sys::rd_kafka_error_t) -> Result<(), Self> {
        if error.is_null() {
            return Ok(());
        }
        // SAFETY: the error is alive until it is destroyed here, once.
        unsafe {
            let what = text(sys::rd_kafka_error_string(error));
            let retriable = sys::rd_kafka_error_is_retriable(error) != 0;
            let requires_abort = sys::rd_kafka_error_txn_requires_abort(error) != 0;
            sys::rd_kafka_error_destroy(error);
            Err(Self { what, retriable, requires_abort })
        }
    }

    fn local(what: String) -> Self {
        Self { what, retriable: false, requires_abort: true }
    }
}

impl fmt::Display for TxnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for TxnError {}
