//! Of counting, and of what passes.

use host_model::limits::REHEARSAL_NAMED_MAX;
use host_model::plan::Plan;
use host_proof::rehearsal::{Judged, Problem};

use super::*;

const OLD: Version = Version::new(0, 1, 0);
const NEW: Version = Version::new(0, 2, 0);

fn tally() -> Tally {
    moving(&[("p", OLD, NEW)], OLD, NEW)
}

/// Of these plugins, in a change of these releases.
fn moving(plugins: &[(&str, Version, Version)], from: Version, to: Version) -> Tally {
    let moved = plugins.iter().map(|(plugin, from, to)| {
        let moved = Moved {
            from: from.clone(),
            to: to.clone(),
            budget_ms: 100,
            steps: vec![to.clone()],
        };
        ((*plugin).to_owned(), moved)
    });
    let plan = Plan {
        steps: Vec::new(),
        back: Vec::new(),
        from,
        to,
        plugins: Vec::new(),
        reversible: true,
        probation_s: 0,
        at_start: false,
    };
    Tally::new(&plan, &moved.collect(), 1_000)
}

fn answered(key: &str, problems: &[(Law, &str)], ms: u64) -> Answered {
    let problems = problems.iter().map(|(law, field)| Problem {
        law: *law,
        field: (*field).to_owned(),
        text: "1 before, 2 after".to_owned(),
    });
    Answered {
        actor: format!("p:{key}").parse().unwrap(),
        judged: Judged {
            is_there: false,
            asked: Law::ALL.to_vec(),
            problems: problems.collect(),
            declared: vec!["summary.notes[1].text".to_owned()],
            steps_ns: vec![ms * 1_000_000],
            pause_ns: ms * 1_000_000,
            commands: 2,
            samples: 5,
        },
    }
}

#[test]
fn actors_that_keep_every_law_pass() {
    let mut tally = tally();
    for n in 0..10 {
        tally.add(&answered(&n.to_string(), &[], n + 1));
    }
    let report = tally.report(false);
    assert_eq!(report.outcome, RehearsalOutcome::Passed);
    assert_eq!(
        (report.rehearsed, report.known, report.reason),
        (10, 10, None)
    );
    assert_eq!((report.commands, report.samples), (20, 50));
    assert!(
        report
            .laws
            .iter()
            .all(|law| law.asked == 10 && law.failed == 0)
    );
    let [declared] = &report.declared[..] else {
        panic!("{:?}", report.declared);
    };
    assert_eq!(
        (&*declared.field, declared.actors),
        ("summary.notes[].text", 10)
    );
    let pause = &report.plugins[0];
    assert_eq!(pause.slowest.as_ref().unwrap().as_str(), "p:9");
    assert!(pause.pause_us.max >= 10_000 && pause.steps[0].time_us.p50 >= 5_000);
}

fn some() -> BTreeSet<String> {
    ["p".to_owned()].into()
}

#[test]
fn a_law_that_was_asked_of_some_says_how_sure_it_is() {
    let mut tally = tally().running_some(some());
    for n in 0..10 {
        let mut one = answered(&n.to_string(), &[], 1);
        one.judged.asked.retain(|law| n < 4 || !law.runs_commands());
        tally.add(&one);
    }
    // Everyone of a small plugin, which makes nothing less sure.
    let mut all = answered("a", &[], 1);
    all.actor = "q:a".parse().unwrap();
    tally.add(&all);
    let told = |report: &RehearsalReport, law: Law| {
        let mut rows = report.laws.iter().filter(|row| row.law == law.name());
        let row = rows.next().unwrap();
        (row.asked, row.confidence)
    };
    let report = tally.report(false);
    assert_eq!(told(&report, Law::Carry), (5, Confidence::of(4)));
    assert_eq!(told(&report, Law::Shadow), (5, Confidence::of(4)));
    assert_eq!(
        told(&report, Law::RoundTrip),
        (11, None),
        "it was asked of all"
    );
    assert_eq!(report.confidence, Confidence::of(4));

    // One that was asked of nobody, and one that was broken off, say nothing.
    let mut tally = self::tally().running_some(some());
    let mut one = answered("a", &[], 1);
    one.judged.asked.retain(|law| *law != Law::Carry);
    tally.add(&one);
    let report = tally.report(false);
    assert_eq!(told(&report, Law::Carry), (0, None));
    let mut tally = self::tally().running_some(some());
    tally.add(&answered("a", &[], 1));
    assert_eq!(told(&tally.cancelled(), Law::Samples), (1, None));
}

