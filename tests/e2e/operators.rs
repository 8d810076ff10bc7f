//! What operators, dashboards and scripts read and do, by the names that they know.

use std::fs;
use std::process::Command;
use std::time::Duration;

use e2e::load::Load;
use e2e::{Client, Home, Ran, http, wait};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// Fails unless `document` has each of these fields.
fn has(document: &Value, fields: &[&str]) {
    for field in fields {
        assert!(document.get(field).is_some(), "no {field} in {document:#}");
    }
}

fn statuses(home: &Home) -> Vec<(String, String)> {
    let rows: Vec<Value> = home.answer(&["releases", "--json"]).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let row = |row: &Value| (text(&row["version"]), text(&row["status"]));
    rows.iter().map(row).collect()
}

fn rows(of: [(&str, &str); 3]) -> Vec<(String, String)> {
    of.iter()
        .map(|(v, s)| ((*v).to_owned(), (*s).to_owned()))
        .collect()
}

#[test]
fn the_status_and_the_report_have_the_fields_that_scripts_know() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let status = || home.answer::<Value>(&["status", "--json"]).unwrap();
    let before = status();
    has(
        &before,
        &[
            "version",
            "permanent",
            "upgrade",
            "pid",
            "uptime_s",
            "store",
            "connections",
            "actors",
            "plugins",
            "resident_versions",
            "rss_bytes",
        ],
    );
    has(&before["actors"], &["awake", "known"]);
    has(&before["plugins"][0], &["name", "version"]);
    assert_eq!(before["upgrade"], Value::Null);
    assert!(
        before["store"]
            .as_str()
            .unwrap()
            .contains("embedded default"),
        "{before}"
    );

    let line = ["upgrade", "0.2.0", "--probation", "0s", "--json"];
    let ran = home.done(&line).unwrap();
    let report: Value = ran.json().unwrap();
    has(
        &report,
        &[
            "from",
            "to",
            "outcome",
            "actors_migrated",
            "pause_us",
            "rehearsal",
            "duration_ms",
        ],
    );
    has(&report["pause_us"], &["p50", "p99", "max"]);
    assert_eq!(report["outcome"], "committed");
    for line in ran.stdout.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    let after = status();
    assert_eq!(
        (&after["version"], &after["permanent"]),
        (&json!("0.2.0"), &json!("0.2.0"))
    );
    assert_eq!(after["pid"], before["pid"], "the same process");
}

#[test]
fn a_plugin_that_there_is_not_is_told_from_one_without_actors() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let none: Vec<Value> = home
        .answer(&["actors", "--plugin", "zakat", "--json"])
        .unwrap();
    assert!(none.is_empty(), "{none:?}");
    let ran = home
        .host(&["actors", "--plugin", "nope", "--json"])
        .unwrap();
    let ran = ran.ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "unknown_plugin");
    assert!(ran.stdout.contains("donations, zakat"), "{}", ran.stdout);
    home.stop().unwrap();
}

#[test]
fn a_shell_completes_commands_and_the_releases_of_the_home() {
    let home = Home::new().unwrap();
    let script = home.done(&["completions", "bash"]).unwrap().stdout;
    let completed = |words: &[&str]| {
        let last = words.len() - 1;
        let mut bash = Command::new("bash");
        bash.args(["-c", ASK, "bash", &script, &last.to_string()]);
        let ran = bash.args(words).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    assert_eq!(completed(&["host", "quar"]), "quarantine\n");
    for command in ["upgrade", "plan", "rehearse", "remove", "rollback"] {
        let found = completed(&["host", command, "0."]);
        assert_eq!(found, "0.1.0\n0.2.0\n0.3.0\n", "{command}");
    }
    let dir = home.path().to_str().unwrap();
    let named = format!("--home={dir}");
    for words in [&["--home", dir][..], &[&named]] {
        let found = completed(&[&["host", "plan"], words, &["0."]].concat());
        assert_eq!(found, "0.1.0\n0.2.0\n0.3.0\n", "{words:?}");
    }
    let found = completed(&["host", "upgrade", ""]);
    for word in ["0.3.0\n", "pause\n"] {
        assert!(found.contains(word), "{found}");
    }
}

/// What bash does at Tab: the script, which of the words it is, and they.
const ASK: &str = r#"eval "$1"; COMP_CWORD=$2; shift 2; COMP_WORDS=("$@")
    _clap_complete_host host "${COMP_WORDS[COMP_CWORD]}"
    printf '%s\n' "${COMPREPLY[@]}""#;

#[test]
fn every_counter_of_the_status_is_a_metric() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let settings: Vec<Value> = home.answer(&["config", "show", "--json"]).unwrap();
    let admin = settings.iter().find(|row| row["key"] == "ADMIN_PORT");
    let port = admin.unwrap()["value"].as_str().unwrap().parse().unwrap();
    let metrics = http::request(port, "GET", "/metrics", "").unwrap();
    assert_eq!(metrics.status, 200, "{metrics:?}");
    let counters = home.status().unwrap().counters;
    assert!(counters.len() > 10, "{counters:?}");
    for name in counters.keys() {
        let line = format!("\nhost_{name} ");
        assert!(metrics.body.contains(&line), "{name}: {}", metrics.body);
    }
    let release = "host_release_info{version=\"0.1.0\",permanent=\"0.1.0\"} 1";
    assert!(metrics.body.contains(release), "{}", metrics.body);
}

