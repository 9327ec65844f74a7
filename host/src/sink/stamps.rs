//! Stamps: the order of the changes of a partition, as numbers that look like times.
//!
//! A store like Cassandra keeps what has the newest stamp, and on equal stamps the greater value, column by column, whoever
//! wrote it. So each record of a partition gets a stamp greater than that of the record before it, and the same one however
//! often it is handled: from its time, or one more than the last if that is not later. For that the last stamp is noted beside
//! the committed position, and every record has one, whatever becomes of it.

/// Times from the year 10000 on are none that anyone means (microseconds or nanoseconds, where milliseconds belong), nor are
/// those before 1970. Taken as they are, they would carry the stamps of all later records away with them.
const END_MS: i64 = 253_402_300_800_000;
/// What the note of a last stamp begins with.
const NOTE: &str = "stamp=";

/// The last stamp of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamps {
    last: i64,
}

// === impl Stamps ===

impl Stamps {
    /// Of a partition of which nothing was read.
    pub(super) fn new() -> Self {
        Self { last: -1 }
    }

    /// Goes on behind a note. None if it is no note of ours.
    pub(super) fn after(note: &str) -> Option<Self> {
        let last = note.strip_prefix(NOTE)?.parse().ok()?;
        // So far above every time that no number of records gets there.
        (-1..i64::MAX / 2).contains(&last).then_some(Self { last })
    }

    /// The stamp of the next record.
    pub(super) fn next(&mut self, timestamp_ms: i64) -> i64 {
        let time_micros = if (0..END_MS).contains(&timestamp_ms) { timestamp_ms * 1_000 } else { 0 };
        self.last = time_micros.max(self.last + 1);
        self.last
    }

    /// What is to be noted.
    pub(super) fn note(self) -> String {
        format!("{NOTE}{}", self.last)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn records_of_one_millisecond_have_one_stamp_after_the_other() {
        let mut stamps = Stamps::new();
        assert_eq!([7, 7, 7, 8, 3].map(|time| stamps.next(time)), [7_000, 7_001, 7_002, 8_000, 8_001]);
    }

    #[test]
    fn a_time_that_nobody_means_moves_the_stamps_by_one() {
        let mut stamps = Stamps::new();
        assert_eq!(stamps.next(-1), 0);
        assert_eq!(stamps.next(5), 5_000);
        for time in [i64::MIN, -1, END_MS, 1_767_225_600_000_000, i64::MAX] {
            stamps.next(time);
        }
        assert_eq!(stamps.next(5), 5_006);
        assert_eq!(stamps.next(END_MS - 1), (END_MS - 1) * 1_000);
    }

    #[test]
    fn a_note_of_others_is_none() {
        for note in ["", "stamp=", "stamp=x", "7", "stamp=-2", "stamp=9223372036854775807"] {
            assert_eq!(Stamps::after(note), None, "{note}");
        }
    }

    proptest! {
        #[test]
        fn stamps_grow_and_are_the_same_from_any_note_on(times in proptest::collection::vec(any::<i64>(), 1..50), cut in 0usize..50) {
            let mut stamps = Stamps::new();
            let all: Vec<i64> = times.iter().map(|time| stamps.next(*time)).collect();
            prop_assert!(all.is_sorted_by(|a, b| a < b));
            let cut = cut.min(times.len());
            let mut stamps = Stamps::new();
            times[..cut].iter().for_each(|time| _ = stamps.next(*time));
            let mut stamps = Stamps::after(&stamps.note()).expect("a note");
            let again: Vec<i64> = times[cut..].iter().map(|time| stamps.next(*time)).collect();
            prop_assert_eq!(&again[..], &all[cut..]);
        }
    }
}
