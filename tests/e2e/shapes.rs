//! What waits in a store keeps the shape of the version that it is of: who leads on from
//! there stays.

use e2e::release;
use serde_json::json;

use crate::better_than_otp::{NEWEST, appup};
use crate::hostile::{home, post, summary};

#[test]
fn a_release_by_which_a_timer_is_understood_is_not_removed() {
    let home = home();
    let newest = appup("0.3.0", "~0.2", 5_000);
    release::assemble(&home, "0.3.0", &[NEWEST], &[("faulty-0.3.0.toml", &newest)]).unwrap();
    let port = home.start().unwrap().port;
    let timer = json!({ "name": "later", "in_ms": 3_600_000 });
    assert_eq!(post(port, "a", "set_timer", &timer).0, 200);
    let line = ["upgrade", "0.3.0", "--no-rehearsal", "--probation", "0s"];
    home.done(&line).unwrap();
    assert_eq!(summary(port, "a")["version"], "0.3.0");
    let is_kept = |version: &str| {
        let line = ["remove", version, "--no-way-back", "--no-replay", "--json"];
        let ran = home.host(&line).unwrap();
        ran.stdout
            .contains("timers or casts that wait for faulty are in the shape of 0.1.0")
    };
    assert!(is_kept("0.2.0"), "0.3.0 does not migrate from 0.1.0");
    assert!(!is_kept("0.1.0"), "0.2.0 does");
    assert!(is_kept("0.2.0"));
    // Set anew, it is in the shape of the version that rules.
    assert_eq!(post(port, "a", "set_timer", &timer).0, 200);
    assert!(!is_kept("0.2.0"));
    home.stop().unwrap();
}
