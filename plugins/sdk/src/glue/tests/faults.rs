//! Panics, and bytes that are not what they should be.

use std::panic::{set_hook, take_hook};
use std::sync::{Mutex, PoisonError};

use host_abi::{Bytes, FaultKind, Part, Status};
use serde::{Deserialize, Serialize};

use super::{Actor, Counter, with_sink};
use crate::glue::{Plain, table};
use crate::panics;

/// Hooks belong to the process, so the tests that change it take turns.
pub(super) static HOOK: Mutex<()> = Mutex::new(());

/// Runs `body` with this library's hook, and puts the test runner's back.
pub(super) fn hooked(body: impl FnOnce()) {
    let _turn = HOOK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = take_hook();
    panics::install_hook();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    set_hook(before);
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_panic_is_told_with_its_words_and_its_place() {
    hooked(|| {
        let mut lobby = Actor::new::<Plain<Counter>>();
        lobby.handle("add", r#"{"by":2}"#);
        let mut lines = Vec::new();
        let query = lobby.query("panic");
        for ((status, answer), words) in [
            (lobby.handle("panic_in_decide", ""), "decide: 2"),
            (lobby.handle("panic_in_apply", ""), "apply"),
            (lobby.apply(r#"{"broken":{}}"#), "apply"),
            (query, "query"),
        ] {
            assert_eq!(status, Status::FAULT);
            let told = answer.fault();
            assert_eq!(
                (told.kind, told.message.as_str()),
                (FaultKind::PANIC, words)
            );
            assert!(told.file.ends_with("glue/tests.rs"), "{}", told.file);
            lines.push(told.line);
        }
        assert!(
            lines[0] > 0 && lines[1] == lines[2] && lines[3] > lines[2],
            "{lines:?}"
        );
    });
}

#[test]
fn a_panic_that_panics_again_when_dropped_ends_all_the_same() {
    hooked(|| {
        let mut lobby = Actor::new::<Plain<Counter>>();
        let (status, answer) = lobby.handle("bomb", "");
        assert_eq!(status, Status::FAULT);
        let told = answer.fault();
        assert_eq!(told.message, "a panic whose payload is no text");
        // What the drop threw is not told of the next panic.
        let next = panics::catch(|| std::panic::resume_unwind(Box::new("next")));
        assert_eq!(next.unwrap_err().message, "next");
        // The thread is as good as before.
        assert_eq!(lobby.handle("add", r#"{"by":2}"#).0, Status::OK);
    });
}

#[test]
fn without_a_hook_the_words_are_told_without_their_place() {
    let quiet = panics::catch(|| std::panic::resume_unwind(Box::new("quiet".to_owned())));
    let quiet = quiet.unwrap_err();
    assert_eq!(
        (quiet.message.as_str(), quiet.file.as_str(), quiet.line),
        ("quiet", "", 0)
    );
}

#[test]
fn bytes_that_are_no_state_and_no_event_are_faults() {
    let table = table::<Plain<Counter>>();
    for bytes in [&b""[..], b"\xc1", b"\x80", b"\x81\xa5total\x01"] {
        // SAFETY: bytes and sink are this call's.
        let (state, answer) = with_sink(|sink| unsafe { (table.import)(Bytes::new(bytes), sink) });
        assert!(state.is_null());
        let told = answer.fault();
        assert_eq!(told.kind, FaultKind::CODEC);
        assert!(
            told.message.starts_with("a stored state: "),
            "{}",
            told.message
        );
    }
    let mut lobby = Actor::new::<Plain<Counter>>();
    let before = lobby.export();
    for event in ["", "{", r#"{"lost":{}}"#, r#"{"added":{}}"#] {
        let (status, answer) = lobby.apply(event);
        assert_eq!(
            (status, answer.fault().kind),
            (Status::FAULT, FaultKind::CODEC)
        );
    }
    assert_eq!(lobby.timer("idle", "{").1.fault().kind, FaultKind::CODEC);
    assert_eq!(lobby.export(), before);
}

#[test]
fn decisions_that_make_no_sense_are_faults() {
    let mut lobby = Actor::new::<Plain<Counter>>();
    let before = lobby.export();
    let (status, answer) = lobby.handle("effect_without_event", "");
    assert_eq!(
        (status, answer.fault().kind),
        (Status::FAULT, FaultKind::ERROR)
    );
    let (status, answer) = lobby.handle("no_json", "");
    assert_eq!(
        (status, answer.fault().kind),
        (Status::FAULT, FaultKind::CODEC)
    );
    assert_eq!(lobby.export(), before);
}

#[test]
fn a_panic_in_new_makes_no_state() {
    let table = table::<Plain<Counter>>();
    // SAFETY: bytes and sink are this call's.
    let (state, answer) = with_sink(|sink| unsafe { (table.new)(Bytes::new(b"panics"), sink) });
    assert!(state.is_null() && answer.all(Part::STATE).is_empty());
    assert_eq!(answer.fault().kind, FaultKind::PANIC);
}

/// A state whose drop panics.
#[derive(Default, Serialize, Deserialize)]
struct Stubborn;

impl Drop for Stubborn {
    fn drop(&mut self) {
        panic!("will not go");
    }
}

impl crate::Plugin for Stubborn {
    const NAME: &'static str = "stubborn";
    const VERSION: &'static str = "0.1.0";
    type Command = super::Command;
    type Query = super::Query;
    type Event = super::Event;

    fn new(_: &str) -> Self {
        Self
    }
    fn decide(
        &self,
        _: &crate::Cx<'_>,
        _: super::Command,
    ) -> Result<crate::Decision<super::Event>, crate::Rejection> {
        Ok(crate::Decision::answer(&()))
    }
    fn apply(&mut self, _: super::Event) {}
    fn query(&self, _: &crate::Cx<'_>, _: super::Query) -> Result<crate::Reply, crate::Rejection> {
        Ok(crate::Reply::json(&()))
    }
}

#[test]
fn a_state_whose_drop_panics_is_let_go() {
    drop(Actor::new::<Plain<Stubborn>>());
}
