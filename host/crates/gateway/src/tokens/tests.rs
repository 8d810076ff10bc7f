//! Tokens of each kind of key, and everything that is wrong with others.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Made by `openssl genpkey`, for this test.
const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIIgecJG0gdmAShgtrHZmz6b2sXxAOhpMnpnUMg3rK8sw
-----END PRIVATE KEY-----
";

fn source(secrets: &[&str], file: Option<PathBuf>) -> TokenSource {
    TokenSource {
        secrets: secrets.iter().map(|it| (*it).to_owned()).collect(),
        file,
        audience: "give.example.org".to_owned(),
    }
}

fn tokens() -> Arc<Tokens> {
    Tokens::open(source(&[SECRET], None)).unwrap()
}

fn grant<'a>(roles: &'a [String], ttl_s: u64) -> Grant<'a> {
    Grant::new("ali", roles, "give.example.org", Duration::from_secs(ttl_s))
}

/// A token with these claims, in the algorithm of the key.
fn signed(key: &SigningKey, claims: &Value) -> String {
    crypto::install();
    let header = Header {
        kid: key.kid.clone(),
        ..Header::new(key.algorithm)
    };
    encode(&header, claims, &key.encoding).unwrap()
}

fn claims() -> Value {
    let now = since_epoch().as_secs();
    json!({"sub": "ali", "aud": "give.example.org", "exp": now + 60})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn what_was_granted_is_what_is_verified() {
    let roles = ["treasurer".to_owned()];
    let grant = grant(&roles, 3_600);
    let token = grant.sign(&SigningKey::of_secret(SECRET)).unwrap();
    let verified = tokens().verify(&token).unwrap();
    assert_eq!(verified.subject, "ali");
    let claims: Value = serde_json::from_slice(&verified.claims).unwrap();
    assert_eq!(claims["roles"], json!(["treasurer"]));
    let left = verified.expires - Instant::now();
    assert!(
        left > Duration::from_secs(3_600),
        "with the leeway: {left:?}"
    );
    assert!(left < Duration::from_secs(3_700), "{left:?}");
}

#[test]
fn whatever_is_wrong_with_a_token_is_told() {
    let tokens = tokens();
    let now = since_epoch().as_secs();
    let key = SigningKey::of_secret(SECRET);
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        claims
    };
    let audience = || TokenError::Audience("give.example.org".to_owned());
    let claim = |name: &str| TokenError::Claim(name.to_owned());
    for (claims, error) in [
        (with("exp", json!(now - 31)), TokenError::Expired),
        (with("exp", json!("soon")), claim("exp")),
        (with("nbf", json!(now + 60)), TokenError::NotYet),
        (with("aud", json!("other.example.org")), audience()),
        (without("exp"), claim("exp")),
        (without("aud"), claim("aud")),
        (without("sub"), claim("sub")),
        (with("sub", json!(7)), claim("sub")),
        (with("sub", json!("")), TokenError::Subject),
        (with("sub", json!("x".repeat(256))), TokenError::Subject),
        // Those that the host itself acts as would be believed by a rebuild.
        (with("sub", json!("timer")), TokenError::Subject),
        (with("sub", json!("actor:zakat:ali")), TokenError::Subject),
        (with("sub", json!("operator:root")), TokenError::Subject),
    ] {
        let refused = tokens.verify(&signed(&key, &claims)).unwrap_err();
        assert_eq!(refused, error, "{claims}");
    }
    for fine in [
        with("exp", json!(now - 5)),
        with("exp", json!(u64::MAX / 2)),
        with("nbf", json!(now + 5)),
        with("aud", json!(["other", "give.example.org"])),
    ] {
        tokens
            .verify(&signed(&key, &fine))
            .unwrap_or_else(|error| panic!("{fine}: {error:?}"));
    }
    let long = with("roles", json!("r".repeat(TOKEN_BYTES_MAX)));
    for (text, error) in [
        (signed(&key, &long), TokenError::TooLong),
        (String::new(), TokenError::Malformed),
        ("a.b".to_owned(), TokenError::Malformed),
        ("a.b.c".to_owned(), TokenError::Malformed),
        ("\u{0}.\u{0}.\u{0}".to_owned(), TokenError::Malformed),
    ] {
        assert_eq!(tokens.verify(&text).unwrap_err(), error, "{text:.40}");
    }
    let expired = TokenError::Expired;
    assert_eq!(expired.reason(), "token_expired");
    assert_eq!(audience().reason(), "bad_token");
}

