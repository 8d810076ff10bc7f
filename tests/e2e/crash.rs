//! `kill -9` while clients give and while an upgrade is at each of its states:
//! the keeper brings the host back, one version rules everyone, and every
//! acknowledged donation is there once.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use e2e::crash::{CUT, Dice, Settings, Store};
use e2e::load::{Load, Shape, campaign};
use e2e::{Client, Home, variable, wait};
use host_model::control::{HistoryRow, Outcome, UpgradeReport};
use serde_json::{Value, json};

use crate::appups;
use crate::hostile::summary;

const CLIENTS: usize = 12;
const CAMPAIGNS: usize = 4;

fn load(port: u16) -> Load {
    let shape = Shape {
        port,
        clients: CLIENTS,
        campaigns: CAMPAIGNS,
        pace: Duration::from_millis(5),
    };
    Load::start(shape).unwrap()
}

/// Every actor is in the version that rules.
fn is_consistent(home: &Home, version: &str) {
    assert_eq!(home.status().unwrap().version.to_string(), version);
    let versions: BTreeSet<_> = (0..CAMPAIGNS)
        .map(|number| home.state(&campaign(number)).unwrap().version.to_string())
        .collect();
    assert_eq!(versions, BTreeSet::from([version.to_owned()]));
}

#[test]
fn nothing_is_lost_or_doubled_when_the_host_is_killed_under_load() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let load = load(port);
    for _ in 0..3 {
        load.more(200).unwrap();
        let old = home.kill_host().unwrap();
        home.rebooted(old).unwrap();
    }
    load.more(200).unwrap();
    let seen = load.stop().unwrap();
    assert!(
        seen.closed >= 3,
        "a kill closes connections: {}",
        seen.closed
    );
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn a_cast_arrives_once_though_the_host_is_killed_behind_its_command() {
    const PAYERS: usize = 8;
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    home.upgrade("0.2.0").unwrap();
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc("donations:z", "open", &open).unwrap();
    for round in 0..3 {
        let mut client = wait::until("a client connects", || Client::connect(port).ok()).unwrap();
        client.join("donations:z").unwrap().ok().unwrap();
        for payer in 0..PAYERS {
            let gift = json!({"donation_id": format!("d{round}-{payer}"), "amount": "3.00",
                "currency": "USD", "fund": "zakat", "payer": format!("p{payer}")});
            client
                .push("donations:z", "donate", &gift)
                .unwrap()
                .ok()
                .unwrap();
        }
        // The last casts are on their way at best.
        let old = home.kill_host().unwrap();
        home.rebooted(old).unwrap();
    }
    for payer in 0..PAYERS {
        let wanted: Vec<_> = (0..3).map(|round| format!("z/d{round}-{payer}")).collect();
        wait::until_is("every payment has come, once", &wanted, || {
            let state = home.state(&format!("zakat:p{payer}")).unwrap().state;
            let payments = state["payments"].as_object().cloned().unwrap_or_default();
            payments.keys().cloned().collect()
        })
        .unwrap();
    }
    let letters = home.done(&["dead-letters", "list", "--json"]).unwrap();
    assert_eq!(
        letters.json::<Vec<serde_json::Value>>().unwrap(),
        Vec::<serde_json::Value>::new()
    );
}

/// What chooses: `E2E_SEED` chooses the same again.
fn seed() -> u64 {
    let seed = variable::read("E2E_SEED", u64::from(std::process::id())).unwrap();
    println!("E2E_SEED={seed}");
    seed
}

