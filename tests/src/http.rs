//! HTTP requests as a client would write them by hand: one a connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::wait::DEADLINE;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers, as they came.
    pub head: String,
    /// Its body.
    pub body: String,
}

impl Answer {
    /// The body, which is JSON.
    ///
    /// # Errors
    ///
    /// That it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body)
            .with_context(|| format!("the answer {} has the body {}", self.status, self.body))
    }

    /// `reason` of problem details; empty where there is none.
    #[must_use]
    pub fn reason(&self) -> String {
        let problem = self.json().unwrap_or_default();
        problem["reason"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends a request with a JSON body to the host on `port`.
///
/// # Errors
///
/// That no answer comes.
pub fn request(port: u16, method: &str, path: &str, body: &str) -> Result<Answer> {
    request_with(port, method, path, "", body)
}

/// As [`request`], with more headers: each ends with CRLF.
///
/// # Errors
///
/// As [`request`].
pub fn request_with(
    port: u16,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<Answer> {
    let length = body.len();
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    let bytes = exchange(port, text.as_bytes())?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .context("an answer has a head")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok());
    Ok(Answer {
        status: status.with_context(|| format!("an answer has a status: {head}"))?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// Sends these bytes, and reads until the host ends the connection.
///
/// # Errors
///
/// That it cannot be reached, or does not end the connection in time.
pub fn exchange(port: u16, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    // A host that has seen enough may end the connection before it has read all.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // The same, seen from the reading side.
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Ok(answer),
        Err(e) => Err(e).context("read to the end of the connection"),
        Ok(_) => Ok(answer),
    }
}
