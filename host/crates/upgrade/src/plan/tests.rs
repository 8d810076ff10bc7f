//! Plans over made-up releases. Those under `golden/plans` are as the journal has them, and
//! what is said where there is none: `UPDATE_GOLDEN=1 cargo test -p host-upgrade plan` writes
//! them anew. What `host plan` makes of a plan is held by the tests of the project as a whole.

use std::path::Path;

use host_model::plan::{Action, CarriedWay, StateChange};
use host_model::release::{ReleasePlugin, Start};

use super::*;

mod asked;
mod missing;
mod understood;

fn release(version: &str, plugins: &[(&str, &str)]) -> ReleaseManifest {
    ReleaseManifest {
        name: "giving".to_owned(),
        version: version.parse().unwrap(),
        host: Version::new(0, 1, 0),
        host_sha256: String::new(),
        target: String::new(),
        libc: String::new(),
        plugins: plugins
            .iter()
            .map(|(name, version)| ReleasePlugin {
                name: (*name).to_owned(),
                version: version.parse().unwrap(),
                file: Default::default(),
                sha256: String::new(),
                start: Start::Permanent,
                settings: Vec::new(),
                shape: None,
            })
            .collect(),
        upgrade_scripts: Vec::new(),
        config: Vec::new(),
        documents: Vec::new(),
    }
}

fn appups(files: &[(&str, &str, &str)]) -> Appups {
    files
        .iter()
        .map(|(plugin, version, rest)| {
            let text = format!("plugin = {plugin:?}\nversion = {version:?}\n{rest}");
            let appup = Appup::parse(&format!("{plugin}-{version}.toml"), &text).unwrap();
            ((appup.plugin.clone(), appup.version.clone()), appup)
        })
        .collect()
}

const BOTH_WAYS: &str = r#"
[[path]]
from = "~0.1"
up = [{ update = "state" }]
down = [{ update = "state" }]
"#;

fn names(plan: &Plan) -> Vec<&str> {
    plan.plugins.iter().map(|p| p.plugin.as_str()).collect()
}

/// A chain of versions of `zakat`, each with a way from the one before it and back.
fn chain(versions: std::ops::RangeInclusive<u64>) -> Appups {
    versions
        .map(|minor| {
            let older = minor - 1;
            let text = format!(
                "plugin = \"zakat\"\nversion = \"0.{minor}.0\"\n[[path]]\nfrom = \"=0.{older}.0\"\n\
                 up = [{{ update = \"state\" }}]\ndown = [{{ update = \"state\" }}]\n"
            );
            let appup = Appup::parse(&format!("zakat-0.{minor}.0.toml"), &text).unwrap();
            ((appup.plugin.clone(), appup.version.clone()), appup)
        })
        .collect()
}

/// The steps of states without carries.
fn plain_hops(plan: &Plan) -> impl Iterator<Item = &Hop> {
    let moved = plan.plugins.iter().filter_map(|it| match &it.change {
        Change::Move { hops, .. } => Some(hops),
        _ => None,
    });
    moved.flatten()
}

fn versions(plan: &Plan) -> Vec<String> {
    plain_hops(plan).map(|hop| hop.to.to_string()).collect()
}

/// Compares with `golden/plans/NAME`.
#[track_caller]
fn golden(name: &str, found: &str) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/plans");
    let file = dir.join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&dir).unwrap();
        return std::fs::write(&file, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "{} says\n{wanted}\nand the plan is\n{found}\nIf that is meant, write it anew with \
         `UPDATE_GOLDEN=1 cargo test -p host-upgrade plan`",
        file.display()
    );
}

#[track_caller]
fn golden_plan(name: &str, plan: &Plan) {
    let text = serde_json::to_string_pretty(plan).unwrap();
    golden(&format!("{name}.json"), &format!("{text}\n"));
    // What is written to the journal is read again.
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), *plan);
}

