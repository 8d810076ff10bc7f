//! What an actor has done since: for a client that was away.

use host_model::limits::{RESUME_BYTES_MAX, RESUME_COMMANDS_MAX};

use super::*;
use crate::{NotHad, Since};

fn since(bench: &Bench, key: &str, after: u64) -> Since {
    bench.journal.since(&actor(key), after).unwrap()
}

fn seqs(since: &Since) -> Vec<u64> {
    let records = since.records.as_ref().unwrap().iter();
    records.map(|record| record.seq).collect()
}

pub(super) fn records_are_had_over_snapshots_and_a_start(place: &dyn Place) {
    let mut bench = Bench::open(place);
    for seq in 1..=9 {
        bench.commit(of_record(record(&actor("ali"), seq)));
        bench.commit(of_record(record(&actor("sara"), seq)));
        if seq % 3 == 0 {
            bench.commit(of_snapshot(snapshot(&actor("ali"), seq)));
        }
    }
    for _ in 0..2 {
        for after in 0..=9 {
            let ali = since(&bench, "ali", after);
            assert_eq!((ali.through, seqs(&ali)), (9, (after + 1..=9).collect()));
            assert_eq!(seqs(&since(&bench, "sara", after)), seqs(&ali));
        }
        drop(bench);
        bench = Bench::open(place);
    }
    let ahead = since(&bench, "ali", 10);
    assert_eq!((ahead.through, seqs(&ahead)), (9, vec![]));
    let nobody = since(&bench, "nobody", 0);
    assert_eq!((nobody.through, seqs(&nobody)), (0, vec![]));
}

pub(super) fn too_many_are_too_many_and_so_are_too_large_ones(place: &dyn Place) {
    let bench = Bench::open(place);
    for seq in 1..=RESUME_COMMANDS_MAX + 1 {
        bench.commit(of_record(record(&actor("ali"), seq)));
    }
    assert_eq!(since(&bench, "ali", 0).records, Err(NotHad::TooMany));
    assert_eq!(
        seqs(&since(&bench, "ali", 1)).len() as u64,
        RESUME_COMMANDS_MAX
    );
    let effects = vec![b'x'; RESUME_BYTES_MAX / 2 + 1].into();
    let large = Record {
        effects,
        ..record(&actor("sara"), 1)
    };
    bench.commit(of_record(large.clone()));
    assert_eq!(seqs(&since(&bench, "sara", 0)), [1]);
    bench.commit(of_record(Record { seq: 2, ..large }));
    assert_eq!(since(&bench, "sara", 0).records, Err(NotHad::TooMany));
    assert_eq!(seqs(&since(&bench, "sara", 1)), [2]);
}
