//! A map from text to a few numbers that is always in the form in which it is saved.
//!
//! The entries stand one after the other in one run of bytes, in the order in which they came; a hash index holds their
//! positions. A snapshot is a copy of the bytes, however many entries changed, and a table that did not change gives the
//! same bytes again. An entry is its `N` numbers (f64, little-endian), the length of its key (u32, little-endian), and
//! the key (UTF-8).

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

/// A table remembers at most this many bytes: what memory a hostile feed of ever new keys can take. Both tables of the module
/// together stay below the 64 MiB that a host takes as a snapshot by default.
const MAX_BYTES: usize = 24 << 20;

/// Bytes of the length of a key.
const LENGTH: usize = size_of::<u32>();

/// Text to `N` numbers.
#[derive(Default)]
pub struct Table<const N: usize> {
    bytes: Vec<u8>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Where an entry is. Entries never move and never go.
#[derive(Clone, Copy)]
pub struct Slot(u32);

impl<const N: usize> Table<N> {
    const NUMBERS: usize = N * size_of::<f64>();

    /// The entry of a key, made with `first` if it is new. None if there is no room for another.
    pub fn slot(&mut self, key: &str, first: [f64; N]) -> Option<Slot> {
        let hash = self.hasher.hash_one(key.as_bytes());
        let found = self.index.find(hash, |at| key_at::<N>(&self.bytes, *at) == key.as_bytes());
        if let Some(at) = found {
            return Some(Slot(*at));
        }
        if self.bytes.len() + Self::NUMBERS + LENGTH + key.len() > MAX_BYTES {
            return None;
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend(first.iter().flat_map(|number| number.to_le_bytes()));
        self.bytes.extend((key.len() as u32).to_le_bytes());
        self.bytes.extend(key.as_bytes());
        self.add(hash, at);
        Some(Slot(at))
    }

    /// The numbers of an entry.
    pub fn get(&self, slot: Slot) -> [f64; N] {
        let at = slot.0 as usize;
        let (numbers, _) = self.bytes[at..at + Self::NUMBERS].as_chunks();
        std::array::from_fn(|i| f64::from_le_bytes(numbers[i]))
    }

    /// Replaces the numbers of an entry.
    pub fn set(&mut self, slot: Slot, numbers: [f64; N]) {
        let at = slot.0 as usize;
        let (places, _) = self.bytes[at..at + Self::NUMBERS].as_chunks_mut();
        for (place, number) in places.iter_mut().zip(numbers) {
            *place = number.to_le_bytes();
        }
    }

    /// All entries, as they are saved.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The table of these bytes; none if they are not those of one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_BYTES {
            return None;
        }
        // Counted first, so that the index is made once in its size.
        let (mut at, mut count) = (0, 0);
        while at < bytes.len() {
            at = Self::entry_end(bytes, at)?;
            count += 1;
        }
        let hasher = DefaultHashBuilder::default();
        let mut index = HashTable::with_capacity(count);
        let mut at = 0;
        while at < bytes.len() {
            let key = key_at::<N>(bytes, at as u32);
            str::from_utf8(key).ok()?;
            let is_same = |other: &u32| key_at::<N>(bytes, *other) == key;
            let rehash = |other: &u32| hasher.hash_one(key_at::<N>(bytes, *other));
            match index.entry(hasher.hash_one(key), is_same, rehash) {
                Entry::Occupied(_) => return None,
                Entry::Vacant(place) => _ = place.insert(at as u32),
            }
            at = Self::entry_end(bytes, at)?;
        }
        Some(Self { bytes: bytes.to_vec(), index, hasher })
    }

    /// Where the entry that starts at `at` ends, if it is whole.
    fn entry_end(bytes: &[u8], at: usize) -> Option<usize> {
        let rest = bytes[at..].get(Self::NUMBERS..)?;
        let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
        let length = u32::from_le_bytes(*length) as usize;
        (length <= rest.len()).then_some(at + Self::NUMBERS + LENGTH + length)
    }

    fn add(&mut self, hash: u64, at: u32) {
        let (bytes, hasher) = (&self.bytes, &self.hasher);
        self.index.insert_unique(hash, at, |at| hasher.hash_one(key_at::<N>(bytes, *at)));
    }
}

/// The key of the entry that starts at `at`.
fn key_at<const N: usize>(bytes: &[u8], at: u32) -> &[u8] {
    let length_at = at as usize + N * size_of::<f64>();
    let key_at = length_at + LENGTH;
    let length = bytes[length_at..].first_chunk().map_or(0, |length| u32::from_le_bytes(*length) as usize);
    &bytes[key_at..key_at + length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_again_and_keep_their_numbers() {
        let mut table = Table::<2>::default();
        for n in 0..10_000 {
            let slot = table.slot(&format!("key-{n}"), [0.0, 1.0]).expect("room");
            table.set(slot, [f64::from(n), -1.0]);
        }
        let again = Table::<2>::from_bytes(table.as_bytes()).expect("its own bytes");
        for mut table in [table, again] {
            for n in 0..10_000 {
                let slot = table.slot(&format!("key-{n}"), [0.0, 1.0]).expect("there");
                assert_eq!(table.get(slot), [f64::from(n), -1.0]);
            }
        }
    }

    #[test]
    fn bytes_that_are_cut_or_not_a_table_are_refused() {
        let mut table = Table::<1>::default();
        table.slot("one", [1.0]);
        table.slot("two", [2.0]);
        let bytes = table.as_bytes();
        let entry = bytes.len() / 2;
        for end in (1..bytes.len()).filter(|end| *end != entry) {
            assert!(Table::<1>::from_bytes(&bytes[..end]).is_none(), "cut at {end}");
        }
        let twice = [&bytes[..entry], &bytes[..entry]].concat();
        assert!(Table::<1>::from_bytes(&twice).is_none(), "a key that comes twice");
        let mut not_text = bytes.to_vec();
        *not_text.last_mut().expect("bytes") = 0xff;
        assert!(Table::<1>::from_bytes(&not_text).is_none(), "a key that is not UTF-8");
        let mut long = bytes.to_vec();
        long[8..12].fill(0xff);
        assert!(Table::<1>::from_bytes(&long).is_none(), "a key longer than the bytes");
    }

    #[test]
    fn a_full_table_keeps_what_it_has() {
        let mut table = Table::<1>::default();
        assert!(table.slot("known", [1.0]).is_some());
        assert!(table.slot(&"x".repeat(MAX_BYTES), [1.0]).is_none());
        assert!(table.slot("known", [2.0]).is_some_and(|slot| table.get(slot) == [1.0]));
    }
}
