//! TLS and SASL on a real broker that has a listener for each: who has the right credentials works as on any cluster, and who
//! does not is told so, in a time that somebody waits for.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::contract::kafka::prefix;
use crate::support::services::{self, Service};
use crate::support::{Ended, Folder, certificates, top};

/// Longer than a host waits for brokers that refuse it, on a slow machine.
const BOUND: Duration = Duration::from_secs(60);
const PASSWORD: &str = "right";

/// A broker that all tests share.
pub struct Secured {
    broker: Service,
    /// Certificates and keys.
    folder: TempDir,
    tls: u16,
    sasl: u16,
    both: u16,
}

// === impl Secured ===

impl Secured {
    pub fn get() -> &'static Self {
        static SECURED: OnceLock<Secured> = OnceLock::new();
        SECURED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = certificates::folder("broker");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let [tls, sasl, both] = [services::free_port(), services::free_port(), services::free_port()];
        let listeners = format!(
            "PLAINTEXT://$host:$client,CONTROLLER://$host:$controller,SSL://$host:{tls},SASL_PLAINTEXT://$host:{sasl},\
             SASL_SSL://$host:{both}"
        );
        let scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
        let plain =
            format!("org.apache.kafka.common.security.plain.PlainLoginModule required user_reader=\"{PASSWORD}\";");
        let mut settings = vec![
            ("listeners".to_owned(), listeners),
            (
                "listener.security.protocol.map".to_owned(),
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
                    .to_owned(),
            ),
            ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
            ("ssl.keystore.location".to_owned(), path("broker.pem")),
            ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
            ("ssl.truststore.location".to_owned(), path("ours.pem")),
            ("listener.name.ssl.ssl.client.auth".to_owned(), "required".to_owned()),
            ("sasl.enabled.mechanisms".to_owned(), "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned()),
        ];
        for listener in ["sasl_plaintext", "sasl_ssl"] {
            for (mechanism, login) in [("plain", plain.as_str()), ("scram-sha-256", scram), ("scram-sha-512", scram)] {
                settings.push((format!("listener.name.{listener}.{mechanism}.sasl.jaas.config"), login.to_owned()));
            }
        }
        let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let broker = services::own_kafka(1, &settings);
        let user = Command::new(services::python())
            .arg(top().join("tests/services/clients/scram_user.py"))
            .args([broker.address(), "reader", PASSWORD])
            .output()
            .expect("Python");
        assert!(user.status.success(), "{}", String::from_utf8_lossy(&user.stderr));
        Self { broker, folder, tls, sasl, both }
    }

    /// The address of the listener for SASL alone, and the settings of a client that it takes.
    pub fn sasl(&self) -> (String, String) {
        let settings = "security.protocol=sasl_plaintext sasl.mechanism=PLAIN sasl.username=reader";
        (format!("127.0.0.1:{}", self.sasl), toml_of(&self.properties(&format!("{settings} sasl.password={PASSWORD}"))))
    }

