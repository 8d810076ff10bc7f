//! Actors that were set aside on their way back: what looks at them leaves them as they are.

use std::sync::Arc;
use std::time::Duration;

use host_actors::{CallError, Limits};
use host_model::limits::{FAULTS_MAX, SNAPSHOT_PIECE_BYTES_MAX};
use host_model::{ActorId, Version};
use serde_json::{Value, json};

use crate::home::{DEADLINE, Home, Host, request, until};

fn a() -> ActorId {
    "faulty:a".parse().unwrap()
}

async fn version(host: &Host) -> Version {
    host.0.inspect(&a()).await.unwrap().version
}

/// In 0.2.0, where the older one says nothing against its way back.
async fn in_the_newer_version(home: &Home) -> Host {
    let host = home.start(2);
    host.ask("faulty:a", "note", json!({ "text": "only here" }))
        .await;
    host.0.migrations().reset();
    host
}

async fn serves_in(host: &Host) -> Value {
    host.ask("faulty:a", "summary", Value::Null).await["version"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_set_aside_is_shown_and_kept_in_the_version_that_it_has() {
    let home = Home::new();
    let host = in_the_newer_version(&home).await;
    host.0.set_aside(&a(), "to be looked at").await;
    host.0.install(home.release(1));
    assert_eq!(version(&host).await, Version::new(0, 2, 0));
    host.stop();

    let host = home.start(1);
    assert_eq!(version(&host).await, Version::new(0, 2, 0));
    assert!(host.0.refresh(vec![a()]).await);
    assert_eq!(version(&host).await, Version::new(0, 2, 0));
    assert_eq!(host.0.migrations().migrated(), 0);
    let refused = host.send("faulty:a", "summary", Value::Null).await;
    assert!(matches!(refused, Err(CallError::Quarantined(_))));
    // A sweep has its state come over.
    host.0.sweep(true).await.unwrap();
    assert_eq!(version(&host).await, Version::new(0, 1, 0));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_released_from_quarantine_comes_over_with_its_next_message() {
    let home = Home::new();
    let host = in_the_newer_version(&home).await;
    host.0.set_aside(&a(), "to be looked at").await;
    host.0.install(home.release(1));
    assert_eq!(version(&host).await, Version::new(0, 2, 0));
    host.0.quarantine_release(&a()).await.unwrap().unwrap();
    assert_eq!(serves_in(&host).await, "0.1.0");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_left_behind_and_follows_is_one_of_the_others_again() {
    let home = Home::new();
    let host = home.start(1);
    let trouble = |what: &str| json!({ "what": what });
    host.ask("faulty:a", "plan_trouble", trouble("up_fails"))
        .await;
    host.0.set_aside(&a(), "to be looked at").await;
    host.0.migrations().reset();
    host.0.install(home.release(2));
    host.0.sweep(true).await.unwrap();
    assert!(host.0.migrations().has_been_tried(&a()));
    let left = host.0.migrations().left_behind().unwrap();
    assert!(left.contains("faulty:a"), "{left}");

    // An operator has mended it: it serves where it is, and comes over when it is woken.
    host.0.quarantine_release(&a()).await.unwrap().unwrap();
    host.ask("faulty:a", "plan_trouble", trouble("none")).await;
    assert_eq!(serves_in(&host).await, "0.1.0");
    assert!(host.0.migrations().has_been_tried(&a()));
    host.0.set_limits(Limits {
        idle: Duration::ZERO,
        ..Limits::default()
    });
    until("it has left memory", || async { host.0.awake() == 0 }).await;
    assert_eq!(serves_in(&host).await, "0.2.0");
    assert!(!host.0.migrations().has_been_tried(&a()));
    assert_eq!(host.0.migrations().left_behind(), None);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_back_that_ended_the_host_is_not_tried_by_a_later_process() {
    for minor in [2, 3] {
        let home = Home::new();
        let host = in_the_newer_version(&home).await;
        // As on a way back that was gone on with after the host had died of it.
        host.0.set_aside(&a(), "its way back ended the host").await;
        host.0.migrations().strand(&a());
        host.0.install(home.release(1));
        host.0.sweep(false).await.unwrap();
        host.stop();

        // Another upgrade, and its way back.
        let host = home.start(1);
        host.0.migrations().reset();
        host.0.sweep(true).await.unwrap();
        assert_eq!(host.0.migrations().migrated(), 0);
        assert_eq!(host.0.migrations().first_failure(), None);
        let left = host.0.migrations().left_behind().unwrap();
        assert!(left.contains("its way back has ended the host"), "{left}");
        // An operator has it serve in the newer version, also behind a restart.
        host.0.quarantine_release(&a()).await.unwrap().unwrap();
        assert_eq!(serves_in(&host).await, "0.2.0");
        host.stop();
        let host = home.start(1);
        assert_eq!(serves_in(&host).await, "0.2.0");

        host.0.migrations().reset();
        host.0.install(home.release_after(minor, 1));
        assert_eq!(serves_in(&host).await, format!("0.{minor}.0"));
        until("it is forgotten", || async {
            let kept = host.0.journal().values("quarantine/").unwrap();
            kept.is_empty()
        })
        .await;
        host.0.install(home.release_after(1, minor));
        assert_eq!(serves_in(&host).await, "0.1.0", "it is tried anew");
        host.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_cannot_go_back_stays_set_aside_also_where_faults_had_led_to_it_first() {
    let home = Home::new();
    let host = in_the_newer_version(&home).await;
    for _ in 0..=FAULTS_MAX {
        assert_eq!(
            host.refused("faulty:a", "panic", json!({})).await,
            "actor_crashed"
        );
    }
    // As on a way back that was gone on with after the host had died of it.
    host.0.set_aside(&a(), "its way back ended the host").await;
    host.0.migrations().strand(&a());
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    assert_eq!(host.0.redeliver().await.unwrap().released, 0);
    let refused = host.refused("faulty:a", "summary", Value::Null).await;
    assert_eq!(refused, "quarantined");
    assert_eq!(version(&host).await, Version::new(0, 2, 0));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_only_busy_goes_back_later() {
    let home = Home::new();
    let host = in_the_newer_version(&home).await;
    // As on an operator's rollback that it was too busy for.
    host.0.set_aside(&a(), "it was busy for too long").await;
    host.0.migrations().give_up(&a());
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    host.0.quarantine_release(&a()).await.unwrap().unwrap();
    assert_eq!(serves_in(&host).await, "0.2.0", "it is not waited for");
    host.stop();
    let host = home.start(1);
    assert_eq!(serves_in(&host).await, "0.1.0");
    assert_eq!(host.0.migrations().left_behind(), None);
    host.stop();
}

/// Also where the version that it has ruled long before, or nothing is known of what did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_serves_in_a_newer_version_is_understood_by_the_others() {
    let home = Home::new();
    let host = home.start(3);
    host.ask("faulty:a", "count", json!({ "by": 1 })).await;
    host.0.set_aside(&a(), "its way back ended the host").await;
    host.0.migrations().strand(&a());
    for release in [home.release(2), home.release(1)] {
        host.0.install(release);
        host.0.sweep(false).await.unwrap();
    }
    host.0.quarantine_release(&a()).await.unwrap().unwrap();
    let cast = json!({ "to": "faulty:b", "event": "count", "payload": { "by": 5 } });
    let casts = async |host: &Host, count: i64| {
        host.ask("faulty:a", "cast", cast.clone()).await;
        let came = || async { host.count("faulty:b").await == count || host.0.buried() > 0 };
        until("the cast has come to something", came).await;
        assert_eq!(host.0.buried(), 0);
    };
    casts(&host, 5).await;
    assert_eq!(version(&host).await, Version::new(0, 3, 0));
    host.stop();
    let mut boots = home.release(1);
    boots.before.clear();
    let host = home.start(1);
    host.0.install(boots);
    casts(&host, 10).await;
    assert_eq!(version(&host).await, Version::new(0, 3, 0));
    host.stop();
}

/// Longer than any test.
const FOR_EVER_MS: u64 = 3_600_000;

/// The code of these runs on when the test ends, so its runtime is not waited for.
#[test]
fn who_does_not_return_keeps_nothing_from_others_once_it_is_stranded() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let home = Home::new();
    runtime.block_on(async {
        let host = home.start(1);
        let actors = &host.0;
        let ids = ["a", "b", "c"].map(|key| format!("faulty:{key}").parse::<ActorId>().unwrap());
        for id in &ids {
            let bytes = json!({ "bytes": 2 * SNAPSHOT_PIECE_BYTES_MAX });
            host.ask(id.as_str(), "grow", bytes).await;
        }
        actors.install(home.release(2));
        actors.sweep(true).await.unwrap();
        let trouble = json!({ "what": "down_slow", "ms": FOR_EVER_MS });
        for id in &ids[..2] {
            host.ask(id.as_str(), "plan_trouble", trouble.clone()).await;
        }
        let said = tempfile::tempdir().unwrap();
        let said = said.path().join("way-back");
        actors.listen_for_last_words(&said).unwrap();
        actors.migrations().reset();
        actors.install(home.release(1));
        // As many as may have large snapshots written at once.
        for (hang, id) in (1..).zip(&ids[..2]) {
            let (actors, asked) = (
                Arc::clone(actors),
                request(id.as_str(), "summary", Value::Null),
            );
            tokio::spawn(async move { drop(actors.call(asked).await) });
            until("its way back hangs", || async {
                let desks = host.0.large_snapshots().under_way;
                host.0.running(Duration::ZERO).len() == hang && desks == hang as u64
            })
            .await;
        }
        let sweep = tokio::spawn({
            let actors = Arc::clone(actors);
            async move { actors.sweep(false).await }
        });
        until("the third one waits", || async {
            host.0.large_snapshots().waiting == 1
        })
        .await;
        sweep.abort();
        for id in &ids[..2] {
            assert!(actors.strand(id));
            actors.set_aside(id, "its way back does not return").await;
        }
        let swept = tokio::time::timeout(DEADLINE, actors.sweep(false)).await;
        swept.unwrap().unwrap();
        let third = actors.inspect(&ids[2]).await.unwrap();
        assert_eq!(third.version, Version::new(0, 1, 0));
        assert_eq!(actors.running(Duration::ZERO).len(), 2, "they still hang");
        actors.forget_last_words();
        assert!(!said.exists());
        host.stop();
    });
    runtime.shutdown_background();
}

/// Of a release in which its own version stood beside one of the other plugin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_casts_to_another_plugin_is_in_the_shape_that_went_with_its_version() {
    let home = Home::new();
    let host = home.start(3);
    host.ask("faulty:a", "count", json!({ "by": 1 })).await;
    host.0.set_aside(&a(), "its way back ended the host").await;
    host.0.migrations().strand(&a());
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    host.stop();
    // As behind a restart: what ruled before is not known, and what is installed is.
    let host = home.start(1);
    let mut boots = home.release(1);
    boots.before.clear();
    let other = home.release(1).plugins.remove("faulty").unwrap();
    boots.plugins.insert("other".to_owned(), other);
    let installed = |faulty: u64, other: u64| {
        let plugins = [("faulty", faulty), ("other", other)];
        let plugins = plugins.map(|(name, minor)| (name.to_owned(), Version::new(0, minor, 0)));
        plugins.into()
    };
    boots.installed = vec![installed(1, 1), installed(3, 2), installed(3, 3)];
    host.0.install(boots);
    host.0.quarantine_release(&a()).await.unwrap().unwrap();
    let cast = json!({ "to": "other:b", "event": "panic", "payload": {} });
    host.ask("faulty:a", "cast", cast).await;
    assert_eq!(version(&host).await, Version::new(0, 3, 0));
    let letters = || host.0.journal().dead_letters(0, 9).unwrap();
    until("it has come to nothing", || async { letters().len() == 1 }).await;
    let (_, letter) = letters().remove(0);
    assert_eq!(letter.origin.shape, Some(Version::new(0, 2, 0)));
    host.stop();
}