#[test]
fn plugins_have_the_allocator_of_the_host() {
    let home = Home::new().unwrap();
    let status = home.start().unwrap();
    let pid = status.pid;
    let open = json!({"title": "x".repeat(100), "currency": "EUR", "goal": "9.00"});
    for hundred in 0..20 {
        let mut client = Client::connect(status.port).unwrap();
        for index in 0..100 {
            let topic = format!("donations:c{hundred}-{index}");
            client.join(&topic).unwrap().ok().unwrap();
            client.push(&topic, "open", &open).unwrap().ok().unwrap();
        }
    }
    // glibc's own takes its memory from the segment that the kernel calls so.
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let heap = maps.lines().find(|line| line.ends_with("[heap]"));
    let bytes = heap.map_or(0, |line| {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let at = |hex| u64::from_str_radix(hex, 16).unwrap();
        at(to) - at(from)
    });
    assert!(bytes <= 256 << 10, "{heap:?}");
}

#[test]
fn releases_have_the_statuses_of_their_history() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    assert_eq!(
        statuses(&home),
        rows([
            ("0.1.0", "permanent"),
            ("0.2.0", "unpacked"),
            ("0.3.0", "unpacked")
        ])
    );
    home.detach("0.2.0").unwrap();
    assert_eq!(
        statuses(&home),
        rows([
            ("0.1.0", "permanent"),
            ("0.2.0", "current"),
            ("0.3.0", "unpacked")
        ])
    );
    home.done(&["commit", "--json"]).unwrap();
    assert_eq!(
        statuses(&home),
        rows([
            ("0.1.0", "old"),
            ("0.2.0", "permanent"),
            ("0.3.0", "unpacked")
        ])
    );
    home.rollback().unwrap();
    assert_eq!(
        statuses(&home),
        rows([
            ("0.1.0", "permanent"),
            ("0.2.0", "old"),
            ("0.3.0", "unpacked")
        ])
    );
    let history: Vec<Value> = home.answer(&["history", "--json"]).unwrap();
    let ended = |row: &Value| (row["id"].clone(), row["to"].clone(), row["outcome"].clone());
    assert_eq!(
        history.iter().map(ended).collect::<Vec<_>>(),
        [
            (json!(2), json!("0.1.0"), json!("committed")),
            (json!(1), json!("0.2.0"), json!("committed")),
        ]
    );
    assert!(history[0]["ended_ms"].as_i64() >= history[1]["ended_ms"].as_i64());
    let newest: Vec<Value> = home.answer(&["history", "--limit", "1", "--json"]).unwrap();
    assert_eq!(newest, history[..1]);
}

#[test]
fn what_is_set_and_not_read_is_named_at_the_start_and_in_the_check() {
    let home = Home::new().unwrap();
    home.configure("PROT=4000").unwrap();
    let check = home.done(&["config", "check"]).unwrap();
    let start = home.done(&["start"]).unwrap();
    for said in [&check.stderr, &start.stderr, &home.log()] {
        assert!(said.contains("PROT is no setting"), "{said}");
    }
    let check: Value = home.answer(&["config", "check", "--json"]).unwrap();
    assert_eq!(check["warnings"].as_array().unwrap().len(), 1, "{check}");
}