#[test]
fn straight_up_and_down() {
    let old = release("0.1.0", &[("zakat", "0.1.0")]);
    let new = release("0.2.0", &[("zakat", "0.2.0")]);
    let appups = appups(&[("zakat", "0.2.0", BOTH_WAYS)]);
    golden_plan("up", &plan(&old, &new, &appups, false).unwrap());
    golden_plan("down", &plan(&new, &old, &appups, false).unwrap());
}

#[test]
fn dependencies_come_first_and_go_last() {
    let old = release("0.1.0", &[("donations", "0.1.0"), ("zakat", "0.1.0")]);
    let new = release("0.2.0", &[("donations", "0.2.0"), ("zakat", "0.2.0")]);
    let depends = format!("depends_on = [\"zakat\"]\n{BOTH_WAYS}");
    let appups = appups(&[
        ("donations", "0.2.0", &depends),
        ("zakat", "0.2.0", BOTH_WAYS),
    ]);
    let up = plan(&old, &new, &appups, false).unwrap();
    assert_eq!(names(&up), ["zakat", "donations"]);
    golden_plan("depends_on", &up);
    let states =
        |plan: &Plan| -> Vec<StateChange> { plain_hops(plan).map(|hop| hop.state).collect() };
    assert_eq!(states(&up), [StateChange::Up, StateChange::Up]);
    let down = plan(&new, &old, &appups, false).unwrap();
    assert_eq!(names(&down), ["donations", "zakat"]);
    // The other way round, where names alone would say otherwise.
    let depends = format!("depends_on = [\"donations\"]\n{BOTH_WAYS}");
    let appups = self::appups(&[
        ("donations", "0.2.0", BOTH_WAYS),
        ("zakat", "0.2.0", &depends),
    ]);
    let back = plan(&new, &old, &appups, false).unwrap();
    assert_eq!(names(&back), ["zakat", "donations"]);
    assert_eq!(states(&down), [StateChange::Down, StateChange::Down]);
}

#[test]
fn a_path_over_several_versions_is_found_both_ways() {
    let appups = chain(2..=4);
    let old = release("1.0.0", &[("zakat", "0.1.0")]);
    let new = release("4.0.0", &[("zakat", "0.4.0")]);
    let up = plan(&old, &new, &appups, false).unwrap();
    assert_eq!(versions(&up), ["0.2.0", "0.3.0", "0.4.0"]);
    golden_plan("three_hops", &up);
    let down = plan(&new, &old, &appups, false).unwrap();
    assert_eq!(versions(&down), ["0.3.0", "0.2.0", "0.1.0"]);
}

