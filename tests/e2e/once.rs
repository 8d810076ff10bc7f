//! Once, whatever happens in between: keys, timers and webhooks over `kill -9` and an
//! upgrade, and what an operator does about what came to nothing. On either store.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use e2e::{Home, http, wait};
use serde_json::{Value, json};
use test_postgres::shared;

use crate::hostile::{self, post, summary};

macro_rules! on_each_store {
    ($($test:ident,)+) => {
        mod sqlite {
            $(
                #[test]
                fn $test() {
                    super::$test(&crate::hostile::home());
                }
            )+
        }
        mod postgres {
            $(
                #[test]
                fn $test() {
                    super::$test(&super::home_on_postgres());
                }
            )+
        }
    };
}

on_each_store! {
    a_key_gets_its_first_answer_over_a_crash_and_an_upgrade,
    timers_fire_once_though_the_host_is_killed_around_their_time,
    a_webhook_is_sent_until_it_is_taken_also_over_a_crash,
    what_came_to_nothing_is_retried_dropped_and_exported,
}

fn home_on_postgres() -> Home {
    let home = hostile::home();
    let address = shared().database().unwrap();
    home.configure(&format!("DATABASE_URL={address}")).unwrap();
    home
}

/// Adds with an idempotency key: the status, the answer, and whether it is the first
/// one again.
pub(crate) fn keyed(port: u16, key: &str, by: i64) -> (u16, Value, bool) {
    let headers = format!("Idempotency-Key: {key}\r\n");
    let body = json!({ "by": by }).to_string();
    let path = "/api/v1/faulty/a/add";
    let answer = http::request_with(port, "POST", path, &headers, &body).unwrap();
    let head = answer.head.to_ascii_lowercase();
    let replayed = head.contains("idempotent-replayed: true");
    (answer.status, answer.json().unwrap(), replayed)
}

fn run(home: &Home, arguments: &[&str]) -> Value {
    home.answer(arguments).unwrap()
}

fn a_key_gets_its_first_answer_over_a_crash_and_an_upgrade(home: &Home) {
    let port = home.start().unwrap().port;
    let (status, first, replayed) = keyed(port, "k", 5);
    assert_eq!((status, replayed), (200, false), "{first}");
    assert!(!keyed(port, "other", 1).2);
    let again = |what: &str| {
        assert_eq!(keyed(port, "k", 5), (200, first.clone(), true), "{what}");
    };
    again("at once");
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    again("after a crash");
    home.upgrade("0.2.0").unwrap();
    again("after an upgrade");
    let (status, answer, _) = keyed(port, "k", 6);
    assert_eq!((status, &answer["reason"]), (422, &json!("conflict")));
    // An operator is another principal, with keys of its own.
    let line = [
        "rpc",
        "faulty:a",
        "add",
        r#"{"by":5}"#,
        "--key",
        "k",
        "--json",
    ];
    let told = run(home, &line);
    assert_eq!(run(home, &line), told);
    assert_eq!(summary(port, "a")["count"], 11);
    home.stop().unwrap();
}

fn timers_fire_once_though_the_host_is_killed_around_their_time(home: &Home) {
    const ROUNDS: i64 = 4;
    const TIMERS: i64 = 12;
    let port = home.start().unwrap().port;
    for round in 0..ROUNDS {
        for n in 0..TIMERS {
            // Due before, around and behind the kill.
            let timer = json!({ "name": format!("t{round}-{n}"), "in_ms": n * 25 });
            let (status, answer) = post(port, "a", "set_timer", &timer);
            assert_eq!(status, 200, "{answer}");
        }
        let old = home.kill_host().unwrap();
        home.rebooted(old).unwrap();
        wait::until_is("each has fired, once", &json!((round + 1) * TIMERS), || {
            summary(port, "a")["ticks"].clone()
        })
        .unwrap();
    }
    home.stop().unwrap();
    home.start().unwrap();
    assert_eq!(summary(port, "a")["ticks"], ROUNDS * TIMERS);
    home.stop().unwrap();
}

/// A receiver of webhooks: the keys under which some came, and whether it takes them.
struct Receiver {
    port: u16,
    keys: Arc<Mutex<Vec<String>>>,
    takes: Arc<AtomicBool>,
}

