//! What every registry promises, and the registries that keep it. Names are of one promise each, because all tests share the
//! registry behind HTTP.

use std::thread;

use host::schema::http::Settings;
use host::schema::{Compatibility, FileRegistry, HttpRegistry, Registry, RegistryError};
use serde_json::Value;

use crate::support::services;

/// A registry that takes what is backward compatible.
type Open<'a> = &'a (dyn Fn() -> Box<dyn Registry> + Sync);

fn file() -> (impl Fn() -> Box<dyn Registry> + Sync, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.json");
    (move || Box::new(FileRegistry::open(&path, Compatibility::Backward).unwrap()) as _, folder)
}

fn http() -> (impl Fn() -> Box<dyn Registry> + Sync, ()) {
    let settings = Settings {
        urls: vec![services::registry().address().to_owned()],
        credentials: None,
        ca: None,
        timeout: std::time::Duration::from_secs(20),
        register: true,
    };
    (move || Box::new(HttpRegistry::new(&settings).unwrap()) as _, ())
}

fn record(name: &str, fields: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
}

fn same(a: &str, b: &str) -> bool {
    serde_json::from_str::<Value>(a).unwrap() == serde_json::from_str::<Value>(b).unwrap()
}

const A: &str = r#"{"name":"a","type":"int"}"#;
const A_AND_B: &str = r#"{"name":"a","type":"int"},{"name":"b","type":"string","default":""}"#;
const A_AND_C: &str = r#"{"name":"a","type":"int"},{"name":"c","type":"string"}"#;

fn an_id_means_the_schema_for_ever(open: Open<'_>) {
    let (one, two) = (record("Ids", A), record("Ids", A_AND_B));
    let registry = open();
    let first = registry.register("ids", &one).unwrap();
    let second = registry.register("ids", &two).unwrap();
    assert_ne!(first.id, second.id);
    for registry in [registry, open()] {
        assert_eq!(registry.register("ids", &one).unwrap(), first);
        for (known, schema) in [(first, &one), (second, &two)] {
            assert!(same(&registry.by_id(known.id.into()).unwrap().unwrap(), schema));
        }
        let (latest, schema) = registry.latest("ids").unwrap().unwrap();
        assert!(latest == second && same(&schema, &two));
    }
}

fn a_schema_has_one_id_in_all_subjects(open: Open<'_>) {
    let schema = record("Shared", A);
    let registry = open();
    let one = registry.register("shared-one", &schema).unwrap();
    assert_eq!(registry.check("shared-two", &schema).unwrap(), None, "it is not in that subject");
    assert_eq!(registry.register("shared-two", &schema).unwrap(), one);
}

fn what_is_not_there_is_none(open: Open<'_>) {
    let registry = open();
    assert_eq!(registry.by_id(2_000_000_000.into()).unwrap(), None);
    assert_eq!(registry.latest("nobody's").unwrap(), None);
}

fn a_check_changes_nothing(open: Open<'_>) {
    let (one, two) = (record("Checked", A), record("Checked", A_AND_B));
    let registry = open();
    assert_eq!(registry.check("checked", &one).unwrap(), None);
    assert_eq!(registry.latest("checked").unwrap(), None);
    let known = registry.register("checked", &one).unwrap();
    assert_eq!(registry.check("checked", &one).unwrap(), Some(known));
    assert_eq!(registry.check("checked", &two).unwrap(), None);
    assert_eq!(registry.latest("checked").unwrap().unwrap().0, known);
}

fn what_cannot_read_the_last_version_is_refused(open: Open<'_>) {
    let registry = open();
    let known = registry.register("refused", &record("Refused", A)).unwrap();
    let breaking = record("Refused", A_AND_C);
    for refused in [registry.check("refused", &breaking), registry.register("refused", &breaking).map(Some)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, RegistryError::Incompatible { .. } | RegistryError::Refused { .. }), "{error}");
        assert!(error.to_string().contains("`refused`"), "{error}");
    }
    assert_eq!(registry.latest("refused").unwrap().unwrap().0, known);
}

fn subjects_may_have_any_name(open: Open<'_>) {
    let schema = record("Named", A);
    let registry = open();
    for subject in ["with space", "with/slash", "with%percent?and=more&", "mit-Öl"] {
        let known = registry.register(subject, &schema).unwrap();
        assert_eq!(registry.latest(subject).unwrap().unwrap().0, known, "{subject}");
    }
}

fn hosts_that_register_at_once_agree(open: Open<'_>) {
    let schema = record("AtOnce", A);
    let ids: Vec<u32> = thread::scope(|scope| {
        let register = || open().register("at-once", &schema).unwrap().id;
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(register)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

macro_rules! registry_keeps_its_promises {
    ($module:ident: $($promise:ident),* $(,)?) => {
        mod $module {
            $(#[test]
            fn $promise() {
                let (open, _kept) = super::$module();
                super::$promise(&open);
            })*
        }
    };
    ($($module:ident)*) => {
        $(registry_keeps_its_promises!($module:
            an_id_means_the_schema_for_ever, a_schema_has_one_id_in_all_subjects, what_is_not_there_is_none,
            a_check_changes_nothing, what_cannot_read_the_last_version_is_refused, subjects_may_have_any_name,
            hosts_that_register_at_once_agree);)*
    };
}
registry_keeps_its_promises!(file http);