#[test]
fn where_carries_lead_another_way_the_plan_shows_it() {
    let mut known = chain(2..=3);
    let direct = format!("{BOTH_WAYS}{}", BOTH_WAYS.replace("~0.1", "~0.2"));
    known.extend(appups(&[("zakat", "0.3.0", &direct)]));
    let release = |minor: u64| {
        let version = format!("0.{minor}.0");
        release(&version, &[("zakat", &version)])
    };
    let carried = |from, to, known: &Appups| {
        let plan = plan(&release(from), &release(to), known, false).unwrap();
        let Change::Move { carried, .. } = plan.plugins[0].change.clone() else {
            panic!("{plan:?}");
        };
        let minors = |way: CarriedWay| {
            let carries: Vec<u64> = way.carries.iter().map(|it| it.minor).collect();
            let hops = way
                .hops
                .map(|hops| hops.iter().map(|hop| hop.to.minor).collect());
            (carries, hops)
        };
        carried.into_iter().map(minors).collect::<Vec<_>>()
    };
    // From 0.3.0 a state came down at once: it takes up what that left, and goes down again.
    assert_eq!(carried(1, 2, &known), [(vec![3], Some(vec![3, 2]))]);
    // What came down from 0.2.0 goes over it, though others go at once.
    assert_eq!(carried(1, 3, &known), [(vec![2], Some(vec![2, 3]))]);
    assert_eq!(carried(2, 3, &known), []);
    assert_eq!(carried(3, 1, &known), []);
    golden_plan(
        "carried",
        &plan(&release(1), &release(2), &known, false).unwrap(),
    );
    // Who goes over 0.2.0 cannot go back, though others can.
    let up = "[[path]]\nfrom = \"=0.2.0\"\nup = [{ update = \"state\" }]\n";
    let both = format!("{}{up}", BOTH_WAYS.replace("~0.1", "=0.1.0"));
    let mut one_way = chain(2..=2);
    one_way.extend(appups(&[("zakat", "0.3.0", &both)]));
    let refused = plan(&release(1), &release(3), &one_way, false).unwrap_err();
    let said = refused.to_string();
    assert!(
        said.contains("from zakat 0.3.0 to 0.2.0: zakat-0.3.0.toml has no down"),
        "{said}"
    );
    let forced = plan(&release(1), &release(3), &one_way, true).unwrap();
    assert_eq!(versions(&forced), ["0.3.0"]);
    assert!(!forced.reversible);
    let sweep = |step: &&host_model::plan::Step| matches!(step.action, Action::Sweep { .. });
    let sweep = forced.steps.iter().find(sweep).unwrap();
    assert_eq!(sweep.undo, host_model::plan::Undo::Impossible);
    // Nobody does where 0.2.0 has never run.
    for (has_run, is_planned) in [(3, true), (2, false)] {
        let has_run = |_: &str, version: &Version| version.minor == has_run;
        let start = plan_at_start(&release(1), &release(3), &one_way, &has_run);
        let running = plan_here(has_run, false)(&release(1), &release(3), &one_way);
        for planned in [start, running] {
            assert_eq!(planned.is_ok(), is_planned, "{planned:?}");
            assert!(planned.is_err() || planned.unwrap().reversible);
        }
    }
    // Nothing leads from 0.3.0 to 0.2.0.
    let mut known = chain(2..=2);
    known.extend(appups(&[("zakat", "0.3.0", BOTH_WAYS)]));
    assert_eq!(carried(1, 2, &known), [(vec![3], None)]);
}

#[test]
fn a_direct_way_is_taken_before_one_over_others_and_one_with_a_way_back_before_any() {
    let old = release("1.0.0", &[("zakat", "0.1.0")]);
    let new = release("4.0.0", &[("zakat", "0.4.0")]);
    let mut known = chain(2..=4);
    let direct = format!("{BOTH_WAYS}{}", BOTH_WAYS.replace("~0.1", "~0.3"));
    known.extend(appups(&[("zakat", "0.4.0", &direct)]));
    assert_eq!(
        versions(&plan(&old, &new, &known, false).unwrap()),
        ["0.4.0"]
    );
    // Two of two steps: over the higher version, unless that has no way back.
    let from = |from: &str, back: &str| {
        format!("[[path]]\nfrom = \"{from}\"\nup = [{{ load = \"code\" }}]\n{back}")
    };
    let back = "down = [{ load = \"code\" }]\n";
    for (back_of_3, over) in [(back, "0.3.0"), ("", "0.2.0")] {
        let both = from("0.2.0", back) + &from("0.3.0", back);
        let known = appups(&[
            ("zakat", "0.2.0", &from("0.1.0", back)),
            ("zakat", "0.3.0", &from("0.1.0", back_of_3)),
            (
                "zakat",
                "0.4.0",
                &both.replace("0.2.0", "=0.2.0").replace("0.3.0", "=0.3.0"),
            ),
        ]);
        let plan = plan(&old, &new, &known, false).unwrap();
        assert_eq!(versions(&plan), [over, "0.4.0"]);
    }
}

#[test]
fn hooks_and_gates_stand_around_the_switch() {
    let old = release("0.1.0", &[("donations", "0.1.0"), ("zakat", "0.1.0")]);
    let new = release("0.2.0", &[("donations", "0.2.0"), ("zakat", "0.2.0")]);
    let hooks = r#"
depends_on = ["zakat"]
[[path]]
from = "~0.1"
up = [
    { run = "before" },
    { update = "state", timeout_ms = 700, suspend = true },
    { run = "after", timeout_ms = 900 },
]
down = [{ run = "before_down" }, { update = "state" }, { run = "after_down" }]
"#;
    let restart = r#"
[[path]]
from = "~0.1"
up = [{ run = "warm" }, { restart = "plugin" }]
down = [{ restart = "plugin" }]
"#;
    let appups = appups(&[("donations", "0.2.0", hooks), ("zakat", "0.2.0", restart)]);
    golden_plan("hooks_up", &plan(&old, &new, &appups, false).unwrap());
    golden_plan("hooks_down", &plan(&new, &old, &appups, false).unwrap());
}

