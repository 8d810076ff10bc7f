//! A host and its PostgreSQL server in trouble, as operators see it: who may be trusted,
//! what may be lost, what is said while it is away, and what is kept.

use e2e::{Client, Home, Reply, http, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use test_postgres::{Authority, Proxy, Server, Trouble, shared};

const CAMPAIGN: &str = "donations:c";

/// A home for the database at this address.
fn home(address: &str) -> Home {
    let home = Home::new().unwrap();
    home.configure(&format!("DATABASE_URL={address}")).unwrap();
    home
}

/// The database's name in an address.
fn name(address: &str) -> &str {
    let path = address.split('?').next().unwrap();
    path.rsplit('/').next().unwrap()
}

fn open(home: &Home) {
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc(CAMPAIGN, "open", &open).unwrap();
}

fn gift(id: &str) -> Value {
    json!({"donation_id": id, "amount": "3.00", "currency": "USD"})
}

/// The ids of the gifts that are in the state.
fn gifts(home: &Home) -> Vec<String> {
    let state = home.state(CAMPAIGN).unwrap().state;
    let ledger = state["campaign"]["ledger"].as_array().cloned();
    let ids = ledger.unwrap_or_default().into_iter();
    ids.map(|gift| gift["donation_id"].as_str().unwrap().to_owned())
        .collect()
}

/// A start that is refused with this code: what it said.
fn refused(home: &Home, code: i32) -> String {
    let ran = home.host(&["start", "--json"]).unwrap();
    let ran = ran.ends_with(code).unwrap();
    format!("{}{}", ran.stdout, ran.stderr)
}

#[test]
fn a_server_is_trusted_by_its_authority_and_its_name() {
    let (ours, others) = (
        Authority::new("ours").unwrap(),
        Authority::new("others").unwrap(),
    );
    let mut server = Server::start().unwrap();
    server.speak_tls(&ours, "localhost").unwrap();
    let (port, plain) = (server.port(), server.database().unwrap());
    let at = |host: &str, mode: &str| {
        let name = name(&plain);
        home(&format!(
            "postgresql://host@{host}:{port}/{name}?sslmode={mode}"
        ))
    };
    let known_by = |home: &Home, authority: &Authority| {
        let line = format!("SSL_CERT_FILE={}", authority.file().display());
        home.configure(&line).unwrap();
    };

    let right = at("localhost", "verify-full");
    known_by(&right, &ours);
    right.start().unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name LIKE 'host %'";
    assert_eq!(server.sql(name(&plain), encrypted).unwrap(), "t");
    right.stop().unwrap();

    let misnamed = at("127.0.0.1", "verify-full");
    known_by(&misnamed, &ours);
    let said = refused(&misnamed, 1);
    assert!(
        said.contains("is for another name than the host in DATABASE_URL"),
        "{said}"
    );
    let unknown = at("localhost", "verify-full");
    known_by(&unknown, &others);
    let said = refused(&unknown, 1);
    assert!(said.contains("no authority that is known here"), "{said}");
    assert!(said.contains("SSL_CERT_FILE"), "{said}");
    let nameless = at("127.0.0.1", "verify-ca");
    known_by(&nameless, &others);
    assert!(refused(&nameless, 1).contains("no authority that is known here"));
    known_by(&nameless, &ours);
    nameless.start().unwrap();
    nameless.stop().unwrap();
}

#[test]
fn a_start_without_a_synchronous_standby_says_what_that_means() {
    const ALONE: &str = "synchronous_standby_names is empty";
    let server = Server::start().unwrap();
    let address = server.database().unwrap();
    let home = home(&address);
    home.start().unwrap();
    let log = home.log();
    let line = log.lines().find(|line| line.contains(ALONE));
    let line = line.expect("it is said");
    assert!(
        line.contains("WARN") && line.contains("exit code 5"),
        "{line}"
    );
    home.stop().unwrap();

    let _standby = server.standby().unwrap();
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ] {
        server.sql("postgres", sql).unwrap();
    }
    let waits = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
    wait::until_is("the standby is synchronous", &"1".to_owned(), || {
        server.sql("postgres", waits).unwrap()
    })
    .unwrap();
    let before = home.log().len();
    home.start().unwrap();
    open(&home);
    assert!(!home.log()[before..].contains(ALONE), "{}", home.log());
}

