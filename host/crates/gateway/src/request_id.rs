//! One name for a request, in its answer, in problem details and in the log: so that what a
//! client reports is found.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use crate::limits::REQUEST_ID_BYTES_MAX;
use crate::problem::Problem;

/// The header, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The first half of the ids that are made here: of this process alone, as far as 64 random
/// bits say.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0));

/// The second half of the next one.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Gives the request's id with the answer, whatever it is, and names it where one has failed.
pub(crate) async fn identify(request: Request, next: Next) -> Response {
    let id = of(request.headers()).unwrap_or_else(make);
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let id = id.to_str().expect("it was looked at, or made here");
        tell(id, &method, uri.path(), &problem);
        *response.body_mut() = Body::from(problem.body(id));
    }
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// The client's own, where it is one id that can stand in a line of a log.
fn of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let id = ids.next().filter(|_| ids.next().is_none())?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let fits = (1..=REQUEST_ID_BYTES_MAX).contains(&id.len());
    (fits && id.as_bytes().iter().all(is_plain)).then(|| id.clone())
}

fn make() -> HeaderValue {
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let id = format!("{:016x}{next:016x}", *PROCESS);
    HeaderValue::from_str(&id).expect("hexadecimal digits are a header's value")
}

/// What the host could not do is worth a line. What it refused may be as much as clients
/// like, so that is only told where somebody looks for it.
fn tell(id: &str, method: &Method, path: &str, problem: &Problem) {
    let Problem {
        status,
        reason,
        detail,
        ..
    } = problem;
    let status = *status;
    if [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::GATEWAY_TIMEOUT,
    ]
    .contains(&status)
    {
        let status = status.as_u16();
        tracing::warn!(request_id = id, %method, path, status, reason, detail, "a request failed");
    } else {
        let status = status.as_u16();
        tracing::debug!(request_id = id, %method, path, status, reason, detail, "a request was refused");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(ids: &[&str]) -> HeaderMap {
        let ids = ids.iter();
        ids.map(|id| (X_REQUEST_ID, HeaderValue::from_str(id).unwrap()))
            .collect()
    }

    #[test]
    fn a_clients_id_is_kept_if_it_is_one_and_plain() {
        for id in ["a", "7f3a-44", "svc:1/2", &"x".repeat(REQUEST_ID_BYTES_MAX)] {
            assert_eq!(of(&headers(&[id])).unwrap(), id);
        }
        for id in [
            "",
            "a b",
            "a\"b",
            "a,b",
            &"x".repeat(REQUEST_ID_BYTES_MAX + 1),
        ] {
            assert_eq!(of(&headers(&[id])), None, "{id:?}");
        }
        assert_eq!(of(&headers(&["a", "b"])), None);
        assert_eq!(of(&headers(&[])), None);
    }

    #[test]
    fn an_id_that_is_made_is_another_each_time_and_would_be_kept() {
        let (first, second) = (make(), make());
        assert_ne!(first, second);
        let kept = headers(&[first.to_str().unwrap()]);
        assert_eq!(of(&kept).unwrap(), first);
    }
}
