//! The HTTP API as its consumers expect one to be: described, cached, packed, traced, open to
//! the pages that may, and bounded.

use std::thread;

use e2e::http::{Answer, request, request_with};
use e2e::{Client, Home, Reply, wait};
use serde_json::{Value, json};

use crate::hostile;
use crate::phoenix::Node;

const SUMMARY: &str = "/api/v1/donations/c/summary";

/// A home that runs, with an open campaign; and its port.
fn campaign() -> (Home, u16) {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc("donations:c", "open", &open).unwrap();
    (home, port)
}

fn get(port: u16, path: &str, headers: &str) -> Answer {
    request_with(port, "GET", path, headers, "").unwrap()
}

fn give(port: u16, id: &str) {
    let donor = "a name of some length, so that few of them make a long answer";
    let gift = json!({"donation_id": id, "donor": donor, "amount": "1.00", "currency": "USD"});
    let path = "/api/v1/donations/c/donate";
    let answer = request(port, "POST", path, &gift.to_string()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The value of a header, whatever case its name has.
fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let mut lines = answer.head.lines();
    lines.find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[test]
fn the_description_is_valid_true_and_that_of_the_release_that_rules() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let described = |release: &str| {
        let seen = Node::run("openapi.mjs", &json!({ "port": port })).line();
        assert_eq!(seen["problems"], json!([]), "{seen:#}");
        assert_eq!(seen["release"], release);
        assert!(seen["asked"].as_u64().unwrap() > 30, "{seen}");
        let paths = seen["paths"].as_array().unwrap();
        let paths = paths.iter().map(|it| it.as_str().unwrap().to_owned());
        paths.collect::<Vec<_>>()
    };
    let refund = "post /api/v1/donations/{key}/refund".to_owned();
    let assess = "get /api/v1/zakat/{key}/assess".to_owned();
    let paths = described("0.1.0");
    assert!(paths.contains(&assess), "{paths:?}");
    assert!(!paths.contains(&refund), "{paths:?}");
    home.upgrade("0.2.0").unwrap();
    assert!(described("0.2.0").contains(&refund));
    home.upgrade("0.3.0").unwrap();
    assert!(described("0.3.0").contains(&refund));
    home.rollback().unwrap();
    home.done(&["rollback", "0.1.0"]).unwrap();
    assert!(!described("0.1.0").contains(&refund));
}

#[test]
fn the_words_of_authors_are_in_the_description_and_it_is_kept() {
    let (_home, port) = campaign();
    let answer = get(port, "/api/openapi.json", "");
    assert_eq!(header(&answer, "content-type"), Some("application/json"));
    assert_eq!(header(&answer, "cache-control"), Some("no-cache"));
    let document = answer.json().unwrap();
    let donate = &document["paths"]["/api/v1/donations/{key}/donate"]["post"];
    let summary = "Takes a gift, once for each `donation_id`";
    assert_eq!(donate["summary"], summary);
    assert_eq!(donate["x-idempotency-field"], "donation_id");
    let etag = header(&answer, "etag").unwrap();
    let again = get(
        port,
        "/api/openapi.json",
        &format!("If-None-Match: {etag}\r\n"),
    );
    assert_eq!((again.status, again.body.as_str()), (304, ""));
}

#[test]
fn an_answer_that_has_not_changed_is_not_sent_again() {
    let (_home, port) = campaign();
    let first = get(port, SUMMARY, "");
    let etag = header(&first, "etag").unwrap().to_owned();
    assert!(etag.starts_with('"'), "it is strong: {etag}");
    assert_eq!(header(&first, "cache-control"), Some("no-cache"));
    let has = format!("If-None-Match: {etag}\r\n");
    for method in ["GET", "POST"] {
        let again = request_with(port, method, SUMMARY, &has, "").unwrap();
        assert_eq!((again.status, again.body.as_str()), (304, ""), "{method}");
        assert_eq!(header(&again, "etag"), Some(etag.as_str()));
    }
    give(port, "d1");
    let other = get(port, SUMMARY, &has);
    assert_eq!(other.status, 200);
    assert_ne!(header(&other, "etag"), Some(etag.as_str()));
    assert_eq!(other.json().unwrap()["count"], 1);

    // A command is carried out, whatever its caller has.
    let gift = json!({"donation_id": "d2", "amount": "1.00", "currency": "USD"}).to_string();
    let path = "/api/v1/donations/c/donate";
    let given = request_with(port, "POST", path, "If-None-Match: *\r\n", &gift).unwrap();
    assert_eq!(given.status, 200, "{given:?}");
    assert_eq!(header(&given, "cache-control"), Some("no-store"));
    assert_eq!(header(&given, "etag"), None);
}

#[test]
fn an_etag_outlives_a_restart() {
    let (home, port) = campaign();
    let first = get(port, SUMMARY, "");
    home.done(&["restart"]).unwrap();
    let port = home.status().unwrap().port;
    let has = format!("If-None-Match: {}\r\n", header(&first, "etag").unwrap());
    assert_eq!(get(port, SUMMARY, &has).status, 304);
}

#[test]
fn a_request_is_named_in_its_answer_in_its_problem_and_in_the_log() {
    let home = hostile::home();
    let port = home.start().unwrap().port;
    let named = "X-Request-Id: web:7/42\r\n";
    let ok = get(port, "/api/v1/faulty/a/summary", named);
    assert_eq!(header(&ok, "x-request-id"), Some("web:7/42"));
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("DELETE", "/api/v1/faulty/a/add", 405),
        ("GET", "/api/v1/nobody/a/summary", 404),
        ("POST", "/api/v1/faulty/a/refuse", 422),
        ("POST", "/api/v1/faulty/a/panic", 500),
        ("GET", "/socket/websocket", 426),
    ] {
        let answer = request_with(port, method, path, named, "").unwrap();
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(header(&answer, "x-request-id"), Some("web:7/42"), "{path}");
        assert_eq!(answer.json().unwrap()["request_id"], "web:7/42", "{path}");
    }
    let log = home.log();
    let line = log.lines().find(|line| line.contains("a request failed"));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    for word in ["web:7/42", "/api/v1/faulty/a/panic", "actor_crashed"] {
        assert!(line.contains(word), "{word}: {line}");
    }
    // What could not stand in a log is not taken over.
    for wrong in ["two words", "\"", &"x".repeat(200)] {
        let answer = get(port, "/nothing", &format!("X-Request-Id: {wrong}\r\n"));
        let id = header(&answer, "x-request-id").unwrap();
        assert_ne!(id, wrong);
        assert_eq!(answer.json().unwrap()["request_id"], id);
    }
    let ids = [(); 2].map(|()| get(port, "/healthz", ""));
    let ids = ids.each_ref().map(|it| header(it, "x-request-id").unwrap());
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn long_answers_are_packed_and_packed_requests_are_refused() {
    let (home, port) = campaign();
    for at in 0..20 {
        give(port, &format!("d{at}"));
    }
    let plain = get(port, SUMMARY, "");
    assert!(plain.body.len() > 1_024, "{}", plain.body.len());
    assert_eq!(header(&plain, "content-encoding"), None);
    assert_eq!(header(&plain, "vary"), Some("accept-encoding"));
    for (accepted, coding) in [("gzip, deflate", "gzip"), ("gzip, br, zstd", "zstd")] {
        let packed = get(port, SUMMARY, &format!("Accept-Encoding: {accepted}\r\n"));
        assert_eq!(header(&packed, "content-encoding"), Some(coding));
        let length: usize = header(&packed, "content-length").unwrap().parse().unwrap();
        assert!(length < plain.body.len() / 2, "{coding}: {length}");
        let etag = header(&packed, "etag").unwrap();
        assert_ne!(Some(etag), header(&plain, "etag"), "another representation");
        let has = format!("Accept-Encoding: {accepted}\r\nIf-None-Match: {etag}\r\n");
        assert_eq!(get(port, SUMMARY, &has).status, 304);
        let document = format!("Accept-Encoding: {accepted}\r\n");
        let document = get(port, "/api/openapi.json", &document);
        assert_eq!(header(&document, "content-encoding"), Some(coding));
    }
    let path = "/api/v1/donations/c/donate";
    let packed = request_with(port, "POST", path, "Content-Encoding: gzip\r\n", "{}").unwrap();
    assert_eq!(packed.status, 415, "{packed:?}");
    assert_eq!(packed.reason(), "unsupported_encoding");
    assert_eq!(header(&packed, "accept-encoding"), Some("identity"));
    home.stop().unwrap();
}

#[test]
fn what_is_packed_is_what_another_client_unpacks() {
    let (_home, port) = campaign();
    for at in 0..20 {
        give(port, &format!("d{at}"));
    }
    let plain = get(port, SUMMARY, "").json().unwrap();
    // Node's own client asks for gzip, and unpacks it.
    let script = format!("http://localhost:{port}{SUMMARY}");
    let seen = Node::run("fetch.mjs", &json!({ "url": script })).line();
    assert_eq!(seen["coding"], "gzip");
    assert_eq!(seen["body"], plain);
}

#[test]
fn pages_of_other_origins_read_what_an_operator_lets_them() {
    let (home, port) = campaign();
    let page = "Origin: https://give.example.org\r\n";
    let preflight = |port| {
        let asks = format!(
            "{page}Access-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: content-type,idempotency-key\r\n"
        );
        request_with(port, "OPTIONS", "/api/v1/donations/c/donate", &asks, "").unwrap()
    };
    let allowed = "access-control-allow-origin";
    let nobody = get(port, SUMMARY, page);
    assert_eq!((nobody.status, header(&nobody, allowed)), (200, None));
    assert_eq!(header(&preflight(port), allowed), None);

    home.configure("CORS_ORIGINS=https://give.example.org,http://localhost:3000")
        .unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(answer["config"][0]["key"], "CORS_ORIGINS");
    assert_eq!(answer["config"][0]["applies"], "now");
    let theirs = get(port, SUMMARY, page);
    assert_eq!(header(&theirs, allowed), Some("https://give.example.org"));
    let exposed = header(&theirs, "access-control-expose-headers").unwrap();
    for name in ["etag", "x-request-id", "idempotent-replayed", "retry-after"] {
        assert!(exposed.contains(name), "{name}: {exposed}");
    }
    assert!(
        theirs.head.to_lowercase().contains("vary: origin"),
        "{}",
        theirs.head
    );
    assert_eq!(header(&theirs, "access-control-allow-credentials"), None);
    // A page is to be able to read why it was refused, too.
    let refused = request_with(port, "POST", "/api/v1/donations/c/nothing", page, "").unwrap();
    assert_eq!(refused.status, 404, "{refused:?}");
    assert_eq!(header(&refused, allowed), Some("https://give.example.org"));
    let preflight = preflight(port);
    assert_eq!(preflight.status, 200);
    assert_eq!(
        header(&preflight, allowed),
        Some("https://give.example.org")
    );
    let headers = header(&preflight, "access-control-allow-headers").unwrap();
    assert!(headers.contains("idempotency-key"), "{headers}");
    let other = get(port, SUMMARY, "Origin: https://elsewhere.example\r\n");
    assert_eq!((other.status, header(&other, allowed)), (200, None));

    home.configure("CORS_ORIGINS=https://give.example.org/,x\nCORS_CREDENTIALS=yes")
        .unwrap();
    let ran = home
        .host(&["config", "check"])
        .unwrap()
        .ends_with(1)
        .unwrap();
    assert!(ran.stderr.contains("CORS_ORIGINS"), "{}", ran.stderr);
    home.configure("CORS_ORIGINS=*").unwrap();
    let ran = home
        .host(&["config", "check"])
        .unwrap()
        .ends_with(1)
        .unwrap();
    assert!(ran.stderr.contains("CORS_CREDENTIALS"), "{}", ran.stderr);
    home.configure("CORS_CREDENTIALS=no").unwrap();
    home.done(&["config", "check"]).unwrap();
}

#[test]
fn calls_beyond_those_that_the_host_has_room_for_are_told_when_to_come_back() {
    let home = hostile::home();
    home.configure("RUNTIME_LIMITS_CALLS_UNDER_WAY=2").unwrap();
    let port = home.start().unwrap().port;
    let mut client = Client::connect(port).unwrap();
    client.join("faulty:c").unwrap().ok().unwrap();
    let sleepers: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|key| thread::spawn(move || hostile::post(port, key, "sleep", &json!({"ms": 3_000}))))
        .collect();
    let under_way = || home.metric("calls_under_way").unwrap();
    wait::until_is("both are under way", &2, under_way).unwrap();

    let refused = request(port, "GET", "/api/v1/faulty/c/summary", "").unwrap();
    assert_eq!(
        (refused.status, refused.reason().as_str()),
        (503, "overloaded")
    );
    assert_eq!(header(&refused, "retry-after"), Some("1"));
    assert_eq!(refused.json().unwrap()["retry_after_ms"], 1_000);
    let reference = client.send("faulty:c", "summary", &json!({})).unwrap();
    let reply = client.next_of("phx_reply").unwrap();
    assert_eq!(reply.message_ref, Some(reference));
    assert_eq!(reply.payload["status"], "error", "{reply:?}");
    let response = &reply.payload["response"];
    assert_eq!(response["reason"], "overloaded");
    assert_eq!(response["retry_after_ms"], 1_000);
    assert!(
        response["message"].as_str().unwrap().contains("2 calls"),
        "{response}"
    );
    let other = Client::connect(port).unwrap().join("faulty:d").unwrap();
    assert!(matches!(other, Reply::Error { reason, .. } if reason == "overloaded"));
    // Operators come through, and health is answered.
    home.rpc("faulty:c", "add", &json!({"by": 1})).unwrap();
    assert_eq!(get(port, "/healthz", "").status, 200);
    let counted = home.metric("refusals_total{reason=\"overloaded\"}");
    assert_eq!(counted.unwrap(), 3);

    home.configure("RUNTIME_LIMITS_CALLS_UNDER_WAY=3").unwrap();
    let answer: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(answer["config"][0]["applies"], "now", "{answer}");
    let summary = client.push("faulty:c", "summary", &json!({})).unwrap();
    assert_eq!(summary.ok().unwrap()["count"], 1);
    for sleeper in sleepers {
        assert_eq!(sleeper.join().unwrap().0, 200);
    }
    wait::until_is("nothing is under way", &0, under_way).unwrap();
}
