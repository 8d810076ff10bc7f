//! How Rust files read: what they open with, how long they are, and what their
//! tests do not do.

use crate::none;
use crate::tree::{self, File};

/// Lines of a file without its tests.
const LINES_MAX: usize = 500;

/// Files that may be longer, and why.
const LONGER: [(&str, &str); 0] = [];

/// Files whose tests pause, and why.
const PAUSES: [(&str, &str); 0] = [];

/// What no line says: these are for the author's desk.
const UNFINISHED: [&str; 5] = ["todo!(", "unimplemented!(", "dbg!(", "TODO", "FIXME"];

fn rust() -> impl Iterator<Item = &'static File> {
    tree::files().iter().filter(|file| file.is_rust())
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
    let mut findings = Vec::new();
    for file in rust().filter(|file| !is_excepted(&LONGER, &file.path)) {
        let (code, tests) = file.split();
        if code.len().max(tests.len()) > LINES_MAX {
            findings.push(format!("{}: {} lines", file.path, code.len().max(tests.len())));
        }
    }
    none(&findings, "find the second noun, and give it a file");
}

#[test]
fn tests_wait_for_conditions_and_not_for_time() {
    let mut findings = Vec::new();
    for file in rust().filter(|file| !file.path.starts_with("tests/tidy/")) {
        if is_excepted(&PAUSES, &file.path) {
            continue;
        }
        let (code, tests) = file.split();
        for (at, line) in tests.iter().enumerate() {
            if pauses(line) {
                findings.push(format!("{}:{}", file.path, code.len() + at + 1));
            }
        }
    }
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
    let mut findings = Vec::new();
    for (path, reason) in LONGER.iter().chain(&PAUSES) {
        if !rust().any(|file| file.path == *path) || reason.is_empty() {
            findings.push((*path).to_owned());
        }
    }
    none(&findings, "take it from the list, or say why it is there");
}

#[test]
fn a_pause_is_told_from_words_like_it() {
    assert!(pauses("    std::thread::sleep(PAUSE);"));
    assert!(pauses("    tokio::time::sleep(PAUSE).await;"));
    assert!(!pauses("    // thread::sleep(PAUSE)"));
    assert!(!pauses("    actors.put_to_sleep(id);"));
}
