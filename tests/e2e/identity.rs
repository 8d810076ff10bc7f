//! Who may do what: tokens, what plugins make of them in one version and the next, origins,
//! and how much anybody may do.

use std::fs;

use e2e::keys::Keys;
use e2e::{Client, Home, http};
use serde_json::{Value, json};

use crate::phoenix::Node;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A home where authentication is on, not started.
pub(crate) fn home() -> Home {
    let home = Home::new().unwrap();
    home.configure(&format!("AUTH=on\nSECRET_KEY_BASE={SECRET}"))
        .unwrap();
    home
}

pub(crate) fn token(home: &Home, sub: &str, roles: &[&str]) -> String {
    let mut line = vec!["gen", "token", "--sub", sub];
    line.extend(roles.iter().flat_map(|role| ["--role", *role]));
    home.done(&line).unwrap().stdout.trim().to_owned()
}

pub(crate) fn post(port: u16, token: Option<&str>, path: &str, body: &Value) -> http::Answer {
    let headers = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let headers = headers.unwrap_or_default();
    let path = format!("/api/v1/{path}");
    http::request_with(port, "POST", &path, &headers, &body.to_string()).unwrap()
}

pub(crate) fn campaign() -> Value {
    json!({"title": "Ramadan", "currency": "USD", "goal": "1000"})
}

pub(crate) fn gift(id: &str) -> Value {
    json!({"donation_id": id, "amount": "5.00", "currency": "USD"})
}