impl Receiver {
    /// Ends with the test's process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            keys: Arc::default(),
            takes: Arc::default(),
        };
        let (keys, takes) = (Arc::clone(&receiver.keys), Arc::clone(&receiver.takes));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut text, mut buffer) = (String::new(), [0; 4_096]);
                while !text.contains("\r\n\r\n") {
                    match stream.read(&mut buffer) {
                        Ok(read @ 1..) => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
                        // The host was killed over it.
                        _ => break,
                    }
                }
                let key = text
                    .lines()
                    .find_map(|it| it.strip_prefix("idempotency-key: "));
                keys.lock().unwrap().extend(key.map(str::to_owned));
                let status = match takes.load(Ordering::SeqCst) {
                    true => "204 No Content",
                    false => "503 Busy",
                };
                let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
            }
        });
        receiver
    }

    fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }
}

fn a_webhook_is_sent_until_it_is_taken_also_over_a_crash(home: &Home) {
    let port = home.start().unwrap().port;
    let receiver = Receiver::start();
    let url = format!("http://127.0.0.1:{}/hook", receiver.port);
    let webhook = json!({ "url": url, "body": { "n": 1 } });
    assert_eq!(post(port, "a", "webhook", &webhook).0, 200);
    wait::until("it was tried", || {
        (!receiver.keys().is_empty()).then_some(())
    })
    .unwrap();
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    let rows = wait::until("it waits, and says why", || {
        let rows = run(home, &["outbox", "list", "--json"]);
        let error = rows[0]["error"].as_str()?.to_owned();
        error.contains("503").then_some(rows)
    })
    .unwrap();
    assert_eq!(rows[0]["url"], url);
    receiver.takes.store(true, Ordering::SeqCst);
    let id = rows[0]["id"].as_str().unwrap().to_owned();
    // It may be taken by itself at this very moment.
    let _ = home.host(&["outbox", "retry", &id, "--json"]).unwrap();
    wait::until("it is taken", || {
        (run(home, &["outbox", "list", "--json"]) == json!([])).then_some(())
    })
    .unwrap();
    let keys = receiver.keys();
    assert!(keys.len() >= 2, "{keys:?}");
    assert!(keys[0].ends_with(&id), "{keys:?} and {id}");
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let gone = home.host(&["outbox", "retry", &id, "--json"]).unwrap();
    assert_eq!(
        gone.ends_with(1).unwrap().reason().unwrap(),
        "unknown_webhook"
    );
    home.stop().unwrap();
}

fn what_came_to_nothing_is_retried_dropped_and_exported(home: &Home) {
    let port = home.start().unwrap().port;
    let letters = || run(home, &["dead-letters", "list", "--json"]);
    let cast = |to: &str, event: &str, payload: Value| {
        let cast = json!({ "to": to, "event": event, "payload": payload });
        assert_eq!(post(port, "a", "cast", &cast).0, 200);
    };
    // 0.1.0 knows no notes.
    cast("faulty:b", "note", json!({ "text": "t" }));
    cast("faulty:b", "refuse", json!({}));
    wait::until("both are dead letters", || {
        (letters().as_array().unwrap().len() == 2).then_some(())
    })
    .unwrap();
    let refused = home.host(&["dead-letters", "retry", "1", "2", "--json"]);
    let refused = refused.unwrap().ends_with(1).unwrap();
    assert_eq!(refused.reason().unwrap(), "unknown_event");
    home.upgrade("0.2.0").unwrap();
    let old = home.kill_host().unwrap();
    home.rebooted(old).unwrap();
    let retried = run(home, &["dead-letters", "retry", "1", "--json"]);
    assert_eq!(retried["answer"]["notes"], 1, "{retried}");
    assert_eq!(summary(port, "b")["notes"], json!(["t"]));
    run(home, &["dead-letters", "drop", "2", "--json"]);
    assert_eq!(letters(), json!([]));
    let gone = home.host(&["dead-letters", "drop", "2", "--json"]);
    let gone = gone.unwrap().ends_with(1).unwrap();
    assert_eq!(gone.reason().unwrap(), "unknown_dead_letter");

    for _ in 0..4 {
        post(port, "b", "panic", &json!({}));
    }
    let export = run(home, &["quarantine", "export", "faulty:b", "--json"]);
    assert!(export["quarantined"].is_string(), "{export}");
    assert_eq!(export["state"]["notes"], json!(["t"]));
    assert_eq!(export["dead_letters"].as_array().unwrap().len(), 4);
    let nobody = home.host(&["quarantine", "export", "faulty:nobody", "--json"]);
    let nobody = nobody.unwrap().ends_with(1).unwrap();
    assert_eq!(nobody.reason().unwrap(), "unknown_actor");
    home.stop().unwrap();
}
