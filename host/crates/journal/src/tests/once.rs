//! Rows that make something happen once, or at least once: answers and webhooks.

use bytes::Bytes;
use host_model::limits::ANSWERS_STEP_MAX;

use super::*;
use crate::{AnswerKey, Consumed, KeptAnswer, OutboxChange, OutboxId, TimerMark, Tried, Webhook};

pub(super) fn key(text: &str) -> AnswerKey {
    AnswerKey {
        actor: actor("ali"),
        event: "donate".into(),
        principal: "sara".into(),
        key: text.into(),
    }
}

pub(super) fn answer(time_ms: i64) -> KeptAnswer {
    KeptAnswer {
        digest: [3; 32],
        reply: Bytes::from_static(b"{\"receipt_no\":1}"),
        seq: 1,
        time_ms,
    }
}

pub(super) fn webhook(url: &str) -> Webhook {
    Webhook {
        actor: actor("ali"),
        version: version("0.1.0"),
        name: "thanks".into(),
        url: url.into(),
        body: Bytes::from_static(b"{}"),
    }
}

fn answered(seq: u64, text: &str, time_ms: i64) -> Rows {
    Rows {
        answer: Some(Box::new((key(text), answer(time_ms)))),
        ..of_record(record(&actor("ali"), seq))
    }
}

pub(super) fn an_answer_is_there_with_its_record_and_only_under_its_own_key(place: &dyn Place) {
    let bench = Bench::open(place);
    bench.commit(answered(1, "k", 70));
    assert_eq!(bench.journal.answer(&key("k")).unwrap(), Some(answer(70)));
    let others: [fn(&mut AnswerKey); 4] = [
        |key| key.actor = actor("sara"),
        |key| key.event = "refund".into(),
        |key| key.principal = String::new(),
        |key| key.key = "K".into(),
    ];
    for change in others {
        let mut other = key("k");
        change(&mut other);
        assert_eq!(bench.journal.answer(&other).unwrap(), None, "{other:?}");
    }
    bench.journal.close();
    drop(bench);
    let bench = Bench::open(place);
    assert_eq!(bench.journal.answer(&key("k")).unwrap(), Some(answer(70)));

    // Executed twice: nothing of it is kept.
    bench.append(answered(2, "k", 71), 2);
    let error = bench.next_done().result.unwrap_err().to_string();
    assert!(error.contains("a second time"), "{error}");
    assert_eq!(bench.seqs(&actor("ali")), (None, vec![1]));
}

pub(super) fn answers_are_forgotten_a_few_at_a_time_the_oldest_first(place: &dyn Place) {
    let bench = Bench::open(place);
    let many = u64::try_from(ANSWERS_STEP_MAX).unwrap() + 2;
    for seq in 1..=many {
        bench.append(answered(seq, &seq.to_string(), seq.cast_signed()), seq);
    }
    for _ in 1..=many {
        bench.next_done().result.unwrap();
    }
    assert_eq!(bench.journal.oldest_answer().unwrap(), Some(1));
    let step = |before_ms| Rows {
        answers_before_ms: Some(before_ms),
        ..Rows::default()
    };
    bench.commit(step(many.cast_signed()));
    let left = bench.journal.oldest_answer().unwrap();
    assert_eq!(left, Some(many.cast_signed() - 1));
    bench.commit(step(many.cast_signed()));
    let left = bench.journal.oldest_answer().unwrap();
    assert_eq!(left, Some(many.cast_signed()));
    assert_eq!(bench.journal.answer(&key("1")).unwrap(), None);
}

