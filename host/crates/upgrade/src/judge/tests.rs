//! Verdicts over made-up counts.

use proptest::prelude::*;

use super::*;

/// Calls of one event, of which so many faulted.
fn counts(event: &str, calls: u64, faults: u64) -> Counts {
    let counts = EventCounts {
        calls,
        faults,
        last_fault: (faults > 0).then(|| "it broke".to_owned()),
        ..EventCounts::default()
    };
    Counts {
        events: [(event.to_owned(), counts)].into(),
    }
}

fn trial(new: Counts, old: Option<Counts>) -> Trial {
    let before = |counts| Before {
        version: Version::new(0, 1, 0),
        counts,
    };
    Trial {
        plugin: "donations".to_owned(),
        version: Version::new(0, 2, 0),
        new,
        old: old.map(before),
        limits: Probation::default(),
        health: Health::default(),
    }
}

fn verdict(new: Counts, old: Counts) -> Verdict {
    judge(&[trial(new, Some(old))])
}

fn breached(verdict: Verdict) -> String {
    match verdict {
        Verdict::Breached(why) => why,
        other => panic!("{other:?} is no breach"),
    }
}

fn event<'a>(counts: &'a mut Counts, name: &str) -> &'a mut EventCounts {
    counts.events.get_mut(name).unwrap()
}

#[test]
fn faults_are_told_in_one_sentence() {
    let why = breached(verdict(
        counts("donate", 480, 12),
        counts("donate", 9_000, 0),
    ));
    assert_eq!(
        why,
        "donations 0.2.0: 12 of 480 calls of donate faulted (2.5 %), at most 0.1 % are allowed; the last said: it broke"
    );
}

#[test]
fn what_can_no_longer_be_made_good_is_a_breach_before_enough_was_seen() {
    assert!(matches!(
        verdict(counts("add", 3, 1), counts("add", 0, 0)),
        Verdict::Breached(_)
    ));
    assert!(matches!(
        verdict(counts("add", 3, 0), counts("add", 0, 0)),
        Verdict::TooFew(_)
    ));
    // One of many is within what is allowed. What was hardly called before says little.
    assert_eq!(
        verdict(counts("add", 2_000, 1), counts("add", 9, 0)),
        Verdict::Passed
    );
}

/// Events, each with its calls, of which so many were timed.
fn timed(events: &[(&str, u64, u64)]) -> Counts {
    let mut all = Counts::default();
    for (name, calls, runs) in events {
        let mut counts = counts(name, *calls, 0);
        (0..*runs).for_each(|_| event(&mut counts, name).took_ns.record(1_000));
        all.events.extend(counts.events);
    }
    all
}

fn open_of(new: &[(&str, u64, u64)], old: &[(&str, u64, u64)]) -> Option<String> {
    not_compared(&[trial(timed(new), Some(timed(old)))])
}

#[test]
fn what_could_not_be_compared_is_named() {
    let add = [("add", 2_000, 2_000)];
    assert_eq!(open_of(&add, &[("add", 100, 100)]), None);
    let said = "too little was seen to compare donations 0.2.0 with 0.1.0";
    let is_open = |new: &[_], old: &[_], what: &str| {
        assert_eq!(open_of(new, old), Some(format!("{said} {what}")));
    };
    // The version before was hardly called, or not at all.
    is_open(
        &add,
        &[("add", 9, 9)],
        "in rejections and in the time of add",
    );
    is_open(
        &add,
        &[("add", 0, 0)],
        "in rejections and in the time of add",
    );
    // It was, and not for what the new one was.
    let other = [("add", 99, 99), ("get", 5_000, 5_000)];
    is_open(&add, &other, "in rejections and in the time of add");
    // What is in common was called enough, and hardly timed before.
    let query = ("get", 5_000, 156);
    let seldom = ("get", 2_000, 62);
    is_open(&[query], &[seldom], "in the time of get");
    // The first few, those that were called most.
    let many = [
        add[0],
        ("a", 101, 101),
        ("b", 105, 105),
        ("c", 107, 107),
        ("d", 106, 106),
        ("e", 102, 102),
    ];
    let before = ["a", "b", "c", "d", "e"].map(|name| (name, 0, 0));
    let before = [&add[..], &before].concat();
    is_open(&many, &before, "in the time of c, d, b and 2 more");
    // The new one was hardly called itself, or there was nothing like it before.
    assert_eq!(open_of(&[add[0], seldom], &[add[0], query]), None);
    assert_eq!(open_of(&[add[0], query], &add), None);
    // Nothing is there to compare with, or nothing was asked.
    assert_eq!(not_compared(&[trial(timed(&add), None)]), None);
    assert_eq!(open_of(&[], &add), None);
    let mut zakat = trial(timed(&add), Some(timed(&[("add", 9, 9)])));
    zakat.plugin = "zakat".to_owned();
    let two = [trial(timed(&[query]), Some(timed(&[seldom]))), zakat];
    let told = format!(
        "{said} in the time of get; zakat 0.2.0 with 0.1.0 in rejections and in the time of add"
    );
    assert_eq!(not_compared(&two), Some(told));
}

