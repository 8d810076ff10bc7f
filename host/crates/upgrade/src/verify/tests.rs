//! Everything that is wrong, at once.

use host_model::plan::{CarriedWay, Hop, PluginPlan, StateChange};
use host_model::release::{PluginShape, ReleaseFile, Start};

use super::*;

fn machine() -> host_package::Machine {
    host_package::Machine {
        host: Version::new(0, 1, 0),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        libc: "2.36".to_owned(),
    }
}

fn manifest() -> ReleaseManifest {
    ReleaseManifest {
        name: "test".to_owned(),
        version: Version::new(0, 2, 0),
        host: Version::new(0, 1, 0),
        host_sha256: String::new(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        libc: "2.36".to_owned(),
        plugins: vec![ReleasePlugin {
            name: "p".to_owned(),
            version: Version::new(0, 2, 0),
            file: PathBuf::from("p.so"),
            sha256: Digest::of(b"p").to_string(),
            start: Start::Permanent,
            settings: Vec::new(),
            shape: None,
        }],
        upgrade_scripts: Vec::new(),
        config: Vec::new(),
        documents: Vec::new(),
    }
}

#[test]
fn a_sound_manifest_has_nothing_against_it() {
    let found = of_manifest(&manifest(), &Booked::default(), &machine());
    assert_eq!(found, [] as [&str; 0]);
}

#[test]
fn all_that_does_not_fit_is_said_at_once() {
    let mut manifest = manifest();
    let mut known = manifest.clone();
    known.plugins[0].sha256 = "ab".repeat(32);
    let mut booked = Booked::default();
    booked.know(&known);
    manifest.target = "riscv64gc-unknown-linux-gnu".to_owned();
    manifest.libc = "2.100".to_owned();
    manifest.host = Version::new(0, 9, 0);
    let found = of_manifest(&manifest, &booked, &machine());
    assert_eq!(found.len(), 4, "{found:?}");
    for (problem, word) in found
        .iter()
        .zip(["riscv64gc", "2.100", "0.9.0", "abababab"])
    {
        assert!(problem.contains(word), "{word}: {problem}");
    }
}

#[test]
fn files_that_are_gone_changed_or_vouched_for_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut manifest = manifest();
    let file = |file: &str, bytes: &[u8]| ReleaseFile {
        file: PathBuf::from(file),
        sha256: Digest::of(bytes).to_string(),
    };
    manifest.host_sha256 = Digest::of(b"host").to_string();
    manifest.config = vec![file("host.toml", b"port = 1")];
    manifest.upgrade_scripts = vec![file("a.toml", b"a")];
    fs::write(dir.path().join("p.so"), b"p").unwrap();
    fs::write(dir.path().join("host.toml"), b"port = 2").unwrap();
    fs::write(dir.path().join("env"), b"PORT=3").unwrap();
    let release = Unpacked {
        dir: dir.path().to_owned(),
        manifest,
    };
    let files = |vouched_for| -> Vec<String> {
        let found = of_files(&release, vouched_for, &Digests::default());
        found
            .into_iter()
            .map(|(file, _)| {
                file.strip_prefix(&release.dir)
                    .unwrap()
                    .display()
                    .to_string()
            })
            .collect()
    };
    assert_eq!(files(false), ["bin/host", "a.toml", "host.toml"]);
    assert_eq!(files(true), ["env", "bin/host", "a.toml", "host.toml"]);
}

/// The release 0.2.PATCH with the plugin p 0.2.0, and this appup of it.
fn of_p(patch: u64, byte: &str, rest: &str) -> (Unpacked, Appup) {
    let mut manifest = manifest();
    manifest.version = Version::new(0, 2, patch);
    manifest.plugins[0].sha256 = byte.repeat(32);
    let dir = PathBuf::from(format!("releases/{}", manifest.version));
    let text = format!("plugin = \"p\"\nversion = \"0.2.0\"\n{rest}");
    let appup = Appup::parse("p-0.2.0.toml", &text).unwrap();
    (Unpacked { dir, manifest }, appup)
}

