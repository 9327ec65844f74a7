//! The records fit the schema, come again the same, and are distributed as promised.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;

use super::*;

fn generator(options: GeneratorOptions) -> Generator {
    Generator::new(&options).expect("options that make sense")
}

fn small(count: u64) -> GeneratorOptions {
    GeneratorOptions { count: Some(count), products: 500, ..GeneratorOptions::default() }
}

/// All records as apache-avro reads them.
fn records(options: GeneratorOptions) -> Vec<HashMap<String, Value>> {
    let schema = Schema::parse_str(SCHEMA).expect("the schema");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
    let mut generator = generator(options);
    let mut records = Vec::new();
    let mut datum = Vec::new();
    while generator.next_avro(&mut datum) {
        let mut bytes = &datum[..];
        let Value::Record(fields) = reader.read_value(&mut bytes).expect("a datum") else { panic!("a record") };
        assert!(bytes.is_empty(), "bytes left over");
        records.push(fields.into_iter().collect());
        datum.clear();
    }
    records
}

fn price(record: &HashMap<String, Value>) -> f64 {
    let Value::Double(price) = record["price"] else { panic!("a double") };
    price
}

fn lines(options: GeneratorOptions) -> Vec<String> {
    let mut generator = generator(options);
    let mut out = Vec::new();
    while generator.next_json(&mut out) {}
    String::from_utf8(out).expect("UTF-8").lines().map(str::to_owned).collect()
}

fn share(part: usize, of: usize) -> f64 {
    part as f64 / of as f64
}

#[test]
fn avro_and_json_say_the_same() {
    let records = records(small(300));
    let lines = lines(small(300));
    assert_eq!((records.len(), lines.len()), (300, 300));
    for (record, line) in records.iter().zip(lines) {
        let json: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let fields = json.as_object().expect("an object");
        assert_eq!(fields.len(), record.len());
        for (name, value) in record {
            let same = match value {
                Value::String(text) => fields[name] == **text,
                Value::Double(number) => fields[name] == *number,
                Value::Int(number) => fields[name] == *number,
                Value::TimestampMillis(number) => fields[name] == *number,
                Value::Boolean(flag) => fields[name] == *flag,
                Value::Union(_, inner) => match **inner {
                    Value::Float(number) => fields[name].as_f64().is_some_and(|n| n as f32 == number),
                    _ => fields[name].is_null(),
                },
                other => panic!("{name}: {other:?}"),
            };
            assert!(same, "{name}: {value:?} in {line}");
        }
    }
}

#[test]
fn a_record_is_about_70_bytes() {
    let mut out = Vec::new();
    let mut generator = generator(small(1000));
    while generator.next_avro(&mut out) {}
    assert!((55..80).contains(&(out.len() / 1000)), "{}", out.len() / 1000);
}

#[test]
fn the_sequence_goes_on_anywhere_and_depends_on_the_seed() {
    let whole = lines(small(200));
    let mut later = generator(small(200));
    later.seek(150);
    let mut out = Vec::new();
    while later.next_json(&mut out) {}
    assert_eq!(String::from_utf8(out).expect("UTF-8").lines().collect::<Vec<_>>(), whole[150..]);
    assert_eq!(later.position(), 200);
    assert_ne!(lines(GeneratorOptions { seed: 2, ..small(200) }), whole);
}

#[test]
fn popular_products_come_as_often_as_zipf_says() {
    let mut counts: HashMap<String, u32> = HashMap::new();
    for record in records(GeneratorOptions { products: 200, ..small(50_000) }) {
        let Value::String(id) = &record["id"] else { panic!("a string") };
        *counts.entry(id.clone()).or_default() += 1;
    }
    // The slope of log(count) over log(rank), by least squares.
    let points: Vec<(f64, f64)> =
        (0..100).map(|rank| (f64::from(rank + 1).ln(), f64::from(counts[&format!("sku-{rank:07}")]).ln())).collect();
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / 100.0, y + p.1 / 100.0));
    let slope = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>()
        / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    assert!((slope + 1.0).abs() < 0.05, "{slope}");
}

