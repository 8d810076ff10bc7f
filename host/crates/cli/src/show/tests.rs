//! Golden texts.

use host_model::control::{ActorCounts, Quantiles, Readiness, Rehearsing, SlowHandler, WayBack};
use host_model::plan::{
    Action, CarriedWay, Change, Hop, Plan, PluginPlan, StateChange, Step, Undo,
};
use host_model::{ActorId, Version};

use super::*;

fn v(minor: u64) -> Version {
    Version::new(0, minor, 0)
}

fn row(name: &str, minor: u64) -> PluginRow {
    PluginRow {
        name: name.to_owned(),
        version: v(minor),
    }
}

pub(crate) fn sample() -> Status {
    Status {
        version: v(1),
        permanent: v(1),
        upgrade: None,
        pid: 4242,
        uptime_s: 3_725,
        store: "sqlite:data/host.db (embedded default)".to_owned(),
        connections: 1,
        actors: ActorCounts {
            awake: 2,
            known: 7,
            quarantined: 0,
        },
        plugins: vec![row("donations", 1), row("zakat", 1)],
        resident_versions: 2,
        resident_bytes: 3 << 20,
        rss_bytes: 48 << 20,
        port: 4000,
        ready: Readiness {
            ready: true,
            reasons: Vec::new(),
        },
        slow: Vec::new(),
        counters: Default::default(),
    }
}

#[test]
fn a_quiet_host() {
    assert_eq!(
        status(&sample()),
        "\
release  0.1.0 (permanent)
upgrade  none
ready    yes
process  4242, up 1h 2m, 48.0 MiB
store    sqlite:data/host.db (embedded default)
clients  port 4000, 1 connection
actors   2 awake, 7 known, 0 in quarantine
plugins  donations 0.1.0, zakat 0.1.0
mapped   2 plugin versions, 3.0 MiB
"
    );
}

/// An upgrade that has come to this state, and nothing more.
fn in_state(state: &str) -> UpgradeStatus {
    UpgradeStatus {
        id: 1,
        from: v(1),
        to: v(2),
        state: state.to_owned(),
        rehearsing: None,
        migrated: 0,
        remaining: 0,
        probation_left_s: None,
        share: None,
        paused: false,
        remark: None,
        busy: Vec::new(),
        reason: None,
        way_back: WayBack::default(),
    }
}

#[test]
fn a_host_in_an_upgrade() {
    let shown = status(&Status {
        version: v(2),
        upgrade: Some(UpgradeStatus {
            migrated: 5,
            remaining: 2,
            probation_left_s: Some(42),
            ..in_state("probation")
        }),
        ready: Readiness {
            ready: false,
            reasons: vec!["the store is slow".to_owned()],
        },
        ..sample()
    });
    let lines: Vec<_> = shown.lines().take(3).collect();
    assert_eq!(
        lines,
        [
            "release  0.2.0 (permanent: 0.1.0)",
            "upgrade  0.1.0 to 0.2.0: probation, 5 actors carried over, 2 to go, 42s of probation left",
            "ready    no: the store is slow",
        ]
    );
}

#[test]
fn a_rehearsal_under_way_says_how_far_it_is() {
    let shown = under_way(&UpgradeStatus {
        rehearsing: Some(Rehearsing {
            rehearsed: 512,
            total: 1_000,
        }),
        ..in_state("verified")
    });
    assert_eq!(
        shown,
        "0.1.0 to 0.2.0: verified, 512 of 1000 actors rehearsed"
    );
}

#[test]
fn a_canary_that_an_operator_has_paused() {
    let busy = SlowHandler {
        actor: ActorId::new("donations", "a").unwrap(),
        event: "donate".to_owned(),
        running_ms: 8_000,
    };
    let shown = status(&Status {
        version: v(1),
        upgrade: Some(UpgradeStatus {
            migrated: 5,
            remaining: 2,
            probation_left_s: Some(42),
            share: Some("5%".parse().unwrap()),
            paused: true,
            remark: Some("too few calls".to_owned()),
            busy: vec![busy],
            ..in_state("canary")
        }),
        ..sample()
    });
    let line = |start: &str| shown.lines().find(|line| line.starts_with(start)).unwrap();
    assert_eq!(
        line("upgrade"),
        "upgrade  0.1.0 to 0.2.0: canary, 5 actors carried over, 2 to go, 5% of the actors ahead, paused, 42s of probation left; too few calls"
    );
    assert_eq!(
        line("behind"),
        "behind   donations:a is busy: it has run donate for 8000 ms"
    );
}

