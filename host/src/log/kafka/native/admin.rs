//! Changing single settings of a topic, which leaves the others as they are.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::client::Client;

use super::super::context::Context;
use super::text;

/// Sets these settings of a topic; those without a value go back to the brokers' default.
///
/// # Errors
/// What the brokers say, or that they said nothing in time.
pub(in crate::log::kafka) fn alter_settings(
    client: &Client<Context>,
    topic: &str,
    settings: &[(String, Option<String>)],
    timeout: Duration,
) -> Result<(), String> {
    let is_c = |_| "a zero byte in a name or a value".to_owned();
    let topic = CString::new(topic).map_err(is_c)?;
    let c_string = |text: &String| CString::new(text.as_str()).map_err(is_c);
    let settings = settings.iter().map(|(name, value)| {
        let value = value.as_ref().map(c_string).transpose()?;
        Ok((c_string(name)?, value))
    });
    let settings = settings.collect::<Result<Vec<_>, String>>()?;
    let no_memory = || "librdkafka has no memory".to_owned();
    let resource = {
        let kind = sys::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
        // SAFETY: the name is a C string, which is copied.
        NonNull::new(unsafe { sys::rd_kafka_ConfigResource_new(kind, topic.as_ptr()) }).ok_or_else(no_memory)?
    };
    let mut refused = None;
    for (name, value) in &settings {
        use sys::rd_kafka_AlterConfigOpType_t as Change;
        let (change, value) = match value {
            Some(value) => (Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value.as_ptr()),
            None => (Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, ptr::null()),
        };
        // SAFETY: the resource is alive, the strings are C strings, which are copied; an error is ours, and given back.
        unsafe {
            let error =
                sys::rd_kafka_ConfigResource_add_incremental_config(resource.as_ptr(), name.as_ptr(), change, value);
            if !error.is_null() {
                refused = Some(text(sys::rd_kafka_error_string(error)));
                sys::rd_kafka_error_destroy(error);
            }
        }
    }
    // SAFETY: client and resource are alive; what is made here is given back here, the event after what it says was read.
    // The request copies what it needs.
    unsafe {
        let answer = if refused.is_none() { ask(client.native_ptr(), resource.as_ptr(), timeout) } else { Ok(()) };
        sys::rd_kafka_ConfigResource_destroy(resource.as_ptr());
        refused.map_or(answer, Err)
    }
}

/// # Safety
/// Client and resource are alive.
unsafe fn ask(
    client: *mut sys::rd_kafka_t,
    resource: *mut sys::rd_kafka_ConfigResource_t,
    timeout: Duration,
) -> Result<(), String> {
    let mut resources = [resource];
    // SAFETY: as the caller promises, and see there.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_IncrementalAlterConfigs(client, resources.as_mut_ptr(), 1, ptr::null(), queue);
        let deadline = Instant::now() + timeout;
        let mut answer = Err("no answer in time".to_owned());
        while Instant::now() < deadline {
            let event = sys::rd_kafka_queue_poll(queue, 100);
            if event.is_null() {
                continue;
            }
            answer = told(event);
            sys::rd_kafka_event_destroy(event);
            break;
        }
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// The event is alive.
unsafe fn told(event: *mut sys::rd_kafka_event_t) -> Result<(), String> {
    // SAFETY: as the caller promises; what is read here belongs to the event.
    unsafe {
        let failed = text(sys::rd_kafka_event_error_string(event));
        let result = sys::rd_kafka_event_IncrementalAlterConfigs_result(event);
        if result.is_null() {
            return Err(failed);
        }
        let mut count = 0;
        let resources = sys::rd_kafka_IncrementalAlterConfigs_result_resources(result, &mut count);
        for index in 0..count {
            let why = text(sys::rd_kafka_ConfigResource_error_string(*resources.add(index)));
            if !why.is_empty() {
                return Err(why);
            }
        }
        if count == 0 { Err(failed) } else { Ok(()) }
    }
}
