//! What becomes of feeds, records and modules of all kinds, seen from outside: the program runs a pipeline.
//!
//! A case is a folder in `tests/scenarios`: `pipeline.toml`, what it needs, and what must come of it, of which a case has
//! what tells something: `table.txt` (the table `rows`), `expected.jsonl` (the topic `out`), `dead-letters.txt`, or
//! `error.txt` (the exit code and what standard error says: all of it if nothing ran, else lines of it). With `BESPOKE_BLESS=1` in the
//! environment the answers are written anew, to be read before they are committed.

use std::fs;
use std::path::{Path, PathBuf};

use bespoke_record::BatchBuilder;
use host::schema::framing;

use crate::support::{Folder, LIMIT, Letter, joined, top, until};

const LETTERS: &str = "case.dead-letters";
const RUN: [&str; 3] = ["run", "--until-end", "pipeline.toml"];
/// What the example's pipeline needs to run in a folder of a test. One partition, so that every run has one order.
const IN_FOLDER: [&str; 8] = [
    "--set",
    "log.path=log.db",
    "--set",
    "schemas.dir=schemas",
    "--set",
    "schemas.ids=log.schemas.json",
    "--set",
    "topics.\"bespoke.avro.product\".partitions=1",
];

fn cases() -> PathBuf {
    top().join("tests/scenarios")
}

/// Compares with a file of the case, if it has it.
fn compare(file: &Path, found: impl FnOnce() -> String) {
    if !file.exists() {
        return;
    }
    let found = found();
    if std::env::var_os("BESPOKE_BLESS").is_some() {
        fs::write(file, &found).expect("the folder is writable");
    }
    similar_asserts::assert_eq!(fs::read_to_string(file).expect("UTF-8"), found, "{:?}", file);
}

fn letters(folder: &Folder, topic: &str) -> String {
    joined(&folder.letters(topic).iter().map(|letter| letter.line()).collect::<Vec<_>>())
}

fn case(name: &str) {
    let dir = cases().join(name);
    let folder = Folder::of(&dir);
    let ended = folder.host(&RUN);
    match fs::read_to_string(dir.join("error.txt")) {
        Ok(errors) => {
            // The first line tells how it ends: 64 for what is wrong before anything runs, 1 for what fails then.
            let (code, said) = errors.split_once('\n').expect("an exit code, then what is said");
            let code = code.strip_prefix("exit ").and_then(|code| code.parse().ok()).expect("exit CODE");
            ended.must_end(code);
            let stderr = folder.inside(&ended.stderr);
            if code == 64 {
                compare(&dir.join("error.txt"), || format!("exit 64\n{stderr}"));
            }
            // What runs before it fails has log lines, with their times.
            for line in said.lines() {
                assert!(stderr.contains(line), "{name}: no `{line}` in:\n{stderr}");
            }
            assert!(!said.is_empty(), "{name}: it must say something:\n{stderr}");
        }
        Err(_) => {
            ended.must_end(0);
        }
    }
    compare(&dir.join("table.txt"), || folder.table("rows"));
    compare(&dir.join("expected.jsonl"), || folder.topic("out"));
    compare(&dir.join("dead-letters.txt"), || letters(&folder, LETTERS));
    folder.must_keep_originals(LETTERS);
}

/// A test for each folder, so that they run side by side.
macro_rules! cases {
    ($($test:ident = $folder:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            case($folder);
        })*

        #[test]
        fn every_case_has_a_test() {
            let mut tested = vec!["reference", $($folder),*];
            let entries = fs::read_dir(cases()).expect("cases").map(|entry| entry.expect("readable"));
            let mut there: Vec<_> = entries
                .filter(|entry| entry.path().is_dir())
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect();
            tested.sort_unstable();
            there.sort_unstable();
            assert_eq!(there, tested);
        }
    };
}

