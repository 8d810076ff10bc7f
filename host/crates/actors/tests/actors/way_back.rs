//! Going back: where `down` works, where only the commands lead back, and where nothing
//! does.

use host_actors::CallError;
use host_journal::Snapshot;
use host_model::Version;
use serde_json::{Value, json};

use crate::home::{Heard, Home, Host, request, until};

/// Actions of this name in the audit trail: what each says.
fn actions(host: &Host, name: &str) -> Vec<String> {
    let mut after = host_journal::Position(0);
    let mut said = Vec::new();
    loop {
        let page = host.0.journal().records(after, 64).unwrap();
        let Some((last, _)) = page.last() else {
            return said;
        };
        after = *last;
        let own = page.into_iter().map(|(_, record)| record);
        let own = own.filter(|record| record.is_action() && record.command == name);
        said.extend(own.map(|record| String::from_utf8_lossy(&record.event).into_owned()));
    }
}

fn snapshot(host: &Host, actor: &str) -> Snapshot {
    let stored = host.0.journal().read(&actor.parse().unwrap()).unwrap();
    stored.unwrap().snapshot.unwrap()
}

fn heard(heard: &Heard, what: &str) -> usize {
    heard
        .all()
        .iter()
        .filter(|line| line.contains(what))
        .count()
}

