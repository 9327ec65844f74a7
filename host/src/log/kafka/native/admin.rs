//! What rdkafka does not ask brokers for: changing single settings of a topic, which leaves the others as they are, why a
//! topic cannot be made, how consumer groups of either protocol are, and which partitions the members of one have.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use bytes::Buf as _;
use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::super::context::Context;
use super::text;

/// How much longer than the brokers' answers their sum is waited for.
const SUM: Duration = Duration::from_secs(1);
/// The state of a group of the classic protocol that has shared its partitions out.
const STABLE: &str = "Stable";

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
    // SAFETY: client and resource are alive; the resource is given back once, here. The request copies what it needs.
    unsafe {
        let client = client.native_ptr();
        let answer = match refused {
            Some(why) => Err(why),
            None => {
                let ask = |queue| {
                    let mut resources = [resource.as_ptr()];
                    sys::rd_kafka_IncrementalAlterConfigs(client, resources.as_mut_ptr(), 1, ptr::null(), queue);
                };
                asked(client, timeout, altered, ask).unwrap_or_else(|| Err("no answer in time".to_owned()))
            }
        };
        sys::rd_kafka_ConfigResource_destroy(resource.as_ptr());
        answer
    }
}

/// Why the brokers would not make a topic, in their own words. None if they would, or say nothing.
pub(in crate::log::kafka) fn refusal(
    client: &Client<Context>,
    name: &str,
    (partitions, replication): (i32, i32),
    settings: &[(&str, &str)],
    timeout: Duration,
) -> Option<String> {
    let name = CString::new(name).ok()?;
    let settings = settings.iter().map(|(name, value)| Some((CString::new(*name).ok()?, CString::new(*value).ok()?)));
    let settings = settings.collect::<Option<Vec<_>>>()?;
    let client = client.native_ptr();
    // SAFETY: the client is alive, all strings are C strings, which are copied; what is made here is given back here once. It
    // asks what would be, and changes nothing.
    unsafe {
        let mut why = [0; 256];
        let topic = sys::rd_kafka_NewTopic_new(name.as_ptr(), partitions, replication, why.as_mut_ptr(), why.len());
        let topic = NonNull::new(topic)?;
        for (name, value) in &settings {
            sys::rd_kafka_NewTopic_set_config(topic.as_ptr(), name.as_ptr(), value.as_ptr());
        }
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
        let options = sys::rd_kafka_AdminOptions_new(client, kind);
        sys::rd_kafka_AdminOptions_set_validate_only(options, 1, why.as_mut_ptr(), why.len());
        let answer = asked(client, timeout, created, |queue| {
            let mut topics = [topic.as_ptr()];
            sys::rd_kafka_CreateTopics(client, topics.as_mut_ptr(), 1, options, queue);
        });
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_NewTopic_destroy(topic.as_ptr());
        answer?.err().filter(|why| !why.is_empty())
    }
}

/// The consumer groups that there are, each with how it is, in Kafka's words, or nothing where the brokers are too old to
/// say so. They are listed and not described one by one: a request for the one protocol takes the groups of the other for
/// dead.
///
/// # Errors
/// What a broker says if none has told of any group, or that they said nothing in time.
pub(in crate::log::kafka) fn groups(
    client: &Client<Context>,
    timeout: Duration,
) -> Result<Vec<(String, String)>, KafkaError> {
    let client = client.native_ptr();
    let mut why = [0; 256];
    // SAFETY: the client is alive; the options are made and given back here, the request copies what it needs.
    let told = unsafe {
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS;
        let options = sys::rd_kafka_AdminOptions_new(client, kind);
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, why.as_mut_ptr(), why.len());
        let told = asked(client, timeout + SUM, listed, |queue| {
            sys::rd_kafka_ListConsumerGroups(client, options, queue);
        });
        sys::rd_kafka_AdminOptions_destroy(options);
        told
    };
    told.unwrap_or(Err(KafkaError::GroupListFetch(RDKafkaErrorCode::OperationTimedOut)))
}

