//! What people see of something that takes its time: on a terminal, and in a file.

use e2e::command::Running;
use e2e::{Home, faulty, wait};
use serde_json::{Value, json};

use crate::hostile::{self, home};

/// Actors that each take a moment to come over, in a rehearsal and in earnest.
const ACTORS: usize = 12;

const UPGRADE: [&str; 4] = ["upgrade", "0.2.0", "--probation", "2s"];

fn slow() -> Home {
    slow_ones(ACTORS)
}

fn slow_ones(actors: usize) -> Home {
    let home = home();
    let port = home.start().unwrap().port;
    for actor in 0..actors {
        faulty::mark(port, &actor.to_string(), "up_slow", 50).unwrap();
    }
    home
}

/// What was shown one after the other in the place of a bar, without what moves a cursor.
fn frames(shown: &str) -> Vec<&str> {
    let ends = |c: char| matches!(c, '\r' | '\n' | '\u{1b}');
    let frames = shown.split(ends).map(|it| it.trim_start_matches("[2K"));
    frames.filter(|frame| !frame.is_empty()).collect()
}

/// Whether a frame shows how many of the actors, and what time is left.
fn is_counted(frame: &str) -> bool {
    frame.contains(&format!("/{ACTORS} ")) && frame.ends_with(" left")
}

/// Whether a frame shows a part of the actors, and that it takes some time still.
fn is_under_way(frame: &str) -> bool {
    let Some((before, after)) = frame.split_once(&format!("/{ACTORS} ")) else {
        return false;
    };
    let done = before.rsplit(' ').next().and_then(|it| it.parse().ok());
    let is_part = done.is_some_and(|done: usize| (1..ACTORS).contains(&done));
    is_part && is_counted(frame) && !after.ends_with(", 0s left")
}

#[test]
fn on_a_terminal_a_bar_shows_how_far_an_upgrade_is_and_how_long_it_takes_still() {
    let home = slow();
    let ran = Running::on_a_terminal(home.command(&UPGRADE)).unwrap();
    let ran = ran.end().unwrap().ok().unwrap();
    let frames = frames(&ran.stdout);
    let shows = |is: &dyn Fn(&str) -> bool| {
        assert!(frames.iter().any(|frame| is(frame)), "{frames:#?}");
    };
    shows(&|frame| frame.contains("rehearsal") && is_under_way(frame));
    // How far it is, is told once a second: a sweep of so few is hardly seen in between.
    shows(&|frame| frame.contains("switching") && is_counted(frame));
    shows(&|frame| frame.contains("probation, ") && frame.contains("s left"));
    // The bar is taken away, and the report stays.
    let report = frames.iter().position(|it| it.starts_with("outcome"));
    let report = report.unwrap_or_else(|| panic!("{frames:#?}"));
    let is_bar = |frame: &&str| is_counted(frame);
    assert!(!frames[report..].iter().any(is_bar), "{frames:#?}");
    home.stop().unwrap();
}

#[test]
fn a_rehearsal_shows_its_bar_on_a_terminal_and_plain_lines_elsewhere() {
    let home = slow();
    let line = ["rehearse", "0.2.0"];
    let ran = Running::on_a_terminal(home.command(&line)).unwrap();
    let ran = ran.end().unwrap().ok().unwrap();
    let frames = frames(&ran.stdout);
    assert!(frames.iter().any(|it| is_under_way(it)), "{frames:#?}");

    let ran = home.done(&UPGRADE).unwrap();
    is_plain(&ran.stderr);
    let rehearsed = format!(" of {ACTORS} actors rehearsed");
    for wanted in [&*rehearsed, "ms  switching", "of probation left"] {
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
    home.stop().unwrap();
}

fn is_plain(text: &str) {
    let moves = |c: char| c.is_control() && c != '\n';
    assert!(!text.contains(moves), "{text:?}");
}

#[test]
fn the_status_says_how_far_a_rehearsal_is() {
    const MANY: u64 = 60;
    let home = slow_ones(MANY as usize);
    let upgrade = home.begin(&[&UPGRADE[..], &["--json"]].concat()).unwrap();
    let far = wait::until("a part is rehearsed", || {
        let status: Value = home.answer(&["status", "--json"]).ok()?;
        let far = &status["upgrade"]["rehearsing"];
        (far["rehearsed"].as_u64() > Some(0)).then(|| far.clone())
    })
    .unwrap();
    assert_eq!(far["total"], MANY);
    assert!(far["rehearsed"].as_u64() <= Some(MANY), "{far}");
    let report: Value = upgrade.end().unwrap().ok().unwrap().json().unwrap();
    assert_eq!(report["outcome"], "committed");
    home.stop().unwrap();
}

#[test]
fn nobody_is_counted_as_waiting_for_an_actor_that_nobody_asks_for() {
    let home = slow();
    let report = hostile::UPGRADE;
    let report: Value = home.done(&report).unwrap().json().unwrap();
    assert_eq!(report["actors_migrated"], ACTORS);
    let nobody = json!({ "p50": 0, "p99": 0, "max": 0 });
    assert_eq!(report["pause_us"], nobody);
    home.stop().unwrap();
}
