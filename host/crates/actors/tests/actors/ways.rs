//! Ways over several versions, their bounds, and what carries make of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use host_actors::{Release, Route, RouteEdge, RouteHop, Ruling};
use host_model::Version;
use host_model::plan::StateChange::{self, Down, Up};
use host_model::release::Start;
use host_model::way::way;
use serde_json::{Value, json};

use crate::home::{Home, Host, request, until};

/// From one minor version to another, and how.
type Step = (u64, u64, StateChange);

const CHAIN: [Step; 4] = [(1, 2, Up), (2, 3, Up), (3, 2, Down), (2, 1, Down)];

/// Release 0.`minor`.0 with these steps, as an assembler would lay its ways.
fn release(home: &Home, minor: u64, steps: &[Step], hop: impl Fn(RouteHop) -> RouteHop) -> Release {
    let codes = home.codes();
    let code = |minor: u64| {
        let version = Version::new(0, minor, 0);
        Arc::clone(
            codes
                .iter()
                .find(|code| *code.version() == version)
                .unwrap(),
        )
    };
    let edges: Vec<RouteEdge> = steps
        .iter()
        .map(|&(from, to, change)| RouteEdge {
            from: Version::new(0, from, 0),
            hop: hop(RouteHop {
                to: code(to),
                change,
                timeout: None,
                restart: false,
            }),
            reversible: true,
        })
        .collect();
    let to = code(minor);
    let route = |from: &Arc<host_actors::Code>| {
        let way = way(&edges, RouteEdge::look, from.version(), to.version(), &[])?;
        Some(Route {
            from: Arc::clone(from),
            hops: way.into_iter().map(|edge| edge.hop.clone()).collect(),
        })
    };
    let others = codes.iter().filter(|code| code.version() != to.version());
    let ruling = Ruling {
        start: Start::Permanent,
        routes: others.clone().filter_map(route).collect(),
        readable: others.cloned().collect(),
        code: to,
        edges,
    };
    Release {
        version: Version::new(0, minor, 0),
        plugins: BTreeMap::from([("faulty".to_owned(), ruling)]),
        before: BTreeMap::new(),
        installed: Vec::new(),
    }
}

fn plain(hop: RouteHop) -> RouteHop {
    hop
}

async fn summary(host: &Host) -> Value {
    host.ask("faulty:a", "summary", Value::Null).await
}

async fn carries(host: &Host) -> Vec<Version> {
    let inspection = host.0.inspect(&"faulty:a".parse().unwrap()).await;
    inspection.unwrap().carries
}

