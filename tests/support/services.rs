//! Real services for tests: brokers, a schema registry and Cassandra as processes of this machine, one cluster for the whole test
//! program, started when the first test asks for it.
//!
//! Each service is held by a process of its own, `services.py hold`, that reads commands from a pipe whose other end only
//! this program has. However this program ends, the pipe ends with it; the holder sees that, kills the nodes by their
//! process ids and removes their folder. Should the holder be killed itself, the kernel kills the nodes. What cannot be
//! started is a failed test that says what to install, never a test that is left out.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::top;

/// Brokers of the cluster: enough for a leader to die and the rest to go on.
const BROKERS: u32 = 3;

/// Running nodes of one kind.
pub struct Service {
    name: &'static str,
    /// What clients need to know, as `services.py env` prints it.
    address: String,
    holder: Mutex<Holder>,
}

struct Holder {
    /// Ends by itself, when its input does.
    _process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The Kafka cluster of this test program.
pub fn kafka() -> &'static Service {
    static KAFKA: OnceLock<Service> = OnceLock::new();
    KAFKA.get_or_init(|| Service::start("kafka", BROKERS, &[]))
}

/// A cluster of a test's own, whose brokers have these settings and may be killed.
pub fn own_kafka(brokers: u32, settings: &[(&str, &str)]) -> Service {
    Service::start("kafka", brokers, settings)
}

/// The Cassandra node of this test program.
pub fn cassandra() -> &'static Service {
    static CASSANDRA: OnceLock<Service> = OnceLock::new();
    CASSANDRA.get_or_init(|| own_cassandra(1))
}

/// Cassandra nodes of a test's own.
pub fn own_cassandra(nodes: u32) -> Service {
    Service::start("cassandra", nodes, &[])
}

/// One with settings of its own.
pub fn own_cassandra_with(settings: &[(&str, &str)]) -> Service {
    Service::start("cassandra", 1, settings)
}

/// The schema registry of this test program.
pub fn registry() -> &'static Service {
    static REGISTRY: OnceLock<Service> = OnceLock::new();
    REGISTRY.get_or_init(|| Service::start("registry", 1, &[]))
}

/// A registry of a test's own, to be killed and started as it likes.
pub fn own_registry() -> Service {
    own_registry_with(&[])
}

/// The same with settings of its own.
pub fn own_registry_with(settings: &[(&str, &str)]) -> Service {
    Service::start("registry", 1, settings)
}

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// A Python that has confluent-kafka, other people's client.
pub fn python() -> PathBuf {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| fetched("clients")).into()
}

/// The class path of `tests/services/clients/java/Client.java`, a client that shares no code with ours.
pub fn java_classes() -> &'static str {
    static CLASSES: OnceLock<String> = OnceLock::new();
    CLASSES.get_or_init(|| fetched("java"))
}

/// What tells how to run other people's clients, which are downloaded once.
fn fetched(name: &str) -> String {
    let output = Command::new("python3").arg(script()).args(["fetch", name]).output().expect("python3 is needed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

fn script() -> PathBuf {
    top().join("tests/services/services.py")
}

// === impl Service ===

impl Service {
    fn start(name: &'static str, nodes: u32, settings: &[(&str, &str)]) -> Self {
        let mut holder = Holder::new(name);
        let settings: String = settings.iter().map(|(key, value)| format!(" --set '{key}={value}'")).collect();
        holder.order(&format!("start {name}={nodes}{settings}"));
        let answer = holder.order(&format!("env {name}"));
        let address = answer.trim().split_once('=').expect("NAME=VALUE").1.to_owned();
        Self { name, address, holder: Mutex::new(holder) }
    }

    /// Brokers, nodes, or the URL of the registry.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Kills a node, counted from 1, as a crash would.
    pub fn kill(&self, node: u32) {
        self.order(&format!("kill {} --node {node}", self.name));
    }

    /// Starts a node again and waits until it answers.
    pub fn start_again(&self, node: u32) {
        self.order(&format!("start {} --node {node}", self.name));
    }

    /// Starts all nodes that are down, together: of a cluster, one alone may not answer.
    pub fn start_all_again(&self) {
        self.order(&format!("start {}", self.name));
    }

    fn order(&self, command: &str) -> String {
        // A holder that failed at one order can take the next.
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).order(command)
    }
}

// === impl Holder ===

impl Holder {
    fn new(name: &str) -> Self {
        static HOLDERS: AtomicU32 = AtomicU32::new(0);
        let number = HOLDERS.fetch_add(1, Ordering::Relaxed);
        let folder = format!("{}/{name}-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
        let mut process = Command::new("python3")
            .arg(script())
            .arg("hold")
            // The holder removes it; here it would be forgotten when the program is killed.
            .env("SERVICES_DIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed to start services; on Debian and Ubuntu: apt install python3");
        let commands = process.stdin.take().expect("piped");
        let answers = BufReader::new(process.stdout.take().expect("piped"));
        Self { _process: process, commands, answers }
    }

    /// Has a command done, and returns what it printed. The holder limits the time of each.
    fn order(&mut self, command: &str) -> String {
        writeln!(self.commands, "{command}").expect("the holder of services has ended");
        let mut said = String::new();
        loop {
            let mut line = String::new();
            let read = self.answers.read_line(&mut line).expect("text");
            assert!(read > 0, "the holder of services ended at `{command}`\n{said}");
            match line.trim_end() {
                "= done" => return said,
                "= failed" => panic!("services: `{command}`\n{said}"),
                _ => said.push_str(&line),
            }
        }
    }
}
