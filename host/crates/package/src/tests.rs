//! Packages made by hand, whole and in every way wrong.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use host_loader::Digest;
use host_model::Version;
use host_model::release::{ReleaseFile, ReleaseManifest, ReleasePlugin, Start};
use host_model::setting::{PluginSetting, SettingKind};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;

/// A folder with packages in it, and one to install them in.
struct Bench(TempDir);

/// An entry of an archive.
type Entry<'a> = (&'a str, EntryType, &'a [u8]);

fn file<'a>(name: &'a str, bytes: &'a [u8]) -> Entry<'a> {
    (name, EntryType::Regular, bytes)
}

pub(crate) fn manifest() -> ReleaseManifest {
    let file = |file: &str, bytes: &[u8]| ReleaseFile {
        file: PathBuf::from(file),
        sha256: Digest::of(bytes).to_string(),
    };
    ReleaseManifest {
        name: "test".to_owned(),
        version: Version::new(0, 2, 0),
        host: Version::new(0, 1, 0),
        host_sha256: Digest::of(b"the host").to_string(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        libc: "2.36".to_owned(),
        plugins: vec![ReleasePlugin {
            name: "p".to_owned(),
            version: Version::new(0, 2, 0),
            file: PathBuf::from("plugins/p-0.2.0.so"),
            sha256: Digest::of(b"a library").to_string(),
            start: Start::Permanent,
            settings: Vec::new(),
            shape: None,
        }],
        upgrade_scripts: Vec::new(),
        config: vec![file("env", b"PORT=1\n")],
        documents: Vec::new(),
    }
}

fn machine() -> Machine {
    Machine {
        host: Version::new(0, 1, 0),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        libc: "2.36".to_owned(),
    }
}

fn json(manifest: &ReleaseManifest) -> Vec<u8> {
    serde_json::to_vec(manifest).unwrap()
}

const HOST: Entry<'_> = ("bin/host", EntryType::Regular, b"the host");
const ENV: Entry<'_> = ("env", EntryType::Regular, b"PORT=1\n");
const LIBRARY: Entry<'_> = ("plugins/p-0.2.0.so", EntryType::Regular, b"a library");

/// An archive of these entries, whose names are written as they are.
fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_mode(0o777);
        header.set_size(bytes.len() as u64);
        if *kind == EntryType::Symlink {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

fn zst(tar: &[u8]) -> Vec<u8> {
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.include_checksum(true).unwrap();
    zstd.write_all(tar).unwrap();
    zstd.finish().unwrap()
}

/// A package of this manifest with all that [`manifest`] names.
fn whole(manifest: &ReleaseManifest) -> Vec<u8> {
    let text = json(manifest);
    zst(&tar(&[file("manifest.json", &text), HOST, ENV, LIBRARY]))
}

/// The same with this signature of `signed`.
fn whole_with_signature(pair: &minisign::KeyPair, signed: &[u8]) -> Vec<u8> {
    let made = minisign::sign(None, &pair.sk, signed, Some("x"), None).unwrap();
    let (text, made) = (json(&manifest()), made.into_string());
    let signature = file("manifest.json.minisig", made.as_bytes());
    let head = file("manifest.json", &text);
    zst(&tar(&[head, signature, HOST, ENV, LIBRARY]))
}

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn releases(&self) -> PathBuf {
        self.0.path().join("releases")
    }

    fn put(&self, bytes: &[u8]) -> PathBuf {
        let file = self.0.path().join("test-0.2.0.tar.zst");
        fs::write(&file, bytes).unwrap();
        file
    }

    fn install_with(&self, bytes: &[u8], keys: &TrustedKeys) -> Result<Installed, InstallError> {
        install(&self.put(bytes), &[self.releases()], None, keys, &machine())
    }

    fn install(&self, bytes: &[u8]) -> Result<Installed, InstallError> {
        self.install_with(bytes, &TrustedKeys::default())
    }

    /// Installs what is refused for this reason, and leaves nothing. The message.
    fn refuses(&self, bytes: &[u8], reason: &str) -> String {
        let error = self.install(bytes).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(!self.releases().exists(), "{error}: something is left");
        error.to_string()
    }
}

#[test]
fn a_package_becomes_a_release_and_once_is_enough() {
    let bench = Bench::new();
    let installed = bench.install(&whole(&manifest())).unwrap();
    assert_eq!(installed.manifest, manifest());
    assert!(!installed.was_there);
    let dir = bench.releases().join("0.2.0");
    assert_eq!(installed.dir, dir);
    for (name, _, bytes) in [HOST, ENV, LIBRARY] {
        assert_eq!(fs::read(dir.join(name)).unwrap(), bytes);
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode();
        let wanted = if name == "bin/host" { 0o755 } else { 0o644 };
        assert_eq!(mode & 0o777, wanted, "{name}: not the archive's 0777");
    }
    assert!(bench.install(&whole(&manifest())).unwrap().was_there);
    // Another build under the same number.
    let mut other = manifest();
    other.name = "other".to_owned();
    let error = bench.install(&whole(&other)).unwrap_err();
    assert_eq!(error.reason(), "installed_already", "{error}");
    assert!(
        error
            .to_string()
            .contains("(only its manifest.json is another)")
    );
    assert_eq!(fs::read_dir(bench.releases()).unwrap().count(), 1);
}

#[test]
fn a_pipe_is_no_package_and_is_not_waited_for() {
    let bench = Bench::new();
    let pipe = bench.0.path().join("test-0.2.0.tar.zst");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let releases = [bench.releases()];
    let keys = TrustedKeys::default();
    let error = install(&pipe, &releases, None, &keys, &machine()).unwrap_err();
    assert!(error.to_string().contains("no regular file"), "{error}");
}

#[test]
fn a_package_of_gzip_is_one_too() {
    let bench = Bench::new();
    let text = json(&manifest());
    let tar = tar(&[file("manifest.json", &text), HOST, ENV, LIBRARY]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&tar).unwrap();
    bench.install(&gzip.finish().unwrap()).unwrap();
}

#[test]
fn a_package_that_is_cut_anywhere_or_has_a_flipped_bit_leaves_nothing() {
    let bench = Bench::new();
    let package = whole(&manifest());
    for end in (0..package.len()).step_by(7) {
        let error = bench.install(&package[..end]).unwrap_err();
        let reason = error.reason();
        assert!(
            matches!(reason, "damaged_package" | "no_package" | "bad_package"),
            "{end}: {error}"
        );
        assert!(!bench.releases().exists(), "{end}");
    }
    for at in (0..package.len()).step_by(3) {
        let mut flipped = package.clone();
        flipped[at] ^= 0x10;
        // A bit of the frame's header may say nothing that matters.
        match bench.install(&flipped) {
            Err(_) => assert!(!bench.releases().exists(), "{at}"),
            Ok(installed) => {
                let host = fs::read(installed.dir.join("bin/host")).unwrap();
                assert_eq!(host, b"the host", "{at}");
                fs::remove_dir_all(bench.releases()).unwrap();
            }
        }
    }
    let said = bench.refuses(b"#!/bin/sh\n", "bad_package");
    assert!(said.contains("neither as zstd nor as gzip"), "{said}");
}

#[test]
fn what_is_in_it_and_not_in_the_manifest_is_refused() {
    let bench = Bench::new();
    let text = json(&manifest());
    let head = file("manifest.json", &text);
    for entry in [
        file("../../outside", b"x"),
        file("/tmp/outside", b"x"),
        file("plugins/../env", b"PORT=1\n"),
        file("./env", b"PORT=1\n"),
        file("plugins/other.so", b"x"),
        ("env", EntryType::Symlink, b""),
        ("plugins/p-0.2.0.so", EntryType::Link, b""),
        ("plugins", EntryType::Directory, b""),
        ("env", EntryType::Char, b""),
        // A long name, and whatever else stands before an entry.
        ("././@LongLink", EntryType::GNULongName, b"../outside"),
        ("x", EntryType::XHeader, b"20 path=../outside\n"),
    ] {
        let package = zst(&tar(&[head, entry, HOST, ENV, LIBRARY]));
        let said = bench.refuses(&package, "bad_package");
        assert!(said.contains("do not trust it"), "{said}");
        assert!(!bench.0.path().join("outside").exists());
    }
    // Twice, not first, missing, other bytes.
    let twice = zst(&tar(&[head, HOST, HOST, ENV, LIBRARY]));
    bench.refuses(&twice, "bad_package");
    bench.refuses(&zst(&tar(&[HOST, head, ENV, LIBRARY])), "bad_package");
    let said = bench.refuses(&zst(&tar(&[head, HOST, ENV])), "damaged_package");
    assert!(said.contains("plugins/p-0.2.0.so is not in it"), "{said}");
    let other = file("env", b"PORT=2\n");
    let said = bench.refuses(&zst(&tar(&[head, HOST, other, LIBRARY])), "damaged_package");
    assert!(said.contains("env has not the digest"), "{said}");
}

#[test]
fn a_manifest_that_names_what_is_no_file_of_a_release_is_refused() {
    let bench = Bench::new();
    for path in [
        "../env",
        "/etc/passwd",
        "etc/env",
        "plugins/a/b",
        "bin/sh",
        "plugins/\u{1b}[2J.so",
        "",
    ] {
        let mut manifest = manifest();
        manifest.plugins[0].file = PathBuf::from(path);
        let said = bench.refuses(&whole(&manifest), "damaged_package");
        assert!(said.contains("no release has such a file"), "{said}");
    }
    let mut large = manifest();
    let host_toml = vec![b'#'; 2 << 20];
    large.config[0].file = PathBuf::from("host.toml");
    large.config[0].sha256 = Digest::of(&host_toml).to_string();
    let text = json(&large);
    let package = tar(&[
        file("manifest.json", &text),
        HOST,
        file("host.toml", &host_toml),
    ]);
    let said = bench.refuses(&zst(&package), "bad_package");
    assert!(said.contains("larger than"), "{said}");
}

#[test]
fn a_manifest_with_a_name_that_no_release_has_is_refused() {
    let bench = Bench::new();
    let long = "a".repeat(65);
    for name in ["", "../x", "..", "-x", "a b", "a\u{1b}[31m", &long] {
        let mut manifest = manifest();
        manifest.name = name.to_owned();
        let said = bench.refuses(&whole(&manifest), "bad_package");
        assert!(said.contains(&format!("has the name {name:?}")), "{said}");
    }
    for name in ["", "../x", "P", "a:b"] {
        let mut manifest = manifest();
        manifest.plugins[0].name = name.to_owned();
        let said = bench.refuses(&whole(&manifest), "bad_package");
        assert!(said.contains(&format!("has a plugin {name:?}")), "{said}");
    }
    let mut manifest = manifest();
    manifest.plugins[0].settings = vec![PluginSetting {
        name: "a b".to_owned(),
        kind: SettingKind::Text,
        default: None,
        required: false,
        secret: false,
        about: String::new(),
    }];
    let said = bench.refuses(&whole(&manifest), "bad_package");
    assert!(said.contains("its setting \"a b\""), "{said}");
}

#[test]
fn what_a_package_says_of_itself_has_no_control_characters() {
    let bench = Bench::new();
    let mut manifest = manifest();
    manifest.target = "\u{1b}[2Jriscv64\nall is well".to_owned();
    let said = bench.refuses(&whole(&manifest), "does_not_fit");
    assert!(said.contains("\u{fffd}[2Jriscv64\u{fffd}all"), "{said}");
    let text = String::from_utf8(json(&self::manifest())).unwrap();
    let text = text.replace("\"permanent\"", "\"\\u001b[2J\"");
    let package = zst(&tar(&[file("manifest.json", text.as_bytes())]));
    let said = bench.refuses(&package, "damaged_package");
    assert!(said.contains("\u{fffd}[2J"), "{said}");
}

#[test]
fn a_release_for_another_machine_is_refused_with_all_reasons() {
    let bench = Bench::new();
    let mut manifest = manifest();
    manifest.target = "riscv64gc-unknown-linux-gnu".to_owned();
    manifest.libc = "9.99".to_owned();
    manifest.host = Version::new(7, 0, 0);
    let said = bench.refuses(&whole(&manifest), "does_not_fit");
    for wanted in ["riscv64gc", "glibc 9.99", "host 7.0.0"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

#[test]
fn with_trusted_keys_a_package_must_be_signed_by_one() {
    let bench = Bench::new();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let stranger = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = bench.0.path().join("key.pub");
    fs::write(&key, pair.pk.to_box().unwrap().into_string()).unwrap();
    let keys = TrustedKeys::read(&key).unwrap();
    let text = json(&manifest());
    for (package, wanted) in [
        (whole(&manifest()), "it is not signed"),
        (whole_with_signature(&stranger, &text), "not among the 1"),
        (whole_with_signature(&pair, b"{}"), "it was altered"),
    ] {
        let error = bench.install_with(&package, &keys).unwrap_err();
        assert_eq!(error.reason(), "untrusted");
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(!bench.releases().exists());
    }
    let signed = whole_with_signature(&pair, &text);
    let installed = bench.install_with(&signed, &keys).unwrap();
    assert_eq!(keys.problem(&installed.dir), None);
}

#[test]
fn what_is_damaged_of_a_release_is_repaired_and_nothing_else_is_touched() {
    let bench = Bench::new();
    let dir = bench.install(&whole(&manifest())).unwrap().dir;
    fs::write(dir.join("env"), "PORT=2\n").unwrap();
    fs::remove_dir_all(dir.join("plugins")).unwrap();
    fs::write(dir.join("notes"), "an operator's").unwrap();
    let again = bench.install(&whole(&manifest())).unwrap();
    assert!(again.was_there);
    let files = ["plugins/p-0.2.0.so", "env"].map(PathBuf::from);
    assert_eq!(again.repaired, files);
    for (name, _, bytes) in [HOST, ENV, LIBRARY] {
        assert_eq!(fs::read(dir.join(name)).unwrap(), bytes);
    }
    assert!(dir.join("notes").exists());
    assert_eq!(fs::read_dir(bench.releases()).unwrap().count(), 1);
    // What repairs it must be whole itself.
    fs::write(dir.join("env"), "PORT=2\n").unwrap();
    let package = whole(&manifest());
    let error = bench.install(&package[..package.len() - 9]).unwrap_err();
    assert_eq!(error.reason(), "damaged_package", "{error}");
    assert_eq!(fs::read(dir.join("env")).unwrap(), b"PORT=2\n");
    // A signature comes to what nobody has vouched for, and stays.
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    let key = bench.0.path().join("key.pub");
    fs::write(&key, pair.pk.to_box().unwrap().into_string()).unwrap();
    let keys = TrustedKeys::read(&key).unwrap();
    assert!(keys.problem(&dir).is_some());
    let signed = whole_with_signature(&pair, &json(&manifest()));
    let again = bench.install_with(&signed, &keys).unwrap();
    let files = ["env", "manifest.json.minisig"].map(PathBuf::from);
    assert_eq!(again.repaired, files);
    assert_eq!(keys.problem(&dir), None);
    let again = bench.install(&whole(&manifest())).unwrap();
    assert!(again.repaired.is_empty(), "{:?}", again.repaired);
    assert_eq!(keys.problem(&dir), None);
}

#[test]
fn a_release_of_the_home_is_not_installed_beside_it_again() {
    let bench = Bench::new();
    let package = bench.put(&whole(&manifest()));
    let [home, data] = ["home", "data"].map(|name| bench.0.path().join(name));
    let keys = TrustedKeys::default();
    let put = |releases: &[PathBuf]| install(&package, releases, None, &keys, &machine());
    put(std::slice::from_ref(&home)).unwrap();
    let both = [home.clone(), data.clone()];
    assert!(put(&both).unwrap().was_there);
    // Where another build has the number, the new one would be hidden.
    let mut other = manifest();
    other.name = "other".to_owned();
    fs::write(home.join("0.2.0/manifest.json"), json(&other)).unwrap();
    let error = put(&both).unwrap_err();
    assert_eq!(error.reason(), "installed_already", "{error}");
    assert!(!data.exists());
}

#[test]
fn two_at_once_and_what_one_has_left_that_was_killed() {
    let bench = Bench::new();
    fs::create_dir_all(bench.releases().join(".install-killed/bin")).unwrap();
    let folder = fs::File::open(bench.releases()).unwrap();
    let lock = rustix::fs::FlockOperation::LockExclusive;
    rustix::fs::flock(&folder, lock).unwrap();
    let error = bench.install(&whole(&manifest())).unwrap_err();
    assert_eq!(error.reason(), "busy", "{error}");
    drop(folder);
    bench.install(&whole(&manifest())).unwrap();
    let names = fs::read_dir(bench.releases()).unwrap();
    let names: Vec<_> = names.map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["0.2.0"]);
}

#[test]
fn a_package_that_lies_where_its_release_belongs_stays_beside_it() {
    let bench = Bench::new();
    let dir = bench.releases().join("0.2.0");
    fs::create_dir_all(&dir).unwrap();
    let releases = [bench.releases()];
    let version = Version::new(0, 2, 0);
    assert_eq!(lying(&releases, &version).unwrap(), None);
    let package = dir.join("test-0.2.0.tar.zst");
    fs::write(&package, whole(&manifest())).unwrap();
    assert_eq!(lying(&releases, &version).unwrap(), Some(package.clone()));
    let keys = TrustedKeys::default();
    let wanted = Some(Version::new(0, 3, 0));
    let error = install(&package, &releases, wanted.as_ref(), &keys, &machine());
    assert_eq!(error.unwrap_err().reason(), "bad_package");
    install(&package, &releases, Some(&version), &keys, &machine()).unwrap();
    assert!(package.is_file() && dir.join("bin/host").is_file());
    assert_eq!(lying(&releases, &version).unwrap(), None);
    assert_eq!(fs::read_dir(&releases[0]).unwrap().count(), 1);
    // Two, and something else.
    let other = bench.releases().join("0.3.0");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.tar.gz"), "").unwrap();
    fs::write(other.join("b.tar.zst"), "").unwrap();
    let several = lying(&releases, &Version::new(0, 3, 0)).unwrap_err();
    assert_eq!(several.reason(), "several_packages");
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("notes"), "").unwrap();
    let error = bench.install(&whole(&manifest())).unwrap_err();
    assert_eq!(error.reason(), "installed_already", "{error}");
    assert_eq!(fs::read_dir(Path::new(&dir)).unwrap().count(), 1);
}
