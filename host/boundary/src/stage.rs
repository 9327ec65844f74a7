//! Records on their way in: decoded and checked, ready to be lowered in one call.
//!
//! [`InputPlan`] says how; [`Staged`] is the batch. A record that cannot be decoded is refused by [`Staged::push`] alone
//! and leaves no trace; the module never hears of it.

use bespoke_record::{Batch, Span};

use crate::heap::{Arena, Heap, Mark, Place};
use crate::mismatch::Misfit;
use crate::read::{MAX_RECORD_BYTES, Origin, Read, compile_fields, skip_all};
use crate::resolve::{Resolution, Skip};
use crate::schema::{Kind, Schema};
use crate::shape::{Layout, Member, Shape};
use crate::signature::Input;
use crate::walk::{Slot, Target, Walk};
use crate::wire::{Cursor, WireError};

/// How records of one reader schema become the parameters of one function.
#[derive(Debug)]
pub(crate) struct InputPlan {
    /// The item of each list of records: one for rows, one per column.
    tops: Vec<Layout>,
    /// Each with whether the position behind it is a mark.
    steps: Vec<(Step, bool)>,
    /// The same in short.
    walk: Walk,
    /// Boundaries of fields, and which of the marks each of them is.
    boundaries: Vec<(usize, usize)>,
    marks: usize,
    meta: Option<MetaPlan>,
}

/// What to do next in a record.
#[derive(Debug)]
pub(crate) enum Step {
    /// Fields that the module does not name.
    Skip(Skip),
    Field(Slot, Read),
}

#[derive(Debug)]
struct MetaPlan {
    layout: Layout,
    fields: Vec<(MetaField, u32)>,
}

/// What a module can ask about a record. The number is where the payload of an option starts.
#[derive(Clone, Copy, Debug)]
enum MetaField {
    Topic,
    Partition,
    PartitionAs64,
    Offset,
    Timestamp,
    Key { payload: u32 },
    Headers { layout: Layout, value_at: u32 },
}

/// A batch that is ready for the call. Reused from call to call.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) heap: Heap,
    pub(crate) converted: Vec<u8>,
    pub(crate) rows: Vec<Row>,
    /// A column for each mark that the plan asks for, of `capacity` rows.
    pub(crate) marks: Vec<u32>,
    pub(crate) capacity: usize,
    /// Records that were converted and come in next.
    coming: Vec<(usize, Span)>,
    tops: Vec<Place>,
    meta: Option<Place>,
}

/// A record that is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its index in the batch.
    pub index: u32,
    /// Where its datum in the reader schema stands.
    pub arena: Arena,
    /// The datum.
    pub datum: Span,
}

// === impl InputPlan ===

impl InputPlan {
    /// `boundaries` are those of fields that get a mark: 0 before the first field, and so on.
    pub fn compile(
        schema: &Schema,
        input: &Input,
        meta: Option<&[Member]>,
        boundaries: &[usize],
    ) -> Result<Self, Misfit> {
        let members = input.members();
        let row = Shape::Record(members.to_vec());
        let offsets = row.offsets();
        let tops = match input {
            Input::Rows(_) => vec![row.layout()],
            Input::Columns(columns) => columns.iter().map(|c| c.shape.layout()).collect(),
        };
        if !matches!(schema.kind(schema.root()), Kind::Record(_)) {
            return Err(Misfit::new(format!(
                "modules take records, and the schema is `{}`",
                schema.describe(schema.root())
            )));
        }
        let mut steps: Vec<(Step, bool)> = Vec::new();
        let mut skipped = Vec::new();
        let mut marks = Marks { known: vec![(0, 0)], count: 1 };
        let fields = compile_fields(schema, schema.root(), members)?;
        let end = fields.len();
        let skip = |steps: &mut Vec<(Step, bool)>, skipped: &mut Vec<_>| {
            steps.extend(skip_all(schema, skipped).map(|skip| (Step::Skip(skip), false)));
        };
        for (i, (ty, found)) in fields.into_iter().enumerate() {
            if boundaries.contains(&i) {
                skip(&mut steps, &mut skipped);
                marks.add(i, &mut steps);
            }
            let Some((m, read)) = found else {
                skipped.push(ty);
                continue;
            };
            skip(&mut steps, &mut skipped);
            let (top, offset) = match input {
                Input::Rows(_) => (0, offsets[m]),
                Input::Columns(_) => (m as u32, 0),
            };
            let slot = Slot { top, offset, size: tops[top as usize].size };
            steps.push((Step::Field(slot, read), false));
        }
        skip(&mut steps, &mut skipped);
        marks.add(end, &mut steps);
        let meta = meta.map(MetaPlan::compile).transpose()?;
        let walk = Walk::compile(&steps);
        Ok(Self { tops, steps, walk, boundaries: marks.known, marks: marks.count, meta })
    }

