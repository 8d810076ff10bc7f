//! Idempotency keys: who asks again gets the first answer again.
//!
//! A key's answer is a row, written in the transaction of the record that it goes
//! with. Until that is durable it is known to the actor's state in memory, which is
//! dropped when the record is lost: so of the two one always knows it, and a key is
//! looked up by the holder of the actor's claim, in the actor's one line.

use std::collections::VecDeque;

use bytes::Bytes;
use host_journal::{AnswerKey, KeptAnswer, Position, ReadError, Rows};
use host_model::effect::Rejection;
use host_model::error::chain;
use host_model::limits::{ANSWERS_KEPT, IDEMPOTENCY_KEY_BYTES_MAX, KEYS_UNDER_WAY_MAX};
use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use sha2::{Digest, Sha256};

use crate::Actors;
use crate::clock::unix_ms;
use crate::message::{Answer, CallError, Request};
use crate::slots::Claim;

/// Steps in which answers are forgotten before housekeeping looks at other things.
const STEPS_MAX: usize = 256;

/// A command's key, and a digest of its payload as it came.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    pub(crate) key: AnswerKey,
    digest: [u8; 32],
}

/// What is known of a key.
pub(crate) enum Known {
    /// Nothing: the command is executed.
    New(Box<Keyed>),
    /// It was answered before, or the command contradicts the one that was.
    Answered(Result<Answer, CallError>),
    /// Too many are under way to remember another one.
    Wait,
}

/// Answers of an actor whose records may not be durable yet, in their order.
#[derive(Debug, Default)]
pub(crate) struct UnderWay(VecDeque<Pending>);

#[derive(Debug)]
struct Pending {
    position: Position,
    key: AnswerKey,
    answer: KeptAnswer,
}

impl Keyed {
    pub(crate) fn new(key: AnswerKey, payload: &[u8]) -> Self {
        let payload = match payload.trim_ascii() {
            b"" => b"{}",
            payload => payload,
        };
        Self {
            key,
            digest: Sha256::digest(payload).into(),
        }
    }

    fn of(request: &Request, key: &str) -> Self {
        let key = AnswerKey {
            actor: request.actor.clone(),
            event: request.event.clone(),
            principal: request.principal.clone(),
            key: key.to_owned(),
        };
        Self::new(key, &request.payload)
    }

    /// What is kept of an answer to the command.
    pub(crate) fn answered(&self, reply: &Bytes, seq: u64) -> Box<(AnswerKey, KeptAnswer)> {
        let answer = KeptAnswer {
            digest: self.digest,
            reply: reply.clone(),
            seq,
            time_ms: unix_ms(),
        };
        Box::new((self.key.clone(), answer))
    }

    /// The kept answer, if it is one to this very command.
    fn again(&self, kept: &KeptAnswer) -> Result<Answer, CallError> {
        if kept.digest == self.digest {
            return Ok(Answer {
                reply: kept.reply.clone(),
                seq: kept.seq,
                replayed: true,
            });
        }
        Err(CallError::Rejected(Rejection {
            reason: "conflict".to_owned(),
            message: format!(
                "the idempotency key {:?} was used for {} with another body; use a new key for \
                 a new command",
                self.key.key, self.key.event
            ),
        }))
    }
}

impl UnderWay {
    /// Forgets those that the journal knows.
    pub(crate) fn forget(&mut self, durable: Position) {
        while self.0.pop_front_if(|it| it.position <= durable).is_some() {}
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, key: &AnswerKey) -> Option<&KeptAnswer> {
        let found = self.0.iter().find(|pending| pending.key == *key);
        found.map(|pending| &pending.answer)
    }

    pub(crate) fn push(&mut self, position: Position, key: AnswerKey, answer: KeptAnswer) {
        self.0.push_back(Pending {
            position,
            key,
            answer,
        });
    }
}

impl Actors {
    /// What is known of a request's key, by its claimed actor and the journal.
    pub(crate) fn known(&self, claim: &mut Claim, request: &Request, key: &str) -> Known {
        let keyed = Box::new(Keyed::of(request, key));
        let durable = self.durable_of(claim.at);
        let Some(live) = claim.live.as_mut() else {
            return Known::Answered(Err(CallError::Stopping));
        };
        if let Some(keys) = live.keys(durable) {
            if let Some(kept) = keys.get(&keyed.key) {
                return Known::Answered(keyed.again(kept));
            } else if keys.0.len() >= KEYS_UNDER_WAY_MAX {
                return Known::Wait;
            }
        }
        if !live.exists() {
            return Known::New(keyed);
        }
        match self.kept(&keyed) {
            Some(answer) => Known::Answered(answer),
            None => Known::New(keyed),
        }
    }

