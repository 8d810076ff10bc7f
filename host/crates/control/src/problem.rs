//! Errors, as an operator gets them.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use host_actors::CallError;
use host_model::control::Problem;
use host_model::error::chain;
use host_upgrade::RefusedUpgrade;

/// A [`Problem`] and its HTTP status.
#[derive(Debug)]
pub(crate) struct Refusal(StatusCode, Problem);

impl Refusal {
    /// A request that is not to be had, with exit code 1; or 2 where it is one that no host
    /// would have in any state, as a command line that cannot be read.
    pub(crate) fn new(status: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        let problem = Problem {
            reason: reason.to_owned(),
            message: message.into(),
            exit_code: match status {
                StatusCode::BAD_REQUEST => 2,
                _ => 1,
            },
        };
        Self(status, problem)
    }

    /// Something that the host itself could not do.
    pub(crate) fn internal(attempted: &str, error: &dyn std::error::Error) -> Self {
        let message = format!("{attempted}: {}", chain(error));
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    }

    /// The same, with more to be said of it.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.1.message.push_str(more);
        self
    }
}

impl Refusal {
    /// What is stored does not hold, with exit code 5: an operator must look.
    pub(crate) fn damaged(attempted: &str, error: &dyn std::error::Error) -> Self {
        let mut refusal = Self::internal(attempted, error);
        refusal.1.reason = "store".to_owned();
        refusal.1.exit_code = 5;
        refusal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // For the audit trail, which says why something was refused.
        let said = Extension(self.1.clone());
        (self.0, said, Json(self.1)).into_response()
    }
}

impl From<RefusedUpgrade> for Refusal {
    fn from(refused: RefusedUpgrade) -> Self {
        let status = match refused {
            RefusedUpgrade::Busy { .. }
            | RefusedUpgrade::Rehearsing
            | RefusedUpgrade::TooLate { .. }
            | RefusedUpgrade::Committing { .. } => StatusCode::CONFLICT,
            RefusedUpgrade::Releases(_) => StatusCode::NOT_FOUND,
            RefusedUpgrade::BadRamp(_) => StatusCode::BAD_REQUEST,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self::new(status, refused.reason(), chain(&refused))
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        let status = match error {
            CallError::Rejected(_) => StatusCode::UNPROCESSABLE_ENTITY,
            CallError::Forbidden(_) => StatusCode::FORBIDDEN,
            CallError::UnknownPlugin { .. } | CallError::NotAQuery { .. } => StatusCode::NOT_FOUND,
            CallError::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            CallError::Timeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            CallError::Crashed(_) | CallError::OutcomeUnknown | CallError::NotWoken(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.reason(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use host_model::Version;

    use super::*;

    #[test]
    fn what_may_be_asked_again_later_or_is_too_late_is_a_conflict() {
        let (from, to) = (Version::new(0, 1, 0), Version::new(0, 2, 0));
        for (refused, reason) in [
            (RefusedUpgrade::Rehearsing, "busy"),
            (RefusedUpgrade::Committing { to: to.clone() }, "too_late"),
            (
                RefusedUpgrade::Busy {
                    from,
                    to,
                    state: "switching",
                },
                "busy",
            ),
            (
                RefusedUpgrade::TooLate {
                    state: "rolling_back",
                    wish: "commit",
                },
                "too_late",
            ),
        ] {
            let Refusal(status, problem) = refused.into();
            let found = (status, &*problem.reason, problem.exit_code);
            assert_eq!(found, (StatusCode::CONFLICT, reason, 1));
        }
        let Refusal(status, _) = RefusedUpgrade::NothingToPause("pause").into();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        let Refusal(status, problem) = RefusedUpgrade::BadRamp(String::new()).into();
        assert_eq!((status, problem.exit_code), (StatusCode::BAD_REQUEST, 2));
    }
}
