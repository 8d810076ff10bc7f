//! How the server proves who it is: `sslmode` for rustls.

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use thiserror::Error as ThisError;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::SslMode;

/// Why there can be no TLS.
#[derive(Debug, ThisError)]
pub(super) enum TlsError {
    #[error("SSL_CERT_FILE, {path}, cannot be read: {problem}")]
    File { path: String, problem: String },
    #[error("{0} has no certificate of an authority: set SSL_CERT_FILE to a file in PEM")]
    Nobody(String),
    #[error(transparent)]
    Rustls(#[from] Error),
    #[error("the authorities cannot be used: {0}")]
    Verifier(String),
}

/// What connects with TLS as `mode` wants it; `certificates` is a file of authorities
/// in PEM, the system's if there is none.
pub(super) fn connector(
    mode: SslMode,
    certificates: Option<&Path>,
) -> Result<MakeRustlsConnect, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let config = match mode {
        SslMode::VerifyFull => builder
            .with_root_certificates(authorities(certificates)?)
            .with_no_client_auth(),
        SslMode::Disable | SslMode::Prefer | SslMode::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Lenient {
                chain: None,
                provider,
            }))
            .with_no_client_auth(),
        SslMode::VerifyCa => {
            let roots = Arc::new(authorities(certificates)?);
            let chain = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| TlsError::Verifier(error.to_string()))?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Lenient {
                    chain: Some(chain),
                    provider,
                }))
                .with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

/// Why a server's certificate was not taken, in words that say what to do; none of
/// another error.
pub(super) fn distrust(error: &(dyn StdError + 'static)) -> Option<String> {
    let inner = error.downcast_ref::<std::io::Error>()?.get_ref()?;
    let Error::InvalidCertificate(why) = inner.downcast_ref()? else {
        return None;
    };
    Some(match why {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is issued by no authority that is known here; name the file with its authority in SSL_CERT_FILE".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the server's certificate is for another name than the host in DATABASE_URL: {why}")
        }
        other => format!("the server's certificate is not taken: {other}"),
    })
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        return match roots.is_empty() {
            true => Err(TlsError::Nobody("this system".to_owned())),
            false => Ok(roots),
        };
    };
    let failed = |error: rustls::pki_types::pem::Error| TlsError::File {
        path: path.display().to_string(),
        problem: error.to_string(),
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
        roots.add(certificate.map_err(failed)?)?;
    }
    match roots.is_empty() {
        true => Err(TlsError::Nobody(path.display().to_string())),
        false => Ok(roots),
    }
}

/// Asks for less than rustls does by itself: for a chain to an authority whatever the
/// name, or for no chain at all. Signatures are verified always.
#[derive(Debug)]
struct Lenient {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last, behind the chain.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
