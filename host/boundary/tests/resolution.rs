//! Resolution against apache-avro's own, on random schemas that were changed as people change them.

mod support;

use apache_avro::schema::Schema as Avro;
use bespoke_boundary::resolve::{Skip, min_size, same_encoding};
use bespoke_boundary::{Cursor, Resolution, Schema, WireError};
use proptest::prelude::*;
use serde_json::json;
use support::{Field, Ty, arb_schema, arb_value, decode, encode};

/// A source of decisions, which proptest can shrink.
struct Choices {
    bytes: std::vec::IntoIter<u8>,
    /// Whether a union lost a branch: the one change after which some values cannot be read.
    lost_branch: bool,
}

impl Choices {
    fn pick(&mut self, among: usize) -> usize {
        usize::from(self.bytes.next().unwrap_or(0)) % among.max(1)
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.pick(chances) == chances - 1
    }
}

/// The type as a later version may have it. Each change is one that a reader can follow.
fn evolve(ty: &Ty, choices: &mut Choices) -> Ty {
    let evolved = match ty {
        Ty::Primitive("int") => Ty::Primitive(["int", "long", "float", "double"][choices.pick(4)]),
        Ty::Primitive("long") => Ty::Primitive(["long", "float", "double"][choices.pick(3)]),
        Ty::Primitive("float") => Ty::Primitive(["float", "double"][choices.pick(2)]),
        Ty::Primitive("string") => Ty::Primitive(["string", "bytes"][choices.pick(2)]),
        Ty::Enum(symbols, default) => {
            let mut symbols = symbols.clone();
            if *default && symbols.len() > 1 && choices.one_in(3) {
                symbols.pop();
            }
            let by = choices.pick(symbols.len());
            if !default {
                symbols.rotate_left(by);
            }
            if choices.one_in(3) {
                symbols.push("Added".into());
            }
            Ty::Enum(symbols, *default)
        }
        Ty::Array(item) => Ty::Array(evolve(item, choices).into()),
        Ty::Map(value) => Ty::Map(evolve(value, choices).into()),
        Ty::Union(branches) => {
            // Branches keep their types: apache-avro looks for a branch by the value, and ours by the type, so that they
            // may choose different ones where several fit.
            let mut branches = branches.clone();
            let by = choices.pick(branches.len());
            branches.rotate_left(by);
            if branches.len() > 1 && choices.one_in(4) {
                branches.pop();
                choices.lost_branch = true;
            }
            Ty::Union(branches)
        }
        Ty::Record(fields) => {
            let mut evolved: Vec<Field> = Vec::new();
            for field in fields {
                if choices.one_in(5) {
                    continue;
                }
                evolved.push(Field { ty: evolve(&field.ty, choices), ..field.clone() });
            }
            let by = choices.pick(evolved.len());
            evolved.rotate_left(by);
            for (i, (ty, default)) in [
                (Ty::Primitive("long"), json!(-3)),
                (Ty::Array(Ty::Primitive("string").into()), json!(["a"])),
                (Ty::Union(vec![Ty::Primitive("null"), Ty::Primitive("int")]), json!(null)),
                (Ty::Enum(vec!["A".into(), "B".into()], false), json!("B")),
            ]
            .into_iter()
            .enumerate()
            {
                if choices.one_in(6) {
                    evolved.insert(
                        choices.pick(evolved.len() + 1),
                        Field { name: format!("new{i}"), ty, default: Some(default) },
                    );
                }
            }
            Ty::Record(evolved)
        }
        other => other.clone(),
    };
    // As it was, mostly, so that runs of fields stay untouched; and sometimes optional.
    match choices.pick(8) {
        0..4 if !matches!(ty, Ty::Record(_)) => ty.clone(),
        4 if !matches!(evolved, Ty::Union(_)) && evolved.kind() != "null" => {
            Ty::Union(vec![Ty::Primitive("null"), evolved])
        }
        _ => evolved,
    }
}

fn parse(ty: &Ty) -> (Avro, Schema) {
    let json = ty.json().to_string();
    let ours = Schema::parse(&json).unwrap_or_else(|e| panic!("{json}: {e}"));
    (ours.authority().clone(), ours)
}

