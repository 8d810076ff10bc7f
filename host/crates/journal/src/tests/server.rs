//! PostgreSQL in trouble: killed, restarted, replaced, behind; and a network that cuts,
//! stalls or swallows. Nothing that was acknowledged is lost, and no answer is wrong.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use test_postgres::{Proxy, Server, Trouble, shared};

use super::place::{Postgres, database};
use super::*;
use crate::postgres::Timing;
use crate::{CheckError, Lost, ReadError};

/// So short that a test sees it run out.
const QUICK: Timing = Timing {
    lease: Duration::from_secs(2),
    renew_every: Duration::from_millis(300),
    answer: Duration::from_secs(2),
    read: Duration::from_secs(20),
};

fn quick(mut place: Postgres) -> Postgres {
    place.options.timing = QUICK;
    place
}

/// What callers were told of one actor's records, by sequence.
#[derive(Debug, Default)]
struct Told {
    /// The sequence that comes next.
    next: u64,
    acknowledged: BTreeSet<u64>,
    refused: u64,
}

impl Told {
    /// Appends records one by one until `enough`; after a failure the actor is rebuilt
    /// from what is durable, as the layer above does.
    fn load(&mut self, bench: &Bench, actor: &ActorId, mut enough: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !enough(self) {
            assert!(began.elapsed() < 2 * DEADLINE, "{self:?}");
            let mut rows = of_record(record(actor, self.next + 1));
            // Some groups are more than one statement.
            if self.next.is_multiple_of(3) {
                rows.values = vec![("v".into(), Some(Bytes::from(vec![7; 10])))];
            }
            bench.append(rows, self.next + 1);
            match bench.next_done().result {
                Ok(()) => {
                    self.next += 1;
                    self.acknowledged.insert(self.next);
                }
                Err(Lost::NotApplied(_)) => {
                    self.refused += 1;
                    let stored = bench.journal.read(actor).unwrap();
                    let there = stored.map_or(0, |it| it.tail.len() as u64);
                    assert_eq!(there, self.next, "what was refused is not there");
                }
                Err(lost @ Lost::Unknown(_)) => panic!("{lost}"),
            }
        }
    }

    /// Exactly what was acknowledged is in the store, once.
    fn agrees(&self, bench: &Bench, actor: &ActorId) {
        let (_, seqs) = bench.seqs(actor);
        let expected: Vec<u64> = self.acknowledged.iter().copied().collect();
        assert_eq!(seqs, expected);
        let verified = bench.journal.verify().unwrap();
        assert_eq!(verified.records, self.next);
    }
}

#[test]
fn a_server_that_is_killed_and_restarted_under_load_loses_nothing() {
    let mut server = Server::start().unwrap();
    let place = quick(Postgres::at(&server.database().unwrap()));
    let bench = Bench::open(&place);
    let (ali, mut told) = (actor("ali"), Told::default());
    for round in 0..4 {
        let before = told.acknowledged.len();
        told.load(&bench, &ali, |told| told.acknowledged.len() >= before + 50);
        std::thread::scope(|scope| {
            let away = scope.spawn(|| {
                match round % 2 {
                    0 => server.kill().unwrap(),
                    _ => server.shut_down().unwrap(),
                }
                server.boot().unwrap();
            });
            told.load(&bench, &ali, |told| {
                away.is_finished() && told.acknowledged.len() >= before + 100
            });
        });
    }
    told.agrees(&bench, &ali);
    drop(bench);
    told.agrees(&Bench::open(&place), &ali);
}

#[test]
fn a_commit_whose_answer_is_swallowed_is_done_and_one_that_never_came_is_not() {
    let proxy = Proxy::start(shared().port()).unwrap();
    let address = shared().database().unwrap();
    let name = database(&address);
    let place = quick(Postgres::at(&proxy.url(name)));
    let bench = Bench::open(&place);
    let ali = actor("ali");
    let marked = |seq, marker: &str| {
        let mut record = record(&ali, seq);
        record.payload = Bytes::from(marker.to_owned());
        of_record(record)
    };
    bench.commit(marked(1, "first"));

    proxy.make(Trouble::SwallowAnswer(b"MARK-2".to_vec()));
    bench.append(marked(2, "MARK-2"), 2);
    assert_eq!(bench.next_done().result, Ok(()));
    proxy.make(Trouble::SwallowRequest(b"MARK-3".to_vec()));
    bench.append(marked(3, "MARK-3"), 3);
    let result = bench.next_done().result;
    assert!(matches!(result, Err(Lost::NotApplied(_))), "{result:?}");
    assert_eq!(bench.seqs(&ali), (None, vec![1, 2]));

    // A group of several statements: COMMIT itself.
    let several = |seq| Rows {
        values: vec![("v".into(), Some(Bytes::new()))],
        ..marked(seq, "several")
    };
    proxy.make(Trouble::SwallowAnswer(b"COMMIT".to_vec()));
    bench.append(several(3), 3);
    assert_eq!(bench.next_done().result, Ok(()));
    proxy.make(Trouble::SwallowRequest(b"COMMIT".to_vec()));
    bench.append(several(4), 4);
    let result = bench.next_done().result;
    assert!(matches!(result, Err(Lost::NotApplied(_))), "{result:?}");
    proxy.make(Trouble::Mute(b"COMMIT".to_vec()));
    bench.append(several(4), 4);
    assert_eq!(
        bench.next_done().result,
        Ok(()),
        "found after the answer's time is up"
    );
    assert_eq!(proxy.struck(), 5);
    assert_eq!(bench.seqs(&ali), (None, vec![1, 2, 3, 4]));
    assert_eq!(bench.journal.verify().unwrap().records, 4);
}

