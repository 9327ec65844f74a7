//! What a module answered, on its way out: rows in its memory become Avro records.
//!
//! [`OutputPlan`] says for each field of the output schema whether the module answers it, whether its bytes are copied
//! from the record that came in, or whether it has its default. [`Answers`] is what comes of a call.

use bespoke_record::Span;

use crate::guest::{Guest, Violation};
use crate::mismatch::Misfit;
use crate::relay::{Passing, Relay};
use crate::resolve::same_encoding;
use crate::schema::Schema;
use crate::shape::{Layout, Member, Shape};
use crate::signature::{Answer, Signature, Wrap};
use crate::stage::Staged;
use crate::wire::copy_stretch;
use crate::write::{Write, default_of, match_members};

/// What came of a call. Spans are of [`Answers::arena`].
#[derive(Debug, Default)]
pub struct Answers {
    /// Framed Avro values and reasons.
    pub arena: Vec<u8>,
    /// `process`: one for each record that was pushed, in order.
    pub verdicts: Vec<Verdict>,
    /// `analyze`: per output the rows, in order.
    pub outputs: Vec<Vec<Span>>,
    /// The function answered err for the whole batch.
    pub failed: Option<String>,
}

/// What `process` answered for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The value to write.
    Value(Span),
    /// Nothing is to be written.
    Dropped,
    /// It cannot be handled; the span is the module's reason.
    Rejected(Span),
}

/// How rows of one output become records of its schema.
#[derive(Debug)]
pub(crate) struct OutputPlan {
    /// Bytes that every value starts with: the framing that names its schema.
    prefix: Vec<u8>,
    pieces: Vec<Piece>,
    /// The same in short, if it can be said so.
    relay: Option<Relay>,
}

/// A stretch of an output record.
#[derive(Debug)]
pub(crate) enum Piece {
    /// From the list `column`, at `offset` within its item.
    Guest {
        column: u32,
        offset: u32,
        write: Write,
    },
    /// The bytes of the input record between two of its marks.
    Copy {
        from: usize,
        to: usize,
    },
    Default(Vec<u8>),
}

/// Everything about answers that a signature and its schemas decide.
#[derive(Debug)]
pub(crate) struct AnswerPlan {
    outputs: Vec<OutputPlan>,
    /// The lists of the answer, each with the layout of its items.
    lists: Vec<Layout>,
    /// Where the record stands in an item, and the err's string.
    payload: u32,
    inner_payload: u32,
}

impl AnswerPlan {
    /// `outputs` are the output schemas with their prefixes, in the order of [`Answer::outputs`]. Also tells which field
    /// boundaries of the input are needed.
    pub fn compile(
        signature: &Signature,
        reader: &Schema,
        outputs: &[(&Schema, Vec<u8>)],
    ) -> Result<(Self, Vec<usize>), Misfit> {
        let answer = &signature.answer;
        let (mut payload, mut inner_payload) = (0, 0);
        let lists = match answer {
            Answer::Records { item, wrap, .. } => {
                match (wrap, item) {
                    (Wrap::Bare, _) => {}
                    (Wrap::ResultOption, Shape::Result(Some(option), _)) => {
                        payload = item.payload_offset();
                        inner_payload = payload + option.payload_offset();
                    }
                    _ => payload = item.payload_offset(),
                }
                vec![item.layout()]
            }
            Answer::Filter => vec![Shape::Bool.layout()],
            Answer::Validate(item) => {
                payload = item.payload_offset();
                vec![item.layout()]
            }
            Answer::Columns(columns) => columns.iter().map(|c| c.shape.layout()).collect(),
            Answer::Rows(members) => vec![Shape::Record(members.clone()).layout()],
            Answer::Named(named) => named.iter().map(|(_, m)| Shape::Record(m.clone()).layout()).collect(),
        };
        let passes = matches!(signature.function, crate::signature::Function::Process);
        let mut boundaries = Vec::new();
        let mut plans = Vec::new();
        for (i, (schema, prefix)) in outputs.iter().enumerate() {
            let input = passes.then_some(reader);
            let pieces = match answer.members(i) {
                Some(members) => {
                    let columns = matches!(answer, Answer::Columns(_));
                    compile_pieces(schema, members, columns, input, &mut boundaries).map_err(|e| {
                        match answer.outputs()[i] {
                            Some(name) => e.within(name),
                            None => e,
                        }
                    })?
                }
                None if same_encoding(reader, reader.root(), schema, schema.root()) => Vec::new(),
                None => {
                    return Err(Misfit::new("records pass unchanged, so the output schema must be the input schema"));
                }
            };
            plans.push(OutputPlan { prefix: prefix.clone(), pieces, relay: None });
        }
        Ok((Self { outputs: plans, lists, payload, inner_payload }, boundaries))
    }

