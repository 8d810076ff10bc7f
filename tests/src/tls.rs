//! A host's certificate, made for one test, and clients that trust it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::{Message, WebSocket};

use crate::Home;
use crate::wait::DEADLINE;

/// A stream inside TLS.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A certificate that vouches for itself, and the files that it lies in.
#[derive(Debug)]
pub struct Certificate {
    /// In PEM.
    pub file: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    trust: Arc<ClientConfig>,
}

impl Certificate {
    /// Writes `cert.pem` and `key.pem` into `folder`, in place of what is there: for a server
    /// of this name, valid in these years.
    ///
    /// # Errors
    ///
    /// That it cannot be made or written.
    pub fn issue(folder: &Path, name: &str, years: Range<i32>) -> Result<Self> {
        let pair = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![name.to_owned()])?;
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let certificate = params.self_signed(&pair)?;
        let (file, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        // As those who renew do: whoever looks in between finds a pair or one that does not
        // belong together, and never half a file.
        for (path, text) in [(&key, pair.serialize_pem()), (&file, certificate.pem())] {
            let new = path.with_extension("new");
            fs::write(&new, text)?;
            fs::rename(&new, path)?;
        }
        Ok(Self {
            trust: trusting(&file)?,
            file,
            key,
        })
    }

    /// Has a home use it.
    ///
    /// # Errors
    ///
    /// That its file cannot be written.
    pub fn configure(&self, home: &Home) -> Result<()> {
        home.configure(&format!("TLS_CERT_FILE={}", self.file.display()))?;
        home.configure(&format!("TLS_KEY_FILE={}", self.key.display()))
    }

    /// Connects as a client that trusts this certificate alone, by the name `localhost`.
    ///
    /// # Errors
    ///
    /// That nobody listens, or the handshake fails.
    pub fn connect(&self, port: u16) -> Result<Stream> {
        let tcp = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port)))?;
        tcp.set_read_timeout(Some(DEADLINE))?;
        let session =
            ClientConnection::new(Arc::clone(&self.trust), ServerName::try_from("localhost")?)?;
        let mut stream = StreamOwned::new(session, tcp);
        while stream.conn.is_handshaking() {
            let shaken = stream.conn.complete_io(&mut stream.sock);
            shaken.context("do a handshake of TLS")?;
        }
        Ok(stream)
    }

    /// The answer to a GET, its head and body.
    ///
    /// # Errors
    ///
    /// As [`Certificate::connect`], or that no answer comes.
    pub fn get(&self, port: u16, path: &str) -> Result<String> {
        let mut stream = self.connect(port)?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    ///
    /// As [`Certificate::connect`], or that it is refused.
    pub fn socket(&self, port: u16) -> Result<WebSocket<Stream>> {
        let stream = self.connect(port)?;
        let url = "wss://localhost/socket/websocket?vsn=2.0.0";
        let opened = tungstenite::client(url, stream);
        let (socket, _) = opened.map_err(|e| anyhow::anyhow!("open a WebSocket in TLS: {e}"))?;
        Ok(socket)
    }
}

/// Asks for a heartbeat's answer.
///
/// # Errors
///
/// That none comes.
pub fn beat(socket: &mut WebSocket<Stream>) -> Result<()> {
    socket.send(Message::text(r#"[null,"1","phoenix","heartbeat",{}]"#))?;
    let answer = socket.read()?;
    anyhow::ensure!(
        answer.to_text()?.contains("phx_reply"),
        "{answer} is no reply"
    );
    Ok(())
}

fn trusting(file: &Path) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
