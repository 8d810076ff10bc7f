//! Where a chain begins whose first groups were removed: a signed note of the last
//! group that is gone.
//!
//! The chain proves that nothing behind the anchor has changed; the signature proves
//! that the home wrote down where it begins. Whoever can write to the store and has
//! the key can forge both, so an auditor keeps the public key, and the last hash that
//! a verification showed, somewhere else.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::group::Hash;
use crate::{Position, files, hex};

/// Under which key the store has the anchor.
pub(crate) const ANCHOR: &str = "audit/anchor";

/// What a signature is of: another purpose signs other first bytes.
const PURPOSE: &[u8] = b"host audit anchor 1\0";

/// Bytes of a key's file: 64 digits and a line feed, with room.
const KEY_FILE_BYTES_MAX: u64 = 80;

/// A signed note of the last group that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anchor {
    /// Names the store.
    pub store_id: String,
    /// Last position of the group.
    pub position: Position,
    /// Its hash.
    #[serde(with = "hex::text")]
    pub hash: Hash,
    /// Groups that are gone, this one included.
    pub groups: u64,
    /// Records in them.
    pub records: u64,
    /// When it was signed, Unix milliseconds, UTC.
    pub time_ms: i64,
    /// Of the key that signed it: Ed25519.
    #[serde(with = "hex::text")]
    pub public_key: [u8; 32],
    /// Of all above but the key.
    #[serde(with = "hex::text")]
    pub signature: [u8; 64],
}

impl Anchor {
    /// What [`ANCHOR`] holds.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in words: its bytes, or its signature.
    pub(crate) fn open(value: &[u8]) -> Result<Self, String> {
        let anchor: Self = serde_json::from_slice(value).map_err(|e| e.to_string())?;
        UnparsedPublicKey::new(&ED25519, &anchor.public_key)
            .verify(&anchor.signed(), &anchor.signature)
            .map_err(|_| "its signature does not hold".to_owned())?;
        Ok(anchor)
    }

    pub(crate) fn value(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("an anchor is plain data")
    }

    fn signed(&self) -> Vec<u8> {
        let mut bytes = PURPOSE.to_vec();
        for number in [self.position.0, self.groups, self.records] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.time_ms.to_le_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(self.store_id.as_bytes());
        bytes
    }
}

/// The home's key, of which anchors are signed.
pub struct AnchorKey {
    pair: Ed25519KeyPair,
    is_new: bool,
}

/// The key cannot be read or made.
#[derive(Debug, Error)]
#[error("{attempted} {}: {problem}", path.display())]
pub struct KeyError {
    attempted: &'static str,
    path: PathBuf,
    problem: String,
}

impl AnchorKey {
    /// The key in the file `path`, or none where there is no file.
    ///
    /// # Errors
    ///
    /// [`KeyError`]
    pub fn read(path: &Path) -> Result<Option<Self>, KeyError> {
        let failed = |problem: String| KeyError {
            attempted: "read the anchors' key",
            path: path.to_owned(),
            problem,
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        let mut text = String::new();
        file.take(KEY_FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|e| failed(e.to_string()))?;
        let seed: [u8; 32] = hex::decode(text.trim())
            .ok_or_else(|| failed("it is no key of 64 hexadecimal digits".to_owned()))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        pair.map(|pair| {
            Some(Self {
                pair,
                is_new: false,
            })
        })
        .map_err(|e| failed(e.to_string()))
    }

    /// The key in the file `path`, which is made where there is none: its owner's
    /// alone, and durable when this returns.
    ///
    /// # Errors
    ///
    /// [`KeyError`]
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        if let Some(key) = Self::read(path)? {
            return Ok(key);
        }
        let failed = |problem: String| KeyError {
            attempted: "make the anchors' key",
            path: path.to_owned(),
            problem,
        };
        let mut seed = [0; 32];
        let random = ring::rand::SystemRandom::new();
        ring::rand::SecureRandom::fill(&random, &mut seed)
            .map_err(|_| failed("the system gives no random bytes".to_owned()))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|e| failed(e.to_string()))?;
        // As a whole: half a key would be a lost one.
        let text = format!("{}\n", hex::encode(&seed));
        files::replace(path, text.as_bytes(), 0o600).map_err(|e| failed(e.to_string()))?;
        Ok(Self { pair, is_new: true })
    }

    /// The public key, 64 hexadecimal digits.
    #[must_use]
    pub fn public(&self) -> String {
        hex::encode(self.pair.public_key().as_ref())
    }

    /// Whether it was made just now: a home without a key takes the anchor of the store
    /// that it was given for its own.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// An anchor with its signature and its key.
    pub(crate) fn sign(&self, mut anchor: Anchor) -> Anchor {
        let key = self.pair.public_key().as_ref();
        anchor.public_key = key.try_into().expect("an Ed25519 key has 32 bytes");
        let signature = self.pair.sign(&anchor.signed());
        let signature = signature.as_ref();
        anchor.signature = signature.try_into().expect("its signature has 64 bytes");
        anchor
    }
}

impl std::fmt::Debug for AnchorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AnchorKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn anchor() -> Anchor {
        Anchor {
            store_id: "store".to_owned(),
            position: Position(9),
            hash: [7; 32],
            groups: 3,
            records: 8,
            time_ms: 1_767_225_600_000,
            public_key: [0; 32],
            signature: [0; 64],
        }
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("anchor.key");
        assert!(AnchorKey::read(&path).unwrap().is_none());
        let made = AnchorKey::read_or_make(&path).unwrap().public();
        assert_eq!(AnchorKey::read_or_make(&path).unwrap().public(), made);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "half a key").unwrap();
        let error = AnchorKey::read_or_make(&path).unwrap_err().to_string();
        assert!(error.contains("anchor.key"), "{error}");
    }

    #[test]
    fn an_anchor_is_taken_as_it_was_signed_only() {
        let folder = tempfile::tempdir().unwrap();
        let key = AnchorKey::read_or_make(&folder.path().join("anchor.key")).unwrap();
        let signed = key.sign(anchor());
        assert_eq!(Anchor::open(&signed.value()), Ok(signed.clone()));
        let forged = [
            Anchor {
                position: Position(10),
                ..signed.clone()
            },
            Anchor {
                hash: [8; 32],
                ..signed.clone()
            },
            Anchor {
                groups: 4,
                ..signed.clone()
            },
            Anchor {
                records: 9,
                ..signed.clone()
            },
            Anchor {
                time_ms: 0,
                ..signed.clone()
            },
            Anchor {
                store_id: "other".to_owned(),
                ..signed.clone()
            },
            Anchor {
                public_key: [1; 32],
                ..signed.clone()
            },
            Anchor {
                signature: [1; 64],
                ..signed
            },
        ];
        for forged in forged {
            assert!(Anchor::open(&forged.value()).is_err(), "{forged:?}");
        }
    }
}
