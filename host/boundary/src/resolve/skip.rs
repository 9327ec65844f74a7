//! Walking over values without decoding them.
//!
//! A type becomes a short list of steps, with runs of fixed size merged and small records inlined; recursion is an index
//! into the table of lists. Compiling must never recurse (schemas may nest as deep as their author likes) and walking
//! must never loop by a count that the bytes do not pay for. Called by the boundary's plans for fields that a module does
//! not name, and by [`super::Resolution`] for fields that are dropped or copied.

use std::collections::HashMap;

use crate::schema::{Kind, Schema, TypeId};
use crate::wire::{Cursor, MAX_DEPTH, WireError};

/// Records of at most so many steps stand in the place where they are named.
const MAX_INLINE_STEPS: usize = 8;

/// How to step over values of one type, or of several in a row.
#[derive(Debug)]
pub struct Skip {
    /// Those of the entry, where they are found without looking it up.
    steps: Box<[Step]>,
    table: Table,
}

/// Steps for types of one schema; an entry is an index.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<Box<[Step]>>,
}

/// What stands next in the bytes.
#[derive(Clone, Debug)]
enum Step {
    Leaf(Leaf),
    /// Per branch its entry.
    Union(Box<[u32]>),
    Record(u32),
    /// An array or a map, whose items take at least `min` bytes each.
    Items {
        item: u32,
        min: usize,
    },
}

/// A value that holds no others, or some in a row.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Leaf {
    Fixed(usize),
    Boolean,
    Int,
    Long,
    /// So many in a row.
    Bytes(u32),
    Text(u32),
    Enum(usize),
    /// A union of two types of fixed size, such as a nullable number.
    FixedUnion([usize; 2]),
}

/// Makes a [`Table`].
pub(super) struct Compiler<'s> {
    schema: &'s Schema,
    known: HashMap<Entry, u32>,
    entries: Vec<Vec<Step>>,
    queue: Vec<(u32, Entry)>,
    min_sizes: MinSizes<'s>,
}

/// What an entry is made for.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Entry {
    /// Values in a row.
    Values(Vec<TypeId>),
    /// A key of a map and its value.
    Pair(TypeId),
    /// The fields of a record.
    Fields(TypeId),
}

/// Lower bounds of sizes, remembered per type.
struct MinSizes<'s> {
    schema: &'s Schema,
    known: HashMap<TypeId, usize>,
}

// === impl Skip ===

impl Skip {
    /// For values of one type.
    #[must_use]
    pub fn compile(schema: &Schema, ty: TypeId) -> Self {
        Self::compile_all(schema, &[ty])
    }

    /// For a value of each of these types, one after the other: neighbouring fields of a record.
    #[must_use]
    pub fn compile_all(schema: &Schema, types: &[TypeId]) -> Self {
        let mut compiler = Compiler::new(schema);
        let entry = compiler.entry(types);
        let table = compiler.finish();
        Self { steps: table.entries[entry as usize].clone(), table }
    }

    /// What it consists of, if that is leaves only.
    pub(crate) fn leaves(&self) -> Option<Vec<Leaf>> {
        let leaf = |step: &Step| if let Step::Leaf(leaf) = step { Some(*leaf) } else { None };
        self.steps.iter().map(leaf).collect()
    }

    /// Moves behind the value. Blocks of arrays and maps that tell their size are jumped over, and text may be anything:
    /// bytes that pass here may still not be a value.
    ///
    /// # Errors
    /// Bytes that cannot be a value; the cursor is anywhere then.
    #[inline(always)]
    pub fn run(&self, cursor: &mut Cursor<'_>) -> Result<(), WireError> {
        self.table.steps::<false>(&self.steps, cursor, 0)
    }

    /// Moves behind the value and checks all of it.
    ///
    /// # Errors
    /// Bytes that are not a value; the cursor is anywhere then.
    pub fn check(&self, cursor: &mut Cursor<'_>) -> Result<(), WireError> {
        self.table.steps::<true>(&self.steps, cursor, 0)
    }
}

/// The least number of bytes that a value of a type can take. Zero only if no value takes any, or if the type has no
/// finite value.
#[must_use]
pub fn min_size(schema: &Schema, ty: TypeId) -> usize {
    MinSizes { schema, known: HashMap::new() }.of(ty)
}

// === impl Table ===

impl Table {
    /// Moves behind a value; with `CHECK`, everything in it is checked.
    #[inline(always)]
    pub(super) fn pass<const CHECK: bool>(
        &self,
        entry: u32,
        cursor: &mut Cursor<'_>,
        depth: usize,
    ) -> Result<(), WireError> {
        let end = self.walk::<CHECK>(entry, cursor.whole(), cursor.at(), depth)?;
        *cursor = Cursor::resume(cursor.whole(), end);
        Ok(())
    }

