//! Who is let in, by the headers that they come with.

use axum::http::HeaderValue;
use axum::http::header::ORIGIN;
use axum::response::IntoResponse as _;
use tokio::sync::Semaphore;

use super::*;
use crate::tokens::{Grant, SigningKey, TokenSource};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn shared(limits: ClientLimits) -> Shared {
    let source = TokenSource {
        secrets: vec![SECRET.to_owned()],
        file: None,
        audience: "a".to_owned(),
    };
    Shared {
        guard: Guard {
            tokens: Some(Tokens::open(source).unwrap()),
            origins: Some(Origins::new("https", "a", 443, Vec::new(), false)),
            proxies: Proxies::new(
                vec![Proxies::network("127.0.0.1").unwrap()],
                ProxyHeader::default(),
            ),
            addresses: Arc::new(Addresses::new(limits)),
        },
        ..Shared::default()
    }
}

fn admitted(peer: &str) -> Admitted {
    let room = Arc::new(Semaphore::new(1));
    Admitted::new(
        room.try_acquire_owned().unwrap(),
        peer.parse().unwrap(),
        None,
    )
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let lines = lines.iter();
    lines
        .map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (name.parse().unwrap(), value)
        })
        .collect()
}

fn token(sub: &str, ttl_s: u64) -> String {
    let grant = Grant::new(sub, &[], "a", Duration::from_secs(ttl_s));
    grant.sign(&SigningKey::of_secret(SECRET)).unwrap()
}

#[test]
fn who_has_no_token_is_nobody_and_who_has_a_wrong_one_stays_outside() {
    let shared = shared(ClientLimits::default());
    let peer = admitted("127.0.0.1");
    let ask = |lines: &[(&'static str, &str)]| Guard::ask(&shared, &headers(lines), &peer, 0);
    let nobody = ask(&[]).unwrap();
    assert_eq!((&nobody.claims[..], &*nobody.principal), (&b"{}"[..], ""));
    let bearer = format!("bearer {}", token("ali", 60));
    let ali = ask(&[("authorization", &bearer)]).unwrap();
    assert_eq!(ali.principal, "ali");
    assert!(!ali.has_expired(Instant::now()));
    assert!(ali.has_expired(Instant::now() + Duration::from_secs(100)));
    let problem = ask(&[("authorization", "Bearer x.y.z")]).unwrap_err();
    assert_eq!(problem.reason, "bad_token");
    let response = problem.into_response();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let challenge = response.headers()["www-authenticate"].to_str().unwrap();
    assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_description=\"it is"));
    // Credentials of another kind are somebody else's.
    assert_eq!(
        ask(&[("authorization", "Basic eDp5")]).unwrap().principal,
        ""
    );
    let refused = &shared.counters.tokens_refused;
    assert_eq!(refused.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_page_of_somewhere_else_stays_outside_whatever_its_token() {
    let shared = shared(ClientLimits::default());
    let enter = |origin: &'static str| {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static(origin));
        let token = token("ali", 60);
        Guard::enter(&shared, &headers, &mut admitted("127.0.0.1"), Some(&token))
    };
    let entered = enter("https://a").unwrap();
    assert_eq!(entered.caller.principal, "ali");
    assert!(entered.limiter.is_none(), "from this machine");
    let problem = enter("https://b").unwrap_err();
    assert_eq!(problem.reason, "bad_origin");
    assert_eq!(problem.status, StatusCode::FORBIDDEN);
}

#[test]
fn a_client_behind_a_proxy_is_counted_by_its_own_address() {
    let limits = ClientLimits {
        connections: 1,
        ..ClientLimits::default()
    };
    let shared = shared(limits);
    let enter = |from: &str| {
        let headers = headers(&[("x-forwarded-for", from)]);
        let mut admitted = admitted("127.0.0.1");
        Guard::enter(&shared, &headers, &mut admitted, None).map(|it| (it, admitted))
    };
    let (first, _place) = enter("192.0.2.1").unwrap();
    assert_eq!(first.caller.address, IpAddr::from([192, 0, 2, 1]));
    assert!(first.limiter.is_some());
    let problem = enter("127.0.0.1, 192.0.2.1").unwrap_err();
    assert_eq!(problem.reason, "too_many_connections");
    let response = problem.into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "5");
    assert!(enter("192.0.2.2").is_ok());
    drop(first);
    drop(_place);
    assert!(enter("192.0.2.1").is_ok());
}

#[test]
fn requests_beyond_a_rate_are_told_when_to_come_again() {
    let none = Rates {
        joins: 0,
        messages: 0,
        bytes: 0,
    };
    let limits = ClientLimits {
        address: Rates {
            messages: 1,
            ..none
        },
        connection: none,
        connections: 0,
    };
    let shared = shared(limits);
    let ask = |peer: &str| Guard::ask(&shared, &HeaderMap::new(), &admitted(peer), 10);
    let asked = (0..100).take_while(|_| ask("192.0.2.1").is_ok()).count();
    assert!((10..15).contains(&asked), "{asked}");
    let problem = ask("192.0.2.1").unwrap_err();
    assert_eq!(problem.reason, "rate_limited");
    let response = problem.into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["retry-after"], "1");
    assert!(ask("192.0.2.2").is_ok());
    assert!((0..100).all(|_| ask("127.0.0.1").is_ok()));
}
