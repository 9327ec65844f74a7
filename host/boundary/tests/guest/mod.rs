//! Modules for tests, written as text, and batches through them.
//!
//! Every module has a bump allocator that starts at [`FREE`], so that the memory below is its own, and a `process` or
//! `analyze` whose body the test gives.

#![allow(dead_code, reason = "not every test needs all of it")]

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use bespoke_boundary::{
    About, Answers, Entry, Exchange, Function, Mismatch, Output, Plan, Schema, Signature, Verdict, WireError,
};
use bespoke_record::{Batch, BatchBuilder};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Func, Instance, Linker};
use wasmtime::{Config, Engine, Store};

/// Where the allocator starts.
pub const FREE: u32 = 4096;
/// What an answer may have, if a test does not say otherwise.
pub const LIMIT: usize = 1 << 20;

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let mut config = Config::new();
    config.concurrency_support(false);
    Engine::new(&config).expect("an engine")
});

/// A component that exports one function. `types` are of [`named`] types.
pub fn component(name: &str, types: &str, params: &str, result: &str, flat_params: usize, body: &str) -> String {
    let flat = "i32 ".repeat(flat_params);
    module(
        types,
        &format!("(func (export \"{name}\") (param {flat}) (result i32) {body})"),
        &[(name, params, &format!("(result {result})"))],
    )
}