#[test]
fn a_standby_that_was_behind_ends_the_host_with_5_and_the_right_server_is_taken_again() {
    let mut primary = Server::start().unwrap();
    let address = primary.database().unwrap();
    let proxy = Proxy::start(primary.port()).unwrap();
    let home = home(&proxy.url(name(&address)));
    home.start().unwrap();
    open(&home);
    let standby = primary.standby().unwrap();
    // From now on the standby hears nothing, and the primary acknowledges on its own.
    for sql in [
        "ALTER SYSTEM SET primary_conninfo = ''",
        "SELECT pg_reload_conf()",
    ] {
        standby.sql("postgres", sql).unwrap();
    }
    wait::until_is("the standby is cut off", &"0".to_owned(), || {
        let sql = "SELECT count(*) FROM pg_stat_replication";
        primary.sql("postgres", sql).unwrap()
    })
    .unwrap();
    home.rpc(CAMPAIGN, "donate", &gift("acknowledged")).unwrap();
    primary.kill().unwrap();
    standby.promote().unwrap();
    proxy.redirect(standby.port());

    wait::until("the host and its keeper have ended", || {
        (home.host_pid().is_none() && home.keeper_pid().is_none()).then_some(())
    })
    .unwrap();
    let log = home.log();
    for words in ["it has lost", "when an operator has looked", "exit code 5"] {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
    let said = refused(&home, 5);
    assert!(
        said.contains("it has lost") && said.contains("store.json"),
        "{said}"
    );

    // The server that has it all.
    standby.pause().unwrap();
    primary.boot().unwrap();
    proxy.redirect(primary.port());
    home.start().unwrap();
    assert_eq!(gifts(&home), ["acknowledged"]);
}

#[test]
fn while_its_server_is_away_a_host_says_so_and_every_answer_is_true() {
    let address = shared().database().unwrap();
    let proxy = Proxy::start(shared().port()).unwrap();
    let home = home(&proxy.url(name(&address)));
    let port = home.start().unwrap().port;
    open(&home);
    let mut client = Client::connect(port).unwrap();
    client.join(CAMPAIGN).unwrap().ok().unwrap();
    let mut give = |id: &str| client.push(CAMPAIGN, "donate", &gift(id)).unwrap();

    // The record with this gift is on its way.
    proxy.make(Trouble::SwallowAnswer(b"gift-done".to_vec()));
    give("gift-done").ok().unwrap();
    assert_eq!(proxy.struck(), 1);
    let log = home.log();
    assert!(log.contains("and was found to be done"), "{log}");

    proxy.make(Trouble::SwallowRequest(b"gift-lost".to_vec()));
    match give("gift-lost") {
        Reply::Error { reason, .. } => assert_eq!(reason, "not_applied"),
        Reply::Ok(reply) => panic!("it was acknowledged: {reply}"),
    }
    assert_eq!(proxy.struck(), 2);
    assert_eq!(gifts(&home), ["gift-done"]);
    let again = give("gift-lost").ok().unwrap();
    assert_eq!(again["duplicate"], Value::Null, "{again}");

    // Nobody writes, and it is noticed all the same.
    let readyz = || {
        let answer = http::request(port, "GET", "/readyz", "").unwrap();
        (answer.status, answer.body)
    };
    proxy.make(Trouble::Cut);
    let (_, body) = wait::until("it is not ready", || {
        Some(readyz()).filter(|(status, _)| *status == 503)
    })
    .unwrap();
    assert!(body.contains("the store does not answer"), "{body}");
    proxy.make(Trouble::None);
    wait::until("it is ready again", || (readyz().0 == 200).then_some(())).unwrap();
    give("after").ok().unwrap();
    assert_eq!(gifts(&home), ["gift-done", "gift-lost", "after"]);
}

#[test]
fn a_host_that_is_fenced_in_the_middle_of_a_commit_closes_in_order() {
    let address = shared().database().unwrap();
    let home = home(&address);
    let port = home.start().unwrap().port;
    open(&home);
    let mut client = Client::connect(port).unwrap();
    client.join(CAMPAIGN).unwrap().ok().unwrap();
    // As a take-over does, and so that its lease does not tell first.
    shared()
        .sql(name(&address), "UPDATE store SET epoch = epoch + 1")
        .unwrap();
    // It may be told so, or find its connection closed; never that it was taken.
    if let Ok(answer) = client.push(CAMPAIGN, "donate", &gift("late")) {
        match answer {
            Reply::Error { reason, .. } => assert_eq!(reason, "not_applied"),
            Reply::Ok(reply) => panic!("it was acknowledged: {reply}"),
        }
    }
    wait::until("the host and its keeper have ended", || {
        (home.host_pid().is_none() && home.keeper_pid().is_none()).then_some(())
    })
    .unwrap();
    let log = home.log();
    for words in [
        "taken the store over",
        "when an operator has looked",
        "the host has stopped",
        "exit code 5",
    ] {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
}

#[test]
fn what_is_kept_in_postgres_is_proven_exported_and_checked_running_and_stopped() {
    let address = shared().database().unwrap();
    let home = home(&address);
    home.start().unwrap();
    open(&home);
    for id in ["one", "two"] {
        home.rpc(CAMPAIGN, "donate", &gift(id)).unwrap();
    }
    home.upgrade("0.2.0").unwrap();
    home.rpc(CAMPAIGN, "donate", &gift("three")).unwrap();
    let export = || {
        let line = ["audit", "export", "--actor", CAMPAIGN];
        home.done(&line).unwrap().stdout
    };
    let proof = || {
        home.answer::<Value>(&["audit", "verify", "--json"])
            .unwrap()
    };
    let check = |more: &[&str]| -> Value {
        home.answer(&[&["store", "check", "--json"], more].concat())
            .unwrap()
    };
    let (running, exported) = (proof(), export());
    assert_eq!(running["kind"], "verified");
    assert_eq!(exported.lines().count(), 4, "{exported}");
    for checked in [check(&[]), check(&["--replay"])] {
        assert_eq!(checked["ok"], true, "{checked}");
    }

    home.stop().unwrap();
    let stopped = proof();
    assert_eq!(stopped["store_id"], running["store_id"]);
    assert!(stopped["records"].as_u64() > running["records"].as_u64());
    assert_eq!(export(), exported);
    let checked = check(&["--replay"]);
    assert_eq!(checked["ok"], true, "{checked}");
    assert!(checked["replay"]["events"].as_u64() > Some(0), "{checked}");
    let migrated: Value = home.answer(&["store", "migrate", "--json"]).unwrap();
    assert_eq!(migrated["from"], migrated["to"], "{migrated}");

    // What is damaged is named.
    let damage = "UPDATE groups SET body = substr(body, 1, 1)
                  WHERE first_pos = (SELECT max(first_pos) FROM groups)";
    shared().sql(name(&address), damage).unwrap();
    let broken = home.host(&["audit", "verify", "--json"]).unwrap();
    let broken: Value = broken.ends_with(5).unwrap().json().unwrap();
    assert_eq!(broken["kind"], "broken", "{broken}");
    let broken = home.host(&["store", "check", "--json"]).unwrap();
    let broken: Value = broken.ends_with(5).unwrap().json().unwrap();
    assert_eq!(broken["ok"], false, "{broken}");
}

#[test]
fn a_crashed_host_waits_for_a_server_that_is_away_and_its_keeper_does_not_give_up() {
    let address = shared().database().unwrap();
    let proxy = Proxy::start(shared().port()).unwrap();
    let home = home(&proxy.url(name(&address)));
    home.start().unwrap();
    open(&home);
    proxy.make(Trouble::Cut);
    let old = home.host_pid().unwrap();
    let pid = Pid::from_raw(i32::try_from(old).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let tried = proxy.refused();
    wait::until("the next host tries again and again", || {
        (proxy.refused() >= tried + 8).then_some(())
    })
    .unwrap();
    proxy.make(Trouble::None);
    home.rebooted(old).unwrap();
    home.rpc(CAMPAIGN, "donate", &gift("after")).unwrap();
    let crashes = home.log().matches("the host has ended").count();
    assert_eq!(crashes, 1, "{}", home.log());
}
