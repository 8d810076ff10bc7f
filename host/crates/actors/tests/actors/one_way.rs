//! Back from a release that has no way back: by the commands since, which the older version
//! decides again.

use host_model::{ActorId, Version};
use serde_json::{Value, json};

use crate::away;
use crate::home::{Home, Host, until};

fn a() -> ActorId {
    "faulty:a".parse().unwrap()
}

async fn version(host: &Host) -> Version {
    host.0.inspect(&a()).await.unwrap().version
}

/// Has everyone come back to 0.1.0 from a release of this minor version.
async fn goes_back(home: &Home, host: &Host, minor: u64) {
    host.0.migrations().reset();
    host.0.install(home.release_behind_one_way(1, minor));
    host.0.sweep(false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_lead_back_over_several_versions_in_the_shape_of_each() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    host.0.install(home.release_after(3, 1));
    // What 0.3.0 calls `count` is `add` to the others.
    let counted = host.ask("faulty:a", "count", json!({ "by": 1 })).await;
    assert_eq!(counted["count"], 8);
    let timer = json!({ "name": "remind", "in_ms": 3_600_000 });
    host.ask("faulty:a", "set_timer", timer).await;
    host.ask("faulty:b", "count", json!({ "by": 2 })).await;

    goes_back(&home, &host, 3).await;
    assert_eq!(host.0.migrations().first_failure(), None);
    assert_eq!(host.0.migrations().way_back().rebuilt, 2);
    assert_eq!(version(&host).await, Version::new(0, 1, 0));
    assert_eq!(host.count("faulty:a").await, 8);
    assert_eq!(host.count("faulty:b").await, 2, "it came into being there");
    host.stop();

    // It is so for good, and what only 0.2.0 knows waits for that.
    let host = home.start(1);
    assert_eq!(host.count("faulty:a").await, 8);
    assert_eq!(host.0.journal().timers_of(&a()).unwrap(), []);
    host.0.install(home.release_after(3, 1));
    let summary = host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(
        (&summary["count"], &summary["version"]),
        (&json!(8), &json!("0.3.0"))
    );
    until("the timer is set again", || async {
        host.0.journal().timers_of(&a()).unwrap().len() == 1
    })
    .await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_older_version_does_not_take_is_named_and_nothing_is_lost() {
    let home = Home::new();
    let host = home.start(1);
    for actor in ["faulty:a", "faulty:b"] {
        host.ask(actor, "add", json!({ "by": 1 })).await;
    }
    host.0.install(home.release_after(2, 1));
    host.ask("faulty:a", "note", json!({ "text": "only here" }))
        .await;
    goes_back(&home, &host, 2).await;
    let failures = host.0.migrations().take_failures();
    assert_eq!(failures.len(), 1);
    assert!(failures[0].is_tried);
    let why = &failures[0].why;
    assert!(
        why.starts_with("no way leads from faulty 0.2.0 to 0.1.0"),
        "{why}"
    );
    assert!(why.contains("0.1.0 does not take: 2 note"), "{why}");
    assert_eq!(version(&host).await, Version::new(0, 2, 0), "whole");
    assert_eq!(host.count("faulty:b").await, 1);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_change_of_code_alone_no_command_is_lost_either() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let [patch, _] = home.patched();
    host.0.install(patch);
    let seqs = 2..40;
    for seq in seqs.clone() {
        let added = host.ask("faulty:a", "add", json!({ "by": 1 })).await;
        assert_eq!(added["count"], seq);
    }
    host.0.migrations().reset();
    host.0.install(home.release_behind_a_one_way_patch());
    assert_eq!(host.count("faulty:a").await, seqs.end - 1);
    // Its state is read as it is.
    assert_eq!(host.0.migrations().way_back().rebuilt, 0);
    assert_eq!(version(&host).await, Version::new(0, 1, 0));
    assert_eq!(host.0.migrations().first_failure(), None);
    host.stop();
    // It is so for good.
    let host = home.start(1);
    assert_eq!(host.count("faulty:a").await, seqs.end - 1);
    assert_eq!(version(&host).await, Version::new(0, 1, 0));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_lead_back_from_the_version_that_was_left_and_no_other() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    host.0.install(home.release_after(3, 1));
    host.ask("faulty:a", "count", json!({ "by": 1 })).await;
    goes_back(&home, &host, 2).await;
    let failure = host.0.migrations().first_failure().unwrap();
    let no_way = "no way leads from faulty 0.3.0 to 0.1.0";
    assert!(failure.why.starts_with(no_way), "{}", failure.why);
    assert!(!failure.is_tried);
    assert_eq!(version(&host).await, Version::new(0, 3, 0));
    goes_back(&home, &host, 3).await;
    assert_eq!(host.0.migrations().first_failure(), None);
    assert_eq!(host.count("faulty:a").await, 2);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commands_lead_to_a_newer_version() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let mut release = home.release_behind_one_way(2, 1);
    let ruling = release.plugins.get_mut("faulty").unwrap();
    ruling.routes.clear();
    ruling.edges.clear();
    host.0.migrations().reset();
    host.0.install(release);
    host.0.sweep(false).await.unwrap();
    let failure = host.0.migrations().first_failure().unwrap();
    let no_way = "no way leads from faulty 0.1.0 to 0.2.0";
    assert!(failure.why.starts_with(no_way), "{}", failure.why);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_go_back_together_search_the_journal_once() {
    let home = Home::new();
    let (host, away) = away::start(&home, 1);
    let actors: Vec<_> = (0..60).map(|n| format!("faulty:a{n:02}")).collect();
    for release in [1, 2] {
        if release == 2 {
            host.0.install(home.release_after(2, 1));
            host.0.sweep(false).await.unwrap();
        }
        for actor in &actors {
            host.ask(actor, "add", json!({ "by": release })).await;
        }
    }
    let before = away.searches();
    goes_back(&home, &host, 2).await;
    assert_eq!(host.0.migrations().first_failure(), None);
    assert_eq!(host.0.migrations().way_back().rebuilt, 60);
    // Some groups at a time, not those of all the others for each.
    let searches = away.searches() - before;
    assert!(searches <= 60, "{searches}");
    for actor in &actors {
        assert_eq!(host.count(actor).await, 3);
    }
    host.stop();
}
