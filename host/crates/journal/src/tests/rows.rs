//! What is appended is what is read.

use std::collections::HashSet;

use bytes::Bytes;

use super::*;
use crate::{CastId, Consumed, DeadLetter, DeadLetterKind, Letter, Origin, RefusedReason};

pub(super) fn entries_end_in_order_and_are_read_back(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    assert_eq!(bench.journal.read(&ali).unwrap(), None);
    let positions: Vec<_> = (1..=500)
        .map(|seq| bench.append(of_record(record(&ali, seq)), seq))
        .collect();
    for (token, position) in (1..).zip(&positions) {
        let done = bench.next_done();
        assert_eq!((done.position, done.token), (*position, token));
        assert_eq!(done.result, Ok(()));
        assert!(bench.journal.durable() >= *position);
    }
    let stored = bench.journal.read(&ali).unwrap().unwrap();
    let expected: Vec<_> = (1..=500).map(|seq| record(&ali, seq)).collect();
    assert_eq!(stored.tail, expected);
    assert_eq!(stored.head, positions[499]);
    assert_eq!(bench.journal.known(), 1);
    let stats = bench.journal.stats();
    assert_eq!((stats.records, stats.undurable_bytes), (500, 0));
    assert!(bench.journal.admit().is_ok());
}

pub(super) fn a_snapshot_takes_the_place_of_the_records_it_includes(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    for seq in 1..=3 {
        bench.commit(of_record(record(&ali, seq)));
    }
    assert!(bench.journal.tail_bytes(&ali) > 0);
    assert_eq!(bench.journal.oldest_tails(0, 9), vec![ali.clone()]);
    let at = bench.commit(of_snapshot(snapshot(&ali, 3)));
    let stored = bench.journal.read(&ali).unwrap().unwrap();
    assert_eq!(stored.snapshot, Some(snapshot(&ali, 3)));
    assert_eq!((stored.tail, stored.head), (Vec::new(), at));
    assert_eq!(
        (bench.journal.tail_bytes(&ali), bench.journal.tail_span()),
        (0, 0)
    );

    bench.commit(of_record(record(&ali, 4)));
    assert_eq!(bench.seqs(&ali), (Some(3), vec![4]));
    // Both in one entry, as when a migration follows the command.
    bench.commit(Rows {
        snapshot: Some(snapshot(&ali, 5)),
        ..of_record(record(&ali, 5))
    });
    assert_eq!(bench.seqs(&ali), (Some(5), vec![]));
    // Of two snapshots at one sequence the later rules.
    let mut older = snapshot(&ali, 5);
    older.version = version("0.1.0");
    bench.commit(of_snapshot(older.clone()));
    let stored = bench.journal.read(&ali).unwrap().unwrap();
    assert_eq!(stored.snapshot, Some(older));
    assert_eq!(bench.journal.known(), 1);
}

pub(super) fn actors_are_listed_in_order_with_the_version_of_their_state(place: &dyn Place) {
    let bench = Bench::open(place);
    let zakat: ActorId = "zakat:ali".parse().unwrap();
    bench.commit(of_record(record(&zakat, 1)));
    for key in ["c", "a", "b", "d"] {
        bench.commit(of_record(record(&actor(key), 1)));
    }
    bench.commit(of_snapshot(snapshot(&actor("b"), 1)));
    bench.commit(of_snapshot(snapshot(&actor("c"), 1)));
    bench.commit(of_record(record(&actor("c"), 2)));
    bench.commit(of_snapshot(snapshot(&actor("e"), 0)));
    let list = |plugin, after: Option<&ActorId>, limit| -> Vec<(String, u64, String)> {
        let listed = bench.journal.list(plugin, after, limit).unwrap();
        listed
            .into_iter()
            .map(|it| (it.id.key().to_owned(), it.seq, it.version.to_string()))
            .collect()
    };
    let all: Vec<_> = [
        ("a", 1, "0.1.0"),
        ("b", 1, "0.2.0"),
        ("c", 2, "0.1.0"),
        ("d", 1, "0.1.0"),
        ("e", 0, "0.2.0"),
    ]
    .map(|(key, seq, version)| (key.to_owned(), seq, version.to_owned()))
    .to_vec();
    assert_eq!(list("donations", None, 99), all);
    assert_eq!(list("donations", None, 2), all[..2]);
    assert_eq!(list("donations", Some(&actor("b")), 2), all[2..4]);
    assert_eq!(list("", Some(&actor("d")), 9)[1].0, "ali");
    assert_eq!(list("zakat", Some(&actor("d")), 9).len(), 1);
    assert_eq!(list("don", None, 9), []);
    assert_eq!(bench.journal.known(), 6);

    // Those with a tail alone, with both, and with a snapshot alone; and one that is not.
    let asked = ["a", "c", "e", "nobody"].map(actor);
    let exist = bench.journal.exist(&asked).unwrap();
    assert_eq!(exist, asked[..3].iter().cloned().collect());

    // A pass comes by all of them as well, those with a tail and a snapshot twice.
    let mut pass = bench.journal.pass("donations");
    let mut seen = Vec::new();
    loop {
        let page = pass.next_page(2).unwrap();
        if page.is_empty() {
            break;
        }
        let page = page.into_iter();
        seen.extend(page.map(|it| (it.id.key().to_owned(), it.seq, it.version.to_string())));
    }
    assert_eq!(seen.len(), all.len() + 1);
    seen.sort();
    seen.dedup();
    assert_eq!(seen, all);
}

