//! `host gen token`: what a client shows to be let in.

use std::time::Duration;

use host_cli::args::{Global, Token};
use host_cli::{Failure, Output};
use host_gateway::{Grant, SigningKey};
use serde_json::json;

use crate::config::clients::Issuing;
use crate::launcher::Found;

/// Signs a token and shows it.
pub(crate) fn generate(
    token: &Token,
    global: &Global,
    out: &mut Output<'_>,
) -> Result<u8, Failure> {
    if token.ttl == 0 {
        let why = "a token that is valid for 0 s is none: give --ttl 1h, or what it shall be";
        return Err(Failure::refused("bad_ttl", why));
    }
    if !host_gateway::is_subject(&token.sub) {
        let why = format!(
            "no host takes a token for {:?}: a `sub` has 1 to 255 bytes and is no name of the host's own, such as timer or operator:ali",
            token.sub
        );
        return Err(Failure::refused("bad_sub", why));
    }
    let failed = |error: host_gateway::KeysError| Failure::refused("bad_key", error.to_string());
    let read = |file| SigningKey::read(file, token.kid.clone()).map_err(failed);
    let key = token.key.as_deref().map(read).transpose()?;
    // Who names both needs no home.
    let issuing = match (&key, &token.aud) {
        (Some(_), Some(_)) => None,
        _ => {
            let found = Found::home(global)?;
            let issuing = Issuing::of(&found.settings);
            Some(issuing.map_err(|faults| Failure::refused("bad_config", faults.to_string()))?)
        }
    };
    let secret = || issuing.as_ref().and_then(|it| it.secret.as_ref());
    let key = match (key, secret()) {
        (Some(key), _) => key,
        (None, Some(secret)) => SigningKey::of_secret(secret.expose()),
        (None, None) => {
            let why = "there is nothing to sign with: set SECRET_KEY_BASE, which `host gen secret` makes, or give --key";
            return Err(Failure::refused("no_key", why));
        }
    };
    let aud = token.aud.as_deref();
    let aud = aud.or(issuing.as_ref().map(|it| it.audience.as_str()));
    let aud = aud.unwrap_or_default();
    let ttl = Duration::from_secs(token.ttl);
    let grant = Grant::new(&token.sub, &token.roles, aud, ttl);
    let signed = grant.sign(&key).map_err(failed)?;
    let document = json!({
        "token": signed,
        "sub": grant.sub,
        "roles": grant.roles,
        "aud": grant.aud,
        "expires": grant.exp,
    });
    out.document(&document, |_| signed.clone())?;
    Ok(0)
}
