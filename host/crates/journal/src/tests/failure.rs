//! A group that fails, at every place where it can: what its callers are told,
//! and what is there afterwards.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::place::Postgres;
use super::*;
use crate::store::{AppendError, Group, Opened, ReopenError, Reopened, Store, Tell};
use crate::{Incarnation, Lost, Overloaded, ReadError, RefusedReason, StoreError, Trouble};

/// What the store shall do with the group that it has just been given.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verdict {
    Commit,
    FailBefore,
    /// As `FailBefore`, and the handle is of no use any more.
    Break,
    /// The error comes from COMMIT, and the group is not there.
    FailAt,
    /// The error comes from COMMIT, and the group is there all the same.
    FailAfter,
}

/// A store that asks the test about each group.
struct Asking {
    inner: Box<dyn Store>,
    asked: Sender<usize>,
    verdicts: Receiver<Verdict>,
    tell: Sender<Tell>,
}

impl Store for Asking {
    fn append(&mut self, group: &Group<'_>) -> Result<(), AppendError> {
        self.asked.send(group.entries.len()).unwrap();
        match self.verdicts.recv_timeout(DEADLINE).unwrap() {
            Verdict::Commit => self.inner.append(group),
            Verdict::FailBefore => Err(AppendError::NotApplied("injected".into())),
            Verdict::Break => Err(AppendError::Broken("injected".into())),
            Verdict::FailAt => Err(AppendError::Unknown("injected".into())),
            Verdict::FailAfter => {
                self.inner.append(group)?;
                Err(AppendError::Unknown("injected".into()))
            }
        }
    }

    fn is_cut_off(&self) -> bool {
        self.inner.is_cut_off()
    }

    fn reopen(&mut self, is_closing: &dyn Fn() -> bool) -> Result<Reopened, ReopenError> {
        self.inner.reopen(is_closing)
    }

    fn without_snapshot(&mut self, actors: &[ActorId]) -> Result<u64, StoreError> {
        self.inner.without_snapshot(actors)
    }

    fn maintain(&mut self) {
        self.inner.maintain();
    }

    fn on_failure(&mut self, tell: Tell) {
        self.tell.send(tell).unwrap();
    }

    fn close(self: Box<Self>) {
        self.inner.close();
    }

    fn abandon(self: Box<Self>) {
        self.inner.abandon();
    }
}

pub(super) struct Asked {
    pub(super) bench: Bench,
    asked: Receiver<usize>,
    verdicts: Sender<Verdict>,
    /// What the store was given to call when its work beside the commits fails.
    tell: Tell,
}

impl Asked {
    pub(super) fn open(place: &dyn Place) -> Self {
        let opened = place.opened().unwrap();
        let ((ask, asked), (verdicts, verdict)) = (channel(), channel());
        let (tell, told) = channel();
        let store = Box::new(Asking {
            inner: opened.store,
            asked: ask,
            verdicts: verdict,
            tell,
        });
        Self {
            bench: Bench::start(Opened { store, ..opened }).unwrap(),
            asked,
            verdicts,
            tell: told.recv().unwrap(),
        }
    }

    /// Waits until the writer is inside the store with a group.
    pub(super) fn group_in_store(&self) -> usize {
        self.asked.recv_timeout(DEADLINE).unwrap()
    }

    pub(super) fn decide(&self, verdict: Verdict) {
        self.verdicts.send(verdict).unwrap();
    }

    pub(super) fn commit(&self, rows: Rows) -> Position {
        self.decide(Verdict::Commit);
        let position = self.bench.commit(rows);
        self.group_in_store();
        position
    }

    /// Record 1 of an actor is durable, 2 is in the store, and 3 waits behind it.
    fn one_in_store_and_one_behind(&self, actor: &ActorId) {
        self.commit(of_record(record(actor, 1)));
        self.bench.append(of_record(record(actor, 2)), 2);
        self.group_in_store();
        self.bench.append(of_record(record(actor, 3)), 3);
    }
}

