//! Everything that is wrong, at once.

use host_model::release::{ReleaseFile, Start};

use super::*;

fn machine() -> Machine {
    Machine {
        host: Version::new(0, 1, 0),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        libc: "2.36".to_owned(),
        images: PathBuf::from("/nowhere"),
        store: None,
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
