//! What was entrusted to a host: its trail is proven and exported, its store is copied,
//! put back and checked, and what operators did is written down with who did it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::load::Load;
use e2e::{Home, release, wait};
use serde_json::{Value, json};

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

pub(crate) fn exported(home: &Home, more: &[&str]) -> Vec<Value> {
    let line = [&["audit", "export"], more].concat();
    lines(&home.done(&line).unwrap().stdout)
}

fn proof(home: &Home) -> Value {
    let line = ["audit", "verify", "--json"];
    home.answer(&line).unwrap()
}

/// A host with a campaign and three gifts.
pub(crate) fn with_gifts() -> Home {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc("donations:c", "open", &open).unwrap();
    for gift in 1..=3 {
        let donate = json!({"donation_id": format!("d{gift}"), "donor": "Sara, \"Umm Ali\"",
            "amount": "5.00", "currency": "USD"});
        home.rpc("donations:c", "donate", &donate).unwrap();
    }
    home
}

pub(crate) fn total(home: &Home) -> Value {
    home.rpc("donations:c", "summary", &json!({})).unwrap()["total"].clone()
}

fn store(home: &Home) -> PathBuf {
    home.path().join("data/host.db")
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_trail_is_proven_and_read_by_name_running_and_stopped() {
    let home = with_gifts();
    let running = proof(&home);
    assert_eq!(
        (&running["kind"], &running["anchor"]),
        (&json!("verified"), &Value::Null)
    );
    let of_actor = ["--actor", "donations:c", "--format", "json"];
    let events = exported(&home, &of_actor);
    let names: Vec<_> = events
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["opened", "donated", "donated", "donated"]);
    assert_eq!(events[3]["fields"]["total"], "15.00");
    assert_eq!(
        (&events[3]["seq"], &events[3]["version"]),
        (&json!(4), &json!("0.1.0"))
    );
    let broadcast = &events[3]["effects"][0]["broadcast"];
    assert_eq!(broadcast["event"], "donation_received", "{}", events[3]);
    assert_eq!(broadcast["payload"]["total"], "15.00");
    assert!(exported(&home, &["--since", "2999-01-01"]).is_empty());

    let csv = [
        "audit",
        "export",
        "--actor",
        "donations:c",
        "--format",
        "csv",
    ];
    let table = home.done(&csv).unwrap().stdout;
    assert!(
        table.starts_with("time,actor,seq,event,amount,count,"),
        "{table}"
    );
    assert!(table.contains("\"Sara, \"\"Umm Ali\"\"\""), "{table}");
    assert_eq!(table.lines().count(), 5);

    home.stop().unwrap();
    let stopped = proof(&home);
    assert_eq!(stopped["store_id"], running["store_id"]);
    assert!(
        stopped["records"].as_u64() > running["records"].as_u64(),
        "the stop is in it"
    );
    assert_eq!(exported(&home, &of_actor), events);
    assert_eq!(home.done(&csv).unwrap().stdout, table);
}

#[test]
fn a_backup_under_load_is_put_back_into_another_home() {
    let home = with_gifts();
    let port = home.status().unwrap().port;
    let load = Load::few(port, Duration::ZERO).unwrap();
    load.more(100).unwrap();
    let file = home.path().join("backup.db");
    let line = ["store", "backup", text(&file), "--json"];
    let report: Value = home.answer(&line).unwrap();
    load.more(100).unwrap();
    load.stop().unwrap();
    let manifest = &report["manifest"];
    assert_eq!(manifest["release"], "0.1.0");
    assert_eq!(manifest["plugins"][0]["name"], "donations");
    assert_eq!(manifest["plugins"][0]["sha256"].as_str().unwrap().len(), 64);
    let again = home.host(&line).unwrap().ends_with(1).unwrap();
    assert_eq!(again.reason().unwrap(), "refused");
    assert_eq!(home.done(&["store", "check"]).unwrap().code, Some(0));

    let other = Home::new().unwrap();
    let line = ["store", "restore", text(&file), "--json"];
    other.done(&line).unwrap();
    other.start().unwrap();
    assert_eq!(total(&other), "15.00");
    assert_eq!(proof(&other)["store_id"], proof(&home)["store_id"]);
    let restored = exported(&other, &["--actor", "host:operator"]);
    assert!(restored.iter().any(|it| it["event"] == "store/restore"));

    // Neither over a host that runs, nor over a store.
    let ran = other.host(&line).unwrap().ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "running");
    other.stop().unwrap();
    let ran = other.host(&line).unwrap().ends_with(1).unwrap();
    assert!(ran.stdout.contains("host.db"), "{}", ran.stdout);

    // What was put back is a store: a copy of its file does not pass for the backup.
    let (raw, third) = (other.path().join("raw.db"), Home::new().unwrap());
    fs::copy(store(&other), &raw).unwrap();
    let line = ["store", "restore", text(&raw), "--json"];
    let ran = third.host(&line).unwrap().ends_with(1).unwrap();
    assert!(ran.stdout.contains("no backup"), "{}", ran.stdout);
}

