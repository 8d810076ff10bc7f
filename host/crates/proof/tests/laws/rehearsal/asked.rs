//! Which laws count as asked.

use super::*;

#[test]
fn a_law_that_compared_nothing_was_not_asked() {
    // The older version makes nothing up.
    let bench = Bench::with(&PAIR);
    let mut stage = bench.stage(&bench.setup(vec![down("faulty", &FAULTY)]));
    let mut lived = Lived::new(bench.plugin(1), "k");
    lived.send("add", &json!({"by": 3}));
    let judged = ask(&mut stage, lived.subject());
    assert_eq!((named(&judged), judged.samples), (vec![], 0));
    assert!(!judged.asked.contains(&Law::Samples), "{judged:?}");

    // Of what only the old version takes, one is left out, and then there is nothing. Of
    // several the second is refused as long as the first is not left out, and so on: it comes
    // to no end that both agree on.
    let mut stage = bench.stage(&bench.setup(vec![up("faulty", &FAULTY)]));
    let mut lived = faulty(&bench, "add_refused");
    lived.snapshot();
    let seq = lived.actor.course.end();
    let said = |n| Said {
        seq: seq + n,
        version: bench.plugin(0).version().clone(),
        time_ms: NOON_MS,
        event: "add".to_owned(),
        payload: json!({"by": i64::MAX - 3}).to_string().into(),
        happened: json!({"noted": {}}).to_string().into(),
        by: By::Client,
    };
    for count in [1, 10] {
        let subject = Subject {
            commands: (1..=count).map(said).collect(),
            ..lived.subject()
        };
        let judged = ask(&mut stage, subject);
        assert_eq!(named(&judged)[0], (Law::Shadow, "add"));
        assert!(judged.asked.contains(&Law::Samples), "{judged:?}");
        assert!(!judged.asked.contains(&Law::Carry), "{judged:?}");
    }
}

#[test]
fn without_a_way_back_only_the_way_there_is_asked_for() {
    let bench = Bench::with(&PAIR);
    let mut setup = bench.setup(vec![up("faulty", &FAULTY)]);
    setup.plugins[0].steps[0].reversible = false;
    let mut stage = bench.stage(&setup);
    let judged = ask(&mut stage, faulty(&bench, "down_fails").subject());
    assert_eq!(named(&judged), []);
    assert_eq!(judged.asked, [Law::Crossing, Law::Shadow]);
}