/// The partitions that members of a group of the classic protocol have, each with its topic. None if the group is about to
/// share them out.
///
/// All brokers are asked, by the request that is older than librdkafka's admin client: that one (2.12) aborts the program if
/// the coordinator goes away while it is looked for.
///
/// # Errors
/// That nobody has told of the group in time.
pub(in crate::log::kafka) fn assigned(
    client: &Client<Context>,
    group: &str,
    timeout: Duration,
) -> Result<Option<Vec<(String, u32)>>, KafkaError> {
    use sys::rd_kafka_resp_err_t as Code;
    let refused = |code: Code| KafkaError::GroupListFetch(code.into());
    let name = CString::new(group).map_err(|_| refused(Code::RD_KAFKA_RESP_ERR__INVALID_ARG))?;
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let mut list = ptr::null();
    // SAFETY: the client is alive, the name is a C string; a list is given back after it was read, here.
    unsafe {
        let code = sys::rd_kafka_list_groups(client.native_ptr(), name.as_ptr(), &mut list, timeout_ms);
        // Not all have answered; who did may have told of it.
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR && code != Code::RD_KAFKA_RESP_ERR__PARTIAL || list.is_null() {
            return Err(refused(code));
        }
        let told = described(&*list);
        sys::rd_kafka_group_list_destroy(list);
        told.ok_or_else(|| refused(Code::RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE))
    }
}

/// Asks by `ask`, and reads the answer by `told`. None if there was none in time.
///
/// # Safety
/// The client is alive. `ask` has it answer into the queue that it is given, with events that `told` may be given.
unsafe fn asked<T>(
    client: *mut sys::rd_kafka_t,
    timeout: Duration,
    told: unsafe fn(*mut sys::rd_kafka_event_t) -> T,
    ask: impl FnOnce(*mut sys::rd_kafka_queue_t),
) -> Option<T> {
    // SAFETY: as the caller promises; the queue is made and given back here, an event after what it says was read.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client);
        ask(queue);
        let deadline = Instant::now() + timeout;
        let mut answer = None;
        while answer.is_none() && Instant::now() < deadline {
            let event = sys::rd_kafka_queue_poll(queue, 100);
            if !event.is_null() {
                answer = Some(told(event));
                sys::rd_kafka_event_destroy(event);
            }
        }
        sys::rd_kafka_queue_destroy(queue);
        answer
    }
}

/// # Safety
/// The event is alive.
unsafe fn listed(event: *mut sys::rd_kafka_event_t) -> Result<Vec<(String, String)>, KafkaError> {
    use sys::rd_kafka_consumer_group_state_t as State;
    use sys::rd_kafka_consumer_group_type_t as Kind;
    let refused = |code: sys::rd_kafka_resp_err_t| KafkaError::GroupListFetch(code.into());
    // SAFETY: as the caller promises; what is read here belongs to the event. One that failed as a whole has no lists.
    unsafe {
        let code = sys::rd_kafka_event_error(event);
        let result = sys::rd_kafka_event_ListConsumerGroups_result(event);
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || result.is_null() {
            return Err(refused(code));
        }
        let (mut valid, mut failed) = (0, 0);
        let groups = sys::rd_kafka_ListConsumerGroups_result_valid(result, &mut valid);
        let errors = sys::rd_kafka_ListConsumerGroups_result_errors(result, &mut failed);
        let mut found = Vec::with_capacity(valid);
        for index in 0..valid {
            let group = *groups.add(index);
            let state = sys::rd_kafka_ConsumerGroupListing_state(group);
            let state = match (state, sys::rd_kafka_ConsumerGroupListing_type(group)) {
                // The two states between which groups of the new protocol rebalance have no number in librdkafka.
                (State::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN, Kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER) => {
                    "Reconciling".to_owned()
                }
                (State::RD_KAFKA_CONSUMER_GROUP_STATE_UNKNOWN, _) => String::new(),
                (state, _) => text(sys::rd_kafka_consumer_group_state_name(state)),
            };
            found.push((text(sys::rd_kafka_ConsumerGroupListing_group_id(group)), state));
        }
        for index in 0..failed {
            let error = *errors.add(index);
            let what = text(sys::rd_kafka_error_string(error));
            // Groups of brokers that are away are told by those that coordinate them next.
            tracing::debug!(what, "listing groups");
            if found.is_empty() {
                return Err(refused(sys::rd_kafka_error_code(error)));
            }
        }
        Ok(found)
    }
}

