//! What holds for every text: no machine's paths, no registry but the public
//! ones, and links between documents that lead somewhere.

use std::path::Path;

use crate::none;
use crate::tree::{self, File};

/// Where machines keep what is theirs. A text that names such a place works on
/// one machine only.
const PLACES: [&str; 4] = ["/root/", "/home/", "/work/", "/Users/"];

/// What points a package manager at a registry.
const REGISTRIES: [&str; 6] = [
    "registry=",
    "registry =",
    "index-url",
    "replace-with",
    "extra-index",
    "\"resolved\"",
];

/// The registries that everyone has.
const PUBLIC: [&str; 2] = [
    "https://registry.npmjs.org/",
    "https://github.com/rust-lang/crates.io-index",
];

fn texts() -> impl Iterator<Item = &'static File> {
    let made = ["Cargo.lock", "LICENSE", "tests/tidy/texts.rs"];
    tree::files()
        .iter()
        .filter(move |file| !made.contains(&file.path.as_str()))
}

/// Whether a machine's path stands in the line: one that begins there, not one
/// that ends like it, such as `plugins/home/`.
fn names_a_place(line: &str) -> bool {
    PLACES.iter().any(|place| {
        line.match_indices(place).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "_-.})/".contains(c))
        })
    })
}

fn names_a_registry(line: &str) -> bool {
    REGISTRIES.iter().any(|word| line.contains(word))
        && line.contains("://")
        && !PUBLIC.iter().any(|public| line.contains(public))
}

#[track_caller]
fn no_line(is_wrong: fn(&str) -> bool, what_to_do: &str) {
    let mut findings = Vec::new();
    for file in texts() {
        for (at, line) in file.text.lines().enumerate() {
            if is_wrong(line) {
                findings.push(format!("{}:{}: {}", file.path, at + 1, line.trim()));
            }
        }
    }
    none(&findings, what_to_do);
}

#[test]
fn no_text_names_a_machines_path() {
    no_line(names_a_place, "write a path that holds everywhere");
}

#[test]
fn no_text_names_a_private_registry() {
    no_line(
        names_a_registry,
        "leave the registry to the machine's own settings",
    );
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for file in texts().filter(|file| file.path.ends_with(".md")) {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for rest in file.text.split("](").skip(1) {
            let link = rest.split(')').next().unwrap_or_default();
            let target = link.split('#').next().unwrap_or_default();
            let is_ours = !target.is_empty() && !target.contains("://");
            if is_ours && !tree::root().join(folder).join(target).exists() {
                findings.push(format!("{}: {link}", file.path));
            }
        }
    }
    none(&findings, "correct the link");
}

#[test]
fn decisions_are_numbered_without_a_gap() {
    let decisions = texts().filter_map(|file| file.path.strip_prefix("docs/adr/"));
    for (at, name) in decisions.enumerate() {
        let number = format!("{:04}-", at + 1);
        assert!(
            name.starts_with(&number),
            "{name} should begin with {number}"
        );
    }
}

#[test]
fn places_and_registries_are_found() {
    assert!(names_a_place("cd /home/ali/host"));
    assert!(names_a_place("\"/root/.cargo\""));
    assert!(!names_a_place("releases/home/x and {dir}/home/x"));
    assert!(names_a_registry(
        "index-url = https://mirror.example/simple"
    ));
    assert!(!names_a_registry("registry=https://registry.npmjs.org/"));
    assert!(!names_a_registry("omit-lockfile-registry-resolved=true"));
}
