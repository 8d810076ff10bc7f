//! The log of a host in the background: bounded, moved by others, on a full disk.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::disk::Disk;
use e2e::{Home, Talk, wait};
use rustix::process::{Pid, Signal, kill_process};

/// What a reload says.
const READ_ANEW: &str = "the configuration was read anew";

fn file(home: &Home, name: &str) -> PathBuf {
    home.path().join("log").join(name)
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn count(path: &Path) -> usize {
    text(path).matches(READ_ANEW).count()
}

/// So many lines and more are logged.
fn log_lines(home: &Home, lines: usize) {
    let mut talk = Talk::piped(home.command(&["remote"])).unwrap();
    talk.type_in(&"reload\n".repeat(lines)).unwrap();
    talk.end_of_input();
    assert!(talk.end().unwrap().success(), "{}", talk.all());
}

#[test]
fn it_is_rotated_by_size_and_followed_over_that() {
    let home = Home::new().unwrap();
    home.configure("LOG_MAX_BYTES=4096").unwrap();
    home.configure("LOG_FILES=2").unwrap();
    home.start().unwrap();
    let mut follow = Talk::piped(home.command(&["logs", "-f"])).unwrap();
    follow.shows("the host is ready").unwrap();
    let lines = 150;
    log_lines(&home, lines);
    let names = ["host.log", "host.log.1", "host.log.2"];
    for name in names {
        let bytes = fs::metadata(file(&home, name)).unwrap().len();
        // The line that fills it is the last one.
        assert!((1..4_096 + 1_024).contains(&bytes), "{name} has {bytes}");
    }
    assert!(!file(&home, "host.log.3").exists());
    wait::until("all lines are followed", || {
        (follow.all().matches(READ_ANEW).count() == lines).then_some(())
    })
    .unwrap_or_else(|e| panic!("{e}: {}", follow.all()));

    // A few lines are there, also where the newest file has none of them.
    let ran = home.done(&["logs", "-n", "30"]).unwrap();
    assert_eq!(ran.stdout.lines().count(), 30, "{}", ran.stdout);

    // The next host, and the keeper that boots it, go on in the newest file.
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    follow
        .shows("keeper: the host has ended: signal 9")
        .unwrap();
    follow.shows("the host is ready").unwrap();
    home.stop().unwrap();
    follow.shows("the host has stopped").unwrap();
    let newest = text(&file(&home, "host.log")) + &text(&file(&home, "host.log.1"));
    assert!(newest.contains("the host has stopped"), "{newest}");
}

#[test]
fn it_may_be_moved_or_cut_by_others() {
    let home = Home::new().unwrap();
    home.configure("LOG_FILES=0").unwrap();
    home.configure("LOG_MAX_BYTES=4096").unwrap();
    home.start().unwrap();
    let (log, moved) = (file(&home, "host.log"), file(&home, "moved"));
    log_lines(&home, 60);
    assert!(!file(&home, "host.log.1").exists());
    assert!(fs::metadata(&log).unwrap().len() > 4_096);
    // By a new name, and the word for it.
    fs::rename(&log, &moved).unwrap();
    home.done(&["reload"]).unwrap();
    assert_eq!((count(&moved), count(&log)), (60, 1));
    // By a new name alone: the keeper finds out, too.
    fs::rename(&log, &moved).unwrap();
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    assert!(
        text(&log).contains("keeper: the host has ended"),
        "{}",
        text(&log)
    );
    assert!(text(&log).contains("the host is ready"), "{}", text(&log));
    // By a new name, and the signal for it: nobody ends by that.
    fs::rename(&log, &moved).unwrap();
    let processes = [home.keeper_pid().unwrap(), home.host_pid().unwrap()];
    for pid in processes {
        let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
        kill_process(pid, Signal::USR1).unwrap();
    }
    wait::until("the keeper has a new log", || log.exists().then_some(())).unwrap();
    home.done(&["reload"]).unwrap();
    assert_eq!(count(&log), 1);
    assert_eq!(
        processes,
        [home.keeper_pid().unwrap(), home.host_pid().unwrap()]
    );
    // In its place.
    fs::File::options()
        .write(true)
        .open(&log)
        .unwrap()
        .set_len(0)
        .unwrap();
    home.done(&["reload"]).unwrap();
    let cut = text(&log);
    assert!(cut.contains(READ_ANEW) && !cut.contains('\0'), "{cut:?}");
    home.stop().unwrap();
}

#[test]
fn a_full_disk_costs_lines_and_nothing_else() {
    let mut home = Home::new().unwrap();
    let disk = Disk::under(&mut home).unwrap();
    home.start().unwrap();
    disk.fails(&["write host.log 1 all enospc"]).unwrap();
    home.done(&["reload"]).unwrap();
    home.done(&["reload"]).unwrap();
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    assert_eq!(count(&file(&home, "host.log")), 0);
    let campaign = serde_json::json!({"title": "Wells", "currency": "USD", "goal": "1000"});
    home.rpc("donations:a", "open", &campaign).unwrap();
    disk.works().unwrap();
    home.done(&["reload"]).unwrap();
    let log = home.log();
    assert!(
        log.contains("lines of the log could not be written"),
        "{log}"
    );
    assert!(log.contains(READ_ANEW), "{log}");
    home.stop().unwrap();
}
