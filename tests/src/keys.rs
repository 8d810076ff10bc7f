//! Pairs of keys that tokens are signed with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{KeyPair, PKCS_ED25519};

/// A pair for Ed25519.
#[derive(Debug)]
pub struct Keys {
    /// The file of the private one, in PEM.
    pub private: PathBuf,
    /// The public one, in PEM.
    pub public: String,
}

impl Keys {
    /// A new pair, whose private key lies in `folder` as `NAME.pem`.
    ///
    /// # Errors
    ///
    /// That it cannot be made or written.
    pub fn generate(folder: &Path, name: &str) -> Result<Self> {
        let pair = KeyPair::generate_for(&PKCS_ED25519)?;
        let private = folder.join(format!("{name}.pem"));
        fs::write(&private, pair.serialize_pem())?;
        let public = pair.public_key_pem();
        Ok(Self { private, public })
    }
}