#[test]
fn hooks_of_several_steps_run_in_their_order_by_the_newer_version_of_each() {
    let way = |from: &str, n: u32| {
        format!(
            "[[path]]\nfrom = \"={from}\"\nup = [{{ run = \"a{n}\" }}, {{ update = \"state\" }}, {{ run = \"b{n}\" }}]\n\
             down = [{{ run = \"c{n}\" }}, {{ update = \"state\" }}, {{ run = \"d{n}\" }}]\n"
        )
    };
    let appups = appups(&[
        ("zakat", "0.2.0", &way("0.1.0", 2)),
        ("zakat", "0.3.0", &way("0.2.0", 3)),
    ]);
    let old = release("1.0.0", &[("zakat", "0.1.0")]);
    let new = release("3.0.0", &[("zakat", "0.3.0")]);
    let ran = |steps: &[host_model::plan::Step]| -> Vec<String> {
        let shown = |step: &host_model::plan::Step| match &step.action {
            Action::Run { version, hook, .. } => Some(format!("{hook} {version}")),
            Action::Switch => Some("switch".to_owned()),
            _ => None,
        };
        steps.iter().filter_map(shown).collect()
    };
    let up = plan(&old, &new, &appups, false).unwrap();
    let there = ["a2 0.2.0", "a3 0.3.0", "switch", "b2 0.2.0", "b3 0.3.0"];
    let back = ["c3 0.3.0", "c2 0.2.0", "switch", "d3 0.3.0", "d2 0.2.0"];
    assert_eq!(ran(&up.steps), there);
    assert_eq!(ran(&up.back), back);
    let down = plan(&new, &old, &appups, false).unwrap();
    assert_eq!(ran(&down.steps), back);
    assert_eq!(ran(&down.back), there);
}

#[test]
fn plugins_come_and_go_with_their_hooks_and_need_no_appup() {
    let old = release("0.1.0", &[("a", "0.1.0"), ("b", "0.1.0")]);
    let new = release("0.2.0", &[("b", "0.1.0"), ("c", "0.1.0")]);
    let comes = r#"
[[path]]
up = [{ add = "plugin" }, { run = "fill" }]
down = [{ run = "empty" }, { remove = "plugin" }]
"#;
    let known = appups(&[("a", "0.1.0", comes), ("c", "0.1.0", comes)]);
    golden_plan("add_remove", &plan(&old, &new, &known, false).unwrap());
    // What is new is watched for as long as its appup says.
    let watched = format!("{comes}\n[probation]\nwindow_s = 7\n");
    let known = appups(&[("c", "0.1.0", &watched)]);
    assert_eq!(plan(&old, &new, &known, false).unwrap().probation_s, 7);
    let plan = plan(&old, &new, &Appups::new(), false).unwrap();
    let kinds: Vec<&str> = plan
        .plugins
        .iter()
        .map(|plugin| match plugin.change {
            Change::Add { .. } => "add",
            Change::Remove { .. } => "remove",
            Change::Keep { .. } => "keep",
            Change::Move { .. } => "move",
        })
        .collect();
    assert_eq!(kinds, ["remove", "keep", "add"]);
    let runs = |step: &host_model::plan::Step| matches!(step.action, Action::Run { .. });
    assert!(!plan.steps.iter().chain(&plan.back).any(runs));
}

