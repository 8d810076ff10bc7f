//! Snapshots in pieces: valid by their last entry, whatever happens before it.

use std::sync::atomic::{AtomicBool, Ordering};

use host_model::limits::SNAPSHOT_PIECE_BYTES_MAX;

use super::failure::{Asked, Verdict};
use super::*;
use crate::{Lost, PieceId, Pieces};

/// A snapshot of so many pieces, whose bytes tell its sequence.
fn large(actor: &ActorId, seq: u64, pieces: usize) -> Snapshot {
    let mut large = snapshot(actor, seq);
    let bytes = (pieces - 1) * SNAPSHOT_PIECE_BYTES_MAX + 100;
    let seed = usize::try_from(seq).unwrap();
    large.state = (0..bytes)
        .map(|at| u8::try_from((at / 7 + seed) % 251).unwrap())
        .collect();
    large
}

/// Commits the next piece, if there is one.
fn step(bench: &Bench, pieces: &mut Pieces) -> Option<Position> {
    let position = bench.commit(pieces.next()?);
    pieces.appended(position);
    Some(position)
}

/// Commits a whole snapshot; the last of its positions.
fn commit(bench: &Bench, snapshot: Snapshot) -> Position {
    let mut pieces = Pieces::new(snapshot);
    while step(bench, &mut pieces).is_some() {}
    bench.commit(pieces.whole())
}

/// An actor with a record, then a large snapshot of it.
pub(super) fn with_large(bench: &Bench, key: &str, seq: u64, pieces: usize) -> Position {
    bench.commit(of_record(record(&actor(key), seq)));
    commit(bench, large(&actor(key), seq, pieces))
}

fn stray(bench: &Bench) -> Vec<PieceId> {
    let journal = &bench.journal;
    journal.stray_pieces(journal.durable(), 100).unwrap()
}

fn remove(bench: &Bench, pieces_removed: Vec<PieceId>) {
    bench.commit(Rows {
        pieces_removed,
        ..Rows::default()
    });
}

fn read(bench: &Bench, key: &str) -> Snapshot {
    let stored = bench.journal.read(&actor(key)).unwrap().unwrap();
    stored.snapshot.expect("it has a snapshot")
}

pub(super) fn a_large_snapshot_is_valid_by_its_last_entry_and_others_commit_between_its_pieces(
    place: &dyn Place,
) {
    let (ali, sara) = (actor("ali"), actor("sara"));
    let bench = Bench::open(place);
    bench.commit(of_record(record(&ali, 1)));
    bench.commit(of_snapshot(snapshot(&ali, 1)));
    bench.commit(of_record(record(&ali, 2)));
    let mut pieces = Pieces::new(large(&ali, 2, 3));
    for seq in 1..=3 {
        step(&bench, &mut pieces).unwrap();
        bench.commit(of_record(record(&sara, seq)));
        assert_eq!(bench.seqs(&ali), (Some(1), vec![2]), "not valid yet");
    }
    assert!(step(&bench, &mut pieces).is_none());
    let whole = bench.commit(pieces.whole());
    assert_eq!(bench.seqs(&ali), (Some(2), vec![]));
    assert_eq!(bench.journal.read(&ali).unwrap().unwrap().head, whole);
    bench.commit(of_record(record(&ali, 3)));

    let crashed = place.crashed();
    drop(bench);
    let bench = Bench::open(&*crashed);
    assert_eq!(bench.seqs(&ali), (Some(2), vec![3]));
    assert!(read(&bench, "ali") == large(&ali, 2, 3), "as it was");
    assert_eq!(bench.seqs(&sara), (None, vec![1, 2, 3]));
    assert_eq!(stray(&bench), []);
    assert_eq!(bench.journal.verify().unwrap().records, 6);
    assert_eq!(bench.journal.known(), 2);
}

