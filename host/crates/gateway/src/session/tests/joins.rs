//! What a join asks for, and what comes behind its answer.

use super::*;

#[test]
fn what_is_told_during_a_join_comes_behind_its_answer_and_nothing_twice() {
    let mut client = Client::default();
    client.says(json!(["1", "1", "donations:a", "phx_join", {}]));
    for seq in 5..=7 {
        assert_eq!(client.told(seq), []);
    }
    let response = json!({"summary": {}, "seq": 6});
    assert_eq!(
        client.answered(answer("{}", 6)),
        [ok("1", "1", "donations:a", response), got(None, 7)]
    );
    assert_eq!(client.told(6), [], "the answer includes it");
    assert_eq!(client.told(8), [got(None, 8)]);
    assert_eq!(client.told(8), [got(None, 8)], "a command may tell twice");
    client.says(json!(["1", "2", "donations:a", "phx_leave", {}]));
    assert_eq!(client.told(9), []);
}

#[test]
fn what_was_missed_comes_between_the_answer_and_what_is_told() {
    let mut client = Client::default();
    client.says(json!(["1", "1", "donations:a", "phx_join", {"seq": 3}]));
    client.told(6);
    client.told(7);
    let resumes = Seen::Resumes("donations:a".into(), 3, Some(6), "0.2.0".into());
    assert_eq!(client.answered(answer("{}", 6)), [resumes]);
    assert_eq!(client.session.calls(), 1, "it is not at rest");
    client.told(8);
    let response = json!({"summary": {}, "seq": 6, "resumed": true, "replayed": 2});
    assert_eq!(
        client.resumed(6, Ok(vec![news(4), news(6)])),
        [
            ok("1", "1", "donations:a", response),
            got(Some("1"), 4),
            got(Some("1"), 6),
            got(None, 7),
            got(None, 8),
        ]
    );
    assert_eq!(client.session.calls(), 0);
}

#[test]
fn what_cannot_be_resumed_is_said_beside_a_fresh_summary() {
    for (why, word) in [
        (NotResumed::TooMany, "too_many"),
        (NotResumed::NotKept, "not_kept"),
        (NotResumed::Ahead, "ahead"),
    ] {
        let mut client = Client::default();
        client.says(json!(["1", "1", "donations:a", "phx_join", {"seq": 3}]));
        client.answered(answer("{}", 6));
        let response =
            json!({"summary": {}, "seq": 6, "resumed": false, "replayed": 0, "reason": word});
        let expected = [ok("1", "1", "donations:a", response)];
        assert_eq!(client.resumed(6, Err(why)), expected);
    }
    // Without a summary it goes as far as the journal does.
    let mut client = Client::default();
    let seen = client.says(json!(["1", "1", "audit:a", "phx_join", {"seq": 0}]));
    let resumes = Seen::Resumes("audit:a".into(), 0, None, "0.1.0".into());
    assert_eq!(seen[1..], [resumes]);
    let response = json!({"summary": null, "seq": 9, "resumed": true, "replayed": 0});
    let expected = [ok("1", "1", "audit:a", response)];
    assert_eq!(client.resumed(9, Ok(vec![])), expected);
}

#[test]
fn a_join_that_was_replaced_resumes_nothing() {
    let mut client = Client::default();
    client.says(json!(["1", "1", "donations:a", "phx_join", {"seq": 1}]));
    client.answered(answer("{}", 6));
    client.says(json!(["2", "2", "donations:a", "phx_join", {"seq": 1}]));
    let seen = client.resumed(6, Ok(vec![news(6)]));
    assert_eq!(seen.len(), 1, "the answer alone: {seen:?}");
    client.answered(answer("{}", 6));
    let seen = client.resumed(6, Ok(vec![news(6)]));
    let closed = sent(json!(["1", "1", "donations:a", "phx_close", {}]));
    assert_eq!(seen[1..], [closed, got(Some("2"), 6)]);
}

#[test]
fn what_is_held_is_bounded() {
    let mut client = Client::default();
    client.says(json!(["1", "1", "donations:a", "phx_join", {}]));
    let seen = (1..)
        .map(|seq| client.told(seq))
        .find(|seen| !seen.is_empty());
    let seen = seen.unwrap();
    assert_eq!(seen[0], Seen::Unsubscribed("donations:a".into()));
    assert!(matches!(&seen[1], Seen::Sent(error) if error[3] == "phx_error"));
}

#[test]
fn who_asks_is_shown_until_the_channel_ends() {
    let topic = "donations:a";
    let mut client = Client::default();
    client.says(json!(["1", "1", topic, "phx_join", {"presence": true}]));
    assert_eq!(
        client.answered(answer("{}", 1))[1..],
        [Seen::Entered(topic.into())]
    );
    let again = client.says(json!(["2", "2", topic, "phx_join", {"presence": true}]));
    assert_eq!(again[0], Seen::Left(topic.into()));
    client.answered(answer("{}", 1));
    let seen = client.crashed(topic);
    assert_eq!(
        seen[..2],
        [Seen::Left(topic.into()), Seen::Unsubscribed(topic.into())]
    );
    let mut client = Client::joined(topic);
    assert_eq!(
        client.says(json!(["1", "2", topic, "phx_leave", {}])).len(),
        3
    );
}

#[test]
fn wishes_that_are_none_are_refused() {
    let mut client = Client::default();
    for payload in [
        json!({"seq": "7"}),
        json!({"seq": -1}),
        json!({"presence": "me"}),
        json!(7),
    ] {
        let join = json!(["1", "1", "donations:a", "phx_join", payload]);
        assert_eq!(reason(&client.says(join)), "bad_payload", "{payload}");
    }
    assert_eq!(client.session.end().count(), 0);
}
