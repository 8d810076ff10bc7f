//! A counter that misbehaves when it is told to, version 0.1.0.
//!
//! `faulty:{key}` counts with `add`. Every other command does one thing that a
//! host must survive: a panic in `decide`, in `apply` or in the drop of the
//! panic itself, a handler that sleeps or spins, a reply that is no JSON, too
//! many effects, a cast to nobody, the end of the process. [`Command`] lists
//! them. What it wrote before the trouble must be there after it.
//!
//! `plan_trouble` leaves a mark in the state that version 0.2.0 trips over when
//! it migrates: see [`Trouble`].
//!
//! Used by the loader's tests, and by whatever tests supervision, upgrades and
//! the keeper. It is on purpose what a plugin should not be; where that is
//! against a lint, the place says so.

mod command;
mod decide;
mod trouble;

use std::sync::atomic::{AtomicBool, Ordering};

use host_sdk::{Cx, Decision, Plugin, Rejection, Reply, Violation, export_plugin};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::command::{Command, Event, Query};
pub use crate::trouble::Trouble;

/// Whether `fall_ill` was the last that was said of the plugin's health. A
/// static: it is in no journal, and gone with the process.
static ILL: AtomicBool = AtomicBool::new(false);

/// The counter, and what it has been told to do wrong later.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Faulty {
    /// Sum of what was added.
    pub count: i64,
    /// Timers that have fired.
    pub ticks: u64,
    /// What goes wrong at the next change of version.
    pub trouble: Trouble,
    /// For troubles that take time, in milliseconds.
    pub trouble_ms: u64,
    /// Only there to make the state large.
    pub padding: String,
    /// Whether `check` finds something.
    pub broken: bool,
}

#[derive(Deserialize)]
struct Claims {
    may: String,
}

impl Plugin for Faulty {
    const NAME: &'static str = "faulty";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const IDEMPOTENCY: &'static [(&'static str, &'static str)] = &[("add", "id")];

    type Command = Command;
    type Query = Query;
    type Event = Event;

    fn new(_key: &str) -> Self {
        Self::default()
    }

    fn decide(&self, cx: &Cx<'_>, command: Command) -> Result<Decision<Event>, Rejection> {
        self.decided(cx, command)
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Added { by } => self.count += by,
            Event::Ticked {} => self.ticks += 1,
            Event::TroublePlanned { what, ms } => {
                self.trouble = what;
                self.trouble_ms = ms;
            }
            Event::Grown { padding } => self.padding.push_str(&padding),
            Event::Broken {} => self.broken = true,
            Event::PanickedInApply {} => {
                self.count += 1;
                panic!("apply panics half-way, as it was told to");
            }
            Event::Noted {} => {}
        }
    }

    fn query(&self, _cx: &Cx<'_>, query: Query) -> Result<Reply, Rejection> {
        match query {
            Query::Summary {} => Ok(Reply::json(&serde_json::json!({
                "count": self.count,
                "ticks": self.ticks,
                "bytes": self.padding.len(),
                "version": Self::VERSION,
            }))),
            Query::RawQuery { text } => Ok(Reply::raw(text.as_bytes())),
            Query::FaultQuery {} => panic!("a query panics, as it was told to"),
            Query::Gone {} => match self.trouble {
                Trouble::QueryGone => Ok(Reply::json(&"still here")),
                _ => Err(Rejection::new("refused", "nobody has planned that")),
            },
            Query::SleepQuery { ms } => {
                decide::sleep(ms);
                Ok(Reply::json(&serde_json::json!({ "slept_ms": ms })))
            }
        }
    }

    /// `panic…` panics, `refuse…` is refused, any other counts; with
    /// `{"every_ms": n}` it sets itself again.
    fn timer(&self, cx: &Cx<'_>, payload: Value) -> Result<Decision<Event>, Rejection> {
        let name = cx.event();
        assert!(
            !name.starts_with("panic"),
            "a timer panics, as it was told to"
        );
        if name.starts_with("refuse") {
            return Err(Rejection::new("refused", "this timer is never accepted"));
        }
        let ticks = serde_json::json!({ "name": name, "ticks": self.ticks + 1 });
        let ticked = Decision::event(Event::Ticked {}).broadcast("ticked", &ticks);
        Ok(match payload["every_ms"].as_i64() {
            Some(every) => ticked.set_timer(name, cx.now_ms() + every, &payload),
            None => ticked,
        })
    }

    /// What the token's `may` says: `panic` and `sleep` do so, else it is the one event that
    /// its bearer may have.
    fn authorize(cx: &Cx<'_>) -> Result<(), Rejection> {
        let Some(Claims { may }) = cx.claims() else {
            return Ok(());
        };
        assert!(may != "panic", "authorize panics, as it was told to");
        if may == "sleep" {
            decide::sleep(200);
        } else if may != cx.event() {
            let why = format!("it may {may:?}, and not {:?}", cx.event());
            return Err(Rejection::new("refused", why));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Violation> {
        if self.broken {
            return Err(Violation::new("not broken", "broken, as it was told to"));
        }
        Ok(())
    }

    fn health() -> Result<(), Rejection> {
        if ILL.load(Ordering::Relaxed) {
            return Err(Rejection::new("ill", "it was told to fall ill"));
        }
        Ok(())
    }
}

export_plugin!(Faulty);
