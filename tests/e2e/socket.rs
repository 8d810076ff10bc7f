//! The control socket and the pid files: who may ask, and what a dead host has left.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use e2e::home::kill;
use e2e::{Home, wait};

/// A user that is nobody's, for what only root can try.
const STRANGER: &str = "65534";

#[test]
fn another_user_is_refused_whatever_the_modes_of_the_files_are() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let socket = home.path().join("run/host.sock");
    assert_eq!(
        socket.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can ask as another user");
        return;
    }
    let as_stranger = || {
        let host = home.command(&["status", "--json"]);
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", STRANGER, "--regid", STRANGER, "--clear-groups"])
            .arg(host.get_program())
            .args(host.get_args())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    // By the mode of the socket ...
    let ran = as_stranger();
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains("\"permission_denied\""), "{said}");
    assert!(said.contains("as the user that the host runs as"), "{said}");
    // ... and by the host, where that was loosened.
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    let ran = as_stranger();
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(said.contains("\"not_allowed\""), "{said}");
    assert!(said.contains("user 65534 asks"), "{said}");
    assert!(home.log().contains("another user asked"), "{}", home.log());
    home.status().unwrap();
}

#[test]
fn what_a_dead_host_has_left_is_no_host_and_is_replaced() {
    let home = Home::new().unwrap();
    let first = home.start().unwrap().pid;
    kill(home.keeper_pid().unwrap());
    wait::until("the keeper is gone", || {
        home.keeper_pid().is_none().then_some(())
    })
    .unwrap();
    home.kill_host().unwrap();
    // Who connects to one that is about to be gone is taken, and then let fall.
    wait::until("the host is gone", || {
        home.host_pid().is_none().then_some(())
    })
    .unwrap();
    let run = |name: &str| home.path().join("run").join(name);
    assert!(run("host.sock").exists() && run("host.pid").exists());

    // The files name a process that lives, and is another's.
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    for file in ["host.pid", "keeper.pid"] {
        fs::write(run(file), format!("{}\n", other.id())).unwrap();
    }
    let ran = home.host(&["status"]).unwrap().ends_with(3).unwrap();
    assert!(
        ran.stderr.contains("start one with `host start`"),
        "{}",
        ran.stderr
    );
    home.host(&["stop"]).unwrap().ends_with(3).unwrap();
    home.host(&["reload"]).unwrap().ends_with(3).unwrap();
    home.host(&["restart"]).unwrap().ends_with(3).unwrap();
    assert!(other.try_wait().unwrap().is_none(), "it was none of ours");

    let second = home.start().unwrap().pid;
    assert_ne!(first, second);
    let named = fs::read_to_string(run("host.pid")).unwrap();
    assert_eq!(named.trim(), second.to_string());
    home.stop().unwrap();
    for file in ["host.sock", "host.pid", "keeper.pid", "keeper.sock"] {
        assert!(!run(file).exists(), "{file} is left");
    }
    // Something else may stand in the place of the socket, or of a pid file's number.
    fs::write(run("host.sock"), "").unwrap();
    fs::write(run("host.pid"), "no number\n").unwrap();
    home.start().unwrap();
    assert!(run("host.sock").metadata().unwrap().file_type().is_socket());
    home.stop().unwrap();
    // A socket that somebody else listens on is not taken for a host's answer.
    let _silent = UnixListener::bind(run("host.sock")).unwrap();
    home.start().unwrap();
    home.stop().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
}
