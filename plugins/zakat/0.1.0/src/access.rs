//! Who may read a payer's figures, and who may change them.

use host_sdk::{Cx, Rejection};
use serde::Deserialize;

/// What a reader may do; everything else is for the payer alone.
const READING: &[&str] = &["phx_join", "assess", "summary"];

#[derive(Deserialize)]
struct Claims {
    sub: String,
    #[serde(default)]
    roles: Vec<String>,
}

/// The payer may do all, an auditor may read. A cast of another actor carries no
/// claims and is not asked for any.
pub(crate) fn authorize(cx: &Cx<'_>) -> Result<(), Rejection> {
    let Some(claims) = cx.claims::<Claims>() else {
        return Err(forbidden(cx, "the token names no one (`sub` is missing)"));
    };
    let reads = READING.contains(&cx.event());
    if claims.sub == cx.key() || reads && claims.roles.iter().any(|role| role == "auditor") {
        return Ok(());
    }
    Err(forbidden(
        cx,
        if reads {
            "only the payer and those with the role `auditor` may read here"
        } else {
            "only the payer may change anything here"
        },
    ))
}

fn forbidden(cx: &Cx<'_>, why: &str) -> Rejection {
    Rejection::new(
        "forbidden",
        format!("{:?} on zakat:{}: {why}", cx.event(), cx.key()),
    )
}
