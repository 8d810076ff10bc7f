//! Each package takes the workspace's lints, and says in its root file what it
//! is and what it must not know.

use cargo_metadata::{Package, TargetKind};

use crate::{none, tree};

fn packages() -> Vec<&'static Package> {
    tree::metadata().workspace_packages()
}

#[test]
fn every_package_has_the_lints_and_the_licence() {
    let mut findings = Vec::new();
    for package in packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let lints = manifest
            .get("lints")
            .and_then(|lints| lints.get("workspace"));
        if lints.and_then(toml::Value::as_bool) != Some(true) {
            findings.push(format!("{}: no `[lints] workspace = true`", package.name));
        }
        if package.license.as_deref() != Some("Apache-2.0") {
            findings.push(format!("{}: no `license.workspace = true`", package.name));
        }
        if package.publish.as_deref() != Some(&[]) {
            findings.push(format!("{}: no `publish.workspace = true`", package.name));
        }
    }
    none(&findings, "copy these lines from another package");
}

#[test]
fn every_layer_says_what_it_must_not_know() {
    let mut findings = Vec::new();
    for package in packages() {
        let is_library = |kind: &TargetKind| *kind == TargetKind::Lib;
        let library = package
            .targets
            .iter()
            .find(|t| t.kind.iter().any(is_library));
        let Some(library) = library.filter(|_| package.name.starts_with("host-")) else {
            continue;
        };
        let text = std::fs::read_to_string(&library.src_path).unwrap();
        let opening = text.lines().map_while(|line| line.strip_prefix("//!"));
        let opening: Vec<&str> = opening.flat_map(str::split_whitespace).collect();
        if !opening.join(" ").contains("must not know") {
            findings.push(package.name.to_string());
        }
    }
    none(
        &findings,
        "close the library's opening comment with what it must not know",
    );
}
