//! A sync that failed, and a kill before the host could end in order: the row may be
//! there all the same, and whoever asks again under the same key hears what is true.

use std::thread;

use e2e::disk::Disk;
use e2e::{Home, faulty, wait};
use serde_json::{Value, json};

use crate::hostile::{home, summary};
use crate::once::keyed;

/// A home over a disk that can fail.
struct Bench {
    home: Home,
    disk: Disk,
    port: u16,
}

impl Bench {
    fn new() -> Self {
        let mut home = home();
        let disk = Disk::under(&mut home).unwrap();
        let port = home.start().unwrap().port;
        Self { home, disk, port }
    }

    /// While these rules hold, `meanwhile` is done; then the host is killed, which is
    /// kept from ending by a handler that does not return.
    fn killed_over<T>(&self, rule: &str, meanwhile: impl FnOnce() -> T) -> T {
        let port = self.port;
        let busy =
            thread::spawn(move || faulty::post(port, "busy", "sleep", &json!({"ms": 20_000})));
        wait::until("a handler is in the way", || {
            (!self.home.status().ok()?.slow.is_empty()).then_some(())
        })
        .unwrap();
        let old = self.home.status().unwrap().pid;
        self.disk.fails(&[rule]).unwrap();
        let done = meanwhile();
        self.disk.has_struck(old).unwrap();
        // The next host's disk works. This one's store is not written to any more.
        self.disk.works().unwrap();
        assert!(e2e::home::kill(old), "it had ended before it was killed");
        self.home.rebooted(old).unwrap();
        assert!(busy.join().unwrap().is_err(), "its host was killed");
        done
    }

    /// The chain is proven, everything in the store comes to the same again, and of
    /// these keys each is in the trail once.
    fn is_whole(&self, keys: &[String]) {
        let proof: Value = self.home.answer(&["audit", "verify", "--json"]).unwrap();
        assert_eq!(proof["kind"], "verified", "{proof}");
        let line = ["store", "check", "--replay", "--json"];
        let checked: Value = self.home.answer(&line).unwrap();
        assert_eq!(checked["ok"], true, "{checked}");
        let trail = self.home.done(&["audit", "export"]).unwrap().stdout;
        for key in keys {
            let field = format!(r#""idempotency_key":"{key}""#);
            assert_eq!(trail.matches(&field).count(), 1, "{key} in {trail}");
        }
    }
}

#[test]
fn a_row_whose_sync_failed_may_be_there_after_a_kill_and_a_retry_tells() {
    let bench = Bench::new();
    let (mut keys, mut count) = (Vec::new(), 0);
    for (rule, is_there) in [
        // The system's cache has what was not synced, so recovery finds it.
        ("sync host.db-wal 1 1 eio", true),
        ("sync host.db-wal 1 all eio", true),
        ("write host.db-wal 1 1 eio", false),
    ] {
        let key = format!("key-{}", keys.len());
        let (status, answer, _) = bench.killed_over(rule, || keyed(bench.port, &key, 5));
        assert_eq!(
            (status, &answer["reason"]),
            (500, &json!("outcome_unknown")),
            "{answer}"
        );
        let found = count + if is_there { 5 } else { 0 };
        assert_eq!(summary(bench.port, "a")["count"], found, "{rule}");
        count += 5;
        let (status, first, replayed) = keyed(bench.port, &key, 5);
        assert_eq!((status, replayed), (200, is_there), "{rule}: {first}");
        assert_eq!(first["count"], count, "the answer of the first time");
        assert_eq!(keyed(bench.port, &key, 5), (200, first, true));
        assert_eq!(summary(bench.port, "a")["count"], count, "{rule}");
        keys.push(key);
        bench.is_whole(&keys);
    }
    let log = bench.home.log();
    assert_eq!(log.matches("the host has ended: signal 9").count(), 3);
    assert!(!log.contains("the host has ended: exit code"), "{log}");
    bench.home.stop().unwrap();
}

#[test]
fn all_who_shared_a_group_whose_sync_failed_hear_the_truth_after_a_kill() {
    const CALLERS: usize = 24;
    let bench = Bench::new();
    let keys: Vec<_> = (0..CALLERS).map(|number| format!("key-{number}")).collect();
    let add = |key: &String| {
        let (port, key) = (bench.port, key.clone());
        thread::spawn(move || keyed(port, &key, 1))
    };
    let all = || {
        let callers: Vec<_> = keys.iter().map(add).collect();
        let answers = callers.into_iter().map(|caller| caller.join().unwrap());
        answers.collect::<Vec<_>>()
    };
    let told = bench.killed_over("sync host.db-wal 1 all eio", all);
    let unknown = told
        .iter()
        .filter(|(_, answer, _)| answer["reason"] == "outcome_unknown");
    assert!(unknown.count() > 0, "{told:?}");
    for ((status, answer, _), (again, second, replayed)) in told.iter().zip(all()) {
        assert_eq!(again, 200, "{second}");
        match (status, answer["reason"].as_str()) {
            (200, _) => assert_eq!((answer, replayed), (&second, true)),
            (_, Some("outcome_unknown")) => {}
            _ => assert!(!replayed, "{answer} and then {second}"),
        }
    }
    assert_eq!(summary(bench.port, "a")["count"], CALLERS);
    bench.is_whole(&keys);
    bench.home.stop().unwrap();
}