cases! {
    malformed_lines_are_dead_letters = "malformed-lines",
    a_table_of_text_is_a_feed = "csv",
    an_empty_feed_is_through_at_once = "empty-feed",
    a_feed_that_is_not_there_is_told = "missing-feed",
    a_key_that_is_null_makes_a_dead_letter = "null-key",
    a_module_that_is_not_there_is_told = "module-missing",
    an_empty_file_is_no_module = "module-empty",
    a_text_is_no_module = "module-text",
    a_core_module_is_no_component = "module-core",
    a_module_must_export_a_function = "module-export",
    a_module_cannot_import_what_nobody_has = "module-import",
    a_field_of_another_type_is_told_with_both_types = "module-field",
}

#[test]
fn the_example_ends_in_its_table_and_a_second_run_changes_nothing() {
    let folder = Folder::of(&top().join("examples/products"));
    let arguments = [&RUN[..], &IN_FOLDER[..]].concat();
    folder.host(&arguments).must_end(0);
    let table = folder.table("product_analysis");
    compare(&cases().join("reference/table.txt"), || table.clone());
    compare(&cases().join("reference/dead-letters.txt"), || letters(&folder, "products.dead-letters"));
    folder.must_keep_originals("products.dead-letters");
    folder.host(&arguments).must_end(0);
    similar_asserts::assert_eq!(folder.table("product_analysis"), table);
    let mut processed = 0;
    folder.each("bespoke.avro.product.processed", |_, _| processed += 1);
    assert_eq!(processed + folder.letters("products.dead-letters").len(), 2000);
}

#[test]
fn a_pipe_goes_from_standard_input_to_standard_output() {
    let folder = Folder::of(&cases().join("malformed-lines"));
    let feed = fs::read_to_string(folder.path("feed.jsonl")).expect("a feed");
    let ended =
        folder.host_given(&["run", "--module", "modules/processor.wasm", "--schema", "schemas/product.avsc"], &feed);
    ended.must_end(1);
    let mut lines: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
    lines.sort();
    let expected = fs::read_to_string(cases().join("malformed-lines/expected.jsonl")).expect("its answers");
    similar_asserts::assert_eq!(joined(&lines), expected);
    assert!(ended.stderr.contains("the price 0 is not above zero"), "{}", ended.stderr);
}

#[test]
fn topics_are_as_they_are_and_new_ones_follow_them() {
    let folder = Folder::of(&cases().join("csv"));
    let three = ["feed", "feed.csv", "--to", "in", "--set", "topics.in.partitions=3"];
    folder.host(&three).must_end(0);
    folder.host(&RUN).must_end(0);
    let described = folder.host(&["topics", "list"]);
    let of = |name: &str| {
        let line = described.stdout.lines().find(|line| line.split_whitespace().next() == Some(name));
        line.and_then(|line| line.split_whitespace().nth(1)).map(str::to_owned)
    };
    assert_eq!([of("in"), of("out"), of(LETTERS)], ["3", "3", "1"].map(|n| Some(n.to_owned())), "{described:?}");
    let other = folder.host(&[&RUN[..], &["--set", "topics.out.partitions=2"]].concat());
    other.must_end(64);
    assert!(other.stderr.contains("topic `out` has 3 partitions, not 2"), "{}", other.stderr);
}

#[test]
fn a_second_host_on_the_same_log_is_refused() {
    let folder = Folder::of(&cases().join("csv"));
    let first = folder.start(&["run", "pipeline.toml"]);
    // The second comes when the first has the file and has done its work.
    until("records come out", LIMIT, || folder.so_far("out") > 0);
    let second = folder.host(&RUN);
    second.must_end(1);
    let told = format!("is in use by another host (process {})", first.id());
    assert!(second.stderr.contains(&told), "{}", second.stderr);
    first.interrupt();
    first.end().must_end(0);
}

