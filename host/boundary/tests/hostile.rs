//! Bytes and modules that mean harm: an error each time, never a panic, and nobody else is hurt.

mod everything;
mod guest;
#[allow(dead_code, reason = "schemas here are written by hand")]
mod support;

use apache_avro::schema::Schema as Avro;
use bespoke_boundary::{Schema, Violation};
use everything::{EVERYTHING, RECORDS, bits, everything, value};
use guest::{Call, Came, Guest, LIMIT, component, named};
use support::{decode, encode};

/// Sends a datum between two good ones. What is accepted must be what apache-avro accepts, and comes back as that.
fn between_good_ones(guest: &mut Guest, schema: &Schema, avro: &Avro, datum: Vec<u8>) -> bool {
    let (first, last) = (encode(avro, value(1)), encode(avro, value(2)));
    let data = [first.clone(), datum.clone(), last.clone()];
    let mut call = Call::new(guest.plan(schema, &[schema]).expect("a plan"), &data);
    call.push(0).expect("the first is good");
    let accepted = call.push(1).is_ok();
    call.push(2).expect("the last is good");
    guest.call(&mut call, LIMIT).unwrap_or_else(|e| panic!("{e:?}"));
    let came = call.came();
    assert_eq!(came.first(), Some(&Came::Value(first)));
    assert_eq!(came.last(), Some(&Came::Value(last)));
    if accepted {
        let Came::Value(back) = &came[1] else { panic!("{came:?}") };
        let there = decode(avro, &datum, None).expect("apache-avro accepts it as well");
        assert_eq!(bits(decode(avro, back, None).expect("a datum")), bits(there), "{datum:?}");
    }
    assert_eq!(came.len(), if accepted { 3 } else { 2 });
    accepted
}

#[test]
fn a_truncated_record_is_refused_at_every_offset_and_alone() {
    let (schema, avro) = (Schema::parse(EVERYTHING).expect("a schema"), Avro::parse_str(EVERYTHING).expect("a schema"));
    let mut guest = Guest::new(&everything());
    let whole = encode(&avro, value(0));
    for len in 0..whole.len() {
        assert!(!between_good_ones(&mut guest, &schema, &avro, whole[..len].to_vec()), "{len} bytes are no record");
    }
    assert!(between_good_ones(&mut guest, &schema, &avro, whole.clone()));
    let longer = [whole, vec![0]].concat();
    assert!(!between_good_ones(&mut guest, &schema, &avro, longer), "bytes are left over");
}

#[test]
fn a_damaged_record_is_refused_or_means_what_apache_avro_reads_in_it() {
    let (schema, avro) = (Schema::parse(EVERYTHING).expect("a schema"), Avro::parse_str(EVERYTHING).expect("a schema"));
    let whole = encode(&avro, value(0));
    let (mut accepted, mut refused) = (0, 0);
    for at in 0..whole.len() {
        // The guest's allocator gives nothing back.
        let mut guest = Guest::new(&everything());
        for byte in [0, 1, 2, 3, 0x7F, 0x80, 0xFF, whole[at] ^ 1, whole[at] ^ 0x40] {
            let mut damaged = whole.clone();
            damaged[at] = byte;
            match between_good_ones(&mut guest, &schema, &avro, damaged) {
                true => accepted += 1,
                false => refused += 1,
            }
        }
    }
    assert!(accepted > 50 && refused > 50, "{accepted} accepted, {refused} refused");
}

#[test]
fn a_few_bytes_cannot_ask_for_endless_memory() {
    // Items without bytes: their number alone says how much room they would need.
    let json = r#"{"type": "record", "name": "T", "fields": [
        {"name": "items", "type": {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}}]}"#;
    let schema = Schema::parse(json).expect("a schema");
    let types = named("r", "(record (field \"items\" (list (list u8))))");
    let guest = Guest::new(&component("process", &types, RECORDS, "(list bool)", 2, "unreachable"));
    let mut datum = Vec::new();
    bespoke_boundary::wire::write_long(&mut datum, 1 << 40);
    datum.push(0);
    let mut call = Call::new(guest.plan(&schema, &[&schema]).expect("a plan"), &[datum]);
    call.push(0).expect_err("more than fits");
    assert!(call.exchange.is_empty());
}

