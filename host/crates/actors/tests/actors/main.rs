//! Actors with real plugins and a real journal: what they promise, and what happens
//! when a plugin misbehaves.

#![allow(
    clippy::unwrap_used,
    reason = "a test that unwraps nothing fails where it should"
)]

mod authority;
mod away;
mod canary;
mod faults;
mod gates;
mod home;
mod hooks;
mod keys;
mod large;
mod messages;
mod migrations;
mod news;
mod one_way;
mod outbox;
mod random;
mod redeliver;
mod repair;
mod rows;
mod sleep;
mod store;
mod stranded;
mod timers;
mod trace;
mod way_back;
mod ways;

/// The child process that looks at a library before this one opens it: this very
/// program, asked for this one test by [`home`], with the library as last argument.
/// As a test among others it has nothing to do.
#[test]
fn inspect_child() {
    let asked = std::env::args().any(|argument| argument == "inspect_child");
    let image = std::env::args()
        .next_back()
        .filter(|last| last.ends_with(".so"));
    if let (true, Some(image)) = (asked, image) {
        std::process::exit(host_loader::inspect_main(image.as_ref()));
    }
}
