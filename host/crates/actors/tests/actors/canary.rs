//! A share of the actors goes first, and the others stay whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host_actors::Canary;
use host_model::{ActorId, Share, Version};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::home::{Home, Host, request, until};

const ACTORS: usize = 400;

fn canary(home: &Home, share: &str) -> Canary {
    Canary {
        share: share.parse::<Share>().unwrap(),
        release: Arc::new(home.release(2)),
    }
}

fn id(n: usize) -> String {
    format!("faulty:actor-{n}")
}

async fn fill(host: &Host) {
    for n in 0..ACTORS {
        host.ask(&id(n), "add", json!({ "by": n })).await;
    }
}

/// The versions that the actors answer in, each having been asked.
async fn versions(host: &Host) -> BTreeMap<String, Vec<usize>> {
    let mut versions: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for n in 0..ACTORS {
        let summary = host.ask(&id(n), "summary", Value::Null).await;
        assert_eq!(summary["count"], n);
        let version = summary["version"].as_str().unwrap().to_owned();
        versions.entry(version).or_default().push(n);
    }
    versions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_goes_first_and_the_same_ones_stay_ahead_as_it_grows() {
    let home = Home::new();
    let host = home.start(1);
    fill(&host).await;
    host.stop();
    // Most of them asleep.
    let host = home.start(1);
    for n in 0..100 {
        host.ask(&id(n), "summary", Value::Null).await;
    }
    let mut ahead: Vec<usize> = Vec::new();
    for (share, least, most) in [("10%", 20, 65), ("50%", 160, 240), ("90%", 335, 385)] {
        host.0.install_canary(canary(&home, share));
        host.0.sweep(true).await.unwrap();
        assert_eq!(
            host.0.release().version,
            Version::new(0, 1, 0),
            "the old one rules"
        );
        let listed = host.0.journal().list("faulty", None, 1_000).unwrap();
        let new = listed
            .iter()
            .filter(|it| it.version == Version::new(0, 2, 0));
        let swept = new.count();
        let found = versions(&host).await;
        assert_eq!(
            swept,
            found["0.2.0"].len(),
            "{share}: the sweep brings all of it over"
        );
        assert!((least..=most).contains(&swept), "{share}: {swept}");
        assert!(ahead.iter().all(|n| found["0.2.0"].contains(n)), "{share}");
        ahead.clone_from(&found["0.2.0"]);
    }
    let migrated = usize::try_from(host.0.migrations().migrated()).unwrap();
    assert_eq!(
        migrated,
        ahead.len(),
        "nobody comes over twice, and nobody else"
    );

    host.0.install(home.release(1));
    host.0.sweep(true).await.unwrap();
    assert_eq!(
        versions(&host).await["0.1.0"].len(),
        ACTORS,
        "the share is back"
    );
    assert_eq!(host.0.migrations().failed(), 0);
    host.stop();
}

/// An actor on either side of a share of a half: ahead, and not.
async fn two_sides(host: &Host) -> (String, String) {
    let found = versions(host).await;
    (id(found["0.2.0"][0]), id(found["0.1.0"][0]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_that_its_target_does_not_know_waits_until_it_does_and_those_behind_it() {
    let home = Home::new();
    let host = home.start(1);
    fill(&host).await;
    host.0.install_canary(canary(&home, "50%"));
    let (ahead, behind) = two_sides(&host).await;
    let other = id(versions(&host).await["0.2.0"][1]);
    let before = host.count(&behind).await;
    let note = json!({ "text": "from ahead" });
    for (from, event, payload) in [
        (&ahead, "note", note),
        // Known to the target: behind the one that is not, of the same sender.
        (&ahead, "add", json!({ "by": 1_000 })),
        // And of another one, for which nobody waits.
        (&other, "add", json!({ "by": 1_000_000 })),
    ] {
        let cast = json!({ "to": behind, "event": event, "payload": payload });
        host.ask(from, "cast", cast).await;
    }
    until("the cast of another has come", || async {
        host.count(&behind).await >= before + 1_000_000
    })
    .await;
    assert_eq!(host.count(&behind).await, before + 1_000_000);
    let waiting = || host.0.journal().casts(None, 10).unwrap();
    until("its row is used up", || async { waiting().len() == 2 }).await;
    let events: Vec<_> = waiting().into_iter().map(|row| row.letter.event).collect();
    assert_eq!(events, ["note", "add"], "the others are rows");
    assert_eq!(host.0.buried(), 0);
    let summary = host.ask(&behind, "summary", Value::Null).await;
    assert_eq!(summary["version"], "0.1.0");

    host.0.install(home.release(2));
    until("the others have come, too", || async {
        host.count(&behind).await == before + 1_001_000
    })
    .await;
    until("their rows are used up", || async { waiting().is_empty() }).await;
    let stored = host.0.journal().read(&behind.parse().unwrap()).unwrap();
    let tail = stored.unwrap().tail;
    let commands: Vec<_> = tail.iter().map(|record| &*record.command).collect();
    assert_eq!(
        commands,
        ["note", "add"],
        "in the order in which they were sent"
    );
    assert_eq!(host.0.buried(), 0);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cast_that_waited_for_nothing_becomes_a_dead_letter() {
    let home = Home::new();
    let host = home.start(1);
    fill(&host).await;
    host.0.install_canary(canary(&home, "50%"));
    let (ahead, behind) = two_sides(&host).await;
    let note = json!({ "to": behind, "event": "note", "payload": { "text": "x" } });
    host.ask(&ahead, "cast", note).await;
    host.0.install(home.release(1));
    // Counted when it is appended, which is before it can be read.
    let letters = || host.0.journal().dead_letters(0, 10).unwrap();
    until("it is a dead letter", || async { letters().len() == 1 }).await;
    assert_eq!(letters()[0].1.event, "note");
    assert_eq!(host.0.buried(), 1);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_either_side_are_understood_on_the_other() {
    let home = Home::new();
    let host = home.start(1);
    fill(&host).await;
    host.0.install_canary(canary(&home, "50%"));
    let (ahead, behind) = two_sides(&host).await;
    for (actor, version) in [
        (&ahead, Version::new(0, 1, 0)),
        (&behind, Version::new(0, 2, 0)),
    ] {
        let before = host.count(actor).await;
        let mut add = request(actor, "add", json!({ "by": 1 }));
        add.version = Some(version);
        host.0.call(add).await.unwrap();
        assert_eq!(host.count(actor).await, before + 1);
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_version_does_is_counted_by_event_and_by_reason() {
    let home = Home::new();
    let host = home.start(1);
    let code = Arc::clone(&host.0.release().plugins["faulty"].code);
    let (before, waited) = (code.counts(), host.0.waits());
    for _ in 0..3 {
        host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    }
    host.refused("faulty:a", "refuse", json!({})).await;
    host.refused("faulty:a", "no_such_thing", json!({})).await;
    host.ask("faulty:a", "sleep", json!({ "ms": 30 })).await;
    host.refused("faulty:b", "panic", json!({})).await;
    let seen = code.counts().since(&before);
    assert_eq!(seen.events["add"].calls, 3);
    assert_eq!(
        seen.events["add"].took_ns.count(),
        3,
        "each command is timed"
    );
    assert_eq!(
        seen.events["refuse"].rejections,
        [("refused".to_owned(), 1)].into()
    );
    assert_eq!(
        seen.events["(other)"].rejections,
        [("unknown_event".to_owned(), 1)].into()
    );
    assert!(seen.events["sleep"].took_ns.quantile(1.0) >= 30_000_000);
    assert_eq!(seen.events["panic"].faults, 1);
    let said = seen.events["panic"].last_fault.clone().unwrap();
    assert!(said.contains("decide panics"), "{said}");
    let waits = host.0.waits().since(&waited);
    assert_eq!(waits.count(), 7);
    assert!(waits.quantile(1.0) >= 30_000_000);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_that_is_behind_because_it_is_busy_is_named() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:busy", "add", json!({ "by": 1 })).await;
    host.ask("faulty:idle", "add", json!({ "by": 1 })).await;
    let least = Duration::from_millis(20);
    let actors = Arc::clone(&host.0);
    let sleeping = tokio::spawn(async move {
        let sleep = request("faulty:busy", "sleep", json!({ "ms": 2_000 }));
        actors.call(sleep).await.unwrap();
    });
    until("it sleeps", || async { !host.0.running(least).is_empty() }).await;
    assert!(
        host.0.behind_and_busy(least, 10).is_empty(),
        "nobody is called over"
    );
    host.0.install(home.release(2));
    let busy = host.0.behind_and_busy(least, 10);
    assert_eq!(busy.len(), 1, "{busy:?}");
    assert_eq!(
        (busy[0].actor.as_str(), busy[0].event.as_str()),
        ("faulty:busy", "sleep")
    );
    host.0.sweep(true).await.unwrap();
    sleeping.await.unwrap();
    assert!(host.0.behind_and_busy(least, 10).is_empty());
    assert_eq!(
        host.0.migrations().migrated(),
        2,
        "it came over when it was at rest"
    );
    host.stop();
}

/// Two topics that someone has joined and that have no actor: of the first share, and of
/// none but the whole.
fn join_two(home: &Home) -> (String, String) {
    let first: Share = "10%".parse().unwrap();
    let place = |n: usize| {
        let actor: ActorId = id(n).parse().unwrap();
        let digest = Sha256::digest(actor.key());
        u64::from_be_bytes(*digest.first_chunk().unwrap()) % 1_000_000
    };
    let is_first = |n: &usize| place(*n) < u64::from(first.millionths());
    let ahead = (0..ACTORS).find(is_first).unwrap();
    let last = (0..ACTORS).find(|n| place(*n) > 500_000).unwrap();
    let joined = [ahead, last].map(|n| id(n).parse().unwrap());
    home.heard.joined.lock().extend(joined);
    (id(ahead), id(last))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_an_actor_hears_of_its_own_changes_alone() {
    let home = Home::new();
    let host = home.start(1);
    let (ahead, last) = join_two(&home);
    let step = async |share: &str| {
        host.0.install_canary(canary(&home, share));
        host.0.sweep(true).await.unwrap();
    };
    let told = |id: &str, minor: u64| format!("{id} switched to 0.{minor}.0 of 0.{minor}.0");
    let mut wanted = vec![told(&ahead, 2)];
    step("10%").await;
    step("25%").await;
    assert_eq!(home.heard.all(), wanted);
    // A canary that is rolled back: who was not of the share never left.
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    wanted.push(told(&ahead, 1));
    assert_eq!(home.heard.all(), wanted);
    // One that goes through.
    step("10%").await;
    wanted.push(told(&ahead, 2));
    host.0.install(home.release(2));
    host.0.sweep(true).await.unwrap();
    wanted.push(told(&last, 2));
    assert_eq!(home.heard.all(), wanted);
    host.stop();
}
