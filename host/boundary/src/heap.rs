//! A batch as it will lie in the guest's memory, built on the host's side.
//!
//! Decoding and calling are two steps. First every record is decoded and checked into a [`Heap`], which is plain host
//! memory: what is wrong with a record shows here, before the module is involved. Then the call only allocates in the
//! guest, copies blocks and sets pointers ([`Heap::lower_into`]).
//!
//! ```text
//! blocks       | rows of the batch | items of a list | items of a list | ...   contents, pointers still empty
//! relocations  { which pointer of which block, what it points to: input bytes, text, another block }
//! ```

use bespoke_record::Span;

/// Text that records may ask for in a batch: a byte can name a long symbol. As much again is left for what the boundary has to say.
const MAX_TEXT_BYTES: usize = 1 << 31;

/// A list's items or a batch's rows, which the guest gets in one allocation.
#[derive(Clone, Copy, Debug)]
struct Block {
    start: usize,
    bytes: usize,
    align: u32,
}

/// A pointer in a block that is set once its target has an address.
#[derive(Clone, Copy, Debug)]
struct Relocation {
    block: u32,
    offset: u32,
    target: Target,
    /// Where the guest has the target, once that is known.
    address: u32,
}

/// What a pointer points to.
#[derive(Clone, Copy, Debug)]
enum Target {
    Bytes(Arena, Span),
    Block(u32),
    /// No bytes, with this alignment. The guest is asked for them nonetheless, as the Canonical ABI has it (`store_list`): it may
    /// free what it is given, however small, and CPython's runtime does.
    Nothing(u32),
}

/// Where bytes stand that the guest gets a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arena {
    /// The batch as it came.
    Input,
    /// Values that were brought from an older writer schema to the reader schema.
    Converted,
    /// Text that the boundary made, such as the symbols of an enum.
    Text,
}

/// A position in a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    block: u32,
    start: usize,
    offset: u32,
}

/// The guest's memory, as far as lowering needs it.
pub(crate) trait GuestMemory {
    type Error;
    /// Allocates by the guest's `cabi_realloc`; the address is in bounds and aligned.
    fn allocate(&mut self, align: u32, bytes: usize) -> Result<u32, Self::Error>;
    /// All of the memory.
    fn bytes(&mut self) -> &mut [u8];
}

/// Blocks and relocations of one batch; reused from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    image: Vec<u8>,
    blocks: Vec<Block>,
    relocations: Vec<Relocation>,
    text: Vec<u8>,
    addresses: Vec<u32>,
    limit: usize,
}

/// How far a heap was filled, to go back to when a record turns out bad.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mark {
    image: usize,
    blocks: usize,
    relocations: usize,
    text: usize,
}

impl Place {
    #[inline]
    pub fn at(self, offset: u32) -> Self {
        Self { offset: self.offset + offset, ..self }
    }
}

impl Heap {
    pub fn clear(&mut self) {
        self.image.clear();
        self.blocks.clear();
        self.relocations.clear();
        self.text.clear();
    }

    /// Adds a block of zeros.
    pub fn add_block(&mut self, bytes: usize, align: u32) -> Place {
        let start = self.image.len();
        self.image.resize(start + bytes, 0);
        self.blocks.push(Block { start, bytes, align });
        Place { block: self.blocks.len() as u32 - 1, start, offset: 0 }
    }

    /// Sets how many bytes of a block count, from its start.
    pub fn shrink(&mut self, block: Place, bytes: usize) {
        self.blocks[block.block as usize].bytes = bytes;
    }

    /// Lets lists take `bytes` more than there are.
    #[inline]
    pub fn allow(&mut self, bytes: usize) {
        self.limit = self.image.len() + bytes;
    }

    /// How far it is filled.
    #[inline]
    pub fn mark(&self) -> Mark {
        Mark {
            image: self.image.len(),
            blocks: self.blocks.len(),
            relocations: self.relocations.len(),
            text: self.text.len(),
        }
    }

