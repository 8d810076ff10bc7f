//! A disk that fails under the embedded store: what callers are told, what health
//! says, and what is there afterwards.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use e2e::disk::{Disk, Small};
use e2e::load::{Load, Shape};
use e2e::namespace::within;
use e2e::{Client, Home, Reply, http, wait};
use serde_json::{Value, json};
use test_postgres::shared;

use crate::appups;

const CAMPAIGN: &str = "donations:c";

/// A home over a disk that can fail, with an open campaign.
struct Bench {
    home: Home,
    disk: Disk,
    port: u16,
    pid: u32,
}

impl Bench {
    fn new() -> Self {
        let mut home = Home::new().unwrap();
        let disk = Disk::under(&mut home).unwrap();
        let status = home.start().unwrap();
        open(&home);
        Self {
            home,
            disk,
            port: status.port,
            pid: status.pid,
        }
    }

    fn give(&self, id: &str) -> Reply {
        give(self.port, id).unwrap()
    }

    /// Waits until the disk has failed under the host, and lets it work for the next,
    /// which would otherwise meet the same.
    fn struck(&self) -> String {
        let struck = self.disk.has_struck(self.pid).unwrap();
        self.disk.works().unwrap();
        struck
    }

    /// The host that has just failed is gone, and another serves.
    fn rebooted(&self) {
        self.home.rebooted(self.pid).unwrap();
        self.home.settled().unwrap();
    }
}

fn open(home: &Home) {
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc(CAMPAIGN, "open", &open).unwrap();
}

fn gift(id: &str) -> Value {
    json!({"donation_id": id, "amount": "3.00", "currency": "USD"})
}

/// One gift over a connection of its own.
fn give(port: u16, id: &str) -> anyhow::Result<Reply> {
    let mut client = Client::connect(port)?;
    client.join(CAMPAIGN)?.ok()?;
    client.push(CAMPAIGN, "donate", &gift(id))
}

/// The ids of the gifts that are in the state.
fn gifts(home: &Home) -> Vec<String> {
    let state = home.state(CAMPAIGN).unwrap().state;
    let ledger = state["campaign"]["ledger"].as_array().cloned();
    let ids = ledger.unwrap_or_default().into_iter();
    ids.map(|gift| gift["donation_id"].as_str().unwrap().to_owned())
        .collect()
}

/// What `/readyz` says.
fn readyz(port: u16) -> (u16, String) {
    let answer = http::request(port, "GET", "/readyz", "").unwrap();
    (answer.status, answer.body)
}

fn load(port: u16) -> Load {
    let shape = Shape {
        port,
        clients: 12,
        campaigns: 4,
        pace: Duration::from_millis(2),
    };
    Load::start(shape).unwrap()
}

#[track_caller]
fn is_error(reply: &Reply, wanted: &str) {
    match reply {
        Reply::Error { reason, .. } => assert_eq!(reason, wanted, "{reply:?}"),
        Reply::Ok(_) => panic!("it was acknowledged: {reply:?}"),
    }
}

#[test]
fn a_sync_of_the_log_that_fails_leaves_it_open_and_the_next_start_tells() {
    let bench = Bench::new();
    bench.give("before").ok().unwrap();
    bench.disk.fails(&["sync host.db-wal 1 1 eio"]).unwrap();
    is_error(&bench.give("open"), "outcome_unknown");
    let struck = bench.struck();
    assert!(struck.ends_with("Sync host.db-wal Io"), "{struck}");
    bench.rebooted();
    let log = bench.home.log();
    assert!(log.contains("the store failed in a commit"), "{log}");
    assert!(log.contains("the host has ended: exit code 74"), "{log}");
    // The system's cache has it, so recovery finds it; and a retry says so.
    assert_eq!(gifts(&bench.home), ["before", "open"]);
    let retried = bench.give("open").ok().unwrap();
    assert_eq!(retried["duplicate"], json!(true), "{retried}");
    assert_eq!(gifts(&bench.home), ["before", "open"]);
}

