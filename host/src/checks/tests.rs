//! Each mistake alone, in production and in development.

use super::*;

/// A host in order, in production.
fn sound() -> Facts {
    Facts {
        environment: Environment::Prod,
        is_root: false,
        allow_root: false,
        is_debug: false,
        allow_debug: false,
        group_memory_bytes: Some(1 << 30),
        has_cpu_limit: true,
        memory_bytes: 700 << 20,
        files: 65_536,
        connections: 65_000,
        pool: Pool::Asked { size: 10, max: 97 },
        addresses_missing: Vec::new(),
        listen_from: "etc/env".to_owned(),
        certificate: Vec::new(),
        key_is_open: false,
        unwritable: Vec::new(),
        images: "/srv/giving/images".into(),
        images_noexec: false,
    }
}

fn dev(facts: Facts) -> Facts {
    Facts {
        environment: Environment::Dev,
        ..facts
    }
}

#[track_caller]
fn refused(facts: &Facts, word: &str) {
    let Findings { refusals, warnings } = judge(facts);
    assert!(
        matches!(&refusals[..], [why] if why.contains(word)),
        "{refusals:?}"
    );
    assert_eq!(warnings, [""; 0]);
}

#[track_caller]
fn warned(facts: &Facts, word: &str) {
    let Findings { refusals, warnings } = judge(facts);
    assert!(
        matches!(&warnings[..], [why] if why.contains(word)),
        "{warnings:?}"
    );
    assert_eq!(refusals, [""; 0]);
}

#[track_caller]
fn passed(facts: &Facts) {
    assert_eq!(judge(facts), Findings::default());
}

#[test]
fn a_host_in_order_passes() {
    passed(&sound());
}

#[test]
fn root_is_refused_in_production_unless_it_is_allowed() {
    let mut facts = sound();
    facts.is_root = true;
    refused(&facts, "--allow-root");
    passed(&dev(facts.clone()));
    facts.allow_root = true;
    passed(&facts);
}

#[test]
fn a_debug_build_is_refused_in_production_unless_it_is_allowed() {
    let mut facts = sound();
    facts.is_debug = true;
    refused(&facts, "--allow-debug");
    passed(&dev(facts.clone()));
    facts.allow_debug = true;
    passed(&facts);
}

#[test]
fn a_group_without_a_limit_of_memory_is_warned_of() {
    let mut facts = sound();
    facts.group_memory_bytes = None;
    warned(&facts, "MemoryMax=");
    passed(&dev(facts));
}

#[test]
fn a_group_without_a_limit_of_processor_time_is_warned_of() {
    let mut facts = sound();
    facts.has_cpu_limit = false;
    warned(&facts, "CPUQuota=");
    passed(&dev(facts));
}

#[test]
fn a_pool_that_the_server_cannot_fill_is_warned_of() {
    let mut facts = sound();
    facts.pool = Pool::Asked { size: 98, max: 97 };
    warned(&facts, "POOL_SIZE is 98");
    warned(&dev(facts.clone()), "POOL_SIZE is 98");
    facts.pool = Pool::Unknown("it is away".to_owned());
    warned(&facts, "not known: it is away");
    facts.pool = Pool::None;
    passed(&facts);
}

#[test]
fn few_open_files_are_warned_of() {
    let mut facts = sound();
    (facts.files, facts.connections) = (1_024, 752);
    warned(&facts, "room for 752 connections");
    passed(&dev(facts));
}

#[test]
fn a_bound_of_memory_that_the_group_does_not_have_is_warned_of() {
    let mut facts = sound();
    facts.memory_bytes = 1 << 30;
    warned(&facts, "RUNTIME_LIMITS_MEMORY_BYTES is 1073741824");
    warned(&dev(facts), "before actors make room");
}

#[test]
fn images_that_may_not_be_executed_are_named() {
    let mut facts = sound();
    facts.images_noexec = true;
    refused(&facts, "/srv/giving/images is on a file system");
    refused(&dev(facts), "noexec");
}

#[test]
fn an_address_that_the_machine_has_not_is_refused() {
    let mut facts = sound();
    facts.addresses_missing = vec!["192.0.2.1:4000".parse().unwrap()];
    refused(&facts, "LISTEN (etc/env) has 192.0.2.1:4000");
    refused(&dev(facts), "no such address");
}

#[test]
fn what_is_odd_about_a_certificate_is_warned_of() {
    let mut facts = sound();
    facts.certificate = vec!["the certificate was valid until then".to_owned()];
    warned(&facts, "TLS_CERT_FILE: the certificate was valid");
    warned(&dev(facts), "valid until");
    let mut facts = sound();
    facts.key_is_open = true;
    warned(&facts, "TLS_KEY_FILE may be read by everyone");
}
