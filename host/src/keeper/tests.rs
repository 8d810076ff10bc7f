//! What comes after a run, and real children that end in every way.

use std::fs;
use std::path::Path;

use clap::Parser;
use host_cli::args::Cli;

use super::*;
use crate::home::tests::put_release;

fn ended(code: Option<i32>, was_ready: bool) -> Ended {
    Ended {
        code,
        was_ready,
        asked: Asked::Run,
        at: Duration::ZERO,
    }
}

fn ms(ms: u64) -> Next {
    Next::Boot(Duration::from_millis(ms))
}

/// A crash `at_s` seconds after the keeper began.
fn crash(at_s: u64) -> Ended {
    Ended {
        at: Duration::from_secs(at_s),
        ..ended(None, true)
    }
}

#[test]
fn pauses_double_and_begin_anew_after_a_good_minute() {
    let mut history = History::default();
    let pauses: Vec<_> = [0, 1, 2, 3].map(|at| history.after(crash(at))).into();
    assert_eq!(pauses, [100, 200, 400, 800].map(ms));
    assert_eq!(history.after(crash(63)), ms(100));
    assert_eq!(history.after(crash(64)), ms(200));
}

#[test]
fn five_crashes_within_a_minute_are_the_end() {
    let mut history = History::default();
    for at in [0, 1, 2, 3] {
        assert!(matches!(history.after(crash(at)), Next::Boot(_)));
    }
    assert_eq!(history.after(crash(59)), Next::GiveUp);

    // The first of these no longer counts when the fifth comes.
    let mut history = History::default();
    for at in [0, 20, 30, 40, 60, 81, 92] {
        assert!(matches!(history.after(crash(at)), Next::Boot(_)), "{at}");
    }
}

#[test]
fn an_end_in_order_and_one_that_needs_a_look_are_kept() {
    for code in [0, 5] {
        for ready in [false, true] {
            let next = History::default().after(ended(Some(code), ready));
            assert_eq!(next, Next::Exit(code.try_into().unwrap()));
        }
    }
}

#[test]
fn a_host_that_never_came_up_is_not_tried_again() {
    assert_eq!(
        History::default().after(ended(Some(1), false)),
        Next::Exit(1)
    );
    assert_eq!(History::default().after(ended(None, false)), Next::Exit(1));
    let mut history = History::default();
    assert_eq!(history.after(ended(None, true)), ms(100));
    assert_eq!(history.after(ended(Some(1), false)), ms(200));
}

#[test]
fn a_host_may_ask_for_a_boot_but_not_in_a_tight_circle() {
    let mut history = History::default();
    assert_eq!(history.after(ended(Some(75), true)), ms(0));
    assert_eq!(history.after(ended(Some(75), false)), ms(100));
    assert_eq!(History::default().after(ended(Some(75), false)), ms(100));
}

#[test]
fn what_an_operator_asks_for_is_done_however_the_host_ends() {
    for code in [Some(0), Some(5), Some(101), None] {
        let run = |asked| Ended {
            asked,
            ..ended(code, true)
        };
        let mut history = History::default();
        assert_eq!(history.after(run(Asked::Restart)), ms(0));
        assert!(matches!(history.after(run(Asked::Stop)), Next::Exit(_)));
    }
}

/// What the scripts below run to say that they are ready. Nobody has asked for that
/// where it runs as a test among others, and then it does nothing.
#[test]
fn says_ready() {
    crate::notify::ready();
}

/// A home whose host is a shell script; it adds a line to the file `$runs` each time.
fn found(root: &Path, script: &str) -> Found {
    let tests = std::env::current_exe().unwrap();
    let program = format!(
        "#!/bin/sh\nruns={root}/runs\nready() {{ {tests} --exact keeper::tests::says_ready > {root}/ready 2>&1; }}\necho run >> $runs\n{script}\n",
        root = root.display(),
        tests = tests.display(),
    );
    put_release(root, "0.1.0", &program);
    let second = format!("#!/bin/sh\necho second >> {}/runs\n", root.display());
    put_release(root, "0.2.0", &second);
    let root = root.to_str().unwrap();
    let global = Cli::try_parse_from(["host", "--home", root, "keeper"])
        .unwrap()
        .global;
    let found = Found::home(&global).unwrap();
    found.home.make_folders().unwrap();
    found
}

async fn keep(script: &str) -> (Result<u8, Failure>, String) {
    let dir = tempfile::tempdir().unwrap();
    let found = found(dir.path(), script);
    let kept = Keeper::new(&found, false).keep();
    let kept = timeout(Duration::from_secs(60), kept).await.unwrap();
    let runs = fs::read_to_string(dir.path().join("runs")).unwrap_or_default();
    (kept, runs)
}

#[tokio::test]
async fn a_first_start_that_fails_is_the_end() {
    assert_eq!(keep("exit 1").await, (Ok(1), "run\n".to_owned()));
}

#[tokio::test]
async fn a_crash_is_followed_by_a_boot() {
    let (kept, runs) = keep("[ $(wc -l < $runs) = 3 ] && exit 5; ready; kill -9 $$").await;
    assert_eq!((kept, runs.as_str()), (Ok(5), "run\nrun\nrun\n"));
}

#[tokio::test]
async fn a_host_that_crashes_again_and_again_is_given_up() {
    let (kept, runs) = keep("ready; kill -9 $$").await;
    assert_eq!(kept, Ok(EXIT_LOOK));
    assert_eq!(runs.lines().count(), CRASHES_MAX);
}

#[tokio::test]
async fn every_boot_picks_the_permanent_release() {
    let (kept, runs) = keep("echo 0.2.0 > ${runs%/*}/data/permanent; ready; exit 75").await;
    assert_eq!((kept, runs.as_str()), (Ok(0), "run\nsecond\n"));
}

#[tokio::test]
async fn a_host_whose_program_has_gone_is_given_up_like_one_that_crashes() {
    // The first run is good, and takes its own program away.
    let gone = "ready; rm $0; kill -9 $$";
    let (kept, runs) = keep(gone).await;
    assert_eq!((kept, runs.as_str()), (Ok(EXIT_LOOK), "run\n"));
    let no_exec = "ready; chmod -x $0; kill -9 $$";
    let (kept, runs) = keep(no_exec).await;
    assert_eq!((kept, runs.as_str()), (Ok(EXIT_LOOK), "run\n"));
}

#[tokio::test]
async fn a_first_start_without_a_program_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let found = found(dir.path(), "");
    fs::remove_file(found.booting().unwrap().program()).unwrap();
    let kept = Keeper::new(&found, false).keep().await;
    assert_eq!(kept, Ok(EXIT_REFUSED));
}

#[tokio::test]
async fn what_a_host_said_that_has_ended_is_not_taken_for_the_next_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keeper.sock");
    let notify = UnixDatagram::bind(&path).unwrap();
    let host = Socket::unbound().unwrap();
    for _ in 0..3 {
        host.send_to(READY, &path).unwrap();
    }
    forget_words(&notify).unwrap();
    let word = timeout(LAST_WORD, hear_word(&notify)).await;
    assert!(word.is_err(), "{word:?}");
    host.send_to(READY, &path).unwrap();
    assert_eq!(hear_word(&notify).await, Heard::Ready);
}