#[test]
fn records_that_others_wrote_wrongly_are_dead_letters() {
    let folder = Folder::of(&cases().join("csv"));
    folder.host(&RUN).must_end(0);
    let (good, before) = (folder.topic("out"), folder.letters(LETTERS).len());
    let right = folder.values("in").swap_remove(0);
    let (_, datum) = framing::split(&right).expect("framed");
    let at = right.len() - datum.len() + 20;
    let wrong = [
        [&framing::prefix(4711)[..], datum].concat(),
        b"{\"id\":1}".to_vec(),
        vec![0, 0],
        Vec::new(),
        right[..right.len() - 3].to_vec(),
        [&right[..], b"more"].concat(),
        // Within the category, which the module reads.
        [&right[..at], &[0xff], &right[at + 1..]].concat(),
    ];
    {
        let mut records = BatchBuilder::new();
        for value in wrong.iter().chain([&right]) {
            records.push(Some(b"k"), Some(value), [("trace", Some(&b"7"[..]))], 42).expect("room");
        }
        folder.append("in", &records.finish());
    }
    folder.host(&RUN).must_end(0);
    let found = folder.letters(LETTERS).split_off(before);
    let lines: Vec<String> = found.iter().map(Letter::line).collect();
    similar_asserts::assert_eq!(
        lines,
        [
            "schema | processor | in-0:3 | no schema has the id 4711",
            "decode | processor | in-0:4 | the value starts with byte 0x7b, not with 0 and a schema id; was it written without a \
             schema registry?",
            "decode | processor | in-0:5 | the value has 2 bytes, fewer than those that name its schema",
            "decode | processor | in-0:6 | the value has 0 bytes, fewer than those that name its schema",
            "decode | processor | in-0:7 | not a record of schema 1: the bytes end within a value",
            "decode | processor | in-0:8 | not a record of schema 1: 4 bytes are left over after the value",
            "decode | processor | in-0:9 | not a record of schema 1: the string that ends at byte 27 is not UTF-8",
        ]
    );
    folder.must_keep_originals(LETTERS);
    assert_eq!(folder.topic("out").lines().count(), good.lines().count() + 1);

    // They come back as they were.
    let there = folder.values("in").len();
    folder.host(&["dead-letters", "replay"]).must_end(0);
    let mut again = Vec::new();
    folder.each("in", |_, record| {
        let headers: Vec<_> =
            record.headers().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect();
        again.push((
            record.key().map(<[u8]>::to_vec),
            record.value().map(<[u8]>::to_vec),
            headers,
            record.timestamp_ms(),
        ));
    });
    let as_it_was = |value| (Some(b"k".to_vec()), Some(value), vec![("trace".to_owned(), Some(b"7".to_vec()))], 42);
    assert!(again.split_off(there) == wrong.map(as_it_was), "a record has changed");
}

#[test]
fn what_a_module_never_sees_does_not_say_that_it_is_broken() {
    let folder = Folder::of(&cases().join("csv"));
    folder.host(&RUN).must_end(0);
    let before = folder.letters(LETTERS).len();
    let mut records = BatchBuilder::new();
    (0..150).for_each(|_| records.push(Some(b"k"), Some(b"{}"), [], 42).expect("room"));
    folder.append("in", &records.finish());
    folder.host(&RUN).must_end(0);
    assert_eq!(folder.letters(LETTERS).len(), before + 150);
}

#[test]
fn a_line_without_a_key_is_a_dead_letter_as_it_was() {
    let folder = Folder::of(&cases().join("null-key"));
    folder.host(&RUN).must_end(0);
    let shown = folder.host(&["dead-letters", "show", "--kind", "key", "--raw"]);
    shown.must_end(0);
    assert_eq!(shown.stdout, "{\"shop\":null,\"price\":2}\n{\"price\":3}\n");
}

