//! The unit word by word, and what systemd itself says of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::*;

/// Points of exposure, times ten, as `systemd-analyze security` counts them.
const EXPOSURE_MAX: &str = "--threshold=20";

fn unit(forking: bool) -> Unit {
    Unit {
        root: "/srv/giving".into(),
        data: "/srv/giving".into(),
        user: "host".to_owned(),
        cores: 2,
        forking,
    }
}

/// `systemd-analyze` of a unit whose programs are there.
fn analyze(unit: &Unit, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("host.service");
    // The programs are looked for, and are not run.
    let root = unit.root.display().to_string();
    let text = unit
        .text()
        .replace(&format!("{root}/bin/host"), "/bin/true");
    fs::write(&file, text).unwrap();
    Command::new("systemd-analyze")
        .args(arguments)
        .arg(&file)
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .output()
        .expect("systemd-analyze is there: install the package systemd")
}

#[test]
fn units_word_by_word() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/systemd");
    for (name, forking) in [("notify.service", false), ("forking.service", true)] {
        let (file, found) = (folder.join(name), unit(forking).text());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&file, &found).unwrap();
        }
        let wanted = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            found, wanted,
            "{name}: if that is meant, write it anew with `UPDATE_GOLDEN=1 cargo test -p host systemd`"
        );
    }
}

#[test]
fn systemd_finds_nothing_wrong() {
    for forking in [false, true] {
        let found = analyze(&unit(forking), &["verify", "--man=no"]);
        let said = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.success() && said.trim().is_empty(), "{said}");
    }
}

#[test]
fn little_is_exposed() {
    for forking in [false, true] {
        let found = analyze(
            &unit(forking),
            &["security", "--offline=true", "--no-pager", EXPOSURE_MAX],
        );
        let said = String::from_utf8_lossy(&found.stdout);
        assert!(found.status.success(), "{said}");
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

#[test]
fn a_home_where_others_have_theirs_is_not_hidden_from_it() {
    let at = |root: &str| {
        let unit = Unit {
            root: root.into(),
            data: root.into(),
            ..unit(false)
        };
        unit.text()
    };
    assert!(at("/run/user/1000/giving").contains("ProtectHome=read-only\n"));
    assert!(at("/tmp/giving").contains("PrivateTmp=no\n"));
    assert!(!is_plain(Path::new("/srv/a %n")));
}
