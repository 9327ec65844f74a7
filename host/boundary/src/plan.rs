//! A function, its schemas, and everything that follows from them: compiled once, used for every batch.

use std::sync::Arc;

use bespoke_record::Span;
use bytes::Bytes;
use wasmtime::AsContextMut;

use crate::answer::{AnswerPlan, Answers};
use crate::call::{self, Entry};
use crate::guest::{Guest, Violation};
use crate::mismatch::Mismatch;
use crate::resolve::Resolution;
use crate::schema::Schema;
use crate::signature::Signature;
use crate::stage::{About, InputPlan, Staged};
use crate::wire::WireError;

/// Bytes that are reserved for answers at most, before it is known how many they have.
const RESERVED_BYTES: usize = 1 << 20;

/// How batches of one reader schema go through one function.
#[derive(Debug)]
pub struct Plan {
    signature: Signature,
    input: InputPlan,
    answer: AnswerPlan,
    outputs: usize,
}

/// The schema of an output, and the bytes that each of its values starts with.
#[derive(Clone, Debug)]
pub struct Output<'a> {
    /// The schema; a record.
    pub schema: &'a Schema,
    /// The framing: empty, or the five bytes that name the schema.
    pub prefix: Vec<u8>,
}

/// One batch on its way through a function: staged, called, answered. Reused, so that nothing is allocated per batch.
#[derive(Debug, Default)]
pub struct Exchange {
    staged: Staged,
    answers: Answers,
    /// Bytes that the answer to a record needs, as the last ones did, with room for what their taker adds.
    usual_bytes: usize,
}

impl Plan {
    /// Matches a function with its schemas. `outputs` are in the order of [`crate::Answer::outputs`].
    ///
    /// # Errors
    /// The field that does not fit, with both types.
    pub fn compile(signature: Signature, reader: &Schema, outputs: &[Output<'_>]) -> Result<Self, Mismatch> {
        let function = signature.function.name();
        let schemas: Vec<_> = outputs.iter().map(|o| (o.schema, o.prefix.clone())).collect();
        let (mut answer, boundaries) =
            AnswerPlan::compile(&signature, reader, &schemas).map_err(|e| e.into_mismatch(function))?;
        let input = InputPlan::compile(reader, &signature.input, signature.meta.as_deref(), &boundaries)
            .map_err(|e| e.into_mismatch(function))?;
        answer.set_marks(|boundary| input.mark_at(boundary));
        Ok(Self { signature, input, answer, outputs: outputs.len() })
    }

    /// Checks the parameters alone, before any output schema is known.
    ///
    /// # Errors
    /// The field that does not fit, with both types.
    pub fn check_input(signature: &Signature, reader: &Schema) -> Result<(), Mismatch> {
        InputPlan::compile(reader, &signature.input, signature.meta.as_deref(), &[])
            .map(|_| ())
            .map_err(|e| e.into_mismatch(signature.function.name()))
    }

    /// The function's type.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(crate) fn lift(
        &self,
        guest: Guest<'_>,
        at: usize,
        staged: &Staged,
        input: &[u8],
        answers: &mut Answers,
    ) -> Result<(), Violation> {
        self.answer.lift(&self.signature, guest, at, staged, input, answers)
    }
}

impl Exchange {
    /// Starts a batch of at most `capacity` records.
    pub fn begin(&mut self, plan: &Plan, capacity: usize) {
        self.staged.begin(&plan.input, capacity);
        self.answers.arena.clear();
        self.answers.arena.reserve((self.usual_bytes * capacity).min(RESERVED_BYTES));
        self.answers.verdicts.clear();
        self.answers.failed = None;
        self.answers.outputs.resize_with(plan.outputs, Vec::new);
        self.answers.outputs.iter_mut().for_each(Vec::clear);
    }

    /// Adds records of a batch: of each its index, and where its Avro bytes stand, without framing. `resolution` brings them to
    /// the reader schema, if a writer with another schema made them. Many at once are much cheaper than one by one.
    ///
    /// A record whose bytes are wrong is not in, and `refused` is told its index and why; the others are unharmed.
    ///
    /// # Panics
    /// If more records are pushed than [`Exchange::begin`] made room for.
    pub fn push(
        &mut self,
        plan: &Plan,
        about: &About<'_>,
        records: &[(usize, Span)],
        resolution: Option<&Resolution>,
        refused: impl FnMut(usize, WireError),
    ) {
        self.staged.push(&plan.input, about, records, resolution, refused);
    }

    /// How many records are in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.staged.rows.len()
    }

    /// Whether none is in.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The index in its batch of each record that is in.
    pub fn indices(&self) -> impl ExactSizeIterator<Item = usize> + '_ {
        self.staged.rows.iter().map(|row| row.index as usize)
    }

    /// Calls the function. `arena` is that of the pushed records' batch; `limit_bytes` bounds the answer.
    ///
    /// # Errors
    /// A trap, or a [`Violation`] (by `downcast_ref`). The store cannot be used again after either.
    pub fn call(
        &mut self,
        entry: &Entry,
        store: impl AsContextMut,
        plan: &Arc<Plan>,
        arena: &Bytes,
        limit_bytes: usize,
    ) -> wasmtime::Result<&Answers> {
        self.staged.finish(&plan.input);
        call::run(entry, store, plan, &mut self.staged, arena, &mut self.answers, limit_bytes)?;
        Ok(&self.answers)
    }

    /// Takes the bytes of the answers, to which their spans refer.
    #[must_use]
    pub fn take_arena(&mut self) -> Vec<u8> {
        let arena = std::mem::take(&mut self.answers.arena);
        self.usual_bytes = (arena.len() + arena.len() / 4) / self.len().max(1) + 1;
        arena
    }

    /// What came of the last call.
    #[must_use]
    pub fn answers(&self) -> &Answers {
        &self.answers
    }
}
