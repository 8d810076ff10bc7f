//! The laws of a rehearsal, asked in a real child, of real pairs and of one that breaks
//! each of them.

use std::sync::atomic::AtomicBool;

use std::time::{Duration, Instant};

use host_loader::cross;
use host_model::plan::StateChange;
use host_proof::rehearsal::{
    By, Ended, Judged, Law, Moved, Rehearser, Said, Setup, Stage, Start, StartError, Step, Subject,
};
use serde_json::json;

use super::*;

mod asked;
mod random_states;

/// How long one command or step may run in these tests.
const DEADLINE_MS: u64 = 3_000;

/// A step up; its appup declares what differs on purpose.
fn step(from: &str, to: &str, declared: &[&str]) -> Step {
    Step {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        change: StateChange::Up,
        reversible: true,
        timeout_ms: 0,
        declared: declared.iter().map(|&it| it.to_owned()).collect(),
    }
}

/// Where these steps lead.
fn over(plugin: &str, steps: Vec<Step>) -> Moved {
    Moved {
        plugin: plugin.to_owned(),
        to: steps.last().unwrap().to.clone(),
        steps,
        deadline_ms: DEADLINE_MS,
    }
}

/// A pair's way up.
fn up(plugin: &str, declared: &[&str]) -> Moved {
    over(plugin, vec![step("0.1.0", "0.2.0", declared)])
}

fn down(plugin: &str, declared: &[&str]) -> Moved {
    let mut step = step("0.2.0", "0.1.0", declared);
    step.change = StateChange::Down;
    over(plugin, vec![step])
}

const FAULTY: [&str; 2] = ["summary.notes", "summary.version"];

impl Bench {
    fn setup(&self, plugins: Vec<Moved>) -> Setup {
        let libraries = self.plugins.iter().map(|(plugin, path)| {
            let digest = plugin.digest().to_string();
            (path.clone(), digest)
        });
        Setup {
            configs: Default::default(),
            spare: Default::default(),
            libraries: libraries.collect(),
            plugins,
        }
    }

    fn rehearser(&self) -> Rehearser {
        Rehearser {
            program: BUILT.join("examples/rehearsal"),
            args: Vec::new(),
            images: self._folder.path().join("rehearsals"),
        }
    }

    fn stage(&self, setup: &Setup) -> Stage {
        let never = Arc::new(AtomicBool::new(false));
        self.rehearser().start(setup, &never).unwrap()
    }
}

fn ask(stage: &mut Stage, subject: Subject) -> Judged {
    stage.ask(subject, false).unwrap();
    stage.answer().unwrap().judged
}

/// An actor, and the commands that a journal would have of it.
struct Lived {
    actor: Actor,
    start: Option<Start>,
    commands: Vec<Said>,
}

impl Lived {
    fn new(plugin: &Arc<Plugin>, key: &str) -> Self {
        Self {
            actor: Actor::new(plugin, key),
            start: None,
            commands: Vec::new(),
        }
    }

    fn send(&mut self, command: &str, payload: &Value) -> &mut Self {
        let seq = self.actor.course.end() + 1;
        self.actor.send(command, payload);
        self.commands.push(Said {
            seq,
            version: self.actor.state.plugin().version().clone(),
            time_ms: NOON_MS + i64::try_from(seq).unwrap(),
            event: command.to_owned(),
            payload: payload.to_string().into(),
            happened: self.actor.course.events.last().unwrap().event.clone(),
            by: By::Client,
        });
        self
    }

    fn snapshot(&mut self) -> &mut Self {
        let base = self.actor.base();
        self.start = Some(Start {
            seq: base.seq,
            time_ms: NOON_MS,
            version: base.version,
            state: base.state,
            carries: Vec::new(),
        });
        self.commands.clear();
        self
    }

    fn subject(&self) -> Subject {
        Subject {
            actor: self.actor.course.actor.clone(),
            start: self.start.clone(),
            commands: self.commands.clone(),
            samples: 5,
        }
    }
}

fn faulty(bench: &Bench, trouble: &str) -> Lived {
    let mut lived = Lived::new(bench.plugin(0), trouble);
    lived.send("add", &json!({"by": 3}));
    let plan = json!({"what": trouble, "ms": 150});
    lived.send("plan_trouble", &plan);
    lived
}

/// One whose way up takes so long.
fn slow(bench: &Bench, ms: u64) -> Lived {
    let mut lived = Lived::new(bench.plugin(0), "up_slow");
    lived.send("plan_trouble", &json!({"what": "up_slow", "ms": ms}));
    lived
}

const PAIR: [&str; 2] = ["faulty-v0-1-0", "faulty-v0-2-0"];

/// Law and field of each problem.
fn named(judged: &Judged) -> Vec<(Law, &str)> {
    let problems = judged.problems.iter();
    problems.map(|it| (it.law, it.field.as_str())).collect()
}

