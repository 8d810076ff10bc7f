//! Errors over HTTP: problem details (RFC 9457), and the status of each reason.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use host_actors::CallError;
use serde::Serialize;

/// An answer that is an error: `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    /// One snake-case word for programs.
    pub(crate) reason: String,
    /// A sentence for people.
    pub(crate) detail: String,
}

#[derive(Serialize)]
struct Body<'a> {
    /// `about:blank`: the status says what kind it is, and `reason` which.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    reason: &'a str,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            detail: detail.into(),
        }
    }
}

impl From<CallError> for Problem {
    fn from(error: CallError) -> Self {
        Self::new(status(&error), error.reason(), error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            reason: &self.reason,
        };
        let body = serde_json::to_vec(&body).expect("texts and a number are JSON");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert(CONTENT_TYPE, problem);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
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
        CallError::UnknownPlugin { .. } | CallError::NotAQuery { .. } => StatusCode::NOT_FOUND,
        CallError::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        CallError::MailboxFull { .. }
        | CallError::TooManyActors { .. }
        | CallError::Overloaded
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
            (CallError::Overloaded, 503),
            (CallError::Timeout { seconds: 9 }, 504),
            (CallError::OutcomeUnknown, 500),
        ] {
            assert_eq!(Problem::from(error.clone()).status, status, "{error}");
        }
    }

    #[test]
    fn who_may_try_again_is_told_when() {
        let response = Problem::from(CallError::Overloaded).into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let response = Problem::from(CallError::OutcomeUnknown).into_response();
        assert!(!response.headers().contains_key(RETRY_AFTER));
    }
}
