//! Long polls: what the client of Phoenix sends, one request at a time.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::*;
use crate::limits::{POLL_BODY_BYTES_MAX, POLL_LINES_MAX, POLL_SESSIONS_MAX};

const HEARTBEAT: &str = r#"[null,"7","phoenix","heartbeat",{}]"#;
const ANSWER: &str = r#"[null,"7","phoenix","phx_reply",{"status":"ok","response":{}}]"#;

impl Host {
    fn asks_longpoll(&self, method: &str, query: &str, body: &str) -> Value {
        let length = body.len();
        let answer = self.ask(&format!(
            "{method} /socket/longpoll?vsn=2.0.0&{query} HTTP/1.1\nContent-Length: {length}\n\n{body}"
        ));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap()
    }

    fn polls(&self, token: &str) -> Value {
        self.asks_longpoll("GET", &format!("token={token}"), "")
    }

    fn posts(&self, token: &str, body: &str) -> Value {
        self.asks_longpoll("POST", &format!("token={token}"), body)
    }

    fn opens(&self) -> String {
        let opened = self.asks_longpoll("GET", "token=of-its-own&", "");
        assert_eq!(
            (&opened["status"], &opened["messages"]),
            (&json!(410), &json!([]))
        );
        opened["token"].as_str().unwrap().to_owned()
    }
}

#[test]
fn a_session_is_opened_and_gives_back_what_comes() {
    let host = Host::start();
    let token = host.opens();
    assert_ne!(token, host.opens());
    assert_eq!(host.gateway.connections(), 2);
    let lines = [HEARTBEAT, HEARTBEAT].join("\n");
    assert_eq!(host.posts(&token, &lines)["status"], 200);
    let polled = host.polls(&token);
    assert_eq!(polled["status"], 200);
    assert_eq!(polled["messages"], json!([ANSWER, ANSWER]));
    assert_eq!(
        polled["token"], *token,
        "the client goes on with what it was told last"
    );
    assert_eq!(host.stop(), None);
}

#[test]
fn a_poll_waits_for_what_comes() {
    let host = Host::start();
    let token = host.opens();
    std::thread::scope(|scope| {
        let polled = scope.spawn(|| host.polls(&token));
        host.posts(&token, HEARTBEAT);
        assert_eq!(polled.join().unwrap()["messages"], json!([ANSWER]));
    });
}

#[test]
fn a_later_poll_takes_the_place_of_the_one_that_waits() {
    let host = Host::start();
    let token = host.opens();
    let session = host.app.polls.find(&token).unwrap();
    std::thread::scope(|scope| {
        let first = scope.spawn(|| host.polls(&token));
        wait_until("the first waits", || session.waiting() == 1);
        let second = scope.spawn(|| host.polls(&token));
        assert_eq!(first.join().unwrap()["status"], 204);
        host.posts(&token, HEARTBEAT);
        assert_eq!(second.join().unwrap()["messages"], json!([ANSWER]));
    });
}

#[test]
fn a_binary_message_is_a_line_of_base64_and_is_answered_as_text() {
    let host = Host::start();
    let token = host.opens();
    let mut push = vec![0, 0, 1, 7, 9];
    push.extend(b"7phoenixheartbeat{}");
    host.posts(&token, &STANDARD.encode(push));
    assert_eq!(host.polls(&token)["messages"], json!([ANSWER]));
}

#[test]
fn who_sends_nonsense_has_no_session_any_more() {
    let host = Host::start();
    let too_long = "x".repeat(POLL_BODY_BYTES_MAX + 1);
    let too_many = [HEARTBEAT; POLL_LINES_MAX + 1].join("\n");
    for (body, status) in [
        ("nonsense", 400),
        ("[]", 400),
        ("[1,2", 400),
        (&too_long, 413),
        (&too_many, 413),
    ] {
        let token = host.opens();
        assert_eq!(host.posts(&token, body)["status"], status);
        let gone = host.polls(&token);
        assert_eq!(
            (&gone["status"], &gone["token"]),
            (&json!(410), &Value::Null)
        );
        assert_eq!(host.posts(&token, HEARTBEAT)["status"], 410);
    }
    assert_eq!(host.gateway.connections(), 0);
    let refused = host.ask("GET /socket/longpoll?vsn=1.0.0 HTTP/1.1");
    assert!(refused.contains(r#"{"status":403,"#), "{refused}");
}

#[test]
fn a_client_that_goes_takes_its_session_with_it() {
    let host = Host::start();
    let token = host.opens();
    let mut stream = host.connect();
    let poll = format!("GET /socket/longpoll?vsn=2.0.0&token={token} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(poll.as_bytes()).unwrap();
    let session = host.app.polls.find(&token).unwrap();
    wait_until("it waits", || session.waiting() == 1);
    drop(stream);
    wait_until("it is gone", || host.gateway.connections() == 0);
    assert_eq!(host.polls(&token)["status"], 410);
}

#[test]
fn a_silent_client_is_forgotten_and_one_that_waits_is_not() {
    let host = Host::start();
    let [silent, waiting] = [host.opens(), host.opens()];
    let session = host.app.polls.find(&waiting).unwrap();
    let later = tokio::time::Instant::now() + host_model::limits::IDLE_TIMEOUT;
    std::thread::scope(|scope| {
        let polled = scope.spawn(|| host.polls(&waiting));
        wait_until("it waits", || session.waiting() == 1);
        host.app.polls.end_idle(later);
        host.posts(&waiting, HEARTBEAT);
        assert_eq!(polled.join().unwrap()["status"], 200);
    });
    assert_eq!(host.polls(&silent)["status"], 410);
}

#[test]
fn sessions_are_bounded() {
    let host = Host::start();
    for _ in 0..POLL_SESSIONS_MAX {
        assert!(open_one(&host));
    }
    let refused = host.asks_longpoll("GET", "", "");
    assert_eq!(refused["status"], 500, "{refused}");
    let counted = host.gateway.counters().over_limit.load(Ordering::Relaxed);
    assert_eq!(counted, 1);
}

fn open_one(host: &Host) -> bool {
    let entered = crate::guard::Entered {
        caller: crate::guard::Caller::unasked(),
        limiter: None,
    };
    let client = crate::client::Client::new(&host.app, entered);
    host.app.polls.open(client, &host.app.shared).is_some()
}

#[test]
fn a_stop_ends_a_poll_so_that_its_client_comes_back() {
    let host = Host::start();
    let token = host.opens();
    let session = host.app.polls.find(&token).unwrap();
    std::thread::scope(|scope| {
        let polled = scope.spawn(|| host.polls(&token));
        wait_until("it waits", || session.waiting() == 1);
        assert_eq!(host.stop(), None);
        assert_eq!(polled.join().unwrap()["status"], 410);
    });
    assert_eq!(host.gateway.connections(), 0);
}
