//! What a release is held against before anything of it is used.

use std::fs;
use std::path::Path;

use e2e::disk::Small;
use e2e::namespace::within;
use e2e::{Home, Signer, release};
use host_model::control::Outcome;
use serde_json::Value;

use crate::hostile::{UPGRADE, add, home};

/// What `host plan 0.2.0` says stands in the way.
fn problems(home: &Home, code: i32) -> Vec<String> {
    problems_of(home, "0.2.0", code)
}

/// As [`problems`], of another release.
fn problems_of(home: &Home, release: &str, code: i32) -> Vec<String> {
    let ran = home.host(&["plan", release, "--json"]).unwrap();
    let plan: Value = ran.ends_with(code).unwrap().json().unwrap();
    let problems = plan["problems"].as_array().unwrap().iter();
    problems.map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Upgrades to 0.2.0, which is refused; the reason.
fn refused(home: &Home) -> String {
    let line = ["upgrade", "0.2.0", "--probation", "0s", "--json"];
    let ran = home.host(&line).unwrap().ends_with(1).unwrap();
    let report: Value = ran.json().unwrap();
    assert_eq!(report["outcome"], "refused", "{report}");
    assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
    report["reason"].as_str().unwrap().to_owned()
}

/// Puts other bytes in a file's place, and nothing into a file that may be shared.
fn replace(file: &Path, bytes: &[u8]) {
    if file.exists() {
        fs::remove_file(file).unwrap();
    }
    fs::write(file, bytes).unwrap();
}

fn change_manifest(dir: &Path, change: impl FnOnce(&mut Value)) {
    let file = dir.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut manifest);
    replace(&file, &serde_json::to_vec(&manifest).unwrap());
}

#[test]
fn a_plan_without_a_way_back_says_that_it_would_be_refused() {
    let appup = "plugin = \"faulty\"\nversion = \"0.2.0\"\n\n[[path]]\nfrom = \"~0.1\"\nup = [{ update = \"state\" }]\n";
    let home = home();
    let new = ["plugins/hostile/faulty/0.2.0"];
    release::assemble(&home, "0.2.0", &new, &[("faulty-0.2.0.toml", appup)]).unwrap();
    home.start().unwrap();
    let [problem] = &problems(&home, 1)[..] else {
        panic!("something else is wrong with it");
    };
    assert!(
        problem.contains("no way back from faulty 0.2.0 to 0.1.0") && problem.contains("--one-way"),
        "{problem}"
    );
    let line = ["upgrade", "0.2.0", "--json"];
    let ran = home.host(&line).unwrap().ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "one_way");
    let line = [&line[..], &["--one-way", "--probation", "0s"]].concat();
    home.done(&line).unwrap();
    assert_eq!(home.status().unwrap().version.to_string(), "0.2.0");
    home.stop().unwrap();
}

#[test]
fn what_has_no_way_back_is_refused_with_all_else_that_is_wrong() {
    let appup = "plugin = \"faulty\"\nversion = \"0.2.0\"\n\n[[path]]\nfrom = \"~0.1\"\nup = [{ update = \"state\" }]\n";
    let home = home();
    let new = ["plugins/hostile/faulty/0.2.0"];
    release::assemble(&home, "0.2.0", &new, &[("faulty-0.2.0.toml", appup)]).unwrap();
    let dir = home.path().join("releases/0.2.0");
    change_manifest(&dir, |manifest| manifest["libc"] = "9.99".into());
    replace(&dir.join("host.toml"), b"[runtime.limits]\nidle_s = 0\n");
    let before = home.start().unwrap();
    let wanted = [
        "no way back from faulty 0.2.0 to 0.1.0",
        "glibc 9.99",
        "RUNTIME_LIMITS_IDLE_S",
    ];
    let found = problems(&home, 1).join("\n");
    let ran = home
        .host(&["upgrade", "0.2.0"])
        .unwrap()
        .ends_with(1)
        .unwrap();
    for wanted in wanted {
        assert!(found.contains(wanted), "{wanted}: {found}");
        assert!(ran.stderr.contains(wanted), "{wanted}: {}", ran.stderr);
    }
    let ran = home.host(&["upgrade", "0.2.0", "--json"]).unwrap();
    assert_eq!(ran.ends_with(1).unwrap().reason().unwrap(), "one_way");
    let status = home.status().unwrap();
    assert_eq!(status.version.to_string(), "0.1.0");
    assert_eq!(status.resident_versions, before.resident_versions);
    home.stop().unwrap();
}