#[test]
fn a_network_that_cuts_and_stalls_under_load_makes_no_answer_wrong() {
    let proxy = Proxy::start(shared().port()).unwrap();
    let address = shared().database().unwrap();
    let name = database(&address);
    let place = quick(Postgres::at(&proxy.url(name)));
    let bench = Bench::open(&place);
    let (ali, mut told) = (actor("ali"), Told::default());
    for round in 0..6 {
        let before = told.acknowledged.len();
        let (trouble, lasts) = match round % 3 {
            0 => (Trouble::Cut, Duration::from_millis(300)),
            1 => (Trouble::Stall, Duration::from_millis(300)),
            _ => (Trouble::Stall, QUICK.answer + Duration::from_millis(500)),
        };
        std::thread::scope(|scope| {
            let troubled = scope.spawn(|| {
                proxy.make(trouble);
                let began = Instant::now();
                while began.elapsed() < lasts {
                    std::thread::park_timeout(lasts - began.elapsed().min(lasts));
                }
                proxy.make(Trouble::None);
            });
            told.load(&bench, &ali, |told| {
                troubled.is_finished() && told.acknowledged.len() >= before + 20
            });
        });
    }
    told.agrees(&bench, &ali);
}

#[test]
fn a_second_host_is_refused_while_the_owner_lives_and_may_fence_it() {
    let first = quick(Postgres::new());
    let bench = Bench::open(&first);
    let ali = actor("ali");
    bench.commit(of_record(record(&ali, 1)));

    let mut second = quick(first.for_another_home());
    let Err(error) = Bench::try_open(&second) else {
        panic!("it must be refused");
    };
    assert!(matches!(error, OpenError::HeldBy { .. }), "{error}");
    assert!(error.to_string().contains("--take-over"), "{error}");
    bench.commit(of_record(record(&ali, 2)));

    second.options.take_over = true;
    let taken = Bench::open(&second);
    assert_eq!(taken.seqs(&ali), (None, vec![1, 2]));
    // The old owner hears of it, though it has nothing to write.
    let deadline = Instant::now() + DEADLINE;
    while !bench.journal.must_look() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    assert!(
        bench
            .journal
            .poisoned()
            .unwrap()
            .contains("taken the store over")
    );
    bench.append(of_record(record(&ali, 3)), 3);
    let result = bench.next_done().result;
    assert!(result.is_err());
    taken.commit(of_record(record(&ali, 3)));
    assert_eq!(taken.seqs(&ali), (None, vec![1, 2, 3]));
    drop(bench);
    taken.commit(of_record(record(&ali, 4)));
    assert_eq!(taken.journal.verify().unwrap().records, 4);
}

#[test]
fn the_lease_of_an_owner_that_is_gone_runs_out_and_one_in_order_gives_it_back() {
    let proxy = Proxy::start(shared().port()).unwrap();
    let address = shared().database().unwrap();
    let name = database(&address);
    let first = quick(Postgres::at(&proxy.url(name)));
    let bench = Bench::open(&first);
    bench.commit(of_record(record(&actor("ali"), 1)));
    // As when its machine is gone: nothing of it reaches the server any more.
    proxy.make(Trouble::Stall);
    let second = quick(Postgres::at(&shared().url(name)));
    let next = Bench::open(&second);
    next.commit(of_record(record(&actor("ali"), 2)));
    proxy.make(Trouble::None);
    drop(bench);

    // In order: the third does not wait.
    drop(next);
    let mut third = quick(Postgres::at(&shared().url(name)));
    third.options.timing.lease = 10 * DEADLINE;
    let last = Bench::open(&third);
    assert_eq!(last.seqs(&actor("ali")), (None, vec![1, 2]));
}

