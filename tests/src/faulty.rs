//! The plugin `faulty` of `plugins/hostile`, over HTTP: what it is told, and clients who
//! count on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{http, wait};

/// Clients of a [`Counting`].
const CLIENTS: usize = 4;

/// Of what was answered with these, it is not known whether it has happened.
const OPEN: [&str; 3] = ["timeout", "outcome_unknown", "internal"];

/// What [`Counts::refusals`] calls it that no answer came at all.
pub const NO_ANSWER: &str = "no answer";

/// Sends a command; the status, and the answer.
///
/// # Errors
///
/// That no answer comes.
pub fn post(port: u16, key: &str, event: &str, payload: &Value) -> Result<(u16, Value)> {
    let path = format!("/api/v1/faulty/{key}/{event}");
    let answer = http::request(port, "POST", &path, &payload.to_string())?;
    Ok((answer.status, answer.json()?))
}

/// Sends a command that must be taken; the answer.
///
/// # Errors
///
/// That it is not.
pub fn told(port: u16, key: &str, event: &str, payload: &Value) -> Result<Value> {
    let (status, answer) = post(port, key, event, payload)?;
    ensure!(status == 200, "{event} to faulty:{key}: {status} {answer}");
    Ok(answer)
}

/// What an actor says of itself.
///
/// # Errors
///
/// That no answer comes.
pub fn summary(port: u16, key: &str) -> Result<Value> {
    let path = format!("/api/v1/faulty/{key}/summary");
    http::request(port, "GET", &path, "")?.json()
}

/// Leaves a mark in an actor's state: what goes wrong from now on, and for how long.
///
/// # Errors
///
/// That it is not taken.
pub fn mark(port: u16, key: &str, what: &str, ms: u64) -> Result<()> {
    told(
        port,
        key,
        "plan_trouble",
        &json!({ "what": what, "ms": ms }),
    )
    .map(drop)
}

/// How much there is to count.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Where the host listens.
    pub port: u16,
    /// Actors `0` up to so many, each counted on by one client.
    pub actors: usize,
    /// Between an answer and the same client's next command.
    pub pace: Duration,
    /// The [`mark`] that each of them has from the beginning.
    pub mark: Option<(&'static str, u64)>,
}

/// Clients who count on actors, and remember what was acknowledged.
#[derive(Debug)]
pub struct Counting {
    clients: Vec<(Sender<()>, JoinHandle<Result<Refusals>>)>,
    counts: Arc<Vec<Count>>,
}

/// How many commands were not acknowledged, by reason.
type Refusals = BTreeMap<String, u64>;

#[derive(Debug, Default)]
struct Count {
    acknowledged: AtomicI64,
    /// Sent, and without an answer that says what came of it.
    open: AtomicI64,
}

impl Counting {
    /// Each actor is marked, and has been counted on, when this returns.
    ///
    /// # Errors
    ///
    /// That this does not happen.
    pub fn start(shape: Shape) -> Result<Self> {
        let counts: Arc<Vec<_>> = Arc::new((0..shape.actors).map(|_| Count::default()).collect());
        let client = |number: usize| {
            let (stop, stopped) = mpsc::channel();
            let counts = Arc::clone(&counts);
            let thread = thread::spawn(move || {
                let own = || (number..counts.len()).step_by(CLIENTS);
                if let Some((what, ms)) = shape.mark {
                    for actor in own() {
                        mark(shape.port, &actor.to_string(), what, ms)?;
                    }
                }
                let mut refusals = Refusals::new();
                for actor in own().cycle() {
                    if let Some(reason) = count(shape.port, actor, &counts[actor])? {
                        *refusals.entry(reason).or_default() += 1;
                    }
                    if stopped.recv_timeout(shape.pace) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
                Ok(refusals)
            });
            (stop, thread)
        };
        let counting = Self {
            clients: (0..CLIENTS).map(client).collect(),
            counts: Arc::clone(&counts),
        };
        counting.again(|_| true)?;
        Ok(counting)
    }

    /// Waits until each of these actors has counted once more.
    ///
    /// # Errors
    ///
    /// That one does not.
    pub fn again(&self, actors: impl Fn(usize) -> bool) -> Result<()> {
        let counted = || {
            let counts = self.counts.iter();
            counts.map(|count| count.acknowledged.load(Ordering::Relaxed))
        };
        let before: Vec<_> = counted().collect();
        let late = || {
            let mut late = counted().zip(&before).enumerate();
            late.find(|(actor, (now, before))| actors(*actor) && now <= *before)
        };
        let all = wait::until("every actor counts", || late().is_none().then_some(()));
        all.with_context(|| format!("at least this one has not: {:?}", late()))
    }

    /// Lets the clients go, and holds every count against what was acknowledged: see
    /// [`Counts::hold`].
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn end(self, port: u16) -> Result<u64> {
        self.stop()?.hold(port)
    }

    /// Lets the clients go: what they remember.
    ///
    /// # Errors
    ///
    /// That one of them has failed.
    pub fn stop(self) -> Result<Counts> {
        let mut refusals = Refusals::new();
        for (stop, client) in self.clients {
            // One that has failed does not listen any more, and says why.
            let _ = stop.send(());
            let Ok(ended) = client.join() else {
                bail!("a counting client has panicked");
            };
            for (reason, times) in ended? {
                *refusals.entry(reason).or_default() += times;
            }
        }
        Ok(Counts {
            counts: self.counts,
            refusals,
        })
    }
}

/// What clients remember who do not count any more.
#[derive(Debug)]
pub struct Counts {
    counts: Arc<Vec<Count>>,
    refusals: Refusals,
}

impl Counts {
    /// How many commands were not acknowledged, by the reason that the host gave;
    /// [`NO_ANSWER`] where it gave none.
    #[must_use]
    pub fn refusals(&self) -> &BTreeMap<String, u64> {
        &self.refusals
    }

    /// Holds the count of every actor against what was acknowledged: none may be set aside,
    /// for then it does not answer. How many commands were not acknowledged.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn hold(&self, port: u16) -> Result<u64> {
        for (actor, count) in self.counts.iter().enumerate() {
            let summary = summary(port, &actor.to_string())?;
            let found = summary["count"].as_i64();
            let found = found.with_context(|| format!("faulty:{actor} answers {summary}"))?;
            let least = count.acknowledged.load(Ordering::Relaxed);
            let most = least + count.open.load(Ordering::Relaxed);
            ensure!(
                (least..=most).contains(&found),
                "faulty:{actor} has counted {found}, and {least} were acknowledged, {most} at most"
            );
        }
        Ok(self.refusals.values().sum())
    }
}

/// Counts once. Why it was not acknowledged, if it was not.
fn count(port: u16, actor: usize, count: &Count) -> Result<Option<String>> {
    let path = format!("/api/v1/faulty/{actor}/add");
    let answer = http::request(port, "POST", &path, &json!({ "by": 1 }).to_string());
    match answer {
        Ok(answer) if answer.status == 200 => {
            count.acknowledged.fetch_add(1, Ordering::Relaxed);
            Ok(None)
        }
        Ok(answer) => {
            let reason = answer.reason();
            if OPEN.contains(&reason.as_str()) {
                count.open.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Some(reason))
        }
        Err(_) => {
            count.open.fetch_add(1, Ordering::Relaxed);
            // A host that is booted again listens soon.
            wait::until("the host listens", || {
                http::request(port, "GET", "/healthz", "").ok()
            })?;
            Ok(Some(NO_ANSWER.to_owned()))
        }
    }
}