#[test]
fn all_lines_that_were_no_records_can_be_had_to_be_fed_again() {
    let folder = Folder::of(&cases().join("null-key"));
    let lines: String = (0..15).map(|n| format!("{{\"price\":{n}}}\nno JSON {n}\n")).collect();
    fs::write(folder.path("feed.jsonl"), &lines).expect("written");
    folder.host(&RUN).must_end(0);
    let shown = folder.host(&["dead-letters", "show", "--kind", "feed,key", "--raw"]);
    assert_eq!(shown.must_end(0).stdout, lines);
    let newest = folder.host(&["dead-letters", "show", "--kind", "feed,key", "--raw", "--max", "1"]);
    assert_eq!(newest.must_end(0).stdout, "no JSON 14\n");
    let whole = folder.host(&["dead-letters", "show"]);
    assert!(whole.must_end(0).stdout.ends_with("the newest 10 of 30; `--max N` shows more\n"), "{}", whole.stdout);
}

/// A pipeline with a table that was made and is still empty, at a path of its own or in the log's file; and that file. Its sink
/// ends after so many refused rows in a row.
fn with_offers(path: &str, in_a_row: u32) -> (Folder, PathBuf) {
    let folder = Folder::of(&cases().join("null-key"));
    let pipeline = fs::read_to_string(folder.path("pipeline.toml")).expect("UTF-8");
    let sink = "[[sink]]\nname = \"sink\"\nfrom = \"out\"\ntable = \"offers\"";
    let table = format!("[tables.offers]\nstore = \"sqlite\"\npartition_key = [\"shop\"]\n{path}\n");
    let text = format!("{pipeline}\n{sink}\nmax_dead_letters_in_a_row = {in_a_row}\n\n{table}");
    fs::write(folder.path("pipeline.toml"), text).expect("written");
    fs::write(folder.path("feed.jsonl"), "").expect("written");
    folder.host(&RUN).must_end(0);
    let file = folder.path(if path.is_empty() { "log.db" } else { "rows.db" });
    (folder, file)
}

/// The table of each place: the log's own file, where rows are part of the step, and another.
#[test]
fn a_row_that_a_table_of_its_user_refuses_is_a_dead_letter() {
    for path in ["", "path = \"rows.db\""] {
        let (folder, file) = with_offers(path, 1000);
        let open = || rusqlite::Connection::open(&file).expect("a database");
        let stricter = "DROP TABLE offers;
            CREATE TABLE offers (shop TEXT NOT NULL PRIMARY KEY, price REAL CHECK (price > 0), UNIQUE (price)) STRICT;
            INSERT INTO offers VALUES ('d', 4);";
        open().execute_batch(stricter).expect("made");
        // The last of `a` and of `b` are refused, and those that they would have taken the place of count. That of `c` is
        // refused whatever comes, many times.
        let mut lines: Vec<String> = [("a", 1), ("a", -1), ("b", 2), ("b", 4)]
            .map(|(shop, price)| format!("{{\"shop\":\"{shop}\",\"price\":{price}}}\n"))
            .into();
        lines.extend((0..500).map(|n| format!("{{\"shop\":\"c\",\"price\":-{n}}}\n")));
        fs::write(folder.path("feed.jsonl"), lines.concat()).expect("written");
        folder.host(&RUN).must_end(0);
        let rows = "SELECT group_concat(shop || ' ' || price, ', ' ORDER BY shop) FROM offers";
        let rows: String = open().query_row(rows, [], |row| row.get(0)).expect("rows");
        assert_eq!(rows, "a 1.0, b 2.0, d 4.0", "{path}");
        let mut found: Vec<String> = folder.letters(LETTERS).iter().map(Letter::line).collect();
        found.sort_unstable();
        assert_eq!(found.len(), 502, "{path}");
        let of_c = "row | sink | out-0:10 | CHECK constraint failed: price > 0";
        for line in [
            "row | sink | out-0:1 | CHECK constraint failed: price > 0",
            of_c,
            "row | sink | out-0:3 | UNIQUE constraint failed: offers.price",
        ] {
            assert!(found.iter().any(|found| found == line), "{found:#?}");
        }
        folder.must_keep_originals(LETTERS);
    }
}

