//! Layers are crates: whom each package may use stands in a table of
//! `ARCHITECTURE.md`, and no other edge exists.

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Package};

use crate::markdown::{names, table};
use crate::{none, tree};

const HEADING: &str = "## Crates";

/// A row of the table.
#[derive(Debug)]
struct Layer {
    /// Empty where the row is for every package in `folder`.
    name: String,
    /// A path, in which `*` stands for one folder.
    folder: String,
    may_use: BTreeSet<String>,
    tests_may_use: BTreeSet<String>,
}

/// A dependency of a package on another of the project.
#[derive(Debug, Clone)]
struct Edge {
    from: String,
    folder: String,
    to: String,
    kind: DependencyKind,
}

fn layers() -> Vec<Layer> {
    let set = |cell: &str| names(cell).into_iter().map(str::to_owned).collect();
    table(&tree::read("ARCHITECTURE.md"), HEADING)
        .iter()
        .map(|row| Layer {
            name: names(&row["crate"]).concat(),
            folder: names(&row["folder"]).concat(),
            may_use: set(&row["may use"]),
            tests_may_use: set(&row["its tests, too"]),
        })
        .collect()
}

fn packages() -> Vec<&'static Package> {
    tree::metadata().workspace_packages()
}

fn folder(package: &Package) -> String {
    let folder = package
        .manifest_path
        .parent()
        .expect("a manifest is a file");
    let folder = folder.as_std_path().strip_prefix(tree::root());
    let folder = folder.expect("every package lies in the project");
    folder.to_string_lossy().into_owned()
}

fn edges() -> Vec<Edge> {
    let ours: BTreeSet<&str> = packages().iter().map(|p| p.name.as_str()).collect();
    packages()
        .into_iter()
        .flat_map(|package| package.dependencies.iter().map(move |to| (package, to)))
        .filter(|(_, to)| ours.contains(to.name.as_str()))
        .map(|(package, to)| Edge {
            from: package.name.to_string(),
            folder: folder(package),
            to: to.name.clone(),
            kind: to.kind,
        })
        .collect()
}

/// Whether `folder` is what the pattern says.
fn matches(pattern: &str, folder: &str) -> bool {
    let (mut pattern, mut folder) = (pattern.split('/'), folder.split('/'));
    loop {
        match (pattern.next(), folder.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// Why the edge is not allowed, if it is not.
fn judge(layers: &[Layer], edge: &Edge) -> Option<String> {
    let layer = layers.iter().find(|l| matches(&l.folder, &edge.folder))?;
    let allowed = layer.may_use.contains(&edge.to)
        || (edge.kind == DependencyKind::Development && layer.tests_may_use.contains(&edge.to));
    let kind = match edge.kind {
        DependencyKind::Development => "in its tests",
        DependencyKind::Build => "in its build script",
        _ => "itself",
    };
    (!allowed).then(|| format!("{} may not use {} {kind}", edge.from, edge.to))
}

#[test]
fn no_edge_but_those_of_the_table() {
    let layers = layers();
    let findings: Vec<_> = edges().iter().filter_map(|e| judge(&layers, e)).collect();
    none(
        &findings,
        "remove the dependency, or argue for it in the table under `## Crates`",
    );
}

#[test]
fn every_package_has_one_row_and_every_row_a_package() {
    let layers = layers();
    let mut findings = Vec::new();
    for package in packages() {
        let folder = folder(package);
        let rows = layers.iter().filter(|l| matches(&l.folder, &folder));
        match rows.collect::<Vec<_>>().as_slice() {
            [row] if row.name.is_empty() || row.name == package.name.as_str() => {}
            [row] => findings.push(format!("{folder} is {}, not {}", package.name, row.name)),
            rows => findings.push(format!("{} has {} rows", package.name, rows.len())),
        }
    }
    for layer in &layers {
        if !packages()
            .iter()
            .any(|p| matches(&layer.folder, &folder(p)))
        {
            findings.push(format!("{} has a row and no package", layer.folder));
        }
    }
    none(&findings, "correct the table under `## Crates`");
}

#[test]
fn the_table_has_no_circle_and_names_packages_only() {
    let layers = layers();
    let known: BTreeSet<String> = packages().iter().map(|p| p.name.to_string()).collect();
    let mut findings = Vec::new();
    for layer in &layers {
        let named = layer.may_use.iter().chain(&layer.tests_may_use);
        let strange = named.filter(|name| !known.contains(*name));
        findings.extend(strange.map(|name| format!("{}: {name} is no package", layer.folder)));
    }
    // Rows stand above all that may use them, so there is an order and no circle.
    let mut above: BTreeSet<&str> = BTreeSet::new();
    for layer in &layers {
        let below = layer.may_use.iter().filter(|n| !above.contains(n.as_str()));
        findings.extend(below.map(|name| format!("{} uses {name} from below", layer.folder)));
        above.insert(&layer.name);
    }
    none(
        &findings,
        "order the rows so that each uses rows above it only",
    );
}

#[test]
fn an_edge_that_is_not_in_the_table_is_found() {
    let layers = [Layer {
        name: String::new(),
        folder: "plugins/*/*".to_owned(),
        may_use: BTreeSet::from(["host-sdk".to_owned()]),
        tests_may_use: BTreeSet::from(["host-abi".to_owned()]),
    }];
    let judged = |to: &str, kind| {
        let edge = Edge {
            from: "zakat".to_owned(),
            folder: "plugins/zakat/0.1.0".to_owned(),
            to: to.to_owned(),
            kind,
        };
        judge(&layers, &edge)
    };
    assert_eq!(judged("host-sdk", DependencyKind::Normal), None);
    assert_eq!(judged("host-abi", DependencyKind::Development), None);
    let found = judged("host-abi", DependencyKind::Normal);
    assert_eq!(found.as_deref(), Some("zakat may not use host-abi itself"));
    assert!(judged("host-abi", DependencyKind::Build).is_some());
}
