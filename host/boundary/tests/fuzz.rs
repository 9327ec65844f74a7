//! Any bytes, from either side: those of records, and those in a module's memory. Nothing panics, what is taken is what
//! apache-avro reads, and who is bad is so alone. `BESPOKE_FUZZ_CASES` says how many cases are tried of each.

mod everything;
mod guest;
#[allow(dead_code, reason = "schemas here are written by hand")]
mod support;

use std::cell::Cell;
use std::env;

use apache_avro::schema::Schema as Avro;
use apache_avro::types::Value;
use bespoke_boundary::wire::write_bytes;
use bespoke_boundary::{Schema, Violation};
use everything::{EVERYTHING, RECORDS, bits, everything, types, value};
use guest::{Call, Came, Guest, LIMIT, component, named};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use support::{decode, encode};

/// A record of which two numbers cross, as in most modules, and all else passes.
const PLAIN: &str = r#"{"type": "record", "name": "P", "fields": [
    {"name": "id", "type": "string"}, {"name": "price", "type": "double"}, {"name": "quantity", "type": "int"},
    {"name": "updated", "type": "long"}, {"name": "there", "type": "boolean"}, {"name": "raw", "type": "bytes"},
    {"name": "unit", "type": {"type": "enum", "name": "U", "symbols": ["A", "B", "C"]}},
    {"name": "rating", "type": ["null", "float"]}]}"#;

/// Bytes that mean something in Avro or in a module's memory.
const TELLING: [u8; 10] = [0, 1, 2, 3, 0x3F, 0x40, 0x7F, 0x80, 0xFE, 0xFF];

/// What happens to bytes.
#[derive(Clone, Debug)]
enum Damage {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
    Append(Vec<u8>),
}

