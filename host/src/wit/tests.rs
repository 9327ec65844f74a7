//! Every text is parsed by wit-parser, the parser of all bindings generators; the names in it are looked up as a plan
//! does.

use bespoke_boundary::names;
use bespoke_boundary::schema::Schema;
use proptest::prelude::*;
use serde_json::{Value, json};
use wit_parser::{Resolve, TypeDefKind, WorldItem};

use super::*;

fn schema(fields: Value) -> Schema {
    let record =
        json!({ "type": "record", "name": "Product", "namespace": "shop", "doc": "A thing.", "fields": fields });
    Schema::parse(&record.to_string()).expect("a legal schema")
}

fn text(fields: Value) -> Result<String, WitError> {
    omitting(fields, &[])
}

fn omitting(fields: Value, omit: &[&str]) -> Result<String, WitError> {
    let omit = omit.iter().map(|name| (*name).to_owned()).collect();
    let schema = schema(fields);
    let text = generate(&schema, &Options { omit, ..Options::default() })?;
    check(&schema, &text);
    Ok(text)
}

/// Both worlds resolve, and each field of their record is one of the schema.
fn check(schema: &Schema, text: &str) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("generated.wit", text).unwrap_or_else(|e| panic!("{e:#}\n{text}"));
    for (world, function) in [("processor", "process"), ("analyzer", "analyze")] {
        let world = resolve.select_world(&[package], Some(world)).unwrap_or_else(|e| panic!("{e:#}\n{text}"));
        let exported = resolve.worlds[world].exports.values().find_map(|item| match item {
            WorldItem::Function(f) if f.name == function => Some(f),
            _ => None,
        });
        let wit_parser::Type::Id(list) = exported.expect("the function").params[0].ty else { panic!("a list\n{text}") };
        let TypeDefKind::List(wit_parser::Type::Id(record)) = resolve.types[list].kind else {
            panic!("a list\n{text}")
        };
        let mut record = record;
        while let TypeDefKind::Type(wit_parser::Type::Id(used)) = resolve.types[record].kind {
            record = used;
        }
        let TypeDefKind::Record(record) = &resolve.types[record].kind else { panic!("a record\n{text}") };
        for field in &record.fields {
            let known = schema.record().expect("a record").fields.iter().map(|f| f.name.as_str());
            assert!(matches!(names::find(&field.name, known), Ok(Some(_))), "{}\n{text}", field.name);
        }
    }
}

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l.trim() == line), "no line `{line}` in\n{text}");
}

fn message(result: Result<String, WitError>) -> String {
    result.expect_err("an error").to_string()
}

#[test]
fn every_avro_type_has_its_wit_type() {
    let text = text(json!([
        { "name": "id", "type": "string", "doc": "The product.\nTwo lines." },
        { "name": "n", "type": "int" },
        { "name": "updated", "type": { "type": "long", "logicalType": "timestamp-millis" } },
        { "name": "f", "type": ["null", "float"], "default": null },
        { "name": "d", "type": "double" },
        { "name": "digest", "type": { "type": "fixed", "name": "Sha", "size": 32 } },
        { "name": "tags", "type": { "type": "array", "items": ["null", "string"] } },
        { "name": "extra", "type": { "type": "map", "values": { "type": "array", "items": "boolean" } } },
        { "name": "state", "type": { "type": "enum", "name": "State", "symbols": ["IN_STOCK", "Gone"] } },
        { "name": "value", "type": ["null", "string", "long", { "type": "record", "name": "Item", "fields": [{ "name": "sku", "type": "bytes" }] }] },
        { "name": "item", "type": "Item" },
        { "name": "nothing", "type": "null" }
    ]))
    .expect("a package");
    for line in [
        "package local:product;",
        "/// A thing.",
        "/// Two lines.",
        "id: string,",
        "n: s32,",
        "/// Avro: timestamp-millis (long).",
        "updated: s64,",
        "f: option<f32>,",
        "d: f64,",
        "digest: list<u8>,",
        "tags: list<option<string>>,",
        "extra: list<tuple<string, list<bool>>>,",
        "enum state {",
        "in-stock,",
        "value: option<product-value>,",
        "variant product-value {",
        "%string(string),",
        "long(s64),",
        "item(item),",
        "item: item,",
        "// nothing: null, which carries nothing",
        "export process: func(records: list<product>) -> list<result<option<change>, string>>;",
        "export analyze: func(records: list<product>) -> list<row>;",
    ] {
        has(&text, line);
    }
}

