//! The laws of a rehearsal, asked in a real child, of real pairs and of one that breaks
//! each of them.

use std::sync::atomic::AtomicBool;

use host_model::plan::StateChange;
use host_proof::rehearsal::{
    By, Ended, Judged, Law, Rehearser, Route, Said, Setup, Stage, Start, StartError, Step, Subject,
};
use serde_json::json;

use super::*;

/// A pair's way up; its appup declares what differs on purpose.
fn up(plugin: &str, declared: &[&str]) -> Route {
    Route {
        plugin: plugin.to_owned(),
        from: "0.1.0".parse().unwrap(),
        steps: vec![Step {
            to: "0.2.0".parse().unwrap(),
            change: StateChange::Up,
            reversible: true,
        }],
        declared: declared.iter().map(|&it| it.to_owned()).collect(),
    }
}

fn down(plugin: &str, declared: &[&str]) -> Route {
    let mut route = up(plugin, declared);
    route.from = std::mem::replace(&mut route.steps[0].to, route.from);
    route.steps[0].change = StateChange::Down;
    route
}

const FAULTY: [&str; 2] = ["summary.notes", "summary.version"];
const ZAKAT: [&str; 6] = [
    "summary.anniversary",
    "summary.crops",
    "summary.debts",
    "summary.rikaz",
    "summary.version",
    "summary.year",
];
const DONATIONS: [&str; 3] = ["summary.funds", "summary.donors", "summary.version"];

impl Bench {
    fn setup(&self, routes: Vec<Route>) -> Setup {
        let libraries = self.plugins.iter().map(|(plugin, path)| {
            let digest = plugin.digest().to_string();
            (path.clone(), digest)
        });
        Setup {
            libraries: libraries.collect(),
            routes,
            samples: 5,
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
    lived.snapshot();
    let asleep = ask(&mut stage, lived.subject());
    assert_eq!((named(&asleep), asleep.samples), (vec![], 5));
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
        ("check_fails", Law::Crossing, "invariant"),
        ("down_fails", Law::RoundTrip, "down fails"),
        ("down_panics", Law::RoundTrip, "panicked"),
    ] {
        let judged = of(trouble, false);
        assert_eq!(named(&judged), [(law, "")], "{trouble}");
        let text = &judged.problems[0].text;
        assert!(text.contains(word), "{trouble}: {text}");
    }
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

#[test]
fn several_steps_are_one_way() {
    let bench = Bench::with(&PAIR);
    let mut there_and_back = up("faulty", &FAULTY);
    there_and_back.steps.extend(down("faulty", &[]).steps);
    let mut stage = bench.stage(&bench.setup(vec![there_and_back]));
    let judged = ask(&mut stage, faulty(&bench, "none").subject());
    assert_eq!(named(&judged), []);
    assert_eq!(judged.steps_ns.len(), 2);
    // What only the step in the middle loses.
    let loses = ask(&mut stage, faulty(&bench, "up_loses").subject());
    assert!(
        named(&loses).contains(&(Law::RoundTrip, "state.count")),
        "{loses:?}"
    );
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
fn without_a_way_back_only_the_way_there_is_asked_for() {
    let bench = Bench::with(&PAIR);
    let mut setup = bench.setup(vec![up("faulty", &FAULTY)]);
    setup.routes[0].steps[0].reversible = false;
    let mut stage = bench.stage(&setup);
    let judged = ask(&mut stage, faulty(&bench, "down_fails").subject());
    assert_eq!(named(&judged), []);
    assert_eq!(judged.asked, [Law::Crossing, Law::Shadow]);
}

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |bound| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

/// A campaign's life under 0.1.0.
fn campaign(bench: &Bench, seed: u64) -> Lived {
    let mut below = random(seed);
    let mut lived = Lived::new(bench.plugin(0), &format!("c{seed}"));
    let open = json!({"title": "T", "currency": "USD", "goal": "100.00"});
    lived.send("open", &open);
    let (gifts, asleep) = (below(12), below(14));
    for gift in 0..gifts {
        let mut donation = json!({"donation_id": format!("d{gift}"),
            "amount": format!("{}.{:02}", below(900) + 1, below(100)), "currency": "USD"});
        if below(3) > 0 {
            donation["donor"] = json!(format!("donor {}", below(4)));
        }
        lived.send("donate", &donation);
        if gift == asleep {
            lived.snapshot();
        }
    }
    lived
}

fn payer(bench: &Bench, at: usize, seed: u64) -> Lived {
    let mut below = random(seed);
    let mut lived = Lived::new(bench.plugin(at), &format!("p{seed}"));
    let (steps, asleep) = (below(12) + 1, below(14));
    for step in 0..steps {
        match below(3) {
            0 | 1 => {
                let declare = json!({"asset_id": format!("a{}", below(4)), "kind": "cash",
                    "amount": format!("{}.00", below(5_000) + 1), "currency": "USD"});
                lived.send("declare", &declare)
            }
            _ => {
                let pay = json!({"payment_id": format!("p{step}"),
                    "amount": format!("{}.50", below(50) + 1), "currency": "USD"});
                lived.send("pay", &pay)
            }
        };
        if step == asleep {
            lived.snapshot();
        }
    }
    lived
}

#[test]
fn the_platform_keeps_every_law_for_random_states() {
    let packages = [
        "donations-v0-1-0",
        "donations-v0-2-0",
        "zakat-v0-1-0",
        "zakat-v0-2-0",
    ];
    let bench = Bench::with(&packages);
    let routes = vec![up("donations", &DONATIONS), up("zakat", &ZAKAT)];
    let mut stage = bench.stage(&bench.setup(routes));
    let zakat = Bench::with(&packages[2..]);
    for seed in 0..300 {
        for lived in [campaign(&bench, seed), payer(&zakat, 0, seed)] {
            let judged = ask(&mut stage, lived.subject());
            assert_eq!(judged.problems, [], "seed {seed}: {:#?}", lived.subject());
        }
    }
}

#[test]
fn a_way_down_is_rehearsed_as_a_way_up_is() {
    let packages = ["zakat-v0-1-0", "zakat-v0-2-0"];
    let bench = Bench::with(&packages);
    let mut stage = bench.stage(&bench.setup(vec![down("zakat", &ZAKAT)]));
    let mut asked = 0;
    for seed in 0..50 {
        let judged = ask(&mut stage, payer(&bench, 1, seed).subject());
        assert_eq!(judged.problems, [], "seed {seed}");
        asked += usize::from(judged.asked.contains(&Law::Carry));
    }
    assert!(asked > 0, "some have commands behind their snapshot");
}
