//! Who is told what, and who reads too slowly.

use host_model::limits::OUTBOUND_BYTES_MAX;

use serde_json::value::RawValue;

use super::*;
use crate::limits::FAN_OUT_PORTION;
use crate::phoenix::tests::text;
use crate::ws::Encoded;

fn topic(key: &str) -> ActorId {
    ActorId::new("donations", key).unwrap()
}

fn v(text: &str) -> Version {
    text.parse().unwrap()
}

fn news(key: &str, seq: u64, event: &str, payload: &str) -> News {
    News {
        actor: topic(key),
        seq,
        version: v("0.1.0"),
        event: event.into(),
        payload: RawValue::from_string(payload.to_owned()).unwrap(),
    }
}

fn next_frame(outbound: &Outbound) -> Option<Encoded> {
    match outbound.pop()? {
        Delivery::Live(live) => match &*live {
            Live::News { frame, .. } | Live::Frame { frame, .. } => Some(frame.clone()),
            other => panic!("{other:?} is no frame"),
        },
        other => panic!("{other:?} is told to one"),
    }
}

fn next_text(outbound: &Outbound) -> Option<String> {
    Some(text(&next_frame(outbound)?))
}

#[test]
fn a_broadcast_reaches_the_topics_subscribers_and_is_encoded_once() {
    let hub = Hub::new();
    let connections = [Outbound::new(1), Outbound::new(2), Outbound::new(3)];
    hub.subscribe(&topic("a"), &v("0.1.0"), &connections[0]);
    hub.subscribe(&topic("a"), &v("0.1.0"), &connections[1]);
    hub.subscribe(&topic("b"), &v("0.1.0"), &connections[2]);
    hub.broadcast(news("a", 4, "donation_received", "{}"));

    let frames = [&connections[0], &connections[1]].map(|it| next_frame(it).unwrap());
    assert_eq!(
        text(&frames[0]),
        r#"[null,null,"donations:a","donation_received",{"seq":4}]"#
    );
    let [one, other] = frames.map(|frame| frame.as_bytes().as_ptr());
    assert_eq!(one, other, "both share the bytes");
    assert!(connections[2].pop().is_none());
}

#[test]
fn who_has_left_hears_nothing_and_leaves_no_topic_behind() {
    let hub = Hub::new();
    let outbound = Outbound::new(1);
    hub.subscribe(&topic("a"), &v("0.1.0"), &outbound);
    hub.subscribe(&topic("a"), &v("0.1.0"), &outbound);
    hub.subscribe(&topic("b"), &v("0.1.0"), &outbound);
    let mut topics = hub.topics("donations");
    topics.sort();
    assert_eq!(topics, [topic("a"), topic("b")]);
    assert!(hub.topics("zakat").is_empty());

    hub.unsubscribe(&topic("a"), 1);
    hub.unsubscribe(&topic("a"), 1);
    hub.broadcast(news("a", 1, "x", "{}"));
    assert!(outbound.pop().is_none());
    assert_eq!(hub.topics("donations"), [topic("b")]);
}