pub(super) fn pieces_that_a_crash_left_are_read_by_no_one_and_are_removed(place: &dyn Place) {
    let ali = actor("ali");
    for written in 1..=3 {
        let place = place.another();
        let bench = Bench::open(&*place);
        with_large(&bench, "ali", 1, 2);
        bench.commit(of_record(record(&ali, 2)));
        let mut pieces = Pieces::new(large(&ali, 2, 3));
        for _ in 0..written {
            step(&bench, &mut pieces);
        }
        let crashed = place.crashed();
        drop(bench);
        let bench = Bench::open(&*crashed);
        assert_eq!(bench.seqs(&ali), (Some(1), vec![2]), "{written}");
        let left = stray(&bench);
        assert_eq!(left.len(), written);
        // The next one takes the place of no piece of it.
        let mut again = Pieces::new(large(&ali, 2, 3));
        step(&bench, &mut again);
        remove(&bench, left.clone());
        while step(&bench, &mut again).is_some() {}
        bench.commit(again.whole());
        assert!(read(&bench, "ali") == large(&ali, 2, 3), "as it was");
        assert_eq!(stray(&bench), []);
        // Again: does nothing.
        remove(&bench, left);
        assert!(read(&bench, "ali") == large(&ali, 2, 3), "as it was");
    }
}

pub(super) fn a_group_that_fails_between_two_pieces_leaves_the_snapshot_before(place: &dyn Place) {
    let ali = actor("ali");
    // At the second piece, and at the entry that would make it valid.
    for lost_at in [1, 3] {
        let place = place.another();
        let asked = Asked::open(&*place);
        let (bench, journal) = (&asked.bench, &asked.bench.journal);
        asked.commit(of_record(record(&ali, 1)));
        asked.commit(of_snapshot(snapshot(&ali, 1)));
        let mut pieces = Pieces::new(large(&ali, 1, 3));
        for _ in 0..lost_at {
            let position = asked.commit(pieces.next().unwrap());
            pieces.appended(position);
        }
        let next = pieces.next().unwrap_or_else(|| pieces.whole());
        let position = bench.append(next, 1);
        asked.group_in_store();
        asked.decide(Verdict::FailBefore);
        assert!(matches!(bench.next_done().result, Err(Lost::NotApplied(_))));
        assert!(journal.was_lost(position, crate::Incarnation(0)));
        assert!(read(bench, "ali") == snapshot(&ali, 1), "as it was");
        assert_eq!(stray(bench).len(), lost_at);
        asked.commit(of_record(record(&ali, 2)));
        assert_eq!(bench.seqs(&ali), (Some(1), vec![2]));
    }
}

pub(super) fn a_fenced_owner_writes_no_piece_and_makes_none_valid(place: &dyn Place) {
    let ali = actor("ali");
    for written in [0, 2] {
        let place = place.another();
        let bench = Bench::open(&*place);
        bench.commit(of_record(record(&ali, 1)));
        let mut pieces = Pieces::new(large(&ali, 1, 2));
        for _ in 0..written {
            step(&bench, &mut pieces);
        }
        place.sql("UPDATE store SET epoch = epoch + 1");
        let before = place.dump();
        bench.append(pieces.next().unwrap_or_else(|| pieces.whole()), 1);
        let error = bench.next_done().result.unwrap_err().to_string();
        assert!(error.contains("taken the store over"), "{error}");
        assert_eq!(place.dump(), before);
        assert!(bench.journal.is_closed() && bench.journal.must_look());
    }
}

pub(super) fn a_snapshot_that_lacks_a_piece_never_becomes_valid(place: &dyn Place) {
    let ali = actor("ali");
    let bench = Bench::open(place);
    bench.commit(of_record(record(&ali, 1)));
    let mut pieces = Pieces::new(large(&ali, 1, 3));
    while step(&bench, &mut pieces).is_some() {}
    place.sql("DELETE FROM snapshot_pieces WHERE idx = 1");
    bench.append(pieces.whole(), 1);
    let error = bench.next_done().result.unwrap_err();
    assert!(matches!(&error, Lost::NotApplied(_)), "{error}");
    assert!(error.to_string().contains("pieces"), "{error}");
    assert_eq!(bench.seqs(&ali), (None, vec![1]));
    bench.commit(of_record(record(&ali, 2)));
}

