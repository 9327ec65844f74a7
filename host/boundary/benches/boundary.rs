//! What a record costs on its way through a module, against the ways to do without the boundary.
//!
//! One iteration is a batch of 1,000 records of `schemas/product.avsc` (8 fields, about 70 bytes), so that microseconds
//! per iteration are nanoseconds per record. The modules are those of `guests/bench`; `make guests` builds them.

#![allow(missing_docs, unsafe_code, clippy::print_stderr, reason = "criterion's and wasmtime's macros expand to these")]

use std::sync::Arc;

use apache_avro::types::Value;
use bespoke_boundary::wire::{write_bytes, write_long};
use bespoke_boundary::{About, Cursor, Entry, Exchange, Function, Output, Plan, Schema, Signature};
use bespoke_record::{Batch, BatchBuilder, Span};
use criterion::{Criterion, criterion_group, criterion_main};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentType, Instance, Lift, Linker, Lower};
use wasmtime::{Config, Engine, Store};

const RECORDS: usize = 1_000;
const PRODUCT: &str = include_str!("../../../schemas/product.avsc");
const LIMIT: usize = 64 << 20;

/// The same record as wasmtime's derive sees it.
#[derive(ComponentType, Lift, Lower, Clone)]
#[component(record)]
struct Product {
    id: String,
    name: String,
    category: String,
    price: f64,
    quantity: i32,
    updated: i64,
    #[component(name = "in-stock")]
    in_stock: bool,
    rating: Option<f32>,
}

struct Guest {
    store: Store<()>,
    instance: Instance,
    signature: Signature,
}

fn guest(name: &str) -> Option<Guest> {
    let folder = std::env::var("GUESTS_TARGET")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../guests/target").to_owned());
    let path = format!("{folder}/wasm32-wasip2/release/bench_{name}.wasm");
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("{path} is not there: run `make guests` first");
        return None;
    };
    // As the host configures it.
    let mut config = Config::new();
    config.concurrency_support(false);
    config.epoch_interruption(true);
    let engine = Engine::new(&config).expect("an engine");
    let component = Component::new(&engine, bytes).expect("a component");
    let ty = component.component_type();
    let signature = match ty.get_export(&engine, "process").map(|e| e.ty) {
        Some(ComponentItem::ComponentFunc(func)) => Signature::of(Function::Process, &func).expect("a signature"),
        _ => panic!("no process"),
    };
    let mut linker = Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&component).expect("stubs");
    let mut store = Store::new(&engine, ());
    store.set_epoch_deadline(1_000_000);
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    Some(Guest { store, instance, signature })
}

fn products() -> Vec<Product> {
    (0..RECORDS)
        .map(|i| Product {
            id: format!("product-{i:06}"),
            name: format!("Thing number {i:05}"),
            category: ["garden", "kitchen", "toys", "books"][i % 4].to_owned(),
            price: 10.0 + i as f64 / 7.0,
            quantity: (i % 90) as i32,
            updated: 1_790_000_000_000 + i as i64,
            in_stock: !i.is_multiple_of(7),
            rating: (!i.is_multiple_of(3)).then_some(4.5),
        })
        .collect()
}

fn encode(product: &Product, out: &mut Vec<u8>) {
    write_bytes(out, product.id.as_bytes());
    write_bytes(out, product.name.as_bytes());
    write_bytes(out, product.category.as_bytes());
    out.extend_from_slice(&product.price.to_le_bytes());
    write_long(out, i64::from(product.quantity));
    write_long(out, product.updated);
    out.push(u8::from(product.in_stock));
    match product.rating {
        None => out.push(0),
        Some(rating) => {
            out.push(2);
            out.extend_from_slice(&rating.to_le_bytes());
        }
    }
}

