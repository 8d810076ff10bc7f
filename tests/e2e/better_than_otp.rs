//! What an Erlang/OTP release does badly when an upgrade goes wrong, one test each, with
//! the better answer. What OTP does was measured with gen_servers that have a
//! `code_change`, in a real release, by its `release_handler`.

use std::fs;
use std::thread;
use std::time::Duration;

use e2e::load::{Load, Shape, campaign};
use e2e::{Home, faulty, release, wait};
use host_model::control::{Outcome, UpgradeReport};
use serde_json::{Value, json};

use crate::canary::{counting, taken_back, under_way, versions};
use crate::hostile::{UPGRADE, add, home, post, summary};
use crate::stuck::busy;

const NEW: &str = "plugins/hostile/faulty/0.2.0";
pub(crate) const NEWEST: &str = "plugins/hostile/faulty/0.3.0";

/// An appup of `faulty` with a way from `from`, and this time for a migration.
pub(crate) fn appup(version: &str, from: &str, timeout_ms: u64) -> String {
    format!(
        "plugin = \"faulty\"\nversion = \"{version}\"\n\n[[path]]\nfrom = \"{from}\"\n\
         up = [{{ update = \"state\", timeout_ms = {timeout_ms} }}]\n\
         down = [{{ update = \"state\", timeout_ms = {timeout_ms} }}]\n"
    )
}

/// Waits for a command's end, and gives its report.
fn ended(upgrade: e2e::command::Running, code: i32) -> UpgradeReport {
    upgrade
        .end()
        .unwrap()
        .ends_with(code)
        .unwrap()
        .json()
        .unwrap()
}

/// OTP: one process that crashes in `code_change` makes the upgrade fail behind its point
/// of no return, so the node restarts from the old release, with empty processes. All that
/// was acknowledged is gone, for a thousand because of one.
#[test]
fn a_migration_that_panics_for_one_of_a_thousand_rolls_back_and_no_client_sees_an_error() {
    const ACTORS: usize = 1_000;
    let home = home();
    let status = home.start().unwrap();
    let port = status.port;
    let clients = counting(port, ACTORS, None);
    faulty::mark(port, "57", "up_panics", 0).unwrap();
    let report = ended(home.begin(&UPGRADE).unwrap(), 4);
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    let reason = report.reason.unwrap();
    assert!(reason.contains("faulty:57 could not come over"), "{reason}");
    assert!(reason.contains("panicked"), "{reason}");
    let settled = home.settled().unwrap();
    assert_eq!(settled.pid, status.pid, "the host has lived on");
    assert_eq!(settled.version.to_string(), "0.1.0");
    assert_eq!(settled.actors.quarantined, 0);
    assert_eq!(versions(&home), [("0.1.0".to_owned(), ACTORS)].into());
    assert_eq!(clients.end(port).unwrap(), 0, "each command was taken");
    let releases: Value = home.answer(&["releases", "--json"]).unwrap();
    assert_eq!(releases[1]["status"], "failed", "{releases}");
    let again = home.host(&UPGRADE).unwrap().ends_with(1).unwrap();
    assert_eq!(again.reason().unwrap(), "failed_before");

    // Without the trouble it goes over, when that is wanted.
    faulty::mark(port, "57", "none", 0).unwrap();
    let clients = summary(port, "57")["count"].clone();
    let report = home.upgrade_again("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.actors_migrated, ACTORS as u64);
    assert_eq!(summary(port, "57")["count"], clients);
    home.stop().unwrap();
}

/// OTP: there is no way back from code that lacks a clause for a message which is sent
/// all the time. Processes crash, are restarted, crash again, until their supervisor gives
/// up; what they knew is gone.
#[test]
fn new_code_that_fails_on_live_messages_is_taken_back_by_probation_and_nothing_is_lost() {
    let words = ["calls of add faulted", "at most 0.1 % are allowed"];
    // Every count was held against what was acknowledged, of who was set aside for it, too.
    let (home, port) = taken_back(false, "add_panics", 0, &words);
    assert_eq!(versions(&home), [("0.1.0".to_owned(), 2_000)].into());
    for key in ["0", "1", "1999"] {
        let before = summary(port, key)["count"].as_i64().unwrap();
        add(port, key, 1);
        assert_eq!(summary(port, key)["count"], before + 1);
    }
    home.stop().unwrap();
}

/// OTP: to suspend a process that is busy times out, and the upgrade reports success.
/// The process keeps the old state under the new code, and crashes at its next message.
#[test]
fn an_actor_that_is_busy_for_8_s_is_named_comes_over_afterwards_and_is_not_skipped() {
    let home = home();
    let port = home.start().unwrap().port;
    for n in 0..20 {
        add(port, &n.to_string(), n);
    }
    let sleeper = busy(&home, port, "busy", 8_000);
    let upgrade = home.begin(&UPGRADE).unwrap();
    let named = wait::until("the busy actor is named", || {
        let busy = under_way(&home)?.busy;
        (!busy.is_empty()).then_some(busy)
    })
    .unwrap();
    let is_it = (named[0].actor.as_str(), &*named[0].event) == ("faulty:busy", "sleep");
    assert!(is_it && named.len() == 1, "{named:?}");
    // Those that come by meanwhile are not held up.
    let rules = || (home.status().ok()?.version.to_string() == "0.2.0").then_some(());
    wait::until("the new release rules", rules).unwrap();
    assert_eq!(summary(port, "1")["version"], "0.2.0");
    assert!(!sleeper.is_finished());
    let report = ended(upgrade, 0);
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.actors_migrated, 21, "nobody was skipped");
    sleeper.join().unwrap();
    let state = home.state("faulty:busy").unwrap();
    assert_eq!((state.version.to_string(), state.seq), ("0.2.0".into(), 1));
    add(port, "busy", 5);
    let found = summary(port, "busy");
    assert_eq!(
        (&found["count"], &found["version"]),
        (&json!(5), &json!("0.2.0"))
    );
    for n in 0..20 {
        assert_eq!(summary(port, &n.to_string())["count"], n);
    }
    home.stop().unwrap();
}

