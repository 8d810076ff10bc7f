//! Whether the journal has what a snapshot says that it includes.

/// What is wrong with a snapshot of `seq` records, if the last one of its actor that the
/// journal has is `last`, and so many records were `removed` for their age, for which an
/// anchor stands.
pub(crate) fn lacks(seq: u64, last: Option<u64>, removed: u64) -> Option<String> {
    match last {
        Some(last) if seq > last => Some(format!(
            "it includes {seq} records, and the journal has {last}"
        )),
        None if seq > removed => Some(format!(
            "it includes {seq} records, of which the journal has none, and its anchor stands for {removed}"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_needs_its_records_or_an_anchor_that_stands_for_them() {
        for (seq, last, removed) in [
            (0, None, 0),
            (5, Some(5), 0),
            (5, Some(9), 0),
            (5, None, 5),
            (5, Some(6), 100),
        ] {
            assert_eq!(lacks(seq, last, removed), None);
        }
        for (seq, last, removed) in [(1, None, 0), (6, Some(5), 100), (5, None, 4)] {
            assert!(lacks(seq, last, removed).is_some());
        }
    }
}
