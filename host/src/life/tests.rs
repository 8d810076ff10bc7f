//! Processes that live, are gone, or do not listen.

use std::path::PathBuf;

use clap::Parser;
use host_cli::args::Cli;
use tempfile::TempDir;

use super::*;
use crate::home::tests::{home, put_release};

/// Names the file that [`holds_a_pid_file`] takes.
const PID_FILE: &str = "HOST_TEST_PID_FILE";

/// A host that never listens: it holds its file until a signal ends it. As a test
/// among others it is given no file, and does nothing.
#[test]
fn holds_a_pid_file() {
    let Some(path) = std::env::var_os(PID_FILE).map(PathBuf::from) else {
        return;
    };
    let _held = PidFile::take(&path).unwrap();
    loop {
        std::thread::park();
    }
}

fn fresh() -> (TempDir, Home) {
    let dir = tempfile::tempdir().unwrap();
    let home = home(dir.path());
    home.make_folders().unwrap();
    (dir, home)
}

fn found(home: &Home) -> Found {
    put_release(&home.root, "0.1.0", "");
    std::fs::create_dir_all(home.root.join("etc")).unwrap();
    std::fs::write(home.root.join("etc/env"), "HOST_ENV=dev\n").unwrap();
    let root = home.root.to_str().unwrap();
    let cli = Cli::try_parse_from(["host", "--home", root, "restart"]).unwrap();
    Found::home(&cli.global).unwrap()
}

async fn stopped(home: &Home) -> Result<u8, Failure> {
    stop(home, &mut Output::new(true, &mut Vec::new())).await
}

async fn restarted(home: &Home) -> Failure {
    let mut text = Vec::new();
    let ended = restart(&found(home), &mut Output::new(true, &mut text)).await;
    ended.unwrap_err()
}

#[test]
fn a_second_start_advises_what_works() {
    let (_dir, home) = fresh();
    let _host = PidFile::take(&home.pid_file()).unwrap();
    let said = refuse_second(&home).unwrap_err().to_string();
    assert!(said.contains("`host stop` and `host start`"), "{said}");
    assert!(!said.contains("host restart"), "{said}");
    let _keeper = PidFile::take(&home.keeper_pid_file()).unwrap();
    let said = refuse_second(&home).unwrap_err().to_string();
    assert!(said.contains("`host restart`"), "{said}");
}

#[tokio::test]
async fn where_nothing_runs_there_is_nothing_to_stop_or_restart() {
    let (_dir, home) = fresh();
    // Left behind by a process long gone; process 1 is not ours to end.
    std::fs::write(home.pid_file(), "1\n").unwrap();
    std::fs::write(home.keeper_pid_file(), "1\n").unwrap();
    assert_eq!(stopped(&home).await.unwrap_err().exit_code(), 3);
    assert_eq!(restarted(&home).await.exit_code(), 3);
    refuse_second(&home).unwrap();
}

#[tokio::test]
async fn a_host_that_does_not_listen_is_stopped_by_a_signal() {
    let (_dir, home) = fresh();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "life::tests::holds_a_pid_file",
            "--include-ignored",
        ])
        .env(PID_FILE, home.pid_file())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while holder(&home.pid_file()).is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60));
        sleep(LOOK_EVERY).await;
    }
    let refusal = refuse_second(&home).unwrap_err();
    assert!(refusal.to_string().contains(&child.id().to_string()));
    assert_eq!(restarted(&home).await.exit_code(), 3);
    assert_eq!(stopped(&home).await, Ok(0));
    child.wait().unwrap();
    assert!(!is_held(&home.pid_file()));
}

#[test]
fn the_last_words_are_those_since_the_start() {
    let (_dir, home) = fresh();
    assert!(
        last_words(&home, "start", 0, Some(1))
            .to_string()
            .contains("without a word")
    );
    std::fs::write(home.log(), "of yesterday\nport 4000 is taken\n").unwrap();
    let failure = last_words(&home, "start", 13, Some(1));
    assert_eq!(failure.exit_code(), 1);
    let shown = failure.to_string();
    assert!(
        shown.ends_with("Its last words:\n  port 4000 is taken"),
        "{shown}"
    );
    assert_eq!(last_words(&home, "start", 0, Some(5)).exit_code(), 5);
}