#[test]
fn a_release_and_a_crash_are_told() {
    let hub = Hub::new();
    let outbound = Outbound::new(1);
    hub.subscribe(&topic("a"), &v("0.1.0"), &outbound);
    hub.switched(&topic("a"), &Version::new(0, 2, 0), &Version::new(0, 2, 1));
    hub.crashed(&topic("a"), "it broke");
    assert_eq!(
        next_text(&outbound).unwrap(),
        r#"[null,null,"donations:a","host:release",{"version":"0.2.0","plugin":"0.2.1"}]"#
    );
    let Some(Delivery::Live(live)) = outbound.pop() else {
        panic!("nothing is told");
    };
    match &*live {
        Live::Crashed { topic: of, reason } => {
            assert_eq!((of, &**reason), (&topic("a"), "it broke"));
        }
        other => panic!("{other:?} is no crash"),
    }
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_harms_no_other() {
    let hub = Hub::new();
    let (slow, quick) = (Outbound::new(1), Outbound::new(2));
    hub.subscribe(&topic("a"), &v("0.1.0"), &slow);
    hub.subscribe(&topic("a"), &v("0.1.0"), &quick);
    let big = format!("{{\"x\":\"{}\"}}", "y".repeat(100_000));
    let mut most = 0;
    for seq in 1..=100 {
        hub.broadcast(news("a", seq, "big", &big));
        most = most.max(slow.bytes());
        assert!(
            next_text(&quick)
                .unwrap()
                .ends_with(&format!("\"seq\":{seq}}}]"))
        );
    }
    assert!(
        most > OUTBOUND_BYTES_MAX / 2 && most <= OUTBOUND_BYTES_MAX,
        "{most}"
    );
    assert!(slow.begin_turn().overflowed && !quick.begin_turn().overflowed);
    assert!(
        slow.bytes() == 0 && slow.pop().is_none(),
        "what it had is dropped"
    );
}

#[test]
fn one_delivery_alone_may_be_of_any_size() {
    let hub = Hub::new();
    let outbound = Outbound::new(1);
    hub.subscribe(&topic("a"), &v("0.1.0"), &outbound);
    let huge = format!("\"{}\"", "y".repeat(OUTBOUND_BYTES_MAX + 1));
    hub.broadcast(news("a", 1, "huge", &huge));
    assert!(!outbound.begin_turn().overflowed && outbound.pop().is_some());
}

/// A hub with the shapes of nobody, and a runtime.
fn with_tasks(hub: &Hub, data: &Handle) -> TaskTracker {
    let tasks = TaskTracker::new();
    let attached = Attached {
        actors: Weak::new(),
        tasks: tasks.clone(),
        data: data.clone(),
        stop: CancellationToken::new(),
    };
    hub.attached.set(attached).unwrap();
    tasks.close();
    tasks
}

#[test]
fn many_are_told_by_a_task_all_of_it_in_order_and_each_once() {
    let data = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let hub = Hub::new();
    let tasks = with_tasks(&hub, data.handle());
    let many = TOLD_AT_ONCE_MAX as u64 * 20;
    let connections: Vec<_> = (0..many).map(Outbound::new).collect();
    for (connection, stamp) in connections.iter().zip(["0.1.0", "0.2.0"].iter().cycle()) {
        hub.subscribe(&topic("a"), &v(stamp), connection);
    }
    for seq in 1..=50 {
        hub.broadcast(news("a", seq, "x", "{}"));
        // Someone goes in the middle of it, and someone else comes.
        hub.unsubscribe(&topic("a"), seq);
        let late = Outbound::new(many + seq);
        hub.subscribe(&topic("a"), &v("0.1.0"), &late);
    }
    hub.switched(&topic("a"), &v("0.2.0"), &v("0.2.0"));
    data.block_on(tasks.wait());
    for connection in connections.iter().filter(|it| !(1..=50).contains(&it.id)) {
        let heard: Vec<_> = std::iter::from_fn(|| next_text(connection)).collect();
        assert_eq!(heard.len(), 51, "connection {}", connection.id);
        for (seq, text) in (1..=50).zip(&heard) {
            assert!(text.ends_with(&format!("{{\"seq\":{seq}}}]")), "{text}");
        }
        assert!(heard[50].contains("host:release"));
    }
    assert!(hub.shard(&topic("a")).lock()[&topic("a")].waiting.is_none());
}

#[test]
fn what_nobody_could_take_has_all_join_again() {
    let hub = Hub::new();
    let outbound = Outbound::new(1);
    hub.subscribe(&topic("a"), &v("0.2.0"), &outbound);
    // Without a runtime it waits for ever.
    let big = format!("{{\"x\":\"{}\"}}", "y".repeat(OUTBOUND_BYTES_MAX / 4));
    for seq in 1..=20 {
        hub.broadcast(news("a", seq, "big", &big));
    }
    let (told, stamps) = hub.take_waiting(&topic("a")).unwrap();
    assert!(matches!(told[0], Told::Crashed(_)), "{}", told.len());
    assert!(told.len() <= 5 && stamps == [v("0.2.0")]);
    hub.unsubscribe(&topic("a"), 1);
    assert!(hub.take_waiting(&topic("a")).is_none());
    assert!(
        hub.shard(&topic("a")).lock().is_empty(),
        "nothing is left behind"
    );
}

/// What a call waits for, while a crowd is told: never for more than a portion.
#[test]
fn others_have_their_turn_between_two_portions() {
    let data = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let hub = Hub::new();
    let tasks = with_tasks(&hub, data.handle());
    let connections: Vec<_> = (0..10_000).map(Outbound::new).collect();
    for connection in &connections {
        hub.subscribe(&topic("a"), &v("0.1.0"), connection);
    }
    hub.broadcast(news("a", 1, "x", "{}"));
    let told = || connections.iter().filter(|it| it.bytes() > 0).count();
    assert_eq!(told(), 0, "who tells waits for nobody");
    let most = data.block_on(async {
        let (mut before, mut most) = (0, 0);
        while before < connections.len() {
            tokio::task::yield_now().await;
            let now = told();
            most = most.max(now - before);
            before = now;
        }
        most
    });
    assert!((1..=FAN_OUT_PORTION).contains(&most), "{most} at once");
    data.block_on(tasks.wait());
}