    /// Where the value ends that starts at `at`. Positions come and go by value, so that they stay in registers.
    fn walk<const CHECK: bool>(&self, entry: u32, bytes: &[u8], at: usize, depth: usize) -> Result<usize, WireError> {
        let mut cursor = Cursor::resume(bytes, at);
        self.steps::<CHECK>(&self.entries[entry as usize], &mut cursor, depth)?;
        Ok(cursor.at())
    }

    #[inline(always)]
    fn steps<const CHECK: bool>(&self, steps: &[Step], cursor: &mut Cursor<'_>, depth: usize) -> Result<(), WireError> {
        for step in steps {
            match step {
                Step::Leaf(leaf) => leaf.pass::<CHECK>(cursor)?,
                Step::Union(branches) => {
                    let branch = cursor.index(branches.len())?;
                    self.pass::<CHECK>(branches[branch], cursor, depth)?;
                }
                Step::Record(entry) => self.pass::<CHECK>(*entry, cursor, deeper(depth)?)?,
                Step::Items { item, min } => {
                    let end = self.items::<CHECK>((*item, *min), cursor.whole(), cursor.at(), deeper(depth)?)?;
                    *cursor = Cursor::resume(cursor.whole(), end);
                }
            }
        }
        Ok(())
    }

    #[inline(never)]
    fn items<const CHECK: bool>(
        &self,
        (item, min): (u32, usize),
        bytes: &[u8],
        at: usize,
        depth: usize,
    ) -> Result<usize, WireError> {
        let mut cursor = Cursor::resume(bytes, at);
        while let Some((items, bytes)) = cursor.sized_block(min)? {
            if let (Some(bytes), false) = (bytes, CHECK) {
                cursor.take(bytes)?;
                continue;
            }
            let start = cursor.at();
            // Items that take no bytes are all alike: one stands for all.
            for _ in 0..if min == 0 { 1 } else { items } {
                self.pass::<CHECK>(item, &mut cursor, depth)?;
            }
            let taken = cursor.at() - start;
            if bytes.is_some_and(|b| b != taken) {
                return Err(WireError::Length { at: start, len: bytes.map_or(0, |b| b as i64) });
            }
        }
        Ok(cursor.at())
    }
}

impl Leaf {
    #[inline(always)]
    pub(crate) fn pass<const CHECK: bool>(self, cursor: &mut Cursor<'_>) -> Result<(), WireError> {
        match self {
            Self::Fixed(size) => {
                cursor.take(size)?;
            }
            Self::Boolean => {
                cursor.boolean()?;
            }
            Self::Int => {
                cursor.int()?;
            }
            Self::Long => cursor.pass_long()?,
            Self::Text(count) if CHECK => {
                for _ in 0..count {
                    cursor.text()?;
                }
            }
            Self::Bytes(count) | Self::Text(count) => {
                for _ in 0..count {
                    cursor.bytes()?;
                }
            }
            Self::Enum(symbols) => {
                cursor.index(symbols)?;
            }
            Self::FixedUnion(sizes) => {
                let branch = cursor.index(2)?;
                cursor.take(sizes[branch])?;
            }
        }
        Ok(())
    }
}

/// One level further in. Unions do not count: none can directly hold another.
pub(super) fn deeper(depth: usize) -> Result<usize, WireError> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(WireError::Depth) }
}

// === impl Compiler ===

