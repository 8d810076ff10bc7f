//! What a plugin logs comes out of the host's own subscriber.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use crate::Bench;
use crate::actor::Actor;

/// Lines that were logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The lines that `body` causes, at the level `level` and above.
fn logged(level: tracing::Level, body: impl FnOnce()) -> Vec<Value> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_max_level(level)
        .with_writer(lines.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, body);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_line_says_which_plugin_and_keeps_its_fields() {
    let bench = Bench::new();
    let mut actor = Actor::new(&bench.open("faulty-v0-1-0"), "k");
    let message = "salam, \"quoted\" {braces}";
    let lines = logged(tracing::Level::INFO, || {
        actor.send("log", &json!({ "message": message })).unwrap();
    });
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["target"], "plugin");
    let fields = &line["fields"];
    assert_eq!(fields["message"], message);
    assert_eq!(fields["plugin"], "faulty");
    assert_eq!(fields["version"], "0.1.0");
    assert_eq!(fields["module"], "faulty_v0_1_0::decide");
    let own: Value = serde_json::from_str(fields["fields"].as_str().unwrap()).unwrap();
    assert_eq!(own, json!({ "key": "k", "seq": 0 }));
}

#[test]
fn what_the_host_would_not_keep_is_not_sent() {
    let bench = Bench::new();
    let mut actor = Actor::new(&bench.open("faulty-v0-1-0"), "k");
    let lines = logged(tracing::Level::ERROR, || {
        actor.send("log", &json!({ "message": "unheard" })).unwrap();
    });
    assert!(lines.is_empty(), "{lines:?}");
}

/// The host may have been told meanwhile to keep more, or less.
#[test]
fn a_level_that_was_raised_counts_from_the_next_line() {
    let bench = Bench::new();
    let mut actor = Actor::new(&bench.open("faulty-v0-1-0"), "k");
    for (level, kept) in [
        (tracing::Level::ERROR, 0),
        (tracing::Level::INFO, 1),
        (tracing::Level::ERROR, 0),
    ] {
        let lines = logged(level, || {
            actor.send("log", &json!({ "message": "salam" })).unwrap();
        });
        assert_eq!(lines.len(), kept, "{level}: {lines:?}");
    }
}
