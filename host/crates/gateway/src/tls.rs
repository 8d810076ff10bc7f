//! TLS for clients: the certificate and its key, read, checked, and replaced while the
//! host runs.
//!
//! # Invariants
//!
//! - A certificate is in force with its key, or not at all: both are read, and proved to
//!   belong together, before either is used.
//! - Connections keep the session that they have; a new certificate is for handshakes that
//!   begin after it, and none of them resumes a session from before it.

mod files;
mod handshakes;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use host_model::instant::rfc3339;
use parking_lot::RwLock;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{CertificateError, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

pub use files::{TlsError, TlsFile, TlsFiles};
pub(crate) use handshakes::{Handshakes, Spoken};

use crate::limits::{RENEWAL_LOOK_EVERY, RENEWAL_WARNING};

/// What HTTP is spoken in, by ALPN (RFC 7301): what the host prefers comes first.
pub(crate) const ALPN_H2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// Beyond the end of every certificate: the year 9999, as RFC 5280 writes "never".
const END_OF_TIME: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(253_402_300_799));

/// Of a certificate's digest: enough to tell two from one another.
const DIGEST_BYTES_SHOWN: usize = 8;

/// A certificate and its key, found to belong together.
#[derive(Debug, Clone)]
pub struct Identity {
    key: Arc<CertifiedKey>,
    /// Seconds since the Unix epoch.
    not_before: u64,
    not_after: u64,
}

impl Identity {
    /// Of a chain that is not empty.
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: rustls::pki_types::PrivateKeyDer<'static>,
        files: &TlsFiles,
    ) -> Result<Self, TlsError> {
        let provider = default_provider();
        let bad = |source: rustls::Error| TlsError::certificate(files, source.to_string());
        let leaf = &chain[0];
        ParsedCertificate::try_from(leaf).map_err(bad)?;
        let (not_before, not_after) = validity(leaf).map_err(bad)?;
        let key = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|error| TlsError::of_pair(files, error))?;
        Ok(Self {
            key: Arc::new(key),
            not_before,
            not_after,
        })
    }

    /// Until when it is valid, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn not_after_ms(&self) -> i64 {
        ms(self.not_after)
    }

    /// Why no client would take it now, if none would.
    #[must_use]
    pub fn out_of_time(&self) -> Option<String> {
        self.out_of_time_at(now_s())
    }

    fn out_of_time_at(&self, now_s: u64) -> Option<String> {
        if now_s < self.not_before {
            let from = rfc3339(ms(self.not_before));
            Some(format!(
                "the certificate is valid from {from} on, and no client takes it before: wait, or look at this machine's clock"
            ))
        } else if now_s > self.not_after {
            let until = rfc3339(self.not_after_ms());
            Some(format!(
                "the certificate was valid until {until}, and no client takes it any more: renew it"
            ))
        } else {
            None
        }
    }

    /// What an operator should know of it where clients come for `host`, a sentence each.
    #[must_use]
    pub fn warnings(&self, host: &str) -> Vec<String> {
        let mut warnings: Vec<_> = self.out_of_time().into_iter().collect();
        let soon = now_s() + RENEWAL_WARNING.as_secs();
        if warnings.is_empty() && soon > self.not_after {
            let until = rfc3339(self.not_after_ms());
            warnings.push(format!(
                "the certificate is valid until {until} only: renew it"
            ));
        }
        if !self.is_for(host) {
            warnings.push(format!(
                "the certificate is not one for {host}, which HOST names: clients that come by that name refuse it"
            ));
        }
        warnings
    }

    fn is_for(&self, host: &str) -> bool {
        let leaf = &self.key.cert[0];
        let parsed = ParsedCertificate::try_from(leaf).expect("it was parsed when it was read");
        let name = ServerName::try_from(host.trim_matches(['[', ']']));
        name.is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    }

    /// As an operator may tell it from another: the beginning of its digest, and its end.
    #[must_use]
    pub fn shown(&self) -> String {
        let digest = Sha256::digest(&self.key.cert[0]);
        let digest: String = digest[..DIGEST_BYTES_SHOWN]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let until = rfc3339(self.not_after_ms());
        format!("sha256:{digest}…, valid until {until}")
    }

    fn config(&self) -> Arc<ServerConfig> {
        let provider: Arc<CryptoProvider> = Arc::new(default_provider());
        let key = SingleCertAndKey::from(Arc::clone(&self.key));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("the provider has suites of both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(key));
        config.alpn_protocols = vec![ALPN_H2.to_vec(), ALPN_HTTP1.to_vec()];
        Arc::new(config)
    }
}