#[test]
fn what_cannot_be_planned_is_refused_with_what_to_do() {
    let old = release("0.1.0", &[("donations", "0.1.0"), ("zakat", "0.1.0")]);
    let new = release("0.2.0", &[("donations", "0.2.0"), ("zakat", "0.1.0")]);
    let path = |rest: &str| format!("[[path]]\nfrom = \"~0.1\"\n{rest}\n");
    let one_way = path("up = [{ update = \"state\" }]");
    let handover = path(
        "up = [{ restart_host = true }, { update = \"state\" }]\ndown = [{ restart_host = true }, { update = \"state\" }]",
    );
    let refused = |appups: &Appups, from, to| {
        let error = plan(from, to, appups, false).unwrap_err();
        format!("{error}\n")
    };
    golden("no_path.txt", &refused(&Appups::new(), &old, &new));
    let newest = release("0.3.0", &[("donations", "0.3.0"), ("zakat", "0.1.0")]);
    let from_2 = path("up = [{ update = \"state\" }]").replace("~0.1", "~0.2");
    let between = appups(&[("donations", "0.3.0", &from_2)]);
    golden("no_path_between.txt", &refused(&between, &old, &newest));
    let forced = appups(&[("donations", "0.2.0", &one_way)]);
    golden("one_way.txt", &refused(&forced, &old, &new));
    let handover = appups(&[("donations", "0.2.0", &handover)]);
    golden("restart_host.txt", &refused(&handover, &old, &new));
    golden("restart_host_down.txt", &refused(&handover, &new, &old));

    let at_start = plan_at_start(&old, &new, &forced, &|_, _| true)
        .unwrap_err()
        .to_string();
    assert!(!at_start.contains("--one-way"), "{at_start}");
    let irreversible = plan(&old, &new, &forced, true).unwrap();
    assert!(!irreversible.reversible);
    golden_plan("one_way_forced", &irreversible);
    golden("no_down.txt", &refused(&forced, &new, &old));
    let same = plan(&old, &old, &Appups::new(), false).unwrap_err();
    assert_eq!(same, PlanError::SameVersion(Version::new(0, 1, 0)));
}

