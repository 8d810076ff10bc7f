//! What an actor was before it came over, for one that cannot go back by itself.

use std::cell::Cell;

use host_model::carry::CarriedTimer;

use super::*;
use crate::{AnchorKey, Before, BeforeError, PastTails};

fn key() -> AnchorKey {
    let folder = tempfile::tempdir().unwrap();
    AnchorKey::read_or_make(&folder.path().join("anchor.key")).unwrap()
}

fn commit_record(bench: &Bench, key: &str, seq: u64, by: &str) -> Position {
    let record = record(&actor(key), seq);
    bench.commit(of_record(Record {
        version: version(by),
        ..record
    }))
}

fn commit_snapshot(bench: &Bench, key: &str, seq: u64, of: &str) -> Position {
    let snapshot = snapshot(&actor(key), seq);
    bench.commit(of_snapshot(Snapshot {
        version: version(of),
        ..snapshot
    }))
}

/// Sequence and version of the snapshot, and of the records.
type Seen = (Option<(u64, String)>, Vec<(u64, String)>);

/// The same for whoever goes back alone, and with others, however many of those there are.
fn before(bench: &Bench, key: &str, of: &str) -> Result<Seen, BeforeError> {
    let behind = Position(bench.journal.durable().0 + 1);
    let ask = |past: &PastTails| bench.journal.before(&actor(key), &version(of), past, || {});
    let alone = ask(&PastTails::default());
    for past in [bench.journal.past_tails(), PastTails::new(behind, 1)] {
        match (&alone, ask(&past)) {
            (Ok(alone), shared) => assert_eq!(*alone, shared.unwrap()),
            (Err(alone), shared) => assert_eq!(alone.to_string(), shared.unwrap_err().to_string()),
        }
    }
    alone.map(|before| seen(&before))
}

fn seen(before: &Before) -> Seen {
    let records = before.records.iter();
    (
        (before.snapshot.as_ref()).map(|it| (it.seq, it.version.to_string())),
        records.map(|it| (it.seq, it.version.to_string())).collect(),
    )
}

fn of(version: &str, seqs: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    seqs.map(|seq| (seq, version.to_owned())).collect()
}

/// Ali has 0.1.0 with a snapshot and two records behind it, then 0.2.0 with many. Where the
/// tails began in between.
fn come_over(bench: &Bench) -> Position {
    let ali = "ali";
    for seq in 1..=5 {
        commit_record(bench, ali, seq, "0.1.0");
        commit_record(bench, "sara", seq, "0.1.0");
        if seq == 3 {
            commit_snapshot(bench, ali, seq, "0.1.0");
        }
    }
    let tails = bench.journal.tails_from();
    commit_snapshot(bench, ali, 5, "0.2.0");
    for seq in 6..=30 {
        commit_record(bench, ali, seq, "0.2.0");
        commit_record(bench, "sara", seq, "0.2.0");
        if seq % 5 == 0 {
            commit_snapshot(bench, ali, seq, "0.2.0");
        }
    }
    tails
}

/// Removes what ends before `bound`.
fn remove(bench: &Bench, bound: Position) {
    let key = key();
    while let Some(step) = bench.journal.removal(&key, bound, i64::MAX, 7).unwrap() {
        bench.commit(step.rows());
    }
}

