//! How Rust files read: what they open with, how long they are, and what their
//! tests do not do.

use crate::none;
use crate::tree::{self, File};

/// Lines of a file without its tests.
const LINES_MAX: usize = 500;

/// Files that may be longer, and why.
const LONGER: [(&str, &str); 1] = [(
    "host/crates/upgrade/src/run.rs",
    "one method for each state of an upgrade: apart, their order could not be read",
)];

/// Files whose tests pause, and why.
const PAUSES: [(&str, &str); 1] = [(
    "host/src/life/tests.rs",
    "looks for another process's file again and again, until a deadline",
)];

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

/// The lines of its tests in which a file pauses, counted from 1.
fn pausing(file: &File) -> Vec<usize> {
    let (code, tests) = file.split();
    let pausing = tests.iter().enumerate().filter(|(_, line)| pauses(line));
    pausing.map(|(at, _)| code.len() + at + 1).collect()
}

fn is_excepted(list: &[(&str, &str)], path: &str) -> bool {
    list.iter().any(|(excepted, _)| *excepted == path)
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
        .filter(|file| !is_excepted(&LONGER, &file.path))
        .map(|file| format!("{}: {} lines", file.path, lines(file)))
        .collect();
    none(&findings, "find the second noun, and give it a file");
}

#[test]
fn tests_wait_for_conditions_and_not_for_time() {
    let others = rust().filter(|file| !file.path.starts_with("tests/tidy/"));
    let findings: Vec<_> = others
        .filter(|file| !is_excepted(&PAUSES, &file.path))
        .flat_map(|file| {
            pausing(file)
                .into_iter()
                .map(|at| format!("{}:{at}", file.path))
        })
        .collect();
    none(&findings, "wait for what the test needs, with a deadline");
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
fn exceptions_are_of_files_that_need_them() {
    let needed = |path: &str, needs: fn(&File) -> bool| rust().any(|f| f.path == path && needs(f));
    let long = LONGER
        .iter()
        .filter(|(path, _)| !needed(path, |f| lines(f) > LINES_MAX));
    let pause = PAUSES
        .iter()
        .filter(|(path, _)| !needed(path, |f| !pausing(f).is_empty()));
    let findings: Vec<_> = long
        .chain(pause)
        .map(|(path, _)| (*path).to_owned())
        .collect();
    none(
        &findings,
        "take it from the list: it has become like the others",
    );
}

#[test]
fn a_pause_is_told_from_words_like_it() {
    assert!(pauses("    std::thread::sleep(PAUSE);"));
    assert!(pauses("    tokio::time::sleep(PAUSE).await;"));
    assert!(!pauses("    // thread::sleep(PAUSE)"));
    assert!(!pauses("    actors.put_to_sleep(id);"));
}