/// What comes of a `process` that answers `record` by that body, for one record.
fn answer(avro_type: &str, types: &str, member: &str, limit_bytes: usize, body: &str) -> Result<(), wasmtime::Error> {
    let json = format!(r#"{{"type": "record", "name": "T", "fields": [{{"name": "f", "type": {avro_type}}}]}}"#);
    let schema = Schema::parse(&json).expect("a schema");
    let input = Schema::parse(r#"{"type": "record", "name": "I", "fields": [{"name": "a", "type": "int"}]}"#)
        .expect("a schema");
    let types =
        named("r", "(record (field \"a\" s32))") + types + &named("s", &format!("(record (field \"f\" {member}))"));
    let body = format!("{body} (i32.const 0)");
    let mut guest = Guest::new(&component("process", &types, RECORDS, "(list $s)", 2, &body));
    let mut call = Call::new(guest.plan(&input, &[&schema]).expect("a plan"), &[vec![2]]);
    call.push(0).expect("a record");
    guest.call(&mut call, limit_bytes)
}

fn violation(avro_type: &str, types: &str, member: &str, body: &str) -> Violation {
    let error = answer(avro_type, types, member, LIMIT, body).expect_err("a violation");
    error.downcast_ref::<Violation>().unwrap_or_else(|| panic!("{error:?}")).clone()
}

/// Stores numbers from 0 on.
fn words(words: &[u32]) -> String {
    let store = |(i, word): (usize, &u32)| format!("(i32.store (i32.const {}) (i32.const {}))", 4 * i, *word as i32);
    words.iter().enumerate().map(store).collect()
}

#[test]
fn an_answer_that_is_right_is_none_of_these() {
    answer("\"string\"", "", "string", LIMIT, &words(&[16, 1, 0, 0, 32, 1, 0, 0, 0x61])).expect("an answer");
}

#[test]
fn text_that_is_not_utf8_is_a_violation() {
    assert_eq!(violation("\"string\"", "", "string", &words(&[16, 1, 0, 0, 32, 1, 0, 0, 0xFF])), Violation::Utf8);
}

#[test]
fn discriminants_out_of_range_are_violations() {
    let of = |avro, types: &str, member, found: u32| violation(avro, types, member, &words(&[16, 1, 0, 0, found]));
    let color = r#"{"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}"#;
    let types = named("e", "(enum \"a\" \"b\" \"c\")");
    assert_eq!(of(color, &types, "$e", 3), Violation::Discriminant { found: 3, cases: 3 });
    assert_eq!(of("[\"null\", \"int\"]", "", "(option s32)", 2), Violation::Discriminant { found: 2, cases: 2 });
    let types = named("v", "(variant (case \"int\" s32) (case \"string\" string))");
    assert_eq!(of("[\"int\", \"string\"]", &types, "$v", 200), Violation::Discriminant { found: 200, cases: 2 });
}

#[test]
fn pointers_out_of_the_memory_are_violations() {
    let of = |answer: &[u32]| violation("\"string\"", "", "string", &words(answer));
    for (list, text) in [
        ([0x0100_0000, 1], [0, 0]),
        ([u32::MAX - 3, 1], [0, 0]),
        ([64 << 16, 1], [0, 0]),
        ([16, 1], [u32::MAX, 1]),
        ([16, 1], [1, u32::MAX]),
        ([16, 1], [u32::MAX, u32::MAX]),
        ([16, 1], [(64 << 16) - 1, 2]),
    ] {
        assert_eq!(of(&[list[0], list[1], 0, 0, text[0], text[1]]), Violation::Pointer, "{list:?} {text:?}");
    }
}

#[test]
fn pointers_that_are_not_aligned_are_violations() {
    assert_eq!(violation("\"string\"", "", "string", &words(&[17, 1])), Violation::Pointer);
    let array = r#"{"type": "array", "items": "long"}"#;
    assert_eq!(violation(array, "", "(list s64)", &words(&[16, 1, 0, 0, 36, 1])), Violation::Pointer);
    answer(array, "", "(list s64)", LIMIT, &words(&[16, 1, 0, 0, 40, 1])).expect("aligned");
}

#[test]
fn more_or_fewer_answers_than_records_are_violations() {
    for answers in [0, 2, 1000] {
        assert_eq!(
            violation("\"string\"", "", "string", &words(&[16, answers])),
            Violation::Count { answers: answers as usize, records: 1 }
        );
    }
}

#[test]
fn values_that_the_avro_type_cannot_hold_are_violations() {
    let number = violation("\"int\"", "", "s64", &words(&[16, 1, 0, 0, 0, 1]));
    assert_eq!(number, Violation::Range { value: "4294967296".into(), ty: "int" });
    let digits = violation("\"long\"", "", "string", &words(&[16, 1, 0, 0, 32, 1, 0, 0, 0x61]));
    assert_eq!(digits, Violation::Range { value: "a".into(), ty: "long" });
    let fixed = r#"{"type": "fixed", "name": "F", "size": 2}"#;
    let size = violation(fixed, "", "(list u8)", &words(&[16, 1, 0, 0, 32, 1]));
    assert_eq!(size, Violation::FixedSize { found: 1, size: 2 });
    let color = r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#;
    let symbol = violation(color, "", "string", &words(&[16, 1, 0, 0, 32, 1, 0, 0, 0x61]));
    assert_eq!(symbol, Violation::Symbol("a".into()));
}

#[test]
fn an_answer_beyond_the_limit_is_a_violation() {
    let error = answer("\"string\"", "", "string", 100, &words(&[16, 1, 0, 0, 32, 200])).expect_err("a violation");
    assert_eq!(error.downcast_ref(), Some(&Violation::TooLarge { limit: 100 }));
}

#[test]
fn lists_that_overlap_are_bounded_by_the_limit() {
    // 100,000 lists, each of them the same 100,000 strings, each of them the same 64 KiB: 600 TB in 2 MB of memory.
    let nested = r#"{"type": "array", "items": {"type": "array", "items": "string"}}"#;
    let fill = |at: u32, pointer: u32, len: u32| {
        format!(
            "(local.set 0 (i32.const {at})) (local.set 1 (i32.const 100000))
             (block $done (loop $next (br_if $done (i32.eqz (local.get 1)))
               (i32.store (local.get 0) (i32.const {pointer})) (i32.store offset=4 (local.get 0) (i32.const {len}))
               (local.set 0 (i32.add (local.get 0) (i32.const 8)))
               (local.set 1 (i32.sub (local.get 1) (i32.const 1))) (br $next)))"
        )
    };
    let (outer, inner) = (0x10_0000, 0x20_0000);
    for (item, len) in [("full", 65_536), ("empty", 0)] {
        let body = fill(outer, inner, 100_000) + &fill(inner, 0x30_0000, len) + &words(&[16, 1, 0, 0, outer, 100_000]);
        let error = answer(nested, "", "(list (list string))", LIMIT, &body).expect_err(item);
        assert_eq!(error.downcast_ref(), Some(&Violation::TooLarge { limit: LIMIT }), "{item}");
    }
    // Items that become no bytes would never get there.
    let nothing = r#"{"type": "record", "name": "T", "fields": [
        {"name": "f", "type": {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}}}]}"#;
    let types = named("r", "(record (field \"f\" (list (list u8))))");
    let guest = Guest::new(&component("process", &types, RECORDS, "(list $r)", 2, "unreachable"));
    let schema = Schema::parse(nothing).expect("a schema");
    let refused = guest.plan(&schema, &[&schema]).expect_err("endless work").to_string();
    assert!(refused.contains("f.[]") && refused.contains("no bytes"), "{refused}");
}

#[test]
fn many_rows_of_few_bytes_are_bounded_by_the_limit() {
    let input = Schema::parse(r#"{"type": "record", "name": "I", "fields": [{"name": "a", "type": "int"}]}"#)
        .expect("a schema");
    let output = Schema::parse(r#"{"type": "record", "name": "O", "fields": [{"name": "f", "type": "boolean"}]}"#)
        .expect("a schema");
    // A row is a byte here and a byte there, and the host keeps eight more to know where it is.
    let rows = |rows: u32, limit_bytes| {
        let types = named("r", "(record (field \"a\" s32))") + &named("s", "(record (field \"f\" bool))");
        let body = words(&[16, rows]) + "(i32.const 0)";
        let mut guest = Guest::new(&component("analyze", &types, RECORDS, "(list $s)", 2, &body));
        let mut call = Call::new(guest.plan(&input, &[&output]).expect("a plan"), &[vec![2]]);
        call.push(0).expect("a record");
        guest.call(&mut call, limit_bytes)
    };
    rows(125, 1000).expect("an answer");
    let error = rows(126, 1000).expect_err("a violation");
    assert_eq!(error.downcast_ref(), Some(&Violation::TooLarge { limit: 1000 }));
}
