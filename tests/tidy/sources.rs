//! How Rust files read: what they open with, how long they are, and what their
//! tests do not do.

use crate::none;
use crate::tree::{self, File};

/// Lines of a file without its tests.
const LINES_MAX: usize = 500;

/// Lines above and below a pause in which the deadline stands that ends the looking.
const DEADLINE_WITHIN: usize = 8;

/// What no line says: these are for the author's desk.
const UNFINISHED: [&str; 5] = ["todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME"];

fn rust() -> impl Iterator<Item = &'static File> {
    tree::files().iter().filter(|file| file.is_rust())
}

/// Lines of a file without its tests, or of a file of tests.
fn lines(file: &File) -> usize {
    let (code, tests) = file.split();
    if code.is_empty() {
        tests.len()
    } else {
        code.len()
    }
}

/// The lines of its tests, counted from 1, in which a file pauses other than
/// between two looks for something, until a deadline.
fn pausing(file: &File) -> Vec<usize> {
    let (code, tests) = file.split();
    let has_deadline = |at: usize| {
        let last = (at + DEADLINE_WITHIN).min(tests.len() - 1);
        let words = ["deadline", "elapsed()"];
        tests[at.saturating_sub(DEADLINE_WITHIN)..=last]
            .iter()
            .any(|line| words.iter().any(|word| line.contains(word)))
    };
    (0..tests.len())
        .filter(|&at| pauses(tests[at]) && !has_deadline(at))
        .map(|at| code.len() + at + 1)
        .collect()
}

fn pauses(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    ["thread::sleep(", "time::sleep(", " sleep("]
        .iter()
        .any(|call| code.contains(call) && !code.contains("fn sleep("))
}

#[test]
fn every_file_opens_with_what_it_is() {
    let silent = rust().filter(|file| !file.text.starts_with("//! "));
    let findings: Vec<_> = silent.map(|file| file.path.clone()).collect();
    none(&findings, "open it with `//!` and a sentence");
}

#[test]
fn files_are_rooms() {
    let long = rust().filter(|file| lines(file) > LINES_MAX);
    let findings: Vec<_> = long
        .map(|file| format!("{}: {} lines", file.path, lines(file)))
        .collect();
    none(&findings, "find the second noun, and give it a file");
}

#[test]
fn tests_wait_for_conditions_and_not_for_time() {
    // Programs that make load keep a pace, a kill comes at a moment that a seed has
    // chosen, and a disk that stalls does nothing else: they wait for nothing.
    let paced = [
        "tests/tidy/",
        "tests/src/bin/",
        "tests/src/crash/",
        "tests/disk/",
    ];
    let others = rust().filter(|file| !paced.iter().any(|dir| file.path.starts_with(dir)));
    let findings: Vec<_> = others
        .flat_map(|file| {
            let lines = pausing(file).into_iter();
            lines.map(|line| format!("{}:{line}", file.path))
        })
        .collect();
    none(
        &findings,
        "look for what the test needs, again and again, with a deadline beside the pause",
    );
}

#[test]
fn nothing_is_left_unfinished() {
    let mut findings = Vec::new();
    for file in rust().filter(|file| file.path != "tests/tidy/sources.rs") {
        for (at, line) in file.text.lines().enumerate() {
            if UNFINISHED.iter().any(|word| line.contains(word)) {
                findings.push(format!("{}:{}: {}", file.path, at + 1, line.trim()));
            }
        }
    }
    none(&findings, "finish it, or say in a document what is missing");
}

#[test]
fn a_pause_is_told_from_words_like_it() {
    assert!(pauses("    std::thread::sleep(PAUSE);"));
    assert!(pauses("    tokio::time::sleep(PAUSE).await;"));
    assert!(!pauses("    // thread::sleep(PAUSE)"));
    assert!(!pauses("    actors.put_to_sleep(id);"));
}

#[test]
fn a_pause_needs_a_deadline_beside_it() {
    let of = |text: &str| {
        pausing(&File {
            path: "x/tests.rs".to_owned(),
            text: text.to_owned(),
        })
    };
    assert_eq!(of("fn f() {\n    thread::sleep(LONG);\n}"), [2]);
    let looking =
        "while !there() {\n    assert!(begun.elapsed() < LONG);\n    thread::sleep(SHORT);\n}";
    assert_eq!(of(looking), [0; 0]);
}
