//! Callers and readers at once: what is read is whole, and never goes back.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

const RECORDS: u64 = 400;
const CALLERS: [&str; 4] = ["ali", "sara", "omar", "mariam"];

pub(super) fn readers_see_whole_actors_while_callers_append_and_snapshot(place: &dyn Place) {
    let bench = Bench::open(place);
    let (journal, at_work) = (&bench.journal, AtomicUsize::new(CALLERS.len()));
    std::thread::scope(|scope| {
        for key in CALLERS {
            let at_work = &at_work;
            scope.spawn(move || {
                for seq in 1..=RECORDS {
                    let mut rows = of_record(record(&actor(key), seq));
                    rows.snapshot = (seq % 7 == 0).then(|| snapshot(&actor(key), seq));
                    append_and_wait(journal, rows);
                }
                at_work.fetch_sub(1, Ordering::Relaxed);
            });
        }
        let mut seen = [0; CALLERS.len()];
        while at_work.load(Ordering::Relaxed) > 0 {
            for (key, seen) in CALLERS.iter().zip(&mut seen) {
                let seq = whole(journal, &actor(key));
                assert!(seq >= *seen, "{key} went back from {seen} to {seq}");
                *seen = seq;
            }
        }
    });
    for key in CALLERS {
        assert_eq!(whole(journal, &actor(key)), RECORDS);
    }
    assert_eq!(
        journal.verify().unwrap().records,
        RECORDS * CALLERS.len() as u64
    );
    assert_eq!(bench.done.try_iter().count(), journal.durable().0 as usize);
}

fn append_and_wait(journal: &Journal<u64>, rows: Rows) {
    let entry = Entry {
        incarnation: journal.incarnation(),
        rows,
        token: 0,
    };
    let position = journal.append(entry).unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    while journal.durable() < position {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
}

/// The sequence of an actor that is read, after a look at its tail.
fn whole(journal: &Journal<u64>, actor: &ActorId) -> u64 {
    let Some(stored) = journal.read(actor).unwrap() else {
        return 0;
    };
    let covered = stored.snapshot.map_or(0, |snapshot| snapshot.seq);
    for (record, seq) in stored.tail.iter().zip(covered + 1..) {
        assert_eq!(record.seq, seq);
    }
    covered + stored.tail.len() as u64
}
