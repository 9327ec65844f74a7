//! The search for the one record that breaks a call.
//!
//! A call of many records failed, and nobody knows which record did it. The batch is tried again in halves: what passes
//! is done, what fails is halved, until a single record fails. Offsets are used, not indices, because after an abort the
//! log may cut its batches elsewhere: a search lives until the commit, and what fails beside it makes it longer, so that
//! no abort undoes what an earlier one was for.

/// Where to look, in offsets of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Search {
    /// Calls that end here or before are as large as ever.
    from: i64,
    /// When all before this is done, the search is over.
    until: i64,
    /// Something before this is bad; nothing is known from here on.
    suspect: i64,
    /// All of it is done.
    is_over: bool,
}

impl Search {
    /// A call of the records from offset `from` up to, not including, `until` failed.
    pub fn new(from: i64, until: i64) -> Self {
        Self { from, until, suspect: until, is_over: false }
    }

    /// ## Searching, or over => Searching
    /// Another call failed, outside: the search is for both.
    pub fn and(self, other: Self) -> Self {
        Self::new(self.from.min(other.from), self.until.max(other.until))
    }

    /// Whether the record with this offset is among those that are searched.
    pub fn covers(&self, offset: i64) -> bool {
        (self.from..self.until).contains(&offset)
    }

    /// How many of the records `ahead` are to be tried in one call: at least one.
    pub fn take<T>(&self, ahead: &[T], offset: impl Fn(&T) -> i64) -> usize {
        let before = |limit: i64| ahead.partition_point(|record| offset(record) < limit);
        let size = match ahead.first().map(&offset) {
            Some(first) if first < self.from => before(self.from),
            Some(first) if first < self.suspect => before(self.suspect) / 2,
            Some(first) if first < self.until => before(self.until),
            _ => ahead.len(),
        };
        size.max(1).min(ahead.len())
    }

    /// ## Searching => Searching
    /// A call that ended before offset `end` failed.
    pub fn failed(&mut self, end: i64) {
        self.suspect = end;
    }

    /// ## Searching => Searching, or over
    /// Everything before `next` is done.
    pub fn passed(&mut self, next: i64) {
        self.is_over |= next >= self.until;
    }

    /// Whether all of it is done.
    pub fn is_over(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays the search over records of which some are bad; returns the bad ones found and the number of calls.
    fn play(offsets: &[i64], bad: &[i64]) -> (Vec<i64>, usize) {
        let (first, end) = (offsets[0], offsets[offsets.len() - 1] + 1);
        let mut search = Some(Search::new(first, end));
        let (mut at, mut found, mut calls) = (0, Vec::new(), 0);
        while at < offsets.len() {
            let Some(now) = search.as_mut() else { panic!("over at {at} of {}", offsets.len()) };
            let tried = &offsets[at..at + now.take(&offsets[at..], |offset| *offset)];
            calls += 1;
            if tried.iter().any(|o| bad.contains(o)) {
                if let [one] = tried {
                    found.push(*one);
                    at += 1;
                    // What was suspected is found; of the rest nothing is known.
                } else {
                    now.failed(tried[tried.len() - 1] + 1);
                    continue;
                }
            } else {
                at += tried.len();
            }
            if at < offsets.len() {
                now.passed(offsets[at]);
                assert!(!now.is_over());
            }
        }
        (found, calls)
    }

    #[test]
    fn every_bad_record_is_found_and_no_other() {
        let offsets: Vec<i64> = (0..1024).map(|i| i * 3 + 7).collect();
        for bad in [vec![7], vec![1024 * 3 + 4], vec![7, 10, 13], vec![700, 703, 2002]] {
            let bad: Vec<i64> = bad.into_iter().filter(|b| offsets.contains(b)).collect();
            assert_eq!(play(&offsets, &bad).0, bad);
        }
        assert_eq!(play(&offsets, &offsets).0, offsets);
    }

    #[test]
    fn what_fails_elsewhere_makes_the_search_longer() {
        let mut search = Search::new(10, 20);
        search.passed(20);
        assert!(search.is_over() && !search.covers(20));
        let both = search.and(Search::new(20, 90));
        assert!(!both.is_over() && both.covers(10) && both.covers(89) && !both.covers(90));
        let offsets: Vec<i64> = (0..100).collect();
        let take = |from: usize| both.take(&offsets[from..], |offset| *offset);
        assert_eq!([take(0), take(10), take(90)], [10, 40, 10]);
    }

    #[test]
    fn one_bad_record_takes_about_two_calls_per_halving() {
        let offsets: Vec<i64> = (0..1024).collect();
        assert!(play(&offsets, &[512]).1 <= 22);
    }
}
