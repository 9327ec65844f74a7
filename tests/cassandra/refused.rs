//! What cannot be written: a table that does not fit stops all before the first record, a row that does not is alone.

use std::io::Write as _;

use super::keyspace::Keyspace;
use super::shop::{LETTERS, PRICES, Shop, gone, model, set};
use crate::support::{LIMIT, Running, services, until};

fn keyspace() -> Keyspace {
    Keyspace::new(services::cassandra().address(), 1)
}

#[test]
fn a_table_that_lacks_a_column_is_refused_before_the_first_record() {
    let shop = Shop::new(keyspace(), "");
    shop.keyspace.cql("CREATE TABLE {ks}.prices (id text PRIMARY KEY, price int)");
    let ended = shop.run();
    ended.must_end(64);
    for said in [
        "column \"price\": wanted bigint, found int",
        "column \"note\": wanted text, found no such column",
        "CREATE TABLE IF NOT EXISTS",
    ] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    assert_eq!(shop.folder.so_far(PRICES), 0);
}

#[test]
fn a_keyspace_is_made_only_if_its_replication_is_named() {
    let mut shop = Shop::new(keyspace(), "");
    shop.keyspace.cql("DROP KEYSPACE {ks}");
    let ended = shop.run();
    ended.must_end(64);
    assert!(ended.stderr.contains("replication"), "{}", ended.stderr);
    let checked = shop.folder.host(&["check", "--set", "cassandra.replication=1"]);
    checked.must_end(0);
    shop.set("cassandra.replication={ datacenter1 = 1 }");
    shop.run().must_end(0);
    assert_eq!(shop.table(), Vec::<String>::new());
    shop.folder.host(&["check"]).must_end(0);
    shop.append(&[set("a", 7, Some("n"))]);
    shop.run().must_end(0);
    let shown = shop.folder.host(&["table", "show", "prices"]);
    shown.must_end(0);
    assert!(shown.stdout.contains('7') && shown.stdout.contains("price"), "{}", shown.stdout);
}

#[test]
fn a_table_that_is_to_be_there_is_not_made() {
    let shop = Shop::new(keyspace(), "create = false");
    let ended = shop.run();
    ended.must_end(1);
    assert!(ended.stderr.contains("there is no table `prices`"), "{}", ended.stderr);
}

#[test]
fn a_row_that_cannot_be_written_is_one_dead_letter_among_ten_thousand() {
    let shop = Shop::opened(keyspace(), "");
    let mut changes: Vec<_> = (0..10_000).map(|n| set(&format!("p{}", n % 3_000), n, Some("n"))).collect();
    // No row of Cassandra has an empty key.
    changes.insert(5_000, set("", 1, None));
    shop.append(&changes);
    shop.run().must_end(0);
    changes.remove(5_000);
    assert_eq!(shop.table(), model(&changes));
    let letters = shop.folder.letters(LETTERS);
    let [letter] = &letters[..] else { panic!("{} dead letters", letters.len()) };
    assert_eq!((letter.kind.as_str(), letter.stage.as_str()), ("row", "sink"));
    assert!(letter.reason.contains("may not be empty"), "{}", letter.reason);
    shop.folder.must_keep_originals(LETTERS);
}

#[test]
fn a_row_that_is_too_large_leaves_the_one_before_it_in_the_same_step() {
    let shop = Shop::opened(keyspace(), "");
    let large = "x".repeat(9 << 20);
    // More than the node takes as a mutation; then more than it takes as a frame is refused here.
    shop.append(&[set("a", 1, Some("n")), set("a", 2, Some(&large)), set("b", 1, None)]);
    shop.append(&[set("c", 1, None), set("c", 2, Some(&"x".repeat(15 << 20))), gone("b")]);
    shop.run().must_end(0);
    assert_eq!(shop.table(), ["'a' | 'n' | 1", "'c' | - | 1"]);
    assert_eq!(shop.folder.letters(LETTERS).len(), 2);
    shop.folder.must_keep_originals(LETTERS);
}

