//! The boundary against wasmtime's public `Val` API and against apache-avro, on random schemas and values.
//!
//! A WIT type is made from the schema by the table of wit/README.md, and a module that answers what it got. The module
//! also remembers where the records lie, and can answer others in their place. So what the boundary lowered is lifted by
//! wasmtime, and what wasmtime lowered is lifted by the boundary: a mistake cannot hide by being made twice.

mod guest;
mod support;

use apache_avro::schema::Schema as Avro;
use apache_avro::types::Value;
use bespoke_boundary::{Layout, Schema, Shape, names};
use guest::{Call, Came, Guest, LIMIT, module, named};
use proptest::collection::vec;
use proptest::prelude::*;
use support::{arb_schema, arb_value, decode, encode};
use wasmtime::component::Val;

/// The WIT type of an Avro type.
#[derive(Clone, Debug)]
enum Wit {
    /// As it is written.
    Plain(&'static str),
    /// The cases, one per symbol.
    Enum(Vec<String>),
    /// A union of null and another.
    Option(Box<Wit>),
    /// A union of one branch.
    Single(Box<Wit>),
    /// A union: whether null is a branch, and for each branch that is not null the case.
    Variant(bool, Vec<Option<(String, Wit)>>),
    List(Box<Wit>),
    Map(Box<Wit>),
    /// The fields in the order of the WIT record: index in the schema, name, type.
    Record(Vec<(usize, String, Wit)>),
}

/// None if WIT has no such type. `reverse` turns the order of fields around, which is a record's own business.
fn wit(schema: &Avro, reverse: bool) -> Option<Wit> {
    let name = |avro: &str| names::wit_name(avro).expect("names of tests are nameable");
    Some(match schema {
        Avro::Null => return None,
        Avro::Boolean => Wit::Plain("bool"),
        Avro::Int | Avro::Date | Avro::TimeMillis => Wit::Plain("s32"),
        Avro::Float => Wit::Plain("f32"),
        Avro::Double => Wit::Plain("f64"),
        Avro::String => Wit::Plain("string"),
        Avro::Bytes | Avro::Decimal(_) | Avro::Fixed(_) => Wit::Plain("(list u8)"),
        Avro::Enum(e) => Wit::Enum(e.symbols.iter().map(|s| name(s)).collect()),
        // A list of items without bytes is refused, as an answer of it has no bound.
        Avro::Array(array) if has_bytes(&array.items) => Wit::List(wit(&array.items, reverse)?.into()),
        Avro::Array(_) => return None,
        Avro::Map(map) => Wit::Map(wit(&map.types, reverse)?.into()),
        Avro::Union(union) => match union.variants() {
            [only] => Wit::Single(wit(only, reverse)?.into()),
            [Avro::Null, some] | [some, Avro::Null] => Wit::Option(wit(some, reverse)?.into()),
            branches => {
                let mut cases = Vec::new();
                for branch in branches {
                    cases.push(match branch {
                        Avro::Null => None,
                        other => Some((case_name(other), wit(other, reverse)?)),
                    });
                }
                Wit::Variant(branches.contains(&Avro::Null), cases)
            }
        },
        Avro::Record(record) => {
            let mut fields = Vec::new();
            for (i, field) in record.fields.iter().enumerate() {
                fields.push((i, name(&field.name), wit(&field.schema, reverse)?));
            }
            if fields.is_empty() {
                return None;
            }
            if reverse {
                fields.reverse();
            }
            Wit::Record(fields)
        }
        _ => Wit::Plain("s64"),
    })
}

fn has_bytes(schema: &Avro) -> bool {
    match schema {
        Avro::Null => false,
        Avro::Fixed(fixed) => fixed.size > 0,
        Avro::Record(record) => record.fields.iter().any(|f| has_bytes(&f.schema)),
        _ => true,
    }
}

/// The case of a branch: its type's name.
fn case_name(branch: &Avro) -> String {
    let plain = match branch {
        Avro::Boolean => "boolean",
        Avro::Int | Avro::Date | Avro::TimeMillis => "int",
        Avro::Float => "float",
        Avro::Double => "double",
        Avro::String => "string",
        Avro::Bytes | Avro::Decimal(_) => "bytes",
        Avro::Array(_) => "array",
        Avro::Map(_) => "map",
        named => match named.name() {
            Some(name) => return names::wit_name(name.name()).expect("a name"),
            None => "long",
        },
    };
    plain.to_owned()
}

/// The fields of the root that WIT can hold; the others pass the module by.
fn root(schema: &Avro, reverse: bool) -> Option<Wit> {
    let Avro::Record(record) = schema else { return None };
    let field = |(i, field): (usize, &apache_avro::schema::RecordField)| {
        Some((i, names::wit_name(&field.name).ok()?, wit(&field.schema, reverse)?))
    };
    let mut fields: Vec<_> = record.fields.iter().enumerate().filter_map(field).collect();
    if reverse {
        fields.reverse();
    }
    (!fields.is_empty()).then_some(Wit::Record(fields))
}

// === impl Wit ===

impl Wit {
    /// The type as text, with the named types that it needs before it.
    fn text(&self, types: &mut String, count: &mut usize) -> String {
        let mut name = |types: &mut String, definition: String| {
            *count += 1;
            *types += &named(&format!("t{count}"), &definition);
            format!("$t{count}")
        };
        match self {
            Self::Plain(text) => (*text).to_owned(),
            Self::Enum(cases) => {
                let cases: Vec<_> = cases.iter().map(|c| format!("\"{c}\"")).collect();
                name(types, format!("(enum {})", cases.join(" ")))
            }
            Self::Option(some) => format!("(option {})", some.text(types, count)),
            Self::Single(only) => only.text(types, count),
            Self::Variant(null, cases) => {
                let cases: Vec<_> = cases
                    .iter()
                    .flatten()
                    .map(|(case, ty)| format!("(case \"{case}\" {})", ty.text(types, count)))
                    .collect();
                *count += 1;
                *types += &named(&format!("t{count}"), &format!("(variant {})", cases.join(" ")));
                if *null { format!("(option $t{count})") } else { format!("$t{count}") }
            }
            Self::List(item) => format!("(list {})", item.text(types, count)),
            Self::Map(value) => format!("(list (tuple string {}))", value.text(types, count)),
            Self::Record(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|(_, field, ty)| format!("(field \"{field}\" {})", ty.text(types, count)))
                    .collect();
                *count += 1;
                *types += &named(&format!("t{count}"), &format!("(record {})", fields.join(" ")));
                format!("$t{count}")
            }
        }
    }