/// A component with a core module of these functions, which are lifted by name, parameters and result.
pub fn module(types: &str, functions: &str, exports: &[(&str, &str, &str)]) -> String {
    let mut lifted = String::new();
    for (name, params, result) in exports {
        lifted += &format!(
            "(func (export \"{name}\") {params} {result} (canon lift (core func $i \"{name}\")
               (memory (core memory $i \"memory\")) (realloc (core func $i \"realloc\"))))\n"
        );
    }
    format!(
        "(component
           (core module $m
             (memory (export \"memory\") 64)
             (global $free (mut i32) (i32.const {FREE}))
             (func (export \"realloc\") (param i32 i32 i32 i32) (result i32)
               (local $at i32)
               (local.set $at (i32.and
                 (i32.add (global.get $free) (i32.sub (local.get 2) (i32.const 1)))
                 (i32.sub (i32.const 0) (local.get 2))))
               (global.set $free (i32.add (local.get $at) (local.get 3)))
               (local.get $at))
             {functions})
           (core instance $i (instantiate $m))
           {types}
           {lifted})"
    )
}

/// A type with a name, which is how functions may use records, variants and enums.
pub fn named(name: &str, definition: &str) -> String {
    format!("(type ${name}-anonymous {definition}) (export ${name} \"{name}\" (type ${name}-anonymous))\n")
}

/// An instance of a module.
pub struct Guest {
    pub store: Store<()>,
    pub instance: Instance,
    pub signature: Signature,
    component: Component,
}

/// A plan and what is needed to call.
pub struct Call {
    pub plan: Arc<Plan>,
    pub batch: Batch,
    pub exchange: Exchange,
}

/// What came for a record, or for a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Came {
    Value(Vec<u8>),
    Dropped,
    Rejected(String),
}

fn parse(wat: &str) -> Component {
    let bytes = wat::parse_str(wat).unwrap_or_else(|e| panic!("{e}\n{wat}"));
    Component::new(&ENGINE, bytes).unwrap_or_else(|e| panic!("{e:?}\n{wat}"))
}

/// The type of the function that a module exports.
pub fn signature(wat: &str) -> Signature {
    let component = parse(wat);
    signature_of(&component).expect("a signature")
}

fn signature_of(component: &Component) -> Result<Signature, bespoke_boundary::SignatureError> {
    let ty = component.component_type();
    for function in [Function::Process, Function::Analyze] {
        if let Some(ComponentItem::ComponentFunc(func)) = ty.get_export(&ENGINE, function.name()).map(|e| e.ty) {
            return Signature::of(function, &func);
        }
    }
    panic!("neither process nor analyze")
}

/// Why the type of a function means nothing.
pub fn refused(wat: &str) -> String {
    let component = parse(wat);
    signature_of(&component).expect_err("a type that means nothing").to_string()
}

// === impl Guest ===

impl Guest {
    pub fn new(wat: &str) -> Self {
        Self::of(parse(wat))
    }

    fn of(component: Component) -> Self {
        let signature = signature_of(&component).expect("a signature");
        let mut store = Store::new(&ENGINE, ());
        let instance = Linker::new(&ENGINE).instantiate(&mut store, &component).expect("an instance");
        Self { store, instance, signature, component }
    }

    /// Another instance of the same module.
    pub fn fresh(&self) -> Self {
        Self::of(self.component.clone())
    }

    pub fn func(&mut self, name: &str) -> Func {
        self.instance.get_func(&mut self.store, name).expect("an export")
    }

    pub fn plan(&self, reader: &Schema, outputs: &[&Schema]) -> Result<Arc<Plan>, Mismatch> {
        let outputs: Vec<_> = outputs.iter().map(|schema| Output { schema, prefix: Vec::new() }).collect();
        Plan::compile(self.signature.clone(), reader, &outputs).map(Arc::new)
    }

    /// Calls with what was pushed.
    pub fn call(&mut self, call: &mut Call, limit_bytes: usize) -> wasmtime::Result<()> {
        let func = self.func(self.signature.function.name());
        let entry = Entry::new(&mut self.store, &func, &self.signature)?;
        call.exchange.call(&entry, &mut self.store, &call.plan, call.batch.arena(), limit_bytes).map(|_| ())
    }

    /// All of a batch through the module: its plan, staging and call must succeed.
    pub fn run(&mut self, reader: &Schema, outputs: &[&Schema], data: &[Vec<u8>]) -> Call {
        let plan = self.plan(reader, outputs).unwrap_or_else(|e| panic!("{e}"));
        let mut call = Call::new(plan, data);
        assert_eq!(call.push_all(), []);
        self.call(&mut call, LIMIT).unwrap_or_else(|e| panic!("{e:?}"));
        call
    }
}

// === impl Call ===

impl Call {
    pub fn new(plan: Arc<Plan>, data: &[Vec<u8>]) -> Self {
        let mut builder = BatchBuilder::new();
        for datum in data {
            builder.push(None, Some(datum), [], 0).expect("room");
        }
        Self::of_batch(plan, builder.finish())
    }

    pub fn of_batch(plan: Arc<Plan>, batch: Batch) -> Self {
        let mut exchange = Exchange::default();
        exchange.begin(&plan, batch.len());
        Self { plan, batch, exchange }
    }

    /// One record by itself.
    pub fn push(&mut self, index: usize) -> Result<(), WireError> {
        self.push_some(index..index + 1).pop().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// All records at once; those that are refused.
    pub fn push_all(&mut self) -> Vec<(usize, WireError)> {
        self.push_some(0..self.batch.len())
    }

    fn push_some(&mut self, range: Range<usize>) -> Vec<(usize, WireError)> {
        let datum = |index: usize| (index, self.batch.entries()[index].value.expect("a value"));
        let records: Vec<_> = range.map(datum).collect();
        let about = About { batch: &self.batch, topic: "some.topic", partition: 3 };
        let mut refused = Vec::new();
        self.exchange.push(&self.plan, &about, &records, None, |index, error| refused.push((index, error)));
        refused
    }

    pub fn answers(&self) -> &Answers {
        self.exchange.answers()
    }

    /// What came for each record.
    pub fn came(&self) -> Vec<Came> {
        let Answers { arena, verdicts, .. } = self.answers();
        let came = |verdict: &Verdict| match verdict {
            Verdict::Value(span) => Came::Value(span.of(arena).to_vec()),
            Verdict::Dropped => Came::Dropped,
            Verdict::Rejected(span) => Came::Rejected(String::from_utf8(span.of(arena).to_vec()).expect("UTF-8")),
        };
        verdicts.iter().map(came).collect()
    }

    /// The rows of an output.
    pub fn rows(&self, output: usize) -> Vec<Vec<u8>> {
        let Answers { arena, outputs, .. } = self.answers();
        outputs[output].iter().map(|span| span.of(arena).to_vec()).collect()
    }
}
