//! Records on their way in: decoded and checked, ready to be lowered in one call.
//!
//! [`InputPlan`] says how; [`Staged`] is the batch. A record that cannot be decoded is refused by [`Staged::push`] alone
//! and leaves no trace; the module never hears of it.

use bespoke_record::{Batch, Span};

use crate::heap::{Arena, Heap, Place};
use crate::mismatch::Misfit;
use crate::read::{MAX_RECORD_BYTES, Origin, Read, compile_fields, skip_all};
use crate::resolve::{Leaf, Resolution, Skip};
use crate::schema::{Kind, Schema};
use crate::shape::{Layout, Member, Shape};
use crate::signature::Input;
use crate::wire::{Cursor, WireError};

/// How records of one reader schema become the parameters of one function.
#[derive(Debug)]
pub(crate) struct InputPlan {
    /// The item of each list of records: one for rows, one per column.
    tops: Vec<Layout>,
    steps: Vec<Step>,
    /// Whether records take room in the heap beyond their row.
    grows: bool,
    /// The marks at the boundaries of fields that were asked for.
    boundaries: Vec<(usize, usize)>,
    meta: Option<MetaPlan>,
}

/// What to do next in a record. The position behind it is a mark.
#[derive(Debug)]
#[repr(u8)]
enum Step {
    Pass(Leaf),
    Skip(Skip),
    /// To the list `top`, at `offset` within its item of `size` bytes.
    Field {
        top: u32,
        offset: u32,
        size: u32,
        read: Read,
    },
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
    /// The marks of each row, as many as the plan says.
    pub(crate) marks: Vec<u32>,
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

// === impl Step ===

impl Step {
    /// Fields that the module does not name. Most are leaves, which need no loop of their own.
    fn skip(skip: Skip) -> Vec<Self> {
        match skip.leaves() {
            Some(leaves) => leaves.into_iter().map(Self::Pass).collect(),
            None => vec![Self::Skip(skip)],
        }
    }
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
        let mut steps: Vec<Step> = Vec::new();
        let mut skipped = Vec::new();
        let fields = compile_fields(schema, schema.root(), members)?;
        let (end, mut marks) = (fields.len(), Vec::new());
        for (i, (ty, found)) in fields.into_iter().enumerate() {
            if boundaries.contains(&i) {
                steps.extend(skip_all(schema, &mut skipped).into_iter().flat_map(Step::skip));
                // Every field before it has its step, or is part of one. The first mark is before all steps.
                marks.push((i, steps.len()));
            }
            let Some((m, read)) = found else {
                skipped.push(ty);
                continue;
            };
            steps.extend(skip_all(schema, &mut skipped).into_iter().flat_map(Step::skip));
            let (top, offset) = match input {
                Input::Rows(_) => (0, offsets[m]),
                Input::Columns(_) => (m as u32, 0),
            };
            let size = tops[top as usize].size;
            steps.push(Step::Field { top, offset, size, read });
        }
        steps.extend(skip_all(schema, &mut skipped).into_iter().flat_map(Step::skip));
        let meta = meta.map(MetaPlan::compile).transpose()?;
        marks.push((end, steps.len()));
        let is_plain = |step: &Step| !matches!(step, Step::Field { read, .. } if !read.is_number());
        let grows = meta.is_some() || !steps.iter().all(is_plain);
        Ok(Self { tops, steps, grows, boundaries: marks, meta })
    }

    /// Marks of each record: positions before, between and behind its steps.
    pub fn marks(&self) -> usize {
        self.steps.len() + 1
    }

    /// The mark at a boundary of fields that was asked for.
    pub fn mark_at(&self, boundary: usize) -> usize {
        let found = self.boundaries.iter().find(|(at, _)| *at == boundary);
        found.map_or(0, |(_, mark)| *mark)
    }

    #[inline(always)]
    fn decode(
        &self,
        bytes: &[u8],
        origin: Origin,
        heap: &mut Heap,
        tops: &[Place],
        row: u32,
        marks: &mut [u32],
    ) -> Result<(), WireError> {
        let mut cursor = Cursor::new(bytes);
        let Some((first, marks)) = marks.split_first_mut() else { return Ok(()) };
        *first = origin.start;
        for (step, mark) in self.steps.iter().zip(marks) {
            match step {
                Step::Pass(leaf) => leaf.pass::<false>(&mut cursor)?,
                Step::Skip(skip) => skip.run(&mut cursor)?,
                Step::Field { top, offset, size, read } => {
                    let place = tops[*top as usize].at(row * size + offset);
                    read.run(&mut cursor, origin, heap, place)?;
                }
            }
            *mark = origin.start + cursor.at() as u32;
        }
        cursor.end()
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
                MetaField::Topic => heap.put_text(place, about.topic),
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
        self.marks.clear();
        self.marks.resize(capacity * plan.marks(), 0);
        self.tops.clear();
        for top in &plan.tops {
            self.tops.push(self.heap.add_block(capacity * top.size as usize, top.align));
        }
        self.meta = plan.meta.as_ref().map(|m| self.heap.add_block(capacity * m.layout.size as usize, m.layout.align));
    }

    /// Adds the record at `index` of the batch, whose datum, without framing, is `datum`. A resolution brings it to the
    /// reader schema first.
    ///
    /// # Errors
    /// What is wrong with its bytes; then the record is not in.
    #[inline(always)]
    pub fn push(
        &mut self,
        plan: &InputPlan,
        about: &About<'_>,
        index: usize,
        datum: Span,
        resolution: Option<&Resolution>,
    ) -> Result<(), WireError> {
        let (arena, datum) = match resolution {
            None => (Arena::Input, datum),
            Some(resolution) => (Arena::Converted, self.convert(resolution, datum.of(about.batch.arena()))?),
        };
        let bytes = match arena {
            Arena::Input => datum.of(about.batch.arena()),
            _ => datum.of(&self.converted),
        };
        let row = self.rows.len() as u32;
        let marks = &mut self.marks[row as usize * plan.marks()..][..plan.marks()];
        if plan.grows {
            self.heap.begin_record(MAX_RECORD_BYTES);
        }
        let origin = Origin { arena, start: datum.start };
        if let Err(error) = plan.decode(bytes, origin, &mut self.heap, &self.tops, row, marks) {
            self.forget(plan, arena, datum);
            return Err(error);
        }
        if let (Some(meta), Some(place)) = (&plan.meta, self.meta) {
            meta.put(&mut self.heap, place.at(row * meta.layout.size), about, index);
        }
        self.rows.push(Row { index: index as u32, arena, datum });
        Ok(())
    }

    /// Brings a datum to the reader schema; where it stands then.
    fn convert(&mut self, resolution: &Resolution, datum: &[u8]) -> Result<Span, WireError> {
        let start = self.converted.len();
        resolution.apply(datum, &mut self.converted)?;
        Ok(Span { start: start as u32, len: (self.converted.len() - start) as u32 })
    }

    /// Leaves no trace of the record that was begun last.
    #[cold]
    fn forget(&mut self, plan: &InputPlan, arena: Arena, datum: Span) {
        if plan.grows {
            self.heap.forget_record();
        }
        if arena == Arena::Converted {
            self.converted.truncate(datum.start as usize);
        }
        let row = self.rows.len() as u32;
        for (top, layout) in self.tops.iter().zip(&plan.tops) {
            self.heap.zero(top.at(row * layout.size), layout.size as usize);
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
