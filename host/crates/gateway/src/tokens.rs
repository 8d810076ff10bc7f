//! Tokens: who somebody is, signed by whoever may say so (RFC 7519).
//!
//! # Invariants
//!
//! - **A key has one algorithm.** What a token's header asks for chooses among keys and
//!   never how one of them is used; `none` is the algorithm of no key.
//! - **Every token ends**, is for somebody, and is for this host.
//! - What is wrong with a token is told; nothing of a key is, nor which keys there are.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use bytes::Bytes;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::limits::{SUBJECT_BYTES_MAX, TOKEN_BYTES_MAX, TOKEN_LEEWAY};

mod crypto;
mod keys;

pub use keys::{KeyRing, KeysError, SigningKey};

/// Principals that the host itself acts as, in its records; no token is for one of them.
const OWN_PRINCIPALS: [&str; 3] = ["host", "operator", "timer"];

/// What their names begin with where there are many of a kind.
const OWN_PREFIXES: [&str; 3] = ["actor:", "host:", "operator:"];

/// Whether a token may be for `sub`: 1 to 255 bytes, and no name that the host itself acts
/// under.
#[must_use]
pub fn is_subject(sub: &str) -> bool {
    let is_own =
        OWN_PRINCIPALS.contains(&sub) || OWN_PREFIXES.iter().any(|prefix| sub.starts_with(prefix));
    !is_own && (1..=SUBJECT_BYTES_MAX).contains(&sub.len())
}

/// Where the keys are that tokens are verified by, and for whom these are.
#[derive(Clone, Default)]
pub struct TokenSource {
    /// Secrets of which keys are derived.
    pub secrets: Vec<String>,
    /// A file of public keys: PEM, or a set of JWKs.
    pub file: Option<PathBuf>,
    /// What a token's `aud` is to name.
    pub audience: String,
}

/// Secrets are not shown.
impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSource")
            .field("secrets", &self.secrets.len())
            .field("file", &self.file)
            .field("audience", &self.audience)
            .finish()
    }
}

/// Verifies tokens, by keys that can be replaced while it does.
#[derive(Debug)]
pub struct Tokens {
    source: TokenSource,
    keys: ArcSwap<KeyRing>,
}

/// What a verified token says.
#[derive(Debug, Clone)]
pub(crate) struct Verified {
    /// All of it: a JSON object.
    pub(crate) claims: Bytes,
    /// Its `sub`.
    pub(crate) subject: String,
    /// From when on it is none any more.
    pub(crate) expires: Instant,
}

/// Why a token is not taken. It blames whoever sends it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum TokenError {
    #[error("the token has over {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is no token: one is three parts in base64url with a dot between two")]
    Malformed,
    #[error(
        "the token's signature is of no key that this host takes; get a new one from whoever \
         issues them for it"
    )]
    Signature,
    #[error("the token has expired; get a new one")]
    Expired,
    #[error("the token is not valid yet: its `nbf` is to come; compare the clocks")]
    NotYet,
    #[error("the token is not for this host: its `aud` is to name {0:?}")]
    Audience(String),
    #[error("the token has no claim `{0}`, or one of the wrong kind")]
    Claim(String),
    #[error(
        "the token's `sub` is empty, has over {SUBJECT_BYTES_MAX} bytes, or is a name of the host's own"
    )]
    Subject,
}

impl TokenError {
    /// One snake-case word for programs.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Expired => "token_expired",
            _ => "bad_token",
        }
    }
}

#[derive(Deserialize)]
struct Subject {
    sub: String,
    exp: serde_json::Number,
}

impl Tokens {
    /// Verifies by the keys that are at `source` now.
    ///
    /// # Errors
    ///
    /// Which file is wrong, and how.
    pub fn open(source: TokenSource) -> Result<Arc<Self>, KeysError> {
        let keys = ArcSwap::from_pointee(KeyRing::read(&source)?);
        Ok(Arc::new(Self { source, keys }))
    }

    /// The file of public keys, where there is one.
    #[must_use]
    pub fn source(&self) -> &TokenSource {
        &self.source
    }

    /// The keys as they are at their source by now, to be [taken](Self::replace). Blocking.
    ///
    /// # Errors
    ///
    /// As [`Tokens::open`].
    pub fn read(&self) -> Result<KeyRing, KeysError> {
        KeyRing::read(&self.source)
    }

