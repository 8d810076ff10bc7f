//! Starts on a store of another release: a new image on an old volume, and a release
//! that does not come up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use e2e::{Home, faulty, release};
use host_model::control::Status;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::canary::reached;
use crate::hostile::{APPUP, home, post, summary};
use crate::service::hear;
use crate::stuck::FOR_EVER_MS;

/// Actors of the store.
const ACTORS: i64 = 20;

/// A home whose code and whose data are apart, as a container's image and its volume.
struct Container {
    home: Home,
    volume: TempDir,
    /// Releases that are in neither.
    shelf: TempDir,
}

impl Container {
    /// With an image of release 0.1.0, whose host has run and has some actors.
    fn new() -> Self {
        let mut home = home();
        let folder = || tempfile::Builder::new().prefix("e2e-").tempdir().unwrap();
        let (volume, shelf) = (folder(), folder());
        home.set("HOST_DATA", Some(volume.path().to_str().unwrap()));
        fs::remove_file(home.path().join("data/permanent")).unwrap();
        let container = Self {
            home,
            volume,
            shelf,
        };
        container.moves("0.2.0", &container.image(), &container.shelf());
        // An image has one release.
        fs::remove_dir_all(container.image().join("0.3.0")).unwrap();
        let port = container.home.start().unwrap().port;
        for n in 0..ACTORS {
            let (status, answer) = post(port, &n.to_string(), "add", &json!({ "by": n }));
            assert_eq!(status, 200, "{answer}");
        }
        container
    }

    fn image(&self) -> std::path::PathBuf {
        self.home.path().join("releases")
    }

    fn installed(&self) -> std::path::PathBuf {
        self.volume.path().join("releases")
    }

    fn shelf(&self) -> std::path::PathBuf {
        self.shelf.path().to_owned()
    }

    fn moves(&self, release: &str, from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        // They may lie on different file systems.
        let mut copy = std::process::Command::new("cp");
        copy.arg("-a").arg(from.join(release)).arg(to);
        assert!(copy.status().unwrap().success());
        fs::remove_dir_all(from.join(release)).unwrap();
    }

    /// Lays out the image of 0.2.0 in place of that of 0.1.0, which goes `to`.
    fn newer_image(&self, to: &Path) {
        self.home.stop().unwrap();
        self.moves("0.1.0", &self.image(), to);
        self.moves("0.2.0", &self.shelf(), &self.image());
    }

    fn is_of(&self, status: &Status, version: &str) {
        assert_eq!(status.version.to_string(), version);
        assert_eq!(status.permanent.to_string(), version);
        for n in 0..ACTORS {
            let summary = summary(status.port, &n.to_string());
            assert_eq!(summary["count"], n, "{summary}");
            assert_eq!(summary["version"], version, "{summary}");
        }
    }
}