    /// The mark at a boundary of fields that was asked for.
    pub fn mark_at(&self, boundary: usize) -> usize {
        let found = self.boundaries.iter().find(|(at, _)| *at == boundary);
        found.map_or(0, |(_, mark)| *mark)
    }

    /// Takes the steps of one record, which tells what is wrong with it. `marks` begin at its row.
    fn decode(
        &self,
        bytes: &[u8],
        origin: Origin,
        (heap, tops, row): (&mut Heap, &[Place], u32),
        (marks, stride): (&mut [u32], usize),
    ) -> Result<(), WireError> {
        let mut cursor = Cursor::new(bytes);
        let mut mark = 0;
        marks[mark] = origin.start;
        for (step, marked) in &self.steps {
            match step {
                Step::Skip(skip) => skip.run(&mut cursor)?,
                Step::Field(slot, read) => read.run(&mut cursor, origin, heap, slot.of(tops, row))?,
            }
            if *marked {
                mark += stride;
                marks[mark] = origin.start + cursor.at() as u32;
            }
        }
        cursor.end()
    }
}

/// The marks of a plan while it is made.
struct Marks {
    known: Vec<(usize, usize)>,
    count: usize,
}

impl Marks {
    /// Makes the position behind the last step that of a boundary.
    fn add(&mut self, boundary: usize, steps: &mut [(Step, bool)]) {
        // Without a step since the last mark, as before fields without bytes, it is that one.
        if let Some((_, marked)) = steps.last_mut()
            && !*marked
        {
            *marked = true;
            self.count += 1;
        }
        self.known.push((boundary, self.count - 1));
    }
}

impl MetaPlan {
    fn compile(members: &[Member]) -> Result<Self, Misfit> {
        let shape = Shape::Record(members.to_vec());
        let offsets = shape.offsets();
        let header = Shape::Pair(Box::new((Shape::String, Shape::Bytes)));
        let field = |member: &Member| {
            Ok(match (member.name.as_str(), &member.shape) {
                ("topic", Shape::String) => MetaField::Topic,
                ("partition", Shape::S32) => MetaField::Partition,
                ("partition", Shape::S64) => MetaField::PartitionAs64,
                ("offset", Shape::S64) => MetaField::Offset,
                ("timestamp", Shape::S64) => MetaField::Timestamp,
                ("key", Shape::Option(some)) if **some == Shape::Bytes => {
                    MetaField::Key { payload: member.shape.payload_offset() }
                }
                ("headers", Shape::List(item)) if **item == header => {
                    MetaField::Headers { layout: item.layout(), value_at: item.offsets()[1] }
                }
                _ => {
                    let known = "topic: string, partition: s32, offset: s64, timestamp: s64, key: option<list<u8>>, \
                                 headers: list<tuple<string, list<u8>>>";
                    return Err(Misfit::new(format!("`{}` is not a field of meta; it has {known}", member.shape))
                        .within(&member.name)
                        .within("meta"));
                }
            })
        };
        let fields = members.iter().zip(offsets).map(|(m, at)| Ok((field(m)?, at))).collect::<Result<_, _>>()?;
        Ok(Self { layout: shape.layout(), fields })
    }

    #[inline(never)]
    fn put(&self, heap: &mut Heap, row: Place, about: &About<'_>, index: usize) {
        let entry = &about.batch.entries()[index];
        for (field, at) in &self.fields {
            let place = row.at(*at);
            match *field {
                MetaField::Topic => heap.put_own_text(place, about.topic),
                MetaField::Partition => heap.put(place, about.partition.to_le_bytes()),
                MetaField::PartitionAs64 => heap.put(place, i64::from(about.partition).to_le_bytes()),
                MetaField::Offset => heap.put(place, entry.offset.to_le_bytes()),
                MetaField::Timestamp => heap.put(place, entry.timestamp_ms.to_le_bytes()),
                MetaField::Key { payload } => {
                    if let Some(key) = entry.key {
                        heap.put(place, [1]);
                        heap.put_bytes(place.at(payload), Arena::Input, key);
                    }
                }
                MetaField::Headers { layout, value_at } => {
                    let first = entry.first_header as usize;
                    let headers = &about.batch.header_spans()[first..first + entry.headers as usize];
                    let items = heap.add_list(place, layout.align, layout.size, entry.headers);
                    for (i, (name, value)) in headers.iter().enumerate() {
                        let pair = items.at(i as u32 * layout.size);
                        heap.put_bytes(pair, Arena::Input, *name);
                        heap.put_bytes(pair.at(value_at), Arena::Input, value.unwrap_or_default());
                    }
                }
            }
        }
    }
}

/// The batch that is being staged, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// Its topic.
    pub topic: &'a str,
    /// Its partition.
    pub partition: u32,
}

// === impl Staged ===

