//! What the child meets, so that the host need not.

use std::time::{Duration, Instant};

use host_loader::{Digest, InspectError, Inspector, LoadError, Loader};
use host_model::limits::INSPECT_TIMEOUT;

use crate::{Bench, built};

#[test]
fn a_start_that_ends_the_process() {
    let bench = Bench::new();
    for (behaviour, how) in [
        ("init_panics", "signal 6"),
        ("init_segfaults", "signal 11"),
        ("init_exits", "exit code 0"),
    ] {
        let message = bench.refuse_raw(behaviour);
        let wanted = format!("ended the process that inspected it ({how})");
        assert!(message.contains(&wanted), "{message}");
        assert!(
            message.ends_with("the plugin is broken, and the host has not opened it"),
            "{message}"
        );
    }
}

#[test]
fn a_start_that_fails_in_order() {
    let message = Bench::new().refuse_raw("init_fails");
    assert!(
        message.ends_with("raw 0.1.0 failed in init: init fails, as it was told to"),
        "{message}"
    );
}

#[test]
fn a_start_that_never_ends() {
    let bench = Bench::new();
    let began = Instant::now();
    let message = bench.refuse_raw("init_hangs");
    assert!(
        message.contains("had not started after 10 s and the process that inspected it was killed"),
        "{message}"
    );
    let took = began.elapsed();
    assert!(
        (INSPECT_TIMEOUT..INSPECT_TIMEOUT + Duration::from_secs(10)).contains(&took),
        "it took {took:?}"
    );
}

#[test]
fn a_start_that_forges_a_report() {
    let bench = Bench::new();
    assert_eq!(bench.open_raw("init_prints").unwrap().name(), "raw");
}

#[test]
fn a_library_that_is_only_inspected() {
    let bench = Bench::new();
    let library = built::library("donations-v0-2-0");
    let digest = Digest::of(&std::fs::read(&library).unwrap());
    let manifest = bench.loader.inspect(&library, Some(digest), None).unwrap();
    assert_eq!(manifest.name, "donations");
    assert_eq!(manifest.version.to_string(), "0.2.0");
    assert!(manifest.has_command("donate") && manifest.has_query("summary"));
    assert_eq!(manifest.idempotency["donate"], "donation_id");
    assert!(bench.loader.resident().is_empty());
    let images = bench.folder.path().join("images");
    assert_eq!(std::fs::read_dir(images).unwrap().count(), 0);
}

#[test]
fn another_library_than_the_expected_one_is_not_even_inspected() {
    let bench = Bench::new();
    let ran = bench.folder.path().join("ran");
    let program = bench.folder.path().join("inspector");
    let text = format!("#!/bin/sh\ntouch {}\n", ran.display());
    std::fs::write(&program, text).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).unwrap();
    let inspector = Inspector {
        program,
        args: Vec::new(),
    };
    let loader = Loader::new(&bench.folder.path().join("others"), inspector).unwrap();
    let library = built::library("donations-v0-2-0");
    let error = loader
        .inspect(&library, Some(Digest::of(b"another")), None)
        .unwrap_err();
    assert!(matches!(error, LoadError::Digest { .. }), "{error:?}");
    assert!(!ran.exists(), "a child has opened it");
}

#[test]
fn a_child_that_is_not_there_or_says_nothing() {
    let bench = Bench::new();
    let library = built::library("faulty-v0-1-0");
    let images = bench.folder.path().join("others");
    let load = |program: &str| {
        let inspector = Inspector {
            program: program.into(),
            args: Vec::new(),
        };
        let loader = Loader::new(&images, inspector).unwrap();
        loader.load(&library, None).unwrap_err()
    };
    let error = load("/nonexistent/host");
    assert!(
        matches!(error, LoadError::Inspect(InspectError::Start { .. })),
        "{error:?}"
    );
    let wanted = format!("start /nonexistent/host to inspect {}", library.display());
    assert_eq!(error.to_string(), wanted);
    // Ends well, and has reported nothing: that is no plugin.
    let error = load("true");
    assert!(error.to_string().contains("(exit code 0)"), "{error}");
}

/// A process that a start left behind holds the child's standard output for half a minute.
#[test]
fn a_start_that_leaves_a_process_behind_is_not_waited_for() {
    let bench = Bench::new();
    let began = Instant::now();
    let opened = bench.open_raw("init_spawns");
    let took = began.elapsed();
    assert!(took < INSPECT_TIMEOUT, "it took {took:?}: {opened:?}");
}