fn status_of(home: &Home, release: &str) -> String {
    let releases: Vec<Value> = home.answer(&["releases", "--json"]).unwrap();
    let row = releases.iter().find(|row| row["version"] == release);
    row.unwrap()["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_newer_image_and_an_older_one_come_over_before_they_are_ready() {
    let container = Container::new();
    container.newer_image(&container.installed());
    let home = &container.home;
    container.is_of(&home.start().unwrap(), "0.2.0");
    let history: Vec<Value> = home.answer(&["history", "--json"]).unwrap();
    assert_eq!(history[0]["outcome"], "committed", "{history:?}");
    assert_eq!(history[0]["actors_migrated"], ACTORS, "{history:?}");
    let rehearsal = &history[0]["rehearsal"];
    assert_eq!(
        (&rehearsal["outcome"], &rehearsal["rehearsed"]),
        (&json!("passed"), &json!(ACTORS)),
        "{history:?}"
    );
    // An image that has been seen is no wish any more: what is permanent boots.
    home.rollback().unwrap();
    let restarted: Status = home.answer(&["restart", "--json"]).unwrap();
    container.is_of(&restarted, "0.1.0");
    home.upgrade("0.2.0").unwrap();
    home.stop().unwrap();
    // The older image, with the newer release installed beside it.
    container.moves("0.2.0", &container.image(), &container.shelf());
    container.moves("0.1.0", &container.installed(), &container.image());
    container.moves("0.2.0", &container.shelf(), &container.installed());
    container.is_of(&home.start().unwrap(), "0.1.0");
    home.stop().unwrap();
}

#[test]
fn a_service_manager_hears_that_actors_are_still_on_their_way() {
    let mut container = Container::new();
    container.newer_image(&container.installed());
    let path = container.shelf().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    let patience = Duration::from_secs(1);
    socket.set_read_timeout(Some(patience)).unwrap();
    let home = &mut container.home;
    home.set("NOTIFY_SOCKET", Some(path.to_str().unwrap()));
    let host = home.begin(&["start"]).unwrap();
    hear(&socket, "EXTEND_TIMEOUT_USEC=120000000");
    hear(&socket, "READY=1");
    container.is_of(&container.home.status().unwrap(), "0.2.0");
    container.home.stop().unwrap();
    host.end().unwrap().ok().unwrap();
}

#[test]
fn an_image_may_bring_both_and_name_its_own() {
    let container = Container::new();
    container.newer_image(&container.image().join("../older"));
    let older = container.home.path().join("older");
    container.moves("0.1.0", &older, &container.image());
    fs::write(container.image().join("own"), "0.2.0\n").unwrap();
    container.is_of(&container.home.start().unwrap(), "0.2.0");
    container.home.stop().unwrap();
}

#[test]
fn without_a_path_it_refuses_and_touches_nothing() {
    let container = Container::new();
    let away = container.shelf.path().join("away");
    container.newer_image(&away);
    let home = &container.home;
    let store = container.volume.path().join("data/host.db");
    let before = fs::read(&store).unwrap();
    for _ in 0..4 {
        let ran = home.host(&["start"]).unwrap().ends_with(5).unwrap();
        for word in [
            "release 0.1.0 is not in",
            "faulty 0.1.0",
            "nothing was touched",
            "releases/own",
        ] {
            assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
    }
    assert!(fs::read(&store).unwrap() == before, "the store was written");
    // What it asked for is what it needs.
    container.moves("0.1.0", &away, &container.installed());
    container.is_of(&home.start().unwrap(), "0.2.0");
    home.stop().unwrap();
}

#[test]
fn an_image_that_does_not_come_over_is_failed_and_the_permanent_release_boots() {
    let container = Container::new();
    let home = &container.home;
    let port = home.status().unwrap().port;
    let trouble = json!({ "what": "up_panics" });
    assert_eq!(post(port, "7", "plan_trouble", &trouble).0, 200);
    container.newer_image(&container.installed());
    container.is_of(&home.start().unwrap(), "0.1.0");
    assert_eq!(status_of(home, "0.2.0"), "failed");
    home.stop().unwrap();
    // It is not tried again by accident.
    container.is_of(&home.start().unwrap(), "0.1.0");
    home.stop().unwrap();
}

/// What is lost here is lost on a way back, long after the start: nothing but a rehearsal
/// finds it before.
#[test]
fn an_image_that_only_a_rehearsal_speaks_against_does_not_come_over() {
    let container = Container::new();
    let home = &container.home;
    let port = home.status().unwrap().port;
    // Half of its commands stand for the past, and that has the mark already.
    for _ in 0..3 {
        faulty::mark(port, "7", "down_loses", 0).unwrap();
    }
    container.newer_image(&container.installed());
    container.is_of(&home.start().unwrap(), "0.1.0");
    assert_eq!(status_of(home, "0.2.0"), "failed");
    let history: Vec<Value> = home.answer(&["history", "--json"]).unwrap();
    assert_eq!(history[0]["outcome"], "refused", "{history:?}");
    let rehearsal = &history[0]["rehearsal"];
    assert_eq!(rehearsal["outcome"], "failed", "{history:?}");
    let reason = history[0]["reason"].as_str().unwrap();
    for word in ["faulty:7", "state.notes"] {
        assert!(reason.contains(word), "{word}: {reason}");
    }
    // All the rest of the way is open.
    let line = ["upgrade", "0.2.0", "--probation", "0s", "--no-rehearsal"];
    home.done(&[&line[..], &["--retry-failed"]].concat())
        .unwrap();
    container.is_of(&home.settled().unwrap(), "0.2.0");
    home.stop().unwrap();
}

#[test]
fn an_image_that_is_killed_on_its_way_rolls_back_and_comes_over_at_the_next_start() {
    let container = Container::new();
    container.newer_image(&container.installed());
    let Container { mut home, .. } = container;
    home.set("HOST_ABORT_AFTER", Some("switching"));
    assert_ne!(home.host(&["start"]).unwrap().code, Some(0));
    home.set("HOST_ABORT_AFTER", None);
    let status = home.start().unwrap();
    assert_eq!(status.version.to_string(), "0.2.0");
    assert_eq!(summary(status.port, "7")["count"], 7);
    home.stop().unwrap();
}

#[test]
fn a_way_back_that_never_returns_is_contained_before_an_image_comes_over() {
    let container = Container::new();
    let home = &container.home;
    container.moves("0.2.0", &container.shelf(), &container.installed());
    let line = ["upgrade", "0.2.0", "--no-rehearsal", "--probation", "300s"];
    home.done(&[&line[..], &["--detach", "--json"]].concat())
        .unwrap();
    let port = home.status().unwrap().port;
    let trouble = json!({ "what": "down_slow", "ms": FOR_EVER_MS });
    assert_eq!(post(port, "7", "plan_trouble", &trouble).0, 200);
    home.stop().unwrap();
    // The upgrade goes back first, and the image is of the release that it was to.
    container.moves("0.1.0", &container.image(), &container.shelf());
    container.moves("0.2.0", &container.installed(), &container.image());
    container.moves("0.1.0", &container.shelf(), &container.installed());
    let status = home.start().unwrap();
    assert_eq!(status.permanent.to_string(), "0.2.0");
    assert_eq!(status.actors.quarantined, 1);
    assert_eq!(summary(status.port, "8")["version"], "0.2.0");
    let history: Vec<Value> = home.answer(&["history", "--json"]).unwrap();
    let outcomes: Vec<_> = history.iter().map(|it| &it["outcome"]).collect();
    assert_eq!(outcomes, ["committed", "rolled_back"], "{history:?}");
    let reason = history[1]["reason"].as_str().unwrap();
    assert!(reason.contains("the host was restarted"), "{reason}");
    home.stop().unwrap();
}

/// A home of 0.2.0 that has not come up three times, and came from 0.1.0.
fn broken_three_times(dies: Dies) -> Home {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "7", "add", &json!({ "by": 7 })).0, 200);
    home.upgrade("0.2.0").unwrap();
    assert_eq!(post(port, "7", "add", &json!({ "by": 1 })).0, 200);
    home.stop().unwrap();
    fails_to_start(&home, "0.2.0", dies);
    home
}

