//! A real host that does what the model does, and is held against it.

use std::collections::BTreeSet;
use std::thread;

use e2e::command::Ran;
use e2e::{Home, faulty, http, release, wait};
use host_model::control::{Outcome, Status, UpgradeReport, UpgradeStatus};
use proptest_state_machine::StateMachineTest;
use serde_json::{Value, json};

use super::reference::{ACTORS, How, Minor, Model, SHARE, Step, add, is_rehearsed, text};
use crate::better_than_otp::{NEWEST, appup};
use crate::hostile::summary;

/// Behind an appup: no test makes so many calls, so no step of a canary passes by itself.
const NEVER_ENOUGH: &str = "\n[probation]\nmin_calls = 1000000\n";

/// A keeper gives up after some deaths in a minute, so then there is another one.
const DEATHS_MAX: u32 = 3;

/// What timers are called, by the first version that knows them.
const TIMERS: [&str; 3] = ["tick", "remind", "ripen"];

/// A host that is held against the model.
pub(super) struct Engine {
    home: Home,
    /// Idempotency keys and timers that were given a name.
    names: usize,
    /// Timers of each actor that have been seen to have fired.
    ticks: [u64; ACTORS],
    /// Deaths that its keeper has seen.
    deaths: u32,
}

/// What an actor says that must be the same in both.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    version: String,
    count: i64,
    notes: Option<BTreeSet<String>>,
    tags: Option<BTreeSet<String>>,
}

impl Seen {
    fn wanted(model: &Model, actor: usize) -> Self {
        let version = model.version_of(actor);
        let actor = &model.actors[actor];
        Self {
            version: format!("0.{version}.0"),
            count: actor.count,
            notes: (version >= 2).then(|| actor.notes.clone()),
            tags: (version == 3).then(|| actor.tags.clone()),
        }
    }

    fn of(summary: &Value) -> Self {
        let texts = |name: &str| serde_json::from_value(summary[name].clone()).ok();
        Self {
            version: summary["version"].as_str().unwrap_or_default().to_owned(),
            count: summary["count"].as_i64().unwrap_or(i64::MIN),
            notes: texts("notes"),
            tags: texts("tags"),
        }
    }
}

impl Engine {
    fn status(&self) -> Status {
        self.home.status().unwrap()
    }

    fn summary(&self, actor: usize) -> Value {
        summary(self.status().port, &actor.to_string())
    }

    fn told(&self, actor: usize, event: &str, payload: &Value) {
        let port = self.status().port;
        faulty::told(port, &actor.to_string(), event, payload).unwrap();
    }

    fn cast(&self, from: usize, to: usize, event: &str, payload: &Value) {
        let cast = json!({ "to": format!("faulty:{to}"), "event": event, "payload": payload });
        self.told(from, "cast", &cast);
    }

    fn name(&mut self) -> usize {
        self.names += 1;
        self.names
    }

    /// The host of this process dies, and its keeper brings it back.
    fn died(&mut self, old: u32) {
        self.home.rebooted(old).unwrap();
        self.home.settled().unwrap();
        self.deaths += 1;
        if self.deaths == DEATHS_MAX {
            self.home.stop().unwrap();
            self.start();
        }
    }

    fn start(&mut self) -> Status {
        self.deaths = 0;
        self.home.start().unwrap()
    }

    fn dies(&mut self) {
        let old = self.home.kill_host().unwrap();
        self.died(old);
    }

    fn begin(&self, to: Minor, is_rehearsed: bool, more: &[&str]) -> Ran {
        let to = format!("0.{to}.0");
        let mut line = vec!["upgrade", &to, "--retry-failed", "--json"];
        line.extend((!is_rehearsed).then_some("--no-rehearsal"));
        line.extend(more);
        self.home.host(&line).unwrap()
    }

