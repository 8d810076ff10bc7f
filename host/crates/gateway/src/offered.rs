//! What a client offers when it comes: who it says that it is. Nothing of it is believed
//! here.

use axum::extract::Query;
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::phoenix;

/// The subprotocol that is spoken; the client of Phoenix offers it when it has a token.
pub(crate) const PROTOCOL: &str = "phoenix";

/// Before the token, among the subprotocols that the client offers.
const TOKEN_PROTOCOL: &str = "base64url.bearer.phx.";

/// How a client that polls sends its `authToken`.
const TOKEN_HEADER: &str = "x-phoenix-authtoken";

/// Before each token of a session of long polls: what else is called `token` in the query
/// is the client's own.
pub(crate) const POLL_TOKEN: &str = "poll.";

const CONFIG: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, CONFIG);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, CONFIG);

/// A client's parameters and headers, as far as they matter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    /// The version of the protocol, if it names one.
    pub(crate) vsn: Option<String>,
    /// What is to prove who it is: `authToken` of its socket, or else `params.token`.
    pub(crate) token: Option<String>,
    /// The session of long polls that it goes on with.
    pub(crate) session: Option<String>,
}

impl Offered {
    /// Reads a request; `protocols` are the subprotocols that it offers.
    pub(crate) fn read<'a>(
        uri: &Uri,
        headers: &HeaderMap,
        protocols: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut offered = Self::default();
        let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs);
        // Of one that is there twice, the last counts.
        for (name, value) in pairs.unwrap_or_default() {
            match &*name {
                "vsn" => offered.vsn = Some(value),
                "token" if value.starts_with(POLL_TOKEN) => offered.session = Some(value),
                "token" | "params[token]" if !value.is_empty() => offered.token = Some(value),
                _ => {}
            }
        }
        let header = |name| Some(headers.get(name)?.to_str().ok()?.to_owned());
        if let Some(session) = header("x-phoenix-longpoll-token") {
            offered.session = Some(session);
        }
        let protocol = protocols
            .into_iter()
            .find_map(|protocol| protocol.strip_prefix(TOKEN_PROTOCOL));
        if let Some(token) = protocol.and_then(decoded).or_else(|| header(TOKEN_HEADER)) {
            offered.token = Some(token);
        }
        offered
    }

    /// Whether it speaks the version of the protocol that is spoken here.
    pub(crate) fn speaks_our_version(&self) -> bool {
        self.vsn.as_deref().is_some_and(phoenix::speaks)
    }
}

/// The client writes the alphabet of plain base64, whatever it calls it.
fn decoded(token: &str) -> Option<String> {
    let bytes = BASE64.decode(token).or_else(|_| BASE64_URL.decode(token));
    String::from_utf8(bytes.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, headers: &[(&'static str, &str)], protocols: &[&str]) -> Offered {
        let headers = headers.iter().map(|(name, value)| {
            let name = axum::http::HeaderName::from_static(name);
            (name, value.parse().unwrap())
        });
        let uri = uri.parse().unwrap();
        Offered::read(&uri, &headers.collect(), protocols.iter().copied())
    }

    fn token(offered: &Offered) -> Option<&str> {
        offered.token.as_deref()
    }

    #[test]
    fn a_token_is_a_parameter_or_a_subprotocol_or_a_header() {
        assert_eq!(token(&read("/s?vsn=2.0.0", &[], &["phoenix"])), None);
        assert_eq!(token(&read("/s?token=a%20b", &[], &[])), Some("a b"));
        assert_eq!(token(&read("/s?token=", &[], &[])), None);
        assert_eq!(token(&read("/s?params%5Btoken%5D=x", &[], &[])), Some("x"));
        let offer = ["phoenix", "base64url.bearer.phx.Pz8/"];
        assert_eq!(token(&read("/s?token=less", &[], &offer)), Some("???"));
        let offer = ["phoenix", "base64url.bearer.phx.Pz8_"];
        assert_eq!(token(&read("/s", &[], &offer)), Some("???"));
        let headers = [("x-phoenix-authtoken", "h")];
        assert_eq!(token(&read("/s", &headers, &[])), Some("h"));
        let offer = ["base64url.bearer.phx.%%"];
        assert_eq!(
            token(&read("/s", &[], &offer)),
            None,
            "no base64 is no token"
        );
    }

    #[test]
    fn a_session_is_told_from_a_token_of_the_clients_own() {
        let offered = read("/s?token=jwt&vsn=2.0.0&token=poll.abc", &[], &[]);
        let expected = Offered {
            vsn: Some("2.0.0".into()),
            token: Some("jwt".into()),
            session: Some("poll.abc".into()),
        };
        assert_eq!(offered, expected);
        assert!(offered.speaks_our_version());
        // As the first poll of a client is: it has no session yet.
        let first = read("/s?token=jwt&vsn=2.0.0&", &[], &[]);
        assert_eq!(
            (first.session, token(&read("/s?token=jwt", &[], &[]))),
            (None, Some("jwt"))
        );
        let headers = [("x-phoenix-longpoll-token", "poll.x")];
        assert_eq!(read("/s", &headers, &[]).session.as_deref(), Some("poll.x"));
    }
}
