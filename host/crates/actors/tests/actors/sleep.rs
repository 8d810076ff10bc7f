//! Leaving memory and coming back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use host_actors::{Limits, Work};
use host_model::{ActorId, Version};
use serde_json::json;

use crate::home::{Home, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_actors_leave_memory_and_come_back_as_they_were() {
    let home = Home::new();
    let limits = Limits {
        idle: Duration::ZERO,
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    for n in 0..50 {
        host.ask(&format!("faulty:{n}"), "add", json!({ "by": n }))
            .await;
    }
    until("all have left memory", || async { host.0.awake() == 0 }).await;
    assert_eq!(host.0.journal().known(), 50);
    assert_eq!(
        host.0.journal().stats().tail_actors,
        0,
        "their snapshots are whole"
    );
    for n in 0..50 {
        assert_eq!(host.count(&format!("faulty:{n}")).await, n);
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_old_groups_back_lets_go_of_them_when_asked() {
    let home = Home::new();
    let host = home.start(1);
    let actors = &host.0;
    for n in 0..10 {
        for _ in 0..3 {
            let actor = format!("faulty:{n}");
            host.ask(&actor, "add", json!({ "by": 1 })).await;
            let held = vec![actor.parse().unwrap()];
            assert!(actors.refresh(held).await);
        }
    }
    let end = host_journal::Position(u64::MAX);
    let held = actors.journal().held_back(end, 100).unwrap();
    assert_eq!(held.len(), 10, "between two snapshots there is a record");
    assert!(actors.refresh(held).await);
    assert_eq!(actors.journal().held_back(end, 100).unwrap(), []);
    for n in 0..10 {
        assert_eq!(host.count(&format!("faulty:{n}")).await, 3);
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_the_limit_room_is_made_for_others() {
    let home = Home::new();
    let limits = Limits {
        awake_max: 20,
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    for n in 0..60 {
        let actor = format!("faulty:{n}");
        until("there is room", || async {
            match host.send(&actor, "add", json!({ "by": 1 })).await {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.reason(), "too_many_actors");
                    false
                }
            }
        })
        .await;
        assert!(host.0.awake() <= 20);
    }
    for n in 0..60 {
        let actor = format!("faulty:{n}");
        until("there is room again", || async {
            host.send(&actor, "summary", json!({})).await.is_ok()
        })
        .await;
        assert_eq!(host.count(&actor).await, 1);
    }
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_state_that_is_written_out_for_housekeeping_is_named_meanwhile() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    host.ask("faulty:a", "grow", json!({ "bytes": 16 << 20 }))
        .await;
    let id: ActorId = "faulty:a".parse().unwrap();
    for looked_at in [true, false] {
        let seen = Arc::new(AtomicBool::new(false));
        let asking = tokio::spawn({
            let (actors, id, seen) = (Arc::clone(&host.0), id.clone(), Arc::clone(&seen));
            async move {
                while !seen.load(Ordering::SeqCst) {
                    match looked_at {
                        true => drop(actors.inspect(&id).await.unwrap()),
                        false => assert!(actors.refresh(vec![id.clone()]).await),
                    }
                }
            }
        });
        until("it is named", || async {
            let running = host.0.running(Duration::ZERO);
            let named = running.iter().find(|run| run.event == "(export)");
            named.is_some_and(|run| {
                assert_eq!(run.actor, id);
                assert_eq!(run.work, Work::Handler(Version::new(0, 1, 0)));
                true
            })
        })
        .await;
        seen.store(true, Ordering::SeqCst);
        asking.await.unwrap();
    }
    host.stop();
}