#[test]
fn a_standby_that_is_promoted_behind_ends_the_journal_before_anything_is_rebuilt() {
    let mut primary = Server::start().unwrap();
    let address = primary.database().unwrap();
    let name = database(&address);
    let proxy = Proxy::start(primary.port()).unwrap();
    let place = quick(Postgres::at(&proxy.url(name)));
    let bench = Bench::open(&place);
    let (ali, sara) = (actor("ali"), actor("sara"));
    bench.commit(of_record(record(&ali, 1)));
    let standby = primary.standby().unwrap();
    bench.commit(of_record(record(&ali, 2)));
    let has_two = format!(
        "SELECT last_pos >= {} FROM store",
        bench.journal.durable().0
    );
    let deadline = Instant::now() + DEADLINE;
    while standby.sql(name, &has_two).unwrap() != "t" {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    // The standby hears no more, and the primary goes on acknowledging.
    standby
        .sql("postgres", "ALTER SYSTEM SET primary_conninfo = ''")
        .unwrap();
    standby.sql("postgres", "SELECT pg_reload_conf()").unwrap();
    while primary
        .sql("postgres", "SELECT count(*) FROM pg_stat_replication")
        .unwrap()
        != "0"
    {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    bench.commit(of_record(record(&ali, 3)));
    primary.kill().unwrap();
    standby.promote().unwrap();
    proxy.redirect(standby.port());

    bench.append(of_record(record(&sara, 1)), 4);
    let result = bench.next_done().result;
    assert!(result.is_err(), "{result:?}");
    let why = bench.journal.poisoned().expect("it is over");
    assert!(why.contains("has lost 1 positions"), "{why}");
    assert!(bench.journal.must_look());
    assert!(bench.journal.read(&ali).is_err(), "nothing is rebuilt");
    drop(bench);

    // Nor by a start of the same home; another one knows nothing, and is told.
    let before = standby
        .sql(name, "SELECT epoch, last_pos FROM store")
        .unwrap();
    let Err(error) = Bench::try_open(&place) else {
        panic!("it must be refused");
    };
    assert!(matches!(error, OpenError::Behind { .. }), "{error}");
    assert_eq!(
        standby
            .sql(name, "SELECT epoch, last_pos FROM store")
            .unwrap(),
        before
    );
}

#[test]
fn a_reader_tells_a_server_that_is_away_from_a_store_that_is_damaged() {
    let proxy = Proxy::start(shared().port()).unwrap();
    let address = shared().database().unwrap();
    let name = database(&address);
    let place = Postgres::at(&proxy.url(name));
    let error = place.archive().unwrap_err();
    assert!(matches!(error, OpenError::MissingAt { .. }), "{error}");
    let bench = Bench::open(&place);
    bench.commit(of_record(record(&actor("ali"), 1)));
    let archive = place.archive().unwrap();
    let verified = archive.trail().verify(|_| ControlFlow::Continue(()));
    assert_eq!(verified.unwrap().records, 1);

    proxy.make(Trouble::Cut);
    let verified = archive.trail().verify(|_| ControlFlow::Continue(()));
    assert!(
        matches!(&verified, Err(ReadError::Store(error)) if error.is_away),
        "{verified:?}"
    );
    let found = archive.check(|_, _| {});
    assert!(
        matches!(&found, Err(CheckError::Store(error)) if error.is_away),
        "{found:?}"
    );
    let error = place.archive().unwrap_err();
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");

    // In the middle of a look, which then finds nothing and is no good.
    proxy.make(Trouble::None);
    let found = archive.check(|_, _| proxy.make(Trouble::Cut));
    assert!(
        matches!(&found, Err(CheckError::Store(error)) if error.is_away),
        "{found:?}"
    );
}

#[test]
fn a_home_that_knows_its_store_waits_for_a_server_that_is_away() {
    let proxy = Proxy::start(shared().port()).unwrap();
    let address = shared().database().unwrap();
    let place = quick(Postgres::at(&proxy.url(database(&address))));
    proxy.make(Trouble::Cut);
    let Err(error) = Bench::try_open(&place) else {
        panic!("nobody is there");
    };
    assert!(matches!(error, OpenError::Unreachable { .. }), "{error}");
    proxy.make(Trouble::None);
    let ali = actor("ali");
    Bench::open(&place).commit(of_record(record(&ali, 1)));

    proxy.make(Trouble::Cut);
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| Bench::open(&place));
        let tried = proxy.refused();
        let began = Instant::now();
        while proxy.refused() < tried + 3 {
            assert!(began.elapsed() < DEADLINE && !opening.is_finished());
            std::thread::yield_now();
        }
        proxy.make(Trouble::None);
        assert_eq!(opening.join().unwrap().seqs(&ali), (None, vec![1]));
    });
}

#[test]
fn a_store_that_loses_a_table_under_its_host_must_be_looked_at() {
    type Use = fn(&Bench);
    let uses: [(&str, Use); 3] = [
        ("groups", |bench| {
            bench.append(of_record(record(&actor("ali"), 2)), 0);
        }),
        ("casts", |bench| {
            drop(bench.journal.casts(None, 9));
        }),
        // By the lease, while nobody uses anything.
        ("lease", |_| {}),
    ];
    for (table, use_it) in uses {
        let place = Postgres::new();
        let bench = Bench::open(&place);
        bench.commit(of_record(record(&actor("ali"), 1)));
        assert!(!bench.journal.must_look());
        place.run(&format!("DROP TABLE {table}"));
        use_it(&bench);
        let deadline = std::time::Instant::now() + DEADLINE;
        while !bench.journal.must_look() {
            assert!(std::time::Instant::now() < deadline, "{table}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