#[test]
fn no_token_is_taken_that_no_key_has_signed() {
    let tokens = tokens();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let none = format!("{}.{}.", part(json!({"alg": "none"})), part(claims()));
    assert!(tokens.verify(&none).is_err());
    let other = SigningKey::of_secret(&SECRET.replace('0', "1"));
    let refused = tokens.verify(&signed(&other, &claims())).unwrap_err();
    assert_eq!(refused, TokenError::Signature);
    // The secret as it stands is no key, nor is one under a name of another.
    let raw = SigningKey {
        kid: None,
        algorithm: jsonwebtoken::Algorithm::HS256,
        encoding: jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes()),
    };
    assert!(tokens.verify(&signed(&raw, &claims())).is_err());
    // Changed under the signature.
    let token = signed(&SigningKey::of_secret(SECRET), &claims());
    let (head, rest) = token.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let forged = with("roles", json!(["treasurer"]));
    let forged = format!("{head}.{}.{signature}", part(forged));
    assert_eq!(tokens.verify(&forged).unwrap_err(), TokenError::Signature);
}

/// A public key is known to all: as a secret of HS256 it must be worth nothing.
#[test]
fn a_public_key_is_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (private, public) = pair(folder.path());
    let tokens = Tokens::open(source(&[], Some(public.clone()))).unwrap();
    let key = SigningKey::read(&private, None).unwrap();
    assert!(tokens.verify(&signed(&key, &claims())).is_ok());
    for secret in [std::fs::read(&public).unwrap(), public_bytes().to_vec()] {
        let confused = SigningKey {
            kid: None,
            algorithm: jsonwebtoken::Algorithm::HS256,
            encoding: jsonwebtoken::EncodingKey::from_secret(&secret),
        };
        let refused = tokens.verify(&signed(&confused, &claims())).unwrap_err();
        assert_eq!(refused, TokenError::Signature);
    }
}

#[test]
fn an_old_secret_verifies_and_the_new_one_signs() {
    let new = SECRET.replace('0', "1");
    let tokens = Tokens::open(source(&[&new, SECRET], None)).unwrap();
    for secret in [&new, SECRET] {
        let token = signed(&SigningKey::of_secret(secret), &claims());
        assert!(tokens.verify(&token).is_ok());
    }
    let only = Tokens::open(source(&[&new], None)).unwrap();
    let token = signed(&SigningKey::of_secret(SECRET), &claims());
    assert_eq!(only.verify(&token).unwrap_err(), TokenError::Signature);
}

/// The bytes of [`ED25519`]'s public key.
fn public_bytes() -> [u8; 32] {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::pki_types::pem::PemObject as _;
    let der = PrivatePkcs8KeyDer::from_pem_slice(ED25519.as_bytes()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der()).unwrap();
    pair.public_key().as_ref().try_into().unwrap()
}

/// Files with the private key, and with the public one as a JWK called `k1`.
fn pair(folder: &std::path::Path) -> (PathBuf, PathBuf) {
    let (private, public) = (folder.join("key.pem"), folder.join("keys.json"));
    std::fs::write(&private, ED25519).unwrap();
    let x = URL_SAFE_NO_PAD.encode(public_bytes());
    let set = json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x, "use": "sig"},
        {"kty": "OKP", "crv": "X25519", "kid": "for encryption", "x": x, "use": "enc"},
    ]});
    std::fs::write(&public, set.to_string()).unwrap();
    (private, public)
}

#[test]
fn the_name_of_a_key_chooses_it() {
    let folder = tempfile::tempdir().unwrap();
    let (private, public) = pair(folder.path());
    let tokens = Tokens::open(source(&[SECRET], Some(public.clone()))).unwrap();
    for (kid, is_known) in [(None, true), (Some("k1"), true), (Some("k2"), false)] {
        let key = SigningKey::read(&private, kid.map(str::to_owned)).unwrap();
        let verified = tokens.verify(&signed(&key, &claims()));
        assert_eq!(verified.is_ok(), is_known, "{kid:?}");
    }
    // Taken out of the file, it is a key no more.
    let key = SigningKey::read(&private, None).unwrap();
    std::fs::write(&public, json!({"keys": []}).to_string()).unwrap();
    assert!(
        tokens
            .read()
            .unwrap_err()
            .to_string()
            .contains("no key in it")
    );
    let (_, public) = pair(folder.path());
    assert!(tokens.replace(tokens.read().unwrap()).is_none(), "the same");
    let text = std::fs::read_to_string(&public).unwrap();
    std::fs::write(&public, text.replace("k1", "k3")).unwrap();
    let before = tokens.replace(tokens.read().unwrap()).unwrap();
    assert!(before.shown().contains("k1"), "{}", before.shown());
    assert!(tokens.keys().shown().contains("EdDSA k3"));
    assert!(tokens.verify(&signed(&key, &claims())).is_ok());
}