    /// The value as wasmtime takes it.
    fn val(&self, value: &Value) -> Val {
        match (self, value) {
            (Self::Plain(_), Value::Boolean(v)) => Val::Bool(*v),
            (Self::Plain(_), Value::Int(v) | Value::Date(v) | Value::TimeMillis(v)) => Val::S32(*v),
            (Self::Plain(_), Value::Float(v)) => Val::Float32(*v),
            (Self::Plain(_), Value::Double(v)) => Val::Float64(*v),
            (Self::Plain(_), Value::String(v)) => Val::String(v.clone()),
            (Self::Plain(_), Value::Bytes(v) | Value::Fixed(_, v)) => bytes(v),
            (Self::Plain(_), Value::Decimal(v)) => bytes(&Vec::try_from(v).expect("bytes of a decimal")),
            (
                Self::Plain(_),
                Value::Long(v)
                | Value::TimeMicros(v)
                | Value::TimestampMillis(v)
                | Value::TimestampMicros(v)
                | Value::TimestampNanos(v)
                | Value::LocalTimestampMillis(v)
                | Value::LocalTimestampMicros(v)
                | Value::LocalTimestampNanos(v),
            ) => Val::S64(*v),
            (Self::Enum(cases), Value::Enum(i, _)) => Val::Enum(cases[*i as usize].clone()),
            (Self::Single(only), Value::Union(_, inner)) => only.val(inner),
            (Self::Option(some), Value::Union(_, inner)) => {
                Val::Option((**inner != Value::Null).then(|| Box::new(some.val(inner))))
            }
            (Self::Variant(null, cases), Value::Union(branch, inner)) => {
                let variant = cases[*branch as usize]
                    .as_ref()
                    .map(|(case, ty)| Val::Variant(case.clone(), Some(Box::new(ty.val(inner)))));
                if *null { Val::Option(variant.map(Box::new)) } else { variant.expect("no branch is null") }
            }
            (Self::List(item), Value::Array(items)) => Val::List(items.iter().map(|i| item.val(i)).collect()),
            (Self::Map(ty), Value::Map(entries)) => {
                let pair = |(key, value): (&String, &Value)| Val::Tuple(vec![Val::String(key.clone()), ty.val(value)]);
                let mut pairs: Vec<_> = entries.iter().map(pair).collect();
                pairs.sort_by_key(key_of);
                Val::List(pairs)
            }
            (Self::Record(fields), Value::Record(values)) => {
                Val::Record(fields.iter().map(|(i, name, ty)| (name.clone(), ty.val(&values[*i].1))).collect())
            }
            other => panic!("not a value of its type: {other:?}"),
        }
    }

