//! A host whose journal is in PostgreSQL: what holds on the embedded store holds on a
//! real server, that server killed, replaced and turned back included.

use std::time::Duration;

use e2e::load::{Load, Shape};
use e2e::{Client, Home, wait};
use host_model::control::Outcome;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
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

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
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
    signal(paused, Signal::STOP);
    new.host(&["start", "--take-over"]).unwrap().ok().unwrap();
    new.rpc("donations:x", "donate", &gift("after")).unwrap();
    let line = ["audit", "export", "--actor", "host:operator"];
    let trail = new.done(&line).unwrap().stdout;
    let starts = trail.lines().filter(|it| it.contains(r#""event":"start""#));
    let starts: Vec<_> = starts.collect();
    assert_eq!(starts.len(), 2, "{trail}");
    assert!(starts[0].contains("take_over"), "{trail}");
    signal(paused, Signal::CONT);
    // Whatever it is told, it is not that this was taken: the connection may end first.
    if let Ok(answer) = client.push("donations:x", "donate", &gift("before")) {
        assert!(answer.ok().is_err());
    }
    wait::until("the old host and its keeper have ended", || {
        (old.host_pid().is_none() && old.keeper_pid().is_none()).then_some(())
    })
    .unwrap();
    assert!(old.log().contains("taken the store over"), "{}", old.log());
    let state = new.state("donations:x").unwrap().state;
    let all = state.to_string();
    assert!(all.contains("after") && !all.contains("before"), "{all}");
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
    let database = address
        .rsplit('/')
        .next()
        .unwrap()
        .split('?')
        .next()
        .unwrap();
    let home = home(&address);
    home.start().unwrap();
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc("donations:x", "open", &open).unwrap();
    home.stop().unwrap();
    shared()
        .sql(database, "UPDATE store SET last_pos = last_pos - 1")
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
