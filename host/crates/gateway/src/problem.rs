//! Errors over HTTP: problem details (RFC 9457), and the status of each reason.

use std::time::Duration;

use axum::http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use host_actors::CallError;
use host_model::limits::RETRY_AFTER;
use serde::Serialize;

/// An answer that is an error: `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// One snake-case word for programs.
    pub(crate) reason: String,
    /// A sentence for people.
    pub(crate) detail: String,
    /// When it is worth trying again, if that is known.
    retry_after: Option<Duration>,
}

/// What may be answered instead of a reply, by status.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    /// As the description of the API calls it.
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// The host's own.
    pub(crate) reasons: &'static [&'static str],
}

/// All that a call can come to.
pub(crate) const FAILURES: &[Failure] = &[
    Failure {
        status: 400,
        name: "BadRequest",
        description: "The request does not say what it is to say.",
        reasons: &["bad_payload", "bad_path", "bad_idempotency_key"],
    },
    Failure {
        status: 401,
        name: "Unauthorized",
        description: "The token that was sent is not taken.",
        reasons: &["bad_token", "token_expired"],
    },
    Failure {
        status: 403,
        name: "Forbidden",
        description: "The plugin does not let this caller do it.",
        reasons: &["forbidden"],
    },
    Failure {
        status: 404,
        name: "NotFound",
        description: "The release that rules has no such plugin, command or query.",
        reasons: &["unknown_plugin", "unknown_event", "unknown_query"],
    },
    Failure {
        status: 408,
        name: "RequestTimeout",
        description: "The body has not come in time.",
        reasons: &["body_timeout"],
    },
    Failure {
        status: 413,
        name: "PayloadTooLarge",
        description: "The body is too large.",
        reasons: &["payload_too_large"],
    },
    Failure {
        status: 415,
        name: "UnsupportedEncoding",
        description: "The body is coded, and is to be sent as it is.",
        reasons: &["unsupported_encoding"],
    },
    Failure {
        status: 422,
        name: "Rejected",
        description: "The plugin says no, and nothing has changed; `reason` is its own.",
        reasons: &["conflict"],
    },
    Failure {
        status: 429,
        name: "TooManyRequests",
        description: "More than this address may do right now.",
        reasons: &["rate_limited", "too_many_connections"],
    },
    Failure {
        status: 500,
        name: "Failed",
        description: "The plugin or the host broke. With `actor_crashed` nothing has changed; \
                      otherwise it may have happened: try again with the same key.",
        reasons: &["actor_crashed", "outcome_unknown", "internal"],
    },
    Failure {
        status: 503,
        name: "Unavailable",
        description: "Refused for a moment only, and nothing has changed.",
        reasons: &[
            "mailbox_full",
            "too_many_actors",
            "overloaded",
            "quarantined",
            "not_woken",
            "not_applied",
            "stopping",
            "too_many_connections",
        ],
    },
    Failure {
        status: 504,
        name: "Timeout",
        description: "No answer in time. It may still happen: try again with the same key.",
        reasons: &["timeout"],
    },
];

#[derive(Serialize)]
struct Body<'a> {
    /// `about:blank`: the status says what kind it is, and `reason` which.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// The same, and when it is worth trying again.
    pub(crate) fn retry_after(self, after: Duration) -> Self {
        Self {
            retry_after: Some(after),
            ..self
        }
    }

    /// What is sent, of the request of this id.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            reason: &self.reason,
            request_id,
            retry_after_ms: self.when_again().map(|after| after.as_millis()),
        };
        serde_json::to_vec(&body).expect("texts and numbers are JSON")
    }

    /// When it is worth trying again: as it was said, or in a moment, if it is refused for a
    /// moment only.
    fn when_again(&self) -> Option<Duration> {
        let for_a_moment = self.status == StatusCode::SERVICE_UNAVAILABLE;
        self.retry_after.or(for_a_moment.then_some(RETRY_AFTER))
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self::new(status(&error), error.reason(), error.to_string())
    }
}