    /// What the journal has kept under a key.
    pub(crate) fn kept(&self, keyed: &Keyed) -> Option<Result<Answer, CallError>> {
        let read = self.looking.run(|| self.journal.answer(&keyed.key));
        match read {
            Ok(kept) => kept.map(|kept| keyed.again(&kept)),
            // The first command's outcome may be what is not known.
            Err(ReadError::Closed) => Some(Err(CallError::OutcomeUnknown)),
            // Nor is it known whether the command was taken before.
            Err(error) => {
                tracing::error!(error = chain(&error), actor = %keyed.key.actor,
                    "an idempotency key could not be looked up");
                Some(Err(CallError::OutcomeUnknown))
            }
        }
    }

    /// Forgets answers that have been kept for long enough, a few at a time.
    pub(crate) async fn forget_answers(&self) {
        let kept_ms = i64::try_from(ANSWERS_KEPT.as_millis()).unwrap_or(i64::MAX);
        let before_ms = unix_ms().saturating_sub(kept_ms);
        for _ in 0..STEPS_MAX {
            let oldest = tokio::task::block_in_place(|| self.journal.oldest_answer());
            match oldest {
                Ok(Some(time_ms)) if time_ms < before_ms && !self.is_stopping() => {}
                Ok(_) => return,
                Err(error) => return tracing::warn!(%error, "old answers could not be looked for"),
            }
            let step = self.write_rows(|| Rows {
                answers_before_ms: Some(before_ms),
                ..Rows::default()
            });
            if let Err(lost) = step.await {
                return tracing::warn!(%lost, "old answers could not be forgotten");
            }
        }
    }
}

/// The text or number in `field` of a JSON object, if it has one that may be a key.
pub(crate) fn declared(payload: &[u8], field: &str) -> Option<String> {
    struct Field<'a>(&'a str);

    impl<'de> Visitor<'de> for Field<'_> {
        type Value = Option<serde_json::Value>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                if *name == *self.0 {
                    found = Some(map.next_value()?);
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }

    let mut json = serde_json::Deserializer::from_slice(payload);
    let key = match json.deserialize_map(Field(field)).ok()?? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (1..=IDEMPOTENCY_KEY_BYTES_MAX)
        .contains(&key.len())
        .then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyed(key: &str, payload: &[u8]) -> Keyed {
        let key = AnswerKey {
            actor: "faulty:a".parse().unwrap(),
            event: "add".to_owned(),
            principal: String::new(),
            key: key.to_owned(),
        };
        Keyed::new(key, payload)
    }

    #[test]
    fn a_declared_key_is_found_wherever_it_stands() {
        for (payload, key) in [
            (r#"{"id":"a"}"#, Some("a")),
            (r#"{"x":{"id":"no"},"id":7,"y":[1]}"#, Some("7")),
            (r#"{"\u0069d":"escaped"}"#, Some("escaped")),
            (r#"{"id":null}"#, None),
            (r#"{"id":""}"#, None),
            (r#"["id"]"#, None),
            ("", None),
        ] {
            assert_eq!(
                declared(payload.as_bytes(), "id").as_deref(),
                key,
                "{payload}"
            );
        }
        let long = format!(r#"{{"id":"{}"}}"#, "x".repeat(256));
        assert_eq!(declared(long.as_bytes(), "id"), None);
    }

    #[test]
    fn another_body_is_a_conflict_and_no_body_is_an_empty_one() {
        let (_, kept) = *keyed("k", b"").answered(&Bytes::from_static(b"{}"), 7);
        let again = keyed("k", b" {} ").again(&kept).unwrap();
        assert_eq!((again.seq, again.replayed), (7, true));
        let other = keyed("k", b"{\"by\":1}").again(&kept).unwrap_err();
        assert_eq!(other.reason(), "conflict");
    }

    #[test]
    fn what_is_durable_is_forgotten() {
        let mut keys = UnderWay::default();
        for position in 1..=3 {
            let (key, kept) = *keyed(&position.to_string(), b"").answered(&Bytes::new(), 1);
            keys.push(Position(position), key, kept);
        }
        keys.forget(Position(2));
        assert!(keys.get(&keyed("2", b"").key).is_none());
        assert!(keys.get(&keyed("3", b"").key).is_some());
        keys.forget(Position(3));
        assert!(keys.is_empty());
    }
}
