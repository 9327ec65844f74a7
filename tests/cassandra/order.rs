//! The table ends as the topic says, whatever the times of the records, and however often they are written.

use super::keyspace::Keyspace;
use super::shop::{Shop, TIME_MS, gone, model, random, set};
use crate::support::services;

fn shop() -> Shop {
    Shop::opened(Keyspace::new(services::cassandra().address(), 1), "")
}

#[test]
fn of_changes_in_one_millisecond_the_last_one_counts() {
    let shop = shop();
    let mut all = Vec::new();
    // In one step, and in one after the other.
    for round in 0..3 {
        let changes =
            [set("a", 9, Some("z")), set("a", 1, None), set("b", 5, Some("y")), set("b", 4 - round, Some("x"))];
        shop.append(&changes);
        shop.run().must_end(0);
        all.extend(changes);
        assert_eq!(shop.table(), model(&all), "after round {round}");
    }
}

#[test]
fn deletes_and_inserts_count_in_their_order_and_again_in_a_replay() {
    let mut shop = shop();
    let changes = [
        set("insert-delete", 1, Some("n")),
        gone("insert-delete"),
        set("delete-insert", 1, Some("gone with it")),
        gone("delete-insert"),
        set("delete-insert", 2, None),
        gone("never-there"),
        set("twice", 1, None),
        gone("twice"),
        set("twice", 3, Some("back")),
        gone("twice"),
    ];
    // Each step of its own, and then all in one.
    for change in &changes {
        shop.append(std::slice::from_ref(change));
        shop.run().must_end(0);
    }
    assert_eq!(shop.table(), model(&changes));
    let before = shop.stamped();
    shop.set("sink.sink.name=again");
    shop.run().must_end(0);
    assert_eq!(shop.stamped(), before);
}

#[test]
fn a_replay_from_the_start_changes_nothing_in_the_end() {
    let mut shop = shop();
    let changes = random(1, 3_000, 50);
    // Times that go back and forth, and some that nobody means.
    let time = |index: usize| match index % 100 {
        50 => -1,
        51 => 1_767_225_600_000_000,
        place => TIME_MS + [0, 5, 3, -7, 0][place % 5],
    };
    for (number, part) in changes.chunks(700).enumerate() {
        shop.append_at(part, |index| time(number * 700 + index));
        shop.run().must_end(0);
    }
    assert_eq!(shop.table(), model(&changes));
    let before = shop.stamped();
    for name in ["again", "and-again"] {
        shop.set(&format!("sink.{}.name={name}", if name == "again" { "sink" } else { "0" }));
        shop.set("log.commit_interval_ms=1");
        shop.run().must_end(0);
        assert_eq!(shop.stamped(), before, "after the replay `{name}`");
    }
}

#[test]
fn a_host_that_goes_on_gives_the_stamps_that_come_next() {
    let shop = shop();
    shop.append(&[set("a", 1, None), set("a", 2, None)]);
    shop.run().must_end(0);
    shop.append(&[set("a", 1, None)]);
    shop.run().must_end(0);
    let stamp = (TIME_MS * 1_000 + 2).to_string();
    assert_eq!(shop.stamped(), [format!("'a' | - | 1 | {stamp}")]);
}

#[test]
fn a_null_leaves_the_column_or_takes_it_as_the_table_says() {
    let changes = [set("a", 1, Some("n")), set("a", 2, None)];
    for (table, expected) in [("", "'a' | 'n' | 2"), ("nulls = \"delete\"", "'a' | - | 2")] {
        let shop = Shop::opened(Keyspace::new(services::cassandra().address(), 1), table);
        for one_step in [false, true] {
            let parts = if one_step { changes.chunks(2) } else { changes.chunks(1) };
            for part in parts {
                shop.append(part);
                shop.run().must_end(0);
            }
            assert_eq!(shop.table(), [expected], "{table:?}, in one step: {one_step}");
        }
    }
}
