//! What a pipeline file asks for: how long rows live, which replicas must have them, which data centre is asked, and several
//! tables of one topic.

use std::fs;

use bespoke_record::BatchBuilder;

use super::keyspace::Keyspace;
use super::shop::{LETTERS, PRICES, Shop, TIME_MS, gone, set, value};
use crate::support::{Folder, services};

fn keyspace() -> Keyspace {
    Keyspace::new(services::cassandra().address(), 1)
}

/// How many seconds the row of each product has left, as CQL tells.
fn ttls(shop: &Shop) -> Vec<(String, Option<i32>)> {
    let rows = shop.keyspace.cql("SELECT id, ttl(price) AS ttl FROM {ks}.prices");
    let mut ttls: Vec<_> = rows
        .iter()
        .map(|row| {
            let id = row["id"].as_ref().and_then(|id| id.as_text()).expect("a key").clone();
            (id, row["ttl"].as_ref().and_then(|ttl| ttl.as_int()))
        })
        .collect();
    ttls.sort();
    ttls
}

#[test]
fn a_row_lives_as_long_as_its_field_says() {
    let mut shop = Shop::opened(keyspace(), "ttl_field = \"ttl\"");
    let mut builder = BatchBuilder::new();
    for (id, ttl) in [("ever", None), ("zero", Some(0)), ("hour", Some(3_600)), ("never", Some(-1))] {
        builder.push(Some(id.as_bytes()), Some(&value(id, 1, None, ttl)), [], TIME_MS).expect("room");
    }
    shop.folder.append(PRICES, &builder.finish());
    shop.run().must_end(0);
    let ttls = ttls(&shop);
    assert!(
        matches!(&ttls[..], [(ever, None), (hour, Some(3_000..=3_600)), (zero, None)]
            if (ever.as_str(), hour.as_str(), zero.as_str()) == ("ever", "hour", "zero")),
        "{ttls:?}"
    );
    assert_eq!(shop.folder.letters(LETTERS).len(), 1);
    shop.set("tables.prices.ttl_s=60");
    assert!(shop.run().stderr.contains("exactly one of `ttl_s` and `ttl_field`"));
}

#[test]
fn all_rows_of_a_table_live_as_long_as_it_says() {
    let shop = Shop::opened(keyspace(), "ttl_s = 3600");
    shop.append(&[set("a", 1, None), set("b", 2, Some("n"))]);
    shop.run().must_end(0);
    let ttls = ttls(&shop);
    assert!(matches!(ttls[..], [(_, Some(3_000..=3_600)), (_, Some(3_000..=3_600))]), "{ttls:?}");
}

#[test]
fn one_topic_fills_several_tables() {
    let shop = Shop::new(keyspace(), "");
    let path = shop.folder.path("pipeline.toml");
    let more = r#"
[[sink]]
from = "prices"
table = "notes"

[tables.notes]
store = "cassandra"
partition_key = ["note"]
clustering_key = ["id"]
columns = ["id", "note"]

[[sink]]
from = "prices"
table = "beside"

[tables.beside]
path = "beside.db"
partition_key = ["id"]
columns = ["id", "price"]
"#;
    let text = fs::read_to_string(&path).expect("readable") + more;
    fs::write(&path, text).expect("written");
    shop.run().must_end(0);
    shop.append(&[set("a", 1, Some("n")), set("b", 2, None), set("c", 3, Some("n"))]);
    shop.run().must_end(0);
    assert_eq!(shop.table(), ["'a' | 'n' | 1", "'b' | - | 2", "'c' | 'n' | 3"]);
    let notes = || shop.keyspace.rows("SELECT note, id FROM {ks}.notes");
    assert_eq!(notes(), ["'a' | 'n'", "'c' | 'n'"]);
    let beside = |folder: &Folder| folder.host(&["table", "show", "beside"]).must_end(0).stdout.clone();
    assert!(beside(&shop.folder).contains('3'), "{}", beside(&shop.folder));
    // A record without a key of one table has a row in the others.
    let letters = shop.folder.letters(LETTERS);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert!(letter.stage == "notes" && letter.reason.contains("key column `note` is null"), "{letter:?}");
    // Nor does the key of the topic name a row of that table.
    shop.append(&[gone("a")]);
    shop.run().must_end(0);
    assert_eq!(shop.table(), ["'b' | - | 2", "'c' | 'n' | 3"]);
    assert_eq!(notes().len(), 2);
    assert_eq!(shop.folder.letters(LETTERS).len(), 2);
}

#[test]
fn as_many_replicas_must_have_a_row_as_the_consistency_says() {
    let mut shop = Shop::opened(keyspace(), "");
    shop.append(&[set("a", 1, None)]);
    shop.set("cassandra.consistency=three");
    let mut running = shop.start();
    running.await_said("waiting to write rows");
    running.await_said("1 of the 3 replicas that must have a row are there");
    running.interrupt();
    // The step is thrown away, and not kept waiting for.
    running.end();
    assert_eq!(shop.table(), Vec::<String>::new());
    shop.set("cassandra.consistency=local-one");
    shop.run().must_end(0);
    assert_eq!(shop.table(), ["'a' | - | 1"]);
}

#[test]
fn only_nodes_of_the_data_centre_are_asked() {
    let mut shop = Shop::new(keyspace(), "");
    shop.set("cassandra.datacenter=elsewhere");
    let ended = shop.run();
    ended.must_end(1);
    assert!(ended.stderr.contains("there is no data centre `elsewhere`; it has datacenter1"), "{}", ended.stderr);
    shop.set("cassandra.datacenter=datacenter1");
    shop.run().must_end(0);
    shop.append(&[set("a", 1, None)]);
    shop.run().must_end(0);
    assert_eq!(shop.table(), ["'a' | - | 1"]);
}