#[test]
fn what_asks_for_another_host_is_done_by_a_start_of_it_and_back() {
    let old = release("0.1.0", &[("donations", "0.1.0")]);
    let new = release("0.2.0", &[("donations", "0.2.0")]);
    let ways = "[[path]]\nfrom = \"~0.1\"\nup = [{ restart_host = true }, { update = \"state\" }]\n\
                down = [{ restart_host = true }, { update = \"state\" }]\n";
    let known = appups(&[("donations", "0.2.0", ways)]);
    for (from, to) in [(&old, &new), (&new, &old)] {
        let running = plan(from, to, &known, true).unwrap_err();
        assert!(
            matches!(running, PlanError::RestartHost { .. }),
            "{running}"
        );
        let plan = plan_at_start(from, to, &known, &|_, _| true).unwrap();
        assert!(plan.at_start && plan.reversible, "{plan:?}");
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}

#[test]
fn a_way_back_that_needs_another_host_is_none_of_a_host_that_runs() {
    let old = release("0.1.0", &[("donations", "0.1.0")]);
    let new = release("0.2.0", &[("donations", "0.2.0")]);
    let ways = "[[path]]\nfrom = \"~0.1\"\nup = [{ update = \"state\" }]\n\
                down = [{ restart_host = true }, { update = \"state\" }]\n";
    let known = appups(&[("donations", "0.2.0", ways)]);
    let refused = plan(&old, &new, &known, false).unwrap_err();
    golden("one_way_restart_host.txt", &format!("{refused}\n"));
    let forced = plan(&old, &new, &known, true).unwrap();
    assert!(!forced.reversible);
    let sweep = |step: &&host_model::plan::Step| matches!(step.action, Action::Sweep { .. });
    let sweep = forced.steps.iter().find(sweep).unwrap();
    assert_eq!(sweep.undo, host_model::plan::Undo::Impossible);
    // The host of 0.2.0 may roll back, and turn round, where only the way up asks for it.
    let ways = "[[path]]\nfrom = \"~0.1\"\nup = [{ restart_host = true }, { update = \"state\" }]\n\
                down = [{ update = \"state\" }]\n";
    let known = appups(&[("donations", "0.2.0", ways)]);
    assert!(plan(&new, &old, &known, false).unwrap().reversible);
}

/// The steps of `zakat` that are taken, as the minor numbers of their ends.
fn taken(known: &Appups, host: Host<'_>) -> Vec<(u64, u64)> {
    let steps = steps_between("zakat", [], known, host);
    let mut ends: Vec<_> = steps
        .iter()
        .map(|step| (step.hop().from.minor, step.hop().to.minor))
        .collect();
    ends.sort_unstable();
    ends
}

#[test]
fn actors_take_no_step_that_the_plan_goes_around() {
    let restart = "{ restart_host = true }, { update = \"state\" }";
    let from_1 = format!("[[path]]\nfrom = \"=0.1.0\"\nup = [{restart}]\ndown = [{restart}]\n");
    let plain = "{ update = \"state\" }";
    let from_2 = format!("[[path]]\nfrom = \"=0.2.0\"\nup = [{plain}]\ndown = [{plain}]\n");
    let both = format!("{from_1}{from_2}");
    let mut known = chain(1..=2);
    known.extend(appups(&[("zakat", "0.3.0", &both)]));
    let [one, three, four] = [1, 3, 4].map(|minor| Version::new(0, minor, 0));
    let chain = [(1, 2), (2, 1), (2, 3), (3, 2)];
    let stays = |from, to| taken(&known, Host::Stays { from, to });
    assert_eq!(stays(&one, &three), chain);
    let all = [(1, 2), (1, 3), (2, 1), (2, 3), (3, 1), (3, 2)];
    assert_eq!(taken(&known, Host::Starts), all);
    // Who was left behind when the host came to 0.3.0 may still come over.
    let up = [(1, 2), (1, 3), (2, 1), (2, 3), (3, 2)];
    assert_eq!(stays(&three, &four), up);
    // The host is the one of 0.3.0, also where it goes back there from a rollback.
    assert_eq!(stays(&three, &one), up);
    // The plan says which host carries it out.
    let release = |minor: u64| {
        let version = format!("0.{minor}.0");
        release(&version, &[("zakat", &version)])
    };
    let running = plan(&release(1), &release(3), &known, false).unwrap();
    assert_eq!(taken(&known, Host::of(&running, "zakat")), chain);
    let start = plan_at_start(&release(1), &release(3), &known, &|_, _| true).unwrap();
    assert_eq!(taken(&known, Host::of(&start, "zakat")), all);
}

#[test]
fn a_way_that_needs_another_host_is_gone_around_where_that_is_possible() {
    let mut known = chain(2..=3);
    known.extend(appups(&[(
        "zakat",
        "0.3.0",
        "[[path]]\nfrom = \"=0.1.0\"\nup = [{ restart_host = true }, { update = \"state\" }]\n\
         [[path]]\nfrom = \"=0.2.0\"\nup = [{ update = \"state\" }]\ndown = [{ update = \"state\" }]\n",
    )]));
    let old = release("1.0.0", &[("zakat", "0.1.0")]);
    let new = release("3.0.0", &[("zakat", "0.3.0")]);
    let plan = plan(&old, &new, &known, false).unwrap();
    assert_eq!(versions(&plan), ["0.2.0", "0.3.0"]);
}

#[test]
fn a_circle_is_named() {
    let old = release("0.1.0", &[("a", "0.1.0"), ("b", "0.1.0"), ("c", "0.1.0")]);
    let new = release("0.2.0", &[("a", "0.2.0"), ("b", "0.2.0"), ("c", "0.2.0")]);
    let on = |other: &str| format!("depends_on = [{other:?}]\n{BOTH_WAYS}");
    let appups = appups(&[
        ("a", "0.2.0", &on("b")),
        ("b", "0.2.0", &on("c")),
        ("c", "0.2.0", &on("b")),
    ]);
    let error = plan(&old, &new, &appups, false).unwrap_err().to_string();
    golden("circle.txt", &format!("{error}\n"));
}
