//! Everything that is wrong, at once.

use host_model::plan::{CarriedWay, Hop, PluginPlan, StateChange};
use host_model::release::{ReleaseFile, Start};

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

#[test]
fn what_only_states_with_carries_go_by_is_used_too() {
    let [one, two, three] = [1, 2, 3].map(|minor| Version::new(0, minor, 0));
    let hop = |from: &Version, to: &Version| Hop {
        from: from.clone(),
        to: to.clone(),
        state: StateChange::Up,
        reversible: true,
        timeout_ms: 0,
        suspend: false,
        restart: false,
    };
    let way = |hops| CarriedWay {
        carries: vec![three.clone()],
        hops,
    };
    let plugin = PluginPlan {
        plugin: "p".to_owned(),
        probation: Default::default(),
        change: Change::Move {
            from: one.clone(),
            to: two.clone(),
            hops: vec![hop(&one, &two)],
            carried: vec![
                way(Some(vec![hop(&one, &three), hop(&three, &two)])),
                way(None),
            ],
        },
    };
    let plan = Plan {
        steps: Vec::new(),
        back: Vec::new(),
        from: one.clone(),
        to: two.clone(),
        plugins: vec![plugin],
        reversible: true,
        probation_s: 0,
        at_start: false,
    };
    assert_eq!(used(&plan), BTreeSet::from([("p", &two), ("p", &three)]));
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
