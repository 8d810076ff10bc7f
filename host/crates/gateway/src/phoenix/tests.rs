//! Messages in and out, as clients write and read them.

use serde_json::{Value, json};

use super::*;

/// The text of a frame without its header.
pub(crate) fn text(frame: &Encoded) -> String {
    assert!(frame.is_text());
    String::from_utf8(frame.payload().to_vec()).unwrap()
}

fn json_of(frame: &Encoded) -> Value {
    serde_json::from_str(&text(frame)).unwrap()
}

fn news_of(payload: &str) -> News {
    News {
        actor: "d:ü".parse().unwrap(),
        seq: 7,
        version: "0.1.0".parse().unwrap(),
        event: "got".into(),
        payload: RawValue::from_string(payload.to_owned()).unwrap(),
    }
}

fn asked(text: &str) -> Asked {
    Incoming::parse(text).unwrap().asked
}

#[test]
fn a_message_is_read_and_its_payload_left_as_it_is() {
    let text = r#"["3","5","room:\u0031","new\nmsg",{"a" : 1.10}]"#;
    let message = Incoming::parse(text).unwrap();
    assert_eq!((&*message.topic, &*message.event), ("room:1", "new\nmsg"));
    assert_eq!(message.payload, r#"{"a" : 1.10}"#);
    assert_eq!(message.asked.message_ref.as_json(), "\"5\"");
}

#[test]
fn what_is_no_message_is_refused() {
    let long = format!(r#"[null,"{}","t","e",{{}}]"#, "1".repeat(REF_BYTES_MAX));
    let event = format!(
        r#"[null,"1","t","{}",{{}}]"#,
        "e".repeat(EVENT_BYTES_MAX + 1)
    );
    for (text, expected) in [
        ("", Malformed::Shape),
        ("{}", Malformed::Shape),
        (r#"["1","1","t","e"]"#, Malformed::Shape),
        (r#"["1","1","t","e",{},{}]"#, Malformed::Shape),
        (r#"["1","1",null,"e",{}]"#, Malformed::Shape),
        (r#"["1","1","t","e",{"a":]"#, Malformed::Shape),
        (r#"[["1"],"1","t","e",{}]"#, Malformed::Ref),
        (r#"[null,true,"t","e",{}]"#, Malformed::Ref),
        (&long, Malformed::Ref),
        (&event, Malformed::Event),
    ] {
        assert_eq!(Incoming::parse(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn refs_come_back_as_they_stood() {
    let asked = asked(r#"[7,"a\"b","t","e",{}]"#);
    let frame = reply_ok(&asked, "t", br#"{"n":1}"#);
    assert_eq!(
        text(&frame),
        r#"[7,"a\"b","t","phx_reply",{"status":"ok","response":{"n":1}}]"#
    );
}

#[test]
fn frames_are_those_of_phoenix() {
    let asked = asked(r#"["1","2","t","e",{}]"#);
    let jr = &asked.join_ref;
    assert_eq!(
        json_of(&reply_ok(&asked, "t", b"")),
        json!(["1", "2", "t", "phx_reply", {"status": "ok", "response": {}}])
    );
    assert_eq!(
        json_of(&reply_error(&asked, "t", UNMATCHED_TOPIC, "")),
        json!(["1", "2", "t", "phx_reply", {"status": "error", "response": {"reason": "unmatched topic"}}])
    );
    assert_eq!(
        json_of(&reply_error(&asked, "t", "bad", "say \"please\"")),
        json!(["1", "2", "t", "phx_reply",
            {"status": "error", "response": {"reason": "bad", "message": "say \"please\""}}])
    );
    assert_eq!(
        json_of(&close(jr, "t")),
        json!(["1", "1", "t", "phx_close", {}])
    );
    assert_eq!(
        json_of(&error(jr, "t", "why")),
        json!(["1", "1", "t", "phx_error", {"reason": "why"}])
    );
    let (v1, v2) = ("0.1.0".parse().unwrap(), "0.2.0".parse().unwrap());
    assert_eq!(
        json_of(&release("t", &v1, &v2)),
        json!([null, null, "t", "host:release", {"version": "0.1.0", "plugin": "0.2.0"}])
    );
}

#[test]
fn a_broadcast_carries_its_sequence_in_the_payload() {
    for (payload, expected) in [
        (r#"{"a":"1.10"}"#, r#"{"a":"1.10","seq":7}"#),
        ("{ }", r#"{"seq":7}"#),
        ("{\"a\":{\"b\":[]} \n}", r#"{"a":{"b":[]},"seq":7}"#),
        ("[1,2]", r#"{"value":[1,2],"seq":7}"#),
    ] {
        let frame = news(&Ref::none(), &news_of(payload));
        assert_eq!(
            text(&frame),
            format!(r#"[null,null,"d:ü","got",{expected}]"#)
        );
    }
}

#[test]
fn only_version_two_is_spoken() {
    assert!(speaks("2.0.0") && speaks("2.0.7"));
    for vsn in ["", "1.0.0", "2.1.0", "2", "3.0.0", "2.0.0-rc.1", "x"] {
        assert!(!speaks(vsn), "{vsn}");
    }
}

fn binary(fields: [&str; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend(fields.map(|field| field.len() as u8));
    bytes.extend(fields.concat().as_bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn a_binary_push_is_the_same_message_and_is_answered_in_binary() {
    let bytes = binary(["3", "7", "room:ü", "new"], b" {\"a\":1} ");
    let message = Incoming::parse_binary(&bytes).unwrap();
    assert_eq!((&*message.topic, &*message.event), ("room:ü", "new"));
    assert_eq!(message.payload, "{\"a\":1}");
    let text = asked(r#"["3","7","room:ü","new",{}]"#);
    assert_eq!(message.asked.join_ref, text.join_ref);
    let reply = reply_ok(&message.asked, "room:ü", b"[1]");
    assert!(!reply.is_text());
    assert_eq!(reply.payload(), b"\x01\x01\x01\x07\x0237room:\xc3\xbcok[1]");
    let reply = reply_error(&message.asked, "r", "bad", "");
    assert_eq!(
        reply.payload(),
        b"\x01\x01\x01\x01\x0537rerror{\"reason\":\"bad\"}"
    );
}

#[test]
fn binary_data_that_is_no_json_is_no_payload_and_a_frame_may_end_anywhere() {
    let bytes = binary(["", "7", "t", "e"], b"{\"a\":\xff}");
    let message = Incoming::parse_binary(&bytes).unwrap();
    assert_eq!((message.payload, message.asked.join_ref), ("", Ref(None)));
    let whole = binary(["1", "2", "topic", "event"], b"");
    for end in 0..whole.len() {
        assert_eq!(
            Incoming::parse_binary(&whole[..end]).unwrap_err(),
            Malformed::Binary
        );
    }
    let long = "1".repeat(REF_BYTES_MAX);
    for (bytes, expected) in [
        (vec![1, 0, 0, 0, 0], Malformed::Binary),
        (b"\0\0\0\x01\0\xff".to_vec(), Malformed::Binary),
        (binary([&long, "", "t", "e"], b"{}"), Malformed::Ref),
        (
            binary(["", "", "t", &"e".repeat(EVENT_BYTES_MAX + 1)], b"{}"),
            Malformed::Event,
        ),
    ] {
        assert_eq!(
            Incoming::parse_binary(&bytes).unwrap_err(),
            expected,
            "{bytes:?}"
        );
    }
}
