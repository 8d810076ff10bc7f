//! Where the libraries are. Cargo builds no cdylib for a test, so this asks for
//! them once, and a test never meets one that is older than its source.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

const PACKAGES: [&str; 8] = [
    "donations-v0-1-0",
    "donations-v0-2-0",
    "donations-v0-3-0",
    "faulty-v0-1-0",
    "faulty-v0-2-0",
    "raw-v0-1-0",
    "zakat-v0-1-0",
    "zakat-v0-2-0",
];

/// `target/debug`, or whatever profile this test was built with.
static PROFILE_DIR: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().unwrap();
    let profile_dir = test.parent().and_then(Path::parent).unwrap();
    build(profile_dir);
    profile_dir.to_owned()
});

/// The library of a package in [`PACKAGES`].
pub(crate) fn library(package: &str) -> PathBuf {
    assert!(PACKAGES.contains(&package), "{package} is not in PACKAGES");
    PROFILE_DIR.join(format!("lib{}.so", package.replace('-', "_")))
}

/// The example `inspect`.
pub(crate) fn inspector() -> PathBuf {
    PROFILE_DIR.join("examples/inspect")
}

/// A copy of `raw` in `folder` with its marker overwritten: see the file `marker.rs` there.
pub(crate) fn raw(folder: &Path, behaviour: &str) -> PathBuf {
    const MARKER: &[u8; 32] = b"BEHAVIOUR=fine                  ";
    let told = format!("BEHAVIOUR={behaviour:<22}");
    assert_eq!(told.len(), MARKER.len(), "{behaviour} is too long");
    let mut bytes = fs::read(library("raw-v0-1-0")).unwrap();
    let at: Vec<usize> = bytes
        .windows(MARKER.len())
        .enumerate()
        .filter_map(|(at, window)| (window == MARKER).then_some(at))
        .collect();
    assert_eq!(at.len(), 1, "the marker stands in the library once");
    bytes[at[0]..at[0] + MARKER.len()].copy_from_slice(told.as_bytes());
    let copy = folder.join(format!("raw-{behaviour}.so"));
    fs::write(&copy, bytes).unwrap();
    copy
}

fn build(profile_dir: &Path) {
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--quiet", "--profile", profile, "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(profile_dir.parent().unwrap())
        .args(["--lib", "--example", "inspect", "-p", "host-loader"]);
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    let built = command.status().unwrap();
    assert!(
        built.success(),
        "the libraries cannot be built; see what {command:?} says"
    );
}