#[test]
fn the_plan_is_shown_before_anything_is_done() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let plan: Value = home.answer(&["plan", "0.2.0", "--json"]).unwrap();
    let plugins = plan["plugins"].as_array().unwrap();
    let names: Vec<_> = plugins
        .iter()
        .map(|plugin| plugin["plugin"].clone())
        .collect();
    assert_eq!(
        names,
        ["zakat", "donations"],
        "who casts comes behind whom it casts to: {plan:#}"
    );
    assert_eq!(plan["reversible"], true);
    assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
}

#[test]
fn actors_that_sleep_are_carried_over_too() {
    const ACTORS: usize = 300;
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let mut client = Client::connect(port).unwrap();
    for number in 0..ACTORS {
        let topic = format!("donations:s{number}");
        client.join(&topic).unwrap().ok().unwrap();
        let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
        client.push(&topic, "open", &open).unwrap().ok().unwrap();
        client
            .push(&topic, "phx_leave", &json!({}))
            .unwrap()
            .ok()
            .unwrap();
    }
    home.done(&["restart"]).unwrap();
    assert_eq!(home.status().unwrap().actors.awake, 0);
    let report = home.upgrade("0.2.0").unwrap();
    assert_eq!(report.actors_migrated, ACTORS as u64);
    let list = [
        "actors",
        "--plugin",
        "donations",
        "--limit",
        "1000",
        "--json",
    ];
    let actors: Vec<Value> = home.answer(&list).unwrap();
    assert_eq!(actors.len(), ACTORS);
    assert!(
        actors.iter().all(|actor| actor["version"] == "0.2.0"),
        "{actors:?}"
    );
    // Durably: a start from what is stored finds them all in 0.2.0.
    home.done(&["restart"]).unwrap();
    let summary = home.rpc("donations:s299", "summary", &json!({})).unwrap();
    assert_eq!(
        (&summary["title"], &summary["version"]),
        (&json!("T"), &json!("0.2.0"))
    );
}

#[test]
fn going_up_and_down_keeps_the_process_small_and_ready() {
    const ROUNDS: usize = 10;
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let load = Load::few(port, Duration::from_millis(20)).unwrap();
    for _ in 0..ROUNDS {
        home.upgrade("0.2.0").unwrap();
        let ready = http::request(port, "GET", "/readyz", "").unwrap();
        assert_eq!(ready.status, 200, "{ready:?}");
        home.rollback().unwrap();
        let health = http::request(port, "GET", "/healthz", "").unwrap();
        assert_eq!(health.status, 200, "{health:?}");
    }
    let status = home.status().unwrap();
    assert_eq!(
        status.resident_versions, 5,
        "one plugin in three versions and one in two, opened once each"
    );
    let seen = load.stop().unwrap();
    assert_eq!((seen.closed, seen.errors.len()), (0, 0));
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn sigterm_ends_keeper_and_host_in_order() {
    let home = Home::new().unwrap();
    let port = home.start().unwrap().port;
    let load = Load::few(port, Duration::ZERO).unwrap();
    load.more(100).unwrap();
    let keeper = i32::try_from(home.keeper_pid().unwrap()).unwrap();
    kill_process(Pid::from_raw(keeper).unwrap(), Signal::TERM).unwrap();
    wait::until("both are gone", || {
        (home.host_pid().is_none() && home.keeper_pid().is_none()).then_some(())
    })
    .unwrap();
    assert!(home.log().contains("the host has stopped"), "in order");
    // The donors try on until it is back.
    home.start().unwrap();
    load.more(100).unwrap();
    let seen = load.stop().unwrap();
    seen.tally.audit(&home).unwrap().exact().unwrap();
}

#[test]
fn a_second_home_cannot_take_the_data_of_one_that_runs() {
    let first = Home::new().unwrap();
    first.start().unwrap();
    let mut second = Home::new().unwrap();
    let data = first.path().to_str().unwrap().to_owned();
    second.set("HOST_DATA", Some(&data));
    let ran = second.host(&["start", "--json"]).unwrap();
    assert_eq!(ran.ends_with(1).unwrap().reason().unwrap(), "running");
    // Past the process ids, the store itself refuses.
    second.set("HOST_DATA", None);
    second.set("DATABASE_URL", Some(&format!("sqlite:{data}/data/host.db")));
    let ran: Ran = second.host(&["start"]).unwrap().ends_with(1).unwrap();
    assert!(ran.stderr.contains("host.db"), "{}", ran.stderr);
    first.rpc("donations:c", "summary", &json!({})).unwrap();
}

#[test]
fn secrets_are_never_shown() {
    let home = Home::new().unwrap();
    let env = fs::read_to_string(home.path().join("etc/env")).unwrap();
    let secret = env
        .lines()
        .find_map(|line| line.strip_prefix("SECRET_KEY_BASE="))
        .unwrap();
    assert!(secret.len() >= 64);
    home.start().unwrap();
    for line in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "check"],
        &["status", "--json"],
    ] {
        let ran = home.done(line).unwrap();
        assert!(
            !ran.stdout.contains(secret) && !ran.stderr.contains(secret),
            "{line:?}"
        );
    }
    assert!(!home.log().contains(secret));
}