#[test]
fn an_event_that_is_seldom_asked_for_and_always_fails_is_found() {
    let mut new = counts("donate", 100_000, 0);
    new.events.extend(counts("refund", 5, 5).events);
    let why = breached(verdict(new.clone(), counts("donate", 100_000, 0)));
    assert!(why.contains("5 of 5 calls of refund"), "{why}");
    // Once is no rate.
    *event(&mut new, "refund") = counts("refund", 1, 1).events["refund"].clone();
    assert_eq!(verdict(new, counts("donate", 100_000, 0)), Verdict::Passed);
}

#[test]
fn what_the_old_version_did_as_well_is_no_breach() {
    let same = |faults| verdict(counts("add", 1_000, faults), counts("add", 10_000, 100));
    assert_eq!(same(10), Verdict::Passed);
    assert_eq!(same(15), Verdict::Passed, "by chance");
    assert!(matches!(same(40), Verdict::Breached(_)));
}

#[test]
fn too_few_calls_are_named_and_a_plugin_that_nobody_uses_is_not_waited_for() {
    let busy = || trial(counts("donate", 500, 0), Some(counts("donate", 500, 0)));
    let mut idle = trial(Counts::default(), Some(Counts::default()));
    idle.plugin = "zakat".to_owned();
    assert_eq!(judge(&[busy(), idle.clone()]), Verdict::Passed);
    // Where it was used before, its silence is one.
    idle.old = trial(Counts::default(), Some(counts("pay", 500, 0))).old;
    let Verdict::TooFew(few) = judge(&[busy(), idle.clone()]) else {
        panic!("it passed");
    };
    assert_eq!(few.text, "zakat 0.2.0 has had 0 of at least 100 calls");
    idle.old = None;
    assert!(matches!(judge(&[idle]), Verdict::TooFew(_)));
    assert_eq!(judge(&[]), Verdict::Passed);
}

#[test]
fn a_reason_that_was_rare_and_is_frequent_is_a_breach() {
    let with = |calls, reason: &str, count| {
        let mut counts = counts("donate", calls, 0);
        let rejections = &mut event(&mut counts, "donate").rejections;
        rejections.insert(reason.to_owned(), count);
        counts
    };
    let why = breached(verdict(
        with(400, "unknown_event", 60),
        with(1_000, "unknown_event", 1),
    ));
    assert!(
        why.contains(
            "60 of 400 calls were rejected as unknown_event (15 %), 0.1 % of those to 0.1.0"
        ),
        "{why}"
    );
    // Behind another that is frequent, and was so before.
    let two = |counts: Counts, count| {
        let mut counts = counts;
        let rejections = &mut event(&mut counts, "donate").rejections;
        rejections.insert("duplicate".to_owned(), count);
        counts
    };
    let why = breached(verdict(
        two(with(400, "unknown_event", 60), 200),
        two(with(1_000, "unknown_event", 1), 500),
    ));
    assert!(why.contains("as unknown_event (15 %)"), "{why}");
    let frequent = verdict(with(400, "not_open", 60), with(1_000, "not_open", 50));
    assert_eq!(frequent, Verdict::Passed, "it was not rare");
    let rare = verdict(with(400, "not_open", 30), with(1_000, "not_open", 0));
    assert_eq!(rare, Verdict::Passed, "it is not frequent");
    let unseen = verdict(with(400, "not_open", 60), with(50, "not_open", 0));
    assert_eq!(unseen, Verdict::Passed, "nobody knows what it was before");
    // A command that only the new version has may refuse what it likes.
    let mut new = counts("donate", 400, 0);
    let mut refund = with(400, "unknown_donation", 390).events;
    new.events
        .insert("refund".to_owned(), refund.remove("donate").unwrap());
    assert_eq!(verdict(new, counts("donate", 1_000, 0)), Verdict::Passed);
}

#[test]
fn dead_letters_are_a_breach_where_there_were_none() {
    let mut new = counts("pay", 200, 0);
    event(&mut new, "pay").dead_letters = 3;
    let why = breached(verdict(new, counts("pay", 1_000, 0)));
    assert!(why.contains("3 of 200 messages came to nothing"), "{why}");
}

