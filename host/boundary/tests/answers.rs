//! What a function's type means, case by case: projection, pass-through, filters, validators, outputs and refusals.

mod guest;

use apache_avro::schema::Schema as Avro;
use apache_avro::types::Value;
use bespoke_boundary::wire::{write_bytes, write_long};
use bespoke_boundary::{Schema, output_schema};
use bespoke_record::{BatchBuilder, Header};
use guest::{Call, Came, Guest, component, named, refused};

const INPUT: &str = r#"{"type": "record", "name": "In", "fields": [
    {"name": "id", "type": "string"}, {"name": "count", "type": "int"}, {"name": "note", "type": "string"}]}"#;
const RECORDS: &str = "(param \"records\" (list $r))";
/// The list that came is the list that is answered.
const ECHO: &str = "(i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)";

fn schema(json: &str) -> Schema {
    Schema::parse(json).expect("a schema")
}

fn count() -> String {
    named("r", "(record (field \"count\" s32))")
}

fn datum(id: &str, count: i64, note: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_bytes(&mut out, id.as_bytes());
    write_long(&mut out, count);
    write_bytes(&mut out, note.as_bytes());
    out
}

fn data() -> Vec<Vec<u8>> {
    vec![datum("a", 1, "first"), datum("b", 0, ""), datum("c", -1, "third")]
}

/// Answers that stand at 64, `len` of them.
fn constant(stores: &str, len: u32) -> String {
    format!(
        "{stores} (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const {len})) (i32.const 0)"
    )
}

fn values(data: Vec<Vec<u8>>) -> Vec<Came> {
    data.into_iter().map(Came::Value).collect()
}

#[test]
fn fields_that_the_module_does_not_name_pass_it_by() {
    let mut guest = Guest::new(&component("process", &count(), RECORDS, "(list $r)", 2, ECHO));
    let input = schema(INPUT);
    assert_eq!(guest.run(&input, &[&input], &data()).came(), values(data()));
}

#[test]
fn output_fields_come_from_the_module_else_the_input_else_the_default() {
    let output = r#"{"type": "record", "name": "Out", "fields": [{"name": "note", "type": "string"},
        {"name": "extra", "type": "int", "default": 7}, {"name": "count", "type": "long"}]}"#;
    let mut guest = Guest::new(&component("process", &count(), RECORDS, "(list $r)", 2, ECHO));
    let call = guest.run(&schema(INPUT), &[&schema(output)], &data()[..1]);
    assert_eq!(call.came(), values(vec![vec![10, b'f', b'i', b'r', b's', b't', 14, 2]]));
}

#[test]
fn a_filter_drops_or_passes_unchanged() {
    let stores = "(i32.store8 (i32.const 64) (i32.const 1)) (i32.store8 (i32.const 66) (i32.const 1))";
    let wat = component("process", &count(), RECORDS, "(list bool)", 2, &constant(stores, 3));
    let input = schema(INPUT);
    let came = Guest::new(&wat).run(&input, &[&input], &data()).came();
    let [first, _, third] = <[_; 3]>::try_from(data()).expect("three");
    assert_eq!(came, [Came::Value(first), Came::Dropped, Came::Value(third)]);
}

#[test]
fn a_validator_rejects_with_its_reason_or_passes_unchanged() {
    let stores = "(i32.store8 (i32.const 76) (i32.const 1)) (i32.store (i32.const 80) (i32.const 200))
                  (i32.store (i32.const 84) (i32.const 2)) (i32.store16 (i32.const 200) (i32.const 0x6f6e))";
    let wat = component("process", &count(), RECORDS, "(list (result (error string)))", 2, &constant(stores, 3));
    let input = schema(INPUT);
    let came = Guest::new(&wat).run(&input, &[&input], &data()).came();
    let [first, _, third] = <[_; 3]>::try_from(data()).expect("three");
    assert_eq!(came, [Came::Value(first), Came::Rejected("no".into()), Came::Value(third)]);
}

#[test]
fn named_outputs_are_one_list_each() {
    let types = count()
        + &named("x", "(record (field \"x\" s32))")
        + &named("y", "(record (field \"y\" bool))")
        + &named("out", "(record (field \"first\" (list $x)) (field \"second\" (list $y)))");
    let words = [(0, 64), (4, 2), (8, 80), (12, 1), (64, 5), (68, -1), (80, 1)];
    let stores: String = words.map(|(at, v)| format!("(i32.store (i32.const {at}) (i32.const {v}))")).concat();
    let mut guest = Guest::new(&component("analyze", &types, RECORDS, "$out", 2, &format!("{stores} (i32.const 0)")));
    let input = schema(INPUT);
    let derived: Vec<_> = (0..2)
        .map(|i| schema(&output_schema(&guest.signature, i, &input, "some.Name").expect("a derived schema")))
        .collect();
    let call = guest.run(&input, &[&derived[0], &derived[1]], &data());
    assert_eq!(call.rows(0), [vec![10], vec![1]]);
    assert_eq!(call.rows(1), [vec![1]]);
}

