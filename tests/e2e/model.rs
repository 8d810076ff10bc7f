//! The whole engine against a model of it: random commands, upgrades, ways back and
//! crashes on a real host, and what a simple state machine says must be there after each.
//!
//! | variable | default | what |
//! |---|---|---|
//! | `E2E_SEED` | another one each time | which steps are taken; printed |
//! | `E2E_CASES` | 2 | sequences of steps, each on a home of its own |

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread;

use e2e::command::Ran;
use e2e::{Home, faulty, http, release, variable, wait};
use host_model::control::{Outcome, Status, UpgradeReport};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use serde_json::{Value, json};

use crate::better_than_otp::{NEWEST, appup};
use crate::hostile::{home, summary};

/// Actors that are told something: few, so that they meet everything.
const ACTORS: usize = 4;

/// Steps of a sequence.
const STEPS: std::ops::Range<usize> = 12..18;

/// Sequences that are tried to make a failure shorter: each starts a host.
const SHRINKS_MAX: u32 = 24;

/// The transitions behind which a host can be told to die.
const DEATHS: [&str; 10] = [
    "planned",
    "verified",
    "rehearsed",
    "staged",
    "canary",
    "switching",
    "probation",
    "rolling_back",
    "rolled_back",
    "committed",
];

/// A release by its minor version.
type Minor = u64;

/// What must be there.
#[derive(Debug, Clone, Default)]
struct Model {
    actors: [Actor; ACTORS],
    permanent: Minor,
    /// The release that rules and is watched, if one is.
    watched: Option<Minor>,
    /// Where the last committed upgrade came from, if that was a lower release.
    came_from: Option<Minor>,
}

/// What an actor must know.
#[derive(Debug, Clone, Default)]
struct Actor {
    count: i64,
    /// Only from 0.2.0 on.
    notes: Vec<String>,
    /// Only from 0.3.0 on.
    tags: Vec<String>,
    /// Whether 0.2.0 trips over it.
    is_marked: bool,
}

/// What is done.
#[derive(Debug, Clone)]
enum Step {
    Add {
        actor: usize,
        by: i64,
    },
    /// The host dies meanwhile, and the client tries again with its key.
    AddThroughDeath {
        actor: usize,
        by: i64,
    },
    Note(usize),
    Tag(usize),
    /// Makes the actor one that 0.2.0 trips over, or no longer.
    Mark {
        actor: usize,
        is_marked: bool,
    },
    Upgrade {
        to: Minor,
        /// Whether it stays in probation.
        is_watched: bool,
    },
    Commit,
    Rollback,
    Kill,
    Restart,
    /// The host dies right behind a transition of an upgrade.
    KilledBehind {
        to: Minor,
        transition: &'static str,
    },
}

impl Model {
    fn ruling(&self) -> Minor {
        self.watched.unwrap_or(self.permanent)
    }

    /// Whether each actor can come over.
    fn leads_to(&self, to: Minor) -> bool {
        self.ruling() > 1 || to == 1 || self.actors.iter().all(|actor| !actor.is_marked)
    }

