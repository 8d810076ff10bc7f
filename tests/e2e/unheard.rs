//! New code that breaks where no handler runs: it cannot make a state, or tell what has
//! happened in the shape of who joined before.

use e2e::faulty::post;
use e2e::{Client, wait};
use serde_json::{Value, json};

use crate::canary::reached;
use crate::hostile::{add, home, summary};

/// A count that faulty 0.2.0 cannot tell to who knows 0.1.0.
const UNTOLD: i64 = 666_666_666;

const WATCHED: [&str; 6] = [
    "upgrade",
    "0.2.0",
    "--no-rehearsal",
    "--probation",
    "300s",
    "--json",
];

#[test]
fn code_that_cannot_make_a_state_is_taken_back_by_probation() {
    let home = home();
    let port = home.start().unwrap().port;
    add(port, "k", 1);
    let upgrade = home.begin(&WATCHED).unwrap();
    reached(&home, "probation", None);
    let mut number = 0;
    wait::until("it is taken back", || {
        number += 1;
        let key = format!("unborn{number}");
        let (status, _) = post(port, &key, "add", &json!({ "by": 1 })).ok()?;
        // The old release takes it.
        (status == 200).then_some(())
    })
    .unwrap();
    let report: Value = upgrade.end().unwrap().ends_with(4).unwrap().json().unwrap();
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.contains("panicked in new"), "{reason}");
    assert_eq!(summary(port, "k")["count"], 1);
    home.stop().unwrap();
}

#[test]
fn code_that_cannot_tell_clients_that_stay_is_taken_back_by_probation() {
    let home = home();
    let port = home.start().unwrap().port;
    let mut client = Client::connect(port).unwrap();
    client.join("faulty:k").unwrap().ok().unwrap();
    let upgrade = home.begin(&WATCHED).unwrap();
    reached(&home, "probation", None);
    wait::until("it is taken back", || {
        // To the count that it cannot tell, and away from it.
        add(port, "k", UNTOLD);
        add(port, "k", -UNTOLD);
        (summary(port, "k")["version"] == "0.1.0").then_some(())
    })
    .unwrap();
    let report: Value = upgrade.end().unwrap().ends_with(4).unwrap().json().unwrap();
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.contains("panicked in downcast"), "{reason}");
    // The old release tells it, over the same connection.
    add(port, "k", UNTOLD);
    while client.next_of("added").unwrap().payload["count"] != UNTOLD {}
    home.stop().unwrap();
}

#[test]
fn code_that_could_not_make_the_states_that_there_are_is_refused_by_a_rehearsal() {
    let home = home();
    let port = home.start().unwrap().port;
    add(port, "unborn", 1);
    let rehearsed = home.host(&["rehearse", "0.2.0"]).unwrap();
    let said = format!("{:?}", rehearsed.ends_with(1).unwrap());
    assert!(said.contains("panicked in new"), "{said}");
    home.stop().unwrap();
}

#[test]
fn what_clients_that_stay_could_not_be_told_speaks_against_a_release_that_is_rehearsed() {
    let home = home();
    let port = home.start().unwrap().port;
    add(port, "k", UNTOLD);
    let rehearsed = home.host(&["rehearse", "0.2.0"]).unwrap();
    let said = format!("{:?}", rehearsed.ends_with(1).unwrap());
    assert!(said.contains("panicked in downcast"), "{said}");
    home.stop().unwrap();
}