#[test]
fn a_pair_without_trouble_keeps_every_law() {
    let bench = Bench::with(&PAIR);
    let mut stage = bench.stage(&bench.setup(vec![up("faulty", &FAULTY)]));
    let mut lived = faulty(&bench, "none");
    let fresh = ask(&mut stage, lived.subject());
    assert_eq!(named(&fresh), []);
    assert_eq!(fresh.asked.len(), Law::ALL.len(), "{:?}", fresh.asked);
    let mut declared = fresh.declared.clone();
    declared.sort();
    assert_eq!(declared, FAULTY);
    assert_eq!((fresh.commands, fresh.samples), (2, 10));
    assert!(fresh.pause_ns > 0 && fresh.steps_ns.len() == 1);
    let without = Subject {
        samples: 0,
        ..lived.subject()
    };
    let without = ask(&mut stage, without);
    assert_eq!((without.commands, without.samples), (0, 0));
    assert_eq!(without.asked, [Law::Crossing, Law::RoundTrip]);
    lived.snapshot();
    let asleep = ask(&mut stage, lived.subject());
    assert_eq!((named(&asleep), asleep.samples), (vec![], 5));
    for clients in [true, true, false] {
        stage.spare(clients);
        let beside = ask(&mut stage, lived.subject());
        assert_eq!((named(&beside), &beside.asked), (vec![], &asleep.asked));
    }
    lived.send("add", &json!({"by": 4}));
    assert_eq!(named(&ask(&mut stage, lived.subject())), []);
}

#[test]
fn each_law_that_is_broken_is_named_with_the_field() {
    let bench = Bench::with(&PAIR);
    let mut stage = bench.stage(&bench.setup(vec![up("faulty", &FAULTY)]));
    let mut of = |trouble: &str, behind: bool| {
        let mut lived = faulty(&bench, trouble);
        lived.snapshot();
        if behind {
            lived.send("add", &json!({"by": 4}));
        }
        ask(&mut stage, lived.subject())
    };
    for (trouble, law, word) in [
        ("up_fails", Law::Crossing, "up fails"),
        ("up_panics", Law::Crossing, "panicked"),
        ("check_fails", Law::Crossing, "invariant \"not broken\": "),
        ("down_fails", Law::RoundTrip, "down fails"),
        ("down_panics", Law::RoundTrip, "panicked"),
    ] {
        let judged = of(trouble, false);
        assert_eq!(named(&judged), [(law, "")], "{trouble}");
        let text = &judged.problems[0].text;
        assert!(text.contains(word), "{trouble}: {text}");
    }
    // What needs no way back is asked all the same.
    for trouble in ["down_fails", "down_panics"] {
        let judged = of(trouble, true);
        assert_eq!(named(&judged), [(Law::RoundTrip, "")], "{trouble}");
        assert!(judged.asked.contains(&Law::Shadow), "{judged:?}");
        assert_eq!(judged.commands, 1, "{judged:?}");
    }
    assert_eq!(named(&of("query_gone", false)), [(Law::Shadow, "gone")]);
    let loses = of("up_loses", false);
    assert_eq!(named(&loses)[0], (Law::RoundTrip, "state.count"));
    // Only the new version has the notes: neither `up` nor `down` of what is there shows it.
    let loses = of("down_loses", false);
    let notes = |it: &(Law, &str)| it.0 == Law::Samples && it.1.starts_with("state.notes");
    assert!(
        !loses.problems.is_empty() && named(&loses).iter().all(notes),
        "{loses:?}"
    );
    // With commands behind it, and the notes of others under way, they are lost as well.
    let loses = of("down_loses", true);
    let carry = |it: &(Law, &str)| it.0 == Law::Carry && it.1.starts_with("state.notes");
    assert!(named(&loses).iter().any(carry), "{loses:?}");

    assert_eq!(
        named(&of("reply_differs", true)),
        [(Law::Shadow, "add.count")]
    );
    assert_eq!(
        named(&of("reply_random", true)),
        [(Law::Shadow, "add.nonce")]
    );
    let refused = of("add_refused", true);
    assert_eq!(named(&refused)[0], (Law::Shadow, "add"));
    assert!(
        refused.problems[0].text.contains("refused (refused)"),
        "{refused:?}"
    );
    let panics = of("add_panics", true);
    assert_eq!(named(&panics), [(Law::Shadow, "")]);
    assert!(
        panics.problems[0].text.contains("\"add\" broke"),
        "{panics:?}"
    );
    // What only takes long breaks no law: the budget is the host's to ask for.
    let slow = of("up_slow", false);
    assert_eq!(named(&slow), []);
    assert!(slow.pause_ns > 150_000_000, "{slow:?}");
}