/// How a program ends that does not come up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Dies {
    /// With 1.
    ByItself,
    /// By a signal, as one that has run into a fault, or that the kernel has no memory for.
    Killed,
}

/// Gives the release a program that does not come up, and has it tried three times.
pub(crate) fn fails_to_start(home: &Home, version: &str, dies: Dies) {
    let (script, code) = match dies {
        Dies::ByItself => ("exit 1", Some(1)),
        Dies::Killed => ("kill -9 $$", None),
    };
    let program = home.path().join(format!("releases/{version}/bin/host"));
    fs::remove_file(&program).unwrap();
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    for _ in 0..3 {
        assert_eq!(home.host(&["start"]).unwrap().code, code, "{dies:?}");
    }
}

#[test]
fn a_release_that_does_not_come_up_is_failed_though_the_host_is_killed_behind_the_commit() {
    let mut home = broken_three_times(Dies::Killed);
    home.set("HOST_ABORT_AFTER", Some("committed"));
    assert_ne!(home.host(&["start"]).unwrap().code, Some(0));
    home.set("HOST_ABORT_AFTER", None);
    // It has not come up either, so the other is tried in turn, and is as broken as before.
    assert_eq!(home.host(&["start"]).unwrap().code, None);
    let status = home.start().unwrap();
    assert_eq!(status.version.to_string(), "0.1.0");
    assert_eq!(status_of(&home, "0.2.0"), "failed");
    let ran = home.host(&["upgrade", "0.2.0", "--json"]).unwrap();
    assert_eq!(ran.ends_with(1).unwrap().reason().unwrap(), "failed_before");
    home.stop().unwrap();
}

#[test]
fn a_release_that_does_not_come_up_three_times_makes_room_for_the_one_before() {
    for dies in [Dies::ByItself, Dies::Killed] {
        let home = broken_three_times(dies);
        let status = home.start().unwrap();
        assert_eq!(status.version.to_string(), "0.1.0", "{dies:?}");
        assert_eq!(status.permanent.to_string(), "0.1.0", "{dies:?}");
        assert_eq!(summary(status.port, "7")["count"], 8);
        assert_eq!(status_of(&home, "0.2.0"), "failed");
        // From now on it is the permanent one.
        let restarted: Status = home.answer(&["restart", "--json"]).unwrap();
        assert_eq!(restarted.version.to_string(), "0.1.0");
        home.stop().unwrap();
    }
}

