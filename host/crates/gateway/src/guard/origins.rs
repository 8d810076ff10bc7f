//! Whose pages may open a WebSocket. A browser lets any page connect to any host and sends
//! along what it knows of the user, but it tells whose page it is in `Origin` (RFC 6454,
//! RFC 6455 section 10.2). Whoever is no browser sends none, or whatever it likes, and gains
//! nothing by it.

use std::net::IpAddr;

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, Uri};
use thiserror::Error;

/// Origins whose pages are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    allowed: Vec<Pattern>,
    loopback: bool,
}

/// Why a list of origins is none. It blames the operator.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no origin such as https://app.example.org, https://*.example.org or http://localhost:3000, without a path"
)]
pub struct OriginsError(String);

/// A scheme, a host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    scheme: String,
    /// In lower case; of `*.example.org`, what follows the star.
    host: String,
    any_subdomain: bool,
    port: u16,
}

impl Origins {
    /// The host's own, and those that `others` lists with commas between; on this machine
    /// all that `loopback` allows.
    ///
    /// # Errors
    ///
    /// The first of them that is none.
    pub fn new(
        scheme: &str,
        host: &str,
        port: u16,
        others: &str,
        loopback: bool,
    ) -> Result<Self, OriginsError> {
        let own = Pattern {
            scheme: scheme.to_owned(),
            host: host.to_ascii_lowercase(),
            any_subdomain: false,
            port,
        };
        let mut allowed = vec![own];
        let others = others.split(',').map(str::trim).filter(|it| !it.is_empty());
        for text in others {
            allowed.push(Pattern::parse(text).ok_or_else(|| OriginsError(text.to_owned()))?);
        }
        Ok(Self { allowed, loopback })
    }

    /// Whether a request's origin is allowed; one without any is.
    ///
    /// # Errors
    ///
    /// A sentence that says what is.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(origin.as_bytes());
        let parsed = Pattern::parse(&text).filter(|it| !it.any_subdomain);
        if origins.next().is_none()
            && let Some(origin) = parsed
            && (self.allowed.iter().any(|it| it.matches(&origin))
                || (self.loopback && origin.is_loopback()))
        {
            return Ok(());
        }
        let allowed: Vec<_> = self.allowed.iter().map(Pattern::to_string).collect();
        let loopback = if self.loopback {
            ", and those of this machine"
        } else {
            ""
        };
        Err(format!(
            "pages of {text:?} may not connect here; those of {}{loopback} may: URL_SCHEME, HOST, \
             URL_PORT and ALLOWED_ORIGINS say which",
            allowed.join(", ")
        ))
    }
}

impl Pattern {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.replacen("://*.", "://any-.", 1).parse().ok()?;
        let (scheme, authority) = (uri.scheme_str()?, uri.authority()?);
        let default = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return None,
        };
        let has_more = uri.path() != "/" || uri.query().is_some() || text.ends_with('/');
        let bare = authority.host().len() + authority.port().map_or(0, |it| it.as_str().len() + 1);
        if has_more || authority.as_str().len() != bare {
            return None;
        }
        let host = authority.host().to_ascii_lowercase();
        let under = host.strip_prefix("any-");
        Some(Self {
            scheme: scheme.to_owned(),
            any_subdomain: text.contains("://*."),
            host: match under {
                Some(under) if text.contains("://*.") => under.to_owned(),
                _ => host,
            },
            port: authority.port_u16().unwrap_or(default),
        })
    }

    fn matches(&self, origin: &Self) -> bool {
        let has_host = match self.any_subdomain {
            true => origin.host.ends_with(&self.host) && origin.host.len() > self.host.len(),
            false => origin.host == self.host,
        };
        has_host && self.scheme == origin.scheme && self.port == origin.port
    }

    fn is_loopback(&self) -> bool {
        let address = self.host.trim_matches(['[', ']']).parse::<IpAddr>();
        match address {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let star = if self.any_subdomain { "*" } else { "" };
        write!(f, "{}://{star}{}", self.scheme, self.host)?;
        match (self.scheme.as_str(), self.port) {
            ("https", 443) | ("http", 80) => Ok(()),
            (_, port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(origins: &Origins, origin: &str) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, origin.parse().unwrap());
        origins.check(&headers)
    }

    #[test]
    fn the_hosts_own_pages_and_those_that_are_listed() {
        let others = "https://*.example.net, http://app.example.com:8080";
        let origins = Origins::new("https", "Give.example.org", 443, others, false).unwrap();
        assert_eq!(origins.check(&HeaderMap::new()), Ok(()), "no browser");
        for allowed in [
            "https://give.example.org",
            "https://GIVE.example.org:443",
            "https://a.example.net",
            "https://a.b.example.net",
            "http://app.example.com:8080",
        ] {
            assert_eq!(check(&origins, allowed), Ok(()), "{allowed}");
        }
        for refused in [
            "null",
            "http://give.example.org",
            "https://give.example.org:8443",
            "https://give.example.org.evil.org",
            "https://example.net",
            "https://evilexample.net",
            "https://.example.net.evil.org",
            "http://app.example.com",
            "http://localhost:4000",
            "https://*.example.net",
            "https://any-.example.net@evil.org",
            "https://give.example.org/",
            "file://",
        ] {
            let error = check(&origins, refused).unwrap_err();
            assert!(error.contains("https://give.example.org, "), "{error}");
            assert!(error.contains("ALLOWED_ORIGINS"), "{error}");
        }
        let mut twice = HeaderMap::new();
        twice.append(ORIGIN, "https://give.example.org".parse().unwrap());
        twice.append(ORIGIN, "https://give.example.org".parse().unwrap());
        assert!(origins.check(&twice).is_err());
    }

    #[test]
    fn in_development_this_machines_pages_pass() {
        let origins = Origins::new("http", "localhost", 4000, "", true).unwrap();
        for allowed in [
            "http://localhost:4000",
            "http://localhost:5173",
            "https://127.0.0.1",
            "http://[::1]:3000",
            "http://app.localhost:1",
        ] {
            assert_eq!(check(&origins, allowed), Ok(()), "{allowed}");
        }
        for refused in ["http://localhost.evil.org", "http://192.0.2.1", "null"] {
            assert!(check(&origins, refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for wrong in [
            "example.org",
            "https://example.org/app",
            "ws://example.org",
            "https://user@example.org",
            "https://example.org/",
            "*",
        ] {
            let error = Origins::new("https", "a", 443, wrong, false).unwrap_err();
            assert_eq!(error, OriginsError(wrong.to_owned()));
        }
    }
}
