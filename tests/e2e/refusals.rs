//! What an operator may ask and not get: each with an exit code, a reason, and
//! nothing changed.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::namespace::behind;
use e2e::{Home, Ran, http, wait};
use serde_json::{Value, json};

/// A home that runs, with one campaign and one gift in it.
fn running() -> Home {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc("donations:c", "open", &open).unwrap();
    let gift = json!({"donation_id": "d1", "amount": "1.00", "currency": "USD"});
    home.rpc("donations:c", "donate", &gift).unwrap();
    home
}

/// It is as it was, and takes gifts.
fn is_unharmed(home: &Home) {
    let status = home.settled().unwrap();
    assert_eq!(status.version.to_string(), "0.1.0");
    assert_eq!(status.permanent.to_string(), "0.1.0");
    let gift = json!({"donation_id": "d2", "amount": "2.00", "currency": "USD"});
    home.rpc("donations:c", "donate", &gift).unwrap();
    let summary = home.rpc("donations:c", "summary", &json!({})).unwrap();
    assert_eq!(
        (&summary["total"], &summary["count"]),
        (&json!("3.00"), &json!(2))
    );
}

fn upgrade(home: &Home, version: &str) -> Ran {
    home.host(&["upgrade", version, "--probation", "0s", "--json"])
        .unwrap()
}

/// Refused with this reason; gives what it said.
fn refused(ran: Ran, reason: &str) -> String {
    let ran = ran.ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), reason, "{}", ran.stdout);
    ran.stdout
}

#[test]
fn a_release_that_is_not_there() {
    let home = running();
    let said = refused(upgrade(&home, "9.9.9"), "not_installed");
    let said: Value = serde_json::from_str(&said).unwrap();
    let way = (&said["from"], &said["to"], &said["outcome"]);
    assert_eq!(way, (&json!("0.1.0"), &json!("9.9.9"), &json!("refused")));
    assert!(
        said["message"].as_str().unwrap().contains("9.9.9"),
        "{said}"
    );
    is_unharmed(&home);
}

#[test]
fn the_release_that_rules_already() {
    let home = running();
    refused(upgrade(&home, "0.1.0"), "same_version");
    is_unharmed(&home);
}

#[test]
fn programs_hear_of_wrong_usage_too() {
    let home = Home::new().unwrap();
    for line in [
        &["upgrade", "next", "--json"][..],
        &["--json", "nonsense"],
        &["--json", "upgrade"],
        &["--json"],
    ] {
        let ran = home.host(line).unwrap().ends_with(2).unwrap();
        let said: Value = ran.json().unwrap();
        assert_eq!(
            (&said["reason"], &said["exit_code"]),
            (&json!("usage"), &json!(2)),
            "{said}"
        );
        assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
    }
    // Help is what was asked for.
    let ran = home.done(&["--json", "upgrade", "--help"]).unwrap();
    assert!(ran.stdout.contains("Usage: host upgrade"), "{ran:?}");
}

#[test]
fn a_home_too_deep_for_a_socket_runs_no_host() {
    let mut home = Home::new().unwrap();
    let deep = home.path().join("d".repeat(100));
    home.set("HOST_DATA", deep.to_str());
    for command in ["stop", "status", "pid"] {
        let ran = home.host(&[command, "--json"]).unwrap().ends_with(3);
        let ran = ran.unwrap();
        assert_eq!(ran.reason().unwrap(), "not_running");
        assert!(ran.stdout.contains("set HOST_DATA"), "{ran:?}");
    }
}

#[test]
fn a_version_that_is_none_is_a_matter_of_usage() {
    let home = running();
    let ran = home
        .host(&["upgrade", "next"])
        .unwrap()
        .ends_with(2)
        .unwrap();
    assert!(ran.stderr.contains("next"), "{}", ran.stderr);
    is_unharmed(&home);
}

#[test]
fn a_library_with_one_bit_changed() {
    let home = running();
    let library = only_file(&home.path().join("releases/0.2.0/plugins"), "donations");
    let mut bytes = fs::read(&library).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replace(&library, &bytes);
    let ran = upgrade(&home, "0.2.0").ends_with(1).unwrap();
    assert!(ran.stdout.contains("digest"), "{}", ran.stdout);
    assert!(ran.stdout.contains("donations"), "{}", ran.stdout);
    is_unharmed(&home);
}

