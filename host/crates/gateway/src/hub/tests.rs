//! Who is told what, and who reads too slowly.

use host_model::limits::OUTBOUND_BYTES_MAX;

use super::*;
use crate::phoenix::tests::text;

fn topic(key: &str) -> ActorId {
    ActorId::new("donations", key).unwrap()
}

fn payload(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap()
}

fn next_text(outbound: &Outbound) -> Option<String> {
    match outbound.pop()? {
        Delivery::Frame(frame) => Some(text(&frame)),
        other => panic!("{other:?} is no frame"),
    }
}

#[test]
fn a_broadcast_reaches_the_topics_subscribers_and_is_encoded_once() {
    let hub = Hub::new();
    let connections = [Outbound::new(1), Outbound::new(2), Outbound::new(3)];
    hub.subscribe(&topic("a"), &connections[0]);
    hub.subscribe(&topic("a"), &connections[1]);
    hub.subscribe(&topic("b"), &connections[2]);
    hub.broadcast(&topic("a"), 4, "donation_received", &payload("{}".into()));

    let frames = [&connections[0], &connections[1]].map(|outbound| match outbound.pop() {
        Some(Delivery::Frame(frame)) => frame,
        other => panic!("{other:?} is no frame"),
    });
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
    hub.subscribe(&topic("a"), &outbound);
    hub.subscribe(&topic("a"), &outbound);
    hub.subscribe(&topic("b"), &outbound);
    let mut topics = hub.topics("donations");
    topics.sort();
    assert_eq!(topics, [topic("a"), topic("b")]);
    assert!(hub.topics("zakat").is_empty());

    hub.unsubscribe(&topic("a"), 1);
    hub.unsubscribe(&topic("a"), 1);
    hub.broadcast(&topic("a"), 1, "x", &payload("{}".into()));
    assert!(outbound.pop().is_none());
    assert_eq!(hub.topics("donations"), [topic("b")]);
}

#[test]
fn a_release_and_a_crash_are_told() {
    let hub = Hub::new();
    let outbound = Outbound::new(1);
    hub.subscribe(&topic("a"), &outbound);
    hub.switched(&topic("a"), &Version::new(0, 2, 0), &Version::new(0, 2, 1));
    hub.crashed(&topic("a"), "it broke");
    assert_eq!(
        next_text(&outbound).unwrap(),
        r#"[null,null,"donations:a","host:release",{"version":"0.2.0","plugin":"0.2.1"}]"#
    );
    match outbound.pop() {
        Some(Delivery::Crashed { topic: of, reason }) => {
            assert_eq!((of, &*reason), (topic("a"), "it broke"));
        }
        other => panic!("{other:?} is no crash"),
    }
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_harms_no_other() {
    let hub = Hub::new();
    let (slow, quick) = (Outbound::new(1), Outbound::new(2));
    hub.subscribe(&topic("a"), &slow);
    hub.subscribe(&topic("a"), &quick);
    let big = payload(format!("{{\"x\":\"{}\"}}", "y".repeat(100_000)));
    let mut most = 0;
    for seq in 1..=100 {
        hub.broadcast(&topic("a"), seq, "big", &big);
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
    hub.subscribe(&topic("a"), &outbound);
    let huge = payload(format!("\"{}\"", "y".repeat(OUTBOUND_BYTES_MAX + 1)));
    hub.broadcast(&topic("a"), 1, "huge", &huge);
    assert!(!outbound.begin_turn().overflowed && outbound.pop().is_some());
}