    fn becomes_permanent(&mut self, to: Minor) {
        self.came_from = (to > self.permanent).then_some(self.permanent);
        self.permanent = to;
        self.watched = None;
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self {
            permanent: 1,
            ..Self::default()
        })
        .boxed()
    }

    fn transitions(model: &Self) -> BoxedStrategy<Step> {
        let (actor, by) = (0..ACTORS, 1_i64..100);
        let tell = (actor.clone(), by).prop_map(|(actor, by)| Step::Add { actor, by });
        let through =
            (actor.clone(), 1_i64..100).prop_map(|(actor, by)| Step::AddThroughDeath { actor, by });
        let others: Vec<Minor> = (1..=3).filter(|it| *it != model.ruling()).collect();
        let upgrade = (select(others.clone()), any::<bool>())
            .prop_map(|(to, is_watched)| Step::Upgrade { to, is_watched });
        let killed = (select(others), select(&DEATHS[..]))
            .prop_map(|(to, transition)| Step::KilledBehind { to, transition });
        let mark = (actor.clone(), any::<bool>())
            .prop_map(|(actor, is_marked)| Step::Mark { actor, is_marked });
        prop_oneof![
            6 => tell,
            2 => through,
            3 => actor.clone().prop_map(Step::Note),
            3 => actor.prop_map(Step::Tag),
            1 => mark,
            6 => upgrade,
            2 => Just(Step::Commit),
            3 => Just(Step::Rollback),
            2 => Just(Step::Kill),
            1 => Just(Step::Restart),
            3 => killed,
        ]
        .boxed()
    }

    fn preconditions(model: &Self, step: &Step) -> bool {
        match step {
            Step::Add { .. } | Step::Kill | Step::Restart => true,
            // A key is known under the name of its command, which 0.3.0 has changed.
            Step::AddThroughDeath { .. } => add(model.ruling()) == add(model.permanent),
            Step::Note(_) => model.ruling() >= 2,
            Step::Tag(_) => model.ruling() == 3,
            Step::Mark { .. } => model.ruling() == 1,
            Step::Upgrade { to, .. } => model.watched.is_none() && *to != model.ruling(),
            Step::KilledBehind { to, transition } => {
                // Only what cannot come over rolls back.
                let rolls_back = matches!(*transition, "rolling_back" | "rolled_back");
                let goes_on = matches!(*transition, "rehearsed" | "probation" | "committed");
                let fits = match model.leads_to(*to) {
                    true => !rolls_back,
                    false => !goes_on,
                };
                let fits =
                    fits && (*transition != "rehearsed" || is_rehearsed(model.ruling(), *to));
                model.watched.is_none() && *to != model.ruling() && fits
            }
            Step::Commit => model.watched.is_some(),
            Step::Rollback => model.watched.is_some() || model.came_from.is_some(),
        }
    }

    fn apply(mut model: Self, step: &Step) -> Self {
        match step {
            Step::Add { actor, by } => model.actors[*actor].count += by,
            Step::AddThroughDeath { actor, by } => {
                model.actors[*actor].count += by;
                model.watched = None;
            }
            Step::Note(actor) => model.actors[*actor].notes.push(said(&model.actors[*actor])),
            Step::Tag(actor) => model.actors[*actor].tags.push(said(&model.actors[*actor])),
            Step::Mark { actor, is_marked } => model.actors[*actor].is_marked = *is_marked,
            Step::Upgrade { to, .. } if !model.leads_to(*to) => {}
            Step::Upgrade {
                to,
                is_watched: true,
            } => model.watched = Some(*to),
            Step::Upgrade { to, .. } => model.becomes_permanent(*to),
            Step::Commit => {
                if let Some(watched) = model.watched {
                    model.becomes_permanent(watched);
                }
            }
            Step::Rollback => {
                if let (None, Some(from)) = (model.watched.take(), model.came_from) {
                    model.becomes_permanent(from);
                }
            }
            Step::Kill | Step::Restart => model.watched = None,
            Step::KilledBehind {
                to,
                transition: "committed",
            } => model.becomes_permanent(*to),
            Step::KilledBehind { .. } => {}
        }
        model
    }
}

/// Whether a way is rehearsed: the one whose appup declares what answers differently.
fn is_rehearsed(from: Minor, to: Minor) -> bool {
    (from, to) == (1, 2)
}

/// What `add` is called in a release.
fn add(release: Minor) -> &'static str {
    if release == 3 { "count" } else { "add" }
}

/// A text that no other note or tag of the actor has.
fn said(actor: &Actor) -> String {
    format!("{}/{}", actor.notes.len(), actor.tags.len())
}

/// A host that is held against the model.
struct Engine {
    home: Home,
    /// Idempotency keys that were used.
    keys: usize,
}

impl Engine {
    fn status(&self) -> Status {
        self.home.status().unwrap()
    }

    fn told(&self, actor: usize, event: &str, payload: &Value) {
        let port = self.status().port;
        faulty::told(port, &actor.to_string(), event, payload).unwrap();
    }

    /// The host of this process dies, and its keeper brings it back.
    fn died(&self, old: u32) {
        self.home.rebooted(old).unwrap();
        self.home.settled().unwrap();
    }

    fn upgrade(&self, to: Minor, is_rehearsed: bool, more: &[&str]) -> Ran {
        let to = format!("0.{to}.0");
        let mut line = vec!["upgrade", &to, "--retry-failed", "--json"];
        line.extend((!is_rehearsed).then_some("--no-rehearsal"));
        line.extend(more);
        self.home.host(&line).unwrap()
    }

    fn killed_behind(&mut self, to: Minor, transition: &str) {
        self.home.stop().unwrap();
        self.home.set("HOST_ABORT_AFTER", Some(transition));
        let old = self.home.start().unwrap().pid;
        // Its host dies under it: how it ends is not what is looked at.
        let ran = match transition {
            "canary" => self.upgrade(to, false, &["--probation", "0s", "--canary", "50%"]),
            other => self.upgrade(to, other == "rehearsed", &["--probation", "0s"]),
        };
        assert_ne!(ran.code, Some(0), "{ran:?}");
        self.died(old);
        self.home.stop().unwrap();
        self.home.set("HOST_ABORT_AFTER", None);
        self.home.start().unwrap();
    }

    /// Sends a command that counts while the host is killed, and again until it is
    /// answered.
    fn add_through_death(&mut self, actor: usize, by: i64, event: &str) {
        self.keys += 1;
        let Status { port, pid, .. } = self.status();
        let headers = format!("Idempotency-Key: model-{}\r\n", self.keys);
        let path = format!("/api/v1/faulty/{actor}/{event}");
        let body = json!({ "by": by }).to_string();
        let send = || http::request_with(port, "POST", &path, &headers, &body);
        let first = thread::scope(|scope| {
            let first = scope.spawn(send);
            self.home.kill_host().unwrap();
            first.join().unwrap()
        });
        self.died(pid);
        let again = wait::until("the command is answered", || {
            send().ok().filter(|answer| answer.status == 200)
        });
        let again = again.unwrap();
        if let Ok(first) = first
            && first.status == 200
        {
            assert_eq!(first.body, again.body, "the first answer again");
        }
    }
}