#[test]
fn a_library_that_is_gone() {
    let home = running();
    let library = only_file(&home.path().join("releases/0.2.0/plugins"), "zakat");
    fs::remove_file(&library).unwrap();
    let ran = upgrade(&home, "0.2.0").ends_with(1).unwrap();
    assert!(ran.stdout.contains("zakat"), "{}", ran.stdout);
    is_unharmed(&home);
}

#[test]
fn a_release_without_an_appup() {
    let home = running();
    let manifest = home.path().join("releases/0.2.0/manifest.json");
    let mut release: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    release["upgrade_scripts"] = json!([]);
    replace(&manifest, release.to_string().as_bytes());
    let said = refused(upgrade(&home, "0.2.0"), "no_path");
    assert!(said.contains("donations"), "{said}");
    is_unharmed(&home);
}

#[test]
fn an_appup_that_is_gone() {
    let home = running();
    let script = "releases/0.2.0/upgrade-scripts/donations-0.2.0.toml";
    fs::remove_file(home.path().join(script)).unwrap();
    let said = refused(upgrade(&home, "0.2.0"), "broken_release");
    assert!(said.contains(script), "{said}");
    is_unharmed(&home);
}

#[test]
fn an_appup_that_is_no_toml() {
    let home = running();
    let script = home
        .path()
        .join("releases/0.2.0/upgrade-scripts/donations-0.2.0.toml");
    replace(&script, b"plugin = donations");
    let ran = upgrade(&home, "0.2.0").ends_with(1).unwrap();
    assert!(
        ran.stdout.contains("donations-0.2.0.toml"),
        "{}",
        ran.stdout
    );
    is_unharmed(&home);
}

#[test]
fn a_manifest_that_is_cut_off() {
    let home = running();
    let manifest = home.path().join("releases/0.2.0/manifest.json");
    let text = fs::read(&manifest).unwrap();
    replace(&manifest, &text[..text.len() / 2]);
    let said = refused(upgrade(&home, "0.2.0"), "broken_release");
    assert!(said.contains("manifest.json"), "{said}");
    is_unharmed(&home);
}

#[test]
fn a_second_upgrade_while_one_is_watched() {
    let home = running();
    home.detach("0.2.0").unwrap();
    let said = refused(upgrade(&home, "0.2.0"), "busy");
    assert!(said.contains("probation"), "{said}");
    home.rollback().unwrap();
    is_unharmed(&home);
}

#[test]
fn nothing_to_commit_and_nothing_to_roll_back() {
    let home = running();
    refused(
        home.host(&["commit", "--json"]).unwrap(),
        "nothing_to_commit",
    );
    refused(
        home.host(&["rollback", "--json"]).unwrap(),
        "nothing_to_roll_back",
    );
    is_unharmed(&home);
}

#[test]
fn a_rollback_never_goes_up() {
    let home = running();
    home.upgrade("0.2.0").unwrap();
    home.rollback().unwrap();
    let said = refused(
        home.host(&["rollback", "--json"]).unwrap(),
        "nothing_to_roll_back",
    );
    assert!(said.contains("0.2.0 was left for 0.1.0 already"), "{said}");
    let up = ["rollback", "0.2.0", "--json"];
    let said = refused(home.host(&up).unwrap(), "newer_release");
    assert!(said.contains("host upgrade 0.2.0"), "{said}");
    assert_eq!(home.settled().unwrap().permanent.to_string(), "0.1.0");
}

