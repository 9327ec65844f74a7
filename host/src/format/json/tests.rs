//! JSON and Avro, there and back: values of every type in both styles, and text that is neither.

use bespoke_boundary::Schema;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

#[path = "../../../boundary/tests/support/mod.rs"]
mod support;

fn schema(json: &Value) -> Schema {
    Schema::parse(&json.to_string()).unwrap_or_else(|e| panic!("{json}: {e}"))
}

fn plain(schema: &Schema, json: &Value) -> Result<Vec<u8>, String> {
    let mut out = vec![7];
    match encode_json(schema, json, JsonOptions::default(), &mut out) {
        Ok(()) => Ok(out.split_off(1)),
        Err(e) => {
            assert_eq!(out, [7], "an error leaves nothing behind");
            Err(e.to_string())
        }
    }
}

fn text(schema: &Schema, datum: &[u8], style: JsonStyle) -> String {
    let mut out = Vec::new();
    write_json(schema, datum, style, &mut out).expect("a datum");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Both styles bring the datum back.
fn comes_back(schema: &Schema, datum: &[u8]) {
    for style in [JsonStyle::Plain, JsonStyle::Avro] {
        let json = text(schema, datum, style);
        let mut again = Vec::new();
        let options = JsonOptions { style, unknown: UnknownFields::Reject };
        parse_json(schema, json.as_bytes(), options, &mut again).unwrap_or_else(|e| panic!("{json}: {e}"));
        // Bytes of a decimal may become fewer, and then stand for the same number.
        assert_eq!(text(schema, &again, style), json);
        assert!(again == datum || again.len() < datum.len(), "{json}");
    }
}

fn everything() -> Schema {
    schema(&json!({"type":"record","name":"a.All","fields":[
        {"name":"flag","type":"boolean"},
        {"name":"int","type":"int"},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},
        {"name":"float","type":"float"},
        {"name":"double","type":["null","double","string"]},
        {"name":"bytes","type":"bytes"},
        {"name":"fixed","type":{"type":"fixed","name":"F","size":3}},
        {"name":"price","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}},
        {"name":"id","type":{"type":"string","logicalType":"uuid"}},
        {"name":"kind","type":{"type":"enum","name":"E","symbols":["x","y"]}},
        {"name":"list","type":{"type":"array","items":["null","int","long"]}},
        {"name":"map","type":{"type":"map","values":["string","bytes"]}},
        {"name":"next","type":["null","All"],"default":null}
    ]}))
}

#[test]
fn every_type_goes_both_ways() {
    let schema = everything();
    let json = json!({
        "flag": true, "int": -5, "at": 1_700_000_000_000_i64, "float": 1.1, "double": "text", "bytes": "AP8=",
        "fixed": "AQID", "price": "-12.50", "id": "x", "kind": "y", "list": [null, {"int": 1}, {"long": 1}],
        "map": {"a": {"string": "s"}, "b": {"bytes": "AA=="}}, "next": null
    });
    let datum = plain(&schema, &json).expect("it fits");
    assert_eq!(serde_json::from_str::<Value>(&text(&schema, &datum, JsonStyle::Plain)).expect("JSON"), json);
    let avro = text(&schema, &datum, JsonStyle::Avro);
    assert!(avro.contains(r#""bytes":"\u0000ÿ""#) && avro.contains(r#""double":{"string":"text"}"#), "{avro}");
    comes_back(&schema, &datum);
}

#[test]
fn numbers_that_json_lacks_are_text() {
    let double = schema(&json!("double"));
    for (number, name) in [(f64::NAN, "\"NaN\""), (f64::INFINITY, "\"Infinity\""), (f64::NEG_INFINITY, "\"-Infinity\"")]
    {
        let datum = number.to_le_bytes();
        assert_eq!(text(&double, &datum, JsonStyle::Plain), name);
        comes_back(&double, &datum);
    }
    let either = schema(&json!(["double", "string"]));
    let nan = [&[0][..], &f64::NAN.to_le_bytes()].concat();
    assert_eq!(text(&either, &nan, JsonStyle::Plain), r#"{"double":"NaN"}"#);
    comes_back(&either, &nan);
    comes_back(&either, b"\x02\x06NaN");
}

#[test]
fn missing_fields_take_their_default_or_null() {
    let schema = schema(&json!({"type":"record","name":"R","fields":[
        {"name":"a","type":"int","default":7},{"name":"b","type":["int","null"]},{"name":"c","type":"string"}]}));
    assert_eq!(plain(&schema, &json!({"c": ""})), Ok(vec![14, 2, 0]));
    assert!(plain(&schema, &json!({})).is_err_and(|e| e.contains("`c` is missing")));
    let unknown = plain(&schema, &json!({"c": "", "aa": 1}));
    assert!(unknown.is_err_and(|e| e.contains("`aa`") && e.contains("did you mean `a`")));
    let options = JsonOptions { unknown: UnknownFields::Ignore, ..JsonOptions::default() };
    assert!(encode_json(&schema, &json!({"c": "", "aa": 1}), options, &mut Vec::new()).is_ok());
}

#[test]
fn what_does_not_fit_is_said_with_its_place() {
    let schema = schema(&json!({"type":"record","name":"R","fields":[
        {"name":"rows","type":{"type":"array","items":{"type":"record","name":"Row","fields":[
            {"name":"n","type":"int"},{"name":"t","type":["null",{"type":"int","logicalType":"date"}]}]}}}]}));
    for (row, says) in [
        (json!({"n": 1.5}), "`rows[0].n`: 1.5 is not a value of type `int`"),
        (json!({"n": 2_147_483_648_i64}), "32 bits"),
        (json!({"n": "1"}), "\"1\""),
        (json!({"n": 1, "t": "yesterday"}), "2025-01-31"),
        (json!({"n": 1, "x": 1}), "`rows[0].x` is not in the schema"),
        (json!([]), "an array"),
    ] {
        let error = plain(&schema, &json!({"rows": [row]})).expect_err(says);
        assert!(error.contains(says), "{error}");
    }
    assert!(plain(&schema, &json!({"rows": [{"n": 1, "t": "1970-01-03"}]})).is_ok_and(|d| d == [2, 2, 2, 4, 0]));
}

#[test]
fn decimals_are_exact_or_refused() {
    let decimal = schema(&json!({"type":"bytes","logicalType":"decimal","precision":20,"scale":2}));
    assert_eq!(plain(&decimal, &json!("1.25")), Ok(vec![2, 125]));
    assert_eq!(plain(&decimal, &json!(1.25)), Ok(vec![2, 125]));
    assert_eq!(plain(&decimal, &json!(1)), Ok(vec![2, 100]));
    assert!(plain(&decimal, &json!(1.255)).is_err_and(|e| e.contains("2 digits")));
    assert!(plain(&decimal, &json!(12_345_678_901_234.567)).is_err_and(|e| e.contains("text")));
    let fixed = schema(&json!({"type":"fixed","name":"D","size":3,"logicalType":"decimal","precision":6,"scale":0}));
    assert_eq!(plain(&fixed, &json!(-1)), Ok(vec![0xff; 3]));
    comes_back(&fixed, &[0xff, 0, 1]);
}

#[test]
fn plain_values_of_a_union_mean_the_branch_of_their_json_type() {
    let union = schema(
        &json!(["null", {"type":"long","logicalType":"timestamp-millis"}, "string", {"type":"map","values":"int"}]),
    );
    assert_eq!(plain(&union, &json!("1970-01-01T00:00:00Z")).map(|d| d[0]), Ok(4));
    assert_eq!(plain(&union, &json!({"long": 5})).map(|d| d[0]), Ok(6), "a map with that key");
    assert_eq!(plain(&union, &json!({"long": "1970-01-01T00:00:00Z"})), Ok(vec![2, 0]), "no map of int");
    assert!(plain(&union, &json!(true)).is_err_and(|e| e.contains("true") && e.contains("[null")));
    for datum in [&[0][..], &[2, 10], b"\x04\x02x", b"\x06\x02\x08long\x0a\x00"] {
        comes_back(&union, datum);
    }
}

#[test]
fn wrapped_values_name_their_branch() {
    let record = |name: &str| json!({"type":"record","name":name,"fields":[{"name":"x","type":"int"}]});
    let union = schema(&json!([record("a.R"), record("b.R"), record("c.S")]));
    assert_eq!(plain(&union, &json!({"b.R": {"x": 1}})), Ok(vec![2, 2]));
    assert_eq!(plain(&union, &json!({"S": {"x": 1}})), Ok(vec![4, 2]));
    assert_eq!(plain(&union, &json!({"x": 1})), Ok(vec![0, 2]), "the first that fits");
    comes_back(&union, &[4, 2]);
}

#[test]
fn deep_or_endless_values_are_refused() {
    let tree = json!({"type":"record","name":"T","fields":[{"name":"kids","type":{"type":"array","items":"T"}}]});
    let tree = schema(&tree);
    let datum = [vec![2; 100], vec![0; 101]].concat();
    let mut out = Vec::new();
    let refused = write_json(&tree, &datum, JsonStyle::Plain, &mut out).expect_err("deep").to_string();
    assert!(refused.contains("nested deeper than 128 levels"), "{refused}");
    assert!(out.is_empty());
    let nulls = schema(&json!({"type":"array","items":"null"}));
    let endless = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0];
    let refused = write_json(&nulls, &endless, JsonStyle::Plain, &mut out).expect_err("endless").to_string();
    assert!(refused.contains("items"), "{refused}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let refused = parse_json(&nulls, deep.as_bytes(), JsonOptions::default(), &mut out).expect_err("deep").to_string();
    assert!(refused.contains("recursion limit exceeded"), "{refused}");
}

#[test]
fn cut_and_changed_bytes_are_an_error_or_a_value() {
    let schema = everything();
    let json = json!({
        "flag": true, "int": -5, "at": 1, "float": 1.1, "double": 2.5, "bytes": "AP8=", "fixed": "AQID",
        "price": "-12.50", "id": "x", "kind": "y", "list": [null, {"int": 1}], "map": {"a": {"string": "s"}}
    });
    let datum = plain(&schema, &json).expect("it fits");
    let mut out = Vec::new();
    for cut in 0..datum.len() {
        assert!(write_json(&schema, &datum[..cut], JsonStyle::Avro, &mut out).is_err());
        assert!(out.is_empty());
        for bit in 0..8 {
            let mut changed = datum.clone();
            changed[cut] ^= 1 << bit;
            if write_json(&schema, &changed, JsonStyle::Plain, &mut out).is_ok() {
                serde_json::from_slice::<Value>(&out).expect("JSON");
            }
            out.clear();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_value_of_any_schema_comes_back_in_both_styles(
        (schema, value) in support::arb_schema().prop_flat_map(|ty| {
            let schema = schema(&ty.json());
            let value = support::arb_value(schema.authority());
            (Just(ty), value)
        }).prop_map(|(ty, value)| (schema(&ty.json()), value))
    ) {
        let datum = support::encode(schema.authority(), value);
        comes_back(&schema, &datum);
    }
}
