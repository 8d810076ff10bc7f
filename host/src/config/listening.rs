//! Where clients are waited for, and by which certificate.

use std::net::{IpAddr, SocketAddr};

use host_gateway::{TlsFile, TlsFiles};

use super::Reader;
use super::list::members;
use crate::home::Home;

/// Addresses to listen on: a machine has a few.
const ADDRESSES_MAX: usize = 16;

impl Reader<'_> {
    /// `LISTEN`; an address without a port has that of `PORT`.
    pub(super) fn addresses(&mut self, port: u16) -> Vec<SocketAddr> {
        let addresses = |value: &str| members(value, ADDRESSES_MAX, |text| address(text, port));
        self.with_all("LISTEN", addresses).unwrap_or_default()
    }

    /// `TLS_CERT_FILE` and `TLS_KEY_FILE`: both or neither.
    pub(super) fn tls(&mut self, home: &Home) -> Option<TlsFiles> {
        let mut path = |key| self.with(key, |path| Ok(home.root.join(path)));
        let (cert, key) = (path("TLS_CERT_FILE"), path("TLS_KEY_FILE"));
        let (is, missing, what) = match (cert, key) {
            (Some(cert), Some(key)) => return Some(self.pair(TlsFiles { cert, key })),
            (None, None) => return None,
            (Some(_), None) => (
                "TLS_CERT_FILE",
                "TLS_KEY_FILE",
                "the key of the certificate",
            ),
            (None, Some(_)) => (
                "TLS_KEY_FILE",
                "TLS_CERT_FILE",
                "the certificate of the key",
            ),
        };
        if self.is_missing(missing) {
            self.with(is, |found| {
                Err::<(), _>(format!(
                    "{found:?} is alone: {missing} is not set, and is to name the file of {what}, in PEM"
                ))
            });
        }
        None
    }

    /// The files; a fault for each that is wrong, or where certificate and key in them do not
    /// belong together.
    fn pair(&mut self, files: TlsFiles) -> TlsFiles {
        for error in files.problems() {
            let key = match error.file {
                TlsFile::Cert => "TLS_CERT_FILE",
                TlsFile::Key => "TLS_KEY_FILE",
            };
            self.with(key, |_| Err::<(), _>(error.to_string()));
        }
        files
    }
}

fn address(text: &str, port: u16) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let with_port = text.parse::<SocketAddr>().ok();
    let alone = || bare.unwrap_or(text).parse::<IpAddr>().ok();
    with_port
        .or_else(|| Some((alone()?, port).into()))
        .ok_or_else(|| {
            format!(
                "{text:?} is no address such as 127.0.0.1, [::1]:4000 or [::]: write numbers and no names, and a comma between two"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_of_its_own_or_the_hosts() {
        for (text, found) in [
            ("127.0.0.1", "127.0.0.1:7"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("::1", "[::1]:7"),
            ("[::]", "[::]:7"),
            ("[::1]:0", "[::1]:0"),
        ] {
            assert_eq!(address(text, 7), Ok(found.parse().unwrap()), "{text}");
        }
        for wrong in [
            "",
            "localhost",
            "127.0.0",
            "[127.0.0.1",
            "::1]:4",
            ":4000",
            "1.2.3.4:99999",
        ] {
            assert!(address(wrong, 7).is_err(), "{wrong}");
        }
    }
}