#[test]
fn a_table_that_refuses_every_row_stops_its_sink() {
    for path in ["", "path = \"rows.db\""] {
        let (folder, file) = with_offers(path, 20);
        let open = || rusqlite::Connection::open(&file).expect("a database");
        open()
            .execute_batch("CREATE TRIGGER closed BEFORE INSERT ON offers BEGIN SELECT RAISE(ABORT, 'closed'); END")
            .expect("made");
        let lines = (0..30).map(|n| format!("{{\"shop\":\"s{n:02}\",\"price\":1}}\n"));
        fs::write(folder.path("feed.jsonl"), lines.collect::<String>()).expect("written");
        let ended = folder.host(&RUN);
        ended.must_end(1);
        let said = "table `offers` has refused 30 rows in a row and taken none";
        assert!(ended.stderr.contains(said) && ended.stderr.contains("the last one: closed"), "{}", ended.stderr);
        assert_eq!(folder.letters(LETTERS).len(), 30, "{path}");
        // Mended, it goes on behind them, and what was refused can be sent again.
        open().execute_batch("DROP TRIGGER closed").expect("dropped");
        folder.host(&["dead-letters", "replay"]).must_end(0);
        folder.host(&RUN).must_end(0);
        let rows: i64 = open().query_row("SELECT count(*) FROM offers", [], |row| row.get(0)).expect("a number");
        assert_eq!(rows, 30, "{path}");
    }
}