async fn version(host: &Host, actor: &str) -> Value {
    host.ask(actor, "summary", Value::Null).await["version"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_cannot_go_down_goes_back_by_its_commands() {
    for what in ["down_fails", "down_panics"] {
        let home = Home::new();
        let host = home.start(1);
        host.ask("faulty:a", "add", json!({ "by": 7 })).await;
        host.ask("faulty:a", "plan_trouble", json!({ "what": what }))
            .await;
        host.0.install(home.release(2));
        host.ask("faulty:a", "add", json!({ "by": 1 })).await;
        let cast = json!({ "to": "faulty:b", "event": "add", "payload": { "by": 5 } });
        host.ask("faulty:a", "cast", cast).await;
        host.ask(
            "faulty:a",
            "set_timer",
            json!({ "name": "later", "in_ms": 3_600_000 }),
        )
        .await;
        until("the cast has come", || async {
            host.count("faulty:b").await == 5
        })
        .await;
        let seq = host
            .0
            .inspect(&"faulty:a".parse().unwrap())
            .await
            .unwrap()
            .seq;

        host.0.migrations().reset();
        host.0.install(home.release(1));
        host.0.sweep(false).await.unwrap();
        assert_eq!(host.0.migrations().failed(), 0, "{what}");
        assert_eq!(host.count("faulty:a").await, 8);
        assert_eq!(version(&host, "faulty:a").await, "0.1.0");
        let back = snapshot(&host, "faulty:a");
        assert_eq!((back.seq, back.version), (seq, Version::new(0, 1, 0)));
        assert_eq!(host.0.migrations().way_back().rebuilt, 1);
        // It goes on, and nothing has left a second time.
        assert_eq!(
            host.ask("faulty:a", "add", json!({ "by": 2 })).await["count"],
            10
        );
        assert_eq!(host.count("faulty:b").await, 5);
        until("all were told", || async {
            heard(&home.heard, "faulty:a added") >= 3
        })
        .await;
        assert_eq!(heard(&home.heard, "faulty:a added"), 3);
        let timers = host.0.journal().timers_of(&"faulty:a".parse().unwrap());
        assert_eq!(timers.unwrap().len(), 1, "it is known in 0.1.0, too");
        until("the audit trail has it", || async {
            actions(&host, "rebuild").len() == 2
        })
        .await;
        let said = actions(&host, "rebuild");
        assert!(
            said[0].contains("\"intended\"") && said[0].contains("faulty:a"),
            "{said:?}"
        );
        assert!(said[1].contains("\"done\""), "{said:?}");
        host.stop();

        let host = home.start(1);
        assert_eq!(host.count("faulty:a").await, 10);
        host.0.install(home.release(2));
        assert_eq!(host.count("faulty:a").await, 10, "and up again");
        host.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_actor_of_many_snapshots_and_one_that_came_into_being_later_go_back_as_well() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:old", "add", json!({ "by": 1 })).await;
    host.ask(
        "faulty:old",
        "plan_trouble",
        json!({ "what": "down_fails" }),
    )
    .await;
    // Asleep and awake again: it has a snapshot of 0.1.0, and a record behind it.
    host.stop();
    let host = home.start(1);
    host.ask("faulty:old", "add_and_stop", json!({ "by": 1 }))
        .await;
    until("it sleeps", || async { host.0.awake() == 0 }).await;
    host.ask("faulty:old", "add", json!({ "by": 1 })).await;
    host.0.install(home.release(2));
    let text = "x".repeat(40_000);
    for actor in ["faulty:old", "faulty:new"] {
        for n in 0..12 {
            // What is long, and nothing to 0.1.0: a field that it does not read.
            let add = json!({ "by": 1, "because": format!("{n}{text}") });
            host.ask(actor, "add", add).await;
        }
    }
    host.ask(
        "faulty:new",
        "plan_trouble",
        json!({ "what": "down_fails" }),
    )
    .await;
    assert!(
        snapshot(&host, "faulty:old").seq > 4,
        "it has had snapshots since"
    );
    host.0.migrations().reset();
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    assert_eq!(host.0.migrations().first_failure(), None);
    assert_eq!(host.count("faulty:old").await, 15);
    assert_eq!(host.count("faulty:new").await, 12);
    assert_eq!(host.0.migrations().way_back().rebuilt, 2);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_stand_in_the_way_are_named_and_stop_no_one_else() {
    let home = Home::new();
    let host = home.start(1);
    for key in ["a", "b", "c"] {
        host.ask(&format!("faulty:{key}"), "add", json!({ "by": 1 }))
            .await;
    }
    host.ask("faulty:a", "plan_trouble", json!({ "what": "down_fails" }))
        .await;
    host.0.install(home.release(2));
    host.ask("faulty:a", "note", json!({ "text": "only here" }))
        .await;
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    host.ask("faulty:a", "note", json!({ "text": "and this" }))
        .await;
    host.ask("faulty:b", "note", json!({ "text": "carried" }))
        .await;
    host.0.migrations().reset();
    host.0.install(home.release(1));
    host.0.sweep(false).await.unwrap();
    let failures = host.0.migrations().take_failures();
    assert_eq!(failures.len(), 1);
    let why = &failures[0].why;
    assert!(why.contains("down fails, as it was told to"), "{why}");
    assert!(
        why.contains("of its 3 commands since, 0.1.0 does not take"),
        "{why}"
    );
    assert!(
        why.contains("3 note (unknown_event: 0.1.0 takes no notes), 5 note"),
        "{why}"
    );
    host.0.set_aside(&failures[0].actor, why).await;
    // Whole, in the version that it had.
    let a = host.0.inspect(&"faulty:a".parse().unwrap()).await.unwrap();
    assert_eq!((a.version, a.seq), (Version::new(0, 2, 0), 5));
    assert_eq!(
        host.refused("faulty:a", "add", json!({ "by": 1 })).await,
        "quarantined"
    );
    let way_back = host.0.migrations().way_back();
    assert_eq!((way_back.rebuilt, way_back.set_aside), (0, 1));
    assert_eq!(way_back.named[0].reason, *why);
    for key in ["b", "c"] {
        assert_eq!(version(&host, &format!("faulty:{key}")).await, "0.1.0");
    }
    host.stop();
    // Also in the next process; and with the next release it is where it belongs.
    let host = home.start(1);
    assert_eq!(
        host.refused("faulty:a", "summary", Value::Null).await,
        "quarantined"
    );
    assert!(
        host.0.quarantine_list()[0]
            .1
            .contains("0.1.0 takes no notes")
    );
    host.0.install(home.release(2));
    host.0
        .quarantine_release(&"faulty:a".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let summary = host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(summary["notes"], json!(["only here", "and this"]));
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_that_the_older_version_does_not_know_waits_until_it_is_known_again() {
    let home = Home::new();
    let host = home.start(1);
    let a = "faulty:a".parse().unwrap();
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    host.0.install(home.release(2));
    let set = |name: &str, in_ms: i64| json!({ "name": name, "in_ms": in_ms });
    host.ask("faulty:a", "set_timer", set("remind-me", 1)).await;
    until("it fires where it is known", || async {
        host.ask("faulty:a", "summary", Value::Null).await["ticks"] == 1
    })
    .await;
    host.ask("faulty:a", "set_timer", set("remind-me", 700))
        .await;
    host.ask("faulty:a", "set_timer", set("known", 800)).await;
    host.0.install(home.release(1));
    assert_eq!(version(&host, "faulty:a").await, "0.1.0");
    let names = |host: &Host| -> Vec<String> {
        let timers = host.0.journal().timers_of(&a).unwrap().into_iter();
        timers.map(|timer| timer.name).collect()
    };
    until("one has left the table", || async {
        names(&host) == ["known"]
    })
    .await;
    let carry = &snapshot(&host, "faulty:a").carries[0];
    assert_eq!(carry.timers.len(), 1);
    assert_eq!(carry.timers[0].version, Version::new(0, 2, 0));
    host.stop();

    let host = home.start(1);
    until("the other, which is due later, has fired", || async {
        host.ask("faulty:a", "summary", Value::Null).await["ticks"] == 2
    })
    .await;
    assert_eq!(
        host.ask("faulty:a", "summary", Value::Null).await["ticks"],
        2
    );
    assert_eq!(host.0.journal().dead_letters(0, 9).unwrap(), []);
    host.0.install(home.release(2));
    assert_eq!(version(&host, "faulty:a").await, "0.2.0");
    until("it fires late rather than never", || async {
        host.ask("faulty:a", "summary", Value::Null).await["ticks"] == 3
    })
    .await;
    assert_eq!(names(&host), [""; 0]);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timer_waits_also_beside_a_state_that_went_back_by_its_commands() {
    let home = Home::new();
    let host = home.start(1);
    host.ask("faulty:a", "plan_trouble", json!({ "what": "down_fails" }))
        .await;
    host.0.install(home.release(2));
    let hour = 3_600_000;
    // What sets it can be taken again, and is: only the timer is unknown.
    host.ask(
        "faulty:a",
        "set_timer",
        json!({ "name": "remind-me", "in_ms": hour }),
    )
    .await;
    host.0.migrations().reset();
    host.0.install(home.release(1));
    assert_eq!(version(&host, "faulty:a").await, "0.1.0");
    host.stop();
    let host = home.start(1);
    let a = "faulty:a".parse().unwrap();
    assert_eq!(host.0.journal().timers_of(&a).unwrap(), []);
    host.0.install(home.release(2));
    assert_eq!(version(&host, "faulty:a").await, "0.2.0");
    until("it is set again", || async {
        host.0.journal().timers_of(&a).unwrap().len() == 1
    })
    .await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn carries_are_a_stack_over_several_versions() {
    let home = Home::new();
    let host = home.start(1);
    let a = "faulty:a".parse().unwrap();
    let hour = |name: &str| json!({ "name": name, "in_ms": 3_600_000 });
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    host.0.install(home.release_after(2, 1));
    host.ask("faulty:a", "note", json!({ "text": "note" }))
        .await;
    host.ask("faulty:a", "set_timer", hour("remind")).await;
    host.0.install(home.release_after(3, 2));
    host.ask("faulty:a", "tag", json!({ "text": "tag" })).await;
    host.ask("faulty:a", "set_timer", hour("ripen")).await;
    host.0.install(home.release_after(1, 3));
    host.ask("faulty:a", "add", json!({ "by": 2 })).await;
    let inspection = host.0.inspect(&a).await.unwrap();
    assert_eq!(
        inspection.carries,
        [Version::new(0, 3, 0), Version::new(0, 2, 0)]
    );
    host.stop();
    let host = home.start(1);
    assert_eq!(host.0.journal().timers_of(&a).unwrap(), []);
    assert_eq!(host.count("faulty:a").await, 3);
    // Half-way up: what belongs to 0.3.0 waits on.
    host.0.install(home.release_after(2, 1));
    let summary = host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(
        (&summary["count"], &summary["notes"]),
        (&json!(3), &json!(["note"]))
    );
    host.0.install(home.release_after(1, 2));
    assert_eq!(host.count("faulty:a").await, 3);
    host.0.install(home.release_after(3, 1));
    let summary = host.ask("faulty:a", "summary", Value::Null).await;
    assert_eq!(
        (&summary["notes"], &summary["tags"]),
        (&json!(["note"]), &json!(["tag"]))
    );
    assert_eq!(summary["version"], "0.3.0");
    until("both timers are set again", || async {
        let timers = host.0.journal().timers_of(&a).unwrap().into_iter();
        let timers: Vec<_> = timers.map(|it| (it.name, it.version.minor)).collect();
        timers == [("remind".to_owned(), 2), ("ripen".to_owned(), 3)]
    })
    .await;
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_any_version_is_understood_by_an_actor_of_any_other() {
    let home = Home::new();
    let host = home.start(1);
    let ask = async |shape: u64, event: &str, payload: Value| {
        let mut request = request("faulty:a", event, payload);
        request.version = Some(Version::new(0, shape, 0));
        host.0.call(request).await
    };
    host.ask("faulty:a", "add", json!({ "by": 1 })).await;
    host.0.install(home.release_after(3, 1));
    // 0.2.0 makes `add` of it, and 0.3.0 `count`.
    ask(1, "add_and_stop", json!({ "by": 2 })).await.unwrap();
    ask(2, "note", json!({ "text": "note" })).await.unwrap();
    let summary = ask(1, "summary", Value::Null).await.unwrap();
    let summary: Value = serde_json::from_slice(&summary.reply).unwrap();
    assert_eq!(
        (&summary["count"], &summary["notes"]),
        (&json!(3), &json!(["note"]))
    );
    host.0.install(home.release_after(1, 3));
    ask(3, "count", json!({ "by": 4 })).await.unwrap();
    for (shape, event) in [(3, "tag"), (3, "remark"), (2, "note")] {
        let refused = ask(shape, event, json!({ "text": "x" })).await.unwrap_err();
        let is_unknown =
            matches!(&refused, CallError::Rejected(it) if it.reason == "unknown_event");
        assert!(is_unknown, "{shape} {event}: {refused}");
    }
    assert_eq!(host.count("faulty:a").await, 7);
    host.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_serves_in_another_version_casts_in_the_shape_of_that() {
    let home = Home::new();
    let host = home.start(2);
    host.ask("faulty:a", "note", json!({ "text": "only here" }))
        .await;
    host.ask("faulty:a", "plan_trouble", json!({ "what": "down_fails" }))
        .await;
    let mut release = home.release(1);
    // As behind a restart.
    release.before.clear();
    host.0.install(release);
    assert_eq!(version(&host, "faulty:a").await, "0.2.0");
    let cast = json!({ "to": "faulty:b", "event": "panic", "payload": {} });
    host.ask("faulty:a", "cast", cast).await;
    let letters = || host.0.journal().dead_letters(0, 9).unwrap();
    until("it has come to nothing", || async { letters().len() == 1 }).await;
    let (_, letter) = letters().remove(0);
    assert_eq!(letter.origin.shape, Some(Version::new(0, 2, 0)));
    host.stop();
}
