//! Releases as packages: built, installed, gone over to, removed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::command::Running;
use e2e::disk::Small;
use e2e::namespace::within;
use e2e::package::pack;
use e2e::{Home, Ran, Signer};
use host_model::control::Outcome;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The packages of the example platform's releases, a program that installs them, and an
/// empty folder.
struct Bench {
    home: Home,
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let home = Home::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::copy(home.path().join("bin/host"), folder.path().join("host")).unwrap();
        Self { home, folder }
    }

    /// One whose home is an empty folder, once these releases are packed.
    fn emptied(versions: &[&str]) -> Self {
        let bench = Self::new();
        for version in versions {
            bench.pack(version);
        }
        for entry in fs::read_dir(bench.home.path()).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => fs::remove_dir_all(path).unwrap(),
                false => fs::remove_file(path).unwrap(),
            }
        }
        bench
    }

    fn pack(&self, version: &str) -> PathBuf {
        pack(&self.release(version), self.folder.path()).unwrap()
    }

    fn package(&self, version: &str) -> PathBuf {
        self.folder.path().join(format!("giving-{version}.tar.zst"))
    }

    fn release(&self, version: &str) -> PathBuf {
        self.home.path().join("releases").join(version)
    }

    /// `host install FILE --home HOME` by the program that lies in no home.
    fn install_into(&self, file: &Path, home: &Path) -> Ran {
        let mut command = Command::new(self.folder.path().join("host"));
        command.arg("install").arg(file);
        command.arg("--home").arg(home).arg("--json").env_clear();
        Running::spawn(command).unwrap().end().unwrap()
    }

    fn install(&self, version: &str) -> Ran {
        self.install_into(&self.package(version), self.home.path())
    }
}

