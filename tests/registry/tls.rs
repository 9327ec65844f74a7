//! A real registry behind TLS, with a certificate of its own authority.

use std::fs;

use host::schema::http::Settings;
use host::schema::{HttpRegistry, Registry};
use rcgen::{CertificateParams, KeyPair};

use super::{record, settings};
use crate::support::certificates::authority;
use crate::support::services;

#[test]
fn only_the_own_authority_is_trusted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, other) = (authority(), authority());
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &ours).expect("a certificate");
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [
        ("ours.pem", ours.pem()),
        ("other.pem", other.pem()),
        ("server.pem", certificate.pem()),
        ("key.pem", key.serialize_pem()),
        ("empty.pem", String::new()),
    ] {
        fs::write(path(name), text).expect("written");
    }
    let port = services::free_port();
    let registry = services::own_registry_with(&[
        ("quarkus.http.ssl-port", &port.to_string()),
        ("quarkus.http.ssl.certificate.files", &path("server.pem").display().to_string()),
        ("quarkus.http.ssl.certificate.key-files", &path("key.pem").display().to_string()),
    ]);
    let base = registry.address().rsplit_once("/apis").expect("a path").1;
    let url = format!("https://localhost:{port}/apis{base}");
    let with = |ca: Option<&str>| HttpRegistry::new(&Settings { ca: ca.map(path), ..settings(&[&url]) });
    let trusted = with(Some("ours.pem")).expect("sound settings");
    let known = trusted.register("tls", &record("Tls", "")).expect("registered");
    assert_eq!(trusted.latest("tls").expect("an answer").map(|(found, _)| found), Some(known));
    for ca in [None, Some("other.pem")] {
        let error = with(ca).expect("sound settings").latest("tls").expect_err("not trusted").to_string();
        assert!(error.contains("certificate"), "{error}");
    }
    for (ca, says) in [("empty.pem", "there is none in the file"), ("missing.pem", "missing.pem")] {
        let error = with(Some(ca)).err().expect("no certificates").to_string();
        assert!(error.contains(says), "{error}");
    }
}
