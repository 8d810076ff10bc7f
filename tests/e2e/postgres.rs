//! A host whose journal is in PostgreSQL: what holds on the embedded store holds on a
//! real server, that server killed, replaced and turned back included.

use std::time::Duration;

use e2e::home::signal;
use e2e::load::{Load, Shape};
use e2e::{Client, Home, wait};
use host_model::control::Outcome;
use rustix::process::Signal;
use serde_json::{Value, json};
use test_postgres::{Server, shared};

/// A home for the database at this address.
fn home(address: &str) -> Home {
    let home = Home::new().unwrap();
    home.configure(&format!("DATABASE_URL={address}")).unwrap();
    home
}

fn load(port: u16) -> Load {
    let shape = Shape {
        port,
        clients: 8,
        campaigns: 4,
        pace: Duration::from_millis(5),
    };
    Load::start(shape).unwrap()
}

/// The database's name in an address.
fn name(address: &str) -> &str {
    let path = address.split('?').next().unwrap();
    path.rsplit('/').next().unwrap()
}

const CAMPAIGN: &str = "donations:c";

/// Opens a campaign, and gives it three gifts.
fn with_gifts(home: &Home) {
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc(CAMPAIGN, "open", &open).unwrap();
    for id in ["one", "two", "three"] {
        give(home, id);
    }
}

fn give(home: &Home, id: &str) {
    let gift = json!({"donation_id": id, "amount": "3.00", "currency": "USD"});
    home.rpc(CAMPAIGN, "donate", &gift).unwrap();
}

fn total(home: &Home) -> Value {
    home.rpc(CAMPAIGN, "summary", &json!({})).unwrap()["total"].clone()
}

/// All of the audit trail, a line for each record.
fn trail(home: &Home) -> Vec<String> {
    let exported = home.done(&["audit", "export"]).unwrap().stdout;
    exported.lines().map(str::to_owned).collect()
}

/// The trail is proven, and everything in the store holds, replayed as well.
fn is_whole(home: &Home) {
    let line = ["audit", "verify", "--json"];
    let proof: Value = home.answer(&line).unwrap();
    assert_eq!(proof["kind"], "verified", "{proof}");
    let line = ["store", "check", "--replay", "--json"];
    let checked: Value = home.answer(&line).unwrap();
    assert_eq!(checked["ok"], true, "{checked}");
}

