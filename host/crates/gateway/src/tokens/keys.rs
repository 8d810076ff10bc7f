//! The keys that tokens are verified by and signed with, and where they are read from.
//!
//! Of a secret a key is derived (HKDF, RFC 5869), so that what it signs here is of no use
//! elsewhere, and nobody gets at the secret by a token. A file has public keys: `PUBLIC KEY`
//! in PEM, one or more, or a set of JWKs (RFC 7517). Several keys are a rotation under way: a
//! token names its key by `kid`, and where it does not, or its key has none, each of the same
//! algorithm is tried.

use std::path::{Path, PathBuf};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use ring::hkdf;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use thiserror::Error;

use super::{TokenSource, crypto};
use crate::limits::{PEM_BYTES_MAX, TOKEN_KEYS_MAX};

/// What the derived key is for, so that no other use of the secret meets it.
const SALT: &[u8] = b"host: tokens of clients";
const KEY: &[&[u8]] = &[b"HS256 key"];
const NAME: &[&[u8]] = &[b"HS256 kid"];

/// Bytes of a derived name: as many as tell a few keys apart.
const NAME_BYTES: usize = 6;

/// A public key of Ed25519 (RFC 8410), before its 32 bytes.
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

/// A public key on P-256 (RFC 5480), before the 65 bytes of its point.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 8, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 3, 1, 7, 3, 0x42, 0,
];

/// What a public key of RSA is named by (RFC 3279).
const RSA: [u8; 15] = [
    0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0,
];

/// Bytes of an RSA modulus at least: 2,048 bits.
const RSA_BYTES_MIN: usize = 256;

/// Why keys cannot be had. It blames the operator.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The file is not there, or not to be read, or too large.
    #[error("{} cannot be read: {why}", .file.display())]
    Unread {
        /// The file.
        file: PathBuf,
        /// What the system said.
        why: String,
    },
    /// There is no key in it that is taken here.
    #[error(
        "{}: {why}; it is to have public keys in PEM (`PUBLIC KEY`) or as a set of JWKs, for EdDSA, ES256 or RS256", .file.display()
    )]
    Wrong {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A private key is not one.
    #[error(
        "{}: it has no private key in PEM (`PRIVATE KEY`, PKCS #8) for EdDSA, ES256 or RS256", .0.display()
    )]
    Private(PathBuf),
    /// A key did not sign.
    #[error("the key does not sign; is it damaged?")]
    Signs,
}

/// The keys that tokens are verified by.
#[derive(Debug, Default)]
pub struct KeyRing(Vec<Key>);

#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
    /// Of all that it is; for a comparison, and to be shown where it has no name.
    digest: String,
}

/// A key that tokens are signed with.
#[derive(Debug)]
pub struct SigningKey {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: EncodingKey,
}

impl SigningKey {
    /// The one that is derived of a secret, as [`KeyRing`] does.
    #[must_use]
    pub fn of_secret(secret: &str) -> Self {
        let (key, name) = derived(secret);
        Self {
            kid: Some(name),
            algorithm: Algorithm::HS256,
            encoding: EncodingKey::from_secret(&key),
        }
    }

    /// The private key in a file, which tokens name `kid`.
    ///
    /// # Errors
    ///
    /// There is none, or none that is taken here.
    pub fn read(file: &Path, kid: Option<String>) -> Result<Self, KeysError> {
        let text = text(file)?;
        let wrong = || KeysError::Private(file.to_owned());
        let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| wrong())?;
        let der = key.secret_pkcs8_der();
        let algorithm = crypto::algorithm_of(der).ok_or_else(wrong)?;
        let encoding = match algorithm {
            Algorithm::EdDSA => EncodingKey::from_ed_der(der),
            Algorithm::ES256 => EncodingKey::from_ec_der(der),
            _ => EncodingKey::from_rsa_der(der),
        };
        Ok(Self {
            kid,
            algorithm,
            encoding,
        })
    }
}

