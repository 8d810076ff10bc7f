//! What a session does for each message, without a socket.

mod identity;
mod joins;

use host_actors::{Missed, News, NotResumed};
use host_model::ActorId;
use host_model::effect::Rejection;
use host_model::limits::CHANNELS_MAX;
use serde_json::{Value, json};

use super::*;
use crate::phoenix::tests::text as text_of;

/// What an action shows of itself.
#[derive(Debug, PartialEq)]
enum Seen {
    Sent(Value),
    Subscribed(String),
    Unsubscribed(String),
    /// Topic, after, until, version.
    Resumes(String, u64, Option<u64>, String),
    Entered(String),
    Left(String),
    Renewed(String),
    /// Topic, event, payload, version; whether it must be a query.
    Called(String, String, String, String, bool),
}

struct Client {
    session: Session,
    tickets: Vec<Ticket>,
    resumes: Vec<Resume>,
    /// How often a bound was reached.
    refused: usize,
    now: Instant,
}

impl Default for Client {
    fn default() -> Self {
        Self::of(Caller::unasked(), None)
    }
}

fn ruling(topic: &ActorId) -> Option<Ruling> {
    let version = match topic.plugin() {
        "donations" => Version::new(0, 2, 0),
        "audit" => Version::new(0, 1, 0),
        _ => return None,
    };
    let has_summary = topic.plugin() == "donations";
    Some(Ruling {
        version,
        has_summary,
    })
}

impl Client {
    fn of(caller: Caller, limiter: Option<Limiter>) -> Self {
        Self {
            session: Session::new(Entered { caller, limiter }),
            tickets: Vec::new(),
            resumes: Vec::new(),
            refused: 0,
            now: Instant::now(),
        }
    }

    fn says(&mut self, message: Value) -> Vec<Seen> {
        let mut actions = Vec::new();
        let text = message.to_string();
        let message = Incoming::parse(&text).unwrap();
        self.session
            .on_message(&message, self.now, ruling, &mut actions);
        self.see(actions)
    }

    /// Ends the oldest call.
    fn answered(&mut self, result: Result<Answer, CallError>) -> Vec<Seen> {
        let ticket = self.tickets.remove(0);
        let mut actions = Vec::new();
        self.session
            .on_answer(Answered { ticket, result }, &mut actions);
        self.see(actions)
    }

    fn crashed(&mut self, topic: &str) -> Vec<Seen> {
        let mut actions = Vec::new();
        let topic = topic.parse().unwrap();
        self.session.on_crash(&topic, "it broke", &mut actions);
        self.see(actions)
    }

    /// Has the journal give what was missed.
    fn resumed(&mut self, through: u64, news: Result<Vec<News>, NotResumed>) -> Vec<Seen> {
        let missed = Missed { through, news };
        let resumed = self.resumes.remove(0).with(missed);
        let mut actions = Vec::new();
        self.session.on_resumed(*resumed, &mut actions);
        self.see(actions)
    }

    /// Has something told on donations:a; what is sent of it.
    fn told(&mut self, seq: u64) -> Vec<Seen> {
        let news = news(seq);
        let live = Arc::new(Live::News {
            topic: news.actor.clone(),
            seq,
            frame: phoenix::news(&Ref::none(), &news),
        });
        let mut actions = Vec::new();
        let frame = self.session.on_live(&live, &mut actions);
        let mut seen = self.see(actions);
        seen.extend(frame.iter().map(read_back));
        seen
    }

    fn joined(topic: &str) -> Self {
        let mut client = Self::default();
        client.says(json!(["1", "1", topic, "phx_join", {}]));
        client.answered(answer("{}", 1));
        client
    }

