//! A module from its file to its answers: compiled, started, and called with batches as a stage calls it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bench_measure::cpu_time;
use bespoke_boundary::{About, Exchange, Output, Plan, Schema, Verdict, output_schema};
use bespoke_record::{Batch, BatchBuilder, Span};
use host::feed::generate::{Generator, GeneratorOptions};
use host::module::{Instance, Limits, Module, Sandbox, THREAD_STACK_BYTES};

/// Records of a call, between the least and the most that a stage's calls have.
const BATCH_RECORDS: usize = 512;
const BATCHES: usize = 64;
/// Calls before any is counted, and for how long they are.
const WARM_UP: usize = 64;
const COUNTED: Duration = Duration::from_secs(3);
/// Instances made, of whose times the median counts.
const STARTS: usize = 51;
/// No call here takes as long, on a machine that is not too busy.
const LIMITS: Limits = Limits { memory_bytes: 256 << 20, time_ms: 30_000, answer_bytes: 64 << 20 };
/// What a value starts with that goes to a topic.
const PREFIX: [u8; 5] = [0, 0, 0, 0, 1];

const PRODUCT: &str = include_str!("../../../../schemas/product.avsc");

/// What both modules read.
pub(super) struct Records {
    products: Input,
    processed: Input,
}

/// Batches of records of one schema.
struct Input {
    schema: Schema,
    batches: Vec<Placed>,
}

/// A batch, and where in it the records are.
type Placed = (Batch, Vec<(usize, Span)>);

/// What a module takes.
pub(super) struct Ran {
    /// Of all threads.
    pub compile: Duration,
    pub start: Duration,
    pub memory_at_start: usize,
    pub memory: usize,
    pub ns_per_record: f64,
}

/// A module with the schemas between which it stands.
struct Ready {
    module: Arc<Module>,
    plan: Arc<Plan>,
}

// === impl Records ===

impl Records {
    /// Generated products, and what the processor in this file makes of them.
    pub fn of(processor: &Path) -> Result<Self> {
        let schema = Schema::parse(PRODUCT)?;
        let mut generator = Generator::new(&GeneratorOptions::default())?;
        let product = || {
            let mut value = Vec::new();
            generator.next_avro(&mut value);
            value
        };
        let values: Vec<Vec<u8>> = std::iter::repeat_with(product).take(BATCHES * BATCH_RECORDS).collect();
        let products = Input { schema, batches: batches(&values)? };
        let sandbox = sandbox()?;
        let loaded = Module::load(&sandbox, processor, LIMITS)
            .with_context(|| format!("`make guests-all` builds `{}`", processor.display()))?;
        let schema = Schema::parse(&output_schema(loaded.signature(), 0, &products.schema, "processed")?)?;
        let ready = Ready::of(loaded, &products.schema)?;
        let mut values = Vec::new();
        on_its_stack(|| {
            let mut instance = Instance::new(&ready.module, &[]).map_err(|fault| anyhow!("{fault:?}"))?;
            let mut exchange = Exchange::default();
            for batch in &products.batches {
                ready.call(&mut instance, &mut exchange, batch)?;
                let answers = exchange.answers();
                values.extend(answers.verdicts.iter().filter_map(|verdict| match verdict {
                    Verdict::Value(span) => Some(span.of(&answers.arena)[PREFIX.len()..].to_vec()),
                    Verdict::Dropped | Verdict::Rejected(_) => None,
                }));
            }
            Ok(())
        })?;
        Ok(Self { processed: Input { schema, batches: batches(&values)? }, products })
    }
}

fn batches(values: &[Vec<u8>]) -> Result<Vec<Placed>> {
    let full = values.chunks(BATCH_RECORDS).filter(|chunk| chunk.len() == BATCH_RECORDS);
    full.map(|chunk| {
        let mut builder = BatchBuilder::new();
        chunk.iter().try_for_each(|value| builder.push(None, Some(value), [], 0))?;
        let batch = builder.finish();
        let spans = batch.entries().iter().filter_map(|entry| entry.value).enumerate().collect();
        Ok((batch, spans))
    })
    .collect()
}

// === impl Ready ===

impl Ready {
    fn of(module: Module, reader: &Schema) -> Result<Self> {
        let signature = module.signature();
        let names = signature.answer.outputs();
        let schema = |(at, name): (usize, &Option<&str>)| {
            Ok(Schema::parse(&output_schema(signature, at, reader, name.unwrap_or("output"))?)?)
        };
        let schemas: Vec<Schema> = names.iter().enumerate().map(schema).collect::<Result<_>>()?;
        let outputs: Vec<_> = schemas.iter().map(|schema| Output { schema, prefix: PREFIX.to_vec() }).collect();
        let plan = Arc::new(Plan::compile(signature.clone(), reader, &outputs)?);
        Ok(Self { module: Arc::new(module), plan })
    }

    /// One call with a batch, decoded and answered. Returns how many records it had.
    fn call(&self, instance: &mut Instance, exchange: &mut Exchange, (batch, records): &Placed) -> Result<usize> {
        let about = About { batch, topic: "input", partition: 0 };
        exchange.begin(&self.plan, records.len());
        exchange.push(&self.plan, &about, records, None, |_, _| {});
        ensure!(exchange.len() == records.len(), "records of another schema");
        instance.call(exchange, &self.plan, batch.arena()).map_err(|fault| anyhow!("{fault:?}"))?;
        Ok(records.len())
    }
}

/// Measures a module.
pub(super) fn measure(path: &Path, records: &Records, module: &str) -> Result<Ran> {
    let input = if module == "processor" { &records.products } else { &records.processed };
    let sandbox = sandbox()?;
    let before = cpu_time()?;
    let loaded = Module::load(&sandbox, path, LIMITS)?;
    let compile = cpu_time()?.saturating_sub(before);
    let ready = Ready::of(loaded, &input.schema)?;
    on_its_stack(|| {
        let start = || Instance::new(&ready.module, &[]).map_err(|fault| anyhow!("{fault:?}"));
        let mut starts = Vec::with_capacity(STARTS);
        for _ in 0..STARTS {
            let began = Instant::now();
            let instance = start()?;
            starts.push(began.elapsed());
            drop(instance);
        }
        starts.sort();
        let mut instance = start()?;
        let memory_at_start = instance.memory_bytes();
        let mut exchange = Exchange::default();
        let mut calls = input.batches.iter().cycle();
        for batch in calls.by_ref().take(WARM_UP) {
            ready.call(&mut instance, &mut exchange, batch)?;
        }
        let (before, began, mut counted) = (cpu_time()?, Instant::now(), 0);
        while began.elapsed() < COUNTED {
            let batch = calls.next().context("a batch")?;
            counted += ready.call(&mut instance, &mut exchange, batch)?;
        }
        // Nothing else runs in this process.
        let spent = cpu_time()?.saturating_sub(before);
        Ok(Ran {
            compile,
            start: starts[STARTS / 2],
            memory_at_start,
            memory: instance.memory_bytes(),
            ns_per_record: spent.as_nanos() as f64 / counted as f64,
        })
    })
}

/// An engine that keeps no compiled code.
fn sandbox() -> Result<Sandbox> {
    Sandbox::new(None).map_err(|error| anyhow!("the WebAssembly engine does not start: {error:#}"))
}

/// Runs on a thread with a stack for modules.
fn on_its_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(THREAD_STACK_BYTES).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| anyhow!("the thread panicked"))?
    })
}
