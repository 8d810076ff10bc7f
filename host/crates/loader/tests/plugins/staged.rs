//! The folder for copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use host_loader::{Inspector, LoadError, Loader, StageError};

use crate::{Bench, built};

/// In the environment of the process that finds a `noexec` folder there.
const NOEXEC_DIR: &str = "HOST_LOADER_TEST_NOEXEC_DIR";

/// The test runs itself again where it may mount: in a namespace of its own, so
/// that neither the machine nor another test sees it. Where that is not allowed,
/// `/proc` is a file system without exec, as most distributions mount it.
#[test]
fn a_folder_where_nothing_may_be_executed() {
    if let Some(folder) = std::env::var_os(NOEXEC_DIR) {
        return refuse(Path::new(&folder));
    }
    let folder = tempfile::TempDir::new().unwrap();
    let mount = r#"mount -t tmpfs -o noexec none "$0" && exec "$@""#;
    let again = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", mount])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "staged::a_folder_where_nothing_may_be_executed"])
        .env(NOEXEC_DIR, folder.path())
        .output();
    match again {
        Ok(again) if again.status.success() => {
            let said = String::from_utf8_lossy(&again.stdout);
            assert!(said.contains("1 passed"), "{said}");
        }
        Ok(again) if again.status.code() == Some(101) => {
            panic!("{}", String::from_utf8_lossy(&again.stdout))
        }
        _ => refuse(Path::new("/proc")),
    }
}

/// These tests inspect nothing.
fn inspector() -> Inspector {
    Inspector {
        program: "false".into(),
        args: Vec::new(),
    }
}

#[track_caller]
fn refuse(folder: &Path) {
    let error = Loader::new(folder, inspector()).unwrap_err();
    assert!(
        matches!(error, StageError::NoExec { .. }),
        "neither can a file system be mounted here nor is /proc noexec ({error:?}); \
         run this test as root, or where unshare is allowed"
    );
    let wanted = format!("{} lies on a file system mounted noexec", folder.display());
    assert!(error.to_string().starts_with(&wanted), "{error}");
    assert!(error.to_string().contains("set HOST_DATA"), "{error}");
}

#[test]
fn what_an_earlier_process_left_is_removed() {
    let folder = tempfile::TempDir::new().unwrap();
    let images = folder.path().join("images");
    fs::create_dir(&images).unwrap();
    for name in ["old-0123.so", "notes.txt"] {
        fs::write(images.join(name), "").unwrap();
    }
    Loader::new(&images, inspector()).unwrap();
    assert!(!images.join("old-0123.so").exists());
    assert!(images.join("notes.txt").exists());
}

#[test]
fn a_folder_that_cannot_be_made() {
    let error = Loader::new(Path::new("/proc/self/images"), inspector()).unwrap_err();
    assert!(matches!(error, StageError::Write { .. }), "{error:?}");
    assert!(error.to_string().contains("/proc/self/images"), "{error}");
}

#[test]
fn a_folder_that_was_taken_away() {
    let bench = Bench::new();
    fs::remove_dir(bench.folder.path().join("images")).unwrap();
    let error = bench.loader.load(&built::library("raw-v0-1-0"), None);
    let error = error.unwrap_err();
    assert!(
        matches!(error, LoadError::Stage(StageError::Write { .. })),
        "{error:?}"
    );
    assert!(error.to_string().starts_with("write a copy to "), "{error}");
}

#[test]
fn copies_are_read_only_and_have_a_name_of_their_own() {
    let bench = Bench::new();
    let plugin = bench.open("faulty-v0-1-0");
    let images = fs::read_dir(bench.folder.path().join("images")).unwrap();
    let images: Vec<_> = images.map(|entry| entry.unwrap()).collect();
    let [image] = &images[..] else {
        panic!("{images:?}");
    };
    let mode = image.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o444);
    let name = image.file_name().into_string().unwrap();
    let digest = &plugin.digest().to_string()[..16];
    assert!(
        name.starts_with(&format!("libfaulty_v0_1_0-{digest}-")),
        "{name}"
    );
    let mapped = fs::read_to_string("/proc/self/maps").unwrap();
    assert!(mapped.contains(&image.path().display().to_string()));
    // Debug information is in the file, and is not mapped.
    let of_file = usize::try_from(image.metadata().unwrap().len()).unwrap();
    assert!((1..of_file).contains(&plugin.bytes()), "{}", plugin.bytes());
}
