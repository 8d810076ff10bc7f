//! What benches say of their figures.

/// A line that `make bench` repeats in its table: what a figure was to be, and what it is.
#[must_use]
pub fn bar(name: &str, wanted: &str, found: &str, met: bool) -> String {
    let met = if met { "met" } else { "NOT MET" };
    format!("bar {name}: {wanted}, {found} found: {met}")
}

/// The one in the middle; of an even number the higher of the two.
///
/// # Panics
///
/// If there is none, or one that cannot be compared.
#[must_use]
pub fn median<T: PartialOrd + Copy>(mut of: Vec<T>) -> T {
    of.sort_unstable_by(|a, b| a.partial_cmp(b).expect("figures can be compared"));
    of[of.len() / 2]
}
