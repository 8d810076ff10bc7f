//! What plugins may not use stands in `plugins/clippy.toml`, and each line of it
//! catches a plugin that does.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::{none, tree};

const CONFIGURATION: &str = "plugins/clippy.toml";

/// What a plugin must not have at all, whatever the list is changed to.
const NEEDED: [&str; 10] = [
    "std::collections::HashMap",
    "std::collections::HashSet",
    "std::time::SystemTime",
    "std::time::SystemTime::now",
    "std::time::Instant::now",
    "std::env::var",
    "std::fs::read",
    "std::fs::File",
    "std::net::TcpStream",
    "std::thread::spawn",
];

/// The paths in one of the lists.
fn paths(list: &str) -> Vec<String> {
    let file: toml::Table = tree::read(CONFIGURATION).parse().expect("it is TOML");
    let entries = file[list].as_array().expect("it is a list").iter();
    entries
        .map(|entry| entry["path"].as_str().expect("it is a path").to_owned())
        .collect()
}

/// A use of a function as a value, with its types named.
fn value_of(path: &str) -> String {
    let types = match path {
        "std::thread::spawn" => "::<fn(), ()>",
        "std::env::var" | "std::env::var_os" | "std::fs::read" | "std::fs::read_to_string" => {
            "::<&str>"
        }
        "std::fs::write" => "::<&str, &str>",
        _ => "",
    };
    format!("{path}{types}")
}

/// What clippy says of a source under the plugins' configuration, and whether it
/// takes it.
fn clippy(source: &str) -> (bool, String) {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    let file = folder.path().join("lib.rs");
    std::fs::write(&file, source).expect("it can be written to");
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_default());
    let ran = Command::new(cargo.with_file_name("clippy-driver"))
        .args([
            "--crate-type",
            "lib",
            "--edition",
            "2024",
            "--emit",
            "metadata",
        ])
        .args(["-D", "warnings", "--out-dir"])
        .args([folder.path(), &file])
        .env("CLIPPY_CONF_DIR", tree::root().join("plugins"))
        .output()
        .expect("clippy is installed: rustup component add clippy");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    (ran.status.success(), said)
}

#[test]
fn the_list_has_what_it_must() {
    let listed = [paths("disallowed-types"), paths("disallowed-methods")].concat();
    let gone = NEEDED
        .iter()
        .filter(|path| !listed.iter().any(|it| it == *path));
    let findings: Vec<_> = gone.map(ToString::to_string).collect();
    none(&findings, "put it back into plugins/clippy.toml");
}

#[test]
fn each_line_catches_a_plugin_that_uses_it() {
    let (types, methods) = (paths("disallowed-types"), paths("disallowed-methods"));
    let mut source = "//! A plugin that does all that it must not.\n".to_owned();
    for (at, path) in types.iter().enumerate() {
        let _ = writeln!(source, "pub use {path} as T{at};");
    }
    source.push_str("/// Uses them.\npub fn uses() {\n");
    for path in &methods {
        let _ = writeln!(source, "    let _ = {};", value_of(path));
    }
    source.push_str("}\n");
    let (taken, said) = clippy(&source);
    assert!(!taken, "it takes {source}");
    let type_of = |path: &String| format!("use of a disallowed type `{path}`");
    let method_of = |path: &String| format!("use of a disallowed method `{path}`");
    let wanted = types
        .iter()
        .map(type_of)
        .chain(methods.iter().map(method_of));
    let missing: Vec<_> = wanted.filter(|line| !said.contains(line)).collect();
    none(&missing, &format!("clippy says only: {said}"));
}

#[test]
fn what_a_plugin_may_use_is_not_caught() {
    let source = "//! A plugin as it should be.\n\
        /// A state.\npub type State = std::collections::BTreeMap<String, u64>;\n";
    let (taken, said) = clippy(source);
    assert!(taken, "{said}");
}