/// 0.3.0 does not lead over 0.2.0, which alone can read what that has left.
#[test]
fn an_actor_whose_carries_no_way_takes_up_is_named_and_no_release_is_marked_for_it() {
    let appup = "plugin = \"faulty\"\nversion = \"0.3.0\"\n\n[[path]]\nfrom = \"=0.1.0\"\nup = [{ update = \"state\" }]\ndown = [{ update = \"state\" }]\n";
    let home = home();
    let newest = ["plugins/hostile/faulty/0.3.0"];
    release::assemble(&home, "0.3.0", &newest, &[("faulty-0.3.0.toml", appup)]).unwrap();
    let port = home.start().unwrap().port;
    home.upgrade_unrehearsed("0.2.0").unwrap();
    home.done(&["rollback"]).unwrap();
    let wanted = "cannot come over: no way leads from faulty 0.1.0 to 0.3.0 for a state that holds what only 0.2.0 can read";
    // Nobody has such carries yet, and it is no problem that somebody might.
    let found = problems_of(&home, "0.3.0", 1).join("\n");
    assert!(!found.contains("cannot come over"), "{found}");
    add(port, "a", 1);
    home.upgrade_unrehearsed("0.2.0").unwrap();
    home.done(&["rollback"]).unwrap();
    let found = problems_of(&home, "0.3.0", 1);
    let is_it = |it: &&String| it.starts_with("faulty:a") && it.contains(wanted);
    assert_eq!(found.iter().filter(is_it).count(), 1, "{found:?}");
    let line = ["upgrade", "0.3.0", "--no-rehearsal", "--json"];
    let ran = home.host(&line).unwrap().ends_with(1).unwrap();
    let report: Value = ran.json().unwrap();
    assert_eq!(report["outcome"], "refused", "{report}");
    let reason = report["reason"].as_str().unwrap();
    assert!(reason.contains(wanted), "{reason}");
    let rows: Vec<Value> = home.answer(&["releases", "--json"]).unwrap();
    let row = rows.iter().find(|row| row["version"] == "0.3.0").unwrap();
    assert_eq!(row["status"], "unpacked", "{row}");
    home.stop().unwrap();
}

/// Without a rehearsal, and where there is no actor yet, nothing else would find it before a
/// rollback loses what the older version does not know.
#[test]
fn an_appup_that_contradicts_the_libraries_is_refused_without_actors_and_without_a_rehearsal() {
    let home = home();
    home.start().unwrap();
    let lay = |plugin: &str, version: &str, up: &str, down: &str| {
        let appup = format!(
            "plugin = \"faulty\"\nversion = \"{version}\"\n\n[[path]]\nfrom = \"~0.1\"\nup = [{{ {up} }}]\ndown = [{{ {down} }}]\n"
        );
        let file = format!("faulty-{version}.toml");
        release::assemble(&home, "0.2.0", &[plugin], &[(&file, &appup)]).unwrap();
    };
    let (load, update) = ("load = \"code\"", "update = \"state\"");
    let [older, new, newest] = ["0.1.1", "0.2.0", "0.3.0"]
        .map(|version| (format!("plugins/hostile/faulty/{version}"), version));
    for ((plugin, version), up, down, wanted) in [
        (
            &new,
            load,
            load,
            &[
                "faulty-0.2.0.toml changes only the code up from 0.1.0",
                "faulty-0.2.0.toml changes only the code down to 0.1.0",
                "STATE_SCHEMA is 1 in faulty 0.1.0 and 2 in faulty 0.2.0",
                "write { update = \"state\" }",
            ][..],
        ),
        (
            &new,
            update,
            "restart = \"plugin\"",
            &["faulty-0.2.0.toml changes only the code down to 0.1.0"],
        ),
        (
            &newest,
            update,
            update,
            &["faulty 0.3.0 migrates from \"~0.2\" only"],
        ),
        (
            &older,
            update,
            update,
            &["faulty 0.1.1 has neither `up` nor `down`; write { load = \"code\" }"],
        ),
    ] {
        lay(plugin, version, up, down);
        let found = problems(&home, 1).join("\n");
        let ran = home.host(&UPGRADE).unwrap().ends_with(1).unwrap();
        let report: Value = ran.json().unwrap();
        let reason = report["reason"].as_str().unwrap();
        for wanted in wanted {
            assert!(found.contains(wanted), "{wanted}: {found}");
            assert!(reason.contains(wanted), "{wanted}: {reason}");
        }
        assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
    }
    lay(&new.0, new.1, update, update);
    assert_eq!(problems(&home, 0), [] as [&str; 0]);
    home.upgrade_unrehearsed("0.2.0").unwrap();
    home.stop().unwrap();
}