#[test]
fn it_is_named_where_releases_differ_in_what_one_of_them_gives() {
    let (old, new) = (of_p(0, "aa", ""), of_p(1, "bb", "depends_on = [\"q\"]"));
    let taken = [(new.0.clone(), new.0.manifest.plugins[0].clone())];
    let installed = [new.0.clone(), old.0.clone()];
    let [note] = notes::of_libraries(&taken, &installed).try_into().unwrap();
    assert!(
        note.starts_with("release 0.2.0 has another library of p 0.2.0 than release 0.2.1"),
        "{note}"
    );
    assert_eq!(notes::of_libraries(&taken, &installed[..1]), [""; 0]);
    let version = Version::new(0, 2, 0);
    let used = BTreeSet::from([("p", &version)]);
    let both = [new.clone(), old.clone()];
    assert_eq!(
        notes::of_appups(&used, &both),
        ["release 0.2.0 has another p-0.2.0.toml than release 0.2.1, of which it is taken"]
    );
    assert_eq!(notes::of_appups(&BTreeSet::new(), &both), [""; 0]);
    assert_eq!(notes::of_appups(&used, &[new.clone(), new]), [""; 0]);
}

fn v(minor: u64) -> Version {
    Version::new(0, minor, 0)
}

fn hop(from: u64, to: u64) -> Hop {
    Hop {
        from: v(from),
        to: v(to),
        state: StateChange::Up,
        reversible: true,
        timeout_ms: 0,
        suspend: false,
        restart: false,
    }
}

/// A plan that takes p over these, and who has something of 0.3.0 beside it over those.
fn plan(hops: Vec<Hop>, carried: Option<Vec<Hop>>) -> Plan {
    let (from, to) = (hops[0].from.clone(), hops[hops.len() - 1].to.clone());
    let way = |hops| CarriedWay {
        carries: vec![v(3)],
        hops,
    };
    let plugin = PluginPlan {
        plugin: "p".to_owned(),
        probation: Default::default(),
        change: Change::Move {
            from: from.clone(),
            to: to.clone(),
            hops,
            carried: vec![way(carried), way(None)],
        },
    };
    Plan {
        steps: Vec::new(),
        back: Vec::new(),
        from,
        to,
        plugins: vec![plugin],
        reversible: true,
        probation_s: 0,
        at_start: false,
    }
}

#[test]
fn what_only_states_with_carries_go_by_is_used_too() {
    let plan = plan(vec![hop(1, 2)], Some(vec![hop(1, 3), hop(3, 2)]));
    assert_eq!(used(&plan), BTreeSet::from([("p", &v(2)), ("p", &v(3))]));
}

/// What the libraries of p say: minor version, number of the state's shape, and from where
/// it migrates.
fn libraries(all: &[(u64, u32, Option<&str>)]) -> Manifests {
    let library = |(minor, state_schema, from): &(u64, u32, Option<&str>)| {
        let manifest = PluginManifest {
            name: "p".to_owned(),
            version: v(*minor),
            sdk: v(1),
            state_schema: *state_schema,
            commands: Vec::new(),
            queries: Vec::new(),
            idempotency: Default::default(),
            migrates_from: from.map(|from| from.parse().unwrap()),
            settings: Vec::new(),
            schemas: Default::default(),
        };
        (("p".to_owned(), v(*minor)), manifest)
    };
    all.iter().map(library).collect()
}

#[test]
fn what_a_release_says_otherwise_of_a_library_than_that_itself_is_found() {
    let known = libraries(&[(2, 2, Some("~0.1"))]);
    let library = &known[&("p".to_owned(), v(2))];
    let mut said = manifest().plugins.remove(0);
    assert_eq!(
        shapes::misstated(&said, library),
        None,
        "it does not say it"
    );
    let shape = |state_schema, from: &str| PluginShape {
        state_schema,
        migrates_from: Some(from.parse().unwrap()),
    };
    said.shape = Some(shape(2, "~0.1"));
    assert_eq!(shapes::misstated(&said, library), None);
    for other in [shape(1, "~0.1"), shape(2, "<0.2")] {
        said.shape = Some(other);
        let found = shapes::misstated(&said, library);
        assert_eq!(found, Some("another STATE_SCHEMA or FROM"));
    }
}

const LOAD: &str = "[{ load = \"code\" }]";
const RESTART: &str = "[{ restart = \"plugin\" }]";
const UPDATE: &str = "[{ update = \"state\" }]";

/// What an appup of p 0.2.0 with these ways, up from 0.1.0 and perhaps down to it, says
/// otherwise than they do.
fn contradicted(up: &str, down: Option<&str>, manifests: &Manifests) -> Vec<String> {
    let down = down.map_or(String::new(), |down| format!("down = {down}\n"));
    let path = format!("[[path]]\nfrom = \"<0.2\"\nup = {up}\n{down}");
    let appups = [of_p(0, "aa", &path)];
    let found = |hop| shapes::problems(&plan(vec![hop], None), &appups, manifests);
    let there = found(hop(1, 2));
    // The way back of the one is the way of the other.
    assert_eq!(found(hop(2, 1)), there);
    there
}

