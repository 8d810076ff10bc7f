//! `unsafe` lives in a few rooms, and each use says who vouches for it.

use crate::none;
use crate::tree::{self, File};

/// The rooms: files, or folders with `/` at the end.
const ROOMS: [&str; 14] = [
    "abi/src/",
    "host/crates/actors/benches/micro.rs",
    "host/crates/loader/src/output.rs",
    "host/crates/loader/src/plugin.rs",
    "host/crates/loader/src/state.rs",
    "host/crates/loader/src/sys.rs",
    "host/src/heap.rs",
    "host/src/unasked.rs",
    "plugins/hostile/",
    "plugins/sdk/src/glue.rs",
    "plugins/sdk/src/glue/",
    "plugins/sdk/src/host.rs",
    "plugins/sdk/src/lib.rs",
    "tests/disk/src/lib.rs",
];

/// Lines above a use in which its comment may stand.
const COMMENT_WITHIN: usize = 8;

fn is_room(path: &str) -> bool {
    ROOMS
        .iter()
        .any(|room| path == *room || (room.ends_with('/') && path.starts_with(room)))
}

/// The line without its comment and without what stands in quotes.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect()
}

/// Whether the keyword stands in the line; `unsafe_code` is another word.
fn uses(line: &str) -> bool {
    let code = code(line);
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.split(|c: char| !is_word(c))
        .any(|word| word == "unsafe")
}

/// Whether the line claims a promise, where a type or a signature only asks for one.
fn claims(line: &str) -> bool {
    let code = code(line);
    uses(line)
        && (code.contains("unsafe {") || code.contains("unsafe impl") || code.contains("#[unsafe("))
}

/// The Rust files, but for this one, whose examples look like uses.
fn files() -> impl Iterator<Item = &'static File> {
    let files = tree::files().iter().filter(|file| file.is_rust());
    files.filter(|file| !file.path.starts_with("tests/tidy/"))
}

fn unexplained(file: &File) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let has_comment = |at: usize| {
        lines[at.saturating_sub(COMMENT_WITHIN)..=at]
            .iter()
            .any(|line| line.contains("SAFETY:"))
    };
    (0..lines.len())
        .filter(|&at| claims(lines[at]) && !has_comment(at))
        .map(|at| format!("{}:{}", file.path, at + 1))
        .collect()
}

#[test]
fn it_stays_in_its_rooms() {
    let outside = files()
        .filter(|file| !is_room(&file.path))
        .filter(|file| file.text.lines().any(uses));
    let findings: Vec<_> = outside.map(|file| file.path.clone()).collect();
    none(
        &findings,
        "build a safe interface in one of the rooms, and use that",
    );
}

#[test]
fn every_claim_has_its_comment() {
    let findings: Vec<_> = files().flat_map(unexplained).collect();
    none(
        &findings,
        "write `// SAFETY:` above it: who vouches, why now, until when",
    );
}

#[test]
fn the_rooms_are_there() {
    let gone = ROOMS
        .iter()
        .filter(|room| !tree::root().join(room).exists());
    let findings: Vec<_> = gone.map(ToString::to_string).collect();
    none(&findings, "take the room from the list");
}

#[test]
fn the_keyword_is_told_from_words_like_it() {
    for (line, found) in [
        ("let x = unsafe { y() };", true),
        ("unsafe_code = \"deny\"", false),
        ("// unsafe { }", false),
        ("let s = \"unsafe {\";", false),
        ("    #[unsafe(no_mangle)]", true),
        ("pub type F = unsafe extern \"C\" fn();", true),
    ] {
        assert_eq!(uses(line), found, "{line}");
    }
    assert!(!claims("pub type F = unsafe extern \"C\" fn();"));
}