#[test]
fn the_product_feed_has_a_package() {
    let json = include_str!("../../../schemas/product.avsc");
    let schema = Schema::parse(json).expect("the schema");
    let text = generate(&schema, &Options::default()).expect("a package");
    check(&schema, &text);
    has(&text, "in-stock: bool,");
    has(&text, "rating: option<f32>,");
}

#[test]
fn a_recursive_field_is_refused_by_name_and_can_be_left_out() {
    let fields = json!([
        { "name": "id", "type": "string" },
        { "name": "part", "type": { "type": "record", "name": "Part", "fields": [
            { "name": "n", "type": "int" },
            { "name": "of", "type": ["null", { "type": "array", "items": "Product" }] }
        ] } }
    ]);
    let error = message(text(fields.clone()));
    assert!(error.contains("`Part.of`") && error.contains("--omit Part.of"), "{error}");
    for name in ["Part.of", "shop.Part.of", "part"] {
        assert!(omitting(fields.clone(), &[name]).is_ok(), "{name}");
    }
    assert!(message(omitting(fields, &["part", "Part.off"])).contains("`Part.off`"));
}

#[test]
fn names_that_wit_cannot_hold_are_errors_with_the_cure() {
    let field = |name: &str| json!({ "name": name, "type": "int" });
    for name in ["_", "_2fast"] {
        let error = message(text(json!([field("id"), field(name)])));
        let cure = format!("leave the field out with `--omit Product.{name}`, or rename `{name}` in the reader schema");
        assert!(error.starts_with(&format!("field `Product.{name}`: ")) && error.contains(&cure), "{error}");
        assert!(omitting(json!([field("id"), field(name)]), &[&format!("Product.{name}")]).is_ok());
    }
    for (first, second) in [("_id", "id"), ("x_1", "x1"), ("Price", "price")] {
        let error = message(text(json!([field(first), field(second)])));
        assert!(error.contains(&format!("`{first}` and `{second}` are both")) && error.contains("alias"), "{error}");
        assert!(error.contains(&format!("`--omit Product.{first} --omit Product.{second}`")), "{error}");
        assert!(omitting(json!([field("n"), field(first), field(second)]), &[first, second]).is_ok());
        // The host could not tell them apart either.
        assert!(omitting(json!([field(first), field(second)]), &[second]).is_err());
    }
}

#[test]
fn keywords_are_names_like_others() {
    let text = text(json!([{ "name": "type", "type": "int" }, { "name": "LIST", "type": "int" }])).expect("a package");
    has(&text, "%type: s32,");
    has(&text, "%list: s32,");
}

#[test]
fn types_never_share_a_name_with_each_other_or_with_functions() {
    let record = |name: &str| json!({ "type": "record", "name": name, "fields": [{ "name": "n", "type": "int" }] });
    let names =
        ["a.Item", "b.Item", "process", "Analyze", "Change", "row", "self", "types", "processor", "list", "_", "_2"];
    let fields: Vec<_> =
        names.iter().enumerate().map(|(i, name)| json!({ "name": format!("f{i}x"), "type": record(name) })).collect();
    let text = text(fields.into()).expect("a package");
    has(&text, "record item {");
    has(&text, "record b-item {");
    has(&text, "record shop-process {");
    has(&text, "record change2 {");
    has(&text, "record %list {");
}

#[test]
fn enum_symbols_that_collide_make_the_field_text() {
    let text = text(json!([
        { "name": "unit", "type": ["null", { "type": "enum", "name": "Unit", "symbols": ["kw", "KW", "_1"] }] }
    ]))
    .expect("a package");
    has(&text, "unit: option<string>,");
    assert!(text.contains("kw, KW, _1"), "{text}");
}

#[test]
fn records_that_carry_nothing_are_left_out() {
    let empty = json!({ "type": "record", "name": "Empty", "fields": [] });
    let text =
        text(json!([{ "name": "id", "type": "int" }, { "name": "e", "type": { "type": "array", "items": empty } }]))
            .expect("a package");
    has(&text, "// e: array<record Empty>, which carries nothing");
    assert!(matches!(generate(&schema(json!([])), &Options::default()), Err(WitError::Empty(_))));
}

