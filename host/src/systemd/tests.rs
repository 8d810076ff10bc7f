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
        store: None,
        env_file: None,
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
fn a_store_elsewhere_may_be_written_to() {
    let mut unit = unit(false);
    unit.store = Some("/var/lib/money".into());
    let text = unit.text();
    for line in [
        "ReadWritePaths=/srv/giving /var/lib/money\n",
        "#   chown -R host: /srv/giving /var/lib/money\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    unit.store = Some("/srv/odd money".into());
    assert!(unit.check().is_err());
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
    let mut settings_there = unit(false);
    settings_there.env_file = Some("/run/user/1000/env".into());
    assert!(settings_there.text().contains("ProtectHome=read-only\n"));
}

#[test]
fn every_command_of_a_unit_reads_the_file_of_settings_that_was_named() {
    for forking in [false, true] {
        let unit = Unit {
            data: "/var/lib/giving".into(),
            env_file: Some("/etc/giving.env".into()),
            ..unit(forking)
        };
        let text = unit.text();
        let commands = text.lines().filter(|line| line.starts_with("Exec"));
        let named = "=/srv/giving/bin/host --env-file /etc/giving.env ";
        for command in commands {
            assert!(command.contains(named), "{command}");
        }
        assert!(!text.contains("etc/env"), "{text}");
        let owned = "mkdir -p /var/lib/giving && chown -R host: /var/lib/giving /etc/giving.env";
        assert!(text.contains(owned), "{text}");
    }
}

#[test]
fn what_would_mean_something_else_in_a_unit_is_refused() {
    let reason = |unit: Unit| unit.check().unwrap_err().problem().reason.clone();
    unit(false).check().unwrap();
    for user in ["", "-x", "a b", "host\nExecStartPre=/bin/sh", "%n"] {
        let user = user.to_owned();
        assert_eq!(
            reason(Unit {
                user,
                ..unit(false)
            }),
            "odd_user"
        );
    }
    let env_file = Some("/etc/a b".into());
    assert_eq!(
        reason(Unit {
            env_file,
            ..unit(false)
        }),
        "odd_path"
    );
}

#[test]
fn a_user_who_is_not_there_is_known_from_one_who_is() {
    assert!(!is_nobody("root"));
    assert!(is_nobody("no-such-user-of-host"));
}
