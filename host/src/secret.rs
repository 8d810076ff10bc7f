//! `host gen secret`: what stands in `SECRET_KEY_BASE`.

use host_cli::{Failure, Output};
use host_journal::hex;
use serde_json::json;

/// As many as a signature of SHA-256 takes in; 64 characters as text.
const SECRET_BYTES: usize = 32;

/// Shows a new secret, which nobody else has seen.
pub(crate) fn generate(out: &mut Output<'_>) -> Result<u8, Failure> {
    let secret = new()?;
    out.document(&json!({ "secret": secret }), |_| secret.clone())?;
    Ok(0)
}

/// A new secret.
pub(crate) fn new() -> Result<String, Failure> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|e| Failure::refused("io", format!("ask the system for random bytes: {e}")))?;
    Ok(hex::encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_enough_and_never_the_same() {
        let generated = || {
            let mut text = Vec::new();
            generate(&mut Output::new(false, &mut text)).unwrap();
            String::from_utf8(text).unwrap().trim_end().to_owned()
        };
        let (one, other) = (generated(), generated());
        assert!(one.len() >= crate::config::SECRET_CHARS_MIN, "{one}");
        assert_ne!(one, other);
    }
}
