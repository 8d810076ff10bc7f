//! Messages in and out, as clients write and read them.

use serde_json::{Value, json};

use super::*;

/// The text of a frame without its header.
pub(crate) fn text(frame: &Encoded) -> String {
    let bytes = frame.as_bytes();
    let head = match bytes[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    String::from_utf8(bytes[head..].to_vec()).unwrap()
}

fn json_of(frame: &Encoded) -> Value {
    serde_json::from_str(&text(frame)).unwrap()
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn refs(text: &str) -> (Ref, Ref) {
    let message = Incoming::parse(text).unwrap();
    (message.join_ref, message.message_ref)
}

#[test]
fn a_message_is_read_and_its_payload_left_as_it_is() {
    let text = r#"["3","5","room:\u0031","new\nmsg",{"a" : 1.10}]"#;
    let message = Incoming::parse(text).unwrap();
    assert_eq!((&*message.topic, &*message.event), ("room:1", "new\nmsg"));
    assert_eq!(message.payload, r#"{"a" : 1.10}"#);
    assert_eq!(message.message_ref.as_json(), "\"5\"");
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
    let (join_ref, message_ref) = refs(r#"[7,"a\"b","t","e",{}]"#);
    let frame = reply_ok(&join_ref, &message_ref, "t", br#"{"n":1}"#);
    assert_eq!(
        text(&frame),
        r#"[7,"a\"b","t","phx_reply",{"status":"ok","response":{"n":1}}]"#
    );
}

#[test]
fn frames_are_those_of_phoenix() {
    let (jr, r) = refs(r#"["1","2","t","e",{}]"#);
    assert_eq!(
        json_of(&reply_ok(&jr, &r, "t", b"")),
        json!(["1", "2", "t", "phx_reply", {"status": "ok", "response": {}}])
    );
    assert_eq!(
        json_of(&reply_error(&jr, &r, "t", UNMATCHED_TOPIC, "")),
        json!(["1", "2", "t", "phx_reply", {"status": "error", "response": {"reason": "unmatched topic"}}])
    );
    assert_eq!(
        json_of(&reply_error(&jr, &r, "t", "bad", "say \"please\"")),
        json!(["1", "2", "t", "phx_reply",
            {"status": "error", "response": {"reason": "bad", "message": "say \"please\""}}])
    );
    assert_eq!(
        json_of(&close(&jr, "t")),
        json!(["1", "1", "t", "phx_close", {}])
    );
    assert_eq!(
        json_of(&error(&jr, "t", "why")),
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
        let frame = broadcast("d:ü", 7, "got", &raw(payload));
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