#[test]
fn an_err_for_the_batch_is_told_with_its_reason() {
    let stores = "(i32.store8 (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 64))
                  (i32.store (i32.const 8) (i32.const 2)) (i32.store16 (i32.const 64) (i32.const 0x6f6e)) (i32.const 0)";
    let wat = component("process", &count(), RECORDS, "(result (list $r) (error string))", 2, stores);
    let input = schema(INPUT);
    let call = Guest::new(&wat).run(&input, &[&input], &data());
    assert_eq!(call.answers().failed.as_deref(), Some("no"));
}

#[test]
fn meta_tells_about_each_record() {
    let meta = "(record (field \"topic\" string) (field \"partition\" s32) (field \"offset\" s64)
                  (field \"timestamp\" s64) (field \"key\" (option (list u8)))
                  (field \"headers\" (list (tuple string (list u8)))))";
    let types = count() + &named("m", meta);
    let params = "(param \"records\" (list $r)) (param \"meta\" (list $m))";
    let echo = "(i32.store (i32.const 0) (local.get 2)) (i32.store (i32.const 4) (local.get 3)) (i32.const 0)";
    let mut guest = Guest::new(&component("analyze", &types, params, "(list $m)", 4, echo));
    let input = schema(INPUT);
    // The headers have no Avro type of their own, as a pair of them may come twice; a map holds these.
    let derived = output_schema(&guest.signature, 0, &input, "Meta").expect("a derived schema");
    let output = schema(&derived);

    let mut builder = BatchBuilder::new();
    let header = |name, value| -> Header<'_> { (name, value) };
    builder.push(Some(b"k"), Some(&datum("a", 1, "")), [header("h", Some(&b"v"[..]))], 42).expect("room");
    builder.push(None, Some(&datum("b", 2, "")), [], 43).expect("room");
    let plan = guest.plan(&input, &[&output]).expect("a plan");
    let mut call = Call::of_batch(plan, builder.finish());
    call.push(0).expect("a record");
    call.push(1).expect("a record");
    guest.call(&mut call, guest::LIMIT).expect("a call");

    let avro = Avro::parse_str(&derived).expect("a schema");
    let text = |s: &str| Value::String(s.into());
    let row = |timestamp, key: Value, headers: Value| {
        let names = ["topic", "partition", "offset", "timestamp", "key", "headers"];
        let values = [text("some.topic"), Value::Int(3), Value::Long(0), Value::Long(timestamp), key, headers];
        Value::Record(names.map(str::to_owned).into_iter().zip(values).collect())
    };
    let read = |datum: &Vec<u8>| {
        apache_avro::reader::datum::GenericDatumReader::builder(&avro)
            .build()
            .and_then(|reader| reader.read_value(&mut datum.as_slice()))
            .expect("a datum")
    };
    let rows: Vec<_> = call.rows(0).iter().map(read).collect();
    let header = Value::Map([("h".to_owned(), Value::Bytes(b"v".to_vec()))].into());
    assert_eq!(
        rows,
        [
            row(42, Value::Union(1, Value::Bytes(b"k".to_vec()).into()), header),
            row(43, Value::Union(0, Value::Null.into()), Value::Map([].into())),
        ]
    );
}

#[test]
fn a_field_of_another_type_is_refused_with_function_field_and_both_types() {
    let types = named("r", "(record (field \"count\" string))");
    let guest = Guest::new(&component("process", &types, RECORDS, "(list bool)", 2, "unreachable"));
    let input = schema(INPUT);
    let text = guest.plan(&input, &[&input]).expect_err("a mismatch").to_string();
    for part in ["`process`", "`count`", "`string`", "`int`", "`s32`"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_field_that_the_schema_lacks_is_refused_unless_it_is_an_option() {
    let plan = |ty: &str| {
        let types = named("r", &format!("(record (field \"price\" {ty}))"));
        let input = schema(INPUT);
        Guest::new(&component("process", &types, RECORDS, "(list bool)", 2, "unreachable")).plan(&input, &[&input])
    };
    let text = plan("f64").expect_err("a mismatch").to_string();
    assert!(text.contains("`price`") && text.contains("option<f64>"), "{text}");
    plan("(option f64)").expect("none for every record");
}

#[test]
fn an_output_field_without_any_source_is_refused() {
    let output = r#"{"type": "record", "name": "Out", "fields": [{"name": "fresh", "type": "string"}]}"#;
    let types = count() + &named("s", "(record (field \"fresh\" bool))");
    let guest = Guest::new(&component("process", &types, RECORDS, "(list $s)", 2, "unreachable"));
    let text = guest.plan(&schema(INPUT), &[&schema(output)]).expect_err("a mismatch").to_string();
    assert!(text.contains("`fresh`") && text.contains("`bool`") && text.contains("`string`"), "{text}");
}

#[test]
fn functions_of_other_types_are_refused_with_what_they_are() {
    let text = refused(&component("process", &count(), RECORDS, "(list s32)", 2, "unreachable"));
    assert!(text.contains("`process`") && text.contains("list<s32>"), "{text}");
}
