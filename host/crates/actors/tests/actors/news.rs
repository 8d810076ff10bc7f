//! What was told, told again to who was away.

use std::time::Duration;

use host_actors::{Limits, Missed, NotResumed};
use host_model::Version;
use serde_json::json;

use crate::home::{Home, Host, until};

impl Host {
    async fn missed(&self, after: u64, until: Option<u64>, version: Version) -> Missed {
        let actor = "faulty:a".parse().unwrap();
        self.0.missed(&actor, after, until, &version).await
    }

    /// Sequences and counts of what was missed.
    async fn told_again(&self, after: u64, until: Option<u64>) -> (u64, Vec<(u64, i64)>) {
        let missed = self.missed(after, until, Version::new(0, 1, 0)).await;
        let news = missed.news.unwrap().into_iter().map(|news| {
            assert_eq!((news.actor.as_str(), &*news.event), ("faulty:a", "added"));
            let payload: serde_json::Value = serde_json::from_str(news.payload.get()).unwrap();
            (news.seq, payload["count"].as_i64().unwrap())
        });
        (missed.through, news.collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_had_awake_asleep_and_in_another_version() {
    let home = Home::new();
    let host = home.start(1);
    for by in 1..=5 {
        host.ask("faulty:a", "add", json!({ "by": by })).await;
        host.ask("faulty:b", "add", json!({ "by": 7 })).await;
    }
    let all = vec![(1, 1), (2, 3), (3, 6), (4, 10), (5, 15)];
    assert_eq!(host.told_again(0, None).await, (5, all.clone()));
    assert_eq!(host.told_again(2, Some(4)).await, (4, all[2..4].to_vec()));
    assert_eq!(host.told_again(5, Some(5)).await, (5, vec![]));
    let ahead = host.missed(6, Some(5), Version::new(0, 1, 0)).await;
    assert_eq!(ahead.news.unwrap_err(), NotResumed::Ahead);
    host.stop();

    let limits = Limits {
        idle: Duration::ZERO,
        ..Limits::default()
    };
    let host = home.start_with(1, limits);
    assert_eq!(host.count("faulty:a").await, 15);
    until("it sleeps", || async { host.0.awake() == 0 }).await;
    assert_eq!(host.told_again(3, None).await, (5, all[3..].to_vec()));
    host.stop();

    let host = home.start(2);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let expected = vec![(4, 10), (5, 15), (6, 16)];
    assert_eq!(host.told_again(3, None).await, (6, expected));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_told_in_an_older_shape_is_a_fault_of_who_should() {
    let home = Home::new();
    let host = home.start(2);
    let code = std::sync::Arc::clone(&host.0.release().plugins["faulty"].code);
    host.ask("faulty:a", "add", json!({ "by": 666_666_666 }))
        .await;
    let before = code.counts();
    let missed = host.missed(0, None, Version::new(0, 1, 0)).await;
    assert_eq!(missed.news.unwrap().len(), 0);
    let since = code.counts().since(&before);
    let faults: Vec<u64> = since.events.values().map(|event| event.faults).collect();
    assert_eq!(faults.iter().sum::<u64>(), 1, "{since:?}");
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_version_that_is_not_here_nobody_knows_the_shapes() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let missed = host.missed(0, None, Version::new(0, 1, 0)).await;
    let news = missed.news.unwrap().remove(0);
    let same = host.0.news_for(&news, &Version::new(0, 1, 0)).unwrap();
    assert_eq!(same.unwrap().seq, 1);
    let unknown = host.0.news_for(&news, &Version::new(7, 0, 0)).unwrap_err();
    assert_eq!(unknown.0, Version::new(7, 0, 0));
    host.stop();
}

/// Who is told the rest would take it for all that there was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_told_in_a_shape_that_nobody_knows_any_more_is_not_kept() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let newest = Version::new(0, 3, 0);
    for (others, told) in [
        (&[1, 2][..], Ok(1)),
        (&[2], Ok(1)),
        (&[], Err(NotResumed::NotKept)),
    ] {
        host.0.install(home.release_beside(3, others));
        assert_eq!(host.count("faulty:a").await, 1);
        let missed = host.missed(0, None, newest.clone()).await;
        assert_eq!(missed.through, 1);
        assert_eq!(
            missed.news.map(|news| news.len()),
            told,
            "beside {others:?}"
        );
    }
    // What has come behind it is in a shape that is known.
    let missed = host.missed(1, None, newest).await;
    assert_eq!(missed.news.unwrap().len(), 0);
    host.stop();
}