impl<'s> Compiler<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self {
            schema,
            known: HashMap::new(),
            entries: Vec::new(),
            queue: Vec::new(),
            min_sizes: MinSizes { schema, known: HashMap::new() },
        }
    }

    /// The entry for a value of each of these types in a row.
    pub(super) fn entry(&mut self, types: &[TypeId]) -> u32 {
        self.reserve(Entry::Values(types.to_vec()))
    }

    /// The least number of bytes that a value can take.
    pub(super) fn min_size(&mut self, ty: TypeId) -> usize {
        self.min_sizes.of(ty)
    }

    pub(super) fn finish(mut self) -> Table {
        while let Some((entry, made_for)) = self.queue.pop() {
            let mut steps = Vec::new();
            match made_for {
                Entry::Values(types) => types.into_iter().for_each(|ty| self.append(ty, &mut steps)),
                Entry::Pair(value) => {
                    steps.push(Step::Leaf(Leaf::Text(1)));
                    self.append(value, &mut steps);
                }
                Entry::Fields(ty) => {
                    if let Kind::Record(record) = self.schema.kind(ty) {
                        record.fields.iter().for_each(|field| self.append(field.ty, &mut steps));
                    }
                }
            }
            self.entries[entry as usize] = steps;
        }
        self.inline_small_records();
        Table { entries: self.entries.into_iter().map(Vec::into_boxed_slice).collect() }
    }

    fn reserve(&mut self, made_for: Entry) -> u32 {
        if let Some(entry) = self.known.get(&made_for) {
            return *entry;
        }
        let entry = self.entries.len() as u32;
        self.entries.push(Vec::new());
        self.known.insert(made_for.clone(), entry);
        self.queue.push((entry, made_for));
        entry
    }

    fn append(&mut self, ty: TypeId, steps: &mut Vec<Step>) {
        let schema = self.schema;
        steps.push(match schema.kind(ty) {
            Kind::Null => return,
            Kind::Boolean => Step::Leaf(Leaf::Boolean),
            Kind::Int => Step::Leaf(Leaf::Int),
            Kind::Long => Step::Leaf(Leaf::Long),
            Kind::Float => Step::Leaf(Leaf::Fixed(4)),
            Kind::Double => Step::Leaf(Leaf::Fixed(8)),
            Kind::Fixed(fixed) => Step::Leaf(Leaf::Fixed(fixed.size)),
            Kind::Bytes => Step::Leaf(Leaf::Bytes(1)),
            Kind::String => Step::Leaf(Leaf::Text(1)),
            Kind::Enum(e) => Step::Leaf(Leaf::Enum(e.symbols.len())),
            Kind::Union(branches) => match branches.as_slice() {
                &[a, b] if let (Some(a), Some(b)) = (fixed_size(schema, a), fixed_size(schema, b)) => {
                    Step::Leaf(Leaf::FixedUnion([a, b]))
                }
                _ => Step::Union(branches.iter().map(|b| self.entry(&[*b])).collect()),
            },
            Kind::Array(item) => Step::Items { item: self.entry(&[*item]), min: self.min_size(*item) },
            Kind::Map(value) => {
                Step::Items { item: self.reserve(Entry::Pair(*value)), min: self.min_size(*value).saturating_add(1) }
            }
            Kind::Record(_) => Step::Record(self.reserve(Entry::Fields(ty))),
        });
    }

    /// Entries are numbered as they are met, so that a higher number is further in: from the last to the first, every
    /// record is as small as it gets before it is inlined. A reference back is recursion and stays one.
    fn inline_small_records(&mut self) {
        for entry in (0..self.entries.len()).rev() {
            let mut steps = Vec::new();
            for step in std::mem::take(&mut self.entries[entry]) {
                match step {
                    Step::Record(fields)
                        if fields as usize > entry && self.entries[fields as usize].len() <= MAX_INLINE_STEPS =>
                    {
                        for step in &self.entries[fields as usize] {
                            push(&mut steps, step.clone());
                        }
                    }
                    step => push(&mut steps, step),
                }
            }
            self.entries[entry] = steps;
        }
    }
}

/// The bytes of a value, if all values of the type have as many.
fn fixed_size(schema: &Schema, ty: TypeId) -> Option<usize> {
    match schema.kind(ty) {
        Kind::Null => Some(0),
        Kind::Float => Some(4),
        Kind::Double => Some(8),
        Kind::Fixed(fixed) => Some(fixed.size),
        _ => None,
    }
}

/// Adds a step; fixed sizes in a row become one, and so do strings.
fn push(steps: &mut Vec<Step>, step: Step) {
    if matches!(step, Step::Leaf(Leaf::Fixed(0))) {
        return;
    }
    let (Some(Step::Leaf(last)), Step::Leaf(leaf)) = (steps.last_mut(), &step) else { return steps.push(step) };
    match (last, leaf) {
        (Leaf::Fixed(last), Leaf::Fixed(size)) => *last = last.saturating_add(*size),
        (Leaf::Bytes(last), Leaf::Bytes(more)) | (Leaf::Text(last), Leaf::Text(more)) => *last += more,
        _ => steps.push(step),
    }
}

// === impl MinSizes ===

impl MinSizes<'_> {
    /// Depth first with a stack of its own. A record within itself counts as nothing: it is either behind a union, an
    /// array or a map, which count by themselves, or has no finite value.
    fn of(&mut self, ty: TypeId) -> usize {
        let mut stack = vec![ty];
        while let Some(&top) = stack.last() {
            let own = match self.schema.kind(top) {
                Kind::Null => 0,
                Kind::Float => 4,
                Kind::Double => 8,
                Kind::Fixed(fixed) => fixed.size,
                Kind::Record(record) => {
                    if let std::collections::hash_map::Entry::Vacant(open) = self.known.entry(top) {
                        open.insert(0);
                        stack.extend(record.fields.iter().map(|f| f.ty).filter(|f| !self.known.contains_key(f)));
                        continue;
                    }
                    record.fields.iter().fold(0, |sum: usize, f| sum.saturating_add(self.known[&f.ty]))
                }
                _ => 1,
            };
            self.known.insert(top, own);
            stack.pop();
        }
        self.known[&ty]
    }
}