pub(super) fn casts_are_used_up_once(place: &dyn Place) {
    let bench = Bench::open(place);
    let (ali, sara) = (actor("ali"), actor("sara"));
    let letter = |event: &str| Letter {
        from: ali.clone(),
        to: sara.clone(),
        version: version("0.1.0"),
        event: event.into(),
        payload: Bytes::from_static(b"{}"),
        hops: 1,
    };
    let position = bench.commit(Rows {
        casts: vec![letter("pay"), letter("thank")],
        ..of_record(record(&ali, 1))
    });
    let casts = bench.journal.casts(None, 9).unwrap();
    let first = CastId { position, index: 0 };
    assert_eq!((casts[0].id, &casts[0].letter), (first, &letter("pay")));
    assert_eq!(casts[1].letter, letter("thank"));
    assert_eq!(bench.journal.casts(Some(first), 9).unwrap(), casts[1..]);

    let consuming = |seq| Rows {
        consumed: Some(Consumed::Cast(first)),
        ..of_record(record(&sara, seq))
    };
    bench.commit(consuming(1));
    assert_eq!(bench.journal.casts(None, 9).unwrap(), casts[1..]);
    bench.append(consuming(2), 0);
    let error = bench.next_done().result.unwrap_err().to_string();
    assert!(error.contains("a second time"), "{error}");
    assert_eq!(bench.seqs(&sara), (None, vec![1]));
}

pub(super) fn timers_are_replaced_cancelled_and_used_up(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    let set = |name: &str, due_ms| (name.to_owned(), due_ms, Bytes::from_static(b"{}"));
    let first = bench.commit(Rows {
        timers_set: vec![set("remind", 50), set("close", 20)],
        ..of_record(record(&ali, 1))
    });
    let due = bench.journal.timers_due(50, None, 9).unwrap();
    let names: Vec<_> = due.iter().map(|timer| timer.name.as_str()).collect();
    assert_eq!(names, ["close", "remind"]);
    assert_eq!(
        (due[0].set_at, due[0].version.clone()),
        (first, version("0.1.0"))
    );
    assert_eq!(bench.journal.timers_due(49, None, 9).unwrap(), due[..1]);
    assert_eq!(bench.journal.next_timer().unwrap(), Some(20));

    // The one that fires was replaced meanwhile: the new one stays.
    let second = bench.commit(Rows {
        timers_cancelled: vec!["remind".into()],
        timers_set: vec![set("close", 90)],
        ..of_record(record(&ali, 2))
    });
    let fired = |set_at| {
        Some(Consumed::Timer {
            actor: ali.clone(),
            name: "close".into(),
            set_at,
        })
    };
    bench.commit(Rows {
        consumed: fired(first),
        ..of_record(record(&ali, 3))
    });
    let left = bench.journal.timers_of(&ali).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].set_at, left[0].due_ms), (second, 90));
    let one = |name| bench.journal.timer(&ali, name).unwrap();
    assert_eq!((one("close").as_ref(), one("remind")), (left.first(), None));
    let both = [ali.as_str(), "zakat:nobody"];
    let timed = bench.journal.with_timers(&both).unwrap();
    assert_eq!(
        timed,
        (HashSet::from([ali.clone()]), bench.journal.durable())
    );
    bench.commit(Rows {
        consumed: fired(second),
        ..of_record(record(&ali, 4))
    });
    assert_eq!(bench.journal.next_timer().unwrap(), None);
    assert!(bench.journal.with_timers(&both).unwrap().0.is_empty());
}