    /// Takes back what was added since.
    pub fn back_to(&mut self, mark: Mark) {
        self.image.truncate(mark.image);
        self.blocks.truncate(mark.blocks);
        self.relocations.truncate(mark.relocations);
        self.text.truncate(mark.text);
    }

    /// Makes a block longer by `bytes` zeros, or not if that is more than was allowed. It moves if others were added
    /// after it, and what it leaves behind counts, so that many small pieces cannot ask for endless copying.
    pub fn grow(&mut self, block: Place, bytes: usize) -> Option<Place> {
        let entry = &mut self.blocks[block.block as usize];
        let last = entry.start + entry.bytes == self.image.len();
        let added = if last { bytes } else { bytes.saturating_add(entry.bytes) };
        if self.image.len().saturating_add(added) > self.limit {
            return None;
        }
        if !last {
            let moved = self.image.len();
            self.image.extend_from_within(entry.start..entry.start + entry.bytes);
            entry.start = moved;
        }
        entry.bytes += bytes;
        self.image.resize(entry.start + entry.bytes, 0);
        Some(Place { start: entry.start, ..block })
    }

    pub fn zero(&mut self, place: Place, bytes: usize) {
        let at = place.start + place.offset as usize;
        self.image[at..at + bytes].fill(0);
    }

    #[inline(always)]
    pub fn put<const N: usize>(&mut self, place: Place, bytes: [u8; N]) {
        let at = place.start + place.offset as usize;
        self.image[at..at + N].copy_from_slice(&bytes);
    }

    /// A discriminant of 1, 2 or 4 bytes.
    #[inline]
    pub fn put_discriminant(&mut self, place: Place, size: u32, value: u32) {
        match size {
            1 => self.put(place, [value as u8]),
            2 => self.put(place, (value as u16).to_le_bytes()),
            _ => self.put(place, value.to_le_bytes()),
        }
    }

    /// A string or a list of bytes.
    #[inline(always)]
    pub fn put_bytes(&mut self, place: Place, arena: Arena, span: Span) {
        self.put(place.at(4), span.len.to_le_bytes());
        self.point(place, if span.len == 0 { Target::Nothing(1) } else { Target::Bytes(arena, span) });
    }

    /// Notes that the pointer at `place` is to be set.
    #[inline(always)]
    fn point(&mut self, place: Place, target: Target) {
        self.relocations.push(Relocation { block: place.block, offset: place.offset, target, address: 0 });
    }

    /// Text that the boundary makes of a record. False if there is too much of it.
    #[must_use]
    pub fn put_text(&mut self, place: Place, text: &str) -> bool {
        let has_room = self.text.len() + text.len() <= MAX_TEXT_BYTES;
        if has_room {
            self.put_own_text(place, text);
        }
        has_room
    }

    /// Text of the boundary's own, which is short; there is always room for it.
    pub fn put_own_text(&mut self, place: Place, text: &str) {
        let span = Span { start: self.text.len() as u32, len: text.len() as u32 };
        self.text.extend_from_slice(text.as_bytes());
        self.put_bytes(place, Arena::Text, span);
    }

    /// Adds a whole list, whose `len` items of `size` bytes are still zeros: its first item.
    pub fn add_list(&mut self, place: Place, align: u32, size: u32, len: u32) -> Place {
        self.put(place.at(4), len.to_le_bytes());
        if len == 0 {
            self.point(place, Target::Nothing(align));
            return place;
        }
        let items = self.add_block(len as usize * size as usize, align);
        self.point(place, Target::Block(items.block));
        items
    }

    /// Starts a list.
    pub fn begin_list(&mut self, place: Place, align: u32) -> Place {
        let items = self.add_block(0, align);
        self.point(place, Target::Block(items.block));
        items
    }

