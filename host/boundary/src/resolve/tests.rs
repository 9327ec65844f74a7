//! Cases of the specification, one by one. Random schemas and values are in `tests/resolution.rs`.

use super::*;
use crate::wire::{Cursor, MAX_DEPTH, MAX_EMPTY_ITEMS, MAX_GROWTH_BYTES, write_bytes, write_long};

fn schema(json: &str) -> Schema {
    Schema::parse(json).unwrap_or_else(|e| panic!("{json}: {e}"))
}

fn resolve(writer: &str, reader: &str, datum: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut out = vec![42];
    let resolution = Resolution::plan(&schema(writer), &schema(reader)).expect("a reader that can read");
    match resolution.apply(datum, &mut out) {
        Ok(()) => Ok(out.split_off(1)),
        Err(error) => {
            assert_eq!(out, [42], "an error leaves nothing behind");
            Err(error)
        }
    }
}

fn refusal(writer: &str, reader: &str) -> String {
    Resolution::plan(&schema(writer), &schema(reader)).expect_err("a refusal").to_string()
}

fn long(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    write_long(&mut out, value);
    out
}

fn text(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write_bytes(&mut out, value.as_bytes());
    out
}

fn record(name: &str, fields: &str) -> String {
    format!(r#"{{"type":"record","name":"{name}","fields":[{fields}]}}"#)
}

#[test]
fn numbers_are_promoted() {
    for (writer, reader, datum, expected) in [
        (r#""int""#, r#""long""#, long(-7), long(-7)),
        (r#""int""#, r#""float""#, long(-7), (-7f32).to_le_bytes().to_vec()),
        (r#""int""#, r#""double""#, long(-7), (-7f64).to_le_bytes().to_vec()),
        (r#""long""#, r#""float""#, long(1 << 40), ((1i64 << 40) as f32).to_le_bytes().to_vec()),
        (r#""long""#, r#""double""#, long(1 << 40), ((1i64 << 40) as f64).to_le_bytes().to_vec()),
        (r#""float""#, r#""double""#, 1.5f32.to_le_bytes().to_vec(), 1.5f64.to_le_bytes().to_vec()),
        (r#""string""#, r#""bytes""#, text("é"), text("é")),
        (r#""bytes""#, r#""string""#, text("é"), text("é")),
    ] {
        assert_eq!(resolve(writer, reader, &datum), Ok(expected), "{writer} as {reader}");
    }
    assert!(matches!(resolve(r#""bytes""#, r#""string""#, &[2, 0xff]), Err(WireError::Utf8 { .. })));
}

#[test]
fn defaults_do_not_make_endless_bytes_of_a_few() {
    let default = "d".repeat(300);
    let item = |fields: &str| format!(r#"{{"type":"array","items":{}}}"#, record("I", fields));
    let writer = item(r#"{"name":"a","type":"int"}"#);
    let reader = item(&format!(r#"{{"name":"a","type":"int"}},{{"name":"b","type":"string","default":"{default}"}}"#));
    let datum = |items: usize| [long(items as i64), vec![2; items], vec![0]].concat();
    assert_eq!(resolve(&writer, &reader, &datum(1000)).map(|out| out.len()), Ok(2 + 1000 * 303 + 1));
    assert_eq!(resolve(&writer, &reader, &datum(MAX_GROWTH_BYTES / 300)), Err(WireError::Growth));
}

#[test]
fn what_cannot_be_promoted_is_refused() {
    for (writer, reader) in
        [("long", "int"), ("double", "float"), ("string", "int"), ("boolean", "int"), ("int", "string")]
    {
        let refusal = refusal(&format!(r#""{writer}""#), &format!(r#""{reader}""#));
        assert!(refusal.contains(writer) && refusal.contains(reader), "{refusal}");
    }
}

#[test]
fn a_refusal_names_the_place() {
    let inner = |ty| record("Product", &format!(r#"{{"name":"price","type":{{"type":"array","items":"{ty}"}}}}"#));
    let outer = |ty| record("Order", &format!(r#"{{"name":"product","type":{}}}"#, inner(ty)));
    let refusal = refusal(&outer("string"), &outer("double"));
    assert!(
        refusal.starts_with("`Order.product.price[]` is written as `string` and cannot be read as `double`"),
        "{refusal}"
    );
}

#[test]
fn fields_are_matched_by_name_and_alias_and_may_be_reordered_missing_or_extra() {
    let writer = record(
        "R",
        r#"{"name":"a","type":"long"},{"name":"b","type":"string"},{"name":"extra","type":{"type":"map","values":"int"}},
           {"name":"c","type":"int"},{"name":"d","type":"boolean"}"#,
    );
    let reader = record(
        "R",
        r#"{"name":"d","type":"boolean"},{"name":"new","type":"string","default":"x"},
           {"name":"see","aliases":["sea","c"],"type":"double"},{"name":"a","type":"long"},{"name":"again","aliases":["a"],"type":"long"},
           {"name":"b","type":"string"}"#,
    );
    let datum = [long(5), text("bee"), [1, 2, b'k', 3].to_vec(), vec![0], long(9), vec![1]].concat();
    let expected = [vec![1], text("x"), 9f64.to_le_bytes().to_vec(), long(5), long(5), text("bee")].concat();
    // The map's block is `count 1`, written as -1 with its size.
    let datum = [&datum[..5], &[1, 6][..], &datum[6..]].concat();
    assert_eq!(resolve(&writer, &reader, &datum), Ok(expected));
}

#[test]
fn a_missing_field_without_a_default_is_refused_with_the_cure() {
    let refusal = refusal(&record("R", ""), &record("R", r#"{"name":"price","type":"int"}"#));
    assert!(refusal.contains("`R.price`") && refusal.contains("default") && refusal.contains("alias"), "{refusal}");
}

#[test]
fn names_match_without_namespace_or_by_alias() {
    let fixed = |name: &str| format!(r#"{{"type":"fixed","name":"{name}","size":2}}"#);
    assert_eq!(resolve(&fixed("a.F"), &fixed("b.F"), b"xy"), Ok(b"xy".to_vec()));
    assert!(refusal(&fixed("a.F"), &fixed("a.G")).contains("alias `a.F`"));
    let alias = r#"{"type":"fixed","name":"a.G","aliases":["F"],"size":2}"#;
    assert_eq!(resolve(&fixed("a.F"), alias, b"xy"), Ok(b"xy".to_vec()));
    assert!(refusal(&fixed("F"), r#"{"type":"fixed","name":"F","size":3}"#).contains("sizes"));
}

#[test]
fn symbols_are_matched_by_name_and_fall_back_to_the_readers_default() {
    let writer = r#"{"type":"enum","name":"E","symbols":["a","b","c"]}"#;
    let reader = r#"{"type":"enum","name":"E","symbols":["c","a"]}"#;
    assert_eq!(resolve(writer, reader, &long(2)), Ok(long(0)));
    let Err(WireError::Unreadable(why)) = resolve(writer, reader, &long(1)) else { panic!("b is not there") };
    assert!(why.contains("no symbol `b`"), "{why}");
    let with_default = r#"{"type":"enum","name":"E","symbols":["c","a"],"default":"a"}"#;
    assert_eq!(resolve(writer, with_default, &long(1)), Ok(long(1)));
    assert!(matches!(resolve(writer, reader, &long(3)), Err(WireError::Index { .. })));
}

#[test]
fn a_branch_that_the_reader_lacks_is_an_error_only_when_it_comes() {
    let writer = r#"["null","string","int"]"#;
    assert_eq!(resolve(writer, r#""long""#, &[4, 14]), Ok(long(7)));
    assert!(matches!(resolve(writer, r#""long""#, &[0]), Err(WireError::Unreadable(_))));
    assert_eq!(resolve(writer, r#"["double","null"]"#, &[0]), Ok(vec![2]));
    assert_eq!(resolve(r#""int""#, r#"["null","long"]"#, &[14]), Ok(vec![2, 14]));
    assert!(refusal(r#"["string","int"]"#, r#""boolean""#).contains("[string, int]"));
}

#[test]
fn a_reader_union_prefers_the_same_type_to_a_promotion() {
    let both = r#"["string","bytes"]"#;
    assert!(Resolution::plan(&schema(both), &schema(both)).expect("the same").is_identity());
    assert_eq!(resolve(r#""bytes""#, both, &text("x")), Ok([vec![2], text("x")].concat()));
    assert_eq!(
        resolve(r#""int""#, r#"["double","long"]"#, &long(3)),
        Ok([vec![0], 3f64.to_le_bytes().to_vec()].concat())
    );
}

#[test]
fn logical_types_that_mean_something_else_do_not_match() {
    let time = |unit: &str| format!(r#"{{"type":"long","logicalType":"timestamp-{unit}"}}"#);
    assert!(refusal(&time("millis"), &time("micros")).contains("mean something else"));
    assert_eq!(resolve(&time("millis"), r#""long""#, &long(5)), Ok(long(5)));
    let decimal = |scale| format!(r#"{{"type":"bytes","logicalType":"decimal","precision":9,"scale":{scale}}}"#);
    assert!(refusal(&decimal(2), &decimal(3)).contains("decimal(9, 2)"));
}

fn tree(value: &str, extra: &str) -> String {
    record(
        "Tree",
        &format!(
            r#"{{"name":"v","type":"{value}"}},{{"name":"kids","type":{{"type":"array","items":"Tree"}}}}{extra}"#
        ),
    )
}

#[test]
fn recursive_schemas_resolve_down_to_the_depth_limit() {
    let (w, r) = (schema(&tree("int", "")), schema(&tree("double", r#",{"name":"n","type":"long","default":1}"#)));
    let resolution = Resolution::plan(&w, &r).expect("readable");
    let nested = |levels: usize| [[2, 2].repeat(levels), vec![2, 0], vec![0; levels]].concat();
    let mut out = Vec::new();
    assert_eq!(resolution.apply(&nested(60), &mut out), Ok(()));
    Skip::compile(&r, r.root()).check(&mut Cursor::new(&out)).expect("a datum of the reader");
    assert_eq!(resolution.apply(&nested(MAX_DEPTH), &mut out), Err(WireError::Depth));
    assert_eq!(Skip::compile(&w, w.root()).run(&mut Cursor::new(&nested(MAX_DEPTH))), Err(WireError::Depth));
}

#[test]
fn a_recursive_type_that_fails_deep_inside_fails_as_a_whole() {
    let bad = record("Tree", r#"{"name":"kids","type":{"type":"array","items":"Tree"}},{"name":"v","type":"boolean"}"#);
    assert!(refusal(&tree("int", ""), &bad).contains("Tree.v"));
    // As a branch it is left out, and with it all that relied on it.
    let union = |tree: &str| format!(r#"["null",{tree}]"#);
    assert_eq!(resolve(&union(&tree("int", "")), &union(&bad), &[0]), Ok(vec![0]));
    assert!(matches!(resolve(&union(&tree("int", "")), &union(&bad), &[2, 0, 0]), Err(WireError::Unreadable(_))));
}

#[test]
fn identity_is_what_can_be_copied() {
    let identity = |w: &str, r: &str| Resolution::plan(&schema(w), &schema(r)).expect("readable").is_identity();
    assert!(identity(&tree("int", ""), &tree("long", "")));
    assert!(!identity(&tree("int", ""), &tree("double", "")));
    assert!(!identity(r#""bytes""#, r#""string""#));
    let symbols = |s: &str| format!(r#"{{"type":"enum","name":"E","symbols":[{s}]}}"#);
    assert!(identity(&symbols(r#""a""#), &symbols(r#""a","b""#)));
    assert!(!identity(&symbols(r#""a","b""#), &symbols(r#""b","a""#)));
    assert!(identity(r#"["null","int"]"#, r#"["null","int","string"]"#));
    assert!(!identity(r#"["null","int"]"#, r#"["int","null"]"#));
    assert!(!identity(r#""int""#, r#"["int"]"#));
}

#[test]
fn items_without_bytes_do_not_multiply() {
    let mut datum = long(i64::MAX);
    datum.push(0);
    let nulls = r#"{"type":"array","items":"null"}"#;
    let w = schema(nulls);
    assert_eq!(Skip::compile(&w, w.root()).run(&mut Cursor::new(&datum)), Ok(()));
    let nullable = r#"{"type":"array","items":["null","int"]}"#;
    assert_eq!(resolve(nulls, nullable, &datum), Err(WireError::EmptyItems));
    let few = [long(MAX_EMPTY_ITEMS as i64), vec![0]].concat();
    assert_eq!(resolve(nulls, nullable, &few).map(|out| out.len()), Ok(MAX_EMPTY_ITEMS + few.len()));
}

#[test]
fn skipping_jumps_over_sized_blocks_and_checking_does_not_trust_them() {
    let ints = schema(r#"{"type":"array","items":"int"}"#);
    let skip = Skip::compile(&ints, ints.root());
    // Two items in three bytes; the block says it takes two.
    let lying = [3, 4, 2, 0x80, 1, 0];
    let mut cursor = Cursor::new(&[3, 6, 2, 0x80, 1, 0]);
    assert_eq!((skip.run(&mut cursor), cursor.left()), (Ok(()), 0));
    assert_eq!(skip.check(&mut Cursor::new(&[3, 6, 2, 0x80, 1, 0])), Ok(()));
    assert!(matches!(skip.check(&mut Cursor::new(&lying)), Err(WireError::Length { .. })));
}

#[test]
fn sizes_are_lower_bounds_for_recursive_types_too() {
    let size = |json: &str| {
        let schema = schema(json);
        min_size(&schema, schema.root())
    };
    assert_eq!(size(&tree("int", "")), 2);
    assert_eq!(size(&record("Endless", r#"{"name":"me","type":"Endless"}"#)), 0);
    let fields = r#"{"name":"a","type":{"type":"fixed","name":"F","size":7}},{"name":"b","type":"double"},{"name":"c","type":["null","F"]}"#;
    assert_eq!(size(&record("R", fields)), 16);
}

#[test]
fn a_type_without_finite_values_is_an_error_and_no_loop() {
    let endless = schema(&record("Endless", r#"{"name":"me","type":"Endless"}"#));
    assert_eq!(Skip::compile(&endless, endless.root()).run(&mut Cursor::new(&[])), Err(WireError::Depth));
    let many = schema(&format!(r#"{{"type":"array","items":{}}}"#, endless.json()));
    assert_eq!(Skip::compile(&many, many.root()).run(&mut Cursor::new(&long(1 << 50))), Err(WireError::Depth));
}

/// Records that name each other in a chain: shallow as JSON, deep as types.
fn chain(leaf: &str, links: usize) -> (Schema, crate::schema::TypeId) {
    let mut fields = vec![format!(r#"{{"name":"f0","type":{}}}"#, record("R0", leaf))];
    for i in 1..links {
        let link = record(&format!("R{i}"), &format!(r#"{{"name":"x","type":"R{}"}}"#, i - 1));
        fields.push(format!(r#"{{"name":"f{i}","type":{link}}}"#));
    }
    let schema = schema(&record("Top", &fields.join(",")));
    let last = schema.record().map(|r| r.fields[links - 1].ty).expect("a record");
    (schema, last)
}

#[test]
fn types_that_nest_deeply_through_names_do_not_exhaust_the_stack() {
    let (w, w_last) = chain(r#"{"name":"x","type":"int"}"#, 2000);
    let (r, r_last) = chain(r#"{"name":"x","type":"long"}"#, 2000);
    assert_eq!(min_size(&w, w_last), 1);
    // A record in a record is inlined, so that no level of this is one.
    assert_eq!(Skip::compile(&w, w_last).run(&mut Cursor::new(&[2])), Ok(()));
    // Given up, which is on the safe side.
    assert!(!same_encoding(&w, w_last, &r, r_last));
}

#[test]
fn defaults_become_bytes() {
    let encode = |ty: &str, default: &str| {
        let schema = schema(ty);
        let mut out = Vec::new();
        let default = serde_json::from_str(default).expect("JSON");
        encode_default(&schema, schema.root(), &default, &mut out).map(|()| out).map_err(|e| e.to_string())
    };
    assert_eq!(encode(r#""bytes""#, r#""\u0000\u00ff""#), Ok(vec![4, 0, 0xff]));
    assert!(encode(r#""bytes""#, r#""\u0100""#).is_err());
    assert_eq!(encode(r#"["null","string"]"#, r#""x""#), Ok(vec![2, 2, b'x']));
    assert_eq!(encode(r#"["null","string"]"#, "null"), Ok(vec![0]));
    assert!(encode(r#"["null","string"]"#, "1").is_err());
    assert_eq!(encode(r#""float""#, "1"), Ok(1f32.to_le_bytes().to_vec()));
    assert!(encode(r#""float""#, "1e300").is_err());
    assert!(encode(r#""int""#, "2147483648").is_err());
    assert!(encode(r#""int""#, "1.5").is_err());
    assert_eq!(encode(r#"{"type":"array","items":"int"}"#, "[1,2]"), Ok(vec![4, 2, 4, 0]));
    assert_eq!(encode(r#"{"type":"map","values":"int"}"#, r#"{"a":1}"#), Ok(vec![2, 2, b'a', 2, 0]));
    assert_eq!(encode(r#"{"type":"enum","name":"E","symbols":["a","b"]}"#, r#""b""#), Ok(vec![2]));
    let nested = record("R", r#"{"name":"a","type":"int","default":4},{"name":"b","type":"int"}"#);
    assert_eq!(encode(&nested, r#"{"b":1}"#), Ok(vec![8, 2]));
    assert!(encode(&nested, "{}").is_err_and(|e| e.contains("`b`")));
    assert!(encode(&nested, r#"{"b":"x"}"#).is_err_and(|e| e.contains("default.b")));
}