/// Without its body: that comes with the request's id, which
/// [`crate::request_id::identify`] knows.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, problem);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, challenge(&self.detail));
        }
        if let Some(after) = self.when_again() {
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds as u64));
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// What is wrong with a token that was sent (RFC 6750, section 3).
fn challenge(detail: &str) -> HeaderValue {
    let detail: String = detail.chars().filter(|it| *it != '"').collect();
    let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
    // A sentence of ours that is no header could only be one with somebody else's name in it.
    let bare = HeaderValue::from_static("Bearer error=\"invalid_token\"");
    challenge.try_into().unwrap_or(bare)
}

/// 4xx blames the client, 503 invites to try again, 504 and 500 leave it open
/// what has happened.
fn status(error: &CallError) -> StatusCode {
    match error {
        CallError::Rejected(rejection) => match rejection.reason.as_str() {
            "bad_payload" => StatusCode::BAD_REQUEST,
            "unknown_event" => StatusCode::NOT_FOUND,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        },
        CallError::Forbidden(_) => StatusCode::FORBIDDEN,
        CallError::UnknownPlugin { .. } | CallError::NotAQuery { .. } => StatusCode::NOT_FOUND,
        CallError::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        CallError::MailboxFull { .. }
        | CallError::TooManyActors { .. }
        | CallError::Overloaded
        | CallError::Busy { .. }
        | CallError::Quarantined(_)
        | CallError::NotWoken(_)
        | CallError::NotApplied(_)
        | CallError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        CallError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
        CallError::Crashed(_) | CallError::OutcomeUnknown => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use host_model::effect::Rejection;

    use super::*;

    #[test]
    fn a_reason_has_its_status() {
        let rejected = |reason: &str| {
            CallError::Rejected(Rejection {
                reason: reason.into(),
                message: "no".into(),
            })
        };
        for (error, status) in [
            (rejected("bad_payload"), 400),
            (rejected("unknown_event"), 404),
            (rejected("conflict"), 422),
            (rejected("insufficient_funds"), 422),
            (CallError::Forbidden("no".into()), 403),
            (CallError::Overloaded, 503),
            (CallError::Busy { calls: 1, bytes: 2 }, 503),
            (CallError::Stopping, 503),
            (CallError::Timeout { seconds: 9 }, 504),
            (CallError::OutcomeUnknown, 500),
        ] {
            let problem = Problem::from(error.clone());
            assert_eq!(problem.status, status, "{error}");
            assert_eq!(
                error.retry_after().is_some(),
                problem.when_again().is_some(),
                "{error}"
            );
        }
    }

    #[test]
    fn who_may_try_again_is_told_when() {
        let response = Problem::from(CallError::Overloaded).into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let response = Problem::from(CallError::OutcomeUnknown).into_response();
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }

    #[test]
    fn the_body_says_which_request_it_was() {
        let problem = Problem::from(CallError::Overloaded);
        let body: serde_json::Value = serde_json::from_slice(&problem.body("r-1")).unwrap();
        assert_eq!(body["request_id"], "r-1");
        assert_eq!(body["reason"], "overloaded");
        assert_eq!(body["retry_after_ms"], 1_000);
        let problem = Problem::from(CallError::OutcomeUnknown);
        let body: serde_json::Value = serde_json::from_slice(&problem.body("r-1")).unwrap();
        assert!(body.get("retry_after_ms").is_none());
    }

    #[test]
    fn each_reason_of_a_call_is_described_under_its_status() {
        let why = || "x".to_owned();
        let (calls, bytes, most, seconds) = (1, 2, 3, 4);
        for error in [
            CallError::UnknownPlugin {
                plugin: why(),
                known: why(),
            },
            CallError::NotAQuery {
                event: why(),
                known: why(),
            },
            CallError::PayloadTooLarge { found: most, most },
            CallError::MailboxFull { most },
            CallError::TooManyActors { most },
            CallError::Overloaded,
            CallError::Busy { calls, bytes },
            CallError::Crashed(why()),
            CallError::Quarantined(why()),
            CallError::NotWoken(why()),
            CallError::NotApplied(why()),
            CallError::OutcomeUnknown,
            CallError::Timeout { seconds },
            CallError::Stopping,
        ] {
            let problem = Problem::from(error);
            let failure = FAILURES.iter().find(|it| it.status == problem.status);
            let reasons = failure.unwrap().reasons;
            assert!(reasons.contains(&problem.reason.as_str()), "{problem:?}");
        }
    }
}