#[test]
fn a_host_killed_in_the_sync_of_the_log_has_lost_nothing_and_doubled_nothing() {
    let bench = Bench::new();
    bench.give("before").ok().unwrap();
    bench.disk.fails(&["sync host.db-wal 1 1 kill"]).unwrap();
    // The connection ends with the host, and without an answer.
    assert!(give(bench.port, "open").is_err());
    bench.struck();
    bench.rebooted();
    assert_eq!(gifts(&bench.home), ["before", "open"]);
    let retried = bench.give("open").ok().unwrap();
    assert_eq!(retried["duplicate"], json!(true), "{retried}");
}

#[test]
fn a_write_of_the_log_that_fails_leaves_it_open_and_the_next_start_tells() {
    let bench = Bench::new();
    bench.give("before").ok().unwrap();
    bench.disk.fails(&["write host.db-wal 1 1 eio"]).unwrap();
    is_error(&bench.give("open"), "outcome_unknown");
    bench.struck();
    bench.rebooted();
    assert_eq!(gifts(&bench.home), ["before"]);
    let retried = bench.give("open").ok().unwrap();
    assert_ne!(retried["duplicate"], json!(true), "{retried}");
    assert_eq!(gifts(&bench.home), ["before", "open"]);
}

/// A store that cannot be taken over is not opened, and the keeper tries again.
#[test]
fn a_disk_that_fails_while_the_host_boots_delays_it_and_no_more() {
    for call in ["write", "sync"] {
        // Each has a keeper of its own, which gives up after five crashes.
        let bench = Bench::new();
        let pid = bench.home.settled().unwrap().pid;
        let struck = bench.disk.struck().len();
        bench
            .disk
            .fails(&[&format!("{call} host.db-wal 1 1 eio")])
            .unwrap();
        bench.home.kill_host().unwrap();
        wait::until("a boot or two have failed", || {
            (bench.disk.struck().len() >= struck + 2).then_some(())
        })
        .unwrap();
        bench.disk.works().unwrap();
        bench.home.rebooted(pid).unwrap();
        bench.give("after").ok().unwrap();
        assert_eq!(gifts(&bench.home), ["after"]);
    }
}

#[test]
fn a_backup_for_which_there_is_no_room_is_not_there_and_is_made_later() {
    for address in [None, Some(shared().database().unwrap())] {
        let mut home = Home::new().unwrap();
        let disk = Disk::under(&mut home).unwrap();
        home.set("DATABASE_URL", address.as_deref());
        let pid = home.start().unwrap().pid;
        open(&home);
        let file = home.path().join("backup.db");
        let backup = ["store", "backup", file.to_str().unwrap(), "--json"];
        let made = || {
            let names = fs::read_dir(home.path()).unwrap();
            let names = names.map(|it| it.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.contains("backup")).count()
        };
        disk.fails(&["write backup.db.partial 3 all enospc"])
            .unwrap();
        let ran = home.host(&backup).unwrap();
        disk.has_struck(pid).unwrap();
        assert_ne!(ran.code, Some(0), "{ran:?}");
        assert!(ran.stdout.contains("full"), "{ran:?}");
        assert_eq!(made(), 0);
        disk.works().unwrap();
        assert_eq!(gifts(&home), Vec::<String>::new(), "the host lives");
        home.done(&backup).unwrap();
        assert_eq!(made(), 1);
    }
}