#[test]
fn what_is_not_declared_is_a_difference() {
    let bench = Bench::with(&PAIR);
    let mut stage = bench.stage(&bench.setup(vec![up("faulty", &["summary.version"])]));
    let judged = ask(&mut stage, faulty(&bench, "none").subject());
    assert_eq!(named(&judged), [(Law::Shadow, "summary.notes")]);
    assert_eq!(judged.declared, ["summary.version"]);
}

#[test]
fn a_child_that_ends_is_told_apart_and_names_its_step() {
    let bench = Bench::with(&PAIR);
    let setup = bench.setup(vec![up("faulty", &FAULTY)]);
    for (trouble, word) in [
        ("up_segfaults", "SIGSEGV"),
        ("up_aborts", "SIGABRT"),
        ("up_hogs", "more memory"),
        ("up_connects", "SIGSYS"),
        ("up_loops", "endless loop"),
    ] {
        let mut stage = bench.stage(&setup);
        stage.ask(faulty(&bench, "none").subject(), true).unwrap();
        stage.ask(faulty(&bench, trouble).subject(), true).unwrap();
        assert_eq!(named(&stage.answer().unwrap().judged), []);
        let Err(Ended::Over { step, why }) = stage.answer() else {
            panic!("the child has survived {trouble}");
        };
        assert!(why.contains(word), "{trouble}: {why}");
        assert_eq!(step.as_deref(), Some("up to 0.2.0"), "{trouble}");
        let left = stage.unanswered();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].actor.key(), trouble);
    }
}

#[test]
fn a_child_that_cannot_begin_says_why() {
    let bench = Bench::with(&PAIR);
    let never = Arc::new(AtomicBool::new(false));
    let mut setup = bench.setup(vec![up("faulty", &FAULTY)]);
    setup.libraries[1].1 = "00".repeat(32);
    let Err(StartError::Failed(why)) = bench.rehearser().start(&setup, &never) else {
        panic!("another library was taken");
    };
    assert!(why.contains("digest"), "{why}");
    let setup = bench.setup(vec![up("faulty", &FAULTY)]);
    let mut rehearser = bench.rehearser();
    rehearser.program = "/bin/true".into();
    let ended = rehearser.start(&setup, &never).unwrap_err();
    assert!(matches!(ended, StartError::Ended(_)), "{ended}");
    rehearser.program = "/nonexistent".into();
    let missing = rehearser.start(&setup, &never).unwrap_err();
    assert!(matches!(missing, StartError::Run { .. }), "{missing}");
}

const CHAIN: [&str; 3] = ["faulty-v0-1-0", "faulty-v0-2-0", "faulty-v0-3-0"];

/// Over both versions above the first; what each of them says differently is declared.
fn chain() -> Moved {
    let second = [
        "summary.bytes",
        "summary.notes",
        "summary.tags",
        "summary.version",
    ];
    over(
        "faulty",
        vec![
            step("0.1.0", "0.2.0", &FAULTY),
            step("0.2.0", "0.3.0", &second),
        ],
    )
}

#[test]
fn several_steps_are_one_way_for_states_and_for_messages() {
    let bench = Bench::with(&CHAIN);
    let mut stage = bench.stage(&bench.setup(vec![chain()]));
    let mut lived = Lived::new(bench.plugin(0), "k");
    lived.send("add", &json!({"by": 3}));
    assert_eq!(named(&ask(&mut stage, lived.subject())), []);
    // What the first version calls `add` only the last one calls otherwise.
    lived.snapshot();
    lived.send("add", &json!({"by": 4}));
    let judged = ask(&mut stage, lived.subject());
    assert_eq!(named(&judged), []);
    assert_eq!((judged.steps_ns.len(), judged.commands), (2, 1));
    // What only the step in the middle loses.
    let loses = ask(&mut stage, faulty(&bench, "up_loses").subject());
    assert!(
        named(&loses).contains(&(Law::RoundTrip, "state.count")),
        "{loses:?}"
    );
}

#[test]
fn what_lies_beside_a_state_leads_it_over_the_version_that_wrote_it() {
    let bench = Bench::with(&CHAIN);
    let mut moved = chain();
    // Shorter, and no way for who has to take something up on it: 0.3.0 cannot even read
    // what it leads from.
    moved.steps.push(step("0.1.0", "0.3.0", &[]));
    let mut stage = bench.stage(&bench.setup(vec![moved]));
    let mut lived = Lived::new(bench.plugin(1), "with-a-note");
    lived.send("note", &json!({"text": "it was here"}));
    let (first, above) = (bench.plugin(0), lived.actor.state);
    let mut carries = Vec::new();
    let down = cross(&above, None, &mut carries, first, StateChange::Down).unwrap();
    let start = Start {
        seq: 1,
        time_ms: NOON_MS,
        version: first.version().clone(),
        state: down.state.export().unwrap(),
        carries,
    };
    let subject = |carries| Subject {
        actor: "faulty:with-a-note".parse().unwrap(),
        start: Some(Start {
            carries,
            ..start.clone()
        }),
        commands: Vec::new(),
        samples: 5,
    };
    let judged = ask(&mut stage, subject(start.carries.clone()));
    assert_eq!((named(&judged), judged.steps_ns.len()), (vec![], 2));
    let without = ask(&mut stage, subject(Vec::new()));
    assert_eq!(named(&without), [(Law::Crossing, "")], "{without:?}");
    assert_eq!(without.asked, [Law::Crossing]);
}