#[test]
fn shares_are_as_asked_for() {
    let options = GeneratorOptions { invalid: 0.02, outliers: 0.0, ..small(20_000) };
    let records = records(options.clone());
    let impossible = records.iter().filter(|r| !(0.001..1e7).contains(&price(r))).count();
    assert!((share(impossible, records.len()) - 0.02).abs() < 0.004, "{impossible}");
    let out_of_stock = records.iter().filter(|r| r["in_stock"] == Value::Boolean(false)).count();
    assert!((share(out_of_stock, records.len()) - OUT_OF_STOCK).abs() < 0.006, "{out_of_stock}");
    let malformed = lines(options)
        .iter()
        .filter(|line| {
            serde_json::from_str::<serde_json::Value>(line).is_err() || !line.contains("\"id\"") || line.contains("EUR")
        })
        .count();
    assert!((share(malformed, 20_000) - 0.01).abs() < 0.003, "{malformed}");
}

#[test]
fn outliers_change_prices_and_nothing_else() {
    let plain = records(GeneratorOptions { outliers: 0.0, ..small(20_000) });
    let with = records(GeneratorOptions { outliers: 0.01, ..small(20_000) });
    let mut changed = 0;
    for (mut plain, mut with) in plain.into_iter().zip(with) {
        let (before, after) = (price(&plain), price(&with));
        if before != after {
            changed += 1;
            assert!(after / before > 4.0 || after / before < 0.3, "{before} {after}");
        }
        plain.remove("price");
        with.remove("price");
        assert_eq!(plain, with);
    }
    assert!((share(changed, 20_000) - 0.01).abs() < 0.003, "{changed}");
}

#[test]
fn prices_move_little_at_a_time_and_more_in_the_long_run() {
    let mut moves = HashMap::<String, Vec<f64>>::new();
    for record in records(GeneratorOptions { outliers: 0.0, products: 20, ..small(100_000) }) {
        let Value::String(id) = &record["id"] else { panic!("a string") };
        moves.entry(id.clone()).or_default().push(price(&record));
    }
    let prices = &moves["sku-0000000"];
    let steps: Vec<f64> = prices.windows(2).map(|pair| (pair[1] / pair[0] - 1.0).abs()).collect();
    let mean_step = steps.iter().sum::<f64>() / steps.len() as f64;
    let (least, most) = prices.iter().fold((f64::MAX, 0.0_f64), |(l, m), p| (l.min(*p), m.max(*p)));
    assert!(mean_step < 0.005, "{mean_step}");
    assert!(most / least > 1.03 && most / least < 1.4, "{least} {most}");
}

#[test]
fn the_feed_of_the_example_is_a_generated_one() {
    let options = GeneratorOptions {
        count: Some(2000),
        products: 300,
        categories: 8,
        invalid: 0.005,
        outliers: 0.004,
        ..GeneratorOptions::default()
    };
    let file = include_str!("../../../../examples/products/feed.jsonl");
    assert_eq!(file.lines().collect::<Vec<_>>(), lines(options), "the sequence of a seed must not change");
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let default = GeneratorOptions::default;
    for (options, said) in [
        (GeneratorOptions { products: 0, ..default() }, "`products` is 0, but must be from 1 to "),
        (GeneratorOptions { categories: 0, ..default() }, "`categories` is 0, but must be from 1 to "),
        (GeneratorOptions { products: u32::MAX, ..default() }, "`products` is 4294967295, but must be from 1 to "),
        (GeneratorOptions { invalid: -0.1, ..default() }, "`invalid` is -0.1, but must be a share from 0 to 1"),
        (GeneratorOptions { outliers: f64::NAN, ..default() }, "`outliers` is NaN, but must be a share from 0 to 1"),
    ] {
        let error = Generator::new(&options).err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.starts_with(said)), "{options:?}: {error:?}");
    }
}

#[test]
fn the_largest_numbers_are_no_problem() {
    let extreme = GeneratorOptions { start_ms: i64::MAX, interval_ms: u32::MAX, seed: u64::MAX, ..small(u64::MAX) };
    let mut generator = generator(extreme);
    generator.seek(u64::MAX - 1);
    let mut out = Vec::new();
    assert!(generator.next_avro(&mut out));
    assert!(!generator.next_avro(&mut out));
}