pub(super) fn a_failed_group_takes_along_what_stands_behind_it_and_the_journal_goes_on(
    place: &dyn Place,
) {
    let asked = Asked::open(place);
    let (bench, journal) = (&asked.bench, &asked.bench.journal);
    let (ali, sara) = (actor("ali"), actor("sara"));
    let durable = asked.commit(of_record(record(&ali, 1)));

    let failed = bench.append(of_record(record(&ali, 2)), 2);
    asked.group_in_store();
    let behind = bench.append(of_record(record(&sara, 1)), 3);
    asked.decide(Verdict::FailBefore);
    for (position, token) in [(failed, 2), (behind, 3)] {
        let done = bench.next_done();
        assert_eq!((done.position, done.token), (position, token));
        assert!(matches!(done.result, Err(Lost::NotApplied(_))));
    }

    let before = Incarnation(0);
    assert_eq!(journal.incarnation(), Incarnation(1));
    assert!(journal.was_lost(failed, before) && journal.was_lost(behind, before));
    assert!(!journal.was_lost(durable, before));
    assert!(!journal.was_lost(failed, Incarnation(1)));
    let stale = Entry {
        incarnation: before,
        rows: of_record(record(&ali, 2)),
        token: 9,
    };
    let refused = journal.append(stale).unwrap_err();
    assert_eq!(refused.reason, RefusedReason::StaleIncarnation);

    assert_eq!(
        (journal.poisoned(), journal.stats().undurable_bytes),
        (None, 0)
    );
    assert_eq!(bench.seqs(&ali), (None, vec![1]));
    assert_eq!((journal.read(&sara).unwrap(), journal.known()), (None, 1));
    let next = asked.commit(of_record(record(&ali, 2)));
    assert!(next > behind);
    assert_eq!(bench.seqs(&ali), (None, vec![1, 2]));
    assert!(!journal.was_lost(next, before));
}

#[test]
fn an_error_from_commit_closes_sqlites_journal_and_recovery_decides() {
    for (verdict, there) in [(Verdict::FailAt, false), (Verdict::FailAfter, true)] {
        let place = Sqlite::new();
        let asked = Asked::open(&place);
        let (bench, journal) = (&asked.bench, &asked.bench.journal);
        let ali = actor("ali");
        asked.one_in_store_and_one_behind(&ali);
        asked.decide(verdict);
        assert!(matches!(bench.next_done().result, Err(Lost::Unknown(_))));
        assert!(matches!(bench.next_done().result, Err(Lost::NotApplied(_))));

        assert!(journal.is_closed() && journal.admit().is_err());
        assert!(journal.poisoned().unwrap().contains("injected"));
        assert!(matches!(journal.read(&ali), Err(ReadError::Closed)));
        journal.close();

        // The store stays owned until the process ends; a copy is what the next
        // start finds.
        let next = Bench::open(&*place.crashed());
        let tail = if there { vec![1, 2] } else { vec![1] };
        assert_eq!(next.seqs(&ali), (None, tail), "{verdict:?}");
    }
}

#[test]
fn a_store_that_fails_beside_its_commits_is_left_at_once() {
    let place = Sqlite::new();
    let asked = Asked::open(&place);
    let (bench, journal) = (&asked.bench, &asked.bench.journal);
    let ali = actor("ali");
    asked.one_in_store_and_one_behind(&ali);
    (asked.tell)("the sync of the database: injected".to_owned());
    assert!(journal.is_closed() && journal.admit().is_err());
    assert!(journal.poisoned().unwrap().contains("injected"));
    assert!(matches!(journal.read(&ali), Err(ReadError::Closed)));
    asked.decide(Verdict::Commit);
    assert_eq!(bench.next_done().result, Ok(()));
    let behind = bench.next_done();
    assert!(matches!(&behind.result, Err(Lost::NotApplied(why)) if why.contains("injected")));
    journal.close();
    // Left as it is: a close in order would have emptied the log.
    assert!(
        std::fs::metadata(place.path.with_extension("db-wal"))
            .unwrap()
            .len()
            > 0
    );
    assert_eq!(
        Bench::open(&*place.crashed()).seqs(&ali),
        (None, vec![1, 2])
    );
}

pub(super) fn a_store_that_refuses_is_trouble_until_it_takes_something(place: &dyn Place) {
    let asked = Asked::open(place);
    let (bench, journal) = (&asked.bench, &asked.bench.journal);
    assert_eq!(journal.trouble(), None);
    bench.append(of_record(record(&actor("ali"), 1)), 1);
    asked.group_in_store();
    asked.decide(Verdict::FailBefore);
    assert!(bench.next_done().result.is_err());
    assert!(
        matches!(journal.trouble(), Some(Trouble::Refusing { why, .. }) if &*why == "injected")
    );
    asked.commit(of_record(record(&actor("ali"), 1)));
    assert_eq!(journal.trouble(), None);
}