#[test]
fn from_an_empty_folder_to_upgraded_and_back() {
    let bench = Bench::emptied(&["0.1.0", "0.2.0"]);
    let home = &bench.home;
    let said: Value = bench.install("0.1.0").ok().unwrap().json().unwrap();
    assert_eq!(said["permanent"], true, "{said}");
    use std::os::unix::fs::PermissionsExt;
    for file in ["etc/env", "etc/host.toml"] {
        let mode = fs::metadata(home.path().join(file)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{file}");
    }
    let lines = ["HOST=localhost", "PORT=0", "ADMIN_PORT=0"];
    // It is production, and a test is a debug build that may run as root.
    let allowed = ["HOST_ALLOW_ROOT=yes", "HOST_ALLOW_DEBUG=yes"];
    for line in lines.into_iter().chain(allowed) {
        home.configure(line).unwrap();
    }
    // Also where no host has ever run.
    let rows: Value = home.answer(&["releases", "--json"]).unwrap();
    assert_eq!(rows[0]["status"], "permanent", "{rows}");
    home.start().unwrap();
    let open = json!({"title": "a", "currency": "USD", "goal": "1"});
    home.rpc("donations:a", "open", &open).unwrap();
    fs::create_dir(bench.release("0.2.0")).unwrap();
    let lying = bench.release("0.2.0").join("giving-0.2.0.tar.zst");
    fs::copy(bench.package("0.2.0"), &lying).unwrap();
    let plan = home.host(&["plan", "0.2.0", "--json"]).unwrap();
    let plan = plan.ends_with(1).unwrap();
    assert_eq!(plan.reason().unwrap(), "not_unpacked");
    let report = home.upgrade("0.2.0").unwrap();
    assert_eq!(report.outcome, Outcome::Committed, "{report:?}");
    assert!(lying.is_file());
    assert_eq!(home.rollback().unwrap().outcome, Outcome::Committed);
    // Once more is nothing.
    let again: Value = bench.install("0.2.0").ok().unwrap().json().unwrap();
    assert_eq!(again["was_there"], true, "{again}");
    assert_eq!(again["repaired"], json!([]), "{again}");
    let script = bench
        .release("0.2.0")
        .join("upgrade-scripts/zakat-0.2.0.toml");
    fs::write(&script, "plugin = ").unwrap();
    let package = bench.package("0.2.0");
    let line = ["install", package.to_str().unwrap()];
    let said = home.done(&line).unwrap().stdout;
    assert!(
        said.contains("is repaired: upgrade-scripts/zakat"),
        "{said}"
    );
    let noted = || {
        let trail = trail(home);
        let of_it = trail.lines().filter(|it| it.contains("zakat-0.2.0.toml"));
        let intents = of_it.filter(|it| it.contains("releases/installed"));
        intents.count()
    };
    assert_eq!(noted(), 1);
    assert_eq!(home.upgrade("0.2.0").unwrap().outcome, Outcome::Committed);
    home.stop().unwrap();
    // Also where no host runs.
    fs::write(&script, "plugin = ").unwrap();
    home.done(&line).unwrap();
    assert_eq!(noted(), 2);
    home.done(&line).unwrap();
    assert_eq!(noted(), 2, "nothing was repaired");
}

/// What operators did, as the audit trail has it.
fn trail(home: &Home) -> String {
    let line = ["audit", "export", "--actor", "host:operator"];
    home.done(&line).unwrap().stdout
}

#[test]
fn a_bad_package_that_lies_there_refuses_the_upgrade_and_leaves_nothing() {
    let bench = Bench::new();
    let home = &bench.home;
    bench.pack("0.2.0");
    fs::remove_dir_all(bench.release("0.2.0")).unwrap();
    fs::create_dir(bench.release("0.2.0")).unwrap();
    let lying = bench.release("0.2.0").join("x.tar.zst");
    let package = fs::read(bench.package("0.2.0")).unwrap();
    home.start().unwrap();
    let mut flipped = package.clone();
    flipped[package.len() / 2] ^= 1;
    for bad in [&package[..package.len() / 2], &flipped] {
        fs::write(&lying, bad).unwrap();
        let line = ["upgrade", "0.2.0", "--probation", "0s", "--json"];
        let ran = home.host(&line).unwrap().ends_with(1).unwrap();
        assert!(ran.stdout.contains("damaged_package"), "{}", ran.stdout);
        assert!(ran.stdout.contains("fetch it again"), "{}", ran.stdout);
        let left: Vec<_> = fs::read_dir(bench.release("0.2.0")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
    let hidden = fs::read_dir(home.path().join("releases")).unwrap();
    let hidden = hidden.map(|it| it.unwrap().file_name());
    assert!(
        hidden
            .into_iter()
            .all(|it| !it.to_string_lossy().starts_with('.'))
    );
    assert_eq!(home.status().unwrap().version.to_string(), "0.1.0");
    home.stop().unwrap();
}

#[test]
fn what_a_package_says_of_itself_is_not_taken_on_trust_by_an_upgrade_either() {
    let bench = Bench::new();
    let home = &bench.home;
    home.start().unwrap();
    for (found, changed, told) in [
        ("x86_64-unknown-linux-gnu", "\\u001b[2J", "for \u{fffd}[2J,"),
        (
            "\"name\": \"giving\"",
            "\"name\": \"..\"",
            "has the name \"..\"",
        ),
    ] {
        let other = Bench::new();
        let file = other.release("0.2.0").join("manifest.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, text.replace(found, changed)).unwrap();
        let package = other.pack("0.2.0");
        let release = bench.release("0.2.0");
        fs::remove_dir_all(&release).unwrap();
        fs::create_dir(&release).unwrap();
        fs::copy(&package, release.join("x.tar.zst")).unwrap();
        let ran = home.host(&["upgrade", "0.2.0"]).unwrap();
        let ran = ran.ends_with(1).unwrap();
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains(told) && !said.contains('\x1b'), "{said:?}");
    }
    home.stop().unwrap();
}

#[test]
fn another_machine_a_stranger_and_a_folder_that_is_no_home() {
    let bench = Bench::emptied(&[]);
    let place = bench.home.path();
    let other = Bench::new();
    let file = other.release("0.1.0").join("manifest.json");
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replace("unknown-linux-gnu", "unknown-linux-musl");
    fs::remove_file(&file).unwrap();
    fs::write(&file, changed).unwrap();
    let ran = bench.install_into(&other.pack("0.1.0"), place);
    let ran = ran.ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "does_not_fit");
    assert_eq!(fs::read_dir(place).unwrap().count(), 0, "something is left");
    fs::write(&file, text).unwrap();
    let package = other.pack("0.1.0");
    // Keys that were laid there before all else.
    let ours = Signer::new().unwrap();
    fs::create_dir(place.join("etc")).unwrap();
    fs::write(place.join("etc/ours.pub"), ours.public()).unwrap();
    fs::write(place.join("etc/env"), "TRUSTED_KEYS=etc/ours.pub\n").unwrap();
    let ran = bench.install_into(&package, place).ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "untrusted");
    assert_eq!(fs::read_dir(place).unwrap().count(), 1, "something is left");
    Signer::new()
        .unwrap()
        .sign(&other.release("0.1.0"))
        .unwrap();
    let ran = bench.install_into(&other.pack("0.1.0"), place);
    assert_eq!(ran.ends_with(1).unwrap().reason().unwrap(), "untrusted");
    ours.sign(&other.release("0.1.0")).unwrap();
    bench
        .install_into(&other.pack("0.1.0"), place)
        .ok()
        .unwrap();
    let env = fs::read_to_string(place.join("etc/env")).unwrap();
    assert_eq!(
        env, "TRUSTED_KEYS=etc/ours.pub\n",
        "an operator's file stays"
    );
    let busy = tempfile::tempdir().unwrap();
    fs::write(busy.path().join("thesis.tex"), "").unwrap();
    let ran = bench
        .install_into(&package, busy.path())
        .ends_with(1)
        .unwrap();
    assert_eq!(ran.reason().unwrap(), "not_empty");
    assert!(ran.stdout.contains("thesis.tex"), "{}", ran.stdout);
}

#[test]
fn two_installs_at_once_are_one() {
    let bench = Bench::new();
    bench.pack("0.3.0");
    fs::remove_dir_all(bench.release("0.3.0")).unwrap();
    let folder = fs::File::open(bench.home.path().join("releases")).unwrap();
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let ran = bench.install("0.3.0").ends_with(1).unwrap();
    assert_eq!(ran.reason().unwrap(), "busy");
    drop(folder);
    bench.install("0.3.0").ok().unwrap();
}

#[test]
fn a_disk_that_is_full_is_left_as_it_was() {
    let name = "packages::a_disk_that_is_full_is_left_as_it_was";
    within(name, || {
        let disk = Small::mount(64).unwrap();
        let bench = Bench::emptied(&["0.1.0"]);
        let ballast = disk.fill(2 << 10).unwrap();
        let place = disk.path().join("home");
        let ran = bench.install_into(&bench.package("0.1.0"), &place);
        let ran = ran.ends_with(1).unwrap();
        assert_eq!(ran.reason().unwrap(), "not_written");
        assert!(ran.stdout.contains("make room"), "{}", ran.stdout);
        assert!(!place.exists(), "something is left");
        assert!(ballast.is_file());
    })
    .unwrap();
}

#[test]
fn a_release_is_removed_when_nothing_needs_it() {
    let home = Home::new().unwrap();
    let refused = |version: &str, more: &[&str], why: &str| {
        let line = [&["remove", version, "--json"], more].concat();
        let ran = home.host(&line).unwrap().ends_with(1).unwrap();
        assert!(ran.stdout.contains(why), "{}", ran.stdout);
        assert!(home.path().join("releases").join(version).exists());
    };
    home.start().unwrap();
    let open = json!({"title": "a", "currency": "USD", "goal": "1"});
    home.rpc("donations:a", "open", &open).unwrap();
    refused("0.1.0", &[], "it runs");
    home.upgrade("0.2.0").unwrap();
    refused("0.1.0", &[], "leads back to it");
    refused("0.2.0", &["--no-way-back"], "it is permanent");
    home.done(&["remove", "0.3.0"]).unwrap();
    assert!(!home.path().join("releases/0.3.0").exists());
    home.rollback().unwrap();
    // Its carry waits for the library that only 0.2.0 has.
    refused("0.2.0", &["--no-way-back"], "donations 0.2.0");
    home.stop().unwrap();
    refused("0.2.0", &["--no-way-back"], "donations 0.2.0");
    refused("0.1.0", &["--no-way-back"], "it is permanent");
    // On a stopped home, too, it is known who has asked for what, and what came of it.
    let trail = trail(&home);
    let asked: Vec<_> = trail
        .lines()
        .filter(|it| it.contains("releases/remove"))
        .collect();
    assert_eq!(asked.len(), 14, "{trail}");
    assert!(asked[13].contains("it is permanent"), "{trail}");
    let rows: Value = home.answer(&["releases", "--json"]).unwrap();
    let statuses: Vec<_> = rows.as_array().unwrap().iter().collect();
    assert_eq!(statuses.len(), 2, "{rows}");
    assert_eq!(rows[0]["status"], "permanent", "{rows}");
    assert_eq!(rows[1]["status"], "old", "{rows}");
}