/// OTP: a `code_change` that takes 6 s is longer than its caller waits. The upgrade fails,
/// the node restarts, and what was in memory is gone; until then all processes of that
/// module were suspended.
#[test]
fn a_migration_of_6_s_is_waited_for_by_its_actor_alone() {
    let home = home();
    // Longer than what an appup gets that says nothing.
    let patient = appup("0.2.0", "~0.1", 60_000);
    release::assemble(&home, "0.2.0", &[NEW], &[("faulty-0.2.0.toml", &patient)]).unwrap();
    let port = home.start().unwrap().port;
    for n in 0..20 {
        add(port, &n.to_string(), n);
    }
    add(port, "slow", 7);
    faulty::mark(port, "slow", "up_slow", 6_000).unwrap();
    let upgrade = home.begin(&UPGRADE).unwrap();
    let is_migrating = || {
        let upgrade = under_way(&home)?;
        let mut busy = upgrade.busy.iter();
        busy.any(|it| it.actor.as_str() == "faulty:slow")
            .then_some(())
    };
    wait::until("the slow migration is named", is_migrating).unwrap();
    let waiting = thread::spawn(move || post(port, "slow", "add", &json!({ "by": 1 })));
    for n in 0..20 {
        add(port, &n.to_string(), 1);
        let found = summary(port, &n.to_string());
        assert_eq!(
            (&found["count"], &found["version"]),
            (&json!(n + 1), &json!("0.2.0"))
        );
    }
    assert!(
        is_migrating().is_some(),
        "all others were answered meanwhile"
    );
    assert!(!waiting.is_finished());
    let (status, answer) = waiting.join().unwrap();
    assert_eq!((status, &answer["count"]), (200, &json!(8)));
    let report = ended(upgrade, 0);
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.actors_migrated, 21);
    assert_eq!(summary(port, "slow")["version"], "0.2.0");
    home.stop().unwrap();
}

/// OTP: a node that is killed between the installation of a release and `make_permanent`
/// boots the old one, as it should. It has nothing of what either release was told.
#[test]
fn killed_before_the_commit_it_boots_the_old_release_with_all_that_both_acknowledged() {
    const CAMPAIGNS: usize = 4;
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let load = Load::start(Shape {
        port,
        clients: 12,
        campaigns: CAMPAIGNS,
        pace: Duration::from_millis(5),
    })
    .unwrap();
    load.more(100).unwrap();
    home.detach("0.2.0").unwrap();
    // What the old release could not have taken is not in its state, and not lost.
    let gift = json!({"donation_id": "w", "amount": "9.00", "currency": "USD", "fund": "waqf"});
    home.rpc(
        "donations:waqf",
        "open",
        &json!({"title": "W", "currency": "USD", "goal": "9.00"}),
    )
    .unwrap();
    home.rpc("donations:waqf", "donate", &gift).unwrap();
    load.more(100).unwrap();
    let old = home.kill_host().unwrap();
    assert_eq!(home.rebooted(old).unwrap().version.to_string(), "0.1.0");
    let settled = home.settled().unwrap();
    assert_eq!(settled.permanent.to_string(), "0.1.0");
    load.more(100).unwrap();
    for number in 0..CAMPAIGNS {
        let state = home.state(&campaign(number)).unwrap();
        assert_eq!(state.version.to_string(), "0.1.0");
    }
    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
    home.upgrade_again("0.2.0").unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
    let waqf = home.rpc("donations:waqf", "summary", &json!({})).unwrap();
    assert_eq!(waqf["funds"]["waqf"]["USD"]["balance"], "9.00", "{waqf}");
    home.stop().unwrap();
}