impl PartialEq for Identity {
    /// By the whole chain: it may be another for the same certificate.
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

/// The certificate that is in force.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    identity: Identity,
    config: Arc<ServerConfig>,
    /// What the files held when they were last read: to see when they change.
    seen: files::Seen,
}

/// A certificate that has replaced another.
#[derive(Debug, Clone, PartialEq)]
pub struct Replaced {
    /// The one before, as [`Identity::shown`].
    pub before: String,
    /// The one in force.
    pub after: String,
}

impl Tls {
    /// Reads the certificate and its key.
    ///
    /// # Errors
    ///
    /// [`TlsError`]. A certificate that is out of its time is none: a host that comes back
    /// in the night serves those who take it, and says so.
    pub fn open(files: TlsFiles) -> Result<Arc<Self>, TlsError> {
        let (identity, seen) = files.read()?;
        let config = identity.config();
        let current = RwLock::new(Current {
            identity,
            config,
            seen,
        });
        Ok(Arc::new(Self { files, current }))
    }

    /// Where it lies.
    #[must_use]
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// The certificate in force.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.current.read().identity.clone()
    }

    /// Reads the files anew, for [`Tls::replace`]. Blocking.
    ///
    /// # Errors
    ///
    /// [`TlsError`], and of one that is out of its time too: the one in force is better.
    pub fn read(&self) -> Result<Renewal, TlsError> {
        let (identity, seen) = self.files.read()?;
        let is_new = identity != self.current.read().identity;
        match identity.out_of_time().filter(|_| is_new) {
            Some(problem) => Err(TlsError::certificate(&self.files, problem)),
            None => Ok(Renewal { identity, seen }),
        }
    }

    /// Puts what was read in force, for handshakes that begin from now on. Says what it has
    /// replaced, if it is another.
    pub fn replace(&self, read: Renewal) -> Option<Replaced> {
        let Renewal { identity, seen } = read;
        let mut current = self.current.write();
        if current.seen == seen {
            return None;
        }
        let replaced = Replaced {
            before: current.identity.shown(),
            after: identity.shown(),
        };
        *current = Current {
            config: identity.config(),
            identity,
            seen,
        };
        drop(current);
        tracing::info!(
            before = replaced.before,
            after = replaced.after,
            "the certificate for clients was replaced"
        );
        Some(replaced)
    }

    fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().config)
    }

    /// Looks now and then whether the files are others, as after a renewal in place, and
    /// takes what is sound. Ends with `stop`.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut told = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEWAL_LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let tls = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || tls.look());
            let problem = looked.await.expect("reading files does not panic").err();
            let problem = problem.map(|error| error.to_string());
            // What is half written is whole the next time; what stays wrong is told once.
            if let Some(problem) = problem.as_ref().filter(|it| told.as_ref() != Some(*it)) {
                tracing::error!(
                    problem,
                    "the certificate for clients stays as it was, for its files have become wrong"
                );
            }
            told = problem;
        }
    }

    fn look(&self) -> Result<(), TlsError> {
        if self.files.seen()? != self.current.read().seen {
            self.replace(self.read()?);
        }
        Ok(())
    }
}

/// What [`Tls::read`] has read.
#[derive(Debug)]
pub struct Renewal {
    identity: Identity,
    seen: files::Seen,
}

/// From when until when a certificate is valid, in seconds since the Unix epoch. The
/// library reads both, and tells either to whoever comes too early or too late.
fn validity(leaf: &CertificateDer<'static>) -> Result<(u64, u64), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(leaf.clone())?;
    let provider = Arc::new(default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .expect("there is an authority, and no list of what was revoked");
    let name = ServerName::try_from("any").expect("it is a name");
    let at = |time| match verifier.verify_server_cert(leaf, &[], &name, &[], time) {
        Err(rustls::Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    };
    let never =
        || rustls::Error::General("it does not say from when until when it is valid".into());
    match (
        at(UnixTime::since_unix_epoch(Duration::ZERO)),
        at(END_OF_TIME),
    ) {
        (Some(CertificateError::NotValidYetContext { not_before, .. }), end) => {
            let not_after = match end {
                Some(CertificateError::ExpiredContext { not_after, .. }) => not_after,
                _ => END_OF_TIME,
            };
            Ok((not_before.as_secs(), not_after.as_secs()))
        }
        (_, Some(CertificateError::ExpiredContext { not_after, .. })) => {
            Ok((0, not_after.as_secs()))
        }
        (Some(CertificateError::BadEncoding), _) => Err(CertificateError::BadEncoding.into()),
        _ => Err(never()),
    }
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// Seconds in milliseconds; no certificate reaches beyond what there are.
fn ms(seconds: u64) -> i64 {
    i64::try_from(seconds).map_or(i64::MAX, |seconds| seconds.saturating_mul(1_000))
}