#[test]
fn actors_leave_memory_when_it_is_short_and_lose_nothing() {
    let home = Home::new().unwrap();
    // Less than a host takes by itself: there is never enough.
    home.configure("RUNTIME_LIMITS_MEMORY_BYTES=16777216")
        .unwrap();
    home.start().unwrap();
    let campaign = |n: usize| format!("donations:short-{n}");
    let campaigns = 12;
    for n in 0..campaigns {
        let terms = json!({ "title": "Short", "currency": "EUR", "goal": "100" });
        home.rpc(&campaign(n), "open", &terms).unwrap();
    }
    wait::until("all of them sleep", || {
        let actors = home.status().ok()?.actors;
        (actors.known >= campaigns as u64 && actors.awake == 0).then_some(())
    })
    .unwrap();
    assert!(home.log().contains("memory is short"), "{}", home.log());
    for n in 0..campaigns {
        let state = home.state(&campaign(n)).unwrap();
        assert_eq!(state.seq, 1, "{state:?}");
    }
    home.stop().unwrap();
}

/// An upgrade that whoever follows it sees cut off by `host stop`: what it says last.
#[test]
fn a_stop_in_an_upgrade_says_what_becomes_of_it() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let line = ["upgrade", "0.2.0", "--probation", "300s", "--json"];
    let follower = home.begin(&line).unwrap();
    wait::until("it is watched", || {
        let upgrade = home.status().ok()?.upgrade?;
        (upgrade.state == "probation").then_some(())
    })
    .unwrap();
    home.stop().unwrap();
    let ran = follower.end().unwrap().ends_with(4).unwrap();
    let last: Value = ran.json().unwrap();
    assert_eq!(
        [&last["from"], &last["to"], &last["outcome"]],
        [&json!("0.1.0"), &json!("0.2.0"), &json!("rolled_back")]
    );
    assert!(
        last["reason"].as_str().unwrap().contains("was stopped"),
        "{last}"
    );
    // And so it does.
    home.start().unwrap();
    let settled = home.settled().unwrap();
    assert_eq!(settled.permanent.to_string(), "0.1.0");
    let history: Vec<Value> = home.answer(&["history", "--json"]).unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["outcome"], "rolled_back");
    home.done(&["audit", "verify"]).unwrap();
}

#[test]
fn top_shows_what_is_called_a_second_and_ends_by_itself() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let open = json!({"title": "T", "currency": "USD", "goal": "10.00"});
    home.rpc("donations:c", "open", &open).unwrap();
    let shown = home.done(&["top", "--count", "1"]).unwrap().stdout;
    for word in ["release", "0.1.0", "CALLS/S", "donations 0.1.0", "open"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    assert!(
        !shown.contains('\x1b'),
        "no terminal, no signs for one: {shown}"
    );
    let frames = home
        .done(&["top", "--count", "2", "--json"])
        .unwrap()
        .stdout;
    let frames: Vec<Value> = frames
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(frames.len(), 2);
    let events = frames[1]["events"].as_array().unwrap();
    let opened = events.iter().find(|it| it["event"] == "open").unwrap();
    assert_eq!(opened["calls"], 0.0, "nothing was called since: {opened}");
    home.stop().unwrap();
}
