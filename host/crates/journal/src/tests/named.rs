//! The versions that a store names.

use super::*;
use crate::named::Versions;
use crate::{DeadLetter, DeadLetterKind, Letter, Origin};

pub(super) fn where_actors_stand_is_counted(place: &dyn Place) {
    let bench = Bench::open(place);
    for key in ["a", "b", "c", "d"] {
        bench.commit(of_record(record(&actor(key), 1)));
    }
    // The last one counts, and the carry of the one before is gone with it.
    bench.commit(of_snapshot(snapshot(&actor("b"), 1)));
    bench.commit(of_snapshot(Snapshot {
        version: version("0.3.0"),
        carries: Vec::new(),
        ..snapshot(&actor("b"), 1)
    }));
    // A record behind a snapshot says which version has it; the carry lies there still.
    bench.commit(of_snapshot(snapshot(&actor("c"), 1)));
    bench.commit(of_record(record(&actor("c"), 2)));
    let named = bench.journal.named().unwrap();
    let standing = named.standing.iter().map(|(place, count)| {
        let carried: Vec<_> = place.carried.iter().map(ToString::to_string).collect();
        (place.version.to_string(), carried.join(" "), *count)
    });
    let expected = [("0.1.0", "", 2), ("0.1.0", "0.2.0", 1), ("0.3.0", "", 1)];
    let expected = expected.map(|(of, carried, count)| (of.to_owned(), carried.to_owned(), count));
    assert_eq!(standing.collect::<Vec<_>>(), expected);
    let all = ["0.1.0", "0.2.0", "0.3.0"].map(|it| ("donations".to_owned(), version(it)));
    assert_eq!(named.kept, [all[1].clone(), all[2].clone()].into());
    assert_eq!(named.carried, [all[1].clone()].into());
    assert_eq!(named.needed, all.into());
    assert_eq!((named.waiting.len(), named.letters.len()), (0, 0));
}

pub(super) fn messages_that_wait_are_named_with_the_version_of_their_shape(place: &dyn Place) {
    let bench = Bench::open(place);
    let at = |of: &str| Record {
        version: version(of),
        ..record(&actor("ali"), 1)
    };
    bench.commit(Rows {
        timers_set: vec![("close".to_owned(), i64::MAX, Bytes::new())],
        ..of_record(at("0.1.0"))
    });
    let letter = Letter {
        from: actor("ali"),
        to: "zakat:sara".parse().unwrap(),
        version: version("0.2.0"),
        event: "pay".into(),
        payload: Bytes::new(),
        hops: 1,
    };
    bench.commit(Rows {
        casts: vec![letter],
        ..Rows::default()
    });
    let dead = |kind, shape: Option<&str>| Rows {
        dead_letter: Some(DeadLetter {
            kind,
            actor: actor("ali"),
            version: version("0.3.0"),
            event: "pay".into(),
            payload: Bytes::new(),
            reason: "panic".into(),
            message: "it panicked".into(),
            time_ms: 7,
            origin: Origin {
                shape: shape.map(version),
                ..Origin::default()
            },
        }),
        ..Rows::default()
    };
    bench.commit(dead(DeadLetterKind::Cast, Some("0.2.0")));
    bench.commit(dead(DeadLetterKind::Timer, None));
    bench.commit(dead(DeadLetterKind::Outbox, Some("0.9.0")));
    let names = |all: [(&str, &str); 2]| {
        let names = all.map(|(plugin, of)| (plugin.to_owned(), version(of)));
        Versions::from(names)
    };
    let waiting = names([("donations", "0.1.0"), ("zakat", "0.2.0")]);
    let named = bench.journal.named().unwrap();
    assert_eq!(named.waiting, waiting);
    let letters = names([("donations", "0.2.0"), ("donations", "0.3.0")]);
    assert_eq!(named.letters, letters);
    assert_eq!(place.archive().unwrap().waiting().unwrap(), waiting);
}
