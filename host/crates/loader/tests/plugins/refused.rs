//! Files that are no plugin, or not one of this host's.

use std::fs;
use std::path::{Path, PathBuf};

use host_loader::{Digest, InspectError, LoadError, StageError};
use host_model::limits::PLUGIN_BYTES_MAX;

use crate::{Bench, built};

/// A shared object that is no plugin: the unwinder, which this process has open.
fn no_plugin() -> PathBuf {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let paths = maps
        .lines()
        .filter_map(|line| line.split_whitespace().nth(5));
    paths
        .map(Path::new)
        .find(|path| path.to_string_lossy().contains("/libgcc_s.so"))
        .expect("a Rust program for glibc has its unwinder open")
        .to_owned()
}

#[track_caller]
fn refuse(bench: &Bench, library: &Path) -> String {
    let error = bench.loader.load(library, None).unwrap_err();
    assert!(
        matches!(error, LoadError::Inspect(InspectError::Refused { .. })),
        "{error:?}"
    );
    assert!(bench.loader.resident().is_empty());
    error.to_string()
}

#[test]
fn a_file_that_is_no_shared_object() {
    let bench = Bench::new();
    let text = bench.folder.path().join("plugin.so");
    fs::write(&text, "#!/bin/sh\n").unwrap();
    let message = refuse(&bench, &text);
    let wanted = format!(
        "{} is not a shared object that can be opened here",
        text.display()
    );
    assert!(message.starts_with(&wanted), "{message}");
    assert!(message.contains("build it as a cdylib"), "{message}");

    fs::write(&text, "").unwrap();
    assert!(refuse(&bench, &text).starts_with(&wanted));
}

#[test]
fn a_file_that_is_not_there_or_a_folder() {
    let bench = Bench::new();
    for path in [bench.folder.path().join("none.so"), "/".into()] {
        let error = bench.loader.load(&path, None).unwrap_err();
        assert!(matches!(error, LoadError::Stage(_)), "{error:?}");
        let wanted = format!("read the plugin library {}", path.display());
        assert_eq!(error.to_string(), wanted);
    }
}

#[test]
fn a_file_that_is_too_large_for_a_plugin() {
    let bench = Bench::new();
    let path = bench.folder.path().join("large.so");
    let large = fs::File::create(&path).unwrap();
    large.set_len(PLUGIN_BYTES_MAX + 1).unwrap();
    let error = bench.loader.load(&path, None).unwrap_err();
    let LoadError::Stage(StageError::Read { source, .. }) = error else {
        panic!("{error:?}");
    };
    let wanted = "it has 268435457 bytes, where at most 268435456 bytes are taken";
    assert_eq!(source.to_string(), wanted);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let bench = Bench::new();
    let fifo = bench.folder.path().join("fifo.so");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for path in [fifo.as_path(), Path::new("/dev/zero")] {
        let error = bench.loader.inspect(path, None, None).unwrap_err();
        let LoadError::Stage(StageError::Read { source, .. }) = error else {
            panic!("{error:?}");
        };
        assert_eq!(source.to_string(), "it is no regular file");
    }
}

#[test]
fn a_shared_object_that_is_no_plugin() {
    let message = refuse(&Bench::new(), &no_plugin());
    assert!(
        message.contains("has no symbol host_plugin_entry"),
        "{message}"
    );
    assert!(message.contains("export_plugin!"), "{message}");
}

#[test]
fn a_library_that_was_cut_short() {
    let bench = Bench::new();
    let whole = fs::read(built::library("faulty-v0-1-0")).unwrap();
    let cut = bench.folder.path().join("cut.so");
    // In the middle of the header, of the code, and of the sections' names at the end.
    for len in [40, whole.len() / 2, whole.len() - 1] {
        fs::write(&cut, &whole[..len]).unwrap();
        let digest = Digest::of(&whole);
        let error = bench.loader.load(&cut, Some(digest)).unwrap_err();
        assert!(matches!(error, LoadError::Digest { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.contains("changed or cut short"), "{message}");
        assert!(message.contains(&digest.to_string()), "{message}");
    }
    // Without a digest it is its own header that says so, wherever it was cut.
    for len in [64, 64 << 10, whole.len() / 2, whole.len() - 1] {
        fs::write(&cut, &whole[..len]).unwrap();
        for error in [
            bench.loader.load(&cut, None).unwrap_err(),
            bench
                .loader
                .inspect(&cut, Some(Digest::of(&whole[..len])), None)
                .unwrap_err(),
        ] {
            assert!(
                matches!(error, LoadError::Stage(StageError::CutShort { .. })),
                "{error:?}"
            );
            let wanted = format!("cut.so was cut short: it has {len} bytes of ");
            assert!(error.to_string().contains(&wanted), "{error}");
        }
    }
    // Without a whole header it is nothing.
    fs::write(&cut, &whole[..40]).unwrap();
    assert!(refuse(&bench, &cut).contains("check that it is whole"));
    assert!(bench.loader.resident().is_empty());
}

#[test]
fn a_digest_that_is_not_the_manifests() {
    let bench = Bench::new();
    let library = built::library("faulty-v0-1-0");
    let expected = Digest::of(b"another library");
    let found = Digest::of(&fs::read(&library).unwrap());
    let message = bench.loader.load(&library, Some(expected)).unwrap_err();
    let wanted = format!(
        "{} has the digest {found}, and its manifest says {expected}: \
         the file was changed or cut short; install the release again",
        library.display()
    );
    assert_eq!(message.to_string(), wanted);
    assert!(bench.loader.resident().is_empty());
    // It is not held against the library.
    assert!(bench.loader.load(&library, Some(found)).is_ok());
}

#[test]
fn a_table_that_is_not_there_or_too_short() {
    let bench = Bench::new();
    for (behaviour, bytes) in [("null_table", 0), ("short_header", 8)] {
        let message = bench.refuse_raw(behaviour);
        let wanted = format!("has a table of {bytes} bytes, and one of ABI 1 has at least ");
        assert!(message.contains(&wanted), "{message}");
    }
    let message = bench.refuse_raw("short_table");
    assert!(message.contains("has a table of "), "{message}");
}

#[test]
fn another_abi() {
    let bench = Bench::new();
    let message = bench.refuse_raw("other_major");
    assert!(
        message
            .ends_with("speaks ABI 2, and this host speaks 1: build it with the SDK of this host"),
        "{message}"
    );
    let message = bench.refuse_raw("other_hash");
    assert!(
        message.contains("lays out the ABI's types otherwise (hash 0x"),
        "{message}"
    );
    assert!(
        message.ends_with("build it with the SDK and the compiler of this host"),
        "{message}"
    );
}

#[test]
fn a_layout_that_only_the_full_check_finds() {
    let bench = Bench::new();
    let message = bench.refuse_raw("other_layout");
    assert!(
        message.contains("does not have this host's layout of PluginVt: "),
        "{message}"
    );
    // abi_stable says what it wanted and what it found.
    assert!(message.contains("HostApi"), "{message}");
    let message = bench.refuse_raw("no_layout");
    assert!(
        message.ends_with("layout of PluginVt: the plugin describes no such table"),
        "{message}"
    );
}

#[test]
fn a_manifest_that_says_nothing() {
    let bench = Bench::new();
    for behaviour in ["no_manifest", "bad_manifest"] {
        let message = bench.refuse_raw(behaviour);
        assert!(
            message.contains("its manifest is not what the ABI says"),
            "{message}"
        );
    }
}
