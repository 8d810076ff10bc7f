//! Webhooks on their way out: `POST` with a JSON body, over HTTP/1.1, with or without
//! TLS. One connection for each: receivers are many, and their answers slow.
//!
//! Only a 2xx says that the receiver has taken it. A redirect is no answer to a
//! `POST` that moves money; it is reported, and an operator corrects the address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use host_actors::{Attempt, Courier, Delivery};
use host_model::error::chain;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Sends webhooks.
#[derive(Debug, Clone)]
pub struct Webhooks {
    tls: Arc<ClientConfig>,
}

/// Why no webhook could be sent over TLS. The operator is to blame.
#[derive(Debug, Error)]
pub enum AuthoritiesError {
    /// The file was named, and there is no certificate in it.
    #[error(
        "read the certificate authorities of {}: {problem}; SSL_CERT_FILE names a file of \
         certificates in PEM",
        path.display()
    )]
    File {
        /// Which.
        path: PathBuf,
        /// What was found.
        problem: String,
    },
    /// The library of TLS refused its own defaults.
    #[error("configure TLS for webhooks")]
    Tls(#[from] rustls::Error),
}

impl Webhooks {
    /// Trusts the certificate authorities of `file`, or else those of the system.
    ///
    /// # Errors
    ///
    /// [`AuthoritiesError`]. A system without authorities is no error: the log says
    /// so, and webhooks over `http` work.
    pub fn new(file: Option<&Path>) -> Result<Self, AuthoritiesError> {
        let found = match file {
            Some(file) => rustls_native_certs::load_certs_from_paths(Some(file), None),
            None => rustls_native_certs::load_native_certs(),
        };
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(found.certs);
        if taken == 0 {
            let problem = match found.errors.first() {
                Some(error) => error.to_string(),
                None => "no certificate was found".to_owned(),
            };
            match file {
                Some(file) => {
                    let path = file.to_owned();
                    return Err(AuthoritiesError::File { path, problem });
                }
                None => tracing::warn!(
                    problem,
                    "the system has no certificate authorities: no webhook can be sent over TLS"
                ),
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(tls) })
    }
}

impl Courier for Webhooks {
    fn deliver(&self, delivery: Delivery) -> Attempt {
        Box::pin(send(Arc::clone(&self.tls), delivery))
    }
}

async fn send(tls: Arc<ClientConfig>, delivery: Delivery) -> Result<(), String> {
    let url: Uri = delivery.url.parse().map_err(|error| {
        let error: hyper::http::uri::InvalidUri = error;
        format!("{:?} is no address: {error}", delivery.url)
    })?;
    let no_host = || format!("{:?} names no host", delivery.url);
    let authority = url.authority().ok_or_else(no_host)?;
    let is_secure = url.scheme_str() == Some("https");
    let port = authority.port_u16().unwrap_or(match is_secure {
        true => 443,
        false => 80,
    });
    // An address of IPv6 stands in brackets, which are not part of it.
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| format!("connect to {host}:{port}: {error}"))?;
    let request = request(&url, authority.host(), authority.port_u16(), &delivery)?;
    if !is_secure {
        return exchange(stream, request).await;
    }
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| format!("{host:?} is no name that a certificate could have: {error}"))?;
    let stream = TlsConnector::from(tls)
        .connect(name, stream)
        .await
        .map_err(|error| format!("speak TLS with {host}:{port}: {error}"))?;
    exchange(stream, request).await
}

type Body = http_body_util::Full<Bytes>;

fn request(
    url: &Uri,
    host: &str,
    port: Option<u16>,
    delivery: &Delivery,
) -> Result<Request<Body>, String> {
    let host = match port {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    Request::post(path)
        .header(HOST, host)
        .header(USER_AGENT, concat!("host/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json")
        .header("idempotency-key", &delivery.key)
        .body(Body::new(delivery.body.clone()))
        .map_err(|error| format!("{url} cannot be asked for: {error}"))
}

/// Sends the request, and waits for the status of the answer; its body is not read.
async fn exchange<S>(stream: S, request: Request<Body>) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let failed = |error: hyper::Error| format!("send it: {}", chain(&error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(failed)?;
    let answer = sender.send_request(request);
    tokio::pin!(answer, connection);
    let answer = tokio::select! {
        biased;
        answer = &mut answer => answer,
        // What it has read is known to the answer.
        _ = &mut connection => answer.await,
    };
    let status = answer.map_err(failed)?.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(format!("it answered {status}"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A receiver that gives one answer; the port, and what it will have read.
    async fn receiver(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let read = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            let mut buffer = [0; 1_024];
            while !text.ends_with("{\"n\":1}") {
                let read = stream.read(&mut buffer).await.unwrap();
                if read == 0 {
                    break;
                }
                text.push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            text
        });
        (port, read)
    }

    async fn deliver(url: String) -> Result<(), String> {
        let delivery = Delivery {
            url,
            key: "store/7/0".to_owned(),
            name: "thanks".to_owned(),
            body: Bytes::from_static(b"{\"n\":1}"),
        };
        Webhooks::new(None).unwrap().deliver(delivery).await
    }

    #[tokio::test]
    async fn a_receiver_gets_the_body_under_its_key() {
        let (port, read) = receiver("HTTP/1.1 204 No Content\r\n\r\n").await;
        let url = format!("http://127.0.0.1:{port}/a?b=c");
        assert_eq!(deliver(url).await, Ok(()));
        let text = read.await.unwrap();
        assert!(text.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{text}");
        for header in [
            format!("host: 127.0.0.1:{port}\r\n"),
            "idempotency-key: store/7/0\r\n".to_owned(),
            "content-type: application/json\r\n".to_owned(),
        ] {
            assert!(text.contains(&header), "{header:?} in {text}");
        }
    }

    #[tokio::test]
    async fn who_does_not_take_it_is_named_with_the_reason() {
        for (answer, why) in [
            ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "503"),
            (
                "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
                "302",
            ),
            ("this is no HTTP\r\n\r\n", "send it"),
        ] {
            let (port, _read) = receiver(answer).await;
            let error = deliver(format!("http://127.0.0.1:{port}")).await;
            let error = error.unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plain = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"no TLS either").await.unwrap();
            stream
        });
        let error = deliver(format!("https://127.0.0.1:{port}/")).await;
        assert!(error.unwrap_err().contains("speak TLS"));
        drop(plain.await);
        for url in ["http://", "http:///x", "http://a b/"] {
            assert!(deliver(url.to_owned()).await.is_err(), "{url}");
        }
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = closed.local_addr().unwrap().port();
        drop(closed);
        let error = deliver(format!("http://127.0.0.1:{port}/")).await;
        assert!(error.unwrap_err().contains("connect to"));
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for text in [None, Some("no certificate")] {
            let path = folder.path().join("ca.pem");
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let error = Webhooks::new(Some(&path)).unwrap_err().to_string();
            assert!(error.contains("ca.pem"), "{error}");
        }
    }
}
