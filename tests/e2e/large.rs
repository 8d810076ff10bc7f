//! An actor with a state of tens of MiB: written in pieces, upgraded and taken back
//! while others are answered, killed on the way, and as it was behind all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

use e2e::{Home, wait};
use host_model::control::Outcome;
use serde_json::{Value, json};
use test_postgres::shared;

use crate::hostile::{home, post, summary};

/// Bytes of one command's growth, and how many of them.
const STEP: u64 = 4 << 20;
const STEPS: u64 = 8;

/// Callers of small actors, each of its own.
const OTHERS: usize = 4;

/// Callers who count, one answer after the other.
struct Others {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Counted>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    answered: AtomicU64,
    /// Whether a call may fail: the host is about to be killed, or not there again.
    may_fail: AtomicBool,
}

/// What one of them knows of its actor.
#[derive(Default)]
struct Counted {
    answered: i64,
    /// Calls that failed with the host: each is there once, or not at all.
    unknown: i64,
}

impl Others {
    fn start(port: u16) -> Self {
        let shared = Arc::new(Shared::default());
        let caller = |number: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || count(port, number, &shared))
        };
        Self {
            threads: (0..OTHERS).map(caller).collect(),
            shared: Arc::clone(&shared),
        }
    }

    /// Waits until they have had so many answers more.
    fn more(&self, answers: u64) {
        let wanted = self.shared.answered.load(Ordering::SeqCst) + answers;
        wait::until("the others are answered", || {
            let answered = self.shared.answered.load(Ordering::SeqCst);
            let ended = self.threads.iter().any(JoinHandle::is_finished);
            assert!(!ended, "one of them has failed");
            (answered >= wanted).then_some(())
        })
        .unwrap();
    }

    fn may_fail(&self, may: bool) {
        self.shared.may_fail.store(may, Ordering::SeqCst);
    }

    fn stop(self) -> Vec<Counted> {
        self.shared.stop.store(true, Ordering::SeqCst);
        let threads = self.threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    }
}

fn count(port: u16, number: usize, shared: &Shared) -> Counted {
    let mut counted = Counted::default();
    let path = format!("/api/v1/faulty/small-{number}/add");
    let body = json!({ "by": 1 }).to_string();
    while !shared.stop.load(Ordering::SeqCst) {
        let might_fail = shared.may_fail.load(Ordering::SeqCst);
        match e2e::http::request(port, "POST", &path, &body) {
            Ok(answer) if answer.status == 200 => {
                counted.answered += 1;
                shared.answered.fetch_add(1, Ordering::SeqCst);
            }
            failed => {
                let may_fail = might_fail || shared.may_fail.load(Ordering::SeqCst);
                assert!(may_fail, "a small actor was not answered: {failed:?}");
                counted.unknown += 1;
                thread::yield_now();
            }
        }
    }
    counted
}

fn is_whole(port: u16, steps: u64) -> Value {
    let seen = summary(port, "big");
    assert_eq!(
        (&seen["bytes"], &seen["count"]),
        (&json!(steps * STEP), &json!(7)),
        "{seen}"
    );
    seen["version"].clone()
}

/// Upgrades, takes back, kills and starts again, with a large actor among small ones.
fn lives_through(home: &Home) {
    let port = home.start().unwrap().port;
    let others = Others::start(port);
    assert_eq!(post(port, "big", "add", &json!({ "by": 7 })).0, 200);
    for step in 1..=STEPS {
        let (status, answer) = post(port, "big", "grow", &json!({ "bytes": STEP }));
        assert_eq!(status, 200, "{answer}");
        assert_eq!(is_whole(port, step), "0.1.0");
    }
    others.more(1);
    assert_eq!(
        home.upgrade_unrehearsed("0.2.0").unwrap().outcome,
        Outcome::Committed
    );
    assert_eq!(is_whole(port, STEPS), "0.2.0");
    others.more(1);
    assert_eq!(home.rollback().unwrap().outcome, Outcome::Committed);
    assert_eq!(is_whole(port, STEPS), "0.1.0");

    // At three moments of an upgrade.
    for answers in [1, 10, 40] {
        let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "300s"];
        let line = [&line[..], &["--json"]].concat();
        let upgrade = home.begin(&line).unwrap();
        others.more(answers);
        others.may_fail(true);
        let old = home.kill_host().unwrap();
        // Its host has died under it.
        upgrade.end().unwrap();
        home.rebooted(old).unwrap();
        let settled = home.settled().unwrap();
        assert_eq!(settled.version.to_string(), "0.1.0", "it had not committed");
        others.may_fail(false);
        assert_eq!(is_whole(port, STEPS), "0.1.0");
    }

    let counted = others.stop();
    home.stop().unwrap();
    let port = home.start().unwrap().port;
    assert_eq!(is_whole(port, STEPS), "0.1.0");
    for (number, counted) in counted.iter().enumerate() {
        let count = summary(port, &format!("small-{number}"))["count"].clone();
        let most = counted.answered + counted.unknown;
        let is_right = (counted.answered..=most).contains(&count.as_i64().unwrap());
        assert!(is_right, "{count}, and {} to {most}", counted.answered);
    }
    home.done(&["audit", "verify"]).unwrap();
}

#[test]
fn a_large_actor_lives_through_upgrades_and_kills_and_stalls_no_one() {
    let home = home();
    lives_through(&home);
    // Its pieces are checked, copied and put back.
    home.done(&["store", "check"]).unwrap();
    let copy = home.path().join("copy.db");
    home.done(&["store", "backup", copy.to_str().unwrap()])
        .unwrap();
    home.stop().unwrap();
    let other = crate::hostile::home();
    other
        .done(&["store", "restore", copy.to_str().unwrap()])
        .unwrap();
    let port = other.start().unwrap().port;
    assert_eq!(is_whole(port, STEPS), "0.1.0");
    other.stop().unwrap();
    other.done(&["store", "check", "--replay"]).unwrap();
}

#[test]
fn a_large_actor_on_postgres_does_as_well() {
    let home = home();
    let address = shared().database().unwrap();
    home.configure(&format!("DATABASE_URL={address}")).unwrap();
    lives_through(&home);
    home.stop().unwrap();
}
