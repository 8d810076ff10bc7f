//! Whose pages may open a WebSocket. A browser lets any page connect to any host and sends
//! along what it knows of the user, but it tells whose page it is in `Origin` (RFC 6454,
//! RFC 6455 section 10.2). Whoever is no browser sends none, or whatever it likes, and gains
//! nothing by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, Uri};
use thiserror::Error;

/// Bytes of a name, and of what stands between two of its dots: RFC 1035, section 2.3.4.
const HOST_BYTES_MAX: usize = 255;
const PART_BYTES_MAX: usize = 63;

/// Origins whose pages are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    allowed: Vec<OriginPattern>,
    loopback: bool,
}

/// Why a text is no origin. It blames the operator.
#[derive(Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no origin such as https://app.example.org, https://*.example.org or http://localhost:3000, without a path, and with one star at most, for the first part of the name"
)]
pub struct OriginError(String);

/// A scheme, a host and a port; `https://*.example.org` is every name below that one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginPattern {
    scheme: String,
    /// In lower case; of `*.example.org`, what follows the star.
    host: String,
    any_subdomain: bool,
    port: u16,
}

impl Origins {
    /// The host's own, and `others`; on this machine all that `loopback` allows.
    #[must_use]
    pub fn new(
        scheme: &str,
        host: &str,
        port: u16,
        others: Vec<OriginPattern>,
        loopback: bool,
    ) -> Self {
        let own = OriginPattern {
            scheme: scheme.to_owned(),
            // As browsers write it: an address of IPv6 short, and in brackets.
            host: match bare(host).parse::<Ipv6Addr>() {
                Ok(address) => format!("[{address}]"),
                Err(_) => host.to_ascii_lowercase(),
            },
            any_subdomain: false,
            port,
        };
        let allowed = [vec![own], others].concat();
        Self { allowed, loopback }
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
        let parsed = OriginPattern::parse(&text).filter(|it| !it.any_subdomain);
        if origins.next().is_none()
            && let Some(origin) = parsed
            && (self.allowed.iter().any(|it| it.matches(&origin))
                || (self.loopback && origin.is_loopback()))
        {
            return Ok(());
        }
        let allowed: Vec<_> = self.allowed.iter().map(OriginPattern::to_string).collect();
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

impl OriginPattern {
    fn parse(text: &str) -> Option<Self> {
        let any_subdomain = text.contains("://*.");
        let uri: Uri = text.replacen("://*.", "://", 1).parse().ok()?;
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
        if !is_host(&host) {
            return None;
        }
        Some(Self {
            scheme: scheme.to_owned(),
            any_subdomain,
            host: match any_subdomain {
                true => format!(".{host}"),
                false => host,
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

impl FromStr for OriginPattern {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text).ok_or_else(|| OriginError(text.to_owned()))
    }
}

/// Whether an origin can have this host: an address, that of IPv6 in brackets, or a name as
/// browsers send it, whose parts are of letters, digits, `-` and `_`, with a `-` only within.
///
/// ```
/// use host_gateway::is_host;
///
/// assert!(is_host("give.example.org") && is_host("127.0.0.1") && is_host("[::1]"));
/// assert!(!is_host("-") && !is_host("*.example.org") && !is_host("256.1.1.1"));
/// ```
#[must_use]
pub fn is_host(text: &str) -> bool {
    if text.starts_with('[') {
        return text.ends_with(']') && bare(text).parse::<Ipv6Addr>().is_ok();
    }
    let is_part = |part: &str| {
        let is_known = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
        (1..=PART_BYTES_MAX).contains(&part.len())
            && part.bytes().all(is_known)
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    // The root may be named, too.
    let parts = text.strip_suffix('.').unwrap_or(text);
    let last = parts.rsplit('.').next().unwrap_or(parts);
    // A browser takes what ends in a number for an address.
    let is_number = last.bytes().all(|b| b.is_ascii_digit());
    text.len() <= HOST_BYTES_MAX
        && parts.split('.').all(is_part)
        && (!is_number || parts.parse::<Ipv4Addr>().is_ok())
}

/// An address of IPv6 without the brackets that it may have.
fn bare(host: &str) -> &str {
    let inner = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(host)
}

impl std::fmt::Display for OriginPattern {
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
        let others = ["https://*.example.net", "http://app.example.com:8080"];
        let others = others.map(|it| it.parse().unwrap()).to_vec();
        let origins = Origins::new("https", "Give.example.org", 443, others, false);
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
            "https://a.example.net@evil.org",
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
    fn a_host_that_is_an_address_is_written_as_browsers_do() {
        for host in ["2001:db8::1", "2001:DB8:0::1", "[2001:db8::1]"] {
            let origins = Origins::new("https", host, 443, Vec::new(), false);
            assert_eq!(check(&origins, "https://[2001:db8::1]"), Ok(()), "{host}");
        }
        let origins = Origins::new("http", "192.0.2.7", 80, Vec::new(), false);
        assert_eq!(check(&origins, "http://192.0.2.7"), Ok(()));
    }

    #[test]
    fn in_development_this_machines_pages_pass() {
        let origins = Origins::new("http", "localhost", 4000, Vec::new(), true);
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
            "",
            "https://*.*.com",
            "https://*.",
            "https://*",
            "https://a.*.com",
            "https://*.-",
        ] {
            let error = wrong.parse::<OriginPattern>().unwrap_err();
            assert_eq!(error, OriginError(wrong.to_owned()));
        }
    }
}