pub(super) fn what_a_group_writes_and_uses_up_itself_comes_to_nothing(place: &dyn Place) {
    let bench = Bench::open(place);
    let (ali, sara) = (actor("ali"), actor("sara"));
    let letter = Letter {
        from: ali.clone(),
        to: sara.clone(),
        version: version("0.1.0"),
        event: "pay".into(),
        payload: Bytes::from_static(b"{}"),
        hops: 1,
    };
    let set = |name: &str| vec![(name.to_owned(), 10, Bytes::new())];
    let value = |value: Option<&'static [u8]>| vec![("v".to_owned(), value.map(Bytes::from))];
    // One that is in the store holds the writer up, so that the others make one group.
    bench.append(of_record(record(&ali, 1)), 1);
    let position = bench.append(
        Rows {
            casts: vec![letter.clone(), letter],
            timers_set: set("close"),
            values: value(Some(b"first")),
            quarantine: Some((sara.clone(), Some("a fault".to_owned()))),
            ..of_record(record(&ali, 2))
        },
        2,
    );
    let first = CastId { position, index: 0 };
    bench.append(
        Rows {
            consumed: Some(Consumed::Cast(first)),
            timers_set: set("remind"),
            values: value(None),
            quarantine: Some((sara.clone(), None)),
            ..of_record(record(&sara, 1))
        },
        3,
    );
    bench.append(
        Rows {
            consumed: Some(Consumed::Timer {
                actor: ali.clone(),
                name: "close".into(),
                set_at: position,
            }),
            timers_cancelled: vec!["close".into()],
            ..of_record(record(&ali, 3))
        },
        4,
    );
    bench.append(
        Rows {
            snapshot: Some(snapshot(&ali, 4)),
            timers_set: set("close"),
            values: value(Some(b"last")),
            ..of_record(record(&ali, 4))
        },
        5,
    );
    for token in 1..=5 {
        let done = bench.next_done();
        assert_eq!((done.token, done.result), (token, Ok(())));
    }
    let journal = &bench.journal;
    let casts = journal.casts(None, 9).unwrap();
    let left: Vec<_> = casts.iter().map(|row| row.id.index).collect();
    assert_eq!(left, [1]);
    let timers = journal.timers_of(&ali).unwrap();
    assert_eq!(timers.len(), 1);
    assert!(timers[0].set_at > position);
    assert_eq!(journal.timers_of(&sara).unwrap().len(), 1);
    assert_eq!(journal.quarantined().unwrap(), []);
    let value = journal.value("v").unwrap();
    assert_eq!(value, Some(Bytes::from_static(b"last")));
    assert_eq!(bench.seqs(&ali), (Some(4), vec![]));
}

