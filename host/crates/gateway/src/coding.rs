//! Bodies that are packed for their way to the client: which coding it takes, and the bytes.

use std::io::Write as _;

use axum::http::HeaderMap;
use axum::http::header::ACCEPT_ENCODING;
use flate2::Compression;
use flate2::write::GzEncoder;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Zstd,
    Gzip,
    /// As it is.
    Identity,
}

/// Of two that a client likes as much, the first one is taken.
const PREFERRED: [Coding; 3] = [Coding::Zstd, Coding::Gzip, Coding::Identity];

/// A reply waits for its packing: what more than the least would save costs more time than
/// the way takes.
const ZSTD_LEVEL: i32 = 1;

impl Coding {
    /// As `Content-Encoding` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// The one that the client likes best (RFC 9110, section 12.5.3); as it is, where it
    /// says nothing, or takes nothing that there is.
    pub(crate) fn liked(headers: &HeaderMap) -> Self {
        let mut best = (Self::Identity, 0.0);
        for coding in PREFERRED {
            let liking = coding.liking(headers);
            if liking > best.1 {
                best = (coding, liking);
            }
        }
        best.0
    }

    /// How much the client likes it, 0 to 1.
    fn liking(self, headers: &HeaderMap) -> f32 {
        let (mut own, mut any) = (None, None);
        let lines = headers.get_all(ACCEPT_ENCODING).iter();
        for item in lines
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(','))
        {
            let (name, weight) = item.split_once(';').unwrap_or((item, ""));
            let weight = match weight.split_once('=') {
                Some((_, weight)) => weight.trim().parse().unwrap_or(0.0),
                None => 1.0,
            };
            match name.trim() {
                "*" => any = Some(weight),
                name if name.eq_ignore_ascii_case(self.name()) => own = Some(weight),
                _ => {}
            }
        }
        match self {
            // It is taken by everyone who does not mind, but named by few.
            Self::Identity => own.unwrap_or(f32::MIN_POSITIVE),
            _ => own.or(any).unwrap_or(0.0),
        }
    }

    /// The body in this coding.
    pub(crate) fn pack(self, body: &[u8]) -> Vec<u8> {
        let fits = "memory takes what is written";
        match self {
            Self::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL).expect(fits),
            Self::Gzip => {
                let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
                packed.write_all(body).expect(fits);
                packed.finish().expect(fits)
            }
            Self::Identity => body.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_client_says_what_it_likes() {
        for (accepted, coding) in [
            ("gzip", Coding::Gzip),
            ("gzip, deflate, br, zstd", Coding::Zstd),
            ("GZIP;q=1.0, zstd;q=0.5", Coding::Gzip),
            ("gzip;q=0, *", Coding::Zstd),
            ("*;q=0.1", Coding::Zstd),
            ("gzip;q=0.5, identity", Coding::Identity),
            ("identity;q=0.5, gzip;q=0.6", Coding::Gzip),
            ("gzip;q=0, zstd;q=0", Coding::Identity),
            ("gzip;q=much", Coding::Identity),
            ("br", Coding::Identity),
            ("", Coding::Identity),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accepted.parse().unwrap())]);
            assert_eq!(Coding::liked(&headers), coding, "{accepted:?}");
        }
        assert_eq!(Coding::liked(&HeaderMap::new()), Coding::Identity);
    }

    #[test]
    fn what_is_packed_is_unpacked_again() {
        let body = b"sadaqah ".repeat(1_000);
        let mut back = Vec::new();
        let packed = Coding::Gzip.pack(&body);
        assert!(packed.len() < body.len() / 10);
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_end(&mut back)
            .unwrap();
        assert_eq!(back, body);
        let packed = Coding::Zstd.pack(&body);
        assert_eq!(zstd::bulk::decompress(&packed, body.len()).unwrap(), body);
    }
}