    fn see(&mut self, actions: Vec<Action>) -> Vec<Seen> {
        let seen = actions.into_iter().map(|action| match action {
            Action::Send(frame) => read_back(&frame),
            Action::Refuse(frame) => {
                self.refused += 1;
                read_back(&frame)
            }
            Action::Subscribe(topic, _) => Seen::Subscribed(topic.to_string()),
            Action::Limit(frame, _) => {
                self.refused += 1;
                read_back(&frame)
            }
            Action::Renew { token, .. } => Seen::Renewed(token),
            Action::Enter(topic, ..) => Seen::Entered(topic.to_string()),
            Action::Leave(topic) => Seen::Left(topic.to_string()),
            Action::Resume(resume) => {
                let Resume {
                    topic,
                    after,
                    until,
                    stamp,
                    ..
                } = &*resume;
                let seen = Seen::Resumes(topic.to_string(), *after, *until, stamp.to_string());
                self.resumes.push(*resume);
                seen
            }
            Action::Unsubscribe(topic) => Seen::Unsubscribed(topic.to_string()),
            Action::Call(call) => {
                let Call { request, ticket } = *call;
                self.tickets.push(ticket);
                Seen::Called(
                    request.actor.to_string(),
                    request.event,
                    String::from_utf8(request.payload.to_vec()).unwrap(),
                    request.version.unwrap().to_string(),
                    request.only != Only::Either,
                )
            }
        });
        seen.collect()
    }
}

fn news(seq: u64) -> News {
    News {
        actor: "donations:a".parse().unwrap(),
        seq,
        version: Version::new(0, 2, 0),
        event: "got".into(),
        payload: serde_json::value::RawValue::from_string("{}".into()).unwrap(),
    }
}

fn got(join_ref: Option<&str>, seq: u64) -> Seen {
    sent(json!([join_ref, null, "donations:a", "got", {"seq": seq}]))
}

fn read_back(frame: &Encoded) -> Seen {
    Seen::Sent(serde_json::from_str(&text_of(frame)).unwrap())
}

fn answer(reply: &str, seq: u64) -> Result<Answer, CallError> {
    let reply = Bytes::copy_from_slice(reply.as_bytes());
    Ok(Answer {
        reply,
        seq,
        replayed: false,
    })
}

fn rejected(reason: &str) -> Result<Answer, CallError> {
    Err(CallError::Rejected(Rejection {
        reason: reason.into(),
        message: "no".into(),
    }))
}

fn sent(value: Value) -> Seen {
    Seen::Sent(value)
}

fn ok(jr: &str, r: &str, topic: &str, response: Value) -> Seen {
    sent(json!([jr, r, topic, "phx_reply", {"status": "ok", "response": response}]))
}

fn reason(seen: &[Seen]) -> &str {
    match seen {
        [Seen::Sent(message)] if message[4]["status"] == "error" => {
            message[4]["response"]["reason"].as_str().unwrap()
        }
        other => panic!("{other:?} is not one error"),
    }
}

fn called(event: &str, payload: &str, query: bool) -> Seen {
    let topic = "donations:a".to_owned();
    Seen::Called(topic, event.into(), payload.into(), "0.2.0".into(), query)
}

#[test]
fn a_heartbeat_is_answered_whatever_is_under_way() {
    let mut client = Client::joined("donations:a");
    client.says(json!(["1", "2", "donations:a", "donate", {}]));
    assert_eq!(
        client.says(json!([null, "7", "phoenix", "heartbeat", {}])),
        [sent(
            json!([null, "7", "phoenix", "phx_reply", {"status": "ok", "response": {}}])
        )]
    );
}