#[test]
fn docs_may_hold_anything() {
    let doc = "*/ }\r\u{7}\u{202e}\u{149} /* \u{2028} \u{0}\n\n// %";
    let text = text(json!([{ "name": "id", "type": "int", "doc": doc }])).expect("a package");
    has(&text, "/// // %");
}

#[test]
fn the_interfaces_that_the_host_offers_are_packages() {
    let mut resolve = Resolve::default();
    let text = include_str!("../../../wit/deps/logging/logging.wit");
    let package = resolve.push_str("logging.wit", text).expect("a package");
    assert_eq!(resolve.packages[package].name.to_string(), "wasi:logging@0.1.0-draft");
    let logging = resolve.packages[package].interfaces["logging"];
    assert_eq!(resolve.interfaces[logging].functions["log"].params.len(), 3);
}

#[test]
fn package_names_are_checked() {
    let schema = schema(json!([{ "name": "id", "type": "int" }]));
    for name in ["shop:feed", "shop:feed@1.2.3", "record:type", "a-b:c2-d"] {
        check(&schema, &generate(&schema, &Options { package: Some(name.into()), ..Options::default() }).expect(name));
    }
    for name in ["shop", "Shop:feed", "a:b:c", "a:", "a:b@1", "a:b@01.0.0", "a:b;", "a--b:c", "-a:c", ""] {
        let result = generate(&schema, &Options { package: Some(name.into()), ..Options::default() });
        assert!(matches!(result, Err(WitError::Package(_))), "{name}");
    }
}

#[test]
fn a_schema_that_is_no_record_is_refused() {
    let schema = Schema::parse(r#"{ "type": "array", "items": "long" }"#).expect("legal");
    assert!(message(generate(&schema, &Options::default())).contains("array<long>"));
}

/// A legal Avro type in which all names come from a few letters, so that they collide often.
fn arb_type() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop::sample::select(&["null", "boolean", "int", "long", "float", "double", "bytes", "string"][..])
            .prop_map(Value::from),
        prop::collection::hash_set("[aB_2]{1,3}", 1..4).prop_map(|names| {
            let mut symbols: Vec<String> = names.into_iter().map(|name| format!("_{name}")).collect();
            symbols.sort();
            json!({ "type": "enum", "name": "?", "symbols": symbols })
        }),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items })),
            inner.clone().prop_map(|values| json!({ "type": "map", "values": values })),
            inner.clone().prop_map(|t| if t.is_array() || t == "null" { t } else { json!(["null", t]) }),
            prop::collection::vec(("[a-cA-C_]{1,3}", inner), 0..4).prop_map(|fields| record("?", fields)),
            Just(json!(["string", "long", { "type": "array", "items": "int" }])),
        ]
    })
}

fn record(name: &str, fields: Vec<(String, Value)>) -> Value {
    let mut seen = std::collections::HashSet::new();
    let fields: Vec<_> = fields
        .into_iter()
        .filter(|(name, _)| seen.insert(name.clone()))
        .map(|(name, ty)| json!({ "name": name, "type": ty }))
        .collect();
    json!({ "type": "record", "name": name, "fields": fields })
}

/// Gives each named type a full name of its own, with short names that repeat.
fn name_types(ty: &mut Value, count: &mut usize) {
    const SHORT: [&str; 9] = ["Item", "item", "process", "_", "type", "_2", "Change", "self", "Row"];
    match ty {
        Value::Array(items) => items.iter_mut().for_each(|item| name_types(item, count)),
        Value::Object(object) => {
            if object.get("name").is_some_and(|name| name == "?") {
                object.insert("name".into(), format!("n{count}.{}", SHORT[*count % SHORT.len()]).into());
                *count += 1;
            }
            object
                .iter_mut()
                .filter(|(key, _)| *key != "symbols" && *key != "name")
                .for_each(|(_, v)| name_types(v, count));
        }
        _ => {}
    }
}