/// OTP: a relup knows pairs of versions. From one that it does not name there is no
/// upgrade (`no_matching_relup`), though each step of the way is known.
#[test]
fn a_pair_that_no_appup_names_is_gone_over_what_lies_between_or_refused_in_a_sentence() {
    let lay = || {
        let home = home();
        let appup = appup("0.3.0", "~0.2", 5_000);
        release::assemble(&home, "0.3.0", &[NEWEST], &[("faulty-0.3.0.toml", &appup)]).unwrap();
        let port = home.start().unwrap().port;
        add(port, "a", 7);
        (home, port)
    };
    let line = [
        "upgrade",
        "0.3.0",
        "--no-rehearsal",
        "--probation",
        "0s",
        "--json",
    ];

    let (home, port) = lay();
    let plan: Value = home.answer(&["plan", "0.3.0", "--json"]).unwrap();
    let hops = plan["plugins"][0]["change"]["hops"].as_array().unwrap();
    let over: Vec<_> = hops.iter().map(|hop| hop["to"].as_str().unwrap()).collect();
    assert_eq!(over, ["0.2.0", "0.3.0"], "{plan}");
    assert_eq!(
        ended(home.begin(&line).unwrap(), 0).outcome,
        Outcome::Committed
    );
    let found = summary(port, "a");
    assert_eq!(
        (&found["count"], &found["version"]),
        (&json!(7), &json!("0.3.0"))
    );
    home.stop().unwrap();

    // What lies between is not here.
    let (home, port) = lay();
    fs::remove_dir_all(home.path().join("releases/0.2.0")).unwrap();
    for line in [&["plan", "0.3.0", "--json"][..], &line] {
        let ran = home.host(line).unwrap().ends_with(1).unwrap();
        assert_eq!(ran.reason().unwrap(), "no_path");
        let said: Value = ran.json().unwrap();
        let message = said["message"].as_str().unwrap();
        assert!(
            message.contains("faulty") && message.contains("0.1.0"),
            "{message}"
        );
    }
    add(port, "a", 1);
    let found = summary(port, "a");
    assert_eq!(
        (&found["count"], &found["version"]),
        (&json!(8), &json!("0.1.0"))
    );
    home.stop().unwrap();
}

/// OTP: what lies in a mailbox has the shape of who sent it. Behind a downgrade the old
/// code finds messages of the new one there, and crashes unless someone foresaw it.
#[test]
fn messages_that_queue_in_the_new_shape_are_converted_when_it_goes_back() {
    // On a machine that is busy with others, who was kept busy may have come over before.
    let mut has_queued = [8_000, 30_000].into_iter().map(goes_back_behind_a_queue);
    assert!(has_queued.any(|it| it), "nothing queued");
}

/// Keeps an actor busy for so long while it goes there and back. Whether what was sent to it
/// meanwhile has waited until the old version ruled again.
fn goes_back_behind_a_queue(busy_ms: u64) -> bool {
    let home = Home::new().unwrap();
    release::assemble(&home, "0.1.0", &[NEW], &[]).unwrap();
    let newest = appup("0.3.0", "~0.2", 5_000);
    release::assemble(&home, "0.2.0", &[NEWEST], &[("faulty-0.3.0.toml", &newest)]).unwrap();
    let port = home.start().unwrap().port;
    add(port, "a", 1);
    add(port, "b", 1);
    let sleeper = busy(&home, port, "c", busy_ms);
    let upgrade = home.begin(&UPGRADE).unwrap();
    wait::until("the new release rules", || {
        (home.status().ok()?.version.to_string() == "0.2.0").then_some(())
    })
    .unwrap();
    // What was `add` and `note` has other names by now, and waits for who is busy.
    for (event, payload) in [
        ("count", json!({ "by": 5 })),
        ("remark", json!({ "text": "queued" })),
    ] {
        let cast = json!({ "to": "faulty:c", "event": event, "payload": payload });
        assert_eq!(post(port, "a", "cast", &cast).0, 200);
    }
    assert_eq!(summary(port, "a")["version"], "0.3.0");
    home.rollback().unwrap();
    ended(upgrade, 4);
    sleeper.join().unwrap();
    wait::until_is("what c has had", &(json!(5), json!(["queued"])), || {
        let found = summary(port, "c");
        (found["count"].clone(), found["notes"].clone())
    })
    .unwrap();
    home.settled().unwrap();
    assert_eq!(versions(&home), [("0.2.0".to_owned(), 3)].into());
    let letters: Value = home.answer(&["dead-letters", "list", "--json"]).unwrap();
    assert_eq!(letters, json!([]));
    // By which name each of them was handled, and by which version.
    let trail = home.done(&["audit", "export", "--actor", "faulty:c"]);
    let trail = trail.unwrap().stdout;
    let handled = trail.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |field: &str| row[field].as_str().unwrap().to_owned();
        format!("{} by {}", text("command"), text("version"))
    });
    let handled: Vec<_> = handled.collect();
    home.stop().unwrap();
    handled == ["sleep by 0.2.0", "add by 0.2.0", "note by 0.2.0"]
}
