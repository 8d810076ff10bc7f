//! Many actors read at once.

use super::place::Place;
use super::*;

pub(super) fn many_are_read_as_each_of_them_is(place: &dyn Place) {
    let bench = Bench::open(place);
    let actors: Vec<_> = (0..40).map(|n| actor(&format!("c{n:02}"))).collect();
    // Records of all between one another, some with a snapshot, some behind one.
    for seq in 1..=6 {
        for (n, actor) in actors.iter().enumerate() {
            if seq <= n as u64 % 7 {
                bench.append(of_record(record(actor, seq)), 0);
            }
            if n % 3 == 0 && seq == n as u64 % 7 {
                bench.append(of_snapshot(snapshot(actor, seq)), 0);
            }
        }
        let last = bench.append(Rows::default(), 1);
        while bench.next_done().position < last {}
    }
    let set_aside = Rows {
        quarantine: Some((actors[5].clone(), Some("why".to_owned()))),
        ..Rows::default()
    };
    bench.commit(set_aside);
    let journal = &bench.journal;
    let in_line = journal.in_line(actors.clone());
    assert_eq!(in_line.len(), actors.len());
    let many = journal.read_many(&in_line, usize::MAX).unwrap();
    assert_eq!(many.len(), actors.len());
    for (actor, stored) in in_line.iter().zip(&many) {
        assert_eq!(*stored, journal.read(actor).unwrap(), "{actor}");
    }
    assert!(many.iter().any(Option::is_none), "some do not exist");
    let set_aside = many.iter().flatten().filter(|it| it.quarantined.is_some());
    assert_eq!(set_aside.count(), 1);

    // No more than fit, and at least one.
    assert_eq!(journal.read_many(&in_line, 0).unwrap().len(), 1);
    let some = journal.read_many(&in_line, 1_000).unwrap();
    assert!((2..30).contains(&some.len()), "{}", some.len());
    assert_eq!(some, many[..some.len()]);
    assert_eq!(journal.read_many(&[], 0).unwrap(), []);
}

pub(super) fn what_actors_carry_is_read_without_their_records(place: &dyn Place) {
    let bench = Bench::open(place);
    let actors: Vec<_> = (0..9).map(|n| actor(&format!("c{n}"))).collect();
    for (n, actor) in actors.iter().enumerate() {
        bench.commit(of_record(record(actor, 1)));
        let mut snapshot = snapshot(actor, 1);
        if n % 3 == 1 {
            snapshot.carries.clear();
        }
        if n % 3 > 0 {
            bench.commit(of_snapshot(snapshot));
        }
    }
    bench.commit(of_record(record(&actors[2], 2)));
    let damaged = place.with_zeros("UPDATE groups SET body = $0");
    place.damage(&damaged);
    let journal = &bench.journal;
    assert!(journal.read(&actors[2]).is_err());
    let carries = journal.carries(&actors, usize::MAX).unwrap();
    let carried: Vec<_> = carries.iter().map(Vec::len).collect();
    assert_eq!(carried, [0, 0, 1, 0, 0, 1, 0, 0, 1]);
    assert_eq!(carries[2], snapshot(&actors[2], 1).carries);
    // No more than fit, and at least one: those without a snapshot take no room.
    assert_eq!(journal.carries(&actors, 0).unwrap(), carries[..2]);
    assert_eq!(journal.carries(&actors[1..], 0).unwrap(), carries[1..2]);
    assert!(journal.carries(&[], 0).unwrap().is_empty());
}
