//! A home whose host runs as a user of its own: what root does there leaves it that user's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Output};

use e2e::{Home, wait};

/// The host's user: nobody's, so only root can run it.
const USER: u32 = 65534;

/// Runs a command of the host as its user.
fn as_its_user(home: &Home, line: &[&str]) -> Output {
    let host = home.command(line);
    let user = USER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
    command.arg(host.get_program()).args(host.get_args());
    let set = host
        .get_envs()
        .filter_map(|(key, value)| Some((key, value?)));
    command.env_clear().envs(set).current_dir(home.path());
    command.output().unwrap()
}

fn done(ran: &Output) {
    assert!(ran.status.success(), "{ran:?}");
}

/// Files below a folder that are not the user's.
fn strange(folder: &Path) -> Vec<String> {
    let mut strange = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let there = path.symlink_metadata().unwrap();
        if there.uid() != USER {
            strange.push(path.display().to_string());
        }
        if there.is_dir() {
            strange.extend(self::strange(&path));
        }
    }
    strange
}

#[test]
fn what_root_does_to_a_home_leaves_it_its_users() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can run a host as another user");
        return;
    }
    let home = Home::new().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let give = || {
        let path = home.path();
        let mut chown = Command::new("chown");
        chown.args(["-R", "65534:65534"]).arg(path);
        assert!(chown.status().unwrap().success());
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    };
    give();
    let data = home.path().join("data");
    done(&as_its_user(&home, &["daemon"]));

    // A host that runs writes a backup itself, and says so where it may not.
    let file = elsewhere.path().join("running.db");
    let refused = home.host(&["store", "backup", file.to_str().unwrap()]);
    let refused = refused.unwrap().ends_with(1).unwrap();
    let said = &refused.stderr;
    assert!(said.contains("the host writes the file itself"), "{said}");
    assert!(!file.exists());
    let own = data.join("running.db");
    home.done(&["store", "backup", own.to_str().unwrap()])
        .unwrap();
    done(&as_its_user(&home, &["stop"]));
    wait::until("it has ended", || home.status().is_err().then_some(())).unwrap();

    // Of one that is stopped, root's commands are root's; what they leave there is not.
    let file = elsewhere.path().join("stopped.db");
    home.done(&["store", "backup", file.to_str().unwrap()])
        .unwrap();
    home.done(&["store", "check"]).unwrap();
    assert_eq!(strange(&data), [] as [String; 0]);
    done(&as_its_user(&home, &["daemon"]));
    done(&as_its_user(&home, &["stop"]));
    wait::until("it has ended", || home.status().is_err().then_some(())).unwrap();
    for entry in fs::read_dir(&data).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("host.db") || name == "store.json" {
            fs::remove_file(path).unwrap();
        }
    }
    home.done(&["store", "restore", file.to_str().unwrap()])
        .unwrap();
    assert_eq!(strange(&data), [] as [String; 0]);
    done(&as_its_user(&home, &["config", "check"]));
    done(&as_its_user(&home, &["daemon"]));
    done(&as_its_user(&home, &["stop"]));

    // What is root's all the same is found before a start is tried.
    let store = data.join("host.db");
    std::os::unix::fs::chown(&store, Some(0), Some(0)).unwrap();
    let checked = as_its_user(&home, &["config", "check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    assert!(said.contains(store.to_str().unwrap()), "{said}");
}