#[test]
fn a_restore_waits_for_a_process_that_ends_and_names_one_that_does_not() {
    let home = with_gifts();
    home.stop().unwrap();
    let file = home.path().join("backup.db");
    home.done(&["store", "backup", text(&file)]).unwrap();
    let other = Home::new().unwrap();
    let pid_file = other.path().join("run/host.pid");
    fs::create_dir_all(pid_file.parent().unwrap()).unwrap();
    // As one that was killed, and has its lock until its memory is given back.
    let mut dying = Command::new("flock")
        .args([text(&pid_file), "sleep", "1"])
        .spawn()
        .unwrap();
    wait::until("the file is locked", || {
        let file = fs::File::open(&pid_file).ok()?;
        file.try_lock_shared().is_err().then_some(())
    })
    .unwrap();
    let line = ["store", "restore", text(&file), "--json"];
    other.done(&line).unwrap();
    dying.wait().unwrap();

    let held = fs::File::create(&pid_file).unwrap();
    held.lock().unwrap();
    let ran = other.host(&line).unwrap().ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "running");
    assert!(ran.stdout.contains("listens to nobody"), "{}", ran.stdout);
}

#[test]
fn a_home_without_the_plugins_does_not_take_a_backup() {
    let home = with_gifts();
    home.upgrade("0.2.0").unwrap();
    home.stop().unwrap();
    let file = home.path().join("backup.db");
    home.done(&["store", "backup", text(&file)]).unwrap();
    let other = Home::new().unwrap();
    fs::remove_dir_all(other.path().join("releases/0.2.0")).unwrap();
    let line = ["store", "restore", text(&file), "--json"];
    let ran = other.host(&line).unwrap().ends_with(1).unwrap();
    for name in ["release 0.2.0", "donations 0.2.0"] {
        assert!(ran.stdout.contains(name), "{}", ran.stdout);
    }
    assert!(!store(&other).exists());
    // A copy of the store is no backup.
    let copy = store(&home);
    let line = ["store", "restore", text(&copy), "--json"];
    let ran = other.host(&line).unwrap().ends_with(1).unwrap();
    assert!(ran.stdout.contains("no backup"), "{}", ran.stdout);
}

#[test]
fn a_damaged_store_is_named_and_left_as_it_is() {
    let home = with_gifts();
    home.stop().unwrap();
    let whole = fs::read(store(&home)).unwrap();
    let gift = b"\"d2\"";
    // All of them: a page keeps what it had where nothing is by now.
    let found = whole.windows(gift.len()).enumerate();
    let found = found.filter(|(_, it)| it == gift).map(|(at, _)| at);
    for (places, word) in [(found.collect(), "position"), (vec![3], "host.db")] {
        let mut damaged = whole.clone();
        places.into_iter().for_each(|at: usize| damaged[at] ^= 0xff);
        fs::write(store(&home), &damaged).unwrap();
        for line in [&["store", "check"][..], &["audit", "verify"]] {
            let ran = home.host(line).unwrap().ends_with(5).unwrap();
            let said = ran.stdout + &ran.stderr;
            assert!(said.contains(word), "{line:?}: {said}");
            assert_eq!(fs::read(store(&home)).unwrap(), damaged, "{line:?}");
        }
        let ran = home.host(&["start"]).unwrap().ends_with(5).unwrap();
        assert!(ran.stderr.contains(word), "{}", ran.stderr);
        assert_eq!(fs::read(store(&home)).unwrap(), damaged, "start");
    }
    fs::write(store(&home), &whole).unwrap();
    home.done(&["store", "migrate"]).unwrap();
    home.start().unwrap();
    assert_eq!(total(&home), "15.00");
}