impl StateMachineTest for Engine {
    type SystemUnderTest = Self;
    type Reference = Model;

    fn init_test(_: &Model) -> Self {
        let home = home();
        let newest = appup("0.3.0", "~0.2", 5_000);
        let newest = [("faulty-0.3.0.toml", newest.as_str())];
        release::assemble(&home, "0.3.0", &[NEWEST], &newest).unwrap();
        home.start().unwrap();
        Self { home, keys: 0 }
    }

    fn apply(mut engine: Self, after: &Model, step: Step) -> Self {
        println!("{step:?}");
        let before = engine.status().version.minor;
        let event = add(before);
        match step {
            Step::Add { actor, by } => engine.told(actor, event, &json!({ "by": by })),
            Step::AddThroughDeath { actor, by } => engine.add_through_death(actor, by, event),
            Step::Note(actor) => {
                let event = if before == 3 { "remark" } else { "note" };
                let text = after.actors[actor].notes.last();
                engine.told(actor, event, &json!({ "text": text }));
            }
            Step::Tag(actor) => {
                let text = after.actors[actor].tags.last();
                engine.told(actor, "tag", &json!({ "text": text }));
            }
            Step::Mark { actor, is_marked } => {
                let what = if is_marked { "up_panics" } else { "none" };
                engine.told(actor, "plan_trouble", &json!({ "what": what }));
            }
            Step::Upgrade { to, is_watched } => {
                let more: &[&str] = match is_watched {
                    true => &["--probation", "300s", "--detach"],
                    false => &["--probation", "0s"],
                };
                let is_rehearsed = is_rehearsed(before, to);
                let ran = engine.upgrade(to, is_rehearsed, more);
                let code = match (after.ruling() == to, is_rehearsed) {
                    (true, _) => 0,
                    (false, true) => 1,
                    (false, false) => 4,
                };
                assert_eq!(ran.code, Some(code), "{ran:?}");
            }
            Step::Commit => {
                let report: UpgradeReport = engine.home.answer(&["commit", "--json"]).unwrap();
                assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
            }
            Step::Rollback => {
                engine.home.done(&["rollback"]).unwrap();
            }
            Step::Kill => {
                let old = engine.home.kill_host().unwrap();
                engine.died(old);
            }
            Step::Restart => {
                engine.home.done(&["restart"]).unwrap();
                engine.home.settled().unwrap();
            }
            Step::KilledBehind { to, transition } => engine.killed_behind(to, transition),
        }
        engine
    }

    fn check_invariants(engine: &Self, model: &Model) {
        let status = engine.status();
        let (rules, stays) = (status.version.minor, status.permanent.minor);
        assert_eq!((rules, stays), (model.ruling(), model.permanent));
        let version = format!("0.{rules}.0");
        for (key, actor) in model.actors.iter().enumerate() {
            let found = summary(status.port, &key.to_string());
            assert_eq!(found["count"], actor.count, "{key}: {found}");
            assert_eq!(found["version"], version.as_str(), "{key}: {found}");
            if rules >= 2 {
                assert_eq!(found["notes"], json!(actor.notes), "{key}: {found}");
            }
            if rules == 3 {
                assert_eq!(found["tags"], json!(actor.tags), "{key}: {found}");
            }
        }
        let letters: Vec<Value> = engine
            .home
            .answer(&["dead-letters", "list", "--json"])
            .unwrap();
        assert_eq!(letters, Vec::<Value>::new());
    }

    fn teardown(engine: Self, _: Model) {
        engine.home.done(&["audit", "verify"]).unwrap();
        engine.home.stop().unwrap();
        engine.home.done(&["store", "check", "--replay"]).unwrap();
    }
}

#[test]
fn whatever_is_done_the_host_is_what_a_simple_model_says() {
    let seed = variable::read("E2E_SEED", u64::from(std::process::id())).unwrap();
    let cases = variable::read("E2E_CASES", 2).unwrap();
    println!("E2E_SEED={seed} E2E_CASES={cases}");
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: SHRINKS_MAX,
        ..Config::default()
    };
    let steps = Model::sequential_strategy(STEPS);
    let ran = TestRunner::new(config.clone()).run(&steps, |(model, steps, seen)| {
        let seen: Option<Arc<AtomicUsize>> = seen;
        Engine::test_sequential(config.clone(), model, steps, seen);
        Ok(())
    });
    ran.unwrap_or_else(|failed| panic!("E2E_SEED={seed}: {failed}"));
}