#[test]
fn a_sample_is_as_sure_as_the_plugin_of_which_the_fewest_were_rehearsed() {
    let both = || BTreeSet::from(["p".to_owned(), "q".to_owned()]);
    let mut tally = self::tally().taking_some(both());
    for n in 0..10 {
        tally.add(&answered(&n.to_string(), &[], 1));
    }
    let mut one = answered("a", &[], 1);
    one.actor = "q:a".parse().unwrap();
    tally.add(&one);
    let report = tally.report(false);
    assert_eq!(report.outcome, RehearsalOutcome::Passed);
    assert_eq!(report.confidence, Confidence::of(1));
}

#[test]
fn a_sample_in_which_nobody_of_a_plugin_was_rehearsed_is_no_pass() {
    let mut tally = self::tally().taking_some(some());
    tally.left_out();
    // Of another plugin, which says nothing of this one.
    let mut other = answered("a", &[], 1);
    other.actor = "q:a".parse().unwrap();
    tally.add(&other);
    let report = tally.report(true);
    assert_eq!(report.outcome, RehearsalOutcome::Failed);
    assert_eq!(report.confidence, None);
    let reason = report.reason.unwrap();
    assert!(
        reason.contains("nobody of p") && reason.contains("--all"),
        "{reason}"
    );

    // Where there is nobody else, who is in quarantine holds up nothing.
    let mut tally = self::tally();
    tally.left_out();
    assert_eq!(tally.report(false).outcome, RehearsalOutcome::Passed);
}

#[test]
fn what_does_not_hold_is_counted_by_field_and_refused() {
    let mut tally = tally().taking_some(some());
    tally.add(&answered("a", &[], 1));
    for key in ["b", "c"] {
        let problems = [
            (Law::Samples, "state.gifts[3].fund"),
            (Law::Samples, "state.gifts[4].fund"),
        ];
        tally.add(&answered(key, &problems, 1));
    }
    let report = tally.report(false);
    assert_eq!(report.outcome, RehearsalOutcome::Failed);
    let [row] = &report.problems[..] else {
        panic!("{:?}", report.problems);
    };
    assert_eq!((&*row.field, row.actors), ("state.gifts[].fund", 2));
    let reason = report.reason.unwrap();
    assert!(
        reason.contains("2 actors, such as p:b: state.gifts[].fund"),
        "{reason}"
    );
    assert!(reason.contains("state.gifts[3].fund: 1 before"), "{reason}");
    assert!(report.confidence.is_some());
}

#[test]
fn one_way_excuses_what_only_proves_the_way_back() {
    for law in Law::ALL {
        let report = |one_way| {
            let mut tally = tally();
            tally.add(&answered("a", &[(law, "state.x")], 1));
            tally.report(one_way).outcome
        };
        assert_eq!(report(false), RehearsalOutcome::Failed);
        let excused = report(true) == RehearsalOutcome::Passed;
        assert_eq!(excused, law.proves_way_back(), "{law:?}");
    }
}

#[test]
fn what_an_older_version_says_otherwise_is_excused_of_plugins_that_go_down_and_of_no_other() {
    let differs = |plugin: &str| {
        let mut one = answered("a", &[(Law::Shadow, "add.count")], 1);
        one.actor = format!("{plugin}:a").parse().unwrap();
        one
    };
    let plugins = [("down", NEW, OLD), ("up", OLD, NEW)];
    for (from, to) in [(OLD, NEW), (NEW, OLD)] {
        let mut tally = moving(&plugins, from.clone(), to.clone());
        tally.add(&differs("down"));
        let report = tally.report(false);
        assert_eq!(report.outcome, RehearsalOutcome::Passed, "{report:?}");
        assert_eq!(report.problems.len(), 1, "it is told all the same");

        let mut tally = moving(&plugins, from, to);
        tally.add(&differs("down"));
        tally.add(&differs("up"));
        let reason = tally.report(false).reason.unwrap();
        assert!(
            reason.contains("1 actor, such as up:a: add.count"),
            "{reason}"
        );
    }
}