#[test]
fn only_code_changes_between_states_of_one_shape() {
    let same = libraries(&[(1, 1, None), (2, 1, None)]);
    let raised = libraries(&[(1, 1, None), (2, 2, Some("~0.1"))]);
    for (up, down) in [(LOAD, Some(LOAD)), (LOAD, Some(RESTART)), (RESTART, None)] {
        assert_eq!(contradicted(up, down, &same), [""; 0], "{up} {down:?}");
    }
    assert_eq!(
        contradicted(LOAD, Some(UPDATE), &raised),
        [
            "p-0.2.0.toml changes only the code up from 0.1.0, and the states have another shape (STATE_SCHEMA is 1 in p 0.1.0 and 2 in p 0.2.0); write { update = \"state\" }, by which each state goes through `up` of 0.2.0"
        ]
    );
    let [down] = contradicted(UPDATE, Some(RESTART), &raised)
        .try_into()
        .unwrap();
    assert!(
        down.contains("code down to 0.1.0") && down.ends_with("`down` of 0.2.0"),
        "{down}"
    );
    assert_eq!(contradicted(LOAD, Some(LOAD), &raised).len(), 2);
    assert_eq!(contradicted(UPDATE, Some(UPDATE), &raised), [""; 0]);
    // What is not known is not asked about.
    let one = libraries(&[(2, 2, Some("~0.1"))]);
    assert_eq!(contradicted(LOAD, Some(LOAD), &one), [""; 0]);
}

#[test]
fn a_state_is_updated_by_a_version_that_knows_the_other() {
    let elsewhere = libraries(&[(1, 1, None), (2, 3, Some("~0.3"))]);
    let [up] = contradicted(UPDATE, None, &elsewhere).try_into().unwrap();
    assert_eq!(
        up,
        "p-0.2.0.toml has { update = \"state\" } up from 0.1.0, and p 0.2.0 migrates from \"~0.3\" only (FROM); lead over a version that it knows, or have it know 0.1.0"
    );
    for (schema, instead) in [
        (1, "write { load = \"code\" }, as STATE_SCHEMA is the same"),
        (2, "have it implement Migrate from 0.1.0"),
    ] {
        let without = libraries(&[(1, 1, None), (2, schema, None)]);
        let both = contradicted(UPDATE, Some(UPDATE), &without);
        assert_eq!(both.len(), 2, "{both:?}");
        for problem in both {
            assert!(
                problem.contains("p 0.2.0 has neither `up` nor `down`"),
                "{problem}"
            );
            assert!(problem.contains(instead), "{problem}");
        }
    }
}

#[test]
fn the_ways_of_states_with_carries_are_held_against_the_libraries_too() {
    let way =
        |from: &str, way: &str| format!("[[path]]\nfrom = \"={from}\"\nup = {way}\ndown = {way}\n");
    let two = of_p(0, "aa", &way("0.1.0", UPDATE));
    let text = format!(
        "plugin = \"p\"\nversion = \"0.3.0\"\n{}",
        way("0.2.0", LOAD)
    );
    let three = Appup::parse("p-0.3.0.toml", &text).unwrap();
    let appups = [two.clone(), (two.0, three)];
    let known = libraries(&[(1, 1, None), (2, 2, Some("~0.1")), (3, 3, Some("~0.2"))]);
    let plain = plan(vec![hop(1, 2)], None);
    assert_eq!(shapes::problems(&plain, &appups, &known), [""; 0]);
    let carried = plan(vec![hop(1, 2)], Some(vec![hop(1, 2), hop(2, 3), hop(3, 2)]));
    let found = shapes::problems(&carried, &appups, &known);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("p-0.3.0.toml changes only the code up from 0.2.0"));
}

#[test]
fn a_plugin_that_is_depended_on_and_that_nobody_has_is_named() {
    let depends = of_p(1, "bb", "depends_on = [\"ledgre\"]");
    let (mut old, new) = (manifest(), depends.0.manifest.clone());
    old.version = Version::new(0, 1, 0);
    let notes = |old: &ReleaseManifest| {
        let appups = std::slice::from_ref(&depends);
        let there = notes::of_dependencies(old, &new, appups);
        assert_eq!(notes::of_dependencies(&new, old, appups).len(), there.len());
        there
    };
    let [note] = notes(&old).try_into().unwrap();
    assert!(
        note.starts_with("p-0.2.0.toml has depends_on = [\"ledgre\"]"),
        "{note}"
    );
    old.plugins[0].name = "ledgre".to_owned();
    assert_eq!(notes(&old), [""; 0]);
}
