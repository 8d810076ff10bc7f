//! What becomes of a session by who its client is, and by how much it does.

use super::*;

#[test]
fn where_authentication_is_on_a_join_asks_for_leave() {
    let claims = r#"{"sub":"ali"}"#;
    let mut client = Client::of(Caller::of("ali", claims, None), None);
    let topic = "donations:a";
    let seen = client.says(json!(["1", "1", topic, "phx_join", {}]));
    assert_eq!(seen[0], Seen::Subscribed(topic.to_owned()));
    let Seen::Called(_, event, .., must_query) = &seen[1] else {
        panic!("{seen:?}");
    };
    assert_eq!((event.as_str(), *must_query), ("summary", true));
    let seen = client.answered(Err(CallError::Forbidden("no".to_owned())));
    let error = json!({"status": "error", "response": {"reason": "forbidden", "message": "no"}});
    assert_eq!(seen[0], sent(json!(["1", "1", topic, "phx_reply", error])));
    assert_eq!(seen[1], Seen::Unsubscribed(topic.to_owned()));
    // Also where there is nothing to show, the plugin is asked.
    let seen = client.says(json!(["2", "2", "audit:a", "phx_join", {}]));
    assert!(matches!(&seen[1], Seen::Called(..)), "{seen:?}");
    let seen = client.answered(answer("", 3));
    let shown = json!({"summary": null, "seq": 3});
    assert_eq!(seen, [ok("2", "2", "audit:a", shown)]);
}

#[test]
fn an_expired_token_ends_what_is_done_and_not_what_is_heard() {
    let ends = Instant::now() + std::time::Duration::from_secs(60);
    let mut client = Client::of(Caller::of("ali", "{}", Some(ends)), None);
    let topic = "donations:a";
    client.says(json!(["1", "1", topic, "phx_join", {}]));
    client.answered(answer("{}", 1));
    client.now = ends;
    for message in [
        json!(["1", "2", topic, "donate", {}]),
        json!(["3", "3", "donations:b", "phx_join", {}]),
    ] {
        let [Seen::Sent(reply)] = &client.says(message)[..] else {
            panic!("one answer");
        };
        assert_eq!(reply[4]["response"]["reason"], "token_expired");
    }
    let heartbeat = client.says(json!([null, "4", "phoenix", "heartbeat", {}]));
    assert_eq!(heartbeat.len(), 1);
    let renewal = json!([null, "5", "phoenix", "token", {"token": "x.y.z"}]);
    assert_eq!(client.says(renewal), [Seen::Renewed("x.y.z".to_owned())]);
    let asked = || {
        let text = json!([null, "5", "phoenix", "token", {}]).to_string();
        let message = Incoming::parse(&text).unwrap();
        message.asked
    };
    let renew =
        |client: &mut Client, renewed| read_back(&client.session.on_token(renewed, &asked()));
    for (renewed, reason) in [
        (Err(crate::tokens::TokenError::Expired), "token_expired"),
        (Ok(Caller::of("sara", "{}", None)), "bad_token"),
    ] {
        let Seen::Sent(reply) = renew(&mut client, renewed) else {
            panic!("an answer");
        };
        assert_eq!(reply[4]["response"]["reason"], reason);
    }
    let seen = renew(&mut client, Ok(Caller::of("ali", "{}", None)));
    assert_eq!(
        seen,
        sent(json!([null, "5", "phoenix", "phx_reply", {"status": "ok", "response": {}}]))
    );
    let seen = client.says(json!(["1", "6", topic, "donate", {}]));
    assert!(matches!(&seen[..], [Seen::Called(..)]), "{seen:?}");
    let seen = client.says(json!([null, "7", "phoenix", "token", {"tok": 1}]));
    assert!(
        matches!(&seen[..], [Seen::Sent(reply)] if reply[4]["response"]["reason"] == "bad_payload")
    );
}

#[test]
fn who_sends_too_much_is_told_when_to_go_on() {
    let rates = crate::guard::Rates {
        joins: 0,
        messages: 1,
        bytes: 0,
    };
    let limits = crate::guard::ClientLimits {
        connection: rates,
        ..Default::default()
    };
    let limiter = crate::guard::limiter(limits);
    let mut client = Client::of(Caller::unasked(), Some(limiter));
    let heartbeat = || json!([null, "1", "phoenix", "heartbeat", {}]);
    for _ in 0..10 {
        client.says(heartbeat());
    }
    assert_eq!(client.refused, 0);
    let seen = client.says(heartbeat());
    let [Seen::Sent(reply)] = &seen[..] else {
        panic!("{seen:?}");
    };
    let response = &reply[4]["response"];
    assert_eq!(
        (&response["reason"], client.refused),
        (&json!("rate_limited"), 1)
    );
    let wait_ms = response["retry_after_ms"].as_u64().unwrap();
    assert!((900..=1_001).contains(&wait_ms), "{wait_ms}");
    client.now += std::time::Duration::from_millis(wait_ms);
    client.says(heartbeat());
    assert_eq!(client.refused, 1);
    for _ in 0..=crate::limits::REFUSED_IN_A_ROW_MAX {
        assert!(!client.session.is_flooded());
        client.says(heartbeat());
    }
    assert!(client.session.is_flooded());
}
