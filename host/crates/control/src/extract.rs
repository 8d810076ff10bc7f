//! What a request brings. Where it makes no sense, the answer is a problem like any
//! other, and not the words of a library.

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Refusal;

/// The query string of a request.
pub(crate) struct Query<T>(pub(crate) T);

/// The JSON in the body of a request.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query
            .map(|query| Self(query.0))
            .map_err(|e| bad_request(e.status(), "query string", &e.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = Json::from_request(request, state).await;
        body.map(|body| Self(body.0))
            .map_err(|e| bad_request(e.status(), "body", &e.body_text()))
    }
}

/// For a path that is asked with another method than its own.
pub(crate) async fn wrong_method() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "wrong_method",
        "the control API has this path, and not with this method: what only looks is a GET, what changes something is a POST",
    )
}

fn bad_request(status: StatusCode, part: &str, why: &str) -> Refusal {
    Refusal::new(
        status,
        "bad_request",
        format!("read the {part} of the request: {why}; docs/control-api.md says what it has"),
    )
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use host_model::control::{Problem, ReleaseRequest, RollbackRequest};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Limit {
        #[expect(dead_code, reason = "it is read for its errors")]
        limit: usize,
    }

    async fn problem(refusal: Refusal) -> (u16, Problem) {
        let response = refusal.into_response();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await;
        (status, serde_json::from_slice(&body.unwrap()).unwrap())
    }

    fn post(kind: &str, body: &'static str) -> Request {
        let request = Request::post("/").header("content-type", kind);
        request.body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn what_makes_no_sense_is_a_problem() {
        let (mut parts, ()) = Request::get("/?limit=many").body(()).unwrap().into_parts();
        let refused = Query::<Limit>::from_request_parts(&mut parts, &()).await;
        let (status, said) = problem(refused.err().unwrap()).await;
        assert_eq!((status, said.reason.as_str()), (400, "bad_request"));
        assert!(said.message.contains("query string"), "{}", said.message);
        assert_eq!(said.exit_code, 2);

        for (kind, body, wanted) in [
            ("application/json", "{", 400),
            ("application/json", "{}", 422),
            ("text/plain", "{}", 415),
        ] {
            let refused = Body::<ReleaseRequest>::from_request(post(kind, body), &()).await;
            let (status, said) = problem(refused.err().unwrap()).await;
            assert_eq!((status, said.reason.as_str()), (wanted, "bad_request"));
        }
        let fine = Body::<RollbackRequest>::from_request(post("application/json", "{}"), &());
        assert!(fine.await.is_ok());
        assert_eq!(problem(wrong_method().await).await.0, 405);
    }
}
