//! Arenas that librdkafka reads until the records in them are delivered, so that it need not copy them.

use bytes::Bytes;

/// Bytes of arenas that are lent at most. One record that cannot be delivered keeps the arena of its whole batch.
const MAX_BYTES: usize = 32 << 20;

/// The arenas that are lent, each with how many keep it.
#[derive(Default)]
pub(super) struct Lent {
    loans: Vec<Loan>,
    /// Places in `loans` that are free.
    free: Vec<usize>,
    bytes: usize,
}

#[derive(Default)]
struct Loan {
    arena: Bytes,
    /// Records on their way, and one more while others may follow.
    keepers: u32,
}

/// The place of a loan, for as long as something keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(usize);

// === impl Lent ===

impl Lent {
    /// Lends an arena, with one that keeps it. None if too much would be lent.
    pub(super) fn lend(&mut self, arena: &Bytes) -> Option<Place> {
        let bytes = self.bytes.saturating_add(arena.len());
        if bytes > MAX_BYTES {
            return None;
        }
        self.bytes = bytes;
        let loan = Loan { arena: arena.clone(), keepers: 1 };
        match self.free.pop() {
            Some(place) => {
                self.loans[place] = loan;
                Some(Place(place))
            }
            None => {
                self.loans.push(loan);
                Some(Place(self.loans.len() - 1))
            }
        }
    }

    /// One more keeps it.
    pub(super) fn keep(&mut self, Place(place): Place) {
        self.loans[place].keepers += 1;
    }

    /// One less keeps it; the last one gives it back.
    pub(super) fn release(&mut self, Place(place): Place) {
        let loan = &mut self.loans[place];
        loan.keepers -= 1;
        if loan.keepers == 0 {
            let Loan { arena, .. } = std::mem::take(loan);
            self.bytes -= arena.len();
            self.free.push(place);
        }
    }
}

// === impl Place ===

impl Place {
    /// As the pointer that a record carries through librdkafka; null is none.
    pub(super) fn to_opaque(place: Option<Self>) -> *mut std::ffi::c_void {
        std::ptr::without_provenance_mut(place.map_or(0, |Self(place)| place + 1))
    }

    /// The same back.
    pub(super) fn from_opaque(opaque: *mut std::ffi::c_void) -> Option<Self> {
        opaque.addr().checked_sub(1).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_is_given_back_by_the_last_that_keeps_it() {
        let mut lent = Lent::default();
        let (one, two) = (Bytes::from(vec![1; 10]), Bytes::from(vec![2; 20]));
        let (first, second) = (lent.lend(&one).unwrap(), lent.lend(&two).unwrap());
        lent.keep(first);
        lent.release(first);
        assert_eq!((lent.bytes, one.is_unique(), two.is_unique()), (30, false, false));
        lent.release(first);
        assert_eq!((lent.bytes, one.is_unique(), two.is_unique()), (20, true, false));
        assert_eq!(lent.lend(&one), Some(first), "a place that is free is taken again");
        lent.release(second);
        assert!(two.is_unique());
    }

    #[test]
    fn only_so_much_is_lent() {
        let mut lent = Lent::default();
        let half = Bytes::from(vec![0; MAX_BYTES / 2]);
        let first = lent.lend(&half).unwrap();
        lent.lend(&half).unwrap();
        assert_eq!(lent.lend(&Bytes::from_static(b"x")), None);
        lent.release(first);
        assert!(lent.lend(&half).is_some());
    }

    #[test]
    fn a_place_passes_through_a_pointer() {
        let mut lent = Lent::default();
        let first = lent.lend(&Bytes::new()).unwrap();
        for place in [None, Some(first), lent.lend(&Bytes::new())] {
            assert_eq!(Place::from_opaque(Place::to_opaque(place)), place);
        }
        assert!(Place::to_opaque(None).is_null());
    }
}