pub(super) fn dead_letters_quarantine_and_values_are_kept(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    let letter = DeadLetter {
        kind: DeadLetterKind::Cast,
        actor: ali.clone(),
        version: version("0.1.0"),
        event: "pay".into(),
        payload: Bytes::from_static(b"{}"),
        reason: "panic".into(),
        message: "it panicked".into(),
        time_ms: 7,
        origin: Origin {
            principal: "actor:donations:sara".into(),
            ..Origin::default()
        },
    };
    let reason = Some("three faults".to_owned());
    bench.commit(Rows {
        dead_letter: Some(letter.clone()),
        quarantine: Some((ali.clone(), reason.clone())),
        values: vec![
            ("upgrade/1".into(), Some(Bytes::from_static(b"planned"))),
            ("upgrade/2".into(), Some(Bytes::from_static(b"planned"))),
            ("v".into(), Some(Bytes::new())),
        ],
        ..of_record(record(&ali, 1))
    });
    assert_eq!(bench.journal.dead_letter(1).unwrap(), Some(letter.clone()));
    assert_eq!(bench.journal.dead_letter(2).unwrap(), None);
    assert_eq!(bench.journal.dead_letters(0, 9).unwrap(), [(1, letter)]);
    assert_eq!(bench.journal.quarantined().unwrap()[0].0, ali);
    assert_eq!(
        bench.journal.read(&ali).unwrap().unwrap().quarantined,
        reason
    );
    assert_eq!(bench.journal.values("upgrade/").unwrap().len(), 2);

    bench.commit(Rows {
        consumed: Some(Consumed::DeadLetter(1)),
        quarantine: Some((ali.clone(), None)),
        values: vec![("upgrade/1".into(), None)],
        ..Rows::default()
    });
    assert_eq!(bench.journal.dead_letters(0, 9).unwrap(), []);
    assert_eq!(bench.journal.quarantined().unwrap(), []);
    assert_eq!(bench.journal.value("upgrade/1").unwrap(), None);
    assert_eq!(bench.journal.value("v").unwrap(), Some(Bytes::new()));
}

/// An upgrade asks before it begins, and must not read the whole store for it.
#[test]
fn how_much_a_snapshot_of_everyone_takes_is_told_by_a_sample() {
    let bench = Bench::open(&Sqlite::new());
    let told = || bench.journal.snapshot_bytes().unwrap().unwrap();
    assert_eq!(told(), 0);
    let (mut bytes, mut commits) = (0, 0);
    for version in ["0.1.0", "0.2.0"] {
        for key in 0..2_000 {
            let mut snapshot = snapshot(&actor(&format!("c{key}")), 1);
            snapshot.version = version.parse().unwrap();
            snapshot.state = noise(1_000 + key * 7_919 % 2_000, 7);
            bytes += snapshot.state.len() as u64;
            let record = record(&snapshot.actor, 1);
            let rows = Rows {
                // An actor begins with a record.
                record: (version == "0.1.0").then_some(record),
                ..of_snapshot(snapshot)
            };
            bench.append(rows, commits);
            commits += 1;
        }
    }
    for _ in 0..commits {
        bench.next_done().result.unwrap();
    }
    // One of the two of each; what stands around a state has some hundred bytes.
    let least = bytes / 2;
    let (low, high) = (least * 95 / 100, least * 120 / 100);
    assert!((low..high).contains(&told()), "{} of {least}", told());
}

pub(super) fn the_whole_journal_is_verified_and_exported(place: &dyn Place) {
    let bench = Bench::open(place);
    assert_eq!(bench.journal.verify().unwrap().groups, 0);
    for seq in 1..=40 {
        bench.commit(of_record(record(&actor("ali"), seq)));
    }
    let last = bench.commit(of_record(record(&actor("sara"), 1)));
    bench.commit(of_snapshot(snapshot(&actor("ali"), 40)));
    let verified = bench.journal.verify().unwrap();
    assert_eq!(
        (verified.groups, verified.records, verified.last),
        (41, 41, last)
    );

    let (mut exported, mut after) = (Vec::new(), Position(0));
    loop {
        let records = bench.journal.records(after, 7).unwrap();
        let Some((last, _)) = records.last() else {
            break;
        };
        after = *last;
        exported.extend(records);
    }
    assert_eq!(exported.len(), 41);
    assert_eq!(exported[9], (Position(10), record(&actor("ali"), 10)));
}

pub(super) fn close_commits_what_is_in_the_line_and_refuses_the_rest(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    for seq in 1..=2_500 {
        bench.append(of_record(record(&ali, seq)), seq);
    }
    bench.append(Rows::default(), 2_501);
    bench.journal.close();
    bench.journal.close();
    let done: Vec<_> = bench.done.try_iter().collect();
    assert_eq!(done.len(), 2_501);
    assert!(done.iter().all(|done| done.result.is_ok()));
    let entry = Entry {
        incarnation: bench.journal.incarnation(),
        rows: Rows::default(),
        token: 7,
    };
    let refused = bench.journal.append(entry).unwrap_err();
    assert_eq!((refused.reason, refused.token), (RefusedReason::Closed, 7));
    assert!(bench.journal.admit().is_err());
    assert_eq!(bench.seqs(&ali).1.len(), 2_500);
}
