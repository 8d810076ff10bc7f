//! A counter whose migrations misbehave when they are told to, version 0.2.0.
//!
//! New since 0.1.0: `note {text}` keeps a text, which 0.1.0 cannot hold, and timers whose
//! names begin with `remind`; and `totals`, a query. Gone are
//! most of the commands that only break something, so that `unknown_event` has
//! something to be about. The mark that `plan_trouble` left in the state, in
//! either version, decides what goes wrong here: see [`Trouble`].
//!
//! An actor whose key begins with `unborn` cannot come into being here.
//!
//! Its hooks do what their name says: `refuse`, `panic`, `abort`, `exit`, `sleep-MS`.
//!
//! Without trouble all is well both ways: `down(up(S))` is `S`, and `up(down(N))`
//! is `N`, because the notes travel in the carry.

mod command;
mod hook;
mod migrate;
mod ruin;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_sdk::{Cx, Decision, Effect, Plugin, Rejection, Reply, Violation, export_plugin};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use crate::command::{Command, Event, Query};
pub use crate::migrate::{Carry, Old, Trouble};

/// Whether `fall_ill` was the last that was said of the plugin's health. A
/// static: it is in no journal, and gone with the process.
static ILL: AtomicBool = AtomicBool::new(false);

/// The counter with its notes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faulty {
    /// What 0.1.0 knows too.
    pub old: Old,
    /// Texts, oldest first.
    pub notes: Vec<String>,
}

impl Plugin for Faulty {
    const NAME: &'static str = "faulty";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const STATE_SCHEMA: u32 = 2;

    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(key: &str) -> Self {
        assert!(!key.starts_with("unborn"), "new panics, as the key says");
        Self::default()
    }

    fn decide(&self, cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        let noted = || Decision::event(Event::Noted {});
        Ok(match command {
            Command::Add { by } => return self.add(by),
            Command::Note { text } => Decision::event(Event::NoteTaken { text })
                .reply(&json!({ "notes": self.notes.len() + 1 })),
            Command::Panic {} => panic!("decide panics, as it was told to"),
            Command::Sleep { ms } => {
                sleep(ms);
                noted()
            }
            Command::Cast { to, event, payload } => noted().effect(Effect::Cast {
                to,
                event: event.into(),
                payload,
            }),
            Command::SetTimer {
                name,
                in_ms,
                payload,
            } => noted().set_timer(name, cx.now_ms().saturating_add(in_ms), &payload),
            Command::CancelTimer { name } => noted().cancel_timer(name),
            Command::FallIll {} => {
                ILL.store(true, Ordering::Relaxed);
                noted()
            }
            Command::Recover {} => {
                ILL.store(false, Ordering::Relaxed);
                noted()
            }
            Command::PlanTrouble { what, ms } => {
                Decision::event(Event::TroublePlanned { what, ms })
            }
        })
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Added { by } => self.old.count += by,
            Event::Ticked {} => self.old.ticks += 1,
            Event::NoteTaken { text } => self.notes.push(text),
            Event::TroublePlanned { what, ms } => {
                self.old.trouble = what;
                self.old.trouble_ms = ms;
            }
            Event::Noted {} => {}
        }
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Summary {} => {
                let mut summary = json!({
                    "count": self.old.count,
                    "ticks": self.old.ticks,
                    "bytes": self.old.padding.len(),
                    "notes": self.notes,
                    "version": Self::VERSION,
                });
                // Where none has run it says what 0.1.0 says.
                let hooks = hook::ran();
                if !hooks.is_empty() {
                    summary["hooks"] = json!(hooks);
                }
                Ok(Reply::json(&summary))
            }
            Query::Totals { .. } => Ok(Reply::json(&json!({ "count": self.old.count }))),
        }
    }

    /// As in 0.1.0; but `remind…` is known here only.
    fn timer(&self, cx: &Cx<'_>, payload: Value) -> Result<Decision<Event>, Rejection> {
        let name = cx.event();
        assert!(
            !name.starts_with("panic"),
            "a timer panics, as it was told to"
        );
        assert!(
            self.old.trouble != Trouble::TimersPanic,
            "timers panic in 0.2.0, as it was told to"
        );
        if name.starts_with("refuse") {
            return Err(Rejection::new("refused", "this timer is never accepted"));
        }
        let ticks = json!({ "name": name, "ticks": self.old.ticks + 1 });
        let ticked = Decision::event(Event::Ticked {}).broadcast("ticked", &ticks);
        Ok(match payload["every_ms"].as_i64() {
            Some(every) => ticked.set_timer(name, cx.now_ms() + every, &payload),
            None => ticked,
        })
    }

    fn check(&self) -> Result<(), Violation> {
        if self.old.broken || self.old.trouble == Trouble::CheckFails {
            return Err(Violation::new("not broken", "broken, as it was told to"));
        }
        Ok(())
    }

    fn run(hook: &str, _cx: &Cx<'_>) -> Result<(), Rejection> {
        hook::run(hook)
    }

    fn health() -> Result<(), Rejection> {
        if ILL.load(Ordering::Relaxed) {
            return Err(Rejection::new("ill", "it was told to fall ill"));
        }
        Ok(())
    }
}

impl Faulty {
    fn add(&self, by: i64) -> Result<Decision<Event>, Rejection> {
        let count = self.old.count.checked_add(by).ok_or_else(|| {
            Rejection::new(
                "too_large",
                format!("{} and {by} do not fit", self.old.count),
            )
        })?;
        let mut reply = json!({ "count": count });
        match self.old.trouble {
            Trouble::AddPanics => panic!("add panics in 0.2.0, as it was told to"),
            Trouble::AddSlow => sleep(self.old.trouble_ms),
            Trouble::AddRefused => {
                return Err(Rejection::new("refused", "0.2.0 was told to refuse this"));
            }
            Trouble::ReplyRandom => reply["nonce"] = Value::from(ruin::something_else()),
            Trouble::ReplyDiffers => reply["count"] = Value::from(count.wrapping_neg()),
            _ => {}
        }
        Ok(Decision::event(Event::Added { by })
            .broadcast("added", &reply)
            .reply(&reply))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "code that holds its thread is what this plugin is for"
)]
pub(crate) fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

export_plugin!(Faulty: Migrate);