#[test]
fn each_version_decides_who_may_do_what_also_for_who_stays_connected() {
    let home = home();
    let port = home.start().unwrap().port;
    let (ali, sara) = (
        token(&home, "ali", &[]),
        token(&home, "sara", &["treasurer"]),
    );
    let mut giver = Client::with_token(port, &ali).unwrap();
    let mut treasurer = Client::with_token(port, &sara).unwrap();
    let mut nobody = Client::connect(port).unwrap();
    for client in [&mut giver, &mut treasurer, &mut nobody] {
        for topic in ["donations:a", "donations:b"] {
            client.join(topic).unwrap().ok().unwrap();
        }
    }
    // 0.1.0 has no rule.
    giver
        .push("donations:a", "open", &campaign())
        .unwrap()
        .ok()
        .unwrap();
    nobody
        .push("donations:a", "donate", &gift("d1"))
        .unwrap()
        .ok()
        .unwrap();

    home.upgrade("0.2.0").unwrap();
    let refused = giver.push("donations:b", "open", &campaign()).unwrap();
    assert_eq!(refused.reason().unwrap(), "forbidden");
    let refused = nobody.push("donations:b", "open", &campaign()).unwrap();
    assert_eq!(refused.reason().unwrap(), "forbidden");
    treasurer
        .push("donations:b", "open", &campaign())
        .unwrap()
        .ok()
        .unwrap();
    nobody
        .push("donations:b", "donate", &gift("d2"))
        .unwrap()
        .ok()
        .unwrap();
    let back = json!({"donation_id": "d1", "reason": "by mistake"});
    let spend = json!({"fund": "sadaqah", "category": "food", "amount": "1.00", "currency": "USD"});
    for (event, payload) in [("refund", &back), ("allocate", &spend)] {
        let topic = if event == "refund" {
            "donations:a"
        } else {
            "donations:b"
        };
        let refused = giver.push(topic, event, payload).unwrap();
        assert_eq!(refused.reason().unwrap(), "forbidden", "{event}");
        treasurer.push(topic, event, payload).unwrap().ok().unwrap();
    }
    // The same over HTTP.
    for (token, status) in [(None, 403), (Some(&ali), 403), (Some(&sara), 200)] {
        let token = token.map(String::as_str);
        let answer = post(port, token, "donations/c/open", &campaign());
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    let forbidden = post(port, Some(&ali), "donations/d/open", &campaign());
    assert_eq!(forbidden.reason(), "forbidden");
    assert!(
        forbidden.body.contains("needs the role treasurer"),
        "{}",
        forbidden.body
    );
    // An operator is not asked.
    home.rpc("donations:e", "open", &campaign()).unwrap();

    home.rollback().unwrap();
    giver.join("donations:f").unwrap().ok().unwrap();
    giver
        .push("donations:f", "open", &campaign())
        .unwrap()
        .ok()
        .unwrap();
}

#[test]
fn a_payers_figures_are_for_the_payer_and_for_auditors_who_look() {
    let home = home();
    let port = home.start().unwrap().port;
    let cash = json!({"asset_id": "c", "kind": "cash", "amount": "9000", "currency": "USD"});
    let (ali, sara) = (token(&home, "ali", &[]), token(&home, "sara", &[]));
    let auditor = token(&home, "omar", &["auditor"]);
    let mut payer = Client::with_token(port, &ali).unwrap();
    payer.join("zakat:ali").unwrap().ok().unwrap();
    payer
        .push("zakat:ali", "declare", &cash)
        .unwrap()
        .ok()
        .unwrap();
    let mut auditor = Client::with_token(port, &auditor).unwrap();
    let seen = auditor.join("zakat:ali").unwrap().ok().unwrap();
    assert_eq!(seen["seq"], 1, "{seen}");
    let refused = auditor.push("zakat:ali", "declare", &cash).unwrap();
    assert_eq!(refused.reason().unwrap(), "forbidden");
    for other in [Some(&sara), None] {
        let mut other = match other {
            Some(token) => Client::with_token(port, token).unwrap(),
            None => Client::connect(port).unwrap(),
        };
        assert_eq!(
            other.join("zakat:ali").unwrap().reason().unwrap(),
            "forbidden"
        );
        let refused = other.push("zakat:ali", "declare", &cash).unwrap();
        assert_eq!(refused.reason().unwrap(), "unmatched topic");
        // It has cost them nothing else.
        other.join("donations:a").unwrap().ok().unwrap();
    }
}

#[test]
fn a_command_stands_in_the_trail_under_who_sent_it_and_a_key_is_theirs_alone() {
    let home = home();
    let port = home.start().unwrap().port;
    let (ali, sara) = (token(&home, "ali", &[]), token(&home, "sara", &[]));
    let keyed = |token: &str, id: &str| {
        let headers = format!("Authorization: Bearer {token}\r\nIdempotency-Key: k\r\n");
        let path = "/api/v1/donations/a/donate";
        http::request_with(port, "POST", path, &headers, &gift(id).to_string()).unwrap()
    };
    assert_eq!(
        post(port, Some(&ali), "donations/a/open", &campaign()).status,
        200
    );
    assert_eq!(keyed(&ali, "d1").status, 200);
    let again = keyed(&ali, "d1");
    assert!(
        again.head.to_lowercase().contains("idempotent-replayed"),
        "{}",
        again.head
    );
    assert_eq!(keyed(&ali, "d2").status, 422, "another body");
    assert_eq!(keyed(&sara, "d2").status, 200, "another's key");
    let trail = home.done(&["audit", "export"]).unwrap().stdout;
    let principals: Vec<_> = trail
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["command"] == "donate")
        .map(|line| line["principal"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(principals, ["ali", "sara"], "{trail}");
}

#[test]
fn a_wrong_token_is_refused_at_the_door_with_the_reason() {
    let home = home();
    let port = home.start().unwrap().port;
    let other = ["gen", "token", "--sub", "ali", "--aud", "other.example.org"];
    let other = home.done(&other).unwrap().stdout.trim().to_owned();
    for (token, why) in [("x.y.z", "no token"), (other.as_str(), "\"localhost\"")] {
        let refused = Client::ask(port, &format!("&token={token}"), &[]).unwrap();
        let refused = refused.unwrap_err();
        assert_eq!(refused.status, 403);
        let answer = post(port, Some(token), "donations/a/open", &campaign());
        assert_eq!(
            (answer.status, answer.reason()),
            (401, "bad_token".to_owned())
        );
        assert!(
            answer.head.contains("Bearer error=\"invalid_token\""),
            "{}",
            answer.head
        );
        let detail = answer.json().unwrap()["detail"].to_string();
        assert!(detail.replace("\\\"", "\"").contains(why), "{detail}");
    }
    let metrics = home.metrics().unwrap();
    assert!(metrics.contains("\nhost_tokens_refused 4\n"), "{metrics}");
    // With authentication off, which it is by itself here, nobody looks at it.
    let open = Home::new().unwrap();
    let port = open.start().unwrap().port;
    Client::with_token(port, "x.y.z").unwrap();
    let answer = post(port, Some("x.y.z"), "donations/a/open", &campaign());
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[test]
fn keys_are_rotated_while_clients_stay() {
    let home = home();
    let (old, new) = (
        Keys::generate(home.path(), "old").unwrap(),
        Keys::generate(home.path(), "new").unwrap(),
    );
    let file = home.path().join("etc/keys.pem");
    fs::write(&file, &old.public).unwrap();
    home.configure("TOKEN_KEYS_FILE=etc/keys.pem").unwrap();
    let port = home.start().unwrap().port;
    let token = |key: &Keys| {
        let key = key.private.display().to_string();
        let line = [
            "gen",
            "token",
            "--sub",
            "sara",
            "--role",
            "treasurer",
            "--key",
            &key,
        ];
        home.done(&line).unwrap().stdout.trim().to_owned()
    };
    let (by_old, by_new) = (token(&old), token(&new));
    let mut client = Client::with_token(port, &by_old).unwrap();
    client.join("zakat:sara").unwrap().ok().unwrap();
    let refused = || Client::ask(port, &format!("&token={by_new}"), &[]).unwrap();
    assert_eq!(refused().unwrap_err().problem["reason"], "bad_token");

    fs::write(&file, format!("{}{}", new.public, old.public)).unwrap();
    let changes: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(changes["config"][0]["key"], "TOKEN_KEYS_FILE", "{changes}");
    Client::with_token(port, &by_new).unwrap();
    Client::with_token(port, &by_old).unwrap();

    fs::write(&file, &new.public).unwrap();
    home.done(&["reload"]).unwrap();
    let gone = Client::ask(port, &format!("&token={by_old}"), &[]).unwrap();
    assert_eq!(gone.unwrap_err().problem["reason"], "bad_token");
    // Who was let in stays, and renews in place.
    client.push("zakat:sara", "summary", &json!({})).unwrap();
    let renewed = client.push("phoenix", "token", &json!({"token": by_new}));
    assert_eq!(renewed.unwrap().ok().unwrap(), json!({}));
    client.join("zakat:sara").unwrap().ok().unwrap();
    // A file that is none by now changes nothing, and is told.
    fs::write(&file, "nothing").unwrap();
    let told = home.host(&["reload"]).unwrap().ends_with(1).unwrap();
    assert!(told.stderr.contains("TOKEN_KEYS_FILE"), "{}", told.stderr);
    Client::with_token(port, &by_new).unwrap();
}

#[test]
fn a_secret_is_rotated_over_a_restart() {
    let home = home();
    let old = token(&home, "ali", &[]);
    let secret = SECRET.replace('0', "1");
    home.configure(&format!(
        "SECRET_KEY_BASE={secret}\nSECRET_KEY_BASE_OLD={SECRET}"
    ))
    .unwrap();
    let new = token(&home, "ali", &[]);
    let port = home.start().unwrap().port;
    for token in [&old, &new] {
        let mut client = Client::with_token(port, token).unwrap();
        client.join("zakat:ali").unwrap().ok().unwrap();
    }
    let shown = home.done(&["config", "show"]).unwrap().stdout;
    assert!(
        !shown.contains(&SECRET[..20]) && !shown.contains(&secret[..20]),
        "{shown}"
    );
    home.configure("SECRET_KEY_BASE_OLD=").unwrap();
    home.done(&["restart"]).unwrap();
    Client::with_token(port, &new).unwrap();
    let gone = Client::ask(port, &format!("&token={old}"), &[]).unwrap();
    assert_eq!(gone.unwrap_err().status, 403);
}

#[test]
fn a_page_of_somewhere_else_opens_no_websocket() {
    let home = Home::new().unwrap();
    home.configure("ALLOWED_ORIGINS=https://*.example.org")
        .unwrap();
    let port = home.start().unwrap().port;
    let ask = |origin: &str| Client::ask(port, "", &[("origin", origin)]).unwrap();
    for fine in ["http://localhost:5173", "https://give.example.org"] {
        ask(fine).unwrap();
    }
    let refused = ask("https://evil.example").unwrap_err();
    assert_eq!(
        (refused.status, &refused.problem["reason"]),
        (403, &json!("bad_origin"))
    );
    let detail = refused.problem["detail"].as_str().unwrap();
    assert!(detail.contains("https://*.example.org"), "{detail}");
    assert!(detail.contains("ALLOWED_ORIGINS"), "{detail}");
    let metrics = home.metrics().unwrap();
    assert!(metrics.contains("\nhost_origins_refused 1\n"), "{metrics}");
}

/// From loopback nothing is counted: clients come by a proxy, which is there.
#[test]
fn limits_are_told_counted_and_changed_while_the_host_runs() {
    let home = Home::new().unwrap();
    home.configure(
        "TRUSTED_PROXIES=127.0.0.1\nLIMITS_ADDRESS_CONNECTIONS=2\nLIMITS_CONNECTION_JOINS=1\n\
         LIMITS_CONNECTION_MESSAGES=3\nLIMITS_ADDRESS_MESSAGES=5",
    )
    .unwrap();
    let port = home.start().unwrap().port;
    let ask = |from: &str| Client::ask(port, "", &[("x-forwarded-for", from)]).unwrap();
    let mut first = ask("192.0.2.1").unwrap();
    let second = ask("198.51.100.7, 192.0.2.1").unwrap();
    let refused = ask("192.0.2.1").unwrap_err();
    assert_eq!(refused.status, 429);
    assert_eq!(refused.problem["reason"], "too_many_connections");
    let mut other = ask("192.0.2.2").unwrap();
    drop(second);
    let is_free = || ask("192.0.2.1").ok();
    let mut second = e2e::wait::until("the place is free again", is_free).unwrap();

    let reasons = |client: &mut Client, topic: &str, event: &str, times: usize| -> Vec<String> {
        let push = |_| match event {
            "phx_join" => client.join(topic).unwrap(),
            event => client.push(topic, event, &json!({})).unwrap(),
        };
        let answers = (0..times).map(push).collect::<Vec<_>>();
        answers
            .into_iter()
            .filter_map(|it| it.reason().ok())
            .collect()
    };
    let refused = reasons(&mut first, "donations:a", "phx_join", 15);
    assert!((3..=5).contains(&refused.len()), "{refused:?}");
    assert!(refused.iter().all(|it| it == "rate_limited"), "{refused:?}");
    second.join("donations:a").unwrap().ok().unwrap();
    let refused = reasons(&mut second, "donations:a", "summary", 60);
    assert!(refused.len() > 20, "{}", refused.len());
    assert_eq!(reasons(&mut other, "donations:a", "phx_join", 1), [""; 0]);
    let of = |from: &str| {
        let headers = format!("X-Forwarded-For: {from}\r\n");
        let path = "/api/v1/donations/a/summary";
        http::request_with(port, "GET", path, &headers, "").unwrap()
    };
    let limited = (0..100)
        .map(|_| of("192.0.2.1"))
        .find(|it| it.status == 429);
    let limited = limited.unwrap();
    assert_eq!(limited.reason(), "rate_limited");
    assert!(
        limited.head.to_lowercase().contains("retry-after: 1"),
        "{}",
        limited.head
    );
    assert!(limited.json().unwrap()["retry_after_ms"].as_u64().unwrap() > 0);
    assert_eq!(of("192.0.2.3").status, 200);
    let metrics = home.metrics().unwrap();
    for name in ["limited_connections", "limited_joins", "limited_messages"] {
        assert!(
            !metrics.contains(&format!("\nhost_{name} 0\n")),
            "{name}: {metrics}"
        );
    }

    home.configure("LIMITS_ADDRESS_MESSAGES=0\nLIMITS_CONNECTION_MESSAGES=0")
        .unwrap();
    let changed: Value = home.answer(&["reload", "--json"]).unwrap();
    assert_eq!(changed["config"][0]["applies"], "now", "{changed}");
    assert_eq!(reasons(&mut second, "donations:a", "summary", 200), [""; 0]);
}

#[test]
fn who_goes_on_and_on_is_sent_away() {
    let home = Home::new().unwrap();
    home.configure("TRUSTED_PROXIES=127.0.0.1\nLIMITS_CONNECTION_MESSAGES=1")
        .unwrap();
    let port = home.start().unwrap().port;
    let from = [("x-forwarded-for", "192.0.2.1")];
    let mut flood = Client::ask(port, "", &from).unwrap().unwrap();
    for _ in 0..1_200 {
        // The host may have ended it by now.
        let _ = flood.send("phoenix", "heartbeat", &json!({}));
    }
    let end = loop {
        if let Err(end) = flood.next_message() {
            break format!("{end:#}");
        }
    };
    assert!(
        end.contains("retry_after_ms") || end.contains("reset"),
        "{end}"
    );
    let metrics = home.metrics().unwrap();
    assert!(
        metrics.contains("\nhost_websockets_flooded 1\n"),
        "{metrics}"
    );
    // Nobody else from there has noticed.
    let mut other = Client::ask(port, "", &from).unwrap().unwrap();
    other.join("donations:a").unwrap().ok().unwrap();
}

#[test]
fn the_real_client_brings_a_token_and_another_one() {
    let home = home();
    let port = home.start().unwrap().port;
    let arguments = json!({
        "port": port,
        "ali": token(&home, "ali", &[]),
        "later": token(&home, "ali", &[]),
        "sara": token(&home, "sara", &[]),
    });
    let mut node = Node::run("identity.mjs", &arguments);
    let passed = node.line();
    assert!(passed["passed"].is_array(), "{passed:#}");
}

#[test]
fn a_token_is_made_from_the_homes_secret_or_from_a_key() {
    let home = Home::new().unwrap();
    let ran = home.host(&["gen", "token", "--sub", "timer", "--json"]);
    let ran = ran.unwrap().ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "bad_sub");
    let line = ["gen", "token", "--sub", "ali", "--json"];
    let reason = |line: &[&str]| {
        home.host(line)
            .unwrap()
            .ends_with(1)
            .unwrap()
            .reason()
            .unwrap()
    };
    let none = Home::new().unwrap();
    none.configure("SECRET_KEY_BASE=").unwrap();
    let refused = none.host(&line).unwrap().ends_with(1).unwrap();
    assert_eq!(refused.reason().unwrap(), "no_key");
    home.configure(&format!("SECRET_KEY_BASE={SECRET}"))
        .unwrap();
    let made: Value = home.answer(&line).unwrap();
    assert_eq!(made["aud"], "localhost");
    assert_eq!(made["token"].as_str().unwrap().split('.').count(), 3);
    assert_eq!(reason(&[&line[..], &["--ttl", "0s"]].concat()), "bad_ttl");
    assert_eq!(
        reason(&[&line[..], &["--key", "/nowhere"]].concat()),
        "bad_key"
    );
}
