//! The allocator of the programs: mimalloc, which librdkafka uses too.

use std::ffi::c_long;

/// How long memory that was freed stays with the process. A step fills memory that its end frees, and the next one needs it
/// again; to give it back between them and to get it anew, page by page and cleared, costs a tenth of a record's time on Kafka.
const KEPT_MS: c_long = 10_000;

/// Milliseconds until freed memory is given back to the system: `mi_option_purge_delay` of `mimalloc.h`.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// To be called once by a program whose global allocator is `mimalloc`, before it starts threads.
#[expect(unsafe_code, reason = "the options of mimalloc are set by a call of C")]
pub fn keep_freed() {
    // SAFETY: it sets a number of that option, which this version of mimalloc has at this place.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEPT_MS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "as above")]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: it reads the number.
        let delay_ms = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // What mimalloc comes with: another option would hardly have the same.
        assert_eq!(delay_ms(), 1_000);
        keep_freed();
        assert_eq!(delay_ms(), KEPT_MS);
    }
}