impl KeyRing {
    /// All keys of a source, as it is now.
    pub(super) fn read(source: &TokenSource) -> Result<Self, KeysError> {
        crypto::install();
        let derived = source.secrets.iter().map(|secret| {
            let (key, name) = derived(secret);
            Key::new(
                Some(name),
                Algorithm::HS256,
                DecodingKey::from_secret(&key),
                &key,
            )
        });
        let mut keys: Vec<_> = derived.collect();
        if let Some(file) = &source.file {
            keys.extend(Self::of_file(file)?.0);
        }
        Ok(Self(keys))
    }

    /// The public keys in a file.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn of_file(file: &Path) -> Result<Self, KeysError> {
        let text = text(file)?;
        let wrong = |why: String| KeysError::Wrong {
            file: file.to_owned(),
            why,
        };
        let keys = match text.trim_ascii_start().starts_with(b"{") {
            true => of_jwks(&text),
            false => of_pem(&text),
        };
        let keys = keys.map_err(wrong)?;
        match keys.len() {
            0 => Err(wrong("there is no key in it".to_owned())),
            1..=TOKEN_KEYS_MAX => Ok(Self(keys)),
            n => Err(wrong(format!(
                "{n} keys are more than {TOKEN_KEYS_MAX}: take out those that nobody signs with any more"
            ))),
        }
    }

    /// The keys that may have signed a token with this header: a few.
    pub(super) fn candidates(&self, header: &Header) -> impl Iterator<Item = &Key> {
        let fits = |key: &&Key| match (&key.kid, &header.kid) {
            (Some(has), Some(wanted)) => has == wanted,
            _ => true,
        };
        let algorithm = header.alg;
        let keys = self.0.iter().filter(move |key| key.algorithm == algorithm);
        keys.filter(fits)
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        let digests = |of: &Self| -> Vec<String> {
            let mut digests: Vec<_> = of.0.iter().map(|key| key.digest.clone()).collect();
            digests.sort();
            digests
        };
        digests(self) == digests(other)
    }

    /// Each by its name, for operators; one without by the beginning of its digest.
    #[must_use]
    pub fn shown(&self) -> String {
        let names = self.0.iter().map(|key| {
            let name = key.kid.as_deref().unwrap_or(&key.digest[..2 * NAME_BYTES]);
            format!("{:?} {name}", key.algorithm)
        });
        names.collect::<Vec<_>>().join(", ")
    }
}

impl Key {
    fn new(
        kid: Option<String>,
        algorithm: Algorithm,
        decoding: DecodingKey,
        material: &[u8],
    ) -> Self {
        let named = format!("{kid:?} {algorithm:?} ");
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(named.as_bytes());
        digest.update(material);
        Self {
            kid,
            algorithm,
            decoding,
            digest: hex(digest.finish().as_ref()),
        }
    }

    /// One of a set. None: it is for something else, or of a kind that is not taken here.
    fn of_jwk(jwk: &Jwk) -> Result<Option<Self>, String> {
        let common = &jwk.common;
        if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return Ok(None);
        }
        let (algorithm, material) = match &jwk.algorithm {
            AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, it.x.clone())
            }
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, format!("{}.{}", it.x, it.y))
            }
            AlgorithmParameters::RSA(it) => (Algorithm::RS256, format!("{}.{}", it.n, it.e)),
            AlgorithmParameters::OctetKey(_) => {
                return Err("a key of kind `oct` is a secret, which does not belong there".into());
            }
            _ => return Ok(None),
        };
        let is_for = common.key_algorithm.map(|it| it.to_string());
        if is_for.is_some_and(|it| it != format!("{algorithm:?}")) {
            return Ok(None);
        }
        let kid = common.key_id.clone();
        let named = || kid.as_deref().unwrap_or("without a kid").to_owned();
        let decoding =
            DecodingKey::from_jwk(jwk).map_err(|_| format!("the key {} is damaged", named()))?;
        if !has_right_size(algorithm, &decoding) {
            return Err(format!("the key {} is too small or damaged", named()));
        }
        Ok(Some(Self::new(
            kid,
            algorithm,
            decoding,
            material.as_bytes(),
        )))
    }

    /// One in DER (`SubjectPublicKeyInfo`).
    fn of_der(der: &[u8]) -> Option<Self> {
        let (algorithm, decoding) = if let Some(key) = der.strip_prefix(&ED25519) {
            (Algorithm::EdDSA, DecodingKey::from_ed_der(key))
        } else if let Some(point) = der.strip_prefix(&P256) {
            (Algorithm::ES256, DecodingKey::from_ec_der(point))
        } else {
            let info = field(0x30, der)?.strip_prefix(&RSA)?;
            let key = field(0x03, info)?.strip_prefix(&[0])?;
            (Algorithm::RS256, DecodingKey::from_rsa_der(key))
        };
        has_right_size(algorithm, &decoding).then(|| Self::new(None, algorithm, decoding, der))
    }
}

