//! Signatures by `ring`, which is what TLS here stands on: four algorithms and no more.

use std::sync::OnceLock;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use ring::{hmac, signature};

/// Those that a key may be for: one for each kind of key.
pub(super) const ALGORITHMS: [Algorithm; 4] = [
    Algorithm::HS256,
    Algorithm::EdDSA,
    Algorithm::ES256,
    Algorithm::RS256,
];

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| {
        check(*algorithm, key.family() == algorithm.family())?;
        Ok(Box::new(Signing(*algorithm, key.clone())))
    },
    verifier_factory: |algorithm, key| {
        check(*algorithm, key.family() == algorithm.family())?;
        Ok(Box::new(Verifying(*algorithm, key.clone())))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

/// Has the library verify and sign by this. Once for the process, and again if need be.
pub(super) fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let installed = PROVIDER.install_default();
        installed.expect("nothing else in this process installs one");
    });
}

fn check(algorithm: Algorithm, is_of_family: bool) -> Result<()> {
    match is_of_family && ALGORITHMS.contains(&algorithm) {
        true => Ok(()),
        false => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

struct Verifying(Algorithm, DecodingKey);

impl Verifier<Vec<u8>> for Verifying {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let by = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signature)
        };
        let verified = match (self.0, self.1.kind()) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
                hmac::verify(&key, message, signature)
            }
            (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(key)) => by(&ED25519, key),
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(key)) => {
                by(&ECDSA_P256_SHA256_FIXED, key)
            }
            (Algorithm::RS256, DecodingKeyKind::SecretOrDer(key)) => {
                by(&RSA_PKCS1_2048_8192_SHA256, key)
            }
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                let key = RsaPublicKeyComponents { n, e };
                key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            }
            _ => return Err(Error::new()),
        };
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for Verifying {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

struct Signing(Algorithm, EncodingKey);

impl Signer<Vec<u8>> for Signing {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let key = self.1.as_bytes();
        let random = SystemRandom::new();
        let failed = |_| Error::new();
        let signed = match self.0 {
            Algorithm::HS256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, key);
                return Ok(hmac::sign(&key, message).as_ref().to_vec());
            }
            Algorithm::EdDSA => {
                let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key);
                key.map_err(|_| Error::new())?.sign(message)
            }
            Algorithm::ES256 => {
                let key = p256(key, &random).ok_or_else(Error::new)?;
                key.sign(&random, message).map_err(failed)?
            }
            Algorithm::RS256 => {
                let key = RsaKeyPair::from_pkcs8(key).map_err(|_| Error::new())?;
                let mut signed = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signed)
                    .map_err(failed)?;
                return Ok(signed);
            }
            _ => return Err(Error::new()),
        };
        Ok(signature::Signature::as_ref(&signed).to_vec())
    }
}

impl JwtSigner for Signing {
    fn algorithm(&self) -> Algorithm {
        self.0
    }
}

/// Which algorithm a private key in PKCS #8 is for, if one that is taken here.
pub(super) fn algorithm_of(pkcs8: &[u8]) -> Option<Algorithm> {
    if Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).is_ok() {
        return Some(Algorithm::EdDSA);
    }
    if p256(pkcs8, &SystemRandom::new()).is_some() {
        return Some(Algorithm::ES256);
    }
    let is_rsa = RsaKeyPair::from_pkcs8(pkcs8).is_ok();
    is_rsa.then_some(Algorithm::RS256)
}

fn p256(pkcs8: &[u8], random: &SystemRandom) -> Option<EcdsaKeyPair> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, random).ok()
}
