//! What `deny.toml` says of licences, duplicates and sources, held without
//! cargo-deny: from what cargo itself knows.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::Package;

use crate::{none, tree};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn deny() -> toml::Table {
    tree::read("deny.toml").parse().expect("deny.toml is TOML")
}

fn texts(value: Option<&toml::Value>) -> BTreeSet<String> {
    let values = value.and_then(toml::Value::as_array).into_iter().flatten();
    values
        .filter_map(|value| Some(value.as_str()?.to_owned()))
        .collect()
}

/// The packages that a build for Linux takes up, tests included.
fn resolved() -> Vec<&'static Package> {
    let metadata = tree::metadata();
    let graph = metadata
        .resolve
        .as_ref()
        .expect("cargo resolves the project");
    graph.nodes.iter().map(|node| &metadata[&node.id]).collect()
}

/// Whether an SPDX expression can be met with these licences.
///
/// `OR` and the old `/` mean a choice, `AND` both; `WITH` belongs to the name
/// before it. <https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, allowed) && rest.is_empty()
}

fn either(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut holds = both(rest, allowed);
    while take(rest, "OR") {
        holds |= both(rest, allowed);
    }
    holds
}

fn both(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut holds = one(rest, allowed);
    while take(rest, "AND") {
        holds &= one(rest, allowed);
    }
    holds
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    if take(rest, "(") {
        let holds = either(rest, allowed);
        return take(rest, ")") && holds;
    }
    let Some((name, behind)) = rest.split_first() else {
        return false;
    };
    *rest = behind;
    let mut licence = (*name).to_owned();
    if take(rest, "WITH")
        && let Some((exception, behind)) = rest.split_first()
    {
        *rest = behind;
        licence = format!("{licence} WITH {exception}");
    }
    allowed.contains(&licence)
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    match rest.split_first() {
        Some((first, behind)) if *first == word => {
            *rest = behind;
            true
        }
        _ => false,
    }
}

#[test]
fn every_licence_is_allowed() {
    let deny = deny();
    let licences = &deny["licenses"];
    let allowed = texts(licences.get("allow"));
    let exceptions: BTreeMap<&str, BTreeSet<String>> = licences["exceptions"]
        .as_array()
        .expect("exceptions are a list")
        .iter()
        .map(|it| {
            (
                it["crate"].as_str().unwrap_or_default(),
                texts(it.get("allow")),
            )
        })
        .collect();
    let mut findings = Vec::new();
    for package in &tree::metadata().packages {
        let mut allowed = allowed.clone();
        allowed.extend(
            exceptions
                .get(package.name.as_str())
                .cloned()
                .unwrap_or_default(),
        );
        let licence = package.license.as_deref().unwrap_or("no licence");
        if !satisfied(licence, &allowed) {
            findings.push(format!("{} {}: {licence}", package.name, package.version));
        }
    }
    none(
        &findings,
        "choose another library, or allow the licence in deny.toml",
    );
}

#[test]
fn every_duplicate_is_skipped_with_a_reason_and_still_there() {
    let mut versions: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in resolved() {
        let known = versions.entry(package.name.as_str()).or_default();
        known.insert(package.version.to_string());
    }
    let deny = deny();
    let skipped = deny["bans"]["skip"].as_array().expect("skip is a list");
    let mut findings = Vec::new();
    for skip in skipped {
        let named = skip["crate"].as_str().unwrap_or_default();
        let (name, version) = named.split_once('@').unwrap_or((named, ""));
        if skip.get("reason").is_none() {
            findings.push(format!("{named} is skipped without a reason"));
        }
        let there = versions
            .get_mut(name)
            .is_some_and(|all| all.remove(version));
        if !there {
            findings.push(format!("{named} is skipped and not there any more"));
        }
    }
    let twice = versions.iter().filter(|(_, left)| left.len() > 1);
    findings.extend(twice.map(|(name, left)| format!("{name} is there as {left:?}")));
    none(
        &findings,
        "bring versions together, or correct `skip` in deny.toml",
    );
}

#[test]
fn everything_comes_from_crates_io() {
    let strange = tree::metadata().packages.iter().filter(|package| {
        let source = package.source.as_ref().map(ToString::to_string);
        source.is_some_and(|source| source != CRATES_IO)
    });
    let findings: Vec<_> = strange.map(|package| package.name.to_string()).collect();
    none(&findings, "take it from crates.io");
}

#[test]
fn expressions_are_read_as_spdx_says() {
    let allowed = BTreeSet::from(["MIT", "BSD-3-Clause"].map(str::to_owned));
    for (expression, holds) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only", false),
        ("GPL-3.0-only OR MIT", true),
        ("MIT AND BSD-3-Clause", true),
        ("MIT AND GPL-3.0-only", false),
        ("(GPL-3.0-only OR MIT) AND BSD-3-Clause", true),
        ("GPL-3.0-only OR MIT AND ISC", false),
        ("MIT WITH LLVM-exception", false),
        ("(MIT", false),
        ("", false),
    ] {
        assert_eq!(satisfied(expression, &allowed), holds, "{expression:?}");
    }
}