#[test]
fn a_rollback_undoes_the_last_upgrade_and_none_before_it() {
    let home = running();
    home.upgrade("0.2.0").unwrap();
    // It goes back by the wish of one, and another one asks for the same, late.
    home.detach("0.3.0").unwrap();
    home.rollback().unwrap();
    let late = ["rollback", "--json"];
    let said = refused(home.host(&late).unwrap(), "nothing_to_roll_back");
    for part in [
        "upgrade to 0.3.0 has gone back already",
        "host rollback 0.1.0",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(home.settled().unwrap().permanent.to_string(), "0.2.0");
    home.upgrade("0.3.0").unwrap();
    home.rollback().unwrap();
    let said = refused(home.host(&late).unwrap(), "nothing_to_roll_back");
    assert!(said.contains("0.3.0 was left for 0.2.0 already"), "{said}");
    let named = ["rollback", "0.1.0", "--json"];
    home.done(&named).unwrap();
    assert_eq!(home.settled().unwrap().permanent.to_string(), "0.1.0");
}

#[test]
fn a_rollback_that_is_said_twice_is_one_rollback() {
    let home = running();
    let port = home.status().unwrap().port;
    let terms = json!({ "title": "Twice", "currency": "EUR", "goal": "100" });
    for n in 0..200 {
        let path = format!("/api/v1/donations/twice-{n}/open");
        let opened = http::request(port, "POST", &path, &terms.to_string()).unwrap();
        assert_eq!(opened.status, 200, "{opened:?}");
    }
    home.upgrade("0.2.0").unwrap();
    let both: Vec<_> = (0..2)
        .map(|_| home.begin(&["rollback", "--json"]).unwrap())
        .collect();
    let mut done = 0;
    for rollback in both {
        let ran = rollback.end().unwrap();
        match ran.json::<Value>().unwrap()["reason"].as_str() {
            None => done += 1,
            // It came when the other one had ended.
            Some(reason) => assert_eq!(reason, "nothing_to_roll_back", "{ran:?}"),
        }
    }
    assert!(done >= 1);
    let status = home.settled().unwrap();
    assert_eq!(status.permanent.to_string(), "0.1.0");
    assert_eq!(status.version.to_string(), "0.1.0");
}

#[test]
fn a_release_that_was_rolled_back_by_hand_may_be_tried_again() {
    let home = running();
    home.detach("0.2.0").unwrap();
    home.rollback().unwrap();
    home.detach("0.2.0").unwrap();
    home.done(&["commit", "--json"]).unwrap();
    assert_eq!(home.settled().unwrap().permanent.to_string(), "0.2.0");
}

#[test]
fn every_command_says_that_no_host_runs() {
    let home = Home::new().unwrap();
    for line in [
        &["status"][..],
        &["pid"],
        &["stop"],
        &["upgrade", "0.2.0"],
        &["rollback"],
        &["history"],
        &["state", "donations:c"],
    ] {
        let ran = home.host(line).unwrap().ends_with(3).unwrap();
        assert!(
            ran.stderr.contains("host start"),
            "{line:?}: {}",
            ran.stderr
        );
    }
}

#[test]
fn a_second_start_on_one_home() {
    let home = running();
    let pid = home.status().unwrap().pid;
    let said = refused(home.host(&["start", "--json"]).unwrap(), "running");
    assert!(said.contains(&pid.to_string()), "{said}");
    // In the foreground too, where no keeper looks.
    refused(
        home.host(&["start", "--foreground", "--json"]).unwrap(),
        "running",
    );
    assert_eq!(home.status().unwrap().pid, pid);
    is_unharmed(&home);
}

#[test]
fn a_port_that_is_in_use() {
    let home = Home::new().unwrap();
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    home.configure(&format!("PORT={port}")).unwrap();
    for _ in 0..5 {
        let ran = home.host(&["start"]).unwrap().ends_with(1).unwrap();
        assert!(ran.stderr.contains(&port.to_string()), "{}", ran.stderr);
        assert!(home.host_pid().is_none() && home.keeper_pid().is_none());
    }
    // What had begun has ended before the process does.
    assert!(!home.log().contains("panicked"));
}

#[test]
fn a_home_that_cannot_be_written() {
    // Not a matter of permissions, which hold no superuser back: a file is in the way.
    let mut home = Home::new().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = |home: &Home, part: &str| {
        for line in [&["config", "check"][..], &["start"]] {
            let ran = home.host(line).unwrap().ends_with(1).unwrap();
            assert!(ran.stderr.contains(part), "{line:?}: {}", ran.stderr);
        }
    };
    home.set("HOST_DATA", Some(file.join("data").to_str().unwrap()));
    refused(&home, "file/data");
    // The kernel's own file system takes no folders from anyone.
    home.set("HOST_DATA", Some("/proc/host"));
    refused(&home, "/proc/host");
    home.set("HOST_DATA", None);
    home.configure("DATABASE_URL=sqlite:/proc/host/host.db")
        .unwrap();
    refused(&home, "etc/env) has the store in /proc/host");
}

#[test]
fn what_a_check_has_tried_to_write_is_not_left_there() {
    let mut home = Home::new().unwrap();
    let data = tempfile::tempdir().unwrap();
    home.set("HOST_DATA", Some(data.path().join("new").to_str().unwrap()));
    home.done(&["config", "check"]).unwrap();
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
}

#[test]
fn a_start_without_the_store_that_the_home_had_makes_nothing() {
    let home = running();
    home.stop().unwrap();
    home.configure("DATABASE_URL=sqlite:elsewhere/new/host.db")
        .unwrap();
    for line in [&["start"][..], &["store", "migrate"]] {
        let ran = home.host(line).unwrap().ends_with(5).unwrap();
        assert!(
            ran.stderr.contains("host.db is not there"),
            "{}",
            ran.stderr
        );
        assert!(!home.path().join("elsewhere").exists(), "{line:?}");
    }
}

#[test]
fn a_home_on_a_read_only_file_system() {
    let home = Home::new().unwrap();
    let mount = "mount --bind \"$TEST_HOME\" \"$TEST_HOME\"
        mount -o remount,ro,bind \"$TEST_HOME\"";
    let ran = behind(mount, &home, &["start"]).unwrap();
    let said = ran.ends_with(1).unwrap().stderr;
    assert!(said.contains("Read-only file system"), "{said}");
    assert!(said.contains(home.path().to_str().unwrap()), "{said}");
}

#[test]
fn a_home_whose_code_is_read_only() {
    let mut home = Home::new().unwrap();
    let data = tempfile::Builder::new().prefix("e2e-").tempdir().unwrap();
    let readonly = fs::Permissions::from_mode(0o555);
    fs::set_permissions(home.path(), readonly).unwrap();
    home.set("HOST_DATA", Some(data.path().to_str().unwrap()));
    home.start().unwrap();
    home.upgrade("0.2.0").unwrap();
    home.stop().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(data.path().join("data/host.db").exists());
    assert!(!home.path().join("run").exists());
}

#[test]
fn a_configuration_is_refused_with_everything_that_is_wrong() {
    let home = Home::new().unwrap();
    home.configure("PORT=many").unwrap();
    home.configure("LOG_FORMAT=verse").unwrap();
    let ran = home.host(&["start"]).unwrap().ends_with(1).unwrap();
    for word in ["PORT", "many", "LOG_FORMAT", "verse"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    assert!(home.host_pid().is_none());
}

#[test]
fn a_start_after_a_crash_of_keeper_and_host() {
    let home = running();
    let keeper = home.keeper_pid().unwrap();
    e2e::home::kill(keeper);
    let host = home.kill_host().unwrap();
    wait::until("both are gone", || {
        (home.keeper_pid().is_none() && home.host_pid() != Some(host)).then_some(())
    })
    .unwrap();
    home.start().unwrap();
    is_unharmed(&home);
}

#[test]
fn a_stopped_host_keeps_everything() {
    let home = running();
    home.stop().unwrap();
    assert!(home.host_pid().is_none() && home.keeper_pid().is_none());
    home.start().unwrap();
    is_unharmed(&home);
}

/// The one file in `folder` whose name begins with `name`.
fn only_file(folder: &Path, name: &str) -> std::path::PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let mut found = entries.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(name));
    let file = found.next().unwrap();
    assert!(
        found.next().is_none(),
        "one file of {name} in {}",
        folder.display()
    );
    file
}

/// Puts other bytes in a file's place. Never into the file: it may be a link that
/// other homes share.
fn replace(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}