#[test]
fn over_the_budget_and_over_an_actor_it_fails() {
    let mut slow = tally();
    slow.add(&answered("a", &[], 101));
    let reason = slow.report(true).reason.unwrap();
    assert!(reason.contains("p:a takes 101 ms"), "{reason}");
    assert!(reason.contains("allows 100 ms"), "{reason}");

    let mut ended = tally();
    ended.ended(
        "p:x".parse().unwrap(),
        Some("up to 0.2.0".to_owned()),
        "SIGSEGV".to_owned(),
    );
    let report = ended.report(true);
    assert_eq!(
        report.reason.as_deref(),
        Some("the rehearsal's process ended over p:x in up to 0.2.0: SIGSEGV")
    );
    assert_eq!(report.outcome, RehearsalOutcome::Failed);
}

#[test]
fn no_more_fields_than_a_bound_are_named() {
    let mut tally = tally();
    for n in 0..200 {
        let field = format!("state{n}.gifts{n}");
        tally.add(&answered(&n.to_string(), &[(Law::Samples, &field)], 1));
    }
    // And of another law all the same.
    tally.add(&answered("a", &[(Law::Carry, "state.notes")], 1));
    let report = tally.report(false);
    let of = |law: &'static str| report.problems.iter().filter(move |row| row.law == law);
    let (others, named): (Vec<_>, Vec<_>) = of("samples").partition(|row| row.field == "(others)");
    assert_eq!((named.len(), of("carry").count()), (REHEARSAL_NAMED_MAX, 1));
    let [others] = others[..] else {
        panic!("{others:?}");
    };
    assert_eq!(others.actors, 200 - REHEARSAL_NAMED_MAX as u64);
    assert!(others.found.starts_with("state50.gifts50: "), "{others:?}");
    let failed = |law: &str| {
        report
            .laws
            .iter()
            .find(|row| row.law == law)
            .unwrap()
            .failed
    };
    assert_eq!((failed("samples"), failed("carry")), (200, 1));
}

#[test]
fn one_that_is_there_already_is_asked_nothing_and_not_counted_as_rehearsed() {
    let mut tally = self::tally();
    tally.add(&answered("a", &[], 1));
    let mut there = answered("b", &[], 1);
    there.judged = Judged {
        is_there: true,
        ..Judged::default()
    };
    tally.add(&there);
    assert_eq!(tally.done(), 2);
    let report = tally.report(false);
    assert_eq!(report.outcome, RehearsalOutcome::Passed);
    let counted = (report.rehearsed, report.there_already, report.known);
    assert_eq!(counted, (1, 1, 2));
    assert!(report.laws.iter().all(|law| law.asked == 1));

    // Of some that were taken by chance it says nothing of the others.
    let mut tally = self::tally().taking_some(some());
    tally.add(&there);
    assert_eq!(tally.report(false).outcome, RehearsalOutcome::Failed);
}

#[test]
fn a_rollback_holds_no_budget_against_anyone_and_says_what_becomes_of_who_does_not_come_down() {
    let down = || {
        let mut tally = moving(&[("p", NEW, OLD)], NEW, OLD).rolling_back(true);
        for pauses in tally.pauses.values_mut() {
            pauses.moved.budget_ms = 0;
        }
        tally
    };
    let mut slow = down();
    slow.add(&answered("a", &[], 10_000));
    let report = slow.report(false);
    assert_eq!(report.outcome, RehearsalOutcome::Passed, "{report:?}");

    let fails = answered("a", &[(Law::Crossing, "")], 1);
    let mut tally = down();
    tally.add(&fails);
    let reason = tally.report(false).reason.unwrap();
    assert!(
        reason.starts_with("the way there fails for 1 actor"),
        "{reason}"
    );
    assert!(reason.ends_with(BY_COMMANDS), "{reason}");
    // Not of one that goes up, nor of what else does not hold.
    let mut up = self::tally().rolling_back(true);
    up.add(&fails);
    let mut other = down();
    other.add(&answered("a", &[(Law::RoundTrip, "state.x")], 1));
    for tally in [up, other] {
        let reason = tally.report(false).reason.unwrap();
        assert!(!reason.contains("host rollback"), "{reason}");
    }
}