#[test]
fn a_store_that_is_an_older_state_of_itself_is_found_by_whoever_looks() {
    let home = with_gifts();
    home.stop().unwrap();
    let older = fs::read(store(&home)).unwrap();
    home.start().unwrap();
    let more = json!({"donation_id": "d4", "donor": "Omar", "amount": "1.00", "currency": "USD"});
    home.rpc("donations:c", "donate", &more).unwrap();
    home.stop().unwrap();
    for line in [&["store", "check"][..], &["audit", "verify"]] {
        home.done(line).unwrap();
    }
    fs::write(store(&home), &older).unwrap();
    for line in [&["store", "check"][..], &["audit", "verify"], &["start"]] {
        let ran = home.host(line).unwrap().ends_with(5).unwrap();
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("has lost"), "{line:?}: {said}");
        assert_eq!(fs::read(store(&home)).unwrap(), older, "{line:?}");
    }
}

#[test]
fn an_export_that_meets_a_damaged_group_is_not_whole_and_says_so() {
    let home = with_gifts();
    let connection = rusqlite::Connection::open(store(&home)).unwrap();
    let damage = "UPDATE groups SET epoch = epoch + 1 WHERE first_pos =
        (SELECT max(first_pos) FROM groups)";
    assert_eq!(connection.execute(damage, []).unwrap(), 1);
    drop(connection);
    let export = ["audit", "export"];
    let running = home.host(&export).unwrap().ends_with(5).unwrap();
    assert!(running.stderr.contains("audit"), "{running:?}");
    home.stop().unwrap();
    let stopped = home.host(&export).unwrap().ends_with(5).unwrap();
    assert!(stopped.stderr.contains("hash"), "{stopped:?}");
}