#[test]
fn a_step_that_takes_longer_than_its_appup_allows_is_named() {
    let bench = Bench::with(&PAIR);
    let mut moved = up("faulty", &FAULTY);
    moved.steps[0].timeout_ms = 100;
    let mut stage = bench.stage(&bench.setup(vec![moved]));
    let judged = ask(&mut stage, slow(&bench, 150).subject());
    assert_eq!(named(&judged), [(Law::Crossing, "")], "{judged:?}");
    let text = &judged.problems[0].text;
    assert!(
        text.contains("the migration to 0.2.0 took 15") && text.contains("100 ms (timeout_ms)"),
        "{text}"
    );
    assert_eq!(named(&ask(&mut stage, slow(&bench, 10).subject())), []);
}

#[test]
fn each_step_of_an_actor_has_its_own_time() {
    let bench = Bench::with(&PAIR);
    let mut moved = up("faulty", &FAULTY);
    moved.deadline_ms = 1_000;
    let mut stage = bench.stage(&bench.setup(vec![moved]));
    let began = Instant::now();
    // Several times, each within its time, and all of them longer than one may take.
    for _ in 0..2 {
        stage.ask(slow(&bench, 700).subject(), false).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(named(&stage.answer().unwrap().judged), []);
    }
    assert!(began.elapsed() > Duration::from_secs(4), "it was not slow");
    stage
        .ask(faulty(&bench, "up_loops").subject(), false)
        .unwrap();
    let Err(Ended::Over { why, .. }) = stage.answer() else {
        panic!("an endless loop has ended");
    };
    assert!(why.contains("after 2 s"), "{why}");
}

#[test]
fn a_rehearsal_that_is_cancelled_ends_at_once() {
    let bench = Bench::with(&PAIR);
    let setup = bench.setup(vec![up("faulty", &FAULTY)]);
    let cancelled = Arc::new(AtomicBool::new(false));
    let mut stage = bench.rehearser().start(&setup, &cancelled).unwrap();
    stage
        .ask(faulty(&bench, "up_loops").subject(), false)
        .unwrap();
    cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(stage.answer().unwrap_err(), Ended::Cancelled);
}

#[test]
fn a_rehearsal_is_cancelled_while_it_gets_on() {
    let bench = Bench::with(&PAIR);
    let setup = bench.setup(vec![up("faulty", &FAULTY)]);
    let cancelled = Arc::new(AtomicBool::new(false));
    let mut stage = bench.rehearser().start(&setup, &cancelled).unwrap();
    let subject = faulty(&bench, "none").subject();
    for _ in 0..2 {
        stage.ask(subject.clone(), false).unwrap();
    }
    // Both are answered by now, or soon.
    stage.answer().unwrap();
    cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(stage.answer().unwrap_err(), Ended::Cancelled);
    assert_eq!(stage.ask(subject, false).unwrap_err(), Ended::Cancelled);
}

#[test]
fn a_library_that_only_others_need_is_done_without_where_it_cannot_be_opened() {
    let bench = Bench::with(&CHAIN);
    let mut moved = up("faulty", &FAULTY);
    moved.steps.push(Step {
        change: StateChange::Down,
        ..step("0.3.0", "0.2.0", &[])
    });
    let mut setup = bench.setup(vec![moved]);
    let other = "00".repeat(32);
    setup.libraries[2].1 = other.clone();
    setup.spare.insert(other);
    let mut stage = bench.stage(&setup);
    let [remark] = stage.remarks() else {
        panic!("{:?}", stage.remarks());
    };
    assert!(remark.contains("digest"), "{remark}");
    let judged = ask(&mut stage, faulty(&bench, "none").subject());
    assert_eq!(named(&judged), []);
    // Whoever does need it fails, and no one else.
    let mut lived = Lived::new(bench.plugin(2), "k");
    let judged = ask(&mut stage, lived.snapshot().subject());
    assert_eq!(named(&judged), [(Law::Crossing, "")]);
    let text = &judged.problems[0].text;
    assert!(text.contains("no way leads from faulty 0.3.0"), "{text}");
}
