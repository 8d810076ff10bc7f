//! What `host plan` says of the example platform, word by word, in the files of `golden`: a
//! change of it is seen in the diff. `UPDATE_GOLDEN=1 cargo test -p e2e --test e2e plans`
//! writes them anew.

use std::fs;
use std::path::Path;

use e2e::Home;
use host_model::control::Outcome;
use serde_json::Value;

/// Holds `found` against the file `name`, or writes it there.
fn hold(name: &str, found: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/golden");
    let file = folder.join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).unwrap();
        return fs::write(&file, found).unwrap();
    }
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        wanted == found,
        "{name} is not what is said now; if that is meant, write it anew with \
         `UPDATE_GOLDEN=1 cargo test -p e2e --test e2e plans`. It has\n{wanted}\nand there is\n{found}"
    );
}

/// Holds what is planned from the release that rules to `version`: for people, and for
/// programs. Nothing of it differs from one run to the next.
fn hold_plan(home: &Home, version: &str, name: &str) {
    let text = home.done(&["plan", version]).unwrap().stdout;
    hold(&format!("{name}.txt"), &text);
    let plan: Value = home.answer(&["plan", version, "--json"]).unwrap();
    let plan = serde_json::to_string_pretty(&plan).unwrap();
    hold(&format!("{name}.json"), &format!("{plan}\n"));
}

#[test]
fn the_platform_is_planned_over_a_version_between_and_back() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    hold_plan(&home, "0.3.0", "plan-up");
    let report = home.upgrade("0.3.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    hold_plan(&home, "0.1.0", "plan-down");
    home.stop().unwrap();
}
