//! Who may do what, where authentication is on.

use host_sdk::{Cx, Rejection};
use serde::Deserialize;

/// What a token says of its bearer, as far as it matters here.
#[derive(Default, Deserialize)]
struct Claims {
    /// Whom it was given to.
    sub: Option<String>,
    #[serde(default)]
    roles: Vec<String>,
}

/// The subject of the caller's token, if there is one.
pub(crate) fn subject(cx: &Cx<'_>) -> Option<String> {
    claims(cx).sub
}

/// Whether the caller is a treasurer.
///
/// # Errors
///
/// `forbidden`
pub(crate) fn treasurer(cx: &Cx<'_>) -> Result<(), Rejection> {
    if is_treasurer(&claims(cx)) {
        return Ok(());
    }
    Err(Rejection::new(
        "forbidden",
        format!("{:?} needs the role treasurer", cx.event()),
    ))
}

/// Whether the caller may end what came under a token of `subject`: whoever it was
/// given to, or a treasurer. What came without a token, anyone may.
///
/// # Errors
///
/// `forbidden`
pub(crate) fn owner(cx: &Cx<'_>, subject: Option<&str>) -> Result<(), Rejection> {
    let claims = claims(cx);
    let is_owner = subject.is_none_or(|subject| claims.sub.as_deref() == Some(subject));
    if is_owner || is_treasurer(&claims) {
        return Ok(());
    }
    Err(Rejection::new(
        "forbidden",
        format!(
            "{:?} is for whoever has made it, or needs the role treasurer",
            cx.event()
        ),
    ))
}

fn is_treasurer(claims: &Claims) -> bool {
    claims.roles.iter().any(|role| role == "treasurer")
}

fn claims(cx: &Cx<'_>) -> Claims {
    cx.claims().unwrap_or_default()
}