proptest! {
    #[test]
    fn any_legal_schema_gives_a_package_or_an_error_with_a_cure(
        fields in prop::collection::vec(("[A-Za-z_][A-Za-z0-9_]{0,8}", arb_type()), 1..6),
        root in prop_oneof!["[A-Za-z_][A-Za-z0-9_]{0,6}", "Change|Row|Result"],
    ) {
        let mut json = record(&root, fields);
        name_types(&mut json, &mut 0);
        let schema = Schema::parse(&json.to_string()).expect("a legal schema");
        for (is_analyzer, field) in [(false, Some("a")), (false, None), (true, None)] {
            let world = NewWorld { name: "made", is_analyzer, field };
            let Ok(NewPackage { text, record }) = generate_new(&schema, &Options::default(), world) else { continue };
            let mut resolve = Resolve::default();
            let parsed = resolve.push_str("new.wit", &text);
            prop_assert!(parsed.is_ok(), "{:#}\n{text}", parsed.expect_err("an error"));
            let is_answer = field.is_some() && record == "change" || is_analyzer && record == "row";
            prop_assert!(!is_answer, "{text}");
        }
        match generate(&schema, &Options::default()) {
            Ok(text) => check(&schema, &text),
            Err(WitError::Unnameable { .. } | WitError::Collision { .. } | WitError::Empty(_)) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn the_package_of_a_new_module_has_its_one_world() {
    let schema = schema(json!([
        { "name": "type", "type": "string" },
        { "name": "count", "type": "long" },
        { "name": "seen", "type": { "type": "long", "logicalType": "timestamp-millis" } }
    ]));
    let options = Options { longs_as_text: true, ..Options::default() };
    for (is_analyzer, field) in [(false, Some("type")), (false, None), (true, Some("count")), (true, None)] {
        let world = NewWorld { name: "list", is_analyzer, field };
        let package = generate_new(&schema, &options, world).expect("a package");
        let mut resolve = Resolve::default();
        let id =
            resolve.push_str("new.wit", &package.text).unwrap_or_else(|error| panic!("{error:#}\n{}", package.text));
        let worlds: Vec<&str> = resolve.packages[id].worlds.keys().map(String::as_str).collect();
        assert_eq!((worlds, package.record.as_str()), (vec!["list"], "product"));
        assert!(package.text.contains("count: string") && package.text.contains("seen: s64"), "{}", package.text);
    }
}

#[test]
fn what_a_new_module_answers_has_a_name_of_its_own() {
    let schema = |name: &str, inner: &str| {
        let inner = json!({ "type": "record", "name": inner, "fields": [{ "name": "n", "type": "int" }] });
        let fields = json!([{ "name": "text", "type": "string" }, { "name": "inner", "type": inner }]);
        let record = json!({ "type": "record", "name": name, "namespace": "shop", "fields": fields });
        Schema::parse(&record.to_string()).expect("a legal schema")
    };
    for (name, inner, is_analyzer, names) in [
        ("Change", "Row", false, ["shop-change", "row"]),
        ("Row", "Change", true, ["shop-row", "change"]),
        ("Result", "Change", false, ["result-record", "shop-change"]),
        ("Module", "Option", false, ["module-record", "option-record"]),
    ] {
        let world = NewWorld { name: "made", is_analyzer, field: (!is_analyzer).then_some("text") };
        let package = generate_new(&schema(name, inner), &Options::default(), world).expect("a package");
        let mut resolve = Resolve::default();
        resolve.push_str("new.wit", &package.text).unwrap_or_else(|error| panic!("{error:#}\n{}", package.text));
        assert_eq!(package.record, names[0]);
        names.iter().for_each(|name| has(&package.text, &format!("record {name} {{")));
    }
}

#[test]
fn longs_that_a_double_may_not_hold_go_as_text() {
    let long = |logical: &str| json!({ "type": "long", "logicalType": logical });
    let fields = json!([
        { "name": "plain", "type": "long" },
        { "name": "at_nanos", "type": long("timestamp-nanos") },
        { "name": "local_nanos", "type": ["null", long("local-timestamp-nanos")] },
        { "name": "time_micros", "type": long("time-micros") },
        { "name": "at_millis", "type": long("timestamp-millis") },
        { "name": "at_micros", "type": long("timestamp-micros") },
        { "name": "local_millis", "type": long("local-timestamp-millis") },
        { "name": "local_micros", "type": ["null", long("local-timestamp-micros")] }
    ]);
    let options = Options { longs_as_text: true, ..Options::default() };
    let world = NewWorld { name: "made", is_analyzer: false, field: None };
    let text = generate_new(&schema(fields), &options, world).expect("a package").text;
    for line in [
        "plain: string,",
        "at-nanos: string,",
        "local-nanos: option<string>,",
        "time-micros: s64,",
        "at-millis: s64,",
        "at-micros: s64,",
        "local-millis: s64,",
        "local-micros: option<s64>,",
    ] {
        has(&text, line);
    }
}
