//! Which libraries are taken, and from where.

use std::fs;
use std::path::Path;

use host_loader::Inspector;

use super::*;
use crate::samples::release;
use host_package::TrustedKeys;

/// A public key of minisign.
const KEY: &str = "RWTIf+L11Ab2kGB+7wq9bUAD2Gep75MTM27s/lykSCPalQ2t+eqzgjgp";

/// One over the releases in `dir`, whose libraries nothing can open.
fn assembler(dir: &Path, keys: TrustedKeys) -> Assembler {
    let inspector = Inspector {
        program: PathBuf::from("/bin/false"),
        args: Vec::new(),
    };
    let loader = Loader::new(&dir.join("images"), inspector).unwrap();
    let releases = Releases::new(vec![dir.to_owned()]).trusting(keys);
    Assembler::new(Arc::new(loader), releases, Booked::default())
}

#[test]
fn a_version_that_is_needed_must_be_whole_and_others_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let assembler = assembler(dir.path(), TrustedKeys::default());
    let ruling = release(dir.path(), 3, "cc").manifest.plugins.remove(0);
    let between = release(dir.path(), 2, "bb");
    let version = &between.manifest.version;
    let readable = |installed: &[Unpacked], needed: &[(&str, &Version)]| {
        let needed = needed.iter().copied().collect();
        assembler.readable(&ruling, None, installed, &needed)
    };
    let installed = [between.clone()];
    assert_eq!(readable(&installed, &[]).unwrap().len(), 0);
    let other = readable(&installed, &[("q", version)]);
    assert_eq!(other.unwrap().len(), 0, "another plugin's");
    let broken = readable(&installed, &[("p", version)]).unwrap_err();
    assert!(matches!(broken, AssembleError::Load { .. }), "{broken}");
    let missing = readable(&[], &[("p", version)]).unwrap_err();
    assert!(
        matches!(missing, AssembleError::NotInstalled { .. }),
        "{missing}"
    );
}

#[test]
fn whom_a_start_is_with_is_known_until_it_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let assembler = assembler(dir.path(), TrustedKeys::default());
    let with = || assembler.opening().map(|(plugin, _)| plugin.version);
    let (ruling, other) = (release(dir.path(), 3, "cc"), release(dir.path(), 2, "bb"));
    assert_eq!(with(), None);
    let readable = assembler.readable(
        &ruling.manifest.plugins[0],
        None,
        std::slice::from_ref(&other),
        &BTreeSet::new(),
    );
    assert_eq!(readable.unwrap().len(), 0);
    assert_eq!(with(), Some(other.manifest.version));
    assembler.assemble(&ruling, false).unwrap_err();
    assert_eq!(with(), None, "it has failed");
}

#[test]
fn with_keys_only_what_has_run_here_is_taken_of_an_unsigned_release() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key.pub");
    fs::write(&key, KEY).unwrap();
    let assembler = assembler(dir.path(), TrustedKeys::read(&key).unwrap());
    let (known, changed) = (release(dir.path(), 1, "aa"), release(dir.path(), 2, "bb"));
    release(dir.path(), 3, "cc");
    assembler.know(&known.manifest);
    // Its number stood for another library.
    let mut before = changed.manifest;
    before.plugins[0].sha256 = "dd".repeat(32);
    assembler.know(&before);
    let found: Vec<_> = assembler
        .usable(&[])
        .iter()
        .map(|it| (it.manifest.version.minor, it.manifest.plugins.len()))
        .collect();
    assert_eq!(found, [(3, 0), (2, 0), (1, 1)]);
    assert_eq!(assembler.releases().readable().len(), 3);
}

#[test]
fn a_number_that_was_staged_stands_for_one_library_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let assembler = assembler(dir.path(), TrustedKeys::default());
    let release = |byte: &str| release(dir.path(), 2, byte);
    assembler.know(&release("aa").manifest);
    let refused = assembler.assemble(&release("bb"), false).unwrap_err();
    assert!(
        matches!(refused, AssembleError::OtherLibrary { .. }),
        "{refused}"
    );
    // The same library gets as far as its file.
    let missing = assembler.assemble(&release("aa"), false).unwrap_err();
    assert!(matches!(missing, AssembleError::Load { .. }), "{missing}");
}

#[test]
fn of_several_releases_with_one_number_the_ends_of_the_plan_come_first() {
    let dir = tempfile::tempdir().unwrap();
    let assembler = assembler(dir.path(), TrustedKeys::default());
    // All three say that they have the plugin in 0.2.0.
    for (minor, byte) in [(2, "aa"), (3, "bb"), (4, "cc")] {
        let mut release = release(dir.path(), minor, byte);
        release.manifest.plugins[0].version = Version::new(0, 2, 0);
        let text = serde_json::to_string(&release.manifest).unwrap();
        fs::write(release.dir.join("manifest.json"), text).unwrap();
    }
    let number = Version::new(0, 2, 0);
    let taken = |first: &[u64]| {
        let first: Vec<Version> = first.iter().map(|it| Version::new(0, *it, 0)).collect();
        let installed = assembler.usable(&first.iter().collect::<Vec<_>>());
        let (release, library) = assembler.library("p", &number, &installed).unwrap();
        (
            release.manifest.version.minor,
            library.sha256[..2].to_owned(),
        )
    };
    assert_eq!(taken(&[3, 2]), (3, "bb".to_owned()));
    assert_eq!(taken(&[2, 3]), (2, "aa".to_owned()));
    assert_eq!(taken(&[]), (4, "cc".to_owned()), "the highest");
    // What has run here under this number is it, whoever comes first.
    let known = assembler.releases().read(&number).unwrap();
    assembler.know(&known.manifest);
    assert_eq!(taken(&[3]), (2, "aa".to_owned()));
}