#[test]
fn a_full_disk_takes_nothing_and_says_so_and_the_host_lives() {
    let rules: [&[&str]; 3] = [
        &["write host.db-wal 1 all enospc"],
        &["write host.db-wal 2 all enospc"],
        // Half a page is written, and then there is no room for the rest.
        &[
            "write host.db-wal 2 1 short",
            "write host.db-wal 3 all enospc",
        ],
    ];
    let bench = Bench::new();
    bench.give("before").ok().unwrap();
    for (number, rules) in rules.into_iter().enumerate() {
        let (refused, after) = (format!("refused-{number}"), format!("after-{number}"));
        let before = gifts(&bench.home);
        bench.disk.fails(rules).unwrap();
        is_error(&bench.give(&refused), "not_applied");
        bench.disk.has_struck(bench.pid).unwrap();
        let (status, body) = readyz(bench.port);
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("the store takes no commands"), "{body}");
        let health = http::request(bench.port, "GET", "/healthz", "").unwrap();
        assert_eq!(health.status, 200);
        // What is there can be read all the while.
        assert_eq!(gifts(&bench.home), before);

        bench.disk.works().unwrap();
        wait::until("the host finds out by itself", || {
            (readyz(bench.port).0 == 200).then_some(())
        })
        .unwrap();
        assert_eq!(gifts(&bench.home), before, "what was refused is not there");
        bench.give(&after).ok().unwrap();
        let retried = bench.give(&refused).ok().unwrap();
        assert_ne!(retried["duplicate"], json!(true), "{retried}");
    }
    let all = gifts(&bench.home);
    assert_eq!(bench.home.status().unwrap().pid, bench.pid);
    assert!(bench.home.log().contains("a group failed"));
    // And the disk has what memory has.
    bench.home.kill_host().unwrap();
    bench.rebooted();
    assert_eq!(gifts(&bench.home), all);
}