pub(super) fn a_webhook_waits_until_it_is_taken_and_is_due_in_order(place: &dyn Place) {
    let bench = Bench::open(place);
    let journal = &bench.journal;
    let position = bench.commit(Rows {
        outbox: vec![webhook("https://a/"), webhook("https://b/")],
        ..of_record(record(&actor("ali"), 1))
    });
    let id = |index| OutboxId { position, index };
    let rows = journal.outbox(None, 9).unwrap();
    assert_eq!(
        (rows[0].id, rows[1].id, &*rows[1].url),
        (id(0), id(1), "https://b/")
    );
    assert_eq!(journal.outbox(Some(id(0)), 9).unwrap(), rows[1..]);
    let due_ms = rows[0].tried.due_ms;
    assert_eq!(journal.next_outbox().unwrap(), Some(due_ms));
    assert_eq!(journal.outbox_due(due_ms - 1, None, 9).unwrap(), []);
    assert_eq!(journal.outbox_due(due_ms, None, 9).unwrap(), rows);

    // The first has failed once, and is due behind the other one.
    let tried = Tried {
        attempts: 1,
        due_ms: due_ms + 5,
        error: "refused".into(),
    };
    bench.commit(Rows {
        outbox_change: Some(OutboxChange::Tried(id(0), tried.clone())),
        ..Rows::default()
    });
    let due = journal.outbox_due(due_ms + 5, None, 9).unwrap();
    assert_eq!((due[0].id, due[1].id), (id(1), id(0)));
    assert_eq!(due[1].tried, tried);
    let behind = Some((due_ms, id(1)));
    assert_eq!(journal.outbox_due(due_ms + 5, behind, 9).unwrap(), due[1..]);
    let (row, body) = journal.outbox_row(id(0)).unwrap().unwrap();
    assert_eq!((&row, &body[..]), (&due[1], &b"{}"[..]));

    let taken = |id| Rows {
        consumed: Some(Consumed::Outbox(id)),
        ..Rows::default()
    };
    bench.commit(taken(id(0)));
    assert_eq!(journal.outbox_row(id(0)).unwrap(), None);
    bench.commit(taken(id(1)));
    assert_eq!(journal.next_outbox().unwrap(), None);

    // One that was a dead letter comes back under its own identity, once.
    for _ in 0..2 {
        bench.commit(Rows {
            outbox_change: Some(OutboxChange::Again(
                id(0),
                webhook("https://a/"),
                Tried::default(),
            )),
            ..Rows::default()
        });
    }
    assert_eq!(journal.outbox(None, 9).unwrap().len(), 1);
    assert_eq!(journal.outbox(None, 9).unwrap()[0].id, id(0));
}

pub(super) fn a_look_through_the_due_timers_goes_on_where_it_stood(place: &dyn Place) {
    let bench = Bench::open(place);
    let mut expected = Vec::new();
    for (who, due_ms) in [("b", 1), ("a", 2), ("c", 2)] {
        let names = ["x", "y", "z"];
        let set = |name: &&str| ((*name).to_owned(), due_ms, Bytes::from_static(b"{}"));
        bench.commit(Rows {
            timers_set: names.iter().map(set).collect(),
            ..of_record(record(&actor(who), 1))
        });
        expected.extend(names.map(|name| (due_ms, who.to_owned(), name.to_owned())));
    }
    for page in 1..=9 {
        let (mut seen, mut behind) = (Vec::new(), None);
        loop {
            let due = bench.journal.timers_due(5, behind.as_ref(), page).unwrap();
            let Some(last) = due.last() else { break };
            behind = Some(TimerMark::behind(last));
            let due = due.into_iter();
            seen.extend(due.map(|it| (it.due_ms, it.actor.key().to_owned(), it.name)));
        }
        assert_eq!(seen, expected, "{page} at a time");
    }
}

/// All of them in one group: the order of what becomes of one row is kept.
pub(super) fn what_becomes_of_a_webhook_within_a_group_keeps_its_order(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    let position = bench.commit(Rows {
        outbox: vec![webhook("https://a/"), webhook("https://b/")],
        ..of_record(record(&ali, 1))
    });
    let id = |index| OutboxId { position, index };
    let tried = |attempts| Tried {
        attempts,
        due_ms: 5,
        error: "refused".into(),
    };
    let taken = |id| Rows {
        consumed: Some(Consumed::Outbox(id)),
        ..Rows::default()
    };
    let changed = |change| Rows {
        outbox_change: Some(change),
        ..Rows::default()
    };
    let all = [
        // Holds the writer up, so that the others make one group.
        of_snapshot(snapshot(&ali, 1)),
        changed(OutboxChange::Tried(id(0), tried(1))),
        taken(id(0)),
        changed(OutboxChange::Tried(id(0), tried(2))),
        changed(OutboxChange::Again(id(0), webhook("https://c/"), tried(3))),
        changed(OutboxChange::Again(id(0), webhook("https://d/"), tried(4))),
        changed(OutboxChange::Tried(id(1), tried(5))),
        changed(OutboxChange::Again(id(1), webhook("https://d/"), tried(6))),
        changed(OutboxChange::Again(id(2), webhook("https://e/"), tried(7))),
        changed(OutboxChange::Tried(id(2), tried(8))),
        changed(OutboxChange::Again(id(3), webhook("https://f/"), tried(9))),
        taken(id(3)),
    ];
    let many = all.len() as u64;
    for (token, rows) in (1..).zip(all) {
        bench.append(rows, token);
    }
    for token in 1..=many {
        let done = bench.next_done();
        assert_eq!((done.token, done.result), (token, Ok(())));
    }
    let rows = bench.journal.outbox(None, 9).unwrap();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.id, &*row.url, row.tried.attempts))
        .collect();
    assert_eq!(
        rows,
        [
            (id(0), "https://c/", 3),
            (id(1), "https://b/", 5),
            (id(2), "https://e/", 8),
        ]
    );
}