/// Kills at moments that nobody chose: each round an upgrade or a way back is under way,
/// and the host dies behind some more acknowledgements.
#[test]
fn whenever_it_is_killed_in_an_upgrade_one_version_rules_everyone() {
    /// One more within a minute, and the keeper gives up.
    const ROUNDS: usize = 4;
    let mut dice = Dice::new(seed(), 0);
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let load = load(port);
    let history = || home.answer::<Vec<HistoryRow>>(&["history", "--json"]);
    for round in 1..=ROUNDS {
        let old = home.host_pid().unwrap();
        let before = home.status().unwrap().permanent.to_string();
        let other = match before.as_str() {
            "0.1.0" => "0.2.0",
            _ => "0.1.0",
        };
        // Of every other one the end is too far away to come before the kill.
        let is_cut = round % 2 == 0;
        let probation = if is_cut { "300s" } else { "0s" };
        let line = ["upgrade", other, "--probation", probation, "--retry-failed"];
        let command = home.begin(&[&line[..], &["--json"]].concat()).unwrap();
        wait::until("the upgrade is under way, or over", || {
            let is_under_way = home.status().ok()?.upgrade.is_some();
            (is_under_way || history().ok()?.len() == round).then_some(())
        })
        .unwrap();
        load.more(dice.below(1_000)).unwrap();
        home.kill_host().unwrap();
        let ran = command.end().unwrap();
        home.rebooted(old).unwrap();
        let settled = home.settled().unwrap();
        assert_eq!(settled.version, settled.permanent);
        load.more(20).unwrap();
        is_consistent(&home, &settled.permanent.to_string());

        // What came of it is known, and is what the command has said, where it could.
        let rows = history().unwrap();
        assert_eq!(rows.len(), round, "{rows:?}");
        let report = &rows[0].report;
        let permanent = settled.permanent.to_string();
        if report.outcome == Outcome::Committed {
            assert!(!is_cut, "{report:?}");
            assert_eq!(permanent, other, "{report:?}");
        } else {
            assert_ne!(ran.code, Some(0), "{ran:?}");
            assert_eq!(permanent, before, "{report:?}");
            let reason = report.reason.as_deref();
            assert_eq!(reason, Some(CUT), "{report:?}");
        }
    }
    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn whatever_is_killed_under_load_every_gift_is_accounted_for() {
    short_crash(Store::Sqlite);
}

#[test]
fn postgres_too_is_killed_under_load_and_every_gift_is_accounted_for() {
    short_crash(Store::Postgres);
}

/// A short `make crash`: with `E2E_SEED` the same choices again.
fn short_crash(store: Store) {
    let settings = Settings {
        seed: seed(),
        time: Duration::from_secs(40),
        rounds: 14,
        sockets: 16,
        callers: 8,
        owners: 3,
        store,
    };
    let home = Home::new().unwrap();
    let report = e2e::crash::run(&home, &settings).unwrap();
    println!("{report}");
    assert!(report.kills() > 0 && report.rounds > 0);
    assert!(report.given_again() > 0);
}

#[test]
fn a_host_without_a_keeper_serves_on() {
    let home = Home::new().unwrap();
    let status = home.start().unwrap();
    let keeper = home.keeper_pid().unwrap();
    e2e::home::kill(keeper);
    wait::until("the keeper is gone", || {
        home.keeper_pid().is_none().then_some(())
    })
    .unwrap();
    assert_eq!(home.status().unwrap().pid, status.pid);
    home.stop().unwrap();
}

fn manifest_of_new(home: &Home) -> PathBuf {
    home.path().join("releases/0.2.0/manifest.json")
}

/// Makes the new release one that is planned and not verified; what its manifest was.
fn damage(home: &Home) -> Vec<u8> {
    let file = manifest_of_new(home);
    let whole = fs::read(&file).unwrap();
    let mut manifest: Value = serde_json::from_slice(&whole).unwrap();
    manifest["target"] = json!("another-machine");
    fs::write(&file, manifest.to_string()).unwrap();
    whole
}

/// An upgrade with the host killed right behind `state`; after it the release
/// `boots`, and the next upgrade works.
fn killed_behind(state: &str, boots: &str) {
    let mut home = Home::new().unwrap();
    home.set("HOST_ABORT_AFTER", Some(state));
    let status = home.start().unwrap();
    let load = load(status.port);
    load.more(100).unwrap();
    let whole = (state == "cancelled").then(|| damage(&home));

    // Its host dies under it: how it ends is not what is looked at.
    let back = matches!(state, "rolling_back" | "rolled_back");
    let probation = if back { "300s" } else { "0s" };
    let upgrade = ["upgrade", "0.2.0", "--probation", probation, "--json"];
    let canary = ["--canary", "30%"];
    let upgrade = match state {
        "canary" => [&upgrade[..], &canary].concat(),
        _ => upgrade.to_vec(),
    };
    if back {
        home.done(&[&upgrade[..], &["--detach"]].concat()).unwrap();
        load.more(100).unwrap();
        let ran = home.host(&["rollback", "--json"]).unwrap();
        assert_ne!(ran.code, Some(0), "{ran:?}");
    } else {
        let ran = home.host(&upgrade).unwrap();
        assert_ne!(ran.code, Some(0), "{ran:?}");
    }
    home.rebooted(status.pid).unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.permanent.to_string(), boots);
    load.more(100).unwrap();
    is_consistent(&home, boots);
    // How it ended is known, whoever was there to see it.
    let history: Vec<Value> = home.answer(&["history", "--json"]).unwrap();
    let outcome = match state {
        "planned" | "verified" | "rehearsed" | "staged" => "failed",
        "cancelled" => "refused",
        "committed" => "committed",
        _ => "rolled_back",
    };
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!(history[0]["outcome"], outcome, "{history:?}");
    let deaths = home.log().matches("the host has ended: signal 9").count();
    assert_eq!(deaths, 1, "what a start goes on with ends no host again");

    if let Some(manifest) = whole {
        fs::write(manifest_of_new(&home), manifest).unwrap();
    }

    // Without the variable from now on; clients go on over the restart.
    home.set("HOST_ABORT_AFTER", None);
    home.stop().unwrap();
    home.start().unwrap();
    home.settled().unwrap();
    load.more(100).unwrap();
    let other = if boots == "0.1.0" { "0.2.0" } else { "0.1.0" };
    let report = match other {
        "0.2.0" => home.upgrade_again("0.2.0").unwrap(),
        _ => home.rollback().unwrap(),
    };
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    load.more(100).unwrap();
    is_consistent(&home, other);

    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn killed_when_it_was_planned() {
    killed_behind("planned", "0.1.0");
}

#[test]
fn killed_when_it_was_verified() {
    killed_behind("verified", "0.1.0");
}

#[test]
fn killed_when_it_was_staged() {
    killed_behind("staged", "0.1.0");
}

#[test]
fn killed_when_it_was_rehearsed() {
    killed_behind("rehearsed", "0.1.0");
}

#[test]
fn killed_when_a_share_was_to_go_first() {
    killed_behind("canary", "0.1.0");
}

#[test]
fn killed_when_it_was_cancelled() {
    killed_behind("cancelled", "0.1.0");
}

#[test]
fn killed_when_it_was_stuck() {
    let mut home = Home::new().unwrap();
    home.set("HOST_ABORT_AFTER", Some("stuck"));
    let status = home.start().unwrap();
    let load = load(status.port);
    load.more(100).unwrap();
    home.detach("0.2.0").unwrap();
    load.more(100).unwrap();
    let seen = load.stop().unwrap();
    // There is no way back from a release that cannot be read.
    let file = manifest_of_new(&home);
    let manifest = fs::read(&file).unwrap();
    fs::write(&file, "{").unwrap();
    let ran = home.host(&["rollback", "--json"]).unwrap();
    assert_ne!(ran.code, Some(0), "{ran:?}");
    let status = wait::until("the keeper has booted the host again", || {
        home.status().ok().filter(|it| it.pid != status.pid)
    });
    let upgrade = status.unwrap().upgrade.unwrap();
    assert_eq!(upgrade.state, "stuck");
    // An operator has looked, and mended it.
    fs::write(&file, manifest).unwrap();
    assert_eq!(home.rollback().unwrap().outcome, Outcome::RolledBack);
    home.settled().unwrap();
    is_consistent(&home, "0.1.0");
    seen.tally.audit(&home).unwrap().exact().unwrap();
    // It was an operator's wish, and a file that was gone: the release is not to blame.
    home.upgrade("0.2.0").unwrap();
}

/// An operator's way back whose own way back does not work either.
#[test]
fn killed_when_a_rollback_was_stuck() {
    // Time to break something in, and then a reason to go back.
    let down =
        r#"{ update = "state" }, { run = "sleep-5000", timeout_ms = 60000 }, { run = "panic" }"#;
    let mut home = appups::home(r#"{ update = "state" }"#, down);
    home.set("HOST_ABORT_AFTER", Some("stuck"));
    let status = home.start().unwrap();
    appups::add(status.port, "k");
    home.upgrade_unrehearsed("0.2.0").unwrap();
    let rollback = home.begin(&["rollback", "--json"]).unwrap();
    wait::until("the older release rules", || {
        let version = home.status().ok()?.version.to_string();
        (version == "0.1.0").then_some(())
    })
    .unwrap();
    let file = home.path().join("releases/0.1.0/manifest.json");
    let manifest = fs::read(&file).unwrap();
    fs::write(&file, "{").unwrap();
    assert_ne!(rollback.end().unwrap().code, Some(0));
    let rebooted = wait::until("the keeper has booted the host again", || {
        home.status().ok().filter(|it| it.pid != status.pid)
    });
    assert_eq!(rebooted.unwrap().upgrade.unwrap().state, "stuck");
    // An operator has looked, and mended it: then it can be tried again.
    fs::write(&file, manifest).unwrap();
    let ran = home.host(&["rollback", "--json"]).unwrap();
    let report: UpgradeReport = ran.ends_with(4).unwrap().json().unwrap();
    assert_eq!(report.outcome, Outcome::RolledBack, "{report:?}");
    let settled = home.settled().unwrap();
    assert_eq!(settled.version.to_string(), "0.2.0");
    let summary = summary(status.port, "k");
    assert_eq!(
        (&summary["count"], &summary["version"]),
        (&json!(1), &json!("0.2.0"))
    );
    home.stop().unwrap();
}

#[test]
fn killed_when_it_was_switching() {
    killed_behind("switching", "0.1.0");
}

#[test]
fn killed_in_probation() {
    killed_behind("probation", "0.1.0");
}

#[test]
fn killed_when_it_was_committed() {
    killed_behind("committed", "0.2.0");
}

#[test]
fn killed_when_it_was_rolling_back() {
    killed_behind("rolling_back", "0.1.0");
}

#[test]
fn killed_when_it_was_rolled_back() {
    killed_behind("rolled_back", "0.1.0");
}

#[test]
fn a_restart_in_probation_boots_the_permanent_release() {
    let home = Home::new().unwrap();
    let status = home.start().unwrap();
    let load = load(status.port);
    home.detach("0.2.0").unwrap();
    load.more(100).unwrap();
    home.done(&["restart", "--json"]).unwrap();
    home.settled().unwrap();
    load.more(100).unwrap();
    is_consistent(&home, "0.1.0");
    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
}
