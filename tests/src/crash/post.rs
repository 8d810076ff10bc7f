//! A command over HTTP, and what its answer says of whether it has happened.

use serde_json::Value;

use crate::http::{self, Answer};

/// What became of it.
pub(super) enum Posted {
    /// It was taken.
    Taken(Answer),
    /// It was not, for this reason.
    Refused(String),
    /// The connection was not there, so nothing was sent.
    Unsent,
    /// The connection ended in between.
    Lost,
}

/// Sends a command to an actor, with more headers: each ends with CRLF.
pub(super) fn post(port: u16, actor: &str, event: &str, headers: &str, payload: &Value) -> Posted {
    let path = format!("/api/v1/{}/{event}", actor.replacen(':', "/", 1));
    match http::request_with(port, "POST", &path, headers, &payload.to_string()) {
        // Half an answer is none.
        Ok(answer) if answer.json().is_err() => Posted::Lost,
        Ok(answer) if answer.status == 200 => Posted::Taken(answer),
        Ok(answer) if !answer.reason().is_empty() => Posted::Refused(answer.reason()),
        Err(error) if error.downcast_ref().is_some_and(is_refused) => Posted::Unsent,
        Ok(_) | Err(_) => Posted::Lost,
    }
}

fn is_refused(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::ConnectionRefused
}

/// Whether a reason leaves open what has happened.
pub(super) fn leaves_open(reason: &str) -> bool {
    matches!(reason, "outcome_unknown" | "timeout")
}

/// Whether a reason says that nothing has happened, and that it may be tried again.
pub(super) fn may_try_again(reason: &str) -> bool {
    matches!(
        reason,
        "not_applied" | "overloaded" | "stopping" | "mailbox_full" | "not_woken"
    )
}