/// What every key has of its kind; the rest shows when a signature is verified.
fn has_right_size(algorithm: Algorithm, key: &DecodingKey) -> bool {
    use jsonwebtoken::DecodingKeyKind::{RsaModulusExponent, SecretOrDer};
    match (algorithm, key.kind()) {
        (Algorithm::EdDSA, SecretOrDer(key)) => key.len() == 32,
        (Algorithm::ES256, SecretOrDer(point)) => point.len() == 65 && point[0] == 4,
        (_, SecretOrDer(rsa)) => rsa.len() > RSA_BYTES_MIN,
        (_, RsaModulusExponent { n, .. }) => n.len() >= RSA_BYTES_MIN,
    }
}

/// What is in the one field of DER that `bytes` are.
fn field(tag: u8, bytes: &[u8]) -> Option<&[u8]> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    (found == tag && rest.len() == length).then_some(rest)
}

fn of_pem(text: &[u8]) -> Result<Vec<Key>, String> {
    let keys = SubjectPublicKeyInfoDer::pem_slice_iter(text);
    let keys = keys.enumerate().map(|(index, der)| {
        let nth = index + 1;
        let der = der.map_err(|error| format!("key {nth} is no PEM: {error}"))?;
        Key::of_der(&der).ok_or_else(|| format!("key {nth} is of a kind that is not taken here"))
    });
    keys.collect()
}

fn of_jwks(text: &[u8]) -> Result<Vec<Key>, String> {
    let set: JwkSet =
        serde_json::from_slice(text).map_err(|error| format!("it is no set of JWKs: {error}"))?;
    let keys = set.keys.iter().map(Key::of_jwk);
    keys.filter_map(Result::transpose).collect()
}

fn text(file: &Path) -> Result<Vec<u8>, KeysError> {
    let unread = |why: String| KeysError::Unread {
        file: file.to_owned(),
        why,
    };
    let bytes = std::fs::metadata(file).map(|found| found.len());
    match bytes {
        Ok(bytes) if bytes > PEM_BYTES_MAX => {
            Err(unread(format!("it has over {PEM_BYTES_MAX} bytes")))
        }
        Ok(_) => std::fs::read(file).map_err(|error| unread(error.to_string())),
        Err(error) => Err(unread(error.to_string())),
    }
}

/// The key of a secret, and its name.
fn derived(secret: &str) -> ([u8; 32], String) {
    let salted = hkdf::Salt::new(hkdf::HKDF_SHA256, SALT).extract(secret.as_bytes());
    let (mut key, mut name) = ([0; 32], [0; 32]);
    for (info, out) in [(KEY, &mut key), (NAME, &mut name)] {
        let expanded = salted.expand(info, hkdf::HKDF_SHA256);
        let filled = expanded.and_then(|okm| okm.fill(out));
        filled.expect("as many bytes as the hash has");
    }
    (key, hex(&name[..NAME_BYTES]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