/// Whether apache-avro, which looks for a branch by the value, may take an empty map for a record.
fn has_map_beside_record(ty: &Ty) -> bool {
    match ty {
        Ty::Array(of) | Ty::Map(of) => has_map_beside_record(of),
        Ty::Record(fields) => fields.iter().any(|field| has_map_beside_record(&field.ty)),
        Ty::Union(branches) => {
            let has = |kind| branches.iter().any(|branch| branch.kind() == kind);
            has("map") && has("record") || branches.iter().any(has_map_beside_record)
        }
        _ => false,
    }
}

/// The root stays a record.
fn arb_pair() -> impl Strategy<Value = (Ty, Ty, bool)> {
    let writer = arb_schema().prop_filter("no map beside a record", |writer| !has_map_beside_record(writer));
    (writer, prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(writer, choices)| {
        let mut choices = Choices { bytes: choices.into_iter(), lost_branch: false };
        let reader = match evolve(&writer, &mut choices) {
            Ty::Union(mut branches) => branches.remove(1),
            record => record,
        };
        (writer, reader, choices.lost_branch)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resolution_agrees_with_apache_avro(
        ((writer, reader, lost_branch), value) in arb_pair().prop_flat_map(|pair| {
            let value = arb_value(&parse(&pair.0).0);
            (Just(pair), value)
        })
    ) {
        let ((w_avro, w), (r_avro, r)) = (parse(&writer), parse(&reader));
        let datum = encode(&w_avro, value);
        let theirs = decode(&w_avro, &datum, Some(&r_avro));
        let resolution = Resolution::plan(&w, &r).expect("changes that a reader can follow");
        let mut out = Vec::new();
        match resolution.apply(&datum, &mut out) {
            Ok(()) => {
                let ours = decode(&r_avro, &out, None).expect("a datum of the reader");
                // Without its own branch, a timestamp may still be read as a float, which apache-avro does not know.
                prop_assert!(theirs.is_ok() || lost_branch, "{:?}", theirs);
                prop_assert!(theirs.is_ok_and(|theirs| theirs == ours) || lost_branch);
                prop_assert!(!resolution.is_identity() || out == datum);
            }
            Err(error) => {
                // apache-avro may still find another branch: it reads text as any `fixed`, and one record as another.
                prop_assert!(lost_branch, "{error}");
                // Ours may have found one too: bytes are read as a string, if they are one.
                let is_gap = resolution.gaps().any(|gap| gap == error.to_string());
                prop_assert!(is_gap || matches!(error, WireError::Utf8 { .. }), "{error}");
                prop_assert!(out.is_empty());
            }
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_or_a_datum(
        ((writer, reader, _), value) in arb_pair().prop_flat_map(|pair| {
            let value = arb_value(&parse(&pair.0).0);
            (Just(pair), value)
        }),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let ((w_avro, w), (_, r)) = (parse(&writer), parse(&reader));
        let datum = encode(&w_avro, value);
        let resolution = Resolution::plan(&w, &r).expect("changes that a reader can follow");
        let check = Skip::compile(&r, r.root());
        let mut out = Vec::new();
        for cut in 0..datum.len() {
            prop_assert!(resolution.apply(&datum[..cut], &mut out).is_err());
            prop_assert!(out.is_empty());
            prop_assert!(Skip::compile(&w, w.root()).run(&mut Cursor::new(&datum[..cut])).is_err());
        }
        let mut damaged = datum.clone();
        if !damaged.is_empty() {
            for (at, bits) in flips {
                let at = at.index(damaged.len());
                damaged[at] ^= bits;
            }
        }
        if resolution.apply(&damaged, &mut out).is_ok() {
            let mut cursor = Cursor::new(&out);
            check.check(&mut cursor).expect("a datum of the reader");
            prop_assert_eq!(cursor.left(), 0);
        }
    }

    #[test]
    fn walks_end_where_values_end(
        (writer, value) in arb_schema().prop_flat_map(|writer| {
            let value = arb_value(&parse(&writer).0);
            (Just(writer), value)
        })
    ) {
        let (avro, schema) = parse(&writer);
        let datum = encode(&avro, value);
        let skip = Skip::compile(&schema, schema.root());
        for walk in [Skip::run, Skip::check] {
            let mut cursor = Cursor::new(&datum);
            prop_assert_eq!(walk(&skip, &mut cursor), Ok(()));
            prop_assert_eq!(cursor.left(), 0);
        }
        prop_assert!(min_size(&schema, schema.root()) <= datum.len());
        prop_assert!(same_encoding(&schema, schema.root(), &schema, schema.root()));
        prop_assert!(Resolution::plan(&schema, &schema).expect("itself").is_identity());
    }
}
