//! A registry that is not well, or behind something that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use host::pipeline::{Naming, Purpose, SchemaStore};
use host::schema::http::{Credentials, Secret, Settings};
use host::schema::{HttpRegistry, Registry, RegistryError};
use host::stage::{NoSchema, Schemas as _};

use super::{record, settings};
use crate::support::front::{Asked, Front, Reply};
use crate::support::{services, until};

/// No question here takes as long, though each has an answer that never ends.
const LONG: Duration = Duration::from_secs(15);

fn asking(front: &Front) -> HttpRegistry {
    HttpRegistry::new(&settings(&[&front.url()])).expect("sound settings")
}

#[test]
fn what_may_pass_is_told_and_nothing_else_is_said_of_the_schema() {
    const BROKEN: &str = r#"{"error_code":50001,"message":"Error in the backend data store"}"#;
    type Rule = fn() -> Reply;
    let cases: [(&str, Rule); 8] = [
        ("Error in the backend data store", || Reply::Answer(500, BROKEN.to_owned())),
        ("status 503", || Reply::Answer(503, "<html>gone</html>".to_owned())),
        ("status 429", || Reply::Answer(429, String::new())),
        ("not JSON", || Reply::Answer(200, "<html>Log in first</html>".to_owned())),
        ("not JSON", || Reply::Answer(200, r#"{"id": 1, "schema": "#.to_owned())),
        ("no answer in time", || Reply::Silence),
        ("16777216 bytes", || Reply::Endless),
        ("127.0.0.1", || Reply::Close),
    ];
    for (says, rule) in cases {
        let front = Front::start(move |_| rule());
        let settings = Settings {
            timeout: Duration::from_secs(if says.starts_with("no answer") { 1 } else { 20 }),
            ..settings(&[&front.url()])
        };
        let registry = HttpRegistry::new(&settings).expect("sound settings");
        let started = Instant::now();
        let error = registry.by_id(7.into()).expect_err(says);
        assert!(started.elapsed() < LONG, "{says} took {:?}", started.elapsed());
        assert!(error.is_passing() && error.to_string().contains(says), "{says}: {error}");
        assert!(registry.register("s", "{}").expect_err(says).is_passing());
    }
}

#[test]
fn answers_that_make_no_sense_are_errors() {
    for body in ["{}", "[]", "null", "7", r#"{"id":-1,"schema":"\"int\""}"#, r#"{"id":99999999999,"schema":"\"int\""}"#]
    {
        let front = Front::start(move |_| Reply::Answer(200, body.to_owned()));
        let error = asking(&front).latest("s").expect_err(body);
        assert!(matches!(error, RegistryError::Denied { .. }), "{body}: {error}");
        assert!(asking(&front).register("s", "{}").is_err(), "{body}");
    }
}

#[test]
fn what_is_no_registry_is_told_from_a_subject_that_is_missing() {
    let front = Front::start(|_| Reply::Answer(404, "<html>not here</html>".to_owned()));
    let error = asking(&front).latest("s").expect_err("no registry").to_string();
    assert!(error.contains("there is no schema registry") && error.contains("/apis/ccompat/v7"), "{error}");
    let missing = r#"{"error_code":40401,"message":"Subject not found"}"#;
    let front = Front::start(move |_| Reply::Answer(404, missing.to_owned()));
    assert!(asking(&front).latest("s").expect("an answer").is_none());
}

/// As the path of a number that is no `int` is to Confluent's.
#[test]
fn a_number_that_no_schema_can_have_is_of_none() {
    let front = Front::start(|_| Reply::Answer(404, r#"{"error_code":404,"message":"HTTP 404 Not Found"}"#.to_owned()));
    for id in [0, 1 << 31, u32::MAX] {
        assert_eq!(asking(&front).by_id(id.into()).expect("an answer"), None);
    }
    let error = asking(&front).by_id((i32::MAX as u32).into()).expect_err("no registry").to_string();
    assert!(error.contains("there is no schema registry"), "{error}");
}

#[test]
fn references_without_end_are_an_error() {
    // Each version refers to the next one.
    let front = Front::start(|asked: &Asked| {
        let version: u64 = asked.path.rsplit('/').next().and_then(|version| version.parse().ok()).unwrap_or(0);
        let references = serde_json::json!([{"name": "x", "subject": "s", "version": version + 1}]);
        let schema = record(&format!("R{version}"), "");
        Reply::Answer(200, serde_json::json!({"id": 1, "schema": schema, "references": references}).to_string())
    });
    let error = asking(&front).by_id(1.into()).expect_err("no end").to_string();
    assert!(error.contains("more than"), "{error}");
}

#[test]
fn a_sick_registry_is_left_for_a_healthy_one_and_not_asked_again() {
    let front = Front::start(|_| Reply::Answer(500, String::new()));
    let registry = HttpRegistry::new(&settings(&[&front.url(), services::registry().address()])).expect("settings");
    let known = registry.register("sick", &record("Sick", "")).expect("the second");
    assert_eq!(front.asked(), 1);
    assert_eq!(registry.latest("sick").expect("an answer").map(|(found, _)| found), Some(known));
    assert_eq!(front.asked(), 1);
}

#[test]
fn a_failure_while_references_are_fetched_is_one_of_the_whole() {
    let works = Arc::new(AtomicBool::new(false));
    let flag = works.clone();
    let front = Front::start(move |asked| match asked.path.as_str() {
        "/schemas/ids/1" => {
            let schema = record("Whole", r#"{"name":"part","type":"test.Part"}"#);
            let references = serde_json::json!([{"name": "test.Part", "subject": "part", "version": 1}]);
            Reply::Answer(200, serde_json::json!({"schema": schema, "references": references}).to_string())
        }
        _ if flag.load(Ordering::Relaxed) => {
            Reply::Answer(200, serde_json::json!({"id": 2, "schema": record("Part", "")}).to_string())
        }
        _ => Reply::Answer(503, String::new()),
    });
    assert!(asking(&front).by_id(1.into()).expect_err("half of it").is_passing());
    works.store(true, Ordering::Relaxed);
    assert!(asking(&front).by_id(1.into()).expect("an answer").expect("known").contains("Part"));
}

#[test]
fn who_asks_is_told_to_the_registry() {
    let guarded = |expected: &'static str| {
        Front::start(move |asked| match asked.headers.get("authorization") {
            Some(given) if given == expected => Reply::Pass,
            _ => Reply::Answer(401, r#"{"error_code":401,"message":"Unauthorized"}"#.to_owned()),
        })
    };
    let basic =
        |password: &str| Credentials::Basic { username: "me".to_owned(), password: Secret(password.to_owned()) };
    let token = |token: &str| Credentials::Token(Secret(token.to_owned()));
    for (expected, right, wrong) in [
        ("Basic bWU6c2VjcmV0OnfDtnJk", basic("secret:wörd"), basic("secret")),
        ("Bearer a.b.c", token("a.b.c"), token("a.b")),
    ] {
        let front = guarded(expected);
        let with = |credentials| {
            let settings = Settings { credentials, ..settings(&[&front.url()]) };
            HttpRegistry::new(&settings).expect("sound settings").latest("guarded")
        };
        assert!(with(Some(right)).expect("allowed").is_none());
        for credentials in [None, Some(wrong)] {
            let error = with(credentials).expect_err("not allowed");
            assert!(!error.is_passing(), "waiting would not help");
            let error = error.to_string();
            assert!(error.contains("check `username` and `password`") && !error.contains("secret"), "{error}");
        }
    }
}

/// What was known once is known for ever, what was not there is asked again after a while, and that nobody answered is not
/// remembered at all.
#[test]
fn answers_are_kept_as_long_as_they_hold() {
    let state = Arc::new(AtomicU8::new(0));
    let rule = state.clone();
    let front = Front::start(move |asked| match (rule.load(Ordering::Relaxed), asked.path.as_str()) {
        (0, _) => Reply::Answer(503, String::new()),
        (_, "/schemas/ids/1") => Reply::Answer(200, serde_json::json!({"schema": record("Kept", "")}).to_string()),
        _ => Reply::Answer(404, r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
    });
    let store = SchemaStore::new(Arc::new(asking(&front)), Naming::default(), Purpose::Check);
    let ask = |id: u32| store.by_id(id.into());
    assert!(matches!(ask(1), Err(NoSchema::Unavailable(_))));
    state.store(1, Ordering::Relaxed);
    assert!(ask(1).is_ok() && matches!(ask(2), Err(NoSchema::Unknown(_))));
    let asked = front.asked();
    assert!(ask(1).is_ok() && matches!(ask(2), Err(NoSchema::Unknown(_))));
    assert_eq!(front.asked(), asked, "all of that was known");
    state.store(0, Ordering::Relaxed);
    until("it is asked again", LONG * 4, || !matches!(ask(2), Err(NoSchema::Unknown(_))));
    assert!(ask(1).is_ok());
}