fn decode(bytes: &[u8]) -> Product {
    let mut cursor = Cursor::new(bytes);
    Product {
        id: cursor.string().expect("id").to_owned(),
        name: cursor.string().expect("name").to_owned(),
        category: cursor.string().expect("category").to_owned(),
        price: f64::from_le_bytes(cursor.array().expect("price")),
        quantity: cursor.int().expect("quantity"),
        updated: cursor.long().expect("updated"),
        in_stock: cursor.boolean().expect("in_stock"),
        rating: match cursor.index(2).expect("rating") {
            0 => None,
            _ => Some(f32::from_le_bytes(cursor.array().expect("rating"))),
        },
    }
}

fn batch() -> (Batch, Vec<Span>) {
    let mut builder = BatchBuilder::new();
    let mut value = Vec::new();
    for product in products() {
        value.clear();
        encode(&product, &mut value);
        builder.push(None, Some(&value), [], 0).expect("room");
    }
    let batch = builder.finish();
    let spans = batch.entries().iter().filter_map(|e| e.value).collect();
    (batch, spans)
}

fn through_the_boundary(c: &mut Criterion, label: &str, name: &str) {
    let Some(mut guest) = guest(name) else { return };
    let schema = Schema::parse(PRODUCT).expect("the schema");
    let output = Output { schema: &schema, prefix: vec![0, 0, 0, 0, 1] };
    let plan = Arc::new(Plan::compile(guest.signature.clone(), &schema, &[output]).expect("a plan"));
    let func = guest.instance.get_func(&mut guest.store, "process").expect("process");
    let entry = Entry::new(&mut guest.store, &func, &guest.signature).expect("an entry");
    let (batch, spans) = batch();
    let records: Vec<_> = spans.into_iter().enumerate().collect();
    let about = About { batch: &batch, topic: "t", partition: 0 };
    let mut exchange = Exchange::default();
    c.bench_function(label, |b| {
        b.iter(|| {
            exchange.begin(&plan, batch.len());
            exchange.push(&plan, &about, &records, None, |_, error| panic!("{error}"));
            let answers = exchange.call(&entry, &mut guest.store, &plan, batch.arena(), LIMIT).expect("answers");
            assert_eq!(answers.verdicts.len(), RECORDS);
        });
    });
}

fn boundary(c: &mut Criterion) {
    through_the_boundary(c, "boundary: 8 fields in and out", "echo8");
    through_the_boundary(c, "boundary: 2 fields cross, 6 pass through", "two");
    through_the_boundary(c, "boundary: the same as columns", "columns");
}

fn native(c: &mut Criterion) {
    let (batch, spans) = batch();
    c.bench_function("native: decode, change 2 of 8 fields, encode", |b| {
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            for span in &spans {
                let mut product = decode(span.of(batch.arena()));
                product.price *= 0.9;
                product.quantity = product.quantity.wrapping_add(1);
                encode(&product, &mut out);
            }
            out.len()
        });
    });
}

#[expect(deprecated, reason = "what its replacement does per datum, without its set-up")]
fn apache_avro(c: &mut Criterion) {
    let schema = apache_avro::Schema::parse_str(PRODUCT).expect("the schema");
    let (batch, spans) = batch();
    c.bench_function("apache-avro: decode and encode, no module", |b| {
        b.iter(|| {
            let mut bytes = 0;
            for span in &spans {
                let mut datum = span.of(batch.arena());
                let value: Value = apache_avro::from_avro_datum(&schema, &mut datum, None).expect("a value");
                bytes += apache_avro::to_avro_datum(&schema, value).expect("bytes").len();
            }
            bytes
        });
    });
}

fn derived(c: &mut Criterion) {
    let Some(mut guest) = guest("echo8") else { return };
    let func =
        guest.instance.get_typed_func::<(&[Product],), (Vec<Product>,)>(&mut guest.store, "process").expect("process");
    let products = products();
    c.bench_function("wasmtime's derived structs: 8 fields, no codec", |b| {
        b.iter(|| func.call(&mut guest.store, (&products,)).expect("an answer").0.len());
    });
}

criterion_group!(benches, boundary, native, derived, apache_avro);
criterion_main!(benches);
