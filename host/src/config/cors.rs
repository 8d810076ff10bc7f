//! Which pages of other origins may read what the host answers.

use host_gateway::{CorsOrigins, CorsRules, is_host};

use super::Reader;
use super::list::members;

/// Origins at most: a service has a few pages.
const ORIGINS_MAX: usize = 64;

impl Reader<'_> {
    /// `CORS_ORIGINS` and `CORS_CREDENTIALS`; nobody may where they are not set.
    pub(super) fn cors(&mut self) -> CorsRules {
        let origins = self.with_all("CORS_ORIGINS", origins).unwrap_or_default();
        let credentials = self.yes("CORS_CREDENTIALS");
        if credentials && origins == CorsOrigins::Any {
            self.with("CORS_CREDENTIALS", |_| {
                Err::<(), _>(
                    "with CORS_ORIGINS=* every page on the internet could act with what its \
                     visitor's browser knows of this host: list the origins instead"
                        .to_owned(),
                )
            });
        }
        CorsRules {
            origins,
            credentials,
        }
    }
}

fn origins(text: &str) -> Result<CorsOrigins, Vec<String>> {
    if text.trim() == "*" {
        return Ok(CorsOrigins::Any);
    }
    let listed = members(text, ORIGINS_MAX, |origin| match is_origin(origin) {
        true => Ok(origin.to_owned()),
        false => Err(format!(
            "{origin:?} is no origin such as https://give.example.org or http://localhost:3000: \
             write it as browsers send it, in lower case and without a path, and a comma \
             between two; * alone is all of them"
        )),
    });
    listed.map(CorsOrigins::Listed)
}

/// As browsers write one: scheme, host, and a port that is not the scheme's own.
fn is_origin(text: &str) -> bool {
    let Some((scheme, authority)) = text.split_once("://") else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let own = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return false,
    };
    let is_port = |port: &str| {
        port.parse::<u16>()
            .is_ok_and(|port| port != own && port > 0)
    };
    let is_lower = !host.contains(|c: char| c.is_ascii_uppercase());
    is_host(host) && is_lower && port.is_none_or(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_as_browsers_send_it() {
        for right in [
            "https://give.example.org",
            "http://localhost:3000",
            "https://[::1]:8443",
            "http://127.0.0.1",
        ] {
            let listed = CorsOrigins::Listed(vec![right.to_owned()]);
            assert_eq!(origins(right), Ok(listed), "{right}");
        }
        for wrong in [
            "give.example.org",
            "https://give.example.org/",
            "https://Give.example.org",
            "https://give.example.org:443",
            "http://localhost:http",
            "ftp://give.example.org",
            "https://",
            "https://[::1",
            "null",
            "https://*.example.org",
            "https://-",
            "https://give..example.org",
            "https://a.example, *",
        ] {
            assert!(origins(wrong).is_err(), "{wrong}");
        }
        assert_eq!(origins(" * "), Ok(CorsOrigins::Any));
        assert!(origins("https://a.example,https://a.example").is_err());
    }
}