/// What is told of the one group of a list, if it is.
///
/// # Safety
/// The list is as librdkafka has made it.
unsafe fn described(list: &sys::rd_kafka_group_list) -> Option<Option<Vec<(String, u32)>>> {
    // SAFETY: as the caller promises, each pointer is null or leads to as many elements as the number beside it says.
    unsafe {
        if list.groups.is_null() || list.group_cnt < 1 {
            return None;
        }
        let group = &*list.groups;
        if group.err != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        if text(group.state) != STABLE {
            return Some(None);
        }
        let mut assigned = Vec::new();
        for index in 0..usize::try_from(group.member_cnt).unwrap_or(0) {
            let member = &*group.members.add(index);
            let bytes = usize::try_from(member.member_assignment_size).unwrap_or(0);
            if bytes > 0 && !member.member_assignment.is_null() {
                let bytes = std::slice::from_raw_parts(member.member_assignment.cast::<u8>(), bytes);
                assigned.extend(assignment(bytes)?);
            }
        }
        Some(Some(assigned))
    }
}

/// The partitions in an assignment, as consumers write it ("Consumer Embedded Protocol" of KIP-429: `Version => INT16`,
/// `AssignedPartitions => [Topic [Partition]]`, `UserData => BYTES`). None if it cannot be read.
fn assignment(mut bytes: &[u8]) -> Option<Vec<(String, u32)>> {
    let bytes = &mut bytes;
    bytes.try_get_i16().ok()?;
    let mut assigned = Vec::new();
    for _ in 0..bytes.try_get_i32().ok()? {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        let (topic, rest) = bytes.split_at_checked(length)?;
        let topic = std::str::from_utf8(topic).ok()?;
        *bytes = rest;
        for _ in 0..bytes.try_get_i32().ok()? {
            assigned.push((topic.to_owned(), u32::try_from(bytes.try_get_i32().ok()?).ok()?));
        }
    }
    Some(assigned)
}

/// # Safety
/// The event is alive.
unsafe fn altered(event: *mut sys::rd_kafka_event_t) -> Result<(), String> {
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

/// # Safety
/// The event is alive.
unsafe fn created(event: *mut sys::rd_kafka_event_t) -> Result<(), String> {
    // SAFETY: as the caller promises; what is read here belongs to the event.
    unsafe {
        let result = sys::rd_kafka_event_CreateTopics_result(event);
        if result.is_null() {
            return Err(text(sys::rd_kafka_event_error_string(event)));
        }
        let mut count = 0;
        let topics = sys::rd_kafka_CreateTopics_result_topics(result, &mut count);
        let whys = (0..count).map(|index| text(sys::rd_kafka_topic_result_error_string(*topics.add(index))));
        whys.into_iter().find(|why| !why.is_empty()).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Partitions 1 and 7 of `in`.
    const WRITTEN: &[u8] = &[0, 1, 0, 0, 0, 1, 0, 2, b'i', b'n', 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0];

    #[test]
    fn assignments_are_read() {
        assert_eq!(assignment(WRITTEN), Some(vec![("in".to_owned(), 1), ("in".to_owned(), 7)]));
        assert_eq!(assignment(&[0, 0, 0, 0, 0, 0]), Some(Vec::new()));
    }

    #[test]
    fn assignments_that_end_early_are_none() {
        let partitions = WRITTEN.len() - 4;
        (0..partitions).for_each(|end| assert_eq!(assignment(&WRITTEN[..end]), None, "{end}"));
    }
}
