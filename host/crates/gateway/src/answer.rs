//! An answer as its client wants it: packed, or not at all where it has it already.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::coding::Coding;
use crate::limits::PACKED_BYTES_MIN;

/// Bytes of a digest that stand in a tag: no two answers have the same ones by chance.
const TAG_BYTES: usize = 16;

/// What a client says of the answer that it wants.
#[derive(Debug)]
pub(crate) struct Wanted {
    coding: Coding,
    /// `If-None-Match`: what it has.
    has: Vec<HeaderValue>,
}

impl Wanted {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        Self {
            coding: Coding::liked(headers),
            has: headers.get_all(IF_NONE_MATCH).iter().cloned().collect(),
        }
    }

    /// An answer that is given once, and kept by nobody: a command's.
    pub(crate) fn once(&self, body: Bytes) -> Response {
        let coding = self.coding(&body);
        with_body(coding, "no-store", pack(coding, &body))
    }

    /// An answer that may be kept, and is asked for again before it is used: a query's. Who
    /// has it already is told so instead.
    pub(crate) fn kept(&self, body: &Bytes) -> Response {
        self.kept_as(body, &digest(body), |coding| pack(coding, body))
    }

    /// As [`Wanted::kept`], of a body whose digest is known, and packed by `pack`.
    pub(crate) fn kept_as(
        &self,
        body: &Bytes,
        digest: &str,
        pack: impl FnOnce(Coding) -> Bytes,
    ) -> Response {
        let coding = self.coding(body);
        // Each coding is another representation, and has a strong tag of its own.
        let tag = match coding {
            Coding::Identity => format!("\"{digest}\""),
            coding => format!("\"{digest}-{}\"", coding.name()),
        };
        let mut response = match self.has(&tag) {
            true => {
                let mut response = StatusCode::NOT_MODIFIED.into_response();
                keep(&mut response, "no-cache");
                response
            }
            false => with_body(coding, "no-cache", pack(coding)),
        };
        let tag = HeaderValue::from_str(&tag).expect("a tag is visible ASCII");
        response.headers_mut().insert(ETAG, tag);
        response
    }

    /// What is short is not packed: it fits into a packet as it is.
    fn coding(&self, body: &Bytes) -> Coding {
        match body.len() < PACKED_BYTES_MIN {
            true => Coding::Identity,
            false => self.coding,
        }
    }

    /// Compared weakly (RFC 9110, section 13.1.2): a proxy may have weakened it.
    fn has(&self, tag: &str) -> bool {
        let lines = self.has.iter().filter_map(|line| line.to_str().ok());
        let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
        tags.any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == tag)
    }
}

/// What tells one body from every other, also after a restart.
pub(crate) fn digest(body: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(body)[..TAG_BYTES])
}

pub(crate) fn pack(coding: Coding, body: &Bytes) -> Bytes {
    match coding {
        Coding::Identity => body.clone(),
        coding => coding.pack(body).into(),
    }
}

fn with_body(coding: Coding, keep_how: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if coding != Coding::Identity {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    keep(&mut response, keep_how);
    response
}

fn keep(response: &mut Response, how: &'static str) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(how));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT_ENCODING;

    use super::*;

    fn wanted(headers: &[(axum::http::HeaderName, &str)]) -> Wanted {
        let headers = headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.parse().unwrap()));
        Wanted::read(&headers.collect())
    }

    fn tag(response: &Response) -> &str {
        response.headers()[ETAG].to_str().unwrap()
    }

    #[test]
    fn who_has_it_is_told_so() {
        let body = Bytes::from_static(b"{}");
        let fresh = wanted(&[]).kept(&body);
        assert_eq!(fresh.status(), StatusCode::OK);
        assert_eq!(fresh.headers()[CACHE_CONTROL], "no-cache");
        let tag = tag(&fresh);
        assert!(tag.starts_with('"'), "{tag} is strong");
        for has in [
            tag.to_owned(),
            format!("W/{tag}"),
            format!("\"other\", {tag}"),
            "*".to_owned(),
        ] {
            let again = wanted(&[(IF_NONE_MATCH, &has)]).kept(&body);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{has}");
            assert_eq!(again.headers()[ETAG], tag);
            assert_eq!(again.headers()[CACHE_CONTROL], "no-cache");
            assert!(!again.headers().contains_key(CONTENT_TYPE));
        }
        for has in ["", "\"other\"", &tag[1..]] {
            let again = wanted(&[(IF_NONE_MATCH, has)]).kept(&body);
            assert_eq!(again.status(), StatusCode::OK, "{has}");
        }
        assert_ne!(
            tag,
            self::tag(&wanted(&[]).kept(&Bytes::from_static(b"{} ")))
        );
    }

    #[test]
    fn each_coding_has_a_tag_of_its_own() {
        let long = Bytes::from(vec![b' '; PACKED_BYTES_MIN]);
        let plain = wanted(&[]).kept(&long);
        let packed = wanted(&[(ACCEPT_ENCODING, "gzip")]).kept(&long);
        assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(packed.headers()[VARY], "accept-encoding");
        assert_eq!(plain.headers()[VARY], "accept-encoding");
        assert_ne!(tag(&plain), tag(&packed));
        let again = wanted(&[(ACCEPT_ENCODING, "gzip"), (IF_NONE_MATCH, tag(&packed))]);
        assert_eq!(again.kept(&long).status(), StatusCode::NOT_MODIFIED);
        let again = wanted(&[(IF_NONE_MATCH, tag(&packed))]);
        assert_eq!(again.kept(&long).status(), StatusCode::OK);
    }

    #[test]
    fn a_commands_answer_is_kept_by_nobody() {
        let long = Bytes::from(vec![b' '; PACKED_BYTES_MIN]);
        let answer = wanted(&[(ACCEPT_ENCODING, "zstd"), (IF_NONE_MATCH, "*")]).once(long);
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(answer.headers()[CONTENT_ENCODING], "zstd");
        assert!(!answer.headers().contains_key(ETAG));
        let short = wanted(&[(ACCEPT_ENCODING, "zstd")]).once(Bytes::from_static(b"{}"));
        assert!(!short.headers().contains_key(CONTENT_ENCODING));
    }
}
