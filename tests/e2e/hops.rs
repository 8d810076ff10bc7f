//! An upgrade over all versions between at once: what each of them knows alone is there
//! again behind a way back over all of them.

use e2e::{Home, release};
use host_model::control::Outcome;
use serde_json::{Value, json};

use crate::better_than_otp::NEWEST;
use crate::hostile::{add, post, summary};

/// Where only the number of the version changes.
const CODE: &str = r#"
plugin = "faulty"
version = "0.1.1"

[[path]]
from = "=0.1.0"
up = [{ load = "code" }]
down = [{ load = "code" }]
declared = ["summary.version"]
"#;

/// It leads from the version before it only.
const NOTES: &str = r#"
plugin = "faulty"
version = "0.2.0"

[[path]]
from = "=0.1.1"
up = [{ update = "state" }]
down = [{ update = "state" }]
declared = ["summary.notes", "summary.version"]
"#;

const TAGS: &str = r#"
plugin = "faulty"
version = "0.3.0"

[[path]]
from = "=0.2.0"
up = [{ update = "state" }]
down = [{ update = "state" }]
declared = ["summary.bytes", "summary.notes", "summary.tags", "summary.version"]
"#;

/// A home whose release 0.4.0 is three steps away from 0.1.0.
fn home() -> Home {
    let home = Home::new().unwrap();
    let appups = [
        ("faulty-0.1.1.toml", CODE),
        ("faulty-0.2.0.toml", NOTES),
        ("faulty-0.3.0.toml", TAGS),
    ];
    for (number, (release, plugin)) in [
        ("0.1.0", "plugins/hostile/faulty/0.1.0"),
        ("0.2.0", "plugins/hostile/faulty/0.1.1"),
        ("0.3.0", "plugins/hostile/faulty/0.2.0"),
        ("0.4.0", NEWEST),
    ]
    .into_iter()
    .enumerate()
    {
        release::assemble(&home, release, &[plugin], &appups[..number]).unwrap();
    }
    home
}

/// The versions that `host plan` leads over.
fn planned(home: &Home, release: &str) -> Vec<String> {
    let plan: Value = home.answer(&["plan", release, "--json"]).unwrap();
    let hops = plan["plugins"][0]["change"]["hops"].as_array().unwrap();
    let to = |hop: &Value| hop["to"].as_str().unwrap().to_owned();
    hops.iter().map(to).collect()
}

fn say(port: u16, event: &str, text: &str) {
    let (status, answer) = post(port, "a", event, &json!({ "text": text }));
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn three_steps_at_once_lead_there_back_and_there_again_and_lose_nothing() {
    let home = home();
    let port = home.start().unwrap().port;
    add(port, "a", 7);
    add(port, "b", 1);
    assert_eq!(planned(&home, "0.4.0"), ["0.1.1", "0.2.0", "0.3.0"]);
    let report = home.upgrade("0.4.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert_eq!(report.actors_migrated, 2);
    say(port, "remark", "a note");
    say(port, "tag", "a tag");
    // It is called so by now.
    assert_eq!(post(port, "a", "count", &json!({ "by": 1 })).0, 200);
    let found = summary(port, "a");
    let all = json!({ "count": 8, "ticks": 0, "notes": ["a note"], "tags": ["a tag"],
        "version": "0.3.0" });
    assert_eq!(found, all);

    assert_eq!(planned(&home, "0.1.0"), ["0.2.0", "0.1.1", "0.1.0"]);
    let report = home.rollback().unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let state = home.state("faulty:a").unwrap();
    assert_eq!(state.version.to_string(), "0.1.0");
    let carries: Vec<_> = state.carries.iter().map(ToString::to_string).collect();
    assert_eq!(carries, ["0.3.0", "0.2.0"], "what 0.1.0 cannot hold");
    add(port, "a", 2);
    assert_eq!(summary(port, "a")["version"], "0.1.0");
    // They lie in the store, and not in memory.
    home.stop().unwrap();
    let port = home.start().unwrap().port;
    assert_eq!(summary(port, "a")["count"], 10);

    let report = home.upgrade("0.4.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    let found = summary(port, "a");
    assert_eq!(
        (&found["count"], &found["notes"], &found["tags"]),
        (&json!(10), &json!(["a note"]), &json!(["a tag"]))
    );
    assert_eq!(summary(port, "b")["version"], "0.3.0");
    home.stop().unwrap();
    home.done(&["store", "check", "--replay"]).unwrap();
    home.done(&["audit", "verify"]).unwrap();
}