#[test]
fn everything_that_is_wrong_is_in_one_report_and_nothing_has_changed() {
    let home = home();
    let before = home.start().unwrap();
    assert_eq!(problems(&home, 0), [] as [&str; 0]);
    let dir = home.path().join("releases/0.2.0");
    change_manifest(&dir, |manifest| {
        manifest["target"] = "riscv64gc-unknown-linux-gnu".into();
        manifest["libc"] = "9.99".into();
        manifest["host"] = "7.7.7".into();
    });
    let library = dir.join("plugins/faulty-0.2.0.so");
    replace(&library, b"no library");
    replace(
        &dir.join("host.toml"),
        b"prot = 4000\n[runtime.limits]\nidle_s = 0\n",
    );
    let wanted = [
        "riscv64gc",
        "glibc 9.99",
        "host 7.7.7",
        "faulty-0.2.0.so has the digest",
        "\"prot\" is no setting",
        "RUNTIME_LIMITS_IDLE_S",
    ];
    let found = problems(&home, 1);
    let reason = refused(&home);
    for wanted in wanted {
        assert!(
            found.iter().any(|it| it.contains(wanted)),
            "{wanted}: {found:?}"
        );
        assert!(reason.contains(wanted), "{wanted}: {reason}");
    }
    let status = home.status().unwrap();
    assert_eq!(status.resident_versions, before.resident_versions);
    assert_eq!(status.permanent.to_string(), "0.1.0");
    home.stop().unwrap();
}

#[test]
fn a_library_that_is_none_is_found_before_anything_is_staged() {
    let home = home();
    let dir = home.path().join("releases/0.2.0");
    replace(&dir.join("plugins/faulty-0.2.0.so"), b"no library");
    change_manifest(&dir, |manifest| {
        // SHA-256 of "no library".
        manifest["plugins"][0]["sha256"] = NO_LIBRARY.into();
    });
    home.start().unwrap();
    let reason = refused(&home);
    assert!(reason.contains("faulty-0.2.0.so"), "{reason}");
    assert!(!reason.contains("digest"), "{reason}");
    home.stop().unwrap();
}

