//! What rdkafka does not ask brokers for: changing single settings of a topic, which leaves the others as they are, why a
//! topic cannot be made, how consumer groups of either protocol are, and which partitions the members of one have.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::time::{Duration, Instant};

use rdkafka::bindings as sys;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::super::context::Context;
use super::text;

/// How much longer than the brokers' answers their sum is waited for.
const SUM: Duration = Duration::from_secs(1);

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
/// # Errors
/// What the coordinator says, or that it said nothing in time.
pub(in crate::log::kafka) fn assigned(
    client: &Client<Context>,
    group: &str,
    timeout: Duration,
) -> Result<Option<Vec<(String, u32)>>, String> {
    let group = CString::new(group).map_err(|_| "a zero byte in the name of a group".to_owned())?;
    let client = client.native_ptr();
    let mut why = [0; 256];
    // SAFETY: the client is alive; the options are made and given back here, the request copies what it needs.
    let told = unsafe {
        let kind = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
        let options = sys::rd_kafka_AdminOptions_new(client, kind);
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, why.as_mut_ptr(), why.len());
        let told = asked(client, timeout + SUM, described, |queue| {
            let mut groups = [group.as_ptr()];
            sys::rd_kafka_DescribeConsumerGroups(client, groups.as_mut_ptr(), 1, options, queue);
        });
        sys::rd_kafka_AdminOptions_destroy(options);
        told
    };
    told.unwrap_or_else(|| Err("no answer in time".to_owned()))
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

/// # Safety
/// The event is alive.
unsafe fn described(event: *mut sys::rd_kafka_event_t) -> Result<Option<Vec<(String, u32)>>, String> {
    use sys::rd_kafka_consumer_group_state_t as State;
    // SAFETY: as the caller promises; what is read here belongs to the event. One that failed as a whole has no groups.
    unsafe {
        let failed = text(sys::rd_kafka_event_error_string(event));
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        if result.is_null() {
            return Err(failed);
        }
        let mut count = 0;
        let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
        if count == 0 {
            return Err(failed);
        }
        let group = *groups;
        let refused = sys::rd_kafka_ConsumerGroupDescription_error(group);
        if !refused.is_null() {
            return Err(text(sys::rd_kafka_error_string(refused)));
        }
        if sys::rd_kafka_ConsumerGroupDescription_state(group) != State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE {
            return Ok(None);
        }
        let mut assigned = Vec::new();
        for index in 0..sys::rd_kafka_ConsumerGroupDescription_member_count(group) {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
            let list = sys::rd_kafka_MemberAssignment_partitions(sys::rd_kafka_MemberDescription_assignment(member));
            for index in 0..(*list).cnt as usize {
                let partition = &*(*list).elems.add(index);
                assigned.push((text(partition.topic), partition.partition as u32));
            }
        }
        Ok(Some(assigned))
    }
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