    /// Ends a list of `len` items.
    pub fn end_list(&mut self, place: Place, align: u32, len: u32) {
        self.put(place.at(4), len.to_le_bytes());
        if len == 0 {
            // Nothing was added since it began.
            self.relocations.pop();
            self.blocks.pop();
            self.point(place, Target::Nothing(align));
        }
    }

    /// Copies everything into the guest. `tops` is how many of the first blocks are handed over as parameters; their
    /// addresses come back in order.
    ///
    /// First everything is allocated, and addresses are written into the image; then the memory, which no longer moves,
    /// is filled.
    pub fn lower_into<M: GuestMemory>(
        &mut self,
        memory: &mut M,
        input: &[u8],
        converted: &[u8],
        tops: usize,
    ) -> Result<&[u32], M::Error> {
        self.addresses.clear();
        for block in &self.blocks {
            self.addresses.push(memory.allocate(block.align, block.bytes)?);
        }
        for Relocation { block, offset, target, address } in &mut self.relocations {
            *address = match target {
                Target::Bytes(_, span) => memory.allocate(1, span.len as usize)?,
                Target::Block(child) => self.addresses[*child as usize],
                Target::Nothing(align) => memory.allocate(*align, 0)?,
            };
            let at = self.blocks[*block as usize].start + *offset as usize;
            self.image[at..at + 4].copy_from_slice(&address.to_le_bytes());
        }
        let memory = memory.bytes();
        for (block, address) in self.blocks.iter().zip(&self.addresses) {
            write_at(memory, *address, &self.image, block.start, block.bytes);
        }
        for relocation in &self.relocations {
            if let Target::Bytes(arena, span) = relocation.target {
                let source = match arena {
                    Arena::Input => input,
                    Arena::Converted => converted,
                    Arena::Text => &self.text,
                };
                write_at(memory, relocation.address, source, span.start as usize, span.len as usize);
            }
        }
        Ok(&self.addresses[..tops])
    }
}

#[inline]
fn write_at(memory: &mut [u8], address: u32, source: &[u8], start: usize, len: usize) {
    let at = address as usize;
    memory[at..at + len].copy_from_slice(&source[start..start + len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A guest that notes what it is asked for.
    #[derive(Default)]
    struct Noting {
        memory: Vec<u8>,
        asked: Vec<(u32, usize)>,
    }

    impl GuestMemory for Noting {
        type Error = ();

        fn allocate(&mut self, align: u32, bytes: usize) -> Result<u32, ()> {
            self.asked.push((align, bytes));
            let address = self.memory.len().next_multiple_of(align as usize);
            self.memory.resize(address + bytes.max(1), 0xee);
            Ok(address as u32)
        }

        fn bytes(&mut self) -> &mut [u8] {
            &mut self.memory
        }
    }

    #[test]
    fn the_guest_is_asked_for_what_is_empty_too() {
        let (mut heap, mut guest) = (Heap::default(), Noting::default());
        heap.allow(1024);
        let row = heap.add_block(32, 8);
        heap.put_bytes(row, Arena::Input, Span { start: 0, len: 0 });
        heap.put_bytes(row.at(8), Arena::Input, Span { start: 1, len: 2 });
        heap.add_list(row.at(16), 8, 16, 0);
        heap.begin_list(row.at(24), 4);
        heap.end_list(row.at(24), 4, 0);
        let tops = heap.lower_into(&mut guest, b"abc", b"", 1).expect("room").to_vec();
        assert_eq!(guest.asked, [(8, 32), (1, 0), (1, 2), (8, 0), (4, 0)]);
        let word =
            |at: usize| u32::from_le_bytes(*guest.memory[tops[0] as usize + at..].first_chunk().expect("a word"));
        assert_eq!([4, 12, 20, 28].map(word), [0, 2, 0, 0]);
        let pointers = [0, 8, 16, 24].map(word);
        assert!(pointers.iter().all(|pointer| *pointer >= 32) && pointers[2].is_multiple_of(8), "{pointers:?}");
        assert_eq!(guest.memory[pointers[1] as usize..][..2], *b"bc");
    }
}
