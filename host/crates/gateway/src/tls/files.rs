//! The two files in PEM, and what may be wrong with them.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

use super::Identity;
use crate::limits::PEM_BYTES_MAX;

/// Where certificate and key lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate in PEM, and behind it those that vouch for it, each for the one
    /// before it.
    pub cert: PathBuf,
    /// Its key in PEM: PKCS #8, PKCS #1 or SEC 1, without a passphrase.
    pub key: PathBuf,
}

/// Which of the two is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificate's.
    Cert,
    /// The key's.
    Key,
}

/// Why there can be no TLS. It blames the operator, and shows nothing of a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {problem}", path.display())]
pub struct TlsError {
    /// Which file.
    pub file: TlsFile,
    /// Where it lies.
    pub path: PathBuf,
    /// What was found, and what is wanted.
    pub problem: String,
}

/// A digest of what the files hold, for this process alone.
pub(super) type Seen = [u64; 2];

impl TlsFiles {
    /// Reads both, and proves that they belong together.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn identity(&self) -> Result<Identity, TlsError> {
        self.read().map(|(identity, _)| identity)
    }

    /// Whether others than its owner and group may read the key.
    #[must_use]
    pub fn is_key_open(&self) -> bool {
        let found = std::fs::metadata(&self.key);
        found.is_ok_and(|found| found.permissions().mode() & 0o007 != 0)
    }

    /// Everything that is wrong with them: with each, or else with both together.
    #[must_use]
    pub fn problems(&self) -> Vec<TlsError> {
        let chain = self.text(TlsFile::Cert).and_then(|it| self.chain(&it));
        let key = self.text(TlsFile::Key).and_then(|it| self.private_key(&it));
        match (chain, key) {
            (Ok(chain), Ok(key)) => {
                let together = Identity::new(chain, key, self);
                together.err().into_iter().collect()
            }
            (chain, key) => chain.err().into_iter().chain(key.err()).collect(),
        }
    }

    pub(super) fn read(&self) -> Result<(Identity, Seen), TlsError> {
        let (cert, key) = (self.text(TlsFile::Cert)?, self.text(TlsFile::Key)?);
        let identity = Identity::new(self.chain(&cert)?, self.private_key(&key)?, self)?;
        Ok((identity, digests(&cert, &key)))
    }

    pub(super) fn seen(&self) -> Result<Seen, TlsError> {
        let (cert, key) = (self.text(TlsFile::Cert)?, self.text(TlsFile::Key)?);
        Ok(digests(&cert, &key))
    }

    /// The certificates in a text, of which there is one at least.
    fn chain(&self, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let chain = chain
            .map_err(|error| TlsError::certificate(self, format!("it is no PEM ({error})")))?;
        match chain.is_empty() {
            true => Err(TlsError::empty(self)),
            false => Ok(chain),
        }
    }

    fn private_key(&self, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(text).map_err(|_| {
            let problem = "there is no private key in it: a key in PEM without a passphrase is wanted, which begins with -----BEGIN PRIVATE KEY-----";
            Self::error(TlsFile::Key, &self.key, problem)
        })
    }

    fn text(&self, file: TlsFile) -> Result<Vec<u8>, TlsError> {
        let path = match file {
            TlsFile::Cert => &self.cert,
            TlsFile::Key => &self.key,
        };
        text(path).map_err(|error| Self::error(file, path, &format!("it cannot be read: {error}")))
    }

    fn error(file: TlsFile, path: &Path, problem: &str) -> TlsError {
        TlsError {
            file,
            path: path.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

impl TlsError {
    pub(super) fn certificate(files: &TlsFiles, problem: String) -> Self {
        TlsFiles::error(TlsFile::Cert, &files.cert, &problem)
    }

    pub(super) fn empty(files: &TlsFiles) -> Self {
        let problem = "there is no certificate in it: one in PEM is wanted, which begins with -----BEGIN CERTIFICATE-----";
        Self::certificate(files, problem.to_owned())
    }

    pub(super) fn of_pair(files: &TlsFiles, error: rustls::Error) -> Self {
        let problem = match error {
            rustls::Error::InconsistentKeys(_) => format!(
                "it is not the key of the first certificate in {}: both must be of one pair, and the host's own certificate must stand before those that vouch for it",
                files.cert.display()
            ),
            error => format!(
                "it is no key that TLS can use ({error}): use RSA from 2048 bits on, ECDSA with P-256 or P-384, or Ed25519"
            ),
        };
        TlsFiles::error(TlsFile::Key, &files.key, &problem)
    }
}

/// What is in a file, which is no larger than such files are.
fn text(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > PEM_BYTES_MAX {
        true => Err(io::Error::other(format!(
            "it has over {PEM_BYTES_MAX} bytes"
        ))),
        false => Ok(bytes),
    }
}

fn digests(cert: &[u8], key: &[u8]) -> Seen {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    let keys = KEYS.get_or_init(RandomState::new);
    [cert, key].map(|bytes| keys.hash_one(bytes))
}