#[test]
fn a_release_that_did_not_come_up_is_tried_on_where_the_one_before_is_removed() {
    let home = home();
    let port = home.start().unwrap().port;
    // Nobody's state or records need 0.1.0.
    home.upgrade("0.2.0").unwrap();
    assert_eq!(post(port, "7", "add", &json!({ "by": 7 })).0, 200);
    home.done(&["remove", "0.1.0", "--no-way-back"]).unwrap();
    home.stop().unwrap();
    let program = home.path().join("releases/0.2.0/bin/host");
    let whole = fs::read(&program).unwrap();
    fails_to_start(&home, "0.2.0", Dies::ByItself);
    // It is mended.
    fs::write(&program, whole).unwrap();
    let status = home.start().unwrap();
    assert_eq!(status.version.to_string(), "0.2.0");
    assert_eq!(summary(status.port, "7")["count"], 7);
    home.stop().unwrap();
}

#[test]
fn what_is_wanted_is_tried_again_where_a_start_has_fallen_back_in_vain() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "7", "add", &json!({ "by": 7 })).0, 200);
    home.upgrade("0.2.0").unwrap();
    home.stop().unwrap();
    // The release before is installed, and the library is gone that the store needs.
    let plugins = home.path().join("releases/0.1.0/plugins");
    fs::remove_dir_all(plugins).unwrap();
    let program = home.path().join("releases/0.2.0/bin/host");
    let whole = fs::read(&program).unwrap();
    fails_to_start(&home, "0.2.0", Dies::ByItself);
    home.host(&["start"]).unwrap().ends_with(5).unwrap();
    // Not mended yet, it makes room once more.
    home.host(&["start"]).unwrap().ends_with(1).unwrap();
    home.host(&["start"]).unwrap().ends_with(5).unwrap();
    fs::write(&program, whole).unwrap();
    let status = home.start().unwrap();
    assert_eq!(status.version.to_string(), "0.2.0");
    assert_eq!(summary(status.port, "7")["count"], 7);
    home.stop().unwrap();
}

#[test]
fn a_start_of_another_release_tries_a_way_back_once_that_is_stuck() {
    let home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "7", "add", &json!({ "by": 7 })).0, 200);
    home.detach("0.2.0").unwrap();
    // There is no way back from a release that cannot be read.
    let file = home.path().join("releases/0.2.0/manifest.json");
    let manifest = fs::read(&file).unwrap();
    fs::write(&file, "{").unwrap();
    let rollback = home.begin(&["rollback", "--json"]).unwrap();
    reached(&home, "stuck", None);
    home.stop().unwrap();
    assert_ne!(rollback.end().unwrap().code, Some(0));
    // Another one shall boot, which it cannot as long as this is so.
    let newest = ["plugins/hostile/faulty/0.2.0"];
    let appup = [("faulty-0.2.0.toml", APPUP)];
    release::assemble(&home, "0.4.0", &newest, &appup).unwrap();
    fs::write(home.path().join("releases/own"), "0.4.0\n").unwrap();
    let ran = home.host(&["start"]).unwrap().ends_with(5).unwrap();
    assert!(ran.stderr.contains("an upgrade is stuck"), "{ran:?}");
    // An operator has looked, and mended it.
    fs::write(&file, manifest).unwrap();
    let status = home.start().unwrap();
    assert_eq!(status.version.to_string(), "0.4.0");
    assert_eq!(summary(status.port, "7")["count"], 7);
    home.stop().unwrap();
}

#[test]
fn a_start_that_fails_by_no_doing_of_the_release_says_nothing_against_it() {
    let mut home = home();
    let port = home.start().unwrap().port;
    assert_eq!(post(port, "7", "add", &json!({ "by": 7 })).0, 200);
    home.upgrade("0.2.0").unwrap();
    home.stop().unwrap();
    // What start itself finds, and what only the process behind it does.
    let taken = std::net::TcpListener::bind("[::]:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    for port in ["none", &taken] {
        home.set("PORT", Some(port));
        for _ in 0..4 {
            home.host(&["start"]).unwrap().ends_with(1).unwrap();
        }
    }
    home.set("PORT", None);
    let status = home.start().unwrap();
    assert_eq!(status.version.to_string(), "0.2.0");
    assert_eq!(summary(status.port, "7")["count"], 7);
    home.stop().unwrap();
}
