//! The grammar, and commands against a host that says what a test wants.

use std::path::Path;

use bytes::Bytes;
use clap::{CommandFactory, Parser};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::UnixListener;

use crate::args::{Cli, Command, Pace, Remote};
use crate::{Client, Failure, Output, run};

mod golden;

const REPORT: &str = r#""from":"0.1.0","to":"0.2.0","actors_migrated":3,"pause_us":{"p50":1,"p99":2,"max":3},"rehearsal":null,"duration_ms":9"#;

fn remote(line: &str) -> Remote {
    match Cli::try_parse_from(line.split(' ')).unwrap().command {
        Command::Remote(remote) => remote,
        Command::Local(local) => panic!("{local:?} asks no host"),
    }
}

/// A host that answers every request with the same body, and echoes nothing else.
fn host(dir: &Path, status: u16, body: impl Into<Bytes>) -> Client {
    let socket = dir.join("host.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let body = body.into();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let body = body.clone();
            let answer = service_fn(move |request: Request<Incoming>| {
                let path = request.uri().to_string();
                let body = body.clone();
                async move {
                    let text = String::from_utf8_lossy(&body).replace("{path}", &path);
                    Response::builder()
                        .status(status)
                        .body(Full::new(Bytes::from(text)))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    Client::new(&socket)
}

async fn answer(
    line: &str,
    json: bool,
    status: u16,
    body: impl Into<Bytes>,
) -> (Result<u8, Failure>, String) {
    let dir = TempDir::new().unwrap();
    let client = host(dir.path(), status, body);
    let mut text = Vec::new();
    let ended = run(remote(line), &client, &mut Output::new(json, &mut text)).await;
    (ended, String::from_utf8(text).unwrap())
}

#[test]
fn the_grammar_is_sound_and_every_command_has_an_example() {
    fn check(command: &clap::Command) {
        let name = command.get_name();
        if !command.is_hide_set() && name != "help" {
            let help = command.get_after_help().map(ToString::to_string);
            assert!(help.unwrap_or_default().contains("Example"), "{name}");
        }
        command.get_subcommands().for_each(check);
    }
    Cli::command().debug_assert();
    check(&Cli::command());
}

#[test]
fn aliases_and_global_options_are_read_anywhere() {
    assert!(matches!(remote("host versions"), Remote::Releases));
    let Remote::Rollback { version, rehearse } = remote("host downgrade 0.1.0") else {
        panic!("downgrade is rollback");
    };
    assert!(!rehearse, "a way back is not delayed");
    assert_eq!(version.unwrap().to_string(), "0.1.0");
    for line in [
        "host --json --home /x status",
        "host status --home /x --json",
    ] {
        let global = Cli::try_parse_from(line.split(' ')).unwrap().global;
        assert!(global.json, "{line}");
        assert_eq!(global.home.as_deref(), Some(Path::new("/x")), "{line}");
    }
}

#[test]
fn what_is_no_command_is_a_usage_error() {
    for line in [
        "host nonsense",
        "host upgrade",
        "host upgrade two",
        "host upgrade 0.2.0 --probation 30",
        "host upgrade 0.2.0 --deadline 48h",
        "host rehearse 0.2.0 --deadline 48h",
        "host rehearse 0.2.0 --sample 0",
        "host upgrade 0.2.0 --sample 0",
        "host upgrade pause 0.2.0",
        "host upgrade 0.2.0 --canary 5% --ramp half",
        "host upgrade 0.2.0 --canary 0%",
        "host upgrade 0.2.0 --canary 0.5",
        "host upgrade 0.2.0 --canary 5% --ramp 25",
        "host upgrade 0.2.0 --ramp 25%",
        "host history last",
        "host rpc nobody open",
        "host rpc zakat:a open [1]",
        "host state",
        "host dead-letters retry",
        "host dead-letters drop x",
        "host outbox retry",
    ] {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}

#[test]
fn an_upgrade_is_begun_or_paused() {
    let upgrade = |line| match remote(line) {
        Remote::Upgrade(upgrade) => upgrade,
        other => panic!("{other:?} is no upgrade"),
    };
    let begun = upgrade("host upgrade 0.2.0 --canary 5% --ramp 25%,100% --probation 1m");
    let ramp: Vec<_> = begun.ramp.iter().map(ToString::to_string).collect();
    assert_eq!(begun.canary.unwrap().to_string(), "5%");
    assert_eq!(
        (ramp, begun.pace),
        (vec!["25%".to_owned(), "100%".to_owned()], None)
    );
    assert_eq!(upgrade("host upgrade pause").pace, Some(Pace::Pause));
    assert_eq!(upgrade("host upgrade resume").pace, Some(Pace::Resume));
}

#[tokio::test]
async fn without_a_host_the_socket_and_the_way_out_are_named() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("host.sock");
    let mut text = Vec::new();
    for stale in [false, true] {
        if stale {
            drop(UnixListener::bind(&socket).unwrap());
        }
        let mut out = Output::new(false, &mut text);
        let failure = run(Remote::Status, &Client::new(&socket), &mut out)
            .await
            .unwrap_err();
        assert_eq!(failure.exit_code(), 3);
        let message = failure.to_string();
        assert!(message.contains("host.sock") && message.contains("host start"));
    }
}

#[tokio::test]
async fn a_problem_is_told_as_the_host_says_it() {
    let problem =
        r#"{"reason":"no_path","message":"plan it: no path; install 0.2.0","exit_code":1}"#;
    let (ended, text) = answer("host plan 0.3.0", true, 409, problem).await;
    let failure = ended.unwrap_err();
    assert_eq!((failure.exit_code(), text.as_str()), (1, ""));
    let mut told = Vec::new();
    assert_eq!(Output::new(true, &mut told).failure(&failure), 1);
    assert_eq!(String::from_utf8(told).unwrap().trim_end(), problem);
}

#[tokio::test]
async fn a_reply_is_shown_and_ids_are_escaped() {
    let (ended, text) = answer("host state zakat:علي&x", true, 404, "nothing").await;
    assert_eq!(ended.unwrap_err().exit_code(), 5);
    assert_eq!(text, "");
    let (ended, text) = answer("host rpc zakat:a assess", true, 200, r#"{"at":"{path}"}"#).await;
    assert_eq!((ended, text.as_str()), (Ok(0), "{\"at\":\"/v1/rpc\"}\n"));
    let query = crate::client::query(&[
        ("actor", Some("zakat:عي&x".to_owned())),
        ("plugin", None),
        ("limit", Some("5".to_owned())),
    ]);
    assert_eq!(query, "?actor=zakat:%D8%B9%D9%8A%26x&limit=5");
}

#[tokio::test]
async fn what_is_repaired_is_told_one_by_one() {
    for (line, lines, first) in [
        (
            "host dead-letters retry 12 13",
            2,
            "dead letter 12 was delivered",
        ),
        ("host dead-letters drop 12", 1, "dead letter 12 is gone"),
        ("host outbox retry 1207/0", 1, "webhook 1207/0 is tried now"),
    ] {
        let (ended, text) = answer(line, false, 200, "{}").await;
        assert_eq!((ended, text.lines().count()), (Ok(0), lines), "{line}");
        assert_eq!(text.lines().next(), Some(first));
        let (_, text) = answer(line, true, 200, "{}").await;
        let told: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert!(told["request"]["id"] == 12 || told["request"]["id"] == "1207/0");
    }
}

#[tokio::test]
async fn an_upgrade_is_followed_to_its_outcome() {
    for (outcome, code) in [
        ("committed", 0),
        ("rolled_back", 4),
        ("failed", 1),
        ("stuck", 5),
    ] {
        let stream = format!(
            "data: {{\"kind\":\"state\",\"state\":\"switching\",\"at_ms\":3}}\n\n: still here\n\ndata: {{\"kind\":\"ended\",{REPORT},\"outcome\":\"{outcome}\"}}\n\n"
        );
        let (ended, text) = answer("host upgrade 0.2.0", true, 200, stream.clone()).await;
        assert_eq!(ended, Ok(code), "{outcome}");
        let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(
            (text.lines().count(), &last["outcome"]),
            (2, &outcome.into())
        );
        let (ended, text) = answer("host upgrade 0.2.0", false, 200, stream).await;
        assert_eq!(ended, Ok(code));
        assert!(text.starts_with("release       0.1.0 to 0.2.0\n"), "{text}");
    }
}

#[tokio::test]
async fn what_is_paused_already_or_was_not_is_told() {
    for (line, paused, first) in [
        ("host upgrade pause", true, "it was paused already"),
        ("host upgrade resume", false, "it was not paused"),
        ("host upgrade resume", true, "0.1.0 to 0.2.0: probation"),
        ("host upgrade pause", false, "0.1.0 to 0.2.0: probation"),
    ] {
        // The status and the upgrade in it, for one answer is given to both requests.
        let upgrade = format!(
            r#""id":1,"from":"0.1.0","to":"0.2.0","state":"probation","migrated":1,"remaining":0,"probation_left_s":2,"paused":{paused},"reason":null"#
        );
        let mut status = serde_json::to_value(crate::show::tests::sample()).unwrap();
        status["upgrade"] = serde_json::from_str(&format!("{{{upgrade}}}")).unwrap();
        let status = status.to_string();
        let both = format!("{{{upgrade},{}", &status[1..]);
        let (ended, text) = answer(line, false, 200, both).await;
        assert_eq!(ended, Ok(0), "{line}");
        assert!(text.starts_with(first), "{line}, {paused}: {text}");
    }
}

#[tokio::test]
async fn an_upgrade_that_goes_silent_must_be_looked_at() {
    let stream = "data: {\"kind\":\"probation\",\"left_s\":3}\n\n";
    let (ended, _) = answer("host upgrade 0.2.0", true, 200, stream).await;
    let failure = ended.unwrap_err();
    assert_eq!(failure.exit_code(), 5);
    assert!(failure.to_string().contains("`host history`"), "{failure}");
    assert!(failure.to_string().contains("host status"));
}