    /// The settings of a client, `{}` standing for the folder of certificates.
    fn properties(&self, text: &str) -> Vec<(String, String)> {
        let text = text.replace("{}", &self.folder.path().display().to_string());
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').expect("NAME=VALUE"));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

fn toml_of(properties: &[(String, String)]) -> String {
    properties.iter().map(|(name, value)| format!("\"{name}\" = \"{value}\"\n")).collect()
}

/// Runs the copying pipeline against the listener: a feed of three products through the processor.
fn run(name: &str, port: u16, properties: &str) -> (Ended, Duration) {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let properties = toml_of(&Secured::get().properties(properties));
    let text = format!(
        r#"
name = "{name}"
create_topics = true

[log]
kind = "kafka"
bootstrap = "127.0.0.1:{port}"

[log.properties]
{properties}

[schemas]
ids = "ids.json"

[topics]
"{name}.raw" = {{ schema = "product" }}

[[feed]]
topic = "{name}.raw"
generate = {{ count = 3 }}

[[stage]]
name = "processor"
module = "modules/processor.wasm"
from = "{name}.raw"
to = "{name}.out"
"#
    );
    fs::write(folder.path("pipeline.toml"), text).expect("written");
    fs::remove_file(folder.path("feed.jsonl")).expect("removed");
    let begin = Instant::now();
    (folder.host(&["run", "--until-end"]), begin.elapsed())
}

/// The right ones run a pipeline, whose records somebody sees who needs no credentials.
fn works(port: u16, properties: &str) {
    let name = format!("{}secured", prefix());
    let (ended, _) = run(&name, port, properties);
    ended.must_end(0);
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let brokers = Secured::get().broker.address();
    let read = folder.host(&["topics", "describe", &format!("{name}.out"), "--brokers", brokers]);
    let row = read.must_end(0).stdout.lines().find(|line| line.trim_start().starts_with('0')).expect("a partition");
    assert!(row.split_whitespace().any(|cell| cell == "3"), "{}", read.stdout);
}

/// The wrong ones end the host with an error that says what is wrong, though it would wait for brokers much longer.
fn refused_at_start(port: u16, properties: &str, says: &str) {
    let (ended, took) = run(&format!("{}refused", prefix()), port, properties);
    is_told(&ended, says, took);
}

/// The same of a look into topics.
fn refused(port: u16, properties: &str, says: &str) {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let properties = Secured::get().properties(properties);
    let properties: Vec<String> = properties.iter().map(|(name, value)| format!("--property={name}={value}")).collect();
    let brokers = format!("127.0.0.1:{port}");
    let mut look = vec!["topics", "list", "--brokers", &brokers];
    look.extend(properties.iter().map(String::as_str));
    let begin = Instant::now();
    let ended = folder.host(&look);
    is_told(&ended, says, begin.elapsed());
}

fn is_told(ended: &Ended, says: &str, took: Duration) {
    let told = &ended.must_end(1).stderr;
    let error = told.lines().rfind(|line| line.starts_with("error: ")).expect("an error");
    assert!(error.contains("refuse") && error.contains(says), "{told}");
    assert!(took < BOUND, "{took:?}");
}

#[test]
fn tls_with_certificates_on_both_sides() {
    let port = Secured::get().tls;
    let client = "ssl.certificate.location={}/client.pem ssl.key.location={}/client.key";
    works(port, &format!("security.protocol=ssl ssl.ca.location={{}}/ours.pem {client}"));
    // Not the authority that signed the broker's.
    let other = format!("security.protocol=ssl ssl.ca.location={{}}/other.pem {client}");
    refused_at_start(port, &other, "certificate verify failed");
    // Not one that the broker trusts, or none.
    let stranger = "ssl.certificate.location={}/stranger.pem ssl.key.location={}/stranger.key";
    refused(port, &format!("security.protocol=ssl ssl.ca.location={{}}/ours.pem {stranger}"), "certificate");
    refused(port, "security.protocol=ssl ssl.ca.location={}/ours.pem", "certificate");
}

#[test]
fn sasl_plain() {
    let secured = Secured::get();
    let plain = "security.protocol=sasl_ssl ssl.ca.location={}/ours.pem sasl.mechanism=PLAIN sasl.username=reader";
    works(secured.both, &format!("{plain} sasl.password={PASSWORD}"));
    refused_at_start(secured.both, &format!("{plain} sasl.password=wrong"), "Invalid username or password");
}

#[test]
fn sasl_scram() {
    let secured = Secured::get();
    for (protocol, port) in [("sasl_plaintext", secured.sasl), ("sasl_ssl", secured.both)] {
        for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
            let scram = format!(
                "security.protocol={protocol} ssl.ca.location={{}}/ours.pem sasl.mechanism={mechanism} sasl.username=reader"
            );
            works(port, &format!("{scram} sasl.password={PASSWORD}"));
            if protocol == "sasl_plaintext" {
                refused(port, &format!("{scram} sasl.password=wrong"), "invalid credentials");
            }
        }
    }
}
