//! Requests of the API and of health.

use super::*;
use crate::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

#[track_caller]
fn assert_problem(answer: &str, expected: &str, reason: &str) {
    assert_eq!(status(answer), expected, "{answer}");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert!(answer.contains("application/problem+json"), "{answer}");
    assert_eq!(body["reason"], reason, "{answer}");
    assert_eq!(body["status"].to_string(), expected);
    for field in ["type", "title", "detail"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()));
    }
}

#[test]
fn a_port_in_use_is_named() {
    let host = Host::start();
    let port = host.gateway.port();
    let config = Config {
        addresses: vec![(Ipv4Addr::LOCALHOST, port).into()],
        ..Config::default()
    };
    let app = Arc::clone(&host.gateway.app);
    let error = Gateway::serve(config, host.control.handle(), app, 1).unwrap_err();
    let expected = format!("port {port}: another program listens there");
    assert!(error.to_string().contains(&expected), "{error}");
}

#[test]
fn an_address_of_another_machine_is_named() {
    let address = "192.0.2.1:0".parse().unwrap();
    let error = listen::listen(&[address], 0).unwrap_err();
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[test]
fn health_says_when_the_data_threads_are_stuck() {
    let host = Host::start();
    let answer = host.ask("GET /healthz HTTP/1.1");
    assert_eq!(status(&answer), "200");
    assert!(answer.contains(r#""data_threads":"ok""#), "{answer}");

    let (free, stuck) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = std::sync::mpsc::channel();
    host.data.spawn(async move {
        entered.send(()).unwrap();
        let _ = stuck.recv();
    });
    inside.recv().unwrap();
    for _ in 0..2 {
        let answer = host.ask("GET /healthz HTTP/1.1");
        assert_eq!(status(&answer), "200");
        assert!(answer.contains(r#""data_threads":"stuck""#), "{answer}");
    }
    drop(free);
    wait_until("health is good again", || {
        host.ask("GET /healthz HTTP/1.1")
            .contains(r#""data_threads":"ok""#)
    });
}

#[test]
fn readiness_gives_its_reasons() {
    assert_eq!(status(&Host::start().ask("GET /readyz HTTP/1.1")), "200");
    let host = Host::with(10, vec!["the plugin \"zakat\" has failed".into()]);
    let answer = host.ask("GET /readyz HTTP/1.1");
    assert_eq!(status(&answer), "503");
    assert!(
        answer.contains(r#"["the plugin \"zakat\" has failed"]"#),
        "{answer}"
    );
}

#[test]
fn heads_are_bounded() {
    let host = Host::start();
    let long = format!("GET /healthz HTTP/1.1\nX: {}", "x".repeat(HEAD_BYTES_MAX));
    assert_eq!(status(&host.ask(&long)), "431");
    let many = format!("GET /healthz HTTP/1.1{}", "\nX: x".repeat(HEADERS_MAX));
    assert_eq!(status(&host.ask(&many)), "431");
    assert_eq!(status(&host.ask("nonsense")), "400");
    assert_eq!(status(&host.ask("GET /healthz HTTP/1.1")), "200");
}

#[test]
fn what_the_api_does_not_take_is_a_problem() {
    let host = Host::start();
    for (request, expected, reason) in [
        ("GET /nothing HTTP/1.1", "404", "not_found"),
        (
            "DELETE /api/v1/donations/a/b HTTP/1.1",
            "405",
            "method_not_allowed",
        ),
        ("POST /healthz HTTP/1.1", "405", "method_not_allowed"),
        (
            "GET /api/v1/donations/a/summary HTTP/1.1",
            "404",
            "unknown_plugin",
        ),
        (
            "GET /api/v1/Donations/a/summary HTTP/1.1",
            "404",
            "unknown_plugin",
        ),
        (
            "POST /api/v1/donations/a%2Fb/donate HTTP/1.1\nContent-Length: 2\n\n{}",
            "404",
            "unknown_plugin",
        ),
        (
            "GET /api/v1/donations/a%0Ab/summary HTTP/1.1",
            "400",
            "bad_path",
        ),
        (
            "GET /api/v1/donations/%FF/summary HTTP/1.1",
            "400",
            "bad_path",
        ),
        (
            "GET /api/v1/donations/a/summary?a=1&a=2 HTTP/1.1",
            "400",
            "bad_payload",
        ),
        (
            "POST /api/v1/donations/a/donate HTTP/1.1\nContent-Length: 2\n\n[]",
            "400",
            "bad_payload",
        ),
        (
            "POST /api/v1/donations/a/donate HTTP/1.1\nContent-Length: 2000000\n\n",
            "413",
            "payload_too_large",
        ),
        (
            "POST /api/v1/donations/a/donate HTTP/1.1\nIdempotency-Key: \n\n",
            "400",
            "bad_idempotency_key",
        ),
        (
            "POST /api/v1/donations/a/donate HTTP/1.1\nIdempotency-Key: a\nIdempotency-Key: b\n\n",
            "400",
            "bad_idempotency_key",
        ),
    ] {
        assert_problem(&host.ask(request), expected, reason);
    }
    let event = "e".repeat(crate::limits::EVENT_BYTES_MAX + 1);
    let request = format!("GET /api/v1/donations/a/{event} HTTP/1.1");
    assert_problem(&host.ask(&request), "404", "unknown_event");
}

/// As where the code of an actor does not return when the host ends.
#[test]
fn who_is_cut_off_by_the_end_of_the_host_hears_what_may_have_happened() {
    let host = Host::start();
    let actors = Arc::clone(&host.app.actors);
    let suspended = actors.suspend("donations", PATIENCE);
    host.control.block_on(suspended).unwrap();
    let [command, query] = [
        "POST /api/v1/donations/a/donate",
        "GET /api/v1/donations/b/summary",
    ]
    .map(|line| {
        let mut stream = host.connect();
        let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    });
    wait_until("both wait for their actors", || {
        ["donations:a", "donations:b"]
            .iter()
            .all(|id| actors.is_awake(&id.parse().unwrap()))
    });
    host.data.shutdown_background();
    for (mut stream, status, reason) in [
        (command, "500", "outcome_unknown"),
        (query, "503", "stopping"),
    ] {
        assert_problem(&read_to_end(&mut stream), status, reason);
    }
}

#[test]
fn connections_beyond_the_limit_are_told() {
    let host = Host::with(1, Vec::new());
    let first = host.connect();
    let mut others: Vec<_> = (0..HEALTH_CONNECTIONS_MAX)
        .map(|_| host.connect())
        .collect();
    let mut last = host.connect();
    assert_eq!(status(&read_to_end(&mut last)), "503");
    assert_eq!(
        host.gateway
            .counters()
            .refused
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );

    let mut other = others.pop().unwrap();
    let request = "GET /socket/websocket HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    other.write_all(request.as_bytes()).unwrap();
    assert_problem(&read_to_end(&mut other), "503", "too_many_connections");
    wait_until("there is room for health", || {
        status(&host.ask("GET /healthz HTTP/1.1")) == "200"
    });
    drop(first);
    wait_until("there is room for all", || {
        status(&host.ask("GET /socket/websocket HTTP/1.1")) == "426"
    });
}

#[test]
fn a_stopped_gateway_frees_its_port() {
    let host = Host::start();
    let idle = host.connect();
    assert_eq!(host.stop(), None);
    drop(idle);
    listen::listen(host.gateway.addresses(), 0).unwrap();
}
