//! The guest's memory during a call, and what can be wrong with it.
//!
//! The memory is the module's: pointers, lengths, discriminants and UTF-8 are checked here, whenever they are read.

/// What a module answered that it must not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A pointer and a length that leave the memory, or that are not aligned.
    #[error("a pointer in the answer is outside of the module's memory or not aligned")]
    Pointer,
    /// A string that is not UTF-8.
    #[error("a string in the answer is not UTF-8")]
    Utf8,
    /// A boolean, option, result, enum or variant with a discriminant that it does not have.
    #[error("a discriminant in the answer is {found}, of {cases} cases")]
    Discriminant {
        /// What was found.
        found: u32,
        /// How many cases there are.
        cases: usize,
    },
    /// A number that the Avro type cannot hold.
    #[error("the answer `{value}` is out of range for Avro type `{ty}`")]
    Range {
        /// The number.
        value: String,
        /// The type.
        ty: &'static str,
    },
    /// A string that is no symbol of the enum.
    #[error("the answer `{0}` is not a symbol of the Avro enum")]
    Symbol(String),
    /// Bytes that are not as many as the fixed has.
    #[error("the answer has {found} bytes where the Avro fixed has {size}")]
    FixedSize {
        /// How many came.
        found: usize,
        /// How many there must be.
        size: usize,
    },
    /// The answers of `process` are not as many as the records, or columns are not equally long.
    #[error("the module answered {answers} for {records} records")]
    Count {
        /// How many came.
        answers: usize,
        /// How many there must be.
        records: usize,
    },
    /// More bytes than the module may answer.
    #[error("the answer is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// The guest's memory during a call, and the limit on what is written from it.
#[derive(Clone, Copy)]
pub(crate) struct Guest<'a> {
    pub memory: &'a [u8],
    pub limit: usize,
}

impl<'a> Guest<'a> {
    #[inline(always)]
    pub fn get<const N: usize>(&self, at: usize) -> Result<[u8; N], Violation> {
        match self.memory.get(at..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(bytes) => Ok(*bytes),
            None => Err(Violation::Pointer),
        }
    }

    /// The discriminant of an option or a result.
    #[inline(always)]
    pub fn flag(&self, at: usize) -> Result<bool, Violation> {
        match self.get::<1>(at)? {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(Violation::Discriminant { found: u32::from(other), cases: 2 }),
        }
    }

    #[inline]
    pub fn discriminant(&self, at: usize, size: u32, cases: usize) -> Result<usize, Violation> {
        let found = match size {
            1 => u32::from(self.get::<1>(at)?[0]),
            2 => u32::from(u16::from_le_bytes(self.get(at)?)),
            _ => u32::from_le_bytes(self.get(at)?),
        };
        if (found as usize) < cases { Ok(found as usize) } else { Err(Violation::Discriminant { found, cases }) }
    }

    /// Start and length of the list whose pointer pair is at `at`; all of it is in the memory.
    #[inline(always)]
    pub fn list_at(&self, at: usize, size: u32, align: u32) -> Result<(usize, usize), Violation> {
        let start = u32::from_le_bytes(self.get(at)?) as usize;
        let len = u32::from_le_bytes(self.get(at + 4)?) as usize;
        // Both are below 2^32, and so is the size of an item: no product or sum is too large for 64 bits.
        let end = start as u64 + len as u64 * u64::from(size);
        if !start.is_multiple_of(align as usize) || end > self.memory.len() as u64 {
            Err(Violation::Pointer)
        } else {
            Ok((start, len))
        }
    }

    /// The bytes of a `list<u8>`.
    #[inline]
    pub fn bytes(&self, at: usize) -> Result<&'a [u8], Violation> {
        let (start, len) = self.list_at(at, 1, 1)?;
        Ok(&self.memory[start..start + len])
    }

    #[inline]
    pub fn text(&self, at: usize) -> Result<&'a str, Violation> {
        std::str::from_utf8(self.bytes(at)?).map_err(|_| Violation::Utf8)
    }

    /// Whether `more` bytes may be written.
    #[inline(always)]
    pub fn room(&self, out: &[u8], more: usize) -> Result<(), Violation> {
        if out.len() + more > self.limit { Err(Violation::TooLarge { limit: self.limit }) } else { Ok(()) }
    }
}