    /// Upgrades from the permanent release.
    fn upgrade(&self, before: &Model, after: &Model, to: Minor, how: How) {
        let share = format!("{SHARE}%");
        let more: &[&str] = match how {
            How::Straight => &["--probation", "0s"],
            How::Watched => &["--probation", "300s", "--detach"],
            How::Canary => &["--canary", &share, "--probation", "300s", "--detach"],
            How::Asking => &["--canary", &share, "--probation", "1s", "--detach"],
        };
        let ran = self.begin(to, is_rehearsed(before.permanent, to), more);
        let stays = after.under_way.is_none() && after.permanent == before.permanent;
        let codes: &[i32] = match stays {
            true if before.is_refused(to) => &[1],
            // It may have returned before somebody could not come.
            true if how.is_canary() => &[0, 4],
            true => &[4],
            false => &[0],
        };
        assert!(
            ran.code.is_some_and(|code| codes.contains(&code)),
            "{ran:?}"
        );
        if stays {
            self.home.settled().unwrap();
        }
    }

    /// Lets a canary go on as soon as it asks.
    fn promote(&self) {
        wait::until("the canary asks", || {
            let upgrade = self.status().upgrade?;
            (upgrade.paused && upgrade.remark.is_some()).then_some(())
        })
        .unwrap();
        self.home.done(&["upgrade", "resume"]).unwrap();
        self.home.settled().unwrap();
    }

    fn commit(&self, after: &Model) {
        let ran = self.home.host(&["commit", "--json"]).unwrap();
        let report: UpgradeReport = ran.json().unwrap();
        let wanted = match report.to.minor == after.permanent {
            true => Outcome::Committed,
            false => Outcome::RolledBack,
        };
        assert_eq!(report.outcome, wanted, "{ran:?}");
    }

    fn pause(&self, wish: &str) {
        let status: UpgradeStatus = self.home.answer(&["upgrade", wish, "--json"]).unwrap();
        assert_eq!(status.paused, wish == "pause", "{status:?}");
    }

    fn killed_behind(&mut self, to: Minor, transition: &str) {
        self.home.stop().unwrap();
        self.home.set("HOST_ABORT_AFTER", Some(transition));
        let old = self.start().pid;
        // Its host dies under it: how it ends is not what is looked at.
        let ran = match transition {
            "canary" => self.begin(to, false, &["--probation", "0s", "--canary", "50%"]),
            other => self.begin(to, other == "rehearsed", &["--probation", "0s"]),
        };
        assert_ne!(ran.code, Some(0), "{ran:?}");
        self.died(old);
        self.home.stop().unwrap();
        self.home.set("HOST_ABORT_AFTER", None);
        self.start();
    }

    /// Sends a command that counts while the host is killed, and again until it is
    /// answered.
    fn add_through_death(&mut self, actor: usize, by: i64, event: &str) {
        let Status { port, pid, .. } = self.status();
        let headers = format!("Idempotency-Key: model-{}\r\n", self.name());
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

    /// How many timers of an actor have fired: no fewer than before, and none twice.
    fn ticks(&mut self, model: &Model, actor: usize) -> u64 {
        let summary = self.summary(actor);
        let ticks = summary["ticks"].as_u64().unwrap();
        let (_, most) = model.actors[actor].ticks(model.version_of(actor));
        let fits = (self.ticks[actor]..=most).contains(&ticks);
        assert!(
            fits,
            "{actor}: {:?} before, {most} at most: {summary}",
            self.ticks
        );
        self.ticks[actor] = ticks;
        ticks
    }

    fn await_timers(&mut self, model: &Model) {
        for actor in 0..ACTORS {
            let (least, _) = model.actors[actor].ticks(model.version_of(actor));
            let fired = wait::until(&format!("{least} timers of {actor} have fired"), || {
                (self.ticks(model, actor) >= least).then_some(())
            });
            fired.unwrap();
        }
    }

    fn letters(&self) -> usize {
        let line = ["dead-letters", "list", "--json"];
        self.home.answer::<Vec<Value>>(&line).unwrap().len()
    }
}

impl StateMachineTest for Engine {
    type SystemUnderTest = (Self, Model);
    type Reference = Model;