#[test]
fn a_join_subscribes_first_and_then_asks_for_the_summary() {
    let mut client = Client::default();
    assert_eq!(
        client.says(json!(["3", "3", "donations:a", "phx_join", {"token": "x"}])),
        [
            Seen::Subscribed("donations:a".into()),
            called("summary", "", true)
        ]
    );
    let response = json!({"summary": {"total": "5.00"}, "seq": 12});
    assert_eq!(
        client.answered(answer(r#"{"total":"5.00"}"#, 12)),
        [ok("3", "3", "donations:a", response)]
    );
}

#[test]
fn a_join_works_without_a_summary() {
    let mut client = Client::default();
    let nothing = json!({"summary": null, "seq": null});
    assert_eq!(
        client.says(json!(["3", "3", "audit:a", "phx_join", {}])),
        [
            Seen::Subscribed("audit:a".into()),
            ok("3", "3", "audit:a", nothing.clone())
        ]
    );
    client.says(json!(["4", "4", "donations:a", "phx_join", {}]));
    assert_eq!(
        client.answered(rejected("campaign_not_open")),
        [ok("4", "4", "donations:a", nothing)]
    );
}

#[test]
fn a_topic_that_no_one_serves_is_unmatched() {
    let mut client = Client::default();
    for topic in ["room:lobby", "donations", "donations:", "phoenix", ""] {
        let join = json!(["3", "3", topic, "phx_join", {}]);
        assert_eq!(reason(&client.says(join)), UNMATCHED_TOPIC, "{topic}");
        let push = json!(["3", "4", topic, "donate", {}]);
        assert_eq!(reason(&client.says(push)), UNMATCHED_TOPIC, "{topic}");
    }
}

#[test]
fn a_join_that_fails_leaves_nothing_joined() {
    let mut client = Client::default();
    client.says(json!(["3", "3", "donations:a", "phx_join", {}]));
    let seen = client.answered(Err(CallError::Overloaded));
    assert_eq!(seen[1..], [Seen::Unsubscribed("donations:a".into())]);
    assert_eq!(reason(&seen[..1]), "overloaded");
    let push = json!(["3", "4", "donations:a", "donate", {}]);
    assert_eq!(reason(&client.says(push)), UNMATCHED_TOPIC);
}

#[test]
fn a_push_is_a_call_in_the_shape_of_the_join() {
    let mut client = Client::joined("donations:a");
    let payload = json!({"amount": "1.10"});
    assert_eq!(
        client.says(json!(["1", "2", "donations:a", "donate", payload])),
        [called("donate", r#"{"amount":"1.10"}"#, false)]
    );
    assert_eq!(
        client.answered(answer(r#"{"receipt_no":1}"#, 2)),
        [ok("1", "2", "donations:a", json!({"receipt_no": 1}))]
    );
    client.says(json!([null, "3", "donations:a", "donate", {}]));
    assert_eq!(
        client.answered(rejected("bad_amount")),
        [sent(json!([null, "3", "donations:a", "phx_reply",
            {"status": "error", "response": {"reason": "bad_amount", "message": "no"}}]))]
    );
}

#[test]
fn a_second_join_takes_the_place_of_the_first_after_its_own_reply() {
    let mut client = Client::joined("donations:a");
    assert_eq!(
        client.says(json!(["5", "5", "donations:a", "phx_join", {}])),
        [
            Seen::Subscribed("donations:a".into()),
            called("summary", "", true)
        ]
    );
    let stale = json!(["1", "6", "donations:a", "donate", {}]);
    assert_eq!(client.says(stale), []);
    assert_eq!(
        client.answered(answer("{}", 3)),
        [
            ok("5", "5", "donations:a", json!({"summary": {}, "seq": 3})),
            sent(json!(["1", "1", "donations:a", "phx_close", {}])),
        ]
    );
    let stale = json!(["1", "7", "donations:a", "phx_leave", {}]);
    assert_eq!(client.says(stale), []);
    let push = json!(["5", "8", "donations:a", "donate", {}]);
    assert_eq!(client.says(push), [called("donate", "{}", false)]);
}

#[test]
fn a_failed_second_join_does_not_end_a_third() {
    let mut client = Client::default();
    client.says(json!(["1", "1", "donations:a", "phx_join", {}]));
    client.says(json!(["2", "2", "donations:a", "phx_join", {}]));
    let seen = client.answered(Err(CallError::Overloaded));
    assert_eq!(reason(&seen), "overloaded");
    client.answered(answer("{}", 1));
    let push = json!(["2", "3", "donations:a", "donate", {}]);
    assert_eq!(client.says(push), [called("donate", "{}", false)]);
}

#[test]
fn a_leave_is_answered_and_then_the_channel_closed() {
    let mut client = Client::joined("donations:a");
    assert_eq!(
        client.says(json!(["1", "2", "donations:a", "phx_leave", {}])),
        [
            Seen::Unsubscribed("donations:a".into()),
            ok("1", "2", "donations:a", json!({})),
            sent(json!(["1", "1", "donations:a", "phx_close", {}])),
        ]
    );
    assert_eq!(
        client.says(json!(["1", "3", "donations:a", "phx_leave", {}])),
        [ok("1", "3", "donations:a", json!({}))]
    );
}

#[test]
fn a_crash_ends_the_channel_and_the_client_joins_again() {
    let mut client = Client::joined("donations:a");
    assert_eq!(
        client.crashed("donations:a"),
        [
            Seen::Unsubscribed("donations:a".into()),
            sent(json!(["1", "1", "donations:a", "phx_error", {"reason": "it broke"}])),
        ]
    );
    assert_eq!(client.crashed("donations:a"), []);
    let join = client.says(json!(["2", "2", "donations:a", "phx_join", {}]));
    assert_eq!(join[0], Seen::Subscribed("donations:a".into()));
}

#[test]
fn a_payload_is_an_object_within_its_bound() {
    let mut client = Client::joined("donations:a");
    for payload in [json!(null), json!([]), json!("x"), json!(1)] {
        let push = json!(["1", "2", "donations:a", "donate", payload]);
        assert_eq!(reason(&client.says(push)), "bad_payload");
    }
    let payload = json!({"x": "y".repeat(PAYLOAD_BYTES_MAX)});
    let push = json!(["1", "2", "donations:a", "donate", payload]);
    assert_eq!(reason(&client.says(push)), "payload_too_large");
}

#[test]
fn calls_under_way_are_bounded_in_number_and_bytes() {
    let mut client = Client::joined("donations:a");
    let push = json!(["1", "2", "donations:a", "donate", {}]);
    for _ in 0..CALLS_MAX {
        assert_eq!(client.says(push.clone()).len(), 1);
    }
    assert_eq!(reason(&client.says(push.clone())), "too_many_calls");
    assert_eq!(client.refused, 1);
    client.answered(answer("{}", 1));
    assert_eq!(client.says(push.clone()), [called("donate", "{}", false)]);

    let mut client = Client::joined("donations:a");
    let payload = json!({"x": "y".repeat(PAYLOAD_BYTES_MAX / 2)});
    let big = json!(["1", "2", "donations:a", "donate", payload]);
    let fit = (0..100).take_while(|_| matches!(client.says(big.clone())[..], [Seen::Called(..)]));
    assert_eq!(fit.count(), CALL_BYTES_MAX / (PAYLOAD_BYTES_MAX / 2) - 1);
    while !client.tickets.is_empty() {
        client.answered(answer("{}", 1));
    }
    assert_eq!((client.session.calls, client.session.call_bytes), (0, 0));
}

#[test]
fn channels_are_bounded() {
    let mut client = Client::default();
    for number in 0..CHANNELS_MAX {
        client.says(json!(["1", "1", format!("audit:{number}"), "phx_join", {}]));
    }
    let join = json!(["1", "1", "audit:more", "phx_join", {}]);
    assert_eq!(reason(&client.says(join.clone())), "too_many_channels");
    assert_eq!(client.refused, 1);
    client.says(json!(["1", "1", "audit:0", "phx_leave", {}]));
    assert_eq!(client.says(join)[0], Seen::Subscribed("audit:more".into()));
    assert_eq!(client.session.end().count(), CHANNELS_MAX);
}
