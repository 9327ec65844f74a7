//! What cannot be written: a table that does not fit stops all before the first record, a row that does not is alone.

use super::keyspace::Keyspace;
use super::shop::{LETTERS, PRICES, Shop, gone, model, set};
use crate::support::{LIMIT, services, until};

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

#[test]
fn a_table_that_changes_under_a_host_stops_its_sink_and_says_why() {
    let shop = Shop::opened(keyspace(), "");
    let feed = "feed.prices.file=more.jsonl";
    std::fs::write(shop.folder.path("more.jsonl"), "").expect("written");
    let mut running = shop.folder.start(&["run", "--set", feed, "--set", "feed.prices.follow=true"]);
    let line = |id: &str| {
        let path = shop.folder.path("more.jsonl");
        let text = std::fs::read_to_string(&path).expect("readable");
        let line = format!("{{\"id\": \"{id}\", \"price\": 1, \"note\": \"n\", \"ttl\": null}}\n");
        std::fs::write(&path, text + &line).expect("written");
    };
    line("a");
    until("a row is there", LIMIT, || !shop.table().is_empty());
    shop.keyspace.cql("ALTER TABLE {ks}.prices DROP note");
    line("b");
    running.await_said("\"note\": wanted text, found no such column");
    running.interrupt();
    let ended = running.end();
    assert_ne!(ended.code(), Some(0), "{}", ended.stderr);
    assert!(shop.folder.letters(LETTERS).is_empty());
}