#[test]
fn releases_in_a_table() {
    let rows = [
        ReleaseRow {
            version: v(1),
            status: ReleaseStatus::Permanent,
            plugins: vec![row("donations", 1), row("zakat", 1)],
            broken: None,
        },
        ReleaseRow {
            version: v(2),
            status: ReleaseStatus::Unpacked,
            plugins: vec![row("donations", 2), row("zakat", 1)],
            broken: None,
        },
        ReleaseRow {
            version: v(3),
            status: ReleaseStatus::Unpacked,
            plugins: Vec::new(),
            broken: Some("read manifest.json: EOF; install the release again".to_owned()),
        },
    ];
    assert_eq!(
        releases(&rows),
        "\
RELEASE  STATUS            PLUGINS
0.1.0    permanent         donations 0.1.0, zakat 0.1.0
0.2.0    unpacked          donations 0.2.0, zakat 0.1.0
0.3.0    unpacked, broken  read manifest.json: EOF; install the release again
"
    );
}

#[test]
fn a_plan_says_what_is_done_in_which_order_and_what_takes_it_back() {
    let hop = Hop {
        from: v(1),
        to: v(2),
        state: StateChange::Up,
        reversible: false,
        timeout_ms: 5_000,
        suspend: true,
        restart: false,
    };
    let donations = || "donations".to_owned();
    let run = |hook: &str| Action::Run {
        plugin: donations(),
        version: v(2),
        hook: hook.to_owned(),
    };
    let step = |action, timeout_ms, undo| Step {
        action,
        timeout_ms,
        undo,
    };
    let plugin = donations();
    let suspend = Action::Suspend { plugin };
    let plugin = donations();
    let resume = Action::Resume { plugin };
    let plugin = donations();
    let sweep = Action::Sweep { plugin };
    let shown = plan(&Plan {
        from: v(1),
        to: v(2),
        plugins: vec![
            PluginPlan {
                plugin: "zakat".to_owned(),
                change: Change::Keep { version: v(1) },
                probation: Default::default(),
            },
            PluginPlan {
                plugin: donations(),
                change: Change::Move {
                    from: v(1),
                    to: v(2),
                    hops: vec![hop.clone()],
                    carried: vec![
                        CarriedWay {
                            carries: vec![v(4), v(3)],
                            hops: Some(vec![
                                Hop {
                                    to: v(3),
                                    reversible: true,
                                    ..hop.clone()
                                },
                                Hop {
                                    from: v(3),
                                    state: StateChange::Down,
                                    reversible: true,
                                    ..hop
                                },
                            ]),
                        },
                        CarriedWay {
                            carries: vec![v(5)],
                            hops: None,
                        },
                    ],
                },
                probation: Default::default(),
            },
        ],
        steps: vec![
            step(Action::Verify, None, Undo::Nothing),
            step(Action::Stage, Some(10_000), Undo::Nothing),
            step(run("before"), Some(250), Undo::Hooks),
            step(suspend, Some(5_000), Undo::Resume),
            step(Action::Switch, None, Undo::Switch),
            step(resume, None, Undo::Nothing),
            step(sweep.clone(), Some(5_000), Undo::Impossible),
            step(Action::Watch, Some(60_000), Undo::Nothing),
            step(Action::Commit, None, Undo::Rollback),
        ],
        back: vec![
            step(Action::Switch, None, Undo::Nothing),
            step(sweep, None, Undo::Nothing),
            step(run("undo"), Some(5_000), Undo::Nothing),
        ],
        reversible: false,
        probation_s: 60,
        at_start: false,
    });
    let golden = "\
release 0.1.0 to 0.2.0

PLUGIN                                     CHANGE          STATE                            BACK
zakat                                      keep 0.1.0      -                                -
donations                                  0.1.0 to 0.2.0  up                               no
donations with carries of 0.4.0 and 0.3.0  0.1.0 to 0.3.0  up                               yes
donations with carries of 0.4.0 and 0.3.0  0.3.0 to 0.2.0  down, leaves a carry             yes
donations with carries of 0.5.0            no way          refused where an actor has them  -

STEP  DOES     WHAT                                                  AT MOST       UNDONE BY
1     verify   all that it needs is there, and is what it should be  -             -
2     stage    the new plugins are opened                            10s a plugin  -
3     run      the hook `before` of donations 0.2.0                  250ms         the hooks of the way back
4     suspend  donations: messages queue, handlers inside end        5s            what has queued runs, in the old version
5     switch   release 0.2.0 rules, for all plugins at once          -             release 0.1.0 rules again
6     resume   donations: what has queued runs, in the new version   -             -
7     sweep    donations: every actor comes over                     5s an actor   NOTHING BUT ITS COMMANDS
8     watch    release 0.2.0 is watched                              1m 0s         -
9     commit   release 0.2.0 becomes permanent                       -             host rollback

where it goes back: switch to release 0.1.0, sweep donations by downcast of the commands since, run `undo` of donations 0.2.0
probation 1m 0s; NO WAY BACK: the upgrade needs --one-way
";
    assert_eq!(shown, golden);
}

