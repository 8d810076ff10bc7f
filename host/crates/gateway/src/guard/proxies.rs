//! Where a client is, when a proxy stands before the host. What a header says is what anybody
//! may write into it; only those hops are believed that a trusted proxy has added, which are
//! the last ones.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::FORWARDED;
use ipnet::IpNet;

use crate::limits::PROXIES_MAX;

/// Whom the host believes for whom they ask. By default nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    trusted: Vec<IpNet>,
    header: ProxyHeader,
}

/// The one header that the proxies write. The other one passes them as the client sent it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProxyHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

impl Proxies {
    /// Proxies with addresses in these networks, which write this header.
    #[must_use]
    pub fn new(trusted: Vec<IpNet>, header: ProxyHeader) -> Self {
        Self { trusted, header }
    }

    /// A network, `10.0.0.0/8`, or that of one address, `::1`.
    ///
    /// # Errors
    ///
    /// That it is none, in a sentence.
    pub fn network(text: &str) -> Result<IpNet, String> {
        let net = text.parse::<IpNet>().ok();
        let net = net.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
        net.ok_or_else(|| {
            format!("{text:?} is no network such as 10.0.0.0/8, and no address such as ::1")
        })
    }

    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// The client of a request that came from `peer`: the last address on its way that is no
    /// trusted proxy's. Where a trusted one says nothing that is an address, it is itself.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        if !self.trusts(peer) {
            return peer;
        }
        let mut client = peer;
        for hop in self.hops(headers).into_iter().take(PROXIES_MAX) {
            let Some(address) = hop else {
                break;
            };
            client = address;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    /// What the header lists, the last first; none for what is no address.
    fn hops(&self, headers: &HeaderMap) -> Vec<Option<IpAddr>> {
        let lines = |name: &str| -> Vec<String> {
            let lines = headers.get_all(name).iter();
            // What is not ASCII is no address, and stays a hop.
            let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
            lines.collect()
        };
        let (lines, read): (_, fn(&str) -> Option<IpAddr>) = match self.header {
            ProxyHeader::XForwardedFor => (lines("x-forwarded-for"), node),
            ProxyHeader::Forwarded => (lines(FORWARDED.as_str()), forwarded),
        };
        let hops = lines.iter().rev().flat_map(|line| line.rsplit(','));
        hops.take(PROXIES_MAX).map(read).collect()
    }
}

/// The `for=` of one element of `Forwarded`.
fn forwarded(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    node(value.trim().trim_matches('"'))
}

/// An address, with its port or without, in brackets or not.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse::<IpAddr>();
    let with_port = || text.parse::<SocketAddr>().map(|it| it.ip());
    let address = address.or_else(|_| with_port()).ok()?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &Proxies, peer: &str, lines: &[(&'static str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    fn trusting(header: ProxyHeader) -> Proxies {
        let trusted = ["10.0.0.0/8", "::1"].map(|it| Proxies::network(it).unwrap());
        Proxies::new(trusted.to_vec(), header)
    }

    #[test]
    fn nobody_is_believed_who_is_not_trusted() {
        let line = [("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client(&Proxies::default(), "10.0.0.1", &line), "10.0.0.1");
        let proxies = trusting(ProxyHeader::XForwardedFor);
        assert_eq!(client(&proxies, "203.0.113.9", &line), "203.0.113.9");
        assert_eq!(client(&proxies, "10.0.0.1", &line), "192.0.2.1");
        assert_eq!(client(&proxies, "::ffff:10.0.0.1", &line), "192.0.2.1");
        assert_eq!(client(&proxies, "::1", &line), "192.0.2.1");
    }

    #[test]
    fn the_last_that_no_trusted_proxy_is_counts_whatever_stands_before() {
        let proxies = trusting(ProxyHeader::XForwardedFor);
        let of = |lines: &[(&'static str, &str)]| client(&proxies, "10.0.0.1", lines);
        let forged = "127.0.0.1, 198.51.100.7, 192.0.2.1, 10.0.0.2";
        assert_eq!(of(&[("x-forwarded-for", forged)]), "192.0.2.1");
        let two = [
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-for", "192.0.2.1:4711 , 10.0.0.2"),
        ];
        assert_eq!(of(&two), "192.0.2.1");
        // What stands before what is no address is nobody's word.
        let unknown = [("x-forwarded-for", "198.51.100.7, unknown, 10.0.0.2")];
        assert_eq!(of(&unknown), "10.0.0.2");
        assert_eq!(of(&[]), "10.0.0.1");
        assert_eq!(
            of(&[("x-forwarded-for", "[2001:db8::1]:80")]),
            "2001:db8::1"
        );
        // The header that these proxies do not write is the client's own.
        assert_eq!(of(&[("forwarded", "for=192.0.2.1")]), "10.0.0.1");
    }

    #[test]
    fn the_standards_own_header_is_read_where_it_is_the_one() {
        let proxies = trusting(ProxyHeader::Forwarded);
        let of = |lines: &[(&'static str, &str)]| client(&proxies, "10.0.0.1", lines);
        let line = r#"for=198.51.100.7, proto=https;For="[2001:db8::1]:4711";by=10.0.0.9"#;
        assert_eq!(of(&[("forwarded", line)]), "2001:db8::1");
        assert_eq!(of(&[("forwarded", "for=_hidden")]), "10.0.0.1");
        assert_eq!(of(&[("x-forwarded-for", "192.0.2.1")]), "10.0.0.1");
    }

    #[test]
    fn what_is_no_network_is_named() {
        for wrong in ["", "10.0.0.0/33", "example.org", "10.0.0.1,"] {
            assert!(Proxies::network(wrong).is_err(), "{wrong}");
        }
    }
}
