//! The units that the host writes, run by systemd itself: a manager of its own in namespaces
//! of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::Home;

#[test]
fn systemd_starts_reloads_watches_restarts_and_stops_a_host() {
    let home = Home::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    // No service comes up on what is left in the settings' usual place.
    let given = home.path().join("given.env");
    fs::rename(home.path().join("etc/env"), &given).unwrap();
    fs::write(home.path().join("etc/env"), "PORT=many\n").unwrap();
    let unit = |name: &str, more: &[&str]| {
        let given = given.to_str().unwrap();
        let line = [&["systemd", "unit", "--env-file", given], more].concat();
        let file = dir.path().join(name);
        fs::write(&file, home.done(&line).unwrap().stdout).unwrap();
        file
    };
    let (notify, forking) = (unit("notify", &[]), unit("forking", &["--forking"]));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/systemd.sh");
    let mut command = Command::new(script);
    command.arg(home.path()).arg(notify).arg(forking);
    let ran = command.output().unwrap();
    let (said, why) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    let log = |name: &str| fs::read_to_string(home.path().join(name)).unwrap_or_default();
    let logs = || format!("{}\n{}", log("manager.log"), log("service.log"));
    assert!(ran.status.success(), "{said}{why}{}", logs());
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "started: active: release 0.1.0 is permanent",
            "reloaded: active",
            "rehearsed and upgraded: active: release 0.2.0 is permanent",
            "ended by the watchdog, and started again: active",
            "killed, and started again: active",
            "restarted: active",
            "stopped: inactive, success",
            "forking: active, its main process is the keeper",
            "stopped: inactive, success",
        ],
        "{why}{}",
        logs()
    );
}

#[test]
fn what_is_not_on_the_machine_yet_is_warned_of() {
    let mut home = Home::new().unwrap();
    let unit = |user: &str| home.done(&["systemd", "unit", "--user", user]).unwrap();
    let ran = unit("no-such-user-of-host");
    assert!(
        ran.stderr.contains("is not on this machine"),
        "{}",
        ran.stderr
    );
    assert!(ran.stdout.contains("User=no-such-user-of-host\n"));
    assert_eq!(unit("root").stderr, "");
    let data = home.path().join("later");
    home.set("HOST_DATA", Some(data.to_str().unwrap()));
    let line = ["systemd", "unit", "--user", "root"];
    let ran = home.done(&line).unwrap();
    let wanted = format!("there is no folder {}", data.display());
    assert!(ran.stderr.contains(&wanted), "{}", ran.stderr);
    let made = format!("#   mkdir -p {} && chown", data.display());
    assert!(ran.stdout.contains(&made), "{}", ran.stdout);
    fs::create_dir(&data).unwrap();
    assert_eq!(home.done(&line).unwrap().stderr, "");
}