#[test]
fn postgres_is_asked_what_became_of_a_commit_and_the_journal_goes_on() {
    for (verdict, there) in [(Verdict::FailAt, false), (Verdict::FailAfter, true)] {
        let place = Postgres::new();
        let asked = Asked::open(&place);
        let (bench, journal) = (&asked.bench, &asked.bench.journal);
        let ali = actor("ali");
        asked.commit(of_record(record(&ali, 1)));
        bench.append(of_record(record(&ali, 2)), 2);
        asked.group_in_store();
        asked.decide(verdict);
        let result = bench.next_done().result;
        match there {
            true => assert_eq!(result, Ok(())),
            false => assert!(matches!(result, Err(Lost::NotApplied(_))), "{result:?}"),
        }
        assert!(!journal.is_closed());
        let next = if there { 3 } else { 2 };
        asked.commit(of_record(record(&ali, next)));
        assert_eq!(bench.seqs(&ali).1.len() as u64, next);
        assert_eq!(journal.verify().unwrap().records, next);
    }
}

pub(super) fn a_store_that_breaks_before_commit_has_nothing_and_is_not_used_again(
    place: &dyn Place,
) {
    let asked = Asked::open(place);
    let (bench, journal) = (&asked.bench, &asked.bench.journal);
    bench.append(of_record(record(&actor("ali"), 1)), 1);
    asked.group_in_store();
    asked.decide(Verdict::Break);
    let result = bench.next_done().result;
    assert!(matches!(result, Err(Lost::NotApplied(_))), "{result:?}");
    assert!(journal.is_closed() && journal.poisoned().is_some());
    assert!(!journal.must_look(), "the next start finds it whole");
}

pub(super) fn an_owner_that_was_replaced_writes_nothing_and_must_be_looked_at(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    bench.commit(of_record(record(&ali, 1)));
    let before = place.dump();
    place.sql("UPDATE store SET epoch = epoch + 1");
    bench.append(
        Rows {
            snapshot: Some(snapshot(&ali, 2)),
            ..of_record(record(&ali, 2))
        },
        2,
    );
    let error = bench.next_done().result.unwrap_err();
    assert!(matches!(error, Lost::NotApplied(_)), "{error}");
    assert!(
        error.to_string().contains("taken the store over"),
        "{error}"
    );
    assert_eq!(place.dump(), before);
    assert!(bench.journal.is_closed() && bench.journal.must_look());
}

pub(super) fn a_record_out_of_sequence_is_not_written(place: &dyn Place) {
    let bench = Bench::open(place);
    let ali = actor("ali");
    bench.commit(of_record(record(&ali, 1)));
    bench.append(of_record(record(&ali, 3)), 3);
    let error = bench.next_done().result.unwrap_err().to_string();
    assert!(
        error.contains("record 3 does not follow record 1"),
        "{error}"
    );
    bench.commit(of_record(record(&ali, 2)));
    assert_eq!(bench.seqs(&ali), (None, vec![1, 2]));
}

pub(super) fn a_panic_of_the_callback_closes_the_journal(place: &dyn Place) {
    let opened = place.opened().unwrap();
    let journal = Journal::start(opened, |_: Vec<Done<()>>| panic!("injected"));
    let journal = journal.unwrap();
    let entry = Entry {
        incarnation: journal.incarnation(),
        rows: of_record(record(&actor("ali"), 1)),
        token: (),
    };
    journal.append(entry).unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    while !journal.is_closed() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert!(journal.poisoned().is_some());
}

pub(super) fn nothing_is_admitted_while_too_much_waits(place: &dyn Place) {
    let asked = Asked::open(place);
    let (bench, journal) = (&asked.bench, &asked.bench.journal);
    bench.append(of_record(record(&actor("ali"), 1)), 1);
    asked.group_in_store();
    let large = |index: u64| Rows {
        values: vec![(format!("{index}"), Some(Bytes::from(vec![0; 16 << 20])))],
        ..Rows::default()
    };
    for index in 0..4 {
        assert_eq!(journal.admit(), Ok(()));
        bench.append(large(index), 2);
    }
    assert!(matches!(journal.admit(), Err(Overloaded::Full { .. })));
    // What was executed already is taken all the same.
    bench.append(of_record(record(&actor("ali"), 2)), 3);
    asked.decide(Verdict::FailBefore);
    (0..6).for_each(|_| drop(bench.next_done()));
    assert_eq!(journal.admit(), Ok(()));
}