#[test]
fn a_backup_under_load_is_put_back_into_an_empty_database_of_another_home() {
    let home = home(&shared().database().unwrap());
    let port = home.start().unwrap().port;
    with_gifts(&home);
    let load = load(port);
    load.more(200).unwrap();
    let file = home.path().join("backup.db");
    let backup = ["store", "backup", file.to_str().unwrap(), "--json"];
    let report: Value = home.answer(&backup).unwrap();
    let plugin = &report["manifest"]["plugins"][0];
    assert_eq!(plugin["name"], "donations", "{report}");
    assert_eq!(plugin["sha256"].as_str().unwrap().len(), 64, "{report}");
    load.more(100).unwrap();
    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
    let ran = home.host(&backup).unwrap().ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "refused");
    home.stop().unwrap();

    // Into a database that has a store nothing is put, and into none without the plugins.
    let restore = ["store", "restore", file.to_str().unwrap(), "--json"];
    let ran = home.host(&restore).unwrap().ends_with(1).unwrap();
    for words in ["has a store", "stays as it is", "DATABASE_URL"] {
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
    }
    let address = shared().database().unwrap();
    let other = self::home(&address);
    let releases = other.path().join("releases");
    std::fs::rename(releases.join("0.1.0/plugins"), releases.join("away")).unwrap();
    let ran = other.host(&restore).unwrap().ends_with(1).unwrap();
    assert!(ran.stdout.contains("donations 0.1.0"), "{}", ran.stdout);
    let tables = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(shared().sql(name(&address), tables).unwrap(), "0");
    std::fs::rename(releases.join("away"), releases.join("0.1.0/plugins")).unwrap();
    other.done(&restore).unwrap();

    let (before, after) = (trail(&home), trail(&other));
    let shared = before
        .iter()
        .zip(&after)
        .take_while(|(one, other)| one == other);
    let shared = shared.count();
    let of_load = |line: &&String| line.contains(r#""event":"donated""#);
    assert!(after[..shared].iter().filter(of_load).count() >= 203);
    let own = &after[shared..];
    assert!(own.iter().all(|it| it.contains("store/restore")), "{own:?}");
    is_whole(&other);
    other.start().unwrap();
    is_whole(&other);
    assert_eq!(total(&other), "9.00");
    give(&other, "four");
    let report = other.upgrade("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(total(&other), "12.00");
    is_whole(&other);
}

#[test]
fn a_store_moves_to_postgres_and_back_with_all_that_it_had() {
    let mut home = Home::new().unwrap();
    home.start().unwrap();
    with_gifts(&home);
    home.upgrade("0.2.0").unwrap();
    give(&home, "four");
    home.stop().unwrap();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (first, second) = (file("first.db"), file("second.db"));
    home.done(&["store", "backup", &first]).unwrap();
    let embedded = trail(&home);
    let begins_with = |all: &[String], first: &[String]| {
        assert!(all.len() > first.len());
        assert_eq!(all[..first.len()], *first);
    };

    let address = shared().database().unwrap();
    home.set("DATABASE_URL", Some(&address));
    home.done(&["store", "restore", &first]).unwrap();
    let moved = trail(&home);
    // Behind what the backup has of itself.
    begins_with(&moved, &embedded[..embedded.len() - 1]);
    is_whole(&home);
    let status = home.start().unwrap();
    assert!(
        status.store.starts_with("postgresql://"),
        "{}",
        status.store
    );
    assert_eq!(total(&home), "12.00");
    give(&home, "five");
    // Not a second time: an answer is known by its key.
    give(&home, "one");
    assert_eq!(total(&home), "15.00");
    home.stop().unwrap();
    home.done(&["store", "backup", &second]).unwrap();
    let away = trail(&home);

    home.set("DATABASE_URL", None);
    let ran = home.host(&["store", "restore", &second]).unwrap();
    let ran = ran.ends_with(1).unwrap();
    assert!(ran.stderr.contains("host.db"), "{}", ran.stderr);
    let left = home.path().join("data/host.db");
    std::fs::rename(&left, home.path().join("moved.db")).unwrap();
    for beside in ["host.db-wal", "host.db-shm"] {
        // What there is of them.
        let _ = std::fs::remove_file(left.with_file_name(beside));
    }
    home.done(&["store", "restore", &second]).unwrap();
    begins_with(&trail(&home), &away[..away.len() - 1]);
    is_whole(&home);
    home.start().unwrap();
    assert_eq!(total(&home), "15.00");
    give(&home, "six");
    home.rollback().unwrap();
    assert_eq!(total(&home), "18.00");
    is_whole(&home);
}

#[test]
fn an_upgrade_and_the_way_back_under_load_lose_nothing_and_close_no_connection() {
    let home = home(&shared().database().unwrap());
    let status = home.start().unwrap();
    assert!(
        status.store.starts_with("postgresql://host@127.0.0.1"),
        "{}",
        status.store
    );
    assert!(!home.data().join("data/host.db").exists());
    let load = load(status.port);
    load.more(200).unwrap();
    let report = home.upgrade("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let rehearsal = report.rehearsal.unwrap();
    assert!(rehearsal.rehearsed > 0, "{rehearsal:?}");
    load.more(200).unwrap();
    assert_eq!(home.rollback().unwrap().outcome, Outcome::Committed);
    load.more(200).unwrap();
    let seen = load.stop().unwrap();
    assert_eq!(seen.closed, 0, "no connection closes");
    seen.tally.audit(&home).unwrap().exact().unwrap();

    // And again from the store alone.
    home.stop().unwrap();
    home.start().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn nothing_is_lost_or_doubled_when_host_and_server_are_killed_under_load() {
    let mut server = Server::start().unwrap();
    let home = home(&server.database().unwrap());
    let port = home.start().unwrap().port;
    let load = load(port);
    for _ in 0..2 {
        load.more(100).unwrap();
        server.kill().unwrap();
        server.boot().unwrap();
        load.more(100).unwrap();
        let old = home.kill_host().unwrap();
        home.rebooted(old).unwrap();
    }
    load.more(100).unwrap();
    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn a_paused_owner_writes_nothing_after_it_was_replaced_and_ends_with_5() {
    let address = shared().database().unwrap();
    let (old, new) = (home(&address), home(&address));
    let port = old.start().unwrap().port;
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    old.rpc("donations:x", "open", &open).unwrap();

    let refused = new
        .host(&["start", "--json"])
        .unwrap()
        .ends_with(1)
        .unwrap();
    assert!(
        format!("{refused:?}").contains("--take-over"),
        "{refused:?}"
    );

    let gift = |id: &str| json!({"donation_id": id, "amount": "3.00", "currency": "USD"});
    let mut client = Client::connect(port).unwrap();
    client.join("donations:x").unwrap().ok().unwrap();
    let paused = old.host_pid().unwrap();
    assert!(signal(paused, Signal::STOP));
    new.host(&["start", "--take-over"]).unwrap().ok().unwrap();
    new.rpc("donations:x", "donate", &gift("after")).unwrap();
    let line = ["audit", "export", "--actor", "host:operator"];
    let trail = new.done(&line).unwrap().stdout;
    let starts = trail.lines().filter(|it| it.contains(r#""event":"start""#));
    let starts: Vec<_> = starts.collect();
    assert_eq!(starts.len(), 4, "{trail}");
    let takes_over = |it: &&str| it.contains("take_over");
    let positions: Vec<_> = (0..4).filter(|at| takes_over(&starts[*at])).collect();
    assert_eq!(positions, [2], "{trail}");
    assert!(signal(paused, Signal::CONT));
    // Whatever it is told, it is not that this was taken: the connection may end first.
    if let Ok(answer) = client.push("donations:x", "donate", &gift("before")) {
        assert!(answer.ok().is_err());
    }
    wait::until("the old host and its keeper have ended", || {
        (old.host_pid().is_none() && old.keeper_pid().is_none()).then_some(())
    })
    .unwrap();
    assert!(old.log().contains("taken the store over"), "{}", old.log());
    let ended = "the host has ended: exit code 5";
    assert!(old.log().contains(ended), "{}", old.log());
    let state = new.state("donations:x").unwrap().state;
    let all = state.to_string();
    assert!(all.contains("after") && !all.contains("before"), "{all}");
}

#[test]
fn a_host_whose_tables_are_dropped_ends_and_is_not_started_again() {
    let address = shared().database().unwrap();
    let home = home(&address);
    home.start().unwrap();
    let tables = "DROP TABLE store, groups, snapshots";
    shared().sql(name(&address), tables).unwrap();
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc("donations:x", "open", &open).unwrap_err();
    wait::until("the host and its keeper have ended", || {
        (home.host_pid().is_none() && home.keeper_pid().is_none()).then_some(())
    })
    .unwrap();
    let log = home.log();
    assert!(log.contains("has not all tables of the store"), "{log}");
    assert!(log.contains("the host has ended: exit code 5"), "{log}");
    home.host(&["start"]).unwrap().ends_with(5).unwrap();
}

#[test]
fn a_home_that_knows_its_store_is_not_started_on_another_database() {
    let home = home(&shared().database().unwrap());
    home.start().unwrap();
    home.stop().unwrap();
    let known = std::fs::read(home.data().join("data/store.json")).unwrap();
    let other = shared().database().unwrap();
    home.configure(&format!("DATABASE_URL={other}")).unwrap();
    let refused = home.host(&["start"]).unwrap().ends_with(5).unwrap();
    assert!(refused.stderr.contains("store.json"), "{refused:?}");
    let still = std::fs::read(home.data().join("data/store.json")).unwrap();
    assert_eq!(still, known);
    std::fs::remove_file(home.data().join("data/store.json")).unwrap();
    home.start().unwrap();
}

#[test]
fn a_store_that_has_lost_what_it_had_is_not_started_on() {
    let address = shared().database().unwrap();
    let home = home(&address);
    home.start().unwrap();
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc("donations:x", "open", &open).unwrap();
    home.stop().unwrap();
    shared()
        .sql(name(&address), "UPDATE store SET last_pos = last_pos - 1")
        .unwrap();
    let refused = home
        .host(&["start", "--json"])
        .unwrap()
        .ends_with(5)
        .unwrap();
    assert!(
        format!("{refused:?}").contains("has lost 1 positions"),
        "{refused:?}"
    );
}