/// Each of them is opened in a process of its own before the host would.
#[test]
fn a_library_of_another_abi_is_refused_and_one_of_a_newer_minor_is_taken() {
    let home = home();
    let before = home.start().unwrap();
    let dir = home.path().join("releases/0.2.0");
    let manifest = fs::read(dir.join("manifest.json")).unwrap();
    let lay = |behaviour: &str| {
        replace(&dir.join("manifest.json"), &manifest);
        release::add_raw(&dir, behaviour).unwrap();
    };
    for (behaviour, wanted) in [
        ("null_table", "has a table of 0 bytes"),
        ("short_header", "has a table of 8 bytes"),
        ("short_table", "has a table of "),
        ("other_major", "speaks ABI 2, and this host speaks 1"),
        ("other_hash", "lays out the ABI's types otherwise"),
        (
            "other_layout",
            "does not have this host's layout of PluginVt",
        ),
        ("no_layout", "the plugin describes no such table"),
        ("bad_manifest", "its manifest is not what the ABI says"),
    ] {
        lay(behaviour);
        let reason = refused(&home);
        for wanted in [wanted, "raw-0.1.0.so"] {
            assert!(reason.contains(wanted), "{behaviour}: {reason}");
        }
        let status = home.status().unwrap();
        assert_eq!(status.pid, before.pid, "{behaviour}");
        assert_eq!(status.resident_versions, before.resident_versions);
    }
    // With more functions behind those that this host knows.
    lay("longer_table");
    let report = home.upgrade("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    home.stop().unwrap();
}

const NO_LIBRARY: &str = "a3bba07ee4d772d46d0f99f83549f754e8d42a91d4e258970547e29b0eb35101";

#[test]
fn a_host_that_was_altered_is_not_run() {
    let home = home();
    let program = home.path().join("releases/0.2.0/bin/host");
    let ran = home.path().join("ran");
    replace(
        &program,
        format!("#!/bin/sh\ntouch {}\n", ran.display()).as_bytes(),
    );
    home.start().unwrap();
    let reason = refused(&home);
    assert!(reason.contains("bin/host has the digest"), "{reason}");
    assert!(!ran.exists());
    home.stop().unwrap();
}

#[test]
fn with_trusted_keys_a_release_must_be_vouched_for() {
    let home = home();
    let (ours, stranger) = (Signer::new().unwrap(), Signer::new().unwrap());
    fs::create_dir(home.path().join("etc/keys")).unwrap();
    fs::write(home.path().join("etc/keys/ours.pub"), ours.public()).unwrap();
    home.configure("TRUSTED_KEYS=etc/keys").unwrap();
    home.start().unwrap();
    let dir = home.path().join("releases/0.2.0");
    let reason = refused(&home);
    assert!(reason.contains("it is not signed"), "{reason}");
    stranger.sign(&dir).unwrap();
    let reason = refused(&home);
    assert!(reason.contains("not among the 1"), "{reason}");
    ours.sign(&dir).unwrap();
    fs::write(dir.join("env"), "RUST_LOG=debug\n").unwrap();
    let reason = refused(&home);
    assert!(reason.contains("nobody vouches for it"), "{reason}");
    fs::remove_file(dir.join("env")).unwrap();
    let manifest = fs::read(dir.join("manifest.json")).unwrap();
    change_manifest(&dir, |manifest| manifest["name"] = "other".into());
    let reason = refused(&home);
    assert!(reason.contains("it was altered"), "{reason}");
    replace(&dir.join("manifest.json"), &manifest);
    let report = home.upgrade("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    home.stop().unwrap();
}

/// The example platform's way to 0.3.0 leads over 0.2.0.
#[test]
fn a_library_on_the_way_must_be_the_one_that_its_manifest_names() {
    let home = Home::new().unwrap();
    home.start().unwrap();
    let dir = home.path().join("releases/0.2.0");
    let library = dir.join("plugins/donations-0.2.0.so");
    let whole = fs::read(&library).unwrap();
    // It opens all the same, and is another one.
    replace(&library, &[&whole[..], b"\n"].concat());
    let found = problems_of(&home, "0.3.0", 1);
    let wanted = "0.2.0/plugins/donations-0.2.0.so has the digest";
    assert!(found.iter().any(|it| it.contains(wanted)), "{found:?}");
    replace(&library, &whole);
    assert_eq!(problems_of(&home, "0.3.0", 0), [] as [&str; 0]);
    // And so must an appup.
    let appup = home
        .path()
        .join("releases/0.2.0/upgrade-scripts/donations-0.2.0.toml");
    let text = fs::read_to_string(&appup).unwrap();
    replace(&appup, format!("{text}\n# more\n").as_bytes());
    let found = problems_of(&home, "0.3.0", 1);
    let wanted = "donations-0.2.0.toml has the digest";
    assert!(found.iter().any(|it| it.contains(wanted)), "{found:?}");
    home.stop().unwrap();
}

#[test]
fn with_trusted_keys_nothing_new_is_taken_of_a_release_on_the_way_that_nobody_vouches_for() {
    let home = Home::new().unwrap();
    let ours = Signer::new().unwrap();
    fs::write(home.path().join("etc/ours.pub"), ours.public()).unwrap();
    home.configure("TRUSTED_KEYS=etc/ours.pub").unwrap();
    home.start().unwrap();
    ours.sign(&home.path().join("releases/0.3.0")).unwrap();
    for line in [["plan", "0.3.0"], ["upgrade", "0.3.0"]] {
        let ran = home.host(&line).unwrap().ends_with(1).unwrap();
        for wanted in [
            "leads from release 0.1.0 to 0.3.0",
            "release 0.2.0: it is not signed",
            "host release build --sign KEY",
        ] {
            assert!(ran.stderr.contains(wanted), "{line:?}: {}", ran.stderr);
        }
        let ran = home.host(&[line[0], line[1], "--json"]).unwrap();
        assert_eq!(ran.ends_with(1).unwrap().reason().unwrap(), "untrusted");
    }
    assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
    ours.sign(&home.path().join("releases/0.2.0")).unwrap();
    // The release that runs may stay unsigned: what has run here is known by its bytes.
    let report = home.upgrade("0.3.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    home.stop().unwrap();
}

#[test]
fn a_start_with_keys_that_are_none_is_refused() {
    let home = home();
    home.configure("TRUSTED_KEYS=etc/env").unwrap();
    let ran = home.host(&["start"]).unwrap().ends_with(1).unwrap();
    assert!(ran.stderr.contains("TRUSTED_KEYS"), "{}", ran.stderr);
    assert!(ran.stderr.contains("no public key"), "{}", ran.stderr);
}

#[test]
fn a_disk_without_room_refuses_an_upgrade() {
    let name = "verification::a_disk_without_room_refuses_an_upgrade";
    within(name, || {
        let disk = Small::mount(128).unwrap();
        let mut home = home();
        let data = disk.path().display().to_string();
        home.set("HOST_DATA", Some(&data));
        home.start().unwrap();
        disk.fill(8 << 10).unwrap();
        let reason = refused(&home);
        assert!(reason.contains("MiB free"), "{reason}");
        home.stop().unwrap();
    })
    .unwrap();
}
