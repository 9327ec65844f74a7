//! A node that asks who is there and can encrypt: who has the right credentials writes to it, and who does not is told so, in
//! a time that somebody waits for.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::keyspace::Keyspace;
use super::shop::{Shop, set};
use crate::support::services::{self, Service};
use crate::support::{Ended, LIMIT, certificates, until};

/// Longer than a host waits for nodes that refuse it, on a slow machine.
const BOUND: Duration = Duration::from_secs(45);
/// The user that a new cluster has.
const FIRST: (&str, &str) = ("cassandra", "cassandra");

/// A node that all tests share. It takes connections with and without TLS at one port; those with it need a certificate.
struct Secured {
    node: Service,
    /// Certificates, keys and a password.
    folder: TempDir,
}

// === impl Secured ===

impl Secured {
    fn get() -> &'static Self {
        static SECURED: OnceLock<Secured> = OnceLock::new();
        SECURED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let folder = certificates::folder("node");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("password"), "right\n").expect("written");
        let encryption = format!(
            "{{enabled: true, optional: true, require_client_auth: true, keystore: {}, truststore: {}, \
             ssl_context_factory: {{class_name: org.apache.cassandra.security.PEMBasedSslContextFactory}}}}",
            path("node.pem").display(),
            path("ours.pem").display()
        );
        let node = services::own_cassandra_with(&[
            ("authenticator", "PasswordAuthenticator"),
            ("authorizer", "CassandraAuthorizer"),
            ("permissions_validity", "100ms"),
            ("client_encryption_options", &encryption),
        ]);
        let secured = Self { node, folder };
        let keyspace = secured.keyspace();
        for (role, may) in [("writer", "ALL"), ("secret", "ALL"), ("reader", "SELECT")] {
            keyspace.cql(&format!("CREATE ROLE {role} WITH PASSWORD = 'right' AND LOGIN = true"));
            keyspace.cql(&format!("GRANT {may} ON ALL KEYSPACES TO {role}"));
        }
        secured
    }

    fn keyspace(&self) -> Keyspace {
        Keyspace::of(self.node.address(), 1, Some(FIRST))
    }

    /// A text in which `{}` stands for the folder of certificates.
    fn inside(&self, text: &str) -> String {
        text.replace("{}", &self.folder.path().display().to_string())
    }
}

/// A shop whose sink comes with these keys of [cassandra].
fn shop(keys: &str) -> Shop {
    let secured = Secured::get();
    let mut shop = Shop::new(secured.keyspace(), "");
    for key in keys.split_whitespace() {
        shop.set(&format!("cassandra.{}", secured.inside(key)));
    }
    shop
}

/// It runs, and its row is there.
fn works(shop: &Shop, environment: &[(&str, &str)]) {
    shop.run_with(environment).must_end(0);
    shop.append(&[set("a", 7, None)]);
    shop.run_with(environment).must_end(0);
    assert_eq!(shop.table(), ["'a' | - | 7"]);
}

/// It ends with an error that says what is wrong, though it would wait for nodes much longer.
fn refused(keys: &str, says: &str) -> Ended {
    let begin = Instant::now();
    let ended = shop(keys).run();
    let told = &ended.must_end(1).stderr;
    let error = told.lines().rfind(|line| line.starts_with("error: ")).expect("an error");
    assert!(error.contains("cannot connect to Cassandra at") && error.contains(says), "{told}");
    assert!(begin.elapsed() < BOUND, "{:?}", begin.elapsed());
    ended
}

#[test]
fn a_password_is_in_a_file_or_in_the_environment() {
    works(&shop("username=writer password_file={}/password"), &[]);
    works(&shop("username=writer password=${SHOP_PASSWORD}"), &[("SHOP_PASSWORD", "right")]);
}

#[test]
fn a_wrong_password_is_told() {
    let ended = refused("username=writer password=wrong-one", "incorrect");
    assert!(!ended.stderr.contains("wrong-one"), "{}", ended.stderr);
}

#[test]
fn who_has_no_password_is_told() {
    refused("", "it asks for a password");
    refused("username=writer password_file={}/missing", "missing");
}

#[test]
fn connections_are_encrypted_with_certificates_on_both_sides() {
    let shop = shop("username=secret password=right ca={}/ours.pem certificate={}/client.pem key={}/client.key");
    works(&shop, &[]);
    shop.append(&[set("b", 1, None)]);
    let running = shop.start_for_ever();
    until("a row is there", LIMIT, || shop.table().len() == 2);
    let mut connections = shop.keyspace.rows("SELECT username, ssl_enabled FROM system_views.clients");
    // Those of other tests come without.
    connections.retain(|connection| connection.ends_with("'secret'"));
    running.interrupt();
    running.end().must_end(0);
    assert!(
        !connections.is_empty() && connections.iter().all(|connection| connection == "true | 'secret'"),
        "{connections:?}"
    );
}

#[test]
fn a_node_that_is_not_trusted_is_told() {
    let client = "username=writer password=right certificate={}/client.pem key={}/client.key";
    refused(&format!("{client} ca={{}}/other.pem"), "certificate verify failed");
    // Nor do those vouch for it that the system trusts.
    refused(client, "certificate verify failed");
}

#[test]
fn a_client_that_is_not_trusted_is_told() {
    refused("username=writer password=right ca={}/ours.pem", "certificate");
    let stranger = "certificate={}/stranger.pem key={}/stranger.key";
    refused(&format!("username=writer password=right ca={{}}/ours.pem {stranger}"), "TLS: ");
    refused("username=writer password=right ca={}/missing.pem", "certificates cannot be used");
}

#[test]
fn a_user_that_may_not_write_is_told_and_goes_on_when_it_may() {
    let mut shop = shop("");
    shop.keyspace.cql("CREATE TABLE {ks}.prices (id text PRIMARY KEY, price bigint, note text)");
    shop.set("cassandra.username=reader");
    shop.set("cassandra.password=right");
    shop.run().must_end(0);
    shop.append(&[set("a", 7, None)]);
    let mut running = shop.start();
    running.await_said("has no MODIFY permission");
    shop.keyspace.cql("GRANT MODIFY ON KEYSPACE {ks} TO reader");
    running.end().must_end(0);
    assert_eq!(shop.table(), ["'a' | - | 7"]);
}