pub(super) fn pieces_of_a_replaced_snapshot_are_stray_and_those_of_a_kept_one_stay(
    place: &dyn Place,
) {
    let bench = Bench::open(place);
    with_large(&bench, "ali", 1, 3);
    with_large(&bench, "ali", 2, 2);
    let needed = bench.journal.needed_from().unwrap().unwrap();
    assert_eq!(stray(&bench), [], "two are kept");
    let all: Vec<PieceId> = [(2, 3), (7, 2)]
        .into_iter()
        .flat_map(|(first, count)| (0..count).map(move |index| (first, index)))
        .map(|(first, index)| PieceId {
            first: Position(first),
            index,
        })
        .collect();
    remove(&bench, all);
    assert!(
        read(&bench, "ali") == large(&actor("ali"), 2, 2),
        "as it was"
    );

    let last = with_large(&bench, "ali", 3, 2);
    let gone = stray(&bench);
    assert_eq!(gone.len(), 3, "the oldest has been replaced");
    assert!(gone.iter().all(|piece| piece.first == Position(2)));
    assert_eq!(
        bench.journal.stray_pieces(Position(1), 9).unwrap(),
        [],
        "begun behind that"
    );
    assert_eq!(bench.journal.stray_pieces(last, 2).unwrap(), gone[..2]);
    remove(&bench, gone);
    assert_eq!(stray(&bench), []);
    assert!(bench.journal.needed_from().unwrap().unwrap() > needed);
    assert!(
        read(&bench, "ali") == large(&actor("ali"), 3, 2),
        "as it was"
    );
}

pub(super) fn who_reads_while_snapshots_are_replaced_sees_a_whole_one(place: &dyn Place) {
    let bench = Bench::open(place);
    with_large(&bench, "ali", 1, 3);
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let journal = &bench.journal;
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !ended.load(Ordering::Acquire) {
                let stored = journal.read(&actor("ali")).unwrap().unwrap();
                let snapshot = stored.snapshot.unwrap();
                assert!(snapshot == large(&actor("ali"), snapshot.seq, 3), "whole");
                assert!(snapshot.seq >= seen);
                seen = snapshot.seq;
            }
        });
        for seq in 2..=12 {
            with_large(&bench, "ali", seq, 3);
            remove(&bench, stray(&bench));
        }
        ended.store(true, Ordering::Release);
        reader.join().unwrap();
    });
}

pub(super) fn each_damage_of_a_piece_is_named(place: &dyn Place) {
    for (damage, problem) in [
        (
            "DELETE FROM snapshot_pieces WHERE idx = 1",
            "piece 2 of 3 (first at 2) is missing",
        ),
        (
            "UPDATE snapshot_pieces SET body = substr(body, 1, 100) WHERE idx = 2",
            "piece 3 of 3 (first at 2) is damaged: its checksum",
        ),
        (
            "UPDATE snapshot_pieces SET body = substr(body, 1, 3) WHERE idx = 0",
            "piece 1 of 3 (first at 2) is damaged: it is too short",
        ),
        (
            "UPDATE snapshot_pieces SET body =
             (SELECT body FROM snapshot_pieces AS it WHERE it.idx = 0) WHERE idx = 1",
            "piece 2 of 3 (first at 2) holds the bytes of piece 1 of 3",
        ),
        (
            "UPDATE snapshots SET body = substr(body, 1, 20)",
            "its checksum does not hold",
        ),
    ] {
        let place = place.another();
        let bench = Bench::open(&*place);
        with_large(&bench, "ali", 1, 3);
        drop(bench);
        place.sql(damage);
        let before = place.dump();
        let bench = Bench::open(&*place);
        let Err(error) = bench.journal.read(&actor("ali")) else {
            panic!("{damage}: it is read");
        };
        let error = error.to_string();
        assert!(
            error.contains("the snapshot of donations:ali at position 5"),
            "{error}"
        );
        assert!(error.contains(problem), "{damage}: {error}");
        if let Ok(checked) = bench.journal.check(|_, _| {}) {
            let found = checked.findings;
            assert_eq!(found.len(), 1, "{damage}: {found:?}");
            assert_eq!(found[0].what, "the snapshot of donations:ali at position 5");
            assert!(found[0].problem.contains(problem), "{damage}: {found:?}");
        }
        assert_eq!(place.dump(), before, "{damage}");
    }
}
