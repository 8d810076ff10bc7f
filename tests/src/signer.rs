//! Signs releases as minisign does, with a key of a test's own.
//!
//! A signature is Ed25519 of the file's BLAKE2b hash, and a second one of the first with
//! the trusted comment: <https://jedisct1.github.io/minisign/#signature-format>.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2b512, Digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// What minisign writes before a key, and before a signature of a hash.
const KEY: &[u8; 2] = b"Ed";
const HASHED: &[u8; 2] = b"ED";

/// A pair of keys.
#[derive(Debug)]
pub struct Signer {
    pair: Ed25519KeyPair,
    id: [u8; 8],
}

impl Signer {
    /// One that nobody else has.
    ///
    /// # Errors
    ///
    /// The kernel has no random bits.
    pub fn new() -> Result<Self> {
        let random = SystemRandom::new();
        let made = Ed25519KeyPair::generate_pkcs8(&random).map_err(|e| anyhow!("{e}"))?;
        let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).map_err(|e| anyhow!("{e}"))?;
        let mut id = [0; 8];
        id.copy_from_slice(&pair.public_key().as_ref()[..8]);
        Ok(Self { pair, id })
    }

    /// The file of the public key.
    #[must_use]
    pub fn public(&self) -> String {
        let key = [&KEY[..], &self.id, self.pair.public_key().as_ref()].concat();
        format!("untrusted comment: a test's\n{}\n", STANDARD.encode(key))
    }

    /// Signs the manifest of the release in the folder `dir`.
    ///
    /// # Errors
    ///
    /// It cannot be read, or the signature not written.
    pub fn sign(&self, dir: &Path) -> Result<()> {
        let manifest = dir.join("manifest.json");
        let text = fs::read(&manifest).with_context(|| format!("read {}", manifest.display()))?;
        let signature = self.pair.sign(&Blake2b512::digest(&text));
        let comment = "a test's";
        let whole = [signature.as_ref(), comment.as_bytes()].concat();
        let whole = self.pair.sign(&whole);
        let line = [&HASHED[..], &self.id, signature.as_ref()].concat();
        let text = format!(
            "untrusted comment: x\n{}\ntrusted comment: {comment}\n{}\n",
            STANDARD.encode(line),
            STANDARD.encode(whole.as_ref())
        );
        Ok(fs::write(dir.join("manifest.json.minisig"), text)?)
    }
}