#[test]
fn rows_that_may_come_out_of_order_are_told_when_it_starts() {
    let folder = Folder::of(&cases().join("null-key"));
    let pipeline = fs::read_to_string(folder.path("pipeline.toml")).expect("UTF-8");
    let sink = |name: &str| format!("[[sink]]\nname = \"{name}\"\nfrom = \"out\"\ntable = \"offers\"\n");
    let table = "[tables.offers]\npartition_key = [\"price\"]\n";
    let write = |pipeline: &str| {
        fs::write(folder.path("pipeline.toml"), [pipeline, &sink("one"), &sink("other"), table].join("\n"))
            .expect("written");
    };
    write(&pipeline);
    let told = |set: &[&str]| {
        let ended = folder.host(&[&["run", "--until-end"][..], set].concat());
        ended.must_end(0);
        ended
            .stderr
            .lines()
            .filter(|line| line.contains("may come out of order"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let same = "sink `one` fills the same table `offers`";
    let lines = told(&[]);
    assert!(lines.len() == 1 && lines[0].contains(same), "one partition has an order: {lines:#?}");
    let several = ["--set", "log.path=other.db", "--set", "topics.out.partitions=2"];
    let lines = told(&several);
    let other = "the key of its topic has `shop`, which is no part of the table's key";
    assert_eq!(lines.iter().filter(|line| line.contains(other)).count(), 2, "{lines:#?}");
    write(&pipeline.replace("key = [\"shop\"]", ""));
    let lines = told(&["--set", "log.path=third.db", "--set", "topics.out.partitions=2"]);
    assert_eq!(lines.iter().filter(|line| line.contains("have no key")).count(), 2, "{lines:#?}");
}

/// Nothing in the file says how the keys of the topic are made, but for the sink itself.
#[test]
fn a_tombstone_of_a_topic_that_others_fill_deletes_its_row() {
    let folder = Folder::of(&cases().join("null-key"));
    fs::write(
        folder.path("feed.jsonl"),
        ["a", "b", "c"].map(|s| format!("{{\"shop\":\"{s}\",\"price\":1}}\n")).concat(),
    )
    .expect("written");
    folder.host(&RUN).must_end(0);
    let rows = |name: &str, sink: &str, columns: &str| -> String {
        let file = format!(
            "name = \"{name}\"\n[log]\npath = \"log.db\"\n[dead_letters]\ntopic = \"{LETTERS}\"\n[schemas]\ndir = \".\"\nids = \"log.schemas.json\"\n[topics]\nout = {{ schema = \"offer\" }}\n\
             [[sink]]\nfrom = \"out\"\ntable = \"{name}\"\n{sink}\n[tables.{name}]\npartition_key = {columns}\n"
        );
        fs::write(folder.path("pipeline.toml"), file).expect("written");
        folder.host(&RUN).must_end(0);
        rusqlite::Connection::open(folder.path("log.db"))
            .expect("a database")
            .query_row(&format!("SELECT group_concat(shop, ' ' ORDER BY shop) FROM {name}"), [], |row| row.get(0))
            .expect("rows")
    };
    let before = folder.letters(LETTERS).len();
    assert_eq!(rows("plain", "", "[\"shop\"]"), "a b c");
    let mut records = BatchBuilder::new();
    records.push(Some(b"a"), None, [], 4_000_000_000_000).expect("room");
    folder.append("out", &records.finish());
    assert_eq!(rows("plain", "", "[\"shop\"]"), "b c", "the table's one key column is the key");
    assert_eq!(rows("told", "key = [\"shop\"]", "[\"shop\"]"), "b c");
    assert_eq!(folder.letters(LETTERS).len(), before);
    // Of two columns nobody knows which the key is made of.
    assert_eq!(rows("pair", "", "[\"shop\", \"price\"]"), "a b c");
    let last = folder.letters(LETTERS).last().map(Letter::line).expect("a dead letter");
    assert!(last.contains("nobody says of which fields it is made; give the sink a `key`"), "{last}");
}

#[test]
fn a_record_of_10_mb_passes_and_a_line_of_more_than_16_is_a_dead_letter() {
    let folder = Folder::of(&cases().join("empty-feed"));
    let line = |name: &str| {
        format!(r#"{{"id":"p","name":"{name}","category":"c","price":1,"quantity":1,"updated":1,"in_stock":true}}"#)
    };
    let (large, too_large) = ("x".repeat(10 << 20), "y".repeat(16 << 20));
    fs::write(folder.path("feed.jsonl"), [line("a"), line(&large), line(&too_large), line("b")].join("\n"))
        .expect("written");
    folder.host(&RUN).must_end(0);
    let out = folder.topic("out");
    assert_eq!(out.lines().count(), 3);
    assert!(out.contains(&large), "the large record has changed");
    let letters = folder.letters(LETTERS);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(
        letter.line(),
        "feed | feed | feed.jsonl:3 | the line is longer than 16777216 bytes; its beginning is kept"
    );
    let kept = letter.value.as_deref().unwrap_or_default();
    assert!(kept.len() == 64 << 10 && line(&too_large).as_bytes().starts_with(kept), "{} bytes are kept", kept.len());
}

/// Writes beyond a limit of the system fail, as they do on a full disk. Then there is room again while the host runs, or for
/// the next host when this one was killed.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_told_and_loses_nothing() {
    const RECORDS: usize = 20_000;
    let line = |n: usize| {
        format!(r#"{{"id":"p-{n:05}","name":"n","category":"c","price":1,"quantity":1,"updated":{n},"in_stock":true}}"#)
            + "\n"
    };
    for is_killed in [false, true] {
        let folder = Folder::of(&cases().join("empty-feed"));
        fs::write(folder.path("feed.jsonl"), (0..RECORDS).map(line).collect::<String>()).expect("written");
        let mut running = folder.start_with_files_of(1 << 20, &RUN);
        running.await_said("commit failed, trying again");
        let ended = if is_killed {
            running.kill()
        } else {
            running.let_files_grow();
            running.end()
        };
        assert!(folder.inside(&ended.stderr).contains("path=\"log.db\" error=disk I/O error"), "{}", ended.stderr);
        // What was committed is whole, and the rest comes behind it.
        if is_killed {
            assert!(folder.values("in").len() < RECORDS);
            folder.host(&RUN).must_end(0);
        } else {
            ended.must_end(0);
        }
        let ids: Vec<String> = folder.topic("out").lines().map(|line| line[..14].to_owned()).collect();
        let expected: Vec<String> = (0..RECORDS).map(|n| line(n)[..14].to_owned()).collect();
        assert!(ids == expected, "records are lost or doubled: {} of {RECORDS}", ids.len());
        assert_eq!(folder.letters(LETTERS).len(), 0);
    }
}
