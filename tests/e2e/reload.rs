//! The configuration read anew while the host runs.

use std::fs;
use std::process::{Command, Stdio};

use e2e::{Home, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

fn hang_up(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::HUP).unwrap();
}

/// `KEY applies` of each change in the answer of a reload.
fn changes(answer: &Value) -> Vec<String> {
    let changes = answer["config"].as_array().unwrap().iter();
    let change = |it: &Value| format!("{} {}", it["key"], it["applies"]).replace('"', "");
    changes.map(change).collect()
}

fn waits_for(home: &Home, word: &str) {
    wait::until(&format!("the log says {word:?}"), || {
        home.log().contains(word).then_some(())
    })
    .unwrap();
}

#[test]
fn what_can_change_does_and_the_process_stays() {
    let home = Home::new().unwrap();
    let pid = home.start().unwrap().pid;
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(changes(&answer), [""; 0]);

    let told = || {
        home.log()
            .matches("the configuration was read anew")
            .count()
    };
    let before = told();
    assert_eq!(before, 1);
    home.configure("RUST_LOG=error\nPOOL_SIZE=7").unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(
        changes(&answer),
        ["RUST_LOG now", "POOL_SIZE after a restart"]
    );
    assert_eq!(told(), before, "only errors are logged by now");
    // What waits for a restart is named until there is one.
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(changes(&answer), ["POOL_SIZE after a restart"]);
    assert_eq!(home.status().unwrap().pid, pid);
    home.done(&["restart"]).unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(changes(&answer), [""; 0]);
}

#[test]
fn what_is_wrong_is_told_whole_and_the_old_one_stays() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let env = home.path().join("etc/env");
    let sound = fs::read_to_string(&env).unwrap();
    home.configure("RUST_LOG=debug\nPOOL_SIZE=1\nRETENTION=soon")
        .unwrap();
    let ran = home.host(&["reload"]).unwrap().ends_with(1).unwrap();
    for word in ["POOL_SIZE", "RETENTION", "nothing has changed"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    fs::write(env, sound).unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(changes(&answer), [""; 0], "the old one was in force");
}

#[test]
fn sighup_to_the_keeper_reloads_and_is_in_the_trail() {
    let home = Home::new().unwrap();
    let pid = home.start().unwrap().pid;
    home.configure("RETENTION=30").unwrap();
    hang_up(home.keeper_pid().unwrap());
    waits_for(&home, "the configuration was read anew");
    assert!(home.log().contains("RETENTION"), "{}", home.log());
    home.configure("RETENTION=soon").unwrap();
    hang_up(home.keeper_pid().unwrap());
    waits_for(&home, "the configuration stays as it was");
    let trail = wait::until("both are in the trail", || {
        let line = ["audit", "export", "--actor", "host:operator"];
        let trail = home.done(&line).ok()?.stdout;
        trail.contains("bad_config").then_some(trail)
    })
    .unwrap();
    assert!(trail.contains("SIGHUP"), "{trail}");
    assert_eq!(home.status().unwrap().pid, pid, "the same process");
}

#[test]
fn sighup_to_a_host_in_the_foreground_reloads() {
    let home = Home::new().unwrap();
    let host = home.begin(&["start", "--foreground"]).unwrap();
    let status = home.settled().unwrap();
    home.configure("RETENTION=30").unwrap();
    hang_up(status.pid);
    wait::until("the reload is in the trail", || {
        let line = ["audit", "export", "--actor", "host:operator"];
        let trail = home.done(&line).ok()?.stdout;
        trail.contains("SIGHUP").then_some(())
    })
    .unwrap();
    assert_eq!(home.status().unwrap().pid, status.pid);
    home.stop().unwrap();
    host.end().unwrap().ok().unwrap();
}

#[test]
fn a_reload_in_a_canary_stands_behind_the_switch() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let open = json!({"title": "a", "currency": "USD", "goal": "1"});
    home.rpc("donations:a", "open", &open).unwrap();
    let line = "upgrade 0.2.0 --no-rehearsal --canary 50% --probation 60s";
    let line: Vec<_> = line.split(' ').collect();
    let upgrade = home.begin(&line).unwrap();
    wait::until("a share is ahead", || {
        let upgrade = home.status().ok()?.upgrade?;
        (upgrade.state == "canary").then_some(())
    })
    .unwrap();
    home.configure("RUST_LOG=error").unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(changes(&answer), ["RUST_LOG now"]);
    home.done(&["commit"]).unwrap();
    upgrade.end().unwrap().ok().unwrap();
    // What is in force is what the files say: nothing is left to change.
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(changes(&answer), [""; 0]);
}

/// Says `line` in a terminal of its own, behind what comes before it, and takes the terminal
/// away when the host is ready. Gives the host's process.
fn without_its_terminal(home: &Home, before: &str, line: &[&str], behind: &str) -> u32 {
    let host = home.command(line);
    let words = std::iter::once(host.get_program()).chain(host.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    let said = format!("{before} {} {behind}", words.join(" "));
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &said, "/dev/null"])
        .env_clear()
        .envs(
            host.get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut terminal = terminal.spawn().unwrap();
    let pid = home.settled().unwrap().pid;
    terminal.kill().unwrap();
    terminal.wait().unwrap();
    pid
}

const FOREGROUND: [&str; 2] = ["start", "--foreground"];

#[test]
fn a_host_in_the_foreground_ends_with_its_terminal_unless_it_is_to_outlive_it() {
    let home = Home::new().unwrap();
    without_its_terminal(&home, "exec", &FOREGROUND, "");
    wait::until("it has ended", || home.status().is_err().then_some(())).unwrap();
    let pid = without_its_terminal(&home, "exec nohup", &FOREGROUND, "");
    wait::until("it has heard of it", || {
        let printed = fs::read_to_string(home.path().join("nohup.out")).ok()?;
        printed.contains("goes on without it").then_some(())
    })
    .unwrap();
    // What the signal means otherwise it means still.
    home.configure("RETENTION=30").unwrap();
    hang_up(pid);
    wait::until("the reload is in the trail", || {
        let line = ["audit", "export", "--actor", "host:operator"];
        let trail = home.done(&line).ok()?.stdout;
        trail.contains("SIGHUP").then_some(())
    })
    .unwrap();
    assert_eq!(home.status().unwrap().pid, pid);
    home.stop().unwrap();
}

#[test]
fn a_host_in_the_background_outlives_the_terminal_that_it_was_started_from() {
    for (before, line) in [("", "daemon"), ("", "start"), ("nohup", "start")] {
        let home = Home::new().unwrap();
        // The shell stays until its terminal goes.
        let pid = without_its_terminal(&home, before, &[line], "; sleep 60");
        home.rpc(
            "donations:a",
            "open",
            &json!({"title": "a", "currency": "USD", "goal": "1"}),
        )
        .unwrap();
        assert_eq!(home.status().unwrap().pid, pid, "{before} {line}");
        home.stop().unwrap();
    }
}