    /// Has what is copied go from mark to mark, which the input's plan knows for each boundary.
    pub fn set_marks(&mut self, mark_at: impl Fn(usize) -> usize) {
        for piece in self.outputs.iter_mut().flat_map(|output| &mut output.pieces) {
            if let Piece::Copy { from, to } = piece {
                (*from, *to) = (mark_at(*from), mark_at(*to));
            }
        }
        for output in &mut self.outputs {
            output.relay = Relay::compile(&output.prefix, &output.pieces);
        }
    }

    /// Reads the whole answer, which stands at `at`.
    pub fn lift(
        &self,
        signature: &Signature,
        guest: Guest<'_>,
        mut at: usize,
        staged: &Staged,
        input: &[u8],
        answers: &mut Answers,
    ) -> Result<(), Violation> {
        if signature.fallible {
            if guest.flag(at)? {
                answers.failed = Some(guest.text(at + 4)?.chars().take(4096).collect());
                return Ok(());
            }
            at += 4;
        }
        let lists = self
            .lists
            .iter()
            .enumerate()
            .map(|(i, layout)| {
                let (start, len) = guest.list_at(at + i * 8, layout.size, layout.align)?;
                Ok(List { start, len, size: layout.size as usize })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let source = Source { plan: self, guest, lists: &lists, staged, input };
        match &signature.answer {
            Answer::Rows(_) | Answer::Named(_) => {
                for (output, list) in lists.iter().enumerate() {
                    source.rows(output, list.len, answers)?;
                }
                Ok(())
            }
            Answer::Columns(_) if signature.function == crate::signature::Function::Analyze => {
                let len = source.equal_columns(None)?;
                source.rows(0, len, answers)
            }
            Answer::Columns(_) => {
                source.equal_columns(Some(staged.rows.len()))?;
                if source.relayed(answers) {
                    return Ok(());
                }
                source.verdicts(answers, |source, row, answers| source.passed_on(row, 0, answers))
            }
            Answer::Records { wrap, .. } => {
                source.equal_columns(Some(staged.rows.len()))?;
                let wrap = *wrap;
                if wrap == Wrap::Bare && source.relayed(answers) {
                    return Ok(());
                }
                source.verdicts(answers, |source, row, answers| source.item(wrap, row, answers))
            }
            Answer::Filter => {
                source.equal_columns(Some(staged.rows.len()))?;
                source.verdicts(answers, |source, row, answers| {
                    let pass = source.guest.get::<1>(source.item_at(row))? != [0];
                    if pass { source.unchanged(row, answers) } else { source.dropped(answers) }
                })
            }
            Answer::Validate(_) => {
                source.equal_columns(Some(staged.rows.len()))?;
                source.verdicts(answers, |source, row, answers| {
                    let at = source.item_at(row);
                    if source.guest.flag(at)? { source.rejected(at, answers) } else { source.unchanged(row, answers) }
                })
            }
        }
    }
}

fn compile_pieces(
    schema: &Schema,
    members: &[Member],
    columns: bool,
    input: Option<&Schema>,
    boundaries: &mut Vec<usize>,
) -> Result<Vec<Piece>, Misfit> {
    let Some(record) = schema.record() else {
        return Err(Misfit::new(format!("the output schema is `{}`, not a record", schema.describe(schema.root()))));
    };
    let offsets = Shape::Record(members.to_vec()).offsets();
    let sources = match_members(&record.fields, members, &record.name.full)?;
    let mut pieces: Vec<Piece> = Vec::new();
    for (field, member) in record.fields.iter().zip(sources) {
        if let Some(m) = member {
            let write = Write::compile(schema, field.ty, &members[m].shape).map_err(|e| e.within(&members[m].name))?;
            let (column, offset) = if columns { (m as u32, 0) } else { (0, offsets[m]) };
            pieces.push(Piece::Guest { column, offset, write });
            continue;
        }
        let same = input.and_then(|input| {
            let fields = &input.record()?.fields;
            let i = fields.iter().position(|f| f.name == field.name)?;
            same_encoding(input, fields[i].ty, schema, field.ty).then_some(i)
        });
        if let Some(i) = same {
            match pieces.last_mut() {
                Some(Piece::Copy { to, .. }) if *to == i => *to = i + 1,
                _ => pieces.push(Piece::Copy { from: i, to: i + 1 }),
            }
            continue;
        }
        match default_of(schema, field)? {
            Some(bytes) => pieces.push(Piece::Default(bytes)),
            None => {
                let but = if input.is_some() { ", the input has no field of that name and type," } else { "" };
                return Err(Misfit::new(format!(
                    "the module does not answer it{but} and the output record `{}` has no default for it",
                    record.name.full
                ))
                .within(&field.name));
            }
        }
    }
    for piece in &pieces {
        if let Piece::Copy { from, to } = piece {
            boundaries.extend([*from, *to]);
        }
    }
    Ok(pieces)
}

/// A list of the answer: where it starts, how many items it has, and how large each is.
#[derive(Clone, Copy)]
pub(crate) struct List {
    pub start: usize,
    pub len: usize,
    pub size: usize,
}

/// What a row passes on: its stretches are counted in `arena`, from mark to mark.
#[derive(Clone, Copy)]
struct Passed<'a> {
    arena: &'a [u8],
    /// From its row on, a column for each mark.
    marks: &'a [u32],
    stride: usize,
}

/// An answer during its call.
struct Source<'a> {
    plan: &'a AnswerPlan,
    guest: Guest<'a>,
    lists: &'a [List],
    staged: &'a Staged,
    input: &'a [u8],
}

