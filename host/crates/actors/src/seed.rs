//! Seeds: a number for each call, which the plugin's generator scrambles.
//!
//! Each thread counts for itself, for a counter that all of them share would cost a
//! query more than its clock. They begin at random, and step by an odd constant that
//! visits every number: Steele, Lea and Flood, "Fast splittable pseudorandom number
//! generators" (2014).

use std::cell::Cell;

/// 2^64 divided by the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

thread_local! {
    // Without the kernel's randomness, no better than any other.
    static NEXT: Cell<u64> = Cell::new(getrandom::u64().unwrap_or(STEP));
}

/// A seed that no call before it had.
#[inline]
pub(crate) fn next() -> u64 {
    NEXT.with(|next| next.replace(next.get().wrapping_add(STEP)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn no_two_calls_have_the_same() {
        let many = || (0..1_000).map(|_| super::next()).collect::<Vec<_>>();
        let other = std::thread::spawn(many);
        let seeds: BTreeSet<u64> = many().into_iter().chain(other.join().unwrap()).collect();
        assert_eq!(seeds.len(), 2_000);
    }
}