#[test]
fn a_report_with_its_reason() {
    let ended = UpgradeReport {
        from: v(1),
        to: v(2),
        outcome: Outcome::RolledBack,
        rollback: false,
        actors_migrated: 1,
        pause_us: Quantiles {
            p50: 40,
            p99: 90,
            max: 120,
        },
        rehearsal: None,
        config: Vec::new(),
        duration_ms: 1_234,
        ended_ms: 1_700_000_000_000,
        paused_ms: 0,
        remark: None,
        reason: Some("too many faults".to_owned()),
        way_back: Box::default(),
    };
    assert_eq!(
        report(&ended),
        "\
release       0.1.0 to 0.2.0
outcome       rolled back: the old release rules
reason        too many faults
carried over  1 actor
pause         40 µs median, 90 µs p99, 120 µs longest
took          1234 ms
"
    );
    let row = |id, report| HistoryRow { id, report };
    let early = UpgradeReport {
        outcome: Outcome::Committed,
        ended_ms: 0,
        reason: None,
        ..ended.clone()
    };
    assert_eq!(
        history(&[row(2, ended.clone()), row(1, early)]),
        "\
ID  ENDED                     RELEASE         OUTCOME      ACTORS  REASON
2   2023-11-14T22:13:20.000Z  0.1.0 to 0.2.0  rolled_back  1       too many faults
1   -                         0.1.0 to 0.2.0  committed    1
"
    );
    let long = |reason: &str| UpgradeReport {
        reason: Some(reason.to_owned()),
        ..ended.clone()
    };
    let lines = format!("the configuration of 0.2.0 is wrong:\n{}", "x".repeat(99));
    let shown = history(&[row(3, long(&lines)), row(2, long(&"y".repeat(101)))]);
    assert!(
        shown.contains("  the configuration of 0.2.0 is wrong …\n"),
        "{shown}"
    );
    assert!(
        shown.ends_with(&format!("  {} …\n", "y".repeat(100))),
        "{shown}"
    );
    let back = UpgradeReport {
        rollback: true,
        ..ended.clone()
    };
    let shown = history(&[row(3, back)]);
    assert!(shown.contains("  rollback failed  1 "), "{shown}");
    let hard = UpgradeReport {
        way_back: Box::new(WayBack {
            rebuilt: 1,
            redelivered: 2,
            set_aside: 1,
            named: vec![QuarantineRow {
                actor: ActorId::new("zakat", "amina").unwrap(),
                reason: "it could not go back".to_owned(),
            }],
        }),
        ..ended.clone()
    };
    let shown = report(&hard);
    let told = "\
rebuilt       1 actor, by the commands since
delivered     2 messages once more
set aside     1 actor; `host quarantine list`
              zakat:amina: it could not go back
";
    assert!(shown.contains(told), "{shown}");
    let back = UpgradeReport {
        rollback: true,
        ..ended
    };
    assert!(report(&back).contains("the rollback failed and was taken back"));
}

#[test]
fn a_list_that_was_cut_says_how_to_go_on() {
    let rows = [ActorRow {
        actor: ActorId::new("zakat", "amina").unwrap(),
        seq: 3,
        version: v(1),
        awake: true,
    }];
    let table = "ACTOR        SEQ  VERSION  AWAKE\nzakat:amina  3    0.1.0    yes\n";
    assert_eq!(actors(&rows, 100), table);
    assert_eq!(
        actors(&rows, 1),
        format!("{table}\nthere may be more: --after zakat:amina\n")
    );
}

#[test]
fn a_dead_letter_shows_when() {
    let rows = [DeadLetterRow {
        id: 9,
        kind: "cast".to_owned(),
        actor: ActorId::new("zakat", "amina").unwrap(),
        event: "pay".to_owned(),
        reason: "panic".to_owned(),
        message: "it broke".to_owned(),
        time_ms: 1_700_000_000_000,
    }];
    assert_eq!(
        dead_letters(&rows, 100),
        "\
ID  TIME                      KIND  ACTOR        EVENT  REASON  MESSAGE
9   2023-11-14T22:13:20.000Z  cast  zakat:amina  pay    panic   it broke
"
    );
}

#[test]
fn a_webhook_shows_when_it_is_tried_next_and_why_it_was_not_taken() {
    let rows = [WebhookRow {
        id: "1207/0".to_owned(),
        actor: ActorId::new("donations", "ramadan").unwrap(),
        name: "thanks".to_owned(),
        url: "https://example.org/".to_owned(),
        attempts: 2,
        due_ms: 1_700_000_000_000,
        error: "it answered 503".to_owned(),
    }];
    assert_eq!(
        outbox(&rows, 1),
        "\
ID      NEXT                      ATTEMPTS  ACTOR              NAME    URL                   ERROR
1207/0  2023-11-14T22:13:20.000Z  2         donations:ramadan  thanks  https://example.org/  it answered 503

there may be more: --after 1207/0
"
    );
}

#[test]
fn a_state_with_what_it_cannot_hold() {
    let shown = state(&ActorState {
        actor: ActorId::new("zakat", "amina").unwrap(),
        seq: 3,
        version: v(1),
        state: serde_json::json!({ "assets": [] }),
        carries: vec![v(2)],
        quarantined: None,
    });
    assert_eq!(
        shown,
        "actor       zakat:amina\nseq         3\nversion     0.1.0\ncarries of  0.2.0\n\n{\n  \"assets\": []\n}"
    );
}
