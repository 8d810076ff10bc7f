//! Certificates, made for one test: an authority, and what it issues to servers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// Who vouches for servers.
#[derive(Debug)]
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new one, of this name.
    ///
    /// # Errors
    ///
    /// That its certificate cannot be made or written.
    pub fn new(name: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        fs::write(folder.path().join("authority.pem"), certificate.pem())?;
        Ok(Self {
            folder,
            issuer: Issuer::new(params, key),
        })
    }

    /// Its certificate, in PEM: what `SSL_CERT_FILE` names.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// Writes `server.crt` and `server.key` for a server of this name.
    pub(crate) fn issue(&self, name: &str, folder: &Path) -> Result<()> {
        let params = CertificateParams::new(vec![name.to_owned()])?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let written = fs::write(folder.join("server.crt"), certificate.pem())
            .and_then(|()| fs::write(folder.join("server.key"), key.serialize_pem()));
        written.with_context(|| format!("write a certificate into {}", folder.display()))
    }
}
