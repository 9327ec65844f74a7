//! The client and a real registry.

use host::schema::framing::SchemaId;
use host::schema::{HttpRegistry, Registry, RegistryError};
use serde_json::{Value, json};

use super::{read_only, real, record, settings};
use crate::support::front::{Front, Reply};
use crate::support::services;

/// Asks the registry as no client of ours does.
fn post(path: &str, body: &Value) -> Value {
    let url = format!("{}{path}", services::registry().address());
    let response = ureq::post(&url).header("content-type", "application/json").send(body.to_string());
    let text = response.expect("an answer").body_mut().read_to_string().expect("text");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn nothing_is_registered_silently() {
    let registry = read_only();
    let schema = record("Silent", r#"{"name":"a","type":"int"}"#);
    for refused in [registry.register("silent", &schema).map(Some), registry.check("silent", &schema)] {
        let error = refused.expect_err("it is not there");
        assert!(matches!(&error, RegistryError::NotRegistered { .. }), "{error}");
        assert!(
            error.to_string().contains("`silent` of the registry has no schemas; register the schema, or set"),
            "{error}"
        );
    }
    assert!(registry.latest("silent").expect("an answer").is_none());
    // Whoever may registers it, and then it is found.
    let known = real().register("silent", &schema).expect("registered");
    assert_eq!(registry.register("silent", &schema).expect("found"), known);
    let later = record("Silent", r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#);
    let error = registry.check("silent", &later).expect_err("it is not there").to_string();
    assert!(error.contains(&format!("has other schemas, the newest with id {}", known.id)), "{error}");
}

#[test]
fn a_refused_schema_is_told_with_the_reason() {
    let schema = record("Reason", r#"{"name":"a","type":"int"}"#);
    real().register("reason", &schema).expect("registered");
    let breaking = record("Reason", r#"{"name":"a","type":"int"},{"name":"cents","type":"long"}"#);
    // Also to someone who would not register it: it could not be registered by hand either.
    for registry in [real(), read_only()] {
        let error = registry.check("reason", &breaking).expect_err("not compatible");
        assert!(matches!(&error, RegistryError::Refused { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("`reason`") && error.contains("cents"), "{error}");
    }
    let error = real().register("reason", r#"{"type":"nonsense"}"#).expect_err("no schema").to_string();
    assert!(error.contains("does not take the schema"), "{error}");
}

/// Has a subject held to a rule.
fn rule(subject: &str, level: &str) {
    let url = format!("{}/config/{subject}", services::registry().address());
    let body = json!({"compatibility": level}).to_string();
    let response = ureq::put(&url).header("content-type", "application/json").send(body).expect("an answer");
    assert_eq!(response.status(), 200);
}

/// What may follow the newest version, but not the one before it.
#[test]
fn a_check_is_held_to_all_versions_where_registering_is() {
    let versions = [
        record("Transitive", r#"{"name":"a","type":"int"}"#),
        record("Transitive", r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#),
        record("Transitive", r#"{"name":"a","type":"int"},{"name":"b","type":"int"}"#),
    ];
    for (subject, level, may_follow) in
        [("by-newest", "BACKWARD", true), ("by-all", "BACKWARD_TRANSITIVE", false), ("by-none", "NONE", true)]
    {
        real().register(subject, &versions[0]).expect("registered");
        rule(subject, level);
        real().register(subject, &versions[1]).expect("registered");
        let checked = real().check(subject, &versions[2]);
        let registered = real().register(subject, &versions[2]);
        assert_eq!((checked.is_ok(), registered.is_ok()), (may_follow, may_follow), "{subject}: {checked:?}");
        if let Err(error) = checked {
            let error = error.to_string();
            assert!(error.contains(&format!("`{subject}`")) && error.contains('b'), "{error}");
        }
    }
}

/// A registry that knows no path for all versions is asked about the newest one.
#[test]
fn a_check_does_with_what_a_registry_offers() {
    let refused = r#"{"is_compatible":false,"messages":["the newest cannot be read"]}"#;
    let front = Front::start(move |asked| match asked.path.as_str() {
        "/config" => Reply::Answer(200, r#"{"compatibilityLevel":"FULL_TRANSITIVE"}"#.to_owned()),
        path if path.starts_with("/compatibility/") && path.contains("/versions?") => {
            Reply::Answer(405, r#"{"error_code":405,"message":"Method Not Allowed"}"#.to_owned())
        }
        path if path.starts_with("/compatibility/") => Reply::Answer(200, refused.to_owned()),
        _ => Reply::Answer(404, r#"{"error_code":40401,"message":"Subject not found"}"#.to_owned()),
    });
    let registry = HttpRegistry::new(&settings(&[&front.url()])).expect("sound settings");
    let error = registry.check("s", &record("S", "")).expect_err("it may not follow").to_string();
    assert!(error.contains("the newest cannot be read"), "{error}");
}

#[test]
fn references_become_part_of_the_schema() {
    let money = record("Money", r#"{"name":"currency","type":"test.Currency"},{"name":"cents","type":"long"}"#);
    let currency = r#"{"type":"enum","name":"Currency","namespace":"test","symbols":["EUR","CHF"]}"#;
    let order =
        record("Order", r#"{"name":"price","type":"Money"},{"name":"tax","type":["null","Money"],"default":null}"#);
    let refer = |name: &str, subject: &str| json!({"name": name, "subject": subject, "version": 1});
    post("/subjects/references%2Fcurrency/versions", &json!({"schema": currency}));
    let body = json!({"schema": money, "references": [refer("test.Currency", "references/currency")]});
    post("/subjects/references-money/versions", &body);
    let body = json!({"schema": order, "references": [refer("test.Money", "references-money")]});
    let id = post("/subjects/references-order/versions", &body)["id"].as_u64().expect("an id") as u32;
    let text = real().by_id(id.into()).expect("an answer").expect("known");
    let whole = bespoke_boundary::Schema::parse(&text).expect("it stands alone");
    let fields = &whole.record().expect("a record").fields;
    assert_eq!(whole.describe(fields[0].ty), "record Money");
    assert!(text.contains("CHF"), "{text}");
    // What stands alone is the same schema as that with references.
    let known = read_only().register("references-order", &text).expect("known");
    assert_eq!(known.id, id);
}

#[test]
fn a_schema_of_another_kind_is_an_error_that_says_so() {
    let schema = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object"}"#;
    let body = json!({"schemaType": "JSON", "schema": schema});
    let id = post("/subjects/kinds/versions", &body)["id"].as_u64().expect("an id") as u32;
    let error = real().by_id(id.into()).expect_err("it is no Avro").to_string();
    assert!(error.contains("of type JSON"), "{error}");
}

#[test]
fn a_registry_without_guids_says_so() {
    let guid = SchemaId::Guid(host::schema::framing::Guid([7; 16]));
    let error = real().by_id(guid).expect_err("there is no such path").to_string();
    assert!(error.contains("does not offer that"), "{error}");
    let schema = record("NoGuid", "");
    assert_eq!(real().register("no-guid", &schema).expect("registered").guid, None);
}

#[test]
fn another_address_is_asked_when_one_is_down() {
    let down = services::own_registry();
    let registry = HttpRegistry::new(&settings(&[down.address(), services::registry().address()])).expect("settings");
    let schema = record("Failover", "");
    let on_first = registry.register("failover", &schema).expect("the first");
    assert!(real().latest("failover").expect("an answer").is_none(), "the first has it, and no other");
    down.kill(1);
    registry.register("failover", &schema).expect("the second");
    assert!(real().latest("failover").expect("an answer").is_some());
    // A registry that comes back has all that it had.
    down.start_again(1);
    let again = HttpRegistry::new(&settings(&[down.address()])).expect("settings");
    assert_eq!(again.latest("failover").expect("an answer").map(|(found, _)| found), Some(on_first));
}

#[test]
fn without_any_address_each_is_told() {
    // Nothing listens on the first ports of the system.
    let registry =
        HttpRegistry::new(&settings(&["http://127.0.0.1:1", "http://no-such-host.invalid"])).expect("settings");
    let error = registry.latest("x").expect_err("nobody is there");
    assert!(error.is_passing());
    let error = error.to_string();
    assert!(error.contains("127.0.0.1:1: ") && error.contains("no-such-host.invalid: "), "{error}");
}