#[test]
fn public_keys_in_pem_are_of_three_kinds() {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    let folder = tempfile::tempdir().unwrap();
    let (mut publics, mut privates) = (String::new(), Vec::new());
    for algorithm in [&PKCS_ED25519, &PKCS_ECDSA_P256_SHA256] {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        publics += &pair.public_key_pem();
        privates.push(pair.serialize_pem());
    }
    publics += RSA_PUBLIC;
    privates.push(RSA_PRIVATE.to_owned());
    let file = folder.path().join("keys.pem");
    std::fs::write(&file, format!("# rotated in 2026\n{publics}")).unwrap();
    let tokens = Tokens::open(source(&[], Some(file))).unwrap();
    let shown = tokens.keys().shown();
    for (algorithm, private) in ["EdDSA", "ES256", "RS256"].iter().zip(privates) {
        assert!(shown.contains(algorithm), "{shown}");
        let file = folder.path().join("key.pem");
        std::fs::write(&file, private).unwrap();
        let key = SigningKey::read(&file, None).unwrap();
        assert_eq!(format!("{:?}", key.algorithm), *algorithm);
        let token = signed(&key, &claims());
        assert!(tokens.verify(&token).is_ok(), "{algorithm}");
        let forged = format!("{}A", &token[..token.len() - 1]);
        let forged = if forged == token {
            format!("{}B", &token[..token.len() - 1])
        } else {
            forged
        };
        assert!(tokens.verify(&forged).is_err(), "{algorithm}");
    }
}

#[test]
fn a_file_that_has_no_keys_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keys");
    let absent = KeyRing::of_file(&file).unwrap_err().to_string();
    assert!(absent.contains("cannot be read"), "{absent}");
    let x = URL_SAFE_NO_PAD.encode([7; 32]);
    let key = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
    let short = json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA", "kid": "short"});
    let weak = json!({"kty": "RSA", "n": "AAAA", "e": "AQAB"});
    for (text, why) in [
        (ED25519.to_owned(), "no key in it"),
        ("{}".to_owned(), "no set of JWKs"),
        (json!({"keys": [short]}).to_string(), "short is too small"),
        (json!({"keys": [weak]}).to_string(), "too small"),
        (
            json!({"keys": [{"kty": "oct", "k": "AAAA"}]}).to_string(),
            "is a secret",
        ),
        (json!({"keys": vec![key; 17]}).to_string(), "more than 16"),
        (
            "-----BEGIN PUBLIC KEY-----\nMAAA\n-----END PUBLIC KEY-----\n".to_owned(),
            "key 1 is of a kind that is not taken here",
        ),
    ] {
        std::fs::write(&file, &text).unwrap();
        let error = KeyRing::of_file(&file).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
        assert!(error.contains("keys"), "{error}");
    }
    std::fs::write(&file, "no key").unwrap();
    let error = SigningKey::read(&file, None).unwrap_err().to_string();
    assert!(error.contains("PRIVATE KEY"), "{error}");
}

#[test]
fn nothing_of_a_secret_is_shown() {
    let tokens = tokens();
    let shown = format!("{tokens:?} {:?}", SigningKey::of_secret(SECRET));
    assert!(!shown.contains("0123456789abcdef0"), "{shown}");
}

