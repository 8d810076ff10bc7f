//! TLS for clients: told what is wrong, renewed under connections, and never in their way.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use e2e::tls::{Certificate, beat};
use e2e::{Home, http, wait};
use serde_json::Value;

fn check(home: &Home, code: i32) -> String {
    let ran = home.host(&["config", "check"]).unwrap();
    ran.ends_with(code).unwrap().stderr
}

#[test]
fn what_is_wrong_with_a_certificate_stops_the_start_and_is_told_by_the_check() {
    let home = Home::new().unwrap();
    let certificate = Certificate::issue(home.path(), "localhost", 2000..4000).unwrap();
    home.configure(&format!("TLS_CERT_FILE={}", certificate.file.display()))
        .unwrap();
    let told = check(&home, 1);
    assert!(told.contains("TLS_KEY_FILE is not set"), "{told}");
    home.configure("TLS_KEY_FILE=key.pem").unwrap();
    // A path begins at the home.
    check(&home, 0);
    let other = tempfile::tempdir().unwrap();
    let other = Certificate::issue(other.path(), "localhost", 2000..4000).unwrap();
    let key = fs::read_to_string(&other.key).unwrap();
    fs::write(&certificate.key, &key).unwrap();
    for told in [
        check(&home, 1),
        home.host(&["start"]).unwrap().ends_with(1).unwrap().stderr,
    ] {
        assert!(told.contains("TLS_KEY_FILE ("), "{told}");
        assert!(told.contains("etc/env): "), "where it was set: {told}");
        assert!(
            told.contains("not the key of the first certificate"),
            "{told}"
        );
        assert!(!told.contains(key.lines().nth(1).unwrap()), "{told}");
    }
    fs::remove_file(&certificate.file).unwrap();
    let told = check(&home, 1);
    assert!(
        told.contains("TLS_CERT_FILE (") && told.contains("cannot be read"),
        "{told}"
    );
}

#[test]
fn a_certificate_out_of_its_time_is_warned_of_and_served() {
    let home = Home::new().unwrap();
    let old = Certificate::issue(home.path(), "other.example.org", 2000..2001).unwrap();
    old.configure(&home).unwrap();
    fs::set_permissions(&old.key, fs::Permissions::from_mode(0o644)).unwrap();
    let told = check(&home, 0);
    for word in [
        "was valid until 2001-01-01",
        "not one for localhost",
        "TLS_KEY_FILE may be read by everyone",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let port = home.start().unwrap().port;
    assert!(home.log().contains("was valid until"), "{}", home.log());
    assert!(old.connect(port).is_err(), "no client takes it");
    // What renews it in the end needs no restart.
    let new = Certificate::issue(home.path(), "localhost", 2000..4000).unwrap();
    home.done(&["reload"]).unwrap();
    assert!(
        new.get(port, "/healthz")
            .unwrap()
            .starts_with("HTTP/1.1 200")
    );
    home.stop().unwrap();
}

#[test]
fn a_reload_brings_a_new_certificate_and_a_bad_one_changes_nothing() {
    let home = Home::new().unwrap();
    let old = Certificate::issue(home.path(), "localhost", 2000..4000).unwrap();
    old.configure(&home).unwrap();
    let status = home.start().unwrap();
    let port = status.port;
    let mut socket = old.socket(port).unwrap();
    beat(&mut socket).unwrap();
    assert_eq!(home.status().unwrap().connections, 1);
    let answer = http::request(port, "GET", "/healthz", "").unwrap();
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("https://"), "{answer:?}");

    let sound = fs::read(&old.file).unwrap();
    fs::write(&old.file, "nothing").unwrap();
    let told = home.host(&["reload"]).unwrap().ends_with(1).unwrap().stderr;
    assert!(told.contains("no certificate in it"), "{told}");
    assert!(told.contains("nothing has changed"), "{told}");
    fs::write(&old.file, sound).unwrap();
    old.get(port, "/healthz").unwrap();

    let expired = Certificate::issue(home.path(), "localhost", 2000..2001).unwrap();
    let told = home.host(&["reload"]).unwrap().ends_with(1).unwrap().stderr;
    assert!(told.contains("was valid until 2001"), "{told}");
    old.get(port, "/healthz").unwrap();
    assert!(expired.connect(port).is_err());

    let new = Certificate::issue(home.path(), "localhost", 2000..4001).unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    let change = &answer["config"][0];
    assert_eq!(change["key"], "TLS_CERT_FILE", "{answer}");
    assert_eq!(change["applies"], "now", "{answer}");
    let after = change["after"]["value"].as_str().unwrap();
    assert!(after.contains("valid until 4001"), "{answer}");
    assert!(
        old.connect(port).is_err(),
        "new handshakes have the new one"
    );
    new.get(port, "/healthz").unwrap();
    beat(&mut socket).unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(answer["config"].as_array().unwrap().len(), 0, "{answer}");

    let status = home.status().unwrap();
    assert_eq!(status.connections, 1, "nobody was disconnected");
    assert!(status.counters["tls_handshakes_failed"] >= 2, "{status:?}");
    assert!(status.counters["tls_certificate_ends_seconds"] > 0);
    home.stop().unwrap();
}

#[test]
fn a_renewal_in_place_is_found_without_a_word() {
    let home = Home::new().unwrap();
    let old = Certificate::issue(home.path(), "localhost", 2000..4000).unwrap();
    old.configure(&home).unwrap();
    let port = home.start().unwrap().port;
    let mut socket = old.socket(port).unwrap();
    let key = fs::read(&old.key).unwrap();
    let new = Certificate::issue(home.path(), "localhost", 2000..4001).unwrap();
    let new_key = fs::read(&new.key).unwrap();
    // Half of it first: that is told, and the old one is in force.
    fs::write(&old.key, key).unwrap();
    wait::until("what is half renewed is told", || {
        home.log().contains("stays as it was").then_some(())
    })
    .unwrap();
    old.get(port, "/healthz").unwrap();
    fs::write(&new.key, new_key).unwrap();
    wait::until("the new one is in force", || new.get(port, "/healthz").ok()).unwrap();
    beat(&mut socket).unwrap();
    home.stop().unwrap();
}

#[test]
fn clients_inside_tls_stay_through_an_upgrade_and_its_way_back() {
    let home = Home::new().unwrap();
    let certificate = Certificate::issue(home.path(), "localhost", 2000..4000).unwrap();
    certificate.configure(&home).unwrap();
    let port = home.start().unwrap().port;
    let mut sockets: Vec<_> = (0..20).map(|_| certificate.socket(port).unwrap()).collect();
    home.upgrade("0.2.0").unwrap();
    home.rollback().unwrap();
    sockets.iter_mut().for_each(|socket| beat(socket).unwrap());
    assert_eq!(home.status().unwrap().connections, 20);
    home.stop().unwrap();
}