pub(super) fn the_snapshot_before_the_version_is_kept_and_all_records_since_are_found(
    place: &dyn Place,
) {
    let bench = Bench::open(place);
    come_over(&bench);
    let records = || [of("0.1.0", 4..=5), of("0.2.0", 6..=30)].concat();
    let base = || Some((3, "0.1.0".to_owned()));
    assert_eq!(before(&bench, "ali", "0.2.0").unwrap(), (base(), records()));
    // With a tail behind the last snapshot, and in one group with others.
    for seq in 31..=33 {
        let record = |key, by| Record {
            version: version(by),
            ..record(&actor(key), seq)
        };
        bench.append(of_record(record("ali", "0.2.0")), 0);
        bench.append(of_record(record("sara", "0.2.0")), 0);
    }
    for _ in 0..6 {
        bench.next_done().result.unwrap();
    }
    let records = || [of("0.1.0", 4..=5), of("0.2.0", 6..=33)].concat();
    assert_eq!(before(&bench, "ali", "0.2.0").unwrap(), (base(), records()));
    // Sara never had a snapshot: all that she did is there.
    let sara = [of("0.1.0", 1..=5), of("0.2.0", 6..=33)].concat();
    assert_eq!(before(&bench, "sara", "0.2.0").unwrap(), (None, sara));
    drop(bench);
    let bench = Bench::open(place);
    assert_eq!(before(&bench, "ali", "0.2.0").unwrap(), (base(), records()));
    // Others have more to say meanwhile than is read at once.
    commit_snapshot(&bench, "ali", 33, "0.2.0");
    for seq in 1..=40 {
        commit_record(&bench, "omar", seq, "0.2.0");
    }
    assert_eq!(before(&bench, "ali", "0.2.0").unwrap(), (base(), records()));
    commit_record(&bench, "ali", 34, "0.2.0");
    commit_snapshot(&bench, "ali", 34, "0.2.0");
    let with_last = [records(), of("0.2.0", 34..=34)].concat();
    assert_eq!(before(&bench, "ali", "0.2.0").unwrap(), (base(), with_last));
    // In another version again, it is that of 0.2.0 which counts.
    commit_snapshot(&bench, "ali", 34, "0.1.0");
    commit_record(&bench, "ali", 35, "0.1.0");
    for _ in 0..3 {
        commit_snapshot(&bench, "ali", 35, "0.1.0");
    }
    let (base, records) = before(&bench, "ali", "0.1.0").unwrap();
    assert_eq!(base, Some((34, "0.2.0".to_owned())));
    let last = of("0.1.0", 35..=35);
    assert_eq!(records, last);
}

pub(super) fn who_goes_back_together_looks_through_the_journal_once(place: &dyn Place) {
    let bench = Bench::open(place);
    let keys: Vec<_> = (0..30).map(|n| format!("c{n:02}")).collect();
    let each = |seqs: std::ops::RangeInclusive<u64>, by: &str| {
        for seq in seqs {
            for key in &keys {
                commit_record(&bench, key, seq, by);
            }
        }
    };
    each(1..=3, "0.1.0");
    for key in &keys {
        commit_snapshot(&bench, key, 3, "0.2.0");
    }
    each(4..=5, "0.2.0");
    // Of some, there is more than one record that names none before it.
    for key in keys.iter().step_by(2) {
        commit_snapshot(&bench, key, 5, "0.2.0");
    }
    each(6..=6, "0.2.0");
    let looks = Cell::new(0);
    let before = |key: &str, past: &PastTails| {
        let looked = || looks.set(looks.get() + 1);
        let of = version("0.2.0");
        let before = bench.journal.before(&actor(key), &of, past, looked);
        seen(&before.unwrap())
    };
    let past = bench.journal.past_tails();
    let records = |last| (None, [of("0.1.0", 1..=3), of("0.2.0", 4..=last)].concat());
    for key in &keys {
        assert_eq!(before(key, &past), records(6), "{key}");
    }
    let together = looks.take();
    for key in &keys {
        assert_eq!(before(key, &PastTails::default()), records(6));
    }
    let alone = looks.take();
    assert!(4 * together < alone, "{together} and {alone} looks");

    // What is written meanwhile is found as well.
    commit_snapshot(&bench, &keys[0], 6, "0.2.0");
    commit_record(&bench, "omar", 1, "0.2.0");
    commit_record(&bench, &keys[0], 7, "0.2.0");
    commit_snapshot(&bench, &keys[0], 7, "0.2.0");
    commit_record(&bench, "omar", 2, "0.2.0");
    assert_eq!(before(&keys[0], &past), records(7));
    assert_eq!(before(&keys[1], &past), records(6));
    // Where there is no more room, each looks for itself.
    let small = PastTails::new(Position(bench.journal.durable().0 + 1), 20);
    for key in &keys[1..] {
        assert_eq!(before(key, &small), records(6), "{key}");
    }
}

pub(super) fn a_damaged_group_holds_up_those_only_who_need_it(place: &dyn Place) {
    let bench = Bench::open(place);
    come_over(&bench);
    let last = commit_record(&bench, "omar", 1, "0.2.0");
    let damaged = format!("UPDATE groups SET body = $0 WHERE first_pos = {}", last.0);
    place.damage(&place.with_zeros(&damaged));
    let records = [of("0.1.0", 4..=5), of("0.2.0", 6..=30)].concat();
    assert_eq!(before(&bench, "ali", "0.2.0").unwrap().1, records);
    let omar = before(&bench, "omar", "0.1.0").unwrap_err();
    assert!(matches!(omar, BeforeError::Read(_)), "{omar}");
}