/// As [`ED25519`], with 2,048 bits.
const RSA_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDH60p9fpIFG89Y
xBMYoJYxaIOjNOqM/3mBTJ10iXtL4qglaXr+1MgGiksWJdhPQSHmxVfxICzHvIHS
YUkLQu6UuuXPwuPw/p+aIytXTsRIpTHUUTX43mi8QbpzFVh8bxB5VfCbJS+tKkaA
VAB7/3cczvfAJ398lGXDui9zhUEbp/h3liTEoHK58y9s3zFw1q5MOaQnYmWk+BoQ
rfVcIVvHOnpTea0vuQQMXfLccGxkEB6PB7jIF8k2ZRXmUIU602fUnSvQTWn3TlMg
g5SZKpbE4jRG5OhKSpGk7tJ9i73rlG+u/6/0ZfJeCQnU+LJ6eTengrjvFHR2lnP9
eLTYlaZfAgMBAAECggEACTvZ5e/5qJi/O/dadnG8Xi3YnqosBzUplIpIX4CWHEws
vgWgM7L6RisPCsfWtNpqSXFl/XIh/1u6l0/9ArMlt+LmCHGU+6WXE5R6RP8TW9Od
eJQDrSoApmlWxkf/HUg395K7mT7fc90XAoheuVt0UfVRRiPM5KEqDh9EX86Q0kkb
35mqRTQ66CBJqbnNKduTtLaOAXBzxNU3JPIC9YuNaSWP16IqnCLmx0LcmazixHiS
88GmG29Z4jFN7dvDZSYgRT9GDGQkElNk+wDKnnZycRj5TXQ1cJV/aikL3acKkcj3
UWKSkssKrxVDeMFJifBANSZ1gcFuF/VnmcDtdH3zmQKBgQD0kxROP8N28yXQH41C
lgesTrWjqucpr319kvI+IIMgPPkLpgzDFJEwh0fj9buSYCJvXpPVF27IfhRGL+qY
cXMCP8R70B1BGB//epFgwDbBaKYWs5xs5zqdjbzBXTVAY6RVZoDWpgHhlS/PYtM/
OXudGkCNtxTs8XZ6Nb9D7JypMwKBgQDRQirooOYboVH/0aLgwo7wX++EVbVm+2Z8
K8UG2lEbQkl3tcwfRsBm1LLziflm941SIcVYDeePLZn0vcgtJ0rLoOTs68pLrRMn
NtZpBZnbUaDOoh/ldUAo5H9yv4Kz7PTUez+B/y3mJk4lDCww7iCwVmY5vzwC4MJO
l7ovQh4GJQKBgGRdTwHlbMMNeMD1kbR3eOKe0i893OrgVzEG8l3IXccG/nRnSels
MUCm4zuLBdRFmxv0xdm2agHgq1U6KJ0yQS31GR5uAvNJgSgIFkyL1Gx+E1pRjqmq
IgWxunnnVAj+Wtuo2so7CZ6W6C3EskfJwQ5xTXhaXz30wNfZ4olvOcK9AoGAdQAd
A7Kq1joNog5xll/SEf5h6kkNw0W/WKAUaq94d9hJQaCpP7eMbjJw2BCGHRc+sfRl
5cToerqRgTD3kp+Mh2wvc3SmyEc+FUfo/BGApArw8Xfeg6paNEMGK39+seFERuWe
ba3i2PMD8Fzs/HK4XkAAqjsNb8KBgfX9yNyb8u0CgYEA6XYYyTwOa0NxdRTa2xhp
UypLUKPoGeepcGwzgIbhlMNchIIAXuNwFvzswZYCMZIRHXfv/kdR7GV8+hPqFtX6
B3pgMAYi1iyhTjgwPf1PLZthoH9iBriNyHXsMmjUJSkZ+1r7nrZ5ZF5CDVuZIGXT
9tunGItpcO05Ac+o6kxFnMA=
-----END PRIVATE KEY-----
";

const RSA_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAx+tKfX6SBRvPWMQTGKCW
MWiDozTqjP95gUyddIl7S+KoJWl6/tTIBopLFiXYT0Eh5sVX8SAsx7yB0mFJC0Lu
lLrlz8Lj8P6fmiMrV07ESKUx1FE1+N5ovEG6cxVYfG8QeVXwmyUvrSpGgFQAe/93
HM73wCd/fJRlw7ovc4VBG6f4d5YkxKByufMvbN8xcNauTDmkJ2JlpPgaEK31XCFb
xzp6U3mtL7kEDF3y3HBsZBAejwe4yBfJNmUV5lCFOtNn1J0r0E1p905TIIOUmSqW
xOI0RuToSkqRpO7SfYu965Rvrv+v9GXyXgkJ1Piyenk3p4K47xR0dpZz/Xi02JWm
XwIDAQAB
-----END PUBLIC KEY-----
";