#[test]
fn a_full_disk_takes_nothing_of_a_probation() {
    const WINDOW: Duration = Duration::from_secs(3);
    // Time for the disk to fill up, between the last actor and the state that follows.
    let up = r#"{ update = "state" }, { run = "sleep-3000" }"#;
    let mut home = appups::home(up, r#"{ update = "state" }"#);
    let disk = Disk::under(&mut home).unwrap();
    let port = home.start().unwrap().port;
    appups::add(port, "k");
    let line = [
        "upgrade",
        "0.2.0",
        "--no-rehearsal",
        "--probation",
        "3s",
        "--json",
    ];
    let upgrade = home.begin(&line).unwrap();
    let logs = |text: &str| home.log().contains(text).then_some(());
    wait::until("all have come over", || logs("a hook runs")).unwrap();
    disk.fails(&["write host.db-wal 1 all enospc"]).unwrap();
    let unwritten = "the state of an upgrade could not be written";
    wait::until("the disk is full", || logs(unwritten)).unwrap();
    let full = Instant::now();
    wait::until("it is for longer than the window", || {
        (full.elapsed() > WINDOW).then_some(())
    })
    .unwrap();
    disk.works().unwrap();
    let works = Instant::now();
    let report: Value = upgrade.end().unwrap().ends_with(0).unwrap().json().unwrap();
    assert_eq!(report["outcome"], "committed", "{report}");
    assert!(works.elapsed() >= WINDOW, "it was not watched: {report}");
    home.stop().unwrap();
}

#[test]
fn a_disk_that_stalls_is_waited_for_and_named() {
    const STALL: Duration = Duration::from_secs(5);
    let bench = Bench::new();
    bench.give("before").ok().unwrap();
    let rule = format!("sync host.db-wal 1 1 stall={}", STALL.as_millis());
    bench.disk.fails(&[&rule]).unwrap();
    let began = Instant::now();
    let giving = thread::spawn({
        let port = bench.port;
        move || give(port, "slow")
    });
    bench.disk.has_struck(bench.pid).unwrap();
    let (_, body) = wait::until("health names the stall", || {
        Some(readyz(bench.port)).filter(|(status, _)| *status == 503)
    })
    .unwrap();
    assert!(body.contains("the store has not answered for"), "{body}");
    // Operators are served, and nobody is shown what may yet be lost.
    bench.home.status().unwrap();
    assert!(!giving.is_finished());
    giving.join().unwrap().unwrap().ok().unwrap();
    assert!(began.elapsed() >= STALL);
    assert_eq!(gifts(&bench.home), ["before", "slow"]);
    assert_eq!(readyz(bench.port).0, 200);
    assert_eq!(bench.home.status().unwrap().pid, bench.pid);
}

#[test]
fn a_sync_of_the_database_that_fails_ends_the_host_in_order_and_loses_nothing() {
    for strike in ["eio", "kill"] {
        let bench = Bench::new();
        let load = load(bench.port);
        bench
            .disk
            .fails(&[&format!("sync host.db 1 1 {strike}")])
            .unwrap();
        // A checkpoint is due after some megabytes.
        bench.struck();
        bench.rebooted();
        load.more(200).unwrap();
        let seen = load.stop().unwrap();
        seen.tally.audit(&bench.home).unwrap().exact().unwrap();
        if strike == "eio" {
            let log = bench.home.log();
            assert!(
                log.contains("the store is not written to any more"),
                "{log}"
            );
            assert!(log.contains("the host has ended: exit code 74"), "{log}");
        }
    }
}

/// Any call fails, at any moment, under load.
#[test]
fn whichever_call_fails_under_load_every_acknowledged_gift_is_there_once() {
    let rules = [
        "sync host.db-wal 7 1 eio",
        "write host.db-wal 11 1 eio",
        "write host.db-wal 12 1 short",
        "sync host.db-wal 5 1 kill",
        "write host.db-wal 10 1 kill",
        "write host.db-wal 20 60 enospc",
    ];
    let bench = Bench::new();
    let load = load(bench.port);
    for rule in rules {
        load.more(50).unwrap();
        let pid = bench.home.settled().unwrap().pid;
        bench.disk.fails(&[rule]).unwrap();
        bench.disk.has_struck(pid).unwrap();
        bench.disk.works().unwrap();
        if rule.ends_with("eio") || rule.ends_with("kill") {
            bench.home.rebooted(pid).unwrap();
        }
    }
    load.more(50).unwrap();
    let seen = load.stop().unwrap();
    println!("{:?}", seen.errors);
    seen.tally.audit(&bench.home).unwrap().exact().unwrap();
    let may_be = [
        "outcome_unknown",
        "not_applied",
        "stopping",
        "not_woken",
        "actor_crashed",
    ];
    for reason in seen.errors.keys() {
        assert!(may_be.contains(&reason.as_str()), "{reason}");
    }
}

#[test]
fn a_file_system_that_is_full_takes_nothing_and_loses_nothing() {
    let name = "faults::a_file_system_that_is_full_takes_nothing_and_loses_nothing";
    within(name, || {
        let small = Small::mount(32).unwrap();
        let mut home = Home::new().unwrap();
        let store = format!("sqlite:{}", small.path().join("host.db").display());
        home.set("DATABASE_URL", Some(&store));
        let status = home.start().unwrap();
        let load = load(status.port);
        load.more(50).unwrap();
        let ballast = small.fill(256).unwrap();
        // A smaller commit may find room again: what is said at one look counts.
        let body = wait::until("the store takes no more", || {
            let (code, body) = readyz(status.port);
            (code == 503).then_some(body)
        })
        .unwrap();
        assert!(body.contains("the store takes no commands"), "{body}");
        std::fs::remove_file(ballast).unwrap();
        load.more(200).unwrap();
        let seen = load.stop().unwrap();
        seen.tally.audit(&home).unwrap().exact().unwrap();
        assert_eq!(home.status().unwrap().pid, status.pid, "it has lived on");
        home.kill_host().unwrap();
        home.rebooted(status.pid).unwrap();
        seen.tally.audit(&home).unwrap().exact().unwrap();
        home.stop().unwrap();
    })
    .unwrap();
}

/// An operator who was told that nothing was begun is believed by the trail, too.
#[test]
fn an_intent_that_is_durable_too_late_ends_with_not_begun() {
    let bench = Bench::new();
    bench.give("before").ok().unwrap();
    bench
        .disk
        .fails(&["sync host.db-wal 1 1 stall=7000"])
        .unwrap();
    let line = ["store", "pin", "p", "1", "--json"];
    let ran = bench.home.host(&line).unwrap();
    assert_eq!(ran.reason().unwrap(), "not_recorded");
    let line = ["audit", "export", "--actor", "host:operator"];
    let trail = wait::until("the trail says how it ended", || {
        let trail = bench.home.done(&line).ok()?.stdout;
        trail.contains("not_begun").then_some(trail)
    });
    let trail = trail.unwrap();
    assert!(trail.contains(r#""phase":"intended""#), "{trail}");
    let pins = bench.home.done(&["store", "pins", "--json"]).unwrap();
    assert_eq!(pins.json::<serde_json::Value>().unwrap(), json!([]));
}
