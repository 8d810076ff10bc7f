//! What comes of each command.

use std::sync::atomic::Ordering;
use std::time::Duration;

use host_sdk::{Cx, Decision, Effect, Rejection};
use serde_json::json;

use crate::{Command, Event, Faulty, ILL};

impl Faulty {
    pub(crate) fn decided(
        &self,
        cx: &Cx<'_>,
        command: Command,
    ) -> Result<Decision<Event>, Rejection> {
        let noted = || Decision::event(Event::Noted {});
        Ok(match command {
            Command::Add { by } => return self.add(by),
            Command::Answer {} => Decision::answer(&json!({ "count": self.count })),
            Command::Refuse {} => {
                return Err(Rejection::new("refused", "it was told to refuse this"));
            }
            Command::Panic {} => panic!("decide panics, as it was told to"),
            Command::PanicLate { ms } => {
                sleep(ms);
                panic!("decide panics late, as it was told to")
            }
            Command::PanicInApply {} => Decision::event(Event::PanickedInApply {}),
            Command::PanicPayload {} => std::panic::panic_any(Grenade),
            Command::Sleep { ms } => {
                sleep(ms);
                noted()
            }
            Command::Spin { ms } => {
                spin(ms);
                noted()
            }
            Command::Abort {} => std::process::abort(),
            Command::Cast { to, event, payload } => noted().effect(Effect::Cast {
                to,
                event: event.into(),
                payload,
            }),
            Command::CastBadTarget {} => noted().cast("nobody".to_owned(), "add", &json!({})),
            Command::SetTimer {
                name,
                in_ms,
                payload,
            } => noted().set_timer(name, cx.now_ms().saturating_add(in_ms), &payload),
            Command::CancelTimer { name } => noted().cancel_timer(name),
            Command::Webhook { url, body } => noted().effect(Effect::Outbox {
                name: "hook".into(),
                url,
                body,
            }),
            Command::AddAndStop { by } => self.add(by)?.stop(),
            Command::Broadcast { event, payload } => noted().effect(Effect::Broadcast {
                event: event.into(),
                payload,
            }),
            Command::ManyEffects { n } => (0..n).fold(noted(), |decision, n| {
                decision.broadcast("one_of_many", &json!({ "n": n }))
            }),
            Command::EffectWithoutEvent {} => {
                Decision::answer(&json!({})).broadcast("homeless", &json!({}))
            }
            Command::BigReply { bytes } => noted().reply(&"x".repeat(bytes)),
            Command::Grow { bytes } => Decision::event(Event::Grown {
                padding: "x".repeat(bytes),
            }),
            Command::Log { message } => {
                tracing::warn!(key = cx.key(), seq = cx.seq(), "{message}");
                noted()
            }
            Command::BreakInvariant {} => Decision::event(Event::Broken {}),
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

    fn add(&self, by: i64) -> Result<Decision<Event>, Rejection> {
        let count = self.count.checked_add(by).ok_or_else(|| {
            Rejection::new("too_large", format!("{} and {by} do not fit", self.count))
        })?;
        let reply = json!({ "count": count });
        Ok(Decision::event(Event::Added { by })
            .broadcast("added", &reply)
            .reply(&reply))
    }
}

/// A panic's payload that panics when the panic is over.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("a panic's payload panics when it is dropped");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a handler that holds its thread is what this command is for"
)]
pub(crate) fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a handler that reads a clock and spins is what this command is for"
)]
fn spin(ms: u64) {
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(ms) {
        std::hint::spin_loop();
    }
}