#[test]
fn what_a_restore_that_was_killed_has_left_is_of_no_account() {
    let home = with_gifts();
    // A log that is whole, of an earlier state of the same store.
    let log = fs::read(home.path().join("data/host.db-wal")).unwrap();
    let gift = json!({"donation_id": "d4", "donor": "Ali", "amount": "5.00", "currency": "USD"});
    home.rpc("donations:c", "donate", &gift).unwrap();
    let file = home.path().join("backup.db");
    home.done(&["store", "backup", text(&file)]).unwrap();
    let other = Home::new().unwrap();
    let data = other.path().join("data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("host.db.restoring"), "half a copy").unwrap();
    fs::write(data.join("host.db.restoring-wal"), log).unwrap();
    other.done(&["store", "restore", text(&file)]).unwrap();
    other.done(&["store", "check"]).unwrap();
    other.done(&["audit", "verify"]).unwrap();
    let left = fs::read_dir(&data).unwrap();
    let mut left = left.map(|it| it.unwrap().file_name().into_string().unwrap());
    assert!(left.all(|name| !name.contains("restoring")));
    other.start().unwrap();
    assert_eq!(total(&other), "20.00");
}

#[test]
fn a_store_that_is_not_there_is_told_from_one_that_was_lost() {
    let home = Home::new().unwrap();
    for line in [
        &["store", "check", "--json"][..],
        &["audit", "verify", "--json"],
    ] {
        let ran = home.host(line).unwrap().ends_with(1).unwrap();
        assert_eq!(ran.reason().unwrap(), "no_store", "{line:?}");
    }
    let line = ["store", "restore", "/nowhere/backup.db", "--json"];
    let ran = home.host(&line).unwrap().ends_with(1).unwrap();
    assert!(ran.stdout.contains("No such file"), "{}", ran.stdout);

    let home = with_gifts();
    home.stop().unwrap();
    let known = fs::read(home.path().join("data/store.json")).unwrap();
    let whole = fs::read(store(&home)).unwrap();
    for lost in [None, Some("")] {
        fs::remove_file(store(&home)).unwrap();
        if let Some(content) = lost {
            fs::write(store(&home), content).unwrap();
        }
        for line in [&["store", "check"][..], &["audit", "verify"]] {
            home.host(line).unwrap().ends_with(5).unwrap();
        }
        let ran = home.host(&["start"]).unwrap().ends_with(5).unwrap();
        assert!(ran.stderr.contains("store.json"), "{}", ran.stderr);
        let there = fs::metadata(store(&home)).map_or(0, |file| file.len());
        assert_eq!(there, 0, "nothing is made");
        fs::write(store(&home), &whole).unwrap();
    }
    let still = fs::read(home.path().join("data/store.json")).unwrap();
    assert_eq!(still, known);
    // The file itself, cut short.
    fs::write(home.path().join("data/store.json"), &known[..9]).unwrap();
    let ran = home.host(&["start"]).unwrap().ends_with(5).unwrap();
    assert!(
        ran.stderr.contains("store.json is damaged"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("remove the file"), "{}", ran.stderr);
    fs::write(home.path().join("data/store.json"), &known).unwrap();
    home.start().unwrap();
    assert_eq!(total(&home), "15.00");
}

#[test]
fn a_host_that_was_killed_does_not_start_without_its_log() {
    let home = with_gifts();
    for pid in [home.keeper_pid().unwrap(), home.host_pid().unwrap()] {
        assert!(e2e::home::kill(pid));
    }
    wait::until("both have ended", || {
        (home.keeper_pid().is_none() && home.host_pid().is_none()).then_some(())
    })
    .unwrap();
    let log = home.path().join("data/host.db-wal");
    let whole = fs::read(&log).unwrap();
    assert!(!whole.is_empty());
    fs::remove_file(&log).unwrap();
    let ran = home.host(&["start"]).unwrap().ends_with(5).unwrap();
    assert!(ran.stderr.contains("host.db-wal"), "{}", ran.stderr);
    fs::write(&log, whole).unwrap();
    home.start().unwrap();
    assert_eq!(total(&home), "15.00");
}

#[test]
fn what_a_version_has_written_is_replayed_by_it_or_named() {
    let home = with_gifts();
    home.upgrade("0.2.0").unwrap();
    home.upgrade("0.3.0").unwrap();
    let check = ["store", "check", "--replay", "--json"];
    let whole: Value = home.answer(&check).unwrap();
    assert_eq!(whole["replay"]["lacking"], json!([]), "{whole}");
    let ran = home.host(&["remove", "0.1.0", "--json"]).unwrap();
    let ran = ran.ends_with(1).unwrap();
    assert!(ran.stdout.contains("--no-replay"), "{}", ran.stdout);
    home.done(&["remove", "0.1.0", "--no-replay"]).unwrap();
    let rest: Value = home.answer(&check).unwrap();
    assert_eq!(rest["ok"], true, "{rest}");
    let lacking = &rest["replay"]["lacking"];
    assert_eq!(lacking[0]["plugin"], "donations", "{rest}");
    assert_eq!(lacking[0]["version"], "0.1.0", "{rest}");
    let said = home.done(&check[..3]).unwrap().stdout;
    assert!(said.contains("not replayed: "), "{said}");
}

#[test]
fn a_pin_is_kept_under_its_name() {
    let home = with_gifts();
    home.done(&["store", "pin", "audit-2026", "7"]).unwrap();
    let pins: Value = home
        .host(&["store", "pins", "--json"])
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(pins, json!([{"name": "audit-2026", "position": 7}]));
    home.done(&["store", "unpin", "audit-2026"]).unwrap();
    let ran = home
        .host(&["store", "unpin", "audit-2026", "--json"])
        .unwrap();
    assert_eq!(ran.ends_with(1).unwrap().reason().unwrap(), "no_such_pin");
}

#[test]
fn every_actor_is_replayed_to_what_the_store_has() {
    let home = with_gifts();
    home.upgrade("0.2.0").unwrap();
    let gift = json!({"donation_id": "d9", "amount": "9.00", "currency": "USD", "fund": "waqf"});
    home.rpc("donations:c", "donate", &gift).unwrap();
    home.rollback().unwrap();
    for running in [true, false] {
        let line = ["store", "check", "--replay", "--json"];
        let report: Value = home.answer(&line).unwrap();
        assert_eq!(report["ok"], true, "{report}");
        assert!(report["replay"]["actors"].as_u64() >= Some(1), "{report}");
        assert!(report["replay"]["events"].as_u64() >= Some(5), "{report}");
        if running {
            home.stop().unwrap();
        }
    }
}

#[test]
fn a_plugin_that_replays_to_something_else_is_named() {
    let home = Home::new().unwrap();
    let fickle = ["plugins/hostile/fickle/0.1.0"];
    release::assemble(&home, "0.1.0", &fickle, &[]).unwrap();
    for other in ["0.2.0", "0.3.0"] {
        fs::remove_dir_all(home.path().join("releases").join(other)).unwrap();
    }
    home.start().unwrap();
    home.rpc("fickle:right", "count", &json!({})).unwrap();
    home.rpc("fickle:wrong", "home", &json!({})).unwrap();
    home.stop().unwrap();
    let line = ["store", "check", "--replay", "--json"];
    let report: Value = home
        .host(&line)
        .unwrap()
        .ends_with(5)
        .unwrap()
        .json()
        .unwrap();
    assert_eq!(report["damages"], json!([]), "{report}");
    let violations = report["replay"]["violations"].as_array().unwrap();
    assert_eq!(violations.len(), 1, "{report}");
    assert_eq!(violations[0]["what"], "fickle:wrong");
}