impl Staged {
    /// Makes room for `capacity` records.
    pub fn begin(&mut self, plan: &InputPlan, capacity: usize) {
        self.heap.clear();
        self.converted.clear();
        self.rows.clear();
        self.rows.reserve(capacity);
        // Those of the last batch are written over.
        self.marks.resize(self.marks.len().max(capacity * plan.marks), 0);
        self.capacity = capacity;
        self.tops.clear();
        for top in &plan.tops {
            self.tops.push(self.heap.add_block(capacity * top.size as usize, top.align));
        }
        self.meta = plan.meta.as_ref().map(|m| self.heap.add_block(capacity * m.layout.size as usize, m.layout.align));
    }

    /// Adds records of the batch: of each its index, and where its datum, without framing, stands. A resolution brings them
    /// to the reader schema first. Those that are not a record of it are not in, and are told.
    pub fn push(
        &mut self,
        plan: &InputPlan,
        about: &About<'_>,
        records: &[(usize, Span)],
        resolution: Option<&Resolution>,
        mut refused: impl FnMut(usize, WireError),
    ) {
        if records.is_empty() {
            return;
        }
        let Some(resolution) = resolution else {
            return self.take(plan, about, (Arena::Input, about.batch.arena()), records, &mut refused);
        };
        let mut coming = std::mem::take(&mut self.coming);
        coming.clear();
        for (index, datum) in records {
            match self.convert(resolution, datum.of(about.batch.arena())) {
                Ok(datum) => coming.push((*index, datum)),
                Err(error) => refused(*index, error),
            }
        }
        let converted = std::mem::take(&mut self.converted);
        if !coming.is_empty() {
            self.take(plan, about, (Arena::Converted, &converted), &coming, &mut refused);
        }
        (self.coming, self.converted) = (coming, converted);
    }

    /// Adds records whose data stand in these bytes: all at once, or where one of them is bad, each half by itself.
    fn take(
        &mut self,
        plan: &InputPlan,
        about: &About<'_>,
        (arena, bytes): (Arena, &[u8]),
        records: &[(usize, Span)],
        refused: &mut impl FnMut(usize, WireError),
    ) {
        let (before, row) = (self.heap.mark(), self.rows.len());
        let mut target = Target { heap: &mut self.heap, tops: &self.tops, row: row as u32, arena, bytes, records };
        if plan.walk.run(&plan.steps, &mut target, &mut self.marks[row..], self.capacity).is_none() {
            self.forget(plan, before, records.len());
            let &[(index, datum)] = records else {
                let (first, rest) = records.split_at(records.len() / 2);
                self.take(plan, about, (arena, bytes), first, refused);
                return self.take(plan, about, (arena, bytes), rest, refused);
            };
            self.heap.allow(MAX_RECORD_BYTES);
            let origin = Origin { arena, start: datum.start };
            let into = (&mut self.heap, &self.tops[..], row as u32);
            let marks = (&mut self.marks[row..], self.capacity);
            if let Err(error) = plan.decode(datum.of(bytes), origin, into, marks) {
                self.forget(plan, before, 1);
                return refused(index, error);
            }
        }
        if let (Some(meta), Some(place)) = (&plan.meta, self.meta) {
            for (at, (index, _)) in records.iter().enumerate() {
                let place = place.at((row + at) as u32 * meta.layout.size);
                meta.put(&mut self.heap, place, about, *index);
            }
        }
        self.rows.extend(records.iter().map(|(index, datum)| Row { index: *index as u32, arena, datum: *datum }));
    }

    /// Brings a datum to the reader schema; where it stands then.
    fn convert(&mut self, resolution: &Resolution, datum: &[u8]) -> Result<Span, WireError> {
        let start = self.converted.len();
        resolution.apply(datum, &mut self.converted)?;
        if u32::try_from(self.converted.len()).is_err() {
            self.converted.truncate(start);
            return Err(WireError::Text);
        }
        Ok(Span { start: start as u32, len: (self.converted.len() - start) as u32 })
    }

    /// Leaves no trace in the heap of the next `count` rows, which were begun.
    fn forget(&mut self, plan: &InputPlan, before: Mark, count: usize) {
        self.heap.back_to(before);
        let row = self.rows.len() as u32;
        for (top, layout) in self.tops.iter().zip(&plan.tops) {
            self.heap.zero(top.at(row * layout.size), count * layout.size as usize);
        }
    }

    /// Leaves exactly the rows that are in.
    pub fn finish(&mut self, plan: &InputPlan) {
        let rows = self.rows.len();
        for (top, layout) in self.tops.iter().zip(&plan.tops) {
            self.heap.shrink(*top, rows * layout.size as usize);
        }
        if let (Some(place), Some(meta)) = (self.meta, &plan.meta) {
            self.heap.shrink(place, rows * meta.layout.size as usize);
        }
    }
}