/// A node of version 5.0 keeps nothing beyond January 2038, unless it is set up to.
#[test]
fn a_table_whose_settings_refuse_every_row_stops_its_sink() {
    let mut shop = Shop::opened(keyspace(), "ttl_s = 630720000");
    // All of them are in one step.
    shop.set("log.commit_interval_ms=2000");
    let changes: Vec<_> = (0..300).map(|n| set(&format!("p{n}"), n, None)).collect();
    shop.append(&changes);
    let ended = shop.run();
    ended.must_end(1);
    for said in ["table `prices` has refused 300 rows in a row and taken none", "expiration"] {
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    assert_eq!(shop.folder.letters(LETTERS).len(), 300);
    assert_eq!(shop.table(), Vec::<String>::new());
    // Mended, all of them can be had after all.
    shop.set("tables.prices.ttl_s=3600");
    shop.folder.host(&["dead-letters", "replay"]).must_end(0);
    shop.run().must_end(0);
    assert_eq!(shop.table(), model(&changes));
}

/// A host whose feed goes on, and what is added to it.
struct Following {
    shop: Shop,
    running: Running,
}

impl Following {
    fn new() -> Self {
        let shop = Shop::opened(keyspace(), "");
        std::fs::write(shop.folder.path("more.jsonl"), "").expect("written");
        let feed = "feed.prices.file=more.jsonl";
        let running = shop.folder.start(&["run", "--set", feed, "--set", "feed.prices.follow=true"]);
        let this = Self { shop, running };
        this.add("a");
        until("a row is there", LIMIT, || !this.shop.table().is_empty());
        this
    }

    fn add(&self, id: &str) {
        let line = format!("{{\"id\": \"{id}\", \"price\": 1, \"note\": \"n\", \"ttl\": null}}\n");
        let file = std::fs::File::options().append(true).open(self.shop.folder.path("more.jsonl"));
        file.and_then(|mut file| file.write_all(line.as_bytes())).expect("written");
    }

    /// The sink ends and says this; no row is taken to be at fault.
    fn must_stop(self, said: &str) {
        self.running.wait_for(said);
        self.running.interrupt();
        let ended = self.running.end();
        assert_ne!(ended.code(), Some(0), "{}", ended.stderr);
        assert!(self.shop.folder.letters(LETTERS).is_empty());
    }
}

#[test]
fn a_table_that_changes_under_a_host_stops_its_sink_and_says_why() {
    let following = Following::new();
    following.shop.keyspace.cql("ALTER TABLE {ks}.prices DROP note");
    following.add("b");
    following.must_stop("\"note\": wanted text, found no such column");
}

/// Of values that are as wide as those before, or with another key: no node would say a word.
#[test]
fn a_table_that_is_made_anew_as_another_stops_its_sink() {
    let others = [
        ("(id text PRIMARY KEY, price timestamp, note text)", "\"price\": wanted bigint, found timestamp"),
        ("(id text, price bigint, note text PRIMARY KEY)", "primary key: wanted ((\"id\")), found ((\"note\"))"),
    ];
    for (table, said) in others {
        let following = Following::new();
        following.shop.keyspace.cql("DROP TABLE {ks}.prices");
        following.shop.keyspace.cql(&format!("CREATE TABLE {{ks}}.prices {table}"));
        let mut number = 0;
        until("it hears of that", LIMIT, || {
            following.add(&format!("b{number}"));

            number += 1;
            following.running.said().contains(said)
        });
        following.must_stop(said);
    }
}

#[test]
fn a_table_that_is_made_anew_as_it_was_is_filled_on() {
    let mut following = Following::new();
    let table = "(id text PRIMARY KEY, price bigint, note text)";
    following.shop.keyspace.cql("DROP TABLE {ks}.prices");
    following.shop.keyspace.cql(&format!("CREATE TABLE {{ks}}.prices {table}"));
    following.add("b");
    until("a row is there", LIMIT, || following.shop.table() == ["'b' | 'n' | 1"]);
    assert!(following.running.is_running());
    following.running.interrupt();
    following.running.end().must_end(0);
    assert!(following.shop.folder.letters(LETTERS).is_empty());
}
