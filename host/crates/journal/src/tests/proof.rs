//! That the store's own row, the journal and the snapshots agree: what one of them says
//! alone is not believed.

use std::ops::ControlFlow;

use super::keep::fill;
use super::*;
use crate::own;
use crate::store::Meta;

/// All groups are gone, and the store's own row says that there were none.
pub(super) fn a_snapshot_without_its_records_is_a_violation(place: &dyn Place) {
    for gone in [
        "DELETE FROM groups; UPDATE store SET last_hash = $0, sum = NULL",
        "DELETE FROM groups; UPDATE store SET last_hash = $0",
    ] {
        let place = &*place.another();
        fill(place);
        place.sql(&place.with_zeros(gone));
        let archive = place.archive().unwrap();
        let found = archive.check(|_, _| {}).unwrap().findings;
        assert!(!found.is_empty(), "{gone}");
        let verified = archive.trail().verify(|_| ControlFlow::Continue(()));
        let error = verified.unwrap_err().to_string();
        assert!(
            error.contains("has none") || error.contains("checksum"),
            "{error}"
        );
    }
}

/// The sum of the store's own row holds, for whoever changed it has made it anew.
pub(super) fn a_tail_that_begins_too_late_is_named_though_its_sum_holds(place: &dyn Place) {
    fill(place);
    let own = place.archive().unwrap().reader.own().unwrap().unwrap();
    for from in [44, 36] {
        let meta = Meta {
            tail_start: Position(from),
            ..own.meta.clone()
        };
        let sum = own::sum(&own.store_id, &meta);
        place.sql(&format!(
            "UPDATE store SET tail_start = {from}, sum = {sum}"
        ));
        let found = place.archive().unwrap().check(|_, _| {}).unwrap().findings;
        let named = found.iter().any(|it| it.what == "what a start reads");
        assert!(named, "{from}: {found:?}");
    }
    // Of Sara a start sees a record, and none of those before.
    let opened = Bench::try_open(place);
    assert!(matches!(opened.err(), Some(OpenError::Damaged(_))));
}

pub(super) fn a_row_that_does_not_hold_is_refused_by_a_start_and_by_a_verification(
    place: &dyn Place,
) {
    fill(place);
    let own = || place.archive().unwrap().reader.own().unwrap().unwrap();
    let tail_start = own().meta.tail_start.0;
    place.sql("UPDATE store SET tail_start = last_pos + 1");
    let (before, damaged) = (place.dump(), own());
    let opened = Bench::try_open(place);
    let error = opened.err().expect("it is refused");
    assert!(matches!(error, OpenError::OwnRow { .. }), "{error}");
    assert!(error.must_look());
    assert_eq!(own(), damaged, "nobody has taken it");
    let archive = place.archive().unwrap();
    let verified = archive.trail().verify(|_| ControlFlow::Continue(()));
    assert!(verified.unwrap_err().to_string().contains("checksum"));
    assert_eq!(place.dump(), before);
    place.sql(&format!("UPDATE store SET tail_start = {tail_start}"));
    let bench = Bench::open(place);
    assert_eq!(bench.seqs(&actor("sara")).1.len(), 20);
}

/// A host of schema 2 knows neither sums nor exact rows, and goes on all the same.
pub(super) fn what_an_older_host_has_written_is_read_from_the_beginning(place: &dyn Place) {
    fill(place);
    place.sql(
        "UPDATE store SET epoch = epoch + 1, last_pos = last_pos + 5;
         UPDATE groups SET exact = FALSE WHERE first_pos > 30",
    );
    let archive = place.archive().unwrap();
    let verified = archive.trail().verify(|_| ControlFlow::Continue(()));
    assert_eq!(verified.unwrap().records, 41);
    assert_eq!(archive.check(|_, _| {}).unwrap().findings, []);
    let bench = Bench::open(place);
    assert_eq!(bench.seqs(&actor("sara")).1.len(), 20);
    bench.commit(of_record(record(&actor("sara"), 21)));
    assert_eq!(bench.journal.check(|_, _| {}).unwrap().findings, []);
    let own = bench.journal.reader.own().unwrap().unwrap();
    assert_eq!(own.summed.map(|it| it.epoch), Some(own.epoch));
}