    /// Verifies by these keys from now on; gives those before, if they are others. What was
    /// verified stays so.
    pub fn replace(&self, keys: KeyRing) -> Option<Arc<KeyRing>> {
        let before = self.keys.load_full();
        if before.is_same(&keys) {
            return None;
        }
        self.keys.store(Arc::new(keys));
        Some(before)
    }

    /// The keys that tokens are verified by.
    #[must_use]
    pub fn keys(&self) -> Arc<KeyRing> {
        self.keys.load_full()
    }

    /// What `token` says, if a key vouches for it.
    pub(crate) fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let header = decode_header(token).map_err(|error| self.blame(error.kind()))?;
        let keys = self.keys.load();
        let mut refused = TokenError::Signature;
        for key in keys.candidates(&header) {
            let mut validation = Validation::new(key.algorithm);
            validation.set_audience(&[&self.source.audience]);
            validation.set_required_spec_claims(&["exp", "aud", "sub"]);
            validation.validate_nbf = true;
            validation.leeway = TOKEN_LEEWAY.as_secs();
            match decode::<Box<RawValue>>(token, &key.decoding, &validation) {
                Ok(token) => return self.verified(&token.claims),
                // Another key may be the one that it was signed with.
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                Err(error) => refused = self.blame(error.kind()),
            }
        }
        Err(refused)
    }

    fn verified(&self, claims: &RawValue) -> Result<Verified, TokenError> {
        let Subject { sub, exp } =
            serde_json::from_str(claims.get()).map_err(|_| TokenError::Claim("sub".to_owned()))?;
        if !is_subject(&sub) {
            return Err(TokenError::Subject);
        }
        let exp = exp.as_u64().or_else(|| exp.as_f64().map(|exp| exp as u64));
        let left = Duration::from_secs(exp.unwrap_or(0))
            .saturating_add(TOKEN_LEEWAY)
            .saturating_sub(since_epoch())
            .min(FOR_EVER);
        // The library counts in whole seconds, and lets one in for up to a second too long.
        if left.is_zero() {
            return Err(TokenError::Expired);
        }
        Ok(Verified {
            claims: Bytes::copy_from_slice(claims.get().as_bytes()),
            subject: sub,
            expires: Instant::now() + left,
        })
    }

    fn blame(&self, kind: &ErrorKind) -> TokenError {
        match kind {
            ErrorKind::ExpiredSignature => TokenError::Expired,
            ErrorKind::ImmatureSignature => TokenError::NotYet,
            ErrorKind::InvalidAudience => TokenError::Audience(self.source.audience.clone()),
            ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
                TokenError::Claim(claim.clone())
            }
            ErrorKind::InvalidSignature
            | ErrorKind::InvalidAlgorithm
            | ErrorKind::InvalidAlgorithmName => TokenError::Signature,
            _ => TokenError::Malformed,
        }
    }
}

/// The longest time that a clock is asked to add: no connection lives as long.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// What a token is to say.
#[derive(Debug, Clone, Serialize)]
pub struct Grant<'a> {
    /// Who bears it.
    pub sub: &'a str,
    /// What they may act as.
    pub roles: &'a [String],
    /// For which host it is.
    pub aud: &'a str,
    /// When it is issued, in seconds of Unix time.
    pub iat: u64,
    /// When it ends.
    pub exp: u64,
}

impl<'a> Grant<'a> {
    /// From now on, for `ttl`.
    #[must_use]
    pub fn new(sub: &'a str, roles: &'a [String], aud: &'a str, ttl: Duration) -> Self {
        let now = since_epoch();
        Self {
            sub,
            roles,
            aud,
            iat: now.as_secs(),
            exp: now.saturating_add(ttl).as_secs(),
        }
    }

    /// Signs it.
    ///
    /// # Errors
    ///
    /// The key cannot sign, which blames its file.
    pub fn sign(&self, key: &SigningKey) -> Result<String, KeysError> {
        crypto::install();
        let header = Header {
            kid: key.kid.clone(),
            ..Header::new(key.algorithm)
        };
        encode(&header, self, &key.encoding).map_err(|_| KeysError::Signs)
    }
}

fn since_epoch() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

#[cfg(test)]
mod tests;
