//! Each library that a package names has one line in `ARCHITECTURE.md`, which
//! says what for and why this one.

use std::collections::BTreeSet;

use crate::markdown::{names, table};
use crate::{none, tree};

const HEADING: &str = "## Dependencies";

/// The libraries that some package, or the workspace's list, names.
fn direct() -> BTreeSet<String> {
    let metadata = tree::metadata();
    let packages = metadata.workspace_packages().into_iter();
    let used = packages.flat_map(|package| &package.dependencies);
    let mut direct: BTreeSet<String> = used
        .filter(|dependency| dependency.path.is_none())
        .map(|dependency| dependency.name.clone())
        .collect();
    let manifest: toml::Table = tree::read("Cargo.toml")
        .parse()
        .expect("a manifest is TOML");
    let listed = manifest["workspace"]["dependencies"].as_table();
    let listed = listed.expect("the workspace lists its dependencies").iter();
    direct.extend(
        listed
            .filter(|(_, how)| how.get("path").is_none())
            .map(|(name, _)| name.clone()),
    );
    direct
}

#[test]
fn every_library_has_a_line_and_every_line_a_library() {
    let rows = table(&tree::read("ARCHITECTURE.md"), HEADING);
    let lines: BTreeSet<String> = rows
        .iter()
        .flat_map(|row| names(&row["library"]))
        .map(str::to_owned)
        .collect();
    let direct = direct();
    let without = direct.difference(&lines);
    let mut findings: Vec<_> = without.map(|name| format!("{name} has no line")).collect();
    let gone = lines.difference(&direct);
    findings.extend(gone.map(|name| format!("{name} has a line and is used by no one")));
    none(&findings, "correct the table under `## Dependencies`");
}

#[test]
fn every_line_says_what_for_and_why() {
    let rows = table(&tree::read("ARCHITECTURE.md"), HEADING);
    let short = rows.iter().filter(|row| {
        let says = |column: &str| row[column].split_whitespace().count() >= 3;
        !(says("what for") && says("why this one"))
    });
    let findings: Vec<_> = short.map(|row| row["library"].clone()).collect();
    none(&findings, "say it in three words at least");
}

#[test]
fn packages_take_libraries_from_the_workspaces_list() {
    let mut findings = Vec::new();
    for file in tree::files() {
        if !file.path.ends_with("/Cargo.toml") {
            continue;
        }
        let manifest: toml::Table = file.text.parse().expect("a manifest is TOML");
        // A workspace of its own is built by other compilers, and shipped to no one.
        if manifest.contains_key("workspace") {
            continue;
        }
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let named = manifest.get(section).and_then(|it| it.as_table());
            for (name, how) in named.into_iter().flatten() {
                if how.get("workspace").and_then(toml::Value::as_bool) != Some(true) {
                    findings.push(format!("{}: {name}", file.path));
                }
            }
        }
    }
    none(
        &findings,
        "write `NAME.workspace = true`, and the version in the root's list",
    );
}
