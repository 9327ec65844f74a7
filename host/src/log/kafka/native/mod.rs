//! The calls of librdkafka for which rdkafka has no safe form, or none that is fast enough: taking many messages at once,
//! producing with a partition, a timestamp and headers at no allocation each, and transactions whose delivery reports are
//! served on the calling thread.
//!
//! With `host/boundary/src/call.rs` this is the only place with unsafe code. What it hands out is safe: every pointer
//! stays in a type that owns it, clients live longer than what was made of them, bytes are copied before the message that
//! holds them is given back, and those that are lent are kept until they are.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};

use rdkafka::bindings as sys;

mod admin;
mod consume;
mod lent;
mod produce;
mod sending;

pub(super) use admin::{alter_settings, assigned, groups, refusal};
pub(super) use consume::{Note, Queue, Scan};
pub(super) use produce::{Producer, TxnError};
pub(super) use sending::{SendError, Sending};

/// What an error number of librdkafka means. The bindings have the numbers as an enum, in which a number that they do not
/// know must never be; so numbers are read as numbers, and those that are not known have no code.
fn describe(code: i32) -> String {
    // SAFETY: the function takes any number as a C int, which is how the enum is represented, and answers with text that
    // lives for ever. The number goes through a function pointer of the C signature, so that no enum is made of it.
    let text = unsafe {
        let err2str: unsafe extern "C" fn(sys::rd_kafka_resp_err_t) -> *const c_char = sys::rd_kafka_err2str;
        let err2str: unsafe extern "C" fn(i32) -> *const c_char = std::mem::transmute(err2str);
        text(err2str(code))
    };
    if text.is_empty() { format!("error {code}") } else { text }
}

/// A C string as text, empty if there is none.
///
/// # Safety
/// The pointer is null or points to a string that ends with a zero and lives during the call.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}