    /// Brings the pairs of maps into one order, as a map has none.
    fn sort(&self, val: &mut Val) {
        match (self, val) {
            (Self::Single(only), val) => only.sort(val),
            (Self::Option(some), Val::Option(Some(val))) => some.sort(val),
            (Self::Variant(true, cases), Val::Option(Some(val))) => Self::Variant(false, cases.clone()).sort(val),
            (Self::Variant(false, cases), Val::Variant(name, Some(val))) => {
                let (_, ty) = cases.iter().flatten().find(|(case, _)| case == name).expect("a case");
                ty.sort(val);
            }
            (Self::List(item), Val::List(items)) => items.iter_mut().for_each(|i| item.sort(i)),
            (Self::Map(ty), Val::List(pairs)) => {
                for pair in pairs.iter_mut() {
                    let Val::Tuple(pair) = pair else { panic!("not a pair") };
                    ty.sort(&mut pair[1]);
                }
                pairs.sort_by_key(key_of);
            }
            (Self::Record(fields), Val::Record(values)) => {
                fields.iter().zip(values).for_each(|((_, _, ty), (_, value))| ty.sort(value));
            }
            _ => {}
        }
    }
}

fn bytes(bytes: &[u8]) -> Val {
    Val::List(bytes.iter().map(|b| Val::U8(*b)).collect())
}

fn key_of(pair: &Val) -> String {
    match pair {
        Val::Tuple(pair) => match &pair[0] {
            Val::String(key) => key.clone(),
            _ => panic!("not a key"),
        },
        _ => panic!("not a pair"),
    }
}

/// How the module answers.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer {
    Bare,
    /// Every second record, beginning with the first, is dropped.
    Option,
    /// Of three records the first is answered, the second dropped, the third refused.
    ResultOption,
}