pub(super) fn what_an_actor_was_before_holds_nothing_back_that_is_old_enough(place: &dyn Place) {
    let bench = Bench::open(place);
    come_over(&bench);
    // Of three snapshots, the records behind the last but one are needed.
    let tails = bench.journal.needed_from().unwrap().unwrap();
    assert_eq!(tails, Position(2), "Sara's tail");
    let last = commit_snapshot(&bench, "sara", 30, "0.2.0");
    let needed = bench.journal.needed_from().unwrap().unwrap();
    assert!(needed > Position(40) && needed < last, "{needed:?}");
    remove(&bench, needed);
    let gone = before(&bench, "ali", "0.2.0").unwrap_err();
    assert!(matches!(gone, BeforeError::Removed(_)), "{gone}");
    assert_eq!(bench.journal.check(|_, _| {}).unwrap().findings, []);
}

pub(super) fn what_an_actor_was_before_can_be_had_where_the_groups_since_its_tail_stay(
    place: &dyn Place,
) {
    let bench = Bench::open(place);
    for seq in 1..=3 {
        commit_record(&bench, "omar", seq, "0.1.0");
    }
    commit_snapshot(&bench, "omar", 3, "0.1.0");
    let tails = come_over(&bench);
    assert_eq!(tails, Position(6), "Sara's, for she has no snapshot");
    assert_eq!(bench.journal.held_back(tails, 9).unwrap(), []);
    let behind = bench.journal.held_back(Position(7), 9).unwrap();
    assert_eq!(behind, [actor("sara")]);
    // Now nobody's replay needs anything before the end.
    commit_snapshot(&bench, "sara", 30, "0.2.0");
    commit_snapshot(&bench, "sara", 30, "0.2.0");
    commit_snapshot(&bench, "ali", 30, "0.2.0");
    let end = bench.journal.durable();
    assert_eq!(bench.journal.tails_from(), end);
    assert_eq!(bench.journal.needed_from().unwrap(), Some(end));
    remove(&bench, tails);
    let anchor = bench.journal.verify().unwrap().anchor.unwrap();
    assert_eq!(anchor.position, Position(5));
    let records = [of("0.1.0", 4..=5), of("0.2.0", 6..=30)].concat();
    let base = Some((3, "0.1.0".to_owned()));
    assert_eq!(before(&bench, "ali", "0.2.0").unwrap(), (base, records));
    let sara = [of("0.1.0", 1..=5), of("0.2.0", 6..=30)].concat();
    assert_eq!(before(&bench, "sara", "0.2.0").unwrap().1, sara);
    remove(&bench, end);
    let gone = before(&bench, "ali", "0.2.0").unwrap_err();
    assert!(matches!(gone, BeforeError::Removed(_)), "{gone}");
}

pub(super) fn timers_go_and_come_back_with_a_snapshot(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    let set = |name: &str, due_ms| (name.to_owned(), due_ms, Bytes::from_static(b"{}"));
    bench.commit(Rows {
        timers_set: vec![set("pledge", 50), set("close", 20)],
        ..of_record(record(&ali, 1))
    });
    bench.commit(Rows {
        timers_cancelled: vec!["pledge".into()],
        ..of_snapshot(snapshot(&ali, 1))
    });
    let names = |bench: &Bench| -> Vec<_> {
        let timers = bench.journal.timers_of(&ali).unwrap().into_iter();
        timers.map(|it| (it.name, it.version, it.due_ms)).collect()
    };
    let close = || ("close".to_owned(), version("0.1.0"), 20);
    assert_eq!(names(&bench), [close()]);
    let returned = CarriedTimer {
        name: "pledge".into(),
        due_ms: 50,
        version: version("0.3.0"),
        payload: Bytes::from_static(b"{\"n\":1}"),
    };
    let mut large = snapshot(&ali, 1);
    large.state = vec![1; 2 << 20].into();
    let mut pieces = crate::Pieces::new(large);
    while let Some(rows) = pieces.next() {
        pieces.appended(bench.commit(rows));
    }
    bench.commit(Rows {
        timers_returned: vec![returned],
        ..pieces.whole()
    });
    let pledge = ("pledge".to_owned(), version("0.3.0"), 50);
    assert_eq!(names(&bench), [close(), pledge], "in the shape that it has");
}