    fn init_test(model: &Model) -> (Self, Model) {
        let home = Home::new().unwrap();
        let oldest = "plugins/hostile/faulty/0.1.0";
        release::assemble(&home, "0.1.0", &[oldest], &[]).unwrap();
        let declared = "declared = [\"summary.notes\", \"summary.version\"]\n";
        let new = appup("0.2.0", "~0.1", 5_000) + declared + NEVER_ENOUGH;
        let newest = appup("0.3.0", "~0.2", 5_000) + NEVER_ENOUGH;
        for (version, plugin, appup) in [
            ("0.2.0", "plugins/hostile/faulty/0.2.0", new),
            ("0.3.0", NEWEST, newest),
        ] {
            let file = format!("faulty-{version}.toml");
            release::assemble(&home, version, &[plugin], &[(&file, &appup)]).unwrap();
        }
        home.start().unwrap();
        let engine = Self {
            home,
            names: 0,
            ticks: [0; ACTORS],
            deaths: 0,
        };
        (engine, model.clone())
    }

    fn apply((mut engine, before): (Self, Model), after: &Model, step: Step) -> (Self, Model) {
        println!("{step:?}");
        let add = |actor| add(before.version_of(actor));
        let note = |actor| match before.version_of(actor) {
            3 => "remark",
            _ => "note",
        };
        let text = json!({ "text": text(after.texts) });
        match step {
            Step::Add { actor, by } => engine.told(actor, add(actor), &json!({ "by": by })),
            Step::AddThroughDeath { actor, by } => {
                engine.add_through_death(actor, by, add(actor));
            }
            Step::Note(actor) => engine.told(actor, note(actor), &text),
            Step::Tag(actor) => engine.told(actor, "tag", &text),
            Step::Mark { actor, is_marked } => {
                let what = if is_marked { "up_panics" } else { "none" };
                engine.told(actor, "plan_trouble", &json!({ "what": what }));
            }
            Step::Cast { from, to, by, dies } => {
                engine.cast(from, to, add(from), &json!({ "by": by }));
                if dies {
                    engine.dies();
                }
            }
            Step::CastNote { from, to } => engine.cast(from, to, note(from), &text),
            Step::SetTimer {
                actor,
                first,
                in_ms,
            } => {
                let of = usize::try_from(first - 1).unwrap();
                let name = format!("{}-{}", TIMERS[of], engine.name());
                let timer = json!({ "name": name, "in_ms": in_ms });
                engine.told(actor, "set_timer", &timer);
            }
            Step::AwaitTimers => engine.await_timers(after),
            Step::Upgrade { to, how } => engine.upgrade(&before, after, to, how),
            Step::Promote => engine.promote(),
            Step::Pause => engine.pause("pause"),
            Step::Resume => engine.pause("resume"),
            Step::Commit => engine.commit(after),
            Step::Rollback => {
                engine.home.done(&["rollback"]).unwrap();
            }
            Step::Kill => engine.dies(),
            Step::Restart => {
                engine.home.done(&["restart"]).unwrap();
                engine.home.settled().unwrap();
            }
            Step::KilledBehind { to, transition } => engine.killed_behind(to, transition),
        }
        for actor in 0..ACTORS {
            engine.ticks(after, actor);
        }
        (engine, after.clone())
    }

    fn check_invariants((engine, _): &(Self, Model), model: &Model) {
        let status = engine.status();
        let (rules, stays) = (status.version.minor, status.permanent.minor);
        assert_eq!((rules, stays), (model.ruling(), model.permanent));
        let under_way = status.upgrade.map(|it| (it.to.minor, it.paused));
        let wanted = model.under_way.map(|it| {
            // One that asks pauses itself, some time.
            let asks = it.how == How::Asking && under_way.is_some_and(|(_, paused)| paused);
            (it.to, it.is_paused || asks)
        });
        assert_eq!(under_way, wanted);
        for actor in 0..ACTORS {
            let wanted = Seen::wanted(model, actor);
            // What is cast arrives when it does.
            let seen = || Seen::of(&engine.summary(actor));
            wait::until_is(&format!("faulty:{actor}"), &wanted, seen).unwrap();
        }
        let letters = || engine.letters();
        wait::until_is("the dead letters", &model.letters(), letters).unwrap();
    }

    fn teardown((mut engine, _): (Self, Model), model: Model) {
        engine.await_timers(&model);
        engine.home.done(&["audit", "verify"]).unwrap();
        engine.home.stop().unwrap();
        engine.home.done(&["store", "check", "--replay"]).unwrap();
    }
}