/// `process` answers its records, or those that `keep` got; `last` tells the records of the last call of `process`.
fn echo(types: &str, record: &str, layout: Layout, answer: Answer) -> String {
    let Layout { size, align } = layout;
    // In an option the record stands at its own alignment; a result has the reason's string beside it.
    let (item, option_at, payload) = match answer {
        Answer::Bare => (size, 0, 0),
        Answer::Option => (align + size, 0, align),
        Answer::ResultOption => {
            let whole = align.max(4);
            (whole + (align + size).max(8).next_multiple_of(whole), whole, whole + align)
        }
    };
    let (list, decide) = match answer {
        Answer::Bare => (format!("(list {record})"), String::new()),
        Answer::Option => (
            format!("(list (option {record}))"),
            "(i32.store8 (local.get $to) (i32.rem_u (local.get $i) (i32.const 2)))".to_owned(),
        ),
        Answer::ResultOption => (
            format!("(list (result (option {record}) (error string)))"),
            format!(
                "(i32.store8 (local.get $to) (i32.eq (i32.rem_u (local.get $i) (i32.const 3)) (i32.const 2)))
                 (i32.store8 offset={option_at} (local.get $to) (i32.eqz (i32.rem_u (local.get $i) (i32.const 3))))
                 (if (i32.load8_u (local.get $to)) (then
                   (i32.store offset={option_at} (local.get $to) (i32.const 64))
                   (i32.store offset={} (local.get $to) (i32.const 4))))",
                option_at + 4
            ),
        ),
    };
    let copy = format!(
        "(memory.copy (i32.add (local.get $to) (i32.const {payload})) (local.get $from) (i32.const {size})) {decide}"
    );
    let functions = format!(
        "(data (i32.const 64) \"nope\")
         (func (export \"keep\") (param i32 i32)
           (i32.store (i32.const 32) (local.get 0)) (i32.store (i32.const 36) (local.get 1))
           (i32.store (i32.const 40) (i32.const 1)))
         (func (export \"last\") (result i32) (i32.const 16))
         (func (export \"process\") (param i32 i32) (result i32)
           (local $from i32) (local $to i32) (local $len i32) (local $i i32)
           (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1))
           (if (i32.load (i32.const 40)) (then
             (local.set 0 (i32.load (i32.const 32))) (local.set 1 (i32.load (i32.const 36)))))
           (local.set $from (local.get 0))
           (local.set $len (local.get 1))
           (local.set $to (i32.const 0x200000))
           (block $done (loop $next
             (br_if $done (i32.eq (local.get $i) (local.get $len)))
             {copy}
             (local.set $from (i32.add (local.get $from) (i32.const {size})))
             (local.set $to (i32.add (local.get $to) (i32.const {item})))
             (local.set $i (i32.add (local.get $i) (i32.const 1)))
             (br $next)))
           (i32.store (i32.const 24) (i32.const 0x200000)) (i32.store (i32.const 28) (local.get $len))
           (i32.const 24))"
    );
    let takes = format!("(param \"records\" (list {record}))");
    module(
        types,
        &functions,
        &[
            ("keep", &takes, ""),
            ("last", "", &format!("(result (list {record}))")),
            ("process", &takes, &format!("(result {list})")),
        ],
    )
}

/// What the module must have answered for these records.
fn expected(answer: Answer, data: &[Value]) -> Vec<Result<Option<Value>, String>> {
    let one = |(i, value): (usize, &Value)| match (answer, i % 2, i % 3) {
        (Answer::Bare, ..) | (Answer::Option, 1, _) | (Answer::ResultOption, _, 0) => Ok(Some(value.clone())),
        (Answer::ResultOption, _, 2) => Err("nope".to_owned()),
        _ => Ok(None),
    };
    data.iter().enumerate().map(one).collect()
}

fn came(call: &Call, avro: &Avro) -> Vec<Result<Option<Value>, String>> {
    let one = |came: Came| match came {
        Came::Value(bytes) => Ok(Some(decode(avro, &bytes, None).expect("a datum"))),
        Came::Dropped => Ok(None),
        Came::Rejected(reason) => Err(reason),
    };
    call.came().into_iter().map(one).collect()
}

fn with_values() -> impl Strategy<Value = (String, Avro, Vec<Value>)> {
    arb_schema().prop_flat_map(|ty| {
        let json = ty.json().to_string();
        let avro = Avro::parse_str(&json).expect("a schema");
        let values = vec(arb_value(&avro), 0..5);
        (Just(json), Just(avro), values)
    })
}

fn staged(guest: &mut Guest, schema: &Schema, data: &[Vec<u8>]) -> Call {
    let plan = guest.plan(schema, &[schema]).unwrap_or_else(|e| panic!("{e}\n{schema:?}"));
    let mut call = Call::new(plan, data);
    for i in 0..data.len() {
        call.push(i).expect("a record");
    }
    call
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 4096, ..ProptestConfig::default() })]

    #[test]
    fn rows_agree_with_wasmtime_and_apache_avro(
        (json, avro, values) in with_values(),
        reverse in any::<bool>(),
        answer in prop::sample::select(vec![Answer::Bare, Answer::Option, Answer::ResultOption]),
    ) {
        let wit = root(&avro, reverse);
        prop_assume!(wit.is_some());
        let wit = wit.expect("checked");
        let schema = Schema::parse(&json).expect("a schema");
        let data: Vec<_> = values.iter().map(|v| encode(&avro, v.clone())).collect();

        let (mut types, mut count) = (String::new(), 0);
        let record = wit.text(&mut types, &mut count);
        let probe = module(&types, "(func (export \"process\") (param i32 i32) (result i32) unreachable)",
            &[("process", &format!("(param \"records\" (list {record}))"), &format!("(result (list {record}))"))]);
        let layout = Shape::Record(guest::signature(&probe).input.members().to_vec()).layout();
        let mut guest = Guest::new(&echo(&types, &record, layout, answer));

        // By the boundary in, by wasmtime out.
        let mut call = staged(&mut guest, &schema, &data);
        guest.call(&mut call, LIMIT).unwrap_or_else(|e| panic!("{e:?}"));
        let mut last = [Val::Bool(false)];
        guest.func("last").call(&mut guest.store, &[], &mut last).expect("the records of the last call");
        let list = Wit::List(wit.clone().into());
        list.sort(&mut last[0]);
        let vals = list.val(&Value::Array(values.clone()));
        prop_assert_eq!(&last[0], &vals);

        // By the boundary in and out.
        let values: Vec<_> = data.iter().map(|d| decode(&avro, d, None).expect("a datum")).collect();
        prop_assert_eq!(came(&call, &avro), expected(answer, &values));

        // By wasmtime in, by the boundary out. What passes the module by still comes from the batch.
        guest.func("keep").call(&mut guest.store, &[vals], &mut []).expect("records to keep");
        let mut call = staged(&mut guest, &schema, &data);
        guest.call(&mut call, LIMIT).unwrap_or_else(|e| panic!("{e:?}"));
        prop_assert_eq!(came(&call, &avro), expected(answer, &values));
    }

    #[test]
    fn columns_agree_with_apache_avro((json, avro, values) in with_values(), reverse in any::<bool>()) {
        let wit = root(&avro, reverse);
        prop_assume!(wit.is_some());
        let Some(Wit::Record(fields)) = wit else { panic!("not a record") };
        let schema = Schema::parse(&json).expect("a schema");
        let data: Vec<_> = values.iter().map(|v| encode(&avro, v.clone())).collect();

        let (mut types, mut count) = (String::new(), 0);
        let lists: Vec<_> = fields
            .iter()
            .map(|(_, name, ty)| format!("(field \"{name}\" (list {}))", ty.text(&mut types, &mut count)))
            .collect();
        types += &named("columns", &format!("(record {})", lists.join(" ")));
        let stores: String =
            (0..2 * fields.len()).map(|i| format!("(i32.store (i32.const {}) (local.get {i}))", 4 * i)).collect();
        let mut guest = Guest::new(&guest::component(
            "process", &types, "(param \"records\" $columns)", "$columns", 2 * fields.len(), &format!("{stores} (i32.const 0)"),
        ));
        let mut call = staged(&mut guest, &schema, &data);
        guest.call(&mut call, LIMIT).unwrap_or_else(|e| panic!("{e:?}"));
        let values: Vec<_> = data.iter().map(|d| decode(&avro, d, None).expect("a datum")).collect();
        prop_assert_eq!(came(&call, &avro), expected(Answer::Bare, &values));
    }
}