/// An actor at 0.1.0 that has been at 0.3.0 and at 0.2.0, and left something in both.
async fn been_up_and_down(home: &Home, host: &Host) {
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    host.0.install(release(home, 3, &CHAIN, plain));
    assert_eq!(summary(host).await["version"], "0.3.0");
    host.ask("faulty:a", "tag", json!({ "text": "of 0.3.0" }))
        .await;
    host.0.install(release(home, 2, &CHAIN, plain));
    host.ask("faulty:a", "note", json!({ "text": "of 0.2.0" }))
        .await;
    host.0.install(release(home, 1, &CHAIN, plain));
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    assert_eq!(
        carries(host).await,
        [Version::new(0, 3, 0), Version::new(0, 2, 0)]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_version_on_a_way_takes_up_its_own_carry() {
    let home = Home::new();
    let host = home.start(1);
    been_up_and_down(&home, &host).await;
    host.0.install(release(&home, 3, &CHAIN, plain));
    let found = summary(&host).await;
    let wanted = json!({
        "count": 8, "ticks": 0, "notes": ["of 0.2.0"], "tags": ["of 0.3.0"],
        "version": "0.3.0",
    });
    assert_eq!(found, wanted);
    assert_eq!(carries(&host).await, []);
    // Back over both at once.
    host.0.install(release(&home, 1, &CHAIN, plain));
    assert_eq!(host.count("faulty:a").await, 8);
    assert_eq!(carries(&host).await.len(), 2);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn carries_lead_over_the_versions_that_wrote_them_where_others_go_straight() {
    let home = Home::new();
    let host = home.start(1);
    been_up_and_down(&home, &host).await;
    // By this one 0.3.0 could not even read what 0.1.0 has written.
    let mut steps = CHAIN.to_vec();
    steps.push((1, 3, Up));
    host.0.install(release(&home, 3, &steps, plain));
    let found = summary(&host).await;
    assert_eq!(found["tags"], json!(["of 0.3.0"]));
    assert_eq!(found["notes"], json!(["of 0.2.0"]));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_whose_carry_would_be_stranded_stays_whole() {
    let home = Home::new();
    let host = home.start(1);
    been_up_and_down(&home, &host).await;
    host.0.migrations().reset();
    host.0.install(release(&home, 3, &[(1, 3, Up)], plain));
    assert_eq!(summary(&host).await["version"], "0.1.0");
    let failure = host.0.migrations().first_failure().unwrap();
    assert!(
        failure.why.contains("what only 0.2.0 can read"),
        "{failure:?}"
    );
    assert_eq!(carries(&host).await.len(), 2);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_that_takes_too_long_is_named_meanwhile_and_has_failed() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "add", json!({ "by": 7 })).await;
    let trouble = json!({ "what": "up_slow", "ms": 600 });
    host.ask("faulty:a", "plan_trouble", trouble).await;
    let bounded = |hop| RouteHop {
        timeout: Some(Duration::from_millis(50)),
        ..hop
    };
    host.0.migrations().reset();
    host.0.install(release(&home, 2, &CHAIN, bounded));
    let (actors, ask) = (
        Arc::clone(&host.0),
        request("faulty:a", "summary", Value::Null),
    );
    let asked = tokio::spawn(async move { actors.call(ask).await.unwrap() });
    until("the migration is named", || async {
        let running = host.0.running(Duration::from_millis(100));
        running.iter().any(|run| run.event == "(migration)")
    })
    .await;
    let answer: Value = serde_json::from_slice(&asked.await.unwrap().reply).unwrap();
    assert_eq!(answer["version"], "0.1.0", "the old version answers");
    let failure = host.0.migrations().first_failure().unwrap();
    assert!(
        failure.why.starts_with("the migration to 0.2.0 took "),
        "{failure:?}"
    );
    assert!(
        failure.why.ends_with("its appup allows 50 ms (timeout_ms)"),
        "{failure:?}"
    );
    // Where it goes back, it may take as long as it likes.
    host.0.migrations().reset();
    host.0
        .install(release(&home, 2, &CHAIN, bounded).without_timeouts());
    assert_eq!(summary(&host).await["version"], "0.2.0");
    assert_eq!(host.0.migrations().failed(), 0);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_actors_leave_memory_and_wake_in_the_new_version() {
    let home = Home::new();
    let host = home.start(1);
    for n in 0..20 {
        let actor = format!("faulty:{n}");
        host.ask(&actor, "add", json!({ "by": n })).await;
    }
    assert_eq!(host.0.awake(), 20);
    let restarted = |hop| RouteHop {
        restart: true,
        ..hop
    };
    host.0.install(release(&home, 2, &CHAIN, restarted));
    // One comes over by a message, the others by the sweep.
    assert_eq!(host.count("faulty:7").await, 7);
    host.0.sweep(true).await.unwrap();
    until("all sleep", || async { host.0.awake() == 0 }).await;
    for n in 0..20 {
        let actor = format!("faulty:{n}");
        let summary = host.ask(&actor, "summary", Value::Null).await;
        assert_eq!(
            (&summary["count"], &summary["version"]),
            (&json!(n), &json!("0.2.0"))
        );
    }
    assert_eq!(host.0.awake(), 20, "that was once");
    host.stop();
}

/// It is no row yet where the way goes down again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_that_comes_back_on_a_way_waits_beside_the_state_where_that_leads_down() {
    let home = Home::new();
    let host = home.start(2);
    let a = "faulty:a".parse().unwrap();
    let timers = || {
        let timers = host.0.journal().timers_of(&a).unwrap().into_iter();
        timers.map(|it| (it.name, it.due_ms)).collect::<Vec<_>>()
    };
    for name in ["remind", "other"] {
        let timer = json!({ "name": name, "in_ms": 3_600_000 });
        host.ask("faulty:a", "set_timer", timer).await;
    }
    let set = timers();
    assert_eq!(set.len(), 2);
    host.0.install(home.release(1));
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    let known = timers();
    assert_eq!(known[..], set[..1], "0.1.0 reminds nobody");
    host.0.install(home.patched_over_newer());
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    assert_eq!(summary(&host).await["version"], "0.1.1");
    assert_eq!(timers(), known, "nor does 0.1.1");
    assert_eq!(carries(&host).await, [Version::new(0, 2, 0)]);
    let [_, newer] = home.patched();
    host.0.install(newer);
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    assert_eq!(timers(), set);
    host.stop();
}
