//! Plans over made-up releases.

use host_model::release::{ReleasePlugin, Start};

use super::*;

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
            })
            .collect(),
        upgrade_scripts: Vec::new(),
        config: Vec::new(),
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

#[test]
fn dependencies_come_first_and_both_ways_are_planned() {
    let old = release("0.1.0", &[("donations", "0.1.0"), ("zakat", "0.1.0")]);
    let new = release("0.2.0", &[("donations", "0.2.0"), ("zakat", "0.2.0")]);
    let depends = format!("depends_on = [\"zakat\"]\n{BOTH_WAYS}");
    let appups = appups(&[
        ("donations", "0.2.0", &depends),
        ("zakat", "0.2.0", BOTH_WAYS),
    ]);
    let up = plan(&old, &new, &appups, false).unwrap();
    assert_eq!(names(&up), ["zakat", "donations"]);
    assert!(up.reversible);
    let states = |plan: &Plan| -> Vec<StateChange> {
        hops(&plan.plugins).map(|(_, hop)| hop.state).collect()
    };
    assert_eq!(states(&up), [StateChange::Up, StateChange::Up]);
    let down = plan(&new, &old, &appups, false).unwrap();
    assert_eq!(states(&down), [StateChange::Down, StateChange::Down]);
}

#[test]
fn a_path_over_several_versions_is_found() {
    let chain = |from: &str| {
        format!(
            "[[path]]\nfrom = \"={from}\"\nup = [{{ update = \"state\" }}]\ndown = [{{ update = \"state\" }}]\n"
        )
    };
    let appups = appups(&[
        ("zakat", "0.2.0", &chain("0.1.0")),
        ("zakat", "0.3.0", &chain("0.2.0")),
        ("zakat", "0.4.0", &chain("0.3.0")),
    ]);
    let old = release("1.0.0", &[("zakat", "0.1.0")]);
    let new = release("4.0.0", &[("zakat", "0.4.0")]);
    let up = plan(&old, &new, &appups, false).unwrap();
    let way: Vec<String> = hops(&up.plugins).map(|(_, h)| h.to.to_string()).collect();
    assert_eq!(way, ["0.2.0", "0.3.0", "0.4.0"]);
    let down = plan(&new, &old, &appups, false).unwrap();
    let way: Vec<String> = hops(&down.plugins).map(|(_, h)| h.to.to_string()).collect();
    assert_eq!(way, ["0.3.0", "0.2.0", "0.1.0"]);
}

#[test]
fn what_cannot_be_planned_is_refused_with_what_to_do() {
    let old = release("0.1.0", &[("donations", "0.1.0"), ("zakat", "0.1.0")]);
    let new = release("0.2.0", &[("donations", "0.2.0"), ("zakat", "0.1.0")]);
    let one_way = "[[path]]\nfrom = \"~0.1\"\nup = [{ update = \"state\" }]\n";
    let hook = "[[path]]\nfrom = \"~0.1\"\nup = [{ run = \"x\" }, { update = \"state\" }]\ndown = [{ update = \"state\" }]\n";
    let nothing =
        "[[path]]\nfrom = \"~0.1\"\nup = [{ load = \"code\" }]\ndown = [{ run = \"x\" }]\n";
    for (rest, words) in [
        (None, vec!["no appup leads", "donations-0.2.0.toml"]),
        (Some(one_way), vec!["no way back", "--one-way"]),
        (Some(hook), vec!["donations-0.2.0.toml asks for run"]),
    ] {
        let appups = match rest {
            Some(rest) => appups(&[("donations", "0.2.0", rest)]),
            None => Appups::new(),
        };
        let error = plan(&old, &new, &appups, false).unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "{error:?} should say {word:?}");
        }
    }
    let forced = appups(&[("donations", "0.2.0", one_way)]);
    assert!(!plan(&old, &new, &forced, true).unwrap().reversible);
    let back = plan(&new, &old, &forced, true).unwrap_err();
    assert!(matches!(back, PlanError::NoPath { .. }), "{back}");
    let empty_handed = appups(&[("donations", "0.2.0", nothing)]);
    assert!(plan(&new, &old, &empty_handed, true).is_err());
    let same = plan(&old, &old, &Appups::new(), false).unwrap_err();
    assert_eq!(same, PlanError::SameVersion(Version::new(0, 1, 0)));
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
    assert!(error.contains("b -> c -> b"), "{error}");
}

#[test]
fn plugins_that_come_and_go_need_no_appup() {
    let old = release("0.1.0", &[("a", "0.1.0"), ("b", "0.1.0")]);
    let new = release("0.2.0", &[("b", "0.1.0"), ("c", "0.1.0")]);
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
}