#[test]
fn a_handler_that_takes_much_longer_is_a_breach() {
    let with = |ns: u64, slow: u64| {
        let mut counts = counts("donate", 1_000, 0);
        for n in 0..1_000 {
            let took = if n < slow { 100_000_000 } else { ns };
            event(&mut counts, "donate").took_ns.record(took);
        }
        counts
    };
    let why = breached(verdict(with(40_000_000, 0), with(9_000_000, 0)));
    assert!(
        why.contains("1000 of 1000 runs of donate took longer than"),
        "{why}"
    );
    assert!(why.contains("the p99 of 0.1.0 was 9 ms"), "{why}");
    assert!(why.contains("that of 0.2.0 is"), "{why}");
    assert_eq!(
        verdict(with(15_000_000, 0), with(9_000_000, 0)),
        Verdict::Passed
    );
    // A hundred times as slow, and nobody would notice.
    assert_eq!(
        verdict(with(5_000_000, 0), with(50_000, 0)),
        Verdict::Passed
    );
    // A few that a busy machine held up.
    assert_eq!(verdict(with(50_000, 15), with(50_000, 0)), Verdict::Passed);
    assert!(matches!(
        verdict(with(50_000, 60), with(50_000, 0)),
        Verdict::Breached(_)
    ));
}

#[test]
fn an_ill_plugin_is_a_breach_when_it_says_so_again() {
    let mut ill = trial(counts("add", 500, 0), None);
    ill.health = Health {
        ill_looks: 1,
        said: "it has a cold".to_owned(),
    };
    let Verdict::TooFew(few) = judge(std::slice::from_ref(&ill)) else {
        panic!("it passed");
    };
    assert!(few.is_ill && few.text.contains("it has a cold"), "{few:?}");
    // Also where nobody asks it for anything, and others are asked.
    let busy = trial(counts("add", 500, 0), None);
    ill.new = Counts::default();
    let found = judge(&[busy, ill.clone()]);
    assert!(
        matches!(&found, Verdict::TooFew(few) if few.is_ill),
        "{found:?}"
    );
    ill.health.ill_looks = ILL_LOOKS_MAX;
    assert!(breached(judge(&[ill])).contains("not well: it has a cold"));
}

proptest! {
    /// The same traffic as before is never a breach, whatever it was like.
    #[test]
    fn a_version_that_does_as_before_is_not_taken_back(
        calls in 100_u64..100_000,
        faulty in 0.0_f64..1.0,
        refused in 0.0_f64..1.0,
        lost in 0.0_f64..1.0,
        took_ns in prop::collection::vec(0_u64..10_000_000_000, 0..300),
    ) {
        let part = |rate: f64| (calls as f64 * rate) as u64;
        let mut same = counts("add", calls, part(faulty));
        let add = event(&mut same, "add");
        add.rejections.insert("no".to_owned(), part(refused));
        add.dead_letters = part(lost);
        took_ns.iter().for_each(|ns| add.took_ns.record(*ns));
        prop_assert_eq!(verdict(same.clone(), same), Verdict::Passed);
    }

    /// More faults never turn a breach into something else, and without faults, ills
    /// and comparisons there is none.
    #[test]
    fn more_faults_are_never_better(
        calls in 1_u64..5_000,
        faults in 0_u64..5_000,
        more in 0_u64..5_000,
        before in 0_u64..1_000,
    ) {
        let (faults, worse) = (faults.min(calls), faults.saturating_add(more).min(calls));
        let old = || counts("add", 1_000, before);
        let is_breach = |faults| matches!(verdict(counts("add", calls, faults), old()), Verdict::Breached(_));
        prop_assert!(!is_breach(0));
        if is_breach(faults) {
            prop_assert!(is_breach(worse), "{} of {} was one, {} is not", faults, calls, worse);
        }
    }

    /// It passes only where enough was seen.
    #[test]
    fn nothing_passes_unseen(calls in 0_u64..300, before in 0_u64..300) {
        let passed = verdict(counts("add", calls, 0), counts("add", before, 0)) == Verdict::Passed;
        prop_assert_eq!(passed, calls >= Probation::default().min_calls);
    }
}

#[test]
fn an_operator_lets_pass_what_was_seen_too_little_and_no_illness_or_breach() {
    let few = |is_ill| {
        Verdict::TooFew(TooFew {
            text: "3 calls".to_owned(),
            is_ill,
        })
    };
    assert!(Verdict::Passed.may_be_passed());
    assert!(few(false).may_be_passed());
    assert!(!few(true).may_be_passed());
    assert!(!Verdict::Breached("it broke".to_owned()).may_be_passed());
}