/// A datum: damaged in some ways, or any bytes.
#[derive(Clone, Debug)]
enum Datum {
    Damaged(i64, Vec<Damage>),
    Any(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let byte = || prop_oneof![prop::sample::select(&TELLING[..]), any::<u8>()];
    prop_oneof![
        (any::<Index>(), byte()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<Index>(), 0..8u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), byte()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<Index>().prop_map(Damage::Remove),
        any::<Index>().prop_map(Damage::Cut),
        prop::collection::vec(byte(), 1..12).prop_map(Damage::Append),
    ]
}

fn datum() -> impl Strategy<Value = Datum> {
    prop_oneof![
        4 => any::<i32>().prop_map(|i| Datum::Damaged(i64::from(i), Vec::new())),
        4 => (any::<i32>(), prop::collection::vec(damage(), 1..4)).prop_map(|(i, d)| Datum::Damaged(i64::from(i), d)),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(Datum::Any),
    ]
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() && !matches!(self, Self::Append(_)) {
            return;
        }
        match self {
            Self::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Self::Flip(at, bit) => {
                let at = at.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Self::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Append(more) => bytes.extend_from_slice(more),
        }
    }
}

impl Datum {
    fn bytes(&self, avro: &Avro, value: fn(i64) -> Value) -> Vec<u8> {
        match self {
            Self::Any(bytes) => bytes.clone(),
            Self::Damaged(i, damages) => {
                let mut bytes = encode(avro, value(*i));
                damages.iter().for_each(|damage| damage.apply(&mut bytes));
                bytes
            }
        }
    }
}

fn runner(cases: u32) -> TestRunner {
    let cases = env::var("BESPOKE_FUZZ_CASES").map_or(cases, |n| n.parse().expect("a number"));
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

fn plain(i: i64) -> Value {
    Value::Record(
        [
            ("id", Value::String(format!("p-{i}"))),
            ("price", Value::Double(i as f64 / 7.0)),
            ("quantity", Value::Int((i % 300) as i32)),
            ("updated", Value::Long(i << 20)),
            ("there", Value::Boolean(i % 2 == 0)),
            ("raw", Value::Bytes(vec![7; (i % 90).unsigned_abs() as usize])),
            ("unit", Value::Enum(2, "C".into())),
            (
                "rating",
                if i % 3 == 0 {
                    Value::Union(0, Value::Null.into())
                } else {
                    Value::Union(1, Value::Float(1.5).into())
                },
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
    )
}

/// Two numbers of [`PLAIN`], answered as they came.
fn two(columns: bool) -> String {
    let echo = |lists: i32| -> String {
        let store = |i| format!("(i32.store (i32.const {}) (local.get {i}))", 4 * i);
        (0..2 * lists).map(store).collect::<String>() + "(i32.const 0)"
    };
    if columns {
        let types = named("r", "(record (field \"price\" (list f64)) (field \"quantity\" (list s32)))");
        return component("process", &types, "(param \"records\" $r)", "$r", 4, &echo(2));
    }
    let types = named("r", "(record (field \"price\" f64) (field \"quantity\" s32))");
    component("process", &types, RECORDS, "(list $r)", 2, &echo(1))
}

/// A batch through a module that answers what it gets.
fn through(guest: &Guest, schema: &Schema, avro: &Avro, data: &[Vec<u8>]) -> Result<usize, TestCaseError> {
    let mut guest = guest.fresh();
    let plan = guest.plan(schema, &[schema]).expect("a plan");
    let mut call = Call::new(plan.clone(), data);
    let refused: Vec<usize> = call.push_all().into_iter().map(|(index, _)| index).collect();
    // Each by itself is judged in the same way.
    for (index, datum) in data.iter().enumerate() {
        let mut alone = Call::new(plan.clone(), std::slice::from_ref(datum));
        prop_assert_eq!(alone.push(0).is_err(), refused.contains(&index), "{:?}", datum);
    }
    let accepted = data.iter().enumerate().filter(|(index, _)| !refused.contains(index)).map(|(_, datum)| datum);
    let came = if refused.len() < data.len() {
        guest.call(&mut call, LIMIT).map_err(|e| TestCaseError::fail(format!("{e:?}")))?;
        call.came()
    } else {
        Vec::new()
    };
    prop_assert_eq!(came.len(), data.len() - refused.len());
    for (came, datum) in came.iter().zip(accepted) {
        let Came::Value(back) = came else { return Err(TestCaseError::fail(format!("{came:?}"))) };
        // What does not cross is not looked into: then both are no value, and the bytes are the same.
        match decode(avro, datum, None) {
            Ok(there) => prop_assert_eq!(decode(avro, back, None).map(bits).ok(), Some(bits(there)), "{:?}", datum),
            Err(_) => prop_assert!(decode(avro, back, None).is_err(), "{:?} became {:?}", datum, back),
        }
    }
    Ok(refused.len())
}

fn all_through(json: &str, wat: &str, value: fn(i64) -> Value) {
    let (schema, avro) = (Schema::parse(json).expect("a schema"), Avro::parse_str(json).expect("a schema"));
    let guest = Guest::new(wat);
    let (taken, refused) = (Cell::new(0), Cell::new(0));
    let ran = runner(200).run(&prop::collection::vec(datum(), 1..40), |batch| {
        let data: Vec<_> = batch.iter().map(|datum| datum.bytes(&avro, value)).collect();
        let bad = through(&guest, &schema, &avro, &data)?;
        taken.set(taken.get() + data.len() - bad);
        refused.set(refused.get() + bad);
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    // It would prove nothing if all were good, or none.
    assert!(taken.get() > 0 && refused.get() > 0, "{taken:?} were taken, {refused:?} refused");
}

#[test]
fn records_of_any_bytes_are_refused_or_mean_what_apache_avro_reads() {
    all_through(EVERYTHING, &everything(), value);
}

#[test]
fn so_are_records_of_which_two_numbers_cross() {
    all_through(PLAIN, &two(false), plain);
    all_through(PLAIN, &two(true), plain);
}

/// What [`answering`] answers, as it stands in the memory from 0 on: a list of one record, and what that points to.
fn answer() -> Vec<u8> {
    let mut memory = vec![0u8; 256];
    let mut put = |at: usize, bytes: &[u8]| memory[at..at + bytes.len()].copy_from_slice(bytes);
    let word = |n: u32| n.to_le_bytes();
    // The list, and its record of 88 bytes at 16, aligned to 8.
    put(0, &[word(16), word(1)].concat());
    put(16, &[1]);
    put(20, &word(7));
    put(24, &9u64.to_le_bytes());
    // text, raw, color, maybe, either (a string), tags, counts, hash: pointers and lengths.
    put(32, &[word(112), word(5)].concat());
    put(40, &[word(120), word(3)].concat());
    put(48, &[1]);
    put(52, &[word(1), word(112), word(2)].concat());
    put(64, &[word(1), word(1), word(113), word(3)].concat());
    put(80, &[word(128), word(2)].concat());
    put(88, &[word(144), word(1)].concat());
    put(96, &[word(120), word(3)].concat());
    put(112, b"hello");
    put(120, &[0, 255, 7]);
    put(128, &[word(112), word(1), word(113), word(2)].concat());
    put(144, &[word(112), word(1)].concat());
    put(152, &5u64.to_le_bytes());
    memory
}

/// A module that copies the bytes of its record to 0, and answers what they are then.
fn answering() -> String {
    let types = types() + &named("i", "(record (field \"raw\" (list u8)))");
    let copy = "(memory.copy (i32.const 0) (i32.load (local.get 0)) (i32.load offset=4 (local.get 0))) (i32.const 0)";
    component("process", &types, "(param \"records\" (list $i))", "(list $r)", 2, copy)
}

#[test]
fn answers_of_any_bytes_are_violations_or_records() {
    let output = EVERYTHING
        .replace(r#"{"name": "unseen", "type": "long"}"#, r#"{"name": "unseen", "type": "long", "default": 1}"#);
    let (schema, avro) = (Schema::parse(&output).expect("a schema"), Avro::parse_str(&output).expect("a schema"));
    let input = r#"{"type": "record", "name": "I", "fields": [{"name": "raw", "type": "bytes"}]}"#;
    let input = Schema::parse(input).expect("a schema");
    let module = Guest::new(&answering());
    // A word at a time too, since most of an answer is pointers and lengths.
    let words = prop::sample::select(vec![0, 1, 2, 16, 112, 255, 4095, 4 << 20, 64 << 16, u32::MAX - 7, u32::MAX]);
    let damages = (
        prop::collection::vec((0..40usize, words), 0..3),
        prop::collection::vec((0..160usize, prop_oneof![prop::sample::select(&TELLING[..]), any::<u8>()]), 0..4),
    );
    let (good, bad) = (Cell::new(0), Cell::new(0));
    let ran = runner(4000).run(&damages, |(words, bytes)| {
        let mut memory = answer();
        words.into_iter().for_each(|(at, word)| memory[4 * at..4 * at + 4].copy_from_slice(&word.to_le_bytes()));
        bytes.into_iter().for_each(|(at, byte)| memory[at] = byte);
        let mut datum = Vec::new();
        write_bytes(&mut datum, &memory);
        // Whatever happens to an instance, the next case has another.
        let mut guest = module.fresh();
        let mut call = Call::new(guest.plan(&input, &[&schema]).expect("a plan"), &[datum]);
        call.push(0).expect("a record");
        match guest.call(&mut call, LIMIT) {
            Ok(()) => {
                let came = call.came();
                let [Came::Value(value)] = &came[..] else { return Err(TestCaseError::fail(format!("{came:?}"))) };
                decode(&avro, value, None).map_err(|e| TestCaseError::fail(format!("{memory:?}: {e}")))?;
                good.set(good.get() + 1);
            }
            Err(error) => {
                prop_assert!(error.downcast_ref::<Violation>().is_some(), "{:?}: {:?}", memory, error);
                bad.set(bad.get() + 1);
            }
        }
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    assert!(good.get() > 0 && bad.get() > 0, "{good:?} were records, {bad:?} violations");
}