impl Source<'_> {
    /// The length that all lists have, which is `records` if that is given.
    fn equal_columns(&self, records: Option<usize>) -> Result<usize, Violation> {
        let wanted = records.unwrap_or_else(|| self.lists.first().map_or(0, |list| list.len));
        match self.lists.iter().find(|list| list.len != wanted) {
            Some(list) => Err(Violation::Count { answers: list.len, records: wanted }),
            None => Ok(wanted),
        }
    }

    fn item_at(&self, row: usize) -> usize {
        self.lists[0].start + row * self.lists[0].size
    }

    fn rows(&self, output: usize, len: usize, answers: &mut Answers) -> Result<(), Violation> {
        // Rows may have few bytes, so that what is kept for each of them counts too.
        let rows = answers.outputs.iter().map(Vec::len).sum::<usize>() + len;
        self.guest.room(&answers.arena, rows * size_of::<Span>())?;
        for row in 0..len {
            let start = answers.arena.len();
            self.value(output, row, 0, None, &mut answers.arena)?;
            answers.outputs[output].push(since(start, &answers.arena));
        }
        Ok(())
    }

    /// `each` adds the verdict on one row.
    fn verdicts(
        &self,
        answers: &mut Answers,
        each: impl Fn(&Self, usize, &mut Answers) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        answers.verdicts.reserve(self.staged.rows.len());
        (0..self.staged.rows.len()).try_for_each(|row| each(self, row, answers))
    }

    /// Writes the records of all rows the short way, if there is one and nothing is in it.
    fn relayed(&self, answers: &mut Answers) -> bool {
        let Some(relay) = &self.plan.outputs[0].relay else { return false };
        let passing = Passing {
            rows: &self.staged.rows,
            marks: &self.staged.marks,
            stride: self.staged.capacity,
            input: self.input,
            converted: &self.staged.converted,
        };
        let Answers { arena, verdicts, .. } = answers;
        verdicts.reserve(self.staged.rows.len());
        let is_done = relay.run(self.guest, self.lists, passing, arena, verdicts).is_some();
        if !is_done {
            arena.clear();
            verdicts.clear();
        }
        is_done
    }

    #[inline(always)]
    fn item(&self, wrap: Wrap, row: usize, answers: &mut Answers) -> Result<(), Violation> {
        let at = self.item_at(row);
        let payload = self.plan.payload as usize;
        let within = match wrap {
            Wrap::Bare => 0,
            Wrap::Option if self.guest.flag(at)? => payload,
            Wrap::Option => return self.dropped(answers),
            Wrap::Result | Wrap::ResultOption if self.guest.flag(at)? => return self.rejected(at, answers),
            Wrap::Result => payload,
            Wrap::ResultOption if self.guest.flag(at + payload)? => self.plan.inner_payload as usize,
            Wrap::ResultOption => return self.dropped(answers),
        };
        self.passed_on(row, within, answers)
    }

    /// The record that the module changed, and what passes it.
    #[inline(always)]
    fn passed_on(&self, row: usize, within: usize, answers: &mut Answers) -> Result<(), Violation> {
        let start = answers.arena.len();
        let passed = Passed { arena: self.record(row), marks: &self.staged.marks[row..], stride: self.staged.capacity };
        self.value(0, row, within, Some(passed), &mut answers.arena)?;
        answers.verdicts.push(Verdict::Value(since(start, &answers.arena)));
        Ok(())
    }

    fn unchanged(&self, row: usize, answers: &mut Answers) -> Result<(), Violation> {
        let start = answers.arena.len();
        answers.arena.extend_from_slice(&self.plan.outputs[0].prefix);
        answers.arena.extend_from_slice(self.staged.rows[row].datum.of(self.record(row)));
        self.guest.room(&answers.arena, 0)?;
        answers.verdicts.push(Verdict::Value(since(start, &answers.arena)));
        Ok(())
    }

    fn dropped(&self, answers: &mut Answers) -> Result<(), Violation> {
        answers.verdicts.push(Verdict::Dropped);
        Ok(())
    }

    fn rejected(&self, at: usize, answers: &mut Answers) -> Result<(), Violation> {
        let reason = self.guest.text(at + self.plan.payload as usize)?;
        self.guest.room(&answers.arena, reason.len())?;
        let start = answers.arena.len();
        answers.arena.extend_from_slice(reason.as_bytes());
        answers.verdicts.push(Verdict::Rejected(since(start, &answers.arena)));
        Ok(())
    }

    /// Writes one record. `within` is where it stands in its item. In line, so that what is the same for all rows is looked
    /// up once.
    #[inline(always)]
    fn value(
        &self,
        output: usize,
        row: usize,
        within: usize,
        passed: Option<Passed<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), Violation> {
        let plan = &self.plan.outputs[output];
        // Rows and named outputs have one list an output, columns have one list a field.
        let lists = &self.lists[output..];
        match plan.prefix.first_chunk::<5>() {
            // The framing by id, in one store.
            Some(prefix) if plan.prefix.len() == 5 => out.extend_from_slice(prefix),
            _ => out.extend_from_slice(&plan.prefix),
        }
        for piece in &plan.pieces {
            match piece {
                Piece::Guest { column, offset, write } => {
                    let list = lists[*column as usize];
                    let item = list.start + row * list.size;
                    write.run(self.guest, item + within + *offset as usize, out)?;
                }
                Piece::Copy { from, to } => {
                    let Some(Passed { arena, marks, stride }) = passed else { continue };
                    let (start, end) = (marks[*from * stride] as usize, marks[*to * stride] as usize);
                    copy_stretch(out, arena, start, end - start);
                }
                Piece::Default(bytes) => out.extend_from_slice(bytes),
            }
        }
        self.guest.room(out, 0)
    }

    /// The arena in which a row's marks are counted.
    #[inline]
    fn record(&self, row: usize) -> &[u8] {
        match self.staged.rows[row].arena {
            crate::heap::Arena::Input => self.input,
            _ => &self.staged.converted,
        }
    }
}

/// What was added to an arena since it had `start` bytes.
#[inline(always)]
fn since(start: usize, arena: &[u8]) -> Span {
    Span { start: start as u32, len: (arena.len() - start) as u32 }
}
